"""The stages of a study on a bar's way, each a function of bars alone, with the walk's models as they were fitted.

Rows before the first test row have no forecast and no exposure: their arrays begin with NaN there. What can be said
bar by bar is, by the very objects that run live.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Int64

from longshort.base.errors import DataError
from longshort.base.stage import Arrays, Instants, Stage
from longshort.data.bars import Bars
from longshort.data.certificate.cleaning import clean
from longshort.features.history import History
from longshort.features.panel import Panel
from longshort.features.targets import Targets
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Past
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.catalog import model_name
from longshort.models.training.chunks import chunk_starts
from longshort.policy.exposure import Wishes
from longshort.policy.pilot import Pilot, Tenure
from longshort.policy.rivals import RIVALS, rival_exposure
from longshort.policy.steering import Sight, Steering, exposures
from longshort.study.market import Market, targets_of
from longshort.study.money import rule_of
from longshort.study.walk import Walk

PANEL = ("values", "levels", "log_close", "log_return", "volatility", "missing_rows", "usable", "restart")
PRICES = ("open", "high", "low", "close", "volume")
BARS = (*PRICES, "present", "listed", "funding_rate", "funding_covered", "traded")
LAW = ("loc", "scale", "df")
KEPT = 40  # histories of which is remembered what the stages have in common

Pieces = Iterator[Bars]
Answers = Iterator[Arrays]


def stages_of(
    market: Market, walked: Walk, model: str = "", *, spoken: range | None = None
) -> tuple[Stage[Bars], ...]:
    """Every stage from bars to exposures; what a walk says, it says of the `spoken` rows (default: all tested ones).

    All stages have the same borders, so that all are asked about the same histories.
    """
    walking = Walking(market, walked, model or model_name(market.study), spoken or walked.tested)
    first, borders = max(walking.spoken.start - 1, 0), tuple(fold.test.start for fold in walked.folds)
    anywhere = partial(Stage, borders=borders)
    by_row = partial(Stage, borders=borders, from_row=first, anywhere=False)
    return (
        anywhere(name="bars", rows=partial(_bars, market)),
        *([anywhere(name="denoised", rows=_denoised(market))] if market.study.features.denoise else []),
        anywhere(name="features", rows=walking.features, stream=walking.streamed_features),
        anywhere(name="targets", rows=partial(_targets, market), ahead=_ahead(market)),
        anywhere(name="chunks", rows=walking.chunks, clock=walking.chunk_ends),
        by_row(name="forecasts", rows=walking.forecasts, stream=walking.streamed_forecasts),
        by_row(name="exposures", rows=walking.exposures, stream=walking.streamed_exposures),
        by_row(name="rivals", rows=walking.rivals),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a history is to all stages: its panel without the features, and the forecasts of the spoken rows."""

    panel: Panel
    forecast: Forecast | None


class Walking:
    """What the features and the fitted models of a walk, each in charge of its own fold, say of a history.

    What a view takes is computed once per history, told apart by all that is in it.
    """

    def __init__(self, market: Market, walked: Walk, model: str, spoken: range) -> None:
        self.spoken = spoken
        self._market = market
        self._walked = walked
        self._model = model
        self._views: OrderedDict[str, View] = OrderedDict()

    def features(self, bars: Bars) -> Arrays:
        """The panel, and what the network reads: each row scaled as the model in charge of it scales."""
        panel = self._market.stream().extend(bars)
        self._remember(bars, panel)
        return panel_arrays(panel) | {"scaled": self._scaled(panel)}

    def streamed_features(self, pieces: Pieces) -> Answers:
        """The same by the stream that runs live, bar by bar."""
        features = self._market.stream()
        for bars in pieces:
            panel = features.extend(bars)
            yield panel_arrays(panel) | {"scaled": self._scaled(panel)}

    def view(self, bars: Bars) -> View:
        """The view of a history, the last ones from memory."""
        known = self._views.get(bars.digest())
        return known or self._remember(bars, self._market.stream().extend(bars))

    def chunks(self, bars: Bars) -> Arrays:
        """Every stretch that training could read, in the order of its last row: where it begins, of which coin."""
        found = _starts(self._market, self.view(bars).panel)
        return {"row": found[:, 0], "asset": found[:, 1]}

    def chunk_ends(self, bars: Bars) -> Instants:
        """The last close of every such stretch."""
        found = _starts(self._market, self.view(bars).panel)
        return bars.closed_at[found[:, 0] + self._market.study.training.chunk_bars - 1]

    def forecasts(self, bars: Bars) -> Arrays:
        """The law of every horizon."""
        found = self.view(bars).forecast
        if found is None:
            return self._unknown(bars)
        return {name: self._padded(getattr(found.law, name), bars) for name in LAW}

    def exposures(self, bars: Bars) -> Arrays:
        """The policy's wishes, exits included."""
        return self._wishes(bars, self._steering())

    def rivals(self, bars: Bars) -> Arrays:
        """The wishes of every rival."""
        rows, rule = range(self.spoken.start, min(self.spoken.stop, len(bars))), rule_of(self._market)
        if not rows:
            return {name: np.full(bars.close.shape, np.nan) for name in RIVALS}
        panel = self.view(bars).panel
        wishes = {name: rival_exposure(name, bars, panel, rows, rule).target for name in RIVALS}
        return {name: self._padded(target, bars) for name, target in wishes.items()}

    def streamed_forecasts(self, pieces: Pieces) -> Answers:
        """The same forecasts by the pilot that runs live, bar by bar."""
        for bars, pilot in self._flown(pieces):
            known = pilot.forecast if pilot else None
            if pilot is None:
                yield self.forecasts(bars)
            else:
                yield {n: getattr(known.law, n) for n in LAW} if known else self._unknown(bars)

    def streamed_exposures(self, pieces: Pieces) -> Answers:
        """The same wishes by the pilot that runs live, bar by bar."""
        steering = self._steering()
        for first in pieces:
            yield self._wishes(first, steering)
            pilot = self._pilot(first, steering)
            for bars in pieces:
                yield {name: wish[None] for name, wish in pilot.on_close(bars)._asdict().items()}

    def _flown(self, pieces: Pieces) -> Iterator[tuple[Bars, Pilot | None]]:
        """The first piece without a pilot, every later one after the pilot has seen it."""
        for first in pieces:
            yield first, None
            pilot = self._pilot(first, self._steering())
            for bars in pieces:
                pilot.on_close(bars)
                yield bars, pilot

    def _pilot(self, history: Bars, steering: Steering) -> Pilot:
        """The pilot that relays from fold to fold and says nothing before the spoken rows."""
        fitted = [models[self._model] for models in self._walked.fitted]
        begins = int(self._market.bars.closed_at[self.spoken.start])
        return Pilot(
            [Tenure(max(at, begins), model) for at, model in zip(self._takes_over, fitted, strict=True)],
            self._market.stream(),
            steering,
            history=history,
            context_rows=self._walked.context_rows(self._market, self._model),
        )

    def _wishes(self, bars: Bars, steering: Steering) -> Arrays:
        view = self.view(bars)
        if view.forecast is None:
            return {name: np.full(bars.close.shape, np.nan) for name in Wishes._fields}
        found = exposures(view.forecast, steering, Sight(bars, view.panel))
        return {name: self._padded(getattr(found, name), bars) for name in Wishes._fields}

    def _remember(self, bars: Bars, panel: Panel) -> View:
        bare = np.zeros((*panel.usable.shape, 0), dtype=np.float32)
        thin = replace(panel, names=(), optional=(), standardised=(), values=bare, levels=bare)
        view = View(panel=thin, forecast=self._forecast(panel))
        self._views[bars.digest()] = view
        while len(self._views) > KEPT:
            self._views.popitem(last=False)
        return view

    def _forecast(self, panel: Panel) -> Forecast | None:
        """The forecasts of the spoken rows that are there, each by the model in charge of it; None before the first."""
        parts: list[Forecast] = []
        for fold, fitted in zip(self._walked.folds, self._walked.fitted, strict=True):
            start, stop = max(fold.test.start, self.spoken.start), min(fold.test.stop, self.spoken.stop)
            rows = range(start, min(stop, len(panel)))
            parts += [fitted[self._model].predict(panel, rows)] if rows else []
        return parts[0].join(*parts[1:]) if parts else None

    def _scaled(self, panel: Panel) -> Float32[np.ndarray, "time asset input"]:
        edges = [0, *np.searchsorted(panel.closed_at, self._takes_over[1:]).tolist(), len(panel)]
        parts: list[np.ndarray] = []
        for (start, stop), fitted in zip(pairwise(edges), self._walked.fitted, strict=True):
            model = fitted[self._model]
            part = panel[start:stop]
            parts.append(model.scaler.inputs(part) if isinstance(model, FittedLSTM) else part.values)
        return np.concatenate(parts)

    def _steering(self) -> Steering:
        return Steering(rule_of(self._market), self._market.bars.symbols)

    def _unknown(self, bars: Bars) -> Arrays:
        shape = (*bars.close.shape, len(self._market.study.target.horizons))
        return {name: np.full(shape, np.nan) for name in LAW}

    def _padded(self, values: np.ndarray, bars: Bars) -> np.ndarray:
        """NaN before and behind the spoken rows."""
        padded = np.full((len(bars), *values.shape[1:]), np.nan)
        padded[self.spoken.start : self.spoken.start + len(values)] = values
        return padded

    @property
    def _takes_over(self) -> list[int]:
        """The first close of each model."""
        return [int(self._market.bars.closed_at[fold.test.start]) for fold in self._walked.folds]


def panel_arrays(panel: Panel) -> Arrays:
    """Everything that a panel says of its rows."""
    return {name: getattr(panel, name) for name in PANEL}


def _bars(market: Market, bars: Bars) -> Arrays:
    """Bars as the study's cleaning leaves them, and what is derived from them before any feature."""
    cleaned = clean(bars, market.study.data.cleaning)
    gauges: Arrays = {str(name): grid for name, grid in cleaned.gauges.items()}
    return {name: getattr(cleaned, name) for name in BARS} | gauges | {"grid_row": cleaned.grid_row}


def _denoised(market: Market) -> Callable[[Bars], Arrays]:
    def rows(bars: Bars) -> Arrays:
        smooth = History(len(bars.symbols))
        smooth.origin = int(bars.grid_row[0]) if len(bars) else 0
        found = market.recipe.denoise(bars, smooth)
        return {name: getattr(found, name) for name in PRICES}

    return rows


def _ahead(market: Market) -> dict[str, int]:
    funding = {"funding ahead": 1} if market.study.model.learns_positions else {}
    return {f"{horizon} ahead": horizon for horizon in market.study.target.horizons} | funding


def _targets(market: Market, bars: Bars) -> Arrays:
    found = targets_of(market.study, bars)
    funding = [] if found.funding is None else [found.funding]
    return dict(zip(_ahead(market), [*np.moveaxis(found.log_return, 2, 0), *funding], strict=True))


def _starts(market: Market, panel: Panel) -> Int64[np.ndarray, "chunk 2"]:
    horizons, rows = market.study.target.horizons, range(len(panel))
    unknown = np.full((*panel.usable.shape, len(horizons)), np.nan)
    targets = Targets(horizons=horizons, log_return=unknown)
    past = Past(panel=panel, targets=targets, train=rows, validation=range(0), names=panel.names)
    try:
        return chunk_starts(past, market.study.training, rows)
    except DataError:  # nothing complete enough yet
        return np.zeros((0, 2), dtype=np.int64)
