"""Fitting one network: each horizon has its own best moment, which the validation rows tell.

Then the network is fitted again from the start, on those rows too, and stopped there. What a member says about its mean
is kept from the first fit, which had not seen them.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from longshort.base.errors import LongshortError
from longshort.base.files import digest
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.models.forecaster import Past
from longshort.models.training.checkpoint import Checkpoint
from longshort.models.training.chunks import charged_for
from longshort.models.training.head_start import BELIEF, LEARNING_SHARE, believed_horizon, wishing
from longshort.models.training.trainer import Origin, Trainer, Weights

Progress = Callable[[int, int], None]
ALL_DONE = "all steps done"
SEARCHED = ("weights", "best_step", "steps", "history", "losses")
IRRELEVANT = frozenset({"processes", "checkpoint_every", "refine_steps", "refine_rate", "replay_share"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What the validation rows say at each check: minus the head's loss, per horizon; for a density its mean logarithm.

    `best_step` is where each horizon stopped, `stopped` why the search for it ended, `loss` the mean training loss of
    the steps since the check before.
    """

    steps: tuple[int, ...]
    score: tuple[tuple[float, ...], ...]
    best_step: tuple[int, ...]
    seconds: float
    loss: tuple[float, ...] = ()
    stopped: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is fitted on what, by which seed; a refinement says where it begins."""

    past: Past
    model: ModelSettings
    training: TrainingSettings
    seed: int
    origin: Origin | None = None

    def trainer(self, learn: range) -> Trainer:
        """A descent that learns from some rows."""
        return Trainer(self.past, self.model, self.training, self.seed, learn, self.origin)

    def identity(self) -> str:
        """A hash of all that the fit depends on."""
        past, panel = self.past, self.past.panel
        settings = (self.model.model_dump_json(), self.training.model_dump_json(exclude=set(IRRELEVANT)))
        rows = f"{self.seed} {past.train} {past.validation} {past.names} {past.targets.horizons} {self.training.costs}"
        funding = () if past.targets.funding is None else (past.targets.funding,)
        return digest(
            *settings, rows, panel.values, panel.usable, panel.restart, past.scaled_targets(), *funding
        )


def fit_member(
    past: Past,
    model: ModelSettings,
    training: TrainingSettings,
    seed: int,
    progress: Progress = lambda done, of: None,
    checkpoint: Path | None = None,
) -> Member:
    """Find each horizon's best moment on the validation rows, then fit again with them and stop there.

    With a checkpoint an interrupted fit goes on where it was, to the same bits; the file is removed at the end.
    """
    task, begin, again = _begun(Task(past=past, model=model, training=training, seed=seed))
    fit = Fit(task, progress, checkpoint)
    trainer = task.trainer(past.train)
    to_beat = None
    if begin:
        trainer.restart(past.train, begin)
        to_beat = (trainer.validate(), [begin] * len(past.targets.horizons))
    search = fit.search(Search(trainer, to_beat))
    mean = trainer.validation_mean(search.weights)
    trainer.restart(range(past.train.start, past.validation.stop), again)
    kept = fit.again(trainer, search)
    plain = tuple(arrays(kept[step]) for step in search.best_step)
    return Member(seed=seed, weights=plain, curve=search.curve(fit.end()), validation_mean=mean)


def _begun(task: Task) -> tuple[Task, Weights | None, Weights | None]:
    """What both descents begin at: for a position head the two of a belief, which is learnt first, else chance."""
    if not task.model.learns_positions:
        return task, None, None
    past, model = charged_for(task.past), task.model.model_copy(update={"head": BELIEF})
    believer = replace(task, past=past, model=model)
    fit, trainer = Fit(believer), believer.trainer(past.train)
    search = fit.search(Search(trainer))
    trainer.restart(range(past.train.start, past.validation.stop))
    kept = fit.again(trainer, search)
    horizons = past.targets.horizons
    place = believed_horizon(horizons)
    rate = LEARNING_SHARE * task.training.learning_rate
    gently = replace(task, training=task.training.model_copy(update={"learning_rate": rate}))
    first, second = search.weights[place], kept[search.best_step[place]]
    return gently, wishing(first, horizons), wishing(second, horizons)


class Search:
    """The best score on the validation rows so far, per horizon, and the weights that had it.

    What does not begin by chance has scores and weights `to_beat`, of step 0. `stopped` says why it is over.
    """

    def __init__(self, trainer: Trainer, to_beat: tuple[np.ndarray, Sequence[Weights]] | None = None) -> None:
        horizons = trainer.network.config.horizons
        self.trainer = trainer
        self.best = np.full(horizons, -np.inf) if to_beat is None else to_beat[0].copy()
        self.weights: list[Weights] = [trainer.weights()] * horizons if to_beat is None else list(to_beat[1])
        self.best_step = [1 if to_beat is None else 0] * horizons
        self.steps: list[int] = []
        self.history: list[tuple[float, ...]] = []
        self.losses: list[float] = []
        self.stopped = ""

    def check(self, number: int, loss: float) -> bool:
        """Score the validation rows and keep what is best; False where the score is not finite."""
        training, score = self.trainer.training, self.trainer.validate()
        if not np.isfinite(score).all():
            return False
        self.steps.append(number)
        self.history.append(tuple(float(v) for v in score))
        self.losses.append(loss)
        for k in np.flatnonzero(score > self.best):
            self.best[k], self.best_step[k] = score[k], number
            self.weights[k] = self.trainer.weights()
        if number - max(self.best_step) >= training.patience * training.check_every:
            self.stopped = f"no gain for {training.patience} checks"
        elif number == training.steps:
            self.stopped = ALL_DONE
        return True

    def curve(self, seconds: float) -> Curve:
        """What was seen."""
        return Curve(
            steps=tuple(self.steps),
            score=tuple(self.history),
            best_step=tuple(self.best_step),
            seconds=seconds,
            loss=tuple(self.losses),
            stopped=self.stopped,
        )

    def state(self) -> dict[str, Any]:
        """A copy of all that the next check rests on."""
        lists = {name: list(getattr(self, name)) for name in SEARCHED}
        return lists | {"best": self.best.tolist(), "stopped": self.stopped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another search was."""
        for name in SEARCHED:
            setattr(self, name, list(state[name]))
        self.best, self.stopped = np.array(state["best"], dtype=np.float64), state["stopped"]


class Fit:
    """Both descents of one fit, with a checkpoint on the way."""

    def __init__(
        self, task: Task, progress: Progress = lambda done, of: None, checkpoint: Path | None = None
    ) -> None:
        torch.set_num_threads(1)  # sums in another order give other bits
        self._task = task
        self._progress = progress
        identity = task.identity() if checkpoint else ""
        self._checkpoint = Checkpoint(checkpoint, identity, task.training.checkpoint_every)
        self._before = self._checkpoint.read() or {}
        self._began = time.perf_counter() - self._before.get("seconds", 0.0)
        self._good = 0

    def search(self, search: Search) -> Search:
        """Descend until no horizon has gained for long, or all steps are done."""
        training, losses = self._task.training, list[float]()
        if self._before:
            search.restore(self._before["search"])
            search.trainer.restore(self._before["trainer"])
        number = search.steps[-1] if search.steps else 0
        while not search.stopped:
            number += 1
            losses.append(self._step(search.trainer, number))
            if number % training.check_every == 0 or number == training.steps:
                if not search.check(number, float(np.mean(losses))):
                    self._fail("validation score", number)
                losses.clear()
                self._progress(number, 2 * training.steps)
                self._hold(number, search, search.trainer, None)
        return search

    def again(self, trainer: Trainer, search: Search) -> dict[int, Weights]:
        """Descend anew, and keep the weights of the moments that the search found."""
        training, kept, number = self._task.training, {0: trainer.weights()}, 0
        if self._before.get("kept") is not None:
            trainer.restore(self._before["trainer"])
            kept, number = dict(self._before["kept"]), self._before["number"]
        while number < max(search.best_step):
            number += 1
            self._step(trainer, number)
            if number in search.best_step:
                kept[number] = trainer.weights()
                self._progress(training.steps + number, 2 * training.steps)
            if number % training.check_every == 0:
                self._hold(number, search, trainer, kept)
        return kept

    def end(self) -> float:
        """Remove the checkpoint, and say how many seconds the fit took."""
        self._checkpoint.drop()
        return time.perf_counter() - self._began

    def _step(self, trainer: Trainer, number: int) -> float:
        loss = trainer.step(number)
        if not math.isfinite(loss):
            self._fail("loss", number)
        return loss

    def _hold(
        self, number: int, search: Search, trainer: Trainer, kept: Mapping[int, Weights] | None
    ) -> None:
        self._good = number
        if self._checkpoint.path:
            self._checkpoint.hold(
                {
                    "number": number,
                    "search": search.state(),
                    "trainer": trainer.state(),
                    "kept": None if kept is None else dict(kept),
                    "seconds": time.perf_counter() - self._began,
                }
            )

    def _fail(self, what: str, number: int) -> None:
        self._checkpoint.save()
        path = self._checkpoint.path
        home = f"is kept in {path}" if path else "was not kept: the fit had no checkpoint"
        good = (
            f"The last good state, of step {self._good}, {home}." if self._good else "None was good before."
        )
        raise Diverged(
            f"the {what} of seed {self._task.seed} is not finite at step {number}. {good}",
            remedy="Lower training.learning_rate.",
        )


def arrays(weights: Weights) -> dict[str, Float32[np.ndarray, "..."]]:
    """Weights without torch."""
    return {name: part.numpy().copy() for name, part in weights.items()}
