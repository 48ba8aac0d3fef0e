"""Fitting one network: every step of contiguous chunks is supervised, and each horizon keeps its own best moment."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from longshort.base.errors import DataError, LongshortError
from longshort.base.settings import ModelSettings, TrainingSettings
from longshort.models.forecaster import Past
from longshort.models.inputs import Scaler
from longshort.models.memory import Rows, run
from longshort.models.network import Network, NetworkConfig, negative_log_density

WARM_UP_SHARE = 0.1
GRADIENT_NORM = 1.0
Weights = dict[str, Tensor]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Validation log density per horizon at each check; `best_step` is where each horizon stopped."""

    steps: tuple[int, ...]
    log_density: tuple[tuple[float, ...], ...]
    best_step: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One trained network per horizon, from one seed."""

    seed: int
    weights: tuple[dict[str, Float32[np.ndarray, "..."]], ...]
    curve: Curve


class Diverged(LongshortError):
    """Training produced numbers that are not finite."""


class Trainer:
    """One fit in progress: data on its device, network, optimiser, the best weights so far."""

    def __init__(self, past: Past, model: ModelSettings, training: TrainingSettings, seed: int) -> None:
        scaler = Scaler.fit(past.panel, past.train, past.names)
        self.model = model
        self.training = training
        self._rng = np.random.default_rng(seed)
        self._rows = Rows(
            inputs=scaler.inputs(past.panel), grid_row=past.panel.grid_row, restart=past.panel.restart
        )
        self._inputs = torch.from_numpy(self._rows.inputs)
        self._target = torch.from_numpy(past.scaled_targets().astype(np.float32))
        self._starts = chunk_starts(past, training)
        self._validation = past.validation
        usable = torch.from_numpy(past.panel.usable)[:, :, None]
        self._scored = usable & torch.isfinite(self._target)
        torch.manual_seed(seed)
        config = NetworkConfig(
            inputs=self._inputs.shape[2],
            horizons=self._target.shape[2],
            hidden=model.hidden,
            dropout=model.dropout,
        )
        self.network = Network(config)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )

    def step(self, number: int) -> float:
        """One gradient step on a batch of chunks; returns the loss in nats."""
        self.network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self.training.learning_rate * schedule(number / self.training.steps)
        window, target, scored = self._batch()
        raw, _ = self.network(window)
        burn_in = self.training.burn_in_bars
        raw, target, scored = raw[burn_in:], target[burn_in:], scored[burn_in:]
        density = torch.where(scored, negative_log_density(raw, torch.where(scored, target, 0.0)), 0.0)
        loss = (density.sum(dim=(0, 1)) / scored.sum(dim=(0, 1)).clamp(min=1)).mean()  # mean over horizons
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self._optimiser.step()
        return float(loss.detach())

    def validate(self) -> Float32[np.ndarray, " horizon"]:
        """Mean log density of the validation rows, per horizon, in nats per volatility unit."""
        raw = torch.from_numpy(run(self.network, self._rows, self._validation, self.model.restart_rows))
        part = slice(self._validation.start, self._validation.stop)
        target, scored = self._target[part], self._scored[part]
        with torch.inference_mode():
            density = torch.where(scored, -negative_log_density(raw, torch.where(scored, target, 0.0)), 0.0)
            return (density.sum(dim=(0, 1)) / scored.sum(dim=(0, 1)).clamp(min=1)).numpy()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self._starts[self._rng.integers(len(self._starts), size=self.training.batch_chunks)]
        time_index = torch.from_numpy(chosen[:, 0])[None, :] + torch.arange(self.training.chunk_bars)[:, None]
        asset = torch.from_numpy(chosen[:, 1])[None, :]
        return (
            self._inputs[time_index, asset],
            self._target[time_index, asset],
            self._scored[time_index, asset],
        )


def fit_member(
    past: Past,
    model: ModelSettings,
    training: TrainingSettings,
    seed: int,
    progress: Progress = lambda done, of: None,
) -> Member:
    """Train one seed until no horizon has improved for `patience` checks; keep each horizon's best weights."""
    torch.set_num_threads(1)  # sums in another order give other bits
    began = time.perf_counter()
    trainer = Trainer(past, model, training, seed)
    horizons = trainer.network.config.horizons
    best = np.full(horizons, -np.inf)
    weights: list[Weights] = [copy.deepcopy(trainer.network.state_dict()) for _ in range(horizons)]
    best_step = [0] * horizons
    steps: list[int] = []
    history: list[tuple[float, ...]] = []
    for number in range(1, training.steps + 1):
        loss = trainer.step(number)
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss of seed {seed} is not finite after {number} steps.",
                remedy="Lower training.learning_rate.",
            )
        if number % training.check_every == 0 or number == training.steps:
            score = trainer.validate()
            steps.append(number)
            history.append(tuple(float(v) for v in score))
            for k in np.flatnonzero(score > best):
                best[k], best_step[k] = score[k], number
                weights[k] = copy.deepcopy(trainer.network.state_dict())
            progress(number, training.steps)
            if number - max(best_step) >= training.patience * training.check_every:
                break
    curve = Curve(
        steps=tuple(steps),
        log_density=tuple(history),
        best_step=tuple(best_step),
        seconds=time.perf_counter() - began,
    )
    plain = tuple({name: tensor.numpy().copy() for name, tensor in state.items()} for state in weights)
    return Member(seed=seed, weights=plain, curve=curve)


def schedule(done: float) -> float:
    """The share of the learning rate in use: a linear warm-up, then half a cosine down to zero.

    >>> schedule(0.05), round(schedule(1.0), 9)
    (0.5, 0.0)
    """
    if done < WARM_UP_SHARE:
        return done / WARM_UP_SHARE
    return 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP_SHARE) / (1.0 - WARM_UP_SHARE)))


def chunk_starts(past: Past, training: TrainingSettings) -> Int64[np.ndarray, "chunk 2"]:
    """Every (row, coin) at which a chunk of training rows can start: no long gap inside, most rows usable."""
    last = past.train.stop - training.chunk_bars
    if last < past.train.start:
        raise DataError(
            f"{len(past.train)} training bars are fewer than one chunk of {training.chunk_bars}.",
            remedy="Lower training.chunk_bars or use a longer history.",
        )
    usable = np.cumsum(np.pad(past.panel.usable, ((1, 0), (0, 0))), axis=0)
    breaks = np.cumsum(np.pad(past.panel.restart, ((1, 0), (0, 0))), axis=0)
    start = np.arange(past.train.start, last + 1)
    enough = usable[start + training.chunk_bars] - usable[start] >= 0.8 * training.chunk_bars
    unbroken = breaks[start + training.chunk_bars] - breaks[start + 1] == 0
    row, asset = np.nonzero(enough & unbroken)
    if not len(row):
        raise DataError(
            "no stretch of training bars is complete enough to train on.", remedy="Run `longshort check`."
        )
    return np.stack([start[row], asset], axis=1)
