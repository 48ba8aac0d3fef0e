"""A folder of plain Parquet files that any tool can read: the market's past as it was told.

    <lake>/<venue>/bars-<interval>/<SYMBOL>.parquet             opened_at, open, high, low, close, volume
    <lake>/<venue>/mark-<interval>/, index-<interval>/          the same without volume
    <lake>/<venue>/funding/<SYMBOL>.parquet                     settled_at, rate
    <lake>/<venue>/open-interest-<interval>/<SYMBOL>.parquet    sampled_at, open_interest
    <lake>/<venue>/instruments.json                             tick, lot and the rest, with where they come from

Files are written whole or not at all. Each carries a hash of its rows, a checksum that every reading verifies,
and the windows that a venue was asked for: a row that is missing there is one that the venue does not have.
Records change on request only.
"""

import errno
import fcntl
import json
import os
import re
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from longshort.base.clock import Interval
from longshort.base.errors import DataError
from longshort.base.files import digest, write_atomically
from longshort.base.window import Window, join_windows

Measure = Literal["bars", "mark", "index", "funding", "open-interest"]
FUNDING = "funding"
BAR_COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
FUNDING_COLUMNS = ("settled_at", "rate")
COLUMNS: Mapping[Measure, tuple[str, ...]] = MappingProxyType(
    {
        "bars": BAR_COLUMNS,
        "mark": BAR_COLUMNS[:-1],
        "index": BAR_COLUMNS[:-1],
        "funding": FUNDING_COLUMNS,
        "open-interest": ("sampled_at", "open_interest"),
    }
)
KIND = re.compile(r"(?:(bars|mark|index|open-interest)-(\d+[smhdw])|(funding))")
INSTANT = pl.Datetime("ms", "UTC")
DIGEST_KEY = "longshort.digest"
CHECKSUM_KEY = "longshort.crc32"
ASKED_KEY = "longshort.asked"


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """One file of the lake.

    >>> Series("binanceusdm", "bars-1h", "BTCUSDT").interval
    Interval(ns=3600000000000)
    """

    venue: str
    kind: str
    symbol: str

    @classmethod
    def bars(cls, venue: str, interval: Interval, symbol: str) -> "Series":
        """The bars of one coin."""
        return cls.of(venue, "bars", interval, symbol)

    @classmethod
    def of(cls, venue: str, measure: Measure, interval: Interval | None, symbol: str) -> "Series":
        """One measure of one coin; funding has no interval."""
        return cls(venue, measure if interval is None else f"{measure}-{interval}", symbol)

    @property
    def measure(self) -> Measure:
        """What is measured."""
        match = KIND.fullmatch(self.kind)
        assert match, f"no kind of series: {self.kind}"
        return cast("Measure", match[1] or match[3])

    @property
    def interval(self) -> Interval | None:
        """The length of a bar, the time between two samples; None for funding."""
        match = KIND.fullmatch(self.kind)
        return Interval.parse(match[2]) if match and match[2] else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's columns; the first is its instant."""
        return COLUMNS[self.measure]

    def __str__(self) -> str:
        return f"{self.venue}/{self.kind}/{self.symbol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a series would hold after new rows came in."""

    rows: pl.DataFrame
    added: int
    changed: int

    @property
    def is_new(self) -> bool:
        """True where anything would be written."""
        return self.added + self.changed > 0


class Lake:
    """The folder `root`, which need not exist before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, series: Series) -> Path:
        """Where a series lies."""
        return self.root / series.venue / series.kind / f"{series.symbol}.parquet"

    def series(self, venue: str | None = None, kind: str | None = None) -> list[Series]:
        """Everything on record, of one venue or kind or of all, in order."""
        found = (
            Series(path.parent.parent.name, path.parent.name, path.name.removesuffix(".parquet"))
            for path in self.root.glob("*/*/*.parquet")
            if KIND.fullmatch(path.parent.name) and not path.name.startswith(".")
        )
        return sorted(s for s in found if s.venue == (venue or s.venue) and s.kind == (kind or s.kind))

    def read(self, series: Series, *, verify: bool = True) -> pl.DataFrame:
        """The rows of a series; raise `DataError` where they are not those that were written."""
        path = self.path(series)
        if not path.is_file():
            raise DataError(
                "no such series in the lake.", where=str(series), remedy="`longshort data list` lists them."
            )
        try:
            rows = pl.read_parquet(path, memory_map=False)
        except (PolarsError, OSError) as error:
            raise DataError("the file is damaged.", where=path, remedy=_AGAIN) from error
        if tuple(rows.columns) != series.columns:
            raise DataError(f"the columns must be {', '.join(series.columns)}.", where=path, remedy=_AGAIN)
        if verify and self._metadata(series).get(CHECKSUM_KEY, "") not in ("", rows_checksum(rows)):
            raise DataError("the rows are not those that were imported.", where=path, remedy=_AGAIN)
        return rows

    def recorded_digest(self, series: Series) -> str:
        """The hash stored with the rows when they were written; empty where none was."""
        return self._metadata(series).get(DIGEST_KEY, "")

    def asked(self, series: Series) -> list[Window]:
        """The windows for which a venue gave all it has, apart and in order; none for what came from files."""
        path = self.path(series)
        return asked_windows(path) if path.is_file() else []

    def merge(self, series: Series, rows: pl.DataFrame, *, replace: bool = False) -> Merge:
        """What the series would hold with new rows, without writing it; raise `DataError` on a conflict."""
        path = self.path(series)
        old = self.read(series) if path.is_file() else rows.clear()
        return merge_rows(old, rows, where=str(series), replace=replace)

    def write(self, series: Series, rows: pl.DataFrame, *, asked: Iterable[Window] = ()) -> None:
        """Put rows in place of what the series held; windows that were asked for add to those on record."""
        if not re.fullmatch(r"[\w.-]+", series.symbol) or not re.fullmatch(r"[\w-]+", series.venue):
            raise DataError(
                "a venue or symbol may hold letters, digits, dots, dashes and underscores only.",
                where=str(series),
            )
        known = join_windows([*self.asked(series), *asked])
        metadata = {DIGEST_KEY: rows_digest(rows), CHECKSUM_KEY: rows_checksum(rows)}
        if known:
            metadata[ASKED_KEY] = windows_text(known)
        write_rows(self.path(series), rows, metadata)

    def delete(self, series: Series) -> None:
        """Remove a series for good."""
        with self.lock(series):
            self.path(series).unlink()

    @contextmanager
    def lock(self, series: Series) -> Generator[None]:
        """Hold a series alone; raise `DataError` where another process holds it."""
        path = self.path(series).with_name(f".{series.symbol}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DataError(f"cannot be written: {error.strerror}.", where=path.parent) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                "another process is writing this series.", where=str(series), remedy="Wait until it is done."
            ) from error
        else:
            for rubbish in path.parent.glob(f".{series.symbol}.parquet.*"):  # of a process that was killed
                rubbish.unlink()
            yield
        finally:
            os.close(handle)  # and with it the lock

    def _metadata(self, series: Series) -> Mapping[str, str]:
        try:
            return pl.read_parquet_metadata(self.path(series))
        except FileNotFoundError:
            return {}


def asked_windows(path: Path) -> list[Window]:
    """The windows that a file says a venue was asked for."""
    windows = json.loads(pl.read_parquet_metadata(path).get(ASKED_KEY, "[]"))
    return [Window(from_at, to_at) for from_at, to_at in windows]


def windows_text(windows: Iterable[Window]) -> str:
    """Windows as a file's metadata hold them."""
    return json.dumps([[w.from_at, w.to_at] for w in windows])


def write_rows(path: Path, rows: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> None:
    """Write a Parquet file whole or not at all; raise `DataError` where the disk is full or read-only."""

    def write(temporary: Path) -> None:
        try:
            rows.write_parquet(temporary, compression="zstd", metadata=dict(metadata) if metadata else None)
        except PolarsError as error:  # polars tells the reason in words only
            reason = re.search(r"os error (\d+)", str(error))
            number = int(reason[1]) if reason else errno.EIO
            raise OSError(number, os.strerror(number)) from error

    write_atomically(path, write)


def merge_rows(old: pl.DataFrame, new: pl.DataFrame, *, where: str, replace: bool = False) -> Merge:
    """Join two stretches of one series; refuse values that differ for the same instant, unless `replace`."""
    instant, *values = old.columns
    if old.is_empty() or new.is_empty() or new[instant][0] > old[instant][-1]:
        return Merge(rows=pl.concat([old, new]), added=len(new), changed=0)
    both = old.join(new, on=instant, how="inner", suffix="_new")
    differs = pl.any_horizontal(pl.col(v).ne_missing(pl.col(f"{v}_new")) for v in values)
    conflicts = both.filter(differs).sort(instant)
    if len(conflicts) and not replace:
        raise DataError(
            _conflict(conflicts, instant, values), where=where, remedy="Use --replace to take the new."
        )
    kept = old.join(new, on=instant, how="anti")
    return Merge(
        rows=pl.concat([kept, new]).sort(instant), added=len(new) - len(both), changed=len(conflicts)
    )


def rows_digest(rows: pl.DataFrame) -> str:
    """A hash of the values in order, whatever the file's encoding: what makes two records the same."""
    return digest(*rows.columns, *_arrays(rows))


def rows_checksum(rows: pl.DataFrame) -> str:
    """A CRC of the values in order: cheap enough to be compared whenever a series is read."""
    checksum = 0
    for values in _arrays(rows):
        checksum = zlib.crc32(np.ascontiguousarray(values).data, checksum)
    return f"{checksum:08x}"


_AGAIN = "Delete it with `longshort data delete` and fetch or import it again."


def _arrays(rows: pl.DataFrame) -> Iterator[np.ndarray]:
    return (column.to_physical().to_numpy() for column in rows.get_columns())


def _conflict(conflicts: pl.DataFrame, instant: str, values: list[str]) -> str:
    first = conflicts.row(0, named=True)
    value = next(v for v in values if first[v] != first[f"{v}_new"])
    at = first[instant].strftime("%Y-%m-%d %H:%MZ")
    others = len(conflicts) - 1
    more = f", and {others:,} other row{'s differ' if others > 1 else ' differs'}" if others else ""
    return (
        f"{value} at {at} is {first[value]:g} on record but {first[f'{value}_new']:g} in the new rows{more}."
    )
