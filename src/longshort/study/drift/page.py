"""Bets against a forecaster: evidence that grows only where its law is wrong.

A bet pays the ratio of two densities at what came. Where the law that is bet against is right, what each bet pays is
1 on average whatever came before, so that the capital of a bettor who bets again and again exceeds 1 / p at any time
with a probability of at most p (Ville 1939), and Page's sum, which begins anew at each new low, crosses
log(ARL) once in at least ARL bets (Page 1954, Lorden 1971). Coins that move together do not weaken this: the mean of
log ratios over coins is the logarithm of a geometric mean, which is never above the arithmetic one.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from jaxtyping import Float64

PerCoin = Float64[np.ndarray, " asset"]


@dataclass(slots=True)
class Page:
    """Log capital since its last low: crosses `log(false_alarm_every)` once in at least so many bets by luck.

    >>> page = Page(false_alarm_every=100.0)
    >>> [page.step(row, gain) for row, gain in enumerate([1.0, -2.0, 3.0, 2.0])], page.since
    ([False, False, False, True], 2)
    """

    false_alarm_every: float
    level: float = 0.0
    since: int = -1

    def step(self, row: int, gain: float) -> bool:
        """Take in one log ratio (NaN: none) of what was known at a row; True where the sum is above its bound."""
        if not np.isnan(gain):
            if self.level <= 0.0:
                self.level, self.since = 0.0, row
            self.level = max(0.0, self.level + gain)
        return self.level >= log(self.false_alarm_every)


def mean_known(values: PerCoin) -> float:
    """The mean over coins that are known; NaN where none is.

    >>> mean_known(np.array([1.0, np.nan, 3.0])), mean_known(np.array([np.nan]))
    (2.0, nan)
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def misses(pit: PerCoin, *, coverage: float) -> PerCoin:
    """1 where an outcome fell outside the central interval, 0 where inside, NaN where none came.

    >>> misses(np.array([0.01, 0.5, np.nan]), coverage=0.9).tolist()
    [1.0, 0.0, nan]
    """
    outside = np.abs(pit - 0.5) > coverage / 2.0
    return np.where(np.isnan(pit), np.nan, outside.astype(np.float64))


def miss_bet(missed: PerCoin, *, coverage: float, suspected: float) -> float:
    """The log ratio of a bet that misses come with the suspected rate instead of the one that is stated."""
    stated = 1.0 - coverage
    return mean_known(
        np.where(
            np.isnan(missed),
            np.nan,
            np.where(missed > 0.0, log(suspected / stated), log((1.0 - suspected) / coverage)),
        )
    )
