"""Settings as plain tables: what a file, the environment and the command line say, one laid over the other."""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from longshort.base.errors import StudyError


def merge(base: Mapping[str, Any], over: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Tables with the keys of others laid over them."""
    merged = dict(base)
    for section, table in over.items():
        merged[section] = {**merged.get(section, {}), **table}
    return merged


def from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What `LONGSHORT_SECTION__KEY` variables say."""
    tables: dict[str, dict[str, Any]] = {}
    for name, text in environment.items():
        section, separator, key = name.removeprefix("LONGSHORT_").partition("__")
        if name.startswith("LONGSHORT_") and separator:
            tables.setdefault(section.lower(), {})[key.lower()] = _value(text)
    return tables


def from_overrides(overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `section.key=value` texts say; raise `StudyError` for one that is none."""
    tables: dict[str, dict[str, Any]] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot):
            raise StudyError(
                f"--set {override!r} is not understood.", remedy="Write --set section.key=value."
            )
        tables.setdefault(section, {})[key] = _value(text.strip())
    return tables


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def written(value: Any) -> str:
    """A value as TOML writes it; tables stand on one line.

    >>> written({"rsi_14": ["rolling", 1e-05, True]})
    '{ "rsi_14" = ["rolling", 1e-05, true] }'
    """
    match value:
        case Mapping():
            inside = ", ".join(f"{json.dumps(str(key))} = {written(one)}" for key, one in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(written(one) for one in value)}]"
        case _:
            return json.dumps(value)


def nearest(name: str, known: list[str]) -> str:
    """The remedy for a name that is not known."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(known)}."
