"""Looking back, in pieces: operators whose result does not depend on where a piece of history was cut.

Each operator maps rows to rows and keeps the state that the next rows need, so that one long call and many short ones
(a live bar at a time) give the same bits. NaN marks what is missing: it is left out of means, never replaced.
"""

import numpy as np
from jaxtyping import Float64
from scipy import signal

Grid = Float64[np.ndarray, "time asset"]

MIN_SHARE = 0.8  # a mean over a window stands only if this share of its rows is there


class History:
    """The state of every operator in use, for a fixed set of coins, fed in time order."""

    def __init__(self, assets: int) -> None:
        self.assets = assets
        self._tails: dict[object, Float64[np.ndarray, "kept asset"]] = {}
        self._filters: dict[object, Float64[np.ndarray, "one asset"]] = {}

    def lag(self, key: object, values: Grid, rows: int) -> Grid:
        """The value `rows` rows ago; NaN before there was one."""
        return self._with_tail(("lag", key, rows), values, rows, np.nan)[: len(values)]

    def mean(self, key: object, values: Grid, rows: int) -> Grid:
        """The mean of the last `rows` rows, once so many have passed, where at least 80 % of them are there."""
        known = np.isfinite(values)
        passed = self._running(("passed", key, rows), np.ones_like(values))
        total = self._cumulative(("sum", key, rows), np.where(known, values, 0.0), rows)
        count = self._cumulative(("count", key, rows), known.astype(np.float64), rows)
        return _ratio(total, np.where(passed >= rows, count, 0.0), np.ceil(MIN_SHARE * rows))

    def ewma(self, key: object, values: Grid, halflife_rows: float) -> Grid:
        """The mean with weights that halve every `halflife_rows` rows, missing rows left out.

        Stands once half of the total weight has been seen.
        """
        known = np.isfinite(values)
        weight = 1.0 - 0.5 ** (1.0 / halflife_rows)
        total = self._filter(("ewma", key, halflife_rows), np.where(known, values, 0.0), weight)
        count = self._filter(("weight", key, halflife_rows), known.astype(np.float64), weight)
        return _ratio(total, count, 0.5)

    def expanding_mean(self, key: object, values: Grid, at_least: int) -> Grid:
        """The mean of everything since the first row, once `at_least` rows are there."""
        known = np.isfinite(values)
        total = self._running(("expanding", key), np.where(known, values, 0.0))
        count = self._running(("expanding count", key), known.astype(np.float64))
        return _ratio(total, count, float(at_least))

    def last_known(self, key: object, values: Grid) -> Grid:
        """The last value that was not NaN, however long ago."""
        tail = self._tails.get(("last", key), np.full((1, self.assets), np.nan))
        stacked = np.concatenate([tail, values])
        index = np.where(np.isfinite(stacked), np.arange(len(stacked))[:, None], 0)
        filled = np.take_along_axis(stacked, np.maximum.accumulate(index, axis=0), axis=0)[1:]
        self._tails["last", key] = filled[-1:].copy() if len(filled) else tail
        return filled

    def missing_run(self, key: object, present: Grid) -> Grid:
        """How many rows in a row have been missing, this one included; 0 where present is 1."""
        absent = 1.0 - present
        tail = self._tails.get(("run", key), np.zeros((1, self.assets)))
        runs = np.empty_like(absent)
        previous = tail[0]
        for t in range(len(absent)):
            previous = (previous + 1.0) * absent[t]
            runs[t] = previous
        self._tails["run", key] = previous[None].copy()
        return runs

    def _running(self, key: object, values: Grid) -> Grid:
        start = self._tails.get(key, np.zeros((1, self.assets)))
        total = np.cumsum(np.concatenate([start, values]), axis=0)
        self._tails[key] = total[-1:].copy()
        return total[1:]

    def _cumulative(self, key: object, values: Grid, rows: int) -> Grid:
        total = self._running((key, "running"), values)
        before = self._with_tail((key, "before"), total, rows, 0.0)[: len(values)]
        return total - before

    def _with_tail(
        self, key: object, values: Grid, rows: int, blank: float
    ) -> Float64[np.ndarray, "longer asset"]:
        tail = self._tails.get(key, np.full((rows, self.assets), blank))
        stacked = np.concatenate([tail, values])
        self._tails[key] = stacked[-rows:].copy()
        return stacked

    def _filter(self, key: object, values: Grid, weight: float) -> Grid:
        state = self._filters.get(key, np.zeros((1, self.assets)))
        filtered, state = signal.lfilter([weight], [1.0, weight - 1.0], values, axis=0, zi=state)
        self._filters[key] = state
        return filtered


def across(values: Grid) -> Grid:
    """The mean over the coins that are there at each instant, given to every coin.

    Coins are added in column order, so that a row's mean is the same bits alone or among others.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    total = np.zeros(len(values))
    count = np.zeros(len(values))
    for asset in range(values.shape[1]):
        total = total + filled[:, asset]
        count = count + known[:, asset]
    mean = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return np.repeat(mean[:, None], values.shape[1], axis=1)


def _ratio(total: Grid, count: Grid, at_least: float) -> Grid:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count >= at_least)
