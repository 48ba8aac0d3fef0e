"""How sure is a Sharpe ratio? And how much of it is what the luckiest of many tries would show anyway.

All of it is per period unless a name says `per_year`, without a risk-free rate. The Sharpe ratio has the sample
deviation (ddof 1), as everywhere in this package; skewness and kurtosis (3 for a normal law) are the plain
moments of the sample (ddof 0), as the papers' formulas read them. Other conventions move the third digit.

Sources: Lo (2002), "The statistics of Sharpe ratios"; Ledoit and Wolf (2008), "Robust performance hypothesis
testing with the Sharpe ratio"; Politis and Romano (1994), "The stationary bootstrap"; Bailey and Lopez de Prado
(2012), "The Sharpe ratio efficient frontier", and (2014), "The deflated Sharpe ratio"; with Borwein and Zhu
(2014), "Pseudo-mathematics and financial charlatanism".
"""

from dataclasses import dataclass
from math import ceil, e, inf, isnan, nan, sqrt

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special

from longshort.study.significance import TWO_SIDED_95, critical_value, long_run_variance

Returns = Float64[np.ndarray, " time"]

LEAST_PERIODS = 20  # fewer returns say nothing about their own spread
LEVEL = 0.05
RESAMPLES = 2_000
EULER = 0.5772156649015329


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What the formulas need of a track record: its length, Sharpe ratio per period, skewness and kurtosis."""

    periods: int
    sharpe: float
    skewness: float = 0.0
    kurtosis: float = 3.0

    @classmethod
    def of(cls, returns: Returns) -> "Track":
        """The record of some returns; NaN throughout where they are too few or never vary."""
        sharpe = sharpe_ratio(returns)
        if isnan(sharpe):
            return cls(periods=len(returns), sharpe=nan, skewness=nan, kurtosis=nan)
        score = (returns - returns.mean()) / returns.std()
        return cls(
            periods=len(returns),
            sharpe=sharpe,
            skewness=float((score**3).mean()),
            kurtosis=float((score**4).mean()),
        )

    @property
    def spread(self) -> float:
        """The asymptotic deviation of `sharpe` times the root of the periods, for returns that are independent."""
        return sqrt(
            max(1.0 - self.skewness * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2, 0.0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A Sharpe ratio and its two-sided 95 % interval; NaN where there are too few returns."""

    sharpe: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """The same, per `factor` squared periods."""
        return Interval(sharpe=self.sharpe * factor, low=self.low * factor, high=self.high * factor)


def days_per_year(days: Int64[np.ndarray, " day"]) -> float:
    """How many of such days a year has, counted on the record itself: 365.25, or about 252 where weekends rest.

    >>> days_per_year(np.arange(100)), round(days_per_year(np.array([4, 7, 8, 9, 10])))
    (365.25, 261)
    """
    return 365.25 * len(days) / float(days[-1] - days[0] + 1) if len(days) else nan


def sharpe_ratio(returns: Returns) -> float:
    """Mean over sample deviation; NaN below `LEAST_PERIODS` returns, or where they never vary.

    >>> round(sharpe_ratio(np.tile([0.03, -0.01], 10)), 4)
    0.4873
    """
    if len(returns) < LEAST_PERIODS or np.ptp(returns) <= 1e-12 * np.abs(returns).max():
        return nan
    return float(returns.mean() / returns.std(ddof=1))


def hac_error(returns: Returns, *, lags: int) -> float:
    """The standard error of a Sharpe ratio by the delta method, returns allowed to depend on the past `lags`.

    The long-run variance of the Sharpe ratio's influence function is Bartlett's: the same number as from the
    matrix of mean and second moment in Ledoit and Wolf. With 0 lags it is `Track.spread / sqrt(T)`.
    """
    mean, deviation = returns.mean(), returns.std()
    score = (returns - mean) / deviation
    influence = score - mean / deviation / 2.0 * (score**2 - 1.0)
    return sqrt(long_run_variance(influence, lags=lags) / len(returns))


def hac_interval(returns: Returns, *, lags: int | None = None) -> Interval:
    """The delta-method interval with fixed-b critical values, which pay for the long-run variance's own error.

    By default `1.3 sqrt(T)` lags (Lazarus, Lewis, Stock and Watson 2018).
    """
    sharpe = sharpe_ratio(returns)
    if isnan(sharpe):
        return Interval(sharpe=nan, low=nan, high=nan)
    lags = ceil(1.3 * sqrt(len(returns))) - 1 if lags is None else lags
    half = critical_value(TWO_SIDED_95, (lags + 1) / len(returns)) * hac_error(returns, lags=lags)
    return Interval(sharpe=sharpe, low=sharpe - half, high=sharpe + half)


def bootstrap_interval(
    returns: Returns, *, resamples: int = RESAMPLES, mean_block: float | None = None, seed: int = 0
) -> Interval:
    """The percentile interval over stationary-bootstrap resamples, blocks of `T^(1/3)` periods by default.

    Not studentized: with few periods it is a little too narrow, the HAC interval beside it is the careful one.
    """
    sharpe = sharpe_ratio(returns)
    if isnan(sharpe):
        return Interval(sharpe=nan, low=nan, high=nan)
    rng = np.random.default_rng(seed)
    block = max(1.0, len(returns) ** (1 / 3)) if mean_block is None else mean_block
    drawn = returns[stationary_rows(len(returns), resamples, mean_block=block, rng=rng)]
    spread = drawn.std(axis=1, ddof=1)
    ratios = np.divide(drawn.mean(axis=1), spread, out=np.zeros_like(spread), where=spread > 0.0)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(sharpe=sharpe, low=float(low), high=float(high))


def stationary_rows(
    periods: int, resamples: int, *, mean_block: float, rng: np.random.Generator
) -> Int64[np.ndarray, "resample time"]:
    """Which rows each resample is made of: runs of consecutive rows, of geometric length, around the end."""
    shape = (resamples, periods)
    begins = rng.random(shape) < 1.0 / mean_block
    begins[:, 0] = True
    first = np.maximum.accumulate(np.where(begins, np.arange(periods), 0), axis=1)
    start = np.take_along_axis(rng.integers(periods, size=shape), first, axis=1)
    return (start + np.arange(periods) - first) % periods


def probabilistic_sharpe(track: Track, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio per period is above a benchmark (Bailey and Lopez de Prado 2012).

    Their fund: 24 months, Sharpe ratio .458 a month, skewness -2.448, kurtosis 10.164.

    >>> fund = Track(periods=24, sharpe=0.458, skewness=-2.448, kurtosis=10.164)
    >>> round(probabilistic_sharpe(fund), 3)
    0.913
    """
    if isnan(track.sharpe) or track.spread == 0.0:
        return nan
    return float(special.ndtr((track.sharpe - benchmark) * sqrt(track.periods - 1) / track.spread))


def least_track_record(track: Track, benchmark: float = 0.0, *, level: float = LEVEL) -> float:
    """How many periods it takes to be sure that a Sharpe ratio like this is above the benchmark (MinTRL, 2012).

    Infinite where it is not above the benchmark at all.

    >>> monthly = Track(periods=0, sharpe=2 / sqrt(12), skewness=-0.72, kurtosis=5.78)
    >>> round(least_track_record(monthly, 1 / sqrt(12)) / 12, 2)
    4.99
    """
    if isnan(track.sharpe):
        return nan
    if track.sharpe <= benchmark:
        return inf
    return 1.0 + (track.spread * float(special.ndtri(1.0 - level)) / (track.sharpe - benchmark)) ** 2


def expected_maximum(trials: int) -> float:
    """The largest of so many independent standard normal draws, on average, as the papers approximate it.

    >>> round(expected_maximum(10), 2), expected_maximum(1)
    (1.57, 0.0)
    """
    if trials < 2:
        return 0.0
    quantiles = special.ndtri([1.0 - 1.0 / trials, 1.0 - 1.0 / (trials * e)])
    return float((1.0 - EULER) * quantiles[0] + EULER * quantiles[1])


def luckiest_sharpe(periods: int, trials: int) -> float:
    """The best Sharpe ratio per period that so many tries without any skill reach on average."""
    return expected_maximum(trials) / sqrt(periods - 1)


def deflated_sharpe(track: Track, trials: int, *, variance: float | None = None) -> float:
    """The probability that the true Sharpe ratio is above what the luckiest of the trials would show (DSR, 2014).

    `variance` is that of the Sharpe ratio per period across trials. The default is its null variance
    `1 / (T - 1)`, what estimates of a true 0 scatter by (the moments drop out there). The variance observed
    across trials, which the paper takes, is here mostly the drag of costs: a trial that trades each hour has
    Sharpe -6, and a hundred such would make the luck expected of the best absurd. Trials that resemble each
    other count as independent ones, which is severe.

    >>> paper = Track(periods=1_250, sharpe=2.5 / sqrt(250), skewness=-3.0, kurtosis=10.0)
    >>> round(deflated_sharpe(paper, 100, variance=0.5 / 250), 4)
    0.9004
    """
    if isnan(track.sharpe):
        return nan
    spread = sqrt(1.0 / (track.periods - 1) if variance is None else variance)
    return probabilistic_sharpe(track, spread * expected_maximum(trials))


def least_backtest_years(trials: int, sharpe_per_year: float = 1.0) -> float:
    """The years below which the luckiest of so many worthless tries is expected to show such a Sharpe ratio (MinBTL).

    >>> round(least_backtest_years(45), 2)
    5.0
    """
    return (expected_maximum(trials) / sharpe_per_year) ** 2
