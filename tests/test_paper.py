"""Paper trading decides, fills and pays as the backtest does, and its journal gives the account back."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longshort._commands import paper_desk
from longshort._commands.fit import bundle_folder
from longshort._commands.gap import replay_session
from longshort._commands.paper import Lines
from longshort._commands.paper_desk import paper_folder
from longshort.base.clock import MINUTE, SECOND
from longshort.base.errors import DataError, LongshortError
from longshort.base.settings import Study
from longshort.connect.messages import Message
from longshort.connect.routes import Route
from longshort.models.bundle import Bundle
from longshort.trading.paper.diary import NAME, Line, open_diary
from longshort.trading.paper.missed import cause_of
from tests.followed import SETTINGS, UNLIMITED, SteppedClock, start_of, tape_of, train_study
from tests.loopback import Server, Tape, loopback
from tests.paper import Trader, backtest_of, shaken, spy_on_orders, trade

CLOSES = 30
BACK = 70  # the close at which an exchange is back that was away for an hour
SHAKEN = 31  # ten closes and more past midnight: what was settled there is in the lake by then
LIBRARIES = "import ccxt.pro, nautilus_trader.backtest.engine, numba, polars, torch"
STARTS_IN_S, LONGEST_S = 12.0, 58.0  # three times what loading libraries takes, within these bounds


@pytest.fixture(scope="module")
def tape() -> Tape:
    return tape_of(BACK + 10)


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


def test_minutes_are_decided_as_in_the_backtest(
    server: Server, study: Study, tape: Tape, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = spy_on_orders(monkeypatch)

    async def script(trader: Trader) -> None:
        await trader.closes(1, CLOSES)

    lines = trade(study, tape, clock, script)

    assert [line["closed_at"] for line in decided(lines)] == [
        start_of(tape) + k * MINUTE for k in range(1, CLOSES + 1)
    ]
    assert missed(lines) == []
    paper = [order for order in orders if order[0] > start_of(tape)]  # not those of the rehearsal
    orders.clear()
    ledger = backtest_of(study, tape, CLOSES)
    waiting = [order for order in paper if order[0] == start_of(tape) + CLOSES * MINUTE]
    assert len(orders) > CLOSES
    assert paper == [*orders, *waiting]
    assert [line["equity"] for line in decided(lines)] == ledger.equity.tolist()


def decided(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["kind"] == "decided"]


def missed(lines: Sequence[Line]) -> list[int]:
    return [line["closed_at"] for line in decided(lines) if line["circumstances"]["missed"]]


def on_record(study: Study) -> list[Line]:
    with open_diary(paper_folder(study)) as diary:
        return list(diary.lines())


def quantities(line: Line) -> list[float]:
    return [position["quantity"] for position in line["positions"]]


def trade_and_kill(server: Server, study: Study, tape: Tape, clock: SteppedClock) -> None:
    """A process of its own, which sees time pass as it does, decides at one close and is then killed."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-W", "ignore", "-c", LIBRARIES], check=True)  # noqa: S603 our own interpreter
    starts_in_s = min(max(STARTS_IN_S, 3.0 * (time.monotonic() - began)), LONGEST_S)
    clock.jump(start_of(tape) + MINUTE - round(starts_in_s * SECOND))
    child = server.child(["paper", str(study.folder), "--json"])
    assert child.stdout
    assert any('"decided"' in line for line in iter(child.stdout.readline, ""))
    child.kill()
    child.communicate(timeout=30)
    if decided(on_record(study))[0]["closed_at"] != start_of(tape) + MINUTE:
        pytest.skip("this machine is so loaded that a process takes a minute to start")


def test_a_kill_and_a_silence_cost_decisions_and_nothing_else(
    server: Server, study: Study, tape: Tape, clock: SteppedClock
) -> None:
    trade_and_kill(server, study, tape, clock)
    before = on_record(study)
    clock.jump(start_of(tape) + 6 * MINUTE + 20 * SECOND)

    async def script(trader: Trader) -> None:
        await trader.until(lambda: trader.account.closed_to >= start_of(tape) + 6 * MINUTE)
        await trader.closes(7, 8)
        await asyncio.to_thread(server.disconnect, 1006)
        await trader.closes(9, 9)
        with server.down():
            clock.jump(start_of(tape) + BACK * MINUTE + 30 * SECOND)
            await asyncio.sleep(1.0)
        await trader.until(lambda: trader.account.closed_to >= start_of(tape) + BACK * MINUTE)
        await trader.closes(BACK + 1, BACK + 3)

    trade(study, tape, clock, script)

    lines, total = on_record(study), BACK + 3
    assert lines[: len(before)] == before
    assert [line["closed_at"] for line in decided(lines)] == [
        start_of(tape) + k * MINUTE for k in range(1, total + 1)
    ]
    away = [start_of(tape) + k * MINUTE for k in (*range(2, 7), *range(10, BACK + 1))]
    assert missed(lines) == [*missed(before), *away]
    reasons = [line["circumstances"]["missed"] for line in decided(lines) if line["closed_at"] in away]
    assert [cause_of(reason) for reason in reasons] == ["signal"] * 5 + ["data"] * (BACK - 9)
    ledger = backtest_of(study, tape, total, missed(lines))
    assert [quantities(line) for line in decided(lines)] == ledger.quantity.tolist()
    equity = [line["equity"] for line in decided(lines)]
    assert equity[:9] == ledger.equity[:9].tolist()
    assert equity[BACK:] == pytest.approx(ledger.equity[BACK:].tolist(), abs=1e-6)  # funding came late
    assert ledger.funding[9:BACK].any()
    assert (ledger.quantity[BACK:] != ledger.quantity[BACK - 1]).any()


def test_commands_from_another_terminal_are_followed(
    server: Server, study: Study, tape: Tape, clock: SteppedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Line] = []

    async def script(trader: Trader) -> None:
        await trader.closes(1, 3)
        told.append(paper_desk.status_of(study))
        paper_desk.flatten(study)
        await trader.closes(4, 6)
        told.append(paper_desk.status_of(study))
        paper_desk.flatten(study, rearm=True)
        await trader.closes(7, 8)
        told.append(paper_desk.status_of(study))
        with ThreadPoolExecutor() as elsewhere:  # the session waits for the loop's own threads
            await asyncio.get_running_loop().run_in_executor(elsewhere, paper_desk.stop, study)
        assert trader.session.stopping.is_set()

    lines = trade(study, tape, clock, script)

    held = [any(quantities(line)) for line in decided(lines)]
    assert held[1:] == [True, True, True, False, False, False, True]
    assert [one["running"] for one in told] == [True, True, True]
    assert [one["limits"] for one in told] == [[], ["kill-switch"], []]
    assert told[0]["last_close_at"] == start_of(tape) + 3 * MINUTE
    assert [one["switch"] for one in told] == ["", "told to flatten (command)", ""]
    assert told[0]["equity"] == decided(lines)[2]["equity"]
    assert not paper_desk.status_of(study)["running"]
    paper_desk.status(study)
    out, err = capsys.readouterr()
    assert "not running" in out
    assert "Told to be flat, told to flatten (command)" in err
    assert "objection (evaluation missing)" in err
    assert "Stopped. Positions stay as they are" in err
    with pytest.raises(DataError, match="no paper session of this study is running"):
        paper_desk.stop(study)


def test_status_says_how_the_model_does_and_what_its_papers_say(
    server: Server, study: Study, tape: Tape, clock: SteppedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def script(trader: Trader) -> None:
        await trader.closes(1, 5)

    lines = trade(study, tape, clock, script)
    capsys.readouterr()

    paper_desk.status(study)
    paper_desk.status(study, as_json=True)

    *page, last = capsys.readouterr().out.splitlines()
    words, plain = " ".join(" ".join(page).split()), json.loads(last)
    for position, close in zip(plain["positions"], (40_000.0, 4_000.0), strict=True):
        assert position["entry"] == pytest.approx(close, rel=0.1)
    assert [one["bars"] for one in plain["intervals"]] == [4, 1, 0]
    assert plain["intervals"] == decided(lines)[-1]["intervals"]
    assert f"1 bar {plain['intervals'][0]['multiple']:.2f} x" in words
    assert "24 bars 1.00 x 0 as it should be" in words
    assert [(one["paper"], one["objection"]) for one in plain["papers"]] == [
        ("data certificate", ""),
        ("model", "expired"),
        ("evaluation", "missing"),
        ("audit", "missing"),
    ]
    assert "model expired: the model expired at 2023-11-17 09:00Z. Run `longshort train STUDY`." in words
    assert "data certificate clean" in words
    assert len(page) < 40


def with_limits(study: Study, **changed: Any) -> Study:
    """The same study and bundle, with some limits."""
    return Study.parse(SETTINGS | changed, folder=study.folder)


def reached(lines: Sequence[Line]) -> dict[str, tuple[int, str]]:
    """When each limit was first reached, and what followed."""
    found = [line for line in lines if line["kind"] == "limit-reached"]
    return {line["cause"]: (line["closed_at"], line["action"]) for line in reversed(found)}


def added(lines: Sequence[Line], since: int) -> list[int]:
    """The closes at which some position had grown or turned, through what was decided since an instant."""
    held = [(line["closed_at"], np.array(quantities(line))) for line in decided(lines)]
    return [
        at
        for (decided_at, before), (at, now) in pairwise(held)
        if decided_at >= since and ((np.abs(now) > np.abs(before)) | (now * before < 0.0)).any()
    ]


@pytest.fixture
def phone(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What somebody's phone was told."""
    told: list[Message] = []

    def routes(urls: Sequence[str], folder: Path) -> list[Route]:
        return [Route(name="phone", send=told.append)]

    monkeypatch.setattr("longshort.connect.notify.routes_of", routes)
    return told


def test_intervals_that_do_not_hold_stop_additions_as_they_do_in_the_backtest(
    study: Study, tape: Tape, clock: SteppedClock, phone: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    wary = with_limits(study, limits={"max_band_multiple": 2.0, "coverage_stop": "broken"})

    async def script(trader: Trader) -> None:
        await trader.closes(1, SHAKEN)

    with loopback(shaken(tape, 12.0), clock=clock, weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)
        lines = trade(wary, tape, clock, script)

    found = reached(lines)
    assert {cause: action for cause, (_, action) in found.items()} == {
        "outside-band": "reduce only",
        "coverage": "reduce only",
    }
    first = min(at for at, _ in found.values())
    assert start_of(tape) + 4 * MINUTE < first < start_of(tape) + (SHAKEN - 8) * MINUTE
    assert added(lines, 0) != []
    assert added(lines, first) == []
    refused = [line for line in decided(lines) if line["wished"]["target"] != line["passed"]["target"]]
    assert min(line["closed_at"] for line in refused) >= first
    (broken,) = [line for line in decided(lines) if line["closed_at"] == found["coverage"][0]]
    assert "coverage" in broken["limits"]
    assert "broken" in [one["coverage"] for one in broken["intervals"]]
    assert decided(lines)[-1]["limits"][-1] == "outside-band"
    assert max(one["multiple"] for one in decided(lines)[-1]["intervals"]) > 2.0
    ledger = backtest_of(wary, tape, SHAKEN)
    assert [line["equity"] for line in decided(lines)] == ledger.equity.tolist()
    assert [quantities(line) for line in decided(lines)] == ledger.quantity.tolist()
    text = "\n".join(message.text for message in phone)
    assert "account: coverage, so reduce only (coverage is broken)" in text
    assert "account: outside-band, so reduce only (intervals are stretched" in text


def test_a_model_that_expires_adds_nothing_and_is_flat_after_the_grace_period(
    server: Server, study: Study, tape: Tape, clock: SteppedClock, phone: list[Message]
) -> None:
    trained_until = Bundle.load(bundle_folder(study)).trained_until
    expires_at = start_of(tape) + 5 * MINUTE
    old = with_limits(
        study,
        trading={"expires_after_bars": (expires_at - trained_until) // MINUTE},
        limits={"grace_minutes": 4.0},
    )

    async def script(trader: Trader) -> None:
        await trader.closes(1, 11)

    async def more(trader: Trader) -> None:
        await trader.closes(12, 13)

    trade(old, tape, clock, script)
    trade(old, tape, clock, more)

    lines = on_record(old)
    assert reached(lines) == {"model-expired": (expires_at, "reduce only, flatten after the grace period")}
    assert added(lines, 0) != []
    assert added(lines, expires_at) == []
    held = {line["closed_at"]: any(quantities(line)) for line in decided(lines)}
    assert [at for at, is_held in held.items() if at > start_of(tape) + MINUTE and not is_held] == [
        start_of(tape) + k * MINUTE for k in range(10, 14)
    ]
    ended = [line["closed_at"] for line in lines if line["kind"] == "grace-ended"]
    assert ended == [expires_at + 4 * MINUTE]
    text = "\n".join(message.text for message in phone)
    assert "account: model-expired, so reduce only, flatten after the grace period" in text
    (signal,) = [part for part in replay_session(old).gap.parts if part.cause == "signal"]
    assert (signal.money, signal.count) == (0.0, 0)  # a replay knows the date, too


def test_people_are_told_that_the_feed_is_stale(
    server: Server, study: Study, tape: Tape, clock: SteppedClock, phone: list[Message]
) -> None:
    async def script(trader: Trader) -> None:
        await trader.closes(1, 2)
        with server.down():
            clock.jump(start_of(tape) + 4 * MINUTE + 10 * SECOND)
            await trader.until(lambda: paper_desk.status_of(study)["feed_is_stale"])
        await trader.until(lambda: not paper_desk.status_of(study)["feed_is_stale"])

    trade(study, tape, clock, script)

    done = [line["what"] for line in on_record(study) if line["kind"] == "session"]
    assert done == ["started", "objection", "objection", "feed is stale", "feed is back", "stopped"]
    text = "\n".join(message.text for message in phone)
    assert "feed is stale" in text
    assert "feed is back" in text
    assert "there is no evaluation" in text


def test_a_machine_whose_clock_is_wrong_trades_by_that_of_the_venue(
    study: Study, tape: Tape, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    skew = 90 * SECOND
    slow = SteppedClock(clock.now() - skew)

    async def script(trader: Trader) -> None:
        for k in range(1, 5):
            slow.jump(start_of(tape) + k * MINUTE - SECOND // 20 - skew)
            await trader.until(lambda k=k: trader.account.closed_to >= start_of(tape) + k * MINUTE)
            await trader.until(lambda: not trader.account.awaited)

    with loopback(tape, clock=slow, weight_per_minute=UNLIMITED, skew=skew) as server:
        server.redirect(monkeypatch)
        lines = trade(study, tape, slow, script)

    assert missed(lines) == []
    assert [line["equity"] for line in decided(lines)] == backtest_of(study, tape, 4).equity.tolist()


def test_a_model_file_that_is_corrupt_ends_it_before_anything_is_touched(
    server: Server, study: Study, tape: Tape, clock: SteppedClock
) -> None:
    async def script(trader: Trader) -> None:
        await trader.closes(1, 2)

    trade(study, tape, clock, script)
    before = (paper_folder(study) / NAME).read_bytes()
    (weights,) = bundle_folder(study).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-40] + b"\0" * 40)

    with pytest.raises(LongshortError) as caught:
        trade(study, tape, clock, script)

    assert str(weights.parent) in str(caught.value)
    assert (paper_folder(study) / NAME).read_bytes() == before


def test_a_close_is_one_line_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    order = {"side": "buy", "quantity": 1.25, "symbol": "BTCUSDT"}
    close = {
        "kind": "decided",
        "closed_at": 0,
        "equity": 101_000.0,
        "midnight_equity": 100_000.0,
        "orders": [order],
    }
    fill = {"kind": "filled", "symbol": "BTCUSDT", "quantity": 1.25, "price": 39_000.5}

    show = Lines()
    show([close])
    show([fill])
    show([{**close, "orders": []}])

    assert capsys.readouterr().out.splitlines() == [
        "   closed at         equity    today  wishes and fills",
        "01-01 00:00Z     101,000.00   +1.00%  buy 1.25 BTCUSDT",
        " " * 40 + "filled +1.25 BTCUSDT at 39,000.5",
        "01-01 00:00Z     101,000.00   +1.00%  -",
    ]
