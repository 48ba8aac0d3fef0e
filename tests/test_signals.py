"""Signals: what changed since it was last said, once, whatever crashes, and nothing that came too late to act on."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longshort._commands import fit
from longshort._commands.record import open_record
from longshort._commands.signals import RECORD, Asked, Desk, follow_on, once
from longshort._commands.watch import Watch, steering_of, trained_model
from longshort.base.clock import MINUTE, SECOND
from longshort.base.errors import DataError
from longshort.base.files import write_text
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import Simulation
from longshort.models.forecast import Forecast, StudentT
from longshort.policy.advice.signal import signals_of
from longshort.policy.exposure import Wishes
from longshort.study.following import Following
from longshort.study.market import load_bars
from tests.followed import SETTINGS, UNLIMITED, SteppedClock, exchange_of, start_of, tape_of, train_study
from tests.loopback import Server, Tape, loopback
from tests.webhook import Webhook, webhook

from .conftest import Said

FILE = (
    '[data]\nsource = "embedded"\nembedded_coins = 2\nembedded_bars = 2000\n[model]\nhidden = 4\nseeds = [1]\n'
    'anchor = "har"\n[training]\nsteps = 10\ncheck_every = 10\nbatch_chunks = 4\nprocesses = 1\n'
    '[policy]\nentry_cost_multiple = 0.0\n[notify]\nurls = ["file:told.txt"]\n'
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_text(folder / "study.toml", FILE)
    fit.train(Study.load(folder))
    return folder


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Study:
    shutil.copytree(trained, tmp_path / "study")
    return Study.load(tmp_path / "study")


def believed(row: Bars, mean: float = 0.01) -> Forecast:
    shape = (1, len(row.symbols), 3)
    law = StudentT(loc=np.full(shape, mean), scale=np.full(shape, 0.01), df=np.full(shape, 5.0))
    return Forecast(model="a law", closed_at=row.closed_at, symbols=row.symbols, horizons=(1, 4, 24), law=law)


def wished(*target: float, stop: float = np.nan) -> Wishes:
    return Wishes(np.array(target), np.full(len(target), stop), np.full(len(target), np.nan))


def test_only_what_differs_from_what_was_said_is_a_signal(simulation: Simulation) -> None:
    row = simulation.bars[-1:]
    said, held = np.array([0.1, 0.0, -0.2]), np.array([0.1, -0.3, 0.0])

    signals = signals_of(said, held, wished(np.nan, -0.3, 0.0, stop=0.02), believed(row), row, 4)

    assert [(s.symbol, s.action, s.side) for s in signals] == [
        ("SIM02USDT", "open", "short"),
        ("SIM03USDT", "close", "flat"),
    ]
    assert signals[0].stop == pytest.approx(float(row.close[0, 1]) * 1.02)
    assert np.isnan(signals[1].stop)
    assert signals[0].confidence + signals[1].confidence == pytest.approx(1.0)


def test_a_coin_without_a_bar_is_spoken_of_when_it_has_one(simulation: Simulation) -> None:
    row = simulation.bars[-1:]
    row.present[0, 1] = False

    signals = signals_of(np.zeros(3), np.full(3, 0.1), wished(0.1, 0.1, 0.1), believed(row), row, 4)
    row.present[0, 1] = True

    assert [s.symbol for s in signals] == ["SIM01USDT", "SIM03USDT"]


def test_what_was_said_is_not_said_again_and_a_late_close_says_nothing(
    study: Study, simulation: Simulation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars, path = simulation.bars, tmp_path / "runs" / RECORD
    asked = Asked(to=tmp_path / "signals.jsonl", as_json=True)

    def at(t: int, *, held: float, late: bool = False) -> list[str]:
        with open_record(path) as record:  # each time as if after a crash
            desk = Desk(study, record, steering_of(study, bars), asked)
            desk.steering.held = np.array([held, 0.0, 0.0])
            row = bars[t : t + 1]
            made = desk.close(believed(row), wished(held, np.nan, np.nan), row, late=late)
            desk.leave()
        return [f"{signal.action} {signal.target:g}" for signal in made]

    said = [
        at(100, held=0.1),
        at(101, held=0.1),
        at(102, held=-0.1, late=True),
        at(103, held=-0.1),
        at(104, held=0.0),
    ]

    assert said == [["open 0.1"], [], [], ["turn -0.1"], ["close 0"]]
    in_file = [json.loads(line) for line in (tmp_path / "signals.jsonl").read_text().splitlines()]
    assert [line["action"] for line in in_file] == ["open", "turn", "close"]
    assert len({line["id"] for line in in_file}) == 3
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [
        line["id"] for line in in_file
    ]
    told = (tmp_path / "runs" / "told.txt").read_text()
    assert told.count("SIM01USDT OPEN LONG: hold 10.0% of equity") == 1
    assert told.count("SIM01USDT CLOSE FLAT") == 1
    assert "verdict on profit: NEVER JUDGED" in told


def test_a_route_that_takes_nothing_is_named_and_the_signal_not_said_again(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = next(iter(study.folder.glob("bundle")))
    there = study.model_copy(
        update={"notify": study.notify.model_validate({"urls": [f"file:{blocked.resolve()}"]})}
    )

    first, second = once(there, Asked()), once(there, Asked())

    said = capsys.readouterr()
    assert len(first) == 2
    assert second == []
    assert "does not take messages" in said.err
    assert "1 message(s) were lost, the session ended" in said.err
    assert "Nothing new since" in said.err


def test_the_command_says_what_to_hold_and_then_that_nothing_is_new(
    study: Study, inside: Callable[..., Said]
) -> None:
    first = inside("signals", ".", "--json", cwd=study.folder)
    again = inside("signals", ".", "--json", cwd=study.folder)

    told = [json.loads(line) for line in first.out.splitlines()]
    assert {line["symbol"] for line in told} == {"SIM01USDT", "SIM02USDT"}
    assert all(line["action"] == "open" and line["verdict"] == "NEVER JUDGED" for line in told)
    assert (again.code, again.out) == (0, "")
    assert "Nothing new since" in again.err


# ---------------------------------------------------------------- following a venue

Live = Callable[..., Study]


class Killed(BaseException):
    """What no part of the program survives."""


@pytest.fixture(scope="module")
def tape() -> Tape:
    return tape_of(20)


@pytest.fixture(scope="module")
def followed(tape: Tape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_study(tape, tmp_path_factory.mktemp("followed")).folder


@pytest.fixture
def live(followed: Path, tmp_path: Path, web: Webhook) -> Live:
    """The study whose market is the loopback exchange; `more` goes into [notify], or into `policy`."""
    shutil.copytree(followed, tmp_path / "study")

    def study(policy: dict[str, Any] | None = None, **notify: Any) -> Study:
        told = {"urls": [web.url()], **notify}
        plain = SETTINGS | {"notify": told, "policy": SETTINGS["policy"] | (policy or {})}
        return Study.parse(plain, folder=tmp_path / "study")

    return study


@pytest.fixture
def web() -> Iterator[Webhook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def clock(tape: Tape) -> SteppedClock:
    return SteppedClock(start_of(tape) + SECOND)


@pytest.fixture
def server(tape: Tape, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server:
        server.redirect(monkeypatch)
        yield server


def on_record(study: Study) -> list[dict[str, Any]]:
    paths = study.folder.glob(f"runs/signals-*/{RECORD}")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def told_by_the_batch(study: Study, tape: Tape, closes: int) -> list[tuple[str, int, float]]:
    """Coin, close and size of every change that one who never stops would have said."""
    bars = load_bars(study)
    first = len(bars.until(start_of(tape)))
    steering = steering_of(study, bars)
    following = Following(trained_model(study, bars), steering, bars[:first])
    told: list[tuple[str, int, float]] = []
    for t in range(first, first + closes):
        before = steering.held
        following.step(bars[t : t + 1])
        told += [
            (bars.symbols[a], int(bars.closed_at[t]), float(steering.held[a]))
            for a in np.flatnonzero(steering.held != before)
        ]
    return told


def follow(study: Study, clock: SteppedClock, asked: Asked, script: Callable[[], Awaitable[None]]) -> None:
    """Follow the venue while a script moves the clock, until so many closes were seen or the script ends."""

    async def session() -> None:
        async with exchange_of(clock) as exchange, asyncio.timeout(60):
            following = asyncio.create_task(follow_on(Watch(study, exchange), asked))
            scripted = asyncio.create_task(started(script))
            await asyncio.wait([following, scripted], return_when=asyncio.FIRST_EXCEPTION)
            scripted.cancel()
            await following

    async def started(script: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(1.5)  # until streams are open
        await script()

    asyncio.run(session())


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.02)


def closing(
    study: Study, tape: Tape, clock: SteppedClock, first: int, last: int
) -> Callable[[], Awaitable[None]]:
    """A script: let closes come, each in time."""

    async def script() -> None:
        for k in range(first, last + 1):
            clock.jump(start_of(tape) + k * MINUTE - SECOND // 2)
            await until(lambda k=k: len(on_record(study)) >= k)

    return script


@pytest.mark.usefixtures("server")
def test_each_signal_reaches_file_and_webhook_once_in_order_over_a_restart(
    live: Live,
    tape: Tape,
    clock: SteppedClock,
    web: Webhook,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study, path = live(), tmp_path / "told" / "signals.jsonl"
    asked = Asked(follow=True, bars=3, to=path, as_json=True)

    follow(study, clock, asked, closing(study, tape, clock, 1, 3))
    follow(study, clock, asked, closing(study, tape, clock, 4, 6))

    in_file = lines_of(path)
    batch = told_by_the_batch(study, tape, 6)
    assert len(batch) > 6
    assert [(line["symbol"], line["id"], line["target"]) for line in in_file] == [
        (symbol, f"{symbol}-{at // SECOND}", target) for symbol, at, target in batch
    ]
    ether = [line for line in in_file if line["symbol"] == "ETHUSDT"]
    assert [line["before"] for line in ether] == [0.0, *[line["target"] for line in ether[:-1]]]
    assert [name for close in on_record(study) for name in close["signals"]] == [
        line["id"] for line in in_file
    ]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == in_file
    assert spoken(web) == [
        (line["symbol"], line["action"].upper(), line["closed_at"][11:16]) for line in in_file
    ]


def spoken(web: Webhook) -> list[tuple[str, str, str]]:
    """Coin, action and close of every signal that the webhook was told, in order."""
    words = [line.split() for line in web.text.splitlines()]
    first = [(line[2], line[3]) for line in words if "hold" in line]
    closes = [line[-1].rstrip("Z") for line in words if line[:2] == ["decided", "at"]]
    return [(*one, at) for one, at in zip(first, closes, strict=True)]


def test_a_crash_between_record_and_message_loses_that_message_and_repeats_none(
    server: Server, live: Live, tape: Tape, clock: SteppedClock, web: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = live()
    tell = Desk._tell  # pyright: ignore[reportPrivateUsage] where a crash does the most harm

    def crash_at_the_second(desk: Desk, signals: Any, row: Bars) -> None:
        if len(on_record(study)) == 2:
            raise Killed
        tell(desk, signals, row)

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(Desk, "_tell", crash_at_the_second)
        follow(study, clock, Asked(follow=True), closing(study, tape, clock, 1, 2))
    clock.jump(start_of(tape) + 2 * MINUTE + 10 * SECOND)
    follow(study, clock, Asked(follow=True, bars=1), closing(study, tape, clock, 3, 3))

    batch = told_by_the_batch(study, tape, 3)
    lost = start_of(tape) + 2 * MINUTE
    assert [at for _, at, _ in batch].count(lost) > 0
    assert [(symbol, at) for symbol, _, at in spoken(web)] == [
        (symbol, minute_of(at)) for symbol, at, _ in batch if at != lost
    ]


def minute_of(at: int) -> str:
    minutes = at // MINUTE % 1_440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def test_a_kill_while_the_webhook_takes_a_message_does_not_send_it_twice(
    server: Server, live: Live, tape: Tape, clock: SteppedClock, web: Webhook
) -> None:
    study = live()
    web.answers.clear()
    env = {**os.environ, "LONGSHORT_NOTIFY__URLS": json.dumps([web.url()])}
    child = server.child(["signals", str(study.folder), "--follow", "--json"], env=env)
    assert child.stdout
    assert child.stderr
    child.stderr.readline()
    clock.jump(start_of(tape) + MINUTE - SECOND // 2)
    said = json.loads(child.stdout.readline())
    asyncio.run(asyncio.wait_for(until(lambda: bool(web.bodies)), 30))
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    web.answers.set()

    clock.jump(start_of(tape) + MINUTE + 10 * SECOND)
    follow(study, clock, Asked(follow=True, bars=1), closing(study, tape, clock, 2, 2))

    batch = told_by_the_batch(study, tape, 2)
    wanted = [(symbol, minute_of(at)) for symbol, at, _ in batch]
    sent = [(symbol, at) for symbol, _, at in spoken(web)]
    lost = [
        one for one in wanted[1:] if one not in sent
    ]  # on record when the kill came, and not yet under way
    assert said["id"] == f"{batch[0][0]}-{batch[0][1] // SECOND}"
    assert sent == [one for one in wanted if one not in lost]
    assert {at for _, at in lost} <= {wanted[0][1]}


def test_nothing_is_said_where_nothing_changes(
    server: Server, live: Live, tape: Tape, clock: SteppedClock, web: Webhook, tmp_path: Path
) -> None:
    study, path = live(policy={"entry_cost_multiple": 1e9}), tmp_path / "signals.jsonl"

    follow(study, clock, Asked(follow=True, bars=3, to=path), closing(study, tape, clock, 1, 3))

    assert [line["signals"] for line in on_record(study)] == [[], [], []]
    assert (path.read_text(), web.bodies) == ("", [])


def test_signals_wait_for_the_end_of_quiet_hours_and_are_counted_in_the_daily_summary(
    server: Server, live: Live, tape: Tape, clock: SteppedClock, web: Webhook
) -> None:
    study = live(quiet_from="23:00", quiet_until="23:43", summary_at="23:45", zone="UTC")
    seen: list[int] = []

    async def script() -> None:
        await closing(study, tape, clock, 1, 2)()
        await asyncio.sleep(0.6)
        seen.append(len(web.bodies))
        await closing(study, tape, clock, 3, 3)()
        await until(lambda: len(web.bodies) > 0)
        await closing(study, tape, clock, 4, 5)()
        await until(lambda: "daily summary" in web.text)
        await closing(study, tape, clock, 6, 6)()

    follow(study, clock, Asked(follow=True, bars=6), script)

    batch = told_by_the_batch(study, tape, 6)
    assert seen == [0]
    assert web.bodies[0]["message"].startswith("While it was quiet:\n")
    early = [minute_of(at) for _, at, _ in batch if at <= start_of(tape) + 2 * MINUTE]
    first = [line[-6:-1] for line in web.bodies[0]["message"].splitlines() if "decided" in line]
    assert first[: len(early)] == early
    assert [(symbol, at) for symbol, _, at in spoken(web)] == [
        (symbol, minute_of(at)) for symbol, at, _ in batch
    ]
    (summary,) = [text for text in web.text.split("2023-11-15 ") if "daily summary" in text]
    by_then = [sum(at <= start_of(tape) + k * MINUTE for _, at, _ in batch) for k in (4, 5)]
    assert (
        int(summary.partition("signal: ")[2]) in by_then
    )  # one close falls on the very minute of the summary


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_said(study: Study) -> None:
    with pytest.raises(DataError, match="it cannot be written"):
        once(study, Asked(to=study.folder))

    assert on_record(study) == []
