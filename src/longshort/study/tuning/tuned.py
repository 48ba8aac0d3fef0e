"""The best trial as a study file: every setting, with its comment, and what was changed from what."""

import re
from collections.abc import Mapping
from typing import Any

from longshort.base.settings import Study
from longshort.base.tables import written

LINE = re.compile(r"(?P<key>\w+) = (?P<value>.*?)(?P<comment>\s+# .*)?")


def commented(template: str, study: Study, before: Study, heading: str) -> str:
    """A study in the words of a commented template, with `heading` as comments above it.

    Settings that differ from `before` say so. What the template lacks stands at the end of its section.
    """
    tables: Mapping[str, Mapping[str, Any]] = study.model_dump(mode="json")
    were: Mapping[str, Mapping[str, Any]] = before.model_dump(mode="json")
    told = [f"# {line}" if line else "#" for line in heading.splitlines()]
    section, open_keys = "", dict[str, Any]()
    for line in [*template.splitlines(), "[]"]:
        if line.startswith("["):
            told += _rest(open_keys, were.get(section, {}))
            section = line.strip("[]")
            open_keys = dict(tables.get(section, {}))
            told += ["", line] if section else []
        elif section and (found := LINE.fullmatch(line)) and found["key"] in open_keys:
            key = found["key"]
            told.append(_line(key, open_keys.pop(key), were[section].get(key), (found["comment"] or "")))
    return "\n".join(told) + "\n"


def _rest(tables: Mapping[str, Any], were: Mapping[str, Any]) -> list[str]:
    return [_line(key, value, were.get(key), "") for key, value in tables.items()]


def _line(key: str, value: Any, was: Any, comment: str) -> str:
    plain = comment.strip().removeprefix("# ")
    told = [f"tuned, was {written(was)}"] if value != was else []
    told += [plain] if plain else []
    return f"{key} = {written(value)}" + (f"  # {'; '.join(told)}" if told else "")
