"""Do the intervals of a model hold: at each close its earlier forecasts against what came of them.

Backtest, paper and live watch with this one object, from their first close on and at every horizon: the one that is
worst off counts, for a model that lies about an hour is not to be believed about a day. What is judged are the model's
own 90 % intervals, since positions are sized by its own law. Until outcomes are known nothing speaks against it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import log, nan
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from longshort.data.bars import Bars
from longshort.models.calibration.adaptation import PID
from longshort.models.calibration.conformal import Calibrator
from longshort.models.calibration.coverage_monitor import Coverage, CoverageMonitor, Watch
from longshort.models.forecast import Forecast, StudentT
from longshort.policy.limits.breaches import Health

LEVEL = 0.9  # of the intervals: the level that evaluations tell in full
SEVERITY = tuple(Coverage)
State = dict[str, np.ndarray]


@runtime_checkable
class Forecasting(Protocol):
    """A decider that shows what it believed when it was last asked."""

    @property
    def forecast(self) -> Forecast | None:
        """The forecast of the last close; None where no model was in charge."""
        ...


def forecast_of(decider: object) -> Forecast | None:
    """What a decider believed when it was last asked; None where it does not say."""
    return decider.forecast if isinstance(decider, Forecasting) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One horizon: how many times as far as it says its interval has to reach, and how it has covered so far.

    `multiple` is NaN where the model stated no interval at the last close; `covered` is the share of the outcomes of
    the last `bars` that lay inside.
    """

    horizon_bars: int
    multiple: float
    coverage: Coverage
    covered: float
    bars: int


class IntervalWatch:
    """Tell it every close once and in order, with the forecast that was made there; ask it at any time."""

    def __init__(self) -> None:
        self._horizons: tuple[int, ...] = ()
        self._multiple: list[float] = []

    def on_close(self, bars: Bars, forecast: Forecast | None) -> None:
        """Judge what is known by one more closed row, then remember what was said at it.

        A forecast of another close is none: whoever made it is not in charge any more.
        """
        said = forecast if forecast is not None and forecast.closed_at[0] == bars.closed_at[0] else None
        if not self._horizons:
            if said is None:
                return
            self._begin(said.horizons, len(bars.symbols))
        self._log_close.append(np.log(bars.close[0]))
        self._calibrator.update(self._came())
        score = self._calibrator.state()["known"][0, 0]
        for k, monitor in enumerate(self._monitors):
            monitor.update(np.where(np.isnan(score[:, k]), np.nan, score[:, k] <= 1.0))
        law = said.law if said is not None else self._silence
        told = self._calibrator.interval(law)
        stated = np.isfinite(told.high[0, 0] - told.low[0, 0]).any(axis=0)
        self._multiple = np.where(stated, told.multiple[0, 0], np.nan).tolist()

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """What there is to say now, horizon by horizon; empty before the first forecast."""
        return tuple(self._interval(k) for k in range(len(self._horizons)))

    def judged(self, health: Health) -> Health:
        """A health that knows of the horizon that is worst off; nothing is known while no interval is stated."""
        stated = [one for one in self._multiple if not np.isnan(one)]
        if not stated:
            return replace(health, band_multiple=nan, coverage=None)
        words = [monitor.word for monitor in self._monitors]
        return replace(
            health,
            band_multiple=max(stated, key=lambda one: abs(log(one))),
            coverage=max(words, key=SEVERITY.index),
        )

    def state(self) -> State:
        """All that must be kept to go on."""
        if not self._horizons:
            return {"horizons": np.zeros(0, dtype=np.int64)}
        return {
            "horizons": np.array(self._horizons, dtype=np.int64),
            "multiple": np.array(self._multiple),
            "log_close": np.array(self._log_close),
            **_under("calibrator/", self._calibrator.state()),
            **{
                name: part
                for k, one in enumerate(self._monitors)
                for name, part in _under(f"{k}/", one.state()).items()
            },
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another watch was."""
        self._horizons, self._multiple = (), []
        if not len(state["horizons"]):
            return
        self._begin(tuple(state["horizons"].tolist()), state["log_close"].shape[1])
        self._multiple = state["multiple"].tolist()
        self._log_close.extend(state["log_close"].copy())
        self._calibrator.restore(_below("calibrator/", state))
        for k, monitor in enumerate(self._monitors):
            monitor.restore(_below(f"{k}/", state))

    def _begin(self, horizons: tuple[int, ...], coins: int) -> None:
        self._horizons = horizons
        self._log_close: deque[Float64[np.ndarray, " asset"]] = deque(maxlen=max(horizons) + 1)
        self._calibrator = Calibrator(PID(), horizons, coins=coins, levels=(LEVEL,))
        self._monitors = [CoverageMonitor(Watch(level=LEVEL, horizon_bars=h)) for h in horizons]
        unknown = np.full((1, coins, len(horizons)), np.nan)
        self._silence = StudentT(loc=unknown, scale=unknown, df=unknown)

    def _came(self) -> Float64[np.ndarray, "asset horizon"]:
        """The log returns over the last h bars; NaN where one end is absent."""
        known, now = self._log_close, self._log_close[-1]
        absent = np.full(len(now), np.nan)
        came = [now - known[-1 - h] if h < len(known) else absent for h in self._horizons]
        return np.stack(came, axis=1)

    def _interval(self, k: int) -> Interval:
        monitor = self._monitors[k]
        missed = monitor.recent
        return Interval(
            horizon_bars=self._horizons[k],
            multiple=self._multiple[k],
            coverage=monitor.word,
            covered=1.0 - float(missed.mean()) if len(missed) else nan,
            bars=len(missed),
        )


def told(watch: IntervalWatch) -> list[dict[str, Any]]:
    """What a journal keeps of a close, a line per horizon."""
    return [asdict(one) for one in watch.intervals]


def _under(prefix: str, state: Mapping[str, np.ndarray]) -> State:
    return {prefix + name: part for name, part in state.items()}


def _below(prefix: str, state: Mapping[str, np.ndarray]) -> State:
    return {name.removeprefix(prefix): part for name, part in state.items() if name.startswith(prefix)}
