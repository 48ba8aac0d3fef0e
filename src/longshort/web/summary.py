"""The one-page summary of an evaluation: verdict, facts, three charts, red flags and method on one sheet of A4."""

from dataclasses import replace

from longshort.study.report import Report, Word
from longshort.web.charts import coverage_dots
from longshort.web.facts import Fact, first_facts, named, ordered_flags
from longshort.web.forests import forest
from longshort.web.formats import listing, multiple
from longshort.web.lines import Axis, Line, line_chart, needs_log
from longshort.web.marks import shortened
from longshort.web.pages import once, render
from longshort.web.report import coverage_points, coverage_reading, matrix_of
from longshort.web.sections import Picture
from longshort.web.skills import hardest_rows, panels, smallest_useful
from longshort.web.words import ahead, headline, metric_name

LINES = 4  # flags that have room
LETTERS = 96  # of a line below a figure
WIDTH = 350  # of a chart as drawn; three stand side by side
CURVES = 5  # strategies in the chart of equity


def render_summary(report: Report) -> str:
    """One self-contained HTML page that prints on one sheet of A4."""
    flags = ordered_flags(report.flags)
    return render(
        "summary.html",
        report=report,
        title=report.title,
        created_at=report.created_at,
        versions=report.versions,
        headline=headline(report),
        facts=[_brief(fact) for fact in first_facts(report)],
        matrix=matrix_of(report),
        charts=[chart for chart in (_skill(report), _equity(report), _coverage(report)) if chart],
        flags=flags[:LINES],
        more_flags=len(flags) - LINES,
        method=_method(report),
    )


def _brief(fact: Fact) -> Fact:
    """A fact whose lines have room in a quarter of a sheet."""
    lines = tuple(shortened(line, LETTERS) for line in fact.beside)
    return replace(fact, figure=shortened(fact.figure, LETTERS), beside=lines[:LINES])


def _skill(report: Report) -> Picture | None:
    """Against the hardest opponents, in what was won or else in the first question, at its first horizon."""
    found = panels(report)
    won = [v for v in report.verdicts if v.word is Word.BEATS and v.hardest]
    first = min(won, key=lambda v: v.p_value).hardest if won else None
    panel = next(
        (p for p in found if first and p.comparisons[0].metric == first.metric), next(iter(found), None)
    )
    if panel is None:
        return None
    horizon = first.horizon_bars if first else panel.horizons[0]
    rows = [replace(row, group="") for row in hardest_rows(panel, horizon)]
    told = panel.comparisons[0]
    return Picture(
        title=f"Skill, {metric_name(told.metric)}, {ahead(horizon)}",
        drawing=once(forest(rows, told.unit, smallest_useful(panel), WIDTH)),
        reading=f"The {len(rows)} hardest of {len(panel.at(horizon))} opponents. Right of zero is better.",
    )


def _equity(report: Report) -> Picture | None:
    curves = [curve for curve in report.curves if len(curve.equity)][:CURVES]
    if not curves:
        return None
    lines = [Line(name=c.name, at=c.closed_at, values=c.equity, style=k) for k, c in enumerate(curves)]
    axis = Axis(title="multiple of the start", show=multiple, log=needs_log(lines))
    return Picture(
        title="Equity after all costs",
        drawing=once(line_chart(lines, axis, WIDTH, 290)),
        reading=f"{curves[0].name} ends at {multiple(float(curves[0].equity[-1]))}.",
    )


def _coverage(report: Report) -> Picture | None:
    horizons = [h for h in report.horizons if coverage_points(report, report.model, h)]
    if not horizons:
        return None
    points = coverage_points(report, report.model, horizons[0])
    return Picture(
        title=f"Coverage, {ahead(horizons[0])}",
        drawing=once(coverage_dots(points, {})),
        reading=coverage_reading(points),
    )


def _method(report: Report) -> str:
    """How the figures came about, with what is needed to get them again."""
    hashes = ", ".join(f"{name} {value}" for name, value in report.hashes.items())
    versions = ", ".join(f"{name} {value}" for name, value in report.versions.items())
    return " ".join([
        "Walk-forward: each fold is fitted on what was known before it; the gap is derived from the horizon.",
        f"Losses are averaged over {report.noun} at each instant; tests allow for correlation over time;",
        "p is one-sided, the largest over all opponents, Holm-corrected over questions and horizons.",
        f"Opponents: {named(report.opponents, 24) or 'none'}.",
        f"Seeds: {listing([str(seed) for seed in report.seeds]) or 'none'}.",
        f"Hashes: {hashes or 'none recorded'}. Versions: {versions or 'none recorded'}.",
    ])  # fmt: skip
