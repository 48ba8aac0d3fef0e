"""How large a position is: sizers under one contract, and the cap on a position's expected shortfall.

A sizer says what share of the equity each coin would have on `view.side`, from 0 on; NaN where it cannot say. It has
no memory. Caps on coins and on the book are applied to every sizer alike, afterwards.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from longshort.base.trading import PolicySettings
from longshort.features.kernels import compiled
from longshort.policy.rules.view import PerCoin, View

Outcomes = Float64[np.ndarray, "asset level"]

RARE = 1e-4  # outcomes rarer than this on either side are not counted, see `growth_optimal`
BISECTIONS = 60  # halvings of an interval: down to the last bit that matters
MOST = 1_000.0  # an exposure beyond which nothing is looked for
LEAST_TOGETHER = (
    0.1  # of the volatility of coins that move as one: no estimated hedge is believed to do better
)
LEAST_SHORTFALL = 1e-9  # a loss below which no position is capped


def _levels(nodes: int) -> tuple[tuple[float, ...], Float64[np.ndarray, " level"]]:
    """Gauss-Legendre on v with level = v^2 (3 - 2 v), which crowds the nodes where quantiles are steep."""
    place, weight = np.polynomial.legendre.leggauss(nodes)
    v = 0.5 * (place + 1.0)
    levels = RARE + (1.0 - 2.0 * RARE) * v * v * (3.0 - 2.0 * v)
    return tuple(levels.tolist()), 3.0 * weight * v * (1.0 - v)


def _tail(nodes: int) -> tuple[Float64[np.ndarray, " level"], Float64[np.ndarray, " level"]]:
    """Nodes and weights for a mean over (0, 1) of what is steep at 0: Gauss-Legendre on v with level = v^2."""
    place, weight = np.polynomial.legendre.leggauss(nodes)
    v = 0.5 * (place + 1.0)
    return v * v, weight * v


LEVELS, WEIGHTS = _levels(24)
TAIL_LEVELS, TAIL_WEIGHTS = _tail(12)


@runtime_checkable
class Sizer(Protocol):
    """Whatever says how large a position on a given side should be."""

    def size(self, view: View) -> PerCoin:
        """The share of equity per coin on `view.side`, from 0 on; NaN where it cannot be said."""
        ...


@dataclass(frozen=True, slots=True)
class VolatilityTarget:
    """Exposures at which the forecast volatility of the whole book is `volatility_target` per year.

    Without a correlation coins are taken to move as one, and each has an equal share, held or not.
    """

    policy: PolicySettings

    def size(self, view: View) -> PerCoin:
        """Inverse to the forecast volatility per year."""
        safe = np.where(view.known, view.volatility, 1.0)
        target, coins = self.policy.volatility_target, len(view.symbols)
        together = book_volatility(view.side * target, view)
        if together is None:
            return target / coins / safe
        return target * (target / together) / safe


@dataclass(frozen=True, slots=True)
class Kelly:
    """A fraction of the exposure that makes wealth grow fastest, after costs, by the whole forecast distribution.

    Without a correlation coins are taken to move as one, and each has an equal share of its exposure. With one, all are
    scaled by what their risks come to alone over what they come to together, at most 1: that is exact for small moves
    and coins of equal promise. Kelly (1956), "A new interpretation of information rate"; Thorp (2006), "The Kelly
    criterion in blackjack, sports betting and the stock market".
    """

    policy: PolicySettings

    def size(self, view: View) -> PerCoin:
        """Zero where the distribution does not pay for its costs."""
        if not view.side.any():
            return np.zeros(len(view.symbols))
        payoff = view.side[:, None] * np.expm1(outcomes(view)) - view.cost[:, None]
        alone = self.policy.kelly_fraction * growth_optimal(payoff)
        risk = np.where(view.known, alone * view.side * view.volatility, 0.0)
        together = book_volatility(risk, view)
        if together is None:
            return alone / len(view.symbols)
        return alone * min(1.0, float(np.sum(risk * risk)) / together**2)


SIZERS = {"volatility": VolatilityTarget, "kelly": Kelly}


def outcomes(view: View) -> Outcomes:
    """The forecast's quantiles at `LEVELS`: with `WEIGHTS`, a distribution to take means over."""
    return np.stack([view.quantile(level) for level in LEVELS], axis=-1)


def growth_optimal(payoff: Outcomes) -> PerCoin:
    """The exposure f from 0 on with the largest mean of log(1 + f payoff); NaN where a payoff is.

    The slope of the mean falls in f, so that its root is found by halving. With tails without an end no exposure above
    1 would ever be the best, nor any short, for some outcome would ruin it. So what is `RARE` does not count.

    >>> even = np.full((1, len(WEIGHTS)), 0.0)
    >>> growth_optimal(even).tolist()
    [0.0]
    """
    known = np.all(np.isfinite(payoff), axis=1)
    best = _steepest_end(np.where(known[:, None], payoff, 0.0), WEIGHTS)
    return np.where(known, best, np.nan)


@compiled
def _steepest_end(payoff: Outcomes, weights: Float64[np.ndarray, " level"]) -> PerCoin:
    """Per row, the last exposure at which one more still makes wealth grow faster."""
    found = np.zeros(len(payoff))
    for asset in range(len(payoff)):
        low, worst, mean = 0.0, 1.0 / MOST, 0.0
        for level in range(len(weights)):
            mean += payoff[asset, level] * weights[level]
            worst = max(worst, -payoff[asset, level])
        high = 1.0 / worst if mean > 0.0 else 0.0
        for _ in range(BISECTIONS):
            middle, slope = 0.5 * (low + high), 0.0
            for level in range(len(weights)):
                slope += weights[level] * payoff[asset, level] / (1.0 + middle * payoff[asset, level])
            if slope > 0.0:
                low = middle
            else:
                high = middle
        found[asset] = low
    return found


def book_volatility(risk: PerCoin, view: View) -> float | None:
    """The volatility of a book whose coins have the signed volatilities `risk`; None where it is not to be told.

    A pair without a correlation is counted as if it moved as one, to the worse; a hedge that looks nearly perfect is
    an estimate, and not believed beyond `LEAST_TOGETHER`. None also where a coin that is held has no forecast.
    """
    held = view.side != 0.0
    untold = np.logical_or(np.isnan(risk), np.logical_not(view.known))
    if view.correlation is None or not np.any(held) or np.any(np.logical_and(held, untold)):
        return None
    pairs = np.outer(risk, risk)
    moved = np.where(np.isfinite(view.correlation), pairs * view.correlation, np.abs(pairs))
    as_one = float(np.sum(np.abs(risk)))
    floor = LEAST_TOGETHER * as_one
    together = max(np.sqrt(max(float(np.sum(moved)), 0.0)), floor)
    return float(together) if together > 0.0 else None


def shortfall(view: View, level: float) -> PerCoin:
    """The mean loss of a position worth 1 on `view.side` over the worst `level` share of outcomes: its CVaR.

    Rockafellar and Uryasev (2000), "Optimization of conditional value-at-risk".
    """
    total = np.zeros(len(view.symbols))
    for node, weight in zip((level * TAIL_LEVELS).tolist(), TAIL_WEIGHTS.tolist(), strict=True):
        worst = np.where(view.side < 0.0, view.quantile(1.0 - node), view.quantile(node))
        total = total - weight * view.side * np.expm1(worst)
    return total


def shortfall_cap(view: View, policy: PolicySettings) -> PerCoin:
    """The exposure at which the expected shortfall is `cvar_limit` of equity; infinite without a limit, NaN unknown."""
    if policy.cvar_limit == 0.0:
        return np.full(len(view.symbols), np.inf)
    return policy.cvar_limit / np.maximum(shortfall(view, policy.cvar_level), LEAST_SHORTFALL)


def cost_band(wish: PerCoin, fill: float, risk_aversion: float) -> PerCoin:
    """How far from a wish a position may lie before a trade pays: it grows with the cube root of the cost.

    (3 / 2 * cost / risk aversion * wish^2)^(1/3): Janecek and Shreve (2004), "Asymptotic analysis for optimal
    investment and consumption with transaction costs", as Rogers (2004), "Why is the effect of proportional transaction
    costs O(delta^(2/3))?", explains it; that nothing is traded inside is Davis and Norman (1990). Their factor
    (1 - wish)^2, which is near 1 for small exposures and treats shorts otherwise than longs, is left out.

    >>> cost_band(np.array([0.2, -0.2]), 0.0006, 2.0).round(4).tolist()
    [0.0262, 0.0262]
    """
    return np.cbrt(1.5 * fill / risk_aversion * wish * wish)
