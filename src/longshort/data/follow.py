"""Keeps the lake current: bars as they close, and everything else once an hour.

A streamed bar is kept at once. Once an hour, and before leaving, the record is asked for the same stretch: where it
says otherwise it counts, and that is counted. Funding, marks and open interest come from the record in that round.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace

from longshort.base.clock import HOUR, SECOND, Interval
from longshort.base.window import Window, join_windows
from longshort.connect.exchange import Exchange
from longshort.connect.follow import follow_bars, unless_refused
from longshort.connect.listing import Listing, resolve
from longshort.connect.pages import page, span
from longshort.data.fetch import fetch, together
from longshort.data.lake import Lake, Series
from longshort.data.staging import Staging
from longshort.data.wish import Wish

ROUND = HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What one coin received since the last word; `corrected` rows the record told otherwise than the stream."""

    symbol: str
    bars: int
    streamed: int
    corrected: int
    last_at: int


Told = Callable[[Kept], None]


async def follow(wish: Wish, lake: Lake, exchange: Exchange, told: Told, *, round_ns: int = ROUND) -> None:
    """Fetch what is missing, then keep it up until cancelled; raise as `fetch` does."""
    wish = replace(wish, until_at=None)
    await fetch(wish, lake, exchange, _silent)
    listings = await exchange.listings()
    followers = [_Follower(exchange, resolve(listings, symbol), wish, lake, told) for symbol in wish.symbols]
    others = replace(wish, measures=tuple(measure for measure in wish.measures if measure != "bars"))

    async def rounds() -> None:
        while True:
            await asyncio.sleep(round_ns / SECOND)
            with unless_refused():  # the next round asks for the same
                await _settle_all(followers)
                await fetch(others, lake, exchange, _silent)

    with ExitStack() as locks:
        for follower in followers:
            locks.enter_context(lake.lock(follower.series))
        try:
            await together([*(follower.bars() for follower in followers), rounds()])
        finally:
            await asyncio.shield(_settle_all(followers))


class _Follower:
    """The bars of one coin."""

    def __init__(self, exchange: Exchange, listing: Listing, wish: Wish, lake: Lake, told: Told) -> None:
        self._exchange = exchange
        self._listing = listing
        self._interval: Interval = wish.interval
        self._told = told
        self.series = Series.bars(wish.venue, wish.interval, listing.instrument.symbol)
        self._staging = Staging(lake, self.series)
        self._from_at = max((w.to_at for w in self._staging.windows()), default=wish.since_at)
        self._unsettled: list[Window] = []

    async def bars(self) -> None:
        """Keep every bar that closes."""
        coming = follow_bars(self._exchange, self._listing, self._interval, self._from_at)
        async with aclosing(coming) as arrivals:
            async for arrival in arrivals:
                self._staging.put([arrival.window], arrival.rows)
                if arrival.streamed:
                    self._unsettled.append(arrival.window)
                self._tell(bars=len(arrival.rows), last_at=arrival.window.to_at, streamed=arrival.streamed)

    async def settle(self) -> None:
        """Compare what was streamed with the record, let the record count, and fold all into the series."""
        self.fold()
        longest = span(self._exchange, "bars", self._interval)
        left = [part for whole in join_windows(self._unsettled) for part in whole.split(longest)]
        self._unsettled = []
        try:
            while left:
                record = await page(self._exchange, "bars", self._listing, self._interval, left[0])
                self._staging.put([left[0]], record)
                corrected = self.fold()
                if corrected:
                    self._tell(bars=0, corrected=corrected, last_at=left[0].to_at)
                del left[0]
        finally:
            self._unsettled += left  # what the venue did not answer is asked in the next round

    def fold(self) -> int:
        """Put what came into the series; how many rows that changed."""
        return self._staging.fold(replace=True).changed

    def _tell(self, *, bars: int, last_at: int, streamed: bool = False, corrected: int = 0) -> None:
        symbol, from_stream = self.series.symbol, bars if streamed else 0
        self._told(Kept(symbol=symbol, bars=bars, streamed=from_stream, corrected=corrected, last_at=last_at))


async def _settle_all(followers: list[_Follower]) -> None:
    for follower in followers:
        follower.fold()
    for follower in followers:
        await follower.settle()


def _silent(*_: object) -> None:
    """Progress is of no interest while following."""
