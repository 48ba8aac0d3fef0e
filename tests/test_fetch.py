"""Fetching as a whole: the real command or the real ccxt client against the loopback exchange, into a real lake."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longshort.__main__ import main
from longshort.base.clock import DAY, HOUR, MINUTE, Interval
from longshort.base.errors import LongshortError
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.pacing import Timing
from longshort.data.fetch import fetch
from longshort.data.follow import Kept, follow
from longshort.data.instruments import read_instruments
from longshort.data.lake import Lake, Measure, Series
from longshort.data.wish import Fetched, Wish
from tests.loopback import BTC, ETH, FastClock, HandClock, Reel, Server, Tape, loopback, random_walk
from tests.loopback.faults import stall

M1 = Interval(MINUTE)
BTC_BARS = Series.bars("binanceusdm", M1, "BTCUSDT")
UNLIMITED = 10**9  # weights per minute: waiting for a venue's pace is tested elsewhere


@pytest.fixture(scope="module")
def tape() -> Tape:
    return random_walk(bars=6_000)


@pytest.fixture
def server(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with loopback(tape, clock=HandClock(tape.last_at), weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)
        yield server


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def wish_for(tape: Tape, *symbols: str, measures: tuple[Measure, ...] = ("bars",)) -> Wish:
    return Wish(
        venue="binanceusdm",
        symbols=symbols or ("BTC/USDT:USDT",),
        interval=M1,
        since_at=tape.first_at,
        measures=measures,
        source="rest",
    )


def bring(wish: Wish, lake: Lake) -> list[Fetched]:
    async def session() -> list[Fetched]:
        timing = Timing(sleep=hurry)
        async with Exchange(wish.venue, timing=timing) as exchange:
            exchange.client.timeout_on_exit = 20
            return await fetch(wish, lake, exchange, lambda *_: None)

    return asyncio.run(session())


async def hurry(seconds: float) -> None:
    """Waiting for a venue's pace or patience is tested elsewhere."""
    await asyncio.sleep(min(seconds, 0.01))


def tape_rows(tape: Tape, symbol: str = "BTC/USDT:USDT", *, until_at: int | None = None) -> np.ndarray:
    candles = next(r for r in tape.reels if r.contract.name == symbol).prices["trade"]
    finished = candles.opened_at + MINUTE <= (until_at or tape.last_at)
    return np.column_stack([candles.opened_at[finished], candles.values[finished]])


def lake_rows(lake: Lake, series: Series = BTC_BARS) -> np.ndarray:
    rows = lake.read(series)
    return np.column_stack([rows["opened_at"].to_physical().to_numpy() * 1_000_000, rows[:, 1:].to_numpy()])


def test_what_is_fetched_is_what_the_venue_has(tape: Tape, server: Server, lake: Lake) -> None:
    kinds: tuple[Measure, ...] = ("bars", "mark", "index", "funding")

    fetched = bring(wish_for(tape, "BTC/USDT:USDT", "ethusdt", measures=kinds), lake)

    assert np.array_equal(lake_rows(lake), tape_rows(tape))
    assert np.array_equal(
        lake_rows(lake, replace(BTC_BARS, symbol="ETHUSDT")), tape_rows(tape, "ETH/USDT:USDT")
    )
    assert [f"{f.series.kind} {f.rows} {f.missing}" for f in fetched[:3]] == [
        "bars-1m 6000 0", "mark-1m 6000 0", "index-1m 6000 0",
    ]  # fmt: skip
    reel = tape.reels[0].funding
    settled = lake.read(Series("binanceusdm", "funding", "BTCUSDT"))
    assert settled["rate"].to_list() == reel.value[reel.at < tape.last_at].tolist()


def test_the_same_wish_again_downloads_nothing(tape: Tape, server: Server, lake: Lake) -> None:
    bring(wish_for(tape), lake)
    asked = server.count("*/klines")
    digest = lake.recorded_digest(BTC_BARS)

    again = bring(wish_for(tape), lake)

    assert server.count("*/klines") == asked
    assert (again[0].added, lake.recorded_digest(BTC_BARS)) == (0, digest)


def test_later_bars_join_those_on_record(tape: Tape, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock(tape.first_at + 20 * HOUR + 30 * 10**9)
    with loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)
        bring(wish_for(tape), lake)
        assert np.array_equal(
            lake_rows(lake), tape_rows(tape, until_at=clock.now())
        )  # and nothing unfinished
        clock.advance(5 * HOUR)

        fetched = bring(wish_for(tape), lake)

    assert fetched[0].added == 5 * 60
    assert np.array_equal(lake_rows(lake), tape_rows(tape, until_at=clock.now()))


def test_bars_that_the_venue_lacks_stay_missing_and_are_counted(
    tape: Tape, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    reel = tape.reels[0]
    whole = np.ones(6_000, dtype=bool)
    whole[[7, 8, 2_500]] = False
    with_holes = Reel(
        contract=reel.contract, prices={name: candles[whole] for name, candles in reel.prices.items()}
    )
    with loopback(Tape((with_holes,)), weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)

        fetched = bring(wish_for(tape), lake)

        assert (fetched[0].rows, fetched[0].missing) == (5_997, 3)
        assert lake.asked(BTC_BARS) == [Window(tape.first_at, tape.last_at)]
        asked = server.count("*/klines")
        bring(wish_for(tape), lake)
        assert server.count("*/klines") == asked

    with loopback(tape, weight_per_minute=UNLIMITED) as server:  # the venue found them
        server.redirect(monkeypatch)
        fetched = bring(replace(wish_for(tape), holes=True), lake)

    assert (fetched[0].added, fetched[0].missing) == (3, 0)
    assert np.array_equal(lake_rows(lake), tape_rows(tape))


def test_a_bar_that_the_venue_tells_late_is_asked_for_again(
    tape: Tape, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    reel = tape.reels[0]
    without_last = {name: candles[: len(candles) - 1] for name, candles in reel.prices.items()}
    for prices in (without_last, reel.prices):
        clock = HandClock(tape.last_at + 2 * 10**9)
        late = Tape((Reel(contract=reel.contract, prices=prices),))
        with loopback(late, clock=clock, weight_per_minute=UNLIMITED) as server:
            server.redirect(monkeypatch)
            fetched = bring(wish_for(tape), lake)

    assert (fetched[0].added, fetched[0].missing) == (1, 0)
    assert np.array_equal(lake_rows(lake), tape_rows(tape))


def test_nothing_is_asked_from_before_a_listing_or_twice(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    start_at = 1_700_006_400 * 10**9
    late = replace(BTC, listed_at=start_at + 3 * DAY)
    tape = random_walk((late, ETH), bars=7_200, start_at=start_at)
    with loopback(tape, weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)

        wish = replace(wish_for(tape), since_at=start_at - 300 * DAY)
        fetched = bring(wish, lake)

    assert fetched[0].first_at == late.listed_at
    assert np.array_equal(lake_rows(lake), tape_rows(tape))
    assert server.count("*/klines") < 20


PASSING = [
    "too-many-requests",
    "502",
    "504",
    "reset",
    "short-body",
    "truncated-body",
    "no-rows",
    "duplicate",
    "gap",
    "disorder",
]


def test_a_venue_that_fails_now_and_then_in_every_way_gives_every_row(
    tape: Tape, server: Server, lake: Lake
) -> None:
    rules = [
        server.faults.add(fault, path="*/klines", after=3, times=None, chance=0.06, seed=seed)
        for seed, fault in enumerate(PASSING)
    ]

    fetched = bring(wish_for(tape, "BTC/USDT:USDT", "ETH/USDT:USDT"), lake)
    server.faults.clear()
    missing = sum(f.missing for f in fetched)  # where a row was left out of two answers in a row
    bring(replace(wish_for(tape, "BTC/USDT:USDT", "ETH/USDT:USDT"), holes=True), lake)

    assert sum(rule.struck for rule in rules) >= 5
    assert missing == sum(6_000 - f.rows for f in fetched)
    assert np.array_equal(lake_rows(lake), tape_rows(tape))
    assert np.array_equal(
        lake_rows(lake, replace(BTC_BARS, symbol="ETHUSDT")), tape_rows(tape, "ETH/USDT:USDT")
    )


def test_what_had_come_before_a_venue_went_down_is_kept(tape: Tape, server: Server, lake: Lake) -> None:
    server.faults.add("bad-symbol", path="*/klines", after=8, times=None)

    with pytest.raises(LongshortError):
        bring(wish_for(tape), lake)
    kept = len(lake.read(BTC_BARS))
    server.faults.clear()
    bring(wish_for(tape), lake)

    assert 0 < kept < 6_000
    assert np.array_equal(lake_rows(lake), tape_rows(tape))


# The command line, as a person meets it.


def run(server: Server, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    child = server.child(arguments, **options)
    out, err = child.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, child.returncode, out, err)


def test_a_newcomer_fetches_checks_and_lists(tape: Tape, server: Server, tmp_path: Path) -> None:
    lake = str(tmp_path / "lake")
    wish = ["--symbols", "BTC/USDT:USDT", "--interval", "1h", "--since", "2023-11-15", "--from", "rest"]

    fetched = run(server, "fetch", *wish, "--mark", "--open-interest", "--lake", lake, "--json")
    again = run(server, "fetch", *wish, "--lake", lake)
    listed = run(server, "data", "list", "--lake", lake, "--json")

    assert fetched.returncode == again.returncode == listed.returncode == 0
    assert [(f["kind"], f["rows"], f["missing"]) for f in json.loads(fetched.stdout)] == [
        ("bars-1h", 100, 0), ("mark-1h", 100, 0), ("funding", 13, 0), ("open-interest-1h", 100, 0),
    ]  # fmt: skip
    assert "Nothing new: everything was in the lake already." in again.stdout
    assert {entry["symbol"] for entry in json.loads(listed.stdout)} == {"BTCUSDT"}
    assert read_instruments(Path(lake) / "binanceusdm")["BTCUSDT"].tick == BTC.tick


BAD = {
    "unknown venue": (["--venue", "binanse"], "Did you mean binanceusdm"),
    "closed venue": (["--venue", "bitmex"], "BitMEX stopped trading on 2026-09-23"),
    "unknown symbol": (["--symbols", "BTX/USDT:USDT"], "The nearest are BTC/USDT:USDT"),
    "spot symbol": (["--symbols", "BTC/USDT"], "is a spot symbol, and this is about futures. Write BTC/USDT:USDT"),
    "interval": (["--interval", "7m"], "has no bars of 7m. It has 1m, 3m, 5m"),
    "long interval": (["--interval", "1w"], "bars longer than a day are not kept"),
    "no interval": (["--interval", "hour"], "'hour' is not an interval"),
    "future": (["--since", "2031-01-01"], "2031-01-01 00:00Z has not come yet"),
    "end before start": (["--until", "2023-11-01"], "the end is not after the beginning"),
    "no date": (["--since", "yesterday"], "'yesterday' is not a date"),
    "no symbols": (["--symbols", ""], "--symbols is missing"),
    "lake": (["--lake", "/dev/null/lake"], "cannot be written: not a directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_that_helps(
    case: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options, sentence = BAD[case]
    usual = {"--symbols": "BTC/USDT:USDT", "--since": "2023-11-15", "--lake": str(tmp_path), "--from": "rest"}
    arguments = [word for option in {**usual, **dict([options])}.items() for word in option]

    monkeypatch.setattr("sys.argv", ["longshort", "fetch", *arguments])
    with pytest.raises(SystemExit) as left:
        main()

    error = capsys.readouterr().err.splitlines()[-1]
    assert left.value.code == 1
    assert error.startswith("error: ")
    assert sentence in error


def test_venues_says_what_each_offers_and_which_has_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["longshort", "venues"])
    with pytest.raises(SystemExit):
        main()

    said = capsys.readouterr().out
    rows = {line.split()[0]: line for line in said.splitlines() if line.startswith(" ") and line.strip()}
    assert {"binanceusdm", "binancecoinm", "bybit", "bingx", "bitget", "okx", "krakenfutures"} <= set(rows)
    assert "30 d" in rows["binanceusdm"]
    assert "5,000 rows" in rows["hyperliquid"]
    assert "BitMEX stopped trading on 2026-09-23" in said


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_fetch_goes_on_where_it_was(
    deadly: signal.Signals, tape: Tape, server: Server, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    wish = [
        "fetch", "--symbols", "BTC/USDT:USDT", "--interval", "1m", "--since", "2023-11-15", "--from", "rest",
        "--lake", str(lake.root),
    ]  # fmt: skip
    server.faults.add(stall(0.3), path="*/klines", after=9, times=None)
    child = server.child(wish)
    wait_until(lambda: server.count("*/klines") >= 11)
    child.send_signal(deadly)
    child.communicate(timeout=30)
    server.faults.clear()

    said = run(server, *wish)

    assert child.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[deadly]
    assert said.returncode == 0, said.stderr
    assert np.array_equal(lake_rows(lake), tape_rows(tape))
    assert {path.name for path in lake.path(BTC_BARS).parent.iterdir()} <= {
        "BTCUSDT.parquet",
        ".BTCUSDT.lock",
        ".parts",
    }


def wait_until(true: Callable[[], bool], *, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def test_following_at_600_times_the_speed_loses_and_repeats_nothing(
    tape: Tape, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FastClock(tape.first_at + 3 * HOUR, 600)
    told: list[Kept] = []

    def streamed() -> int:
        return sum(kept.streamed for kept in told)

    async def watch(server: Server) -> None:
        async with Exchange("binanceusdm") as exchange:
            exchange.client.timeout_on_exit = 20
            following = asyncio.create_task(
                follow(wish_for(tape), lake, exchange, told.append, round_ns=500_000_000)
            )
            for code in (1006, 1001, 1006):
                enough = streamed() + 8
                while streamed() < enough and not following.done():
                    await asyncio.sleep(0.05)
                server.disconnect(code)
            await asyncio.sleep(1.0)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following

    with loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)
        asyncio.run(watch(server))

    followed = lake_rows(lake)
    assert len(followed) > 180 + 24
    assert np.array_equal(followed, tape_rows(tape)[: len(followed)])
    assert sum(kept.corrected for kept in told) == 0
