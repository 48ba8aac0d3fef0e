import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from longshort.data.check import Certificate, check_lake, check_series
from longshort.data.importer import import_files
from longshort.data.lake import INSTANT, Lake, Series
from longshort.data.reading import symbol_in_name
from longshort.data.simulator import Simulation

SERIES = Series("embedded", "bars-1h", "SIM01USDT")
FUNDING = Series("embedded", "funding", "SIM01USDT")


@pytest.fixture
def rows(simulation: Simulation) -> pl.DataFrame:
    one = simulation.bars[:1_000].coins([0]).to_polars()
    return one.select(
        pl.col("closed_at").dt.offset_by("-1h").cast(INSTANT).alias("opened_at"),
        "open",
        "high",
        "low",
        "close",
        "volume",
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def certify(lake: Lake, rows: pl.DataFrame, series: Series = SERIES) -> Certificate:
    lake.write(series, rows)
    return check_series(lake, series)


def change(rows: pl.DataFrame, first: int, last: int, **values: object) -> pl.DataFrame:
    inside = pl.arange(0, pl.len()).is_between(first, last)
    return rows.with_columns(
        pl.when(inside).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


def test_a_whole_series_is_clean(lake: Lake, rows: pl.DataFrame) -> None:
    found = certify(lake, rows)

    assert (found.grade, found.reasons, found.rows, found.missing) == ("clean", (), 1_000, 0)
    assert (found.first, found.last) == ("2024-01-01 00:00Z", "2024-02-11 15:00Z")


def test_gaps_are_counted_and_placed(lake: Lake, rows: pl.DataFrame) -> None:
    absent = pl.arange(0, pl.len()).is_in([10, 11, 12, 500])

    found = certify(lake, rows.filter(~absent))

    assert found.grade == "usable"
    assert found.reasons == ("4 of 1,000 bars missing in 2 gaps",)
    assert (found.gaps, found.missing, found.longest_gap) == (2, 4, 3)
    assert found.gap_places == ("2024-01-01 10:00Z", "2024-01-21 20:00Z")


def test_a_series_with_more_holes_than_a_study_can_bear_is_broken(lake: Lake, rows: pl.DataFrame) -> None:
    assert certify(lake, rows.filter(pl.arange(0, pl.len()) % 10 != 5)).grade == "broken"


@pytest.mark.parametrize(("last", "grade"), [(104, "usable"), (299, "broken")])
def test_a_price_that_stands_still_without_a_trade_is_told(
    lake: Lake, rows: pl.DataFrame, last: int, grade: str
) -> None:
    price = rows["close"][100]
    still = change(rows, 100, last, open=price, high=price, low=price, close=price, volume=0.0)

    found = certify(lake, still)

    assert found.grade == grade
    assert f"the price stands still for {last - 100} bars without a trade" in found.reasons
    assert found.zero_volume == last - 99


def test_a_few_bars_without_a_trade_are_told(lake: Lake, rows: pl.DataFrame) -> None:
    assert certify(lake, change(rows, 7, 8, volume=0.0)).reasons == ("2 bars without a trade",)


def test_a_spike_that_the_next_bar_takes_back_is_an_odd_move(lake: Lake, rows: pl.DataFrame) -> None:
    price = rows["close"][400] * 1.25

    found = certify(lake, change(rows, 400, 400, close=price, high=price))

    assert found.grade == "usable"
    assert found.outliers == 1
    assert found.outlier_places == ("2024-01-17 16:00Z",)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"high": 1.0}, "1 bar with a high below its low"),
        ({"low": -1.0}, "1 bar with a low that is not positive"),
        ({"close": float("nan")}, "1 bar with no close"),
        ({"volume": float("inf")}, "1 bar with an infinite volume"),
    ],
)
def test_what_no_market_can_print_breaks_a_series(
    lake: Lake, rows: pl.DataFrame, values: dict[str, float], reason: str
) -> None:
    found = certify(lake, change(rows, 50, 50, **values))

    assert found.grade == "broken"
    assert reason in found.reasons


def test_rows_that_are_not_those_imported_break_a_series(lake: Lake, rows: pl.DataFrame) -> None:
    lake.write(SERIES, rows)
    metadata = {"longshort.digest": pl.read_parquet_metadata(lake.path(SERIES))["longshort.digest"]}
    rows.with_columns(volume=pl.col("volume") * 2).write_parquet(lake.path(SERIES), metadata=metadata)

    found = check_series(lake, SERIES)

    assert (found.grade, found.reasons) == ("broken", ("the rows are not those that were imported",))


def test_a_file_from_elsewhere_has_no_hash_and_is_usable(lake: Lake, rows: pl.DataFrame) -> None:
    lake.write(SERIES, rows)
    rows.write_parquet(lake.path(SERIES))

    assert check_series(lake, SERIES).reasons == ("no hash on record",)


@pytest.mark.parametrize("body", [b"", b"PAR1 and no more"])
def test_a_file_that_cannot_be_read_is_broken_and_stops_nothing(
    lake: Lake, rows: pl.DataFrame, body: bytes
) -> None:
    lake.write(SERIES, rows)
    lake.write(Series("embedded", "bars-1h", "SIM02USDT"), rows)
    lake.path(SERIES).write_bytes(body)

    assert [c.grade for c in check_lake(lake)] == ["broken", "clean"]


def test_times_that_repeat_break_a_series(lake: Lake, rows: pl.DataFrame) -> None:
    assert certify(lake, pl.concat([rows[:5], rows[4:]])).grade == "broken"


def test_holes_in_funding_are_counted_and_placed(lake: Lake) -> None:
    settled_at = pl.Series("settled_at", [1_704_067_200_000 + 8 * 3_600_000 * k + 7 for k in (1, 2, 3, 6, 7)])
    rows = pl.DataFrame([settled_at.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")])

    found = certify(lake, rows.with_columns(rate=pl.lit(1e-4)), FUNDING)

    assert (found.grade, found.reasons) == ("usable", ("2 settlements missing in 1 hole",))
    assert (found.missing, found.gap_places) == (2, ("2024-01-02 08:00Z",))


def test_real_series_get_the_grades_that_their_known_defects_deserve(real_data: Path, lake: Lake) -> None:
    files = {
        "ohlcv_1h/binance_ETHUSDT_perp_1h.parquet": ("clean", 0, 0),
        "raw/binance_FTTUSDT_perp_1h_delisted_raw.parquet": ("broken", 0, 23_035),
        "raw/bitget_BNBUSDT_perp_1h_raw.parquet": ("broken", 196, 5_078),
        "raw/bitget_BTCUSDT_perp_1h_raw.parquet": ("usable", 196, 28),
    }
    import_files([real_data / name for name in files], lake)

    found = {c.symbol: (c.grade, c.missing, c.zero_volume) for c in check_lake(lake)}

    assert found == {symbol_in_name(Path(name)): expected for name, expected in files.items()}


def test_a_certificate_is_plain_json(lake: Lake, rows: pl.DataFrame) -> None:
    from dataclasses import asdict

    assert json.loads(json.dumps(asdict(certify(lake, rows))))["grade"] == "clean"
    assert np.isfinite(certify(lake, rows).rows)
