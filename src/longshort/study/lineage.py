"""The runs of a study as they lie on disk: what was run when, on what, with which result, and what it came from.

Everything is read from the folders that runs left behind; a folder that holds no run is passed over, a damaged one is
an error that names it.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from longshort.base.errors import DataError

COVERED = "0.9"  # the central interval whose coverage is told
FIGURES = {
    "crps": 1e4,
    "log_score": 1.0,
    "accuracy": 100.0,
}  # of the judged model, per horizon, and their unit
UNITS = {"crps": "CRPS, bp", "log_score": "log loss, nats", "accuracy": "direction, %"}
COMPARED_SECTIONS = ("data", "target")  # two runs that differ here answered different questions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run's folder, read. `written_at` is when its record was, `words` the verdicts by question and horizon.

    `bundle` names the trained model that lies beside the study if it was trained with these very settings, `parent` the
    run before with the same kind. `first_at` and `last_at` span what was tested, where a report says.
    """

    name: str
    kind: str
    written_at: int
    hashes: Mapping[str, str]
    versions: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]] = field(repr=False)
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    title: str = ""
    first_at: int | None = None
    last_at: int | None = None
    trained_until: int | None = None
    bundle: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which two runs differ; None where one of them has none."""

    what: str
    name: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two runs side by side: only what differs, figures with their change, and why they can not be compared."""

    first: Recorded
    second: Recorded
    differences: tuple[Difference, ...]
    figures: tuple[Difference, ...]
    obstacles: tuple[str, ...]


def runs_of(study_folder: Path) -> list[Recorded]:
    """The runs of a study, oldest first; raise `DataError` where one cannot be read."""
    folder = study_folder / "runs"
    paths = sorted(path.parent for path in folder.glob("*/run.json"))
    trained = _trained(study_folder)
    found = sorted((_read(path, trained) for path in paths), key=lambda run: (run.written_at, run.name))
    return list(_with_parents(found))


def find_run(runs: Sequence[Recorded], name: str, where: Path) -> Recorded:
    """The run of this name, or of an unmistakable beginning of it; raise `DataError`."""
    exact = [run for run in runs if run.name == name]
    found = exact or [run for run in runs if run.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{name!r} may be {', '.join(run.name for run in found)}.",
            where=where,
            remedy="Write more of it.",
        )
    known = f"There are: {', '.join(run.name for run in runs)}." if runs else "There are no runs yet."
    raise DataError(f"there is no run {name!r}.", where=where, remedy=known)


def compare_runs(first: Recorded, second: Recorded) -> Compared:
    """What differs between two runs, and whether their figures may be held against each other."""
    settings = {what: _flat(run.settings) for what, run in (("first", first), ("second", second))}
    differences = [
        *_differing("setting", settings["first"], settings["second"]),
        *_differing("hash", first.hashes, second.hashes),
        *_differing("library", first.versions, second.versions),
        *(_differing("verdict", first.words, second.words) if first.words and second.words else ()),
    ]
    return Compared(
        first=first,
        second=second,
        differences=tuple(differences),
        figures=tuple(_differing("figure", first.figures, second.figures))
        if first.figures and second.figures
        else (),
        obstacles=tuple(_obstacles(first, second)),
    )


def _obstacles(first: Recorded, second: Recorded) -> Iterator[str]:
    """Why the figures of two runs say nothing about each other."""
    if first.kind != second.kind:
        yield f"one is of kind {first.kind}, the other of kind {second.kind}"
    for section in COMPARED_SECTIONS:
        if first.settings.get(section) != second.settings.get(section):
            flat = [_flat({section: run.settings.get(section, {})}) for run in (first, second)]
            keys = [difference.name for difference in _differing("setting", *flat)]
            yield f"they differ in {', '.join(keys)}"
    if first.hashes.get("data") != second.hashes.get("data"):
        yield "their bars are not the same"
    spans = [(run.first_at, run.last_at) for run in (first, second)]
    if None not in spans[0] + spans[1] and spans[0] != spans[1]:
        yield "they tested different stretches of time"


def _read(folder: Path, trained: Mapping[str, Any]) -> Recorded:
    record = _json(folder / "run.json")
    report = _json(folder / "report.json") if (folder / "report.json").is_file() else {}
    try:
        settings = _toml(folder / "study.toml")
        same = trained.get("hashes", {}).get("study") == record["hashes"]["study"]
        folds = report.get("folds", [])
        return Recorded(
            name=folder.name,
            kind=folder.name.rsplit("-", 2)[0],
            written_at=(folder / "run.json").stat().st_mtime_ns,
            hashes=record["hashes"],
            versions=record["versions"],
            settings=settings,
            words={f"{v['question']} {v['horizon_bars']}": v["word"] for v in report.get("verdicts", [])},
            figures=_figures(report) if report else {},
            title=report.get("title", ""),
            first_at=folds[0]["test_from"] if folds else None,
            last_at=folds[-1]["test_until"] if folds else None,
            trained_until=folds[-1]["train_until"] if folds else None,
            bundle=trained["weights"] if same else "",
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(
            f"it is no record of a run: {type(error).__name__} {error}.",
            where=folder,
            remedy="Remove the folder, or run its command again.",
        ) from error


def _figures(report: Mapping[str, Any]) -> dict[str, float]:
    """The judged model's: mean scores and coverage per horizon, skill against the hardest opponent, money."""
    model = report["model"]
    found: dict[str, float | None] = {}
    for horizon, scores in report["scores"].get(model, {}).items():
        for metric, unit in FIGURES.items():
            value = scores.get(metric)
            found[f"{UNITS[metric]}, {horizon} ahead"] = None if value is None else value * unit
        inside = report["coverage"].get(model, {}).get(horizon, {}).get(COVERED)
        found[f"90 % interval covers, %, {horizon} ahead"] = None if inside is None else 100.0 * inside
    for verdict in report["verdicts"]:
        hardest = verdict["hardest"]
        if hardest:
            name = f"{verdict['question']}, {verdict['horizon_bars']} ahead, {hardest['unit']}"
            found[f"skill: {name}"] = hardest["skill"]
    for profit in report["profits"]:
        if profit["name"] == model:
            found["net return, %"] = 100.0 * profit["net_return"]
            found["Sharpe ratio, per year"] = profit["sharpe"]
    return {name: value for name, value in found.items() if value is not None}


def _trained(study_folder: Path) -> Mapping[str, Any]:
    path = study_folder / "bundle" / "bundle.json"
    return _json(path) if path.is_file() else {}


def _with_parents(runs: Sequence[Recorded]) -> Iterator[Recorded]:
    latest: dict[str, str] = {}
    for run in runs:
        yield replace(run, parent=latest.get(run.kind, ""))
        latest[run.kind] = run.name


def _flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, table in settings.items() for key, value in table.items()}


def _differing(what: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*first, *second]):
        if first.get(name) != second.get(name):
            yield Difference(what=what, name=name, first=first.get(name), second=second.get(name))


def _toml(path: Path) -> dict[str, Any]:
    """A run's effective settings, as they were written: neither checked anew nor overridden by the environment."""
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not a TOML file: {error}.", where=path, remedy="Remove the folder.") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"not a JSON file: {error}.", where=path, remedy="Remove the folder, or run its command again."
        ) from error
    if not isinstance(found, dict):
        raise DataError("it holds no record.", where=path, remedy="Remove the folder.")
    return found
