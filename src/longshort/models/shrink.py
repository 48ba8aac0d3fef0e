"""How much of a forecast mean to believe: what the validation rows say, weighed against what is usual.

A network always finds some mean, too large as a rule; in a market without any it is noise, and a policy would pay to
trade it. The mean of each horizon is therefore multiplied by a weight: the regression slope of what came on what was
forecast, averaged with the usual weight by precision, as a normal prior does.
"""

import numpy as np
from jaxtyping import Float64

USUAL = 0.7  # chosen on nine coins, hourly bars of 2023 and 2024; see docs/log.md
USUAL_STD = 0.3
Values = Float64[np.ndarray, "time asset"]


def mean_weight(forecast: Values, outcome: Values, horizon_bars: int) -> float:
    """The weight of a mean forecast, from 0 to 1; both arrays in volatility units.

    Instants whose outcomes overlap are not independent: the variance of the slope sums `2 horizon` lags.

    >>> rng = np.random.default_rng(0)
    >>> signal = rng.normal(size=(2_000, 3))
    >>> noise = rng.normal(size=(2_000, 3))
    >>> round(mean_weight(signal, signal + noise, 1), 1), mean_weight(signal, noise - signal, 1)
    (1.0, 0.0)
    >>> mean_weight(signal[:0], signal[:0], 1)
    0.7
    """
    scored = np.isfinite(forecast) & np.isfinite(outcome)
    seen = np.where(scored, forecast, 0.0)
    came = np.where(scored, outcome, 0.0)
    energy = float((seen * seen).sum())
    if energy <= 0.0:
        return USUAL
    slope = float((seen * came).sum()) / energy
    variance = long_run_sum((seen * (came - slope * seen)).sum(axis=1), 2 * horizon_bars) / energy**2
    if variance <= 0.0:
        return USUAL
    trust = USUAL_STD**2 / (USUAL_STD**2 + variance)
    return float(np.clip(USUAL + trust * (slope - USUAL), 0.0, 1.0))


def long_run_sum(series: Float64[np.ndarray, " time"], lags: int) -> float:
    """The variance of a sum, by Bartlett's weights over some lags: Newey and West (1987)."""
    total = float(series @ series)
    for lag in range(1, min(lags, len(series) - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(series[lag:] @ series[:-lag])
    return total
