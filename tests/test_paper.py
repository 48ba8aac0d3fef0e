"""Paper trading decides, fills and pays as the backtest does, and its journal gives the account back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshort.base.clock import MINUTE, SECOND
from longshort.base.settings import Study
from tests.loopback import Server, Tape, loopback
from tests.paper import (
    SETTINGS,
    UNLIMITED,
    SteppedClock,
    Trader,
    backtest_of,
    spy_on_orders,
    start_of,
    tape_of,
    trade,
    train_study,
)

CLOSES = 60


@pytest.fixture(scope="module")
def tape() -> Tape:
    return tape_of(CLOSES + 10)


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


def test_an_hour_of_minutes_is_decided_as_in_the_backtest(
    server: Server, study: Study, tape: Tape, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = spy_on_orders(monkeypatch)

    async def script(trader: Trader) -> None:
        await trader.closes(1, CLOSES)

    lines = trade(study, tape, clock, script)

    decided = [line for line in lines if line["kind"] == "decided"]
    assert [line["closed_at"] for line in decided] == [
        start_of(tape) + k * MINUTE for k in range(1, CLOSES + 1)
    ]
    assert not [line["circumstances"]["missed"] for line in decided if line["circumstances"]["missed"]]
    paper = [order for order in orders if order[0] > start_of(tape)]  # not those of the rehearsal
    orders.clear()
    ledger = backtest_of(study, tape, CLOSES)
    waiting = [order for order in paper if order[0] == start_of(tape) + CLOSES * MINUTE]
    assert len(orders) > CLOSES
    assert paper == [*orders, *waiting]
    assert [line["equity"] for line in decided] == ledger.equity.tolist()
