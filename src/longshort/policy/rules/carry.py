"""The funding that is expected over the next bars: the last rate, as often as it will be settled at the last cadence.

Nothing is carried over a hole: after one, a coin's funding is unknown until two more settlements are on record. So it
is where a settlement is overdue. A contract without funding pays none.
"""

import numpy as np
from jaxtyping import Float64

from longshort.base.clock import HOUR
from longshort.data.bars import Bars

LONGEST = 24 * HOUR  # between two settlements: a slower cadence is not one that we know


class Carry:
    """Feed it every closed row, once and in order; `context_rows` of them say all that there is to know."""

    def __init__(self, coins: int) -> None:
        self._rate, self._at, self._every = (np.full(coins, np.nan) for _ in range(3))
        self._free = np.zeros(coins, dtype=np.bool_)
        self._row, self._slowest = np.nan, 0

    @staticmethod
    def context_rows(bars: Bars) -> int:
        """How many rows hold two settlements, however slow."""
        return 2 * max(1, LONGEST // bars.interval.ns) + 1

    def see(self, bars: Bars) -> None:
        """Take in one row."""
        row = float(bars.grid_row[0])
        rate = bars.funding_rate[0]
        settled = np.isfinite(rate)
        for kept in (self._rate, self._at, self._every):
            kept[~bars.funding_covered[0]] = np.nan
        self._every = np.where(settled, row - self._at, self._every)
        self._at = np.where(settled, row, self._at)
        self._rate = np.where(settled, rate, self._rate)
        self._row = row
        self._slowest = max(1, LONGEST // bars.interval.ns)
        self._free = np.array([not i.has_funding for i in bars.instruments])

    def expected(self, horizon_bars: int) -> Float64[np.ndarray, " asset"]:
        """What a long position pays over the next bars, as a fraction of notional; NaN where it is unknown."""
        since = self._row - self._at
        stands = (since < self._every) & (self._every <= self._slowest)
        every = np.where(stands, self._every, 1.0)
        times = np.floor((since + horizon_bars) / every) - np.floor(since / every)
        return np.where(self._free, 0.0, np.where(stands, self._rate * times, np.nan))
