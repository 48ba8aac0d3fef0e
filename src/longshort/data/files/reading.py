"""Other people's files become rows with our column names, split by coin.

Parquet, CSV and JSON arrays of objects, as venues answer them. It does not judge values.
"""

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.errors import DataError
from longshort.base.instrument import lake_symbol
from longshort.data.files.columns import SYMBOLS, match_columns, plain_names, read_instants, tell_measure
from longshort.data.files.sources import stock_in_name, stock_symbol, symbol_in_name
from longshort.data.lake import COLUMNS, Measure

BINANCE_ARCHIVE = ("open_time", "open", "high", "low", "close", "volume")  # its older files have no header
SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz", ".json", ".json.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of one coin in one file; `row` counts the file's rows from 1, its header aside."""

    path: Path
    symbol: str
    measure: Measure
    rows: pl.DataFrame

    @property
    def instant(self) -> str:
        """The column that says when."""
        return COLUMNS[self.measure][0]


def read_tables(path: Path, *, measure: Measure | None = None, stocks: bool = False) -> list[Table]:
    """Read a file of one measure, told by its columns unless given; raise `DataError` where it is none.

    `stocks`: rows are days of sessions, named by stocks' symbols.
    """
    return split_tables(read_frame(path), path, measure=measure, stocks=stocks)


def read_frame(path: Path) -> pl.DataFrame:
    """The rows of a file as they stand there; raise `DataError` where it cannot be read, or is empty."""
    if not path.exists():
        raise DataError("no such file.", where=path)
    if path.is_dir():
        raise DataError("it is a folder.", where=path, remedy=f"Name its files: {path}/*.parquet.")
    if not path.name.endswith(SUFFIXES):
        raise DataError(
            "neither .parquet nor .csv nor .json (nor .gz of those).",
            where=path,
            remedy="Save it as one of these.",
        )
    frame = _read_parquet(path) if path.suffix in {".parquet", ".pq"} else _read_text(path)
    if frame.is_empty():
        raise DataError("there are no rows.", where=path)
    return frame


def split_tables(
    frame: pl.DataFrame, path: Path, *, measure: Measure | None = None, stocks: bool = False
) -> list[Table]:
    """The rows of a file by coin, with our columns."""
    names = plain_names(frame.columns)
    measured = measure or tell_measure(names, path)
    chosen = match_columns(names, measured, path)
    spell = stock_symbol if stocks else lake_symbol
    rows = frame.select(pl.col(name).alias(ours) for ours, name in chosen.items())
    rows = rows.with_columns(_symbols(frame, names, path, stocks=stocks)).with_row_index("row", offset=1)
    rows = read_instants(rows, COLUMNS[measured][0], path, as_dates=stocks)
    return [
        Table(path=path, symbol=spell(str(key)), measure=measured, rows=group.drop("symbol"))
        for (key,), group in rows.group_by("symbol", maintain_order=True)
    ]


def _symbols(frame: pl.DataFrame, names: dict[str, str], path: Path, *, stocks: bool) -> pl.Series:
    label = next((names[alias] for alias in SYMBOLS if alias in names), None)
    if label is None:
        symbol = stock_in_name(path) if stocks else symbol_in_name(path)
        return pl.repeat(symbol, len(frame), eager=True).alias("symbol")
    symbols = frame[label].cast(pl.String)
    if symbols.null_count():
        raise DataError("some rows name no symbol.", where=path, remedy="Fill its symbol column.")
    return symbols.alias("symbol")


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, memory_map=False)
    except (PolarsError, OSError) as error:
        raise DataError(
            "not a Parquet file.", where=path, remedy="Save it again as Parquet or CSV."
        ) from error


def _read_text(path: Path) -> pl.DataFrame:
    kind = "JSON" if ".json" in path.suffixes else "CSV"
    try:
        body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return _parse_json(body) if kind == "JSON" else _parse_csv(body)
    except (PolarsError, OSError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"not a readable {kind} file ({reason}).", where=path) from error


def _parse_csv(body: bytes) -> pl.DataFrame:
    start = body[:200].decode("utf-8-sig").partition("\n")[0]
    if re.match(r"\d{9,},", start):
        frame = pl.read_csv(body, has_header=False, infer_schema_length=None)
        return frame.rename(dict(zip(frame.columns, BINANCE_ARCHIVE, strict=False)))
    return pl.read_csv(body, infer_schema_length=None)


def _parse_json(body: bytes) -> pl.DataFrame:
    answer = json.loads(body)
    rows = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("no array of objects")
    return pl.from_dicts(rows, infer_schema_length=None) if rows else pl.DataFrame()
