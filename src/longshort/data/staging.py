"""Rows that arrived but are not in their series yet: a crash loses what was under way, not what had come.

Each stretch lies in a file of its own whose name says for which window the venue was asked; a stretch without
rows is an answer too. Folding joins them into the series in one atomic step, and may be repeated.

    <lake>/<venue>/<kind>/.parts/<SYMBOL>/<from>-<to>.parquet
"""

import shutil
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.window import Window, join_windows
from longshort.data.lake import INSTANT, Lake, Merge, Series, merge_rows, write_rows


class Staging:
    """The stretches of one series that are not in it yet; hold the series' lock while you use it."""

    def __init__(self, lake: Lake, series: Series) -> None:
        self._lake = lake
        self._series = series
        self._folder = lake.path(series).parent / ".parts" / series.symbol

    def put(self, window: Window, rows: pl.DataFrame) -> None:
        """Keep what a venue gave for a window, from now on safe from a crash."""
        write_rows(self._folder / f"{window.from_at}-{window.to_at}.parquet", rows)

    def windows(self) -> list[Window]:
        """What was asked for, in the series or waiting here."""
        waiting = (_window(path) for path in self._parts())
        return join_windows([*self._lake.asked(self._series), *waiting])

    def fold(self, *, replace: bool = False) -> Merge:
        """Join everything that waits into the series; raise `DataError`, with nothing lost, on a conflict."""
        read = [(_window(path), rows) for path in self._parts() if (rows := _read(path)) is not None]
        merge = self._lake.merge(
            self._series, _join([rows for _, rows in read], self._series), replace=replace
        )
        if read:
            self._lake.write(self._series, merge.rows, asked=[window for window, _ in read])
            shutil.rmtree(self._folder)
        return merge

    def _parts(self) -> list[Path]:
        parts = self._folder.glob("[0-9]*-[0-9]*.parquet") if self._folder.is_dir() else ()
        return sorted((p for p in parts if not p.name.startswith(".")), key=_window)


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


def _read(path: Path) -> pl.DataFrame | None:
    """A stretch, or None where the machine crashed before all of it was on the disk: it is asked for again."""
    try:
        return pl.read_parquet(path, memory_map=False)
    except (PolarsError, OSError):
        return None


def _window(path: Path) -> Window:
    from_at, _, to_at = path.name.removesuffix(".parquet").partition("-")
    return Window(int(from_at), int(to_at))
