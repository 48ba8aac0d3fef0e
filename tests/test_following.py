"""`forecast --follow` at the loopback exchange: every close has its lines, in time, equal to the batch to the bit."""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sized
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from longshort._commands import fit
from longshort._commands.following import RECORD, Table, follow_on
from longshort._commands.record import open_record
from longshort._commands.watch import Seen, Watch
from longshort.base.clock import HOUR, MINUTE, SECOND
from longshort.base.errors import DataError
from longshort.base.settings import Study
from longshort.connect.exchange import Exchange
from longshort.data.bars import Bars
from longshort.data.closing import Close, Patience
from longshort.data.lake import Lake, Measure
from longshort.data.tail import Tail
from longshort.data.wish import Wish
from longshort.models.bundle import Bundle
from longshort.models.forecast import Forecast
from longshort.study.market import load_bars
from tests.followed import (
    HISTORY,
    SETTINGS,
    SYMBOLS,
    UNLIMITED,
    SteppedClock,
    exchange_of,
    fill,
    start_of,
    tape_of,
    train_study,
)
from tests.loopback import BTC, ETH, Server, Tape, loopback, random_walk
from tests.loopback.faults import Effect, Respond
from tests.loopback.tape import Samples
from tests.loopback.wire import Answer, Request


@pytest.fixture(scope="module")
def tape() -> Tape:
    return tape_of(60)


@pytest.fixture(scope="module")
def trained(tape: Tape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_study(tape, tmp_path_factory.mktemp("study")).folder


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
        async with exchange_of(clock) as exchange:
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


async def until(seen: Sized, count: int) -> None:
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
        async with exchange_of(clock) as exchange:
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
        f"2023-11-15T23:{minute}:00+00:00" for minute in (41, 42, 43, 44)
    ]
    assert [close[0]["late"] for close in shown] == [False, True, True, True]
    assert "Going on after 2023-11-15 23:41Z" in capsys.readouterr().err


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
        "closed_at": "2024-01-01T00:00:00+00:00", "price": 37_499.8, "absent": False, "unknown": ["funding"],
        "late": True, "delay_s": 300.0, "symbol": "BTCUSDT", "horizon_bars": 1, "mean": 0.001,
        "volatility": 0.0123, "p_up": 0.512,
        "q0.05": -0.02, "q0.25": -0.01, "q0.50": 0.001, "q0.75": 0.01, "q0.95": 0.02,
    }  # fmt: skip
    silent = {**line, "symbol": "ETHUSDT", "absent": True, "p_up": float("nan")}

    Table()([line, {**line, "horizon_bars": 4}, silent])

    assert capsys.readouterr().out.splitlines() == [
        "   closed at coin             close bars  P(up)    vol     5 %  median    95 %",
        "01-01 00:00Z BTCUSDT       37,499.8    1  51.2%  1.23%  -2.00%  +0.10%  +2.00%",
        "                                       4  51.2%  1.23%  -2.00%  +0.10%  +2.00%",
        "             ETHUSDT         absent    1      ?      ?       ?       ?       ?",
        "late: 5 min after its close; no bar in time: ETHUSDT; funding not told yet: BTCUSDT, ETHUSDT",
    ]


# ---------------------------------------------------------------- what is measured beside bars

STEP = 5 * MINUTE
MEASURES: tuple[Measure, ...] = ("bars", "funding", "mark", "index", "open-interest")
NAMES = [
    "return_1",
    "funding_elapsed",
    "funding_change",
    "basis_index",
    "premium",
    "next_payment",
    "open_interest_1",
]
DERIVED = SETTINGS | {
    "data": {"interval": "5m"},
    "features": {"names": NAMES},
}
CALM = Patience(ask_s=0.02, deadline_s=20.0)  # what is told late is hidden by a test, not by a busy machine


@pytest.fixture(scope="module")
def derivatives() -> Tape:
    """Settles at the fourth close after the history, five milliseconds late, as venues do."""
    tape = random_walk(
        (BTC, ETH), bars=HISTORY + 150, interval=STEP, start_at=8 * HOUR * 50_000 - (HISTORY + 4) * STEP
    )
    return Tape(tuple(replace(reel, funding=_later(reel.funding)) for reel in tape.reels))


def _later(samples: Samples) -> Samples:
    return Samples(samples.at + 5_000_000, samples.value)


@pytest.fixture(scope="module")
def trained_on_derivatives(derivatives: Tape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_study(derivatives, tmp_path_factory.mktemp("derived"), DERIVED, measures=MEASURES).folder


@pytest.fixture
def derived(trained_on_derivatives: Path, tmp_path: Path) -> Study:
    shutil.copytree(trained_on_derivatives, tmp_path / "study")
    return Study.parse(DERIVED, folder=tmp_path / "study")


@pytest.fixture
def steps(derivatives: Tape) -> SteppedClock:
    return SteppedClock(start_of(derivatives) + SECOND)


@pytest.fixture
def venue(derivatives: Tape, steps: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with loopback(derivatives, clock=steps, weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)
        yield server


def of_the_lake(study: Study, tape: Tape, clock: SteppedClock, closes: int) -> Bars:
    """The bars that the lake holds when the venue has told everything, up to so many closes after the history."""
    clock.jump(start_of(tape) + (closes + 5) * STEP)
    asyncio.run(fill(study, tape, clock, MEASURES))
    return load_bars(study).until(start_of(tape) + closes * STEP)


def batch_of(study: Study, bars: Bars, closes: int) -> Forecast:
    """What a batch makes of bars, at the last so many closes."""
    bundle = Bundle.load(fit.bundle_folder(study))
    panel = fit.going_on(study, bundle, bars)
    return bundle.fitted.predict(panel, range(len(panel) - closes, len(panel)))


def figures(forecast: Forecast, symbol: str) -> list[list[float]]:
    """What is told of a coin, in the order of the record: all of it, to the bit."""
    rows = forecast.to_polars().filter(symbol=symbol).drop("closed_at", "symbol").rows()
    return [list(row) for row in rows]


def on_record(study: Study, symbol: str) -> list[dict[str, Any]]:
    (path,) = study.folder.glob(f"runs/follow-*/{RECORD}")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [without(line, "whole") for line in lines if line["symbol"] == symbol]


def told_figures(study: Study, symbol: str) -> list[list[float]]:
    about = ("closed_at", "price", "absent", "unknown", "late", "delay_s", "symbol")
    return [[v for name, v in line.items() if name not in about] for line in on_record(study, symbol)]


def without_funding_of(symbol: str) -> Effect:
    """The record does not have the settlements of one coin yet."""

    def effect(request: Request, respond: Respond) -> Answer:
        answer = respond(request)
        return replace(answer, body=b"[]") if request.params["symbol"] == symbol else answer

    return effect


def test_funding_mark_and_open_interest_are_followed_to_the_bit_of_the_batch(
    venue: Server, derived: Study, derivatives: Tape, steps: SteppedClock
) -> None:
    async def script(seen: list[Seen]) -> None:
        for k in range(1, 8):
            steps.jump(start_of(derivatives) + k * STEP - SECOND // 2)
            await until(seen, k)

    seen = followed(derived, steps, script, patience=CALM)

    batch = batch_of(derived, of_the_lake(derived, derivatives, steps, 7), 7)
    assert [one.close.closed_at for one in seen] == batch.closed_at.tolist()
    assert [bool(np.isfinite(one.row.funding_rate).all()) for one in seen] == [k == 4 for k in range(1, 8)]
    assert [one.close.changed_at for one in seen[1:]] == [None] * 6
    assert {unknown for one in seen for unknown in one.unknown.values()} == {()}
    assert np.array_equal(np.concatenate([one.forecast.law.loc for one in seen]), batch.law.loc)
    assert np.array_equal(np.concatenate([one.forecast.law.scale for one in seen]), batch.law.scale)


def test_late_funding_is_flagged_never_zero_and_changes_no_forecast_that_was_given(
    venue: Server, derived: Study, derivatives: Tape, steps: SteppedClock
) -> None:
    given: list[bytes] = []
    hidden = dict.fromkeys(range(1, 8), lambda: None) | {4: venue.faults.clear}

    async def session() -> None:
        async with exchange_of(steps) as exchange, asyncio.timeout(60):
            watch = Watch(derived, exchange, patience=CALM)
            closes: list[int] = []
            following = asyncio.create_task(follow_on(watch, 7, lambda lines: closes.append(len(lines))))
            await asyncio.sleep(1.5)
            venue.faults.add(without_funding_of("ETHUSDT"), path="*/fundingRate", times=None)
            for k in range(1, 8):
                steps.jump(start_of(derivatives) + k * STEP - SECOND // 2)
                await until(closes, k)
                given.append(record_of(derived).read_bytes())
                hidden[k]()
            await following

    asyncio.run(session())

    bars = of_the_lake(derived, derivatives, steps, 7)
    unsettled = with_funding(bars, 3, float("nan"))
    assert all(later.startswith(earlier) for earlier, later in pairwise(given))
    assert told_figures(derived, "BTCUSDT") == figures(batch_of(derived, bars, 7), "BTCUSDT")
    ether, full, partial = (
        told_figures(derived, "ETHUSDT"),
        figures(batch_of(derived, bars, 7), "ETHUSDT"),
        figures(batch_of(derived, unsettled, 7), "ETHUSDT"),
    )
    assert ether[:12] == partial[:12]
    assert ether[:9] == full[:9]
    assert ether[12:] == full[12:]
    assert ether[9:12] != full[9:12]
    assert ether[9:12] != figures(batch_of(derived, with_funding(bars, 3, 0.0), 7), "ETHUSDT")[9:12]
    flagged = [line["unknown"] for line in on_record(derived, "ETHUSDT")]
    assert flagged == [[]] * 9 + [["funding"]] * 3 + [[]] * 9
    assert [line["unknown"] for line in on_record(derived, "BTCUSDT")] == [[]] * 21


def record_of(study: Study) -> Path:
    (path,) = study.folder.glob(f"runs/follow-*/{RECORD}")
    return path


def with_funding(bars: Bars, k: int, rate: float) -> Bars:
    """Bars in which the second coin's settlement at the k-th of the last seven closes reads otherwise."""
    row = len(bars) - 7 + k
    rates, covered = bars.funding_rate.copy(), bars.funding_covered.copy()
    rates[row, 1] = rate
    covered[row:, 1] = covered[row:, 1] & np.isfinite(rate)
    return replace(bars, funding_rate=rates, funding_covered=covered)


class Corrected:
    """Closes of the lake; long after the fourth, the second coin's settlement there turns out to be another."""

    def __init__(self, _exchange: Exchange, tail: Tail, _wish: Wish, **_: object) -> None:
        self._tail = tail

    async def closes(self, from_at: int) -> AsyncGenerator[Close]:
        series = self._tail.of("ETHUSDT", "funding")
        assert series
        right = self._tail.read(series)
        at = datetime.fromtimestamp((from_at + 4 * STEP) // SECOND, UTC)
        wrong = right.with_columns(
            pl.col("rate") + 0.01 * pl.col("settled_at").is_between(at, at + timedelta(seconds=1))
        )
        rows = dict.fromkeys(range(1, 141), wrong) | {141: right, 142: right}
        for k, told in rows.items():
            changed_at = self._tail.put(series, told)
            at_once = from_at + k * STEP
            yield Close(
                closed_at=at_once, known_at=at_once, missing=(), changed_at=changed_at if k > 1 else None
            )


@pytest.mark.usefixtures("venue")
def test_a_change_from_before_what_the_features_can_be_put_back_to_is_made_up_for(
    derived: Study, derivatives: Tape, steps: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longshort._commands.watch.Closing", Corrected)
    steps.jump(start_of(derivatives) + 142 * STEP + 20 * MINUTE)

    async def session() -> list[Seen]:
        async with exchange_of(steps) as exchange:
            watch = Watch(derived, exchange)
            await watch.prepare()
            return [seen async for seen in watch.closes(start_of(derivatives))]

    seen = asyncio.run(session())

    batch = batch_of(derived, of_the_lake(derived, derivatives, steps, 142), 142)
    assert seen[140].close.changed_at == start_of(derivatives) + 4 * STEP
    same = [bool((one.forecast.law.scale == batch.law.scale[k]).all()) for k, one in enumerate(seen)]
    assert same[:3] == [True] * 3
    assert not any(same[3:99])
    assert same[140:] == [True, True]
