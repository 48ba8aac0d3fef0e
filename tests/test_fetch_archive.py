"""Years from Binance's archive, the rest from the venue: what each gives, what neither has, and coins long gone."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from longshort.__main__ import main
from longshort._commands import fetch as command
from longshort.base.clock import DAY, HOUR, Interval, parse_instant
from longshort.base.errors import VenueError
from longshort.base.window import Window
from longshort.connect import archive as archives
from longshort.connect.archive import Archive, Patience
from longshort.connect.archive_files import ArchiveSeries, day_files, month_file, months
from longshort.connect.exchange import Exchange
from longshort.connect.pacing import Timing
from longshort.data.fetch import fetch
from longshort.data.instruments import read_instruments
from longshort.data.lake import INSTANT, Lake, Series
from longshort.data.presets import PRESETS, Preset, record
from longshort.data.wish import Fetched, Wish
from tests.archive import ArchiveServer, kline_csv, serve
from tests.loopback import BTC, ETH, Server, Tape, loopback, random_walk
from tests.test_fetch import hurry

H1 = Interval(HOUR)
START = parse_instant("2023-11-01")
BARS = Series.bars("binanceusdm", H1, "BTCUSDT")
DEAD = replace(BTC, base="FTT", delisted_at=START + 40 * DAY)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return random_walk((BTC, ETH, DEAD), bars=24 * 100, start_at=START, interval=HOUR)


@pytest.fixture
def archive(tape: Tape) -> Iterator[ArchiveServer]:
    with serve() as server:
        yield server


@pytest.fixture
def venue(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    listed = Tape(tuple(reel for reel in tape.reels if reel.contract is not DEAD))
    with loopback(listed, weight_per_minute=10**9) as server:
        server.redirect(monkeypatch)
        yield server


def rows_of(tape: Tape, base: str, interval: int = HOUR) -> pl.DataFrame:
    candles = next(r for r in tape.reels if r.contract.base == base).bars("trade", interval)
    columns = dict(zip(("open", "high", "low", "close", "volume"), candles.values.T, strict=True))
    at = pl.Series("opened_at", candles.opened_at // 1_000_000).cast(INSTANT)
    return pl.DataFrame([at, *[pl.Series(name, values) for name, values in columns.items()]])


def between(rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    at = rows["opened_at"].to_physical() * 1_000_000
    return rows.filter((at >= window.from_at) & (at < window.to_at))


def publish(
    archive: ArchiveServer, rows: pl.DataFrame, symbol: str, *, interval: Interval = H1
) -> ArchiveSeries:
    """Every whole month of the rows."""
    series = ArchiveSeries(market="um", symbol=symbol, kind="bars", interval=interval)
    at = rows["opened_at"].to_physical() * 1_000_000
    for month in months(Window(int(at[0]), int(at[-1]))):
        archive.publish(month_file(series, month), kline_csv(between(rows, month)))
    return series


def bring(lake: Lake, archive: ArchiveServer, *symbols: str, since_at: int = START) -> list[Fetched]:
    wish = Wish(
        venue="binanceusdm",
        symbols=symbols or ("BTC/USDT:USDT",),
        interval=H1,
        since_at=since_at,
        until_at=START + 98 * DAY,
        measures=("bars",),
    )

    async def session() -> list[Fetched]:
        source = Archive(archive.url, archive.listing, patience=Patience(pauses=(0.01,)))
        async with Exchange(wish.venue, timing=Timing(sleep=hurry)) as exchange:
            exchange.client.timeout_on_exit = 20
            return await fetch(wish, lake, exchange, lambda *_: None, archive=source)

    return asyncio.run(session())


def wished(tape: Tape, base: str = "BTC") -> pl.DataFrame:
    return between(rows_of(tape, base), Window(START, START + 98 * DAY))


def test_months_come_from_the_archive_and_the_rest_from_the_venue(
    tape: Tape, archive: ArchiveServer, venue: Server, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    published = rows_of(tape, "BTC").filter(
        pl.col("opened_at") < pl.lit("2024-01-01").str.to_datetime(time_zone="UTC")
    )
    publish(archive, published, "BTCUSDT")

    (fetched,) = bring(lake, archive)
    zips, pages = archive.asked_zips(), venue.count("*/klines")
    (again,) = bring(lake, archive)

    assert lake.read(BARS).equals(wished(tape))
    assert (fetched.rows, fetched.missing, again.added) == (98 * 24, 0, 0)
    assert {"BTCUSDT-1h-2023-11.zip", "BTCUSDT-1h-2023-12.zip"} <= set(zips)
    assert 0 < pages < 8
    assert (archive.asked_zips(), venue.count("*/klines")) == (zips, pages)


def test_a_day_that_the_archive_lacks_comes_from_the_venue(
    tape: Tape, archive: ArchiveServer, venue: Server, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    rows = rows_of(tape, "BTC")
    lost = Window(START + 9 * DAY, START + 10 * DAY)
    at = rows["opened_at"].to_physical() * 1_000_000
    publish(archive, rows.filter((at < lost.from_at) | (at >= lost.to_at)), "BTCUSDT")

    bring(lake, archive)

    assert lake.read(BARS).equals(wished(tape))
    assert venue.count("*/klines") > 0


def test_a_damaged_month_is_said_and_made_up_for(
    tape: Tape, archive: ArchiveServer, venue: Server, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    publish(archive, rows_of(tape, "BTC"), "BTCUSDT")
    archive.faults["BTCUSDT-1h-2023-12.zip"] = ["swapped"] * 4

    (fetched,) = bring(lake, archive)

    assert lake.read(BARS).equals(wished(tape))
    assert any("hash" in note for note in fetched.notes)


def test_a_coin_that_no_list_has_any_more_comes_from_the_archive(
    tape: Tape, archive: ArchiveServer, venue: Server, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    series = publish(archive, rows_of(tape, "FTT"), "FTTUSDT")
    assert day_files(series, (Window(START, START + DAY),))

    (fetched,) = bring(lake, archive, "FTTUSDT")

    assert lake.read(Series.bars("binanceusdm", H1, "FTTUSDT")).equals(wished(tape, "FTT"))
    assert fetched.last_at == DEAD.delisted_at - HOUR
    assert read_instruments(lake.root / "binanceusdm")["FTTUSDT"].tick == DEAD.tick
    with pytest.raises(VenueError, match="has no contract 'FTXUSDT'"):
        bring(lake, archive, "FTXUSDT")


def test_the_universe_holds_what_was_traded_then_the_dead_included(
    tape: Tape,
    archive: ArchiveServer,
    venue: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use(archive, monkeypatch)
    daily = Interval(DAY)
    for base in ("BTC", "ETH", "FTT"):
        publish(archive, rows_of(tape, base, DAY), f"{base}USDT", interval=daily)
        publish(archive, rows_of(tape, base), f"{base}USDT")
    dates = ["--as-of", "2023-12-05", "--as-of", "2024-01-20"]

    code = run(
        monkeypatch,
        *["fetch", "--universe", "top3", *dates, "--since", "2023-11-01", "--until", "2023-12-20"],
        *["--no-funding", "--lake", str(tmp_path), "--from", "archive"],
    )

    said = capsys.readouterr().out
    table = pl.read_parquet(tmp_path / "binanceusdm" / "universe.parquet")
    then = table.filter(pl.col("as_of").dt.month() == 12)["symbol"].to_list()
    later = table.filter(pl.col("as_of").dt.month() == 1)["symbol"].to_list()
    assert code == 0
    assert (sorted(then), sorted(later)) == (["BTCUSDT", "ETHUSDT", "FTTUSDT"], ["BTCUSDT", "ETHUSDT"])
    assert "2023-12-05 00:00Z  3 coins" in said
    assert {s.symbol for s in Lake(tmp_path).series()} == {"BTCUSDT", "ETHUSDT", "FTTUSDT"}


def test_a_preset_is_checked_against_the_hashes_on_record(
    tape: Tape,
    archive: ArchiveServer,
    venue: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use(archive, monkeypatch)
    preset = Preset(
        venue="binanceusdm",
        coins=("BTC",),
        interval=H1,
        window=Window(START, START + 45 * DAY),
        record=tmp_path / "hashes.json",
    )
    monkeypatch.setattr("longshort.data.presets.PRESETS", {**PRESETS, "tiny": preset})
    publish(archive, rows_of(tape, "BTC"), "BTCUSDT")
    arguments = ["fetch", "--preset", "tiny", "--lake", str(tmp_path / "lake")]
    preset.record.write_text("{}")

    unknown = run(monkeypatch, *arguments)
    record(preset, Lake(tmp_path / "lake"))
    same = run(monkeypatch, *arguments)
    lake = Lake(tmp_path / "lake")
    lake.write(BARS, lake.read(BARS).with_columns(volume=pl.col("volume") + (pl.int_range(pl.len()) == 800)))
    other = run(monkeypatch, *arguments)

    said = capsys.readouterr().out
    assert (unknown, same, other) == (1, 0, 1)
    assert "this is the data behind the published results" in said
    assert "BTCUSDT bars-1h 2023-12: as many rows as on record, but other values." in said


def test_holes_of_imported_series_are_asked_for_again(
    tape: Tape,
    venue: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lake = Lake(tmp_path)
    whole = wished(tape)
    paged = whole.filter(pl.int_range(pl.len()) % 201 != 200)  # one bar missing after every 200
    other = paged.with_columns(
        volume=pl.col("volume") + 1.0
    )  # a file that differs from the venue stays as it is
    lake.write(BARS, other)
    lake.write(replace(BARS, venue="bitmex"), other)

    code = run(monkeypatch, "check", "--refetch", "--lake", str(tmp_path))

    refilled = lake.read(BARS)
    said = capsys.readouterr()
    assert len(refilled) == len(whole)
    assert np.count_nonzero(refilled["volume"].to_numpy() == whole["volume"].to_numpy()) == len(whole) - len(
        paged
    )
    assert "BitMEX stopped trading on 2026-09-23" in said.err
    assert "holes asked for again" in said.out
    assert code in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--universe", "top", "--as-of", "2024-01-01"], "a universe is --universe topN --as-of DATE"),
        (["--universe", "top5"], "a universe is --universe topN --as-of DATE"),
        (["--preset", "ten-coins"], "'ten-coins' is no preset"),
    ],
)
def test_what_cannot_be_chosen_is_one_sentence(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "fetch", *arguments) == 1
    assert sentence in capsys.readouterr().err


def use(archive: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find this archive and its index at the usual place."""
    monkeypatch.setattr(archives, "ARCHIVE", archive.url)
    monkeypatch.setattr(archives, "LISTING", archive.listing)
    monkeypatch.setattr(command, "ARCHIVE", archive.url)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["longshort", *arguments])
    try:
        main()
    except SystemExit as left:
        return int(str(left.code or 0))
    return 0
