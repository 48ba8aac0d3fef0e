"""Linear forecasts of the mean: ridge on the features of the row, DLinear on past returns, both in closed form.

Each has a Student-t law whose log scale is linear in HAR's terms, fitted by maximum likelihood on what the mean
leaves over. Targets are in volatility units, so that calm and wild coins weigh alike, and without a constant: a drift
of the training rows is another opponent. The penalty of each horizon is the one that errs least on the validation
rows; then the weights are fitted again with those rows.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from longshort.features.panel import Panel
from longshort.models.forecast import Forecast, Values
from longshort.models.forecaster import ForecastStream, Past, volatility_over
from longshort.models.inputs import Scaler
from longshort.models.opponents.naive import LastReturns
from longshort.models.opponents.scale import FittedScale, ScaleModel, har

PENALTIES = tuple(float(p) for p in 10.0 ** np.arange(-4.0, 3.5, 0.5))  # per row; the last leaves no mean
LOOK_BACK_ROWS = 96
KERNEL_ROWS = 25  # of the moving average, as published
Inputs = Float64[np.ndarray, "time asset input"]
Square = Float64[np.ndarray, "input other_input"]


@dataclass(frozen=True, slots=True)
class Ridge:
    """Hoerl and Kennard (1970) on every feature that the network reads, standardised as it reads them."""

    horizons: tuple[int, ...]
    name: str = "ridge"

    def fit(self, past: Past) -> "FittedLinear":
        """Choose the penalties, fit the weights, then the scale of the residuals."""
        scaler = Scaler.fit(past.panel, past.train, past.names)
        return _fit(self, past, FeatureInputs(scaler), np.eye(scaler.width))


@dataclass(frozen=True, slots=True)
class DLinear:
    """Zeng et al. (2023), "Are transformers effective for time series forecasting?", for returns.

    A window of log prices relative to the last is split into its moving average and the remainder, and each has a
    linear map to each horizon, shared by the coins. Both maps are solved by ridge regression instead of gradient
    steps; together they are one linear map of the returns within the window.
    """

    horizons: tuple[int, ...]
    name: str = "DLinear"

    def fit(self, past: Past) -> "FittedLinear":
        """Choose the penalties, fit both maps, then the scale of the residuals."""
        levels = -np.tril(np.ones((LOOK_BACK_ROWS, LOOK_BACK_ROWS - 1)), -1)  # of the returns, by age
        trend = moving_average(LOOK_BACK_ROWS, KERNEL_ROWS)
        parts = np.concatenate([trend @ levels, levels - trend @ levels])
        return _fit(self, past, WindowInputs(), np.ascontiguousarray(parts.T))


@dataclass(frozen=True, slots=True)
class FeatureInputs:
    """The features of a row, standardised on training rows."""

    scaler: Scaler
    context_rows: int = 1

    def of(self, panel: Panel, rows: range) -> Inputs:
        """What a linear map reads at some rows."""
        return self.scaler.inputs(panel[rows.start : rows.stop]).astype(np.float64)


@dataclass(frozen=True, slots=True)
class WindowInputs:
    """The returns within the last 96 bars over the volatility of the row, the newest first.

    Where a return is missing, or was never there, the price stayed.
    """

    context_rows: int = LOOK_BACK_ROWS - 1

    def of(self, panel: Panel, rows: range) -> Inputs:
        """What a linear map reads at some rows; earlier rows of the panel are context."""
        back = self.context_rows - 1
        known = np.nan_to_num(panel.log_return[max(0, rows.start - back) : rows.stop])
        padded = np.concatenate([np.zeros((max(0, back - rows.start), known.shape[1])), known])
        unit = panel.volatility[rows.start : rows.stop]
        lagged = [padded[back - age : back - age + len(rows)] / unit for age in range(self.context_rows)]
        return np.stack(lagged, axis=2)


def moving_average(rows: int, kernel: int) -> Square:
    """The matrix of a centred moving average whose ends repeat, so that nothing outside the window is read.

    >>> (moving_average(3, 3) @ [0.0, 3.0, 6.0]).tolist()
    [1.0, 3.0, 5.0]
    """
    average = np.zeros((rows, rows))
    for shift in range(-(kernel // 2), kernel - kernel // 2):
        np.add.at(average, (np.arange(rows), np.clip(np.arange(rows) + shift, 0, rows - 1)), 1.0 / kernel)
    return average


Reader = FeatureInputs | WindowInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLinear:
    """A linear mean that has learnt, with the Student-t law of what it leaves over."""

    name: str
    horizons: tuple[int, ...]
    reader: Reader
    weights: Float64[np.ndarray, "input horizon"]
    penalty: tuple[float, ...]
    residual: FittedScale

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The forecasts of some rows."""
        part = panel[rows.start : rows.stop]
        law = replace(self.residual.law(part), loc=self.mean(panel, rows))
        return Forecast(
            model=self.name,
            closed_at=part.closed_at,
            symbols=part.symbols,
            horizons=self.horizons,
            law=law,
        )

    def mean(self, panel: Panel, rows: range) -> Values:
        """The expected log returns at some rows."""
        part = panel[rows.start : rows.stop]
        mean = applied(self.reader.of(panel, rows), self.weights) * volatility_over(part, self.horizons)
        return np.where(part.usable[:, :, None], mean, np.nan)

    def start(self, panel: Panel) -> ForecastStream:
        """Keep the returns that the next row needs."""
        return LastReturns(self, panel, self.reader.context_rows)


def applied(inputs: Inputs, weights: Float64[np.ndarray, "input horizon"]) -> Values:
    """A linear map, summed in order: one row gives the same bits as many."""
    total = np.zeros((*inputs.shape[:2], weights.shape[1]))
    for place in range(inputs.shape[2]):
        total = total + inputs[:, :, place, None] * weights[place]
    return total


def _fit(
    model: Ridge | DLinear, past: Past, reader: Reader, parts: Float64[np.ndarray, "input part"]
) -> FittedLinear:
    inputs = reader.of(past.panel, range(len(past.panel)))
    target = past.scaled_targets()
    found = [_chosen(past, inputs, target[:, :, k], parts) for k in range(len(model.horizons))]
    weights = np.stack([weights for weights, _ in found], axis=1)
    mean = applied(inputs, weights) * volatility_over(past.panel, model.horizons)
    left = replace(past.targets, log_return=past.targets.log_return - mean)
    return FittedLinear(
        name=model.name,
        horizons=model.horizons,
        reader=reader,
        weights=weights,
        penalty=tuple(penalty for _, penalty in found),
        residual=ScaleModel(model.name, model.horizons, har).fit(replace(past, targets=left)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """All that least squares needs of some rows, so that no penalty reads them again."""

    rows: int
    square: Square
    slope: Float64[np.ndarray, " input"]

    @classmethod
    def of(cls, inputs: Float64[np.ndarray, "row input"], target: Float64[np.ndarray, " row"]) -> "Moments":
        """The moments of rows without holes."""
        return cls(rows=len(inputs), square=inputs.T @ inputs, slope=inputs.T @ target)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            rows=self.rows + other.rows, square=self.square + other.square, slope=self.slope + other.slope
        )

    def error(self, weights: Float64[np.ndarray, " input"]) -> float:
        """The sum of squared errors, but for a constant."""
        return float(weights @ self.square @ weights - 2.0 * self.slope @ weights)

    def ridge(
        self, penalties: tuple[float, ...], parts: Float64[np.ndarray, "input part"]
    ) -> list[Float64[np.ndarray, " input"]]:
        """The weights for each penalty per row on the weights of `parts`, linear maps of the inputs.

        >>> moments = Moments.of(np.array([[1.0], [2.0]]), np.array([3.0, 6.0]))
        >>> [w.round(6).tolist() for w in moments.ridge((1e-9, 2.5), np.eye(1))]
        [[3.0], [1.5]]
        """
        rows = max(self.rows, 1)
        metric = np.linalg.cholesky(parts @ parts.T)  # the penalty of a map of parts, as one of the inputs
        values, vectors = np.linalg.eigh(metric.T @ self.square @ metric / rows)
        along = vectors.T @ (metric.T @ self.slope / rows)
        return [metric @ vectors @ (along / (np.maximum(values, 0.0) + penalty)) for penalty in penalties]


def _chosen(
    past: Past,
    inputs: Inputs,
    target: Float64[np.ndarray, "time asset"],
    parts: Float64[np.ndarray, "input part"],
) -> tuple[Float64[np.ndarray, " input"], float]:
    scored = past.panel.usable & np.isfinite(target)
    train, validation = (
        Moments.of(inputs[chosen], target[chosen])
        for chosen in (scored & past.rows(part)[:, None] for part in (past.train, past.validation))
    )
    errors = [validation.error(weights) for weights in train.ridge(PENALTIES, parts)]
    best = PENALTIES[int(np.argmin(errors))]
    return (train + validation).ridge((best,), parts)[0], best
