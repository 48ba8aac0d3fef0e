"""Papers of a model: each objection appears exactly when its paper is missing, stale, failed, expired or another's."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import HOUR
from longshort.base.errors import BundleError, DataError
from longshort.base.files import write_json
from longshort.base.settings import Study
from longshort.study.arming.gate import Objection, objections, require, told
from longshort.study.arming.papers import (
    AUDIT,
    EVALUATION,
    HOLDOUT,
    UNKNOWN_AGE_BARS,
    Certificate,
    Model,
    Paper,
    Papers,
    expires_after_bars,
    papers,
)
from longshort.study.run import hashes_of

WANTED = {"study": "s1", "data": "d1", "code": "c1", "recipe": "r1", "policy": "p1"}
NOW = 1_000 * HOUR
GOOD = "good"
Fault = tuple[str, str]  # which paper, and what is wrong with it


def paper(kind: str, failure: str = "", **others: str) -> Paper:
    return Paper(
        kind=kind, where=f"runs/{kind}", made_at=NOW, hashes=WANTED | others, says="clean", failure=failure
    )


def model(**others: Any) -> Model:
    return replace(Model(weights="w1", hashes=WANTED, trained_until=0), **others)


def certificate(**others: Any) -> Certificate:
    return replace(Certificate(where="bundle", weights="w1", data="d1", grade="usable"), **others)


MODELS: Mapping[str, Model | None] = {
    GOOD: model(),
    "missing": None,
    "of another model": model(differs="model.hidden"),
    "stale": model(hashes=WANTED | {"code": "c0"}),
    "stale by own code": model(hashes=WANTED | {"recipe": "r0"}),
    "stale by refining": model(hashes=WANTED | {"parent": "w0"}),
}
CERTIFICATES: Mapping[str, Certificate | None] = {
    GOOD: certificate(),
    "missing": None,
    "of another model": certificate(weights="w0"),
    "of another model's bars": certificate(data="d0"),
    "failed": certificate(grade="broken", broken=("BTCUSDT bars-1h",)),
    "failed without a record": certificate(grade=""),
}


def runs(kind: str) -> Mapping[str, tuple[Paper, ...]]:
    return {
        GOOD: (paper(kind),),
        "missing": (),
        "of another model": (paper(kind, study="s0"),),
        "stale by data": (paper(kind, data="d0"),),
        "stale by code": (paper(kind, code="c0"),),
        "stale by own code": (paper(kind, recipe="r0"),),
        "stale by policy": (paper(kind, policy="p0"),),
        "failed": (paper(kind, failure="it leaks."),),
    }


EVALUATIONS, AUDITS = runs(EVALUATION), runs(AUDIT)
HOLDOUTS: Mapping[str, tuple[Paper, ...]] = {
    GOOD: (paper(HOLDOUT),),
    "good, never opened": (),
    "good, of another model": (paper(HOLDOUT, "it failed.", study="s0"),),
    "failed": (paper(HOLDOUT, "it failed."),),
}
AGES: Mapping[str, int | None] = {GOOD: NOW + 1, "good without an end": None, "expired": NOW}


def cause(name: str) -> str:
    """The cause that a fault's name begins with; empty where nothing is wrong."""
    known = ("missing", "of another model", "stale", "failed", "expired")
    return next((word for word in known if name.startswith(word)), "")


SLOTS: dict[str, Mapping[str, Any]] = {
    "model": MODELS,
    "data certificate": CERTIFICATES,
    EVALUATION: EVALUATIONS,
    AUDIT: AUDITS,
    HOLDOUT: HOLDOUTS,
    "age": AGES,
}
FAULTS = [(slot, name) for slot, known in SLOTS.items() for name in known]


def with_faults(faults: Mapping[str, str]) -> Papers:
    """Papers in order but for those that are named."""
    chosen = {slot: known[faults.get(slot, GOOD)] for slot, known in SLOTS.items()}
    return Papers(
        where="mine",
        needs_model=True,
        wanted=WANTED,
        model=chosen["model"],
        certificate=chosen["data certificate"],
        runs=(*chosen[EVALUATION], *chosen[AUDIT], *chosen[HOLDOUT]),
        expires_at=chosen["age"],
    )


def expected_of(faults: Mapping[str, str]) -> list[Fault]:
    """The objections to papers with faults; without a model neither its age nor its data are asked for."""
    causes = {slot: cause(faults.get(slot, GOOD)) for slot in SLOTS}
    is_there = causes["model"] != "missing"
    listed = [
        ("model", causes["model"]),
        ("model", causes["age"] * is_there),
        ("data certificate", causes["data certificate"] * is_there),
        (EVALUATION, causes[EVALUATION]),
        (HOLDOUT, causes[HOLDOUT]),
        (AUDIT, causes[AUDIT]),
    ]
    return [(name, word) for name, word in listed if word]


@pytest.mark.parametrize(("slot", "name"), FAULTS)
def test_one_fault_gives_its_one_objection(slot: str, name: str) -> None:
    found = objections(with_faults({slot: name}), NOW)

    assert [(one.paper, one.cause) for one in found] == expected_of({slot: name})
    assert all(one.what.endswith(".") and one.where and one.remedy.endswith(".") for one in found)


@given(st.fixed_dictionaries({slot: st.sampled_from(sorted(known)) for slot, known in SLOTS.items()}))
def test_each_of_several_faults_gives_its_objection_and_no_other(faults: dict[str, str]) -> None:
    found = objections(with_faults(faults), NOW)

    assert [(one.paper, one.cause) for one in found] == expected_of(faults)


def test_a_paper_that_counts_is_taken_before_a_newer_one_that_does_not() -> None:
    older, newer = replace(paper(AUDIT), made_at=1), paper(AUDIT, "it leaks.", data="d0")
    held = Papers(where="mine", needs_model=True, wanted=WANTED, runs=(newer, older))

    assert held.latest(AUDIT) is older


def test_of_two_that_count_the_newer_one_speaks() -> None:
    older, newer = replace(paper(AUDIT), made_at=1), paper(AUDIT, "it leaks.")
    held = Papers(where="mine", needs_model=True, wanted=WANTED, runs=(newer, older))

    assert held.latest(AUDIT) is newer


def test_what_trades_real_money_is_refused_with_every_objection() -> None:
    bare = Papers(where="mine", needs_model=True, wanted=WANTED)

    with pytest.raises(BundleError) as refused:
        require(bare, NOW)

    said = str(refused.value)
    assert "3 objections" in said
    assert [said.count(str(one)) for one in objections(bare, NOW)] == [1, 1, 1]


def test_nothing_is_refused_where_all_papers_are_in_order() -> None:
    held = Papers(
        where="mine",
        needs_model=True,
        wanted=WANTED,
        model=model(),
        certificate=certificate(),
        runs=(paper(EVALUATION), paper(AUDIT)),
        expires_at=NOW + HOUR,
    )

    require(held, NOW)

    assert objections(held, NOW) == []
    assert [line.split(" ")[0] for line in told(held, NOW)] == [EVALUATION, AUDIT, "data", "model"]


def test_what_cannot_be_read_is_an_objection() -> None:
    error = DataError("it is damaged.", where="runs/x", remedy="Remove it.")
    held = Papers(where="mine", needs_model=False, wanted=WANTED, damaged=(error,))

    assert objections(held, NOW)[0] == Objection(
        paper="record", cause="unreadable", what="it is damaged.", where="runs/x", remedy="Remove it."
    )


def aged(*gains: float | None) -> dict[str, Any]:
    rows = [[4, 100 * k, 100 * (k + 1), gain, 0.1, 0.5] for k, gain in enumerate(gains)]
    return {"sections": [{"key": "drift", "tables": [{"name": "age", "rows": [[1, 0, 9, -1.0], *rows]}]}]}


@pytest.mark.parametrize(
    ("report", "bars"),
    [
        (aged(0.5, 0.2, 0.1), 300),
        (aged(0.5, 0.2, -0.1), 200),
        (aged(0.5, 0.0, 0.1), 100),
        (aged(-0.5, 0.2, 0.1), 300),
        (aged(0.5, None, 0.1), 300),
        (aged(), UNKNOWN_AGE_BARS),
        ({}, UNKNOWN_AGE_BARS),
    ],
)
def test_a_model_expires_where_its_evaluation_saw_its_gain_end(report: dict[str, Any], bars: int) -> None:
    assert expires_after_bars(report, 4) == bars


# from here on: what lies on the disk


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.parse({"model": {"kind": "prophet"}}, folder=tmp_path)


def write_evaluation(study: Study, word: str = "BEATS", kind: str = "evaluate", **others: str) -> Path:
    hashes = hashes_of(study, "d1") | others
    verdicts = [
        {"question": "density", "horizon_bars": 4, "word": "BEATS"},
        {"question": "profit", "horizon_bars": 4, "word": word},
        {"question": "profit", "horizon_bars": 24, "word": "NO EDGE"},
    ]
    folder = study.folder / "runs" / f"{kind}-{hashes['study'][:6]}-{hashes['data'][:6]}"
    origins = [{"symbol": "BTCUSDT", "kind": "bars-1h", "grade": "clean"}]
    write_json(folder / "run.json", {"hashes": hashes, "data": {"origins": origins}})
    report = {
        "created_at": NOW,
        "hashes": hashes,
        "verdicts": verdicts,
        "sections": aged(0.5, -0.1)["sections"],
    }
    write_json(folder / "report.json", report)
    return folder / "report.json"


def write_audit(study: Study, outcome: str = "clean", **others: str) -> Path:
    hashes = hashes_of(study, "d1") | others
    path = study.folder / "runs" / f"audit-{hashes['study'][:6]}-{hashes['data'][:6]}" / "audit.json"
    write_json(path, {"created_at": NOW, "hashes": hashes, "outcome": outcome})
    return path


def causes(study: Study) -> list[Fault]:
    return [(one.paper, one.cause) for one in objections(papers(study), NOW)]


def test_a_model_that_needs_no_training_needs_its_evaluation_audit_and_certified_bars(study: Study) -> None:
    bare = causes(study)
    write_evaluation(study)
    write_audit(study)

    assert bare == [("data certificate", "missing"), (EVALUATION, "missing"), (AUDIT, "missing")]
    assert causes(study) == []


SPOILT: list[tuple[Callable[[Study], Any], list[Fault]]] = [
    (lambda s: write_evaluation(s, "NO EDGE"), [(EVALUATION, "failed")]),
    (lambda s: write_evaluation(s, "INCONCLUSIVE"), [(EVALUATION, "failed")]),
    (lambda s: write_evaluation(s, "NO EDGE", "holdout"), [(HOLDOUT, "failed")]),
    (lambda s: write_evaluation(s, kind="holdout"), []),
    (lambda s: write_audit(s, "leak"), [(AUDIT, "failed")]),
    (lambda s: write_audit(s, "implausible"), [(AUDIT, "failed")]),
    (lambda s: write_audit(s, "not run"), [(AUDIT, "failed")]),
    (lambda s: write_audit(s, "warning"), []),
    (lambda s: write_audit(s, code="c0"), [(AUDIT, "stale")]),
    (lambda s: write_audit(s).write_text("{"), [("record", "unreadable"), (AUDIT, "missing")]),
    (lambda s: write_audit(s).write_text("[1]"), [("record", "unreadable"), (AUDIT, "missing")]),
]


@pytest.mark.parametrize(("spoil", "expected"), SPOILT)
def test_what_the_records_say_is_what_is_objected(
    study: Study, spoil: Callable[[Study], Any], expected: list[Fault]
) -> None:
    write_evaluation(study)
    write_audit(study)

    spoil(study)

    assert causes(study) == expected


def test_records_of_other_settings_do_not_count(study: Study) -> None:
    other = Study.parse({"model": {"kind": "prophet"}, "costs": {"taker_bps": 1.0}}, folder=study.folder)
    write_evaluation(other)
    write_audit(other)

    found = causes(study)

    assert (EVALUATION, "of another model") in found
    assert (AUDIT, "of another model") in found
