"""The heart: closed bars in, target exposures out. Backtest, paper and live run this one object.

A pilot may carry several models, each in charge from an instant on, so that a long backtest is out of sample
throughout: the model of a period has seen nothing of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longshort.base.errors import DataError
from longshort.data.bars import Bars
from longshort.features.panel import FeatureStream, Panel
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Fitted, ForecastStream
from longshort.policy.exposure import Wishes
from longshort.policy.steering import Sight, Steering


@dataclass(frozen=True, slots=True)
class Tenure:
    """A fitted model and the first close at which it is in charge."""

    from_closed_at: int
    fitted: Fitted


class Pilot:
    """Feed it every closed bar, once and in order; ask nothing else of it."""

    def __init__(
        self,
        tenures: Sequence[Tenure],
        features: FeatureStream,
        steering: Steering,
        *,
        history: Bars,
        context_rows: int,
    ) -> None:
        self.steering = steering
        self.forecast: Forecast | None = None
        self._tenures = sorted(tenures, key=lambda tenure: tenure.from_closed_at)
        self._features = features
        self._context_rows = context_rows
        panel = features.extend(history)
        steering.warm(Sight(history, panel))
        self._tail = _last(panel, context_rows)
        self._since: list[Panel] = []
        self._in_charge = -1
        self._stream: ForecastStream | None = None

    def on_close(self, bars: Bars) -> Wishes:
        """What is wished of every coin after one closed row."""
        if len(bars) != 1:
            raise DataError(f"a pilot takes one row of bars at a time, was {len(bars)}.")
        row = self._features.extend(bars)
        self.steering.see(Sight(bars, row))
        stream = self._stream_for(int(bars.closed_at[0]))
        self._since.append(row)
        if len(self._since) >= self._context_rows:
            self._gather()
        if stream is None:
            return Wishes.of(np.full(len(bars.symbols), np.nan))
        self.forecast = stream.step(row)
        return self.steering.step(self.forecast)

    def _stream_for(self, closed_at: int) -> ForecastStream | None:
        due = sum(tenure.from_closed_at <= closed_at for tenure in self._tenures) - 1
        if due != self._in_charge:
            self._gather()
            self._in_charge = due
            self._stream = self._tenures[due].fitted.start(self._tail)
        return self._stream

    def _gather(self) -> None:
        """Keep only the rows that a model taking over would need."""
        self._tail = _last(self._tail.join(*self._since), self._context_rows)
        self._since = []


def _last(panel: Panel, rows: int) -> Panel:
    return panel[max(0, len(panel) - rows) :]
