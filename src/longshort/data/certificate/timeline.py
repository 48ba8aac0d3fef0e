"""When the rows of a series are, against when they should be: gaps, paging faults, clocks, early ends.

A gap that the venue was asked for is one it cannot fill; any other can be fetched. Gaps at one fixed distance are
no accident of a market: a download lost a row of every page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.calendar import Calendar
from longshort.base.clock import DAY, SECOND, Interval, format_instant
from longshort.base.window import Window, join_windows
from longshort.data.certificate.findings import Findings, Instants, count_of

MANY_MISSING_SHARE = 0.05  # never asked for
MOST_MISSING_SHARE = 0.5  # asked for or not
PAGES = 5  # gaps at a fixed distance, from so many on
PAGE_ROWS = 20  # and so many rows apart at least
PAGE_SHARE = 0.8  # of all gaps
STALE_AFTER, STALE_BARS = 3 * DAY, 10  # before the others end
LAG_BARS, LAG_ROWS = 24, 4_096  # how far a clock may be off, judged on so many last bars
LAG_CORRELATION, LAG_RATIO = (
    0.3,
    2.0,
)  # what the shifted series has with the others, and against the unshifted
LAG_PEERS = 2  # with one other coin, nobody knows whose clock is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Bars that are not there: `missing` of them open in the window, `asked` of them were asked for in vain."""

    window: Window
    missing: int
    asked: int


def find_gaps(
    opened_at: Instants, interval: Interval, calendar: Calendar, asked: Sequence[Window]
) -> list[Gap]:
    """Every gap between the first and the last bar, on the calendar's grid; raise `DataError` off its sessions."""
    row = calendar.rows(calendar.closes(opened_at, interval), interval)
    missing = np.diff(row) - 1
    after = np.flatnonzero(missing > 0)
    return make_gaps(opened_at[after] + interval.ns, opened_at[after + 1], missing[after], asked)


def make_gaps(
    starts: Int64[np.ndarray, " gap"],
    ends: Int64[np.ndarray, " gap"],
    missing: Int64[np.ndarray, " gap"],
    asked: Sequence[Window],
) -> list[Gap]:
    """Gaps from their windows, with how much of each was asked for."""
    covered = _covered(ends, asked) - _covered(starts, asked)
    known = np.rint(covered / np.maximum(ends - starts, 1) * missing).astype(np.int64)
    return [
        Gap(window=Window(int(start), int(end)), missing=int(lost), asked=int(vain))
        for start, end, lost, vain in zip(starts, ends, missing, known, strict=True)
    ]


def judge_gaps(gaps: Sequence[Gap], expected: int, noun: str, findings: Findings) -> None:
    """Say how many rows are missing; `noun` is what a row is."""
    missing, asked = sum(g.missing for g in gaps), sum(g.asked for g in gaps)
    if not missing:
        return
    many = missing - asked > MANY_MISSING_SHARE * expected or missing > MOST_MISSING_SHARE * expected
    has_none = "" if not asked else f", of which the venue has none of {asked:,}"
    longest = max(g.missing for g in gaps)
    at_most = f", {longest:,} at once at most" if longest > 1 else ""
    words = f"{missing:,} of {expected:,} {noun}s missing in {count_of(len(gaps), 'gap')}{at_most}{has_none}"
    places = (g.window.from_at for g in gaps)
    findings.add("many missing" if many else "missing", words, count=missing, places=places)


def judge_paging(opened_at: Instants, gaps: Sequence[Gap], findings: Findings) -> None:
    """Gaps at a fixed distance: `n` bars there, one missing, again and again."""
    if len(gaps) < PAGES:
        return
    starts = np.searchsorted(opened_at, [g.window.from_at for g in gaps])
    runs = np.diff(starts)
    lengths, counts = np.unique(runs, return_counts=True)
    page = int(lengths[np.argmax(counts)])
    if page < PAGE_ROWS or counts.max() < max(PAGES - 1, PAGE_SHARE * len(runs)):
        return
    sizes, how_often = np.unique([g.missing for g in gaps], return_counts=True)
    lost = int(sizes[np.argmax(how_often)])
    verb = "bar is" if lost == 1 else "bars are"
    words = f"{lost} {verb} missing after every {page}: a paging fault of the download; fetch it again"
    findings.add("paging", words, count=len(gaps))


def judge_grid(instant: Instants, interval: Interval, findings: Findings) -> bool:
    """Instants must be multiples of the interval; True where they are. Says whether all are shifted alike."""
    off = instant % interval.ns
    if not off.any():
        return True
    around = np.where(off > interval.ns // 2, off - interval.ns, off)
    wrong = np.flatnonzero(around)
    if (off == off[0]).all():
        words = f"all bars open {around[0] / SECOND:+g} s off the grid: a shifted clock"
    elif np.abs(around).max() < SECOND:
        words = (
            f"{count_of(len(wrong), 'bar')} off the grid by up to {np.abs(around).max() / 1e6:g} ms: jitter"
        )
    else:
        words = f"{count_of(len(wrong), 'bar')} off the grid"
    findings.add("off grid", words, count=len(wrong), places=instant[wrong])
    return False


def judge_end(last_at: int, others: Sequence[int], interval: Interval | None, findings: Findings) -> None:
    """An end long before the latest of the others."""
    if not others:
        return
    behind = max(others) - last_at
    least = max(STALE_AFTER, STALE_BARS * interval.ns if interval else 0)
    if behind > least:
        words = f"ends {format_instant(last_at)}, {behind // DAY:,} days before others of its kind"
        findings.add("stale", words, places=[last_at])


def lag_bars(
    at: Instants, move: Float64[np.ndarray, " time"], others: Float64[np.ndarray, " time"], step: int
) -> int:
    """By how many bars a series is late (early: negative) against the others; 0 where it is not, or none can tell.

    `others` is their mean move at the same instants, NaN where there is none.
    """
    known = np.isfinite(move) & np.isfinite(others)
    if known.sum() < LAG_ROWS // 8:
        return 0
    row = (at - at[0]) // step
    mine, theirs = (np.full(int(row[-1]) + 1, np.nan) for _ in range(2))
    mine[row[known]], theirs[row[known]] = _clipped(move[known]), _clipped(others[known])
    lags = range(-LAG_BARS, LAG_BARS + 1)
    found = {lag: _correlation(mine, theirs, lag) for lag in lags}
    best = max(found, key=lambda lag: (found[lag], -abs(lag)))
    clear = found[best] > max(LAG_CORRELATION, LAG_RATIO * found[0])
    return best if clear else 0


def _clipped(values: Float64[np.ndarray, " time"]) -> Float64[np.ndarray, " time"]:
    limit = 5.0 * max(float(np.median(np.abs(values))), 1e-12)  # one spike must not decide
    return np.clip(values, -limit, limit)


def _correlation(mine: Float64[np.ndarray, " time"], theirs: Float64[np.ndarray, " time"], lag: int) -> float:
    late, early = (mine[lag:], theirs[: len(theirs) - lag]) if lag >= 0 else (mine[:lag], theirs[-lag:])
    both = np.isfinite(late) & np.isfinite(early)
    a, b = late[both], early[both]
    if len(a) < LAG_ROWS // 8 or a.std() == 0.0 or b.std() == 0.0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _covered(instants: Int64[np.ndarray, " gap"], asked: Sequence[Window]) -> Int64[np.ndarray, " gap"]:
    """How many nanoseconds of the asked windows lie before each instant."""
    windows = join_windows(asked)
    if not windows:
        return np.zeros(len(instants), dtype=np.int64)
    starts, ends = np.array([[w.from_at, w.to_at] for w in windows], dtype=np.int64).T
    before = np.concatenate([[0], np.cumsum(ends - starts)])
    place = np.searchsorted(starts, instants, side="right")
    inside = np.minimum(instants, ends[place - 1]) - starts[place - 1]
    return np.where(place > 0, before[np.maximum(place - 1, 0)] + inside, 0)
