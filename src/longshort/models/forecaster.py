"""The contract that every forecaster keeps, the network and its simplest rival alike."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64

from longshort.features.panel import Panel
from longshort.features.targets import Targets
from longshort.models.forecast import Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """All that a fit may see: the panel and targets end before the first test close.

    The panel is cut, not masked: a forecaster that looks at rows it should not know finds none. `names` are the
    features that a network may read.
    """

    panel: Panel
    targets: Targets
    train: range
    validation: range
    names: tuple[str, ...]

    @classmethod
    def cut(
        cls, panel: Panel, targets: Targets, train: range, validation: range, names: tuple[str, ...] = ()
    ) -> "Past":
        """Cut the past off after the last bar that the targets of `validation` need."""
        known = validation.stop - 1 + max(targets.horizons) + 1
        return cls(
            panel=panel[:known],
            targets=targets.as_of(known),
            train=train,
            validation=validation,
            names=names or panel.names,
        )

    def scaled_targets(self) -> Float64[np.ndarray, "time asset horizon"]:
        """Targets over the causal volatility times the square root of the horizon."""
        return self.targets.log_return / volatility_over(self.panel, self.targets.horizons)

    def rows(self, *parts: range) -> Bool[np.ndarray, " time"]:
        """True on the rows of some parts."""
        mask = np.zeros(len(self.panel), dtype=np.bool_)
        for part in parts:
            mask[part.start : part.stop] = True
        return mask


def volatility_over(panel: Panel, horizons: tuple[int, ...]) -> Float64[np.ndarray, "time asset horizon"]:
    """The causal volatility over each horizon, as if returns were independent."""
    return panel.volatility[:, :, None] * np.sqrt(np.asarray(horizons, dtype=np.float64))


@runtime_checkable
class ForecastStream(Protocol):
    """A fitted forecaster that is fed one close at a time."""

    def step(self, row: Panel) -> Forecast:
        """The forecast at a panel of exactly one row, the row after the last one seen."""
        ...


@runtime_checkable
class Fitted(Protocol):
    """A forecaster that has learnt; the forecast at a row is a pure function of that row and those before it."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def horizons(self) -> tuple[int, ...]:
        """How far ahead it looks, in bars."""
        ...

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The forecasts of some rows; earlier rows of the panel are context, later ones are not read."""
        ...

    def start(self, panel: Panel) -> ForecastStream:
        """A stream that goes on where a panel ends; its forecasts equal `predict` exactly."""
        ...


@runtime_checkable
class Forecaster(Protocol):
    """Something that can learn from a past."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def fit(self, past: Past) -> Fitted:
        """Learn; everything fitted rests on rows of the past alone."""
        ...
