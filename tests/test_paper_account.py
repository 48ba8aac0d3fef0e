"""A paper account through everything that may go wrong: its journal stays true, and gives it back exactly."""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder
from nautilus_trader.model.enums import BookType

from longshort.base.errors import DataError
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.journal import MemoryJournal
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure, Wishes
from longshort.policy.ledger import Ledger, ledger_from, run_ledger
from longshort.trading.fills import BookedPrices
from longshort.trading.paper.account import PaperAccount
from longshort.trading.paper.diary import NAME, Diary, Line, is_running, open_diary
from longshort.trading.paper.guarded import Circumstances
from longshort.trading.paper.terms import Terms

from .accounts import stormy_market, stormy_wishes
from .paper import spy_on_orders
from .perpetual_cases import Case as ByHand
from .perpetual_cases import cases

WARM, ROWS = 8, 40
COSTS = Costs(impact=1.0, by_volume=True)
BALANCE = 10_000.0
CENT = 0.5e-8  # of a settlement unit
CROSS = AccountTerms(margin="cross", leverage=10.0)
PLAIN = AccountTerms()
Ask = Callable[[int], Circumstances]


class ScriptedMind:
    """Wishes written down beforehand, and the pasts that it was told."""

    def __init__(self, exposure: Exposure) -> None:
        self._script = Script(exposure)
        self.pasts: list[Bars] = []

    def step(self, row: Bars, past: Bars | None) -> Wishes:
        """The wishes of a close."""
        self.pasts += [past] if past is not None else []
        return self._script.on_close(row)


class Case:
    """A storm of bars, wishes for it, and a folder."""

    def __init__(self, folder: Path, *, seed: int = 2, account: AccountTerms = CROSS) -> None:
        rng = np.random.default_rng(seed)
        market = stormy_market(WARM + ROWS, 3, rng)
        wishes = stormy_wishes(market, rng, scale=0.4 * account.leverage)
        self.folder, self.account = folder, account
        self.warm, self.bars = market[:WARM], market[WARM:]
        self.wishes = wishes[WARM:]
        self.heard = MemoryJournal()
        self.mind = ScriptedMind(self.wishes)
        self.limits = LimitSettings()

    def open(self, diary: Diary, *, name: str = "study and model") -> PaperAccount:
        """The account as it is on record; its node is not running yet."""
        terms = Terms(
            name=name,
            pattern=self.warm[-1:],
            costs=COSTS,
            account=self.account,
            starting_balance=BALANCE,
            limits=self.limits,
        )
        self.mind = ScriptedMind(self.wishes)
        return PaperAccount(terms, self.mind, self.warm, diary, self.heard)

    def run(self, rows: Sequence[int], ask: Ask | None = None) -> PaperAccount:
        """Go on with some rows, with early opening prices at every third."""

        async def session() -> PaperAccount:
            with open_diary(self.folder) as diary:
                account = self.open(diary)
                await account.start()
                account.ask = ask or account.ask
                try:
                    for row in rows:
                        account.on_row(self.bars[row : row + 1])
                        self.open_early(account, row)
                finally:
                    await account.stop()
                return account

        return asyncio.run(session())

    def open_early(self, account: PaperAccount, row: int) -> None:
        """Tell the opening prices after a row where all that are awaited have some."""
        awaited, after = account.awaited, self.bars[row + 1 : row + 2]
        known = [s for s in awaited if len(after) and after.present[0, after.symbols.index(s)]]
        prices = {s: float(after.open[0, after.symbols.index(s)]) for s in known}
        for told in [prices] * (row % 3 == 0 and bool(awaited) and len(known) == len(awaited)):
            account.on_opening(told)

    def booked(self, account: PaperAccount) -> Ledger:
        """The account's history."""
        record, rows = account.books.record, account.books.rows
        cut = record._replace(balances=record.balances[:rows], entries=record.entries[:rows])
        return ledger_from(cut, self.bars[:rows], BALANCE)

    def expected(self, rows: int = ROWS, missed: Sequence[int] = ()) -> Ledger:
        """What the ledger books where some decisions are left out: positions and their exits stay as they are."""
        target, stop, take = (
            array.copy() for array in (self.wishes.target, self.wishes.stop, self.wishes.take)
        )
        for row in missed:
            target[row], stop[row], take[row] = np.nan, stop[row - 1], take[row - 1]
        wishes = replace(self.wishes, target=target, stop=stop, take=take)
        return run_ledger(
            self.bars[:rows], wishes[:rows], COSTS, starting_balance=BALANCE, account=self.account
        )

    @property
    def lines(self) -> list[Line]:
        """What is on record."""
        with open_diary(self.folder) as diary:
            return list(diary.lines())


def assert_same(booked: Ledger, expected: Ledger) -> None:
    """To the last bit."""
    for name in ("cash", "equity", "quantity", "fees", "slippage", "funding", "liquidation", "insurance"):
        np.testing.assert_array_equal(getattr(booked, name), getattr(expected, name), err_msg=name)
    assert booked.fills.equals(expected.fills)
    assert booked.lapsed.equals(expected.lapsed)


@pytest.mark.parametrize("by_hand", cases(), ids=lambda case: case.name)
def test_paper_comes_to_what_was_worked_out_by_hand(tmp_path: Path, by_hand: ByHand) -> None:
    bars, heard = by_hand.bars, MemoryJournal()
    unknown = np.full_like(bars.funding_rate[:1], np.nan)
    before = replace(bars[:1], closed_at=bars.closed_at[:1] - bars.interval.ns, funding_rate=unknown)
    terms = Terms(
        name="by hand",
        pattern=before,
        costs=by_hand.costs,
        account=by_hand.account,
        starting_balance=by_hand.balance,
        limits=LimitSettings(),
    )

    async def session() -> PaperAccount:
        with open_diary(tmp_path) as diary:
            account = PaperAccount(terms, ScriptedMind(by_hand.exposure), before, diary, heard)
            await account.start()
            for row in range(len(bars)):
                account.on_row(bars[row : row + 1])
            await account.stop()
            return account

    record = asyncio.run(session()).books.record
    cut = record._replace(balances=record.balances[: len(bars)], entries=record.entries[: len(bars)])
    booked = ledger_from(cut, bars, by_hand.balance)

    found = booked.fills.select("quantity", "price", "fee", "realized", "cause").rows()
    wanted = [(f.quantity, f.price, f.fee, f.realized, f.cause) for f in by_hand.fills]
    assert [fill[-1] for fill in found] == [fill[-1] for fill in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one[:-1] == pytest.approx(other[:-1], rel=0, abs=CENT)
    assert booked.cash.tolist() == pytest.approx(by_hand.cash, rel=0, abs=CENT)
    assert booked.equity.tolist() == pytest.approx(by_hand.equity, rel=0, abs=CENT)
    assert booked.quantity[:, 0].tolist() == by_hand.held
    assert booked.insurance[:, 0].tolist() == pytest.approx(by_hand.insurance, rel=0, abs=CENT)


@pytest.mark.parametrize(
    ("seed", "account"),
    [
        (2, CROSS),
        (4, AccountTerms(margin="isolated", leverage=5.0, execution="maker, then taker")),
        (6, PLAIN),
        (8, replace(CROSS, latency_ms=1_500)),
    ],
)
def test_restarts_leave_no_trace_in_a_storm(tmp_path: Path, seed: int, account: AccountTerms) -> None:
    case = Case(tmp_path, seed=seed, account=account)

    case.run(range(15))
    case.run(range(15, 16))
    last = case.run(range(16, ROWS))

    assert_same(case.booked(last), case.expected())
    assert len(case.expected().fills) > 20
    kinds = [line["kind"] for line in case.lines]
    assert kinds.count("filled") + kinds.count("liquidated") == len(case.expected().fills)


def test_a_journal_cut_off_anywhere_gives_the_account_up_to_there(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    case = Case(tmp_path)
    case.run(range(ROWS))
    whole = (tmp_path / NAME).read_bytes()
    begins = len(whole.splitlines(keepends=True)[0])

    for cut in sorted(rng.integers(begins, len(whole), 8).tolist()):
        (tmp_path / NAME).write_bytes(whole[:cut])
        on_record = [line for line in case.lines if line["kind"] in ("row", "decided")]
        rows = sum(line["kind"] == "row" for line in on_record)
        missed = [rows - 1] * (bool(on_record) and on_record[-1]["kind"] == "row")
        account = case.run(range(rows, ROWS))

        assert_same(case.booked(account), case.expected(missed=missed))
        reasons = [
            line["reason"] for line in case.lines if line["kind"] == "stood-aside" and not line["symbol"]
        ]
        assert reasons == ["the decision was missed: the session ended before it was on record"] * len(missed)


def test_a_decision_that_comes_too_late_is_journaled_and_not_made_up_for(tmp_path: Path) -> None:
    case = Case(tmp_path)
    late = [5, 6, 7, *range(10, ROWS, 3)]
    closed_at = case.bars.closed_at.tolist()

    def ask(at: int) -> Circumstances:
        return Circumstances(missed="it came 9.0 s after the close" * (closed_at.index(at) in late))

    account = case.run(range(ROWS), ask)

    assert_same(case.booked(account), case.expected(missed=late))
    told = [
        line["closed_at"]
        for line in case.lines
        if line["kind"] == "stood-aside" and "missed" in line["reason"]
    ]
    assert told == [closed_at[row] for row in late]


def test_no_order_goes_out_that_a_full_disk_kept_off_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path)
    orders = spy_on_orders(monkeypatch)
    write, room = os.write, [0]

    def full(handle: int, text: bytes) -> int:
        room[0] -= 1
        if room[0] == 0:
            return write(handle, text[: len(text) // 2])  # a disk that fills up takes a part
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, text)

    done = 0
    for step in (4, 7, 12, 21):
        room[0] = step
        with monkeypatch.context() as patch, suppress(DataError):
            patch.setattr("longshort.trading.paper.diary.os.write", full)
            orders.clear()
            case.run(range(done, ROWS))
        lines = case.lines
        sent = {(o["decided_at"], o["symbol"]) for line in lines for o in line.get("orders", [])}
        assert {(at, symbol) for at, symbol, *_ in orders if at > case.warm.closed_at[-1]} <= sent
        done = sum(line["kind"] == "row" for line in lines)
    account = case.run(range(done, ROWS))

    lost = [n for n, line in enumerate(decisions(case)) if line["circumstances"]["missed"]]
    assert 0 < len(lost) <= 4
    assert_same(case.booked(account), case.expected(missed=lost))


def decisions(case: Case) -> list[Line]:
    return [line for line in case.lines if line["kind"] == "decided"]


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, text: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_diary(tmp_path) as diary:
        diary.write({"kind": "begun"})
        monkeypatch.setattr("longshort.trading.paper.diary.os.write", full)
        with pytest.raises(DataError, match="it cannot be written: no space left on device"):
            diary.write({"kind": "row"})
        assert [line["kind"] for line in diary.lines()] == ["begun"]


def test_a_fill_that_is_told_twice_is_booked_once(tmp_path: Path) -> None:
    case = Case(tmp_path)

    async def session() -> PaperAccount:
        with open_diary(tmp_path) as diary:
            account = case.open(diary)
            await account.start()
            node: Any = account._node  # pyright: ignore[reportPrivateUsage] a venue that stutters
            again: list[Any] = []
            node._bus.subscribe("events.fills.*", again.append)
            for row in range(ROWS):
                account.on_row(case.bars[row : row + 1])
                for event in again:
                    node._bus.send(endpoint="ExecEngine.process", msg=event)
            assert node.doubled > 100
            await account.stop()
            return account

    assert_same(case.booked(asyncio.run(session())), case.expected())


def test_a_fill_that_is_told_in_parts_is_booked_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path)
    parts: list[Any] = []
    whole = BookedPrices.get_orderbook_for_fill_simulation

    def in_parts(self: Any, instrument: Any, order: Any, bid: Any, ask: Any) -> Any:
        book = whole(self, instrument, order, bid, ask)
        levels = [] if book is None else [*book.asks(), *book.bids()]
        if not levels or order.quantity <= instrument.size_increment:
            return book
        (level,), first = levels, instrument.size_increment
        split = OrderBook(instrument.id, BookType.L3_MBO)
        for number, size in enumerate((first, order.quantity - first), start=1):
            split.add(BookOrder(level.side, level.price, instrument.make_qty(size), number), 0, 0)
        parts.append(split)
        return split

    monkeypatch.setattr(BookedPrices, "get_orderbook_for_fill_simulation", in_parts)

    account = case.run(range(ROWS))

    assert len(parts) > 30
    assert_same(case.booked(account), case.expected())


def test_a_rejected_order_is_journaled_and_changes_nothing(tmp_path: Path) -> None:
    case = Case(tmp_path)

    account = case.run(range(ROWS))

    refused = case.expected().lapsed.filter(case.expected().lapsed["reason"] == "not enough margin")
    told = [line for line in case.lines if line.get("reason") == "not enough margin"]
    assert [line["symbol"] for line in told] == refused["symbol"].to_list()
    assert len(told) > 0
    assert_same(case.booked(account), case.expected())


def test_a_wish_that_lapses_at_the_last_close_before_a_stop_is_told_once(tmp_path: Path) -> None:
    case = Case(tmp_path, seed=6, account=PLAIN)
    lapsed = case.expected().lapsed.filter(pl.col("reason") == "no bar at this close")
    row = case.bars.closed_at.tolist().index(int(lapsed["decided_at"].dt.epoch("ns")[0]))

    case.run(range(row + 1))
    account = case.run(range(row + 1, ROWS))

    told = [line for line in case.lines if line.get("reason") == "no bar at this close"]
    assert len(told) == len(lapsed)
    assert_same(case.booked(account), case.expected())


def test_funding_that_is_told_late_is_charged_when_it_is_told(tmp_path: Path) -> None:
    case = Case(tmp_path, account=PLAIN)
    due = next(row for row in range(5, ROWS - 1) if np.isfinite(case.bars.funding_rate[row]).any())
    nothing = np.full_like(case.bars.funding_rate[due : due + 1], np.nan)
    unknown = replace(
        case.bars[due : due + 1], funding_rate=nothing, funding_covered=np.zeros_like(nothing, dtype=np.bool_)
    )

    async def session() -> PaperAccount:
        with open_diary(tmp_path) as diary:
            account = case.open(diary)
            await account.start()
            for row in range(ROWS):
                past = case.bars[due : due + 1] if row == due + 1 else None
                account.on_row(unknown if row == due else case.bars[row : row + 1], past)
            await account.stop()
            return account

    account = asyncio.run(session())
    again = case.run([])

    held = account.books.books.entries["lots"][due]
    booked, expected = case.booked(account), case.expected()
    assert held.any()
    assert booked.funding[due].any()
    np.testing.assert_allclose(booked.funding[due], expected.funding[due], rtol=0, atol=1e-9)
    paid = booked.fees.sum() + booked.funding.sum()
    assert booked.cash[-1] == pytest.approx(BALANCE + booked.fills["realized"].sum() - paid, abs=1e-6)
    assert any("not known yet" in line.get("reason", "") for line in case.lines)
    assert [len(past) for past in case.mind.pasts] == [WARM + due + 1]
    assert case.mind.pasts[0][-1:].digest() == case.bars[due : due + 1].digest()
    assert_same(case.booked(again), booked)


def test_being_told_to_be_flat_closes_everything_until_a_person_re_arms(tmp_path: Path) -> None:
    case = Case(tmp_path, account=PLAIN)
    closed_at = case.bars.closed_at.tolist()

    def ask(at: int) -> Circumstances:
        row = closed_at.index(at)
        return Circumstances(
            killed="flat (command)" * (10 <= row < 15), rearmed_at=at - 1 if row >= 15 else -1
        )

    account = case.run(range(ROWS), ask)

    quantity = case.booked(account).quantity
    present = case.bars.present[11].all()
    assert present
    assert quantity[10].any()
    assert not quantity[12:16].any()
    assert quantity[16:].any()
    assert_same(case.booked(case.run([])), case.booked(account))


def test_two_may_not_trade_one_study_at_once(tmp_path: Path) -> None:
    with open_diary(tmp_path):
        assert is_running(tmp_path)
        with (
            pytest.raises(DataError, match="being paper-traded by another process already"),
            open_diary(tmp_path),
        ):
            pass
    assert not is_running(tmp_path)


def test_a_journal_of_another_study_or_model_is_refused(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.run(range(3))

    async def session() -> None:
        with open_diary(tmp_path) as diary:
            account = case.open(diary, name="another")
            try:
                await account.start()
            finally:
                await account.stop()

    with pytest.raises(DataError, match="was begun with another study, model or program"):
        asyncio.run(session())


def test_a_journal_that_replays_otherwise_is_refused(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.run(range(12))
    text = (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text(text.replace('"passed": {"target": [', '"passed": {"target": [9.0, ', 1))

    with pytest.raises(DataError, match="replaying does not give what is on record"):
        case.run([])


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.run(range(5))
    lines = (tmp_path / NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / NAME).write_bytes(b"".join([*lines[:3], b"{broken\n", *lines[3:]]))

    with pytest.raises(DataError, match=r"line 4 is damaged"):
        case.run([])
