"""Panel rows become network inputs: standardised on training rows, clipped, with what is missing marked as missing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from longshort.base.errors import BundleError
from longshort.features.panel import Panel

CLIP = 6.0  # standard deviations; beyond, a bar is an event and its size says little more
MAX_MARKED_ROWS = 24.0


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
        rows = part.values[:, :, places][part.usable].astype(np.float64)
        standardised = np.array([panel.standardised[place] for place in places])
        known = np.isfinite(rows)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, rows, 0.0).sum(axis=0) / count
        std = np.sqrt(np.where(known, (rows - mean) ** 2, 0.0).sum(axis=0) / count)
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
        """Scale rows exactly as in training; a row that is not usable is all zeros and marked."""
        usable = panel.usable[:, :, None]
        values = panel.values[:, :, _places(panel, self.names)]
        scaled = (values - self.mean.astype(np.float32)) / self.std.astype(np.float32)
        known = usable & np.isfinite(values)
        clean = np.where(known, np.clip(scaled, -CLIP, CLIP), 0.0)
        lacks = [self._lacks(known, family) for family in self.marks]
        missing = (~usable).astype(np.float32)
        run = np.minimum(panel.missing_rows, MAX_MARKED_ROWS)[:, :, None] / MAX_MARKED_ROWS
        return np.concatenate([clean, *lacks, missing, run], axis=2).astype(np.float32)

    def _lacks(
        self, known: Bool[np.ndarray, "time asset feature"], family: str
    ) -> Float32[np.ndarray, "time asset 1"]:
        """1 where any feature of a family is missing."""
        places = [place for place, own in enumerate(self.optional) if own == family]
        lacks: Bool[np.ndarray, "time asset"] = ~np.all(known[:, :, places], axis=2)
        return lacks[:, :, None].astype(np.float32)


def _places(panel: Panel, names: tuple[str, ...]) -> list[int]:
    missing = [name for name in names if name not in panel.names]
    if missing:
        raise BundleError(
            f"the model reads the feature {missing[0]}, which the panel lacks.",
            remedy="Train again with `longshort train STUDY`.",
        )
    return [panel.names.index(name) for name in names]
