"""Rows that cannot be what a market printed because of how they resemble others: silence, copies, exchanged columns.

A bar is silent where nobody traded and the price is that of the bar before. Silence up to the first trade is a
placeholder, silence to the end a delisting; what lies between is a halt.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from longshort.base.clock import DAY, Interval
from longshort.data.bars import silent_rows
from longshort.data.certificate.findings import Runs, runs_of
from longshort.data.certificate.outliers import Path

Rows = Bool[np.ndarray, " time"]
FLAT_BARS = 4  # shorter stretches without a trade are ordinary in small coins
DEAD_FOR, DEAD_BARS = (
    7 * DAY,
    24,
)  # without a trade for a week, and at least so many bars: trading has stopped
COPIED_BARS = 4  # so many rows in a row equal to rows before at one distance are no accident
CHANCE = 1e-12  # of a run of traded bars at one price, given how often the series has one such bar
LEAST_SHARE = 0.01  # of such bars that every series is granted
SWAP_BARS = 16  # over which the path is followed with open and close as they are, and exchanged
SWAP_RATIO = 5.0  # how much better the exchanged path must fit
SWAP_CAP = 2.0  # local scales that one step counts at most
SWAP_SCALES = 0.5  # what the path as it is must miss per bar for the question to arise


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Where nobody traded. The rows `first` to `last` (without it) are those from the first trade to the last."""

    silent: Rows
    first: int
    last: int

    @property
    def inner(self) -> Runs:
        """Silent runs between the first and the last trade."""
        return runs_of(self.silent[self.first : self.last]) + self.first


def dead_bars(interval: Interval) -> int:
    """So many bars without a trade are no pause.

    >>> dead_bars(Interval.parse("1h")), dead_bars(Interval.parse("1d"))
    (168, 24)
    """
    return max(DEAD_FOR // interval.ns, DEAD_BARS)


def find_silence(rows: pl.DataFrame, interval: Interval) -> Silence:
    """Silent rows; a tail shorter than `dead_bars` is a pause that may still end, not a delisting."""
    quiet = silent_rows(*(rows[c].to_numpy() for c in ("open", "high", "low", "close", "volume")))
    runs = runs_of(quiet)
    whole = len(quiet)
    first = int(runs[0, 1]) if len(runs) and runs[0, 0] == 0 else 0
    has_tail = len(runs) and runs[-1, 1] == whole and runs[-1, 1] - runs[-1, 0] >= dead_bars(interval)
    last = int(runs[-1, 0]) if has_tail else whole
    return Silence(silent=quiet, first=first, last=max(last, first))


def copied_rows(rows: pl.DataFrame) -> Rows:
    """True for rows that repeat earlier ones: several in a row at one distance, or a lively one its predecessor.

    Only rows whose high and low differ count: still rows are equal by nature.
    """
    values = rows.drop(rows.columns[0])
    lively = (rows["high"] > rows["low"]).to_numpy()
    hashes = values.hash_rows(seed=0).to_numpy()
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(len(rows), dtype=bool)
    place = np.flatnonzero(np.isin(hashes, twice) & lively)
    order = place[np.argsort(hashes[place], kind="stable")]
    again = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    distance = np.zeros(len(rows), dtype=np.int64)
    distance[order[again + 1]] = order[again + 1] - order[again]
    return (distance == 1) | _long_runs(distance)


def _long_runs(distance: Int64[np.ndarray, " time"]) -> Rows:
    found = np.zeros(len(distance), dtype=bool)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(distance)) + 1, [len(distance)]])
    long = np.flatnonzero((np.diff(edges) >= COPIED_BARS) & (distance[edges[:-1]] > 0))
    for run in long.tolist():
        found[edges[run] : edges[run + 1]] = True
    return found


def stuck_runs(rows: pl.DataFrame, silent: Rows) -> Runs:
    """Runs of bars at one unmoved price, volume or not as long as not silent, that chance would not make."""
    close = rows["close"].to_numpy()
    flat = (rows["high"] == rows["low"]).to_numpy() & (close == np.concatenate([close[:1], close[:-1]]))
    flat &= ~silent
    runs = runs_of(flat)
    share = max(LEAST_SHARE, float(flat.mean()))
    longest = np.inf if share >= 1.0 else np.log(CHANCE) / np.log(share)
    return runs[runs[:, 1] - runs[:, 0] >= max(longest, FLAT_BARS)]


def swapped_runs(path: Path) -> Runs:
    """Runs in which bars follow each other better from open to close than from close to open."""
    wide = np.flatnonzero(np.abs(path.gap) > path.scale * SWAP_SCALES / 2.0)
    if not (wide[2:] - wide[:-2] < SWAP_BARS).any():  # fewer cannot fill a window
        return np.zeros((0, 2), dtype=np.int64)
    crossed = np.zeros_like(path.close)
    crossed[1:] = np.where(path.adjacent[1:], np.abs(path.close[1:] - path.open[:-1]), np.inf)
    straight = np.abs(path.gap)
    crossed[~path.adjacent] = straight[~path.adjacent] = 0.0
    most = SWAP_CAP * path.scale  # one spike must not decide
    crossed, straight = np.minimum(crossed, most), np.minimum(straight, most)
    floor = SWAP_BARS * SWAP_SCALES * path.scale[SWAP_BARS:]
    taken = _sums(straight) > np.maximum(SWAP_RATIO * _sums(crossed), floor)
    found = np.zeros(len(path.close), dtype=bool)
    for start in np.flatnonzero(taken).tolist():
        found[start + 1 : start + SWAP_BARS + 1] = True
    fits = crossed < straight / SWAP_RATIO
    return np.array([_trim(fits, run) for run in runs_of(found)], dtype=np.int64).reshape(-1, 2)


def _trim(fits: Rows, run: Int64[np.ndarray, " 2"]) -> tuple[int, int]:
    """From the first row before a step that fits crossed to the last such step: a window may reach beyond."""
    steps = np.flatnonzero(fits[run[0] : run[1]]) + int(run[0])
    return int(steps[0]) - 1, int(steps[-1]) + 1


def _sums(values: Float64[np.ndarray, " time"]) -> Float64[np.ndarray, " window"]:
    """Sums over the `SWAP_BARS` steps that end in each row from `SWAP_BARS` on."""
    total = np.concatenate([[0.0], np.cumsum(values[1:])])
    return total[SWAP_BARS:] - total[:-SWAP_BARS]
