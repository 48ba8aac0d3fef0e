"""Has something changed? Detectors on what a model reads, on what it errs by, and on how often its intervals hold.

Each is fed one closed row at a time and keeps a state that does not grow with time. What it is told of an outcome at a
row was known there: the caller hands over the outcome of a forecast when it has come, never earlier. Inputs and
residuals are watched with ADWIN (Bifet and Gavaldà 2007, library river), coverage with Page's test.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from scipy import special

from longshort.base.errors import MissingExtra
from longshort.study.drift.page import Page, mean_known, miss_bet, misses

WIDEST = (
    4.0  # a PIT-normal score beyond four standard deviations counts as four: ADWIN is for bounded streams
)
FALSE_ALARM_EVERY = 20_000.0  # watched outcomes: two years of hourly bars
SUSPECTED = (0.5, 2.0)  # times the stated rate of misses: intervals too wide, or too narrow
REMEMBERED, REMEMBERED_BLOCKS = 1_000, 100  # scores, and blocks of inputs, among which a change is dated
ADWIN_LEVEL = 0.002  # per stream: river's default


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What is known when a row has closed: its inputs, in training's units, and the outcome that came with it.

    `pit` is the probability that a forecast made `horizon` rows earlier gave to at most what came, `gain_nats` its log
    density of that above a simple rival's, averaged over coins; NaN without one.
    """

    row: int
    inputs: Float64[np.ndarray, "asset feature"]
    pit: Float64[np.ndarray, " asset"]
    gain_nats: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """An alarm: what drifted, at which row it was seen, since when it seems so, how strongly, and in words."""

    kind: str
    row: int
    since: int
    statistic: float
    detail: str


@runtime_checkable
class Detector(Protocol):
    """Whatever listens to one closed row at a time; after an alarm it begins anew."""

    def step(self, closed: Closed) -> Drift | None:
        """The alarm that this row completes, if it does."""
        ...


class Inputs:
    """Every feature's mean over coins and blocks of rows: one ADWIN each, their level divided by their number.

    Features remember: means over a block (a day of hourly bars) nearly forget each other, single rows do not. What
    wanders for months drifts by its nature, and is said to.
    """

    def __init__(self, names: tuple[str, ...], *, block_rows: int = 24, level: float = 0.05) -> None:
        self.names = names
        self._block_rows = block_rows
        self._level = level / len(names)
        self._rows: list[Float64[np.ndarray, " feature"]] = []
        self._windows = [_adwin(self._level, clock=1) for _ in names]
        self._blocks: deque[Float64[np.ndarray, " feature"]] = deque(maxlen=REMEMBERED_BLOCKS)

    def step(self, closed: Closed) -> Drift | None:
        """Take in a row; the alarm of the feature that moved farthest."""
        self._rows.append(_mean_over_coins(closed.inputs))
        if len(self._rows) < self._block_rows:
            return None
        block = _mean_over_coins(np.stack(self._rows))
        self._rows = []
        self._blocks.append(block)
        moved = [(self._move(k, value), k) for k, value in enumerate(block.tolist()) if np.isfinite(value)]
        step, k = max(moved, key=lambda move: abs(move[0][0]), default=((0.0, 0), 0))
        if not step[1]:
            return None
        seen = np.stack(self._blocks)[:, k]
        old = len(seen) - change_point(np.where(np.isfinite(seen), seen, np.nanmean(seen)))
        since = closed.row + 1 - old * self._block_rows
        self._windows = [_adwin(self._level, clock=1) for _ in self.names]
        self._blocks.clear()
        detail = f"{self.names[k]} moved by {step[0]:+.2f} of its standard deviations in training"
        return Drift(kind="inputs", row=closed.row, since=since, statistic=step[0], detail=detail)

    def _move(self, k: int, value: float) -> tuple[float, int]:
        return _watch(self._windows[k], value)


class Residuals:
    """Location and spread of PIT-normal scores: standard normal draws as long as the law is right.

    ADWIN says that something changed. Its window begins long before that, so since when is told by the largest
    excursion of the cumulative sum over the last scores, which is where the likelihood of a single change peaks.
    """

    def __init__(self, *, level: float = ADWIN_LEVEL) -> None:
        self._level = level
        self._windows = {"location": _adwin(level), "spread": _adwin(level)}
        self._seen: deque[tuple[int, float, float]] = deque(maxlen=REMEMBERED)

    def step(self, closed: Closed) -> Drift | None:
        """Take in an outcome, if one came."""
        score = np.clip(special.ndtri(closed.pit), -WIDEST, WIDEST)
        values = (mean_known(score), mean_known(score**2))
        if np.isnan(values[0]):
            return None
        self._seen.append((closed.row, *values))
        moved = {
            name: _watch(window, value)
            for (name, window), value in zip(self._windows.items(), values, strict=True)
        }
        what = max(moved, key=lambda name: abs(moved[name][0]))
        size, kept = moved[what]
        if not kept:
            return None
        seen = np.array(self._seen)
        since = int(seen[change_point(seen[:, 1 + list(moved).index(what)]), 0])
        self._windows = {name: _adwin(self._level) for name in self._windows}
        self._seen.clear()
        detail = f"the {what} of PIT-normal scores moved by {size:+.2f}"
        return Drift(kind="residuals", row=closed.row, since=since, statistic=size, detail=detail)


def change_point(values: Float64[np.ndarray, " time"]) -> int:
    """Where a mean most likely changed once, as if draws were normal: the first place of the new mean.

    >>> change_point(np.array([0.0, 0.1, 0.0, 0.1, 2.0, 2.1, 2.0]))
    4
    """
    before = np.arange(1, len(values))
    sums = np.cumsum(values - values.mean())[:-1]
    return 1 + int(np.argmax(sums**2 / (before * (len(values) - before)))) if len(before) else 0


class Coverage:
    """Two Page tests on the misses of a central interval: twice as many as stated, or half as many."""

    def __init__(self, *, coverage: float = 0.9, false_alarm_every: float = FALSE_ALARM_EVERY) -> None:
        self._coverage = coverage
        self._every = 2.0 * false_alarm_every  # two tests, one promise
        self._pages = self._fresh()

    def step(self, closed: Closed) -> Drift | None:
        """Take in an outcome, if one came."""
        missed = misses(closed.pit, coverage=self._coverage)
        for times, page in self._pages.items():
            bet = miss_bet(missed, coverage=self._coverage, suspected=times * (1.0 - self._coverage))
            if page.step(closed.row, bet):
                self._pages = self._fresh()
                words = "too many" if times > 1.0 else "too few"
                detail = f"{words} outcomes outside the {self._coverage:.0%} interval since row {page.since}"
                return Drift(
                    kind="coverage", row=closed.row, since=page.since, statistic=page.level, detail=detail
                )
        return None

    def _fresh(self) -> dict[float, Page]:
        return {times: Page(self._every) for times in SUSPECTED}


class Skill:
    """A Page test that a simple rival's law has become the better one."""

    def __init__(self, *, false_alarm_every: float = FALSE_ALARM_EVERY) -> None:
        self._every = false_alarm_every
        self._page = Page(false_alarm_every)

    def step(self, closed: Closed) -> Drift | None:
        """Take in an outcome, if one came."""
        page = self._page
        if not page.step(closed.row, -closed.gain_nats):
            return None
        self._page = Page(self._every)
        detail = f"a simple rival was better by {page.level:.1f} nats in all since row {page.since}"
        return Drift(kind="skill", row=closed.row, since=page.since, statistic=page.level, detail=detail)


def alarms(detector: Detector, rows: Iterable[Closed]) -> list[Drift]:
    """Every alarm of a detector over some rows, in order."""
    return [found for closed in rows if (found := detector.step(closed)) is not None]


def _watch(window: Any, value: float) -> tuple[float, int]:
    """Feed an ADWIN; (how far its mean moved, how many values it keeps), or zeros where it sees no change."""
    before = window.estimation
    window.update(value)
    return (window.estimation - before, int(window.width)) if window.drift_detected else (0.0, 0)


def _adwin(level: float, *, clock: int = 8) -> Any:
    try:
        from river.drift import ADWIN
    except ImportError as error:
        raise MissingExtra("river", "baselines") from error
    return ADWIN(delta=level, clock=clock)


def _mean_over_coins(values: Float64[np.ndarray, "some feature"]) -> Float64[np.ndarray, " feature"]:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
