"""GARCH(1,1) with Student-t innovations, plain or with leverage: one fit per coin, then filtered forward.

Bollerslev (1987), and Glosten, Jagannathan and Runkle (1993). The variance filter starts anew at every absolute
multiple of `restart_rows` grid rows, from the panel's volatility, and the state that is read has one to two times as
many rows behind it: a forecast never depends on where a fold or a process began. A missing return is no news.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.errors import MissingExtra
from longshort.features.panel import Panel
from longshort.models.forecast import Forecast, StudentT, Values
from longshort.models.forecaster import ForecastStream, Past
from longshort.models.opponents.scale import fit_scale

RESTART_ROWS = 512
LEAST_ROWS = 500  # with fewer returns, what other coins have learnt is the better guess
USUAL = (0.02, 0.08, 0.0, 0.90, 5.0)  # where no coin can be fitted: omega, in units of variance, to df
Grid = Float64[np.ndarray, "time asset"]


@dataclass(frozen=True, slots=True)
class GARCH:
    """`variance' = omega + (alpha + gamma [return < 0]) return^2 + beta variance`, gamma 0 without leverage."""

    horizons: tuple[int, ...]
    name: str = "GARCH-t"
    leverage: bool = False
    restart_rows: int = RESTART_ROWS

    def fit(self, past: Past) -> "FittedGARCH":
        """Fit each coin on training and validation rows, then the law over longer horizons; raises `MissingExtra`."""
        known = past.rows(past.train, past.validation)[:, None] & np.isfinite(past.panel.log_return)
        equation = _equation(past.panel.log_return, known, leverage=self.leverage)
        total = equation.ahead(Filter(equation, self.restart_rows).extend(past.panel), self.horizons)
        level = np.full((len(self.horizons), 2), np.nan)
        df = np.full(len(self.horizons), np.nan)
        for k, horizon in enumerate(self.horizons):
            if horizon > 1:
                target = past.targets.log_return[:, :, k]
                chosen = known & past.panel.usable & np.isfinite(target) & np.isfinite(total[:, :, k])
                log_scale = 0.5 * np.log(total[:, :, k][chosen])
                terms = np.stack([np.ones_like(log_scale), log_scale], axis=1)
                level[k], df[k] = fit_scale(terms, target[chosen])
        return FittedGARCH(
            name=self.name,
            horizons=self.horizons,
            equation=equation,
            level=level,
            df=df,
            restart_rows=self.restart_rows,
        )


@dataclass(frozen=True, slots=True)
class GJRGARCH(GARCH):
    """GARCH in which a fall is more news than a rise."""

    name: str = "GJR-GARCH-t"
    leverage: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Equation:
    """The coefficients of every coin; `df` is that of the next bar's innovation."""

    omega: Float64[np.ndarray, " asset"]
    alpha: Float64[np.ndarray, " asset"]
    gamma: Float64[np.ndarray, " asset"]
    beta: Float64[np.ndarray, " asset"]
    df: Float64[np.ndarray, " asset"]

    @property
    def persistence(self) -> Float64[np.ndarray, " asset"]:
        """How much of a bar's variance is expected in the next."""
        return self.alpha + 0.5 * self.gamma + self.beta

    def news(self, returns: Grid) -> tuple[Grid, Grid]:
        """`(added, kept)`: a variance becomes `added + kept * variance` when a return has come, or has not."""
        came = np.isfinite(returns)
        square = np.where(came, returns, 0.0) ** 2
        weight = self.alpha + np.where(returns < 0.0, self.gamma, 0.0)
        return self.omega + weight * square, np.where(came, self.beta, self.persistence)

    def ahead(self, variance: Grid, horizons: tuple[int, ...]) -> Values:
        """The variance of the return over each horizon, from that of the next bar."""
        total, each, sums = np.zeros_like(variance), variance, {}
        for horizon in range(1, max(horizons) + 1):
            total = total + each
            each = self.omega + self.persistence * each
            sums[horizon] = total
        return np.stack([sums[horizon] for horizon in horizons], axis=2)


class Filter:
    """Two staggered variances per coin: of the older, which is read, and of the younger, which follows it."""

    def __init__(self, equation: Equation, restart_rows: int) -> None:
        self._equation = equation
        self._restart_rows = restart_rows
        self._state = np.full((2, len(equation.omega)), np.nan)

    def extend(self, panel: Panel) -> Grid:
        """The variance of the bar after each of the rows that follow those seen so far."""
        added, kept = self._equation.news(panel.log_return)
        fresh = panel.volatility**2
        boundary = panel.grid_row % self._restart_rows == 0
        read = np.empty_like(fresh)
        state = self._state
        for t in range(len(panel)):
            if boundary[t]:
                state = np.stack([state[1], np.full_like(state[1], np.nan)])
            state = np.where(panel.restart[t] | np.isnan(state), fresh[t], added[t] + kept[t] * state)
            read[t] = state[0]
        self._state = state
        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedGARCH:
    """A GARCH that has learnt.

    The next bar has each coin's own innovation. Over longer horizons the sum of several is a Student-t of its own, with
    `level` (of a constant and the log of GARCH's scale) and `df` by maximum likelihood, pooled over coins.
    """

    name: str
    horizons: tuple[int, ...]
    equation: Equation
    level: Float64[np.ndarray, "horizon 2"]
    df: Float64[np.ndarray, " horizon"]
    restart_rows: int

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The forecasts of some rows; up to twice `restart_rows` rows before them are context."""
        from longshort.models.memory import context_start

        begin = rows.start
        if len(rows):
            begin = context_start(panel.grid_row[: rows.start + 1], self.restart_rows)
        variance = Filter(self.equation, self.restart_rows).extend(panel[begin : rows.stop])
        return self.forecast(panel[rows.start : rows.stop], variance[rows.start - begin :])

    def start(self, panel: Panel) -> ForecastStream:
        """Warm filters that go on where the panel ends."""
        return GARCHStream(self, panel)

    def forecast(self, part: Panel, variance: Grid) -> Forecast:
        """The law of every row, from the variance of the bar after it."""
        total = np.where(part.usable[:, :, None], self.equation.ahead(variance, self.horizons), np.nan)
        scale, df = np.empty_like(total), np.empty_like(total)
        for k, horizon in enumerate(self.horizons):
            if horizon == 1:
                df[:, :, k] = self.equation.df
                scale[:, :, k] = np.sqrt(total[:, :, k] * (self.equation.df - 2.0) / self.equation.df)
            else:
                df[:, :, k] = self.df[k]
                scale[:, :, k] = np.exp(self.level[k, 0] + self.level[k, 1] * 0.5 * np.log(total[:, :, k]))
        return Forecast(
            model=self.name,
            closed_at=part.closed_at,
            symbols=part.symbols,
            horizons=self.horizons,
            law=StudentT(loc=np.where(np.isnan(scale), np.nan, 0.0), scale=scale, df=df),
        )


class GARCHStream:
    """The filters, fed one close at a time."""

    def __init__(self, fitted: FittedGARCH, panel: Panel) -> None:
        from longshort.models.memory import context_start

        self._fitted = fitted
        self._filter = Filter(fitted.equation, fitted.restart_rows)
        begin = context_start(panel.grid_row, fitted.restart_rows) if len(panel) else 0
        self._filter.extend(panel[begin:])

    def step(self, row: Panel) -> Forecast:
        """The forecast at the row after the last one seen."""
        return self._fitted.forecast(row, self._filter.extend(row))


def _equation(returns: Grid, known: Bool[np.ndarray, "time asset"], *, leverage: bool) -> Equation:
    """Every coin by maximum likelihood; one that can not be fitted takes the median of those that can."""
    coins = [column[there] for column, there in zip(returns.T, known.T, strict=True)]
    variance = np.array([np.mean(own**2) if len(own) else np.nan for own in coins])
    usual = np.nanmedian(variance) if np.isfinite(variance).any() else np.nan
    variance = np.where(variance > 0.0, variance, usual)
    found = np.stack([_by_likelihood(own, leverage=leverage) for own in coins])
    fitted = np.all(np.isfinite(found), axis=1, keepdims=True)
    median = np.median(found[fitted[:, 0]], axis=0) if fitted.any() else np.asarray(USUAL)
    chosen = np.where(fitted, found, median)
    omega, alpha, gamma, beta, df = (chosen[:, place] for place in range(len(USUAL)))
    return Equation(omega=omega * variance, alpha=alpha, gamma=gamma, beta=beta, df=df)


def _by_likelihood(
    returns: Float64[np.ndarray, " row"], *, leverage: bool
) -> Float64[np.ndarray, " coefficient"]:
    """Omega in units of the variance, alpha, gamma, beta and df; NaN where the search ends nowhere."""
    nowhere = np.full(len(USUAL), np.nan)
    if len(returns) < LEAST_ROWS or not returns.any():
        return nowhere
    unit = np.sqrt(np.mean(returns**2))
    model = _library()(
        returns / unit, mean="Zero", vol="GARCH", p=1, o=int(leverage), q=1, dist="t", rescale=False
    )
    found = model.fit(disp="off", show_warning=False)
    if found.convergence_flag:
        return nowhere
    omega, alpha, *gamma, beta, df = (float(value) for value in found.params)
    return np.array([omega, alpha, gamma[0] if gamma else 0.0, beta, df])


def _library() -> Callable[..., Any]:
    try:
        from arch import arch_model
    except ImportError as error:
        raise MissingExtra("arch", "baselines") from error
    return arch_model
