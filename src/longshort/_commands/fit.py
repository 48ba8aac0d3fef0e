"""`train` and `forecast`: learn from the past, say what is believed of the bars to come."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from longshort.base.clock import SystemClock
from longshort.base.jobs import run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.models.bundle import Bundle
from longshort.models.forecast import Forecast
from longshort.models.lstm import FittedLSTM
from longshort.models.scale import HAR
from longshort.study.folds import Fold
from longshort.study.market import Market, network_names, open_market
from longshort.study.run import job_cache, versions
from longshort.study.walk import member_job, past_of, rival_job

Report = Callable[[str, int, int], None]


def train(study: Study, *, report: Report = lambda what, done, of: None) -> Bundle:
    """Fit every seed on the development rows (the holdout stays sealed) and save the bundle beside the study."""
    market = open_market(study)
    fold = market.final_fold()
    jobs = [*[member_job(market, fold, seed) for seed in study.model.seeds], rival_job(market, fold, HAR)]
    processes = study.training.processes or usable_processors()
    results: dict[int, Any] = {}
    for done, (index, result) in enumerate(run_jobs(jobs, cache=job_cache(study), processes=processes)):
        results[index] = result
        report("training", done + 1, len(jobs))
    *members, anchor = [results[k] for k in range(len(jobs))]
    bundle = Bundle(
        fitted=FittedLSTM.of(past_of(market, fold), study.model, tuple(members), anchor),
        symbols=market.bars.symbols,
        interval=study.data.interval,
        created_at=SystemClock().now(),
        trained_until=_known_until(market, fold),
        settings=study.model_dump(mode="json"),
        hashes={"data": market.bars.digest(), "study": study.digest()},
        versions=versions(),
    )
    bundle.save(bundle_folder(study))
    return bundle


def forecast(study: Study) -> Forecast:
    """The distribution of the coming bars, formed at the last close at hand, by the bundle that `train` saved."""
    bundle = Bundle.load(bundle_folder(study))
    market = open_market(study)
    bundle.check(study, market.bars.symbols, network_names(study, market.bars))
    last = len(market.bars) - 1
    return bundle.fitted.predict(market.panel, range(last, last + 1))


def bundle_folder(study: Study) -> Path:
    """Where a study's trained model lives."""
    return study.folder / "bundle"


def _known_until(market: Market, fold: Fold) -> int:
    """The last close that any label of training or validation needs."""
    last = fold.validation.stop - 1 + max(market.study.target.horizons)
    return int(market.bars.closed_at[min(last, len(market.bars) - 1)])
