"""Does paper trading decide what the backtest decides, minute after minute?

A paper account trades a tiny network at a loopback exchange, close by close, over the exchange's own protocol. The
engine then backtests the bars that the session has left in the lake. Orders are compared as they were submitted:
close, symbol, side, quantity, type. A decision that came too late on a machine that is too busy is left out of both.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from longshort.base.clock import MINUTE, SECOND
from longshort.base.files import digest
from longshort.base.jobs import Job
from longshort.trading.paper.diary import Line
from tests.followed import UNLIMITED, SteppedClock, start_of, tape_of, train_study
from tests.loopback import loopback
from tests.paper import Trader, backtest_of, spy_on_orders, trade

from . import plan as plans
from .data import Proved
from .record import Claim
from .work import run

SEED = 2
DAY = 1_440  # closes of which a session trades the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """One session: its closes, those that came too late, orders, those that differ, and equities that differ."""

    closes: int
    missed: int
    orders: int
    unlike: int
    equities_unlike: int
    seconds: float


def traded(closes: int) -> Traded:
    """Trade so many one-minute closes on paper, and backtest the same bars."""
    began = time.perf_counter()
    tape = tape_of(DAY + 10, SEED)
    clock = SteppedClock(start_of(tape) + SECOND)

    async def script(trader: Trader) -> None:
        await trader.closes(1, closes)

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        study = train_study(tape, Path(folder))
        orders = spy_on_orders(patch)
        with loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server:
            server.redirect(patch)
            lines = [line for line in trade(study, tape, clock, script) if line["kind"] == "decided"]
        paper = [one for one in orders if one[0] > start_of(tape)]  # not those of the rehearsal
        orders.clear()
        missed = _missed(lines)
        ledger = backtest_of(study, tape, closes, missed)
    last_at = start_of(tape) + closes * MINUTE  # what is wished there is not submitted within the bars
    paper = [one for one in paper if one[0] < last_at]
    equity = [line["equity"] for line in lines]
    return Traded(
        closes=len(lines),
        missed=len(missed),
        orders=len(orders),
        unlike=sum(a != b for a, b in zip_longest(paper, orders)),
        equities_unlike=sum(a != b for a, b in zip_longest(equity, ledger.equity.tolist())),
        seconds=time.perf_counter() - began,
    )


def paper_jobs(plan: plans.Plan) -> list[Job]:
    """One session."""
    key = digest(f"traded {plan.paper_closes}", plans.code())
    return [Job(key=key, function=traded, arguments=(plan.paper_closes,))]


def prove_paper(plan: plans.Plan) -> Proved:
    """Paper trading submits the orders of the backtest, and its account is worth the same at every close."""
    found: list[Traded] = run("paper sessions", paper_jobs(plan))
    orders, closes = sum(one.orders for one in found), sum(one.closes for one in found)
    title = f"A paper session of {closes:,} one-minute closes against the backtest of its bars"
    note = f"Of the decisions of the paper session {sum(one.missed for one in found)} came too late and were missed."
    traded_much = Claim(
        title=title,
        counted="orders",
        hits=orders,
        of=2 * closes,
        claim="at least a quarter",
        holds=2 * orders >= closes,
    )
    return (
        [
            traded_much,
            _never(title, "orders that differ", sum(one.unlike for one in found), orders),
            _never(
                title, "closes at which the equity differs", sum(e.equities_unlike for e in found), closes
            ),
        ],
        sum(one.seconds for one in found),
        (note,),
    )


def _missed(decided: Sequence[Line]) -> list[int]:
    return [line["closed_at"] for line in decided if line["circumstances"]["missed"]]


def _never(title: str, counted: str, hits: int, of: int) -> Claim:
    return Claim(title=title, counted=counted, hits=hits, of=of, claim="none", holds=hits == 0)
