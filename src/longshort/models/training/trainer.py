"""Gradient descent on one network: all steps of contiguous chunks teach, validation rows are only looked at."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.models.forecaster import Past
from longshort.models.heads.catalog import head_named
from longshort.models.heads.head import Came, Cells
from longshort.models.inputs import Scaler
from longshort.models.memory import run
from longshort.models.network import Network, NetworkConfig
from longshort.models.training.chunks import Chunks, Starts, chunk_starts
from longshort.models.training.device import device_of, precision_of

WARM_UP_SHARE = 0.1
GRADIENT_NORM = 1.0
Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a refinement goes on from: weights, the scaler that they know, and old rows that are learned again.

    A scaler fitted anew would move every input under weights that were made for the old one.
    """

    weights: Mapping[str, Float32[np.ndarray, "..."]]
    scaler: Scaler
    replay: range


class Trainer:
    """One descent in progress: data on its device, network, optimiser."""

    def __init__(
        self,
        past: Past,
        model: ModelSettings,
        training: TrainingSettings,
        seed: int,
        learn: range,
        origin: Origin | None = None,
    ) -> None:
        scaler = origin.scaler if origin else Scaler.fit(past.panel, past.train, past.names)
        self.model = model
        self.training = training
        self._past = past
        self._seed = seed
        self._origin = origin
        self._device = device_of(training)
        self._precision = precision_of(training, self._device)
        self._charged = model.learns_positions
        self._chunks = Chunks(past, scaler, training, self._device, charged=self._charged)
        self._config = NetworkConfig(
            inputs=self._chunks.inputs, horizons=self._chunks.horizons, coins=self._chunks.coins, model=model
        )
        self.head = head_named(model.head, training.costs)
        alike = [1.0] * self._config.horizons
        weights = torch.tensor(training.horizon_weights or alike, device=self._device)
        self._weights = weights / weights.mean()
        self.restart(learn)

    def restart(self, learn: range, begin: Weights | None = None) -> None:
        """Descend anew from the first step, and learn from these rows; the data are held once for both descents.

        The first weights are drawn, unless there is an origin or others to `begin` at.
        """
        training = self.training
        starts = partial(chunk_starts, self._past, training, charged=self._charged)
        self._pools = _pools(starts, training, learn, self._origin)
        self._rng = np.random.default_rng(self._seed)
        torch.manual_seed(self._seed)
        self.network = Network(self._config)
        if self._origin:
            self.load(tensors(self._origin.weights))
        if begin is not None:
            self.load(begin)
        self.network.to(self._device)
        self._resting = self.network if self._device.type == "cpu" else Network(self._config)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )

    def step(self, number: int) -> float:
        """One gradient step on a batch of chunks; returns the loss, NaN where no step could be taken.

        A step whose loss or gradient is not finite would ruin every weight, so it is left out.
        """
        self.network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self.training.learning_rate * schedule(number / self.training.steps)
        window, came, coins = self._chunks.batch(self._chosen())
        with self._precision:
            raw, _ = self.network(window, coins=coins, unread=self.training.burn_in_bars)
        cells = self.head.loss(raw.float(), came)
        loss = (_mean(cells, came) * self._weights).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
            return math.nan
        self._optimiser.step()
        return loss.item()

    def validate(self) -> Float32[np.ndarray, " horizon"]:
        """Minus the mean loss of the validation rows, per horizon."""
        cells, came = self.losses()
        return -_mean(cells, came).numpy()

    def losses(self) -> tuple[Cells, Came]:
        """The loss of every cell of the validation rows, and what came there."""
        raw = torch.from_numpy(self._spoken())
        came = self._chunks.came(self._past.validation)
        with torch.inference_mode():
            return self.head.loss(raw, came), came

    def validation_mean(self, weights: Sequence[Weights]) -> Float32[np.ndarray, "time asset horizon"]:
        """The mean forecast for the validation rows, each horizon by its own weights."""
        means: list[Float32[np.ndarray, "time asset"]] = []
        for k, state in enumerate(weights):
            self.load(state)
            means.append(self.head.mean(self._spoken()[None])[0, :, :, k])
        return np.stack(means, axis=2)

    def weights(self) -> Weights:
        """A copy of the weights as they are, on the processor."""
        return {name: part.detach().cpu().clone() for name, part in self.network.state_dict().items()}

    def load(self, weights: Weights) -> None:
        """Put other weights in their place."""
        self.network.load_state_dict(weights)

    def state(self) -> dict[str, Any]:
        """A copy of all that the next step rests on, random numbers included."""
        return {
            "network": self.weights(),
            "optimiser": copy.deepcopy(self._optimiser.state_dict()),
            "chosen": self._rng.bit_generator.state,
            "dropped": torch.get_rng_state(),
            "dropped_there": torch.cuda.get_rng_state() if self._device.type == "cuda" else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another descent of the same kind was when its state was taken."""
        self.load(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._rng.bit_generator.state = state["chosen"]
        torch.set_rng_state(state["dropped"])
        if state["dropped_there"] is not None:
            torch.cuda.set_rng_state(state["dropped_there"])

    def _chosen(self) -> np.ndarray:
        drawn = [starts[self._rng.integers(len(starts), size=count)] for starts, count in self._pools]
        return np.concatenate(drawn)

    def _spoken(self) -> Float32[np.ndarray, "time asset horizon output"]:
        """Raw outputs of the validation rows, by the path that forecasts take, save in larger pieces."""
        if self._resting is not self.network:
            self._resting.load_state_dict(self.network.state_dict())
        rows, restart = self._chunks.rows, self.model.restart_rows
        return run(self._resting, rows, self._past.validation, restart, exact=False)


def _pools(
    starts: Callable[[range], Starts], training: TrainingSettings, learn: range, origin: Origin | None
) -> list[tuple[Starts, int]]:
    """Where chunks may start, and how many of a batch do there."""
    new = starts(learn)
    old = round(training.replay_share * training.batch_chunks) if origin else 0
    pools = [(new, training.batch_chunks - old)]
    if origin and old:
        pools.append((starts(origin.replay), old))
    return [pool for pool in pools if pool[1]]


def _mean(cells: Cells, came: Came) -> Tensor:
    """The mean over the scored cells of each horizon."""
    counted = torch.where(came.scored, cells, 0.0).sum(dim=(0, 1))
    return counted / came.scored.sum(dim=(0, 1)).clamp(min=1)


def tensors(weights: Mapping[str, Float32[np.ndarray, "..."]]) -> Weights:
    """Weights as torch takes them."""
    return {name: torch.from_numpy(array.copy()) for name, array in weights.items()}


def schedule(done: float) -> float:
    """The share of the learning rate in use: a linear warm-up, then half a cosine down to zero.

    >>> schedule(0.05), round(schedule(1.0), 9)
    (0.5, 0.0)
    """
    if done < WARM_UP_SHARE:
        return done / WARM_UP_SHARE
    return 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP_SHARE) / (1.0 - WARM_UP_SHARE)))
