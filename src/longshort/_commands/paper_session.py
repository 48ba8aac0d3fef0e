"""A paper account at its study's venue: closed rows and opening prices in, one close after another, until stopped.

A venue that is away is waited for. What closed while nobody looked goes through features, network and account, but is
not traded on any more.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

import numpy as np

from longshort._commands.paper_account import open_account
from longshort._commands.paper_desk import HEARTBEAT, STOP, paper_folder
from longshort._commands.paper_purse import take_transfer
from longshort._commands.terminal import note
from longshort._commands.watch import KEPT_CONTEXTS, Watch
from longshort.base.clock import SECOND, Interval, format_instant
from longshort.base.errors import DataError, VenueError
from longshort.base.files import write_json
from longshort.base.journal import AccountSeen, FileJournal, Session
from longshort.base.settings import Study
from longshort.connect.exchange import Exchange
from longshort.connect.listing import Listing, resolve
from longshort.connect.notify import Notifier
from longshort.connect.opening import opening_price
from longshort.connect.retry import Refusal
from longshort.data.closing import Close, Closing, Patience
from longshort.data.lake import Lake
from longshort.data.market import find_lake
from longshort.data.tail import Tail
from longshort.data.wish import Wish
from longshort.policy.limits.switch import KillSwitch
from longshort.study.arming.gate import objections, told
from longshort.study.arming.papers import papers
from longshort.study.mood import with_news
from longshort.trading.paper.account import PaperAccount
from longshort.trading.paper.accounting import contracts
from longshort.trading.paper.diary import Line, open_diary
from longshort.trading.paper.guarded import Circumstances
from longshort.trading.paper.missed import Misses

NOTICES = "notices.jsonl"
LATE_S = 5.0  # a decision that is made later than this after its close is missed
LOOK_S = 0.3  # how soon a command from another terminal is noticed
BEAT_S = 2.0
AWAY_S = 10.0  # between two tries to begin at a venue that is away
STALE_S = 60.0  # a close that is later than this, and nobody has told it: the feed is stale
OPENING_S = 0.5  # between two questions for an opening price

Show = Callable[[Sequence[Line]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a close is waited for, and from when on a decision is missed."""

    patience: Patience | None = None
    late_s: float = LATE_S


class PaperSession:
    """One run of `longshort paper`; `stopping` ends it."""

    def __init__(self, study: Study, exchange: Exchange, show: Show, pace: Pace | None = None) -> None:
        self.study, self.folder = study, paper_folder(study)
        self.stopping = asyncio.Event()
        self.account: PaperAccount | None = None
        self._exchange, self._show, self._pace = exchange, show, pace or Pace()
        self._watch = Watch(study, exchange)
        self._switch = KillSwitch(self.folder)
        self._interval = Interval.parse(study.data.interval)
        self._ahead_ns = self._told_at = 0
        self._listings: dict[str, Listing] = {}
        self._asking: asyncio.Task[None] | None = None
        self.is_live = False
        self._stale = False
        self._said_killed = False

    async def run(self, bars: int = 0) -> None:
        """Trade until stopped, or for so many closes; raise `DataError` where somebody else does already."""
        with open_diary(self.folder) as diary:
            (self.folder / STOP).unlink(missing_ok=True)
            began_at = self._exchange.timing.now()
            await self._prepare()
            self._misses = Misses(began_at + self._ahead_ns, self._pace.late_s)
            notices = FileJournal(self.folder / NOTICES)
            self._notifier = Notifier(self.study.notify, notices, self.study.folder)
            self._papers = papers(self.study)
            self.account = open_account(self.study, self._watch, diary, self._notifier)
            try:
                known = await self.account.start()
                self._greet(known)
                await self._until_stopped(self.account, bars)
                self._part(self.account)
            finally:
                await self.account.stop()
                self._notifier.close()

    def now(self) -> int:
        """The venue's clock, as far as it is known."""
        return self._exchange.timing.now() + self._ahead_ns

    async def _prepare(self) -> None:
        """Lake, model and listings; waits for a venue that is away."""
        while True:
            try:
                await self._watch.prepare()
                self._listings = await self._exchange.listings()
                self._ahead_ns = await self._exchange.server_now() - self._exchange.timing.now()
            except Refusal:
                raise
            except VenueError as error:
                note(f"{error} Trying again in {AWAY_S:g} s.")
                await self._exchange.timing.sleep(AWAY_S)
            else:
                return

    async def _until_stopped(self, account: PaperAccount, bars: int) -> None:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, self.stopping.set)
        account.ask = self._circumstances
        self.is_live = True
        work = [asyncio.ensure_future(one) for one in (self._trade(account, bars), self._look(account))]
        work.append(asyncio.ensure_future(self._stop_asked()))
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(one)
            asking = [self._asking] if self._asking else []
            for task in (*work, *asking):
                task.cancel()
            await asyncio.gather(*work, *asking, return_exceptions=True)
        for task in done:
            task.result()

    async def _stop_asked(self) -> None:
        await self.stopping.wait()

    async def _trade(self, account: PaperAccount, bars: int) -> None:
        watch = self._watch
        after = account.closed_to
        behind = max(0, self.now() - after) // self._interval.ns
        lake, kept = (
            Lake(find_lake(self.study.data.lake, self.study.folder)),
            KEPT_CONTEXTS * watch.trained.context_rows,
        )
        tail = Tail(lake, self.study.data, watch.bars, rows=kept + behind)
        wish = _with_funding(watch.wish, tail)
        closing = Closing(self._exchange, tail, wish, lake=lake, patience=self._pace.patience, say=note)
        done = 0
        self._misses.wait(self.now())
        async with aclosing(closing.closes(after)) as closes:
            async for close in closes:
                self._ahead_ns = closing.now() - self._exchange.timing.now()
                self._on_close(account, close, tail)
                self._misses.wait(self.now())
                done += 1
                if done == bars:
                    return

    def _on_close(self, account: PaperAccount, close: Close, tail: Tail) -> None:
        bars = with_news(tail.lay(), self.study)
        t = int(np.searchsorted(bars.closed_at, close.closed_at))
        if t == len(bars) or bars.closed_at[t] != close.closed_at:
            raise DataError(f"the bars in memory do not have the close of {format_instant(close.closed_at)}.")
        past = None
        if close.changed_at is not None:
            past = bars[int(np.searchsorted(bars.closed_at, close.changed_at)) : t]
        self._told_at = close.known_at
        account.on_row(bars[t : t + 1], past)
        self._tell(account)
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.ensure_future(self._ask_openings(account, close.closed_at))

    async def _ask_openings(self, account: PaperAccount, after: int) -> None:
        """Ask for opening prices until all that are awaited are known; else the next close tells them."""
        found: dict[str, float] = {}
        while awaited := account.awaited:
            for symbol in awaited:
                listing = resolve(self._listings, symbol)
                price = await opening_price(self._exchange, listing, self._interval, after)
                if price is not None:
                    found[symbol] = price
            if account.closed_to == after and set(found) >= set(awaited):
                account.on_opening({symbol: found[symbol] for symbol in awaited})
                self._tell(account)
                return
            await asyncio.sleep(OPENING_S)

    def _circumstances(self, closed_at: int) -> Circumstances:
        pulled = self._switch.read()
        return Circumstances(
            missed=self._misses.why(closed_at, self._told_at, self.now()),
            killed=pulled.words if pulled else "",
            rearmed_at=self._switch.rearmed_at,
            expires_at=self._papers.expires_at,
        )

    def _tell(self, account: PaperAccount) -> None:
        lines, account.said = account.said, []
        self._show(lines)
        for line in lines:
            if line["kind"] == "decided":
                gross = sum(abs(position["notional"]) for position in line["positions"])
                self._notifier.append(AccountSeen(line["closed_at"], line["equity"], gross))

    async def _look(self, account: PaperAccount) -> None:
        """Notice commands from another terminal and a feed that is stale; show that the session lives."""
        beats = 0.0
        while True:
            if (self.folder / STOP).exists():
                self.stopping.set()
            pulled = self._switch.read()
            if pulled and not self._said_killed:
                account.note(Session(self.now(), "flattens", f"{pulled.words}: at the next opening price"))
                note(f"Told to be flat, {pulled.words}: positions are closed at the next opening price.")
            self._said_killed = pulled is not None
            take_transfer(self.folder, account)
            self._feed_is(account)
            beats -= LOOK_S
            if beats <= 0.0:
                beats = BEAT_S
                self._beat(account)
            await asyncio.sleep(LOOK_S)

    def _feed_is(self, account: PaperAccount) -> None:
        last_at = account.closed_to
        late_s = (self.now() - last_at - self._interval.ns) / SECOND
        if (late_s > STALE_S) == self._stale:
            return
        self._stale = late_s > STALE_S
        what = "feed is stale" if self._stale else "feed is back"
        account.note(Session(self.now(), what, f"the last close is that of {format_instant(last_at)}"))
        note(f"The {what}: the last close is that of {format_instant(last_at)}.")

    def _beat(self, account: PaperAccount) -> None:
        last_at = account.closed_to
        beat = {
            "pid": os.getpid(),
            "at": self.now(),
            "last_at": last_at,
            "lag_s": max(0.0, (self.now() - last_at - self._interval.ns) / SECOND),
            "stale": self._stale,
        }
        with suppress(DataError):  # a full disk is told by the journal
            write_json(self.folder / HEARTBEAT, beat)

    def _greet(self, known: int) -> None:
        account = self.account
        assert account is not None, "opened before"
        what = "resumed" if known else "started"
        detail = f"{account.closes} closes on record" if known else f"model {self._watch.trained.name}"
        account.note(Session(self.now(), what, detail))
        if account.snapshots.refused:
            note(f"The snapshot was not used, the whole journal was replayed: {account.snapshots.refused}")
        account.said = []
        last = format_instant(account.closed_to)
        note(
            f"Paper {what}: {len(self._watch.bars.symbols)} coins of {self._watch.wish.venue}, after {last}."
        )
        note(f"Journal: {self.folder}; `longshort status`, `stop` and `flatten` work from another terminal.")
        self._warn(account)

    def _warn(self, account: PaperAccount) -> None:
        """Show what speaks for the model and what against it; trading on paper goes on all the same."""
        held, now = self._papers, self.now()
        for line in told(held, now):
            note(line)
        for one in objections(held, now):
            account.note(Session(now, "objection", str(one)))

    def _part(self, account: PaperAccount) -> None:
        held = [
            f"{coin.symbol} {contracts(coin, float(account.books.desk.held['lots'][coin.asset])):+g}"
            for coin in account.books.coins
            if account.books.desk.held["lots"][coin.asset]
        ]
        what = ", ".join(held) or "none is open"
        account.note(Session(self.now(), "stopped", f"positions stay as they are: {what}"))
        note(f"Stopped. Positions stay as they are: {what}. The same command goes on from here.")


def _with_funding(wish: Wish, tail: Tail) -> Wish:
    """What is followed: what the features read, and the funding that the account pays."""
    series = [one for symbol in wish.symbols if (one := tail.of(symbol, "funding"))]
    known_to = [at for one in series if (at := tail.last_at(one)) >= 0]
    measures = tuple(dict.fromkeys((*wish.measures, "funding")))
    return replace(wish, measures=measures, since_at=min([wish.since_at, *known_to]))
