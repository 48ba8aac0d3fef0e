"""What a search found, told honestly: the best of many trials beside the study as it stands, on the same rows.

The best looks better than it is, because it was chosen; how much of its lead many tries explain is said beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import MissingExtra
from longshort.base.jobs import run_jobs
from longshort.base.settings import Study
from longshort.study.significance import MeanTest, skill_test
from longshort.study.statistics.many import against
from longshort.study.tuning.ground import Ground
from longshort.study.tuning.objective import FoldScore, PerHorizon, fold_job
from longshort.study.tuning.search import Attempt, Search, best_of
from longshort.study.tuning.space import with_values

MOST_COUNTED = 200  # trials whose losses are held at once, to say what luck explains
LEAST_COUNTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """By how much the best trial's loss is below the study's own, per horizon and (`horizon` 0) over all of them.

    In nats, or in percent of the study's own CRPS; tested by instants, as if the trial had not been chosen.
    """

    horizon: int
    test: MeanTest


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A search and its best trial.

    `luck` is the p-value of "no trial is better", all counted: Hansen's, or that of the best alone where that is more.
    NaN where nothing could be tested.
    """

    ground: Ground
    attempts: tuple[Attempt, ...]
    importances: Mapping[str, float]
    leads: tuple[Lead, ...]
    luck: float

    @property
    def best(self) -> Attempt:
        """The trial to go on with."""
        return best_of(self.attempts)

    @property
    def own(self) -> Attempt:
        """The study as it stands."""
        return self.attempts[0]

    def lead_of(self, attempt: Attempt) -> float:
        """A trial's gain less the study's own, on the inner folds that the trial was judged on; NaN on none."""
        judged = len(attempt.folds)
        return attempt.score - float(np.mean(self.own.folds[:judged])) if judged else nan

    @property
    def study(self) -> Study:
        """The study with the best trial's settings."""
        return with_values(self.ground.study, self.ground.space, self.best.values)

    @property
    def unit(self) -> str:
        """Of gains: nats, or percent of CRPS."""
        return "nats" if self.ground.metric == "log score" else "%"


def account(search: Search, cache: Path | None) -> Found:
    """Take a search's best trial and hold it against the study as it stands."""
    ground, attempts = search.ground, search.attempts()
    best = best_of(attempts)
    complete = sorted((a for a in attempts if a.state == "complete"), key=lambda a: -a.score)
    counted = {a.number: _losses(ground, a, cache) for a in (attempts[0], *complete[:MOST_COUNTED])}
    rows = _rows(ground, attempts[0], cache)
    leads = _leads(ground, rows, counted[0], counted[best.number]) if best.number else ()
    return Found(
        ground=ground,
        attempts=attempts,
        importances=search.importances(),
        leads=leads,
        luck=max(_luck(counted), leads[0].test.p_value) if leads else nan,
    )


def _fold_scores(ground: Ground, attempt: Attempt, cache: Path | None) -> list[FoldScore]:
    """From the cache; fitted again where it was emptied."""
    study = with_values(ground.study, ground.space, attempt.values)
    jobs = [fold_job(ground, study, k) for k in range(len(ground.folds))]
    done = dict(run_jobs(jobs, cache=cache))
    return [done[k] for k in range(len(jobs))]


def _losses(ground: Ground, attempt: Attempt, cache: Path | None) -> PerHorizon:
    return np.concatenate([score.loss for score in _fold_scores(ground, attempt, cache)])


def _rows(ground: Ground, attempt: Attempt, cache: Path | None) -> Int64[np.ndarray, " time"]:
    return np.concatenate([score.grid_row for score in _fold_scores(ground, attempt, cache)])


def _leads(
    ground: Ground, rows: Int64[np.ndarray, " time"], own: PerHorizon, best: PerHorizon
) -> tuple[Lead, ...]:
    gain = own - best
    if ground.metric != "log score":
        gain = 100.0 * gain / np.nanmean(own, axis=0)
    horizons = ground.study.target.horizons
    alone = [
        Lead(horizon=h, test=skill_test(gain[:, k], rows, horizon_bars=h)) for k, h in enumerate(horizons)
    ]
    together = skill_test(gain.mean(axis=1), rows, horizon_bars=max(horizons))
    return (Lead(horizon=0, test=together), *alone)


def _luck(losses: Mapping[int, PerHorizon]) -> float:
    """Hansen's test that no trial is better than the study as it stands, each horizon weighted by its own loss."""
    if len(losses) < LEAST_COUNTED:
        return nan
    size = np.nanstd(losses[0], axis=0)
    series = {number: (loss / size).mean(axis=1) for number, loss in losses.items()}
    rivals: Float64[np.ndarray, "time model"] = np.stack(
        [one for number, one in series.items() if number], axis=1
    )
    try:
        tested = against(series[0], rivals)
    except MissingExtra:
        return nan
    return nan if tested.reason else tested.p_value
