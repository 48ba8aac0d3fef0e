"""Bars that are errors by their looks, and how they are told from crashes.

Trading is a path: a bar opens where the one before closed, however fast the market falls. So a price is odd where
the path breaks and comes back (a close that the next open does not support, a whole bar or several at another
level), where it breaks for good and no other coin breaks with it, or where it runs far out and back with hardly
more volume than usual. A true crash has volume, a path, and company. All sizes are in local robust scales, so
that a wild month is judged by its own measure.

This looks at the next bars and is for the certificate only; what a study may do about odd bars is in `cleaning`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

Kind = Literal["close", "open", "bar", "jump", "wick", "spike"]
Column = Float64[np.ndarray, " time"]
TO_STD = 1.4826  # the median of |x| times this is the standard deviation, for normal x
BLOCK = 32  # bars whose median is one figure of local size
FLOOR = 0.25  # of the size of the whole series: no local scale is smaller
BREAK_SCALES = 5.0  # between close and next open; 1.8 million clean bars of Binance have 2.5 at most
BREAK_NOISES = 10.0  # and of the local noise between close and open, which thin markets have
BREAK_TAILS = (
    4.0  # and of the gap that 1 bar in 100 of the series has: where breaks are ordinary, they say less
)
PAIR_BARS = 48  # a break that is taken back within so many bars encloses bars at a false level
ALIKE = 0.35  # of a break: what may remain of it where it counts as taken back
FAR_SCALES = 15.0  # out and back within a bar or two
SUPPORT = 1.0 / 8.0  # of the size in scales: so many times the usual volume a true move has at least
BEYOND_SCALES = 60.0  # a wick so long is odd with any volume: 1.8 million clean bars have 54 at most
BEYOND_SHARE = 0.4  # and of its price at least (log)
SHARED_SCALES = 5.0  # coins that move so far in the same bar share the move
WARM_UP = 24  # bars after the first in which volume says nothing yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """Rows `row` to `end` (without it) are odd; `size` in local scales, with a sign; `close` of the first row."""

    row: int
    end: int
    at: int
    kind: Kind
    size: float
    move: float
    close: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """The wild bars of one series: what other series need of it to see what is shared."""

    first_at: int
    last_at: int
    wild_at: Int64[np.ndarray, " wild"]
    wild_size: Float64[np.ndarray, " wild"]
    broken_at: Int64[np.ndarray, " broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Log prices of one series with the local scales to measure them by.

    `gap` is open over previous close; `breaks` are the rows that do not open where the row before closed;
    `loudness` is volume in units of what is usual around.
    """

    at: Int64[np.ndarray, " time"]
    open: Column
    high: Column
    low: Column
    close: Column
    adjacent: Bool[np.ndarray, " time"]
    gap: Column
    scale: Column
    breaks: Int64[np.ndarray, " broken"]
    loudness: Column | None


def trace(rows: pl.DataFrame, at: Int64[np.ndarray, " time"], step: int) -> Path:
    """The path of a series of positive prices whose instants are in order; `step` is its interval."""
    opened, high, low, close = (np.log(rows[c].to_numpy()) for c in ("open", "high", "low", "close"))
    adjacent = np.concatenate([[False], np.diff(at) == step])
    scale = _local_scale(close, adjacent)
    gap = np.zeros_like(close)
    gap[1:] = np.where(adjacent[1:], opened[1:] - close[:-1], 0.0)
    return Path(
        at=at, open=opened, high=high, low=low, close=close, adjacent=adjacent, gap=gap, scale=scale,
        breaks=_breaks(gap, scale), loudness=_loudness(rows),
    )  # fmt: skip


def _local_scale(close: Column, adjacent: Bool[np.ndarray, " time"]) -> Column:
    move = np.zeros_like(close)
    np.abs(np.diff(close), out=move[1:], where=adjacent[1:])
    whole = move[move > 0.0]
    floor = FLOOR * float(np.median(whole)) if len(whole) else 1.0
    return TO_STD * np.maximum(block_medians(move), floor)


def _breaks(gap: Column, scale: Column) -> Int64[np.ndarray, " broken"]:
    size = np.abs(gap)
    in_scales = size / scale
    limit = max(BREAK_SCALES, BREAK_TAILS * float(np.quantile(in_scales, 0.99)))
    far = np.flatnonzero(in_scales > limit)
    return far[size[far] > BREAK_NOISES * TO_STD * block_medians(size)[far]]


def _loudness(rows: pl.DataFrame) -> Column | None:
    if "volume" not in rows.columns:
        return None
    volume = rows["volume"].to_numpy()
    usual = block_medians(volume)
    return np.divide(volume, usual, out=np.full(len(usual), np.inf), where=usual > 0.0)


def block_medians(values: Column) -> Column:
    """The middle one of the medians of a row's block and its neighbors: a robust figure of what is usual here.

    >>> block_medians(np.repeat([1.0, 5.0, 2.0], 32))[[0, 32, 64]].tolist()
    [2.0, 2.0, 2.0]
    """
    whole = len(values) // BLOCK
    if whole < 3:
        return np.full(len(values), float(np.median(values)) if len(values) else 0.0)
    medians = np.median(values[: whole * BLOCK].reshape(whole, BLOCK), axis=1)
    three = np.stack([medians[[0, *range(whole - 1)]], medians, medians[[*range(1, whole), whole - 1]]])
    three[0, 0], three[2, -1] = medians[2], medians[-3]
    middle = np.median(three, axis=0)
    return middle[np.minimum(np.arange(len(values)) // BLOCK, whole - 1)]


def find_odd(path: Path) -> list[Odd]:
    """Every odd stretch of one series by itself, in order."""
    found = _broken_paths(path)
    taken = {row for odd in found for row in range(odd.row, odd.end)}
    lone = {odd.row: odd for odd in _far_and_back(path) if odd.row not in taken}
    return sorted([*found, *lone.values()], key=lambda odd: odd.row)


def sketch(path: Path) -> Sketch:
    """Keep the wild bars of a series: those that left the close before by many scales."""
    before = np.concatenate([path.open[:1], path.close[:-1]])
    reach = SHARED_SCALES * path.scale
    wild = np.flatnonzero((path.high - before > reach) | (before - path.low > reach))
    up, down = (path.high - before)[wild], (path.low - before)[wild]
    return Sketch(
        first_at=int(path.at[0]), last_at=int(path.at[-1]), wild_at=path.at[wild],
        wild_size=np.where(up > -down, up, down) / path.scale[wild], broken_at=path.at[path.breaks],
    )  # fmt: skip


def unshared(found: Sequence[Odd], others: Sequence[Sketch]) -> list[Odd]:
    """Leave out what half of the other coins did in the same bar, if at least one did."""
    return [odd for odd in found if not _is_shared(odd, others)]


def _is_shared(odd: Odd, others: Sequence[Sketch]) -> bool:
    there = [other for other in others if other.first_at < odd.at <= other.last_at]
    if not there:
        return False
    if odd.kind in ("wick", "spike"):
        along = sum(_moved(other, odd) for other in there)
    else:
        along = sum(_has(other.broken_at, odd.at) for other in there)
    return along > 0 and 2 * along >= len(there)


def _moved(other: Sketch, odd: Odd) -> bool:
    if not _has(other.wild_at, odd.at):
        return False
    return float(other.wild_size[np.searchsorted(other.wild_at, odd.at)]) * odd.size > 0.0


def _has(instants: Int64[np.ndarray, " wild"], at: int) -> bool:
    place = int(np.searchsorted(instants, at))
    return place < len(instants) and int(instants[place]) == at


def _broken_paths(path: Path) -> list[Odd]:
    """Read the breaks in order: each belongs to a bar at a false level, a false close or open, or is a jump."""
    breaks = path.breaks.tolist()
    found: list[Odd] = []
    n = 0
    while n < len(breaks):
        row = breaks[n]
        ends = [m for m in range(n + 1, len(breaks)) if breaks[m] - row <= PAIR_BARS][:4]
        back = next((m for m in ends if _takes_back(path, row, breaks[m])), None)
        size = float(path.gap[row] / path.scale[row])
        if back is not None:
            odd = _odd(path, (row, breaks[back]), "bar", size)
            n = back
        else:
            odd = _single_break(path, row, size)
        found.append(odd)
        n += 1
    return found


def _takes_back(path: Path, row: int, later: int) -> bool:
    first, second = float(path.gap[row]), float(path.gap[later])
    return abs(first + second) < ALIKE * max(abs(first), abs(second))


def _single_break(path: Path, row: int, size: float) -> Odd:
    limit = ALIKE * abs(float(path.gap[row]))
    before = path.close[row - 2] if row > 1 and path.adjacent[row - 1] else path.open[row - 1]
    if min(abs(path.open[row] - path.open[row - 1]), abs(path.open[row] - before)) < limit:
        return _odd(path, (row - 1, row), "close", -size)
    back = abs(path.close[row] - path.close[row - 1]) < limit
    return _odd(path, (row, row + 1), "open" if back else "jump", size)


def _odd(path: Path, rows: tuple[int, int], kind: Kind, size: float) -> Odd:
    row, end = rows
    return Odd(
        row=row, end=end, at=int(path.at[row]), kind=kind, size=size,
        move=size * float(path.scale[row]), close=float(np.exp(path.close[row])),
    )  # fmt: skip


def _far_and_back(path: Path) -> list[Odd]:
    """Wicks, and closes that the next bar takes back, far out without the volume of a true move."""
    kinds: tuple[tuple[Kind, dict[int, float]], ...] = (("wick", _wicks(path)), ("spike", _spikes(path)))
    return [_odd(path, (row, row + 1), kind, size) for kind, sizes in kinds for row, size in sizes.items()]


def _wicks(path: Path) -> dict[int, float]:
    """Rows whose high or low is far from open and close, and by how many scales."""
    reach = FAR_SCALES * path.scale
    up, down = path.high - np.maximum(path.open, path.close), np.minimum(path.open, path.close) - path.low
    far = np.flatnonzero((up > reach) | (down > reach))
    length = np.where(up[far] > down[far], up[far], -down[far])
    size = length / path.scale[far]
    beyond = (np.abs(size) > BEYOND_SCALES) & (np.abs(length) > BEYOND_SHARE)
    odd = beyond | _is_quiet(path, far, size)
    return dict(zip(far[odd].tolist(), size[odd].tolist(), strict=True))


def _spikes(path: Path) -> dict[int, float]:
    """Rows whose close is far from the one before and near the one after."""
    step = np.diff(path.close)
    far = np.flatnonzero(path.adjacent[1:] & (np.abs(step) > FAR_SCALES * path.scale[1:])) + 1
    far = far[far < len(step)]
    move, after = step[far - 1], step[far]
    size = move / path.scale[far]
    odd = (np.abs(move + after) < ALIKE * np.abs(move)) & _is_quiet(path, far, size)
    return dict(zip(far[odd].tolist(), size[odd].tolist(), strict=True))


def _is_quiet(
    path: Path, row: Int64[np.ndarray, " far"], size: Float64[np.ndarray, " far"]
) -> Bool[np.ndarray, " far"]:
    """True where a bar has less volume than a true move of that size."""
    if path.loudness is None:
        return np.zeros(len(row), dtype=bool)
    return (path.loudness[row] < SUPPORT * np.abs(size)) & (row >= WARM_UP)
