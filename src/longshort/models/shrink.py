"""How much of a forecast mean to believe, learnt on validation rows.

A network always finds some mean; in a market without any it is noise, and a policy would pay to trade it. The mean of
each horizon is therefore multiplied by a weight between 0 and 1: the regression slope of what came on what was
forecast, shrunk by positive-part James and Stein (1961), `1 - 1 / t^2`. The t counts instants, not coins.
"""

import numpy as np
from jaxtyping import Float64

Values = Float64[np.ndarray, "time asset"]


def mean_weight(forecast: Values, outcome: Values, horizon_bars: int) -> float:
    """The weight of a mean forecast, both in volatility units; 0 where it explains nothing.

    Instants whose outcomes overlap are not independent: the variance of the slope sums `2 horizon` lags.

    >>> rng = np.random.default_rng(0)
    >>> signal = rng.normal(size=(2_000, 3))
    >>> round(mean_weight(signal, signal + rng.normal(size=(2_000, 3)), 1), 1), mean_weight(signal, -signal, 1)
    (1.0, 0.0)
    """
    scored = np.isfinite(forecast) & np.isfinite(outcome)
    seen = np.where(scored, forecast, 0.0)
    came = np.where(scored, outcome, 0.0)
    energy = float((seen * seen).sum())
    if energy <= 0.0:
        return 0.0
    slope = float((seen * came).sum()) / energy
    variance = long_run_sum((seen * (came - slope * seen)).sum(axis=1), 2 * horizon_bars) / energy**2
    if slope <= 0.0 or variance <= 0.0:
        return 0.0
    return float(np.clip(slope * (1.0 - variance / slope**2), 0.0, 1.0))


def long_run_sum(series: Float64[np.ndarray, " time"], lags: int) -> float:
    """The variance of a sum, by Bartlett's weights over some lags: Newey and West (1987)."""
    total = float(series @ series)
    for lag in range(1, min(lags, len(series) - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(series[lag:] @ series[:-lag])
    return total
