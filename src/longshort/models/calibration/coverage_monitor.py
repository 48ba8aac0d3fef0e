"""Is what comes still inside the intervals as often as they say: watched live, one word with its evidence.

Coins miss together and overlapping outcomes miss in runs, so an instant counts once, whatever the number of its coins,
and of 2h - 1 instants only the first h are bet on: what they hold was wholly unknown when the block before was known.
The evidence is an e-detector of CUSUM form (Shin, Ramdas and Rinaldo 2024, "E-detectors"): the wealth of bets against
"as it should be", which begin anew whenever they have lost. While the share of misses stays, given the past, within a
fifth of what is promised, it takes c blocks on average or more to come to c, so that one may look after every bar.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import nan, sqrt

import numpy as np
from jaxtyping import Float64
from scipy import special

BETS = (0.05, 0.1, 0.2, 0.4)  # shares of the wealth that a bet may lose in one block
MOST_WEALTH = 1e6  # enough is enough: a monitor must be able to come back
CLUSTER_BARS = 24  # volatility comes in spells of about a day: blocks of the rolling band are longer


class Coverage(StrEnum):
    """The three words of the monitor."""

    AS_IT_SHOULD_BE = "as it should be"
    DRIFTING = "drifting"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is promised, and how rare false alarms are: at most once in so many bars, on average.

    `tolerance` is the share of the promised misses by which the true share may be off without being called wrong: .2
    of 10 % allows a coverage of 88 to 92 %.
    """

    level: float = 0.9
    horizon_bars: int = 1
    tolerance: float = 0.2
    window_bars: int = 500
    drifting_every_bars: float = 2_000.0
    broken_every_bars: float = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the monitor says now: coverage of the last bars with its 95 % band, and the evidence against the promise.

    `narrow` and `wide` are wealths per block, over those at which the word becomes drifting: at 1 and above, alarm.
    """

    word: Coverage
    coverage: float
    low: float
    high: float
    bars: int
    narrow: float
    wide: float
    level: float

    @property
    def reading(self) -> str:
        """One sentence for people."""
        if not self.bars:
            return "No outcome is known yet."
        told = f"Of the outcomes of the last {self.bars} bars {self.coverage:.1%} lay in the {self.level:.0%} interval"
        band = f" (95 % band {self.low:.1%} to {self.high:.1%})" if self.low == self.low else ""
        side = "too narrow" if self.narrow >= self.wide else "too wide"
        verdict = "as it should be" if self.word is Coverage.AS_IT_SHOULD_BE else f"{self.word}, {side}"
        return f"{told}{band}: {verdict}."


class CoverageMonitor:
    """Tell it at each close which of the outcomes that are known now lay inside; ask it at any time.

    >>> monitor = CoverageMonitor(Watch())
    >>> for _ in range(60):
    ...     monitor.update(np.zeros(3))
    >>> monitor.seen().word
    <Coverage.BROKEN: 'broken'>
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._recent: deque[float] = deque(maxlen=watch.window_bars)
        self._wealth = np.zeros((2, len(BETS)))
        self._place, self._missed, self._scored = 0, 0.0, 0

    def update(self, inside: Float64[np.ndarray, " asset"]) -> None:
        """The coins of one instant, in time order: 1 inside, 0 outside, NaN where no outcome is known."""
        known = ~np.isnan(inside)
        missed = 1.0 - float(inside[known].mean()) if known.any() else nan
        self._recent.append(missed)
        if self._place < self.watch.horizon_bars and known.any():
            self._missed, self._scored = self._missed + missed, self._scored + 1
        self._place += 1
        if self._place == self.watch.horizon_bars and self._scored:
            self._bet(self._missed / self._scored)
        if self._place == 2 * self.watch.horizon_bars - 1:
            self._place, self._missed, self._scored = 0, 0.0, 0

    @property
    def word(self) -> Coverage:
        """The word alone, without its evidence: cheap enough for every close."""
        return self._word(float(self._wealth.mean(axis=1).max()))

    @property
    def recent(self) -> Float64[np.ndarray, " known"]:
        """The share of the coins that missed, of the last instants with a known outcome."""
        recent = np.array(self._recent, dtype=np.float64)
        return recent[~np.isnan(recent)]

    def seen(self) -> Seen:
        """What there is to say now."""
        recent = self.recent
        low, high = self._band(recent)
        alarm = self._alarm(self.watch.drifting_every_bars)
        narrow, wide = (self._wealth.mean(axis=1) / alarm).tolist()
        return Seen(
            word=self.word,
            coverage=1.0 - float(recent.mean()) if len(recent) else nan,
            low=low,
            high=high,
            bars=len(recent),
            narrow=narrow,
            wide=wide,
            level=self.watch.level,
        )

    def state(self) -> dict[str, np.ndarray]:
        """All that must be kept to go on."""
        block = np.array([self._place, self._missed, self._scored], dtype=np.float64)
        return {"recent": np.array(self._recent), "wealth": self._wealth.copy(), "block": block}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where a monitor was saved."""
        self._recent = deque(state["recent"].tolist(), maxlen=self.watch.window_bars)
        self._wealth = state["wealth"].copy()
        place, self._missed, scored = state["block"].tolist()
        self._place, self._scored = int(place), int(scored)

    def _bet(self, missed: float) -> None:
        """Narrow: more is missed than the promise tolerates; wide: less is."""
        alpha, bets = 1.0 - self.watch.level, np.array(BETS)
        most, least = alpha * (1.0 + self.watch.tolerance), alpha * (1.0 - self.watch.tolerance)
        won = np.stack([1.0 + bets * (missed - most) / most, 1.0 + bets * (least - missed) / (1.0 - least)])
        carried = np.maximum(self._wealth, 1.0)
        self._wealth = np.minimum(carried * won, MOST_WEALTH)

    def _alarm(self, every_bars: float) -> float:
        """Two sides are watched, and a block takes 2h - 1 bars."""
        return max(2.0 * every_bars / (2 * self.watch.horizon_bars - 1), 2.0)

    def _word(self, wealth: float) -> Coverage:
        if wealth >= self._alarm(self.watch.broken_every_bars):
            return Coverage.BROKEN
        return (
            Coverage.DRIFTING
            if wealth >= self._alarm(self.watch.drifting_every_bars)
            else Coverage.AS_IT_SHOULD_BE
        )

    def _band(self, missed: Float64[np.ndarray, " known"]) -> tuple[float, float]:
        """Mean of means over blocks longer than a spell of volatility and than an overlap."""
        blocks = len(missed) // (CLUSTER_BARS + 2 * self.watch.horizon_bars)
        if blocks < 4:
            return nan, nan
        means = np.array([part.mean() for part in np.array_split(missed, blocks)])
        half = float(special.stdtrit(blocks - 1, 0.975)) * float(means.std(ddof=1)) / sqrt(blocks)
        middle = 1.0 - float(missed.mean())
        return max(middle - half, 0.0), min(middle + half, 1.0)
