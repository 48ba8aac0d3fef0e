"""`train --refine`: the networks that were trained go on learning from the bars that came since."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from longshort._commands.fit import bundle_folder, known_until, memory_at
from longshort.base.clock import SystemClock
from longshort.base.jobs import Job, run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.models.anchor import NAMES
from longshort.models.bundle import Bundle
from longshort.models.forecaster import Past
from longshort.models.lstm import FittedLSTM
from longshort.models.training.refine import NewRows, Refined, new_rows, refine_member
from longshort.study.arming.papers import write_certificate
from longshort.study.folds import Fold
from longshort.study.market import load_bars, open_market
from longshort.study.recipe import recipe_digest
from longshort.study.run import hashes_of, versions
from longshort.study.walk import opponent_job

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """The bundle that lies beside the study now: the `parent` itself where nothing was better refined."""

    bundle: Bundle
    parent: Bundle
    rows: NewRows
    refined: tuple[Refined, ...]

    @property
    def is_better(self) -> bool:
        """Whether any weights were replaced."""
        return any(any(one.accepted) for one in self.refined)


def refine(study: Study, *, report: Report = lambda what, done, of: None) -> Refinement:
    """Refine every seed of the saved bundle on the development rows since; save a new bundle where that is better.

    The new one names its parent and keeps its scaler, features and shares of the mean; its anchor is fitted anew.
    """
    parent = Bundle.load(bundle_folder(study))
    bars = load_bars(study)
    parent.check(study, bars.symbols, study.features.names or parent.names, recipe_digest(study))
    pinned = study.model_copy(
        update={"features": study.features.model_copy(update={"names": parent.names})}
    )  # more bars may have more features on record
    market = open_market(pinned)
    rows = new_rows(
        len(market.bars.until(parent.trained_until)),
        market.development_rows,
        max_horizon_bars=max(study.target.horizons),
        training=study.training,
    )
    gap = max(study.target.horizons) - 1
    fold = Fold(
        train=range(rows.validation.start - gap),
        validation=rows.validation,
        test=range(market.development_rows, market.development_rows),
    )
    jobs = [_job(pinned, rows, parent, place) for place, _ in enumerate(parent.fitted.members)]
    jobs.append(opponent_job(market, fold, NAMES[study.model.anchor]))
    results: dict[int, Any] = {}
    processes = study.training.processes or usable_processors()
    for done, (index, result) in enumerate(run_jobs(jobs, processes=processes)):
        results[index] = result
        report("refining", done + 1, len(jobs))
    *refined, anchor = [results[k] for k in range(len(jobs))]
    members = tuple(one.member for one in refined)
    until = known_until(market, fold)
    bundle = replace(
        parent,
        fitted=replace(parent.fitted, members=members, anchor=anchor.fitted),
        created_at=SystemClock().now(),
        trained_until=until,
        settings=study.model_dump(mode="json"),
        memory=memory_at(market, until),
        hashes=hashes_of(study, market.bars.digest()) | {"parent": parent.content},
        versions=versions(),
    )
    found = Refinement(bundle=bundle, parent=parent, rows=rows, refined=tuple(refined))
    if not found.is_better:
        return replace(found, bundle=parent)
    bundle.save(bundle_folder(study))
    write_certificate(bundle_folder(study), bundle, market.bars)
    return found


def _job(study: Study, rows: NewRows, parent: Bundle, place: int) -> Job:
    key = f"refine {parent.content} {place}"  # never cached: it takes no longer than to look
    return Job(key=key, function=refine_job, arguments=(study, rows, parent.fitted, place))


def refine_job(study: Study, rows: NewRows, fitted: FittedLSTM, place: int) -> Refined:
    """Refine one seed."""
    market = open_market(study)
    past = Past.cut(market.panel, market.targets, rows.learn, rows.validation, market.recipe.names)
    return refine_member(past, rows, fitted, fitted.members[place], study.training)
