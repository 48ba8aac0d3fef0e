"""Funding on the grid of bars: what was settled in each, and where the record can be trusted.

Venues stamp settlements a few milliseconds off the full hour, so instants are matched to the nearest close,
never compared by equality. A bar in which a settlement may be missing is not covered: unknown is not zero.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from longshort.base.clock import HOUR, MINUTE, Interval

NEAR = MINUTE  # a settlement this close to a bar's close belongs to that close
LONGEST_CADENCE = 8 * HOUR  # regular settlements are never further apart
TOLERANCE = 5 * MINUTE  # of a cadence
CONTEXT = 3  # gaps on each side of one, whose median says how often settlements came


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlements:
    """The funding record of one coin in time order; empty where there is none."""

    settled_at: Int64[np.ndarray, " settlement"]
    rate: Float64[np.ndarray, " settlement"]


def settle_on_grid(
    record: Settlements, closed_at: Int64[np.ndarray, " time"], interval: Interval
) -> tuple[Float64[np.ndarray, " time"], Bool[np.ndarray, " time"]]:
    """The summed rate settled in each bar (NaN: none), and True where no settlement can be missing.

    >>> hours = HOUR * np.arange(1, 25)
    >>> record = Settlements(settled_at=HOUR * np.array([8, 16]) + 5_000_000, rate=np.array([1e-4, 2e-4]))
    >>> rate, covered = settle_on_grid(record, hours, Interval(HOUR))
    >>> np.flatnonzero(rate > 0).tolist(), np.flatnonzero(covered)[[0, -1]].tolist()
    ([7, 15], [7, 22])
    """
    rows = len(closed_at)
    total, covered = np.full(rows, np.nan), np.zeros(rows, dtype=bool)
    if not rows or not len(record.settled_at):
        return total, covered
    place = _row_of(record.settled_at, int(closed_at[0]), interval)
    inside = (place >= 0) & (place < rows)
    count = np.bincount(place[inside], minlength=rows)
    summed = np.bincount(place[inside], weights=record.rate[inside], minlength=rows)
    total[count > 0] = summed[count > 0]
    covered[max(int(place[0]), 0) :] = True
    for first, last in _missing(record.settled_at):
        rows_without = _row_of(np.array([first, last]), int(closed_at[0]), interval)
        covered[max(int(rows_without[0]), 0) : max(int(rows_without[1]) + 1, 0)] = False
    return total, covered


def funding_holes(settled_at: Int64[np.ndarray, " settlement"]) -> Int64[np.ndarray, "hole end"]:
    """The first and the last instant at which a settlement was due in each gap of the record.

    A gap is a hole where it is longer than any cadence, or twice as long as those before *and* after it: a venue
    that settles every hour, and one hour does not. A cadence that changes for good is none.

    >>> (funding_holes(HOUR * np.array([1, 2, 3, 4, 6, 7, 8, 9])) // HOUR).tolist()
    [[5, 5]]
    """
    before, cadence = _holes(settled_at)
    return np.stack([settled_at[before] + cadence, settled_at[before + 1] - cadence], axis=1)


def count_missing(settled_at: Int64[np.ndarray, " settlement"]) -> Int64[np.ndarray, " hole"]:
    """How many settlements are missing in each of the `funding_holes`, at the cadence around it."""
    before, cadence = _holes(settled_at)
    gap = settled_at[before + 1] - settled_at[before]
    return np.maximum(-(-(gap - TOLERANCE) // cadence) - 1, 1)


def _holes(
    settled_at: Int64[np.ndarray, " settlement"],
) -> tuple[Int64[np.ndarray, " hole"], Int64[np.ndarray, " hole"]]:
    """The settlements before the holes, and how soon after each the next was due."""
    gap = np.diff(settled_at)
    usual = np.maximum(_usual_before(gap), _usual_before(gap[::-1])[::-1])
    before = np.flatnonzero((gap > LONGEST_CADENCE + TOLERANCE) | (gap > 2 * usual - TOLERANCE))
    around = np.where(gap > LONGEST_CADENCE + TOLERANCE, _cadence(gap)[:-1], usual)
    return before, around[before]


def _usual_before(gap: Int64[np.ndarray, " gap"]) -> Int64[np.ndarray, " gap"]:
    """The median of the gaps just before each; the longest cadence where they are too few to tell."""
    median = pl.Series(gap).rolling_median(CONTEXT, min_samples=CONTEXT - 1).shift(1)
    known = median.fill_null(LONGEST_CADENCE).to_numpy()
    return np.minimum(known, LONGEST_CADENCE).astype(np.int64)


def _missing(settled_at: Int64[np.ndarray, " settlement"]) -> list[tuple[int, int]]:
    """The holes, and the stretch from the settlement that is due after the last one on record."""
    holes = [(int(first), int(last)) for first, last in funding_holes(settled_at)]
    due = int(settled_at[-1] + _cadence(np.diff(settled_at))[-1])
    return [*holes, (due, np.iinfo(np.int64).max // 2)]


def _cadence(gap: Int64[np.ndarray, " gap"]) -> Int64[np.ndarray, " settlement"]:
    """How soon after each settlement the next was due: as soon as it came itself, 8 h at most."""
    return np.minimum(np.append(gap[:1] if len(gap) else LONGEST_CADENCE, gap), LONGEST_CADENCE)


def _row_of(
    instant: Int64[np.ndarray, " settlement"], first_closed_at: int, interval: Interval
) -> Int64[np.ndarray, " settlement"]:
    """The row of the nearest close within a minute, else of the bar that contains the instant."""
    nearest = (instant + interval.ns // 2) // interval.ns * interval.ns
    containing = -(-instant // interval.ns) * interval.ns
    close = np.where(np.abs(instant - nearest) <= NEAR, nearest, containing)
    return (close - first_closed_at) // interval.ns
