"""Forecasts as a file tells them, and what came, become a case: returns beside returns, over the same span.

Levels and returns are stated apart by the numbers themselves, unless a person says which they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.study.audit.columns import Stamped
from longshort.study.audit.plausibility import Case

Kind = Literal["levels", "returns"]
Numbers = Float64[np.ndarray, "_"]  # of a file, of what came, or of the rows that both have
Instants = Int64[np.ndarray, "_"]
Chosen = Bool[np.ndarray, "_"]

LEVEL_MEMORY = 0.9  # the correlation of neighbors that levels have and returns have not
LEAST_LEVEL = 0.25  # a forecast of prices is not, as a rule, below this share of the lowest price
PER_CENT = 20.0  # times as wide as what came: per cent, or a level that was scaled
UNMATCHED = 0.1  # the share of forecasts that may lack a price
FLOOR = 1e-12  # of the last price: what a forecast of zero or less is taken for


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What came, in time order: prices, or returns where `levels` is False."""

    at: Instants
    value: Numbers
    levels: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """The forecasts of one series, model and horizon as a file tells them, in time order.

    `stamped` says what `at` means; `hint` is what the columns are called.
    """

    name: str
    symbol: str
    horizon: int
    stamped: Stamped
    at: Instants
    forecast: Numbers
    actual: Numbers | None
    hint: str


def own_track(stated: Stated, kind: Kind | None) -> Track:
    """What came, by the file's own column of it."""
    assert stated.actual is not None
    known = np.isfinite(stated.actual)
    at, first = np.unique(stated.at[known], return_index=True)
    value = stated.actual[known][first]
    return Track(at=at, value=value, levels=_is_level(value, stated.hint, kind))


def kind_of(stated: Stated, track: Track) -> Kind:
    """Whether levels or returns were forecast."""
    known = stated.forecast[np.isfinite(stated.forecast)]
    if not track.levels:
        return "returns"
    lowest = float(track.value.min())
    if not len(known) or lowest <= 0.0:
        return "levels"
    return "levels" if float(np.median(known)) > LEAST_LEVEL * lowest else "returns"


def case_of(stated: Stated, track: Track, kind: Kind, path: Path) -> Case:
    """Match forecasts with what came; raise `DataError` where many have no price, or the units cannot be right."""
    target, base, inside = _places(stated, track, path)
    forecast, unknown = stated.forecast[inside], np.full(int(inside.sum()), np.nan)
    if not track.levels:
        return _case(stated, track.at[target], (track.value[target], forecast, unknown, unknown, unknown))
    last, actual = track.value[base], track.value[target]
    change: Callable[[Numbers, Numbers], Numbers] = _log_change if track.value.min() > 0.0 else _plain_change
    came = change(last, actual)
    if kind == "levels":
        return _case(stated, track.at[target], (came, change(last, forecast), last, actual, forecast))
    _refuse_per_cent(came, forecast, path)
    return _case(stated, track.at[target], (came, forecast, last, actual, unknown))


def _case(stated: Stated, at: Instants, series: tuple[Numbers, ...]) -> Case:
    came, move, last, actual, forecast = series
    return Case(
        name=stated.name, horizon=stated.horizon, target_at=at,
        came=came, move=move, last=last, actual=actual, forecast=forecast,
    )  # fmt: skip


def _places(stated: Stated, track: Track, path: Path) -> tuple[Instants, Instants, Chosen]:
    """Where in what came each usable forecast aims, where it was made, and which forecasts those are."""
    place = np.searchsorted(track.at, stated.at)
    found = track.at[np.minimum(place, len(track.at) - 1)] == stated.at
    if stated.actual is None:
        _refuse_unmatched(stated, found, path)
    target = place + stated.horizon if stated.stamped == "made" else place
    base = target - stated.horizon
    earliest = 0 if track.levels else -stated.horizon  # returns need no value before them
    inside = found & np.isfinite(stated.forecast) & (target < len(track.at)) & (base >= earliest)
    return target[inside], base[inside], inside


def _is_level(value: Numbers, hint: str, kind: Kind | None) -> bool:
    if kind is not None:
        return kind == "levels" or bool(value.min() > LEAST_LEVEL)
    if "return" in hint or len(value) < 3:
        return "return" not in hint
    centered = value - value.mean()
    energy = float(centered @ centered)
    lasting = energy > 0.0 and float(centered[1:] @ centered[:-1]) / energy > LEVEL_MEMORY
    return lasting or float(value.min()) > 0.0


def _log_change(last: Numbers, value: Numbers) -> Numbers:
    return np.log(np.maximum(value, FLOOR * last) / last)


def _plain_change(last: Numbers, value: Numbers) -> Numbers:
    return value - last


def _refuse_unmatched(stated: Stated, found: Chosen, path: Path) -> None:
    missing = np.flatnonzero(np.isfinite(stated.forecast) & ~found)
    if len(missing) > UNMATCHED * len(found):
        first = format_instant(int(stated.at[missing[0]]))
        raise DataError(
            f"{len(missing):,} of {len(found):,} forecasts of {stated.name} have no price at their instant, "
            f"the first at {first}.",
            where=path,
            remedy="Stamp forecasts and prices alike, and hand in prices of the same span.",
        )


def _refuse_per_cent(came: Numbers, move: Numbers, path: Path) -> None:
    if len(came) and float(np.std(move)) > PER_CENT * float(np.std(came)) > 0.0:
        raise DataError(
            "the forecasts are no prices, and as returns many times as large as what came.",
            where=path,
            remedy="Write returns as fractions and prices unscaled, or say --as levels.",
        )
