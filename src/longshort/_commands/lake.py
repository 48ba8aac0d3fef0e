"""`data list`, `data export` and `data delete`: what is on disk, out of the lake, and away from it."""

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import polars as pl

from longshort._commands.terminal import emit_json, note, say, say_table
from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.base.files import write_atomically
from longshort.data.lake import Lake, Series
from longshort.data.market import find_lake

CSV_TIME = "%Y-%m-%dT%H:%M:%S%.3fZ"


def list_series(patterns: Sequence[str], *, lake: str, as_json: bool) -> None:
    """Print every series with its range, its size on disk and the hash of its rows."""
    found = Lake(find_lake(lake, Path()))
    entries = [_entry(found, series) for series in _matching(found, patterns)]
    if as_json:
        emit_json(entries)
        return
    for venue in sorted({str(e["venue"]) for e in entries}):
        rows = [
            [
                str(e["kind"]),
                str(e["symbol"]),
                f"{e['rows']:,}",
                str(e["first"]),
                str(e["last"]),
                _size(int(str(e["bytes"]))),
                str(e["hash"]),
            ]
            for e in entries
            if e["venue"] == venue
        ]
        columns = ["kind", "symbol", ">rows", "first", "last", ">size", "hash of rows"]
        say_table(f"{found.root}/{venue}", columns, rows)
    total = sum(int(str(e["bytes"])) for e in entries)
    say(f"{len(entries):,} series, {_size(total)}.")


def export(patterns: Sequence[str], *, to: Path, form: Literal["csv", "parquet"], lake: str) -> None:
    """Write series as files that `import`, pandas or a spreadsheet read."""
    found = Lake(find_lake(lake, Path()))
    for series in _matching(found, patterns):
        rows = found.read(series)
        path = to / series.venue / series.kind / f"{series.symbol}.{form}"
        write_atomically(path, lambda temporary, rows=rows: _write(rows, temporary, form))
        say(f"{path}  {len(rows):,} rows")


def delete(patterns: Sequence[str], *, sure: bool, lake: str) -> None:
    """Remove series for good, after a yes."""
    found = Lake(find_lake(lake, Path()))
    chosen = _matching(found, patterns)
    for series in chosen:
        say(f"{series}  {_size(found.path(series).stat().st_size)}")
    if not sure and not _confirmed(len(chosen)):
        raise DataError("nothing was deleted.", remedy="Add --yes to delete without being asked.")
    for series in chosen:
        found.delete(series)
    note(f"{len(chosen):,} series deleted.")


def _matching(lake: Lake, patterns: Sequence[str]) -> list[Series]:
    """Series whose venue/kind/SYMBOL any pattern matches; a bare word matches any part."""
    everything = lake.series()
    if not patterns:
        return everything
    for pattern in patterns:
        if not any(_matches(series, pattern) for series in everything):
            raise DataError(
                f"no series matches {pattern!r}.",
                where=lake.root,
                remedy="`longshort data list` shows them; write one like binanceusdm/bars-1h/BTCUSDT or '*/BTCUSDT'.",
            )
    return [series for series in everything if any(_matches(series, p) for p in patterns)]


def _matches(series: Series, pattern: str) -> bool:
    return fnmatchcase(str(series), pattern) or pattern in (series.venue, series.kind, series.symbol)


def _entry(lake: Lake, series: Series) -> dict[str, object]:
    path = lake.path(series)
    instant = pl.col(series.columns[0])
    ends = pl.scan_parquet(path).select(
        pl.len(), instant.first().alias("first"), instant.last().alias("last")
    )
    rows, first, last = ends.collect().row(0)
    return {
        "venue": series.venue,
        "kind": series.kind,
        "symbol": series.symbol,
        "rows": rows,
        "first": f"{first:%Y-%m-%d %H:%MZ}" if first else "",
        "last": f"{last:%Y-%m-%d %H:%MZ}" if last else "",
        "asked": [[format_instant(w.from_at), format_instant(w.to_at)] for w in lake.asked(series)],
        "bytes": path.stat().st_size,
        "hash": lake.recorded_digest(series),
    }


def _write(rows: pl.DataFrame, path: Path, form: Literal["csv", "parquet"]) -> None:
    if form == "csv":
        rows.write_csv(path, datetime_format=CSV_TIME)
    else:
        rows.write_parquet(path, compression="zstd")


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"Delete these {count:,} series for good? [y/N] ").strip().lower() in ("y", "yes")


def _size(count: int) -> str:
    """Bytes for people.

    >>> _size(512), _size(1_536_000)
    ('512 B', '1.5 MB')
    """
    units = ("B", "kB", "MB", "GB")
    power = min(len(units) - 1, max(0, (len(str(count)) - 1) // 3))
    return f"{count / 1000**power:.1f} {units[power]}" if power else f"{count} B"
