"""Refinement: a fitted network goes on learning from new rows, and from old ones lest it forget them, if that helps.

The last third of the new rows judges: old and refined weights forecast the same rows, which neither has learned from.
A horizon takes the refined weights only where their gain is larger than its standard error, for the best of many looks
is always a little better by luck; then the refinement is repeated with the judging rows among those that teach.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64

from longshort.base.errors import DataError
from longshort.base.learning import TrainingSettings
from longshort.models.forecaster import Past
from longshort.models.lstm import FittedLSTM
from longshort.models.shrink import long_run_sum
from longshort.models.training.fitting import Curve, Fit, Member, Search, Task, arrays
from longshort.models.training.trainer import Origin, Trainer, Weights, tensors

JUDGING_SHARE = 1.0 / 3.0  # of the new rows: fewer could not tell a gain from luck
LEAST_GAIN = 1.0  # standard errors
Losses = Float64[np.ndarray, "time asset horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRows:
    """How rows are divided that came since a model was fitted on the `old` ones.

    The first chunks to `learn` begin a burn-in before the new rows: their rows that count are all new.
    """

    old: range
    learn: range
    validation: range


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """What came of refining one member: per horizon the gain in the head's loss, in nats as a rule, and its error."""

    member: Member
    gains: tuple[tuple[float, float], ...]

    @property
    def accepted(self) -> tuple[bool, ...]:
        """Which horizons took the refined weights."""
        return tuple(_is_clear(gain, error) for gain, error in self.gains)


def new_rows(
    fitted_rows: int, known_rows: int, *, max_horizon_bars: int, training: TrainingSettings
) -> NewRows:
    """Divide the rows behind the first `fitted_rows`, of which a model knew the labels; raise `DataError` for too few.

    >>> training = TrainingSettings(chunk_bars=16, burn_in_bars=4)
    >>> new_rows(100, 131, max_horizon_bars=1, training=training)
    NewRows(old=range(0, 100), learn=range(96, 120), validation=range(120, 130))
    """
    stop = known_rows - max_horizon_bars
    start = stop - int(JUDGING_SHARE * (stop - fitted_rows))
    first = max(0, fitted_rows - training.burn_in_bars)
    learn = range(first, start - max_horizon_bars + 1)
    if len(learn) < training.chunk_bars or start >= stop:
        raise DataError(
            f"only {max(0, known_rows - fitted_rows):,} bars are new since the model was trained; two thirds of them "
            f"and the burn-in must hold a chunk of {training.chunk_bars}.",
            remedy="Fetch more bars, or lower training.chunk_bars.",
        )
    return NewRows(old=range(fitted_rows), learn=learn, validation=range(start, stop))


def refine_member(
    past: Past, rows: NewRows, fitted: FittedLSTM, member: Member, training: TrainingSettings
) -> Refined:
    """Refine the network of a member's last moment; each horizon keeps what it had unless that is clearly worse.

    Inputs are scaled as the parent's were: its weights know no other scale. The steps of the curve go on counting
    where the parent's ended.
    """
    before = max(member.curve.best_step)
    own = [tensors(weights) for weights in member.weights]
    last = member.weights[member.curve.best_step.index(before)]
    task = Task(
        past=past,
        model=fitted.model,
        training=training.model_copy(
            update={"steps": training.refine_steps, "learning_rate": training.refine_rate}
        ),
        seed=member.seed,
        origin=Origin(weights=last, scaler=fitted.scaler, replay=rows.old),
    )
    fit, trainer = Fit(task), task.trainer(rows.learn)
    old = _losses(trainer, own)
    trainer.load(tensors(last))
    search = fit.search(Search(trainer, (-np.nanmean(old, axis=(0, 1)), own)))
    gains = _gains(old - _losses(trainer, search.weights), past.targets.horizons)
    search.best_step = [
        step if _is_clear(gain, error) else 0
        for step, (gain, error) in zip(search.best_step, gains, strict=True)
    ]
    trainer.restart(range(rows.learn.start, rows.validation.stop))
    kept = fit.again(trainer, search)
    weights = tuple(
        arrays(kept[step]) if step else mine
        for step, mine in zip(search.best_step, member.weights, strict=True)
    )
    curve = _counted_on(search.curve(fit.end()), member.curve)
    return Refined(member=replace(member, weights=weights, curve=curve), gains=gains)


def _losses(trainer: Trainer, weights: Sequence[Weights]) -> Losses:
    """The loss of every validation cell, NaN where it is not scored: each horizon by its own weights."""
    found: list[Float64[np.ndarray, "time asset"]] = []
    for k, own in enumerate(weights):
        trainer.load(own)
        cells, came = trainer.losses()
        found.append(torch.where(came.scored, cells, torch.nan)[:, :, k].double().numpy())
    return np.stack(found, axis=2)


def _gains(gain: Losses, horizons: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """The mean gain of each horizon, and its standard error: coins err together, and overlapping targets too."""
    found: list[tuple[float, float]] = []
    for k, horizon in enumerate(horizons):
        cells = gain[:, :, k]
        scored = np.isfinite(cells)
        mean = float(cells[scored].mean())
        per_row = np.where(scored, cells - mean, 0.0).sum(axis=1)
        found.append((mean, float(np.sqrt(long_run_sum(per_row, 2 * horizon))) / int(scored.sum())))
    return tuple(found)


def _is_clear(gain: float, error: float) -> bool:
    return gain > LEAST_GAIN * error


def _counted_on(curve: Curve, parent: Curve) -> Curve:
    """Steps counted on from the parent's last moment; a horizon that keeps its weights keeps their moment."""
    before = max(parent.best_step)
    return replace(
        curve,
        steps=tuple(before + step for step in curve.steps),
        best_step=tuple(
            before + step if step else own
            for step, own in zip(curve.best_step, parent.best_step, strict=True)
        ),
    )
