"""What a feature may look at: one stretch of bars, seen through the history before it, and what a feature is.

Families and users' files build on this module alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from longshort.base.errors import StudyError
from longshort.data.bars import Bars
from longshort.features.history import Grid, History
from longshort.features.windowed import Columns, Function, Windows

MIN_VOLATILITY = 1e-5  # per bar; keeps a dead market from dividing by zero
SCALE_ROWS = 25  # the EWMA volatility stands after 24 returns

Context = Literal["row", "window", "recursive", "expanding", "restarted"]
Scaling = Literal["train", "none", "volatility", "rolling", "expanding"]


class Look:
    """One stretch of bars seen through the history before it; columns are computed once and kept.

    Operators are known by the name of the column and their rows, so that features which ask the same share the answer.
    """

    def __init__(
        self, bars: Bars, history: History, halflife_rows: float, base: Mapping[str, "Compute"]
    ) -> None:
        self.bars = bars
        self.history = history
        self.halflife_rows = halflife_rows
        self._base = base
        self._columns: dict[str, Grid] = {}
        self._computing: set[str] = set()
        self._windows: dict[tuple[str, ...], Windows] = {}
        self._windowed: dict[str, Columns] = {}

    def __getitem__(self, name: str) -> Grid:
        """A base column by name, or a feature that no base column goes by the name of."""
        if name not in self._columns:
            self._columns[name] = self._computed(name)
        return self._columns[name]

    def lag(self, name: str, rows: int) -> Grid:
        """A base column `rows` rows ago."""
        return self._once(f"lag {name} {rows}", lambda: self.history.lag(name, self[name], rows))

    def mean(self, name: str, rows: int) -> Grid:
        """The mean of a base column over the last rows."""
        return self._once(f"mean {name} {rows}", lambda: self.history.mean(name, self[name], rows))

    def std(self, name: str, rows: int) -> Grid:
        """The standard deviation of a base column over the last rows (divided by their number)."""
        return self._once(f"std {name} {rows}", lambda: self.history.std(name, self[name], rows))

    def total(self, name: str, rows: int) -> Grid:
        """The sum of a base column over those of the last rows that are there."""
        return self._once(f"total {name} {rows}", lambda: self.history.total(name, self[name], rows))

    def maximum(self, name: str, rows: int) -> Grid:
        """The largest of a base column over the last rows."""
        return self._once(f"maximum {name} {rows}", lambda: self.history.maximum(name, self[name], rows))

    def minimum(self, name: str, rows: int) -> Grid:
        """The smallest of a base column over the last rows."""
        return self._once(f"minimum {name} {rows}", lambda: self.history.minimum(name, self[name], rows))

    def ewma(self, name: str, halflife_rows: float) -> Grid:
        """The mean of a base column with weights that halve every so many rows."""
        key = f"ewma {name} {halflife_rows}"
        return self._once(key, lambda: self.history.ewma(name, self[name], halflife_rows))

    def windowed(self, key: str, function: Function, names: tuple[str, ...]) -> Columns:
        """What a plain function says of one coin's past values of some base columns, by the names that it returns.

        `function` gets the columns of a coin as 1-D arrays, oldest first, without the rows on which any is missing,
        and returns arrays of the same length. It sees 512 to 1,024 rows: what it says must be settled by then. One key
        stands for one function.
        """
        if key not in self._windowed:
            if names not in self._windows:
                inputs = {name: self[name] for name in names}
                self._windows[names] = Windows(self.history, self.bars.grid_row, self.bars.present, inputs)
            self._windowed[key] = self._windows[names].evaluate(key, function)
        return self._windowed[key]

    def _computed(self, name: str) -> Grid:
        if name not in self._base:
            raise StudyError(f"a feature reads the column {name!r}, which nothing computes.")
        if name in self._computing:
            raise StudyError(f"the column {name!r} reads itself.")
        self._computing.add(name)
        column = self._base[name](self)
        self._computing.remove(name)
        return column

    def _once(self, key: str, compute: Callable[[], Grid]) -> Grid:
        if key not in self._columns:
            self._columns[key] = compute()
        return self._columns[key]


Compute = Callable[[Look], Grid]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column: how to compute it, what it reads, and from which row of a complete hourly series on it stands.

    Warm-ups hold for the default half-life of the volatility. `context` says how far back it looks: the row alone, a
    window of rows, all rows with decaying weight, all rows alike, or a window of 512 to 1,024 rows. `needs` are records
    that not every market has: the default set leaves the feature out where a coin lacks them. A missing value of an
    `optional` feature leaves the row usable. `unitless`: the same in any unit of price and volume.
    """

    compute: Compute
    family: str
    inputs: tuple[str, ...] = ()
    warmup_rows: int = SCALE_ROWS
    context: Context = "window"
    scaling: Scaling = "train"
    default: bool = True
    needs: tuple[str, ...] = ()
    optional: bool = False
    unitless: bool = True
    summary: str = ""
