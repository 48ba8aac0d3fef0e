"""What a network learns from: rows of the past on the device that trains, and batches of contiguous chunks of them.

On the processor the inputs are held once: chunks and validation read the same memory.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Shaped
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
    """Inputs and targets of all rows, one coin after the other, so that a chunk is one block of memory.

    A fit that is `charged` for funding learns from no row where that is unknown; for others it takes no memory.
    """

    def __init__(
        self,
        past: Past,
        scaler: Scaler,
        training: TrainingSettings,
        device: torch.device,
        *,
        charged: bool = False,
    ) -> None:
        panel = past.panel
        self.rows = Rows(inputs=scaler.inputs(panel), grid_row=panel.grid_row, restart=panel.restart)
        target, unit = _targets(past)
        scored = _by_asset(panel.usable[:, :, None]) & torch.isfinite(target)
        funding = _funding(past) if charged else None
        if funding is not None:
            scored &= torch.isfinite(funding)
            funding = torch.where(scored[..., :1], funding, 0.0)
        target, unit = torch.where(scored, target, 0.0), torch.where(scored, unit, 1.0)
        inputs = _by_asset(self.rows.inputs)
        self.coins, self._bars, self.inputs = inputs.shape
        self.horizons = target.shape[2]
        self._device = device
        self._length, self._burn_in = training.chunk_bars, training.burn_in_bars
        self._came = (target, scored, unit) if funding is None else (target, scored, unit, funding)
        self._flat = tuple(part.flatten(0, 1).to(device) for part in (inputs, *self._came))

    def came(self, rows: range) -> Came:
        """What came after consecutive rows of all coins, on the processor."""
        return _came([part[:, rows.start : rows.stop].transpose(0, 1) for part in self._came])

    def batch(self, chosen: Starts) -> tuple[Float32[Tensor, "time chunk input"], Came, Tensor]:
        """Inputs of some chunks side by side, what came after those of their rows that count, and whose they are."""
        first = chosen[:, 1] * self._bars + chosen[:, 0]
        places = torch.from_numpy(first + np.arange(self._length)[:, None]).to(self._device)
        inputs, *rest = self._flat
        came = _came([_picked(part, places[self._burn_in :]) for part in rest])
        coins = torch.from_numpy(np.ascontiguousarray(chosen[:, 1])).to(self._device)
        return _picked(inputs, places), came, coins


def chunk_starts(past: Past, training: TrainingSettings, learn: range, *, charged: bool = False) -> Starts:
    """Every (row, coin) at which a chunk of rows to learn can start: no long gap inside, most rows usable.

    Where a fit is `charged` for funding, that of most rows must be known as well.
    """
    last = learn.stop - training.chunk_bars
    if last < learn.start:
        raise DataError(
            f"{len(learn)} training bars are fewer than one chunk of {training.chunk_bars}.",
            remedy="Lower training.chunk_bars or use a longer history.",
        )
    known = past.panel.usable & np.isfinite(_paid(past)) if charged else past.panel.usable
    usable = np.cumsum(np.pad(known, ((1, 0), (0, 0))), axis=0)
    breaks = np.cumsum(np.pad(past.panel.restart, ((1, 0), (0, 0))), axis=0)
    start = np.arange(learn.start, last + 1)
    enough = usable[start + training.chunk_bars] - usable[start] >= 0.8 * training.chunk_bars
    unbroken = breaks[start + training.chunk_bars] - breaks[start + 1] == 0
    row, asset = np.nonzero(enough & unbroken)
    if not len(row):
        what = "bars and their funding" if charged else "bars"
        raise DataError(
            f"no stretch of training {what} is complete enough to train on.", remedy="Run `longshort check`."
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


def charged_for(past: Past) -> Past:
    """A past whose rows teach nothing, under any head, where what a position settles is unknown."""
    returns = np.where(np.isnan(_paid(past))[:, :, None], np.nan, past.targets.log_return)
    return replace(past, targets=replace(past.targets, log_return=returns))


def _funding(past: Past) -> ByAsset:
    """What a long position pays over the bar after each row, NaN where that is unknown."""
    paid = _paid(past)
    if not np.isfinite(paid[past.validation.start : past.validation.stop]).any():
        raise DataError(
            "the funding of no validation bar is on record, and a position head counts it.",
            remedy="Bring it with `longshort fetch` or `longshort import`, or choose another model.head.",
        )
    return _by_asset(paid[:, :, None].astype(np.float32))


def _paid(past: Past) -> Float64[np.ndarray, "time asset"]:
    if past.targets.funding is None:
        raise DataError(
            "a position head counts funding, which these targets are without.",
            remedy="Make them by `make_targets(bars, horizons, funding=True)`.",
        )
    return past.targets.funding


def _came(parts: Sequence[Tensor]) -> Came:
    target, scored, unit, *funding = parts
    return Came(target=target, scored=scored, unit=unit, funding=funding[0] if funding else None)


def _by_asset(values: Shaped[np.ndarray, "time asset channel"]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.swapaxes(0, 1)))
