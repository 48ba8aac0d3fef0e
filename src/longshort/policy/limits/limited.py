"""A pilot behind its limits, for the backtest: the account is read from the very tables that booking fills in.

The engine attaches its desk and books once, before the first close. What was let through is recorded, so that the
vectorised ledger can book the same wishes. Live sessions call `Limits.gate` themselves, with a health of their own,
and watch the intervals of the model with the same object.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import NotComputable
from longshort.base.journal import Journal, MemoryJournal
from longshort.data.bars import Bars
from longshort.policy import booking
from longshort.policy.contract import UNITS, Books, Desk
from longshort.policy.decider import Decider
from longshort.policy.exposure import Exposure, Wishes
from longshort.policy.limits.breaches import Health
from longshort.policy.limits.intervals import IntervalWatch, forecast_of
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import BEFORE, AccountState

Judge = Callable[[Bars, Health], Health]


class Reading:
    """Reads an account's state at each close from what has been booked up to it."""

    def __init__(self, closed_at: Int64[np.ndarray, " time"], desk: Desk, books: Books) -> None:
        self._closed_at, self._desk, self._books = closed_at, desk, books
        self._row, self._fills = -1, 0
        self._earned = np.zeros(len(desk.held))

    def at(self, closed_at: int) -> AccountState:
        """The account at a close that has been written down; ask in time order."""
        row, made = int(np.searchsorted(self._closed_at, closed_at)), int(self._desk.purse["fills"][0])
        new, entries = self._books.fills[self._fills : made], self._books.entries[self._row + 1 : row + 1]
        np.add.at(self._earned, new["asset"], new["realized"] - new["fee"])
        self._earned -= entries["funding"].sum(axis=0)
        self._row, self._fills = row, made
        return AccountState(
            closed_at=closed_at,
            equity=float(self._books.balances["equity"][row]) / UNITS,
            held=held_notional(self._desk),
            earned=self._earned / UNITS,
        )


class Limited:
    """A pilot whose wishes pass the limits; `judge` may say what neither bars nor forecasts tell."""

    def __init__(
        self, pilot: Decider, limits: Limits, journal: Journal | None = None, judge: Judge | None = None
    ) -> None:
        self.limits = limits
        self._pilot = pilot
        self._journal = journal or MemoryJournal()
        self._judge = judge
        settings = limits.settings
        self._watch = IntervalWatch() if settings.max_band_multiple or settings.coverage_stop else None
        self._reading: Reading | None = None
        self._missing = np.zeros(len(limits.state.symbols))
        self._closed_at: list[int] = []
        self._passed: list[Wishes] = []

    def attach(self, closed_at: Int64[np.ndarray, " time"], desk: Desk, books: Books) -> None:
        """Read the account from these tables from now on; `closed_at` are the closes of their rows."""
        self._reading = Reading(closed_at, desk, books)

    def on_close(self, bars: Bars) -> Wishes:
        """What the limits leave of the pilot's wishes; raise `NotComputable` without an account."""
        if self._reading is None:
            raise NotComputable(
                "Limits cannot be judged without an account.", remedy="Attach it before the first close."
            )
        wishes, health = self._pilot.on_close(bars), self._health(bars)
        gated = self.limits.gate(self._reading.at(int(bars.closed_at[0])), wishes, health)
        for event in gated.events:
            self._journal.append(event)
        self._closed_at.append(int(bars.closed_at[0]))
        self._passed.append(gated.wishes)
        return gated.wishes

    @property
    def exposure(self) -> Exposure:
        """The wishes that were let through, one row per close: what the ledger books."""
        shape = (len(self._passed), len(self.limits.state.symbols))
        target, stop, take = (
            np.array([getattr(wishes, name) for wishes in self._passed]).reshape(shape)
            for name in Wishes._fields
        )
        closed_at = np.array(self._closed_at, dtype=np.int64)
        symbols = self.limits.state.symbols
        return Exposure(closed_at=closed_at, symbols=symbols, target=target, stop=stop, take=take)

    def _health(self, bars: Bars) -> Health:
        self._missing = np.where(bars.present[0] | ~bars.listed[0], 0.0, self._missing + 1.0)
        health = bars_health(bars, self._missing)
        if self._watch is not None:
            self._watch.on_close(bars, forecast_of(self._pilot))
            health = self._watch.judged(health)
        return self._judge(bars, health) if self._judge else health


def held_notional(desk: Desk) -> Float64[np.ndarray, " asset"]:
    """What each position is worth at its last close, signed, in settlement units."""
    worth = [
        booking.notional_units(float(coin.lots), float(coin.mark), terms) / UNITS if coin.lots else 0.0
        for coin, terms in zip(desk.held.view(np.recarray), desk.terms, strict=True)
    ]
    return np.array(worth, dtype=np.float64)


def bars_health(bars: Bars, missing: Float64[np.ndarray, " asset"]) -> Health:
    """What one closed row tells of itself; `missing` counts the bars that each coin lacks up to now.

    Of the model it tells nothing: that is `IntervalWatch`.
    """
    return Health(
        stale_bars=missing,
        price_gap=bars.close[0] / bars.mark_close[0] - 1.0,
        funding_known=bars.funding_covered[0] | ~bars.listed[0],
        rearmed_at=BEFORE,
    )
