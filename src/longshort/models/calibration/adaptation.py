"""How far an interval must reach, learnt row by row from how far outcomes have lain: ACI and conformal PID.

A score is an outcome's distance from the median over the distance of the interval's end, so that 1 is just covered.
A rule turns the scores that are known into the multiples to use next, per level and horizon; what is missed is
averaged over coins first, for coins miss together. The loops are compiled, row by row, each changing its own state in
place; all of them live in this module, because numba's cache looks at the date of a function's own file only.
"""

from dataclasses import dataclass
from math import acos, atan, cos, exp, log, nan, sqrt, tan
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from longshort.features.kernels import compiled

Known = Float64[np.ndarray, "time level asset horizon"]
Multiples = Float64[np.ndarray, "level time horizon"]
Clips = Bool[np.ndarray, "level time horizon"]
PerLevel = Float64[np.ndarray, "level horizon"]
Alpha = Float64[np.ndarray, " level"]
Bars = Int64[np.ndarray, " horizon"]
Said = Float64[np.ndarray, "past part level horizon"]
Count = Int64[np.ndarray, "1"]
State = dict[str, np.ndarray]

MOST = 20.0  # a volatility that has grown twentyfold is a broken feed, not a market
LOG_MOST = log(MOST)
HIGHEST_LEVEL = 0.9995  # of ACI: beyond it an interval would soon be infinite
REFERENCE_DF = 5.0  # of the t whose levels ACI moves: tails like those of hourly log returns of coins
REFERENCE_POINTS = (
    4_096  # its quantiles are read off a table, so that compiled loops need no special functions
)


@runtime_checkable
class Tracker(Protocol):
    """A rule at work; `state` holds all that it knows and is changed in place."""

    state: State

    def run(self, known: Known) -> tuple[Multiples, Clips]:
        """Learn row by row what is known then, and say the multiples of each row and where they are at a clip.

        Column k of row t holds the scores of what was forecast `horizons[k]` rows earlier, NaN where not known.
        """
        ...


@runtime_checkable
class Rule(Protocol):
    """The settings of a way to adapt."""

    def start(self, horizons: tuple[int, ...], levels: tuple[float, ...], coins: int) -> Tracker:
        """The rule before anything is known: every multiple is 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ACI:
    """Adaptive conformal inference (Gibbs and Candès 2021): a miss raises the level by step x (1 - alpha).

    `level += step (missed - alpha)`, with the share of coins that missed; a level becomes a multiple through the
    quantiles of a t law with 4 degrees of freedom (tails like those of hourly returns), so that at the nominal level
    the interval is the law's own. The level in use ends at 0.9995. Overlapping targets miss in runs: a step that suits
    one bar (0.005) widens the intervals of 24 bars for nothing.
    """

    step: float = 0.001

    def start(self, horizons: tuple[int, ...], levels: tuple[float, ...], coins: int) -> "ACITracker":
        """Every level at its nominal value."""
        state = {
            "row": np.zeros(1, dtype=np.int64),
            "said": np.ones((max(horizons), 1, len(levels), len(horizons))),
            "level": np.repeat(1.0 - alpha_of(levels)[:, None], len(horizons), axis=1),
        }
        return ACITracker(self, bars_of(horizons), alpha_of(levels), state)


@dataclass(slots=True)
class ACITracker:
    """One level per horizon for all coins."""

    rule: ACI
    bars: Bars
    alpha: Alpha
    state: State

    def run(self, known: Known) -> tuple[Multiples, Clips]:
        """One step of the level per row and horizon with something known."""
        multiple, at_clip = room_for(known)
        state = self.state
        aci_rows(
            known, self.bars, self.alpha, self.rule.step, state["row"], state["said"], state["level"],
            multiple, at_clip,
        )  # fmt: skip
        return multiple, at_clip


@dataclass(frozen=True, slots=True, kw_only=True)
class PID:
    """Conformal PID control (Angelopoulos, Candès and Tibshirani 2023) of the logarithm of the multiple.

        log multiple = forecast + gain tan(debt / (reach h)),    debt += missed - alpha

    The debt, in bars' worth of misses, is what coverage still owes; the saturated integrator pays it back, whatever
    the forecast does: |mean missed - alpha| <= (reach pi / 2 + 1) h / T. In the paper the angle is `debt log(t) / (t
    C)`, in the authors' code with t + 1 for t; both let an old process react less and less. Here the bound of the debt
    is constant, which their theorem admits, so that the reaction does not depend on when a run began.

    The forecast (their "scorecaster") is a quantile tracker on its own misses, `step / h (missed_own - alpha)`, so
    that it takes over a lasting change and the debt returns to zero. Longer horizons learn of it late: they follow
    the tracker of the shortest one where that has moved clearly beyond its noise, by `tracked (1 - (noise /
    tracked)^2)` (Breiman's garrote). Time is counted in horizons (`/ h`) because overlapping targets miss in runs.
    """

    step: float = 0.04
    gain: float = 0.2
    reach: float = 6.0
    noise: float = 0.25

    def start(self, horizons: tuple[int, ...], levels: tuple[float, ...], coins: int) -> "PIDTracker":
        """No debt, and the law's own intervals."""
        shape = (len(levels), len(horizons))
        state = {
            "row": np.zeros(1, dtype=np.int64),
            "said": np.ones((max(horizons), 2, *shape)),
            "tracked": np.zeros(shape),
            "debt": np.zeros(shape),
        }
        return PIDTracker(self, bars_of(horizons), alpha_of(levels), state)


@dataclass(slots=True)
class PIDTracker:
    """A tracked multiple and a debt per level and horizon."""

    rule: PID
    bars: Bars
    alpha: Alpha
    state: State

    def run(self, known: Known) -> tuple[Multiples, Clips]:
        """Add to the debt, move the tracked multiple, say both together."""
        multiple, at_clip = room_for(known)
        settings = np.array([self.rule.step, self.rule.gain, self.rule.reach, self.rule.noise])
        state = self.state
        pid_rows(
            known, self.bars, self.alpha, settings, state["row"], state["said"], state["tracked"],
            state["debt"], multiple, at_clip,
        )  # fmt: skip
        return multiple, at_clip


@compiled
def missed_share(known: Known, t: int, level: int, k: int, multiple: float) -> float:
    """The share of the coins whose outcome lay beyond; NaN where none is known."""
    scored, missed = 0.0, 0.0
    for coin in range(known.shape[2]):
        score = known[t, level, coin, k]
        scored += 0.0 if np.isnan(score) else 1.0
        missed += 1.0 if score > multiple else 0.0
    return missed / scored if scored > 0.0 else nan


@compiled
def reference_reach(level: float) -> float:
    """The end of the central interval of a t law with 4 degrees of freedom, in closed form (Shaw 2006).

    >>> round(reference_reach(0.9), 6), reference_reach(0.0)
    (2.131847, 0.0)
    """
    root = sqrt((1.0 - level) * (1.0 + level))
    return 2.0 * sqrt(max(cos(acos(root) / 3.0) / root - 1.0, 0.0))


@compiled
def aci_rows(  # noqa: PLR0913, PLR0917 a compiled loop and its state
    known: Known, bars: Bars, alpha: Alpha, step: float, row: Count, said: Said, level_now: PerLevel,
    multiple: Multiples, at_clip: Clips,
) -> None:  # fmt: skip
    """Move each level by what was missed, and read its multiple off the reference law."""
    for t in range(len(known)):
        for level in range(len(alpha)):
            for k in range(len(bars)):
                place = (row[0] - bars[k]) % len(said)
                if row[0] >= bars[k]:
                    missed = missed_share(known, t, level, k, said[place, 0, level, k])
                    if not np.isnan(missed):
                        slack = step * bars[k]  # a delayed level may overshoot by so much, and no more
                        moved = level_now[level, k] + step * (missed - alpha[level])
                        level_now[level, k] = min(max(moved, -slack), 1.0 + slack)
                used = min(max(level_now[level, k], 0.0), HIGHEST_LEVEL)
                multiple[level, t, k] = reference_reach(used) / reference_reach(1.0 - alpha[level])
                at_clip[level, t, k] = used <= 0.0 or used >= HIGHEST_LEVEL
                said[row[0] % len(said), 0, level, k] = multiple[level, t, k]
        row[0] += 1


@compiled
def pid_rows(  # noqa: PLR0913, PLR0917 a compiled loop and its state
    known: Known, bars: Bars, alpha: Alpha, settings: Float64[np.ndarray, "4"], row: Count, said: Said,
    tracked: PerLevel, debt: PerLevel, multiple: Multiples, at_clip: Clips,
) -> None:  # fmt: skip
    """Move debts and trackers by what was missed, and add what is owed to what is forecast."""
    step, gain, reach, noise = settings
    steepest = atan(2.0 * LOG_MOST / gain) if gain > 0.0 else 0.0
    shortest = np.argmin(bars)
    for t in range(len(known)):
        for level in range(len(alpha)):
            for k in range(len(bars)):
                if row[0] < bars[k]:
                    continue
                place = (row[0] - bars[k]) % len(said)
                missed = missed_share(known, t, level, k, said[place, 0, level, k])
                if not np.isnan(missed):
                    own = missed_share(known, t, level, k, said[place, 1, level, k])
                    moved = tracked[level, k] + step / bars[k] * (own - alpha[level])
                    tracked[level, k] = min(max(moved, -LOG_MOST), LOG_MOST)
                    debt[level, k] += missed - alpha[level]
            first = tracked[level, shortest]
            clear = first * (1.0 - (noise / first) ** 2) if abs(first) > noise else 0.0
            for k in range(len(bars)):
                forecast = tracked[level, k] + (clear if k != shortest else 0.0)
                angle = min(max(debt[level, k] / (reach * bars[k]), -steepest), steepest)
                wished = forecast + gain * tan(angle)
                multiple[level, t, k] = exp(min(max(wished, -LOG_MOST), LOG_MOST))
                at_clip[level, t, k] = abs(wished) >= LOG_MOST
                said[row[0] % len(said), 0, level, k] = multiple[level, t, k]
                said[row[0] % len(said), 1, level, k] = exp(min(max(forecast, -LOG_MOST), LOG_MOST))
        row[0] += 1


def room_for(known: Known) -> tuple[Multiples, Clips]:
    """Room for the multiples of some rows, and for where they are at a clip."""
    times, levels, _, ahead = known.shape
    return np.empty((levels, times, ahead)), np.empty((levels, times, ahead), dtype=np.bool_)


def bars_of(horizons: tuple[int, ...]) -> Bars:
    """Horizons as an array."""
    return np.asarray(horizons, dtype=np.int64)


def alpha_of(levels: tuple[float, ...]) -> Alpha:
    """The share that may be missed, per level."""
    return 1.0 - np.asarray(levels, dtype=np.float64)
