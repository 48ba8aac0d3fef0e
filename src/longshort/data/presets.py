"""The public data behind the published results: what to fetch, and hashes that tell whether one has the same.

Hashes only, never data. One is kept per series and calendar month, with its number of rows, so that a difference
is found to the month. Hashed are the lake's rows of a month as `longshort.data.lake.rows_digest` does: the names
of the columns, the instants in milliseconds since 1970, and the values as 64-bit floats. Instants of funding are
rounded to the minute first: a venue adds some milliseconds to the hour, and not the same ones in each of its
answers. To record the hashes anew from a lake that holds the data:

    python -m longshort.data.presets LAKE
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from longshort.base.clock import Interval, parse_instant
from longshort.base.errors import StudyError
from longshort.base.files import write_json
from longshort.base.window import Window
from longshort.data.lake import INSTANT, Lake, Series, rows_digest

MILLISECOND = 1_000_000
RECORD = Path(__file__).with_name("nine_coins.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A fetch with a known outcome: bars and funding of some coins over a window."""

    venue: str
    coins: tuple[str, ...]
    interval: Interval
    window: Window
    record: Path

    @property
    def symbols(self) -> tuple[str, ...]:
        """As ccxt writes them."""
        return tuple(f"{coin}/USDT:USDT" for coin in self.coins)

    @property
    def series(self) -> tuple[Series, ...]:
        """As the lake keeps them."""
        names = [f"{coin}USDT" for coin in self.coins]
        bars = [Series.bars(self.venue, self.interval, name) for name in names]
        return (*bars, *(Series.of(self.venue, "funding", None, name) for name in names))


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "nine-coins": Preset(
            venue="binanceusdm",
            coins=("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "TRX"),
            interval=Interval.parse("1h"),
            window=Window(parse_instant("2023-01-01"), parse_instant("2025-07-01")),
            record=RECORD,
        )
    }
)


def find_preset(name: str) -> Preset:
    """The preset of a name; raise `StudyError` with those there are."""
    if name not in PRESETS:
        raise StudyError(f"{name!r} is no preset.", remedy=f"There is {', '.join(PRESETS)}.")
    return PRESETS[name]


def compare_with_record(preset: Preset, series: Series, rows: pl.DataFrame) -> list[str]:
    """A sentence per month in which rows of the lake are not those on record; none where all are the same."""
    recorded = _recorded(preset, series)
    present = month_digests(rows, preset.window)
    return [
        f"{series.symbol} {series.kind} {month}: " + _difference(recorded.get(month), present.get(month))
        for month in sorted(recorded.keys() | present.keys())
        if recorded.get(month) != present.get(month)
    ]


def month_digests(rows: pl.DataFrame, window: Window) -> dict[str, tuple[int, str]]:
    """The number of rows and their hash per calendar month, inside a window."""
    instant = pl.col(rows.columns[0])
    opens, ends = (pl.lit(at // MILLISECOND).cast(INSTANT) for at in (window.from_at, window.to_at))
    canonical = rows.with_columns(instant.dt.round("1m")) if rows.columns[0] == "settled_at" else rows
    inside = canonical.filter(instant.is_between(opens, ends, closed="left")).sort(instant)
    months = inside.group_by(instant.dt.strftime("%Y-%m").alias("month"), maintain_order=True)
    return {str(month): (len(part), rows_digest(part)) for (month,), part in months}


def record(preset: Preset, lake: Lake) -> None:
    """Write the hashes of a lake's rows to the preset's file."""
    hashes = {
        _key(series): {
            month: f"{count} {digest}"
            for month, (count, digest) in month_digests(lake.read(series), preset.window).items()
        }
        for series in preset.series
    }
    write_json(preset.record, hashes)


def _recorded(preset: Preset, series: Series) -> dict[str, tuple[int, str]]:
    table: dict[str, dict[str, str]] = json.loads(preset.record.read_text(encoding="utf-8"))
    months = table.get(_key(series), {})
    return {month: (int(entry.split()[0]), entry.split()[1]) for month, entry in months.items()}


def _key(series: Series) -> str:
    return f"{series.kind}/{series.symbol}"


def _difference(recorded: tuple[int, str] | None, present: tuple[int, str] | None) -> str:
    if recorded is None:
        return "nothing is on record, so its rows cannot be compared."
    if present is None:
        return f"its {recorded[0]} rows are missing."
    if recorded[0] != present[0]:
        return f"{present[0]} rows, but {recorded[0]} are on record."
    return "as many rows as on record, but other values."


if __name__ == "__main__":
    record(PRESETS["nine-coins"], Lake(Path(sys.argv[1])))
