import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import Interval, parse_instant
from longshort.base.errors import DataError, StudyError
from longshort.base.instrument import lake_symbol
from longshort.data.files.importer import ImportOptions, import_files
from longshort.data.files.reading import read_tables
from longshort.data.files.sources import symbol_in_name, venue_in_name
from longshort.data.instruments import read_instruments
from longshort.data.lake import Lake, Series

FIRST = 1_704_067_200  # 2024-01-01 00:00 UTC, in seconds
BTC = Series("binanceusdm", "bars-1h", "BTCUSDT")


def make_frame(count: int = 12, *, step: int = 3600, first: int = FIRST) -> pl.DataFrame:
    close = [100.0 + 0.5 * k for k in range(count)]
    return pl.DataFrame(
        {
            "ts": [first + step * k for k in range(count)],
            "open": close,
            "high": [c + 1.0 for c in close],
            "low": [c - 1.0 for c in close],
            "close": close,
            "volume": [10.0 + k for k in range(count)],
        }
    )


def put(column: str, row: int, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, strict=False))

    return change


USDM = ImportOptions(venue="binanceusdm")


def do_import(lake: Lake, *paths: Path, **options: object) -> list[str]:
    done = import_files(paths, lake, ImportOptions(**{"venue": "binanceusdm", **options}))  # type: ignore[arg-type]
    return [f"{i.series} {i.added}+{i.changed} of {i.rows}" for i in done]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def answers() -> Path:
    folder = Path(__file__).parents[2] / "shared" / "fixtures" / "ccxt" / "nautilus" / "bitmex"
    if not folder.is_dir():
        pytest.skip("needs recorded answers in ../shared/fixtures, which do not ship with the repository")
    return folder


def test_a_parquet_file_enters_the_lake_and_again_changes_nothing(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "binance_BTCUSDT_perp_1h.parquet"
    make_frame().write_parquet(path)

    first = do_import(lake, path)
    before = touched(lake.path(BTC))
    again = do_import(lake, path)

    assert first == ["binanceusdm/bars-1h/BTCUSDT 12+0 of 12"]
    assert again == ["binanceusdm/bars-1h/BTCUSDT 0+0 of 12"]
    assert touched(lake.path(BTC)) == before
    assert (lake.root / "binanceusdm" / "instruments.json").is_file()


def test_csv_files_of_two_months_become_one_series(tmp_path: Path, lake: Lake) -> None:
    january, february = tmp_path / "BTCUSDT-1h-2024-01.csv", tmp_path / "BTCUSDT-1h-2024-02.csv"
    make_frame(8).write_csv(january)
    make_frame(8, first=FIRST + 8 * 3600).write_csv(february)

    assert do_import(lake, january, february) == ["binanceusdm/bars-1h/BTCUSDT 16+0 of 16"]
    assert len(lake.read(BTC)) == 16


def test_an_archive_file_without_a_header_is_understood(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT-1h-2020-01.csv.gz"
    rows = make_frame(5).with_columns(ts=pl.col("ts") * 1000, close_time=pl.lit(0), quote=pl.lit(1.0))
    path.write_bytes(gzip.compress(rows.write_csv(include_header=False).encode()))

    do_import(lake, path)

    assert lake.read(BTC)["volume"].to_list() == [10.0, 11.0, 12.0, 13.0, 14.0]


def test_a_panel_is_split_by_its_symbols(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "panel.parquet"
    both = [make_frame().with_columns(symbol=pl.lit(s)) for s in ("BTC/USDT:USDT", "ethusdt")]
    pl.concat(both).sort("ts").write_parquet(path)

    assert [s.symbol for s in lake.series()] == []
    do_import(lake, path)
    assert [s.symbol for s in lake.series()] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_epochs_in_any_unit_mean_the_same_instants(tmp_path: Path, lake: Lake, factor: int) -> None:
    path = tmp_path / "BTCUSDT.csv"
    make_frame(3).with_columns(ts=pl.col("ts") * factor).write_csv(path)

    do_import(lake, path)

    assert str(lake.read(BTC)["opened_at"][1]) == "2024-01-01 01:00:00+00:00"


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01", "2024-01-01T01:00"],
        ["2024-01-01 00:00:00", "2024-01-01 01:00:00"],
        ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z"],
        ["2024-01-01T02:00:00+02:00", "2024-01-01T03:00:00+02:00"],
    ],
)
def test_written_times_are_read_as_utc(tmp_path: Path, lake: Lake, texts: list[str]) -> None:
    path = tmp_path / "BTCUSDT.csv"
    make_frame(2).with_columns(ts=pl.Series(texts)).rename({"ts": "Date", "close": "Close"}).write_csv(path)

    do_import(lake, path)

    assert [str(t) for t in lake.read(BTC)["opened_at"]] == [
        "2024-01-01 00:00:00+00:00",
        "2024-01-01 01:00:00+00:00",
    ]


def test_times_of_another_zone_are_moved_to_utc(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT.parquet"
    tokyo = pl.from_epoch("ts", "s").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    make_frame(3).with_columns(tokyo).write_parquet(path)

    do_import(lake, path)

    assert lake.read(BTC)["opened_at"][0].timestamp() == FIRST


@given(minutes=st.sampled_from([1, 5, 15, 60, 240, 1440]), count=st.integers(3, 40))
def test_the_interval_is_that_of_the_spacing(
    tmp_path_factory: pytest.TempPathFactory, minutes: int, count: int
) -> None:
    folder = tmp_path_factory.mktemp("spacing")
    make_frame(count, step=60 * minutes).write_parquet(folder / "BTCUSDT.parquet")

    imported = import_files([folder / "BTCUSDT.parquet"], Lake(folder / "lake"), USDM)

    assert imported[0].series.interval == Interval(minutes * 60 * 10**9)


def test_missing_bars_do_not_change_the_interval(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT.parquet"
    frame = make_frame(40)
    frame.filter(~pl.arange(0, pl.len()).is_in([5, 6, 7, 20])).write_parquet(path)

    assert do_import(lake, path) == ["binanceusdm/bars-1h/BTCUSDT 36+0 of 36"]


def test_bars_stamped_at_the_close_are_kept_by_their_open(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT.parquet"
    make_frame(first=FIRST + 3600).write_parquet(path)

    do_import(lake, path, stamped="close")

    assert lake.read(BTC)["opened_at"][0].timestamp() == FIRST


def test_funding_is_told_by_its_rate(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "binance_BTCUSDT_funding.csv"
    pl.DataFrame(
        {"fundingTime": [FIRST * 1000 + 8, FIRST * 1000 + 28_800_003], "fundingRate": [1e-4, -2e-4]}
    ).write_csv(path)

    do_import(lake, path)

    kept = lake.read(Series("binanceusdm", "funding", "BTCUSDT"))
    assert kept["rate"].to_list() == [1e-4, -2e-4]
    assert kept["settled_at"][0].microsecond == 8_000


BAD_BARS = {
    "there is no volume column.*add --as mark or --as index": lambda f: f.drop("volume"),
    "closes alone are no bars": lambda f: f.select("ts", "close"),
    "there is no close column. Name it close or c": lambda f: f.drop("close"),
    "there is no opened_at column": lambda f: f.drop("ts"),
    r"row 5 \(2024-01-01 03:00:00Z\) repeats the time": put("ts", 4, FIRST + 3 * 3600),
    r"row 6 \(2024-01-01 02:00:00Z\) is earlier than the row before, and some times repeat": put(
        "ts", 5, FIRST + 7200
    ),
    r"row 2 .* is earlier than the row before\. Sort the file": lambda f: f.reverse(),
    r"row 4 .* has a high below its low": put("high", 3, 50.0),
    r"row 4 .* has a high below its open or close": put("high", 3, 101.2),
    r"row 4 .* has a low above its open or close": put("low", 3, 101.7),
    r"row 3 .* has a low that is not positive": put("low", 2, -1.0),
    r"row 3 .* has a open that is not positive": put("open", 2, 0.0),
    r"row 3 .* has a negative volume": put("volume", 2, -1.0),
    r"row 3 .* has no close": put("close", 2, float("nan")),
    r"row 7 .* has no volume": put("volume", 6, None),
    r"row 3 .* has an infinite high": put("high", 2, float("inf")),
    "row 4 has no time": put("ts", 3, None),
    r"row 13 .*comes 4h after the row before, but most are 1h: two intervals": lambda f: pl.concat(
        [f, make_frame(10, step=4 * 3600, first=FIRST + 15 * 3600)]
    ),
    r"row 6 .* comes 30m after the row before, but most are 1h": put("ts", 5, FIRST + 4 * 3600 + 1800),
    "row 1 .* is off the grid of 1h bars. Check --stamped": lambda f: f.with_columns(pl.col("ts") + 60),
    "which is no interval": lambda f: f.with_columns(ts=FIRST * 1000 + pl.arange(0, pl.len()) * 1500),
    "one bar does not tell its length": lambda f: f[:1],
    "there are no rows": lambda f: f[:0],
    "times are in ms and in s": put("ts", 11, FIRST * 1000),
    "neither bars nor funding nor open interest: its columns are volume": lambda f: f.select("volume"),
    r"row 1 .* is a bar that has not closed yet": lambda f: f.with_columns(pl.col("ts") + 3600 * 832_800),
}


@pytest.mark.parametrize("message", BAD_BARS)
def test_bad_bars_are_refused_in_one_sentence_and_nothing_is_written(
    tmp_path: Path, lake: Lake, message: str
) -> None:
    good, bad = tmp_path / "ETHUSDT.parquet", tmp_path / "BTCUSDT.parquet"
    make_frame().write_parquet(good)
    BAD_BARS[message](make_frame()).write_parquet(bad)

    with pytest.raises(DataError, match=message) as caught:
        import_files([good, bad], lake)

    assert "BTCUSDT.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not lake.root.exists()


BAD_CSV = {
    "column open holds 'n/a', not a number": "ts,open,high,low,close,volume\n1704067200,n/a,1,1,1,1\n",
    "row 2: 'now' is not a time": "ts,open,high,low,close,volume\n2024-01-01,1,1,1,1,1\nnow,1,1,1,1,1\n",
    "not a readable CSV file": "ts,open,high,low,close,volume\n1,1,1,1,1,1\n1,1,1,1,1,1,1,1\n",
    r"not a readable CSV file \(": "",
}


@pytest.mark.parametrize("message", BAD_CSV)
def test_bad_csv_is_refused(tmp_path: Path, lake: Lake, message: str) -> None:
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(BAD_CSV[message])

    with pytest.raises(DataError, match=message):
        import_files([path], lake)
    assert not lake.root.exists()


def test_bad_funding_is_refused(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT_funding.parquet"
    pl.DataFrame({"ts": [FIRST, FIRST + 28_800], "rate": [1e-4, float("nan")]}).write_parquet(path)

    with pytest.raises(DataError, match=r"row 2 \(2024-01-01 08:00:00Z\) has no rate"):
        import_files([path], lake)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("gone.parquet", None, "no such file"),
        ("BTCUSDT.parquet", b"hello", "not a Parquet file. Save it again"),
        ("BTCUSDT.xlsx", b"hello", "neither .parquet nor .csv nor .json"),
        ("BTCUSDT.csv.gz", b"hello", "not a readable CSV file"),
    ],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, lake: Lake, name: str, body: bytes | None, message: str
) -> None:
    path = tmp_path / name
    _ = body is None or path.write_bytes(body)

    with pytest.raises(DataError, match=message):
        import_files([path], lake)


def test_a_folder_is_refused_with_the_way_to_name_its_files(tmp_path: Path, lake: Lake) -> None:
    with pytest.raises(DataError, match=r"it is a folder\. Name its files: .*/\*\.parquet"):
        import_files([tmp_path], lake)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("binance_BTCUSDT_perp_1h.parquet", "BTCUSDT"),
        ("BTCUSDT-1h-2024-01.csv", "BTCUSDT"),
        ("unstated_venue_BTC-PERP_1m_2022-01_raw.parquet", "BTC-PERP"),
        ("bitfinex_BTCUSD_spot_1m.parquet", "BTCUSD"),
        ("1000XECUSDT_1h.csv.gz", "1000XECUSDT"),
        ("eth-usdt-1h.csv", "ETH-USDT"),
    ],
)
def test_the_symbol_is_read_from_the_file_s_name(name: str, symbol: str) -> None:
    assert symbol_in_name(Path(name)) == symbol


@pytest.mark.parametrize("name", ["prices.csv", "binance_usdt_perp_4h_panel.parquet", "BTCUSDT_ETHUSDT.csv"])
def test_a_name_without_exactly_one_symbol_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="Name the file for one symbol"):
        symbol_in_name(Path(name))


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", " btcusdt "])
def test_symbols_are_spelled_one_way(symbol: str) -> None:
    assert lake_symbol(symbol) == "BTCUSDT"


def test_a_wrong_interval_given_by_hand_is_refused(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT.parquet"
    make_frame().write_parquet(path)

    with pytest.raises(DataError, match="comes 1h after the row before, but --interval says 4h"):
        do_import(lake, path, interval=Interval.parse("4h"))


def test_two_files_that_disagree_write_nothing(tmp_path: Path, lake: Lake) -> None:
    one, other = tmp_path / "a_BTCUSDT.parquet", tmp_path / "b_BTCUSDT.parquet"
    make_frame().write_parquet(one)
    make_frame().with_columns(volume=pl.col("volume") + 1).write_parquet(other)

    with pytest.raises(
        DataError, match=r"b_BTCUSDT\.parquet: volume at 2024-01-01 00:00Z is 10 on record but 11"
    ):
        import_files([one, other], lake, USDM)
    assert not lake.root.exists()


def test_a_bar_enters_only_once_it_has_closed(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT.parquet"
    make_frame(2).write_parquet(path)

    with pytest.raises(DataError, match=r"row 2 \(2024-01-01 01:00:00Z\) is a bar that has not closed yet"):
        import_files([path], lake, USDM, now=parse_instant("2024-01-01T01:59Z"))
    assert len(import_files([path], lake, USDM, now=parse_instant("2024-01-01T02:00Z"))) == 1


@pytest.mark.parametrize(
    "pattern",
    [
        "ohlcv_1h/*[DE]TH*",
        "ohlcv_1h/*BTC*",
        "funding/*",
        "ohlcv_4h/*",
        "ohlcv_1d/*",
        "ohlcv_1m/*BTC*",
        "raw/bitget*",
    ],
)
def test_real_files_enter_unchanged(real_data: Path, lake: Lake, pattern: str) -> None:
    files = sorted(real_data.glob(pattern))

    imported = import_files(files, lake)

    assert sum(i.added for i in imported) == sum(len(pl.read_parquet(f)) for f in files) > 0


def test_real_mark_prices_are_refused(real_data: Path, lake: Lake) -> None:
    with pytest.raises(DataError, match="there is no volume column"):
        import_files(sorted((real_data / "mark_price").glob("*")), lake)


def test_a_table_knows_its_rows_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "panel.parquet"
    both = [make_frame(3).with_columns(symbol=pl.lit(s)) for s in ("AUSDT", "BUSDT")]
    pl.concat(both).write_parquet(path)

    assert [t.rows["row"].to_list() for t in read_tables(path)] == [[1, 2, 3], [4, 5, 6]]


# Where rows were traded.


@pytest.mark.parametrize(
    ("name", "venue"),
    [
        ("binance_BTCUSDT_perp_1h.parquet", "binanceusdm"),
        ("binance_BTCUSDT_funding.parquet", "binanceusdm"),
        ("binance_usdt_perp_4h_panel.parquet", "binanceusdm"),
        ("binance_BTCUSDT_spot_1h.parquet", "binance"),
        ("binance_BTCUSD_PERP_1h.parquet", ""),
        ("bybit_BTCUSDT_oi_1h.parquet", "bybit"),
        ("bybit_BTCUSDT_spot_1h.parquet", ""),
        ("bitget_BTCUSDT_perp_1h_raw.parquet", "bitget"),
        ("bitfinex_BTCUSD_spot_1m_2018_2019_raw.parquet", "bitfinex"),
        ("bitfinex_BTCUSD_1m.parquet", ""),
        ("okx_BTCUSDT_1h.csv", "okx"),
        ("kraken_XBTUSD_1h.csv", "krakenfutures"),
        ("kraken_XBTUSD_spot_1h.csv", "kraken"),
        ("bitmex_XBTUSD_1m.csv.gz", "bitmex"),
        ("us_stocks_1d_panel.parquet", "us-stocks"),
        ("BTCUSDT-1h-2024-01.csv", ""),
        ("unstated_venue_BTC-PERP_1m.parquet", ""),
    ],
)
def test_the_venue_is_read_from_the_file_s_name(name: str, venue: str) -> None:
    assert venue_in_name(Path(name)) == venue


def test_a_spot_file_becomes_no_perpetual(tmp_path: Path, lake: Lake) -> None:
    for market in ("spot", "perp"):
        make_frame().write_parquet(tmp_path / f"binance_BTCUSDT_{market}_1h.parquet")

    done = import_files(sorted(tmp_path.glob("*.parquet")), lake)

    assert [str(i.series) for i in done] == ["binance/bars-1h/BTCUSDT", "binanceusdm/bars-1h/BTCUSDT"]
    assert not read_instruments(lake.root / "binance")["BTCUSDT"].has_funding
    assert read_instruments(lake.root / "binanceusdm")["BTCUSDT"].has_funding


def test_a_file_that_tells_no_venue_is_asked_for_it(tmp_path: Path, lake: Lake) -> None:
    make_frame().write_parquet(tmp_path / "BTCUSDT.parquet")

    with pytest.raises(DataError, match=r"does not tell where it was traded\. Add --venue, like"):
        import_files([tmp_path / "BTCUSDT.parquet"], lake)
    assert not lake.root.exists()


@pytest.mark.parametrize(("symbol", "venue"), [("BTC?", "v"), ("BTCUSDT", "a/b")])
def test_names_that_no_file_could_have_are_refused_before_anything_is_written(
    tmp_path: Path, lake: Lake, symbol: str, venue: str
) -> None:
    both = [make_frame().with_columns(symbol=pl.lit(s)) for s in ("ETHUSDT", symbol)]
    pl.concat(both).write_parquet(tmp_path / "panel.parquet")

    with pytest.raises(DataError, match=r"is no (symbol|venue)\. A (symbol|venue) holds letters"):
        do_import(lake, tmp_path / "panel.parquet", venue=venue)
    assert not lake.root.exists()


# Marks, indices and open interest.


@pytest.mark.parametrize("measure", ["mark", "index"])
def test_prices_without_volume_enter_as_what_they_are_said_to_be(
    tmp_path: Path, lake: Lake, measure: str
) -> None:
    make_frame().drop("volume").write_parquet(tmp_path / "binance_BTCUSDT.parquet")
    make_frame(6, first=FIRST + 12 * 3600).write_csv(
        tmp_path / "binance_BTCUSDT_later.csv"
    )  # has a volume of 0

    done = do_import(lake, *sorted(tmp_path.glob("binance_*")), measure=measure)

    assert done == [f"binanceusdm/{measure}-1h/BTCUSDT 18+0 of 18"]
    assert lake.read(Series("binanceusdm", f"{measure}-1h", "BTCUSDT")).columns[-1] == "close"
    assert not (lake.root / "binanceusdm" / "instruments.json").exists()


def test_open_interest_of_binance_s_metrics_is_told_by_its_columns(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "BTCUSDT-metrics-2024-01-01.csv"
    path.write_text(
        "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio\n"
        "2024-01-01 00:05:00,BTCUSDT,79000.1,3300000000.1,1.5\n"
        "2024-01-01 00:10:06,BTCUSDT,79010.2,3300000000.2,1.5\n"
        "2024-01-01 00:15:00,BTCUSDT,79020.3,3300000000.3,1.5\n"
        "2024-01-01 00:20:00,BTCUSDT,79030.4,3300000000.4,1.5\n"
        "2024-01-01 00:25:00,BTCUSDT,79040.5,3300000000.5,1.5\n"
        "2024-01-01 00:30:00,BTCUSDT,79050.6,3300000000.6,1.5\n"
    )

    do_import(lake, path)

    kept = lake.read(Series("binanceusdm", "open-interest-5m", "BTCUSDT"))
    assert kept["open_interest"][:2].to_list() == [79000.1, 79010.2]
    assert str(kept["sampled_at"][1]) == "2024-01-01 00:10:06+00:00"


def samples(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(
        {"ts": [FIRST + 3600 * k for k in range(6)], "open_interest": [5.0] * 6}
    ).with_columns(
        **{name: pl.Series(values) for name, values in columns.items()}  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (samples(open_interest=[5.0, 5.0, -1.0, 5.0, 5.0, 5.0]), r"row 3 .* has a negative open_interest"),
        (samples(ts=[FIRST, FIRST, 1, 2, 3, 4]), "repeats the time"),
        (samples(ts=[FIRST + t for t in (0, 7, 90, 300, 1000, 5000)]), "samples come at no regular spacing"),
        (samples(ts=[FIRST + 10**9 * k for k in range(6)]), "is in the future"),
        (
            samples(rate=[1e-4] * 6),
            "both funding and open interest.*--as funding and with --as open-interest",
        ),
    ],
)
def test_bad_open_interest_is_refused(tmp_path: Path, lake: Lake, frame: pl.DataFrame, message: str) -> None:
    frame.write_parquet(tmp_path / "BTCUSDT.parquet")

    with pytest.raises(DataError, match=message):
        do_import(lake, tmp_path / "BTCUSDT.parquet")
    assert not lake.root.exists()


@pytest.mark.parametrize(("folder", "measure"), [("mark_price", "mark"), ("open_interest", None)])
def test_real_marks_and_open_interest_enter_unchanged(
    real_data: Path, lake: Lake, folder: str, measure: str | None
) -> None:
    files = sorted((real_data / folder).glob("*"))

    imported = import_files(files, lake, ImportOptions(measure=measure))  # type: ignore[arg-type]

    assert sum(i.added for i in imported) == sum(len(pl.read_parquet(f)) for f in files) > 0


# Stocks.


DAYS = ("2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08")


def stock_frame(days: tuple[str, ...] = DAYS, **columns: object) -> pl.DataFrame:
    frame = make_frame(len(days)).drop("ts").with_columns(Date=pl.Series(days))
    return frame.with_columns(**{name: pl.lit(value) for name, value in columns.items()})


@pytest.mark.parametrize(
    "dates",
    [
        pl.Series(DAYS),
        pl.Series(DAYS).str.to_date(),
        pl.Series([f"{day} 00:00:00-04:00" for day in DAYS]),
        pl.Series([f"{day}T20:30:00-04:00" for day in DAYS]),
        pl.Series(DAYS).str.to_datetime().dt.replace_time_zone("America/New_York"),
    ],
)
def test_days_of_stocks_are_kept_under_their_date_however_it_is_written(
    tmp_path: Path, lake: Lake, dates: pl.Series
) -> None:
    stock_frame().with_columns(dates.alias("Date")).write_parquet(tmp_path / "AAPL.parquet")

    assert do_import(lake, tmp_path / "AAPL.parquet", venue="us-stocks") == [
        "us-stocks/bars-1d/AAPL 5+0 of 5"
    ]
    kept = lake.read(Series("us-stocks", "bars-1d", "AAPL"))
    assert kept["opened_at"].dt.strftime("%Y-%m-%d %H:%M").to_list() == [f"{day} 00:00" for day in DAYS]


def test_stocks_are_recorded_with_their_sessions_and_without_funding(tmp_path: Path, lake: Lake) -> None:
    frames = [stock_frame(symbol=symbol) for symbol in ("BRK.B", "^GSPC")]
    pl.concat(frames).write_parquet(tmp_path / "us_stocks_panel.parquet")

    import_files([tmp_path / "us_stocks_panel.parquet"], lake)

    known = read_instruments(lake.root / "us-stocks")
    assert sorted(known) == ["BRK-B", "GSPC"]
    assert (known["BRK-B"].calendar, known["BRK-B"].has_funding, known["BRK-B"].lot) == ("XNYS", False, 1)


def test_another_exchange_is_named_by_its_calendar(tmp_path: Path, lake: Lake) -> None:
    stock_frame(("2024-07-03", "2024-07-04", "2024-07-05"), symbol="VOD.L").write_parquet(
        tmp_path / "a.parquet"
    )

    do_import(lake, tmp_path / "a.parquet", venue="london", calendar="XLON")

    found = read_instruments(lake.root / "london")["VOD-L"]
    assert (found.calendar, found.settle) == ("XLON", "GBP")


BAD_STOCKS = {
    "XNYS has no session on 2024-07-04": stock_frame(("2024-07-03", "2024-07-04")),
    "most rows are 5 sessions apart: these are no daily bars": stock_frame(
        ("2024-06-03", "2024-06-10", "2024-06-17", "2024-06-25")
    ),
    r"row 2 \(2024-07-02 00:00:00Z\) repeats the time": stock_frame((DAYS[1], DAYS[1], DAYS[2])),
    "closes alone are no bars": stock_frame().select("Date", "close"),
    r"row 5 .* is a session that has not closed yet": stock_frame(),
}


@pytest.mark.parametrize("message", BAD_STOCKS)
def test_bad_days_are_refused_and_nothing_is_written(tmp_path: Path, lake: Lake, message: str) -> None:
    BAD_STOCKS[message].write_parquet(tmp_path / "AAPL.parquet")

    with pytest.raises(DataError, match=message) as caught:
        import_files(
            [tmp_path / "AAPL.parquet"],
            lake,
            ImportOptions(venue="us-stocks"),
            now=parse_instant("2024-07-08T19:59Z"),
        )

    assert "AAPL.parquet" in str(caught.value)
    assert not lake.root.exists()


def test_a_session_enters_once_it_has_closed(tmp_path: Path, lake: Lake) -> None:
    stock_frame().write_parquet(tmp_path / "AAPL.parquet")
    options = ImportOptions(venue="us-stocks")

    assert (
        import_files([tmp_path / "AAPL.parquet"], lake, options, now=parse_instant("2024-07-08T20:00Z"))[
            0
        ].added
        == 5
    )


def test_hourly_bars_of_stocks_are_refused(tmp_path: Path, lake: Lake) -> None:
    stock_frame().write_parquet(tmp_path / "AAPL.parquet")

    with pytest.raises(StudyError, match=r"only daily bars \(1d\) have the sessions of XNYS so far, was 1h"):
        do_import(lake, tmp_path / "AAPL.parquet", venue="us-stocks", interval=Interval.parse("1h"))


def test_real_stocks_enter_unchanged_and_their_closes_alone_do_not(real_data: Path, lake: Lake) -> None:
    panel, closes = sorted((real_data / "stocks").glob("*"), reverse=True)

    imported = import_files([panel], lake)

    assert sum(i.added for i in imported) == len(pl.read_parquet(panel))
    assert {i.series.venue for i in imported} == {"us-stocks"}
    with pytest.raises(DataError, match=r"closes alone are no bars: .* are not made up"):
        import_files([closes], lake, ImportOptions(venue="us-stocks"))


# BitMEX.


BIN = {"symbol": "XBTUSD", "trades": 3, "vwap": 950.0, "lastSize": 5, "turnover": 9, "homeNotional": 0.1}


def bitmex_bins() -> list[dict[str, object]]:
    """The second opens below its low, at the close before, as the venue's bins do."""
    prices = [
        (968.5, 969.0, 968.0, 968.5, 100),
        (968.5, 970.5, 969.5, 970.0, 300),
        (970.0, 970.0, 970.0, 970.0, 0),
    ]
    return [
        BIN
        | {
            "timestamp": f"2017-01-01T00:0{k + 1}:00.000Z",
            **dict(zip(("open", "high", "low", "close", "volume"), values, strict=True)),
            "vwap": None if k == 2 else 969.0,
        }
        for k, values in enumerate(prices)
    ]


@pytest.mark.parametrize("suffix", ["json", "json.gz", "csv"])
def test_bins_of_bitmex_are_stamped_at_their_close_and_hold_their_open(
    tmp_path: Path, lake: Lake, suffix: str
) -> None:
    path = tmp_path / f"bitmex_trades.{suffix}"
    body = json.dumps(bitmex_bins()).encode()
    files = {
        "json": body,
        "json.gz": gzip.compress(body),
        "csv": pl.DataFrame(bitmex_bins()).write_csv().encode(),
    }
    path.write_bytes(files[suffix])

    done = import_files([path], lake)

    kept = lake.read(Series("bitmex", "bars-1m", "XBTUSD"))
    assert (done[0].added, done[0].widened) == (3, 1)
    assert str(kept["opened_at"][0]) == "2017-01-01 00:00:00+00:00"
    assert kept.row(1)[1:] == (968.5, 970.5, 968.5, 970.0, 300.0)
    found = read_instruments(lake.root / "bitmex")["XBTUSD"]
    assert (found.inverse, found.settle, found.contract_size, found.tick) == (True, "XBT", 1, Decimal("0.5"))


def test_bitmex_bins_that_were_saved_by_their_open_stay_where_they_are(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "bitmex_trades.json"
    path.write_text(json.dumps(bitmex_bins()))

    import_files([path], lake, ImportOptions(stamped="open"))

    assert (
        str(lake.read(Series("bitmex", "bars-1m", "XBTUSD"))["opened_at"][0]) == "2017-01-01 00:01:00+00:00"
    )


def test_an_open_outside_the_range_is_refused_elsewhere(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "okx_trades.json"
    path.write_text(json.dumps(bitmex_bins()))

    with pytest.raises(DataError, match=r"row 2 .* has a low above its open or close"):
        import_files([path], lake)


def test_a_description_of_bitmex_s_contracts_is_put_on_record(tmp_path: Path, lake: Lake) -> None:
    told = {
        "symbol": "XBTUSD", "rootSymbol": "XBT", "typ": "FFWCSX", "state": "Open", "quoteCurrency": "USD",
        "settlCurrency": "XBt", "isInverse": True, "isQuanto": False, "multiplier": -100000000,
        "underlyingToPositionMultiplier": None, "tickSize": 0.1, "lotSize": 100, "initMargin": 0.01,
        "makerFee": -0.0001, "takerFee": 0.0005, "listing": "2016-05-13T12:00:00.000Z", "expiry": None,
        "timestamp": "2024-11-24T23:33:19.034Z",
    }  # fmt: skip
    linear = told | {
        "symbol": "XBTUSDT", "quoteCurrency": "USDT", "settlCurrency": "USDt", "isInverse": False,
        "underlyingToPositionMultiplier": 1000000, "lotSize": 1000,
    }  # fmt: skip
    path = tmp_path / "bitmex_instrument.json"
    path.write_text(json.dumps([told, linear]))

    done = import_files([path], lake)

    known = read_instruments(lake.root / "bitmex")
    inverse = known["XBTUSD"]
    assert [str(i.series) for i in done] == ["bitmex/instrument/XBTUSD", "bitmex/instrument/XBTUSDT"]
    assert (inverse.tick, inverse.lot, inverse.settle, inverse.inverse) == (Decimal("0.1"), 100, "XBT", True)
    assert (inverse.fees[0].maker_bps, inverse.fees[0].taker_bps) == (-1.0, 5.0)
    assert (known["XBTUSDT"].contract_size, known["XBTUSDT"].settle) == (Decimal("0.000001"), "USDT")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"isQuanto": True}, "ETHUSD is a quanto contract"), ({"tickSize": None}, "not a whole description")],
)
def test_a_contract_that_fits_no_record_is_refused(
    tmp_path: Path, lake: Lake, change: dict[str, object], message: str
) -> None:
    told = {
        "symbol": "ETHUSD", "rootSymbol": "ETH", "typ": "FFWCSX", "state": "Open", "quoteCurrency": "USD",
        "settlCurrency": "XBt", "isInverse": False, "isQuanto": False, "tickSize": 0.05, "lotSize": 1,
        "makerFee": 0.0, "takerFee": 0.0005, "timestamp": "2024-11-24T23:33:19.034Z",
    }  # fmt: skip
    path = tmp_path / "bitmex_instrument.json"
    path.write_text(json.dumps(told | change))

    with pytest.raises(DataError, match=message):
        import_files([path], lake)
    assert not lake.root.exists()


@pytest.mark.parametrize("body", ["", "[1, 2]", '{"a": '])
def test_json_that_is_no_table_is_refused(tmp_path: Path, lake: Lake, body: str) -> None:
    (tmp_path / "bitmex_XBTUSD.json").write_text(body)

    with pytest.raises(DataError, match="not a readable JSON file"):
        import_files([tmp_path / "bitmex_XBTUSD.json"], lake)


def test_trades_are_refused_with_what_to_do(tmp_path: Path, lake: Lake) -> None:
    trades = {"timestamp": "2024-11-25T10:30:00Z", "symbol": "XBTUSD", "price": 98900.0, "size": 100}
    (tmp_path / "bitmex_trades.json").write_text(json.dumps([trades]))

    with pytest.raises(DataError, match=r"neither bars nor .*\. Aggregate trades to bars first"):
        import_files([tmp_path / "bitmex_trades.json"], lake)


def test_recorded_answers_of_bitmex_enter(answers: Path, lake: Lake) -> None:
    names = ("http_get_trade_bins", "ws_funding_rate", "http_get_instrument_xbtusd")

    done = import_files([answers / f"{name}.json" for name in names], lake, ImportOptions(venue="bitmex"))

    assert [f"{i.series.kind} {i.rows}" for i in done] == ["bars-1m 3", "funding 1", "instrument 1"]
    assert lake.read(done[0].series)["volume"].to_list() == [150000.0, 95000.0, 78000.0]
    assert read_instruments(lake.root / "bitmex")["XBTUSD"].lot == 100


def touched(path: Path) -> tuple[int, int]:
    """Which file it is and when it was written; reading it changes neither."""
    seen = path.stat()
    return seen.st_ino, seen.st_mtime_ns
