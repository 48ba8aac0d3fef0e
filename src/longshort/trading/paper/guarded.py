"""What decides in a paper session: a mind behind the limits, with a health that is partly told from outside.

What the machine's clock and the run folder say is asked once, after the mind has spoken, and is part of the journal; a
replay is told it instead. A decision that is missed is formed like any other and then not followed.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from longshort.base.journal import Event
from longshort.data.bars import Bars
from longshort.policy.contract import UNITS
from longshort.policy.exposure import Wishes
from longshort.policy.limits.breaches import Health
from longshort.policy.limits.intervals import IntervalWatch, forecast_of
from longshort.policy.limits.limited import bars_health, held_notional
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import BEFORE, AccountState
from longshort.trading.paper.growing import GrowingBooks


@runtime_checkable
class Mind(Protocol):
    """Whatever forms wishes, close after close, and can be told that the past was otherwise."""

    def step(self, row: Bars, past: Bars | None) -> Wishes:
        """The wishes at one more closed row; `past` are the rows before it where some have changed, else None."""
        ...


@runtime_checkable
class Lasting(Protocol):
    """A mind that can be put back where it was; one that cannot is told everything anew."""

    def state(self) -> Mapping[str, np.ndarray] | None:
        """What it goes on from, together with the last bars; None where it cannot say."""
        ...

    def restore(self, state: Mapping[str, np.ndarray], bars: Bars) -> None:
        """Go on where another one was; `bars` are the last ones before it, as they were believed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a decision depends on beside bars and account; `missed` says why it is not followed (empty: it is).

    `expires_at` is when the model is too old to be believed; None: it has no expiry.
    """

    missed: str = ""
    killed: str = ""
    rearmed_at: int = BEFORE
    expires_at: int | None = None


class Guarded:
    """A `Decider` for the strategy of a session; `ask` is called once per close, after the mind has spoken."""

    def __init__(self, mind: Mind, limits: Limits, books: GrowingBooks) -> None:
        self.limits = limits
        self._mind = mind
        self._books = books
        self.watch = IntervalWatch()
        self._missing = np.zeros(len(books.coins))
        self._earned, self._fills = np.zeros(len(books.coins)), 0
        self.past: Bars | None = None
        self.ask: Callable[[], Circumstances] = Circumstances
        self.events: tuple[Event, ...] = ()
        self.circumstances = Circumstances()
        self.wished = Wishes.of(np.zeros(0))
        self.passed = self.wished

    def on_close(self, bars: Bars) -> Wishes:
        """What is left of the wishes; those of a missed decision leave positions and their exits as they are."""
        self.wished = self._mind.step(bars, self.past)
        self.circumstances = self.ask()
        self.watch.on_close(bars, forecast_of(self._mind))
        gated = self.limits.gate(self._account(int(bars.closed_at[0])), self._followed(), self._health(bars))
        self.events = gated.events
        self.passed = self._unchanged() if self.circumstances.missed else gated.wishes
        return self.passed

    def state(self) -> dict[str, np.ndarray]:
        """What it goes on from beside its mind and the limits' record."""
        counted = {"missing": self._missing, "earned": self._earned, "fills": np.array([self._fills])}
        return counted | {f"watch/{name}": part for name, part in self.watch.state().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another one was."""
        self._missing, self._earned = state["missing"].copy(), state["earned"].copy()
        self._fills = int(state["fills"][0])
        self.watch.restore(
            {n.removeprefix("watch/"): part for n, part in state.items() if n.startswith("watch/")}
        )

    def _followed(self) -> Wishes:
        return self._unchanged() if self.circumstances.missed else self.wished

    def _unchanged(self) -> Wishes:
        held = self._books.desk.held
        return Wishes(np.full(len(held), np.nan), held["stop"].copy(), held["take"].copy())

    def _health(self, bars: Bars) -> Health:
        self._missing = np.where(bars.present[0] | ~bars.listed[0], 0.0, self._missing + 1.0)
        told = self.circumstances
        return replace(
            self.watch.judged(bars_health(bars, self._missing)),
            model_expires_at=told.expires_at,
            killed=told.killed,
            rearmed_at=told.rearmed_at,
        )

    def _account(self, closed_at: int) -> AccountState:
        """The account at the close that has just been written down."""
        books, row = self._books, self._books.rows
        made = int(books.desk.purse["fills"][0])
        new = books.books.fills[self._fills : made]
        np.add.at(self._earned, new["asset"], new["realized"] - new["fee"])
        self._earned -= books.books.entries["funding"][row]
        self._fills = made
        return AccountState(
            closed_at=closed_at,
            equity=float(books.books.balances["equity"][row]) / UNITS,
            held=held_notional(books.desk),
            earned=(self._earned - books.late_funding) / UNITS,
            deposited=books.moved / UNITS,
        )
