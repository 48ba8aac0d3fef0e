"""Files of bars and funding enter the lake: all of them, or none.

Every file is read and judged, and every conflict with what is on record found, before a byte is written.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import polars as pl

from longshort.base.clock import Interval, SystemClock, format_instant
from longshort.data.instruments import infer_instrument, record_inferred
from longshort.data.lake import BAR_COLUMNS, FUNDING, INSTANT, Lake, Merge, Series, merge_rows
from longshort.data.reading import read_tables
from longshort.data.rules import (
    MILLISECOND,
    interval_of,
    refuse_bad_times,
    refuse_bad_values,
    refuse_off_grid,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the files do not say themselves."""

    venue: str = "binanceusdm"
    interval: Interval | None = None
    stamped: Literal["open", "close"] = "open"
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What one series received. `first_at` and `last_at` are opens of bars, or settlements."""

    series: Series
    files: tuple[Path, ...]
    rows: int
    added: int
    changed: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    series: Series
    path: Path
    rows: pl.DataFrame


def import_files(
    files: Sequence[Path], lake: Lake, options: ImportOptions | None = None, *, now: int | None = None
) -> list[Imported]:
    """Put bars and funding into the lake; raise `DataError`, with nothing written, for what is wrong first.

    A bar that has not closed by `now` (by default the machine's) is refused: its last price is not its close.
    """
    options = options or ImportOptions()
    latest = SystemClock().now() if now is None else now
    arrivals = [arrival for path in files for arrival in _judge(path, options, latest)]
    merges = list(_merge(arrivals, lake, options))
    for imported, merge in merges:
        if merge.is_new:
            lake.write(imported.series, merge.rows)
    _record_instruments(lake, options.venue, merges)
    return [imported for imported, _ in merges]


def _judge(path: Path, options: ImportOptions, now: int) -> Iterator[_Arrival]:
    for table in read_tables(path):
        refuse_bad_times(table)
        refuse_bad_values(table)
        if table.is_funding:
            series = Series(options.venue, FUNDING, table.symbol)
            rows = table.rows.select("settled_at", pl.col("rate").cast(pl.Float64))
        else:
            interval = interval_of(table, options.interval)
            shift = timedelta(microseconds=interval.ns // 1_000 if options.stamped == "close" else 0)
            series = Series.bars(options.venue, interval, table.symbol)
            rows = table.rows.select(
                (pl.col("opened_at") - shift).cast(INSTANT),
                *(pl.col(c).cast(pl.Float64) for c in BAR_COLUMNS[1:]),
            )
            opened_at = rows["opened_at"].to_physical().to_numpy() * MILLISECOND
            refuse_off_grid(table, opened_at, interval, now)
        yield _Arrival(series=series, path=path, rows=rows)


def _merge(
    arrivals: Iterable[_Arrival], lake: Lake, options: ImportOptions
) -> Iterator[tuple[Imported, Merge]]:
    grouped: dict[Series, list[_Arrival]] = {}
    for arrival in arrivals:
        grouped.setdefault(arrival.series, []).append(arrival)
    for series, group in sorted(grouped.items()):
        rows = group[0].rows
        for later in group[1:]:
            rows = merge_rows(rows, later.rows, where=str(later.path), replace=options.replace).rows
        merge = lake.merge(series, rows, replace=options.replace)
        instants = rows[series.columns[0]].to_physical()
        imported = Imported(
            series=series,
            files=tuple(a.path for a in group),
            rows=len(rows),
            added=merge.added,
            changed=merge.changed,
            first_at=int(instants[0]) * MILLISECOND,
            last_at=int(instants[-1]) * MILLISECOND,
        )
        yield imported, merge


def _record_instruments(lake: Lake, venue: str, merges: Iterable[tuple[Imported, Merge]]) -> None:
    found = {
        imported.series.symbol: (
            infer_instrument(venue, imported.series.symbol, merge.rows),
            format_instant(imported.last_at),
        )
        for imported, merge in merges
        if merge.is_new and imported.series.kind != FUNDING
    }
    if found:
        record_inferred(lake.root / venue, found)
