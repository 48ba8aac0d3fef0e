"""Files of market data enter the lake: all of them, or none.

Every file is read and judged, and every conflict with what is on record found, before a byte is written.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from longshort.base.calendar import find_calendar
from longshort.base.clock import Interval, SystemClock, format_instant
from longshort.connect.listing import Listing
from longshort.data.files.bitmex import describes_contracts, read_contracts
from longshort.data.files.reading import Table, read_frame, split_tables
from longshort.data.files.rules import (
    MILLISECOND,
    interval_of,
    refuse_bad_times,
    refuse_bad_values,
    refuse_future,
    refuse_odd_names,
    refuse_off_grid,
    refuse_off_sessions,
    sampling_of,
)
from longshort.data.files.sources import Source, Stamped, source_of, unknown_venue, venue_in_name
from longshort.data.instruments import infer_instrument, record_inferred, record_listed
from longshort.data.lake import COLUMNS, INSTANT, Lake, Measure, Merge, Series, merge_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the files do not say themselves.

    Left empty, `venue` is told by each file's name; `measure`, `stamped` and `calendar` by its columns and its venue.
    """

    venue: str = ""
    measure: Measure | None = None
    interval: Interval | None = None
    stamped: Stamped | None = None
    calendar: str | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What one series received. `first_at` and `last_at` are opens of bars, settlements or samples.

    `widened` bars opened outside their range, at the close before, and had it widened to hold their open.
    """

    series: Series
    files: tuple[Path, ...]
    rows: int
    added: int
    changed: int
    first_at: int
    last_at: int
    widened: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    series: Series
    path: Path
    rows: pl.DataFrame
    widened: int = 0


@dataclass(slots=True)
class _Arrivals:
    by_series: dict[Series, list[_Arrival]] = field(default_factory=dict[Series, list[_Arrival]])
    listings: list[tuple[Path, Listing]] = field(default_factory=list[tuple[Path, Listing]])
    nameless: list[Path] = field(default_factory=list[Path])


def import_files(
    files: Sequence[Path], lake: Lake, options: ImportOptions | None = None, *, now: int | None = None
) -> list[Imported]:
    """Put files into the lake; raise `DataError`, with nothing written, for what is wrong first.

    A bar that has not closed by `now` (by default the machine's) is refused: its last price is not its close.
    BitMEX's description of its contracts goes to the instruments on record.
    """
    options = options or ImportOptions()
    arrivals = _judge_all(files, options, SystemClock().now() if now is None else now)
    joined = {series: _join(group, options) for series, group in sorted(arrivals.by_series.items())}
    with ExitStack() as held:
        for series in joined:
            held.enter_context(lake.lock(series))
        merges = {s: lake.merge(s, rows, replace=options.replace) for s, rows in joined.items()}
        for series, merge in merges.items():
            if merge.is_new:
                lake.write(series, merge.rows)
    imported = [_imported(arrivals.by_series[s], joined[s], merge) for s, merge in merges.items()]
    _record_inferred(lake, options, imported, merges)
    return [*imported, *_record_listed(lake, arrivals.listings)]


def _judge_all(files: Sequence[Path], options: ImportOptions, now: int) -> _Arrivals:
    arrivals = _Arrivals()
    for path in files:
        venue = options.venue or venue_in_name(path)
        frame = read_frame(path)
        if describes_contracts(frame):
            arrivals.listings += [(path, c) for c in read_contracts(frame, path, venue or "bitmex")]
            continue
        for arrival in _judge(frame, path, replace(options, venue=venue), now):
            arrivals.by_series.setdefault(arrival.series, []).append(arrival)
        arrivals.nameless += [] if venue else [path]
    if arrivals.nameless:
        raise unknown_venue(arrivals.nameless[0])
    return arrivals


def _judge(frame: pl.DataFrame, path: Path, options: ImportOptions, now: int) -> Iterator[_Arrival]:
    source = source_of(options.venue)
    calendar = source.calendar if options.calendar is None else options.calendar
    for table in split_tables(frame, path, measure=options.measure, stocks=bool(calendar)):
        refuse_odd_names(table, options.venue)
        refuse_bad_times(table)
        judged, widened = _hold_opens(table) if source.opens_at_last_close else (table, 0)
        refuse_bad_values(judged)
        interval, rows = _placed(judged, options, source, calendar, now)
        series = Series.of(options.venue, table.measure, interval, table.symbol)
        yield _Arrival(series=series, path=path, rows=rows, widened=widened)


def _placed(
    table: Table, options: ImportOptions, source: Source, calendar: str, now: int
) -> tuple[Interval | None, pl.DataFrame]:
    """The interval and the rows as the lake keeps them."""
    instant, *values = COLUMNS[table.measure]
    rows = table.rows.select(pl.col(instant).cast(INSTANT), *(pl.col(v).cast(pl.Float64) for v in values))
    if table.measure in ("funding", "open-interest"):
        refuse_future(table, now)
        return (None if table.measure == "funding" else sampling_of(table, options.interval)), rows
    if calendar:
        return refuse_off_sessions(table, find_calendar(calendar), options.interval, now), rows
    interval = interval_of(table, options.interval)
    if (options.stamped or source.stamped) == "close":
        rows = rows.with_columns(
            (pl.col(instant) - timedelta(microseconds=interval.ns // 1_000)).cast(INSTANT)
        )
    opened_at = rows[instant].to_physical().to_numpy() * MILLISECOND
    refuse_off_grid(table, opened_at, interval, now)
    return interval, rows


def _hold_opens(table: Table) -> tuple[Table, int]:
    """Widen bars that opened at the close before until they hold their open; say how many that were."""
    if table.measure != "bars" or not all(table.rows[c].dtype.is_numeric() for c in ("open", "high", "low")):
        return table, 0
    opened, high, low = (pl.col(c) for c in ("open", "high", "low"))
    outside = table.rows.select(((opened > high) | (opened < low)).sum()).item()
    rows = table.rows.with_columns(high=pl.max_horizontal(opened, high), low=pl.min_horizontal(opened, low))
    return replace(table, rows=rows), int(outside)


def _join(group: Sequence[_Arrival], options: ImportOptions) -> pl.DataFrame:
    rows = group[0].rows
    for later in group[1:]:
        rows = merge_rows(rows, later.rows, where=str(later.path), replace=options.replace).rows
    return rows


def _imported(group: Sequence[_Arrival], rows: pl.DataFrame, merge: Merge) -> Imported:
    series = group[0].series
    instants = rows[series.columns[0]].to_physical()
    return Imported(
        series=series,
        files=tuple(a.path for a in group),
        rows=len(rows),
        added=merge.added,
        changed=merge.changed,
        first_at=int(instants[0]) * MILLISECOND,
        last_at=int(instants[-1]) * MILLISECOND,
        widened=int(np.sum([a.widened for a in group])),
    )


def _record_inferred(
    lake: Lake, options: ImportOptions, imported: Sequence[Imported], merges: dict[Series, Merge]
) -> None:
    told = [i for i in imported if i.series.measure == "bars" and merges[i.series].is_new]
    for venue in sorted({i.series.venue for i in told}):
        calendar = source_of(venue).calendar if options.calendar is None else options.calendar
        found = {
            i.series.symbol: (
                infer_instrument(venue, i.series.symbol, merges[i.series].rows, calendar=calendar),
                format_instant(i.last_at),
            )
            for i in told
            if i.series.venue == venue
        }
        record_inferred(lake.root / venue, found)


def _record_listed(lake: Lake, listings: Sequence[tuple[Path, Listing]]) -> Iterator[Imported]:
    for venue in sorted({listing.instrument.venue for _, listing in listings}):
        record_listed(lake.root / venue, (c for _, c in listings if c.instrument.venue == venue))
    for path, listing in listings:
        yield Imported(
            series=Series(listing.instrument.venue, "instrument", listing.instrument.symbol),
            files=(path,),
            rows=1,
            added=1,
            changed=0,
            first_at=listing.seen_at,
            last_at=listing.seen_at,
        )
