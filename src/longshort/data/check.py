"""The certificate of what is in the lake: what is there, what is missing, what cannot be true.

Nothing is repaired. `clean` has no finding, `usable` has findings that a study can live with and should know,
`broken` would teach a model something false.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from longshort.base.clock import Interval, format_instant
from longshort.base.errors import DataError
from longshort.data.funding import LONGEST_CADENCE, funding_holes
from longshort.data.lake import Lake, Series, rows_digest
from longshort.data.rules import MILLISECOND, impossible_bars

Grade = Literal["clean", "usable", "broken"]
BROKEN_MISSING_SHARE = 0.05
BROKEN_FLAT_BARS = 168  # a price that stands still without trades this long is a placeholder or a delisting
FLAT_BARS = 4  # shorter stretches without a trade are ordinary in small coins
SPIKE_SCALES = 12.0  # a move of so many typical moves that the next bar takes back
JUMP_SCALES = 60.0  # a move of so many typical moves, taken back or not
SCALE_BARS = 97  # around each bar, for the typical move
NAMED_PLACES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What one series is worth. Counts are bars (for funding: settlements); places are instants as text."""

    venue: str
    kind: str
    symbol: str
    grade: Grade
    reasons: tuple[str, ...]
    first: str = ""
    last: str = ""
    rows: int = 0
    expected: int = 0
    gaps: int = 0
    longest_gap: int = 0
    gap_places: tuple[str, ...] = ()
    zero_volume: int = 0
    longest_flat: int = 0
    outliers: int = 0
    outlier_places: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """How many bars or settlements are not there between the first and the last."""
        return self.expected - self.rows


@dataclass(slots=True)
class _Findings:
    broken: list[str] = field(default_factory=list[str])
    usable: list[str] = field(default_factory=list[str])

    def add(self, reason: str, is_broken: object) -> None:
        (self.broken if is_broken else self.usable).append(reason)

    @property
    def grade(self) -> Grade:
        return "broken" if self.broken else "usable" if self.usable else "clean"

    @property
    def reasons(self) -> tuple[str, ...]:
        return (*self.broken, *self.usable)


def check_lake(lake: Lake, venue: str | None = None) -> list[Certificate]:
    """A certificate for every series, in order."""
    return [check_series(lake, series) for series in lake.series(venue)]


def check_series(lake: Lake, series: Series) -> Certificate:
    """The certificate of one series; a file that cannot be read is broken, not an error."""
    blank = Certificate(
        venue=series.venue, kind=series.kind, symbol=series.symbol, grade="broken", reasons=()
    )
    try:
        rows = lake.read(series, verify=False)
        recorded = lake.recorded_digest(series)
    except DataError as error:
        return replace(blank, reasons=(error.what.rstrip("."),))
    findings = _Findings()
    if recorded != rows_digest(rows):
        findings.add(
            "the rows are not those that were imported" if recorded else "no hash on record", recorded
        )
    instant = rows[series.columns[0]].to_physical().to_numpy() * MILLISECOND
    if not len(instant) or (np.diff(instant) <= 0).any():
        return replace(blank, reasons=(*findings.reasons, "times repeat or go back, or there are none"))
    seen = replace(
        blank,
        first=format_instant(int(instant[0])),
        last=format_instant(int(instant[-1])),
        rows=len(rows),
        expected=len(rows),
    )
    interval = series.interval
    if interval is None:
        seen = _funding(seen, rows, instant, findings)
    else:
        seen = _gaps(seen, instant, interval, findings)
        seen = _stillness(seen, rows, findings)
        seen = _outliers(seen, rows["close"], instant, findings)
        _impossible(rows, instant, interval, findings)
    return replace(seen, grade=findings.grade, reasons=findings.reasons)


def _gaps(
    seen: Certificate, instant: Int64[np.ndarray, " time"], interval: Interval, findings: _Findings
) -> Certificate:
    step = np.diff(instant) // interval.ns
    after = np.flatnonzero(step > 1)
    expected = int((instant[-1] - instant[0]) // interval.ns) + 1
    missing = expected - len(instant)
    if missing:
        findings.add(
            f"{missing:,} of {expected:,} bars missing in {_count(len(after), 'gap')}",
            missing > BROKEN_MISSING_SHARE * expected,
        )
    return replace(
        seen,
        expected=expected,
        gaps=len(after),
        longest_gap=int(step.max() - 1) if len(after) else 0,
        gap_places=tuple(format_instant(int(instant[i]) + interval.ns) for i in after[:NAMED_PLACES]),
    )


def _stillness(seen: Certificate, rows: pl.DataFrame, findings: _Findings) -> Certificate:
    silent = rows["volume"].to_numpy() == 0.0
    close = rows["close"].to_numpy()
    still = silent & (close == np.concatenate([close[:1], close[:-1]]))
    longest = _longest_run(still)
    if longest >= FLAT_BARS:
        findings.add(
            f"the price stands still for {longest:,} bars without a trade", longest >= BROKEN_FLAT_BARS
        )
    elif silent.any():
        findings.add(f"{_count(int(silent.sum()), 'bar')} without a trade", is_broken=False)
    return replace(seen, zero_volume=int(silent.sum()), longest_flat=longest)


def _outliers(
    seen: Certificate, close: pl.Series, instant: Int64[np.ndarray, " time"], findings: _Findings
) -> Certificate:
    """Moves far beyond the typical one around them; less far if the next bar takes them back."""
    move = close.log().diff()
    size = move.abs()
    typical = size.rolling_median(SCALE_BARS, min_samples=SCALE_BARS // 4, center=True)
    floor = float(np.nan_to_num(np.asarray(size.median(), dtype=float))) / 4.0
    scale = typical.fill_null(np.inf).clip(lower_bound=floor)
    taken_back = (move + move.shift(-1)).abs() < 0.2 * size
    spike = ((size > SPIKE_SCALES * scale) & taken_back).fill_null(value=False)
    jump = (size > JUMP_SCALES * scale).fill_null(value=False)
    found = (spike | (jump & ~spike.shift(1, fill_value=False))).arg_true().to_numpy()
    if len(found):
        findings.add(f"{_count(len(found), 'move')} out of all proportion", is_broken=False)
    places = tuple(format_instant(int(instant[i])) for i in found[:NAMED_PLACES])
    return replace(seen, outliers=len(found), outlier_places=places)


def _impossible(
    rows: pl.DataFrame, instant: Int64[np.ndarray, " time"], interval: Interval, findings: _Findings
) -> None:
    broken = [(len(rows.filter(rule)), what) for rule, what in impossible_bars()]
    for count, what in broken:
        if count:
            findings.add(f"{_count(count, 'bar')} with {what}", is_broken=True)
    if (instant % interval.ns).any():
        findings.add("bars off the grid", is_broken=True)


def _funding(
    seen: Certificate, rows: pl.DataFrame, instant: Int64[np.ndarray, " time"], findings: _Findings
) -> Certificate:
    holes = funding_holes(instant)
    missing = int(((holes[:, 1] - holes[:, 0]) // LONGEST_CADENCE + 1).sum())
    if missing:
        findings.add(
            f"{_count(missing, 'settlement')} missing in {_count(len(holes), 'hole')}", is_broken=False
        )
    if not rows["rate"].is_finite().all():
        findings.add("rates that are no numbers", is_broken=True)
    return replace(
        seen,
        expected=len(rows) + missing,
        gaps=len(holes),
        longest_gap=int((holes[:, 1] - holes[:, 0]).max() // LONGEST_CADENCE + 1) if missing else 0,
        gap_places=tuple(format_instant(int(first)) for first in holes[:NAMED_PLACES, 0]),
    )


def _longest_run(mask: Bool[np.ndarray, " time"]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
