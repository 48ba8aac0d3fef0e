"""Rows that arrived but are not in their series yet: a crash loses what was under way, not what had come.

Each stretch lies in a file of its own that says for which windows the venue was asked; a stretch without
rows is an answer too. Folding joins them into the series in one atomic step, and may be repeated.

    <lake>/<venue>/<kind>/.parts/<SYMBOL>/<from>-<hash of its windows>.parquet
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.files import digest
from longshort.base.window import Window, join_windows
from longshort.data.lake import (
    ASKED_KEY,
    INSTANT,
    Lake,
    Merge,
    Series,
    asked_windows,
    merge_rows,
    windows_text,
    write_rows,
)


class Staging:
    """The stretches of one series that are not in it yet; hold the series' lock while you use it."""

    def __init__(self, lake: Lake, series: Series) -> None:
        self._lake = lake
        self._series = series
        self._folder = lake.path(series).parent / ".parts" / series.symbol

    def put(self, asked: Sequence[Window], rows: pl.DataFrame) -> None:
        """Keep what a venue gave for some windows, from now on safe from a crash."""
        if asked:
            text = windows_text(asked)
            path = self._folder / f"{asked[0].from_at}-{digest(text)}.parquet"
            write_rows(path, rows, {ASKED_KEY: text})

    def windows(self) -> list[Window]:
        """What was asked for, in the series or waiting here."""
        waiting = (window for path in self._parts() for window in asked_windows(path))
        return join_windows([*self._lake.asked(self._series), *waiting])

    def rows(self) -> pl.DataFrame:
        """Everything there is, folded or not."""
        return self._lake.merge(self._series, self._waiting(), replace=True).rows

    def fold(self, *, replace: bool = False) -> Merge:
        """Join everything that waits into the series; raise `DataError`, with nothing lost, on a conflict."""
        parts = self._parts()
        merge = self._lake.merge(self._series, self._waiting(), replace=replace)
        if len(merge.rows):
            asked = [window for path in parts for window in asked_windows(path)]
            self._lake.write(self._series, merge.rows, asked=asked)
        if parts:
            shutil.rmtree(self._folder)
        return merge

    def _waiting(self) -> pl.DataFrame:
        return _join([pl.read_parquet(path, memory_map=False) for path in self._parts()], self._series)

    def _parts(self) -> list[Path]:
        """Oldest first; a file that a crash of the machine cut off is removed, and so asked for again."""
        parts = [p for p in self._folder.glob("*.parquet") if not p.name.startswith(".")]
        for damaged in (p for p in parts if not _is_whole(p)):
            damaged.unlink()
        return sorted((p for p in parts if p.exists()), key=lambda p: int(p.name.partition("-")[0]))


def empty_rows(series: Series) -> pl.DataFrame:
    """No rows, with the columns of a series."""
    instant, *values = series.columns
    return pl.DataFrame(schema={instant: INSTANT, **dict.fromkeys(values, pl.Float64)})


def _join(parts: list[pl.DataFrame], series: Series) -> pl.DataFrame:
    rows = pl.concat([empty_rows(series), *parts])
    instant = rows[series.columns[0]]
    if instant.is_sorted() and instant.is_unique().all():
        return rows
    whole = empty_rows(series)
    for part in parts:  # stretches that overlap: the later answer counts
        whole = merge_rows(whole, part, where=str(series), replace=True).rows
    return whole


def _is_whole(path: Path) -> bool:
    try:
        pl.read_parquet_metadata(path)
    except (PolarsError, OSError):
        return False
    return True
