"""The last stretch of a study's series, in memory: rows come in as they are told, and bars are laid as in a batch.

It reaches as far back as the slowest cleaning rule looks, so that a row is the same as if the whole lake had been
read. What the lake holds is not changed here.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from longshort.base.clock import DAY, Interval
from longshort.base.errors import DataError
from longshort.base.settings import DataSettings
from longshort.data.bars import Bars
from longshort.data.certificate.cleaning import TRAILING_BARS, clean
from longshort.data.certificate.patterns import dead_bars
from longshort.data.funding import Settlements, settle_on_grid
from longshort.data.lake import Lake, Measure, Series, merge_rows
from longshort.data.market import Columns, columns_of, lay

MILLISECOND = 1_000_000
SPARE_BARS = 512  # bars that may be absent among those that a trailing scale counts
PRICES: tuple[Measure, ...] = (
    "bars",
    "mark",
    "index",
)  # known when their bar is over; samples at their instant
FUNDED_DAYS = 30  # of settlements and samples: more than tells how often they come


class Tail(Lake):
    """The newest rows of the series behind some bars, at least so many; raise `DataError` for what has no venue."""

    def __init__(self, lake: Lake, settings: DataSettings, bars: Bars, *, rows: int = 0) -> None:
        super().__init__(lake.root)
        _refuse_what_cannot_be_followed(settings, bars)
        self.interval: Interval = bars.interval
        self._lake = lake
        self._settings = settings.model_copy(update={"symbols": bars.symbols})
        self._pattern = bars[:0]
        self._reach = max(rows, dead_bars(bars.interval) + TRAILING_BARS + SPARE_BARS) * bars.interval.ns
        self._columns = columns_of(lake, self._settings)
        self._rows = {series: lake.read(series) for series in self._columns.all}
        self._forget()

    def read(self, series: Series, *, verify: bool = True) -> pl.DataFrame:
        """The newest rows of a series."""
        return self._rows[series]

    def of(self, symbol: str, measure: Measure) -> Series | None:
        """A coin's series of a measure; None where the lake has none."""
        return next((s for s in self._rows if (s.symbol, s.measure) == (symbol, measure)), None)

    def last_at(self, series: Series) -> int:
        """When the newest row opened, was settled or sampled; -1 without any."""
        at = self._rows[series].to_series(0).to_physical()
        return int(at[-1]) * MILLISECOND if len(at) else -1

    @property
    def closed_to(self) -> int:
        """The newest close of any coin."""
        return max(self.last_at(series) for series in self._columns.bars) + self.interval.ns

    def put(self, series: Series, rows: pl.DataFrame) -> int | None:
        """Take rows that were told; the first close whose bars read otherwise now, None where none does."""
        old = self._rows[series]
        instant, *values = old.columns
        beside = rows.join(old, on=instant, how="left", suffix="_before")
        differs = pl.any_horizontal(pl.col(v).ne_missing(pl.col(f"{v}_before")) for v in values)
        changed = beside.filter(differs)[instant].to_physical()
        if not len(changed):
            return None
        self._rows[series] = merge_rows(old, rows, where=str(series), replace=True).rows
        if series.interval is None:
            return self._funded_otherwise(old, self._rows[series])
        known_at = int(changed.to_numpy().min()) * MILLISECOND + series.interval.ns * (
            series.measure in PRICES
        )
        return -(-known_at // self.interval.ns) * self.interval.ns

    def refresh(self) -> int | None:
        """Take what the lake holds by now; the first close whose bars read otherwise."""
        floor = self.closed_to - self._reach
        told = [(series, _since(self._lake.read(series), floor)) for series in self._rows]
        changed = [at for series, rows in told if (at := self.put(series, rows)) is not None]
        return min(changed, default=None)

    def _funded_otherwise(self, old: pl.DataFrame, new: pl.DataFrame) -> int | None:
        """The first close at which a settlement is another, or is known to be missing or not."""
        step = self.interval.ns
        closes = np.arange(self.closed_to - self._reach, self.closed_to + 1, step, dtype=np.int64)
        (rate, covered), (rate_now, covered_now) = (
            settle_on_grid(_settlements(rows), closes, self.interval) for rows in (old, new)
        )
        differs = (covered != covered_now) | ~((rate == rate_now) | (np.isnan(rate) & np.isnan(rate_now)))
        return int(closes[differs][0]) if differs.any() else None

    def lay(self) -> Bars:
        """The stretch as bars, cleaned as the study says; a coin without any is absent throughout."""
        self._forget()
        alive = [a for a, series in enumerate(self._columns.bars) if len(self._rows[series])]
        laid = lay(self, _some(self._columns, alive), self._settings)
        return _widened(clean(laid, self._settings.cleaning), alive, self._pattern)

    def _forget(self) -> None:
        """Let go of rows that nothing looks back to."""
        floor = self.closed_to - self._reach
        for series, rows in self._rows.items():
            earlier = 0 if series in self._columns.bars else FUNDED_DAYS * DAY
            self._rows[series] = _since(rows, floor - earlier)


def _since(rows: pl.DataFrame, from_at: int) -> pl.DataFrame:
    return rows.filter(rows.to_series(0).to_physical() >= from_at // MILLISECOND)


def _settlements(rows: pl.DataFrame) -> Settlements:
    settled_at = rows["settled_at"].to_physical().to_numpy() * MILLISECOND
    return Settlements(settled_at=settled_at, rate=rows["rate"].to_numpy())


def _some(columns: Columns, chosen: list[int]) -> Columns:
    return Columns(
        bars=[columns.bars[a] for a in chosen],
        funding=[columns.funding[a] for a in chosen],
        gauges={name: [column[a] for a in chosen] for name, column in columns.gauges.items()},
    )


def _widened(laid: Bars, alive: list[int], pattern: Bars) -> Bars:
    """The bars with columns for coins that have none: long silent, so neither present nor listed."""
    if len(alive) == len(pattern.symbols):
        return replace(laid, instruments=pattern.instruments)
    shape = (len(laid), len(pattern.symbols))

    def wide(narrow: np.ndarray) -> np.ndarray:
        grid = np.full(shape, np.nan) if narrow.dtype == np.float64 else np.zeros(shape, dtype=narrow.dtype)
        grid[:, alive] = narrow
        return grid

    names = ("open", "high", "low", "close", "volume", "present", "listed", "funding_rate", "funding_covered")
    return replace(
        laid,
        instruments=pattern.instruments,
        gauges={name: wide(grid) for name, grid in laid.gauges.items()},
        **{name: wide(getattr(laid, name)) for name in names},
    )


def _refuse_what_cannot_be_followed(settings: DataSettings, bars: Bars) -> None:
    """Raise `DataError` for bars that come from no venue, end on a date, or lean on another market."""
    reasons = {
        "the embedded market has no venue that could be followed.": settings.source != "lake",
        f"data.until ends the study's bars on {settings.until}.": bool(settings.until),
        "stocks come from files and cannot be followed.": bars.calendar.name != "24/7",
        f"the spot bars of {settings.spot_venue!r} are not followed.": bool(settings.spot_venue),
    }
    for reason, applies in reasons.items():
        if applies:
            raise DataError(reason, where="following", remedy=_REMEDY)


_REMEDY = 'Follow a study of perpetuals that were fetched: data.source = "lake", without an end.'
