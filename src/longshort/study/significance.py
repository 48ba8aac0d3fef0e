"""Is a mean gain above zero, or luck? A test that volatility clustering and overlapping labels cannot fool.

The input is one gain per instant, already averaged over coins: coins move together, so pooling them as if
they were independent would multiply the evidence. The long-run variance is Bartlett's with a wide bandwidth,
and its own uncertainty is paid for with the fixed-b critical values of Kiefer and Vogelsang (2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special

Series = Float64[np.ndarray, " time"]
Rows = Int64[np.ndarray, " time"]

POWER = 0.8
LEVEL = 0.05
TWO_SIDED_95 = 1.959963984540054
LEAST_DIFFERING = 50  # three lucky trades in ten thousand quiet bars prove nothing

# Normal quantiles 0.90, 0.95, 0.975, 0.99 and the fixed-b critical values `z + c1 b + c2 b^2 + c3 b^3` of the
# Bartlett kernel that replace them (Kiefer and Vogelsang 2005, Econometric Theory 21, table 1).
_ANCHORS = np.array([1.2816, 1.6449, 1.9600, 2.3263])
_POLYNOMIALS = np.array(
    [
        [1.2816, 1.3040, 0.5135, -0.3386],
        [1.6449, 2.1859, 0.3142, -0.3427],
        [1.9600, 2.9694, 0.4160, -0.5324],
        [2.3263, 4.1618, 0.5368, -0.9060],
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanTest:
    """A mean gain, half of its two-sided 95 % interval, and the one-sided p-value of "it is not above zero".

    Where no test is possible `reason` says why, `p_value` is 1 and `half_width` NaN; a gain that is 0
    everywhere is known to be 0, with `half_width` 0.
    """

    mean: float
    half_width: float
    p_value: float
    n_instants: int
    lags: int
    reason: str = ""


def skill_test(gain: Series, grid_row: Rows, *, horizon_bars: int) -> MeanTest:
    """Test on every instant and, beyond one bar, where labels do not overlap as well; the weaker p counts.

    NaN gains are instants without a score: they are skipped, the distance between their neighbors is kept. Where all
    are some rows apart (a forecaster that speaks once a day), lags count in such steps. The interval is the wider one
    too. The second test looks as far back in time as the first.
    """
    scored = np.flatnonzero(~np.isnan(gain))
    if not len(scored):
        return mean_above_zero(gain, lags=lags_for(0, horizon_bars))
    step = int(np.gcd.reduce(np.diff(grid_row[scored]))) or 1
    rows, horizon = grid_row[scored] // step, ceil(horizon_bars / step)
    on_grid = _on_grid(gain[scored], rows)
    lags = lags_for(len(on_grid), horizon)
    every = mean_above_zero(on_grid, lags=lags)
    if horizon == 1 or every.reason:
        return every
    offset = -int(rows[0]) % horizon  # the same instants whatever the first one is
    apart = mean_above_zero(on_grid[offset::horizon], lags=max(24 + 2, ceil(lags / horizon)))
    return MeanTest(
        mean=every.mean,
        half_width=float(np.maximum(every.half_width, apart.half_width)),
        p_value=max(every.p_value, apart.p_value),
        n_instants=every.n_instants,
        lags=every.lags,
        reason=f"on non-overlapping instants, {apart.reason}" if apart.reason else "",
    )


def lags_for(instants: int, horizon_bars: int) -> int:
    """How many lags the long-run variance takes in: `24 + 2 * horizon_bars`, or `4 sqrt(T)` if that is more.

    Two equally good volatility forecasts whose errors last for days differ by gains that do so too. With the
    former the test calls 10 to 13 % of such pairs different at 5 %, with the `1.3 sqrt(T)` of Lazarus, Lewis,
    Stock and Watson (2018) 7 %, with `4 sqrt(T)` 5 to 6 %; the price is 3 to 5 % of the t-value.

    >>> lags_for(100, 24), lags_for(10_000, 24)
    (72, 399)
    """
    return max(24 + 2 * horizon_bars, ceil(4.0 * sqrt(instants)) - 1)


def mean_above_zero(gain: Series, *, lags: int) -> MeanTest:
    """One-sided fixed-b test of a gain on consecutive instants, NaN where none is scored.

    Needs as many instants as two bandwidths, and `LEAST_DIFFERING` at which the gain is not 0.

    >>> mean_above_zero(np.zeros(1_000), lags=26).reason
    'the two never differ'
    """
    known = np.flatnonzero(~np.isnan(gain))
    if not len(known):
        return _undefined(float("nan"), 0, lags, "nothing is scored")
    gain = gain[known[0] : known[-1] + 1]
    scored = gain[~np.isnan(gain)]
    reason = _obstacle(scored, 2 * (lags + 1))
    if reason:
        return _undefined(float(scored.mean()), len(scored), lags, reason)
    error = sqrt(long_run_variance(gain, lags=lags) / len(scored))
    share = (lags + 1) / len(gain)
    z = normal_equivalent(float(scored.mean()) / error, share)
    return MeanTest(
        mean=float(scored.mean()),
        half_width=critical_value(TWO_SIDED_95, share) * error,
        p_value=float(special.ndtr(-z)),
        n_instants=len(scored),
        lags=lags,
    )


def long_run_variance(gain: Series, *, lags: int) -> float:
    """The variance of a mean times n, by Bartlett with weights `1 - j / (lags + 1)`; NaN rows keep place.

    Computed as the mean square of all moving sums over one bandwidth, which is the same and takes one pass.

    >>> long_run_variance(np.array([1.0, -1.0, 1.0, -1.0]), lags=1)
    0.25
    """
    scored, bandwidth = ~np.isnan(gain), lags + 1
    centered = np.where(scored, gain - gain[scored].mean(), 0.0)
    reached = np.cumsum(np.pad(centered, (bandwidth, bandwidth - 1)))
    moving = reached[bandwidth:] - reached[:-bandwidth]
    return float(np.square(moving).sum() / bandwidth / scored.sum())


def critical_value(z: float, bandwidth_share: float) -> float:
    """What a t-statistic must exceed where a normal one would have to exceed `z`.

    Linear between the published quantiles. Beyond the largest the excess over `z` grows like `z^3 + z`, as
    the first term of its expansion in the bandwidth does; simulations show that to be slightly too careful.

    >>> round(critical_value(1.6449, 0.1), 3)
    1.866
    """
    if z < 0.0:
        return -critical_value(-z, bandwidth_share)
    values = _anchor_values(bandwidth_share)
    if z <= _ANCHORS[-1]:
        return float(np.interp(z, np.append(0.0, _ANCHORS), np.append(0.0, values)))
    return z + _excess(values) * (z**3 + z)


def normal_equivalent(statistic: float, bandwidth_share: float) -> float:
    """The z whose critical value is `statistic`: the inverse of `critical_value`.

    >>> round(normal_equivalent(1.866, 0.1), 3)
    1.645
    """
    if statistic < 0.0:
        return -normal_equivalent(-statistic, bandwidth_share)
    values = _anchor_values(bandwidth_share)
    if statistic <= values[-1]:
        return float(np.interp(statistic, np.append(0.0, values), np.append(0.0, _ANCHORS)))
    cubic = _excess(values)  # cubic z^3 + (1 + cubic) z = statistic has one real root
    slope, level = (1.0 + cubic) / cubic, statistic / cubic
    scale = 2.0 * sqrt(slope / 3.0)
    return scale * float(np.sinh(np.arcsinh(3.0 * level / (scale * slope)) / 3.0))


def bars_to_decide(p_value: float, n_instants: int, *, level: float = LEVEL) -> int | None:
    """How many instants bring p below `level` with 80 % power, if the skill stayed as measured.

    The p-value already holds the bandwidth's price. None where the measured skill is not above zero: then no
    number of bars would.

    >>> bars_to_decide(0.10, 1_000)
    3765
    """
    z = -float(special.ndtri(p_value)) if 0.0 < p_value < 0.5 else 0.0
    if z <= 0.0:
        return None
    wanted = -float(special.ndtri(level)) + float(special.ndtri(POWER))
    return ceil(n_instants * (wanted / z) ** 2)


def bars_to_rule_out(upper_gap: float, half_width: float, n_instants: int) -> int | None:
    """How many instants would bring the interval below the smallest useful skill with 80 % power.

    `upper_gap` is the smallest useful skill minus the measured one; None where the measured one is as large.

    >>> bars_to_rule_out(1.0, 1.0, 1_000)
    2044
    """
    if not (upper_gap > 0.0 and half_width > 0.0):
        return None
    wanted = 1.0 + float(special.ndtri(POWER)) / TWO_SIDED_95
    return ceil(n_instants * (wanted * half_width / upper_gap) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.sort(np.asarray(p_values, dtype=np.float64)) * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()


def _on_grid(gain: Series, grid_row: Rows) -> Float64[np.ndarray, " spaced"]:
    rows = grid_row - grid_row[0]
    spaced = np.full(int(rows[-1]) + 1, np.nan)
    spaced[rows] = gain
    return spaced


def _obstacle(scored: Series, needed: int) -> str:
    differing = int(np.count_nonzero(scored))
    if not differing:
        return "the two never differ"
    if len(scored) < needed:
        return f"{len(scored):,} instants are scored and a test needs {needed:,}"
    if differing < LEAST_DIFFERING:
        return f"they differ at {differing:,} instants and a test needs {LEAST_DIFFERING}"
    if np.ptp(scored) <= 1e-12 * np.abs(scored).max():
        return "their difference never varies"
    return ""


def _undefined(mean: float, n_instants: int, lags: int, reason: str) -> MeanTest:
    width = 0.0 if mean == 0.0 and reason == "the two never differ" else float("nan")
    return MeanTest(mean=mean, half_width=width, p_value=1.0, n_instants=n_instants, lags=lags, reason=reason)


def _anchor_values(bandwidth_share: float) -> Float64[np.ndarray, " anchor"]:
    return _POLYNOMIALS @ (bandwidth_share ** np.arange(4))


def _excess(values: Float64[np.ndarray, " anchor"]) -> float:
    largest = float(_ANCHORS[-1])
    return (float(values[-1]) - largest) / (largest**3 + largest)
