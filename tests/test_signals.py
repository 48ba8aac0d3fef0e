"""Signals: what changed since it was last said, once, whatever crashes, and nothing that came too late to act on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from longshort._commands import fit
from longshort._commands.record import open_record
from longshort._commands.signals import RECORD, Asked, Desk, once
from longshort._commands.watch import steering_of
from longshort.base.files import write_text
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import Simulation
from longshort.models.forecast import Forecast, StudentT
from longshort.policy.advice.signal import signals_of
from longshort.policy.exposure import Wishes

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
            desk.send(last=True)
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
