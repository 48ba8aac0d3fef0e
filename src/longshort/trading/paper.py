"""One paper account: everything it is told is on the disk first, and telling it all again gives it back exactly.

Inputs are closed rows, with the rows before them that have changed meanwhile, and opening prices. A decision is on the
disk before its orders can go out, and with it the order counts as sent: it fills at the next opening price even if the
session ends in between. A decision that is not on the disk, or that came too late, was missed, and is never made up
for. Nothing here reads a clock, a venue or a terminal by itself.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.base.files import jsonable
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.journal import Event, Journal, Session, StoodAside
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.policy.contract import UNMARGINED
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import LimitState
from longshort.trading.accounting import decision_line, fill_events
from longshort.trading.backtest import backtest
from longshort.trading.diary import Diary, Line
from longshort.trading.events import CLOSED, OPENED
from longshort.trading.growing import GrowingBooks
from longshort.trading.guarded import Circumstances, Guarded, Mind
from longshort.trading.live_events import AFTER_CLOSE, LiveClosed, LiveOpened
from longshort.trading.missed import CUT_OFF
from longshort.trading.node import PaperNode
from longshort.trading.rows import differing, from_line, instrument_line, joined, to_line
from longshort.trading.strategy import PilotStrategy

FORMAT = 2
BEGUN, ROW, OPENING, TRANSFER, DECIDED = "begun", "row", "opening", "transfer", "decided"
INPUTS = (ROW, OPENING, TRANSFER)
REHEARSED = 6  # rows

Ask = Callable[[int], Circumstances]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an account is begun with: `name` tells study and model, `pattern` is a row of the coins."""

    name: str
    pattern: Bars
    costs: Costs
    account: AccountTerms
    starting_balance: float
    limits: LimitSettings


class PaperAccount:
    """An account that goes on where its diary ends; `heard` gets every event that is new, `ask` the circumstances."""

    def __init__(self, terms: Terms, mind: Mind, warm: Bars, diary: Diary, heard: Journal) -> None:
        self.books = GrowingBooks(terms.pattern, terms.costs, terms.account, terms.starting_balance)
        limits = Limits(terms.limits, LimitState.fresh(terms.pattern.symbols))
        self.mind = Guarded(mind, limits, self.books)
        self.ask: Ask = lambda _: Circumstances()
        self.rows: list[Bars] = []
        self._terms, self._warm, self._diary, self._heard = terms, warm, diary, heard
        self._margined = self.books.desk.account.mode != UNMARGINED
        self._node: PaperNode | None = None
        self._expected: deque[Line] = deque()
        self._replaying, self._asked = False, Circumstances()
        self._opened, self._fills = False, 0
        self._hole: set[str] = set()
        self._closed_at: list[int] = []
        self.said: list[Line] = []  # for whoever shows it, and empties it

    async def start(self) -> int:
        """Start the node and tell it all that is on record; return how many lines that was."""
        rehearse(self._terms, self._warm)
        self._node = PaperNode(self.books, PilotStrategy(self.mind, self.books, _Teller(self._on_event)))
        await self._node.start()
        lines = list(self._diary.lines())
        if lines:
            self._replay(lines)
        else:
            self._diary.write({"kind": BEGUN, "format": FORMAT, **self._identity})
        return len(lines)

    async def stop(self) -> None:
        """Stop the node; positions stay as they are, and what lapsed at the last close is told at the next one."""
        node, self._node = self._node, None
        if node is not None:
            await node.stop()

    @property
    def closed_to(self) -> int:
        """The last close on record; before the first one the last of the warm-up."""
        return self._closed_at[-1] if self._closed_at else int(self._warm.closed_at[-1])

    @property
    def awaited(self) -> tuple[str, ...]:
        """The coins whose next opening price something waits for."""
        if self._opened or not self.books.waiting:
            return ()
        held = self.books.desk.held["lots"].nonzero()[0].tolist() if self._margined else []
        return tuple(self.books.coins[asset].symbol for asset in sorted({*self.books.waiting, *held}))

    def on_row(self, row: Bars, past: Bars | None = None) -> None:
        """Take a row that has closed; `past` are rows before it as they are told now, where some have changed."""
        changed = differing(self._history(), past) if past is not None else []
        told = [to_line(past[t : t + 1]) for t in changed] if past is not None else []
        line = {"kind": ROW, **to_line(row), "changed": told}
        self._diary.write(line)
        self._take_row(line)

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

    def note(self, event: Session) -> None:
        """Put on record, and tell, what the session itself did."""
        self._diary.write({"kind": event.kind} | asdict(event))
        self._heard.append(event)

    def _replay(self, lines: Sequence[Line]) -> None:
        self._check_identity(lines[0])
        self._replaying = True
        starts = [n for n, line in enumerate(lines) if line["kind"] in INPUTS]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
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
            self._tell(OPENED, LiveOpened(number, cells, int(self.rows[-1].closed_at[0]) + AFTER_CLOSE))
        self.rows.append(row)
        self._closed_at.append(at)
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
        for event_of_fill in fill_events(self.books, self._fills, self._closed_at):
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
        history, first = self._history(), len(self._warm)
        for row in changed:
            place = int(np.searchsorted(history.closed_at, row.closed_at[0])) - first
            if place < 0:
                self._warm = joined([self._warm[: first + place], row, self._warm[first + place + 1 :]])
                continue
            for asset, paid in self.books.charge_late(place, row, at):
                symbol = self.books.coins[asset].symbol
                self._say(
                    {
                        "kind": "late-funding",
                        "closed_at": int(row.closed_at[0]),
                        "symbol": symbol,
                        "units": paid,
                    }
                )
            self.rows[place] = row
        self.mind.past = self._history()

    def _history(self) -> Bars:
        return joined([self._warm, *self.rows])

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

    @property
    def _identity(self) -> Line:
        coins = [instrument_line(one) for one in self._terms.pattern.instruments]
        return {"name": self._terms.name, "coins": plain_of(coins)}

    def _check_identity(self, line: Line) -> None:
        told = {name: line.get(name) for name in self._identity}
        if line["kind"] != BEGUN or line.get("format") != FORMAT or told != self._identity:
            raise DataError(
                "this account was begun with another study, model or program.",
                where=self._diary.path,
                remedy="Go on with those, or move the folder away to begin anew.",
            )


def rehearse(terms: Terms, warm: Bars) -> None:
    """Trade a few old bars on an account of its own: what is compiled on first use is not compiled at a close."""
    rows = warm[-REHEARSED:]
    covered = replace(rows, funding_covered=np.ones_like(rows.funding_covered))
    target = np.resize([0.5, -0.5, 0.0], rows.close.shape)
    distance = np.full(target.shape, 0.01)
    wishes = Exposure(
        closed_at=rows.closed_at, symbols=rows.symbols, target=target, stop=distance, take=distance
    )
    backtest(covered, Script(wishes), terms.costs, terms.starting_balance, account=terms.account)


def plain_of(value: object) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(jsonable(value), allow_nan=False))


class _Teller:
    """A journal that is a function."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell

    def append(self, event: Event) -> None:
        """Tell it."""
        self._tell(event)
