"""Does anything change what was said before it happened? Asked at every test bar, in every bit.

A market is cut off after a bar, or everything after the bar becomes noise; features up to that bar, the
forecast at it and the exposure after it must be the bits that the whole market gives.
"""

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from unittest.mock import patch

import numpy as np

from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.catalog import FEATURES, Feature, Look
from longshort.features.panel import Panel
from longshort.models.anchor import numbers
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Fitted
from longshort.models.lstm import NAME, LSTMForecaster
from longshort.policy.steering import Steering, exposures
from longshort.study.folds import Fold
from longshort.study.market import Market
from longshort.study.money import rule_of
from longshort.study.walk import Walk, past_of
from tests.markets import poisoned, punched

KINDS = ("cut off", "noise")
BLOCKS = 6
COINS, BARS = 2, 3_000
PANEL_ARRAYS = (
    "values",
    "levels",
    "log_close",
    "log_return",
    "volatility",
    "missing_rows",
    "usable",
    "restart",
)
LEAKY = ("return_1", "range_1", "range_24", "leaky")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of the test bars of one market, and what happens to what comes after each."""

    market: int
    kind: str
    block: int
    every_bars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many bars (or fits) were looked at, and at how many anything differed."""

    looked: int
    features: int = 0
    forecasts: int = 0
    exposures: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A market with holes, its folds, the models fitted on them, and what they say of the whole market."""

    market: Market
    walk: Walk
    targets: np.ndarray

    def at(self, row: int) -> tuple[Fold, Fitted]:
        """The fold that a test row belongs to, and its model."""
        number = sum(fold.test.start <= row for fold in self.walk.folds) - 1
        return self.walk.folds[number], self.walk.fitted[number][NAME]


def study_of(number: int, names: tuple[str, ...] = ()) -> Study:
    """Small networks that trade often; every second market restarts its memory four times as often."""
    return Study.parse(
        {
            "features": {"names": names},
            "model": {"hidden": 8, "seeds": [1, 2], "restart_rows": (256, 64)[number % 2]},
            "training": {
                "steps": 30,
                "check_every": 10,
                "chunk_bars": 96,
                "burn_in_bars": 24,
                "batch_chunks": 16,
                "processes": 1,
            },
            "validation": {"folds": 2, "first_train_share": 0.6},
            "policy": {"entry_cost_multiple": 0.02},
        }
    )


def bars_of(number: int) -> Bars:
    """A market in which one bar in two hundred is absent."""
    bars = simulate_market(COINS, BARS, edge=0.2, seed=30_000 + number).bars
    return punched(bars, np.random.default_rng(number), share=0.005)


@lru_cache(maxsize=2)
def case_of(number: int, names: tuple[str, ...] = ()) -> Case:
    """Fit every fold and say everything once, on the whole market."""
    market = Market.of(study_of(number, names), bars_of(number))
    folds = market.folds()
    fitted = tuple({NAME: fit(market, fold)} for fold in folds)
    parts = [models[NAME].predict(market.panel, f.test) for f, models in zip(folds, fitted, strict=True)]
    whole = parts[0].join(*parts[1:])
    return Case(
        market=market,
        walk=Walk(folds=folds, fitted=fitted, forecasts={NAME: whole}),
        targets=exposures(whole, steering_of(market)).target,
    )


def fit(market: Market, fold: Fold) -> Fitted:
    """The ensemble, fitted on what the fold may see."""
    study = market.study
    return LSTMForecaster(study.target.horizons, study.model, study.training).fit(past_of(market, fold))


def steering_of(market: Market) -> Steering:
    """The study's rule, holding nothing."""
    return Steering(rule_of(market), market.bars.symbols)


def look(block: Block) -> Found:
    """Look at the test bars of a block."""
    began = time.perf_counter()
    case = case_of(block.market)
    found = _search(case, _rows_of(case, block.block), block.kind, block.every_bars)
    return replace(found, seconds=time.perf_counter() - began)


def control(every_bars: int) -> Found:
    """The same search where a feature sees the next bar; noise after a bar must show at that very bar."""
    began = time.perf_counter()
    with patch("longshort.study.recipe.FEATURES", {**FEATURES, "leaky": LEAK}):
        case = case_of(0, LEAKY)
        found = _search(case, _rows_of(case, 0), "noise", every_bars)
    return replace(found, seconds=time.perf_counter() - began)


def refit(number: int) -> Found:
    """Fit every fold again where all bars after its last label are noise; the weights must be the same bits."""
    began = time.perf_counter()
    case, differing = case_of(number), 0
    for fold, models in zip(case.walk.folds, case.walk.fitted, strict=True):
        noise = poisoned(case.market.bars, fold.test.start + 1, np.random.default_rng(number))
        again = fit(Market.of(case.market.study, noise), fold)
        differing += not _same(_numbers(models[NAME]), _numbers(again))
    return Found(looked=len(case.walk.folds), forecasts=differing, seconds=time.perf_counter() - began)


def stream(number: int) -> Found:
    """Feed the pilot bar by bar from the first test bar of every fold to the last test bar."""
    began = time.perf_counter()
    case, found = case_of(number), Found(looked=0)
    for fold in case.walk.folds:
        found = _streamed(case, fold.test.start, found)
    return replace(found, seconds=time.perf_counter() - began)


def _streamed(case: Case, start: int, found: Found) -> Found:
    tested = case.walk.tested
    steering = _steering_before(case, start)
    pilot = case.walk.pilot(case.market, NAME, steering, from_row=start)
    forecasts = wishes = 0
    for row in range(start, tested.stop):
        target = pilot.on_close(case.market.bars[row : row + 1]).target
        assert pilot.forecast is not None
        forecasts += not _same_forecast(pilot.forecast, case.walk.forecasts[NAME], row - tested.start)
        wishes += not _same(target, case.targets[row - tested.start])
    return replace(
        found,
        looked=found.looked + tested.stop - start,
        forecasts=found.forecasts + forecasts,
        exposures=found.exposures + wishes,
    )


def _search(case: Case, rows: range, kind: str, every_bars: int) -> Found:
    start = case.walk.tested.start
    steering = _steering_before(case, rows.start)
    looked = features = forecasts = wishes = 0
    for row in rows:
        if (row - start) % every_bars:
            steering.step(case.walk.forecasts[NAME][row - start : row - start + 1])
            continue
        panel = Market.of(case.market.study, _changed(case.market.bars, row, kind)).panel
        forecast = case.at(row)[1].predict(panel, range(row, row + 1))
        looked += 1
        features += not _same_panel(panel, case.market.panel, row + 1)
        forecasts += not _same_forecast(forecast, case.walk.forecasts[NAME], row - start)
        wishes += not _same(steering.step(forecast).target, case.targets[row - start])
    return Found(looked=looked, features=features, forecasts=forecasts, exposures=wishes)


def _changed(bars: Bars, row: int, kind: str) -> Bars:
    """The market as it is known at the close of a row, with nothing or with noise behind it."""
    if kind == "cut off":
        return bars[: row + 1]
    return poisoned(bars, row + 1, np.random.default_rng(row))


def _rows_of(case: Case, block: int) -> range:
    tested = case.walk.tested
    edges = [tested.start + len(tested) * k // BLOCKS for k in range(BLOCKS + 1)]
    return range(edges[block], edges[block + 1])


def _steering_before(case: Case, row: int) -> Steering:
    """The rule as it stands before a test row, having seen the ones before it."""
    steering = steering_of(case.market)
    forecast = case.walk.forecasts[NAME]
    for k in range(row - case.walk.tested.start):
        steering.step(forecast[k : k + 1])
    return steering


def _same(mine: np.ndarray, theirs: np.ndarray) -> bool:
    return np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")


def _same_panel(mine: Panel, theirs: Panel, rows: int) -> bool:
    return all(_same(getattr(mine, name)[:rows], getattr(theirs, name)[:rows]) for name in PANEL_ARRAYS)


def _same_forecast(mine: Forecast, whole: Forecast, place: int) -> bool:
    return all(
        _same(getattr(mine.law, name)[0], getattr(whole.law, name)[place]) for name in ("loc", "scale", "df")
    )


def _numbers(fitted: Fitted) -> np.ndarray:
    """Every number that a fit has found, in order."""
    parts = [w for m in fitted.members for state in m.weights for _, w in sorted(state.items())]  # type: ignore[attr-defined]
    parts += [*numbers(fitted.anchor).values(), fitted.scaler.mean, fitted.scaler.std]  # type: ignore[attr-defined]
    parts.append(np.array(fitted.mean_weights))  # type: ignore[attr-defined]
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])


def _next_return(look: Look) -> np.ndarray:
    following = np.roll(np.log(look.bars.close), -1, axis=0)
    following[-1] = np.log(look.bars.close[-1])
    return following - np.log(look.bars.close)


LEAK = Feature(compute=_next_return, family="price")
