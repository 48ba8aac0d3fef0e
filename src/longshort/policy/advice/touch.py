"""How likely a price is to reach a level within a horizon, where the forecast says only where it will end.

The path is taken to be a Brownian motion with drift, on a clock of its own, whose variance over the horizon is random:
so that its end has a fat-tailed law. Given the end x and the variance V, it reaches a level b > x on its way with
probability exp(-2 b (b - x) / V), whatever the drift: the maximum of a Brownian bridge, Karatzas and Shreve (1991),
"Brownian Motion and Stochastic Calculus", 4.3.40; Glasserman (2003), "Monte Carlo Methods in Financial Engineering",
6.4. The end follows the forecast's own law; V, given the end, that of the Student t with the law's quartiles and its
5 and 95 % quantiles, for which the mean of the exponential is a power. Without drift and skew this is the reflection
principle: twice the probability of ending beyond the level.

A real path gaps: what it jumps over counts as reached, though nobody trades there.
"""

import numpy as np
from scipy import special

from longshort.models.forecast import Law, Values

NODES = 240  # of the integral over where the path ends
REACH = 60.0  # scales below the level from which nothing comes back
HALVINGS = 50
LEAST_DF, MOST_DF = 2.05, 500.0


def touch_probability(law: Law, barrier: Values) -> Values:
    """The probability that the log price moves by `barrier` (below 0: down) at any time before the horizon.

    NaN where the law or the barrier is unknown; 1 where the barrier is no move at all.

    >>> from longshort.models.forecast import StudentT
    >>> flat, far = np.zeros((1, 1, 1)), np.full((1, 1, 1), -0.03)
    >>> law = StudentT(loc=flat, scale=flat + 0.01, df=flat + 5.0)
    >>> round(touch_probability(law, far).item(), 4), round(2.0 * law.cdf(far).item(), 4)
    (0.0301, 0.0301)
    """
    up = np.where(barrier < 0.0, -1.0, 1.0)
    level = np.abs(barrier)
    middle, scale, df = _alike(law)
    middle = up * middle
    span = np.maximum(level - middle, 0.0) + REACH * scale
    beyond = np.where(up > 0.0, 1.0 - law.cdf(level), law.cdf(-level))
    reached, edge = beyond.copy(), _share_below(law, level, up)
    for place in (np.arange(1, NODES + 1) / NODES) ** 3:
        end = level - span * place
        share = _share_below(law, end, up)
        halfway = level - span * 0.5 * (place + (max(place ** (1 / 3) - 1 / NODES, 0.0)) ** 3)
        reached = reached + (edge - share) * _on_the_way(halfway, level, middle, scale, df)
        edge = share
    return np.where(level > 0.0, np.clip(reached, 0.0, 1.0), np.where(np.isnan(reached), np.nan, 1.0))


def _on_the_way(end: Values, level: Values, middle: Values, scale: Values, df: Values) -> Values:
    """The probability of having been at the level for a path that ends below it."""
    far = 4.0 * level * (level - end) / (df * scale**2 + (end - middle) ** 2)
    return np.exp(-0.5 * (df + 1.0) * np.log1p(far))


def _share_below(law: Law, end: Values, up: Values) -> Values:
    """The share of paths that end below a level, seen in the barrier's direction."""
    return np.where(up > 0.0, law.cdf(end), 1.0 - law.cdf(-end))


def _alike(law: Law) -> tuple[Values, Values, Values]:
    """Median, scale and degrees of freedom of the Student t that spreads as a law does."""
    inner = law.quantile(0.75) - law.quantile(0.25)
    outer = law.quantile(0.95) - law.quantile(0.05)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = outer / inner
    low, high = np.full(ratio.shape, np.log(LEAST_DF)), np.full(ratio.shape, np.log(MOST_DF))
    for _ in range(HALVINGS):
        half = 0.5 * (low + high)
        fatter = special.stdtrit(np.exp(half), 0.95) / special.stdtrit(np.exp(half), 0.75) > ratio
        low, high = np.where(fatter, half, low), np.where(fatter, high, half)
    df = np.exp(0.5 * (low + high))
    return law.quantile(0.5), 0.5 * inner / special.stdtrit(df, 0.75), df
