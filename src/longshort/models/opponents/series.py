"""The frame of slow models that are fitted to one coin at a time: when they refit, when they speak, how sure they are.

A coin is refitted at every grid row that is a multiple of `REFIT_ROWS`, on the `WINDOW_ROWS` rows that end with it.
Until the next refit that fit speaks, at every `every`-th grid row, of how far the price will move from the last close:
its forecast of t + h less that of t, never a level. Nothing is learnt before: the forecast at a row is a pure function
of at most `CONTEXT_ROWS` rows that end with it, wherever a fold or a stream began.

The law is a Student-t around that increment. Its scale is the current EWMA volatility times a factor that, with the
degrees of freedom, maximises the likelihood of the model's own h-step errors over the volatility at their origin,
inside the window, per coin, horizon and refit. Of what was tried on nine coins with location 0 (a free exponent of the
volatility, factors by hour, errors of the same hour alone) nothing is better at horizons 1 and 4: CRPS 43.16 and 78.25
basis points against 43.17 and 78.36 or more; at 24 a free exponent gains a thousandth. The errors are those of rows
that the fit has seen, as the models' own intervals have them: with 2,160 rows for a few parameters this is little.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from longshort.features.panel import Panel
from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import Fitted, ForecastStream, Past
from longshort.models.opponents.scale import fit_scale

WINDOW_ROWS = 2_160  # 90 days of hours
REFIT_ROWS = 168  # a week of hours
CONTEXT_ROWS = WINDOW_ROWS + REFIT_ROWS - 1  # what the last row before the next refit rests on
MIN_ROWS = 336  # closes in a window below which a coin is too young to be fitted
MIN_ERRORS = 100  # of a horizon, below which no scale can be told

Increments = Float64[np.ndarray, "time horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One coin's closes on consecutive rows, in logarithms; NaN where the bar is absent."""

    closed_at: Int64[np.ndarray, " time"]
    log_close: Float64[np.ndarray, " time"]

    def __len__(self) -> int:
        return len(self.closed_at)

    @property
    def present(self) -> Bool[np.ndarray, " time"]:
        """True where there is a close."""
        return np.isfinite(self.log_close)


@runtime_checkable
class Learnt(Protocol):
    """A model fitted to one window of one coin."""

    def increments(self, series: Series, horizons: tuple[int, ...], since: int) -> Increments:
        """The expected move over each horizon from the rows `since` on of a series that begins with the window.

        A row's increments read that row and those before it, and are the same bits however many follow.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Fit:
    """What a refit leaves: the model, and per horizon the law of its errors over the volatility."""

    learnt: Learnt
    factor: Float64[np.ndarray, " horizon"]
    df: Float64[np.ndarray, " horizon"]


Known = dict[tuple[int, int], _Fit | None]


@dataclass(frozen=True, slots=True)
class PerSeries:
    """A slow model as a forecaster that is its own fit; `learn` is what the models differ in.

    A stream must be started on at least `context_rows` rows for its forecasts to be those of the batch.
    """

    horizons: tuple[int, ...]
    name: str
    every: int = 24

    @property
    def context_rows(self) -> int:
        """How many rows, its own included, a forecast may rest on."""
        return CONTEXT_ROWS

    def learn(self, window: Series) -> Learnt:
        """Fit a window."""
        raise NotImplementedError

    def fit(self, past: Past) -> Fitted:
        """Nothing to learn in advance: every refit rests on the window that ends with it."""
        return self

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """Speak at every `every`-th grid row where a close and its volatility are known, whatever features lack."""
        return self.speak(panel, rows, {})

    def start(self, panel: Panel) -> ForecastStream:
        """Keep the last `context_rows` rows and the last refit."""
        return _Stream(self, panel)

    def speak(self, panel: Panel, rows: range, known: Known) -> Forecast:
        """The forecasts of some rows, given refits by grid row and coin; those that it makes are added."""
        shape = (len(rows), len(panel.symbols), len(self.horizons))
        loc, scale, df = (np.full(shape, np.nan) for _ in range(3))
        for refit_row, week in _weeks(panel.grid_row, rows):
            speaks = _known(panel)[week] & (panel.grid_row[week] % self.every == 0)[:, None]
            for asset in np.flatnonzero(speaks.any(axis=0)).tolist():
                fit = self._refit(panel, refit_row, asset, known)
                if fit is None:
                    continue
                at = week[speaks[:, asset]]
                moves = fit.learnt.increments(
                    _series(panel, refit_row, int(week[-1]) + 1, asset), self.horizons, -len(week)
                )
                loc[at - rows.start, asset] = moves[speaks[:, asset]]
                scale[at - rows.start, asset] = panel.volatility[at, asset, None] * fit.factor
                df[at - rows.start, asset] = fit.df
        return Forecast(
            model=self.name,
            closed_at=panel.closed_at[rows.start : rows.stop],
            symbols=panel.symbols,
            horizons=self.horizons,
            law=StudentT(loc=np.where(np.isnan(scale), np.nan, loc), scale=scale, df=df),
        )

    def _refit(self, panel: Panel, refit_row: int, asset: int, known: Known) -> _Fit | None:
        key = (refit_row, asset)
        if key not in known:
            stop = int(np.searchsorted(panel.grid_row, refit_row, side="right"))
            window = _series(panel, refit_row, stop, asset)
            enough = int(window.present.sum()) >= MIN_ROWS
            known[key] = self._fit_of(window, panel.volatility[:stop, asset]) if enough else None
        return known[key]

    def _fit_of(self, window: Series, volatility: Float64[np.ndarray, " earlier"]) -> _Fit:
        learnt = self.learn(window)
        expected = learnt.increments(window, self.horizons, 0)
        unit = volatility[len(volatility) - len(window) :]
        laws = [_error_law((_moves(window, h) - expected[:, k]) / unit) for k, h in enumerate(self.horizons)]
        return _Fit(learnt, np.array([law[0] for law in laws]), np.array([law[1] for law in laws]))


class _Stream:
    """Keeps what the next row needs: the rows of its context, without features, and the refits in use."""

    def __init__(self, model: PerSeries, panel: Panel) -> None:
        self._model = model
        self._rows = _lean(panel[max(0, len(panel) - CONTEXT_ROWS) :])
        self._known: Known = {}

    def step(self, row: Panel) -> Forecast:
        """The forecast at the newest row."""
        self._rows = self._rows.join(_lean(row))[-CONTEXT_ROWS:]
        newest = len(self._rows) - 1
        forecast = self._model.speak(self._rows, range(newest, newest + 1), self._known)
        in_use = max((refit for refit, _ in self._known), default=0)
        self._known = {key: fit for key, fit in self._known.items() if key[0] == in_use}
        return forecast


def _known(panel: Panel) -> Bool[np.ndarray, "time asset"]:
    return np.isfinite(panel.log_close) & np.isfinite(panel.volatility)


def _lean(panel: Panel) -> Panel:
    return replace(panel, values=panel.values[:, :, :0])


def _weeks(
    grid_row: Int64[np.ndarray, " time"], rows: range
) -> Iterator[tuple[int, Int64[np.ndarray, " row"]]]:
    """The refit row that is in charge, and the rows of its week that are asked for."""
    asked = np.arange(rows.start, rows.stop)
    refit = grid_row[asked] // REFIT_ROWS * REFIT_ROWS
    for refit_row in np.unique(refit).tolist():
        yield refit_row, asked[refit == refit_row]


def _series(panel: Panel, refit_row: int, stop: int, asset: int) -> Series:
    start = int(np.searchsorted(panel.grid_row, refit_row - WINDOW_ROWS, side="right"))
    return Series(closed_at=panel.closed_at[start:stop], log_close=panel.log_close[start:stop, asset])


def _moves(window: Series, horizon: int) -> Float64[np.ndarray, " time"]:
    """What came, inside the window."""
    moves = np.full(len(window), np.nan)
    moves[:-horizon] = window.log_close[horizon:] - window.log_close[:-horizon]
    return moves


def _error_law(error: Float64[np.ndarray, " time"]) -> tuple[float, float]:
    """The scale and degrees of freedom of errors in volatilities; NaN where there are too few."""
    came = error[np.isfinite(error)]
    if len(came) < MIN_ERRORS:
        return np.nan, np.nan
    beta, df = fit_scale(np.ones((len(came), 1)), came)
    return float(np.exp(beta[0])), df
