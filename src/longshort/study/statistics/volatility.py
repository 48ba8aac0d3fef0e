"""Is a forecast variance the variance that comes: the regression of Mincer and Zarnowitz (1969).

Squared returns are a noisy stand-in for variance, so the share explained is small even for a perfect forecast
(Andersen and Bollerslev 1998); intercept 0 and slope 1 hold for it all the same.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

PerCoin = Float64[np.ndarray, "time asset"]
Rows = Int64[np.ndarray, " time"]
Moments = Float64[np.ndarray, "time two"]
LEAST_ROWS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """`realised = intercept + slope * forecast`, with standard errors, and a joint test of (0, 1).

    `wald` is the quadratic form (chi-squared with 2 degrees in the limit); `p_value` pays for the bandwidth.
    NaN with a `reason` where nothing can be fitted.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float
    r2: float
    wald: float
    p_value: float
    n: int
    reason: str = ""


def mincer_zarnowitz(
    realised: PerCoin, forecast: PerCoin, grid_row: Rows, *, lags: int, weighted: bool = False
) -> Fit:
    """Regress what came on what was forecast, all coins together, each instant with the same weight.

    Standard errors are those of Driscoll and Kraay (1998): moments are averaged over coins first, then Bartlett over
    `lags` grid rows. For one coin that is Newey and West (1987). The joint p is Hotelling's with the
    degrees of freedom `1.5 T / (lags + 1)` that such a bandwidth leaves (Lazarus et al. 2018), not the chi-squared,
    which rejects far too often. `weighted` divides by the forecast (Patton and Sheppard 2009): wild hours
    count no more than calm ones. `r2` is the plain regression's either way.
    """
    scored = np.isfinite(realised) & np.isfinite(forecast) & (forecast > 0.0)
    instants = scored.sum(axis=1)
    if np.count_nonzero(instants) < LEAST_ROWS or np.ptp(forecast[scored]) == 0.0:
        return _undefined(int(scored.sum()), "too few rows, or a forecast that never varies")
    share = np.where(scored, 1.0 / np.maximum(instants, 1)[:, None], 0.0)
    x, y = np.where(scored, forecast, 1.0), np.where(scored, realised, 0.0)
    weight = share / x**2 if weighted else share
    design = np.stack([np.ones_like(x), x])  # (2, time, asset)
    bread = np.linalg.inv(np.einsum("ita,jta,ta->ij", design, design, weight))
    beta = bread @ np.einsum("ita,ta,ta->i", design, y, weight)
    residual = y - np.einsum("i,ita->ta", beta, design)
    moments = np.einsum("ita,ta,ta->ti", design, residual, weight)
    on_grid = _on_grid(moments[instants > 0], grid_row[instants > 0])
    cover = bread @ bartlett(on_grid, lags) @ bread
    off = beta - np.array([0.0, 1.0])
    wald = float(off @ np.linalg.solve(cover, off))
    free = 1.5 * len(on_grid) / (lags + 1)
    return Fit(
        intercept=float(beta[0]),
        slope=float(beta[1]),
        intercept_error=float(np.sqrt(cover[0, 0])),
        slope_error=float(np.sqrt(cover[1, 1])),
        r2=_explained(x, y, share),
        wald=wald,
        p_value=float(stats.f.sf(wald * (free - 1.0) / (2.0 * free), 2, free - 1.0))
        if free > 1.5
        else float("nan"),
        n=int(scored.sum()),
    )


def bartlett(moments: Moments, lags: int) -> Float64[np.ndarray, "two two"]:
    """The long-run covariance of a sum of moments, with weights `1 - j / (lags + 1)`.

    >>> bartlett(np.array([[1.0], [-1.0], [1.0], [-1.0]]), 1).tolist()
    [[1.0]]
    """
    bandwidth = lags + 1
    reached = np.cumsum(np.pad(moments, ((bandwidth, bandwidth - 1), (0, 0))), axis=0)
    moving = reached[bandwidth:] - reached[:-bandwidth]
    return moving.T @ moving / bandwidth


def _explained(x: PerCoin, y: PerCoin, share: PerCoin) -> float:
    total = share.sum()
    dx, dy = x - (share * x).sum() / total, y - (share * y).sum() / total
    energy = float((share * dx**2).sum() * (share * dy**2).sum())
    return float((share * dx * dy).sum() ** 2 / energy) if energy > 0.0 else float("nan")


def _on_grid(moments: Moments, rows: Int64[np.ndarray, " scored"]) -> Float64[np.ndarray, "grid two"]:
    spaced = np.zeros((int(rows[-1] - rows[0]) + 1, moments.shape[1]))
    spaced[rows - rows[0]] = moments
    return spaced


def _undefined(n: int, reason: str) -> Fit:
    nothing = float("nan")
    return Fit(
        intercept=nothing, slope=nothing, intercept_error=nothing, slope_error=nothing,
        r2=nothing, wald=nothing, p_value=nothing, n=n, reason=reason,
    )  # fmt: skip
