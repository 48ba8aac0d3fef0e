"""The last bar of four hours and of a day that had *closed*, made of the study's own bars.

Such bars end at 00:00, 04:00, ... UTC, and say nothing before their last row has closed; one of which more than a fifth
is missing says nothing until the next has closed. They begin at the close before them: around the clock there is no
gap. NaN where the study's bars are as long, or do not divide them: `needs` keeps the default set from that.
Distances are in volatilities of so many bars.
"""

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from longshort.base.clock import DAY, HOUR
from longshort.features.families.price import MIN_RANGE, PARKINSON
from longshort.features.history import Grid
from longshort.features.look import SCALE_ROWS, Compute, Feature, Look

UNITS = MappingProxyType({"4h": 4 * HOUR, "1d": DAY})
MISSING = 1e300  # stands for NaN where a value is carried on until the next one, known or not


def _rows(look: Look, unit: str) -> int:
    """How many of the study's bars make one; 0 where they cannot."""
    rows, rest = divmod(UNITS[unit], look.bars.interval.ns)
    return rows if rows > 1 and not rest else 0


def _closed(look: Look, key: str, values: Grid, unit: str) -> Grid:
    """What a column said when the last such bar closed."""
    closes = look.bars.closed_at % UNITS[unit] == 0
    said = np.full(values.shape, np.nan)
    said[closes] = np.nan_to_num(values[closes], nan=MISSING)
    carried = look.history.last_known(key, said)
    carried[carried == MISSING] = np.nan
    return carried


def _extreme(unit: str, *, highest: bool) -> Compute:
    def compute(look: Look) -> Grid:
        rows = _rows(look, unit)
        if not rows:
            return np.full(look.bars.close.shape, np.nan)
        if highest:
            return _closed(look, f"high {unit}", look.maximum("log_high", rows), unit)
        return _closed(look, f"low {unit}", look.minimum("log_low", rows), unit)

    return compute


def _last_close(unit: str) -> Compute:
    """NaN where the bar's high is: then too much of it is missing."""

    def compute(look: Look) -> Grid:
        close = look.history.last_known(f"close for {unit}", look["log_close"])
        known = np.where(np.isfinite(look[f"log_high_{unit}"]), close, np.nan)
        return _closed(look, f"close {unit}", known, unit)

    return compute


def _close_before(unit: str) -> Compute:
    def compute(look: Look) -> Grid:
        return _closed(look, f"close before {unit}", look.lag(f"log_close_{unit}", 1), unit)

    return compute


def _in_volatilities(unit: str, distance: Compute) -> Compute:
    return lambda look: distance(look) / (look["volatility"] * np.sqrt(max(_rows(look, unit), 1)))


def _range(unit: str) -> Compute:
    def compute(look: Look) -> Grid:
        moved = np.maximum(look[f"log_high_{unit}"] - look[f"log_low_{unit}"], MIN_RANGE)
        return np.log(moved / PARKINSON) - look["log_volatility"] - 0.5 * np.log(max(_rows(look, unit), 1))

    return compute


def _position(unit: str) -> Compute:
    def compute(look: Look) -> Grid:
        top, bottom = look[f"log_high_{unit}"], look[f"log_low_{unit}"]
        return (2.0 * look[f"log_close_{unit}"] - top - bottom) / np.maximum(top - bottom, MIN_RANGE)

    return compute


def _from(unit: str, edge: str) -> Compute:
    return _in_volatilities(unit, lambda look: look["log_close"] - look[f"log_{edge}_{unit}"])


def _feature(
    unit: str,
    compute: Compute,
    inputs: str,
    summary: str,
    *,
    warmup_rows: int = SCALE_ROWS,
    default: bool = True,
) -> Feature:
    return Feature(
        compute=compute,
        family="higher",
        inputs=tuple(inputs.split()),
        warmup_rows=warmup_rows,
        context="recursive",
        default=default,
        needs=(unit,),
        summary=f"{summary} bar of {unit} that had closed",
    )


def _base(unit: str) -> dict[str, Compute]:
    return {
        f"log_high_{unit}": _extreme(unit, highest=True),
        f"log_low_{unit}": _extreme(unit, highest=False),
        f"log_close_{unit}": _last_close(unit),
        f"log_close_before_{unit}": _close_before(unit),
    }


def _table(unit: str, rows: int) -> dict[str, Feature]:
    returned = _in_volatilities(
        unit, lambda look: look[f"log_close_{unit}"] - look[f"log_close_before_{unit}"]
    )
    return {
        f"return_{unit}": _feature(
            unit, returned, "close", "log return of the last", warmup_rows=max(2 * rows, SCALE_ROWS)
        ),
        f"range_{unit}": _feature(unit, _range(unit), "high low close", "log range of the last"),
        f"position_{unit}": replace(
            _feature(unit, _position(unit), "high low close", "where the close lay in the range of the last"),
            warmup_rows=rows,
            context="window",
        ),
        f"from_close_{unit}": _feature(
            unit, _from(unit, "close"), "close", "distance from the close of the last", default=False
        ),
    }


BASE: MappingProxyType[str, Compute] = MappingProxyType({**_base("4h"), **_base("1d")})

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        **_table("4h", 4),
        **_table("1d", 24),
        "from_high_1d": _feature(
            "1d", _from("1d", "high"), "high close", "distance from the high of the last"
        ),
        "from_low_1d": _feature("1d", _from("1d", "low"), "low close", "distance from the low of the last"),
    }
)
