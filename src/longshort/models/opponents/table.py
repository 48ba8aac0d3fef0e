"""What trees read at some cells of a panel, made when it is asked for: no copy of the panel's features is kept."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from longshort.features.panel import LEVELS, Panel
from longshort.models.inputs import BLOCK_CELLS

Inputs = Float32[np.ndarray, "row input"]


class Table:
    """The features as they are, and HAR's scale over the EWMA volatility: what LightGBM calls a sequence."""

    batch_size = BLOCK_CELLS

    def __init__(
        self,
        panel: Panel,
        places: list[int],
        relative: Float32[np.ndarray, " row"],
        cells: Int64[np.ndarray, " row"],
    ) -> None:
        self._panel = panel
        self._places = places
        self._relative = relative
        self._cells = cells
        self._first = -1  # where the piece begins that `_piece` is
        self._piece = np.empty((0, 0))

    @classmethod
    def of(
        cls,
        panel: Panel,
        names: tuple[str, ...],
        scale: Float64[np.ndarray, "time asset"],
        chosen: Bool[np.ndarray, "time asset"],
    ) -> "Table":
        """The table of the chosen cells, in the order of time and then of coins."""
        level = panel.levels[:, :, LEVELS.index("log_volatility")][chosen]
        relative = (np.log(scale[chosen]) - level).astype(np.float32)
        return cls(panel, [panel.names.index(name) for name in names], relative, np.flatnonzero(chosen))

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, rows: slice | int | np.integer) -> Inputs | Float64[np.ndarray, " input"]:
        """Some rows, or one in the precision of bins: LightGBM samples them one by one, going up."""
        if isinstance(rows, slice):
            return self.read(rows)
        row = int(rows)
        first = row - row % self.batch_size
        if first != self._first:
            self._first = first
            self._piece = self.read(slice(first, first + self.batch_size)).astype(np.float64)
        return self._piece[row - first]

    def read(self, rows: slice) -> Inputs:
        """Some rows."""
        time, asset = np.divmod(self._cells[rows], len(self._panel.symbols))
        values = self._panel.values[time, asset][:, self._places]
        return np.column_stack([values, self._relative[rows]])

    def pieces(self) -> Iterator[Inputs]:
        """All rows, some at a time."""
        starts = range(0, len(self), self.batch_size)
        return (self.read(slice(start, start + self.batch_size)) for start in starts)
