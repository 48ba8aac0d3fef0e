"""Walk forward: fit on the past, forecast what follows, never the other way round.

Every fit is a job cached by a hash of all it depends on, so that an interrupted evaluation goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longshort.base.files import digest
from longshort.base.jobs import Job, run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.models.anchor import NAMES, Anchor
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Fitted, Past
from longshort.models.heads.catalog import POSITIONS
from longshort.models.lstm import FittedLSTM
from longshort.models.networks.catalog import own_sources
from longshort.models.opponents.catalog import (
    OPPONENTS,
    Opponent,
    find_opponents,
    model_name,
    model_of,
    opponent_named,
)
from longshort.models.training.fitting import IRRELEVANT, Member, fit_member
from longshort.policy.pilot import Pilot, Tenure
from longshort.policy.steering import Steering
from longshort.study.folds import Fold
from longshort.study.market import Market, code_digest, open_market
from longshort.study.recipe import input_digest

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

    def context_rows(self, market: Market, model: str) -> int:
        """How many rows before a close a stream of this model must have seen."""
        needed = [getattr(fitted[model], "context_rows", 0) for fitted in self.fitted]
        return max(2 * market.study.model.restart_rows, *needed)

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
            context_rows=self.context_rows(market, model),
        )


def walk(
    market: Market,
    folds: Sequence[Fold],
    *,
    cache: Path | None,
    opponents: Sequence[Opponent] = find_opponents(()),
    report: Report = lambda what, done, of: None,
) -> Walk:
    """Fit the model and its opponents on every fold and forecast the fold's test rows."""
    plan = [
        _Task(k, kind, name) for k, _ in enumerate(folds) for kind, name in _fits(market.study, opponents)
    ]
    plan.sort(key=_seconds, reverse=True)  # the long ones first, lest all wait for one at the end
    jobs = [_job(market, folds[task.fold], task, cache) for task in plan]
    processes = market.study.training.processes or usable_processors()
    results: dict[_Task, Any] = {}
    for done, (index, result) in enumerate(run_jobs(jobs, cache=cache, processes=processes)):
        results[plan[index]] = result
        report("fitting", done + 1, len(jobs))
    speaking = [
        _network_job(market, fold, k, results)
        for k, fold in enumerate(folds)
        if model_of(market.study) is None
    ]
    for done, (number, spoken) in enumerate(run_jobs(speaking, cache=cache, processes=processes)):
        results[_Task(number, "network", model_name(market.study))] = spoken
        report("forecasting", done + 1, len(speaking))
    played = [_assemble(market.study, k, results) for k, _ in enumerate(folds)]
    return Walk(
        folds=tuple(folds),
        fitted=tuple({name: part.fitted for name, part in fold.items()} for fold in played),
        forecasts={name: _joined([fold[name].forecast for fold in played]) for name in played[0]},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A fitted forecaster and what it said of the rows it is judged on."""

    fitted: Fitted
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class _Task:
    fold: int
    kind: str
    name: str


def _fits(study: Study, opponents: Sequence[Opponent]) -> list[tuple[str, str]]:
    model = model_of(study)
    members = (
        [("member", str(seed)) for seed in study.model.seeds] if model is None else [("model", model.name)]
    )
    beside = [o.name for o in opponents if model is None or o.name != model.name]
    anchor = [NAMES[study.model.anchor]] if model is None and NAMES[study.model.anchor] not in beside else []
    return members + [("opponent", name) for name in (*beside, *anchor)]


def _seconds(task: _Task) -> float:
    """About how long a task takes, to begin with the longest."""
    known = {opponent.name: opponent.seconds for opponent in OPPONENTS}
    return known.get(task.name, 15.0)


def _job(market: Market, fold: Fold, task: _Task, cache: Path | None) -> Job:
    if task.kind == "member":
        return member_job(market, fold, int(task.name), cache)
    return opponent_job(market, fold, task.name, alone=task.kind == "model")


def opponent_job(market: Market, fold: Fold, name: str, *, alone: bool = False) -> Job:
    """The job that fits a forecaster on one fold and lets it speak; `alone`: as the model, at every bar."""
    own = _own(market.study) if alone else ()
    key = _key(market, fold, ["data", "features", "target"], f"{name} alone {alone} {fold.test}", own)
    return Job(key=key, function=play_opponent, arguments=(market.study, fold, name, alone))


def member_job(market: Market, fold: Fold, seed: int, cache: Path | None = None) -> Job:
    """The job that trains one seed on one fold; its checkpoint lies in the cache until it is done."""
    sections = ["data", "features", "target", "model", "training"]
    sections += ["costs"] * (market.study.model.head in POSITIONS)
    key = _key(market, fold, sections, f"seed {seed}", _own(market.study))
    checkpoint = cache / f"{key}.checkpoint" if cache else None
    return Job(key=key, function=fit_member_job, arguments=(market.study, fold, seed, checkpoint))


def _key(market: Market, fold: Fold, sections: list[str], name: str, own: tuple[bytes | str, ...]) -> str:
    past = market.bars[: max(fold.validation.stop + max(market.study.target.horizons), fold.test.stop)]
    rows = f"{fold.train} {fold.validation}"
    study, names = market.study, market.recipe.names
    settings = _settings(study, sections)
    return digest(name, rows, settings, *names, past.digest(), input_digest(study), code_digest(), *own)


def _own(study: Study) -> tuple[bytes | str, ...]:
    """A model of the user's own, and where it lies: what was fitted looks for it there."""
    sources = own_sources(study.model)
    return (*sources, str(study.model.folder)) if sources else ()


def _settings(study: Study, sections: list[str]) -> str:
    """What a fit depends on: other seeds, how fits are averaged, and how many processes run do not count."""
    plain = study.model_dump(mode="json", include=set(sections))
    for key in ("seeds", "anchor", "anchor_share"):
        plain.get("model", {}).pop(key, None)
    for key in IRRELEVANT:
        plain.get("training", {}).pop(key, None)
    return str(plain)


def fit_member_job(study: Study, fold: Fold, seed: int, checkpoint: Path | None = None) -> Member:
    """Train one seed on one fold."""
    past = past_of(open_market(study), fold)
    return fit_member(past, study.model, study.training, seed, checkpoint=checkpoint)


def play_opponent(study: Study, fold: Fold, name: str, alone: bool) -> Played:  # noqa: FBT001 a job has no keywords
    """Fit a forecaster on one fold and forecast the fold's test rows."""
    market, horizons = open_market(study), study.target.horizons
    model = model_of(study) if alone else None
    fitted = (model or opponent_named(name).make(horizons)).fit(past_of(market, fold))
    return Played(fitted=fitted, forecast=fitted.predict(market.panel, fold.test))


def past_of(market: Market, fold: Fold) -> Past:
    """What a fit on a fold may see."""
    return Past.cut(market.panel, market.targets, fold.train, fold.validation, market.recipe.names)


def _network_job(market: Market, fold: Fold, number: int, results: dict[_Task, Any]) -> Job:
    """The job in which the networks of a fold speak together."""
    study = market.study
    members = tuple(results[_Task(number, "member", str(seed))] for seed in study.model.seeds)
    keys = [member_job(market, fold, seed).key for seed in study.model.seeds]
    name = NAMES[study.model.anchor]
    rest = (opponent_job(market, fold, name).key, str(study.model.anchor_share), str(fold.test))
    anchor = results[_Task(number, "opponent", name)].fitted
    return Job(
        key=digest("speak", *keys, *rest), function=play_network, arguments=(study, fold, members, anchor)
    )


def play_network(study: Study, fold: Fold, members: tuple[Member, ...], anchor: Anchor) -> Played:
    """Average the networks of a fold and forecast its test rows."""
    market = open_market(study)
    fitted = FittedLSTM.of(past_of(market, fold), study.model, members, anchor)
    return Played(fitted=fitted, forecast=fitted.predict(market.panel, fold.test))


def _assemble(study: Study, number: int, results: dict[_Task, Any]) -> dict[str, Played]:
    """All of one fold by name, the model first."""
    played = {t.name: part for t, part in results.items() if t.fold == number and t.kind != "member"}
    name = model_name(study)
    order = [
        name,
        *[opponent.name for opponent in OPPONENTS if opponent.name in played and opponent.name != name],
    ]
    return {key: played[key] for key in order}


def _joined(parts: list[Forecast]) -> Forecast:
    return parts[0].join(*parts[1:])
