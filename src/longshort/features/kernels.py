"""The loops behind the operators of a history, compiled: row by row, each changing its own state in place.

A sliding window of `rows` rows is the end of one block of so many rows and the beginning of the next: what is known
of the end (`tail`) was gathered backwards when the block closed, what is known of the beginning (`head`) grows row by
row. Nothing is ever subtracted, so nothing cancels or drifts, and what has left the window has left the result.

All of it lives in one module, because numba's cache looks at the date of a function's own file only.
"""

import inspect
from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from jaxtyping import Float64, Int64

Function = TypeVar("Function", bound=Callable[..., object])
Clock = Int64[np.ndarray, "2"]  # the place of the next row in its block; how many rows have passed
Rows = Float64[np.ndarray, "time asset"]
Ring = Float64[np.ndarray, "window asset"]
Tail = Float64[np.ndarray, "part longer asset"]
Head = Float64[np.ndarray, "part asset"]
Out = Float64[np.ndarray, "part time asset"]
Line = Float64[np.ndarray, " row"]
Lines = Float64[np.ndarray, "part row"]


def compiled(function: Function) -> Function:
    """Compile to machine code on first call, cached on disk, without the type checks of the tests."""
    return cast("Function", numba.njit(cache=True, error_model="numpy")(inspect.unwrap(function)))


@compiled
def lag_rows(values: Rows, clock: Clock, ring: Ring, out: Rows) -> None:
    """What went in as many rows ago as the ring has."""
    place = clock[0]
    for t in range(len(values)):
        for a in range(values.shape[1]):
            out[t, a] = ring[place, a]
            ring[place, a] = values[t, a]
        place = place + 1 if place + 1 < len(ring) else 0
    clock[0] = place


@compiled
def run_sum(values: Line, head: Line, out: Lines) -> None:
    """Running sum and number of the finite values, on from the head."""
    total, count = head[0], head[1]
    for k in range(len(values)):
        known = np.isfinite(values[k])
        total += values[k] if known else 0.0
        count += 1.0 if known else 0.0
        out[0, k], out[1, k] = total, count
    head[0], head[1] = total, count


@compiled
def join_sum(tail: Lines, out: Lines) -> None:
    """Add what the end of the block before held."""
    for k in range(tail.shape[1]):
        out[0, k] += tail[0, k]
        out[1, k] += tail[1, k]


@compiled
def slide_sum(values: Rows, clock: Clock, ring: Ring, tail: Tail, head: Head, out: Out) -> None:
    """The sum and the number of the finite values among the last rows; number 0 until so many rows have passed."""
    rows, start = len(ring), 0
    early = min(max(rows - 1 - clock[1], 0), len(values))
    while start < len(values):
        place = clock[0] % rows
        stop = min(start + rows - place, len(values))
        after = place + stop - start
        for a in range(ring.shape[1]):
            if clock[0] == rows:
                head[:, a] = tail[:, rows, a]
                run_sum(ring[::-1, a], head[:, a], tail[:, rows - 1 :: -1, a])
                head[:, a] = tail[:, rows, a]
            ring[place:after, a] = values[start:stop, a]
            run_sum(values[start:stop, a], head[:, a], out[:, start:stop, a])
            join_sum(tail[:, place + 1 : after + 1, a], out[:, start:stop, a])
        clock[0], clock[1], start = after, clock[1] + stop - start, stop
    out[1, :early] = 0.0


@compiled
def run_maximum(values: Line, head: Line, out: Lines) -> None:
    """Running maximum and number of the finite values, on from the head."""
    most, count = head[0], head[1]
    for k in range(len(values)):
        known = np.isfinite(values[k])
        most = max(most, values[k] if known else -np.inf)
        count += 1.0 if known else 0.0
        out[0, k], out[1, k] = most, count
    head[0], head[1] = most, count


@compiled
def join_maximum(tail: Lines, out: Lines) -> None:
    """Take the larger of this and what the end of the block before held."""
    for k in range(tail.shape[1]):
        out[0, k] = max(out[0, k], tail[0, k])
        out[1, k] += tail[1, k]


@compiled
def slide_maximum(values: Rows, clock: Clock, ring: Ring, tail: Tail, head: Head, out: Out) -> None:
    """The largest and the number of the finite values among the last rows."""
    rows, start = len(ring), 0
    early = min(max(rows - 1 - clock[1], 0), len(values))
    while start < len(values):
        place = clock[0] % rows
        stop = min(start + rows - place, len(values))
        after = place + stop - start
        for a in range(ring.shape[1]):
            if clock[0] == rows:
                head[:, a] = tail[:, rows, a]
                run_maximum(ring[::-1, a], head[:, a], tail[:, rows - 1 :: -1, a])
                head[:, a] = tail[:, rows, a]
            ring[place:after, a] = values[start:stop, a]
            run_maximum(values[start:stop, a], head[:, a], out[:, start:stop, a])
            join_maximum(tail[:, place + 1 : after + 1, a], out[:, start:stop, a])
        clock[0], clock[1], start = after, clock[1] + stop - start, stop
    out[1, :early] = 0.0


@compiled
def run_variance(values: Line, head: Line, out: Lines) -> None:
    """Running mean, number and sum of squared deviations, on from the head: Welford (1962)."""
    mean, count, squares = head[0], head[1], head[2]
    for k in range(len(values)):
        if np.isfinite(values[k]):
            count += 1.0
            apart = values[k] - mean
            mean += apart / count
            squares += apart * (values[k] - mean)
        out[0, k], out[1, k], out[2, k] = mean, count, squares
    head[0], head[1], head[2] = mean, count, squares


@compiled
def join_variance(tail: Lines, out: Lines) -> None:
    """Join two sums of squared deviations as in Chan, Golub, LeVeque (1979); the mean gives way to the variance."""
    for k in range(tail.shape[1]):
        count = out[1, k] + tail[1, k]
        between = out[0, k] - tail[0, k]
        spread = between * between * (out[1, k] * tail[1, k] / count)
        out[0, k] = (out[2, k] + tail[2, k] + spread) / count
        out[1, k] = count


@compiled
def slide_variance(values: Rows, clock: Clock, ring: Ring, tail: Tail, head: Head, out: Out) -> None:
    """The variance and the number of the finite values among the last rows."""
    rows, start = len(ring), 0
    early = min(max(rows - 1 - clock[1], 0), len(values))
    while start < len(values):
        place = clock[0] % rows
        stop = min(start + rows - place, len(values))
        after = place + stop - start
        for a in range(ring.shape[1]):
            if clock[0] == rows:
                head[:, a] = tail[:, rows, a]
                run_variance(ring[::-1, a], head[:, a], tail[:, rows - 1 :: -1, a])
                head[:, a] = tail[:, rows, a]
            ring[place:after, a] = values[start:stop, a]
            run_variance(values[start:stop, a], head[:, a], out[:, start:stop, a])
            join_variance(tail[:, place + 1 : after + 1, a], out[:, start:stop, a])
        clock[0], clock[1], start = after, clock[1] + stop - start, stop
    out[1, :early] = 0.0


@compiled
def hold(out: Out, least: float) -> None:
    """Withdraw what rests on fewer than so many values."""
    for t in range(out.shape[1]):
        for a in range(out.shape[2]):
            if out[1, t, a] < least:
                out[0, t, a] = np.nan


@compiled
def divide(out: Out, least: float) -> None:
    """Sums become means; what rests on less is withdrawn."""
    for t in range(out.shape[1]):
        for a in range(out.shape[2]):
            out[0, t, a] = out[0, t, a] / out[1, t, a] if out[1, t, a] >= least else np.nan


@compiled
def quantile_of(ordered: Float64[np.ndarray, " window"], count: int, share: float) -> float:
    """A quantile of the first numbers of an ordered array, linear between two of them."""
    place = share * (count - 1)
    below = int(place)
    above = min(below + 1, count - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@compiled
def exchange(ordered: Float64[np.ndarray, " window"], count: int, old: float, value: float) -> int:
    """Put a value in the place of an old one, in order, where they are there; return the new number of values."""
    leave = np.searchsorted(ordered[:count], old) if np.isfinite(old) else count
    count -= np.isfinite(old)
    if not np.isfinite(value):
        for k in range(leave, count):
            ordered[k] = ordered[k + 1]
        return count
    while leave < count and ordered[leave + 1] < value:
        ordered[leave] = ordered[leave + 1]
        leave += 1
    while leave > 0 and ordered[leave - 1] > value:
        ordered[leave] = ordered[leave - 1]
        leave -= 1
    ordered[leave] = value
    return count + 1


@compiled
def slide_quartiles(
    values: Rows, clock: Clock, ring: Ring, ordered: Float64[np.ndarray, "asset window"], head: Head, out: Out
) -> None:
    """The median, the interquartile range and the number of the finite values among the last rows."""
    rows, assets = ring.shape
    for t in range(len(values)):
        place = clock[0] % rows
        clock[0] = place + 1
        clock[1] += 1
        for a in range(assets):
            kept, old, value = ordered[a], ring[place, a], values[t, a]
            count = exchange(kept, int(head[0, a]), old, value)
            ring[place, a], head[0, a] = value, count
            out[2, t, a] = count if clock[1] >= rows else 0.0
            if count > 0:
                out[0, t, a] = quantile_of(kept, count, 0.5)
                out[1, t, a] = quantile_of(kept, count, 0.75) - quantile_of(kept, count, 0.25)


@compiled
def decay(values: Rows, weight: float, head: Head, out: Out) -> None:
    """Exponentially weighted sums of the finite values and of ones where they are."""
    for t in range(len(values)):
        for a in range(values.shape[1]):
            known = np.isfinite(values[t, a])
            head[0, a] = weight * (values[t, a] if known else 0.0) + (1.0 - weight) * head[0, a]
            head[1, a] = weight * known + (1.0 - weight) * head[1, a]
            out[0, t, a], out[1, t, a] = head[0, a], head[1, a]


@compiled
def grow(values: Rows, head: Head, out: Out) -> None:
    """The sum and the number of the finite values since the first row."""
    for t in range(len(values)):
        for a in range(values.shape[1]):
            if np.isfinite(values[t, a]):
                head[0, a] += values[t, a]
                head[1, a] += 1.0
            out[0, t, a], out[1, t, a] = head[0, a], head[1, a]


@compiled
def keep_last(values: Rows, head: Head, out: Rows) -> None:
    """The last finite value so far."""
    for t in range(len(values)):
        for a in range(values.shape[1]):
            if np.isfinite(values[t, a]):
                head[0, a] = values[t, a]
            out[t, a] = head[0, a]


@compiled
def count_missing(present: Rows, head: Head, out: Rows) -> None:
    """How many rows in a row have been zero."""
    for t in range(len(present)):
        for a in range(present.shape[1]):
            head[0, a] = (head[0, a] + 1.0) * (1.0 - present[t, a])
            out[t, a] = head[0, a]
