"""One series looked at by itself: its times, its values, and how its rows resemble each other.

What takes other series (a crash that all share, a clock, an early end) stays open for `check`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from jaxtyping import Float64

from longshort.base.calendar import AlwaysOpen, Calendar, find_calendar
from longshort.base.clock import Interval, format_instant
from longshort.base.errors import DataError, LongshortError
from longshort.base.window import Window
from longshort.data.certificate import sampled, timeline
from longshort.data.certificate.certificates import Certificate
from longshort.data.certificate.findings import Findings, Instants, count_of
from longshort.data.certificate.outliers import Odd, Sketch, find_odd, sketch, trace
from longshort.data.certificate.patterns import (
    FLAT_BARS,
    Rows,
    Silence,
    copied_rows,
    dead_bars,
    find_silence,
    stuck_runs,
    swapped_runs,
)
from longshort.data.certificate.timeline import Gap
from longshort.data.files.rules import MILLISECOND, impossible_bars
from longshort.data.instruments import read_instruments
from longshort.data.lake import Lake, Series, rows_digest


@dataclass(slots=True, kw_only=True)
class Examined:
    """A series looked at by itself: what others are needed for is still open."""

    seen: Certificate
    findings: Findings = field(default_factory=Findings)
    interval: Interval | None = None
    odd: list[Odd] = field(default_factory=list[Odd])
    false_rows: int = 0
    sketch: Sketch | None = None
    recent_at: Instants = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    recent_move: Float64[np.ndarray, " time"] = field(default_factory=lambda: np.zeros(0))


def examine(lake: Lake, series: Series, sessions: str = "") -> Examined:
    """Look at one series by itself, in the sessions named or on record; what cannot be read is broken, not an error."""
    calendar = find_calendar(sessions) if sessions else _calendar(lake, series)
    seen = Certificate(venue=series.venue, kind=series.kind, symbol=series.symbol, calendar=calendar.name)
    looked = Examined(seen=seen, interval=series.interval)
    try:
        rows = lake.read(series, verify=False)
        recorded, asked = lake.recorded_digest(series), lake.asked(series)
    except DataError as error:
        looked.findings.add("unreadable", error.what.rstrip("."))
        return looked
    digest = rows_digest(rows)
    if recorded != digest:
        looked.findings.add(
            "altered" if recorded else "no hash",
            "the rows are not those that were imported" if recorded else "no hash on record",
        )
    instant = rows[series.columns[0]].to_physical().to_numpy() * MILLISECOND
    if not _judge_order(instant, looked.findings):
        return looked
    looked.seen = replace(
        seen, digest=digest, first_at=int(instant[0]), last_at=int(instant[-1]), rows=len(rows), expected=len(rows)
    )  # fmt: skip
    gaps = _judge_times(looked, rows, instant, series, calendar, asked)
    missing = sum(g.missing for g in gaps)
    looked.seen = replace(looked.seen, gaps=tuple(gaps), expected=len(rows) + missing)
    if series.measure in ("bars", "mark", "index"):
        _judge_bars(looked, rows, instant)
    return looked


def _judge_order(instant: Instants, findings: Findings) -> bool:
    step = np.diff(instant)
    repeated, back = np.flatnonzero(step == 0), np.flatnonzero(step < 0)
    if not len(instant):
        findings.add("order", "there are no rows")
    if len(repeated):
        words = f"{count_of(len(repeated), 'row')} with the time of the row before"
        findings.add("order", words, count=len(repeated), places=instant[repeated])
    if len(back):
        words = f"{count_of(len(back), 'row')} earlier than the row before"
        findings.add("order", words, count=len(back), places=instant[back + 1])
    return bool(len(instant)) and not len(repeated) and not len(back)


def _calendar(lake: Lake, series: Series) -> Calendar:
    """That of the instrument on record; around the clock where there is none."""
    try:
        instrument = read_instruments(lake.root / series.venue).get(series.symbol)
        return find_calendar(instrument.calendar if instrument else "")
    except LongshortError:
        return AlwaysOpen()


def _judge_times(
    looked: Examined,
    rows: pl.DataFrame,
    instant: Instants,
    series: Series,
    calendar: Calendar,
    asked: Sequence[Window],
) -> list[Gap]:
    interval = series.interval
    if interval is None:
        return sampled.judge_funding(rows, instant, asked, looked.findings)
    gaps: list[Gap] = []
    if timeline.judge_grid(instant, interval, looked.findings):
        try:
            gaps = timeline.find_gaps(instant, interval, calendar, asked)
        except DataError as error:
            looked.findings.add("off grid", error.what.rstrip("."))
        noun = "sample" if series.measure == "open-interest" else "bar"
        timeline.judge_gaps(gaps, len(instant) + sum(g.missing for g in gaps), noun, looked.findings)
        timeline.judge_paging(instant, gaps, looked.findings)
    if series.measure == "open-interest":
        sampled.judge_open_interest(rows, instant, looked.findings)
    return gaps


def _judge_bars(looked: Examined, rows: pl.DataFrame, instant: Instants) -> None:
    """What the values say; only bars that are possible are looked at further."""
    assert looked.interval
    possible = _judge_possible(rows, instant, looked.findings)
    if not possible.all():
        rows, instant = rows.filter(possible), instant[possible]
    if not len(instant):
        return
    silence = _judge_silence(looked, rows, instant) if "volume" in rows.columns else None
    first, last = (silence.first, silence.last) if silence else (0, len(rows))
    looked.seen = replace(
        looked.seen, traded_from_at=int(instant[min(first, len(instant) - 1)]),
        traded_until_at=int(instant[max(last - 1, 0)]),
    )  # fmt: skip
    if last - first < FLAT_BARS:
        return
    traded, at = rows[first:last], instant[first:last]
    silent = silence.silent[first:last] if silence else np.zeros(len(traded), dtype=bool)
    path = trace(traded, at, looked.interval.ns)
    looked.odd = find_odd(path)
    if looked.seen.calendar != AlwaysOpen().name:  # a market that closes may open anywhere
        looked.odd = [odd for odd in looked.odd if odd.kind != "jump"]
    looked.sketch = sketch(path)
    _judge_copies(looked, traded, at, silent)
    swapped = swapped_runs(path)
    if len(swapped):
        bars = int((swapped[:, 1] - swapped[:, 0]).sum())
        words = f"open and close have changed places in {count_of(bars, 'bar')}"
        looked.findings.add("swapped", words, count=bars, places=at[swapped[:, 0]])
    recent = slice(max(len(at) - timeline.LAG_ROWS, 1), None)
    looked.recent_at = at[recent]
    looked.recent_move = np.where(path.adjacent, np.diff(path.close, prepend=np.nan), np.nan)[recent]


def _judge_possible(rows: pl.DataFrame, instant: Instants, findings: Findings) -> Rows:
    """True for bars that a market can print; say what is wrong with the others."""
    whole = rows if "volume" in rows.columns else rows.with_columns(volume=pl.lit(1.0))
    rules = impossible_bars()
    masks = whole.select(rule.fill_null(value=False).alias(str(n)) for n, (rule, _) in enumerate(rules))
    possible = np.ones(len(rows), dtype=bool)
    for n, (_, what) in enumerate(rules):
        places = masks[str(n)].arg_true().to_numpy()
        possible[places] = False
        if len(places):
            words = f"{count_of(len(places), 'bar')} with {what}"
            findings.add("impossible", words, count=len(places), places=instant[places])
    return possible


def _judge_silence(looked: Examined, rows: pl.DataFrame, instant: Instants) -> Silence | None:
    volume = rows["volume"]
    zero = int((volume == 0.0).sum())
    looked.seen = replace(looked.seen, zero_volume=zero)
    if zero == len(rows):
        looked.findings.add("no volume", "no bar has any volume", count=zero)
        return None
    assert looked.interval
    silence = find_silence(rows, looked.interval)
    close = rows["close"].to_numpy()
    if silence.first:
        first_move = 100.0 * (close[min(silence.first, len(close) - 1)] / close[0] - 1.0)
        words = (
            f"not traded before {format_instant(int(instant[silence.first]))}: {count_of(silence.first, 'bar')} "
            f"at a placeholder of {close[0]:g}, then a false {first_move:+.0f} %; they count as not listed"
        )
        looked.findings.add("not traded yet", words, count=silence.first, places=instant[:1])
    tail = len(rows) - silence.last
    if tail:
        words = (
            f"trading stopped after {format_instant(int(instant[silence.last - 1]))}: {count_of(tail, 'bar')} "
            f"repeat {close[-1]:g}, which is no price"
        )
        looked.findings.add(
            "trading stopped", words, count=tail, places=instant[silence.last : silence.last + 1]
        )
    _judge_pauses(looked, silence, zero - silence.first - tail, instant)
    return silence


def _judge_pauses(looked: Examined, silence: Silence, zero: int, instant: Instants) -> None:
    runs = silence.inner
    longest = int((runs[:, 1] - runs[:, 0]).max(initial=0))
    long = runs[runs[:, 1] - runs[:, 0] >= FLAT_BARS]
    if len(long):
        words = f"the price stands still for {longest:,} bars without a trade"
        rule = "halted" if looked.interval and longest >= dead_bars(looked.interval) else "silent"
        looked.findings.add(rule, words, count=len(long), places=instant[long[:, 0]])
    elif zero > 0:
        looked.findings.add("silent", f"{count_of(zero, 'bar')} without a trade", count=zero)


def _judge_copies(looked: Examined, rows: pl.DataFrame, at: Instants, silent: Rows) -> None:
    copied = copied_rows(rows)
    stuck = stuck_runs(rows, silent)
    stuck_bars = int((stuck[:, 1] - stuck[:, 0]).sum())
    looked.false_rows = int(copied.sum()) + stuck_bars
    if copied.any():
        words = f"{count_of(int(copied.sum()), 'bar')} copied from earlier bars"
        looked.findings.add("repeated", words, count=int(copied.sum()), places=at[copied])
    if stuck_bars:
        words = f"{count_of(stuck_bars, 'traded bar')} stuck at one price in {count_of(len(stuck), 'run')}"
        looked.findings.add("stuck", words, count=stuck_bars, places=at[stuck[:, 0]])
