"""The rules that name a position from what is known at one close; no memory, no clock, no account.

What is held, and what else a rule may know, stands in the `View`. Whatever a rule says is then held to the limits that
hold for all of them: what is not known adds nothing, no coin and no book exceeds its cap.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from longshort.base.instrument import Costs
from longshort.base.trading import PolicySettings
from longshort.policy.rules.sizing import Sizer, VolatilityTarget, book_volatility, cost_band, shortfall_cap
from longshort.policy.rules.view import PerCoin, View

HOLD = np.nan
ROUNDING = 1e-12  # of a cap: how far the sum of many exposures may be over it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Everything a rule needs that does not change from bar to bar.

    `folder` is where files of the user's own are looked for; `learns_positions`: the model's head states positions.
    """

    policy: PolicySettings
    costs: Costs
    bars_per_year: float
    folder: Path = Path()
    learns_positions: bool = False


@runtime_checkable
class PolicyRule(Protocol):
    """Whatever names positions: ours, or the user's own."""

    def wish(self, view: View) -> PerCoin:
        """The exposure wished of each coin, as a signed fraction of equity; NaN leaves its position alone."""
        ...


@dataclass(frozen=True, slots=True)
class ByForecast:
    """Enter or turn where the forecast pays for a round trip; leave where it turns; otherwise only resize."""

    rule: Rule
    sizer: Sizer

    def wish(self, view: View) -> PerCoin:
        """Sized by the sizer, within the cap on expected shortfall, and only outside the no-trade band."""
        policy, known, held = self.rule.policy, view.known, view.held
        side, on = entry_side(view, self.rule), np.sign(held)
        enter = side != 0.0
        leave = known & ~enter & ((view.mean - on * np.nan_to_num(view.paid(on))) * held < 0)
        keep = known & ~enter & ~leave & (held != 0)
        wanted = np.where(enter, side, np.where(leave, 0.0, on))
        cost = np.where(enter, self.rule.costs.round_trip, 0.0) + np.nan_to_num(view.paid(wanted))
        meant = view.toward(wanted, cost)
        limit = shortfall_cap(meant, policy)
        size = np.minimum(np.minimum(self.sizer.size(meant), policy.max_exposure), limit)
        enter, keep = enter & np.isfinite(size), keep & np.isfinite(size)
        wish = np.where(enter, side * size, np.where(leave, 0.0, np.where(keep, on * size, held)))
        wish = wish * min(1.0, policy.max_gross_exposure / max(float(np.abs(wish).sum()), 1e-12))
        adds = np.abs(wish) > np.abs(held)
        wish = np.where(keep & adds, held, wish)  # a position grows only where an entry pays for it
        return _outside_band(wish, held, np.minimum(limit, policy.max_exposure), self.rule)


@dataclass(frozen=True, slots=True)
class ByPosition:
    """Go to the nearest end of the zone that a position head states, as it learnt to: it knows its costs itself.

    A full position has the share of the volatility target that a coin has; with a correlation, shares grow by what the
    head's wishes come to as one over what they come to together.
    """

    rule: Rule

    def wish(self, view: View) -> PerCoin:
        """NaN inside the zone, and where the model states none."""
        stance, policy = view.stance, self.rule.policy
        if stance is None:
            return np.full(len(view.symbols), HOLD)
        low, high, per_bar = stance.low[0], stance.high[0], stance.volatility[0]
        yearly = per_bar * np.sqrt(self.rule.bars_per_year)
        share = policy.volatility_target / len(view.symbols) * self._spread(0.5 * (low + high), view)
        full = np.minimum(share / yearly, policy.max_exposure)
        nearest = np.clip(view.held, low * full, high * full)
        moves = np.isfinite(nearest) & (nearest != view.held)
        return np.where(moves, np.clip(nearest, -policy.max_exposure, policy.max_exposure), HOLD)

    def _spread(self, middle: PerCoin, view: View) -> float:
        stated = np.nan_to_num(middle)
        together = book_volatility(stated, view.toward(np.sign(stated), view.cost))
        return 1.0 if together is None else float(np.abs(stated).sum()) / together


def entry_side(view: View, rule: Rule) -> PerCoin:
    """-1 or 1 where the forecast pays for entering a position on that side, else 0.

    What has to be paid is a round trip, times `entry_cost_multiple`, and the funding that is expected meanwhile: where
    it is unknown, nothing pays for it. By mean: the expected move is larger. By probability: at least
    `entry_probability` of the moves are.
    """
    toll = rule.policy.entry_cost_multiple * rule.costs.round_trip
    side = np.sign(view.mean)
    if rule.policy.entry == "mean":
        return np.where(view.known & (np.abs(view.mean) > toll + view.paid(side)), side, 0.0)
    ones = np.ones(len(side))
    up, down = 1.0 - view.cdf(toll + view.paid(ones)), view.cdf(-toll - view.paid(-ones))
    side = np.where(up > down, 1.0, np.where(down > up, -1.0, 0.0))
    enough = np.maximum(up, down) >= rule.policy.entry_probability
    return np.where(view.known & enough, side, 0.0)


def within_limits(target: PerCoin, view: View, policy: PolicySettings) -> PerCoin:
    """What a rule wished, held to what holds for all of them; what keeps to it is not changed.

    Without a forecast, or where expected funding counts and is unknown, a position may shrink and not grow. A book
    beyond its cap shrinks as a whole, positions that were to be left alone included.
    """
    held, asks = view.held, np.isfinite(target)
    after = np.where(asks, np.clip(target, -policy.max_exposure, policy.max_exposure), held)
    unsure = ~(view.known & np.isfinite(view.funding))
    turns = after * held < 0.0
    after = np.where(unsure & turns, 0.0, np.where(unsure & (np.abs(after) > np.abs(held)), held, after))
    gross = float(np.abs(after).sum())
    if gross > policy.max_gross_exposure * (1.0 + ROUNDING):
        after = after * (policy.max_gross_exposure / gross)
    return np.where((asks & (after == target)) | (after != held), after, HOLD)


def by_forecast(rule: Rule, sizer: Sizer | None = None) -> ByForecast:
    """The hand-written rule with a sizer, by default the volatility target."""
    return ByForecast(rule, sizer or VolatilityTarget(rule.policy))


def _outside_band(wish: PerCoin, held: PerCoin, cap: PerCoin, rule: Rule) -> PerCoin:
    same, within = np.sign(wish) == np.sign(held), ~(np.abs(held) > cap)
    if rule.policy.band == "share":
        settled = np.abs(wish - held) <= rule.policy.no_trade_band * np.abs(wish)
        return np.where(settled & same & within, HOLD, wish)
    width = cost_band(wish, rule.costs.fill, 1.0 / rule.policy.kelly_fraction)
    near = np.clip(held, wish - width, wish + width)
    near = np.where(np.sign(near) == np.sign(wish), near, 0.0)
    near = np.where(np.isnan(cap), near, np.clip(near, -cap, cap))
    return np.where(near == held, HOLD, near)
