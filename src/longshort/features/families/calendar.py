"""When the *coming* bar falls: it opens at this close."""

from types import MappingProxyType

import numpy as np

from longshort.base.clock import DAY, HOUR
from longshort.features.history import Grid
from longshort.features.look import Compute, Feature, Look


def _opening(period: int, unit: int, offset: int = 0) -> Compute:
    """Where in a period the coming bar falls."""

    def compute(look: Look) -> Grid:
        position = (look.bars.closed_at // unit + offset) % period
        return np.repeat(position[:, None].astype(np.float64), len(look.bars.symbols), axis=1)

    return compute


def _calendar(column: str, position: int) -> Feature:
    """One where the coming bar falls on a position of the day or week, else zero."""
    return Feature(
        compute=lambda look: np.equal(look[column], position).astype(np.float64),
        family="calendar",
        inputs=("closed_at",),
        warmup_rows=1,
        context="row",
        summary=f"1 where the coming bar opens in {column} {position} (UTC), else 0",
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "hour": _opening(24, HOUR),
        "weekday": _opening(7, DAY, offset=3),  # 1970-01-01 was a Thursday
    }
)

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        **{f"hour_{hour:02d}": _calendar("hour", hour) for hour in range(24)},
        **{f"weekday_{day}": _calendar("weekday", day) for day in range(7)},
    }
)
