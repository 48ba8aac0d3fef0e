"""Intervals that stay true: any law's central intervals, made wider or narrower by what came of the earlier ones.

An interval reaches `multiple` times as far from the law's median as the law itself says, one multiple per horizon and
level for all coins. Time counts in rows: what was said at row t for h bars ahead is judged at row t + h and not
earlier. Widths are finite: multiples stay between 1 / 20 and 20, and it is said where one stands at its clip. Each
level is adapted for itself, so that a 90 % interval may for a while be narrower than an 80 % one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.errors import DataError
from longshort.models.calibration.adaptation import Multiples, Rule
from longshort.models.forecast import Law, Values

Levels = Float64[np.ndarray, "level time asset horizon"]
Outcomes = Float64[np.ndarray, "asset horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Central intervals of some rows; `at_clip` is True where a multiple would have left its limits."""

    low: Levels
    high: Levels
    multiple: Multiples
    at_clip: Bool[np.ndarray, "level time horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """What a law itself says: its median and the ends of its central intervals; several rules can share one."""

    levels: tuple[float, ...]
    low: Levels
    middle: Values
    high: Levels

    @classmethod
    def of(cls, law: Law, levels: tuple[float, ...] = (0.9,)) -> "Band":
        """Ask a law once."""
        return cls(
            levels=levels,
            low=np.stack([law.quantile(0.5 - 0.5 * level) for level in levels]),
            middle=law.quantile(0.5),
            high=np.stack([law.quantile(0.5 + 0.5 * level) for level in levels]),
        )

    def intervals(self) -> Intervals:
        """The law's own central intervals, as they are."""
        ones = np.ones((len(self.levels), self.middle.shape[0], self.middle.shape[2]))
        clip = np.zeros(ones.shape, dtype=np.bool_)
        return Intervals(low=self.low, high=self.high, multiple=ones, at_clip=clip)

    def stretched(self, multiple: Multiples, at_clip: Bool[np.ndarray, "level time horizon"]) -> Intervals:
        """Intervals that reach so many times as far."""
        by = multiple[:, :, None, :]
        return Intervals(
            low=self.middle - by * (self.middle - self.low),
            high=self.middle + by * (self.high - self.middle),
            multiple=multiple,
            at_clip=at_clip,
        )


class Calibrator:
    """Adapted intervals one close at a time: at each close call `update` once, then `interval` once.

    >>> from longshort.models.calibration.adaptation import PID
    >>> from longshort.models.forecast import StudentT
    >>> one = np.ones((1, 1, 1))
    >>> live = Calibrator(PID(), horizons=(1,), coins=1)
    >>> for known in (np.nan, 5.0, 5.0):  # nothing is known at first; then twice a move far outside
    ...     live.update(np.full((1, 1), known))
    ...     said = live.interval(StudentT(loc=0 * one, scale=one, df=5 * one))
    >>> float(said.multiple[0, 0, 0]) > 1.0
    True
    """

    def __init__(
        self, rule: Rule, horizons: tuple[int, ...], *, coins: int, levels: tuple[float, ...] = (0.9,)
    ) -> None:
        self.horizons, self.levels = horizons, levels
        self._tracker = rule.start(horizons, levels, coins)
        self._shape = (1, coins, len(horizons))
        self._known = np.full((1, len(levels), coins, len(horizons)), np.nan)
        self._bands = np.full((3, max(horizons), len(levels), coins, len(horizons)), np.nan)

    def update(self, known: Outcomes) -> None:
        """Learn what is known at this close: in column k the log returns over the last `horizons[k]` bars.

        They are what came of the forecasts made `horizons[k]` closes ago; NaN where a bar was absent.
        """
        for k, h in enumerate(self.horizons):
            low, middle, high = self._bands[:, (self._row - h) % max(self.horizons), :, :, k]
            self._known[0, :, :, k] = scores(known[:, k], low, middle, high)

    def interval(self, law: Law) -> Intervals:
        """The intervals of a law of exactly one row."""
        band = Band.of(law, self.levels)
        if band.middle.shape != self._shape:
            raise DataError(
                f"a calibrator of {self._shape[1]} coins and {self._shape[2]} horizons takes one row of them at a "
                f"time, was {band.middle.shape}."
            )
        low, middle, high = self._bands[:, self._row % max(self.horizons)]
        low[:], middle[:], high[:] = band.low[:, 0], band.middle[0], band.high[:, 0]
        multiple, at_clip = self._tracker.run(self._known)
        self._known[:] = np.nan
        return band.stretched(multiple, at_clip)

    def state(self) -> dict[str, np.ndarray]:
        """All that must be kept to go on with the same bits, for `numpy.savez`; small but for split conformal's."""
        kept = {name: values.copy() for name, values in self._tracker.state.items()}
        return {**kept, "bands": self._bands.copy(), "known": self._known.copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where a calibrator of the same settings was saved."""
        mine = self.state()
        unlike = [name for name in mine if name not in state or state[name].shape != mine[name].shape]
        if unlike:
            raise DataError(
                f"a calibrator cannot go on from a state whose {', '.join(unlike)} do not fit.",
                remedy="Use the rule, coins, horizons and levels that it was saved with.",
            )
        self._bands, self._known = state["bands"].copy(), state["known"].copy()
        self._tracker.state = {name: state[name].copy() for name in self._tracker.state}

    @property
    def _row(self) -> int:
        return int(self._tracker.state["row"][0])


def calibrate(rule: Rule, band: Band, outcome: Values, *, horizons: tuple[int, ...]) -> Intervals:
    """The intervals of all rows, bit for bit those of a `Calibrator` that is fed close by close.

    `outcome[t]` is what came of the forecast at row t; row t's interval rests on outcomes of rows up to t - h only.
    """
    rows, coins, _ = outcome.shape
    known = np.full((rows, len(band.levels), coins, len(horizons)), np.nan)
    score = np.moveaxis(scores(outcome, band.low, band.middle, band.high), 0, 1)
    for k, h in enumerate(horizons):
        known[h:, ..., k] = score[: max(rows - h, 0), ..., k]
    multiple, at_clip = rule.start(horizons, band.levels, coins).run(known)
    return band.stretched(multiple, at_clip)


def scores(
    outcome: Float64[np.ndarray, "*cell"],
    low: Float64[np.ndarray, "*more"],
    middle: Float64[np.ndarray, "*any"],
    high: Float64[np.ndarray, "*more"],
) -> Float64[np.ndarray, "*more"]:
    """How many times as far from the median as the end of its interval an outcome lies; NaN where unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        above = (outcome - middle) / (high - middle)
        below = (middle - outcome) / (middle - low)
    return np.fmax(above, below)
