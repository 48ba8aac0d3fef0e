"""`evaluate --scheme ...`: the same question asked of other divisions of the past; kept for the next report."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from longshort._commands.show import sections_from, show_sections
from longshort._commands.terminal import emit_json, progress, say
from longshort._commands.tries import trial_of, trials_of
from longshort.base.clock import SystemClock
from longshort.base.errors import StudyError
from longshort.base.files import jsonable, write_json
from longshort.base.settings import Study
from longshort.models.opponents.catalog import model_of
from longshort.study.market import Market, open_market
from longshort.study.robustness import robustness
from longshort.study.run import Run, job_cache
from longshort.study.section import Section
from longshort.study.walk import Report as Progress

DIVISIONS = ("combinatorial", "coins", "periods", "regimes")
FILE = "section.json"


def divide(study: Study, *, report: Progress = lambda what, done, of: None) -> Section:
    """Fit and judge a study on the division that `validation.scheme` names."""
    return divide_into(study, report=report)[0]


def divide_into(study: Study, *, report: Progress = lambda what, done, of: None) -> tuple[Section, Path]:
    """The section, and in which folder it lies; the look is counted as a try on these data."""
    if model_of(study) is not None:
        raise StudyError(
            f"{study.model.kind} learns nothing from the rows of a fold: nothing of it depends on a division.",
            remedy='Use model.kind = "lstm".',
        )
    market = open_market(study, report)
    section = robustness(market, cache=job_cache(study), report=report)
    log, development, _ = trials_of(market)
    log.record(trial_of(development, study))
    run = Run(market, study.validation.scheme)
    run.write_study()
    plain = {"created_at": SystemClock().now(), "section": jsonable(asdict(section))}
    write_json(run.folder / FILE, plain)
    return section, run.folder


def divided(market: Market) -> tuple[Section, ...]:
    """What was found before on other divisions, with these data, by this code and otherwise these settings."""
    found: list[Section] = []
    for scheme in DIVISIONS:
        validation = market.study.validation.model_copy(update={"scheme": scheme})
        study = market.study.model_copy(update={"validation": validation})
        run = Run(replace(market, study=study), scheme)
        path = run.folder / FILE
        if path.is_file() and _hashes(run) == run.hashes:
            found += sections_from([json.loads(path.read_text(encoding="utf-8"))["section"]])
    return tuple(found)


def _hashes(run: Run) -> dict[str, str]:
    """Of the study, data and code that a run was made with."""
    return json.loads((run.folder / "run.json").read_text(encoding="utf-8"))["hashes"]


def show_division(study: Study, *, as_json: bool) -> None:
    """Print the parts, or one JSON object."""
    with progress() as report:
        section, folder = divide_into(study, report=report)
    if as_json:
        emit_json({"section": jsonable(asdict(section)), "folder": str(folder)})
        return
    show_sections([section])
    say(f"Kept in {folder}; the next `longshort evaluate` shows it in its report.")
