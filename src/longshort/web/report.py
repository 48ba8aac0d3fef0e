"""The page of an evaluation: verdict first, then what to know about it, then evidence.

Every number comes from the record; a part without data says that it was not computed and why.
"""

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from longshort.data.bars import Origin
from longshort.data.certificate.findings import GRADES
from longshort.study.report import Report
from longshort.study.verdict import plain_words
from longshort.web.charts import coverage_dots, fold_strips, pit_histogram
from longshort.web.facts import first_facts, ordered_flags
from longshort.web.formats import count, fixed, listing, percent
from longshort.web.money import Figure, money_figures
from longshort.web.pages import drawn, once, render
from longshort.web.sections import Topic, topics
from longshort.web.skills import skill_pictures
from longshort.web.tables import (
    change_download,
    comparison_view,
    coverage_view,
    fold_view,
    money_view,
    origin_download,
    score_views,
)
from longshort.web.words import headline, meaning, sentences, times

FEW_SERIES = 12  # that are shown one by one, clean ones too
TOPICS = {  # words by which a note is known to explain an empty part
    "skill": ("skill", "opponent", "compar"),
    "calibration": ("coverage", "calibration", "interval"),
    "scores": ("score", "metric"),
    "money": ("profit", "funding", "equity", "money", "backtest"),
    "folds": ("fold",),
}


def render_report(report: Report, audit: Markup | None = None, *, summary: str = "") -> str:
    """One self-contained HTML page for one evaluation, with the section of its audit.

    `summary` is the relative name of the page that `render_summary` made, where that lies beside it.
    """
    shown = topics(report)
    return render(
        "report.html",
        report=report,
        audit=audit or Markup(),
        summary=summary,
        title=report.title,
        created_at=report.created_at,
        versions=report.versions,
        headline=headline(report),
        facts=first_facts(report),
        flags=ordered_flags(report.flags),
        contents=_contents(report, shown, audited=bool(audit)),
        sentences=sentences(report),
        full_words=plain_words(report.verdicts, report.comparisons, noun=report.noun),
        notes=notes_of(report),
        matrix=matrix_of(report),
        panels=skill_pictures(report),
        comparisons=comparison_view(report),
        calibration=_calibration(report),
        coverage=coverage_view(report),
        scores=score_views(report),
        money_charts=money_figures(report.curves),
        money=money_view(report),
        money_reading=_money_reading(report),
        topics=shown,
        folds=_folds(report),
        fold_dates=fold_view(report),
        data_reading=_data_reading(report),
        worst_origins=_worst_origins(report),
        series_file=origin_download(report),
        cleaning_file=change_download(report),
        cleaning=report.settings.get("data", {}).get("cleaning", "keep"),
        reasons={topic: _reasons(report, keys) for topic, keys in TOPICS.items()},
    )


def _contents(report: Report, shown: Sequence[Topic], *, audited: bool) -> list[tuple[str, str, bool]]:
    """Address, title and whether it is there, of every section in the order of the page."""
    parts = [("flags", "Red flags", True)] if report.flags else []
    parts += [("verdict", "Verdict", bool(report.verdicts)), ("notes", "Read this first", True)]
    parts += [
        ("skill", "Skill", bool(report.comparisons)),
        ("calibration", "Calibration", bool(report.coverage or report.pit)),
        ("scores", "Scores", bool(report.scores)),
        ("money", "Money", bool(report.profits)),
        *((topic.key, topic.title, not topic.missing) for topic in shown),
        ("folds", "Folds", bool(report.folds)),
        ("data", "Data", True),
    ]
    parts += [("audit", "Audit", True)] if audited else []
    return [*parts, ("settings", "Settings", True)]


def notes_of(report: Report) -> list[str]:
    """What a reader must see: the notes of the record, how often its data was tried, and its holdout."""
    trials = f"{count(report.trials)} evaluations" if report.trials != 1 else "1 evaluation"
    looks = f"So far {trials} of this data range and target: the more trials, the likelier a lucky one."
    openings = report.holdout_openings
    opened = (
        f"The sealed holdout has been opened {times(openings)}."
        if openings
        else "The sealed holdout is unopened."
    )
    judged = " These figures were measured on it." if report.holdout else " These figures do not touch it."
    return [*report.notes, looks, opened + judged]


def _reasons(report: Report, keys: Sequence[str]) -> list[str]:
    about = [note for note in report.notes if any(key in note.lower() for key in keys)]
    return about or ["The evaluation recorded nothing here, and no note says why."]


def matrix_of(report: Report) -> dict[str, Any]:
    """The verdicts as a grid: questions down, horizons across."""
    horizons = sorted({v.horizon_bars for v in report.verdicts})
    questions = dict.fromkeys(v.question for v in report.verdicts)
    rows = [(q, meaning(q), [(h, report.verdict(q, h)) for h in horizons]) for q in questions]
    return {"horizons": horizons, "rows": rows}


def _calibration(report: Report) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for h in report.horizons:
        own = coverage_points(report, report.model, h)
        rivals = {name: coverage_points(report, name, h) for name in report.coverage if name != report.model}
        shares = report.pit.get(h, ())
        if any(math.isfinite(b) for _, b in own) or shares:
            found.append({
                "horizon": h,
                "coverage": once(coverage_dots(own, rivals)) if own else None,
                "reading": coverage_reading(own),
                "pit": once(pit_histogram(shares)) if shares else None,
                "pit_reading": _pit_reading(shares),
            })  # fmt: skip
    return found


def coverage_points(report: Report, model: str, horizon_bars: int) -> list[tuple[float, float]]:
    """Nominal and actual coverage of one model at one horizon."""
    return sorted(report.coverage.get(model, {}).get(horizon_bars, {}).items())


def coverage_reading(points: Sequence[tuple[float, float]]) -> str:
    """Which interval is farthest from what it promises."""
    known = [p for p in points if math.isfinite(p[1])]
    if not known:
        return "No coverage was computed."
    level, actual = max(known, key=lambda p: abs(p[1] - p[0]))
    side = "wide" if actual > level else "narrow"
    off = f"{fixed(100 * abs(actual - level), 1)} points too {side}"
    return f"Farthest off: the {percent(level, 0)} interval holds {percent(actual, 1)}, {off}."


def _pit_reading(shares: Sequence[float]) -> str:
    if not sum(shares):
        return ""
    heights = [share / sum(shares) * len(shares) for share in shares]
    spread = f"Slices hold {fixed(min(heights))} to {fixed(max(heights))} of an even share."
    return f"{spread} High ends: forecasts too narrow; high middle: too wide; a slope: leaning one way."


def _money_reading(report: Report) -> str:
    if not report.profits:
        return ""
    own = report.profits[0]
    parts = {"fees": own.fees, "slippage": own.slippage, "funding": own.funding}
    paid = [f"{percent(value)} in {name}" for name, value in parts.items() if math.isfinite(value)]
    unknown = [name for name, value in parts.items() if not math.isfinite(value)]
    missing = f" Not known: {listing(unknown)}." if unknown else ""
    total = "" if unknown else f", {percent(sum(parts.values()))} in all"
    return f"{own.name} paid {listing(paid)}{total} (negative: received).{missing}"


def _data_reading(report: Report) -> str:
    grades = [origin.grade for origin in report.origins]
    counts = [f"{grades.count(grade)} {grade}" for grade in reversed(GRADES) if grade in grades]
    means = {
        "clean": "Clean: nothing was found.",
        "usable": "Usable: a study can live with what was found.",
        "broken": "Broken: it would teach a model something false; the study accepts it by name.",
    }
    said = " ".join(means[grade] for grade in reversed(GRADES) if grade in grades)
    return f"{count(len(grades))} series of the lake: {listing(counts)}. {said}"


def _worst_origins(report: Report) -> list[Origin]:
    """All series where they are few, else those with findings."""
    if len(report.origins) <= FEW_SERIES:
        return list(report.origins)
    return [origin for origin in report.origins if origin.grade != "clean"] or list(
        report.origins[:FEW_SERIES]
    )


def _folds(report: Report) -> Figure | None:
    if not report.folds:
        return None
    gap = count(max(fold.gap_bars for fold in report.folds))
    stopped = any(fold.validation_from is not None for fold in report.folds)
    colors = f"Pale: learned from. {'Amber: where fitting was stopped. ' if stopped else ''}Solid: judged on."
    return Figure(
        drawing=drawn(lambda width: fold_strips(report.folds, width)),
        reading=f"{colors} The {gap} bars before a test are left out: their labels hold judged prices.",
    )
