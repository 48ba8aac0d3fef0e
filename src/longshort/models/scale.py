"""Student-t laws with mean zero whose scale is linear in what is known: expanding, EWMA and HAR volatility.

Each is fitted by maximum likelihood on the target itself, pooled over coins, one fit per horizon: stronger than the
usual least squares on a proxy, so that a network has to beat the rival at its best.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import optimize, special

from longshort.features.panel import LEVELS, Panel
from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import ForecastStream, Past

EXPANDING, EWMA, HAR = "expanding volatility", "EWMA-t", "HAR-t"
MIN_DF = 2.1  # the variance exists only above 2
FARTHEST = 40.0  # where a step of the search goes astray, a logarithm counts no further
Design = Float64[np.ndarray, "time asset term"]


@dataclass(frozen=True, slots=True)
class ScaleModel:
    """`log scale = terms . beta` per horizon, with one number of degrees of freedom per horizon."""

    name: str
    horizons: tuple[int, ...]
    design: Callable[[Panel], Design]

    def fit(self, past: Past) -> "FittedScale":
        """Maximise the likelihood on training and validation rows."""
        terms = self.design(past.panel)
        rows = (
            past.rows(past.train, past.validation)[:, None]
            & past.panel.usable
            & np.isfinite(terms).all(axis=2)
        )
        beta = np.empty((len(self.horizons), terms.shape[2]))
        df = np.empty(len(self.horizons))
        for k, horizon in enumerate(self.horizons):
            target = past.targets.log_return[:, :, k] / np.sqrt(horizon)
            chosen = rows & np.isfinite(target)
            beta[k], df[k] = fit_scale(terms[chosen], target[chosen])
        return FittedScale(self.name, self.horizons, self.design, beta, df)


@dataclass(frozen=True, slots=True)
class FittedScale:
    """A scale model that has learnt its coefficients (per unit of the square root of the horizon)."""

    name: str
    horizons: tuple[int, ...]
    design: Callable[[Panel], Design]
    beta: Float64[np.ndarray, "horizon term"]
    df: Float64[np.ndarray, " horizon"]

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """Row by row: the forecast at a row reads that row alone."""
        part = panel[rows.start : rows.stop]
        return Forecast(
            model=self.name,
            closed_at=part.closed_at,
            symbols=part.symbols,
            horizons=self.horizons,
            law=self.law(part),
        )

    def law(self, part: Panel) -> StudentT:
        """The law at every row of a panel."""
        terms = self.design(part)
        log_scale = np.zeros((len(part), len(part.symbols), len(self.horizons)))
        for term in range(terms.shape[2]):  # in order: the same bits for one row as for many
            log_scale = log_scale + terms[:, :, term, None] * self.beta[:, term]
        known = part.usable[:, :, None]
        scale = np.where(
            known, np.exp(log_scale) * np.sqrt(np.asarray(self.horizons, dtype=np.float64)), np.nan
        )
        return StudentT(
            loc=np.zeros_like(scale), scale=scale, df=np.broadcast_to(self.df, scale.shape).copy()
        )

    def start(self, panel: Panel) -> ForecastStream:
        """There is no state beyond the row."""
        return _RowByRow(self)


@dataclass(frozen=True, slots=True)
class _RowByRow:
    fitted: FittedScale

    def step(self, row: Panel) -> Forecast:
        """The forecast at one row."""
        return self.fitted.predict(row, range(1))


def fit_scale(
    terms: Float64[np.ndarray, "row term"], target: Float64[np.ndarray, " row"]
) -> tuple[Float64[np.ndarray, " term"], float]:
    """Maximum likelihood of `target ~ exp(terms . beta) * t(df)`, by L-BFGS with the exact gradient."""
    start = np.linalg.lstsq(terms, np.log(np.abs(target) + 1e-7), rcond=None)[0]

    def loss(
        parameters: Float64[np.ndarray, " parameter"],
    ) -> tuple[float, Float64[np.ndarray, " parameter"]]:
        df = MIN_DF + np.exp(min(parameters[-1], FARTHEST))
        log_scale = np.clip(terms @ parameters[:-1], -FARTHEST, FARTHEST)
        u = target * np.exp(-log_scale)
        q = u * u / df
        half = 0.5 * (df + 1.0)
        norm = special.gammaln(half) - special.gammaln(0.5 * df) - 0.5 * np.log(df * np.pi)
        value = np.mean(log_scale + half * np.log1p(q)) - norm
        slope = terms.T @ (1.0 - (df + 1.0) * q / (1.0 + q)) / len(target)
        by_df = 0.5 * np.mean(np.log1p(q)) - half / df * np.mean(q / (1.0 + q))
        by_df -= 0.5 * (special.digamma(half) - special.digamma(0.5 * df) - 1.0 / df)
        return float(value), np.append(slope, by_df * (df - MIN_DF))

    found = optimize.minimize(
        loss, np.append(start, np.log(2.0)), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    return found.x[:-1], float(MIN_DF + np.exp(min(found.x[-1], FARTHEST)))


def expanding(panel: Panel) -> Design:
    """A constant and the log of the volatility since the first bar."""
    return _levels(panel, "log_expanding_volatility")


def ewma(panel: Panel) -> Design:
    """A constant and the log of the EWMA volatility."""
    return _levels(panel, "log_volatility")


HAR_SPANS = (1, 6, 24, 168, 720)


HAR_COLUMNS = (*(f"range_{rows}" for rows in HAR_SPANS), *(f"hour_{hour:02d}" for hour in range(24)))


def har(panel: Panel) -> Design:
    """Log ranges of the last bar, 6 hours, day, week and month, the EWMA volatility, and 24 hours of the day.

    After Corsi (2009), "A simple approximate long-memory model of realized volatility", on log ranges.
    """
    level = panel.levels[:, :, LEVELS.index("log_volatility")].astype(np.float64)
    return np.stack([level, *[panel.column(name).astype(np.float64) for name in HAR_COLUMNS]], axis=2)


def _levels(panel: Panel, name: str) -> Design:
    level = panel.levels[:, :, LEVELS.index(name)].astype(np.float64)
    return np.stack([np.ones_like(level), level], axis=2)


def scale_models(horizons: tuple[int, ...]) -> tuple[ScaleModel, ...]:
    """The three rivals that state a distribution, in order of strength."""
    return (
        ScaleModel(EXPANDING, horizons, expanding),
        ScaleModel(EWMA, horizons, ewma),
        ScaleModel(HAR, horizons, har),
    )
