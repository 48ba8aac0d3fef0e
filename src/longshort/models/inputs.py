"""Panel rows become network inputs: standardised on training rows, clipped, with what is missing marked as missing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from longshort.base.errors import BundleError
from longshort.features.panel import Panel

CLIP = 6.0  # standard deviations; beyond, a bar is an event and its size says little more
MARKS = 2  # columns added: missing (0 or 1), and how long
MAX_MARKED_ROWS = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """The mean and standard deviation of every feature on training rows."""

    names: tuple[str, ...]
    mean: Float64[np.ndarray, " feature"]
    std: Float64[np.ndarray, " feature"]

    @classmethod
    def fit(cls, panel: Panel, train: range, names: tuple[str, ...]) -> "Scaler":
        """Learn from the usable rows of the training range."""
        part = panel[train.start : train.stop]
        rows = part.values[:, :, _places(panel, names)][part.usable].astype(np.float64)
        std = rows.std(axis=0)
        return cls(names=names, mean=rows.mean(axis=0), std=np.where(std > 1e-9, std, 1.0))

    def inputs(self, panel: Panel) -> Float32[np.ndarray, "time asset input"]:
        """Scale rows exactly as in training; a row that is not usable is all zeros and marked."""
        usable = panel.usable[:, :, None]
        values = panel.values[:, :, _places(panel, self.names)]
        scaled = (values - self.mean.astype(np.float32)) / self.std.astype(np.float32)
        clean = np.where(usable, np.clip(scaled, -CLIP, CLIP), 0.0)
        missing = (~usable).astype(np.float32)
        run = np.minimum(panel.missing_rows, MAX_MARKED_ROWS)[:, :, None] / MAX_MARKED_ROWS
        return np.concatenate([clean, missing, run], axis=2).astype(np.float32)


def _places(panel: Panel, names: tuple[str, ...]) -> list[int]:
    missing = [name for name in names if name not in panel.names]
    if missing:
        raise BundleError(
            f"the model reads the feature {missing[0]}, which the panel lacks.",
            remedy="Train again with `longshort train STUDY`.",
        )
    return [panel.names.index(name) for name in names]
