import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import Interval, parse_instant
from longshort.base.errors import DataError
from longshort.base.instrument import lake_symbol
from longshort.data.importer import ImportOptions, import_files
from longshort.data.lake import Lake, Series
from longshort.data.reading import read_tables, symbol_in_name

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


def test_a_parquet_file_enters_the_lake_and_again_changes_nothing(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "binance_BTCUSDT_perp_1h.parquet"
    make_frame().write_parquet(path)

    first = do_import(lake, path)
    before = lake.path(BTC).stat()
    again = do_import(lake, path)

    assert first == ["binanceusdm/bars-1h/BTCUSDT 12+0 of 12"]
    assert again == ["binanceusdm/bars-1h/BTCUSDT 0+0 of 12"]
    assert lake.path(BTC).stat() == before
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
