"""`train` and `forecast`: learn from the past, say what is believed of the bars to come."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from longshort.base.clock import SystemClock
from longshort.base.errors import StudyError
from longshort.base.jobs import run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.features.panel import Panel
from longshort.models.anchor import NAMES
from longshort.models.bundle import Bundle
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Forecaster
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.catalog import model_name, model_of
from longshort.study.arming.papers import write_certificate
from longshort.study.folds import Fold
from longshort.study.following import resume
from longshort.study.market import Market, load_bars, open_market
from longshort.study.recipe import recipe_digest
from longshort.study.run import hashes_of, job_cache, versions
from longshort.study.walk import member_job, opponent_job, past_of

Report = Callable[[str, int, int], None]


def train(study: Study, *, report: Report = lambda what, done, of: None) -> Bundle:
    """Fit every seed on the development rows (the holdout stays sealed) and save the bundle beside the study."""
    check_trainable(study)
    market = open_market(study)
    fold = market.final_fold()
    until = known_until(market, fold)
    jobs = [
        *[member_job(market, fold, seed, job_cache(study)) for seed in study.model.seeds],
        opponent_job(market, fold, NAMES[study.model.anchor]),
    ]
    processes = study.training.processes or usable_processors()
    results: dict[int, Any] = {}
    for done, (index, result) in enumerate(run_jobs(jobs, cache=job_cache(study), processes=processes)):
        results[index] = result
        report("training", done + 1, len(jobs))
    *members, anchor = [results[k] for k in range(len(jobs))]
    bundle = Bundle(
        fitted=FittedLSTM.of(past_of(market, fold), study.model, tuple(members), anchor.fitted),
        symbols=market.bars.symbols,
        interval=study.data.interval,
        created_at=SystemClock().now(),
        trained_until=until,
        settings=study.model_dump(mode="json"),
        memory=memory_at(market, until),
        hashes=hashes_of(study, market.bars.digest()),
        versions=versions(),
    )
    bundle.save(bundle_folder(study))
    write_certificate(bundle_folder(study), bundle, market.bars)
    return bundle


def check_trainable(study: Study) -> None:
    """Raise `StudyError` where a study's model is no network of ours to train."""
    if model_of(study) is not None:
        raise StudyError(
            f"{model_name(study)} has nothing to train: all that it needs to know it has, or learns on its way.",
            remedy="Go on with `longshort forecast`, `evaluate` or `backtest`.",
        )


def forecast(study: Study) -> Forecast:
    """The distribution of the coming bars, formed at the last close at hand, by the bundle that `train` saved.

    Features go on from the memory that the bundle keeps of them, so that a live row is what a training row was, however
    much of the past the lake still holds. A model that learns from the latest bars alone needs no bundle.
    """
    model = model_of(study)
    if model is not None:
        return _unbundled(study, model)
    bundle = Bundle.load(bundle_folder(study))
    bars = load_bars(study)
    bundle.check(study, bars.symbols, study.features.names or bundle.names, recipe_digest(study))
    panel = going_on(study, bundle, bars)
    last = len(panel) - 1
    return bundle.fitted.predict(panel, range(last, last + 1))


def _unbundled(study: Study, model: Forecaster) -> Forecast:
    market = open_market(study)
    rows = len(market.bars)
    past = past_of(market, market.final_fold())
    return model.fit(past).predict(market.panel, range(rows - 1, rows))


def memory_at(market: Market, known_until: int) -> dict[str, np.ndarray]:
    """The state of the features as far before the end of training as a network's context reaches."""
    rows = len(market.bars.until(known_until)) - 2 * market.study.model.restart_rows
    stream = market.stream()
    stream.extend(market.bars[: max(rows, 1)])
    return stream.state()


def going_on(study: Study, bundle: Bundle, bars: Bars) -> Panel:
    """The panel of the bars that follow the bundle's memory; raise `DataError` where some between are not at hand."""
    stream, since = resume(study, bundle, bars)
    return stream.extend(since)


def bundle_folder(study: Study) -> Path:
    """Where a study's trained model lives."""
    return study.folder / "bundle"


def known_until(market: Market, fold: Fold) -> int:
    """The last close that any label of training or validation needs."""
    last = fold.validation.stop - 1 + max(market.study.target.horizons)
    return int(market.bars.closed_at[min(last, len(market.bars) - 1)])
