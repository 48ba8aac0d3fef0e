"""The market's past on one grid: every coin, every bar, and what funding was settled at each close.

A row is usable at its `closed_at`. Absent bars stay absent: NaN prices and `present` False. Funding that is
not on record stays unknown: `funding_covered` False. Nothing here fills, repairs or looks ahead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from longshort.base.calendar import AlwaysOpen, Calendar
from longshort.base.clock import Interval, format_instant
from longshort.base.files import digest
from longshort.base.instrument import Instrument
from longshort.data.certificate.findings import Grade, count_of, worst_grade

Grid = Float64[np.ndarray, "time asset"]
Mask = Bool[np.ndarray, "time asset"]
Column = Float64[np.ndarray, " time"]
Gauge = Literal[
    "mark_close",
    "mark_high",
    "mark_low",
    "index_close",
    "spot_close",
    "open_interest",
    "news_count",
    "news_score",
    "news_square",
    "mood",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A series of the lake that bars were made of: what its certificate says of it, and the hash of its rows.

    `missing` counts rows that are not there between the first and the last; a broken series is here only because
    the study accepts it by name.
    """

    symbol: str
    kind: str
    grade: Grade
    rows: int
    missing: int
    findings: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What cleaning did to one coin for one reason: how many bars, and the closes of the first few."""

    symbol: str
    reason: str
    bars: int
    closed_at: tuple[int, ...]

    def __str__(self) -> str:
        places = ", ".join(format_instant(at) for at in self.closed_at[:3])
        more = ", ..." if self.bars > 3 else ""
        return f"{self.symbol}: {count_of(self.bars, 'bar')} {self.reason} ({places}{more})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Closed bars of several coins; every array has one row per closing instant and one column per coin.

    `funding_rate` is the sum of the rates settled in the bar that ends at that close (fraction of notional,
    positive: longs pay shorts), NaN where none was. `funding_covered` is True where the record has no hole.
    `listed` is True from a coin's first trade on, for as long as it was known to trade: it ends once trading has
    stopped for a week, not before anybody could tell. `gauges` are what else was measured, where any of it is on
    record: the last mark or index price of a bar, the close of the spot market, the latest open interest sampled in it,
    what was said in it. `origins` and `changes` say what the bars were made of and what was done to them; they are no
    values, and in no hash.
    """

    venue: str
    interval: Interval
    instruments: tuple[Instrument, ...]
    closed_at: Int64[np.ndarray, " time"]
    open: Grid
    high: Grid
    low: Grid
    close: Grid
    volume: Grid
    present: Mask
    listed: Mask
    funding_rate: Grid
    funding_covered: Mask
    calendar: Calendar = field(default_factory=AlwaysOpen)
    gauges: Mapping[Gauge, Grid] = field(default_factory=dict[Gauge, Grid])
    origins: tuple[Origin, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        """The coins, in column order."""
        return tuple(i.symbol for i in self.instruments)

    def __len__(self) -> int:
        return len(self.closed_at)

    @property
    def mark_close(self) -> Grid:
        """The mark price at each close, NaN where none is on record."""
        return self.gauge("mark_close")

    @property
    def index_close(self) -> Grid:
        """The index price at each close, NaN where none is on record."""
        return self.gauge("index_close")

    @property
    def open_interest(self) -> Grid:
        """The latest open interest sampled in each bar (base units, inverse: contracts), NaN where none was."""
        return self.gauge("open_interest")

    @property
    def opened_at(self) -> Int64[np.ndarray, " time"]:
        """When each bar opened; a stock's does long after the close before it."""
        return self.calendar.opens(self.closed_at, self.interval)

    @property
    def grid_row(self) -> Int64[np.ndarray, " time"]:
        """The absolute row number of each close: the same however much history is at hand."""
        return self.calendar.rows(self.closed_at, self.interval)

    @property
    def bars_per_year(self) -> float:
        """How many bars of this interval a year has."""
        return self.calendar.bars_per_year(self.interval)

    @property
    def grade(self) -> Grade | None:
        """The worst grade of the series that these bars were made of; None where they come from no lake."""
        return worst_grade(o.grade for o in self.origins) if self.origins else None

    @property
    def traded(self) -> Mask:
        """True where a bar is there and somebody traded in it, or its price moved."""
        traded = self.present.copy()
        for a in range(traded.shape[1]):
            rows = np.flatnonzero(self.present[:, a])
            traded[rows, a] = ~silent_rows(*(getattr(self, name)[rows, a] for name in _PRICES))
        return traded

    @property
    def ended(self) -> Mask:
        """True after a coin's last trade at hand: known with hindsight only, so no feature and no rule may read it.

        Books may: what has stopped trading for good settles no funding, so none of it is missing.
        """
        return ~np.logical_or.accumulate(self.traded[::-1], axis=0)[::-1]

    def __getitem__(self, rows: slice) -> "Bars":
        """The same market between two rows, without a copy."""
        arrays = {name: getattr(self, name)[rows] for name in _BY_TIME}
        return replace(self, gauges={name: grid[rows] for name, grid in self.gauges.items()}, **arrays)

    def coins(self, chosen: Sequence[int]) -> "Bars":
        """The same market with some of its coins, by column."""
        columns = list(chosen)
        arrays = {name: getattr(self, name)[:, columns] for name in _BY_TIME if name != "closed_at"}
        gauges = {name: grid[:, columns] for name, grid in self.gauges.items()}
        kept = {self.symbols[a] for a in columns}
        return replace(
            self,
            instruments=tuple(self.instruments[a] for a in columns),
            gauges=gauges,
            origins=tuple(o for o in self.origins if o.symbol in kept),
            changes=tuple(c for c in self.changes if c.symbol in kept),
            **arrays,
        )

    def until(self, instant: int) -> "Bars":
        """The bars that had closed by an instant."""
        return self[: int(np.searchsorted(self.closed_at, instant, side="right"))]

    def digest(self) -> str:
        """A hash of every value, the same on every machine."""
        arrays = [getattr(self, name) for name in _BY_TIME]
        gauges = [part for name in sorted(self.gauges) for part in (name, self.gauges[name])]
        return digest(self.venue, str(self.interval), *self.symbols, *arrays, *gauges)

    def to_polars(self) -> pl.DataFrame:
        """One row per coin and present bar, in time order."""
        time, asset = np.nonzero(self.present)
        columns = {name: getattr(self, name)[time, asset] for name in _PRICES}
        frame = pl.DataFrame(
            {
                "closed_at": self.closed_at[time],
                "symbol": np.asarray(self.symbols, dtype=object)[asset].tolist(),
                **columns,
                "funding_rate": self.funding_rate[time, asset],
            }
        )
        return frame.with_columns(
            pl.from_epoch("closed_at", "ns").dt.cast_time_unit("ms").dt.replace_time_zone("UTC")
        )

    def gauge(self, name: Gauge) -> Grid:
        """What else was measured, by name: NaN where none is on record."""
        return self.gauges[name] if name in self.gauges else np.broadcast_to(np.nan, self.close.shape)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(symbol)}</td><td>{self.present[:, a].sum():,}</td>"
            f"<td>{(self.listed[:, a] & ~self.present[:, a]).sum():,}</td></tr>"
            for a, symbol in enumerate(self.symbols)
        )
        span = (
            f"{format_instant(int(self.closed_at[0]))} to {format_instant(int(self.closed_at[-1]))}"
            if len(self)
            else ""
        )
        return (
            f"<table><caption>{escape(self.venue)}, {self.interval} bars, {span}</caption>"
            f"<tr><th>coin</th><th>bars</th><th>missing</th></tr>{rows}</table>"
        )


def silent_rows(
    opened: Column, high: Column, low: Column, close: Column, volume: Column
) -> Bool[np.ndarray, " time"]:
    """True where nothing was traded and no price moved, the close before included: told at the bar's own close.

    >>> price, volume = np.array([5.0, 5.0, 6.0, 6.0]), np.array([0.0, 2.0, 0.0, 0.0])
    >>> silent_rows(price, price, price, price, volume).tolist()
    [True, False, False, True]
    """
    quiet = (volume == 0.0) & (high == low) & (opened == close)
    return quiet & (close == np.concatenate([close[:1], close[:-1]]))


_PRICES = ("open", "high", "low", "close", "volume")
_BY_TIME = ("closed_at", *_PRICES, "present", "listed", "funding_rate", "funding_covered")
