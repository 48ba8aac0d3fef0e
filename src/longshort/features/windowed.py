"""Restarted windows: a plain function of past values, the same bits in a whole history and bar by bar.

An indicator that remembers for ever would depend on where the history at hand began. So it is computed anew on windows
that begin at every `RESTART_ROWS`-th row of the absolute grid, of which the older is read: each value rests on
`RESTART_ROWS` to twice as many rows. A stream keeps those rows and asks for the window that a whole history would.
The function must be causal (what it says of a row must not change with later ones): the leak audit looks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Float64, Int64

from longshort.base.errors import StudyError
from longshort.features.history import Grid, History

RESTART_ROWS = 512

Column = Float64[np.ndarray, " time"]
Function = Callable[[dict[str, Column]], Mapping[str, Column]]
_FLOAT64 = np.dtype(np.float64)


class Columns(dict[str, Grid]):
    """Columns by the names that a function gave them; NaN where it has never been asked for want of bars."""

    def __init__(self, key: str, shape: tuple[int, int]) -> None:
        super().__init__()
        self._key = key
        self._shape = shape

    def __missing__(self, name: str) -> Grid:
        if self:
            raise StudyError(
                f"the function {self._key!r} returned no column {name!r}.",
                remedy=f"It returned: {', '.join(self)}.",
            )
        return np.full(self._shape, np.nan)


@dataclass(frozen=True, slots=True)
class _Window:
    """The values of one coin in one window, and the rows of the stretch that its end belongs to."""

    asset: int
    columns: dict[str, Column]
    rows: Int64[np.ndarray, " row"] | slice
    fresh: int


class Windows:
    """The windows of some columns that a stretch of rows asks for, shared by every function of these columns."""

    def __init__(
        self,
        history: History,
        grid_row: Int64[np.ndarray, " time"],
        present: Bool[np.ndarray, "time asset"],
        inputs: Mapping[str, Grid],
    ) -> None:
        self._names = tuple(inputs)
        self._shape = present.shape
        shape = (len(inputs), history.assets, 2 * RESTART_ROWS)
        self._kept, self._kept_rows, self._fill = history.kept(
            f"windows {' '.join(inputs)}",
            lambda: (np.zeros(shape), np.zeros(2 * RESTART_ROWS, np.int64), np.zeros(1, np.int64)),
        )
        values = np.stack([np.where(present, grid, np.nan).T for grid in inputs.values()])
        edges = np.flatnonzero(np.diff(grid_row // RESTART_ROWS)) + 1
        starts = [0, *edges.tolist()] if len(grid_row) else []
        self._windows: list[_Window] = []
        for start, stop in zip(starts, [*starts[1:], len(grid_row)], strict=False):
            self._append(grid_row[start:stop], values[:, :, start:stop])
            self._windows += self._look(start, stop, whole=stop == len(grid_row))

    def evaluate(self, key: str, function: Function) -> Columns:
        """Ask a function about every window, and lay what it says of the stretch's rows on the grid."""
        columns = Columns(key, self._shape)
        for window in self._windows:
            said = _asked(key, function, window)
            for name, column in said.items():
                if name not in columns:
                    columns[name] = np.full(self._shape, np.nan)
                columns[name][window.rows, window.asset] = column[-window.fresh :]
        return columns

    def _append(
        self, rows: Int64[np.ndarray, " row"], values: Float64[np.ndarray, "input asset row"]
    ) -> None:
        """Let go of what is older than the block before these rows, and take them in."""
        fill = int(self._fill[0])
        oldest = (int(rows[0]) // RESTART_ROWS - 1) * RESTART_ROWS
        gone = int(np.searchsorted(self._kept_rows[:fill], oldest))
        if gone:
            self._kept[:, :, : fill - gone] = self._kept[:, :, gone:fill].copy()
            self._kept_rows[: fill - gone] = self._kept_rows[gone:fill].copy()
        start = fill - gone
        self._kept[:, :, start : start + len(rows)] = values
        self._kept_rows[start : start + len(rows)] = rows
        self._fill[0] = start + len(rows)

    def _look(self, start: int, stop: int, *, whole: bool) -> list[_Window]:
        """The window of every coin that has a row in the last piece taken in; the last of a stretch is not copied."""
        fill, fresh = int(self._fill[0]), stop - start
        values = self._kept[:, :, :fill] if whole else self._kept[:, :, :fill].copy()
        values = values.view()
        values.flags.writeable = False
        known = np.logical_and.reduce(np.isfinite(values))
        complete, there = known.all(axis=-1), known[:, fill - fresh :].any(axis=-1)
        found: list[_Window] = []
        for asset in np.flatnonzero(there).tolist():
            if complete[asset]:
                columns = dict(zip(self._names, values[:, asset], strict=True))
                found.append(_Window(asset, columns, slice(start, stop), fresh))
                continue
            chosen = known[asset]
            columns = dict(zip(self._names, values[:, asset, chosen], strict=True))
            rows = np.flatnonzero(chosen[fill - fresh :]) + start
            found.append(_Window(asset, columns, rows, len(rows)))
        return found


def _asked(key: str, function: Function, window: _Window) -> Mapping[str, Column]:
    """What a function says of a window; raise `StudyError` where it cannot be used."""
    try:
        said = function(window.columns)
    except Exception as error:
        raise StudyError(
            f"the function {key!r} failed: {type(error).__name__}: {error}",
            remedy="It gets a dictionary of arrays that it may not change, as short as one row.",
        ) from error
    shape = next(iter(window.columns.values())).shape
    wrong = _wrong(said, shape)
    if wrong:
        raise StudyError(
            f"the function {key!r} returned {wrong}.",
            remedy=f"Expected a dictionary of float64 arrays of shape {shape}: one number per row that it was given.",
        )
    return said


def _wrong(said: object, shape: tuple[int, ...]) -> str:
    """What is wrong with a function's answer, in words; empty where nothing is."""
    if not isinstance(said, Mapping):
        return f"{type(said).__name__}, not arrays by name"
    for name, column in cast("Mapping[str, object]", said).items():
        if not isinstance(column, np.ndarray):
            return f"{name!r} as {type(column).__name__}, not an array"
        if column.dtype is not _FLOAT64 or column.shape != shape:
            return f"{name!r} as {column.dtype} of shape {column.shape}"
    return ""
