"""A paper session held against its replay: what its journal says is split into causes, to the cent."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longshort._commands import gap as command
from longshort._commands.gap import Replayed, gap_lines, on_record, replay_session
from longshort._commands.paper import Asked, paper
from longshort._commands.paper_desk import paper_folder
from longshort.base.clock import MINUTE, SECOND, Interval
from longshort.base.errors import DataError, StudyError
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.execution import Finer, laid_under
from longshort.policy.decider import Script
from longshort.policy.ledger import run_ledger
from longshort.policy.pace import at_pace
from longshort.study.gap.split import CAUSES
from longshort.study.market import load_bars
from longshort.trading.paper.diary import NAME, Line
from longshort.trading.paper.guarded import Circumstances
from tests.followed import SETTINGS, UNLIMITED, SteppedClock, start_of, tape_of, train_study
from tests.loopback import loopback
from tests.paper import Trader, trade

from .accounts import wishes
from .conftest import Said
from .test_pace import aggregated, some_minutes

CLOSES = 16
LATE = (6, 7)  # closes that were decided on too late
CENT = 0.01


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was paper-traded for a while; two of its decisions came too late."""
    tape = tape_of(70)
    study = train_study(tape, tmp_path_factory.mktemp("study"))
    clock = SteppedClock(start_of(tape) + SECOND)

    async def script(trader: Trader) -> None:
        await trader.closes(1, LATE[0] - 1)
        in_time = trader.account.ask
        trader.account.ask = lambda _: Circumstances(missed="it came 9.0 s after the close")
        await trader.closes(LATE[0], LATE[-1])
        trader.account.ask = in_time
        await trader.closes(LATE[-1] + 1, CLOSES)

    with (
        pytest.MonkeyPatch.context() as patch,
        loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server,
    ):
        server.redirect(patch)
        trade(study, tape, clock, script)
    return study.folder


@pytest.fixture(scope="module")
def honest(session: Path) -> Replayed:
    """The session as it was, replayed."""
    return replay_session(Study.parse(SETTINGS, folder=session))


@pytest.fixture
def study(session: Path, tmp_path: Path) -> Study:
    shutil.copytree(session, tmp_path / "study")
    return Study.parse(SETTINGS, folder=tmp_path / "study")


def money(found: Replayed) -> dict[str, float]:
    return {part.cause: part.money for part in found.gap.parts}


def edit(study: Study, change: Callable[[list[Line]], None]) -> None:
    """Rewrite the journal as if something else had been booked."""
    path = paper_folder(study) / NAME
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def pay(lines: list[Line], since: int, amount: float) -> None:
    """Let money be gone from some line on."""
    for line in lines[since:]:
        if line["kind"] == "decided":
            line["cash"] -= amount
            line["equity"] -= amount


def first_fill(lines: list[Line]) -> int:
    return next(n for n, line in enumerate(lines) if line["kind"] == "filled")


def dearer(lines: list[Line]) -> None:
    """The first fill, an entry, for 7 more, and the fee of that."""
    n = first_fill(lines)
    fill, fee = lines[n], 7.0 * 5.0 / 1e4
    fill["price"] += 7.0 / fill["quantity"]
    fill["notional"] += 7.0 if fill["quantity"] > 0 else -7.0
    fill["fee"] += fee if fill["quantity"] > 0 else -fee
    paid = fee if fill["quantity"] > 0 else -fee
    fill["realized"] -= 7.0
    pay(lines, n, 7.0 + paid)


def charged(lines: list[Line]) -> None:
    n = first_fill(lines)
    lines[n]["fee"] += 3.0
    pay(lines, n, 3.0)


def funded(lines: list[Line]) -> None:
    taken_out(lines)
    decided = next(line for line in lines[len(lines) // 2 :] if line["kind"] == "decided")
    decided["funding"] += 2.0


def taken_out(lines: list[Line]) -> None:
    pay(lines, len(lines) // 2, 2.0)


def older(lines: list[Line]) -> None:
    """As a program wrote it that did not tell funding."""
    for line in lines:
        line.pop("funding", None)
        line.pop("insurance", None)


def test_late_decisions_are_all_that_sets_an_honest_session_apart(honest: Replayed) -> None:
    found, parts = honest, money(honest)

    assert found.gap.closes == CLOSES
    assert abs(parts["latency"]) > CENT
    assert parts["latency"] == pytest.approx(found.gap.total, abs=1e-6)
    assert {c: m for c, m in parts.items() if c != "latency"} == pytest.approx(
        dict.fromkeys([c for c in CAUSES if c != "latency"], 0.0), abs=1e-6
    )
    assert [p.count for p in found.gap.parts if p.cause in ("data", "signal", "fee", "funding")] == [0] * 4


@pytest.mark.parametrize(
    ("change", "cause", "lost"),
    [(dearer, "fill", 7.0), (charged, "fee", 3.0), (funded, "funding", 2.0), (taken_out, "transfer", 2.0)],
)
def test_what_was_booked_otherwise_shows_in_its_own_part(
    study: Study, honest: Replayed, change: Callable[[list[Line]], None], cause: str, lost: float
) -> None:
    edit(study, change)

    before, after = money(honest), money(replay_session(study))

    moved = {name: after[name] - before[name] for name in CAUSES}
    assert moved == pytest.approx(dict.fromkeys(CAUSES, 0.0) | {cause: -lost}, abs=CENT)


def test_a_journal_that_does_not_tell_funding_is_read_as_before_and_says_so(
    study: Study, honest: Replayed
) -> None:
    edit(study, older)
    found = replay_session(study)
    edit(study, taken_out)
    without = replay_session(study)

    assert money(found) == pytest.approx(money(honest), abs=1e-6)
    assert money(without)["funding"] == pytest.approx(money(found)["funding"] - 2.0, abs=1e-6)
    assert money(without)["transfer"] == 0.0
    assert gap_lines(found)[-1].startswith("Begun by an older program: money moved by hand is not told")
    assert gap_lines(honest)[-1].startswith("Booked: ")


def test_a_record_that_was_corrected_later_shows_in_data(
    study: Study, honest: Replayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(study: Study) -> Bars:
        bars = load_bars(study)
        factor = np.ones(bars.close.shape)
        factor[-CLOSES + 3 : -CLOSES + 5] = 1.01
        return replace(bars, **{n: getattr(bars, n) * factor for n in ("open", "high", "low", "close")})

    monkeypatch.setattr(command, "load_bars", later)

    before, after = money(honest), money(replay_session(study))

    moved = {name: after[name] - before[name] for name in CAUSES}
    assert abs(moved["data"]) > CENT
    assert {c: m for c, m in moved.items() if c != "data"} == pytest.approx(
        dict.fromkeys([c for c in CAUSES if c != "data"], 0.0), abs=1e-6
    )


def test_the_backtest_fills_on_the_bars_that_the_study_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hourly wishes with tight exits: on minutes they are left at other prices than on hours."""
    minutes = some_minutes(30, seed=3)
    hours = aggregated(minutes)
    target = np.tile([0.4, -0.3], (len(hours), 1))
    exits = np.full(target.shape, 0.002)
    exposure = replace(wishes(hours, target), stop=exits, take=exits)
    settings = {"data": {"interval": "1h"}, "trading": {"execution_interval": "1m"}}
    plain = Study.parse({"data": {"interval": "1h"}})

    def laid(_data: object, _folder: object, interval: Interval, decision: Bars) -> Finer:
        return laid_under(decision, minutes) if interval.ns == MINUTE else {}[interval]

    monkeypatch.setattr(command, "load_finer", laid)
    executed, decided = on_record(Study.parse(settings), hours, lambda: Script(exposure))
    alike = on_record(plain, hours, lambda: Script(exposure))

    costs, fine = plain.costs.record, laid_under(hours, minutes).bars
    on_minutes = run_ledger(fine, at_pace(exposure, fine.closed_at), costs)
    np.testing.assert_allclose(decided.equity, run_ledger(hours, exposure, costs).equity, rtol=0, atol=1e-8)
    np.testing.assert_allclose(executed.equity, on_minutes.equity[59::60], rtol=0, atol=1e-8)
    assert abs(executed.equity[-1] - decided.equity[-1]) > 1.0
    assert alike[0] is alike[1]
    np.testing.assert_array_equal(alike[1].equity, decided.equity)


def test_the_table_fits_a_terminal_and_the_json_has_every_part(
    session: Path, honest: Replayed, inside: Callable[..., Said]
) -> None:
    said = inside("report", session.name, "--live", "--json", cwd=session.parent)

    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert sum(part["money"] for part in told["gap"]["parts"]) == pytest.approx(told["total"], abs=1e-8)
    lines = gap_lines(honest)
    assert max(len(line) for line in lines) <= 80
    assert [line.split()[0] for line in lines[2:-1]] == [*CAUSES, "total"]


def test_a_session_of_another_model_is_refused(study: Study) -> None:
    other = study.model_copy(update={"costs": study.costs.model_copy(update={"taker_bps": 1.0})})

    with pytest.raises(DataError, match="other settings or another model"):
        replay_session(other)


def test_there_must_be_a_session(tmp_path: Path, study: Study) -> None:
    shutil.rmtree(paper_folder(study))

    with pytest.raises(DataError, match="no session here"):
        replay_session(study)


def test_a_market_that_closes_is_not_traded_on_paper() -> None:
    with pytest.raises(StudyError, match="this study keeps the hours of XNYS"):
        paper(Study.parse({"data": {"calendar": "XNYS", "interval": "1d"}}), Asked())


def test_a_session_says_that_the_backtest_looks_closer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(study: Study) -> str:
        raise DataError("there is no lake.")

    monkeypatch.setattr("longshort._commands.paper.venue_of", nowhere)
    fine = Study.parse({"data": {"interval": "1h"}, "trading": {"execution_interval": "1m"}})
    for study in (Study.parse({"data": {"interval": "1h"}}), fine):
        with pytest.raises(DataError, match="there is no lake"):
            paper(study, Asked())

    said = " ".join(capsys.readouterr().err.split())
    assert said == (
        "Exits are looked for on 1h bars; a backtest looks on 1m ones. What that makes of money, "
        "`longshort report STUDY --live` counts under fill."
    )
