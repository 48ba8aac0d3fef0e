"""`runs` and `compare`: what was run so far and where it came from; what two runs differ in."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from longshort._commands.terminal import emit_json, say, say_table
from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.study.lineage import Compared, Difference, Recorded, compare_runs, find_run, runs_of

BRIEF = 6  # characters of a hash that people compare


def runs(study: Path, *, as_json: bool) -> None:
    """List the runs beside a study, oldest first; raise `DataError` where there is no such place."""
    folder = _folder(study)
    found = runs_of(folder)
    if as_json:
        emit_json([asdict(run) for run in found])
    elif not found:
        say(f"No runs in {folder / 'runs'} yet.")
    else:
        _tell_runs(found)


def compare(first: Path, second: Path, *, as_json: bool) -> None:
    """Say what two runs differ in; each is a run's folder, or a run's name in the study of the working folder."""
    found = compare_runs(_run(first), _run(second))
    if as_json:
        emit_json(asdict(found))
    else:
        _tell_compared(found)


def _folder(study: Path) -> Path:
    folder = study.parent if study.is_file() else study
    if not folder.is_dir():
        raise DataError(
            "no such study.", where=study, remedy="Name a study file or the folder that holds one."
        )
    return folder


def _run(path: Path) -> Recorded:
    """A run by its folder, `STUDY/runs/NAME`, or by `STUDY/NAME` or NAME with an unmistakable beginning."""
    parent = path.parent
    study = parent.parent if parent.name == "runs" else parent
    return find_run(runs_of(study), path.name, study / "runs")


def _tell_runs(found: list[Recorded]) -> None:
    rows = [
        [
            run.name,
            format_instant(run.written_at),
            *[run.hashes.get(what, "")[:BRIEF] for what in ("study", "data", "code")],
            _words(run),
            _number(run.figures.get("Sharpe ratio, per year")),
            format_instant(run.trained_until)[:10] if run.trained_until else "",
            run.bundle[:BRIEF],
            run.parent,
        ]
        for run in found
    ]
    columns = [
        "run",
        "written",
        "study",
        "data",
        "code",
        "verdict",
        ">Sharpe",
        "trained until",
        "bundle",
        "before it",
    ]
    say_table("Runs", columns, rows)


def _words(run: Recorded) -> str:
    """Horizons by question and word: `density BEATS 1 4, NO EDGE 24`."""
    grouped: dict[str, dict[str, list[str]]] = {}
    for key, word in run.words.items():
        question, horizon = key.rsplit(" ", 1)
        grouped.setdefault(question, {}).setdefault(word, []).append(horizon)
    parts: list[str] = []
    for question, words in grouped.items():
        said = ", ".join(f"{word} {' '.join(bars)}" for word, bars in words.items())
        parts.append(f"{question} {said}")
    return "; ".join(parts)


def _tell_compared(found: Compared) -> None:
    names = [found.first.name, found.second.name]
    for obstacle in found.obstacles:
        say(f"Not comparable: {obstacle}.", style="bold")
    if not found.differences and not found.figures:
        say("The two runs do not differ.")
    for what, title in (
        ("setting", "Settings that differ"),
        ("hash", "Data and code that differ"),
        ("library", "Libraries that differ"),
        ("verdict", "Verdicts that differ"),
    ):
        rows = [[d.name, _cell(d.first), _cell(d.second)] for d in found.differences if d.what == what]
        if rows:
            say_table(title, ["", *names], rows)
    if found.figures:
        say_table(
            "Figures", ["", *[f">{name}" for name in names], ">change"], [_figure(d) for d in found.figures]
        )


def _figure(difference: Difference) -> list[str]:
    first, second = difference.first, difference.second
    change = "" if first is None or second is None else f"{second - first:+,.4g}"
    return [difference.name, _number(first), _number(second), change]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
