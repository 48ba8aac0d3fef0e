"""Bars become rows of numbers: what was knowable at each close, for every coin, in batch and bar by bar alike."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from longshort.base.errors import DataError
from longshort.data.bars import Bars
from longshort.features.catalog import BASE, FEATURES, find_features
from longshort.features.history import Grid, History
from longshort.features.look import Feature, Look, Scaling
from longshort.features.windowed import RESTART_ROWS

LEVELS = ("log_volatility", "log_expanding_volatility")
PIECE_CELLS = (
    32_768  # a long history is taken in pieces of so many bars: their columns stay in the processor's cache
)
PAD_CELLS = (
    16  # between columns, lest as many of them as there are compete for the same few lines of the cache
)
OWN_SCALE = ("train", "none")  # what is not scaled here: by the model, or at all
STANDARDISED = ("train", "volatility")  # what still is, on the training rows

Denoise = Callable[[Bars, History], Bars]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Features per close and coin.

    `values` is NaN where a feature cannot be computed; `usable` is True where all of `names` can, but for the optional
    ones, and the bar is there. `log_return` is NaN on the row after a hole too: `log_close` tells how far it went.
    `volatility` (per bar, causal EWMA) scales targets; `levels` are log volatilities that the simpler models read.
    `restart` is True where a coin comes back after more than the allowed gap: a network's state starts anew. `optional`
    has the family of each name that may be missing, "" for all others, and `standardised` says which names a network
    standardises on its training rows.
    """

    closed_at: Int64[np.ndarray, " time"]
    grid_row: Int64[np.ndarray, " time"]
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    optional: tuple[str, ...]
    standardised: tuple[bool, ...]
    values: Float32[np.ndarray, "time asset feature"]
    levels: Float32[np.ndarray, "time asset level"]
    log_close: Float64[np.ndarray, "time asset"]
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
    "closed_at", "grid_row", "values", "levels", "log_close", "log_return", "volatility", "missing_rows", "usable",
    "restart",
)  # fmt: skip


class FeatureStream:
    """Turns bars into panel rows, a whole history or a single bar at a time, with the same bits.

    `catalog` may hold features of the user's beside ours; `scaling` overrides how single features are scaled; `denoise`
    smooths the bars that features read, while returns, volatilities and levels stay those of the bars as they are.

    >>> from longshort.data.simulator import simulate_market
    >>> bars = simulate_market(coins=2, bars=2_000, seed=1).bars
    >>> whole = FeatureStream(bars.symbols, ("return_1",)).extend(bars)
    >>> stream = FeatureStream(bars.symbols, ("return_1",))
    >>> pieces = [stream.extend(bars[:1_999]), stream.extend(bars[1_999:])]
    >>> np.array_equal(pieces[1].values, whole.values[1_999:])
    True
    """

    def __init__(  # noqa: PLR0913 each is a choice of the study
        self,
        symbols: tuple[str, ...],
        names: tuple[str, ...],
        *,
        halflife_rows: float = 24.0,
        max_gap_rows: int = 3,
        catalog: Mapping[str, Feature] | None = None,
        scaling: Mapping[str, Scaling] | None = None,
        denoise: Denoise | None = None,
    ) -> None:  # fmt: skip
        catalog = FEATURES if catalog is None else catalog
        self.symbols = symbols
        self.names = names
        self._features = find_features(names, catalog)
        find_features(scaling or (), catalog)
        self._scaling: dict[str, Scaling] = {name: f.scaling for name, f in self._features.items()}
        self._scaling.update(scaling or {})
        self._base = {**{name: feature.compute for name, feature in catalog.items()}, **BASE}
        self._halflife_rows = halflife_rows
        self._max_gap_rows = max_gap_rows
        self._denoise = denoise
        self._history = History(len(symbols))
        self._smooth = History(len(symbols))
        self.last_closed_at = -1

    def extend(self, bars: Bars) -> Panel:
        """The panel rows of the bars that follow those seen so far."""
        if bars.symbols != self.symbols:
            raise DataError(f"expected the coins {self.symbols}, was {bars.symbols}.")
        if len(bars) and int(bars.closed_at[0]) <= self.last_closed_at:
            raise DataError("bars must arrive in time order, each once.")
        if len(bars) and self.last_closed_at < 0:
            self._history.origin = self._smooth.origin = int(bars.grid_row[0])
        self.last_closed_at = int(bars.closed_at[-1]) if len(bars) else self.last_closed_at
        panel = self._blank(bars)
        for rows in _pieces(bars):
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                self._fill(panel[rows], bars[rows])
        return panel

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next bar needs, in numbers: what `restore` takes."""
        histories = {"history": self._history, "smooth": self._smooth}
        kept = {f"{name}/{key}": part for name, h in histories.items() for key, part in h.state().items()}
        return {"last_closed_at": np.array([self.last_closed_at]), **kept}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another stream of the same coins, features and settings was when its state was taken."""
        for name, history in {"history": self._history, "smooth": self._smooth}.items():
            kept = {key.removeprefix(f"{name}/"): v for key, v in state.items() if key.startswith(f"{name}/")}
            history.restore(kept)
        self.last_closed_at = int(state["last_closed_at"][0])

    def _blank(self, bars: Bars) -> Panel:
        shape = bars.present.shape
        return Panel(
            closed_at=bars.closed_at,
            grid_row=bars.grid_row,
            symbols=self.symbols,
            names=self.names,
            optional=tuple(f.family if f.optional else "" for f in self._features.values()),
            standardised=tuple(self._scaling[name] in STANDARDISED for name in self.names),
            values=np.empty((*shape, len(self.names)), dtype=np.float32),
            levels=np.empty((*shape, len(LEVELS)), dtype=np.float32),
            log_close=np.empty(shape),
            log_return=np.empty(shape),
            volatility=np.empty(shape),
            missing_rows=np.empty(shape),
            usable=np.empty(shape, dtype=bool),
            restart=np.empty(shape, dtype=bool),
        )

    def _fill(self, panel: Panel, bars: Bars) -> None:
        """Compute a piece of a panel, in place."""
        raw = look = Look(bars, self._history, self._halflife_rows, self._base)
        if self._denoise is not None:
            look = Look(self._denoise(bars, self._smooth), self._smooth, self._halflife_rows, self._base)
        known = self._fill_values(panel, look)
        for place, name in enumerate(LEVELS):
            panel.levels[:, :, place] = raw[name]
        run = self._history.missing_run("bars", bars.present.astype(np.float64))
        panel.log_close[:] = raw["log_close"]
        panel.log_return[:] = raw["log_return"]
        panel.volatility[:] = raw["volatility"]
        panel.missing_rows[:] = run
        panel.usable[:] = known & bars.present & np.isfinite(raw["volatility"])
        panel.restart[:] = bars.present & (self._history.lag("run", run, 1) > self._max_gap_rows)

    def _fill_values(self, panel: Panel, look: Look) -> Bool[np.ndarray, "time asset"]:
        """Write every feature, and say where all that are not optional are known."""
        cells = panel.usable.size
        columns = np.empty((len(self.names), cells + PAD_CELLS), dtype=np.float32)[:, :cells]
        known = np.ones(cells, dtype=bool)
        for column, (name, feature) in zip(columns, self._features.items(), strict=True):
            column[:] = self._scaled(look, name, feature.compute(look)).reshape(-1)
            known &= feature.optional or np.isfinite(column)
        panel.values.reshape(cells, len(self.names))[:] = columns.T
        return known.reshape(panel.usable.shape)

    def _scaled(self, look: Look, name: str, values: Grid) -> Grid:
        kind = self._scaling[name]
        if kind in OWN_SCALE:
            return values
        from longshort.features.scaling import scaled

        return scaled(look, name, kind, values)


def _pieces(bars: Bars) -> Iterator[slice]:
    """Pieces of a history that end where windows restart, each small enough for the processor's cache."""
    blocks = max(1, PIECE_CELLS // (RESTART_ROWS * max(1, len(bars.symbols))))
    edges = np.flatnonzero(np.diff(bars.grid_row // (blocks * RESTART_ROWS))) + 1
    yield from (slice(start, stop) for start, stop in pairwise([0, *edges.tolist(), len(bars)]))
