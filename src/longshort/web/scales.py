"""From values to places on a drawing: scales, round ticks for numbers and UTC time, thinning of series."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import DAY, HOUR, MINUTE, SECOND
from longshort.web.formats import MONTHS, Number, moment

Points = Float64[np.ndarray, " time"]

_CLOCK_STEPS = (
    MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR,
    DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY,
)  # fmt: skip
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low .. high` to the places `start .. stop`, linearly or by logarithm.

    >>> Scale(0.0, 10.0, 100.0, 200.0).at(5.0), Scale(1.0, 100.0, 0.0, 2.0, log=True).at(10.0)
    (150.0, 1.0)
    """

    low: Number
    high: Number
    start: Number
    stop: Number
    log: bool = False

    def __call__(self, values: Points) -> Points:
        """The place of each value."""
        low, high = self.low, self.high
        if self.log:
            low, high, values = math.log(low), math.log(high), np.log(np.maximum(values, self.low))
        return self.start + (values - low) / ((high - low) or 1.0) * (self.stop - self.start)

    def at(self, value: Number) -> float:
        """The place of one value."""
        low, high = float(self.low), float(self.high)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        return self.start + (float(value) - low) / ((high - low) or 1.0) * (self.stop - self.start)

    def inside(self, value: Number) -> float:
        """The place of one value, held at the nearer end where it lies outside."""
        return self.at(min(max(value, self.low), self.high))

    def ticks(self, count: int) -> list[float]:
        """About `count` round values inside the scale."""
        return log_ticks(self.low, self.high, count) if self.log else ticks(self.low, self.high, count)


def ticks(low: Number, high: Number, count: int) -> list[float]:
    """About `count` round values from `low` to `high`.

    >>> ticks(0.0, 1.0, 4)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if span / (power * m) <= count + 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def log_ticks(low: Number, high: Number, count: int) -> list[float]:
    """Values 1, 2 and 5 times a power of ten; even steps where the range is too small for three of them.

    >>> log_ticks(0.5, 10.0, 5)
    [0.5, 1.0, 2.0, 5.0, 10.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [round(m * 10.0**k, 12) for k in powers for m in (1, 2, 5)]
    kept = [mark for mark in marks if low * (1 - 1e-9) <= mark <= high * (1 + 1e-9)]
    if len(kept) > 2 * count:
        kept = [mark for mark in kept if math.log10(mark).is_integer()]
    return kept if len(kept) >= 3 else ticks(low, high, count)


def padded(low: Number, high: Number, share: Number = 0.05) -> tuple[float, float]:
    """A little more room on both sides; some room where both ends are equal."""
    room = (high - low) * share or max(abs(high), 1e-9) * share
    return low - room, high + room


def time_ticks(first: int, last: int, count: int) -> list[tuple[int, str]]:
    """At most `count` round UTC instants with their labels; midnights and Januaries say the date they begin.

    >>> time_ticks(0, 12 * HOUR, 4)
    [(0, '1 Jan'), (14400000000000, '04:00'), (28800000000000, '08:00'), (43200000000000, '12:00')]
    """
    for step in _CLOCK_STEPS:
        if (last - first) / step <= count:
            instants = range(-(-first // step) * step, last + 1, step)
            return [(i, _clock_label(i, step)) for i in instants][:count]
    for months in _MONTH_STEPS:
        marks = _months(first, last, months)
        if len(marks) <= count:
            return [(i, _month_label(i, months)) for i in marks]
    return []


def thin(places: Points, values: Points) -> Int64[np.ndarray, " kept"]:
    """The rows worth drawing: the least and the greatest value of each pixel column; no spike is lost.

    >>> thin(np.array([0.1, 0.2, 0.3, 0.4, 1.0]), np.array([1.0, 5.0, 2.0, 0.0, 3.0]))
    array([1, 3, 4])
    """
    column = np.floor(places).astype(np.int64)
    starts = np.flatnonzero(np.diff(column, prepend=column[:1] - 1)) if len(column) else np.zeros(0, np.int64)
    kept: list[int] = []
    for start, stop in zip(starts, np.append(starts[1:], len(column)), strict=True):
        within = values[start:stop]
        known = np.flatnonzero(np.isfinite(within))
        ends = {int(known[within[known].argmin()]), int(known[within[known].argmax()])} if len(known) else {0}
        kept += sorted(int(start) + end for end in ends)
    return np.array(kept, dtype=np.int64)


def path(places: Points, heights: Points) -> str:
    """An SVG path through the points in tenths of a pixel, broken where a height is unknown.

    >>> path(np.array([0.0, 1.0, 2.0, 3.0]), np.array([5.0, 4.5, np.nan, 1.0]))
    'M0 5l1-.5M3 1'
    """
    tenths = np.round(np.stack([places, np.nan_to_num(heights)], axis=1) * 10).astype(np.int64)
    pieces: list[str] = []
    drawing = False
    for row, known in enumerate(np.isfinite(heights)):
        if known:
            x, y = (tenths[row] - tenths[row - 1]) if drawing else tenths[row]
            pieces.append(f"{'l' if drawing else 'M'}{_pair(int(x), int(y))}")
        drawing = bool(known)
    return "".join(pieces)


def _pair(x: int, y: int) -> str:
    second = _tenth(y)
    return f"{_tenth(x)}{'' if second.startswith('-') else ' '}{second}"


def _tenth(value: int) -> str:
    whole, rest = divmod(abs(value), 10)
    text = f"{whole or ''}.{rest}" if rest else str(whole)
    return f"-{text}" if value < 0 else text


def _clock_label(instant: int, step: int) -> str:
    at = moment(instant)
    return f"{at.day} {MONTHS[at.month - 1]}" if step >= DAY or instant % DAY == 0 else at.strftime("%H:%M")


def _month_label(instant: int, months: int) -> str:
    at = moment(instant)
    return str(at.year) if months >= 12 or at.month == 1 else MONTHS[at.month - 1]


def _months(first: int, last: int, step: int) -> list[int]:
    at = moment(first)
    at = datetime(at.year if step < 12 else at.year - at.year % (step // 12), 1, 1, tzinfo=UTC)
    marks: list[int] = []
    while (instant := int(at.timestamp()) * SECOND) <= last:
        marks += [instant] if instant >= first else []
        ahead = at.month - 1 + step
        at = at.replace(year=at.year + ahead // 12, month=ahead % 12 + 1)
    return marks
