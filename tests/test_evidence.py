"""The evidence as a person meets it: opponents by name, topics in the terminal, other divisions, what a try leaves."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longshort.base.clock import HOUR
from longshort.base.errors import StudyError
from longshort.models.opponents.catalog import OPPONENTS, find_opponents
from longshort.study.case import Case
from longshort.study.evidence import TOPICS, drift, oracle
from longshort.study.metrics import row_losses

from .conftest import Said
from .judged import judged

STUDY = """\
[data]
source = "embedded"
embedded_coins = 2
embedded_bars = 3000

[model]
hidden = 8
seeds = [1]

[training]
steps = 10
check_every = 10
chunk_bars = 64
burn_in_bars = 16
batch_chunks = 8
processes = 1

[validation]
folds = 2
first_train_share = 0.8
opponents = []
"""


@pytest.fixture(scope="module")
def case() -> Case:
    return judged()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.toml").write_text(STUDY)
    return tmp_path


def test_the_forced_opponents_cannot_be_left_out() -> None:
    forced = {opponent.key for opponent in find_opponents([])}
    assert forced == {"naive", "drift", "seasonal", "expanding", "ewma", "har"}
    assert find_opponents(["all"]) == OPPONENTS


def test_an_opponent_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudyError, match="Did you mean prophet"):
        find_opponents(["prophett"])


@pytest.mark.parametrize("opponent", OPPONENTS, ids=lambda o: o.key)
def test_a_forecaster_has_the_name_that_the_catalog_says(opponent) -> None:
    assert opponent.make((1, 4)).name == opponent.name
    assert opponent.make((1, 4)).horizons == (1, 4)


def test_one_evaluation_leaves_all_topics_a_try_and_a_sheet(mine: Path, inside: Callable[..., Said]) -> None:
    said = inside("evaluate", "mine", "--json", cwd=mine)
    assert said.code == 0, said.err
    page = mine / json.loads(said.out.splitlines()[-1])["report"]
    found = json.loads(page.with_name("report.json").read_text())
    assert [section["key"] for section in found["sections"]] == ["oracle", *TOPICS]
    assert all(section["reading"] or section["missing"] for section in found["sections"])
    assert "summary.html" in page.read_text()
    assert page.with_name("summary.html").is_file()

    printed = inside("report", "mine", "trading", "failures", cwd=mine)
    assert printed.code == 0, printed.err
    assert next(s["title"] for s in found["sections"] if s["key"] == "trading") in printed.out
    assert next(s["title"] for s in found["sections"] if s["key"] == "risk") not in printed.out

    refused = inside("report", "mine", "nonsense", cwd=mine)
    assert refused.code == 1
    assert "no section 'nonsense'" in refused.err

    again = inside("evaluate", "mine", "--json", "--set", "policy.entry_cost_multiple=0.5", cwd=mine)
    beside = json.loads(
        (mine / json.loads(again.out.splitlines()[-1])["report"]).with_name("report.json").read_text()
    )
    assert (found["trials"], beside["trials"]) == (1, 2)
    kept = sqlite3.connect(mine / "mine" / "runs" / "trials.sqlite").execute(
        "SELECT length(daily) FROM trials"
    )
    assert [size > 0 for (size,) in kept] == [True, True]

    listed = inside("runs", "mine", "--json", cwd=mine)
    assert len(json.loads(listed.out)) == 2
    names = [str(mine / "mine" / "runs" / run["name"]) for run in json.loads(listed.out)]
    told = inside("compare", *names, cwd=mine)
    assert told.code == 0, told.err
    assert "policy.entry_cost_multiple" in told.out


def test_another_division_gives_parts_and_no_word_and_joins_the_next_report(
    mine: Path, inside: Callable[..., Said]
) -> None:
    said = inside("evaluate", "mine", "--scheme", "coins", "--json", cwd=mine)
    assert said.code == 0, said.err
    section = json.loads(said.out.splitlines()[-1])["section"]
    assert section["key"] == "coins"
    assert {row[0] for row in section["tables"][0]["rows"]} == {"SIM01USDT", "SIM02USDT"}
    report = inside("evaluate", "mine", "--json", cwd=mine)
    page = mine / json.loads(report.out.splitlines()[-1])["report"]
    found = json.loads(page.with_name("report.json").read_text())
    assert found["sections"][-1]["key"] == "coins"
    assert found["trials"] == 2  # the look at the coins counts
    (run,) = (mine / "mine" / "runs").glob("coins-*/run.json")
    run.write_text(run.read_text().replace(found["hashes"]["code"], "other"))
    later = inside("evaluate", "mine", "--json", cwd=mine)
    again = json.loads(
        (mine / json.loads(later.out.splitlines()[-1])["report"]).with_name("report.json").read_text()
    )
    assert again["sections"][-1]["key"] != "coins"  # other code made it
    refused = inside("evaluate", "mine", "--scheme", "coins", "--holdout", cwd=mine)
    assert refused.code == 1
    assert "no holdout" in refused.err


def test_prophet_is_a_model_of_its_own(mine: Path, inside: Callable[..., Said]) -> None:
    chosen = ("--set", "model.kind=prophet", "--set", "data.embedded_bars=2600")
    said = inside("forecast", "mine", "--json", *chosen, cwd=mine)
    assert said.code == 0, said.err
    assert all(np.isfinite(row["mean"]) and row["volatility"] > 0 for row in json.loads(said.out))
    judged = inside("evaluate", "mine", "--json", *chosen, cwd=mine)
    assert judged.code == 0, judged.err
    rows = json.loads(judged.out.splitlines()[-1])["rows"]
    assert {row["opponent"] for row in rows if row["question"] == "density"} == {
        "expanding volatility", "EWMA-t", "HAR-t",
    }  # fmt: skip
    assert all(row["n_instants"] > 300 for row in rows if row["metric"] == "crps")
    refused = inside("train", "mine", *chosen, cwd=mine)
    assert refused.code == 1
    assert "nothing to train" in refused.err


def test_opponents_are_listed_and_the_studys_own_marked(mine: Path, inside: Callable[..., Said]) -> None:
    said = inside("opponents", "mine", cwd=mine)
    assert said.code == 0, said.err
    lines = {line.split()[0]: line for line in said.out.splitlines() if line.split()}
    assert "always" in lines["har"]
    assert "yes" not in lines["lightgbm"]


def test_the_true_law_is_no_distance_from_itself(case: Case) -> None:
    gaps = oracle.behind(case)
    assert set(gaps) == {"LSTM", "HAR-t"}
    assert all(np.nanmean(gap) > 0.0 for gap in gaps.values())
    better = {
        name: dict(losses) | {"log_score": losses["log_score"] - 1.0} for name, losses in case.losses.items()
    }
    moved = oracle.behind(replace(case, losses=better))
    np.testing.assert_allclose(moved["LSTM"], gaps["LSTM"] - 1.0)


def test_outcomes_that_grow_wild_half_way_raise_an_alarm_after_that_and_not_before(case: Case) -> None:
    calm = drift.section(case)
    half = len(case.truth) // 2
    outcome = case.truth.outcome.copy()
    outcome[half:] *= 4.0
    truth = replace(case.truth, outcome=outcome)
    losses = {name: row_losses(forecast, truth) for name, forecast in case.walk.forecasts.items()}
    wild = drift.section(replace(case, truth=truth, losses=losses))
    at = case.panel.closed_at[half]
    early = [[row for row in told.tables[0].rows if row[1] < at] for told in (calm, wild)]
    wilder = ("spread of PIT-normal scores moved by +", "too many outcomes outside")
    said = [
        [row for row in told.tables[0].rows if any(word in row[3] for word in wilder)]
        for told in (calm, wild)
    ]
    assert early[0] == early[1]
    assert said[0] == []
    assert {row[0] for row in said[1][:2]} == {"residuals", "coverage"}
    assert all(at <= row[1] <= at + 48 * HOUR for row in said[1][:2])


def test_no_alarm_knows_an_outcome_before_it_has_come(case: Case) -> None:
    cut = len(case.truth) - 200
    outcome = case.truth.outcome.copy()
    outcome[cut:] = 9.0
    truth = replace(case.truth, outcome=outcome)
    losses = {name: row_losses(forecast, truth) for name, forecast in case.walk.forecasts.items()}
    before, after = (
        [row for row in drift.section(one).tables[0].rows if row[1] <= case.panel.closed_at[cut]]
        for one in (case, replace(case, truth=truth, losses=losses))
    )
    assert before == after
