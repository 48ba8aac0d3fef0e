"""How other people name columns and write time; here they become ours. No value is judged."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import polars as pl

from longshort.base.errors import DataError
from longshort.data.lake import COLUMNS, INSTANT, Measure

GENERIC_TIMES = ("ts", "timestamp", "time", "datetime", "date", "unix", "calc_time")
SYMBOLS = ("symbol", "ticker", "pair", "instrument", "coin")
PRICES = ("open", "high", "low", "close")
ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "opened_at": ("opened_at", "open_time", "opentime", *GENERIC_TIMES),
        "open": ("open", "o"),
        "high": ("high", "h"),
        "low": ("low", "l"),
        "close": ("close", "c"),
        "volume": ("volume", "vol", "v", "base_volume"),
        "settled_at": ("settled_at", "funding_time", "fundingtime", *GENERIC_TIMES),
        "rate": ("rate", "funding_rate", "fundingrate", "last_funding_rate"),
        "sampled_at": ("sampled_at", "create_time", *GENERIC_TIMES),
        "open_interest": ("open_interest", "openinterest", "sum_open_interest", "sumopeninterest"),
    }
)
KINDS = (
    "Bars have a time, open, high, low, close and volume; funding a time and a rate; "
    "open interest a time and an open_interest."
)
EpochUnit = Literal["s", "ms", "us", "ns"]
EPOCH_UNITS: tuple[tuple[float, EpochUnit], ...] = (
    (1e11, "s"),
    (1e14, "ms"),
    (1e17, "us"),
    (float("inf"), "ns"),
)


def plain_names(columns: Sequence[str]) -> dict[str, str]:
    """The columns by their names in small letters, spaces as underscores; of two alike the first counts."""
    return {name.strip().lower().replace(" ", "_"): name for name in reversed(columns)}


def find_column(names: Mapping[str, str], ours: str) -> str | None:
    """What a file calls a column of ours, or None."""
    return next((names[alias] for alias in ALIASES[ours] if alias in names), None)


def tell_measure(names: Mapping[str, str], path: Path) -> Measure:
    """What a file measures, by its columns; raise `DataError` where they tell nothing or two things."""
    if any(find_column(names, price) for price in PRICES):
        return "bars"
    ours: dict[Measure, str] = {"funding": "rate", "open-interest": "open_interest"}
    found: list[Measure] = [measure for measure, column in ours.items() if find_column(names, column)]
    if not found:
        raise DataError(
            f"neither bars nor funding nor open interest: its columns are {', '.join(names.values())}.",
            where=path,
            remedy="Aggregate trades to bars first." if "price" in names else KINDS,
        )
    if len(found) > 1:
        raise DataError(
            "it holds both funding and open interest.",
            where=path,
            remedy="Import it twice, with --as funding and with --as open-interest.",
        )
    return found[0]


def match_columns(names: Mapping[str, str], measure: Measure, path: Path) -> dict[str, str]:
    """What the file calls each column of a measure; raise `DataError` where one is missing."""
    chosen = {ours: find_column(names, ours) for ours in COLUMNS[measure]}
    missing = [ours for ours, name in chosen.items() if name is None]
    if missing == ["volume"]:
        raise DataError(
            "there is no volume column.",
            where=path,
            remedy="Marks and indices have none: add --as mark or --as index. Bars of trades need it.",
        )
    if {"open", "high", "low"} <= {*missing} and chosen["close"]:
        raise DataError(
            "closes alone are no bars: their open, range and volume are not known, and are not made up.",
            where=path,
            remedy="Import a file with open, high, low, close and volume.",
        )
    if missing:
        raise DataError(
            f"there is no {' and no '.join(missing)} column.",
            where=path,
            remedy=f"Name it {' or '.join(ALIASES[missing[0]])}.",
        )
    return {ours: name for ours, name in chosen.items() if name is not None}


def read_instants(rows: pl.DataFrame, column: str, path: Path, *, as_dates: bool = False) -> pl.DataFrame:
    """Whatever form time has becomes milliseconds UTC; a time without a zone counts as UTC.

    With `as_dates` it becomes 00:00 UTC of its date in the zone that it is written in.
    """
    times = rows[column]
    if times.null_count():
        row = rows["row"][times.is_null().arg_true()[0]]
        raise DataError(f"row {row:,} has no time.", where=path)
    if times.dtype == pl.String:
        times = _parse_texts(times, path, as_dates=as_dates)
    elif times.dtype.is_numeric():
        times = _parse_epochs(times, path)
    if as_dates and isinstance(times.dtype, pl.Datetime):
        times = times.dt.date()
    if times.dtype == pl.Date:
        times = times.cast(pl.Datetime("ms"))
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


def _parse_texts(times: pl.Series, path: Path, *, as_dates: bool) -> pl.Series:
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
        parsed.append(at.astimezone(UTC) if at.tzinfo and not as_dates else at.replace(tzinfo=UTC))
    return pl.Series(times.name, parsed, dtype=pl.Datetime("us", "UTC"))
