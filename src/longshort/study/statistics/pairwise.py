"""One forecaster against another, by the tests that the literature knows under their authors' names.

A gain is the opponent's loss minus the model's, per instant on an even grid: NaN where nothing is scored, the
places kept. Where losses cluster, as those of volatility do, the first test is too sure of itself: the house
test of `significance` and `long_run` are not. Nothing here corrects for many tests.
"""

from dataclasses import dataclass
from math import ceil, isfinite, nan, sqrt

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special

from longshort.study.significance import lags_for, long_run_variance, mean_above_zero

Series = Float64[np.ndarray, " time"]
Rows = Int64[np.ndarray, " time"]
Values = Float64[np.ndarray, "..."]
Part = Float64[np.ndarray, " _"]  # of a series: its first or last instants may be gone
Moments = Float64[np.ndarray, "_ instrument"]

LEAST = 20  # scored instants, below which no asymptotic law is trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """A statistic and its p-value; `mean` is the mean gain, `lags` how many autocovariances count.

    `p_value` is one-sided ("the model is not better") but for `giacomini_white`, which has no sides. Where no test
    is possible `reason` says why, the statistic is NaN and the p-value 1.
    """

    statistic: float
    p_value: float
    mean: float
    n: int
    lags: int
    reason: str = ""


def diebold_mariano(gain: Series, *, horizon_bars: int) -> PairTest:
    """Diebold and Mariano's test with the correction of Harvey, Leybourne and Newbold, one-sided.

    The variance has `horizon_bars - 1` autocovariances, unweighted, and the statistic is compared with Student's t of
    T - 1 degrees of freedom. Right where gains are no more dependent than overlapping labels make them; that sum of
    covariances can turn out negative, and then there is no test.

    Diebold and Mariano (1995), Journal of Business & Economic Statistics 13, 253-263; Harvey, Leybourne and Newbold
    (1997), International Journal of Forecasting 13, 281-291: `sqrt((T + 1 - 2h + h(h - 1) / T) / T)`.

    >>> round(diebold_mariano(np.tile([1.0, 2.0, 3.0], 10), horizon_bars=1).statistic, 4)
    13.1909
    """
    gain, n = _trimmed(gain)
    lags = horizon_bars - 1
    if n < max(LEAST, 2 * horizon_bars):
        return _untested(gain, n, lags, f"{n:,} instants are scored")
    variance = truncated_variance(gain, lags=lags)
    if variance <= 0.0:
        return _untested(gain, n, lags, f"the variance with {lags} lags is not above zero")
    mean = float(np.nanmean(gain))
    shrunk = sqrt((n + 1 - 2 * horizon_bars + horizon_bars * lags / n) / n)
    statistic = shrunk * mean / sqrt(variance / n)
    p = float(special.stdtr(n - 1, -statistic))
    return PairTest(statistic=statistic, p_value=p, mean=mean, n=n, lags=lags)


def long_run(gain: Series, *, horizon_bars: int, lags: int | None = None) -> PairTest:
    """Diebold and Mariano's test with Bartlett's long-run variance, one-sided.

    `lags` are `significance.lags_for` unless told: at least 24 + 2 horizons, and 4 sqrt(T). The p-value pays for them
    with the fixed-b law of Kiefer and Vogelsang (2005), Econometric Theory 21, 1130-1164; the statistic is the t-value
    of a regression on a constant with Newey and West's covariance.
    """
    gain, n = _trimmed(gain)
    lags = lags_for(len(gain), horizon_bars) if lags is None else lags
    found = mean_above_zero(gain, lags=lags)
    if found.reason:
        return _untested(gain, n, lags, found.reason)
    statistic = found.mean / sqrt(long_run_variance(gain, lags=lags) / n)
    return PairTest(statistic=statistic, p_value=found.p_value, mean=found.mean, n=n, lags=lags)


def giacomini_white(gain: Series, *, horizon_bars: int) -> PairTest:
    """Whether the gain could have been told beforehand: from a constant and the last gain known by then.

    The instruments of the gain of a forecast made at row t are `(1, gain[t - horizon])`, both known at t. One bar
    ahead the statistic is n times the R² without a mean of a regression of 1 on instruments times gain; beyond, the
    moments' covariance takes in `horizon_bars - 1` lags with Bartlett's weights. Chi-square of two degrees, no sides:
    a small p says that one is better on average *or* at times that can be known; `favored` says who and how often.

    The theory is one of estimation windows of fixed length; with expanding ones read it as description.
    Giacomini and White (2006), Econometrica 74, 1545-1578.
    """
    moments, lags = _moments(gain, horizon_bars), horizon_bars - 1
    n = len(moments)
    mean = float(np.nanmean(gain)) if np.isfinite(gain).any() else nan
    if n < max(LEAST, 2 * horizon_bars):
        return PairTest(statistic=nan, p_value=1.0, mean=mean, n=n, lags=lags, reason=f"{n:,} pairs of gains")
    spread = _covariance(moments, lags)
    if np.linalg.matrix_rank(spread, hermitian=True) < spread.shape[0]:
        reason = "the gain hardly varies"
        return PairTest(statistic=nan, p_value=1.0, mean=mean, n=n, lags=lags, reason=reason)
    average = moments.mean(axis=0)
    statistic = float(n * average @ np.linalg.solve(spread, average))
    p = float(special.chdtrc(spread.shape[0], statistic))
    return PairTest(statistic=statistic, p_value=p, mean=mean, n=n, lags=lags)


def favored(gain: Series, *, horizon_bars: int) -> float:
    """The share of instants at which the last known gain speaks for the model: Giacomini and White's decision rule.

    The gain is regressed on the instruments of `giacomini_white`; the share is of fitted values above zero.

    >>> round(favored(np.tile([1.0, -1.0], 50), horizon_bars=1), 2)
    0.49
    """
    known = np.isfinite(gain[horizon_bars:]) & np.isfinite(gain[:-horizon_bars])
    before, after = gain[:-horizon_bars][known], gain[horizon_bars:][known]
    if len(after) < LEAST:
        return nan
    instruments = np.column_stack([np.ones_like(before), before])
    weights = np.linalg.lstsq(instruments, after, rcond=None)[0]
    return float(np.mean(instruments @ weights > 0.0))


def adjusted_gain(outcome: Values, small: Values, large: Values) -> Values:
    """Clark and West's gain in squared error of a larger model over one that it nests.

    `(y - small)² - [(y - large)² - (small - large)²]`: what estimating the needless parameters costs is given back,
    for without it a larger model that is no better loses on average.

    >>> adjusted_gain(np.array([2.0]), np.array([0.0]), np.array([0.5])).tolist()
    [2.0]
    """
    return (outcome - small) ** 2 - ((outcome - large) ** 2 - (small - large) ** 2)


def clark_west(adjusted: Series, *, horizon_bars: int, lags: int | None = None) -> PairTest:
    """Whether a larger model holds anything that the one it nests does not, from its `adjusted_gain`, one-sided.

    The t-value of the mean with the long-run variance of `long_run`. Winning does not say that the larger model
    forecasts better as it was estimated: only that what it adds is not nothing.

    Clark and West (2007), Journal of Econometrics 138, 291-311.
    """
    return long_run(adjusted, horizon_bars=horizon_bars, lags=lags)


def truncated_variance(gain: Series, *, lags: int) -> float:
    """The variance of a mean times n with `lags` unweighted autocovariances; NaN rows keep their place.

    >>> truncated_variance(np.array([1.0, -1.0, 1.0, -1.0]), lags=1)
    -0.5
    """
    scored = np.isfinite(gain)
    centered = np.where(scored, gain - gain[scored].mean(), 0.0)
    covariances = [centered[k:] @ centered[: len(centered) - k] for k in range(1, lags + 1)]
    return float((centered @ centered + 2.0 * sum(covariances)) / scored.sum())


def understatement(gain: Series, *, horizon_bars: int) -> float:
    """How many times larger the long-run standard error is than the one with `horizon_bars - 1` lags.

    About 1: the test of `diebold_mariano` may be believed. NaN where either is undefined.
    """
    gain, n = _trimmed(gain)
    if n < LEAST:
        return nan
    short = truncated_variance(gain, lags=horizon_bars - 1)
    whole = long_run_variance(gain, lags=lags_for(len(gain), horizon_bars))
    return sqrt(whole / short) if short > 0.0 and isfinite(whole) else nan


def on_even_grid(gain: Series, grid_row: Rows, *, horizon_bars: int) -> tuple[Part, int]:
    """The gain on the widest even grid that holds every scored instant, and the horizon in its steps.

    A forecaster that speaks once a day is tested day by day: forecasts one bar to a day ahead do not overlap then.

    >>> sparse = np.array([np.nan, 1.0, np.nan, 2.0, np.nan, 3.0])
    >>> on_even_grid(sparse, np.arange(6), horizon_bars=4)
    (array([1., 2., 3.]), 2)
    """
    scored = np.flatnonzero(np.isfinite(gain))
    if not len(scored):
        return gain[:0], horizon_bars
    step = int(np.gcd.reduce(np.diff(grid_row[scored]))) or 1
    rows = (grid_row[scored] - grid_row[scored[0]]) // step
    spaced = np.full(int(rows[-1]) + 1, nan)
    spaced[rows] = gain[scored]
    return spaced, ceil(horizon_bars / step)


def _trimmed(gain: Series) -> tuple[Part, int]:
    """From the first to the last scored instant, and how many are scored."""
    scored = np.flatnonzero(np.isfinite(gain))
    return (gain[scored[0] : scored[-1] + 1], len(scored)) if len(scored) else (gain[:0], 0)


def _untested(gain: Part, n: int, lags: int, reason: str) -> PairTest:
    mean = float(np.nanmean(gain)) if n else nan
    return PairTest(statistic=nan, p_value=1.0, mean=mean, n=n, lags=lags, reason=reason)


def _moments(gain: Series, horizon_bars: int) -> Moments:
    """Instruments times gain, in units of the gain's own size, where both gains are scored."""
    before, after = gain[:-horizon_bars], gain[horizon_bars:]
    known = np.isfinite(before) & np.isfinite(after)
    size = float(np.sqrt(np.nanmean(gain**2))) if known.any() else 1.0
    before, after = before[known] / (size or 1.0), after[known] / (size or 1.0)
    return np.column_stack([after, before * after])


def _covariance(moments: Moments, lags: int) -> Float64[np.ndarray, "instrument instrument"]:
    n = len(moments)
    spread = moments.T @ moments / n
    for lag in range(1, lags + 1):
        shared = moments[lag:].T @ moments[: n - lag] / n
        spread += (1.0 - lag / (lags + 1)) * (shared + shared.T)
    return spread
