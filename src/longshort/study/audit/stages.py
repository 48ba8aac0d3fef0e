"""The stages of a study on a bar's way, each a function of bars alone, with the walk's models as they were fitted.

Rows before the first test row have no forecast and no exposure: their arrays begin with NaN there. What can be said
bar by bar is, by the very objects that run live.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from longshort.base.errors import DataError
from longshort.base.stage import Arrays, Instants, Stage
from longshort.data.bars import Bars
from longshort.data.certificate.cleaning import clean
from longshort.features.history import History
from longshort.features.panel import Panel
from longshort.features.targets import Targets, make_targets
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Past
from longshort.models.lstm import NAME, FittedLSTM
from longshort.models.training import chunk_starts
from longshort.policy.pilot import Pilot, Tenure
from longshort.policy.rivals import RIVALS, rival_exposure
from longshort.policy.steering import Steering, exposures
from longshort.study.market import Market
from longshort.study.money import rule_of
from longshort.study.walk import Walk, join

PANEL = ("values", "levels", "log_return", "volatility", "missing_rows", "usable", "restart")
PRICES = ("open", "high", "low", "close", "volume")
BARS = (*PRICES, "present", "listed", "funding_rate", "funding_covered", "traded")
LAW = ("loc", "scale", "df")
KEPT = 3  # histories whose panel is remembered: several stages are asked about the same one

Pieces = Iterator[Bars]
Answers = Iterator[Arrays]


def stages_of(market: Market, walked: Walk, model: str = NAME) -> tuple[Stage[Bars], ...]:
    """Every stage from bars to exposures."""
    panels, borders = Panels(market), tuple(fold.test.start for fold in walked.folds)
    walking = Walking(market, walked, model, panels)
    first = max(walked.tested.start - 1, 0)
    Walked = partial(Stage, from_row=first, borders=borders, anywhere=False)  # noqa: N806 a kind of stage
    return (
        Stage(name="bars", rows=lambda bars: _bars(market, bars)),
        *([Stage(name="denoised", rows=_denoised(market))] if market.study.features.denoise else []),
        Stage(
            name="features",
            rows=lambda bars: panel_arrays(market.stream().extend(bars)),
            stream=_features(market),
        ),
        Stage(name="scaled", rows=walking.inputs, borders=borders),
        Stage(name="targets", rows=lambda bars: _targets(market, bars), ahead=_ahead(market)),
        Stage(
            name="chunks",
            rows=lambda bars: _chunks(market, panels(bars)),
            clock=lambda bars: _chunk_ends(market, panels(bars)),
        ),
        Walked(name="forecasts", rows=walking.forecasts, stream=walking.streamed_forecasts),
        Walked(name="exposures", rows=walking.exposures, stream=walking.streamed_exposures),
        Walked(name="rivals", rows=walking.rivals),
    )


class Panels:
    """The panel of a history; the last few are remembered by what is in them."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._known: OrderedDict[str, Panel] = OrderedDict({market.bars.digest(): market.panel})

    def __call__(self, bars: Bars) -> Panel:
        """Computed from the first bar on, once."""
        key = bars.digest()
        if key not in self._known:
            self._known[key] = self._market.stream().extend(bars)
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return self._known[key]


class Walking:
    """What the fitted models of a walk, each in charge of its own fold, say of a history."""

    def __init__(self, market: Market, walked: Walk, model: str, panels: Panels) -> None:
        self._market = market
        self._walked = walked
        self._model = model
        self._panels = panels

    def forecasts(self, bars: Bars) -> Arrays:
        """The law of every horizon."""
        found = self._forecast(bars)
        if found is None:
            return self._unknown(bars)
        return {name: self._padded(getattr(found.law, name)) for name in LAW}

    def exposures(self, bars: Bars) -> Arrays:
        """The policy's wishes."""
        return {"target": self._wishes(bars, self._steering())}

    def rivals(self, bars: Bars) -> Arrays:
        """The wishes of every rival."""
        rows, panel, rule = range(self._start, len(bars)), self._panels(bars), rule_of(self._market)
        if not rows:
            return {name: np.full(bars.close.shape, np.nan) for name in RIVALS}
        return {n: self._padded(rival_exposure(n, bars, panel, rows, rule).target) for n in RIVALS}

    def inputs(self, bars: Bars) -> Arrays:
        """What the network reads: each row scaled as the model in charge of it scales."""
        panel = self._panels(bars)
        edges = [0, *np.searchsorted(bars.closed_at, self._takes_over[1:]).tolist(), len(bars)]
        parts: list[np.ndarray] = []
        for (start, stop), fitted in zip(pairwise(edges), self._walked.fitted, strict=True):
            lstm = fitted[NAME]
            assert isinstance(lstm, FittedLSTM)
            parts.append(lstm.scaler.inputs(panel[start:stop]))
        return {"inputs": np.concatenate(parts)}

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
            yield {"target": self._wishes(first, steering)}
            pilot = self._pilot(first, steering)
            for bars in pieces:
                yield {"target": pilot.on_close(bars)[None]}

    def _flown(self, pieces: Pieces) -> Iterator[tuple[Bars, Pilot | None]]:
        """The first piece without a pilot, every later one after the pilot has seen it."""
        for first in pieces:
            yield first, None
            pilot = self._pilot(first, self._steering())
            for bars in pieces:
                pilot.on_close(bars)
                yield bars, pilot

    def _pilot(self, history: Bars, steering: Steering) -> Pilot:
        fitted = [models[self._model] for models in self._walked.fitted]
        return Pilot(
            [Tenure(at, model) for at, model in zip(self._takes_over, fitted, strict=True)],
            self._market.stream(),
            steering,
            history=history,
            context_rows=2 * self._market.study.model.restart_rows,
        )

    def _wishes(self, bars: Bars, steering: Steering) -> np.ndarray:
        found = self._forecast(bars)
        if found is None:
            return np.full(bars.close.shape, np.nan)
        return self._padded(exposures(found, steering).target)

    def _forecast(self, bars: Bars) -> Forecast | None:
        """The forecasts of the tested rows that are there, each fold's by its own model; None before the first."""
        panel, last = self._panels(bars), len(bars)
        pairs = zip(self._walked.folds, self._walked.fitted, strict=True)
        parts = [
            fitted[self._model].predict(panel, range(fold.test.start, min(fold.test.stop, last)))
            for fold, fitted in pairs
            if fold.test.start < last
        ]
        return join(parts) if parts else None

    def _steering(self) -> Steering:
        return Steering(rule_of(self._market), self._market.bars.symbols)

    def _unknown(self, bars: Bars) -> Arrays:
        shape = (*bars.close.shape, len(self._market.study.target.horizons))
        return {name: np.full(shape, np.nan) for name in LAW}

    def _padded(self, values: np.ndarray) -> np.ndarray:
        blank = np.full((self._start, *values.shape[1:]), np.nan)
        return np.concatenate([blank, values])

    @property
    def _start(self) -> int:
        return self._walked.tested.start

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


def _features(market: Market) -> Callable[[Pieces], Answers]:
    def stream(pieces: Pieces) -> Answers:
        features = market.stream()
        for bars in pieces:
            yield panel_arrays(features.extend(bars))

    return stream


def _ahead(market: Market) -> dict[str, int]:
    return {f"{horizon} ahead": horizon for horizon in market.study.target.horizons}


def _targets(market: Market, bars: Bars) -> Arrays:
    found = make_targets(bars, market.study.target.horizons).log_return
    return {name: found[:, :, k] for k, name in enumerate(_ahead(market))}


def _chunks(market: Market, panel: Panel) -> Arrays:
    """Every stretch that training could read, in the order of its last row: where it begins, and of which coin."""
    found = _starts(market, panel)
    return {"row": found[:, 0], "asset": found[:, 1]}


def _chunk_ends(market: Market, panel: Panel) -> Instants:
    return panel.closed_at[_starts(market, panel)[:, 0] + market.study.training.chunk_bars - 1]


def _starts(market: Market, panel: Panel) -> Int64[np.ndarray, "chunk 2"]:
    horizons, rows = market.study.target.horizons, range(len(panel))
    unknown = np.full((*panel.usable.shape, len(horizons)), np.nan)
    targets = Targets(horizons=horizons, log_return=unknown)
    past = Past(panel=panel, targets=targets, train=rows, validation=range(0), names=panel.names)
    try:
        return chunk_starts(past, market.study.training, rows)
    except DataError:  # nothing complete enough yet
        return np.zeros((0, 2), dtype=np.int64)
