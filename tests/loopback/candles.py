"""Candles of one contract at one interval, how they widen, and what an unfinished one looks like.

Inside a bar the price is thought to walk in straight lines: open, low, high, close in a bar that rises and
open, high, low, close in one that falls, a third of the time each. That decides what the venue shows before
the close, and when an order is reached.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
MONDAY = 4 * DAY  # 1970-01-05, where weeks begin
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)

Row = Float64[np.ndarray, " value"]


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Rows of open, high, low, close and volume; `opened_at` in ns, ascending, holes allowed."""

    interval: int
    opened_at: Int64[np.ndarray, " time"]
    values: Float64[np.ndarray, "time value"]

    def __len__(self) -> int:
        return len(self.opened_at)

    def __getitem__(self, rows: slice | np.ndarray | list[int]) -> "Candles":
        return Candles(self.interval, self.opened_at[rows], self.values[rows])

    def __add__(self, later: "Candles") -> "Candles":
        opened_at = np.concatenate([self.opened_at, later.opened_at])
        return Candles(self.interval, opened_at, np.concatenate([self.values, later.values]))

    def first(self, count: int) -> "Candles":
        """The oldest so many rows."""
        return self[:count]

    def last(self, count: int) -> "Candles":
        """The newest so many rows."""
        return self[max(len(self) - count, 0) :]

    def between(self, from_at: int, to_at: int) -> "Candles":
        """Rows that open in [from_at, to_at)."""
        first, last = np.searchsorted(self.opened_at, [from_at, to_at])
        return self[first:last]

    def widen(self, interval: int) -> "Candles":
        """The same trades in wider bars; a bar exists where any trade of it is on the tape."""
        if interval == self.interval or not len(self):
            return Candles(interval, self.opened_at, self.values)
        assert interval % self.interval == 0, f"{self.interval} ns bars do not make bars of {interval} ns"
        bucket = bar_start(self.opened_at, interval)
        first = np.flatnonzero(np.diff(bucket, prepend=-1))
        last = np.append(first[1:], len(self)) - 1
        v = self.values
        columns = (
            v[first, OPEN],
            np.maximum.reduceat(v[:, HIGH], first),
            np.minimum.reduceat(v[:, LOW], first),
            v[last, CLOSE],
            np.round(np.add.reduceat(v[:, VOLUME], first), 8),
        )
        return Candles(interval, bucket[first], np.column_stack(columns))


def bar_start(instants: Int64[np.ndarray, " time"] | int, interval: int) -> Int64[np.ndarray, " time"]:
    """When the bar opened that holds each instant; weeks begin on Mondays."""
    anchor = MONDAY if interval % (7 * DAY) == 0 else 0
    return (np.asarray(instants, dtype=np.int64) - anchor) // interval * interval + anchor


def walk(row: Row) -> tuple[float, float, float, float]:
    """The prices at the start, the two turns and the end of a bar."""
    turns = (row[LOW], row[HIGH]) if row[CLOSE] >= row[OPEN] else (row[HIGH], row[LOW])
    return (row[OPEN], *turns, row[CLOSE])


def price_within(row: Row, fraction: float) -> float:
    """Where the walk stands after this fraction of the bar."""
    return float(np.interp(fraction, (0.0, 1 / 3, 2 / 3, 1.0), walk(row)))


def range_within(row: Row, start: float, end: float) -> tuple[float, float]:
    """The lowest and the highest price between two fractions of the bar."""
    turns = [price for at, price in zip((1 / 3, 2 / 3), walk(row)[1:3], strict=True) if start < at < end]
    seen = [price_within(row, start), *turns, price_within(row, end)]
    return float(min(seen)), float(max(seen))


def unfinished(row: Row, fraction: float, tick: float) -> Row:
    """What the venue shows of a bar after this fraction of it, on the tick."""
    low, high = range_within(row, 0.0, fraction)
    shown = np.array([row[OPEN], high, low, price_within(row, fraction), row[VOLUME] * fraction])
    shown[:VOLUME] = np.round(np.round(shown[:VOLUME] / tick) * tick, 8)
    shown[VOLUME] = np.round(shown[VOLUME], 3)
    return shown
