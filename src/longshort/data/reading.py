"""Other people's files become rows with our column names, split by coin.

The only place that knows how others name columns, write time and call their files. It does not judge values.
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.errors import DataError
from longshort.base.instrument import lake_symbol
from longshort.data.instruments import QUOTES
from longshort.data.lake import INSTANT

GENERIC_TIMES = ("ts", "timestamp", "time", "datetime", "date", "unix", "calc_time")
BAR_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "opened_at": ("opened_at", "open_time", "opentime", *GENERIC_TIMES),
        "open": ("open", "o"),
        "high": ("high", "h"),
        "low": ("low", "l"),
        "close": ("close", "c"),
        "volume": ("volume", "vol", "v", "base_volume"),
    }
)
FUNDING_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "settled_at": ("settled_at", "funding_time", "fundingtime", *GENERIC_TIMES),
        "rate": ("rate", "funding_rate", "fundingrate", "last_funding_rate"),
    }
)
SYMBOL_ALIASES = ("symbol", "ticker", "pair", "instrument", "coin")
BINANCE_ARCHIVE = ("open_time", "open", "high", "low", "close", "volume")  # its older files have no header
EpochUnit = Literal["s", "ms", "us", "ns"]
EPOCH_UNITS: tuple[tuple[float, EpochUnit], ...] = (
    (1e11, "s"),
    (1e14, "ms"),
    (1e17, "us"),
    (float("inf"), "ns"),
)
NO_VOLUME = "Import bars of trades: marks and indices, which have no volume, are not bars."
EXAMPLE_NAME = "BTCUSDT-1h.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of one coin in one file; `row` counts the file's rows from 1, its header aside."""

    path: Path
    symbol: str
    is_funding: bool
    rows: pl.DataFrame


def read_tables(path: Path) -> list[Table]:
    """Read a Parquet or CSV file of bars or funding; raise `DataError` where it is neither."""
    frame = _read(path)
    if frame.is_empty():
        raise DataError("there are no rows.", where=path)
    names = {name.strip().lower().replace(" ", "_"): name for name in reversed(frame.columns)}
    is_funding = _is_funding(names, path)
    chosen = _match(names, FUNDING_ALIASES if is_funding else BAR_ALIASES, path)
    label = next((names[alias] for alias in SYMBOL_ALIASES if alias in names), None)
    symbols = (
        frame[label].cast(pl.String) if label else pl.repeat(symbol_in_name(path), len(frame), eager=True)
    )
    if symbols.null_count():
        raise DataError("some rows name no symbol.", where=path, remedy="Fill its symbol column.")
    rows = frame.select(pl.col(name).alias(ours) for ours, name in chosen.items()).with_columns(
        symbols.alias("symbol")
    )
    rows = _instants(rows.with_row_index("row", offset=1), next(iter(chosen)), path)
    return [
        Table(path=path, symbol=lake_symbol(str(key)), is_funding=is_funding, rows=group.drop("symbol"))
        for (key,), group in rows.group_by("symbol", maintain_order=True)
    ]


def symbol_in_name(path: Path) -> str:
    """The one symbol that a file's name holds; raise `DataError` for none or several.

    >>> symbol_in_name(Path("binance_BTCUSDT_perp_1h.parquet")), symbol_in_name(Path("BTC-PERP_1m.csv"))
    ('BTCUSDT', 'BTC-PERP')
    """
    stem = path.name.partition(".")[0].upper()
    pattern = rf"([A-Z0-9]{{1,12}}-?(?:{'|'.join(QUOTES)}|PERP))(?=$|-)"
    found = {match[1] for part in re.split(r"[_\s]", stem) if (match := re.match(pattern, part))}
    if len(found) != 1:
        names = " and ".join(sorted(found)) or "none"
        raise DataError(
            f"no symbol column, and its name holds {names}.",
            where=path,
            remedy=f"Name the file for one coin, like {EXAMPLE_NAME}, or add a symbol column.",
        )
    return found.pop()


def _read(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise DataError("no such file.", where=path)
    if path.is_dir():
        raise DataError("it is a folder.", where=path, remedy=f"Name its files: {path}/*.parquet.")
    if path.suffix in {".parquet", ".pq"}:
        try:
            return pl.read_parquet(path, memory_map=False)
        except (PolarsError, OSError) as error:
            raise DataError(
                "not a Parquet file.", where=path, remedy="Save it again as Parquet or CSV."
            ) from error
    if path.suffixes[-1:] == [".csv"] or path.suffixes[-2:] == [".csv", ".gz"]:
        return _read_csv(path)
    raise DataError("neither .parquet nor .csv nor .csv.gz.", where=path, remedy="Save it as one of these.")


def _read_csv(path: Path) -> pl.DataFrame:
    try:
        body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        start = body[:200].decode("utf-8-sig").partition("\n")[0]
        if re.match(r"\d{9,},", start):
            frame = pl.read_csv(body, has_header=False, infer_schema_length=None)
            return frame.rename(dict(zip(frame.columns, BINANCE_ARCHIVE, strict=False)))
        return pl.read_csv(body, infer_schema_length=None)
    except (PolarsError, OSError, EOFError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"not a readable CSV file ({reason}).", where=path) from error


def _is_funding(names: Mapping[str, str], path: Path) -> bool:
    has_rate = any(alias in names for alias in FUNDING_ALIASES["rate"])
    has_price = any(
        alias in names for column in ("open", "high", "low", "close") for alias in BAR_ALIASES[column]
    )
    if not has_rate and not has_price:
        raise DataError(
            f"neither bars nor funding: its columns are {', '.join(names.values())}.",
            where=path,
            remedy="Bars have a time, open, high, low, close and volume; funding has a time and a rate.",
        )
    return has_rate and not has_price


def _match(names: Mapping[str, str], aliases: Mapping[str, tuple[str, ...]], path: Path) -> dict[str, str]:
    chosen = {ours: next((names[a] for a in theirs if a in names), None) for ours, theirs in aliases.items()}
    missing = [ours for ours, name in chosen.items() if name is None]
    if missing:
        known = " or ".join(aliases[missing[0]])
        remedy = NO_VOLUME if missing == ["volume"] else f"Name it {known}."
        raise DataError(f"there is no {' and no '.join(missing)} column.", where=path, remedy=remedy)
    return {ours: name for ours, name in chosen.items() if name is not None}


def _instants(rows: pl.DataFrame, column: str, path: Path) -> pl.DataFrame:
    """Whatever form time has becomes milliseconds UTC; a time without a zone counts as UTC."""
    times = rows[column]
    if times.null_count():
        row = rows["row"][times.is_null().arg_true()[0]]
        raise DataError(f"row {row:,} has no time.", where=path)
    if times.dtype == pl.Date:
        times = times.cast(pl.Datetime("ms"))
    elif times.dtype == pl.String:
        times = _parse_texts(times, path)
    elif times.dtype.is_numeric():
        times = _parse_epochs(times, path)
    if not isinstance(times.dtype, pl.Datetime):
        raise DataError(f"column {column} holds {times.dtype}, not time.", where=path)
    if times.dtype.time_zone is None:
        times = times.dt.replace_time_zone("UTC")
    return rows.with_columns(times.dt.convert_time_zone("UTC").cast(INSTANT).alias(column))


def _parse_epochs(times: pl.Series, path: Path) -> pl.Series:
    extremes = times.cast(pl.Float64).to_numpy()[[times.arg_min() or 0, times.arg_max() or 0]]
    units: set[EpochUnit] = {next(unit for limit, unit in EPOCH_UNITS if abs(v) < limit) for v in extremes}
    if len(units) > 1:
        raise DataError(
            f"times are in {' and in '.join(sorted(units))}.",
            where=path,
            remedy="Write all in one unit of time.",
        )
    return pl.from_epoch(times.cast(pl.Int64), units.pop()).cast(pl.Datetime("ms"))


def _parse_texts(times: pl.Series, path: Path) -> pl.Series:
    parsed: list[datetime] = []
    for row, text in enumerate(times.to_list(), start=1):
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError as error:
            raise DataError(
                f"row {row:,}: {text!r} is not a time.",
                where=path,
                remedy="Write it like 2024-12-31T08:00:00Z.",
            ) from error
        parsed.append(at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
    return pl.Series(times.name, parsed, dtype=pl.Datetime("us", "UTC"))
