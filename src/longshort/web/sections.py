"""Sections of evidence made ready for a page: charts drawn, tables as text with their downloads, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from longshort.study.report import Report
from longshort.study.section import Chart, Section
from longshort.web.marks import Drawing, fits, prepared
from longshort.web.pages import drawn, once
from longshort.web.plots import plot
from longshort.web.tables import View, view

SMALL = 380  # the width of charts that stand side by side
FEW_POINTS = 40  # that such a chart has at most
FEW_SERIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A chart with its title and the line that says how to read it."""

    title: str
    drawing: Markup
    reading: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A section ready for a page; `small` charts stand side by side."""

    key: str
    title: str
    reading: str
    small: tuple[Picture, ...]
    charts: tuple[Picture, ...]
    tables: tuple[View, ...]
    notes: tuple[str, ...]
    missing: str


def topics(report: Report) -> list[Topic]:
    """Every section of a report, in order; keys are told apart where two are alike."""
    return topics_of(report.sections, report.model)


def topics_of(sections: Sequence[Section], own: str) -> list[Topic]:
    """Some sections ready for a page; `own` is the name in tables and charts that is marked."""
    keys = _distinct([section.key for section in sections])
    return [_topic(section, key, own) for section, key in zip(sections, keys, strict=True)]


def _topic(section: Section, key: str, own: str) -> Topic:
    small = [chart for chart in section.charts if _is_small(chart, own)]
    small = small if len(small) > 1 else []
    return Topic(
        key=f"topic-{key}",
        title=section.title,
        reading=section.reading,
        small=tuple(
            Picture(title=c.title, drawing=once(plot(c, SMALL, own=own)), reading=c.reading) for c in small
        ),
        charts=tuple(_large(c, own) for c in section.charts if c not in small),
        tables=tuple(view(key, table, own=own) for table in section.tables),
        notes=section.notes,
        missing=section.missing,
    )


def _large(chart: Chart, own: str) -> Picture:
    drawing = drawn(lambda width: plot(chart, width, own=own))
    return Picture(title=chart.title, drawing=drawing, reading=chart.reading)


def _is_small(chart: Chart, own: str) -> bool:
    series = prepared(chart, own)
    points = sum(len(one.x) for one in series)
    few = points <= FEW_POINTS and len(series) <= FEW_SERIES
    return few and points > 0 and fits(Drawing(chart=chart, series=series, width=SMALL))


def _distinct(keys: Sequence[str]) -> list[str]:
    plain = ["".join(c if c.isalnum() and c.isascii() else "-" for c in key.lower()) for key in keys]
    return [key if key not in plain[:k] else f"{key}-{k}" for k, key in enumerate(plain)]
