"""The rule at work, one close after another; batch and live run this one object.

It gathers what the rule may know of a close, holds what it wishes to the limits, and follows its own wishes: what is
held, and which exits were reached. What cannot be computed never adds exposure.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from longshort.base.errors import DataError
from longshort.base.journal import Journal, MemoryJournal, StoodAside
from longshort.data.bars import Bars
from longshort.features.panel import Panel
from longshort.models.forecast import Forecast
from longshort.policy.exposure import Exposure, Wishes
from longshort.policy.rules.carry import Carry
from longshort.policy.rules.catalog import ByForecast, Rule, entry_side, within_limits
from longshort.policy.rules.comovement import Comovement
from longshort.policy.rules.exits import Exits, uses_exits
from longshort.policy.rules.own import rule_named
from longshort.policy.rules.view import PerCoin, View, law_over


class Sight(NamedTuple):
    """A market's bars and panel, row by row the same closes."""

    bars: Bars
    panel: Panel


class Steering:
    """The rule, the exposures it last asked for, and what it has seen of the market."""

    def __init__(self, rule: Rule, symbols: tuple[str, ...], journal: Journal | None = None) -> None:
        self.rule = rule
        self.symbols = symbols
        self.held = np.zeros(len(symbols))
        self._decides = rule_named(rule)
        self._journal = journal or MemoryJournal()
        self._silent = np.zeros(len(symbols), dtype=np.bool_)
        self._exits = Exits(rule, len(symbols)) if uses_exits(rule.policy) else None
        self._forget()

    @property
    def needs_sight(self) -> bool:
        """True where the study's rule needs to see bars, not forecasts alone."""
        policy = self.rule.policy
        return policy.correlation or policy.funding_aware or self._exits is not None

    def warm(self, sight: Sight) -> None:
        """Begin anew with what a history shows of the market; what is held stays as it is."""
        self._forget()
        if not self.needs_sight or not len(sight.bars):
            return
        rows = max(self._carry.context_rows(sight.bars), self._comovement.context_rows)
        for t in range(max(0, len(sight.bars) - rows), len(sight.bars)):
            self._look(Sight(sight.bars[t : t + 1], sight.panel[t : t + 1]))

    def see(self, sight: Sight) -> None:
        """Take in the one row that just closed: needed before each step of a rule that needs sight."""
        if not self.needs_sight:
            return
        self._look(sight)
        if self._exits is not None:
            for reached in self._exits.advance(sight.bars):
                self._journal.append(reached)
            self.held = self._exits.held

    def step(self, forecast: Forecast) -> Wishes:
        """What is wished after a forecast of exactly one row."""
        if self.needs_sight and self._seen_at != int(forecast.closed_at[0]):
            raise DataError(
                "this policy measures correlation, funding or exits, and has not seen the bar of its forecast."
            )
        view = self._view(forecast)
        self._note_silence(view.closed_at, view.known)
        target = within_limits(self._decides.wish(view), view, self.rule.policy)
        if self._exits is None:
            wishes = Wishes.of(target)
        else:
            wishes = Wishes(*self._exits.settle(self._left(target, view), view))
        self.held = np.where(np.isnan(wishes.target), self.held, wishes.target)
        return wishes

    def state(self) -> dict[str, np.ndarray]:
        """What a restart needs beside `warm`: what is held, and where it would be left."""
        exits = {} if self._exits is None else self._exits.state()
        return {"held": self.held, "silent": self._silent} | {f"exits/{n}": v for n, v in exits.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another steering of the same study was."""
        self.held, self._silent = state["held"].copy(), state["silent"].copy()
        if self._exits is not None:
            kept = {n.removeprefix("exits/"): v for n, v in state.items() if n.startswith("exits/")}
            self._exits.restore(kept)

    def _forget(self) -> None:
        self._carry = Carry(len(self.symbols))
        self._comovement = Comovement(len(self.symbols), self.rule.policy.correlation_halflife_bars)
        self._seen_at = -1

    def _look(self, sight: Sight) -> None:
        self._seen_at = int(sight.bars.closed_at[0])
        self._carry.see(sight.bars)
        if self.rule.policy.correlation:
            with np.errstate(divide="ignore", invalid="ignore"):
                scaled = sight.panel.log_return[0] / sight.panel.volatility[0]
            self._comovement.see(int(sight.panel.grid_row[0]), scaled)

    def _view(self, forecast: Forecast) -> View:
        policy, coins = self.rule.policy, len(self.symbols)
        k = forecast.at(policy.horizon_bars)
        variance = forecast.law.variance()[0, :, k]
        law, horizon = law_over(forecast.law, k)
        return View(
            closed_at=int(forecast.closed_at[0]),
            symbols=self.symbols,
            law=law,
            horizon=horizon,
            horizon_bars=policy.horizon_bars,
            mean=forecast.law.mean()[0, :, k],
            deviation=np.sqrt(variance),
            volatility=np.sqrt(variance * self.rule.bars_per_year / policy.horizon_bars),
            held=self.held,
            funding=self._carry.expected(policy.horizon_bars) if policy.funding_aware else np.zeros(coins),
            side=np.zeros(coins),
            cost=np.zeros(coins),
            correlation=self._comovement.correlation() if policy.correlation else None,
            stance=forecast.stance,
        )

    def _left(self, target: PerCoin, view: View) -> PerCoin:
        """Targets with nothing wished of what an exit has left or what was held long enough."""
        assert self._exits is not None
        entering = entry_side(view, self.rule) if isinstance(self._decides, ByForecast) else view.side
        return np.where((self._exits.left != 0.0) | self._exits.overdue(entering), 0.0, target)

    def _note_silence(self, closed_at: int, known: Bool[np.ndarray, " asset"]) -> None:
        for asset in np.flatnonzero(~known & ~self._silent):
            self._journal.append(
                StoodAside(closed_at, self.symbols[asset], "no forecast: held, nothing added")
            )
        self._silent = ~known


def exposures(forecast: Forecast, steering: Steering, sight: Sight | None = None) -> Exposure:
    """The wishes of many rows, one `Steering.step` after the other; `sight` holds their bars and those before them."""
    first = 0
    if sight is not None and len(forecast):
        first = int(np.searchsorted(sight.bars.closed_at, forecast.closed_at[0]))
        steering.warm(Sight(sight.bars[:first], sight.panel[:first]))
    wishes: list[Wishes] = []
    for t in range(len(forecast)):
        if sight is not None and steering.needs_sight:
            row = slice(first + t, first + t + 1)
            steering.see(Sight(sight.bars[row], sight.panel[row]))
        wishes.append(steering.step(forecast[t : t + 1]))
    shape = (len(forecast), len(forecast.symbols))
    target, stop, take = (
        np.array([getattr(w, name) for w in wishes], dtype=np.float64).reshape(shape)
        for name in Wishes._fields
    )
    return Exposure(
        closed_at=forecast.closed_at, symbols=forecast.symbols, target=target, stop=stop, take=take
    )
