"""Point forecasts that cost nothing: the price stays, drifts as it did, or the hours of yesterday repeat.

They state no distribution: their scale is NaN, and scores that need one leave them out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from longshort.features.panel import Panel
from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import Fitted, ForecastStream, Past


@dataclass(frozen=True, slots=True)
class PreviousValue:
    """The price stays where it is: a return of zero."""

    horizons: tuple[int, ...]
    name: str = "previous value"

    def fit(self, past: Past) -> Fitted:
        """Nothing to learn."""
        return self

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """Zero everywhere."""
        return _point(self.name, panel[rows.start : rows.stop], self.horizons, None)

    def start(self, panel: Panel) -> ForecastStream:
        """There is no state."""
        return LastReturns(self, panel, 1)


@dataclass(frozen=True, slots=True)
class Drift:
    """The mean return of training and validation rows goes on, per coin; all coins' where one has no rows."""

    horizons: tuple[int, ...]
    name: str = "drift"

    def fit(self, past: Past) -> Fitted:
        """Average the returns."""
        chosen = past.rows(past.train, past.validation)[:, None] & np.isfinite(past.panel.log_return)
        came = np.where(chosen, past.panel.log_return, 0.0)
        own = came.sum(axis=0) / np.maximum(chosen.sum(axis=0), 1)
        pooled = came.sum() / max(int(chosen.sum()), 1)
        return FittedDrift(self.horizons, np.where(chosen.any(axis=0), own, pooled), self.name)


@dataclass(frozen=True, slots=True)
class FittedDrift:
    """A mean return per bar and coin."""

    horizons: tuple[int, ...]
    per_bar: Float64[np.ndarray, " asset"]
    name: str

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The mean return times the horizon, at every usable row."""
        part = panel[rows.start : rows.stop]
        ahead = self.per_bar[:, None] * np.asarray(self.horizons, dtype=np.float64)
        return _point(self.name, part, self.horizons, np.where(part.usable[:, :, None], ahead, np.nan))

    def start(self, panel: Panel) -> ForecastStream:
        """There is no state."""
        return LastReturns(self, panel, 1)


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """The same bars of the season before repeat: by default the same hours of the day before."""

    horizons: tuple[int, ...]
    season_rows: int = 24
    name: str = "seasonal naive"

    def fit(self, past: Past) -> Fitted:
        """Nothing to learn."""
        return self

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The sum of the returns that lie whole seasons before the coming ones."""
        back = self._context_rows
        pad = np.full((max(0, back - rows.start), len(panel.symbols)), np.nan)
        known = np.concatenate([pad, panel.log_return[max(0, rows.start - back) : rows.stop]])
        loc = np.empty((len(rows), len(panel.symbols), len(self.horizons)))
        for k, horizon in enumerate(self.horizons):
            season = -(-horizon // self.season_rows) * self.season_rows
            total = np.zeros((len(rows), len(panel.symbols)))
            for ahead in range(1, horizon + 1):  # row t looks at the return of row t + ahead - season
                first = back + ahead - season
                total = total + known[first : first + len(rows)]
            loc[:, :, k] = total
        return _point(self.name, panel[rows.start : rows.stop], self.horizons, loc)

    @property
    def _context_rows(self) -> int:
        return -(-max(self.horizons) // self.season_rows) * self.season_rows

    def start(self, panel: Panel) -> ForecastStream:
        """Keep the season that the next row needs."""
        return LastReturns(self, panel, self._context_rows + 1)


class LastReturns:
    """A stream of what reads past returns and the newest row alone: it keeps the last, and asks the batch path."""

    def __init__(self, fitted: Fitted, panel: Panel, rows: int) -> None:
        self._fitted = fitted
        self._returns = panel.log_return[max(0, len(panel) - rows) :].copy()
        self._rows = rows

    def step(self, row: Panel) -> Forecast:
        """The forecast at the newest row."""
        self._returns = np.concatenate([self._returns, row.log_return])[-self._rows :]
        count = len(self._returns)
        context = _repeat(row, count, self._returns)
        return self._fitted.predict(context, range(count - 1, count))


def _repeat(row: Panel, count: int, returns: Float64[np.ndarray, "time asset"]) -> Panel:
    from dataclasses import replace

    repeated = {
        name: np.repeat(getattr(row, name), count, axis=0)
        for name in (
            "closed_at",
            "grid_row",
            "values",
            "levels",
            "log_close",
            "volatility",
            "missing_rows",
            "usable",
            "restart",
        )
    }
    return replace(row, log_return=returns, **repeated)


def _point(
    name: str,
    panel: Panel,
    horizons: tuple[int, ...],
    loc: Float64[np.ndarray, "time asset horizon"] | None,
) -> Forecast:
    shape = (len(panel), len(panel.symbols), len(horizons))
    unknown = np.full(shape, np.nan)
    return Forecast(
        model=name,
        closed_at=panel.closed_at,
        symbols=panel.symbols,
        horizons=horizons,
        law=StudentT(loc=np.zeros(shape) if loc is None else loc, scale=unknown, df=unknown),
    )
