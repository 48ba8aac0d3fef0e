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


def compiled(function: Function) -> Function:
    """Compile to machine code on first call, cached on disk, without the type checks of the tests."""
    return cast("Function", numba.njit(cache=True, error_model="numpy")(inspect.unwrap(function)))


@compiled
def lag_rows(values: Rows, clock: Clock, ring: Ring, out: Rows) -> None:
    """What went in as many rows ago as the ring has."""
    for t in range(len(values)):
        place = clock[0]
        for a in range(values.shape[1]):
            out[t, a] = ring[place, a]
            ring[place, a] = values[t, a]
        clock[0] = (place + 1) % len(ring)


@compiled
def slide_sum(values: Rows, clock: Clock, ring: Ring, tail: Tail, head: Head, out: Out) -> None:
    """The sum and the number of the finite values among the last rows; number 0 until so many rows have passed."""
    rows, assets = ring.shape
    for t in range(len(values)):
        if clock[0] == rows:
            clock[0] = 0
            for a in range(assets):
                head[0, a] = head[1, a] = 0.0
                for k in range(rows - 1, -1, -1):
                    known = np.isfinite(ring[k, a])
                    tail[0, k, a] = tail[0, k + 1, a] + (ring[k, a] if known else 0.0)
                    tail[1, k, a] = tail[1, k + 1, a] + known
        place = clock[0]
        clock[0] += 1
        clock[1] += 1
        for a in range(assets):
            value = values[t, a]
            ring[place, a] = value
            if np.isfinite(value):
                head[0, a] += value
                head[1, a] += 1.0
            out[0, t, a] = tail[0, place + 1, a] + head[0, a]
            out[1, t, a] = tail[1, place + 1, a] + head[1, a] if clock[1] >= rows else 0.0


@compiled
def slide_maximum(values: Rows, clock: Clock, ring: Ring, tail: Tail, head: Head, out: Out) -> None:
    """The largest and the number of the finite values among the last rows; parts begin at minus infinity."""
    rows, assets = ring.shape
    for t in range(len(values)):
        if clock[0] == rows:
            clock[0] = 0
            for a in range(assets):
                head[0, a], head[1, a] = -np.inf, 0.0
                for k in range(rows - 1, -1, -1):
                    known = np.isfinite(ring[k, a])
                    tail[0, k, a] = max(tail[0, k + 1, a], ring[k, a] if known else -np.inf)
                    tail[1, k, a] = tail[1, k + 1, a] + known
        place = clock[0]
        clock[0] += 1
        clock[1] += 1
        for a in range(assets):
            value = values[t, a]
            ring[place, a] = value
            if np.isfinite(value):
                head[0, a] = max(head[0, a], value)
                head[1, a] += 1.0
            out[0, t, a] = max(tail[0, place + 1, a], head[0, a])
            out[1, t, a] = tail[1, place + 1, a] + head[1, a] if clock[1] >= rows else 0.0


@compiled
def slide_variance(values: Rows, clock: Clock, ring: Ring, tail: Tail, head: Head, out: Out) -> None:
    """The variance and the number of the finite values among the last rows.

    Parts are mean, number and sum of squared deviations: Welford (1962), joined as in Chan, Golub, LeVeque (1979).
    """
    rows, assets = ring.shape
    for t in range(len(values)):
        if clock[0] == rows:
            clock[0] = 0
            head[:] = 0.0
            for a in range(assets):
                for k in range(rows - 1, -1, -1):
                    tail[:, k, a] = tail[:, k + 1, a]
                    if np.isfinite(ring[k, a]):
                        tail[1, k, a] += 1.0
                        apart = ring[k, a] - tail[0, k, a]
                        tail[0, k, a] += apart / tail[1, k, a]
                        tail[2, k, a] += apart * (ring[k, a] - tail[0, k, a])
        place = clock[0]
        clock[0] += 1
        clock[1] += 1
        for a in range(assets):
            value = values[t, a]
            ring[place, a] = value
            if np.isfinite(value):
                head[1, a] += 1.0
                apart = value - head[0, a]
                head[0, a] += apart / head[1, a]
                head[2, a] += apart * (value - head[0, a])
            count = tail[1, place + 1, a] + head[1, a]
            between = head[0, a] - tail[0, place + 1, a]
            spread = between * between * (tail[1, place + 1, a] * head[1, a] / count)
            out[0, t, a] = (tail[2, place + 1, a] + head[2, a] + spread) / count
            out[1, t, a] = count if clock[1] >= rows else 0.0


@compiled
def quantile_of(ordered: Float64[np.ndarray, " window"], count: int, share: float) -> float:
    """A quantile of the first numbers of an ordered array, linear between two of them."""
    place = share * (count - 1)
    below = int(place)
    above = min(below + 1, count - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


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
            count, kept, old, value = int(head[0, a]), ordered[a], ring[place, a], values[t, a]
            if np.isfinite(old):
                first = np.searchsorted(kept[:count], old)
                for k in range(first, count - 1):
                    kept[k] = kept[k + 1]
                count -= 1
            if np.isfinite(value):
                first = np.searchsorted(kept[:count], value)
                for k in range(count, first, -1):
                    kept[k] = kept[k - 1]
                kept[first] = value
                count += 1
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
