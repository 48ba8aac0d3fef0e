"""`evaluate`: is it true? Walk forward against every rival, say so in three words, and write it all down."""

import json
from pathlib import Path
from typing import Any

from longshort._commands.divide import DIVISIONS, divided
from longshort._commands.tries import trial_of, trials_of
from longshort.base.errors import StudyError
from longshort.base.files import file_name, write_json
from longshort.base.settings import Study
from longshort.study import evaluate as judging
from longshort.study.market import Market, open_market
from longshort.study.report import Report
from longshort.study.run import Run, job_cache, tried_digest
from longshort.study.walk import Report as Progress
from longshort.web.audit import audit_section
from longshort.web.report import render_report
from longshort.web.summary import render_summary


def evaluate(
    study: Study, *, holdout: bool = False, report: Progress = lambda what, done, of: None
) -> Report:
    """Judge a study; the evaluation is counted as a trial, the opening of a sealed holdout before it is read."""
    return evaluate_into(study, holdout=holdout, report=report)[0]


def evaluate_into(
    study: Study, *, holdout: bool = False, report: Progress = lambda what, done, of: None
) -> tuple[Report, Path]:
    """Judge a study and say in which folder the evidence lies."""
    if study.validation.scheme in DIVISIONS:
        raise StudyError(
            f"validation.scheme is {study.validation.scheme!r}: who learns from rows after the test gets no verdict.",
            remedy="Call longshort.divide(study), or use `longshort evaluate STUDY --scheme ...`.",
        )
    market = open_market(study, report)
    if holdout and not study.validation.holdout_from:
        raise StudyError(
            "this study has no holdout to open.",
            remedy='Set validation.holdout_from, for example to "2025-01-01".',
        )
    log, development, sealed = trials_of(market)
    if sealed and holdout:
        log.open_holdout(trial_of(sealed, study))
    before = [one for one in log.tried(development) if one.settings != tried_digest(study)]
    found = judging.evaluate(market, cache=job_cache(study), holdout=holdout, tried=before, report=report)
    if not holdout:
        log.record(trial_of(development, study, found.case.tried[-1]))
    openings = log.openings(sealed) if sealed else 0
    document = found.report.beside(divided(market)).counted(
        trials=log.count(development), holdout_openings=openings
    )
    run = Run(market, "holdout" if holdout else "evaluate")
    run.write_study()
    run.write_table("forecast", found.walk.forecasts[document.model].to_polars())
    for name, ledger in found.money.ledgers.items():
        run.write_ledger(f"ledger-{file_name(name)}", ledger)
    write_json(run.folder / "report.json", document.to_dict())
    audited = audit_section(_audited(market), run.hashes)
    run.write_page("report.html", render_report(document, audited, summary="summary.html"))
    run.write_page("summary.html", render_summary(document))
    return document, run.folder


def _audited(market: Market) -> dict[str, Any] | None:
    """What the latest audit of this study and data wrote, if there was one."""
    path = Run(market, "audit").folder / "audit.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
