"""Does a forecast know which coin will do best: the rank correlation across coins at each instant."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from longshort.study.significance import TWO_SIDED_95, skill_test

PerCoin = Float64[np.ndarray, "time asset"]
Series = Float64[np.ndarray, " time"]
Rows = Int64[np.ndarray, " time"]

LEAST_COINS = 3  # the rank correlation of two is a coin toss


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The mean rank correlation, how sure it is, and how steady.

    `p_value` (one-sided) and `half_width` (95 %) are the house test's; `t` is the normal equivalent of the latter, its
    price for the bandwidth paid. `ratio` is the mean over the standard deviation of single instants (the ICIR, not
    annualised); `positive` is the share of instants above zero.
    """

    mean: float
    half_width: float
    t: float
    p_value: float
    ratio: float
    positive: float
    n: int
    reason: str = ""


def rank_correlation(forecast: PerCoin, outcome: PerCoin) -> Series:
    """Spearman's correlation across the coins of each instant; NaN with fewer than 3, or where all are equal.

    >>> rank_correlation(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]), np.array([[5.0, 7.0, 6.0]] * 2)).tolist()
    [0.5, nan]
    """
    scored = np.isfinite(forecast) & np.isfinite(outcome)
    a, b = _centered_ranks(forecast, scored), _centered_ranks(outcome, scored)
    energy = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    defined = (scored.sum(axis=1) >= LEAST_COINS) & (energy > 0.0)
    return np.where(defined, (a * b).sum(axis=1) / np.where(defined, energy, 1.0), np.nan)


def ranking(correlation: Series, grid_row: Rows, *, horizon_bars: int) -> Ranking:
    """The mean of a series of rank correlations, tested."""
    known = correlation[~np.isnan(correlation)]
    test = skill_test(correlation, grid_row, horizon_bars=horizon_bars)
    if not len(known):
        return Ranking(
            mean=test.mean, half_width=test.half_width, t=test.mean, p_value=test.p_value, ratio=test.mean,
            positive=test.mean, n=0, reason=test.reason,
        )  # fmt: skip
    spread = float(known.std())
    return Ranking(
        mean=test.mean,
        half_width=test.half_width,
        t=TWO_SIDED_95 * test.mean / test.half_width if test.half_width > 0.0 else float("nan"),
        p_value=test.p_value,
        ratio=test.mean / spread if spread > 0.0 else float("nan"),
        positive=float((known > 0.0).mean()),
        n=len(known),
        reason=test.reason,
    )


def _centered_ranks(values: PerCoin, scored: np.ndarray) -> PerCoin:
    """Average ranks among the scored coins of each row, less their mean; 0 for the others."""
    ranks = np.zeros(values.shape)
    for other in range(values.shape[1]):
        theirs, there = values[:, other : other + 1], scored[:, other : other + 1]
        with np.errstate(invalid="ignore"):
            below = np.sign(values - theirs) * 0.5
        ranks += np.where(there & scored, below, 0.0)
    return ranks
