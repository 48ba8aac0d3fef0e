"""The page of a search for settings: how the best came about, what mattered, where the good trials lie.

Trials far below the others are held at the lower edge, as triangles that point down: one that went astray would flatten
all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from longshort.study.section import Section
from longshort.study.tuning.account import Found
from longshort.study.tuning.search import Attempt
from longshort.study.tuning.sections import OWN, sections, setting_name, setting_text
from longshort.study.tuning.space import Part, Span
from longshort.web.formats import Number, alike, fixed
from longshort.web.marks import mark
from longshort.web.pages import drawn, once, render
from longshort.web.plots import plot
from longshort.web.scales import Scale, padded
from longshort.web.sections import Picture, Topic
from longshort.web.svg import LETTER, NARROW, Frame, el, picture, tooltip, words
from longshort.web.tables import view

SMALL = 330  # the width of the charts of single settings
FAR = 3.0  # interquartile ranges below the lower quartile at which a trial is held at the edge
FULL, GIVEN_UP, BEST, BELOW = 0, 6, 1, 4  # the styles of marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Scores from the least to the greatest that is shown."""

    low: float
    high: float

    @classmethod
    def of(cls, attempts: Sequence[Attempt]) -> "Field":
        """Room for every trial that did not go astray."""
        scores = np.array([one.score for one in attempts if one.folds])
        lower, upper = (float(q) for q in np.quantile(scores, [0.25, 0.75]))
        least = max(float(scores.min()), lower - FAR * (upper - lower))
        low, high = padded(least, float(scores.max()), 0.08)
        return cls(low=low, high=high)


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
    """Every trial's gain over HAR-t, the best so far, and where the study stood."""
    attempts = [one for one in found.attempts if one.folds]
    narrow = width < NARROW
    own, last = found.own.score, max(1, found.attempts[-1].number)
    label = "as it stands"
    frame = Frame(64, 30, width - (12 if narrow else 24 + LETTER * len(label)), 286)
    across = Scale(0.0, float(last), frame.left + 8, frame.right - 8)
    field = Field.of(attempts)
    up = Scale(field.low, field.high, frame.bottom, frame.top)
    levels = up.ticks(5)
    marks = [(float(k), str(int(k))) for k in across.ticks(5 if narrow else 10) if k == int(k)]
    reference = el("line", x1=frame.left, x2=frame.right, y1=up.at(own), y2=up.at(own), class_="reference")
    body = [
        frame.value_axis(up, list(zip(levels, alike(levels, sign=True), strict=True)), f"gain, {found.unit}"),
        frame.bottom_axis(across, marks, "trial"),
        reference,
        _best_so_far(attempts, across, up),
        *(_dot(found, one, across.at(one.number), up) for one in attempts),
        "" if narrow else words(frame.right + 10, up.at(own) + 4, label, class_="name s6"),
    ]
    return picture(width, 330, "The gain of every trial over HAR-t and the best so far", *body)


def scatter(found: Found, name: str, part: Part) -> str:
    """The gain of every trial against one setting."""
    attempts = [one for one in found.attempts if one.folds]
    field = Field.of(attempts)
    frame = Frame(58, 26, SMALL - 10, 186)
    up = Scale(field.low, field.high, frame.bottom, frame.top)
    levels = up.ticks(3)
    if isinstance(part, Span):
        across = Scale(part.low, part.high, frame.left + 8, frame.right - 8, log=part.log)
        marks = [(v, setting_text(float(v))) for v in across.ticks(3)]
        places = [across.at(float(one.values[name])) for one in attempts]
    else:
        across = Scale(-0.5, len(part.options) - 0.5, frame.left, frame.right)
        marks = [(float(k), setting_text(option)) for k, option in enumerate(part.options)]
        places = [across.at(_beside(one, part.options.index(one.values[name]))) for one in attempts]
    body = [
        frame.value_axis(up, list(zip(levels, alike(levels, sign=True), strict=True)), f"gain, {found.unit}"),
        frame.bottom_axis(across, marks, ""),
        *(_dot(found, one, x, up) for one, x in zip(attempts, places, strict=True)),
    ]
    return picture(SMALL, 212, f"The gain of every trial against {setting_name(name)}", *body)


def _beside(one: Attempt, place: int) -> float:
    """A place among categories: trials stand a little beside each other, in the order of their numbers."""
    return place + 0.5 * (one.number * 0.618 % 1.0) - 0.25


def _dot(found: Found, one: Attempt, x: Number, up: Scale) -> str:
    style = FULL if one.state == "complete" else GIVEN_UP
    if one.score < up.low:
        style = BELOW
    text = f"trial {one.number}: {fixed(one.score, 4, sign=True)} {found.unit}, {one.state}"
    if one.number == found.best.number:
        return mark(x, up.inside(one.score), BEST, text + ", the best", radius=6.5)
    return mark(x, up.inside(one.score), style, text, radius=4.0)


def _best_so_far(attempts: Sequence[Attempt], across: Scale, up: Scale) -> str:
    complete = [one for one in attempts if one.state == "complete"]
    best = np.maximum.accumulate([one.score for one in complete])
    steps = f"M{across.at(complete[0].number):.1f} {up.inside(best[0]):.1f}"
    for one, level in zip(complete[1:], best[1:], strict=True):
        steps += f"H{across.at(one.number):.1f}V{up.inside(level):.1f}"
    steps += f"H{across.stop:.1f}"
    return el("path", tooltip("best so far"), d=steps, class_="line s0")


def _headline(found: Found) -> str:
    if not found.best.number:
        return "No trial did better than the study as it stands"
    lead = found.leads[0].test
    if not lead.mean - lead.half_width > 0.0:
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
        "Circles were judged on every inner fold, gray ones were given up behind the median; the square is the best "
        "trial, the line the best so far, the dashed line the study as it stands."
    )
    one = Picture(title="", drawing=drawn(lambda width: history(found, width)), reading=reading)
    return _pictures("history", "How the best came about", charts=(one,))


def _slice_topic(found: Found) -> Topic:
    small = tuple(
        Picture(title=setting_name(name), drawing=once(scatter(found, name, part)), reading="")
        for name, part in found.ground.space.parts.items()
    )
    reading = "Each trial's gain against one setting at a time; the others differ too."
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
