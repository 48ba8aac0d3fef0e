"""Which coins were the most traded as of each date, from what was known before it; coins that died later included.

A coin's volume is close x volume, summed over its daily bars of the 30 days before the date. A coin counts only
where it traded on the very day before. Candidates are perpetuals quoted in USDT, other than stable coins and
indices. Nothing after a date changes its answer, and what could not be seen is said, not guessed.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import polars as pl

from longshort.base.clock import DAY, Interval, format_instant
from longshort.base.errors import StudyError, VenueError
from longshort.base.window import Window, join_windows
from longshort.connect.archive import Archive
from longshort.connect.archive_files import ArchiveSeries, published_until
from longshort.data.lake import INSTANT

TRAILING_DAYS = 30
COINS_AT_ONCE = 8
DAILY = Interval(DAY)
MILLISECOND = 1_000_000
QUOTE = "USDT"
STABLE = re.compile(
    "AEUR|BFUSD|BUSD|DAI|EUR|EURI|FDUSD|FRAX|GBP|GUSD|LUSD|PYUSD|RLUSD|SUSD|TUSD"
    "|USD1|USDC|USDD|USDE|USDP|USDS|USDTB|USDY|USTC?|XUSD"
)
INDICES = re.compile("ALL|BLUEBIRD|BTCDOM|DEFI|FOOTBALL")
COLUMNS = pl.Schema({"as_of": INSTANT, "rank": pl.Int64, "symbol": pl.String, "quote_volume": pl.Float64})
_NO_BARS = pl.DataFrame(schema={"opened_at": INSTANT, "close": pl.Float64, "volume": pl.Float64})


@dataclass(frozen=True, slots=True, kw_only=True)
class Universe:
    """`table`: as_of, rank (from 1), symbol, quote_volume; `unseen`: a sentence per thing that was not seen."""

    table: pl.DataFrame
    unseen: tuple[str, ...] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every coin that was in it on any date, in order."""
        return tuple(self.table["symbol"].unique().sort())


def is_candidate(symbol: str) -> bool:
    """True for a perpetual quoted in USDT that is neither a stable coin nor an index.

    >>> [s for s in ("BTCUSDT", "USDCUSDT", "BTCDOMUSDT", "ETHUSDT_240329", "BTCUSDC") if is_candidate(s)]
    ['BTCUSDT']
    """
    match = re.fullmatch(rf"([^\W_]+){QUOTE}", symbol)
    return bool(match and not STABLE.fullmatch(match[1]) and not INDICES.fullmatch(match[1]))


def rank_by_volume(daily: Mapping[str, pl.DataFrame], as_of: Sequence[int], size: int) -> Universe:
    """The `size` most traded coins as of each date, from daily bars by symbol in the lake's columns.

    A bar counts once it has closed: the one that opened a day before the date is the last.
    """
    if size < 1:
        raise StudyError(f"a universe of {size} coins is empty.", remedy="Ask for one coin or more.")
    days = [
        _of_coin(symbol, rows) for symbol, rows in sorted(daily.items()) if is_candidate(symbol) and len(rows)
    ]
    every = pl.concat(days) if days else _of_coin("", _NO_BARS)
    dates = sorted(set(as_of))
    tables = [_ranked(every, at, size) for at in dates]
    gaps = [sentence for at in dates for sentence in _gaps(every, at)]
    return Universe(
        table=pl.concat([COLUMNS.to_frame(eager=True), *tables]), unseen=tuple(dict.fromkeys(gaps))
    )


async def find_universe(
    archive: Archive,
    as_of: Sequence[int],
    size: int,
    *,
    known: Mapping[str, pl.DataFrame] | None = None,
    now: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Universe:
    """The universe of Binance's USD-M perpetuals, from every contract that its archive ever listed.

    `known` holds daily bars that need not be downloaded, like the lake's; `report` hears how many coins are done.
    """
    reader = _Reader(archive, as_of, now)
    listed = {symbol for symbol in await archive.symbols("um") if is_candidate(symbol)}
    daily = {symbol: rows for symbol, rows in (known or {}).items() if reader.is_enough(rows)}
    asked = sorted(listed - daily.keys())
    for done in range(0, len(asked), COINS_AT_ONCE):
        report(done, len(asked))
        some = asked[done : done + COINS_AT_ONCE]
        daily |= zip(some, await _together([reader.read(symbol) for symbol in some]), strict=True)
    report(len(asked), len(asked))
    universe = rank_by_volume(daily, as_of, size)
    return Universe(table=universe.table, unseen=(*reader.unseen, *universe.unseen))


class _Reader:
    """Daily bars of the days that count for some dates."""

    def __init__(self, archive: Archive, as_of: Sequence[int], now: int) -> None:
        self.wanted = join_windows(_trailing(at) for at in as_of)
        self.unseen: list[str] = []
        self._archive = archive
        self._now = now
        end_at = published_until(self._series("BTCUSDT"), now)
        if self.wanted and self.wanted[-1].to_at > end_at:
            raise VenueError(
                f"its daily bars end at {format_instant(end_at)}.",
                where="Binance's archive",
                remedy="Ask as of that date or before.",
            )

    def is_enough(self, rows: pl.DataFrame) -> bool:
        """True where bars of every day that counts are among the rows."""
        inside = [rows.filter(_within(window)) for window in self.wanted]
        days = [(window.to_at - window.from_at) // DAY for window in self.wanted]
        return [some["opened_at"].n_unique() for some in inside] == days

    async def read(self, symbol: str) -> pl.DataFrame:
        """What the archive has; files that cannot be used are noted."""
        series = self._series(symbol)
        found = [series.empty()]
        for window in self.wanted:
            async with aclosing(self._archive.chunks(series, window, self._now)) as chunks:
                async for chunk in chunks:
                    found.append(chunk.rows)
                    self.unseen += chunk.refused
        return pl.concat(found)

    @staticmethod
    def _series(symbol: str) -> ArchiveSeries:
        return ArchiveSeries(market="um", symbol=symbol, kind="bars", interval=DAILY)


def _of_coin(symbol: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        pl.lit(symbol).alias("symbol"),
        "opened_at",
        (pl.col("close") * pl.col("volume")).alias("quote_volume"),
    )


def _ranked(days: pl.DataFrame, at: int, size: int) -> pl.DataFrame:
    """One date's coins; equal volumes in the order of their names."""
    trailing = _trailing(at)
    last = pl.col("opened_at") == _instant(trailing.to_at - DAY)
    traded = (last & (pl.col("quote_volume") > 0)).any()
    coins = (
        days.filter(_within(trailing))
        .group_by("symbol")
        .agg(pl.col("quote_volume").sum(), traded.alias("traded"))
        .filter("traded")
        .sort(["quote_volume", "symbol"], descending=[True, False])
        .head(size)
        .with_row_index("rank", offset=1)
    )
    return coins.with_columns(_instant(at).alias("as_of")).select(
        pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()
    )


def _gaps(days: pl.DataFrame, at: int) -> list[str]:
    """A sentence per coin whose days before a date have holes, or end before it."""
    trailing = _trailing(at)
    spans = (
        days.filter(_within(trailing))
        .group_by("symbol", maintain_order=True)
        .agg(
            ((_instant(trailing.to_at) - pl.col("opened_at").min()).dt.total_days() - pl.len()).alias("lost"),
            (pl.col("opened_at").max() < _instant(trailing.to_at - DAY)).alias("ended"),
        )
        .filter(pl.col("lost") > 0)
    )
    date = format_instant(at)
    return [
        f"{symbol}: {lost} of its last days before {date} are not on record"
        + (", the very last among them: it was left out." if ended else ".")
        for symbol, lost, ended in spans.iter_rows()
    ]


def _trailing(at: int) -> Window:
    """The days that count for a date."""
    midnight_at = at // DAY * DAY
    return Window(midnight_at - TRAILING_DAYS * DAY, midnight_at)


def _within(window: Window) -> pl.Expr:
    return pl.col("opened_at").is_between(_instant(window.from_at), _instant(window.to_at), closed="left")


def _instant(at: int) -> pl.Expr:
    return pl.lit(at // MILLISECOND).cast(INSTANT)


async def _together(reads: Iterable[Coroutine[Any, Any, pl.DataFrame]]) -> list[pl.DataFrame]:
    """All of them, or the first error with none left running."""
    tasks = [asyncio.create_task(read) for read in reads]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
