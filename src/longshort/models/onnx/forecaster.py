"""Any ONNX model as a forecaster: `[model] kind = "onnx:model.onnx"`, with `model.toml` beside it to describe it.

The graph takes (batch, time, feature) in float32 and answers (batch, horizon, 3) with mean, scale and degrees of
freedom, or (batch, horizon, level) with quantiles. It is asked once per row, with the window that ends there and all
coins side by side, so that a stream equals a batch bit for bit. A window in which anything is missing has no forecast.
What it was trained on cannot be seen in it: it must say until when, and is not judged on rows before that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.lib.stride_tricks import sliding_window_view

from longshort.base.clock import format_instant, parse_instant
from longshort.base.errors import StudyError
from longshort.base.learning import ModelSettings
from longshort.base.settings import Study
from longshort.features.panel import Panel
from longshort.features.usercode import source_of
from longshort.models.forecast import Forecast, Law, StudentT
from longshort.models.forecaster import Fitted, ForecastStream, Past, volatility_over
from longshort.models.inputs import Scaler
from longshort.models.laws.quantiles import LEVELS, Quantiles
from longshort.models.networks.catalog import GRAPH
from longshort.models.onnx.graph import Description, ask, check_graph, described, stated
from longshort.models.onnx.session import open_graph

TAIL_DF = 4.0  # beyond the outermost quantile: about what hourly returns have
TIE = 1e-9  # log return: what is put between quantiles that are equal

Raw = Float64[np.ndarray, "time asset horizon output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphForecaster:
    """A graph and its description; fitting learns the scale of the inputs where the graph wants them scaled by us."""

    name: str
    horizons: tuple[int, ...]
    says: Description
    source: bytes
    where: str

    def fit(self, past: Past) -> Fitted:
        """Raise `StudyError` where graph, description and study do not agree."""
        unknown = [name for name in self.says.features if name not in past.panel.names]
        if unknown:
            raise StudyError(
                f"it reads the feature {unknown[0]!r}, which the study does not have.",
                where=self.where,
                remedy="Name it in features.names or features.own.",
            )
        check_graph(open_graph(self.source, self.where), self.says, len(past.panel.symbols), self.where)
        scaled = self.says.scaling == "study"
        return FittedGraph(
            model=self, scaler=Scaler.fit(past.panel, past.train, self.says.features) if scaled else None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedGraph:
    """A graph, and the scale of its inputs on the training rows."""

    model: GraphForecaster
    scaler: Scaler | None

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.model.name

    @property
    def horizons(self) -> tuple[int, ...]:
        """How far ahead it looks, in bars."""
        return self.model.horizons

    @property
    def context_rows(self) -> int:
        """How many rows before a close it reads."""
        return self.model.says.look_back_rows - 1

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The forecasts of some rows; raise `StudyError` for rows that the graph was trained on."""
        begin = max(0, rows.start - self.context_rows)
        part = panel[begin : rows.stop]
        wanted = part[rows.start - begin :]
        self._refuse_what_it_has_seen(wanted)
        return Forecast(
            model=self.name,
            closed_at=wanted.closed_at,
            symbols=wanted.symbols,
            horizons=self.horizons,
            law=self._law(self._raw(part, len(wanted)), wanted),
        )

    def start(self, panel: Panel) -> ForecastStream:
        """A stream that keeps the last rows."""
        return GraphStream(self, panel)

    def _refuse_what_it_has_seen(self, wanted: Panel) -> None:
        until = parse_instant(self.model.says.trained_until)
        if len(wanted) and int(wanted.closed_at[0]) < until:
            raise StudyError(
                f"it was trained until {format_instant(until)} and cannot be judged on rows from "
                f"{format_instant(int(wanted.closed_at[0]))} on, which it may have seen.",
                where=self.model.where,
                remedy="Let validation.first_train_share or data.since leave all test rows after that.",
            )

    def _raw(self, part: Panel, count: int) -> Raw:
        """What the graph says of the last `count` rows; NaN where anything in a window is missing."""
        says, assets = self.model.says, len(part.symbols)
        raw = np.full((count, assets, len(says.horizons), says.width), np.nan)
        if len(part) < says.look_back_rows:
            return raw
        inputs, known = self._inputs(part)
        windows = sliding_window_view(inputs, says.look_back_rows, axis=0)  # (window, asset, feature, time)
        whole = np.logical_and.reduce(sliding_window_view(known, says.look_back_rows, axis=0), axis=2)
        graph = open_graph(self.model.source, self.model.where)
        first = count - len(windows)
        for place, (window, complete) in enumerate(zip(windows, whole, strict=True)):
            if complete.any():
                said = ask(graph, np.ascontiguousarray(window.swapaxes(1, 2)))
                raw[first + place, complete] = said[complete]
        return raw

    def _inputs(
        self, part: Panel
    ) -> tuple[Float32[np.ndarray, "time asset feature"], Bool[np.ndarray, "time asset"]]:
        """The columns in the graph's order, and where they and the bar are there."""
        names = self.model.says.features
        values = part.values[:, :, [part.names.index(name) for name in names]]
        known = part.usable & np.isfinite(values).all(axis=2)
        if self.scaler is not None:
            values = self.scaler.inputs(part)[:, :, : len(names)]
        return np.where(known[:, :, None], values, np.float32(0.0)), known

    def _law(self, raw: Raw, panel: Panel) -> Law:
        says = self.model.says
        raw = raw[:, :, [says.horizons.index(h) for h in self.horizons]]
        if says.output == "student-t":
            return _student_t(raw, self._unit(panel))
        return _quantiles(raw * self._unit(panel)[..., None], says.levels)

    def _unit(self, panel: Panel) -> Float64[np.ndarray, "time asset horizon"]:
        """What one of the graph's units is worth in log returns."""
        unit = volatility_over(panel, self.horizons)
        return unit if self.model.says.unit == "volatility" else np.ones_like(unit)


class GraphStream:
    """A graph, fed one close at a time."""

    def __init__(self, fitted: FittedGraph, panel: Panel) -> None:
        self._fitted = fitted
        self._rows = panel[max(0, len(panel) - fitted.context_rows) :]

    def step(self, row: Panel) -> Forecast:
        """The forecast at the row after the last one seen."""
        rows = self._rows.join(row)
        self._rows = rows[max(0, len(rows) - self._fitted.context_rows) :]
        return self._fitted.predict(rows, range(len(rows) - 1, len(rows)))


def graph_model(study: Study) -> GraphForecaster:
    """The forecaster that a study's `onnx:PATH` names; raise `StudyError`, in one sentence, where it cannot be one."""
    path = graph_path(study.model)
    says = described(path.with_suffix(".toml"))
    lacking = [h for h in study.target.horizons if h not in says.horizons]
    if lacking:
        raise StudyError(
            f"it does not look {lacking[0]} bars ahead, which target.horizons asks for.",
            where=path.with_suffix(".toml"),
            remedy=f"It looks {', '.join(map(str, says.horizons))} ahead.",
        )
    return GraphForecaster(
        name=path.name, horizons=study.target.horizons, says=says, source=source_of(path), where=str(path)
    )


def graph_path(model: ModelSettings) -> Path:
    """Where a study's graph lies, relative to the study's folder."""
    path = model.folder / model.kind.removeprefix(GRAPH)
    if path.suffix != ".onnx":
        raise StudyError(
            f"model.kind is {model.kind!r}, which names no graph.", remedy='Write it like "onnx:model.onnx".'
        )
    return path


def graph_sources(model: ModelSettings) -> tuple[bytes, bytes]:
    """What stands in the graph and in its description, to be hashed."""
    path = graph_path(model)
    return source_of(path), source_of(path.with_suffix(".toml"))


def _student_t(raw: Raw, unit: Float64[np.ndarray, "time asset horizon"]) -> StudentT:
    with np.errstate(invalid="ignore"):
        loc, scale, df = np.moveaxis(np.where(stated(raw)[..., None], raw, np.nan), -1, 0)
    return StudentT(loc=loc * unit, scale=scale * unit, df=df)


def _quantiles(raw: Raw, levels: tuple[float, ...]) -> Quantiles:
    """The law through the stated quantiles; those that cross are sorted, after Chernozhukov et al. (2010)."""
    known = np.logical_and.reduce(np.isfinite(raw), axis=-1)
    rising = np.sort(np.where(known[..., None], raw, np.nan), axis=-1) + TIE * np.arange(len(levels))
    at = np.zeros((*known.shape, len(LEVELS)))
    for place, weights in enumerate(spread(levels)):
        at = at + rising[..., place, None] * weights
    return Quantiles(value_at=at, df=np.where(known, TAIL_DF, np.nan))


def spread(levels: tuple[float, ...]) -> Float64[np.ndarray, "level knot"]:
    """How much of each stated quantile is in each of our levels.

    Between two of them a straight line, beyond the outermost the tail of a Student-t about the median.

    >>> spread((0.1, 0.5, 0.9))[:, [1, 5, 9]].round(3).tolist()
    [[1.0, 0.5, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]
    """
    from scipy import special

    theirs, ours = np.array(levels), np.array(LEVELS)
    unit = np.eye(len(levels))
    line = np.stack([np.interp(ours, theirs, own) for own in unit])
    middle = np.array([np.interp(0.5, theirs, own) for own in unit])[:, None]
    low, high = ours < theirs[0] - 1e-9, ours > theirs[-1] + 1e-9
    outer = np.where(low, theirs[0], theirs[-1])
    reach = special.stdtrit(TAIL_DF, ours) / special.stdtrit(TAIL_DF, outer)
    return np.where(low | high, middle + (line - middle) * reach, line)
