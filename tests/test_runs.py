"""The folders of runs, read back: lineage, differences, and when two figures may not be held against each other."""

import json
import os
from pathlib import Path

import pytest

from longshort._commands.runs import compare, runs
from longshort.base.errors import DataError
from longshort.study.lineage import compare_runs, find_run, runs_of

STUDY = '[data]\nsource = "embedded"\nembedded_bars = {bars}\n[target]\nhorizons = [1]\n[model]\nhidden = {hidden}\n'


def write_run(
    study: Path, name: str, *, at: int, bars: int = 3_000, hidden: int = 8, sharpe: float = 0.5
) -> Path:
    folder = study / "runs" / name
    folder.mkdir(parents=True)
    hashes = {"study": f"s{hidden}-{bars}", "data": f"d{bars}", "code": "c1"}
    (folder / "study.toml").write_text(STUDY.format(bars=bars, hidden=hidden))
    (folder / "run.json").write_text(
        json.dumps({"hashes": hashes, "versions": {"torch": "2.13"}, "seeds": [1]})
    )
    report = {
        "title": "Walk-forward",
        "model": "LSTM",
        "folds": [{"test_from": 10, "test_until": bars, "train_until": 9_000_000_000}],
        "verdicts": [
            {
                "question": "density",
                "horizon_bars": 1,
                "word": "BEATS",
                "hardest": {"unit": "% of CRPS", "skill": 0.4},
            },
            {"question": "profit", "horizon_bars": 1, "word": "NO EDGE", "hardest": None},
        ],
        "scores": {"LSTM": {"1": {"crps": 0.0036, "log_score": -3.7, "accuracy": None}}},
        "coverage": {"LSTM": {"1": {"0.9": 0.91}}},
        "profits": [{"name": "LSTM", "net_return": 0.01, "sharpe": sharpe}],
    }
    (folder / "report.json").write_text(json.dumps(report))
    os.utime(folder / "run.json", (at, at))
    return folder


def write_bundle(study: Path, digest: str) -> None:
    (study / "bundle").mkdir()
    (study / "bundle" / "bundle.json").write_text(json.dumps({"weights": "w1", "hashes": {"study": digest}}))


def test_runs_are_told_oldest_first_with_their_lineage(tmp_path: Path) -> None:
    write_run(tmp_path, "evaluate-bbbbbb-dddddd", at=200, hidden=16)
    write_run(tmp_path, "evaluate-aaaaaa-dddddd", at=100)
    write_bundle(tmp_path, "s16-3000")

    first, second = runs_of(tmp_path)

    assert (first.name, first.kind, first.parent, first.bundle) == (
        "evaluate-aaaaaa-dddddd",
        "evaluate",
        "",
        "",
    )
    assert (second.parent, second.bundle) == ("evaluate-aaaaaa-dddddd", "w1")
    assert first.words == {"density 1": "BEATS", "profit 1": "NO EDGE"}
    assert first.trained_until == 9_000_000_000
    assert first.figures == {
        "CRPS, bp, 1 ahead": 36.0,
        "log loss, nats, 1 ahead": -3.7,
        "90 % interval covers, %, 1 ahead": 91.0,
        "skill: density, 1 ahead, % of CRPS": 0.4,
        "net return, %": 1.0,
        "Sharpe ratio, per year": 0.5,
    }


def test_only_what_differs_is_told(tmp_path: Path) -> None:
    write_run(tmp_path, "evaluate-aaaaaa-dddddd", at=100)
    write_run(tmp_path, "evaluate-bbbbbb-dddddd", at=200, hidden=16, sharpe=0.75)

    found = compare_runs(*runs_of(tmp_path))

    assert [(d.what, d.name, d.first, d.second) for d in found.differences] == [
        ("setting", "model.hidden", 8, 16),
        ("hash", "study", "s8-3000", "s16-3000"),
    ]
    assert [(d.name, d.first, d.second) for d in found.figures] == [("Sharpe ratio, per year", 0.5, 0.75)]
    assert found.obstacles == ()


def test_runs_on_other_data_are_not_comparable(tmp_path: Path) -> None:
    write_run(tmp_path, "evaluate-aaaaaa-dddddd", at=100)
    write_run(tmp_path, "holdout-bbbbbb-eeeeee", at=200, bars=4_000)

    assert compare_runs(*runs_of(tmp_path)).obstacles == (
        "one is of kind evaluate, the other of kind holdout",
        "they differ in data.embedded_bars",
        "their bars are not the same",
        "they tested different stretches of time",
    )


def test_a_name_may_be_shortened_while_it_is_unmistakable(tmp_path: Path) -> None:
    write_run(tmp_path, "evaluate-aaaaaa-dddddd", at=100)
    write_run(tmp_path, "evaluate-abbbbb-dddddd", at=200)
    found = runs_of(tmp_path)

    assert find_run(found, "evaluate-ab", tmp_path).name == "evaluate-abbbbb-dddddd"
    with pytest.raises(DataError, match="may be evaluate-aaaaaa-dddddd, evaluate-abbbbb-dddddd"):
        find_run(found, "evaluate", tmp_path)
    with pytest.raises(DataError, match=r"there is no run 'nope'\. There are: evaluate-aaaaaa-dddddd"):
        find_run(found, "nope", tmp_path)


def test_settings_are_those_of_the_run_not_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, "evaluate-aaaaaa-dddddd", at=100)
    monkeypatch.setenv("LONGSHORT_MODEL__HIDDEN", "99")

    assert runs_of(tmp_path)[0].settings["model"] == {"hidden": 8}


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not a JSON file"), ("[]", "it holds no record"), ("{}", "it is no record of a run")],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str, message: str) -> None:
    folder = write_run(tmp_path, "evaluate-aaaaaa-dddddd", at=100)
    (folder / "run.json").write_text(content)

    with pytest.raises(DataError, match=f"evaluate-aaaaaa-dddddd.*{message}"):
        runs_of(tmp_path)


def test_the_commands_print_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, "evaluate-aaaaaa-dddddd", at=100)
    write_run(tmp_path, "evaluate-bbbbbb-dddddd", at=200, hidden=16, sharpe=0.75)

    runs(tmp_path, as_json=False)
    compare(tmp_path / "evaluate-a", tmp_path / "runs" / "evaluate-bbbbbb-dddddd", as_json=False)
    told = capsys.readouterr().out
    runs(tmp_path, as_json=True)
    listed = json.loads(capsys.readouterr().out)

    assert "density BEATS 1" in told
    assert "model.hidden" in told
    assert "+0.25" in told
    assert [run["name"] for run in listed] == ["evaluate-aaaaaa-dddddd", "evaluate-bbbbbb-dddddd"]


def test_a_place_without_runs_is_no_error_and_no_place_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(tmp_path, as_json=False)

    assert capsys.readouterr().out.startswith("No runs in")
    with pytest.raises(DataError, match="no such study"):
        runs(tmp_path / "nowhere", as_json=False)
