"""Forest plots: skills with their intervals, one below the other, or side by side for several horizons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from longshort.web.formats import Number, alike, skill
from longshort.web.marks import shortened
from longshort.web.scales import Scale, padded
from longshort.web.svg import LETTER, NARROW, Frame, el, picture, tooltip, words

FAR = 5.0  # an interval that ends this many times the median interval's end away is cut off with an arrow
LONGEST = 28  # letters of a name to the left of several plots
STEP = 23.0  # the height of a row there


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One row of a forest plot: an estimate with its interval; rows with the same `group` stand together."""

    group: str
    label: str
    value: Number
    low: Number
    high: Number
    note: str = ""
    hardest: bool = False

    @property
    def side(self) -> str:
        """Where the whole interval lies: `better` is drawn as a disc, `worse` a square, `unsure` a ring."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "unsure"


def forest(rows: Sequence[Interval], unit: str, margin: Number | None = None, width: int = 1000) -> str:
    """A dot and a bar per row, a line at zero, and a dashed one at the smallest useful skill if stated."""
    rows = [row for row in rows if _drawable(row)]
    if not rows:
        return picture(width, 60, "skill", words(4, 34, "nothing to draw", class_="tick"))
    narrow = width < NARROW
    texts = [skill(row.value, (row.low, row.high), "") for row in rows]
    left = 8 if narrow else 24 + LETTER * max(len(row.label) for row in rows)
    right = width - (12 if narrow else 24 + LETTER * max(map(len, texts)))
    step = 44 if narrow else 26
    places, heads, bottom = _forest_places(rows, 58.0 if narrow else 40.0, step)
    frame = Frame(left, 26, right, bottom)
    across = Scale(*_forest_range(rows, margin), left, right)
    marks = across.ticks(4 if narrow else 8)
    labels = list(zip(marks, alike(marks, sign=True), strict=True))
    body = [
        frame.bottom_axis(across, labels, f"skill, {unit}: right is better"),
        el("line", x1=across.at(0), x2=across.at(0), y1=26, y2=bottom, class_="zero"),
        _margin(margin, across, frame, unit),
        *(words(4, y, head, class_="head") for head, y in heads),
        *(
            _forest_row(row, text, y, across, frame, narrow=narrow)
            for row, text, y in zip(rows, texts, places, strict=True)
        ),
    ]
    return picture(width, bottom + 44, f"Skill with 95 % intervals, {unit}", *body)


def facets(
    names: Sequence[str],
    columns: Mapping[str, Mapping[str, Interval]],
    unit: str,
    margin: Number | None = None,
) -> str:
    """The same rows for several horizons side by side; the hardest row of each is shaded, absent ones stay empty."""
    width = 1000
    left = 16 + LETTER * min(LONGEST, max(map(len, names)))
    room = (width - left) / len(columns)
    bottom = 46 + STEP * len(names)
    rows = [
        el("g", tooltip(name), words(left - 12, _row_at(k) + 4, shortened(name, LONGEST), class_="name end"))
        for k, name in enumerate(names)
    ]
    plots = [
        _facet(title, [found.get(name) for name in names], (unit, margin), (left + room * k, room, bottom))
        for k, (title, found) in enumerate(columns.items())
    ]
    axis = words(width - 4, bottom + 36, f"skill, {unit}: right is better", class_="axis end")
    return picture(width, bottom + 44, f"Skill with 95 % intervals, {unit}", *rows, *plots, axis)


def _row_at(k: int) -> float:
    return 46 + STEP * (k + 0.5)


def _facet(
    title: str,
    rows: Sequence[Interval | None],
    told: tuple[str, Number | None],
    room: tuple[float, float, float],
) -> str:
    (unit, margin), (start, width, bottom) = told, room
    known = [(k, row) for k, row in enumerate(rows) if row and _drawable(row)]
    if not known:
        return words(start + 4, 16, title, class_="head") + words(
            start + 4, 60, "not compared", class_="tick"
        )
    texts = {k: skill(row.value, (row.low, row.high), "") for k, row in known}
    values = {k: text.partition(" ")[0] for k, text in texts.items()}
    right = start + width - 22 - LETTER * max(map(len, values.values()))
    frame = Frame(start + 4, 40, right - 8, bottom)
    across = Scale(*_forest_range([row for _, row in known], margin), frame.left, frame.right)
    marks = across.ticks(max(2, int((frame.right - frame.left) / 80)))
    labels = list(zip(marks, alike(marks, sign=True), strict=True))
    x = across.at(0)
    shade = [
        el("rect", x=start, y=_row_at(k) - STEP / 2, width=width - 6, height=STEP, rx=4, class_="hardest")
        for k, row in known
        if row.hardest
    ]
    useful = f"smallest useful: {margin:.2g} {unit}" if margin is not None else ""
    at = across.at(margin or 0.0)
    return "".join([
        words(frame.left, 16, title, class_="head"),
        *shade,
        frame.bottom_axis(across, labels, ""),
        el("line", x1=x, x2=x, y1=34, y2=bottom, class_="zero"),
        el("line", tooltip(useful), x1=at, x2=at, y1=34, y2=bottom, class_="margin") if useful else "",
        *(_interval(row, (texts[k], values[k]), _row_at(k), across, frame) for k, row in known),
    ])  # fmt: skip


def _interval(row: Interval, texts: tuple[str, str], y: Number, across: Scale, frame: Frame) -> str:
    return el("g", tooltip(f"{row.label}, {row.group}: {texts[0]}\n{row.note}"), _whisker(row, y, across),
              words(frame.right + 12, y + 4, texts[1], class_="number"))  # fmt: skip


def _drawable(row: Interval) -> bool:
    return all(math.isfinite(value) for value in (row.value, row.low, row.high))


def _forest_places(
    rows: Sequence[Interval], top: Number, step: Number
) -> tuple[list[float], list[tuple[str, float]], float]:
    places: list[float] = []
    heads: list[tuple[str, float]] = []
    y = top
    for group, members in groupby(rows, key=lambda row: row.group):
        heads += [(group, y)] if group else []
        y += step if group else 0.0
        for _ in members:
            places.append(y)
            y += step
        y += 8 if group else 0
    return places, heads, y - step + 14


def _forest_range(rows: Sequence[Interval], margin: Number | None) -> tuple[float, float]:
    limit = FAR * median(max(abs(row.low), abs(row.high)) for row in rows)
    ends = [
        0.0,
        margin or 0.0,
        *(max(-limit, min(limit, end)) for row in rows for end in (row.low, row.high)),
    ]
    return padded(min(ends), max(ends))


def _margin(margin: Number | None, across: Scale, frame: Frame, unit: str) -> str:
    if margin is None:
        return ""
    x = across.at(margin)
    said = f"smallest useful: {margin:.2g} {unit}"
    half = LETTER * len(said) / 2
    middle = min(max(x, half), frame.right - half)
    line = el("line", x1=x, x2=x, y1=frame.top - 6, y2=frame.bottom, class_="margin")
    return line + words(middle, frame.top - 10, said, class_="tick middle")


def _forest_row(row: Interval, text: str, y: Number, across: Scale, frame: Frame, *, narrow: bool) -> str:
    middle = y + 4 if narrow else y
    top, height = (y - 25, 40) if narrow else (y - 12, 24)
    shade = (
        el("rect", x=0, y=top, width=frame.right, height=height, rx=4, class_="hardest")
        if row.hardest
        else ""
    )
    label_x, label_y, anchor = (8, y - 10, "") if narrow else (frame.left - 14, y + 4, " end")
    value_x, value_anchor = (frame.right, " end") if narrow else (frame.right + 14, "")
    room = int((frame.right - frame.left) / LETTER) - len(text) - 3
    label = shortened(row.label, room) if narrow else row.label
    return el(
        "g", tooltip(f"{row.label} {row.group}: {text}\n{row.note}"), shade, _whisker(row, middle, across),
        words(label_x, label_y, label, class_=f"name{anchor}"),
        words(value_x, label_y, text, class_=f"number{value_anchor}"),
    )  # fmt: skip


def _whisker(row: Interval, middle: Number, across: Scale) -> str:
    low, high, at = (across.inside(v) for v in (row.low, row.high, row.value))
    line = el("line", x1=low, x2=high, y1=middle, y2=middle, class_=f"whisker {row.side}")
    arrows = "".join(
        el("path", d=f"M{x:.1f} {middle - 5:.1f}l{way} 5l{-way} 5", class_=f"whisker {row.side}")
        for x, way, cut in ((high, 7, row.high > across.high), (low, -7, row.low < across.low)) if cut
    )  # fmt: skip
    dot = (
        el("rect", x=at - 5, y=middle - 5, width=10, height=10, class_=f"dot {row.side}")
        if row.side == "worse"
        else el("circle", cx=at, cy=middle, r=5.5, class_=f"dot {row.side}")
    )
    return line + arrows + dot
