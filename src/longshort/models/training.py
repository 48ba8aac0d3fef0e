"""Fitting one network: every step of contiguous chunks is supervised, and each horizon has its own best moment.

The validation rows say when to stop; then the network is fitted again from the start, on those rows too, and stopped
there. What a member says about its mean is kept from the first fit, which had not seen them.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from longshort.base.errors import DataError, LongshortError
from longshort.base.settings import ModelSettings, TrainingSettings
from longshort.models.forecaster import Past, volatility_over
from longshort.models.heads.head import Came, Cells
from longshort.models.inputs import Scaler
from longshort.models.memory import Rows, run
from longshort.models.network import Network, NetworkConfig

WARM_UP_SHARE = 0.1
GRADIENT_NORM = 1.0
Weights = dict[str, Tensor]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What the validation rows say at each check: minus the head's loss, per horizon; for a density its mean logarithm.

    `best_step` is where each horizon stopped.
    """

    steps: tuple[int, ...]
    score: tuple[tuple[float, ...], ...]
    best_step: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One trained network per horizon, from one seed.

    `validation_mean` is what it forecast for the validation rows, in volatility units, before it had seen them.
    """

    seed: int
    weights: tuple[dict[str, Float32[np.ndarray, "..."]], ...]
    curve: Curve
    validation_mean: Float32[np.ndarray, "time asset horizon"]


class Diverged(LongshortError):
    """Training produced numbers that are not finite."""


class Trainer:
    """One fit in progress: data on its device, network, optimiser, the best weights so far."""

    def __init__(
        self, past: Past, model: ModelSettings, training: TrainingSettings, seed: int, learn: range
    ) -> None:
        scaler = Scaler.fit(past.panel, past.train, past.names)
        self.model = model
        self.training = training
        self._rng = np.random.default_rng(seed)
        self._rows = Rows(
            inputs=scaler.inputs(past.panel), grid_row=past.panel.grid_row, restart=past.panel.restart
        )
        self._inputs = _by_asset(self._rows.inputs)
        self._target = _by_asset(past.scaled_targets().astype(np.float32))
        self._starts = chunk_starts(past, training, learn)
        self._validation = past.validation
        self._scored = _by_asset(past.panel.usable[:, :, None]) & torch.isfinite(self._target)
        self._target = torch.where(self._scored, self._target, 0.0)
        unit = volatility_over(past.panel, past.targets.horizons).astype(np.float32)
        self._unit = torch.where(self._scored, _by_asset(unit), 1.0)
        torch.manual_seed(seed)
        config = NetworkConfig(
            inputs=self._inputs.shape[2],
            horizons=self._target.shape[2],
            coins=self._inputs.shape[0],
            model=model,
        )
        self.head = config.head
        self.network = Network(config)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )

    def step(self, number: int) -> float:
        """One gradient step on a batch of chunks; returns the loss."""
        self.network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self.training.learning_rate * schedule(number / self.training.steps)
        window, came, coins = self._batch()
        raw, _ = self.network(window, coins=coins)
        loss = self._mean(self.head.loss(raw[self.training.burn_in_bars :], came), came).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self._optimiser.step()
        return float(loss.detach())

    def validate(self) -> Float32[np.ndarray, " horizon"]:
        """Minus the mean loss of the validation rows, per horizon."""
        raw = torch.from_numpy(run(self.network, self._rows, self._validation, self.model.restart_rows))
        part = slice(self._validation.start, self._validation.stop)
        came = Came(
            **{
                name: values[:, part].transpose(0, 1)
                for name, values in (("target", self._target), ("scored", self._scored), ("unit", self._unit))
            }
        )
        with torch.inference_mode():
            return -self._mean(self.head.loss(raw, came), came).numpy()

    def _mean(self, cells: Cells, came: Came) -> Tensor:
        """The mean over the scored cells of each horizon."""
        counted = torch.where(came.scored, cells, 0.0).sum(dim=(0, 1))
        return counted / came.scored.sum(dim=(0, 1)).clamp(min=1)

    def validation_mean(self, weights: Sequence[Weights]) -> Float32[np.ndarray, "time asset horizon"]:
        """The mean forecast for the validation rows, each horizon by its own weights."""
        means: list[Float32[np.ndarray, "time asset"]] = []
        for k, state in enumerate(weights):
            self.network.load_state_dict(state)
            raw = run(self.network, self._rows, self._validation, self.model.restart_rows)
            means.append(self.head.mean(raw[None])[0, :, :, k])
        return np.stack(means, axis=2)

    def weights(self) -> Weights:
        """A copy of the weights as they are."""
        return copy.deepcopy(self.network.state_dict())

    def _batch(self) -> tuple[Tensor, Came, Tensor]:
        """Inputs of some chunks, what came after their rows that count, and whose they are."""
        chosen = self._starts[self._rng.integers(len(self._starts), size=self.training.batch_chunks)]
        places = chosen.tolist()
        target, scored, unit = (
            self._chunks(values, places)[self.training.burn_in_bars :]
            for values in (self._target, self._scored, self._unit)
        )
        coins = torch.from_numpy(np.ascontiguousarray(chosen[:, 1]))
        return self._chunks(self._inputs, places), Came(target=target, scored=scored, unit=unit), coins

    def _chunks(self, by_asset: Tensor, chosen: list[list[int]]) -> Tensor:
        """Stretches of consecutive rows side by side, (time, chunk, ...): one block of memory is read for each."""
        length = self.training.chunk_bars
        return torch.stack([by_asset[asset, row : row + length] for row, asset in chosen], dim=1)


def fit_member(
    past: Past,
    model: ModelSettings,
    training: TrainingSettings,
    seed: int,
    progress: Progress = lambda done, of: None,
) -> Member:
    """Find each horizon's best moment on the validation rows, then fit again with them and stop there."""
    torch.set_num_threads(1)  # sums in another order give other bits
    began = time.perf_counter()
    trainer = Trainer(past, model, training, seed, past.train)
    search = _Search(trainer)
    for number in range(1, training.steps + 1):
        _step(trainer, number, seed)
        if number % training.check_every == 0 or number == training.steps:
            search.check(number)
            progress(number, 2 * training.steps)
            if number - max(search.best_step) >= training.patience * training.check_every:
                break
    mean = trainer.validation_mean(search.weights)
    again = Trainer(past, model, training, seed, range(past.train.start, past.validation.stop))
    kept: dict[int, Weights] = {}
    for number in range(1, max(search.best_step) + 1):
        _step(again, number, seed)
        if number in search.best_step:
            kept[number] = again.weights()
            progress(training.steps + number, 2 * training.steps)
    curve = Curve(
        steps=tuple(search.steps),
        score=tuple(search.history),
        best_step=tuple(search.best_step),
        seconds=time.perf_counter() - began,
    )
    plain = tuple({name: t.numpy().copy() for name, t in kept[step].items()} for step in search.best_step)
    return Member(seed=seed, weights=plain, curve=curve, validation_mean=mean)


def _by_asset(values: Shaped[np.ndarray, "time asset channel"]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.swapaxes(0, 1)))


class _Search:
    """The best score on the validation rows so far, per horizon, and the weights that had it."""

    def __init__(self, trainer: Trainer) -> None:
        horizons = trainer.network.config.horizons
        self._trainer = trainer
        self._best = np.full(horizons, -np.inf)
        self.weights: list[Weights] = [trainer.weights()] * horizons
        self.best_step = [1] * horizons
        self.steps: list[int] = []
        self.history: list[tuple[float, ...]] = []

    def check(self, number: int) -> None:
        """Score the validation rows and keep what is best."""
        score = self._trainer.validate()
        self.steps.append(number)
        self.history.append(tuple(float(v) for v in score))
        for k in np.flatnonzero(score > self._best):
            self._best[k], self.best_step[k] = score[k], number
            self.weights[k] = self._trainer.weights()


def _step(trainer: Trainer, number: int, seed: int) -> None:
    if not math.isfinite(trainer.step(number)):
        raise Diverged(
            f"the loss of seed {seed} is not finite after {number} steps.",
            remedy="Lower training.learning_rate.",
        )


def schedule(done: float) -> float:
    """The share of the learning rate in use: a linear warm-up, then half a cosine down to zero.

    >>> schedule(0.05), round(schedule(1.0), 9)
    (0.5, 0.0)
    """
    if done < WARM_UP_SHARE:
        return done / WARM_UP_SHARE
    return 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP_SHARE) / (1.0 - WARM_UP_SHARE)))


def chunk_starts(past: Past, training: TrainingSettings, learn: range) -> Int64[np.ndarray, "chunk 2"]:
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
