"""Panel rows become network inputs: standardised on training rows, clipped, with what is missing marked as missing.

A panel is the largest thing that a fit holds: it is read block by block, so that no step makes another of its size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from longshort.base.errors import BundleError
from longshort.features.panel import Panel

CLIP = 6.0  # standard deviations; beyond, a bar is an event and its size says little more
MAX_MARKED_ROWS = 24.0
BLOCK_CELLS = 16_384  # bars of one coin that are scaled at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """The mean and standard deviation of every feature on training rows: 0 and 1 where it has a scale of its own.

    `optional` has the family of each feature that may be missing, "" for all others: such a family has a mark of its
    own, and a missing value of it leaves the rest of the row as it is.
    """

    names: tuple[str, ...]
    mean: Float64[np.ndarray, " feature"]
    std: Float64[np.ndarray, " feature"]
    optional: tuple[str, ...]

    @classmethod
    def fit(cls, panel: Panel, train: range, names: tuple[str, ...]) -> "Scaler":
        """Learn from the usable rows of the training range."""
        part, places = panel[train.start : train.stop], _places(panel, names)
        standardised = np.array([panel.standardised[place] for place in places])
        total, squares, count = (np.zeros(len(places)) for _ in range(3))
        for rows in _usable_rows(part, places):
            known = np.isfinite(rows)
            total = _added(total, np.where(known, rows, 0.0))
            count += known.sum(axis=0)
        count = np.maximum(count, 1)
        mean = total / count
        for rows in _usable_rows(part, places):
            squares = _added(squares, np.where(np.isfinite(rows), (rows - mean) ** 2, 0.0))
        std = np.sqrt(squares / count)
        return cls(
            names=names,
            mean=np.where(standardised, mean, 0.0),
            std=np.where(standardised & (std > 1e-9), std, 1.0),
            optional=tuple(panel.optional[place] for place in places),
        )

    @property
    def marks(self) -> tuple[str, ...]:
        """The families that have a mark of their own."""
        return tuple(dict.fromkeys(family for family in self.optional if family))

    @property
    def width(self) -> int:
        """The number of columns that `inputs` makes: features, the marks of families, missing (0 or 1), how long."""
        return len(self.names) + len(self.marks) + 2

    def inputs(self, panel: Panel) -> Float32[np.ndarray, "time asset input"]:
        """Scale rows exactly as in training; a row that is not usable is all zeros and marked.

        In memory the coins follow one another, as training reads them: it is the view of an (asset, time, input) array.
        """
        inputs = np.empty((len(panel.symbols), len(panel), self.width), dtype=np.float32).swapaxes(0, 1)
        places = _places(panel, self.names)
        for rows in blocks(panel):
            self._fill(inputs[rows], panel[rows], places)
        return inputs

    def _fill(self, inputs: Float32[np.ndarray, "time asset input"], panel: Panel, places: list[int]) -> None:
        """Write the inputs of some rows where they belong."""
        values, features = panel.values[:, :, places], len(places)
        scaled = (values - self.mean.astype(np.float32)) / self.std.astype(np.float32)
        known = panel.usable[:, :, None] & np.isfinite(values)
        inputs[:, :, :features] = np.where(known, np.clip(scaled, -CLIP, CLIP), 0.0)
        for place, family in enumerate(self.marks, start=features):
            inputs[:, :, place] = self._lacks(known, family)
        inputs[:, :, -2] = ~panel.usable
        inputs[:, :, -1] = np.minimum(panel.missing_rows, MAX_MARKED_ROWS) / MAX_MARKED_ROWS

    def _lacks(
        self, known: Bool[np.ndarray, "time asset feature"], family: str
    ) -> Bool[np.ndarray, "time asset"]:
        """True where any feature of a family is missing."""
        places = [place for place, own in enumerate(self.optional) if own == family]
        return ~np.all(known[:, :, places], axis=2)


def blocks(panel: Panel) -> Iterator[slice]:
    """All rows of a panel, in pieces whose copies stay small."""
    rows = max(1, BLOCK_CELLS // max(1, len(panel.symbols)))
    return (slice(start, min(start + rows, len(panel))) for start in range(0, len(panel), rows))


def _usable_rows(panel: Panel, places: list[int]) -> Iterator[Float64[np.ndarray, "row feature"]]:
    for rows in blocks(panel):
        part = panel[rows]
        yield part.values[:, :, places][part.usable].astype(np.float64)


def _added(
    total: Float64[np.ndarray, " feature"], rows: Float64[np.ndarray, "row feature"]
) -> Float64[np.ndarray, " feature"]:
    """A sum that goes on row by row: the same bits as over all rows at once, wherever blocks end."""
    return np.vstack([total, rows]).sum(axis=0)


def _places(panel: Panel, names: tuple[str, ...]) -> list[int]:
    missing = [name for name in names if name not in panel.names]
    if missing:
        raise BundleError(
            f"the model reads the feature {missing[0]}, which the panel lacks.",
            remedy="Train again with `longshort train STUDY`.",
        )
    return [panel.names.index(name) for name in names]
