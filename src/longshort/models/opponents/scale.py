"""Student-t laws with mean zero whose scale is linear in what is known: expanding, EWMA and HAR volatility.

Each is fitted by maximum likelihood on the target itself, pooled over coins, one fit per horizon: stronger than the
usual least squares on a proxy, so that a network has to beat the rival at its best. Terms are gathered and told in
pieces, in the precision that a panel has them: no step makes another array of a panel's size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy import optimize, special

from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.features.panel import LEVELS, Panel
from longshort.models.forecast import Forecast, StudentT, Values
from longshort.models.forecaster import ForecastStream, Past
from longshort.models.inputs import blocks

EXPANDING, EWMA, HAR = "expanding volatility", "EWMA-t", "HAR-t"
MIN_DF = 2.1  # the variance exists only above 2
FARTHEST = 40.0  # where a step of the search goes astray, a logarithm counts no further
ROWS_PER_TERM = 3  # fewer are no fit at all
ROWS_PER_HOUR = 10  # fewer leave an hour to chance, where others are known better
WHOLE_ROWS = 524_288  # so many rows are summed in one go, more of them in blocks that stay in the cache
BLOCK_ROWS = 8_192
Design = Float32[np.ndarray, "time asset term"]


@dataclass(frozen=True, slots=True)
class ScaleModel:
    """`log scale = terms . beta` per horizon, with one number of degrees of freedom per horizon."""

    name: str
    horizons: tuple[int, ...]
    design: Callable[[Panel], Design]

    def fit(self, past: Past) -> "FittedScale":
        """Maximise the likelihood on training and validation rows; raise `DataError` where these are too few."""
        learnt = past.rows(past.train, past.validation)[:, None] & past.panel.usable
        beta, df = [], []
        for k, horizon in enumerate(self.horizons):
            target = past.targets.log_return[:, :, k] / np.sqrt(horizon)
            terms, came = self._gathered(past.panel, target, learnt & np.isfinite(target))
            self._refuse_too_few(past, terms)
            found = fit_scale(terms, came)
            beta.append(_with_rare_hours(found[0], terms) if self.design is har else found[0])
            df.append(found[1])
        return FittedScale(self.name, self.horizons, self.design, np.array(beta), np.array(df))

    def _refuse_too_few(self, past: Past, terms: Float32[np.ndarray, "row term"]) -> None:
        rows, width = terms.shape
        if rows >= ROWS_PER_TERM * width:
            return
        first, last = (int(past.panel.closed_at[t]) for t in (0, -1))
        raise DataError(
            f"{self.name} learns {width} numbers from {ROWS_PER_TERM * width} rows or more, "
            f"and after its warm-up there are {rows}.",
            where=f"the bars from {format_instant(first)} to {format_instant(last)}",
            remedy="Import or fetch more history, or train on longer stretches.",
        )

    def _gathered(
        self,
        panel: Panel,
        target: Float64[np.ndarray, "time asset"],
        chosen: Bool[np.ndarray, "time asset"],
    ) -> tuple[Float32[np.ndarray, "row term"], Float64[np.ndarray, " row"]]:
        """The terms and targets of the chosen cells whose terms are all known."""
        terms = np.empty((int(chosen.sum()), self.design(panel[:0]).shape[2]), dtype=np.float32)
        known = np.zeros_like(chosen)
        count = 0
        for rows in blocks(panel):
            part = self.design(panel[rows])
            known[rows] = chosen[rows] & np.isfinite(part).all(axis=2)
            more = part[known[rows]]
            terms[count : count + len(more)] = more
            count += len(more)
        return terms[:count], target[known]


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
        scale = self.scale(part)
        return StudentT(
            loc=np.zeros_like(scale), scale=scale, df=np.broadcast_to(self.df, scale.shape).copy()
        )

    def scale(self, part: Panel) -> Values:
        """The scale at every row of a panel, NaN where it is not usable."""
        scale = np.empty((len(part), len(part.symbols), len(self.horizons)))
        for rows in blocks(part):
            scale[rows] = self._scale(part[rows])
        return scale

    def _scale(self, part: Panel) -> Values:
        terms = self.design(part)
        log_scale = np.zeros((*terms.shape[:2], len(self.horizons)))
        for term in range(terms.shape[2]):  # in order: the same bits for one row as for many
            log_scale = log_scale + terms[:, :, term, None] * self.beta[:, term]
        known = part.usable[:, :, None]
        return np.where(
            known, np.exp(log_scale) * np.sqrt(np.asarray(self.horizons, dtype=np.float64)), np.nan
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
    terms: Float[np.ndarray, "row term"], target: Float64[np.ndarray, " row"]
) -> tuple[Float64[np.ndarray, " term"], float]:
    """Maximum likelihood of `target ~ exp(terms . beta) * t(df)`, by L-BFGS with the exact gradient.

    Beyond `WHOLE_ROWS` sums are those of blocks, and their last bits others.
    """
    if len(target) <= WHOLE_ROWS:
        terms = terms.astype(np.float64, copy=False)

    def loss(
        parameters: Float64[np.ndarray, " parameter"],
    ) -> tuple[float, Float64[np.ndarray, " parameter"]]:
        df = MIN_DF + np.exp(min(parameters[-1], FARTHEST))
        half = 0.5 * (df + 1.0)
        slope, sums = np.zeros(terms.shape[1]), np.zeros(3)
        for rows in _row_blocks(len(target)):
            block = terms[rows].astype(np.float64, copy=False)
            log_scale = np.clip(block @ parameters[:-1], -FARTHEST, FARTHEST)
            u = target[rows] * np.exp(-log_scale)
            q = u * u / df
            tail = np.log1p(q)
            slope += block.T @ (1.0 - (df + 1.0) * q / (1.0 + q))
            sums += np.sum(log_scale + half * tail), np.sum(tail), np.sum(q / (1.0 + q))
        value, tails, pulls = sums / len(target)
        value -= special.gammaln(half) - special.gammaln(0.5 * df) - 0.5 * np.log(df * np.pi)
        by_df = 0.5 * tails - half / df * pulls
        by_df -= 0.5 * (special.digamma(half) - special.digamma(0.5 * df) - 1.0 / df)
        return float(value), np.append(slope / len(target), by_df * (df - MIN_DF))

    start = least_squares(terms, np.log(np.abs(target) + 1e-7))
    found = optimize.minimize(
        loss, np.append(start, np.log(2.0)), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    return found.x[:-1], float(MIN_DF + np.exp(min(found.x[-1], FARTHEST)))


def least_squares(
    terms: Float[np.ndarray, "row term"], target: Float64[np.ndarray, " row"]
) -> Float64[np.ndarray, " term"]:
    """The least of the solutions of least squares, from the triangles of blocks: as exact as from all rows at once."""
    rows, width = terms.shape
    kept: Float64[np.ndarray, "row column"] = np.empty((0, width + 1))
    for part in _row_blocks(rows):
        kept = np.vstack([kept, np.column_stack([terms[part], target[part]])])
        if len(kept) < rows:
            kept = np.asarray(np.linalg.qr(kept, mode="r"))
    least = np.finfo(np.float64).eps * max(rows, width)
    return np.linalg.lstsq(kept[:, :-1], kept[:, -1], rcond=least)[0]


def _row_blocks(rows: int) -> Iterator[slice]:
    size = rows if rows <= WHOLE_ROWS else BLOCK_ROWS
    return (slice(start, start + size) for start in range(0, rows, max(1, size)))


def expanding(panel: Panel) -> Design:
    """A constant and the log of the volatility since the first bar."""
    return _levels(panel, "log_expanding_volatility")


def ewma(panel: Panel) -> Design:
    """A constant and the log of the EWMA volatility."""
    return _levels(panel, "log_volatility")


HAR_SPANS = (1, 6, 24, 168, 720)


HOURS = slice(1 + len(HAR_SPANS), None)  # of HAR's terms
HAR_COLUMNS = (*(f"range_{rows}" for rows in HAR_SPANS), *(f"hour_{hour:02d}" for hour in range(24)))


def har(panel: Panel) -> Design:
    """Log ranges of the last bar, 6 hours, day, week and month, the EWMA volatility, and 24 hours of the day.

    After Corsi (2009), "A simple approximate long-memory model of realized volatility", on log ranges.
    """
    level = panel.levels[:, :, LEVELS.index("log_volatility")]
    return np.stack([level, *[panel.column(name) for name in HAR_COLUMNS]], axis=2)


def _with_rare_hours(
    beta: Float64[np.ndarray, " term"], terms: Float32[np.ndarray, "row term"]
) -> Float64[np.ndarray, " term"]:
    """HAR's coefficients, those of hours that hardly a row fell into as the others' mean.

    The hours are the constant of this law. An hour without rows would have none, and its scale be off by the power of
    e that the other hours need: more than a hundred after half a day of minutes.
    """
    rows = sum(np.count_nonzero(terms[part, HOURS], axis=0) for part in _row_blocks(len(terms)))
    rare = np.less(rows, ROWS_PER_HOUR)
    if rare.all() or not rare.any():
        return beta
    whole = beta.copy()
    whole[HOURS][rare] = np.average(beta[HOURS][~rare], weights=np.asarray(rows)[~rare])
    return whole


def _levels(panel: Panel, name: str) -> Design:
    level = panel.levels[:, :, LEVELS.index(name)]
    return np.stack([np.ones_like(level), level], axis=2)


def scale_models(horizons: tuple[int, ...]) -> tuple[ScaleModel, ...]:
    """The three rivals that state a distribution, in order of strength."""
    return (
        ScaleModel(EXPANDING, horizons, expanding),
        ScaleModel(EWMA, horizons, ewma),
        ScaleModel(HAR, horizons, har),
    )
