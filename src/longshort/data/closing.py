"""Closes as they happen, each once and in order: handed on when every coin has told its bar, or when time is up.

Bars come from the stream; what it has not told shortly after a close is asked from the record, with whatever else the
features read. A close never waits for one coin longer than `Patience.deadline_s`: that coin counts as absent then, and
what it tells later changes the past, which the next close says. A venue that is away is waited for. Nothing is early:
a bar counts once the venue says that it is over.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import MappingProxyType

from longshort.base.clock import HOUR, MINUTE, SECOND
from longshort.base.errors import DataError, VenueError
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.follow import follow_bars, unless_refused
from longshort.connect.listing import Listing, resolve
from longshort.connect.pages import page, span
from longshort.data.fetch import fetch
from longshort.data.lake import Lake, Measure, Series
from longshort.data.tail import Tail
from longshort.data.wish import Wish

POLL_S = 0.2  # how soon a clock that was moved is noticed
AGAIN_S = 0.3  # between two questions for the same bar
LEAVE_S = 5.0  # for the last fetch, when all is over
CLOCK_EVERY_S = 600.0  # how often the venue's clock is read
# what belongs to a close may be stamped with it, or a little later
AFTER: Mapping[Measure, int] = MappingProxyType({"funding": MINUTE, "open-interest": 1})

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds after a close: when the record is asked, when the close is handed on without who is missing."""

    ask_s: float = 0.6
    deadline_s: float = 1.6
    keep_every_s: float = HOUR / SECOND  # how often the lake is brought up to date


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """A closing instant whose bars are there, and when they were by the venue's clock.

    `missing` are coins that trade but have not told this bar. Of what was handed on before, everything from the close
    `changed_at` on has to be read again; None: nothing has changed.
    """

    closed_at: int
    known_at: int
    missing: tuple[str, ...]
    changed_at: int | None

    @property
    def delay_s(self) -> float:
        """Seconds from the close until its bars were there."""
        return (self.known_at - self.closed_at) / SECOND


async def bring_up(exchange: Exchange, lake: Lake, wish: Wish, say: Say) -> None:
    """Fetch what the lake lacks; where another process is writing it, say so and leave it to that one."""
    try:
        await fetch(wish, lake, exchange, _silent)
    except DataError as error:
        say(f"The lake is left as it is: {error}")


class Closing:
    """Follows the coins of a tail at their venue; `measures` are what the features read beside bars."""

    def __init__(
        self,
        exchange: Exchange,
        tail: Tail,
        wish: Wish,
        *,
        lake: Lake,
        patience: Patience | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self._exchange = exchange
        self._tail = tail
        self._wish = wish
        self._lake = lake
        self._patience = patience or Patience()
        self._say = say
        self._step = tail.interval.ns
        self._listings: dict[str, Listing] = {}
        self._told_to: dict[str, int] = {}
        self._handed_to = 0
        self._changed_at: int | None = None
        self._news = asyncio.Event()
        self._ahead = 0

    async def closes(self, from_at: int) -> AsyncGenerator[Close]:
        """Every close after `from_at`, for ever; raise `VenueError` where the venue refuses for good."""
        await self._begin()
        self._handed_to = from_at
        work = [asyncio.ensure_future(self._follow(symbol)) for symbol in self._listings]
        work += [asyncio.ensure_future(task) for task in (self._keep(), self._watch_clock())]
        try:
            while True:
                yield await self._next(self._handed_to + self._step, work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            with suppress(VenueError, TimeoutError):  # what is not fetched now is fetched next time
                async with asyncio.timeout(LEAVE_S):
                    await bring_up(self._exchange, self._lake, self._wish, self._say)

    def now(self) -> int:
        """The venue's clock, as far as it is known."""
        return self._exchange.timing.now() + self._ahead

    async def _begin(self) -> None:
        listings = await self._exchange.listings()
        for symbol in self._wish.symbols:
            listing = resolve(listings, symbol)
            if listing.active:
                self._listings[symbol] = listing
                self._told_to[symbol] = self._tail.last_at(self._bars_of(symbol)) + self._step
            else:
                self._say(f"{symbol} is not traded any more: it is absent.")
        await self._read_clock()

    async def _next(self, closed_at: int, work: Sequence[asyncio.Future[None]]) -> Close:
        """Wait until a close can be handed on."""
        asking: asyncio.Future[None] | None = None
        try:
            while not self._is_ready(closed_at, asking):
                for task in work:
                    if task.done():
                        task.result()  # raises what ended it
                if asking is None and self.now() >= closed_at + int(self._patience.ask_s * SECOND):
                    asking = asyncio.ensure_future(self._ask(closed_at))
                await self._wait()
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        changed_at, self._changed_at = self._changed_at, None
        self._handed_to = closed_at
        return Close(
            closed_at=closed_at, known_at=self.now(), missing=self._missing(closed_at), changed_at=changed_at
        )

    def _is_ready(self, closed_at: int, asking: "asyncio.Future[None] | None") -> bool:
        if self._tail.closed_to < closed_at:
            return False  # nobody has told anything: the venue is away, or nothing has traded yet
        if self.now() >= closed_at + int(self._patience.deadline_s * SECOND):
            return True
        others_told = not self._others or (asking is not None and asking.done())
        return others_told and all(told_to >= closed_at for told_to in self._told_to.values())

    async def _wait(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._news.wait()

    async def _follow(self, symbol: str) -> None:
        """Take every bar of one coin as it closes."""
        listing, series = self._listings[symbol], self._bars_of(symbol)
        coming = follow_bars(self._exchange, listing, self._tail.interval, self._told_to[symbol])
        async with aclosing(coming) as arrivals:
            async for arrival in arrivals:
                self._take(self._tail.put(series, arrival.rows))
                self._told_to[symbol] = max(self._told_to[symbol], arrival.window.to_at)
                self._news.set()

    def _take(self, changed_at: int | None) -> None:
        """Remember the first close that has to be read again."""
        if changed_at is not None and changed_at <= self._handed_to:
            self._changed_at = min(changed_at, self._changed_at or changed_at)

    async def _ask(self, closed_at: int) -> None:
        """Ask the record for what is missing at a close, until it is there."""
        questions = [self._ask_bar(symbol, closed_at) for symbol in self._missing(closed_at)]
        others = [self._ask_other(symbol, m, closed_at) for symbol in self._listings for m in self._others]
        await asyncio.gather(*questions, *others)

    async def _ask_bar(self, symbol: str, closed_at: int) -> None:
        series, window = self._bars_of(symbol), Window(closed_at - self._step, closed_at)
        while self._told_to[symbol] < closed_at:
            with unless_refused():
                listing = self._listings[symbol]
                rows = await page(self._exchange, "bars", listing, self._tail.interval, window)
                self._take(self._tail.put(series, rows))
                if len(rows):
                    self._told_to[symbol] = max(self._told_to[symbol], closed_at)
                    self._news.set()
                    return
            await asyncio.sleep(AGAIN_S)

    async def _ask_other(self, symbol: str, measure: Measure, closed_at: int) -> None:
        """Once: what is told a little later is unknown at this close, and known at the next."""
        series = self._tail.of(symbol, measure)
        if series is None:
            return
        since = max(
            self._tail.last_at(series) + 1, closed_at + 1 - span(self._exchange, measure, series.interval)
        )
        window = Window(since, closed_at + AFTER.get(measure, 0))
        with unless_refused():
            rows = await page(self._exchange, measure, self._listings[symbol], series.interval, window)
            self._take(self._tail.put(series, rows))

    async def _keep(self) -> None:
        """Bring the lake up to date now and then; where the record differs from the stream, the record counts."""
        while True:
            await asyncio.sleep(self._patience.keep_every_s)
            with unless_refused():
                await bring_up(self._exchange, self._lake, self._wish, self._say)
            self._take(self._tail.refresh())

    async def _read_clock(self) -> None:
        before = self._exchange.timing.now()
        told = await self._exchange.server_now()
        after = self._exchange.timing.now()
        self._ahead = told - (before + after) // 2

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_EVERY_S)
            with unless_refused():
                await self._read_clock()

    def _missing(self, closed_at: int) -> tuple[str, ...]:
        """Coins that trade and have not told the bar of a close."""
        return tuple(symbol for symbol, told_to in self._told_to.items() if told_to < closed_at)

    def _bars_of(self, symbol: str) -> Series:
        series = self._tail.of(symbol, "bars")
        assert series, f"no bars of {symbol} in the tail"
        return series

    @property
    def _others(self) -> tuple[Measure, ...]:
        return tuple(measure for measure in self._wish.measures if measure != "bars")


def _silent(*_: object) -> None:
    """Progress is of no interest while following."""
