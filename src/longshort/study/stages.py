"""The stages of a study that an audit or a test can take apart: features, forecasts, exposures, rivals."""

import numpy as np

from longshort.base.stage import Arrays, Stage
from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.policy.rivals import RIVALS, rival_exposure
from longshort.policy.steering import Steering, exposures
from longshort.study.market import Market
from longshort.study.money import rule_of
from longshort.study.walk import Walk, join


def stages_of(market: Market, walked: Walk, model: str) -> tuple[Stage[Bars], ...]:
    """Every stage from bars to exposures, with the walk's models as they were fitted.

    Rows before the first test row have no forecast and no exposure: their arrays begin with NaN there.
    """

    def features(bars: Bars) -> Arrays:
        panel = market.stream().extend(bars)
        names = ("values", "levels", "log_return", "volatility", "missing_rows", "usable", "restart")
        return {name: getattr(panel, name) for name in names}

    def forecasts(bars: Bars) -> Arrays:
        law = _forecast(market, walked, model, bars).law
        return {name: _from_first_test_row(walked, getattr(law, name)) for name in ("loc", "scale", "df")}

    def wishes(bars: Bars) -> Arrays:
        steering = Steering(rule_of(market), bars.symbols)
        found = exposures(_forecast(market, walked, model, bars), steering)
        return {"target": _from_first_test_row(walked, found.target)}

    def rivals(bars: Bars) -> Arrays:
        panel = market.stream().extend(bars)
        rows = range(walked.tested.start, len(bars))
        every = {name: rival_exposure(name, bars, panel, rows, rule_of(market)).target for name in RIVALS}
        return {name: _from_first_test_row(walked, target) for name, target in every.items()}

    return (
        Stage(name="features", rows=features),
        Stage(name="forecasts", rows=forecasts),
        Stage(name="exposures", rows=wishes),
        Stage(name="rivals", rows=rivals),
    )


def _forecast(market: Market, walked: Walk, model: str, bars: Bars) -> Forecast:
    panel = market.stream().extend(bars)
    last = len(bars)
    folds = [(f, m) for f, m in zip(walked.folds, walked.fitted, strict=True) if f.test.start < last]
    return join([m[model].predict(panel, range(f.test.start, min(f.test.stop, last))) for f, m in folds])


def _from_first_test_row(walked: Walk, values: np.ndarray) -> np.ndarray:
    blank = np.full((walked.tested.start, *values.shape[1:]), np.nan)
    return np.concatenate([blank, values])
