"""A study whose market is a loopback exchange, with a tiny network that trades at nearly every close."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from nautilus_trader.trading.strategy import Strategy

from longshort._commands.paper_account import FollowedMind
from longshort._commands.paper_session import Pace, PaperSession
from longshort._commands.watch import steering_of, trained_model
from longshort.base.clock import MINUTE, SECOND
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.closing import Patience
from longshort.models.forecast import Forecast
from longshort.policy.exposure import Wishes
from longshort.policy.ledger import Ledger
from longshort.policy.limits.limited import Limited
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import LimitState
from longshort.study.market import load_bars
from longshort.trading.backtest import backtest
from longshort.trading.paper.account import PaperAccount
from longshort.trading.paper.diary import Line
from longshort.trading.strategy import PilotStrategy
from tests.followed import HISTORY, SteppedClock, exchange_of, start_of
from tests.loopback import Contract, Tape
from tests.loopback.candles import Candles

SOON = Patience(ask_s=0.02, deadline_s=1.6)
Order = tuple[int, str, str, float, str]


def shaken(tape: Tape, factor: float) -> Tape:
    """The same history, after which prices move so many times as far."""

    def shake(contract: Contract, candles: Candles) -> Candles:
        values, tick = candles.values.copy(), float(contract.tick)
        moved = (values[HISTORY:, :4] / values[HISTORY - 1, 3]) ** factor
        values[HISTORY:, :4] = np.round(values[HISTORY - 1, 3] * moved / tick) * tick
        return replace(candles, values=np.round(values, 8))

    reels = [
        replace(
            reel,
            prices={kind: shake(reel.contract, candles) for kind, candles in reel.prices.items()},
            _wide={},
        )
        for reel in tape.reels
    ]
    return replace(tape, reels=tuple(reels))


@dataclass(kw_only=True)
class Trader:
    """Moves the clock of a session, close by close."""

    session: PaperSession
    tape: Tape
    clock: SteppedClock
    working: "asyncio.Task[None]"
    lines: list[Line] = field(default_factory=list[Line])

    @property
    def account(self) -> PaperAccount:
        """The account, once it is open."""
        assert self.session.account is not None
        return self.session.account

    async def closes(self, first: int, last: int) -> None:
        """Let closes come, each in time and with its orders filled before the next."""
        for k in range(first, last + 1):
            self.clock.jump(start_of(self.tape) + k * MINUTE - SECOND // 20)
            await self.until(lambda k=k: self.account.closed_to >= start_of(self.tape) + k * MINUTE)
            await self.until(lambda: not self.account.awaited)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait, and raise what ended the session meanwhile."""
        while not holds():
            if self.working.done():
                self.working.result()
                raise AssertionError("the session has ended")
            await asyncio.sleep(0.01)


Script = Callable[[Trader], Awaitable[None]]


def trade(
    study: Study, tape: Tape, clock: SteppedClock, script: Script, *, pace: Pace | None = None
) -> list[Line]:
    """What a session says while a script moves the clock; it is stopped after that."""
    lines: list[Line] = []

    async def run() -> None:
        async with exchange_of(clock) as exchange:
            session = PaperSession(study, exchange, lines.extend, pace or Pace(patience=SOON))
            working = asyncio.create_task(session.run())
            trader = Trader(session=session, tape=tape, clock=clock, working=working, lines=lines)
            await trader.until(lambda: session.account is not None and session.is_live)
            await asyncio.sleep(0.7)  # until streams are open
            try:
                await script(trader)
            finally:
                session.stopping.set()
                await asyncio.wait([working])
            working.result()

    asyncio.run(run())
    return lines


class MindPilot:
    """The study's model as a backtest asks it; decisions of some closes are left out."""

    def __init__(self, study: Study, until_at: int, missed: Sequence[int] = ()) -> None:
        bars = load_bars(study).until(until_at)
        self._mind = FollowedMind(trained_model(study, bars), partial(steering_of, study, bars), bars)
        self._missed = set(missed)

    @property
    def forecast(self) -> Forecast | None:
        """What the model believes at the last close."""
        return self._mind.forecast

    def on_close(self, bars: Bars) -> Wishes:
        """The wishes, none at a close that is left out."""
        wishes = self._mind.step(bars, None)
        if int(bars.closed_at[0]) in self._missed:
            return Wishes.of(wishes.target * float("nan"))
        return wishes


def backtest_of(study: Study, tape: Tape, closes: int, missed: Sequence[int] = ()) -> Ledger:
    """The engine on the bars of the lake after the history, behind the study's limits."""
    bars = load_bars(study)
    start = len(bars.until(start_of(tape)))
    pilot = Limited(
        MindPilot(study, start_of(tape), missed), Limits(study.limits, LimitState.fresh(bars.symbols))
    )
    return backtest(bars[start : start + closes], pilot, study.costs.record, study.trading.starting_balance)


def spy_on_orders(patch: pytest.MonkeyPatch) -> list[Order]:
    """Every order that a strategy of ours submits from now on."""
    found: list[Order] = []

    def submit(self: Any, order: Any) -> None:
        symbol, side = str(order.instrument_id.symbol), order.side_string()
        found.append((self._closed_at, symbol, side, float(order.quantity), order.type_string()))
        Strategy.submit_order(self, order)

    patch.setattr(PilotStrategy, "submit_order", submit, raising=False)
    return found
