"""Walk forward: fit on the past, forecast what follows, never the other way round.

Every fit is a job cached by a hash of all it depends on, so that an interrupted evaluation goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from longshort.base.files import digest
from longshort.base.jobs import Job, run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import Fitted, Past
from longshort.models.lstm import FittedLSTM
from longshort.models.naive import PreviousValue, SeasonalNaive
from longshort.models.scale import HAR, scale_models
from longshort.models.training import Member, fit_member
from longshort.policy.pilot import Pilot, Tenure
from longshort.policy.steering import Steering
from longshort.study.folds import Fold
from longshort.study.market import Market, code_digest, open_market
from longshort.study.recipe import recipe_digest

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Every fold's fitted models and, per model, its forecasts of all test rows in one piece."""

    folds: tuple[Fold, ...]
    fitted: tuple[dict[str, Fitted], ...]
    forecasts: dict[str, Forecast] = field(repr=False)

    @property
    def tested(self) -> range:
        """The rows that were forecast."""
        return range(self.folds[0].test.start, self.folds[-1].test.stop)

    def pilot(self, market: Market, model: str, steering: Steering, *, from_row: int | None = None) -> Pilot:
        """The pilot that relays from fold to fold, standing before `from_row` (default: the first test row)."""
        start = self.tested.start if from_row is None else from_row
        return Pilot(
            [
                Tenure(int(market.bars.closed_at[fold.test.start]), fitted[model])
                for fold, fitted in zip(self.folds, self.fitted, strict=True)
            ],
            market.stream(),
            steering,
            history=market.bars[:start],
            context_rows=2 * market.study.model.restart_rows,
        )


def walk(
    market: Market,
    folds: Sequence[Fold],
    *,
    cache: Path | None,
    processes: int = 0,
    report: Report = lambda what, done, of: None,
) -> Walk:
    """Fit every model on every fold and forecast the fold's test rows."""
    plan = [_Task(k, kind, name) for k, _ in enumerate(folds) for kind, name in _fits(market.study)]
    plan.sort(key=lambda task: task.kind)  # the long fits first
    jobs = [_job(market, folds[task.fold], task) for task in plan]
    results: dict[_Task, Any] = {}
    for done, (index, result) in enumerate(
        run_jobs(jobs, cache=cache, processes=processes or usable_processors())
    ):
        results[plan[index]] = result
        report("fitting", done + 1, len(jobs))
    fitted = tuple(_assemble(market, fold, k, results) for k, fold in enumerate(folds))
    forecasts: dict[str, Forecast] = {}
    for done, name in enumerate(fitted[0]):
        parts = [models[name].predict(market.panel, f.test) for f, models in zip(folds, fitted, strict=True)]
        forecasts[name] = join(parts)
        report("forecasting", done + 1, len(fitted[0]))
    return Walk(folds=tuple(folds), fitted=fitted, forecasts=forecasts)


def join(parts: Sequence[Forecast]) -> Forecast:
    """Consecutive forecasts of one model as one."""
    laws = [part.law for part in parts]
    return Forecast(
        model=parts[0].model,
        closed_at=np.concatenate([part.closed_at for part in parts]),
        symbols=parts[0].symbols,
        horizons=parts[0].horizons,
        law=StudentT(
            loc=np.concatenate([law.loc for law in laws]),
            scale=np.concatenate([law.scale for law in laws]),
            df=np.concatenate([law.df for law in laws]),
        ),
    )


@dataclass(frozen=True, slots=True, order=True)
class _Task:
    fold: int
    kind: str
    name: str


def _fits(study: Study) -> list[tuple[str, str]]:
    members = [("member", str(seed)) for seed in study.model.seeds]
    return members + [("rival", rival.name) for rival in scale_models(study.target.horizons)]


def _job(market: Market, fold: Fold, task: _Task) -> Job:
    if task.kind == "member":
        return member_job(market, fold, int(task.name))
    return rival_job(market, fold, task.name)


def rival_job(market: Market, fold: Fold, name: str) -> Job:
    """The job that fits one of the simpler models on one fold."""
    key = _key(market, fold, ["data", "features", "target"], name)
    return Job(key=key, function=fit_rival_job, arguments=(market.study, fold, name))


def member_job(market: Market, fold: Fold, seed: int) -> Job:
    """The job that trains one seed on one fold."""
    key = _key(market, fold, ["data", "features", "target", "model", "training"], f"seed {seed}")
    return Job(key=key, function=fit_member_job, arguments=(market.study, fold, seed))


def _key(market: Market, fold: Fold, sections: list[str], name: str) -> str:
    past = market.bars[: fold.validation.stop + max(market.study.target.horizons)]
    rows = f"{fold.train} {fold.validation}"
    study, names = market.study, market.recipe.names
    settings = _settings(study, sections)
    return digest(name, rows, settings, *names, past.digest(), recipe_digest(study), code_digest())


def _settings(study: Study, sections: list[str]) -> str:
    """What a fit depends on: other seeds, how fits are averaged, and how many processes run do not count."""
    plain = study.model_dump(mode="json", include=set(sections))
    for key in ("seeds", "har_share"):
        plain.get("model", {}).pop(key, None)
    plain.get("training", {}).pop("processes", None)
    return str(plain)


def fit_member_job(study: Study, fold: Fold, seed: int) -> Member:
    """Train one seed on one fold."""
    return fit_member(past_of(open_market(study), fold), study.model, study.training, seed)


def fit_rival_job(study: Study, fold: Fold, name: str) -> Fitted:
    """Fit one of the simpler models on one fold."""
    rival = next(r for r in scale_models(study.target.horizons) if r.name == name)
    return rival.fit(past_of(open_market(study), fold))


def past_of(market: Market, fold: Fold) -> Past:
    """What a fit on a fold may see."""
    return Past.cut(market.panel, market.targets, fold.train, fold.validation, market.recipe.names)


def _assemble(market: Market, fold: Fold, number: int, results: dict[_Task, Any]) -> dict[str, Fitted]:
    study = market.study
    past = past_of(market, fold)
    members = tuple(results[_Task(number, "member", str(seed))] for seed in study.model.seeds)
    lstm = FittedLSTM.of(past, study.model, members, results[_Task(number, "rival", HAR)])
    rivals = [results[_Task(number, "rival", rival.name)] for rival in scale_models(study.target.horizons)]
    naive = [model(study.target.horizons).fit(past) for model in (PreviousValue, SeasonalNaive)]
    return {model.name: model for model in (lstm, *rivals, *naive)}
