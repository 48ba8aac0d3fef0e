"""`forecast --follow` at the loopback exchange: every close has its lines, in time, equal to the batch to the bit."""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longshort._commands import fit
from longshort._commands.following import RECORD, Table, follow_on
from longshort._commands.record import open_record
from longshort._commands.watch import Seen, Watch
from longshort.base.clock import MINUTE, SECOND, Interval
from longshort.base.errors import DataError
from longshort.base.settings import Study, to_toml
from longshort.connect.exchange import Exchange
from longshort.connect.pacing import Timing
from longshort.data.closing import Patience
from longshort.data.fetch import fetch
from longshort.data.lake import Lake
from longshort.data.tail import Tail
from longshort.data.wish import Wish
from longshort.study.market import load_bars
from tests.loopback import BTC, ETH, Server, Tape, loopback, random_walk
from tests.loopback.faults import Respond
from tests.loopback.wire import Answer, Request

HISTORY = 1_400  # bars in the lake before anybody follows
SYMBOLS = ("BTCUSDT", "ETHUSDT")
UNLIMITED = 10**9
SETTINGS: dict[str, Any] = {
    "data": {"interval": "1m"},
    "model": {"hidden": 4, "seeds": [1], "anchor": "har", "restart_rows": 32, "readout": 0},
    "training": {
        "steps": 10,
        "check_every": 10,
        "chunk_bars": 48,
        "burn_in_bars": 16,
        "batch_chunks": 4,
        "processes": 1,
    },
    "features": {"families": ["price", "range", "volume", "market"]},
    "validation": {"opponents": []},
}


class SteppedClock:
    """Runs as the machine's does, and jumps where a test says."""

    speed = 1.0

    def __init__(self, start_at: int) -> None:
        self.jump(start_at)

    def now(self) -> int:
        return self._at + time.monotonic_ns() - self._since

    def jump(self, at: int) -> None:
        """Let it be another time."""
        self._at, self._since = at, time.monotonic_ns()


@pytest.fixture(scope="module")
def tape() -> Tape:
    return random_walk((BTC, ETH), bars=HISTORY + 60)


@pytest.fixture(scope="module")
def trained(tape: Tape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its lake and its bundle."""
    folder = tmp_path_factory.mktemp("study")

    async def fill() -> None:
        async with Exchange("binanceusdm", timing=Timing(sleep=hurry)) as exchange:
            exchange.client.timeout_on_exit = 20
            wish = Wish(
                venue="binanceusdm",
                symbols=SYMBOLS,
                interval=Interval(MINUTE),
                since_at=tape.first_at,
                measures=("bars",),
                source="rest",
            )
            await fetch(wish, Lake(folder / "lake"), exchange, lambda *_: None)

    with (
        pytest.MonkeyPatch.context() as patch,
        loopback(tape, clock=SteppedClock(start_of(tape) + SECOND), weight_per_minute=UNLIMITED) as server,
    ):
        server.redirect(patch)
        asyncio.run(fill())
    study = Study.parse(SETTINGS, folder=folder)
    (folder / "study.toml").write_text(to_toml(study))
    fit.train(study)
    return folder


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Study:
    shutil.copytree(trained, tmp_path / "study")
    return Study.parse(SETTINGS, folder=tmp_path / "study")


@pytest.fixture
def clock(tape: Tape) -> SteppedClock:
    return SteppedClock(start_of(tape) + SECOND)


@pytest.fixture
def server(tape: Tape, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)
        yield server


def start_of(tape: Tape) -> int:
    return tape.first_at + HISTORY * MINUTE


async def hurry(seconds: float) -> None:
    """Waiting for a venue's pace or patience is tested elsewhere."""
    await asyncio.sleep(min(seconds, 0.01))


def followed(
    study: Study,
    clock: SteppedClock,
    script: Callable[[list[Seen]], Awaitable[None]],
    *,
    after: int | None = None,
    patience: Patience | None = None,
) -> list[Seen]:
    """What is seen while a script moves the clock."""
    seen: list[Seen] = []

    async def session() -> None:
        async with Exchange("binanceusdm", timing=Timing(clock=clock, sleep=hurry)) as exchange:
            exchange.client.timeout_on_exit = 20
            watch = Watch(study, exchange, patience=patience)
            await watch.prepare()

            async def look() -> None:
                async for one in watch.closes(after):
                    seen.append(one)  # noqa: PERF401 the script reads what has come so far

            looking = asyncio.create_task(look())
            try:
                async with asyncio.timeout(40):
                    await asyncio.sleep(0.7)  # until streams are open
                    await script(seen)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    asyncio.run(session())
    return seen


async def until(seen: list[Seen], count: int) -> None:
    while len(seen) < count:
        await asyncio.sleep(0.02)


def assert_equals_the_batch(study: Study, seen: list[Seen]) -> None:
    """The last forecast is the one that `longshort forecast` makes of the lake."""
    batch = fit.forecast(study)
    last = seen[-1].forecast
    assert batch.closed_at.tolist() == last.closed_at.tolist()
    assert np.array_equal(batch.law.loc, last.law.loc)
    assert np.array_equal(batch.law.scale, last.law.scale)
    assert np.isfinite(last.law.scale).all()


def without_ether(request: Request, respond: Respond) -> Answer:
    """The record does not have the bars of one coin yet."""
    answer = respond(request)
    return replace(answer, body=b"[]") if request.params["symbol"] == "ETHUSDT" else answer


def test_every_close_is_seen_in_time_and_equals_the_batch(
    server: Server, study: Study, tape: Tape, clock: SteppedClock
) -> None:
    async def script(seen: list[Seen]) -> None:
        for k in range(1, 6):
            clock.jump(start_of(tape) + k * MINUTE - SECOND // 2)
            await until(seen, k)

    seen = followed(study, clock, script)

    closes = [one.close.closed_at for one in seen]
    assert closes == [start_of(tape) + k * MINUTE for k in range(1, 6)]
    assert all(0.0 <= one.close.delay_s <= 2.0 for one in seen), [one.close.delay_s for one in seen]
    assert [one.close.missing for one in seen] == [()] * 5
    assert not any(one.is_late for one in seen)
    assert_equals_the_batch(study, seen)


def test_a_coin_without_a_bar_holds_up_nobody_and_is_made_up_for_at_the_next_close(
    server: Server, study: Study, tape: Tape, clock: SteppedClock
) -> None:
    async def script(seen: list[Seen]) -> None:
        clock.jump(start_of(tape) + MINUTE - SECOND // 2)
        await until(seen, 1)
        server.sockets.silent = True
        server.faults.add(without_ether, path="*/klines", times=None)
        clock.jump(start_of(tape) + 2 * MINUTE - SECOND // 2)
        await until(seen, 2)
        server.sockets.silent = False
        server.faults.clear()
        clock.jump(start_of(tape) + 3 * MINUTE - SECOND // 2)
        await until(seen, 3)

    seen = followed(study, clock, script)

    assert [one.close.missing for one in seen] == [(), ("ETHUSDT",), ()]
    assert seen[1].row.present.tolist() == [[True, False]]
    assert seen[1].close.delay_s <= 2.0
    assert seen[2].close.changed_at == seen[1].close.closed_at
    assert_equals_the_batch(study, seen)


def test_a_venue_that_is_away_is_waited_for_and_what_it_missed_is_marked_late(
    server: Server, study: Study, tape: Tape, clock: SteppedClock
) -> None:
    async def script(seen: list[Seen]) -> None:
        clock.jump(start_of(tape) + MINUTE - SECOND // 2)
        await until(seen, 1)
        with server.down():
            clock.jump(start_of(tape) + 4 * MINUTE - 2 * SECOND)
            await asyncio.sleep(2.5)
            assert len(seen) == 1
            clock.jump(start_of(tape) + 4 * MINUTE + 30 * SECOND)
        await until(seen, 4)
        clock.jump(start_of(tape) + 5 * MINUTE - SECOND // 2)
        await until(seen, 5)

    seen = followed(study, clock, script)

    assert [one.close.closed_at for one in seen] == [start_of(tape) + k * MINUTE for k in range(1, 6)]
    assert [one.is_late for one in seen] == [False, True, True, True, False]
    assert [one.close.missing for one in seen] == [()] * 5
    assert_equals_the_batch(study, seen)


def test_who_comes_back_says_what_closed_meanwhile_and_nothing_twice(
    server: Server, study: Study, tape: Tape, clock: SteppedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[list[dict[str, Any]]] = []

    async def session(bars: int) -> None:
        async with Exchange("binanceusdm", timing=Timing(clock=clock, sleep=hurry)) as exchange:
            exchange.client.timeout_on_exit = 20
            async with asyncio.timeout(40):
                await follow_on(Watch(study, exchange), bars, lambda lines: shown.append(list(lines)))

    async def first() -> None:
        following = asyncio.create_task(session(1))
        await asyncio.sleep(1.5)
        clock.jump(start_of(tape) + MINUTE - SECOND // 2)
        await following

    asyncio.run(first())
    clock.jump(start_of(tape) + 4 * MINUTE + 10 * SECOND)
    asyncio.run(session(3))

    (path,) = study.folder.glob(f"runs/follow-*/{RECORD}")
    on_record = [json.loads(line) for line in path.read_text().splitlines()]
    keys = [(line["closed_at"], line["symbol"], line["horizon_bars"]) for line in on_record]
    assert len(keys) == len(set(keys)) == 4 * 2 * 3
    assert [line for close in shown for line in close] == [without(line, "whole") for line in on_record]
    assert sorted({at for at, _, _ in keys}) == [
        f"2023-11-15T23:{minute}:00+00:00" for minute in (21, 22, 23, 24)
    ]
    assert [close[0]["late"] for close in shown] == [False, True, True, True]
    assert "Going on after 2023-11-15 23:21Z" in capsys.readouterr().err


def without(line: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != key}


def test_a_close_that_a_crash_cut_off_is_said_again_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / RECORD
    at = ["2024-01-01T00:00:00+00:00", "2024-01-01T01:00:00+00:00"]
    with open_record(path) as record:
        record.append([{"closed_at": at[0], "n": 1}, {"closed_at": at[0], "n": 2}])
        record.append([{"closed_at": at[1], "n": 3}, {"closed_at": at[1], "n": 4}])
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)

    for cut in range(len(b"".join(lines[:2])), len(whole)):
        path.write_bytes(whole[:cut])
        with open_record(path) as record:
            assert record.last_at == 1_704_067_200 * SECOND
            assert path.read_bytes() == b"".join(lines[:2])


def test_two_may_not_follow_one_study_at_once(tmp_path: Path) -> None:
    with (
        open_record(tmp_path / RECORD),
        pytest.raises(DataError, match="another process is following this study"),
        open_record(tmp_path / RECORD),
    ):
        pass


def test_ctrl_c_ends_it_with_code_130(server: Server, study: Study, clock: SteppedClock, tape: Tape) -> None:
    child = server.child(["forecast", str(study.folder), "--follow", "--json"])
    lines: list[str] = []
    assert child.stdout
    assert child.stderr
    greeting = child.stderr.readline() + child.stderr.readline()
    clock.jump(start_of(tape) + MINUTE - SECOND // 2)
    lines += [child.stdout.readline() for _ in range(6)]
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)

    assert child.returncode == 130, err
    assert "the next close is in" in greeting
    assert {json.loads(line)["symbol"] for line in lines} == set(SYMBOLS)
    assert (out, "Ended; the same command goes on" in err) == ("", True)


def test_a_study_without_a_venue_cannot_be_followed(study: Study) -> None:
    bars = load_bars(study)
    settings = study.data.model_copy(update={"until": "2023-11-15"})

    with pytest.raises(DataError, match=r"data.until ends the study's bars on 2023-11-15"):
        Tail(Lake(study.folder / "lake"), settings, bars)


def test_the_tail_lays_rows_as_the_whole_lake_does(study: Study) -> None:
    lake = Lake(study.folder / "lake")
    settings = study.data.model_copy(update={"cleaning": "mask"})
    bars = load_bars(study.model_copy(update={"data": settings}))
    tail = Tail(lake, settings, bars, rows=200)
    tail._reach = 700 * MINUTE  # pyright: ignore[reportPrivateUsage] a tail that ends well inside the lake

    laid = tail.lay()

    assert 650 < len(laid) < 750
    assert laid[-100:].digest() == bars[-100:].digest()


def test_the_table_has_aligned_lines_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    line = {
        "closed_at": "2024-01-01T00:00:00+00:00", "price": 37_499.8, "absent": False, "late": True, "delay_s": 300.0,
        "symbol": "BTCUSDT", "horizon_bars": 1, "mean": 0.001, "volatility": 0.0123, "p_up": 0.512,
        "q0.05": -0.02, "q0.25": -0.01, "q0.50": 0.001, "q0.75": 0.01, "q0.95": 0.02,
    }  # fmt: skip
    silent = {**line, "symbol": "ETHUSDT", "absent": True, "p_up": float("nan")}

    Table()([line, {**line, "horizon_bars": 4}, silent])

    assert capsys.readouterr().out.splitlines() == [
        "   closed at coin             close bars  P(up)    vol     5 %  median    95 %",
        "01-01 00:00Z BTCUSDT       37,499.8    1  51.2%  1.23%  -2.00%  +0.10%  +2.00%",
        "                                       4  51.2%  1.23%  -2.00%  +0.10%  +2.00%",
        "             ETHUSDT         absent    1      ?      ?       ?       ?       ?",
        "late: 5 min after its close; no bar in time: ETHUSDT",
    ]
