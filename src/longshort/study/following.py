"""A study's model on bars as they close: the pilot of the backtest, put back where the past turns out otherwise.

A bar that is told late, or that the record corrects, changes rows which were stepped already. Features are then taken
up from a state some rows before, so that the next row is what a batch over the same bars gives, to the last bit. What
the policy has decided stays decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.features.panel import FeatureStream
from longshort.models.bundle import Bundle
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Fitted
from longshort.policy.exposure import Wishes
from longshort.policy.pilot import Pilot, Tenure
from longshort.policy.steering import Steering
from longshort.study.recipe import Recipe, named_recipe

State = Mapping[str, np.ndarray]


def resume(study: Study, bundle: Bundle, bars: Bars) -> tuple[FeatureStream, Bars]:
    """Features where the bundle's memory ends, and the bars after that; raise `DataError` where some are missing."""
    stream = named_recipe(study, bundle.names).stream(bars.symbols)
    stream.restore(bundle.memory)
    since = bars[len(bars.until(stream.last_closed_at)) :]
    known = np.array([stream.last_closed_at], dtype=np.int64)
    row = int(bars.calendar.rows(known, bars.interval)[0])
    if not len(since) or int(since.grid_row[0]) != row + 1:
        raise DataError(
            f"the bars at hand do not go on where the model's memory ends, {format_instant(stream.last_closed_at)}.",
            remedy="Fetch what is missing since then, or train again with `longshort train STUDY`.",
        )
    return stream, since


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A fitted model, what it reads, and the state of the features from which its rows go on (none: the first bar).

    `name` is a hash that tells one model from another.
    """

    fitted: Fitted
    recipe: Recipe
    memory: State
    name: str
    context_rows: int


class Following:
    """Steps a trained model one closed row at a time; `steering` decides, and is never put back."""

    def __init__(self, trained: Trained, steering: Steering, bars: Bars) -> None:
        self._trained = trained
        self._steering = steering
        self._features = self._stream(bars.symbols, trained.memory)
        since = bars[len(bars.until(self._features.last_closed_at)) :]
        context = max(0, len(since) - trained.context_rows)
        if context:
            self._features.extend(since[:context])
        self._older = self._newer = self._features.state()
        self._rows_since = len(since) - context
        self._pilot = self._stand(since[context:])

    @property
    def needed_from(self) -> int:
        """The close after which rows have to be kept at hand, for they may have to be stepped again."""
        return int(self._older["last_closed_at"][0])

    def state(self) -> State | None:
        """What one is built from, with the rows after `needed_from`, that stands where this one does.

        None where the policy looks at bars itself: what it has seen of them is not kept.
        """
        if self._steering.needs_sight:
            return None
        features = {f"features/{name}": part for name, part in self._older.items()}
        return features | {f"steering/{name}": part for name, part in self._steering.state().items()}

    def step(self, row: Bars, tail: Bars | None = None) -> tuple[Forecast, Wishes]:
        """The forecast at one more closed row, and the wishes; `tail` are the bars before it where some have changed.

        Raise `DataError` where the tail does not reach back as far as `needed_from`.
        """
        if tail is not None:
            self._put_back(tail)
        if self._rows_since >= self._trained.context_rows:
            self._older, self._newer, self._rows_since = self._newer, self._features.state(), 0
        self._rows_since += 1
        wishes = self._pilot.on_close(row)
        assert self._pilot.forecast is not None, "a model that is in charge from the first row on"
        return self._pilot.forecast, wishes

    def _put_back(self, tail: Bars) -> None:
        since = tail[len(tail.until(self.needed_from)) :]
        before = tail.calendar.rows(np.array([self.needed_from], dtype=np.int64), tail.interval)
        if not len(since) or int(since.grid_row[0]) != int(before[0]) + 1:
            raise DataError(
                "the bars in memory do not reach back to where the features can be taken up again.",
                remedy="Start again: the bars are read from the lake then.",
            )
        self._features = self._stream(tail.symbols, self._older)
        self._newer, self._rows_since = self._older, len(since)
        self._pilot = self._stand(since)

    def _stand(self, history: Bars) -> Pilot:
        """The pilot after some rows that follow what the features have seen."""
        tenure = Tenure(from_closed_at=0, fitted=self._trained.fitted)
        return Pilot(
            [tenure],
            self._features,
            self._steering,
            history=history,
            context_rows=self._trained.context_rows,
        )

    def _stream(self, symbols: tuple[str, ...], state: State) -> FeatureStream:
        stream = self._trained.recipe.stream(symbols)
        if state:
            stream.restore(state)
        return stream
