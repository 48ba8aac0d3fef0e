"""What the bytes of one file of Binance's archive say, in the lake's columns.

One CSV file per zip, with or without a header, times in milli- or microseconds. Nothing is repaired: a file that
is not what its name says raises `DataError`.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.clock import SECOND, Interval
from longshort.base.errors import DataError
from longshort.connect.archive_files import MILLISECOND, SAMPLE, ArchiveFile
from longshort.connect.rows import INSTANT

KLINES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
FUNDING = "calc_time,funding_interval_hours,last_funding_rate"
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
MICROSECONDS_FROM = 10**14  # a time this large counts microseconds: milliseconds reach it in the year 5138
LARGEST_CSV = 256 * 2**20  # bytes; a month of one-minute bars has 6 million
STARTS_LABELLED_FROM = 1_782_345_600 * SECOND  # 2026-06-25: USD-M samples are stamped 5 minutes early since


def read_archive_file(body: bytes, file: ArchiveFile) -> pl.DataFrame:
    """The rows of a zip in the lake's columns, sorted and unique; `DataError` where it is not what it says."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            (member,) = archive.infolist()
            if member.file_size > LARGEST_CSV:
                raise _refused(file, f"it unpacks to {member.file_size:,} bytes")
            text = archive.read(member)
        rows = _READERS[file.series.kind](text, file)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError) as error:
        raise _refused(file, "it is not a zip of one file") from error
    except PolarsError as error:
        raise _refused(file, "it is not a table of numbers") from error
    _refuse_foreign_rows(rows, file)
    instant = rows.columns[0]
    if rows[instant].is_sorted() and rows[instant].n_unique() == len(rows):
        return rows
    return rows.unique(instant, keep="last", maintain_order=True).sort(instant)


def _read_klines(text: bytes, file: ArchiveFile) -> pl.DataFrame:
    instant, *values = file.series.columns
    rows = _table(text, KLINES, {"open_time": pl.Int64, **dict.fromkeys(values, pl.Float64)}, file)
    return rows.select(_instant("open_time").alias(instant), *values)


def _read_funding(text: bytes, file: ArchiveFile) -> pl.DataFrame:
    rows = _table(text, FUNDING, {"calc_time": pl.Int64, "last_funding_rate": pl.Float64}, file)
    return rows.select(_instant("calc_time").alias("settled_at"), pl.col("last_funding_rate").alias("rate"))


def _read_metrics(text: bytes, file: ArchiveFile) -> pl.DataFrame:
    """Samples on the series' grid; blank ones are left out, so that they are reported as missing."""
    rows = _table(text, METRICS, {"create_time": pl.String, "sum_open_interest": pl.Float64}, file)
    rows = rows.filter(pl.col("sum_open_interest").is_finite())
    stamped_at = rows["create_time"].str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms").to_physical()
    opens, ends = file.span.from_at // MILLISECOND, file.span.to_at // MILLISECOND
    starts = ends not in stamped_at and (opens in stamped_at or _labels_starts(file))
    taken_at = stamped_at + (SAMPLE // MILLISECOND if starts else 0)
    step = (file.series.interval or Interval(SAMPLE)).ns // MILLISECOND
    kept = (taken_at % step == 0) & (taken_at != opens)  # the sample of midnight is in the file before
    return rows.select(
        taken_at.cast(INSTANT).alias("sampled_at"), pl.col("sum_open_interest").alias("open_interest")
    ).filter(kept)


def _labels_starts(file: ArchiveFile) -> bool:
    """True where a sample taken at 00:05 is stamped 00:00: COIN-M always, USD-M since June 2026.

    Read as it stands, such a stamp would tell the open interest five minutes before it was known.
    """
    return file.series.market == "cm" or file.span.from_at >= STARTS_LABELLED_FROM


_READERS = MappingProxyType(
    {
        "bars": _read_klines,
        "mark": _read_klines,
        "index": _read_klines,
        "funding": _read_funding,
        "open-interest": _read_metrics,
    }
)


def _header(text: bytes) -> list[str]:
    """The names in the first line; none where it already holds numbers."""
    first = text[:1_000].partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    names = next(csv.reader([first]), [])
    return [] if not names or names[0][:1].isdigit() else names


def _table(text: bytes, names: str, types: Mapping[str, Any], file: ArchiveFile) -> pl.DataFrame:
    """The named columns of a CSV file, whose first line may be missing: then `names` are those of its columns."""
    header = _header(text)
    if header and not types.keys() <= set(header):
        raise _refused(file, f"its columns are {', '.join(header)}")
    whole = text if header else f"{names}\n".encode() + text
    return pl.read_csv(whole, columns=list(types), schema_overrides=types)


def _instant(column: str) -> pl.Expr:
    at = pl.col(column)
    return pl.when(at > MICROSECONDS_FROM).then(at // 1_000).otherwise(at).cast(INSTANT)


def _refuse_foreign_rows(rows: pl.DataFrame, file: ArchiveFile) -> None:
    """Rows belong to the file's own period and grid, and hold numbers."""
    at = rows.get_column(rows.columns[0]).to_physical()
    closed = file.series.kind == "open-interest"
    opens, ends = file.span.from_at // MILLISECOND, file.span.to_at // MILLISECOND
    if at.null_count() or not at.is_between(opens, ends, closed="right" if closed else "left").all():
        raise _refused(file, "some of its rows are not of its own period")
    if file.series.interval and (at % (file.series.interval.ns // MILLISECOND) != 0).any():
        raise _refused(file, f"some of its rows are not on the grid of {file.series.interval}")
    if not rows.select(pl.all_horizontal(pl.col(pl.Float64).is_finite()).fill_null(value=False).all()).item():
        raise _refused(file, "some of its cells hold no number")


def _refused(file: ArchiveFile, reason: str) -> DataError:
    return DataError(f"the archive's file cannot be used: {reason}.", where=file.name)
