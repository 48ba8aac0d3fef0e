import errno
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from longshort.base.clock import HOUR, Interval, parse_instant
from longshort.base.errors import DataError
from longshort.base.settings import DataSettings
from longshort.data.instruments import infer_instrument, read_instruments, record_inferred, smallest_step
from longshort.data.lake import INSTANT, Lake, Series, rows_digest
from longshort.data.market import find_lake, load_bars

BTC = Series("binanceusdm", "bars-1h", "BTCUSDT")
FUNDING = Series("binanceusdm", "funding", "BTCUSDT")


def make_rows(hours: list[int], *, price: float = 100.0) -> pl.DataFrame:
    opened_at = pl.from_epoch(pl.Series("opened_at", [1_704_067_200 + 3600 * h for h in hours]), "s")
    close = [price + 0.5 * h for h in hours]
    values = {"open": close, "high": [c + 1 for c in close], "low": [c - 1 for c in close], "close": close}
    return pl.DataFrame([opened_at.dt.replace_time_zone("UTC").cast(INSTANT)]).with_columns(
        *(pl.Series(name, v) for name, v in values.items()), pl.lit(12.5).alias("volume")
    )


def make_funding(hours: list[int]) -> pl.DataFrame:
    return make_rows(hours).select(pl.col("opened_at").alias("settled_at"), pl.lit(1e-4).alias("rate"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.write(BTC, make_rows(list(range(24))))
    return lake


def test_what_is_written_is_read_back_by_us_and_by_any_parquet_reader(lake: Lake) -> None:
    rows = lake.read(BTC)

    assert rows.equals(make_rows(list(range(24))))
    assert pl.read_parquet(lake.root / "binanceusdm" / "bars-1h" / "BTCUSDT.parquet").equals(rows)
    assert rows.schema["opened_at"] == pl.Datetime("ms", "UTC")


def test_a_lake_lists_its_series_and_ignores_strangers(lake: Lake) -> None:
    lake.write(FUNDING, make_funding([0, 8]))
    (lake.root / "binanceusdm" / "notes").mkdir()
    make_rows([1]).write_parquet(lake.root / "binanceusdm" / "notes" / "x.parquet")

    assert lake.series() == [BTC, FUNDING]
    assert lake.series(kind="funding") == [FUNDING]
    assert lake.series("bybit") == []


def test_a_changed_value_in_a_file_is_noticed(lake: Lake) -> None:
    path = lake.path(BTC)
    metadata = pl.read_parquet_metadata(path)
    tampered = lake.read(BTC).with_columns(close=pl.col("close") * 1.000001)
    tampered.write_parquet(path, metadata={k: v for k, v in metadata.items() if k.startswith("longshort.")})

    with pytest.raises(
        DataError, match=r"BTCUSDT\.parquet: the rows are not those that were imported\. Delete it"
    ):
        lake.read(BTC)


def test_a_cut_off_file_is_named_as_damaged(lake: Lake) -> None:
    path = lake.path(BTC)
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(DataError, match="the file is damaged"):
        lake.read(BTC)


def test_a_write_that_fails_leaves_the_old_rows_and_no_rubbish(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: pl.DataFrame, path: Path, **_: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(DataError, match="it cannot be written: no space left on device"):
        lake.write(BTC, make_rows([1, 2]))

    assert len(lake.read(BTC)) == 24
    assert [p.name for p in lake.path(BTC).parent.iterdir()] == ["BTCUSDT.parquet"]


def test_the_hash_is_of_the_rows_and_not_of_the_file() -> None:
    rows = make_rows([1, 2, 3])

    assert rows_digest(rows) == rows_digest(pl.concat([rows[:1], rows[1:]], rechunk=False))
    assert rows_digest(rows) != rows_digest(rows.with_columns(volume=pl.col("volume") + 1e-9))


def test_the_same_rows_again_are_nothing_new(lake: Lake) -> None:
    merge = lake.merge(BTC, make_rows([3, 4, 5]))

    assert (merge.added, merge.changed, merge.is_new) == (0, 0, False)


def test_overlapping_rows_merge_in_order(lake: Lake) -> None:
    merge = lake.merge(BTC, make_rows([22, 23, 24, 25]))

    assert merge.added == 2
    assert merge.rows.equals(make_rows(list(range(26))))


def test_a_conflict_is_refused_with_its_place_unless_replaced(lake: Lake) -> None:
    other = make_rows([4, 5, 30]).with_columns(close=pl.col("close") + 0.25)

    with pytest.raises(
        DataError,
        match=r"BTCUSDT: close at 2024-01-01 04:00Z is 102 on record but 102\.25 in the new rows, "
        r"and 1 other row differs\. Use --replace",
    ):
        lake.merge(BTC, other)
    merge = lake.merge(BTC, other, replace=True)

    assert (merge.added, merge.changed, len(merge.rows)) == (1, 2, 25)
    assert merge.rows["close"][4] == 102.25


def test_a_symbol_that_is_no_file_name_is_refused(lake: Lake) -> None:
    with pytest.raises(DataError, match="letters, digits"):
        lake.write(Series("binanceusdm", "bars-1h", "../BTC"), make_rows([1]))


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([0.1, 0.5, 2.3], "0.1"),
        ([16541.5, 16542.0], "0.5"),
        ([0.00001, 0.00037], "0.00001"),
        ([3.0, 7.0], "1"),
        ([0.0, 0.0], "1"),
        ([19.36], "0.02"),
    ],
)
def test_a_step_is_inferred_from_decimals(values: list[float], step: str) -> None:
    assert smallest_step(np.array(values)) == Decimal(step)


def test_real_ticks_are_inferred_as_the_venue_has_them(real_data: Path) -> None:
    rows = pl.read_parquet(real_data / "ohlcv_1h" / "binance_BTCUSDT_perp_1h.parquet")

    found = infer_instrument("binanceusdm", "BTCUSDT", rows)

    assert (found.tick, found.lot, found.base, found.settle) == (
        Decimal("0.1"),
        Decimal("0.001"),
        "BTC",
        "USDT",
    )


def test_an_inferred_instrument_says_so_and_never_replaces_what_a_venue_told(tmp_path: Path) -> None:
    coarse = infer_instrument("v", "BTCUSDT", make_rows([1, 3]))
    fine = infer_instrument("v", "BTCUSDT", make_rows([1, 3], price=100.01))
    folder = tmp_path / "v"
    record_inferred(
        folder, {"BTCUSDT": (coarse, "2024-01-01 03:00Z"), "ETHUSDT": (coarse, "2024-01-01 03:00Z")}
    )
    table = json.loads((folder / "instruments.json").read_text())
    table["ETHUSDT"]["source"] = "venue"
    (folder / "instruments.json").write_text(json.dumps(table))

    record_inferred(folder, {"BTCUSDT": (fine, "2024-01-02 03:00Z"), "ETHUSDT": (fine, "2024-01-02 03:00Z")})

    kept = read_instruments(folder)
    assert table["BTCUSDT"]["source"] == "inferred from prices"
    assert (kept["BTCUSDT"].tick, kept["ETHUSDT"].tick) == (Decimal("0.01"), coarse.tick)


def test_a_bar_is_usable_at_its_close(lake: Lake) -> None:
    bars = load_bars(DataSettings(lake=str(lake.root)))

    assert bars.closed_at[0] == parse_instant("2024-01-01T01:00Z")
    assert bars.closed_at[-1] == parse_instant("2024-01-02T00:00Z")
    assert bars.interval == Interval(HOUR)


def test_absent_bars_are_masked_and_never_filled(lake: Lake) -> None:
    lake.write(Series("binanceusdm", "bars-1h", "ETHUSDT"), make_rows([3, 4, 7, 30]))
    lake.write(Series("binanceusdm", "funding", "ETHUSDT"), make_funding([8, 16, 24, 32]))

    bars = load_bars(DataSettings(lake=str(lake.root), accept_broken=("ETHUSDT",)))

    assert bars.close.shape == (31, 2)
    assert np.flatnonzero(bars.present[:, 1]).tolist() == [3, 4, 7, 30]
    assert np.flatnonzero(bars.listed[:, 1]).tolist() == list(range(3, 31))
    assert np.isnan(bars.close[~bars.present]).all()
    assert np.isfinite(bars.close[bars.present]).all()
    assert not bars.funding_covered[:, 0].any()
    assert np.flatnonzero(bars.funding_covered[:, 1]).tolist() == list(range(7, 31))


def test_since_and_until_keep_whole_bars_and_drop_coins_without_any(lake: Lake) -> None:
    lake.write(Series("binanceusdm", "bars-1h", "ETHUSDT"), make_rows([40, 41]))

    bars = load_bars(DataSettings(lake=str(lake.root), since="2024-01-01T05:00Z", until="2024-01-01T08:00Z"))

    assert bars.symbols == ("BTCUSDT",)
    assert (bars.closed_at // HOUR % 24).tolist() == [6, 7, 8]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"symbols": ("BTCUSD",)},
            r"BTCUSD is not in the lake's 1h bars of binanceusdm\. Did you mean BTCUSDT\?",
        ),
        ({"symbols": ("BTCUSDT", "BTCUSDT")}, "a coin is named twice"),
        ({"venue": "binanceusd"}, r"no bars of venue 'binanceusd' in the lake\. Known are: binanceusdm"),
        ({"interval": "4h"}, "no 4h bars in the lake. Set data.interval to one that is there: 1h"),
        ({"since": "2030-01-01"}, "no bars of any coin between data.since and data.until"),
        ({"symbols": ("BTCUSDT",), "until": "2020-01-01"}, "no bars of BTCUSDT between"),
    ],
)
def test_what_the_lake_cannot_give_is_refused(lake: Lake, settings: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_bars(DataSettings.model_validate({"lake": str(lake.root)} | settings))


def test_several_venues_must_be_told_apart(lake: Lake) -> None:
    lake.write(Series("bybit", "bars-1h", "BTCUSDT"), make_rows([1]))

    with pytest.raises(
        DataError, match=r"several venues: binanceusdm, bybit\. Set data\.venue to one of them\."
    ):
        load_bars(DataSettings(lake=str(lake.root)))
    assert load_bars(DataSettings(lake=str(lake.root), venue="bybit")).venue == "bybit"


def test_the_lake_is_found_by_environment_then_study_then_folder_then_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study"
    for name in ("lake", "study/lake", "study/own", "env"):
        (tmp_path / name).mkdir(parents=True)

    assert find_lake("own", study) == study / "own"
    assert find_lake("", study) == study / "lake"
    assert find_lake("", tmp_path / "other") == tmp_path / "lake"
    monkeypatch.setenv("LONGSHORT_LAKE", str(tmp_path / "env"))
    assert find_lake("own", study) == tmp_path / "env"


def test_without_a_lake_the_remedy_names_both_ways_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'longshort import FILES.*data\.source = "embedded"'):
        load_bars(DataSettings(), tmp_path / "deep" / "study")


def test_the_embedded_market_needs_no_lake(tmp_path: Path) -> None:
    settings = DataSettings.model_validate(
        {
            "source": "embedded",
            "embedded_coins": 3,
            "embedded_bars": 2_000,
            "symbols": ("SIM03USDT", "SIM01USDT"),
        }
    )

    bars = load_bars(settings, tmp_path)

    assert bars.symbols == ("SIM03USDT", "SIM01USDT")
    assert len(bars) == 2_000


def test_the_embedded_market_has_hourly_bars_only() -> None:
    with pytest.raises(DataError, match="hourly bars only"):
        load_bars(DataSettings.model_validate({"source": "embedded", "interval": "4h"}))
