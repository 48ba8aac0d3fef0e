"""A small walk, fitted and judged, for tests of the evidence."""

import numpy as np

from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.base.settings import DataSettings, Study, TargetSettings, ValidationSettings
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Fitted
from longshort.models.lstm import NAME, FittedLSTM
from longshort.models.opponents.scale import HAR, ScaleModel, har
from longshort.models.training.fitting import fit_member
from longshort.policy.exposure import Exposure
from longshort.study.case import Case
from longshort.study.evaluate import truth_over
from longshort.study.market import Market, open_market
from longshort.study.metrics import row_losses
from longshort.study.money import Money
from longshort.study.walk import Walk, past_of

SMALL = Study(
    data=DataSettings(source="embedded", embedded_coins=4, embedded_bars=2_500, embedded_edge=0.1),
    target=TargetSettings(horizons=(1, 4)),
    model=ModelSettings(hidden=8, seeds=(1, 2), restart_rows=64, anchor="har"),
    training=TrainingSettings(chunk_bars=48, burn_in_bars=16, batch_chunks=4, steps=10, processes=1),
    validation=ValidationSettings(folds=2),
)


def judged(study: Study = SMALL) -> Case:
    """The case of a study with HAR as its only opponent, without an account."""
    market = open_market(study)
    folds, horizons = market.folds(), study.target.horizons
    fitted: list[dict[str, Fitted]] = []
    for fold in folds:
        past = past_of(market, fold)
        members = tuple(fit_member(past, study.model, study.training, seed) for seed in study.model.seeds)
        anchor = ScaleModel(HAR, horizons, har).fit(past)
        fitted.append({NAME: FittedLSTM.of(past, study.model, members, anchor), HAR: anchor})
    parts = {
        name: [
            models[name].predict(market.panel, fold.test) for fold, models in zip(folds, fitted, strict=True)
        ]
        for name in (NAME, HAR)
    }
    forecasts = {name: first.join(*later) for name, (first, *later) in parts.items()}
    return case_of(market, Walk(folds=folds, fitted=tuple(fitted), forecasts=forecasts))


def case_of(market: Market, walked: Walk, model: str = NAME) -> Case:
    """The case of a walk, without an account."""
    truth = truth_over(market, walked.folds)
    rows = walked.tested
    nothing = np.full((len(rows), len(market.bars.symbols)), np.nan)
    wishes = Exposure(
        closed_at=market.bars.closed_at[rows.start : rows.stop], symbols=market.bars.symbols, target=nothing
    )
    return Case(
        market=market,
        walk=walked,
        truth=truth,
        losses={name: row_losses(forecast, truth) for name, forecast in walked.forecasts.items()},
        money=Money(exposure=wishes, ledgers={}),
        model=model,
        comparisons=(),
        verdicts=(),
    )


def with_forecasts(case: Case, forecasts: dict[str, Forecast], model: str) -> Case:
    """The same market and folds, forecast by others."""
    walked = Walk(folds=case.walk.folds, fitted=tuple({} for _ in case.walk.folds), forecasts=forecasts)
    return case_of(case.market, walked, model)
