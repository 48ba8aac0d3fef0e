"""AutoARIMA, AutoETS and Theta of statsforecast, one per coin, on the log price.

The library chooses and estimates, on a window; each of the three is then an ARMA of the increments, which is carried
forward here in one way for all. That is the library's own forecast, but at every row, and it stands a hole. (A damped
trend is summed as in the textbook; statsforecast 2.1 counts its first step twice from two bars ahead on.)

Holes: estimates are made on closes carried forward over absent bars, so that a price without memory stays one. Going
forward, an absent bar is taken to have moved as expected; the bar that ends the hole brings the whole surprise.

Restricted, so that hundreds of refits fit into minutes: no seasons; AutoARIMA differences once and searches stepwise
up to order 2, drift included, by approximate likelihoods (order 3 took a quarter longer and was no better: CRPS on
BTC, SOL and TRX 39.42, 69.67, 188.47 basis points at horizons 1, 4 and 24 against 39.40, 69.59, 188.46); AutoETS has
additive errors, with no, a linear or a damped trend; Theta is the standard model (the optimised and the dynamic ones,
which take twice as long, forecast the same on so many rows).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from longshort.base.errors import MissingExtra
from longshort.features.kernels import compiled
from longshort.models.opponents.series import Increments, PerSeries, Series

Path = Float64[np.ndarray, " time"]
Weights = Float64[np.ndarray, " lag"]
States = Float64[np.ndarray, " state"]  # one per row, after those from before the first
ORDERS = {"start_p": 0, "start_q": 0, "max_p": 2, "max_q": 2, "max_order": 2}


@dataclass(frozen=True, slots=True)
class AutoARIMA(PerSeries):
    """Hyndman and Khandakar (2008), "Automatic time series forecasting: the forecast package for R"."""

    name: str = "AutoARIMA"

    def learn(self, window: Series) -> "ARMA":
        """Choose the orders and estimate."""
        model = _fitted(
            window,
            lambda library: library.AutoARIMA(d=1, seasonal=False, approximation=True, **ORDERS),
        )
        found = model.model_["coef"]
        p, q = (int(order) for order in model.model_["arma"][:2])
        return ARMA(
            mean=float(found.get("drift", 0.0)),
            ar=tuple(float(found[f"ar{k + 1}"]) for k in range(p)),
            ma=tuple(float(found[f"ma{k + 1}"]) for k in range(q)),
        )


@dataclass(frozen=True, slots=True)
class AutoETS(PerSeries):
    """Hyndman et al. (2008), "Forecasting with exponential smoothing"."""

    name: str = "AutoETS"

    def learn(self, window: Series) -> "ARMA":
        """Choose the trend and estimate."""
        found = _fitted(window, lambda library: library.AutoETS(season_length=1, model="AZN")).model_
        alpha, beta, _, phi = (float(value) for value in found["par"][:4])
        if found["components"][1] == "N":
            return ARMA(mean=0.0, ar=(), ma=(alpha - 1.0,))
        phi = phi if found["components"][3] == "D" else 1.0
        return ARMA(
            mean=0.0,
            ar=(phi,),
            ma=(alpha - 1.0 - phi + phi * beta, phi * (1.0 - alpha)),
            before=float(found["states"][0, 1]),
        )


@dataclass(frozen=True, slots=True)
class Theta(PerSeries):
    """Assimakopoulos and Nikolopoulos (2000), "The theta model", as smoothing with drift (Hyndman and Billah 2003)."""

    name: str = "Theta"

    def learn(self, window: Series) -> "ARMA":
        """Estimate the standard model; the optimised one is no better on real hours and costs as much again."""
        found = _fitted(window, lambda library: library.Theta(season_length=1)).model_
        alpha, theta = float(found["par"]["alpha"]), float(found["par"]["theta"])
        path = carried(window)
        slope = float(np.polynomial.polynomial.polyfit(np.arange(len(path)), path, 1)[1])
        return ARMA(mean=(1.0 - 1.0 / theta) * slope, ar=(), ma=(alpha - 1.0,))


@dataclass(frozen=True, slots=True, kw_only=True)
class ARMA:
    """`x[t] = mean + ar . (x[t - 1..] - mean) + e[t] + ma . e[t - 1..]` of the increments x of a log price.

    `before` is by how much the increment before the first differed from the mean: a trend that the window began with.
    """

    mean: float
    ar: tuple[float, ...]
    ma: tuple[float, ...]
    before: float = 0.0

    def increments(self, series: Series, horizons: tuple[int, ...], since: int) -> Increments:
        """The sum of the expected increments, step by step."""
        x, e = self._states(series.log_close)
        rows = np.arange(len(series))[since:]
        past = [x[rows + lag] for lag in range(self._lags, 0, -1)]  # the newest first
        shocks = [e[rows + lag] for lag in range(self._lags, 0, -1)]
        total = np.zeros(len(rows))
        sums: dict[int, np.ndarray] = {}
        for step in range(1, max(horizons) + 1):
            expected = np.zeros(len(rows))
            for weight, value in zip(self.ar, past, strict=False):
                expected = expected + weight * value
            for weight, value in zip(self.ma, shocks, strict=False):
                expected = expected + weight * value
            past, shocks = [expected, *past[:-1]], [np.zeros(len(rows)), *shocks[:-1]]
            total = total + (self.mean + expected)
            sums[step] = total
        return np.stack([sums[h] for h in horizons], axis=1)

    def _states(self, log_close: Path) -> tuple[States, States]:
        """Increments less their mean, and surprises: row t is at place t + lags, after what was before the first."""
        x, e = np.zeros(len(log_close) + self._lags), np.zeros(len(log_close) + self._lags)
        x[self._lags - 1] = self.before
        carry(log_close, self.mean, np.array(self.ar), np.array(self.ma), (x, e))
        return x, e

    @property
    def _lags(self) -> int:
        return max(len(self.ar), len(self.ma), 1)


@compiled
def carry(log_close: Path, mean: float, ar: Weights, ma: Weights, states: tuple[States, States]) -> None:
    """Go through the closes, writing what was expected and by how much it surprised."""
    x, e = states
    lags = len(x) - len(log_close)
    last, owed = np.nan, 0.0  # what the price was expected to move since its last close
    for t in range(len(log_close)):
        expected = 0.0
        for k in range(len(ar)):
            expected += ar[k] * x[lags + t - 1 - k]
        for k in range(len(ma)):
            expected += ma[k] * e[lags + t - 1 - k]
        owed += mean + expected
        surprise = log_close[t] - last - owed
        if np.isnan(surprise):
            surprise = 0.0
        if not np.isnan(log_close[t]):
            last, owed = log_close[t], 0.0
        x[lags + t] = expected + surprise
        e[lags + t] = surprise


def carried(window: Series) -> Float64[np.ndarray, " later_time"]:
    """The log price from the first close on, the last close standing where a bar is absent."""
    there = window.present
    last = np.maximum.accumulate(np.where(there, np.arange(len(window)), -1))
    first = int(np.argmax(there))
    return window.log_close[last[first:]] - window.log_close[first]


def _fitted(window: Series, make: Callable[[Any], Any]) -> Any:
    """A model of statsforecast, fitted in silence; raise `MissingExtra` without the library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, for orders that the search then drops
        try:
            from statsforecast import models
        except ImportError as error:
            raise MissingExtra(error.name or "statsforecast", "baselines") from error
        return make(models).fit(carried(window))
