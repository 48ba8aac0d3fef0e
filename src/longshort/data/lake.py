"""A folder of plain Parquet files that any tool can read: the market's past as it was imported.

    <lake>/<venue>/bars-<interval>/<SYMBOL>.parquet    opened_at, open, high, low, close, volume
    <lake>/<venue>/funding/<SYMBOL>.parquet            settled_at, rate
    <lake>/<venue>/instruments.json                    tick, lot and the rest, with where they come from

Files are written whole or not at all and carry a hash of their rows. Records change on request only.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.clock import Interval
from longshort.base.errors import DataError
from longshort.base.files import digest, write_atomically

FUNDING = "funding"
BAR_COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
FUNDING_COLUMNS = ("settled_at", "rate")
INSTANT = pl.Datetime("ms", "UTC")
DIGEST_KEY = "longshort.digest"


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
        return cls(venue, f"bars-{interval}", symbol)

    @property
    def interval(self) -> Interval | None:
        """The length of a bar; None for funding."""
        return None if self.kind == FUNDING else Interval.parse(self.kind.removeprefix("bars-"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's columns; the first is its instant."""
        return FUNDING_COLUMNS if self.kind == FUNDING else BAR_COLUMNS

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
            Series(path.parent.parent.name, path.parent.name, path.stem)
            for path in self.root.glob("*/*/*.parquet")
            if re.fullmatch(r"bars-\d+[smhdw]|funding", path.parent.name) and not path.name.startswith(".")
        )
        return sorted(s for s in found if s.venue == (venue or s.venue) and s.kind == (kind or s.kind))

    def read(self, series: Series, *, verify: bool = True) -> pl.DataFrame:
        """The rows of a series; raise `DataError` where they are not those that were written."""
        path = self.path(series)
        if not path.is_file():
            raise DataError(
                "no such series in the lake.", where=str(series), remedy="`longshort check` lists them."
            )
        try:
            rows = pl.read_parquet(path, memory_map=False)
        except (PolarsError, OSError) as error:
            raise DataError("the file is damaged.", where=path, remedy=_AGAIN) from error
        if tuple(rows.columns) != series.columns:
            raise DataError(f"the columns must be {', '.join(series.columns)}.", where=path, remedy=_AGAIN)
        if verify and self.recorded_digest(series) not in ("", rows_digest(rows)):
            raise DataError("the rows are not those that were imported.", where=path, remedy=_AGAIN)
        return rows

    def recorded_digest(self, series: Series) -> str:
        """The hash stored with the rows when they were written; empty where none was."""
        return pl.read_parquet_metadata(self.path(series)).get(DIGEST_KEY, "")

    def merge(self, series: Series, rows: pl.DataFrame, *, replace: bool = False) -> Merge:
        """What the series would hold with new rows, without writing it; raise `DataError` on a conflict."""
        path = self.path(series)
        old = self.read(series) if path.is_file() else rows.clear()
        return merge_rows(old, rows, where=str(series), replace=replace)

    def write(self, series: Series, rows: pl.DataFrame) -> None:
        """Put rows in place of what the series held."""
        if not re.fullmatch(r"[\w.-]+", series.symbol) or not re.fullmatch(r"[\w-]+", series.venue):
            raise DataError(
                "a venue or symbol may hold letters, digits, dots, dashes and underscores only.",
                where=str(series),
            )
        metadata = {DIGEST_KEY: rows_digest(rows)}
        write_atomically(
            self.path(series), lambda path: rows.write_parquet(path, compression="zstd", metadata=metadata)
        )


def merge_rows(old: pl.DataFrame, new: pl.DataFrame, *, where: str, replace: bool = False) -> Merge:
    """Join two stretches of one series; refuse values that differ for the same instant, unless `replace`."""
    instant = old.columns[0]
    values = old.columns[1:]
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
    """A hash of the values in order, whatever the file's encoding."""
    instants, *values = rows.get_columns()
    return digest(*rows.columns, instants.to_physical().to_numpy(), *(v.to_numpy() for v in values))


_AGAIN = "Delete it and import it again with `longshort import`."


def _conflict(conflicts: pl.DataFrame, instant: str, values: list[str]) -> str:
    first = conflicts.row(0, named=True)
    value = next(v for v in values if first[v] != first[f"{v}_new"])
    at = first[instant].strftime("%Y-%m-%d %H:%MZ")
    others = len(conflicts) - 1
    more = f", and {others:,} other row{'s differ' if others > 1 else ' differs'}" if others else ""
    return (
        f"{value} at {at} is {first[value]:g} on record but {first[f'{value}_new']:g} in the new rows{more}."
    )
