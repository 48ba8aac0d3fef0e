"""The market's past on one grid: every coin, every bar, and what funding was settled at each close.

A row is usable at its `closed_at`. Absent bars stay absent: NaN prices and `present` False. Funding that is
not on record stays unknown: `funding_covered` False. Nothing here fills, repairs or looks ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from longshort.base.calendar import AlwaysOpen, Calendar
from longshort.base.clock import Interval, format_instant
from longshort.base.files import digest
from longshort.base.instrument import Instrument

Grid = Float64[np.ndarray, "time asset"]
Mask = Bool[np.ndarray, "time asset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Closed bars of several coins; every array has one row per closing instant and one column per coin.

    `funding_rate` is the sum of the rates settled in the bar that ends at that close (fraction of notional,
    positive: longs pay shorts), NaN where none was. `funding_covered` is True where the record has no hole.
    `listed` is True from a coin's first bar to its last.
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

    @property
    def symbols(self) -> tuple[str, ...]:
        """The coins, in column order."""
        return tuple(i.symbol for i in self.instruments)

    def __len__(self) -> int:
        return len(self.closed_at)

    @property
    def grid_row(self) -> Int64[np.ndarray, " time"]:
        """The absolute row number of each close: the same however much history is at hand."""
        return self.calendar.rows(self.closed_at, self.interval)

    @property
    def bars_per_year(self) -> float:
        """How many bars of this interval a year has."""
        return self.calendar.bars_per_year(self.interval)

    def __getitem__(self, rows: slice) -> "Bars":
        """The same market between two rows, without a copy."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name in _BY_TIME}
        return replace(self, **arrays)

    def coins(self, chosen: Sequence[int]) -> "Bars":
        """The same market with some of its coins, by column."""
        arrays = {name: getattr(self, name)[:, list(chosen)] for name in _BY_TIME if name != "closed_at"}
        return replace(self, instruments=tuple(self.instruments[a] for a in chosen), **arrays)

    def until(self, instant: int) -> "Bars":
        """The bars that had closed by an instant."""
        return self[: int(np.searchsorted(self.closed_at, instant, side="right"))]

    def digest(self) -> str:
        """A hash of every value, the same on every machine."""
        arrays = [getattr(self, name) for name in _BY_TIME]
        return digest(self.venue, str(self.interval), *self.symbols, *arrays)

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


_PRICES = ("open", "high", "low", "close", "volume")
_BY_TIME = ("closed_at", *_PRICES, "present", "listed", "funding_rate", "funding_covered")
