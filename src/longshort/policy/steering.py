"""The rule that turns a forecast into a wish, one close at a time; batch and live run this one object.

Enter or turn where the forecast move exceeds the cost of a round trip; leave where the forecast turns against the
position; otherwise do nothing. Size by forecast volatility. What cannot be computed never adds exposure.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from longshort.base.instrument import Costs
from longshort.base.journal import Journal, MemoryJournal, StoodAside
from longshort.base.trading import PolicySettings
from longshort.models.forecast import Forecast
from longshort.policy.exposure import Exposure

PerCoin = Float64[np.ndarray, " asset"]
HOLD = np.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Everything the rule needs that does not change from bar to bar."""

    policy: PolicySettings
    costs: Costs
    bars_per_year: float


class Steering:
    """The rule and the exposures it last asked for."""

    def __init__(self, rule: Rule, symbols: tuple[str, ...], journal: Journal | None = None) -> None:
        self.rule = rule
        self.symbols = symbols
        self.held = np.zeros(len(symbols))
        self._journal = journal or MemoryJournal()
        self._silent = np.zeros(len(symbols), dtype=np.bool_)

    def step(self, forecast: Forecast) -> PerCoin:
        """The targets after a forecast of exactly one row; NaN: leave the position alone."""
        k = forecast.at(self.rule.policy.horizon_bars)
        mean = forecast.law.mean()[0, :, k]
        volatility = np.sqrt(
            forecast.law.variance()[0, :, k] * self.rule.bars_per_year / self.rule.policy.horizon_bars
        )
        self._note_silence(int(forecast.closed_at[0]), np.isfinite(mean) & np.isfinite(volatility))
        target = decide(mean, volatility, self.held, self.rule)
        self.held = np.where(np.isnan(target), self.held, target)
        return target

    def _note_silence(self, closed_at: int, known: np.ndarray) -> None:
        for asset in np.flatnonzero(~known & ~self._silent):
            self._journal.append(
                StoodAside(closed_at, self.symbols[asset], "no forecast: held, nothing added")
            )
        self._silent = ~known


def decide(mean: PerCoin, volatility: PerCoin, held: PerCoin, rule: Rule) -> PerCoin:
    """Targets from the expected log return over the horizon and the forecast volatility per year.

    >>> rule = Rule(policy=PolicySettings(), costs=Costs(), bars_per_year=8766.0)
    >>> decide(np.array([0.0020, 0.0005, np.nan]), np.array([0.5, 0.5, 0.5]), np.zeros(3), rule).round(3).tolist()
    [0.133, nan, nan]
    """
    policy = rule.policy
    known = np.isfinite(mean) & np.isfinite(volatility) & (volatility > 0)
    safe = np.where(known, volatility, 1.0)
    size = np.minimum(policy.volatility_target / len(mean) / safe, policy.max_exposure)
    enter = known & (np.abs(mean) > policy.entry_cost_multiple * rule.costs.round_trip)
    leave = known & ~enter & (mean * held < 0)
    keep = known & ~enter & ~leave & (held != 0)
    wish = np.where(
        enter, np.sign(mean) * size, np.where(leave, 0.0, np.where(keep, np.sign(held) * size, held))
    )
    wish = wish * min(1.0, policy.max_gross_exposure / max(float(np.abs(wish).sum()), 1e-12))
    adds = np.abs(wish) > np.abs(held)
    wish = np.where(keep & adds, held, wish)  # a position grows only where an entry pays for it
    settled = np.abs(wish - held) <= policy.no_trade_band * np.abs(wish)
    return np.where(settled & (np.sign(wish) == np.sign(held)), HOLD, wish)


def exposures(forecast: Forecast, steering: Steering) -> Exposure:
    """The targets of many rows, one `Steering.step` after the other."""
    targets = [steering.step(forecast[t : t + 1]) for t in range(len(forecast))]
    shape = (len(forecast), len(forecast.symbols))
    return Exposure(
        closed_at=forecast.closed_at,
        symbols=forecast.symbols,
        target=np.array(targets, dtype=np.float64).reshape(shape),
    )
