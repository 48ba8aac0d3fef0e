"""A fitted model at work: what it says of rows after its training, and how it did once their outcomes had come.

Forecasts are pure functions of their row and those before it, so that a stretch of them is computed at once; what is
asked of a row is answered from that row's forecast alone.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from longshort.features.panel import Panel
from longshort.models.forecaster import Fitted, Forecaster, Past
from longshort.study.folds import Fold
from longshort.study.market import Market

CHUNK_ROWS = 512
PerCoin = Float64[np.ndarray, " asset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A model of the lineage: who it followed, why it was made, and the closes it learned from and knew.

    `from_row` is the first row that it may forecast: the one after the last close that it knew. `fold` holds the rows
    that it was fitted on.
    """

    number: int
    parent: int | None
    reason: str
    fold: Fold
    from_row: int
    trained_from: int
    trained_until: int
    fitted: Fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How a model did on some rows at one horizon: log density of what came, and the probability of at most that."""

    log_density: Float64[np.ndarray, "time asset"]
    pit: Float64[np.ndarray, "time asset"]


class Shadow:
    """A model that forecasts along, in charge or not."""

    def __init__(self, market: Market, fitted: Fitted, from_row: int, horizon_bars: int) -> None:
        self.fitted = fitted
        self.from_row = from_row
        self._market = market
        self._horizon_bars = horizon_bars
        self._chunks: dict[int, Scores] = {}

    def log_density(self, row: int) -> PerCoin:
        """Of what followed a row, per coin; ask only once it has come."""
        scores, at = self._at(row)
        return scores.log_density[at]

    def pit(self, row: int) -> PerCoin:
        """The probability that the forecast at a row gave to at most what followed; ask only once it has come."""
        scores, at = self._at(row)
        return scores.pit[at]

    def _at(self, row: int) -> tuple[Scores, int]:
        number, at = divmod(row - self.from_row, CHUNK_ROWS)
        if number not in self._chunks:
            first = self.from_row + number * CHUNK_ROWS
            rows = range(first, min(first + CHUNK_ROWS, len(self._market.panel)))
            self._chunks = {number: score(self._market, self.fitted, rows, self._horizon_bars)}
        return self._chunks[number], at


def score(market: Market, fitted: Fitted, rows: range, horizon_bars: int) -> Scores:
    """How a fitted model did on some rows at one horizon; NaN where nothing came or nothing was said."""
    forecast = fitted.predict(market.panel, rows)
    k = market.targets.horizons.index(horizon_bars)
    came = market.targets.log_return[rows.start : rows.stop]
    with np.errstate(divide="ignore", invalid="ignore"):
        return Scores(
            log_density=forecast.law.log_density(came)[:, :, k], pit=forecast.law.cdf(came)[:, :, k]
        )


def fold_known(first: int, known_rows: int, *, max_horizon_bars: int, validation_share: float) -> Fold:
    """The rows from `first` on whose labels are made of the first `known_rows` closes; nothing is tested.

    >>> fold_known(10, 31, max_horizon_bars=1, validation_share=0.25)
    Fold(train=range(10, 24), validation=range(25, 30), test=range(31, 31))
    """
    stop = known_rows - max_horizon_bars
    start = stop - int(validation_share * (stop - first))
    return Fold(
        train=range(first, start - max_horizon_bars),
        validation=range(start, stop),
        test=range(known_rows, known_rows),
    )


def fit(market: Market, forecaster: Forecaster, fold: Fold) -> Fitted:
    """Fit on what was known when the last label of a fold's validation had come."""
    past = Past.cut(market.panel, market.targets, fold.train, fold.validation, market.recipe.names)
    return forecaster.fit(past)


def standardised(
    panel: Panel, names: tuple[str, ...], train: range, rows: range
) -> Float64[np.ndarray, "time asset feature"]:
    """Some features on some rows in standard deviations of the training rows; NaN where those do not vary."""
    columns = [panel.names.index(name) for name in names]
    known = panel.values[train.start : train.stop][:, :, columns].astype(np.float64)
    count = np.isfinite(known).sum(axis=(0, 1))
    filled = np.where(np.isfinite(known), known, 0.0)
    mean = filled.sum(axis=(0, 1)) / np.maximum(count, 1)
    spread = np.where(np.isfinite(known), known - mean, 0.0)
    std = np.sqrt((spread**2).sum(axis=(0, 1)) / np.maximum(count, 1))
    values = panel.values[rows.start : rows.stop][:, :, columns].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = (values - mean) / std
    return np.where((std > 0.0) & np.isfinite(scaled), scaled, np.nan)
