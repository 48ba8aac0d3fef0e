"""Rows of several coins on one grid of closing instants: the one place where stamps of bars become closes.

Every row on record is a bar here, and a coin counts as listed from its first one on: what says nothing, and when
trading stopped, is for `certificate.cleaning` to tell.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from longshort.base.calendar import AlwaysOpen, Calendar
from longshort.base.clock import Interval
from longshort.base.errors import DataError
from longshort.base.instrument import Instrument
from longshort.data.bars import Bars, Gauge
from longshort.data.funding import Settlements, settle_on_grid

MILLISECOND = 1_000_000
EXTREMES: Mapping[Gauge, Mapping[Gauge, str]] = MappingProxyType(  # told by the very rows that tell a close
    {"mark_close": MappingProxyType({"mark_high": "high", "mark_low": "low"})}
)

Instants = Int64[np.ndarray, " time"]
Column = Float64[np.ndarray, " time"]
Sampled = (
    tuple[Interval, pl.DataFrame] | None
)  # how often, and when what was measured; None: nothing on record


def assemble(
    interval: Interval,
    instruments: Sequence[Instrument],
    rows: Sequence[pl.DataFrame],
    funding: Sequence[Settlements],
    *,
    calendar: Calendar | None = None,
    gauges: Mapping[Gauge, Sequence[Sampled]] | None = None,
) -> Bars:
    """Lay the lake's rows of several coins on the grid from the first close of any to the last."""
    calendar = calendar or AlwaysOpen()
    stamps = [_closed_at(r, interval, calendar, i.symbol) for r, i in zip(rows, instruments, strict=True)]
    closed_at = calendar.grid(int(min(s[0] for s in stamps)), int(max(s[-1] for s in stamps)), interval)
    shape = (len(closed_at), len(rows))
    first = calendar.rows(closed_at[:1], interval)
    place = [calendar.rows(s, interval) - first for s in stamps]
    prices: dict[str, Float64[np.ndarray, "time asset"]] = {}
    for name in ("open", "high", "low", "close", "volume"):
        prices[name] = np.full(shape, np.nan)
        for a, r in enumerate(rows):
            prices[name][place[a], a] = r[name].to_numpy()
    present, listed, covered = (np.zeros(shape, dtype=bool) for _ in range(3))
    rate = np.full(shape, np.nan)
    for a, at in enumerate(place):
        present[at, a] = True
        listed[at[0] :, a] = True
        rate[:, a], covered[:, a] = _funding(instruments[a], funding[a], closed_at, interval)
    return Bars(
        venue=instruments[0].venue,
        interval=interval,
        instruments=tuple(instruments),
        closed_at=closed_at,
        open=prices["open"],
        high=prices["high"],
        low=prices["low"],
        close=prices["close"],
        volume=prices["volume"],
        present=present,
        listed=listed,
        funding_rate=rate,
        funding_covered=covered,
        calendar=calendar,
        gauges=_gauges(gauges or {}, closed_at, calendar.opens(closed_at, interval)),
    )


def _closed_at(rows: pl.DataFrame, interval: Interval, calendar: Calendar, symbol: str) -> Instants:
    """Stamps become closes; raise `DataError` where they are not in order on the grid."""
    opened_at = _instants(rows["opened_at"])
    if not len(opened_at) or (np.diff(opened_at) <= 0).any() or (opened_at % interval.ns).any():
        raise DataError(
            "bars are missing, out of order, or off the grid.",
            where=symbol,
            remedy="Look with `longshort check`.",
        )
    try:
        return calendar.closes(opened_at, interval)
    except DataError as error:
        raise DataError(error.what, where=symbol, remedy=error.remedy) from error


def _funding(
    instrument: Instrument, record: Settlements, closed_at: Instants, interval: Interval
) -> tuple[Column, Bool[np.ndarray, " time"]]:
    """What was settled at each close; a contract without funding is covered: it is known to pay none."""
    if instrument.has_funding:
        return settle_on_grid(record, closed_at, interval)
    return np.full(len(closed_at), np.nan), np.ones(len(closed_at), dtype=bool)


def _gauges(
    gauges: Mapping[Gauge, Sequence[Sampled]], closed_at: Instants, opened_at: Instants
) -> dict[Gauge, Float64[np.ndarray, "time asset"]]:
    """Those of which anything is on record, on the grid; of mark prices the highest and the lowest too."""
    laid: dict[Gauge, Float64[np.ndarray, "time asset"]] = {}
    for name, sampled in gauges.items():
        if all(s is None for s in sampled):
            continue
        laid[name] = np.stack([_on_grid(s, closed_at, opened_at) for s in sampled], axis=1)
        for extreme, column in EXTREMES.get(name, {}).items():
            laid[extreme] = np.stack([_extreme(s, column, closed_at, opened_at) for s in sampled], axis=1)
    return laid


def _on_grid(sampled: Sampled, closed_at: Instants, opened_at: Instants) -> Column:
    """The latest value known in each bar, NaN where none was: of a price its close, of a sample its instant."""
    column = np.full(len(closed_at), np.nan)
    if sampled is None:
        return column
    interval, rows = sampled
    is_price = "close" in rows.columns
    known_at = _instants(rows[rows.columns[0]]) + (interval.ns if is_price else 0)
    values = rows["close" if is_price else "open_interest"].to_numpy()
    place = np.searchsorted(closed_at, known_at)
    inside = np.flatnonzero(place < len(closed_at))
    inside = inside[known_at[inside] > opened_at[place[inside]]]
    column[place[inside]] = values[inside]  # in order of time: the latest of a bar stays
    return column


def _extreme(sampled: Sampled, column: str, closed_at: Instants, opened_at: Instants) -> Column:
    """The highest or lowest price of each bar, NaN where a part of it is not on record or was told for longer."""
    if sampled is None:
        return np.full(len(closed_at), np.nan)
    interval, rows = sampled
    began_at = _instants(rows["opened_at"])
    place = np.searchsorted(closed_at, began_at + interval.ns)
    inside = np.flatnonzero(place < len(closed_at))
    inside = inside[began_at[inside] >= opened_at[place[inside]]]
    reach, start = (np.maximum, -np.inf) if column == "high" else (np.minimum, np.inf)
    found = np.full(len(closed_at), start)
    reach.at(found, place[inside], rows[column].to_numpy()[inside])
    parts = np.bincount(place[inside], minlength=len(closed_at))
    return np.where(parts * interval.ns == closed_at - opened_at, found, np.nan)


def _instants(values: pl.Series) -> Instants:
    return values.to_physical().to_numpy() * MILLISECOND
