"""The page of a search for settings: how the best came about, what mattered, where the good trials lie.

Trials far below the others are held at the lower edge, as triangles that point down: one that went astray would flatten
all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from longshort.study.section import Section
from longshort.study.significance import LEVEL
from longshort.study.tuning.account import Found
from longshort.study.tuning.search import Attempt
from longshort.study.tuning.sections import OWN, sections, setting_name, setting_text
from longshort.study.tuning.space import Part, Span
from longshort.web.formats import Number, alike, fixed
from longshort.web.marks import mark
from longshort.web.pages import PHONE, both, drawn, render
from longshort.web.plots import plot
from longshort.web.scales import Scale, padded
from longshort.web.sections import Picture, Topic
from longshort.web.svg import NARROW, Frame, el, picture, tooltip
from longshort.web.tables import view

SMALL = 440  # the width of the charts of single settings on a screen
FAR = 3.0  # interquartile ranges below the lower quartile at which a trial is held at the edge
FULL, GIVEN_UP, BEST, BELOW = 0, 6, 1, 4  # the styles of marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A trial and its lead over the study as it stands, on the folds that both were judged on."""

    attempt: Attempt
    lead: float


def render_tuning(found: Found, created_at: int, hashes: Mapping[str, str]) -> str:
    """One self-contained HTML page for one search."""
    lead, importance, trials = (_topic(section) for section in sections(found))
    return render(
        "tuning.html",
        title=f"{len(found.attempts)} trials, {found.ground.metric} on {found.ground.tested_rows:,} inner rows",
        headline=_headline(found),
        topics=(lead, _history_topic(found), importance, _slice_topic(found), trials),
        created_at=created_at,
        hashes=hashes,
        settings=found.study.model_dump(mode="json"),
        versions={},
    )


def history(found: Found, width: int) -> str:
    """Every trial's lead over the study as it stands, and the best so far."""
    points = _points(found)
    narrow = width < NARROW
    frame = Frame(64, 30, width - (12 if narrow else 24), 286)
    across = Scale(0.0, float(max(1, points[-1].attempt.number)), frame.left + 8, frame.right - 8)
    up = _upward(points, frame)
    marks = [(k, f"{k:.0f}") for k in across.ticks(5 if narrow else 10) if k == int(k)]
    zero = el("line", x1=frame.left, x2=frame.right, y1=up.at(0.0), y2=up.at(0.0), class_="reference")
    body = [
        _value_axis(found, up, frame, 5),
        frame.bottom_axis(across, marks, "trial"),
        zero,
        _best_so_far(points, across, up),
        *(_dot(found, one, across.at(one.attempt.number), up) for one in points),
    ]
    return picture(
        width, 330, "The lead of every trial over the study as it stands, and the best so far", *body
    )


def scatter(found: Found, name: str, part: Part, width: int) -> str:
    """The lead of every trial against one setting."""
    points = _points(found)
    frame = Frame(64, 26, width - 10, 186)
    up = _upward(points, frame)
    if isinstance(part, Span):
        across = Scale(part.low, part.high, frame.left + 8, frame.right - 8, log=part.log)
        marks = [(v, setting_text(float(v))) for v in across.ticks(3) if not part.whole or v == int(v)]
        places = [across.at(float(one.attempt.values[name])) for one in points]
    else:
        across = Scale(-0.5, len(part.options) - 0.5, frame.left, frame.right)
        marks = [(float(k), setting_text(option)) for k, option in enumerate(part.options)]
        places = [
            across.at(_beside(one.attempt, part.options.index(one.attempt.values[name]))) for one in points
        ]
    body = [
        _value_axis(found, up, frame, 3),
        frame.bottom_axis(across, marks, ""),
        el("line", x1=frame.left, x2=frame.right, y1=up.at(0.0), y2=up.at(0.0), class_="reference"),
        *(_dot(found, one, x, up) for one, x in zip(points, places, strict=True)),
    ]
    return picture(width, 212, f"The lead of every trial against {setting_name(name)}", *body)


def _points(found: Found) -> list[Point]:
    return [Point(attempt=one, lead=found.lead_of(one)) for one in found.attempts if one.folds]


def _upward(points: Sequence[Point], frame: Frame) -> Scale:
    """Room for every trial that did not go astray."""
    leads = np.array([one.lead for one in points])
    lower, upper = (float(q) for q in np.quantile(leads, [0.25, 0.75]))
    least = max(float(leads.min()), lower - FAR * (upper - lower))
    low, high = padded(min(least, 0.0), float(max(leads.max(), 0.0)), 0.08)
    return Scale(low, high, frame.bottom, frame.top)


def _value_axis(found: Found, up: Scale, frame: Frame, count: int) -> str:
    levels = up.ticks(count)
    return frame.value_axis(
        up, list(zip(levels, alike(levels, sign=True), strict=True)), f"lead, {found.unit}"
    )


def _beside(one: Attempt, place: int) -> float:
    """A place among categories: trials stand a little beside each other, in the order of their numbers."""
    return place + 0.5 * (one.number * 0.618 % 1.0) - 0.25


def _dot(found: Found, one: Point, x: Number, up: Scale) -> str:
    attempt, y = one.attempt, up.inside(one.lead)
    lead = f"{fixed(one.lead, 4, sign=True)} {found.unit}"
    text = f"trial {attempt.number}: {lead} on {len(attempt.folds)} inner folds, {attempt.state}"
    if attempt.number == found.best.number:
        return mark(x, y, BEST, f"{text}, the best", radius=6.5)
    style = FULL if attempt.state == "complete" else GIVEN_UP
    return mark(x, y, BELOW if one.lead < up.low else style, text, radius=4.0)


def _best_so_far(points: Sequence[Point], across: Scale, up: Scale) -> str:
    complete = [one for one in points if one.attempt.state == "complete"]
    best = np.maximum.accumulate([one.lead for one in complete])
    steps = f"M{across.at(complete[0].attempt.number):.1f} {up.inside(best[0]):.1f}"
    for one, level in zip(complete[1:], best[1:], strict=True):
        steps += f"H{across.at(one.attempt.number):.1f}V{up.inside(level):.1f}"
    return el("path", tooltip("best so far"), d=f"{steps}H{across.stop:.1f}", class_="line s0")


def _headline(found: Found) -> str:
    if not found.best.number:
        return "No trial did better than the study as it stands"
    lead = found.leads[0].test
    if not found.luck < LEVEL:
        return f"Trial {found.best.number} did best, by no more than chance would give"
    return f"Trial {found.best.number} did best: {fixed(lead.mean, 4, sign=True)} {found.unit} on rows it was chosen on"


def _topic(section: Section) -> Topic:
    charts = tuple(
        Picture(title=c.title, drawing=drawn(lambda width, c=c: plot(c, width)), reading=c.reading)
        for c in section.charts
    )
    return Topic(
        key=section.key,
        title=section.title,
        reading=section.reading,
        small=(),
        charts=charts,
        tables=tuple(view(section.key, table, own=OWN) for table in section.tables),
        notes=section.notes,
        missing=section.missing,
    )


def _history_topic(found: Found) -> Topic:
    reading = (
        "Each trial's lead over the study as it stands (dashed), on the inner folds that it was judged on. Gray ones "
        "were given up behind the median; the square is the best trial, the line the best so far."
    )
    one = Picture(title="", drawing=drawn(lambda width: history(found, width)), reading=reading)
    return _pictures("history", "How the best came about", charts=(one,))


def _slice_topic(found: Found) -> Topic:
    small = tuple(
        Picture(
            title=setting_name(name),
            drawing=both(scatter(found, name, part, SMALL), scatter(found, name, part, PHONE)),
            reading="",
        )
        for name, part in found.ground.space.parts.items()
    )
    reading = "Each trial's lead against one setting at a time; the others differ too."
    return _pictures("slices", "Where the good trials lie", reading=reading, small=small)


def _pictures(
    key: str,
    title: str,
    *,
    reading: str = "",
    charts: tuple[Picture, ...] = (),
    small: tuple[Picture, ...] = (),
) -> Topic:
    return Topic(
        key=key, title=title, reading=reading, small=small, charts=charts, tables=(), notes=(), missing=""
    )
