"""Features and filters of the user: from a file beside the study, or from an installed package.

The smallest file defines one function and marks it; its parameters say what it reads:

    from longshort.features.own import feature

    @feature(warmup_rows=20)
    def distance_to_high(close, high):
        ...

It sees one coin's past, oldest first, without absent bars, and answers with as many numbers. A table `FEATURES` of
`Feature` records is taken as well. Nothing here says that a feature is honest: `features/contract.py` does.
"""

import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

import numpy as np

from longshort.base.errors import StudyError
from longshort.base.files import digest
from longshort.data.simulator import simulate_market
from longshort.features.catalog import BASE, FEATURES
from longshort.features.history import Grid, History
from longshort.features.look import Compute, Feature, Look, Scaling
from longshort.features.usercode import Column, answer_of, module_of, source_of, users_code
from longshort.features.windowed import RESTART_ROWS

GROUP = "longshort.features"  # the entry points that packages offer
ENTRY = "entry:"
MARK = "__longshort_feature__"
COLUMNS: Mapping[str, Compute] = MappingProxyType({**{n: f.compute for n, f in FEATURES.items()}, **BASE})

Plain = TypeVar("Plain", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promise:
    """What the author of a marked function says of it."""

    warmup_rows: int
    scaling: Scaling
    unitless: bool
    default: bool
    summary: str


def feature(
    *,
    warmup_rows: int = 1,
    scaling: Scaling = "train",
    unitless: bool = True,
    default: bool = True,
    summary: str = "",
) -> Callable[[Plain], Plain]:
    """Mark a plain function of past columns as a feature.

    Its parameters name the columns: `close`, `volume`, a base column such as `log_return`, or a feature of ours. It is
    called with at least `warmup_rows` rows of them, and what it says of earlier rows is not used. It sees 512 to 1,024
    rows, so a mean over all of them or a sum since the first would depend on where they begin: let it depend on the
    last few hundred.

    >>> @feature(warmup_rows=2)
    ... def jump(close):
    ...     return np.append(np.nan, np.diff(np.log(close)))
    >>> jump(np.array([1.0, 1.0])).tolist()
    [nan, 0.0]
    """
    promise = _Promise(
        warmup_rows=warmup_rows, scaling=scaling, unitless=unitless, default=default, summary=summary
    )

    def mark(function: Plain) -> Plain:
        setattr(function, MARK, promise)
        return function

    return mark


def own_features(own: Sequence[str], folder: Path = Path()) -> dict[str, Feature]:
    """The features of some files (relative to the study's folder) and entry points (`entry:NAME`), by name.

    Raise `StudyError` where one cannot be read, holds none, or uses a name that is taken.
    """
    found: dict[str, Feature] = {}
    for source in own:
        for name, record in _features_of(source, folder).items():
            if name in FEATURES or name in found:
                taken = "a built-in feature" if name in FEATURES else "a feature of another file"
                raise StudyError(
                    f"the name {name!r} is that of {taken}.", where=source, remedy="Choose another name."
                )
            found[name] = record
    return found


def own_digest(own: Sequence[str], folder: Path = Path()) -> str:
    """A hash of the sources of the user's code: another one means that a bundle was trained on other features."""
    return digest(*[part for source in own for part in (source, _source(source, folder))])


def _features_of(source: str, folder: Path) -> dict[str, Feature]:
    where: str | Path = source if source.startswith(ENTRY) else folder / source
    with users_code(where):
        holder: Any = _entry(source).load() if source.startswith(ENTRY) else module_of(Path(where))
    found = _listed(holder if isinstance(holder, Mapping) else getattr(holder, "FEATURES", {}), where)
    named: dict[str, Any] = {getattr(holder, "__name__", ""): holder}
    members = vars(holder) if isinstance(holder, ModuleType) else named
    found |= {name: _record(value, where) for name, value in members.items() if hasattr(value, MARK)}
    if not found:
        raise StudyError(
            "it defines no features.",
            where=where,
            remedy="Mark a function with `@feature(...)`, or define a table FEATURES.",
        )
    return found


def _listed(table: object, where: str | Path) -> dict[str, Feature]:
    if not isinstance(table, Mapping):
        raise StudyError("FEATURES is no table of names and features.", where=where)
    wrong = [name for name, value in table.items() if not isinstance(value, Feature)]
    if wrong:
        raise StudyError(f"FEATURES[{wrong[0]!r}] is no `Feature`.", where=where)
    return dict(table)


def _record(function: Callable[..., object], where: str | Path) -> Feature:
    promise: _Promise = getattr(function, MARK)
    inputs = tuple(inspect.signature(function).parameters)
    unknown = [name for name in inputs if name not in COLUMNS]
    if unknown or not inputs:
        about = f"reads {unknown[0]!r}, which is no column" if unknown else "reads nothing"
        raise StudyError(
            f"{function.__name__} {about}.",
            where=where,
            remedy=f"Name its parameters after columns: {', '.join(BASE)}.",
        )
    if not 1 <= promise.warmup_rows <= RESTART_ROWS:
        raise StudyError(
            f"{function.__name__} states a warm-up of {promise.warmup_rows} rows.",
            where=where,
            remedy=f"A function of past columns sees {RESTART_ROWS} rows at least: state 1 to {RESTART_ROWS}.",
        )
    return Feature(
        compute=_windowed(function, inputs, promise.warmup_rows, where),
        family="own",
        inputs=inputs,
        warmup_rows=_first_rows(inputs) + promise.warmup_rows,
        context="restarted",
        scaling=promise.scaling,
        default=promise.default,
        unitless=promise.unitless,
        summary=promise.summary or (inspect.getdoc(function) or "").partition("\n")[0],
    )


def _windowed(
    function: Callable[..., object], inputs: tuple[str, ...], warmup_rows: int, where: str | Path
) -> Compute:
    key = f"own {where} {function.__name__}"

    def of_past(columns: Mapping[str, Column]) -> dict[str, Column]:
        rows = len(columns[inputs[0]])
        value = np.full(rows, np.nan)
        if rows >= warmup_rows:
            value[warmup_rows - 1 :] = answer_of(function, columns, where)[warmup_rows - 1 :]
        return {"value": value}

    def compute(look: Look) -> Grid:
        with users_code(where, function.__name__):
            return look.windowed(key, of_past, inputs)["value"]

    return compute


@lru_cache(maxsize=64)
def _first_rows(inputs: tuple[str, ...]) -> int:
    """How many rows of a complete series pass before all of these columns stand."""
    bars = simulate_market(coins=2, bars=1_500).bars
    look = Look(bars, History(2, int(bars.grid_row[0])), 24.0, COLUMNS)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        there = [np.isfinite(look[name]).all(axis=1) for name in inputs]
    return int(np.logical_and.reduce(there).argmax())


def _entry(source: str) -> EntryPoint:
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    name = source.removeprefix(ENTRY)
    if name not in offered:
        raise StudyError(
            f"no installed package offers the features {name!r}.",
            where=source,
            remedy=f"Offered are: {', '.join(offered) or 'none'} (entry points of the group {GROUP}).",
        )
    return offered[name]


def _source(source: str, folder: Path) -> bytes:
    if not source.startswith(ENTRY):
        return source_of(folder / source)
    place = importlib.util.find_spec(_entry(source).module)
    return source_of(Path(place.origin)) if place and place.origin else b""
