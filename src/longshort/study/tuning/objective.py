"""What a trial is worth on one inner fold: its score relative to HAR-t, on the very rows that HAR-t is scored on.

A fit that comes to nothing, because it diverges or finds no room for its chunks, is a result like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import DataError, StudyError
from longshort.base.files import digest
from longshort.base.jobs import Job
from longshort.base.settings import Study
from longshort.models.anchor import Anchor, fit_anchor
from longshort.models.forecast import Forecast, Values
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.catalog import opponent_named
from longshort.models.opponents.scale import HAR
from longshort.models.training.fitting import Diverged, fit_member
from longshort.study.evaluate import truth_over
from longshort.study.folds import Fold
from longshort.study.market import Market, code_digest, targets_of
from longshort.study.metrics import per_instant
from longshort.study.recipe import recipe_digest
from longshort.study.tuning.ground import Ground, open_ground, shaping
from longshort.study.walk import past_of

PerHorizon = Float64[np.ndarray, "time horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScore:
    """Losses per instant and horizon, averaged over coins: the trial's and HAR-t's on the same cells.

    NaN where nothing is scored. `metric` says which loss it is: negative log density in nats, or CRPS.
    """

    metric: str
    grid_row: Int64[np.ndarray, " time"]
    loss: PerHorizon
    rival: PerHorizon

    @property
    def gain(self) -> float:
        """The mean over horizons of the gain over HAR-t: in nats, or in percent of HAR-t's CRPS."""
        return float(np.mean(gains(self.metric, self.loss, self.rival)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """Why a fit came to nothing."""

    reason: str


def gains(metric: str, loss: PerHorizon, rival: PerHorizon) -> Float64[np.ndarray, " horizon"]:
    """The mean gain over a rival per horizon: nats, or percent of the rival's CRPS.

    >>> gains("CRPS", np.array([[1.0], [1.0]]), np.array([[2.0], [2.0]])).tolist()
    [50.0]
    """
    difference = _mean(rival - loss)
    return difference if metric == "log score" else 100.0 * difference / _mean(rival)


def fold_job(ground: Ground, trial: Study, number: int) -> Job:
    """The job that fits and scores a trial on one inner fold."""
    fold, seeds = ground.folds[number], ground.study.tuning.seeds
    key = digest(
        f"inner fold {fold} {seeds} {ground.metric}",
        shaping(trial, "data", "features", "target", "model", "training"),
        ground.bars.digest(),
        recipe_digest(trial),
        code_digest(),
        Path(__file__).read_bytes(),
    )
    return Job(key=key, function=score_fold, arguments=(ground.study, trial, fold, seeds))


def score_fold(base: Study, trial: Study, fold: Fold, seeds: Sequence[int]) -> FoldScore | Unfit:
    """Fit a trial on an inner fold of the base study's ground and score what it says of the fold's test rows."""
    ground = open_ground(base)
    try:
        features = trial.model_copy(update={"model": base.model, "training": base.training})
        market = _market(base, features)
        own = replace(market, targets=targets_of(trial, market.bars))  # what its head counts
        past = past_of(own, fold)
        members = tuple(fit_member(past, trial.model, trial.training, seed) for seed in seeds)
        anchor = _anchor(base, features, fold, trial.model.anchor)
        network = FittedLSTM.of(past, trial.model, members, anchor)
        return _scored(ground.metric, market, fold, network)
    except (Diverged, DataError, StudyError) as error:
        return Unfit(reason=str(error))


@lru_cache(maxsize=2)
def _market(base: Study, features: Study) -> Market:
    """The ground as other features see it; `features` differs from the base in nothing else."""
    return open_ground(base).market(features)


@lru_cache(maxsize=8)
def _anchor(base: Study, features: Study, fold: Fold, kind: str) -> Anchor:
    """What the networks of all trials with these features rest on."""
    model = base.model.model_copy(update={"anchor": kind})
    return fit_anchor(past_of(_market(base, features), fold), model)


def _scored(metric: str, market: Market, fold: Fold, network: FittedLSTM) -> FoldScore | Unfit:
    rival = opponent_named(HAR).make(market.targets.horizons).fit(past_of(market, fold))
    outcome = truth_over(market, (fold,)).outcome
    theirs, mine = (
        _losses(metric, fitted.predict(market.panel, fold.test), outcome) for fitted in (rival, network)
    )
    scored = np.isfinite(theirs) & np.isfinite(mine)
    if not scored.any(axis=(0, 1)).all():
        return Unfit(reason=f"at some horizon no inner test row has a {metric}.")
    return FoldScore(
        metric=metric,
        grid_row=market.panel.grid_row[fold.test.start : fold.test.stop],
        loss=_per_instant(np.where(scored, mine, np.nan)),
        rival=_per_instant(np.where(scored, theirs, np.nan)),
    )


def _losses(metric: str, forecast: Forecast, outcome: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        law = forecast.law
        return -law.log_density(outcome) if metric == "log score" else law.crps(outcome)


def _per_instant(loss: Values) -> PerHorizon:
    return np.stack([per_instant(loss[:, :, k]) for k in range(loss.shape[2])], axis=1)


def _mean(values: PerHorizon) -> Float64[np.ndarray, " horizon"]:
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
