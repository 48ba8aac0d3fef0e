"""What hourly crypto returns are like, in a dozen numbers: to hold a simulated market against a real one.

Each fact is computed per coin from log returns between bars that are both present, then averaged over coins
(the kurtosis, which one wild bar can carry away, by its median). What an interval cannot show is NaN.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.clock import DAY, HOUR
from longshort.data.bars import Bars, Grid

Hours = Float64[np.ndarray, " hour"]
MONDAY = 3  # days after 1970-01-01, a Thursday, count from here
FAR = 4.0  # standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The stylised facts of one market."""

    coins: int
    bars: int
    volatility_per_year: float
    kurtosis: float
    autocorrelation_1h: float
    autocorrelation_24h: float
    autocorrelation_168h: float
    cross_correlation: float
    hour_profile: Hours
    weekend_ratio: float
    leverage: float
    beyond_4_std: float

    @property
    def hour_ratio(self) -> float:
        """Mean absolute return of the wildest hour of the day over that of the calmest."""
        return float(self.hour_profile.max() / self.hour_profile.min())


def measure_facts(bars: Bars) -> Facts:
    """The facts of any market.

    Autocorrelations are of absolute returns; `leverage` correlates a return with the next absolute return.

    >>> from longshort.data.simulator import simulate_market
    >>> 0.4 < measure_facts(simulate_market(3, 5_000).bars).cross_correlation < 0.8
    True
    """
    log_return = _log_returns(bars)
    size = np.abs(log_return)
    opened_at = bars.opened_at[1:]
    hour, weekday = opened_at // HOUR % 24, (opened_at // DAY + MONDAY) % 7
    deviation = log_return - np.nanmean(log_return, axis=0)
    variance = np.nanmean(deviation**2, axis=0)
    lags = [n * HOUR / bars.interval.ns for n in (1, 24, 168)]
    same_hour, next_day, next_week = (_autocorrelation(size, lag) for lag in lags)
    return Facts(
        coins=len(bars.symbols),
        bars=len(bars),
        volatility_per_year=float(np.mean(np.sqrt(variance * bars.bars_per_year))),
        kurtosis=float(np.median(np.nanmean(deviation**4, axis=0) / variance**2)),
        autocorrelation_1h=same_hour,
        autocorrelation_24h=next_day,
        autocorrelation_168h=next_week,
        cross_correlation=_cross_correlation(log_return),
        hour_profile=np.array([_relative(size, hour == h) for h in range(24)]),
        weekend_ratio=_relative(size, weekday >= 5) / _relative(size, weekday < 5),
        leverage=_mean_correlation(log_return[:-1], size[1:]),
        beyond_4_std=float(np.nanmean(np.abs(deviation) > FAR * np.sqrt(variance))),
    )


def profile_correlation(one: Facts, other: Facts) -> float:
    """How alike the hours of the day are in two markets."""
    return float(np.corrcoef(one.hour_profile, other.hour_profile)[0, 1])


def _log_returns(bars: Bars) -> Grid:
    both = bars.present[1:] & bars.present[:-1]
    with np.errstate(invalid="ignore"):
        return np.where(both, np.diff(np.log(bars.close), axis=0), np.nan)


def _autocorrelation(size: Grid, lag: float) -> float:
    if lag != int(lag) or not 1 <= lag < len(size) // 2:
        return float("nan")
    return _mean_correlation(size[: -int(lag)], size[int(lag) :])


def _mean_correlation(one: Grid, other: Grid) -> float:
    return float(np.mean([_correlation(one[:, a], other[:, a]) for a in range(one.shape[1])]))


def _correlation(one: Float64[np.ndarray, " time"], other: Float64[np.ndarray, " time"]) -> float:
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _cross_correlation(log_return: Grid) -> float:
    coins = log_return.shape[1]
    pairs = [_correlation(log_return[:, a], log_return[:, b]) for a in range(coins) for b in range(a)]
    return float(np.mean(pairs)) if pairs else float("nan")


def _relative(size: Grid, rows: Bool[np.ndarray, " time"]) -> float:
    """The mean absolute return on some rows over that on all, averaged over coins."""
    if not rows.any():
        return float("nan")
    return float(np.mean(np.nanmean(size[rows], axis=0) / np.nanmean(size, axis=0)))
