"""The gap between a session and its replay: parts that sum to all of it, each moved by its own cause alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.errors import DataError
from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import NO_MARGIN, Ledger, run_ledger
from longshort.study.gap.rebooking import Decided, differing_closes, rebooked
from longshort.study.gap.split import (
    CAUSES,
    Accounts,
    Booked,
    Counts,
    Gap,
    booked_of,
    differing_cells,
    funding_due,
    split,
)
from longshort.study.gap.transfers import book_with_transfers

from .accounts import stormy_market, stormy_wishes

ROWS, COINS = 120, 2
BARS = simulate_market(COINS, 24 * 40, seed=5).bars[-ROWS:]
COSTS = Costs(taker_bps=5.0, slippage_bps=1.0)
EXACT = 1e-8
NOTHING = np.zeros(ROWS)
SEEDS = st.integers(0, 10_000)
Session = Callable[["Replay"], Gap]


def wishes(bars: Bars, rng: np.random.Generator, changes: float = 0.2) -> Exposure:
    """Now and then another target."""
    target = np.where(
        rng.random(bars.close.shape) < changes, rng.uniform(-0.5, 0.5, bars.close.shape), np.nan
    )
    return Exposure(closed_at=bars.closed_at, symbols=bars.symbols, target=target)


def book(bars: Bars, exposure: Exposure, moved: np.ndarray = NOTHING) -> Ledger:
    return book_with_transfers(bars, exposure, COSTS, moved, starting_balance=10_000.0)


class Replay:
    """A session that went as the backtest goes, of which a test changes what it likes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.recorded = self.streamed = BARS
        self.decided = self.believed = self.passed = wishes(BARS, self.rng)
        self.late = self.untold = np.zeros(ROWS, dtype=np.bool_)
        self.change: Callable[[Booked], Booked] = lambda booked: booked
        self.opened: Bars | None = None
        self.executed: Ledger | None = None
        self.moved = NOTHING

    def booked(self) -> Booked:
        ledger = book(self.opened or self.streamed, self.passed, self.moved)
        return self.change(replace(booked_of(ledger), moved=self.moved))

    def gap(self) -> Gap:
        decided = Decided(believed=self.believed, passed=self.passed, untold=self.untold, late=self.late)
        streamed, on_time, followed, moved = rebooked(decided, self.moved, partial(book, self.streamed))
        accounts = Accounts(
            executed=self.executed or book(self.recorded, self.decided),
            recorded=book(self.recorded, self.decided),
            streamed=streamed,
            on_time=on_time,
            followed=followed,
            moved=moved,
        )
        return split(accounts, self.booked(), self.streamed, COSTS, Counts())


def scaled(bars: Bars, rng: np.random.Generator, size: float = 0.01) -> Bars:
    """All prices of each bar higher or lower by one factor."""
    factor = 1.0 + rng.uniform(-size, size, bars.close.shape)
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices)


def another_stream(replay: Replay) -> None:
    replay.streamed = scaled(BARS, replay.rng)
    replay.believed = replay.passed = wishes(BARS, replay.rng)


def other_decisions(replay: Replay) -> None:
    replay.passed = wishes(BARS, replay.rng)


def bars_too_late(replay: Replay) -> None:
    late_decisions(replay)
    replay.untold, replay.late = replay.late, replay.untold


def late_decisions(replay: Replay) -> None:
    wished = np.flatnonzero(np.isfinite(replay.passed.target).any(axis=1))
    replay.late = replay.rng.random(ROWS) < 0.3
    replay.late[wished[len(wished) // 2]] = True
    target = np.where(replay.late[:, None], np.nan, replay.passed.target)
    replay.passed = replace(replay.passed, target=target)


def money_by_hand(replay: Replay) -> None:
    replay.moved = np.where(
        replay.rng.random(ROWS) < 0.05, replay.rng.uniform(-500.0, 2_000.0, ROWS).round(8), 0.0
    )
    replay.moved[ROWS // 2] = 700.0


def other_prices(replay: Replay) -> None:
    replay.opened = replace(BARS, open=BARS.open * (1.0 + replay.rng.uniform(-0.002, 0.002, BARS.open.shape)))


def finer_fills(replay: Replay) -> None:
    finer = replace(BARS, open=BARS.open * (1.0 + replay.rng.uniform(-0.002, 0.002, BARS.open.shape)))
    replay.executed = book(finer, replay.decided)


def other_fees(replay: Replay) -> None:
    def charge(booked: Booked) -> Booked:
        fills = tuple(replace(fill, fee=(fill.fee or 0.0) + 0.5) for fill in booked.fills)
        paid = np.zeros(ROWS)
        np.add.at(paid, [fill.row for fill in fills], 0.5)
        return replace(booked, fills=fills, equity=booked.equity - np.cumsum(paid))

    replay.change = charge


def other_funding(replay: Replay) -> None:
    paid = replay.rng.uniform(-1.0, 1.0, ROWS)
    replay.change = lambda booked: replace(
        booked, funding=booked.funding + paid, equity=booked.equity - np.cumsum(paid)
    )


CHANGES: dict[str, Callable[[Replay], None]] = {
    "data": another_stream,
    "data (missed)": bars_too_late,
    "signal": other_decisions,
    "latency": late_decisions,
    "transfer": money_by_hand,
    "fill": other_prices,
    "fill (execution bars)": finer_fills,
    "fee": other_fees,
    "funding": other_funding,
}


def money(gap: Gap) -> dict[str, float]:
    return {part.cause: part.money for part in gap.parts}


@given(SEEDS)
def test_a_session_that_went_as_the_backtest_has_no_gap(seed: int) -> None:
    gap = Replay(seed).gap()

    assert gap.total == 0.0
    assert money(gap) == pytest.approx(dict.fromkeys(CAUSES, 0.0), abs=EXACT)
    assert [part.count for part in gap.parts] == [0] * len(CAUSES)


@pytest.mark.parametrize("change", CHANGES)
@given(seed=SEEDS)
def test_one_change_shows_in_its_own_part_alone(change: str, seed: int) -> None:
    replay, cause = Replay(seed), change.split(maxsplit=1)[0]
    CHANGES[change](replay)

    gap = replay.gap()

    found = money(gap)
    others = {name: value for name, value in found.items() if name != cause}
    assert found[cause] == pytest.approx(gap.total, abs=1e-6)
    assert others == pytest.approx(
        dict.fromkeys(others, 0.0), abs=1e-6
    )  # a unit of rounding per fill and close
    assert abs(gap.total) > 1e-4


@given(seed=SEEDS, chosen=st.sets(st.sampled_from(CAUSES)))
def test_the_parts_sum_to_the_whole_difference(seed: int, chosen: set[str]) -> None:
    replay = Replay(seed)
    for cause in sorted(chosen):
        CHANGES[cause](replay)

    gap = replay.gap()

    assert sum(money(gap).values()) == pytest.approx(gap.total, abs=EXACT)


@given(SEEDS)
def test_the_funding_due_is_what_the_ledger_books(seed: int) -> None:
    ledger = book(BARS, wishes(BARS, np.random.default_rng(seed)))

    np.testing.assert_allclose(funding_due(BARS, ledger.quantity), ledger.funding.sum(axis=1), atol=1e-9)


def test_a_fill_a_dollar_worse_costs_its_quantity() -> None:
    """Two contracts bought at 101 instead of 100, held to the end: 2 less, and the fee of a dollar more, 2 x 5 bp."""
    replay = Replay(3)
    target = np.full((ROWS, COINS), np.nan)
    target[5, 0] = 0.4
    replay.decided = replay.believed = replay.passed = replace(replay.passed, target=target)
    (fill,) = booked_of(book(BARS, replay.passed)).fills
    tick = float(BARS.instruments[0].tick)
    worse = replace(fill, price=fill.price + 100 * tick)
    size = float(BARS.instruments[0].contract_size)
    lost = fill.quantity * size * 100 * tick
    fee = 5.0 / 1e4 * (fill.notional + lost)
    worse = replace(worse, notional=fill.notional + lost, fee=fee)
    change = lost + fee - (fill.fee or 0.0)
    replay.change = lambda b: replace(
        b, fills=(worse,), equity=b.equity - np.where(np.arange(ROWS) >= fill.row, change, 0.0)
    )

    found = {part.cause: (part.money, part.count) for part in replay.gap().parts}

    assert found["fill"] == (pytest.approx(-change, abs=1e-7), 1)
    assert found["fee"] == (pytest.approx(0.0, abs=1e-7), 0)


def test_what_a_missed_decision_costs_is_of_the_cause_that_it_was_missed_for() -> None:
    lost, late, untold = Replay(8), Replay(8), Replay(8)
    late_decisions(late)
    bars_too_late(untold)
    lost.passed = late.passed

    assert money(lost.gap())["signal"] == pytest.approx(money(late.gap())["latency"], abs=EXACT)
    assert money(untold.gap())["data"] == pytest.approx(money(late.gap())["latency"], abs=EXACT)
    assert money(lost.gap())["latency"] == 0.0


def test_money_put_in_is_a_transfer_with_what_the_larger_account_earns_by_it() -> None:
    """1,000 in, 400 out again: 600, and what wishes of the same fractions bring on the other sizes."""
    quiet, traded = Replay(8), Replay(8)
    quiet.decided = quiet.believed = quiet.passed = replace(
        quiet.passed, target=np.full((ROWS, COINS), np.nan)
    )
    for replay in (quiet, traded):
        replay.moved = NOTHING.copy()
        replay.moved[[30, 60]] = 1_000.0, -400.0

    still = {part.cause: (part.money, part.count) for part in quiet.gap().parts}
    found = {part.cause: (part.money, part.count) for part in traded.gap().parts}

    assert still["transfer"] == (600.0, 2)
    assert found["transfer"][0] == pytest.approx(traded.gap().total, abs=1e-6)
    assert abs(found["transfer"][0] - 600.0) > 1.0
    assert found["fill"][1] == 0


@pytest.mark.parametrize(
    "account",
    [
        NO_MARGIN,
        AccountTerms(margin="cross", leverage=10.0),
        AccountTerms(margin="isolated", latency_ms=1_500),
    ],
)
@given(seed=SEEDS)
def test_an_account_that_hands_keep_out_of_is_the_ledger_to_the_bit(account: AccountTerms, seed: int) -> None:
    """A last close that somebody puts a unit into goes through every row by hand, as the ledger did."""
    rng = np.random.default_rng(seed)
    market = stormy_market(40, 3, rng)
    exposure = stormy_wishes(market, rng, scale=0.4 * account.leverage)
    moved = np.zeros(40)
    moved[-1] = 1e-8

    ledger = run_ledger(market, exposure, COSTS, starting_balance=10_000.0, account=account)
    by_hand = book_with_transfers(market, exposure, COSTS, moved, starting_balance=10_000.0, account=account)

    for name in ("cash", "equity"):
        np.testing.assert_array_equal(getattr(by_hand, name)[:-1], getattr(ledger, name)[:-1], err_msg=name)
    for name in ("quantity", "fees", "slippage", "funding", "liquidation", "insurance"):
        np.testing.assert_array_equal(getattr(by_hand, name), getattr(ledger, name), err_msg=name)
    assert by_hand.fills.equals(ledger.fills)
    assert by_hand.cash[-1] - ledger.cash[-1] == pytest.approx(1e-8, abs=1e-9)


def test_other_closes_are_refused() -> None:
    ledger = book(BARS, wishes(BARS, np.random.default_rng(1)))
    accounts = Accounts(
        executed=ledger, recorded=ledger, streamed=ledger, on_time=ledger, followed=ledger, moved=ledger
    )
    shifted = replace(booked_of(ledger), closed_at=BARS.closed_at + 1)

    with pytest.raises(DataError, match="same closes"):
        split(accounts, shifted, BARS, COSTS, Counts())


def test_what_differs_is_counted() -> None:
    close = BARS.close.copy()
    close[3, 1] += 1.0
    exposure = wishes(BARS, np.random.default_rng(1))
    target = exposure.target.copy()
    target[7] = 0.123

    assert differing_cells(BARS, replace(BARS, close=close)) == 1
    assert differing_cells(BARS, BARS) == 0
    assert np.flatnonzero(differing_closes(exposure, replace(exposure, target=target))).tolist() == [7]
