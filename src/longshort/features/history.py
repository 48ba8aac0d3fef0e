"""Looking back, in pieces: operators whose result does not depend on where a piece of history was cut.

Each operator maps rows to rows and keeps the state that the next rows need, so that one long call and many short ones
(a live bar at a time) give the same bits, and so does a history that was saved and restored between them. NaN marks
what is missing: it is left out of means, never replaced.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64

from longshort.base.errors import DataError
from longshort.features import kernels

Grid = Float64[np.ndarray, "time asset"]
Parts = tuple[np.ndarray, ...]
Sliding = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

MIN_SHARE = 0.8  # a statistic of a window stands only if this share of its rows is there


class History:
    """The state of every operator in use, for a fixed set of coins, fed in time order.

    An operator is known by its name, its key and its settings: ask again with the same ones only for the rows that
    follow. `origin` is the absolute number of the first row: windows are cut into blocks that begin at its multiples,
    so that a window's statistic is the same bits whenever the history began, once all of its rows have passed.
    """

    def __init__(self, assets: int, origin: int = 0) -> None:
        self.assets = assets
        self.origin = origin
        self._kept: dict[str, Parts] = {}

    def lag(self, key: str, values: Grid, rows: int) -> Grid:
        """The value `rows` rows ago; NaN before there was one."""
        clock, ring = self.kept(f"lag {key} {rows}", lambda: (_clock(), self._blank(rows)))
        out = np.empty(values.shape)
        kernels.lag_rows(values, clock, ring, out)
        return out

    def mean(self, key: str, values: Grid, rows: int) -> Grid:
        """The mean of the last `rows` rows, once so many have passed, where at least 80 % of them are there."""
        out = self._sum(f"mean {key} {rows}", values, rows)
        kernels.divide(out, np.ceil(MIN_SHARE * rows))
        return out[0]

    def total(self, key: str, values: Grid, rows: int) -> Grid:
        """The sum of those of the last `rows` rows that are there, where at least 80 % of them are."""
        out = self._sum(f"total {key} {rows}", values, rows)
        kernels.hold(out, np.ceil(MIN_SHARE * rows))
        return out[0]

    def std(self, key: str, values: Grid, rows: int) -> Grid:
        """The standard deviation (divided by the number of rows, not one less) of the last `rows` rows."""
        state = self._window(f"std {key} {rows}", rows, (0.0, 0.0, 0.0))
        out = np.empty((3, *values.shape))
        kernels.slide_variance(values, *state, out)
        kernels.hold(out, np.ceil(MIN_SHARE * rows))
        return np.sqrt(out[0])

    def maximum(self, key: str, values: Grid, rows: int) -> Grid:
        """The largest of the last `rows` rows, where at least 80 % of them are there."""
        state = self._window(f"maximum {key} {rows}", rows, (-np.inf, 0.0))
        out = np.empty((2, *values.shape))
        kernels.slide_maximum(values, *state, out)
        kernels.hold(out, np.ceil(MIN_SHARE * rows))
        return out[0]

    def minimum(self, key: str, values: Grid, rows: int) -> Grid:
        """The smallest of the last `rows` rows, where at least 80 % of them are there."""
        return -self.maximum(f"-{key}", -values, rows)

    def median_iqr(self, key: str, values: Grid, rows: int) -> tuple[Grid, Grid]:
        """The median and the distance between the quartiles of the last `rows` rows, where 80 % of them are there."""
        clock, ring, ordered, head = self.kept(
            f"quartiles {key} {rows}",
            lambda: (_clock(), self._blank(rows), np.zeros((self.assets, rows)), np.zeros((1, self.assets))),
        )
        out = np.full((3, *values.shape), np.nan)
        kernels.slide_quartiles(values, clock, ring, ordered, head, out)
        stands = out[2] >= np.ceil(MIN_SHARE * rows)
        return np.where(stands, out[0], np.nan), np.where(stands, out[1], np.nan)

    def ewma(self, key: str, values: Grid, halflife_rows: float) -> Grid:
        """The mean with weights that halve every `halflife_rows` rows, missing rows left out.

        Stands once half of the total weight has been seen.
        """
        (head,) = self.kept(f"ewma {key} {halflife_rows}", lambda: (np.zeros((2, self.assets)),))
        out = np.empty((2, *values.shape))
        kernels.decay(values, 1.0 - 0.5 ** (1.0 / halflife_rows), head, out)
        kernels.divide(out, 0.5)
        return out[0]

    def expanding_mean(self, key: str, values: Grid, at_least: int) -> Grid:
        """The mean of everything since the first row, once `at_least` rows are there."""
        (head,) = self.kept(f"expanding {key}", lambda: (np.zeros((2, self.assets)),))
        out = np.empty((2, *values.shape))
        kernels.grow(values, head, out)
        kernels.divide(out, float(at_least))
        return out[0]

    def last_known(self, key: str, values: Grid) -> Grid:
        """The last value that was not NaN, however long ago."""
        (head,) = self.kept(f"last {key}", lambda: (self._blank(1),))
        out = np.empty(values.shape)
        kernels.keep_last(values, head, out)
        return out

    def missing_run(self, key: str, present: Grid) -> Grid:
        """How many rows in a row have been missing, this one included; 0 where present is 1."""
        (head,) = self.kept(f"run {key}", lambda: (np.zeros((1, self.assets)),))
        out = np.empty(present.shape)
        kernels.count_missing(present, head, out)
        return out

    def kept(self, key: str, first: Callable[[], Parts]) -> Parts:
        """The arrays that an operator keeps under a key, to be changed in place; `first` makes them."""
        if key not in self._kept:
            self._kept[key] = first()
        return self._kept[key]

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next rows need, in numbers: what `restore` takes."""
        kept = {
            f"{key}|{k}": part.copy() for key, parts in self._kept.items() for k, part in enumerate(parts)
        }
        return {"origin": np.array([self.origin, self.assets]), **kept}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another history was when its state was taken."""
        origin, assets = (int(number) for number in state["origin"])
        if assets != self.assets:
            raise DataError(
                f"a saved history of {assets} coins cannot go on with {self.assets}.",
                remedy="Feed it the coins that it was saved with.",
            )
        self.origin, self._kept = origin, {}
        places = [(*key.rpartition("|")[::2], part) for key, part in state.items() if key != "origin"]
        for key, _, part in sorted(places, key=lambda place: int(place[1])):
            self._kept[key] = (*self._kept.get(key, ()), part.copy())

    def _sum(self, key: str, values: Grid, rows: int) -> Float64[np.ndarray, "part time asset"]:
        state = self._window(key, rows, (0.0, 0.0))
        out = np.empty((2, *values.shape))
        kernels.slide_sum(values, *state, out)
        return out

    def _window(self, key: str, rows: int, empty: tuple[float, ...]) -> Sliding:
        def first() -> Parts:
            nothing = np.array(empty)
            tail = np.repeat(nothing, (rows + 1) * self.assets).reshape(len(empty), rows + 1, self.assets)
            head = np.repeat(nothing, self.assets).reshape(len(empty), self.assets)
            return _clock(self.origin % rows), self._blank(rows), tail, head

        clock, ring, tail, head = self.kept(key, first)
        return clock, ring, tail, head

    def _blank(self, rows: int) -> Float64[np.ndarray, "rows asset"]:
        return np.full((rows, self.assets), np.nan)


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


def _clock(place: int = 0) -> np.ndarray:
    return np.array([place, 0], dtype=np.int64)
