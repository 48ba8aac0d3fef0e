"""`longshort audit` as a person or a script meets it: what it prints, what it writes, and how it ends."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from longshort._commands.audit import Asked, audit
from longshort.base.errors import DataError, StudyError
from longshort.base.settings import Study
from longshort.study.audit.record import Audit, Finding
from longshort.study.audit.words import place, recalled, remedies, verdict
from longshort.web.audit import Provenance, audit_section, render_audit
from tests.test_foreign import denoised, last_of, smoothed, table, walk

CLEAN = Finding(stage="features", check="truncation", outcome="clean", looked=9, detail="every bar of 11,973")
LEAK = Finding(
    stage="<b>mine</b>", check="truncation", outcome="leak", looked=4, detail="mine[0] knew what came",
    row=1_234, at=1_704_067_200_000_000_000, where="mine[0]", size=0.25,
)  # fmt: skip
WARNED = Finding(
    stage="1 ahead", check="persistence", outcome="warning", looked=9, detail="like the last value"
)
UNRUN = Finding(stage="models", check="shuffled target", outcome="not run", looked=0, detail="it refits")
DOUBTED = Finding(
    stage="LSTM", check="plausibility", outcome="implausible", looked=9, detail="71 %", where="direction"
)
TINY = """\
[data]
source = "embedded"
embedded_coins = 2
embedded_bars = 2000

[features]
names = ["return_1", "range_24"]

[target]
horizons = [1, 4]

[model]
hidden = 4
seeds = [1, 2]
restart_rows = 32

[training]
steps = 10
chunk_bars = 48
burn_in_bars = 12
batch_chunks = 4
processes = 1

[validation]
folds = 3
first_train_share = 0.8
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def forecasts(folder: Path, price: np.ndarray, forecast: np.ndarray) -> Path:
    path = folder / "lstm.csv"
    pl.DataFrame(table(price, forecast)).write_csv(path)
    return path


def test_a_file_that_cannot_be_believed_ends_with_2_and_says_why(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    price = walk(1)

    code = audit(None, Asked(forecasts=forecasts(here, price, last_of(denoised(price)))))

    said = capsys.readouterr()
    assert code == 2
    assert "Too good to be true: Predicted Value (" in said.out
    assert "remedy: Ask for the code" in said.out
    assert "They are levels: they lie near the price." in said.err
    assert "Too good to be true" in (here / "runs" / "lstm-audit" / "audit.html").read_text()


def test_a_file_that_only_repeats_the_last_value_ends_with_0_and_a_warning(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    price = walk(2)

    code = audit(None, Asked(forecasts=forecasts(here, price, smoothed(price))))

    assert code == 0
    assert "Nothing is too good to be true: " in capsys.readouterr().out


def test_json_is_one_value_with_the_verdict_and_every_finding(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    price = walk(3)

    audit(None, Asked(forecasts=forecasts(here, price, price), as_json=True))

    printed = json.loads(capsys.readouterr().out)
    written = json.loads((here / "runs" / "lstm-audit" / "audit.json").read_text())
    assert printed["outcome"] == "leak"
    assert printed["exit_code"] == 2
    assert printed["findings"] == written["findings"]
    assert {"stage", "check", "outcome", "looked", "detail", "p", "seconds"} <= printed["findings"][0].keys()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Asked(), "nothing to audit. Name a study, or a file with --forecasts FILE."),
        (Asked(forecasts=Path("a.csv"), columns=("px",)), "--column 'px' is not understood"),
        (
            Asked(forecasts=Path("a.csv"), kind="prices"),
            "--as 'prices' is not known. Write levels or returns.",
        ),
        (
            Asked(forecasts=Path("a.csv"), stamped="now"),
            "--stamped 'now' is not known. Write target or made.",
        ),
    ],
)
def test_what_is_not_understood_is_refused(asked: Asked, sentence: str) -> None:
    with pytest.raises(StudyError, match=re.escape(sentence)):
        audit(None, asked)


def test_a_file_that_is_not_there_is_refused(here: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        audit(None, Asked(forecasts=here / "nothing.csv"))


def test_a_study_is_audited_written_down_and_shown_in_its_report(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longshort._commands.audit.SECONDS", 8.0)
    monkeypatch.setattr("longshort._commands.audit.LEAST_SECONDS", 8.0)
    (here / "study.toml").write_text(TINY)
    study = Study.load(here)

    code = audit(study, Asked())

    said = capsys.readouterr()
    [folder] = (here / "runs").glob("audit-*")
    record = json.loads((folder / "audit.json").read_text())
    assert code == 0, said.out
    assert "Nothing leaks: " in said.out
    assert "Looked at with 2 folds and 1 seed" in said.err
    assert record["hashes"]["study"] == study.digest()
    assert "Nothing leaks: " in audit_section(record, record["hashes"])


def test_the_verdict_names_what_leaks_before_what_is_too_good() -> None:
    assert verdict(Audit(findings=(CLEAN, WARNED, UNRUN))) == (
        "Nothing leaks: 2 checks of 2 parts; 1 warning to read. 1 check not run."
    )
    assert verdict(Audit(findings=(DOUBTED, LEAK, CLEAN))) == (
        "It leaks: <b>mine</b> (truncation). Too good to be true: LSTM (direction)."
    )
    assert verdict(Audit(findings=(UNRUN,))) == "Nothing was checked."


def test_a_leak_has_its_row_instant_size_and_a_remedy() -> None:
    assert place(LEAK) == "row 1,234, 2024-01-01 00:00Z, mine[0], off by 0.25"
    assert remedies(Audit(findings=(LEAK, LEAK)))[0].startswith("Compute each row from rows up to it alone")


def test_an_audit_is_recalled_from_what_was_written() -> None:
    whole = Audit(findings=(CLEAN, LEAK, DOUBTED), title="t", seed=3, seconds=1.5)

    assert recalled(whole.to_json()) == whole


def test_the_page_holds_every_finding_and_escapes_all_text() -> None:
    page = render_audit(
        Audit(findings=(CLEAN, LEAK, DOUBTED), title="Audit"),
        Provenance(created_at=0, notes=("<i>note</i>",)),
    )

    assert "<b>mine</b>" not in page
    assert "&lt;b&gt;mine&lt;/b&gt;, truncation:" in page
    assert "&lt;i&gt;note&lt;/i&gt;" in page
    assert "every bar of 11,973" in page
    assert "row 1,234, 2024-01-01 00:00Z" in page
    assert not re.search(r"(src|href)=\"?https?:", page)


def test_a_report_says_when_its_study_was_not_audited_or_by_other_code() -> None:
    record = Audit(findings=(CLEAN,)).to_json()
    record |= {"created_at": 0, "hashes": {"study": "s", "data": "d", "code": "c"}}

    assert "Not audited: run" in audit_section(None, {"study": "s", "data": "d"})
    assert "Not audited: run" in audit_section(record, {"study": "s", "data": "other", "code": "c"})
    assert "by another version of the program" in audit_section(
        record, {"study": "s", "data": "d", "code": "x"}
    )
    assert "another version" not in audit_section(record, {"study": "s", "data": "d", "code": "c"})
