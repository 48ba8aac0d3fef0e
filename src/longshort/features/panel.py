"""Bars become rows of numbers: what was knowable at each close, for every coin, in batch and bar by bar alike."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from longshort.base.errors import DataError, StudyError
from longshort.data.bars import Bars
from longshort.features.catalog import FEATURES, Look
from longshort.features.history import History

LEVELS = ("log_volatility", "log_expanding_volatility")


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Features per close and coin.

    `values` is NaN where a feature cannot be computed; `usable` is True where all of `names` can and the bar is
    there. `volatility` (per bar, causal EWMA) scales targets; `levels` are log volatilities that the simpler models
    read. `restart` is True where a coin comes back after more than the allowed gap: a network's state starts anew.
    """

    closed_at: Int64[np.ndarray, " time"]
    grid_row: Int64[np.ndarray, " time"]
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    values: Float32[np.ndarray, "time asset feature"]
    levels: Float32[np.ndarray, "time asset level"]
    log_return: Float64[np.ndarray, "time asset"]
    volatility: Float64[np.ndarray, "time asset"]
    missing_rows: Float64[np.ndarray, "time asset"]
    usable: Bool[np.ndarray, "time asset"]
    restart: Bool[np.ndarray, "time asset"]

    def __len__(self) -> int:
        return len(self.closed_at)

    def __getitem__(self, rows: slice) -> "Panel":
        """The same panel between two rows, without a copy."""
        arrays = {name: getattr(self, name)[rows] for name in _BY_TIME}
        return replace(self, **arrays)

    def join(self, *later: "Panel") -> "Panel":
        """One panel of these rows and those that follow them."""
        parts = (self, *later)
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _BY_TIME}
        return replace(self, **arrays)

    def column(self, name: str) -> Float32[np.ndarray, "time asset"]:
        """One feature by name."""
        return self.values[:, :, self.names.index(name)]


_BY_TIME = (
    "closed_at", "grid_row", "values", "levels", "log_return", "volatility", "missing_rows", "usable", "restart",
)  # fmt: skip


class FeatureStream:
    """Turns bars into panel rows, a whole history or a single bar at a time, with the same bits.

    >>> from longshort.data.simulator import simulate_market
    >>> bars = simulate_market(coins=2, bars=2_000, seed=1).bars
    >>> whole = FeatureStream(bars.symbols, ("return_1",)).extend(bars)
    >>> stream = FeatureStream(bars.symbols, ("return_1",))
    >>> pieces = [stream.extend(bars[:1_999]), stream.extend(bars[1_999:])]
    >>> np.array_equal(pieces[1].values, whole.values[1_999:])
    True
    """

    def __init__(
        self,
        symbols: tuple[str, ...],
        names: tuple[str, ...],
        *,
        halflife_rows: float = 24.0,
        max_gap_rows: int = 3,
    ) -> None:
        unknown = [name for name in names if name not in FEATURES]
        if unknown:
            raise StudyError(f"unknown feature {unknown[0]!r}.", remedy=f"Known are: {', '.join(FEATURES)}.")
        self.symbols = symbols
        self.names = names
        self._halflife_rows = halflife_rows
        self._max_gap_rows = max_gap_rows
        self._history = History(len(symbols))
        self._last_closed_at = -1

    def extend(self, bars: Bars) -> Panel:
        """The panel rows of the bars that follow those seen so far."""
        if bars.symbols != self.symbols:
            raise DataError(f"expected the coins {self.symbols}, was {bars.symbols}.")
        if len(bars) and int(bars.closed_at[0]) <= self._last_closed_at:
            raise DataError("bars must arrive in time order, each once.")
        self._last_closed_at = int(bars.closed_at[-1]) if len(bars) else self._last_closed_at
        look = Look(bars, self._history, self._halflife_rows)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            columns = [FEATURES[name].compute(look) for name in self.names]
            levels = [FEATURES[name].compute(look) for name in LEVELS]
        values = _stack(columns, bars)
        run = self._history.missing_run("bars", bars.present.astype(np.float64))
        before = self._history.lag("run", run, 1)
        return Panel(
            closed_at=bars.closed_at,
            grid_row=bars.grid_row,
            symbols=self.symbols,
            names=self.names,
            values=values,
            levels=_stack(levels, bars),
            log_return=look["log_return"],
            volatility=look["volatility"],
            missing_rows=run,
            usable=np.isfinite(values).all(axis=2) & bars.present & np.isfinite(look["volatility"]),
            restart=bars.present & (before > self._max_gap_rows),
        )


def _stack(
    columns: list[Float64[np.ndarray, "time asset"]], bars: Bars
) -> Float32[np.ndarray, "time asset feature"]:
    empty = np.zeros((len(bars), len(bars.symbols), 0), dtype=np.float32)
    return np.stack(columns, axis=2).astype(np.float32) if columns else empty
