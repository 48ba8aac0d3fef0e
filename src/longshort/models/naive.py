"""Point forecasts that cost nothing: the price stays, or the hours of yesterday repeat.

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
        return _Rows(self, panel, 1)


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
        return _Rows(self, panel, self._context_rows + 1)


class _Rows:
    """A stream that keeps the last rows and asks the batch path for the newest."""

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
