"""One paper account: everything it is told is on the disk first, and telling it all again gives it back exactly.

Inputs are closed rows, with the rows before them that have changed meanwhile, and opening prices. A decision is on the
disk before its orders can go out, and with it the order counts as sent: it fills at the next opening price even if the
session ends in between. A decision that is not on the disk, or that came too late, was missed, and is never made up
for. Nothing here reads a clock, a venue or a terminal by itself.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.base.journal import Event, Journal, Session, StoodAside
from longshort.data.bars import Bars
from longshort.policy.contract import UNMARGINED
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import FORMAT as LIMITS_FORMAT
from longshort.policy.limits.state import LimitState
from longshort.trading.events import CLOSED, OPENED
from longshort.trading.paper.accounting import decision_line, fill_events
from longshort.trading.paper.diary import Diary, Line, plain_of
from longshort.trading.paper.events import AFTER_CLOSE, LiveClosed, LiveOpened
from longshort.trading.paper.growing import GrowingBooks
from longshort.trading.paper.guarded import Circumstances, Guarded, Lasting, Mind
from longshort.trading.paper.missed import CUT_OFF
from longshort.trading.paper.node import PaperNode
from longshort.trading.paper.past import Past
from longshort.trading.paper.rehearsal import rehearse
from longshort.trading.paper.reopening import reopen_positions
from longshort.trading.paper.rows import arrays_of, bars_of, differing, from_line, to_line
from longshort.trading.paper.snapshot import Snapshot, Snapshots
from longshort.trading.paper.terms import Terms
from longshort.trading.strategy import PilotStrategy

ROW, OPENING, TRANSFER, DECIDED = "row", "opening", "transfer", "decided"
INPUTS = (ROW, OPENING, TRANSFER)
EVERY_ROWS = 250  # closes between two snapshots: what a restart replays at most

Ask = Callable[[int], Circumstances]


class PaperAccount:
    """An account that goes on where its diary ends; `heard` gets every event that is new, `ask` the circumstances."""

    def __init__(self, terms: Terms, mind: Mind, warm: Bars, diary: Diary, heard: Journal) -> None:
        self.books = GrowingBooks(terms.pattern, terms.costs, terms.account, terms.starting_balance)
        limits = Limits(terms.limits, LimitState.fresh(terms.pattern.symbols))
        self.mind = Guarded(mind, limits, self.books)
        self.ask: Ask = lambda _: Circumstances()
        self.snapshots = Snapshots(diary)
        self._terms, self._warm, self._diary, self._heard = terms, warm, diary, heard
        self._past, self._mind = Past(warm, terms.kept_rows), mind
        self._margined = self.books.desk.account.mode != UNMARGINED
        self._node: PaperNode | None = None
        self._expected: deque[Line] = deque()
        self._replaying, self._asked = False, Circumstances()
        self._opened, self._fills = False, 0
        self._hole: set[str] = set()
        self.said: list[Line] = []  # for whoever shows it, and empties it

    async def start(self) -> int:
        """Start the node and tell it what is on record after the last snapshot; 0 where there was nothing at all."""
        terms = self._terms
        rehearse(self._warm, terms.costs, terms.account, terms.starting_balance)
        begun = next(self._diary.lines(), None)
        if begun is not None:
            terms.check(begun, self._diary.path)
        kept = self.snapshots.load() if isinstance(self._mind, Lasting) else None
        if kept is not None:
            self._restore(kept)
        strategy = PilotStrategy(self.mind, self.books, _Teller(self._on_event))
        self._node = PaperNode(self.books, strategy)
        await self._node.start()
        if kept is not None:
            strategy.resume(self.closed_to)
            reopen_positions(self.books, self.books.exchange, strategy)
        if begun is None:
            self._diary.write(terms.begun)
            return 0
        lines = list(self._diary.lines(kept.size if kept is not None else 0))
        self._replay(lines)
        return len(lines) + (kept is not None)

    async def stop(self) -> None:
        """Stop the node; positions stay as they are, and what lapsed at the last close is told at the next one."""
        node, self._node = self._node, None
        if node is not None:
            await node.stop()

    @property
    def closed_to(self) -> int:
        """The last close on record; before the first one the last of the warm-up."""
        return self._past.closed_to

    @property
    def closes(self) -> int:
        """How many closes are on record."""
        return len(self._past.closed_at)

    @property
    def awaited(self) -> tuple[str, ...]:
        """The coins whose next opening price something waits for."""
        if self._opened or not self.books.waiting:
            return ()
        held = self.books.desk.held["lots"].nonzero()[0].tolist() if self._margined else []
        return tuple(self.books.coins[asset].symbol for asset in sorted({*self.books.waiting, *held}))

    def on_row(self, row: Bars, past: Bars | None = None) -> None:
        """Take a row that has closed; `past` are rows before it as they are told now, where some have changed."""
        changed = differing(self._past.bars, past) if past is not None else []
        told = [to_line(past[t : t + 1]) for t in changed] if past is not None else []
        line = {"kind": ROW, **to_line(row), "changed": told}
        self._diary.write(line)
        self._take_row(line)
        if self.closes % EVERY_ROWS == 0:
            self.keep()

    def on_opening(self, prices: Mapping[str, float]) -> None:
        """Take the opening prices of all coins that are `awaited`."""
        line = {"kind": OPENING, "after": self.closed_to, "prices": dict(prices)}
        self._diary.write(line)
        self._take_opening(line)

    def on_transfer(self, money: float) -> None:
        """Take money that a person puts in, or takes out; raise `DataError` where nothing would be left."""
        self.books.check_move(money)
        line = {"kind": TRANSFER, "after": self.closed_to, "money": money}
        self._diary.write(line)
        self.books.move(line)

    def keep(self) -> None:
        """Take a snapshot, right after a close; a mind that cannot be put back, or a full disk, costs time later."""
        of_mind = self._mind.state() if isinstance(self._mind, Lasting) else None
        if of_mind is None:
            return
        parts: Mapping[str, Mapping[str, np.ndarray]] = {
            "books": self.books.state(2 * self._terms.kept_rows),
            "guarded": self.mind.state(),
            "mind": of_mind,
            "bars": arrays_of(self._past.bars),
        }
        arrays = {f"{part}/{name}": array for part, state in parts.items() for name, array in state.items()}
        plain = {
            "limits": {"format": LIMITS_FORMAT} | asdict(self.mind.limits.state),
            "asked": asdict(self._asked),
            "holes": sorted(self._hole),
        }
        with suppress(DataError):
            self.snapshots.save(arrays | {"closed_at": np.array(self._past.closed_at)}, plain)

    def _restore(self, kept: Snapshot) -> None:
        assert isinstance(self._mind, Lasting), "or there is no snapshot"
        pattern = self._terms.pattern
        self._past.restore(bars_of(kept.under("bars/"), pattern), kept.arrays["closed_at"].tolist())
        self.books.restore(kept.under("books/"), pattern)
        self.mind.restore(kept.under("guarded/"))
        self.mind.limits.state = LimitState.read(kept.plain["limits"])
        self._mind.restore(kept.under("mind/"), self._past.bars)
        self._asked = Circumstances(**kept.plain["asked"])
        self._hole = set(kept.plain["holes"])
        self._fills = int(self.books.desk.purse["fills"][0])

    def note(self, event: Session) -> None:
        """Put on record, and tell, what the session itself did."""
        self._diary.write({"kind": event.kind} | asdict(event))
        self._heard.append(event)

    def _replay(self, lines: Sequence[Line]) -> None:
        self._replaying = True
        starts = [n for n, line in enumerate(lines) if line["kind"] in INPUTS]
        for start, end in pairwise([*starts, len(lines)]):
            self._expected = deque(line for line in lines[start + 1 : end] if line["kind"] != Session.kind)
            take = {ROW: self._take_row, OPENING: self._take_opening, TRANSFER: self.books.move}
            take[lines[start]["kind"]](lines[start])
            if self._expected:
                raise self._differs(self._expected[0])
        self._replaying = False

    def _take_row(self, line: Line) -> None:
        row = from_line(line, self._terms.pattern)
        at = int(row.closed_at[0])
        self._correct([from_line(one, self._terms.pattern) for one in line["changed"]], at)
        number = self.books.rows
        cells = self.books.lay(row)
        if number and not self._opened:
            self._tell(OPENED, LiveOpened(number, cells, self.closed_to + AFTER_CLOSE))
        self._past.append(row)
        self.mind.ask = lambda: self._circumstances(at)
        self._tell(CLOSED, LiveClosed(number, row, at))
        self._flag_holes(row)
        self._say(decision_line(self.mind, self.books, at))
        for event in self.mind.events:
            self._on_event(event)
        if self._asked.missed:
            self._on_event(StoodAside(at, "", f"the decision was missed: {self._asked.missed}"))
        self.books.close()
        self._opened = False

    def _take_opening(self, line: Line) -> None:
        columns = {coin.symbol: coin.asset for coin in self.books.coins}
        cells = self.books.lay_opening({columns[s]: float(price) for s, price in line["prices"].items()})
        self._tell(OPENED, LiveOpened(self.books.rows, cells, int(line["after"]) + AFTER_CLOSE))
        self._opened = True

    def _tell(self, kind: Any, event: LiveOpened | LiveClosed) -> None:
        assert self._node is not None, "start comes first"
        self._node.tell(kind, event)
        for event_of_fill in fill_events(self.books, self._fills, self._past.closed_at):
            self._on_event(event_of_fill)
        self._fills = int(self.books.desk.purse["fills"][0])

    def _circumstances(self, at: int) -> Circumstances:
        """Asked once, after the mind has spoken; a replay finds what was found then."""
        self._asked = self._recorded() if self._replaying else self.ask(at)
        return self._asked

    def _recorded(self) -> Circumstances:
        for line in self._expected:
            if line["kind"] == DECIDED:
                return Circumstances(**line["circumstances"])
        return Circumstances(missed=CUT_OFF, expires_at=self._asked.expires_at)

    def _correct(self, changed: Sequence[Bars], at: int) -> None:
        """Put rows that have changed in the place of those that were believed; charge funding that came late."""
        self.mind.past = None
        if not changed:
            return
        for row in changed:
            number, closed_at = self._past.correct(row), int(row.closed_at[0])
            paid = self.books.charge_late(number, row, at) if number is not None else []
            for asset, units in paid:
                symbol = self.books.coins[asset].symbol
                self._say({"kind": "late-funding", "closed_at": closed_at, "symbol": symbol, "units": units})
        self.mind.past = self._past.bars

    def _flag_holes(self, row: Bars) -> None:
        """Say once of each coin that is held that its funding is not known."""
        for coin in self.books.coins:
            known = bool(row.funding_covered[0, coin.asset] or not row.listed[0, coin.asset])
            if known or not self.books.desk.held["lots"][coin.asset]:
                self._hole.discard(coin.symbol)
            elif coin.symbol not in self._hole:
                self._hole.add(coin.symbol)
                why = "its funding is not known yet: none is booked until it is"
                self._on_event(StoodAside(int(row.closed_at[0]), coin.symbol, why))

    def _on_event(self, event: Event) -> None:
        if self._node is not None and self._say({"kind": event.kind} | asdict(event)):
            self._heard.append(event)

    def _say(self, line: Mapping[str, Any]) -> bool:
        """Put a line that follows from an input on record; False where it is there already, as it must be."""
        plain: Line = plain_of(dict(line))
        if self._expected:
            known = self._expected.popleft()
            if known != plain:
                raise self._differs(known)
            return False
        self._diary.write(plain)
        self.said.append(plain)
        return True

    def _differs(self, line: Line) -> DataError:
        at = line.get("closed_at", line.get("filled_at"))
        when = f" at {format_instant(at)}" if isinstance(at, int) else ""
        return DataError(
            f"replaying does not give what is on record{when} ({line['kind']}).",
            where=self._diary.path,
            remedy="Go on with the program and the model that wrote it, or move the folder away to begin anew.",
        )


class _Teller:
    """A journal that is a function."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell

    def append(self, event: Event) -> None:
        """Tell it."""
        self._tell(event)
