"""The files of Binance's archive: what each is called, which ones a stretch needs, and what is still missing.

    data/futures/{um|cm}/{monthly|daily}/{folder}/{SYMBOL}/[{interval}/]{SYMBOL}-{interval|folder}-{YYYY-MM[-DD]}.zip

Nothing here touches the network or looks into a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Int64

from longshort.base.clock import DAY, HOUR, MINUTE, SECOND, Interval
from longshort.base.window import Window
from longshort.connect.known_venues import Kind
from longshort.connect.rows import COLUMNS, INSTANT

Market = Literal["um", "cm"]
MARKETS: Mapping[str, Market] = MappingProxyType({"binanceusdm": "um", "binancecoinm": "cm"})
FOLDERS: Mapping[Kind, str] = MappingProxyType(
    {
        "bars": "klines",
        "mark": "markPriceKlines",
        "index": "indexPriceKlines",
        "funding": "fundingRate",
        "open-interest": "metrics",
    }
)
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
MILLISECOND = 1_000_000
SAMPLE = 5 * MINUTE  # between two samples of open interest
LONGEST_CADENCE = 8 * HOUR  # of settlements
PUBLISHED_AFTER = DAY  # a daily file comes up to this long after the day's end
LATE = 5 * MINUTE  # a settlement may come this late


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSeries:
    """One series of the archive; `symbol` is Binance's own, like BTCUSDT, BTCUSD_PERP or BTCUSDT_220325."""

    market: Market
    symbol: str
    kind: Kind
    interval: Interval | None = None

    @property
    def offered(self) -> bool:
        """True where the archive has such series: no bars longer than a day, no interest below 5 minutes."""
        step = self.interval.ns if self.interval else 0
        if self.kind == "funding":
            return True
        if self.kind == "open-interest":
            return step > 0 and step % SAMPLE == 0 and DAY % step == 0
        return self.kind in FOLDERS and str(self.interval) in INTERVALS

    @property
    def columns(self) -> tuple[str, ...]:
        """The lake's columns; the first is the instant."""
        return COLUMNS[self.kind]

    def folder(self, period: Literal["monthly", "daily"]) -> str:
        """Where its monthly or daily files lie; an index belongs to the pair, whatever the contract."""
        name = self.symbol.partition("_")[0] if self.kind == "index" else self.symbol
        within = f"{self.interval}/" if self.kind in ("bars", "mark", "index") else ""
        return f"data/futures/{self.market}/{period}/{FOLDERS[self.kind]}/{name}/{within}"

    def empty(self) -> pl.DataFrame:
        """No rows, in the lake's columns."""
        first, *values = self.columns
        return pl.DataFrame(schema={first: INSTANT, **dict.fromkeys(values, pl.Float64)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """One zip of a series: a calendar month or a day, in `span`."""

    series: ArchiveSeries
    span: Window
    monthly: bool

    @property
    def folder(self) -> str:
        """Where it lies, below the archive's address."""
        return self.series.folder("monthly" if self.monthly else "daily")

    @property
    def name(self) -> str:
        """What it is called, without its folder."""
        return self.path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """Folder and name, below the archive's address.

        >>> series = ArchiveSeries(market="um", symbol="BTCUSDT", kind="bars", interval=Interval.parse("1m"))
        >>> ArchiveFile(series=series, span=Window(0, 31 * DAY), monthly=True).path
        'data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-1970-01.zip'
        """
        kind, symbol, *interval = self.folder.rstrip("/").split("/")[4:]
        opens = datetime.fromtimestamp(self.span.from_at // SECOND, UTC)
        name = "-".join([symbol, *(interval or [kind])])
        return f"{self.folder}{name}-{opens:{'%Y-%m' if self.monthly else '%Y-%m-%d'}}.zip"


def months(window: Window) -> list[Window]:
    """The calendar months that a window touches, whole.

    >>> [(m.to_at - m.from_at) // DAY for m in months(Window(30 * DAY, 60 * DAY))]
    [31, 28, 31]
    """
    found: list[Window] = []
    at = window.from_at
    while at < window.to_at:
        day = datetime.fromtimestamp(at // SECOND, UTC)
        opens = datetime(day.year, day.month, 1, tzinfo=UTC)
        after = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        month = Window(int(opens.timestamp()) * SECOND, int(after.timestamp()) * SECOND)
        found.append(month)
        at = month.to_at
    return found


def published_until(series: ArchiveSeries, now: int) -> int:
    """Up to when the archive can have a series by now: whole months of funding, whole days of the rest.

    >>> series = ArchiveSeries(market="um", symbol="BTCUSDT", kind="funding")
    >>> published_until(series, 45 * DAY) // DAY
    31
    """
    if not series.offered:
        return 0
    if series.kind == "funding":
        return months(Window(now, now + 1))[0].from_at
    return (now - PUBLISHED_AFTER) // DAY * DAY


def month_file(series: ArchiveSeries, window: Window) -> ArchiveFile:
    """The monthly file of the month in which a window begins."""
    return ArchiveFile(series=series, span=months(window)[0], monthly=True)


def day_files(series: ArchiveSeries, windows: tuple[Window, ...]) -> list[ArchiveFile]:
    """The daily files that windows need; a sample of open interest at midnight is in the day before."""
    early = 1 if series.kind == "open-interest" else 0
    step = series.interval.ns if series.interval else 1
    days = {
        day
        for window in windows
        for day in range(
            (window.from_at - early) // DAY, (max(window.from_at, window.to_at - step) - early) // DAY + 1
        )
    }
    return [
        ArchiveFile(series=series, span=Window(day * DAY, (day + 1) * DAY), monthly=False)
        for day in sorted(days)
    ]


def holes(rows: pl.DataFrame, series: ArchiveSeries, window: Window) -> tuple[Window, ...]:
    """The stretches of a window in which bars or samples are missing; rows are sorted and inside it.

    >>> series = ArchiveSeries(market="um", symbol="BTCUSDT", kind="mark", interval=Interval(HOUR))
    >>> [(hole.from_at, hole.to_at // HOUR) for hole in holes(series.empty(), series, Window(0, DAY))]
    [(0, 24)]
    """
    present = rows.get_column(series.columns[0]).to_physical().to_numpy() * MILLISECOND
    if series.interval is None:
        return _late_settlements(present, window)
    step = series.interval.ns
    first = -(-window.from_at // step)
    expected = -(-window.to_at // step) - first
    absent = np.ones(expected + 2, dtype=bool)
    absent[[0, -1]] = False
    absent[present // step - first + 1] = False
    edges = np.flatnonzero(np.diff(absent.astype(np.int8))) + first
    return tuple(
        Window(int(a) * step, min(int(b) * step, window.to_at)) for a, b in edges.reshape(-1, 2).tolist()
    )


def _late_settlements(settled_at: Int64[np.ndarray, " settlement"], window: Window) -> tuple[Window, ...]:
    """Stretches in which a settlement is due even at the longest cadence; every cadence settles at midnight."""
    before = (window.from_at - 1) // LONGEST_CADENCE * LONGEST_CADENCE
    known = np.concatenate([[before], settled_at, [window.to_at]])
    late = np.flatnonzero(np.diff(known) > LONGEST_CADENCE + LATE)
    return tuple(
        Window(max(int(known[i]) + MILLISECOND, window.from_at), int(known[i + 1])) for i in late.tolist()
    )
