"""What a trained network remembers and what its forecasts rest on, over the latest bars, as one record."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from longshort.base.clock import DAY, Interval
from longshort.base.errors import DataError, NotComputable
from longshort.base.settings import Study
from longshort.features.panel import Panel
from longshort.models.anchor import mean_share
from longshort.models.explain.attribution import (
    ANSWERS,
    Attribution,
    Cells,
    attribute,
    cells_at,
    input_names,
    unbroken,
)
from longshort.models.explain.faithfulness import Faithfulness, faithfulness
from longshort.models.explain.gates import PARTS, LayerTrace, traced
from longshort.models.lstm import FittedLSTM, as_rows
from longshort.models.memory import Rows
from longshort.study.tracking import Tracking, track

TRACKED_ROWS = 1_500  # that units are held against volatility, moves and hours on
LAGS = 48  # rows before a forecast that are varied
MOMENTS = (
    16  # forecasts in time that are attributed; the earlier half makes the order that the later half tests
)
MOST_CELLS = 3  # coins at each of them, where no coin is asked for
LEAST_CELLS = 4
DRAWS = 99  # random orders
SEED = 1

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How many of the latest bars to show, and of which coin; empty: gates of the first, attributions over several."""

    symbol: str = ""
    bars: int = 168


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit of the network: its place, how long it remembers, the mean of its gates, and what it follows."""

    layer: int
    unit: int
    half_life_bars: float
    forget: float
    input: float
    output: float
    follows: dict[str, float]
    tracks: str

    @property
    def name(self) -> str:
        """Layer and number."""
        return f"{self.layer + 1}.{self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The gates of one member over the bars shown, of one coin, and its units by how long they remember.

    `bound` is what the best of all units reaches by chance, per target. `gap` is the largest difference between the
    recomputed hidden states and the network's own.
    """

    seed: int
    units: tuple[Unit, ...]
    bound: dict[str, float]
    layers: tuple[LayerTrace, ...]
    gap: float
    tracked_rows: int
    log_volatility: Float64[np.ndarray, " time"]

    def series(self, part: str, unit: Unit) -> Float64[np.ndarray, " time"]:
        """A gate, the cell or the hidden state of one unit over the bars shown."""
        return getattr(self.layers[unit.layer], part)[:, 0, unit.unit].astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All of it; `memory` is None where the network has no gates, and `refusal` says so.

    `believed` is the share of the network's mean that goes into the forecast, `own_width` that of its log
    width: the rest is the anchor's.
    """

    model: str
    symbol: str
    symbols: tuple[str, ...]
    interval: str
    horizon_bars: int
    closed_at: Int64[np.ndarray, " time"]
    close: Float64[np.ndarray, " time"]
    memory: Memory | None
    refusal: str
    believed: float
    own_width: float
    inputs: tuple[str, ...]
    cells: int
    attribution: Attribution
    tests: tuple[Faithfulness, ...]

    def gates(self) -> pl.DataFrame:
        """Every gate, cell and hidden state of the coin, one row per bar and unit."""
        layers = self.memory.layers if self.memory is not None else ()
        return pl.concat([_frame(self.closed_at, number, layer) for number, layer in enumerate(layers)])


@dataclass(frozen=True, kw_only=True)
class View:
    """What is looked at: a fitted network, the panel it reads, the rows shown, whose gates, and which horizon."""

    fitted: FittedLSTM
    panel: Panel
    shown: range
    coin: int
    horizon: int
    interval: Interval

    @cached_property
    def rows(self) -> Rows:
        """The panel as the network reads it."""
        return as_rows(self.fitted.scaler, self.panel)


def explain(study: Study, fitted: FittedLSTM, panel: Panel, asked: Asked, report: Report) -> Explanation:
    """Look into a trained network over the latest rows of a panel; the forecast is that of the policy's horizon."""
    view = View(
        fitted=fitted,
        panel=panel,
        shown=range(max(0, len(panel) - asked.bars), len(panel)),
        coin=_place(panel, asked.symbol),
        horizon=fitted.horizons.index(study.policy.horizon_bars),
        interval=Interval.parse(study.data.interval),
    )
    rng = np.random.default_rng(SEED)
    report("explaining", 0, 3)
    memory, refusal = _memory(view, rng)
    report("explaining", 1, 3)
    cells = _cells(view, [view.coin] if asked.symbol else [])
    half = len(cells) // 2
    found, first = attribute(cells), attribute(cells[:half])
    report("explaining", 2, 3)
    orders = np.stack([np.argsort(-first.by_input(k), kind="stable") for k in range(len(ANSWERS))])
    tests = faithfulness(cells[half:], orders, rng, DRAWS)
    report("explaining", 3, 3)
    return Explanation(
        model=fitted.name,
        symbol=panel.symbols[view.coin],
        symbols=tuple(panel.symbols[coin] for coin in sorted(set(cells.coins.tolist()))),
        interval=study.data.interval,
        horizon_bars=study.policy.horizon_bars,
        closed_at=panel.closed_at[view.shown.start :],
        close=np.exp(panel.log_close[view.shown.start :, view.coin]),
        memory=memory,
        refusal=refusal,
        believed=(1.0 - mean_share(fitted.model)) * fitted.mean_weights[view.horizon],
        own_width=1.0 - fitted.model.anchor_share,
        inputs=input_names(fitted),
        cells=len(cells),
        attribution=found,
        tests=tests,
    )


def _place(panel: Panel, symbol: str) -> int:
    if symbol and symbol not in panel.symbols:
        raise DataError(f"the study has no coin {symbol}.", remedy=f"There are: {', '.join(panel.symbols)}.")
    return panel.symbols.index(symbol) if symbol else 0


def _memory(view: View, rng: np.random.Generator) -> tuple[Memory | None, str]:
    """The gates of the first seed's network at its first horizon, or why there are none."""
    panel, fitted = view.panel, view.fitted
    wanted = range(max(0, min(view.shown.start, len(panel) - TRACKED_ROWS)), len(panel))
    try:
        layers = traced(fitted.networks()[0], view.rows, wanted, fitted.model.restart_rows)
    except NotComputable as error:
        return None, str(error)
    part = panel[wanted.start :]
    cell = np.concatenate([layer.cell for layer in layers], axis=2).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        volatility = np.log(part.volatility)
    moved = _moved(panel, max(1, DAY // view.interval.ns))[wanted.start :]
    targets = {"volatility": volatility, "last day's move": moved}
    tracking = track(np.where(part.usable[:, :, None], cell, np.nan), targets, part.closed_at, rng)
    skip = view.shown.start - wanted.start
    return Memory(
        seed=fitted.members[0].seed,
        units=_units(layers, tracking),
        bound=tracking.bound,
        layers=tuple(_only(layer, skip, view.coin) for layer in layers),
        gap=max(layer.gap for layer in layers),
        tracked_rows=len(wanted),
        log_volatility=volatility[skip:, view.coin],
    ), ""


def _moved(panel: Panel, rows: int) -> Float64[np.ndarray, "time asset"]:
    """The log return over so many rows; NaN where the first of them is not there."""
    before = np.full(panel.log_close.shape, np.nan)
    before[rows:] = panel.log_close[:-rows]
    return panel.log_close - before


def _units(layers: tuple[LayerTrace, ...], tracking: Tracking) -> tuple[Unit, ...]:
    """Every unit, the longest memory first."""
    found: list[Unit] = []
    for number, layer in enumerate(layers):
        half_lives = layer.half_life_bars
        means = [gate.mean(axis=(0, 1)) for gate in (layer.forget_gate, layer.input_gate, layer.output_gate)]
        for unit, half_life in enumerate(half_lives.tolist()):
            place = len(found)
            forget, written, said = (float(mean[unit]) for mean in means)
            found.append(
                Unit(
                    layer=number,
                    unit=unit,
                    half_life_bars=half_life,
                    forget=forget,
                    input=written,
                    output=said,
                    follows={name: float(values[place]) for name, values in tracking.found.items()},
                    tracks=tracking.best(place),
                )
            )
    return tuple(sorted(found, key=lambda unit: -unit.half_life_bars))


def _frame(closed_at: Int64[np.ndarray, " time"], number: int, layer: LayerTrace) -> pl.DataFrame:
    units = layer.cell.shape[2]
    return pl.DataFrame(
        {
            "closed_at": pl.Series(np.repeat(closed_at, units)).cast(pl.Datetime("ns", "UTC")),
            "layer": np.full(len(closed_at) * units, number + 1),
            "unit": np.tile(np.arange(units), len(closed_at)),
            **{name: getattr(layer, name)[:, 0].reshape(-1) for name in PARTS},
        }
    )


def _only(layer: LayerTrace, skip: int, coin: int) -> LayerTrace:
    """The rows shown, of one coin."""
    return LayerTrace(**{name: getattr(layer, name)[skip:, coin : coin + 1] for name in PARTS}, gap=layer.gap)


def _cells(view: View, coins: list[int]) -> Cells:
    """Forecasts spread evenly over the bars shown; raise `NotComputable` where too few can be made."""
    restart = view.fitted.model.restart_rows
    lags = min(LAGS, restart)
    moments = np.linspace(max(view.shown.start, lags), view.shown.stop - 1, MOMENTS).round()
    places: list[tuple[int, int]] = []
    for row in np.unique(moments.astype(np.int64)).tolist():
        there = unbroken(view.rows, view.panel.usable, row, restart)
        places += [(row, coin) for coin in there if not coins or coin in coins][:MOST_CELLS]
    if len(places) < LEAST_CELLS:
        raise NotComputable(
            "too few of the latest bars have a forecast to explain.",
            remedy="Ask for more with --bars, or for another coin.",
        )
    return cells_at(view.fitted, view.rows, np.array(places, dtype=np.int64), lags, view.horizon)
