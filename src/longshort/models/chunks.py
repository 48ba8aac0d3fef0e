"""What a network learns from: rows of the past on the device that trains, and batches of contiguous chunks of them.

On the processor the inputs are held once: chunks and validation read the same memory.
"""

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from longshort.base.errors import DataError
from longshort.base.learning import TrainingSettings
from longshort.models.forecaster import Past, volatility_over
from longshort.models.heads.head import Came
from longshort.models.inputs import Scaler, blocks
from longshort.models.memory import Rows

Starts = Int64[np.ndarray, "chunk 2"]
ByAsset = Float32[Tensor, "asset time horizon"]


class Chunks:
    """Inputs and targets of all rows, one coin after the other, so that a chunk is one block of memory."""

    def __init__(self, past: Past, scaler: Scaler, training: TrainingSettings, device: torch.device) -> None:
        panel = past.panel
        self.rows = Rows(inputs=scaler.inputs(panel), grid_row=panel.grid_row, restart=panel.restart)
        target, unit = _targets(past)
        self._scored = _by_asset(panel.usable[:, :, None]) & torch.isfinite(target)
        self._target = torch.where(self._scored, target, 0.0)
        self._unit = torch.where(self._scored, unit, 1.0)
        inputs = _by_asset(self.rows.inputs)
        self.coins, self._bars, self.inputs = inputs.shape
        self.horizons = self._target.shape[2]
        self._device = device
        self._length, self._burn_in = training.chunk_bars, training.burn_in_bars
        parts = (inputs, self._target, self._scored, self._unit)
        self._flat = tuple(part.flatten(0, 1).to(device) for part in parts)

    def came(self, rows: range) -> Came:
        """What came after consecutive rows of all coins, on the processor."""
        target, scored, unit = (
            part[:, rows.start : rows.stop].transpose(0, 1)
            for part in (self._target, self._scored, self._unit)
        )
        return Came(target=target, scored=scored, unit=unit)

    def batch(self, chosen: Starts) -> tuple[Float32[Tensor, "time chunk input"], Came, Tensor]:
        """Inputs of some chunks side by side, what came after those of their rows that count, and whose they are."""
        first = chosen[:, 1] * self._bars + chosen[:, 0]
        places = torch.from_numpy(first + np.arange(self._length)[:, None]).to(self._device)
        inputs, *rest = self._flat
        target, scored, unit = (_picked(part, places[self._burn_in :]) for part in rest)
        coins = torch.from_numpy(np.ascontiguousarray(chosen[:, 1])).to(self._device)
        return _picked(inputs, places), Came(target=target, scored=scored, unit=unit), coins


def chunk_starts(past: Past, training: TrainingSettings, learn: range) -> Starts:
    """Every (row, coin) at which a chunk of rows to learn can start: no long gap inside, most rows usable."""
    last = learn.stop - training.chunk_bars
    if last < learn.start:
        raise DataError(
            f"{len(learn)} training bars are fewer than one chunk of {training.chunk_bars}.",
            remedy="Lower training.chunk_bars or use a longer history.",
        )
    usable = np.cumsum(np.pad(past.panel.usable, ((1, 0), (0, 0))), axis=0)
    breaks = np.cumsum(np.pad(past.panel.restart, ((1, 0), (0, 0))), axis=0)
    start = np.arange(learn.start, last + 1)
    enough = usable[start + training.chunk_bars] - usable[start] >= 0.8 * training.chunk_bars
    unbroken = breaks[start + training.chunk_bars] - breaks[start + 1] == 0
    row, asset = np.nonzero(enough & unbroken)
    if not len(row):
        raise DataError(
            "no stretch of training bars is complete enough to train on.", remedy="Run `longshort check`."
        )
    return np.stack([start[row], asset], axis=1)


def _picked(rows: Shaped[Tensor, "row channel"], places: Tensor) -> Shaped[Tensor, "time chunk channel"]:
    return rows.index_select(0, places.flatten()).view(*places.shape, -1)


def _targets(past: Past) -> tuple[ByAsset, ByAsset]:
    """Targets over their units, as `Past.scaled_targets` has them, and the units."""
    times, assets, horizons = past.targets.log_return.shape
    target, unit = (np.empty((assets, times, horizons), dtype=np.float32) for _ in range(2))
    for rows in blocks(past.panel):
        volatility = volatility_over(past.panel[rows], past.targets.horizons)
        unit[:, rows] = volatility.swapaxes(0, 1)
        target[:, rows] = (past.targets.log_return[rows] / volatility).swapaxes(0, 1)
    return torch.from_numpy(target), torch.from_numpy(unit)


def _by_asset(values: Shaped[np.ndarray, "time asset channel"]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.swapaxes(0, 1)))
