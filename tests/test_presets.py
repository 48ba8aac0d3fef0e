"""The public data behind the published results: what is fetched, and that a difference is found to the month."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest

from longshort.base.errors import StudyError
from longshort.data.lake import INSTANT, Lake, Series
from longshort.data.presets import PRESETS, Preset, compare_with_record, find_preset, record

NINE = PRESETS["nine-coins"]
SOL, SOL_FUNDING = Series("binanceusdm", "bars-1h", "SOLUSDT"), Series("binanceusdm", "funding", "SOLUSDT")


@pytest.fixture(scope="module")
def bars(real_data: Path) -> pl.DataFrame:
    rows = pl.read_parquet(real_data / "ohlcv_1h" / "binance_SOLUSDT_perp_1h.parquet")
    return rows.rename({"ts": "opened_at"})


@pytest.fixture(scope="module")
def funding(real_data: Path) -> pl.DataFrame:
    rows = pl.read_parquet(real_data / "funding" / "binance_SOLUSDT_funding.parquet")
    return rows.rename({"ts": "settled_at"})


def in_month(instant: str, month: str) -> pl.Expr:
    return pl.col(instant).dt.strftime("%Y-%m") == month


def test_the_preset_fetches_the_coins_of_the_benchmark() -> None:
    place = Path(__file__).parents[1] / "benchmarks" / "nine_coins.py"
    spec = importlib.util.spec_from_file_location("nine_coins", place)
    assert spec
    assert spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)

    assert NINE.coins == benchmark.COINS
    assert NINE.symbols[0] == "BTC/USDT:USDT"
    assert len(NINE.series) == 18


def test_the_data_behind_the_results_is_the_recorded_one(bars: pl.DataFrame, funding: pl.DataFrame) -> None:
    assert compare_with_record(NINE, SOL, bars) == []
    assert compare_with_record(NINE, SOL_FUNDING, funding) == []


def test_every_difference_is_named_by_its_month(bars: pl.DataFrame) -> None:
    opened_at = pl.col("opened_at")
    spike = pl.when(opened_at == pl.datetime(2024, 3, 5, 7, time_zone="UTC")).then(999.0).otherwise("close")
    changed = bars.with_columns(spike.alias("close")).filter(
        ~in_month("opened_at", "2023-02"), opened_at != pl.datetime(2025, 6, 30, 23, time_zone="UTC")
    )

    assert compare_with_record(NINE, SOL, changed) == [
        "SOLUSDT bars-1h 2023-02: its 672 rows are missing.",
        "SOLUSDT bars-1h 2024-03: as many rows as on record, but other values.",
        "SOLUSDT bars-1h 2025-06: 719 rows, but 720 are on record.",
    ]


def test_milliseconds_that_a_venue_adds_to_a_settlement_do_not_count_but_hours_do(
    funding: pl.DataFrame,
) -> None:
    exact = funding.with_columns(pl.col("settled_at").dt.round("1s").cast(INSTANT))
    shifted = funding.with_columns(pl.col("settled_at").dt.offset_by("4h"))

    assert compare_with_record(NINE, SOL_FUNDING, exact) == []
    assert len(compare_with_record(NINE, SOL_FUNDING, shifted)) == 30


def test_rows_outside_the_window_are_not_compared(bars: pl.DataFrame) -> None:
    later = bars.tail(24).with_columns(pl.col("opened_at").dt.offset_by("1d"))

    assert compare_with_record(NINE, SOL, pl.concat([bars, later])) == []


def test_what_was_recorded_agrees_with_its_lake(
    tmp_path: Path, bars: pl.DataFrame, funding: pl.DataFrame
) -> None:
    preset = Preset(
        venue="binanceusdm",
        coins=("SOL",),
        interval=NINE.interval,
        window=NINE.window,
        record=tmp_path / "sol.json",
    )
    lake = Lake(tmp_path / "lake")
    lake.write(SOL, bars)
    lake.write(SOL_FUNDING, funding)

    record(preset, lake)

    assert compare_with_record(preset, SOL, lake.read(SOL)) == []
    assert compare_with_record(preset, SOL_FUNDING, lake.read(SOL_FUNDING)) == []
    assert compare_with_record(preset, Series("binanceusdm", "bars-1h", "XUSDT"), bars.head(1)) == [
        "XUSDT bars-1h 2023-01: nothing is on record, so its rows cannot be compared."
    ]


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(StudyError, match=r"'ten-coins' is no preset\. There is nine-coins"):
        find_preset("ten-coins")
