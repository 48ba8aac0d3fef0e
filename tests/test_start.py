import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from longshort._commands import check as certificates
from longshort._commands import data, start
from longshort._commands.terminal import progress, say_table
from longshort.base.clock import SECOND, SystemClock
from longshort.base.errors import DataError, StudyError
from longshort.base.settings import DataSettings, Study
from longshort.data.files.importer import ImportOptions
from longshort.data.lake import Lake, Series
from longshort.data.market import load_bars
from tests.test_lake import make_funding, make_rows

HEAVY = ("torch", "pandas", "ccxt", "nautilus_trader", "numpy", "polars", "numba", "scipy")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONWARNINGS", "COLUMNS"}}
    return subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "longshort", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def fill(root: Path, *series: Series) -> None:
    for one in series:
        Lake(root).write(one, make_rows(list(range(48))))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_template_lists_every_setting_at_its_default() -> None:
    tables = tomllib.loads(start.TEMPLATE.read_text())

    assert Study.parse(tables) == Study()
    assert {name: list(table) for name, table in tables.items()} == {
        name: list(getattr(Study(), name).model_dump()) for name in tables
    }
    assert list(tables) == [name for name in Study.model_fields if name != "folder"]


def test_every_setting_in_the_template_has_a_comment_or_a_self_evident_name() -> None:
    lines = [
        line for line in start.TEMPLATE.read_text().splitlines() if " = " in line and not line.startswith("#")
    ]
    bare = {line.split(" = ")[0] for line in lines if "#" not in line}

    assert bare == {"dropout", "batch_chunks", "learning_rate", "weight_decay"}


def test_without_a_lake_a_new_study_runs_on_the_embedded_market(here: Path) -> None:
    start.init("mine")

    study = Study.load(here / "mine")
    assert study.data == DataSettings(source="embedded")
    assert load_bars(study.data, study.folder).venue == "embedded"


def test_a_new_study_beside_a_lake_takes_every_series_in_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(here / "lake", Series("bybit", "bars-1h", "BTCUSDT"), Series("bybit", "bars-1h", "ETHUSDT"))

    start.init("mine")

    study = Study.load(here / "mine")
    assert study.data == DataSettings()
    assert load_bars(study.data, study.folder).symbols == ("BTCUSDT", "ETHUSDT")
    assert "on 2 series of 1h bars of bybit" in capsys.readouterr().out


def test_a_new_study_names_the_venue_and_interval_where_the_lake_leaves_a_choice(here: Path) -> None:
    fill(
        here / "lake",
        Series("bybit", "bars-1m", "BTCUSDT"),
        Series("kraken", "bars-1m", "BTCUSDT"),
        Series("kraken", "bars-1m", "ETHUSDT"),
    )

    start.init("mine")

    assert Study.load(here / "mine").data == DataSettings(venue="kraken", interval="1m")


def test_a_lake_with_nothing_but_funding_is_no_lake_for_a_study(here: Path) -> None:
    Lake(here / "lake").write(Series("bybit", "funding", "BTCUSDT"), make_funding([0, 8]))

    start.init("mine")

    assert Study.load(here / "mine").data.source == "embedded"


def test_an_existing_study_is_never_overwritten(here: Path) -> None:
    start.init("mine")
    before = (here / "mine" / "study.toml").read_bytes()

    with pytest.raises(StudyError, match=r"mine/study\.toml: there is a study already"):
        start.init("mine")
    assert (here / "mine" / "study.toml").read_bytes() == before


def test_config_show_prints_what_is_in_effect(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start.init("mine")
    capsys.readouterr()

    study = Study.load(here / "mine", ["target.horizons=[1, 4]", "model.hidden=16"])
    start.config_show(study)

    assert Study.parse(tomllib.loads(capsys.readouterr().out)) == Study.parse(study.model_dump())


def test_the_doctor_finds_everything_here(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine = start.doctor(as_json=True)

    findings = {f["what"]: f for f in json.loads(capsys.readouterr().out)}
    assert fine
    assert {"python", "numpy", "torch", "processors", "disk", "memory", "lake", "clock"} <= set(findings)
    assert findings["lake"]["remedy"].startswith("longshort import")


def test_the_doctor_names_the_remedy_for_what_is_missing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = start._version
    monkeypatch.setattr(
        start, "_version", lambda library: "" if library in {"scipy", "nautilus_trader"} else known(library)
    )

    fine = start.doctor(as_json=False)

    out = capsys.readouterr().out
    assert not fine
    assert "pip install longshort" in out
    assert 'pip install "longshort[trade]"' in out
    assert "1 to put right." in out


def test_the_doctor_sees_a_clock_that_is_behind_the_bars(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(here / "lake", Series("bybit", "bars-1h", "BTCUSDT"))

    fine = start.doctor(as_json=False, now=1_600_000_000 * SECOND)

    assert not fine
    assert "behind a bar of 2024-01-02 23:00Z" in capsys.readouterr().out


def test_import_and_check_speak_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_rows(list(range(48))).write_parquet(here / "BTCUSDT.parquet")

    data.import_into_lake(
        [Path("BTCUSDT.parquet")], ImportOptions(venue="binanceusdm"), lake="", as_json=True
    )
    imported = json.loads(capsys.readouterr().out)
    fine = certificates.check(lake="", venue="", as_json=True)
    checked = json.loads(capsys.readouterr().out)

    assert (imported[0]["symbol"], imported[0]["added"]) == ("BTCUSDT", 48)
    assert fine
    assert [c["grade"] for c in checked] == ["clean"]
    assert (here / "lake" / "binanceusdm" / "bars-1h" / "BTCUSDT.parquet").is_file()


def test_check_tells_a_broken_series_and_says_so_to_the_shell(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(here / "lake", Series("bybit", "bars-1h", "BTCUSDT"))
    (here / "lake" / "bybit" / "bars-1h" / "BTCUSDT.parquet").write_bytes(b"")

    assert not certificates.check(lake="", venue="", as_json=False)
    assert "1 series: 1 broken." in capsys.readouterr().out
    assert run("check", cwd=here).returncode == 1


def test_an_empty_lake_is_nothing_to_check(here: Path) -> None:
    (here / "lake").mkdir()

    with pytest.raises(DataError, match="there is nothing to check"):
        certificates.check(lake="", venue="", as_json=False)


def test_facts_stand_beside_each_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start.init("mine")
    study = Study.load(here / "mine", ["data.embedded_coins=2", "data.embedded_bars=2000"])
    capsys.readouterr()

    data.facts(study, lake="", venue="", interval="1h", as_json=True)

    captured = capsys.readouterr()
    assert json.loads(captured.out)["embedded"]["coins"] == 2
    assert "no lake" in captured.err


def test_an_error_is_one_line_on_stderr_and_exit_code_one(tmp_path: Path) -> None:
    done = run("import", "nowhere.parquet", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: nowhere.parquet: no such file.\n"
    assert not (tmp_path / "lake").exists()


def test_help_and_the_command_line_load_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom longshort.__main__ import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )

    done = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.splitlines()[-1] == "[]"
    assert "import" in done.stdout


def test_progress_is_plain_lines_where_piped(capsys: pytest.CaptureFixture[str]) -> None:
    class Slow(SystemClock):
        at = 0

        def now(self) -> int:
            self.at += 4 * SECOND
            return self.at

    with progress(Slow()) as report:
        for done in range(11):
            report("training", done, 10)

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training 0/10, 0 s"
    assert lines[-1] == "training 10/10, 40 s"
    assert 4 <= len(lines) <= 6
    assert "about" in lines[1]


def test_a_table_aligns_numbers_and_interprets_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    say_table("Fills [all]", ["coin", ">bars"], [["[red]BTC", "9"], ["ETH", "10,000"]])

    out = capsys.readouterr().out
    assert "Fills [all]" in out
    assert "[red]BTC" in out
    assert "     9" in out
