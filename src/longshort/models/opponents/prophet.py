"""Prophet, one per coin: the increments of its trend and seasonality from the last close.

A user's Prophet: a linear trend with 25 possible changes, daily and weekly seasonality as it chooses them, MAP. It is
fitted to the log price over that of the window's first close: on two coins that is as good as the plain log price at
horizons 1 and 4 and better at 24 (CRPS 230.8 basis points against 233.4), at half the time. Absent bars are left out,
as Prophet does. On real hourly bars its trend and seasons cost more than they bring: location 0 has 227.3.
"""

import contextlib
import logging
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import DAY
from longshort.base.errors import MissingExtra
from longshort.models.opponents.series import MIN_ROWS, Increments, PerSeries, Series

WEEK = 7 * DAY
WEEKS_BACK = 4  # tried in search of a week whose bars close as the coming ones will
LBFGS_HISTORY = 20  # Stan's 5 takes half as long again to the same maximum
ENOUGH = (
    1e7  # machine epsilons by which a step must still improve: a third of the time, forecasts move by .5 %
)


@dataclass(frozen=True, slots=True)
class Prophet(PerSeries):
    """Taylor and Letham (2018), "Forecasting at scale", as a forecaster of increments."""

    name: str = "Prophet"

    def learn(self, window: Series) -> "LearntProphet":
        """Fit Prophet to the closes of a window; raise `MissingExtra` without the library."""
        try:
            with _quiet():
                import pandas as pd
                from prophet import Prophet as Library
        except ImportError as error:
            raise MissingExtra(error.name or "prophet", "baselines") from error
        there = window.present
        path = window.log_close[there] - window.log_close[there][0]
        frame = pd.DataFrame({"ds": window.closed_at[there].astype("datetime64[ns]"), "y": path})
        model: Any = Library(uncertainty_samples=0)
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            model.fit(frame, history_size=LBFGS_HISTORY, tol_rel_obj=ENOUGH, output_dir=folder)
        return LearntProphet.of(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntProphet:
    """What Prophet found, in log prices and nanoseconds."""

    start_at: int
    slope: float
    changed_at: Int64[np.ndarray, " change"]
    slope_change: Float64[np.ndarray, " change"]
    periods_days: Float64[np.ndarray, " wave"]
    sine: Float64[np.ndarray, " wave"]
    cosine: Float64[np.ndarray, " wave"]

    @classmethod
    def of(cls, model: Any) -> "LearntProphet":
        """Read a fitted Prophet of the library."""
        per_ns = float(model.y_scale) / model.t_scale.value
        seasons = model.seasonalities.values()
        periods = [s["period"] / (k + 1) for s in seasons for k in range(s["fourier_order"])]
        beta = np.asarray(model.params["beta"], dtype=np.float64).reshape(-1) * float(model.y_scale)
        changes = np.asarray(model.changepoints_t, dtype=np.float64)
        return cls(
            start_at=model.start.value,
            slope=float(np.ravel(model.params["k"])[0]) * per_ns,
            changed_at=np.round(model.start.value + changes * model.t_scale.value).astype(np.int64),
            slope_change=np.asarray(model.params["delta"], dtype=np.float64).reshape(-1) * per_ns,
            periods_days=np.asarray(periods, dtype=np.float64),
            sine=beta[0 : 2 * len(periods) : 2],
            cosine=beta[1 : 2 * len(periods) : 2],
        )

    def increments(self, series: Series, horizons: tuple[int, ...], since: int) -> Increments:
        """Trend and seasonality at t + h less those at t."""
        rows = np.arange(len(series))[since:]
        here = self.value(series.closed_at[rows])
        moves = [self.value(coming(series.closed_at, rows, h)) - here for h in horizons]
        return np.stack(moves, axis=1)

    def value(self, at: Int64[np.ndarray, " time"]) -> Float64[np.ndarray, " time"]:
        """Trend and seasonality at some instants, but for a constant; terms are added in order, for the same bits."""
        total = self.slope * (at - self.start_at)
        for changed_at, change in zip(self.changed_at, self.slope_change, strict=True):
            total = total + change * np.maximum(at - changed_at, 0)
        days = at / DAY
        for period, sine, cosine in zip(self.periods_days, self.sine, self.cosine, strict=True):
            angle = 2.0 * np.pi * days / period
            total = total + sine * np.sin(angle) + cosine * np.cos(angle)
        return total


def coming(
    closed_at: Int64[np.ndarray, " time"], rows: Int64[np.ndarray, " row"], horizon: int
) -> Int64[np.ndarray, " row"]:
    """When the bar `horizon` rows after each of some rows will close, as far as the rows up to it tell.

    As in the week before, or one of the weeks before that: a Friday's next daily bar is Monday's. Where there is no
    such week, at the usual pace.

    >>> hours = 3_600_000_000_000 * np.arange(200)
    >>> (coming(hours, np.array([3, 190]), 4) // hours[1]).tolist()
    [7, 194]
    """
    pace = int(np.median(np.diff(closed_at[:MIN_ROWS])))  # of rows that every fit has seen
    expected = closed_at[rows] + horizon * pace
    for weeks in range(WEEKS_BACK, 0, -1):
        then = np.searchsorted(closed_at, closed_at[rows] - weeks * WEEK)
        same = closed_at[then] == closed_at[rows] - weeks * WEEK
        after = then + horizon
        known = same & (after <= rows)
        expected[known] = closed_at[after[known]] + weeks * WEEK
    return expected


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Nothing to read but errors: Prophet and cmdstanpy tell of every fit."""
    loggers = [logging.getLogger(name) for name in ("prophet", "cmdstanpy")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was
