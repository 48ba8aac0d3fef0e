"""A study's trained model at its venue: every close from the last one recorded on, with its forecast and wishes.

The lake is brought up to date first, the features go on from the bundle's memory, and from then on each closed row is
stepped as it comes. `forecast --follow` and `signals --follow` both look through here.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from longshort._commands.fit import bundle_folder
from longshort._commands.terminal import note
from longshort.base.clock import Interval
from longshort.base.settings import Study
from longshort.connect.exchange import Exchange
from longshort.data.bars import Bars
from longshort.data.certificate.patterns import dead_bars
from longshort.data.closing import Close, Closing, Patience, bring_up
from longshort.data.gauges import MEASURES
from longshort.data.lake import Lake, Measure, Series
from longshort.data.market import columns_of, find_lake
from longshort.data.tail import MILLISECOND, Tail
from longshort.data.wish import Wish
from longshort.models.bundle import Bundle
from longshort.models.forecast import Forecast
from longshort.models.opponents.catalog import model_of
from longshort.policy.exposure import Wishes
from longshort.policy.steering import Steering
from longshort.study.following import Following, Trained
from longshort.study.market import load_bars, open_market
from longshort.study.money import rule_for
from longshort.study.mood import with_news
from longshort.study.recipe import named_recipe, recipe_digest
from longshort.study.walk import past_of

LATE_S = 2.0  # a forecast that comes later than this after its close says so
KEPT_CONTEXTS = (
    3  # how many contexts of a network the bars in memory reach back: what may have to be stepped again
)
MEASURED: Mapping[str, Measure] = MappingProxyType(
    {"funding": "funding", **MEASURES}
)  # by what features need


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One close: when its bars were there, its row, what is believed, and what is wished.

    `unknown` says of each coin which records that the features read have not told this close yet.
    """

    close: Close
    row: Bars
    forecast: Forecast
    wishes: Wishes
    unknown: Mapping[str, tuple[Measure, ...]]

    @property
    def is_late(self) -> bool:
        """True where it came too late to act on as a backtest would have."""
        return self.close.delay_s > LATE_S


def trained_model(study: Study, bars: Bars) -> Trained:
    """The study's bundle; or, where its model needs none, what it learns from the bars at hand."""
    model, context = model_of(study), 2 * study.model.restart_rows
    if model is None:
        bundle = Bundle.load(bundle_folder(study))
        bundle.check(study, bars.symbols, study.features.names or bundle.names, recipe_digest(study))
        return Trained(
            fitted=bundle.fitted,
            recipe=named_recipe(study, bundle.names),
            memory=bundle.memory,
            name=bundle.content,
            context_rows=context,
        )
    market = open_market(study)
    fitted = model.fit(past_of(market, market.final_fold()))
    return Trained(
        fitted=fitted,
        recipe=market.recipe,
        memory={},
        name=study.digest(),
        context_rows=max(context, getattr(fitted, "context_rows", 0)),
    )


def steering_of(study: Study, bars: Bars) -> Steering:
    """The study's rule, holding nothing."""
    return Steering(rule_for(study, bars.bars_per_year), bars.symbols)


def folder_of(study: Study, trained: Trained, kind: str) -> Path:
    """Where a study, with one model, keeps what it has said."""
    return study.folder / "runs" / f"{kind}-{study.digest()[:6]}-{trained.name[:6]}"


class Watch:
    """A study at its venue; `after` is the last close that was recorded, None: the newest one at hand."""

    def __init__(self, study: Study, exchange: Exchange, *, patience: Patience | None = None) -> None:
        self.study = study
        self._exchange = exchange
        self._patience = patience
        self._lake = Lake(find_lake(study.data.lake, study.folder))

    async def prepare(self) -> None:
        """Bring the lake up to date and load the model; raise as `forecast` does."""
        self.wish = _wish(self.study, self._lake)
        await bring_up(self._exchange, self._lake, self.wish, note)
        self.bars = load_bars(self.study)
        self.trained = trained_model(self.study, self.bars)

    def folder(self, kind: str) -> Path:
        """Where this study, with this model, keeps what it has said."""
        return folder_of(self.study, self.trained, kind)

    def now(self) -> int:
        """The machine's clock."""
        return self._exchange.timing.now()

    async def closes(
        self, after: int | None = None, steering: Steering | None = None
    ) -> AsyncGenerator[Seen]:
        """Every close after `after`, for ever, each with all coins; `steering` may hold something already."""
        after = int(self.bars.closed_at[-1]) if after is None else after
        steering = steering or steering_of(self.study, self.bars)
        following = Following(self.trained, steering, self.bars.until(after))
        tail = Tail(self._lake, self.study.data, self.bars, rows=KEPT_CONTEXTS * self.trained.context_rows)
        closing = Closing(self._exchange, tail, self.wish, lake=self._lake, patience=self._patience, say=note)
        async with aclosing(closing.closes(after)) as closes:
            async for close in closes:
                if close.changed_at is not None and close.changed_at <= following.needed_from:
                    following = self._anew(steering, close.changed_at)
                yield self._seen(following, tail, close)

    def _anew(self, steering: Steering, changed_at: int) -> Following:
        """A following that has seen nothing of what changed: it can be put back to before that."""
        bars = load_bars(self.study)
        memory = self.trained.memory
        since = int(memory["last_closed_at"][0]) if memory else int(bars.closed_at[0])
        earliest = since + self.trained.context_rows * bars.interval.ns
        return Following(self.trained, steering, bars.until(max(changed_at - bars.interval.ns, earliest)))

    def _seen(self, following: Following, tail: Tail, close: Close) -> Seen:
        bars = with_news(tail.lay(), self.study)
        t = int(np.searchsorted(bars.closed_at, close.closed_at))
        row = bars[t : t + 1]
        forecast, wishes = following.step(row, None if close.changed_at is None else bars[:t])
        unknown = {symbol: self._unknown(tail, row, symbol) for symbol in row.symbols}
        return Seen(close=close, row=row, forecast=forecast, wishes=wishes, unknown=unknown)

    def _unknown(self, tail: Tail, row: Bars, symbol: str) -> tuple[Measure, ...]:
        asset, at = row.symbols.index(symbol), int(row.closed_at[0])
        known = {"funding": row.funding_covered} | {
            measure: np.isfinite(row.gauge(gauge)) for gauge, measure in MEASURES.items()
        }
        return tuple(
            measure
            for measure in self.wish.measures
            if measure != "bars"
            and (series := tail.of(symbol, measure))
            and not (series.interval and at % series.interval.ns)  # sampled less often: not due
            and not known[measure][0, asset]
        )


def _wish(study: Study, lake: Lake) -> Wish:
    """What the study's features read, of coins that still trade, since the first of these series ended."""
    interval = Interval.parse(study.data.interval)
    columns = columns_of(lake, study.data)
    bars_end = {series.symbol: _last_at(lake, series) for series in columns.bars}
    dead_at = max(bars_end.values()) - dead_bars(interval) * interval.ns
    symbols = tuple(symbol for symbol, at in bars_end.items() if at > dead_at)
    measures = _measures(study)
    others = [s for s in columns.all if s.symbol in symbols and s.measure in measures]
    since_at = min(
        [bars_end[symbol] + interval.ns for symbol in symbols] + [_last_at(lake, s) for s in others]
    )
    return Wish(
        venue=columns.bars[0].venue,
        symbols=symbols,
        interval=interval,
        since_at=since_at,
        measures=("bars", *measures),
        source="rest",
    )


def _measures(study: Study) -> tuple[Measure, ...]:
    """What a network reads beside bars."""
    if model_of(study) is not None:
        return ()
    recipe = named_recipe(study, Bundle.load(bundle_folder(study)).names)
    needs = {need for name in recipe.columns for need in recipe.catalog[name].needs}
    return tuple(measure for need, measure in MEASURED.items() if need in needs)


def _last_at(lake: Lake, series: Series) -> int:
    rows = lake.read(series)
    return int(rows.to_series(0).to_physical()[-1]) * MILLISECOND if len(rows) else 0
