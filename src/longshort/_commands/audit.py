"""`audit`: prove that nothing in a study knew the future, or say what cannot be believed in a file of forecasts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from rich.text import Text

from longshort._commands.terminal import Report, emit_json, note, progress, say, say_table
from longshort.base.clock import SystemClock
from longshort.base.errors import StudyError
from longshort.base.files import write_json, write_text
from longshort.base.settings import Study
from longshort.study.audit.cases import Kind
from longshort.study.audit.columns import Stamped
from longshort.study.audit.foreign import Options, audit_forecasts
from longshort.study.audit.pipeline import SPOKEN_ROWS, audited_study, pipeline_of
from longshort.study.audit.record import Audit, Finding, Outcome
from longshort.study.audit.run import audit as prove
from longshort.study.audit.words import place, remedies, verdict
from longshort.study.market import open_market
from longshort.study.run import Run, job_cache, versions
from longshort.web.audit import Provenance, render_audit

SECONDS = 95.0  # what a default audit aims at, from start to end
LEAST_SECONDS = 40.0  # for the proofs, however long the fits took
THOROUGH_SECONDS = 1_200.0
MOST_SHOWN = 60  # rows of the table; of more, only what is not clean
STYLES: Mapping[Outcome, str] = {
    "clean": "green", "warning": "yellow", "not run": "dim", "implausible": "bold red", "leak": "bold red",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asked for; `columns` are ROLE=NAME, empty `kind` and `stamped` are told from the file."""

    thorough: bool = False
    as_json: bool = False
    forecasts: Path | None = None
    prices: Path | None = None
    columns: Sequence[str] = ()
    kind: str = ""
    stamped: str = ""


def audit(study: Study | None, asked: Asked) -> int:
    """Audit a study, a file of forecasts, or both; print, write and return the exit code: 0 clean, 2 leak."""
    if study is None and asked.forecasts is None:
        raise StudyError("nothing to audit.", remedy="Name a study, or a file with --forecasts FILE.")
    codes: list[int] = []
    if study is not None:
        codes.append(_audit_study(study, asked))
    if asked.forecasts is not None:
        codes.append(_audit_file(asked.forecasts, asked))
    return max(codes)


def _audit_study(study: Study, asked: Asked) -> int:
    began = time.perf_counter()
    looked_at = audited_study(study, thorough=asked.thorough)
    with progress() as report:
        market = open_market(looked_at, report)
        found = _proven(looked_at, asked, began, report)
    run = Run(replace(market, study=study), "audit")
    provenance = Provenance(
        created_at=SystemClock().now(),
        hashes=run.hashes,
        versions=versions(),
        settings=looked_at.model_dump(mode="json"),
        notes=_notes(study, looked_at),
    )
    return _tell(replace(found, seconds=time.perf_counter() - began), provenance, run.folder, asked)


def _proven(study: Study, asked: Asked, began: float, report: Report) -> Audit:
    market = open_market(study, report)
    pipeline = pipeline_of(market, cache=job_cache(study), thorough=asked.thorough, report=report)
    left = max(SECONDS - (time.perf_counter() - began), LEAST_SECONDS)
    seconds = THOROUGH_SECONDS if asked.thorough else left
    return prove(pipeline, seconds=seconds, thorough=asked.thorough, report=report)


def _notes(study: Study, looked_at: Study) -> list[str]:
    if study == looked_at:
        return []
    folds, seeds = looked_at.validation.folds, len(looked_at.model.seeds)
    return [
        f"Looked at with {folds} folds and {seeds} seed; --thorough takes all of the study's "
        f"({study.validation.folds} and {len(study.model.seeds)}), refits every fold, and once on shuffled targets.",
        f"Forecasts, exposures and rivals speak of the {SPOKEN_ROWS:,} rows on either side of the last fold's border; "
        "with --thorough, of every tested row.",
    ]


def _audit_file(forecasts: Path, asked: Asked) -> int:
    began = time.perf_counter()
    found, notes = audit_forecasts(forecasts, asked.prices, _options(asked), time.perf_counter)
    provenance = Provenance(created_at=SystemClock().now(), versions=versions(), notes=notes)
    folder = Path("runs") / f"{forecasts.stem}-audit"
    return _tell(replace(found, seconds=time.perf_counter() - began), provenance, folder, asked)


def _options(asked: Asked) -> Options:
    columns: dict[str, str] = {}
    for text in asked.columns:
        role, equals, name = text.partition("=")
        if not equals:
            raise StudyError(f"--column {text!r} is not understood.", remedy="Write --column forecast=NAME.")
        columns[role.strip()] = name.strip()
    kinds: dict[str, Kind] = {str(kind): kind for kind in get_args(Kind)}
    stamps: dict[str, Stamped] = {str(stamp): stamp for stamp in get_args(Stamped)}
    for option, value, known in (("--as", asked.kind, kinds), ("--stamped", asked.stamped, stamps)):
        if value and value not in known:
            raise StudyError(f"{option} {value!r} is not known.", remedy=f"Write {' or '.join(known)}.")
    return Options(columns=columns, kind=kinds.get(asked.kind), stamped=stamps.get(asked.stamped))


def _tell(found: Audit, provenance: Provenance, folder: Path, asked: Asked) -> int:
    """Write what was found, then print it."""
    plain = found.to_json() | {
        "verdict": verdict(found),
        "created_at": provenance.created_at,
        "hashes": dict(provenance.hashes),
        "versions": dict(provenance.versions),
        "notes": list(provenance.notes),
        "thorough": asked.thorough,
    }
    write_json(folder / "audit.json", plain)
    page = folder / "audit.html"
    write_text(page, render_audit(found, provenance))
    if asked.as_json:
        emit_json(plain | {"report": str(page)})
        return found.exit_code
    for text in provenance.notes:
        note(text)
    _show(found)
    say(f"Evidence: {page}")
    return found.exit_code


def _show(found: Audit) -> None:
    shown = found.findings
    if len(shown) > MOST_SHOWN:
        shown = tuple(f for f in shown if f.outcome != "clean")[:MOST_SHOWN]
    left = len(found.findings) - len(shown)
    rows = [_row(f) for f in shown]
    say_table(found.title, ["part", "check", "outcome", ">s", "what was proven"], rows)
    if left:
        note(f"{left:,} more are in the report.")
    for alarm in found.alarms:
        if alarm.row is not None:
            say(f"{alarm.outcome}: {alarm.stage}, {alarm.check}: {place(alarm)}", style="red")
    for remedy in remedies(found):
        say(f"remedy: {remedy}")
    say(verdict(found), style="bold red" if found.alarms else "bold green")


def _row(finding: Finding) -> list[str | Text]:
    outcome = Text(finding.outcome, style=STYLES[finding.outcome])
    measured = f"{finding.check}: {finding.where}" if finding.check == "plausibility" else finding.check
    return [finding.stage, measured, outcome, f"{finding.seconds:.1f}", finding.detail]
