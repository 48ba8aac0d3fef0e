"""Does a forecast know which way prices will move: rank tests, market timing, and what a sample can show at all.

Every test of many coins is a mean of one gain per instant, so that it can go through `skill_test`: coins move
together, and counting them as independent tosses makes a t-value twice what it is.
"""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special, stats

from longshort.study.metrics import per_instant
from longshort.study.significance import LEVEL, POWER, TWO_SIDED_95, skill_test

PerCoin = Float64[np.ndarray, "time asset"]
Series = Float64[np.ndarray, " time"]
Rows = Int64[np.ndarray, " time"]

NO_DIRECTION = "the forecasts name no direction"
ONE_SIDED = "the forecasts name one direction only"
ALL_ONE_WAY = "the outcomes all went one way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Hits against what the shares of rises named and of rises that came would hit if they were unrelated.

    `p_value` is one-sided and takes every observation as independent. Where the test is undefined, `reason` says
    why and the numbers are NaN.
    """

    hit: float
    expected: float
    statistic: float
    p_value: float
    n: int
    reason: str = ""


def auc(score: Series, outcome: Series) -> float:
    """The chance that a rise was given a higher score than a fall, ties counted half; NaN without both.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([-1.0, -1.0, 1.0, 1.0]))
    0.875
    """
    return float(auc_gain(score[:, None], outcome[:, None])[1][0])


def auc_gain(score: PerCoin, outcome: PerCoin) -> tuple[PerCoin, Float64[np.ndarray, " asset"]]:
    """What each row adds to the AUC above one half, and the AUC itself, per coin.

    The mean of a coin's rows is its AUC less one half, and their variance is that of DeLong, DeLong and
    Clarke-Pearson (1988): so a mean over coins can be tested like any other gain. An outcome of 0 is neither.
    """
    gain, area = np.full(score.shape, np.nan), np.full(score.shape[1], np.nan)
    for a in range(score.shape[1]):
        rows = np.flatnonzero(np.isfinite(score[:, a]) & np.isfinite(outcome[:, a]) & (outcome[:, a] != 0.0))
        rose = outcome[rows, a] > 0.0
        ups, downs = int(rose.sum()), int((~rose).sum())
        if not ups or not downs:
            continue
        values = score[rows, a]
        placed = np.empty(len(rows))
        own_up, own_down = stats.rankdata(values[rose]), stats.rankdata(values[~rose])
        ranks = stats.rankdata(values)
        placed[rose] = (ranks[rose] - own_up) / downs  # the share of falls scored below this rise
        placed[~rose] = 1.0 - (ranks[~rose] - own_down) / ups
        area[a] = placed[rose].mean()
        weight = len(rows) / np.where(rose, ups, downs)
        gain[rows, a] = area[a] - 0.5 + weight * (placed - area[a])
    return gain, area


def pesaran_timmermann(lean: Series, outcome: Series) -> Timing:
    """The test of Pesaran and Timmermann (1992), Journal of Business & Economic Statistics 10(4), equation 6.

    Valid for independent observations of one series only; for several coins or overlapping horizons test the
    mean of `timing_gain`. A lean or an outcome of 0 has no direction.
    """
    stated = np.isfinite(lean) & np.isfinite(outcome) & (lean != 0.0) & (outcome != 0.0)
    named, came = lean[stated] > 0.0, outcome[stated] > 0.0
    n = len(named)
    if not n:
        return _undefined(0, NO_DIRECTION)
    x, y, hit = float(named.mean()), float(came.mean()), float((named == came).mean())
    expected = x * y + (1.0 - x) * (1.0 - y)
    if x in (0.0, 1.0) or y in (0.0, 1.0):
        return _undefined(n, ONE_SIDED if x in (0.0, 1.0) else ALL_ONE_WAY)
    of_hit = expected * (1.0 - expected) / n
    of_expected = (
        (2.0 * y - 1.0) ** 2 * x * (1.0 - x) / n
        + (2.0 * x - 1.0) ** 2 * y * (1.0 - y) / n
        + 4.0 * x * y * (1.0 - x) * (1.0 - y) / n**2
    )
    if of_hit <= of_expected:
        return _undefined(n, "too few observations")
    z = (hit - expected) / sqrt(of_hit - of_expected)
    return Timing(hit=hit, expected=expected, statistic=z, p_value=float(special.ndtr(-z)), n=n)


def timing_gain(lean: PerCoin, outcome: PerCoin) -> PerCoin:
    """What each row adds to the hits beyond those expected by Pesaran and Timmermann, per coin.

    Twice the product of the demeaned directions, whose mean is exactly `hit - expected`: a regression of what
    came on what was named, tested on per-instant means (Pesaran and Timmermann 2009). NaN for a coin with
    one-sided forecasts, about which the test says nothing.
    """
    stated = np.isfinite(lean) & np.isfinite(outcome) & (lean != 0.0) & (outcome != 0.0)
    named, came = _demeaned(lean > 0.0, stated), _demeaned(outcome > 0.0, stated)
    varied = np.any(np.where(stated, named, 0.0) != 0.0, axis=0)
    return np.where(stated & varied, 2.0 * named * came, np.nan)


def instants_needed(hit_rate: float, *, level: float = LEVEL, power: float = POWER) -> int | None:
    """How many independent tosses show one-sided that a hit rate exceeds one half; None at or below it.

    >>> instants_needed(0.51), instants_needed(0.55)
    (15455, 617)
    """
    if not hit_rate > 0.5:
        return None
    spread = -float(special.ndtri(level)) * 0.5 + float(special.ndtri(power)) * _std(hit_rate)
    return ceil((spread / (hit_rate - 0.5)) ** 2)


def power_of(hit_rate: float, tosses: float, *, level: float = LEVEL) -> float:
    """The chance that so many independent tosses show one-sided that a hit rate exceeds one half.

    >>> round(power_of(0.51, 15_455.0), 3), round(power_of(0.5, 100.0), 3)
    (0.8, 0.05)
    """
    reach = sqrt(tosses) * (hit_rate - 0.5) + float(special.ndtri(level)) * 0.5
    return float(special.ndtr(reach / _std(hit_rate)))


def smallest_shown(tosses: float, *, level: float = LEVEL, power: float = POWER) -> float:
    """The smallest hit rate that so many independent tosses show with 80 % power, at most 1.

    >>> round(smallest_shown(15_455.0), 4)
    0.51
    """
    rate = 0.5
    for _ in range(30):  # the standard deviation of a toss hardly changes: a few steps would do
        spread = -float(special.ndtri(level)) * 0.5 + float(special.ndtri(power)) * _std(rate)
        rate = min(0.5 + spread / sqrt(max(tosses, 1.0)), 1.0)
    return rate


def effective_tosses(hit: PerCoin, grid_row: Rows, *, horizon_bars: int) -> float:
    """How many independent tosses would have left the hit rate as uncertain as it is; at most the cells scored.

    Coins that move together and horizons that overlap count less than their number. NaN without a test.
    """
    test = skill_test(per_instant(hit) - 0.5, grid_row, horizon_bars=horizon_bars)
    rate, cells = test.mean + 0.5, int(np.count_nonzero(~np.isnan(hit)))
    if not test.half_width > 0.0:
        return float("nan")
    return float(min(rate * (1.0 - rate) * (TWO_SIDED_95 / test.half_width) ** 2, cells))


def _demeaned(value: np.ndarray, stated: np.ndarray) -> PerCoin:
    count = np.maximum(stated.sum(axis=0), 1)
    return value - np.where(stated, value, 0.0).sum(axis=0) / count


def _std(rate: float) -> float:
    return sqrt(max(rate * (1.0 - rate), 1e-12))


def _undefined(n: int, reason: str) -> Timing:
    nothing = float("nan")
    return Timing(hit=nothing, expected=nothing, statistic=nothing, p_value=nothing, n=n, reason=reason)
