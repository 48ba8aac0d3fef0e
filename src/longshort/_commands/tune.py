"""`tune`: look for better settings before the first test row, say honestly what was found, write it as a study."""

from dataclasses import asdict, dataclass
from pathlib import Path

from longshort._commands.show import show_sections
from longshort._commands.start import TEMPLATE
from longshort._commands.terminal import Report, emit_json, note, progress, say
from longshort._commands.tries import trial_of, trials_of
from longshort.base.clock import MINUTE, SystemClock, format_instant
from longshort.base.errors import StudyError
from longshort.base.files import write_json, write_text
from longshort.base.jobs import usable_processors
from longshort.base.settings import Study
from longshort.models.training.estimate import estimate
from longshort.study.market import Market
from longshort.study.report import noun_of
from longshort.study.run import Run, job_cache
from longshort.study.tuning.account import Found, account
from longshort.study.tuning.ground import Ground, open_ground
from longshort.study.tuning.search import Attempt, Plan, Search
from longshort.study.tuning.sections import sections
from longshort.study.tuning.tuned import commented
from longshort.study.walk import past_of
from longshort.web.tuning import render_tuning

FILE = "tuned.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How far to search: `trials` in all (0: as the study says), none begun after so many minutes (0: no end)."""

    trials: int = 0
    minutes: float = 0.0
    as_json: bool = False


def tune(study: Study, asked: Asked) -> None:
    """Search, write the best study and a page, and print both tables and the honest note, or one JSON object."""
    with progress() as report:
        ground = open_ground(study, report)
    market = ground.market(study)
    found = _search(study, ground, market, asked)
    written = write_tuned(found)
    page = _write_run(found, market)
    if asked.as_json:
        emit_json(_summary(found) | {"study": str(written), "page": str(page)})
        return
    show_sections(sections(found))
    say(f"Wrote {written} and {page}.")
    say(f"Next: longshort evaluate {written}")


def write_tuned(found: Found) -> Path:
    """The best trial as a commented study beside the study it came from."""
    path = found.ground.study.folder / FILE
    best, unit = found.best, found.unit
    today = format_instant(SystemClock().now())
    heading = (
        f"The best of {len(found.attempts)} trials of `longshort tune`, written {today}.\n"
        f"On the inner rows it gains {best.score:+.4f} {unit} over HAR-t, the study as it stood "
        f"{found.own.score:+.4f}.\n"
        f"It was chosen on those rows: what it is worth says `longshort evaluate {FILE}`."
    )
    template = TEMPLATE.read_text(encoding="utf-8")
    write_text(path, commented(template, found.study, found.ground.study, heading))
    return path


def _search(study: Study, ground: Ground, market: Market, asked: Asked) -> Found:
    """Go on with the search that lies beside the study, until there are enough trials."""
    clock = SystemClock()
    trials = asked.trials or study.tuning.trials
    if trials < 1 or asked.minutes < 0:
        raise StudyError("--trials and --minutes must be above zero.")
    until = clock.now() + int(asked.minutes * MINUTE) if asked.minutes else 0
    plan = Plan(trials=trials, until=until, processes=study.training.processes or usable_processors())
    log, stretch, _ = trials_of(market)

    with progress() as report:
        counted = _Counter(report, trials)

        def heard(attempt: Attempt, tried: Study) -> None:
            if attempt.folds:
                log.record(trial_of(stretch, tried))
            counted.another()

        with Search.opened(ground, study.folder / "runs" / "tuning.sqlite", heard) as search:
            before = len(search.attempts())
            if before < trials:
                _announce(study, ground, market, plan, before)
            counted.begin(before)
            try:
                search.run(plan, clock, job_cache(study))
            except KeyboardInterrupt:
                note(f"Interrupted: {len(search.attempts())} trials are kept; the same command goes on.")
                raise
            return account(search, job_cache(study))


class _Counter:
    """How many trials have ended, told to whoever shows it."""

    def __init__(self, report: Report, of: int) -> None:
        self._report = report
        self._of = of
        self._done = 0

    def begin(self, done: int) -> None:
        """Count from here."""
        self._done = done
        self._report("tuning", min(done, self._of), self._of)

    def another(self) -> None:
        """One more."""
        self.begin(self._done + 1)


def _announce(study: Study, ground: Ground, market: Market, plan: Plan, before: int) -> None:
    """Say what the search will take before it begins."""
    left, folds, seeds = plan.trials - before, len(ground.folds), len(study.tuning.seeds)
    coming = estimate(
        past_of(market, ground.folds[-1]), study, fits=left * folds * seeds, processes=plan.processes
    )
    kept = f"{before} trials are kept, {left} to go" if before else f"{left} trials"
    last = format_instant(int(ground.bars.closed_at[-1]))
    note(
        f"{kept}: {folds} inner folds x {seeds} seed{'s' if seeds > 1 else ''}, on {len(ground.bars.symbols)} "
        f"{noun_of(ground.bars.calendar.name)} x {len(ground.bars):,} bars until {last}, before the first test row."
    )
    note(f"With networks of the study's own size {coming}; trials that are given up take less.")
    if plan.until:
        note(f"No trial begins after {format_instant(plan.until)}.")


def _write_run(found: Found, market: Market) -> Path:
    run = Run(market, "tune")
    run.write_study()
    write_json(run.folder / "tuning.json", _summary(found) | {"trials": [asdict(a) for a in found.attempts]})
    return run.write_page("tuning.html", render_tuning(found, SystemClock().now(), run.hashes))


def _summary(found: Found) -> dict[str, object]:
    """The search in a few numbers."""
    test = found.leads[0].test if found.leads else None
    return {
        "trials": len(found.attempts),
        "metric": found.ground.metric,
        "unit": found.unit,
        "own": found.own.score,
        "best": found.best.score,
        "number": found.best.number,
        "values": dict(found.best.values),
        "lead": test.mean if test else 0.0,
        "lead_ci95": [test.mean - test.half_width, test.mean + test.half_width] if test else None,
        "luck_p": found.luck,
        "importances": dict(found.importances),
    }
