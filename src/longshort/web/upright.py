"""Charts of sections whose values go up: lines, bars, dots and intervals over numbers, instants or categories."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from longshort.web.formats import Number, alike, day
from longshort.web.marks import MANY, MOST_NAMED, Drawing, Drawn, legend, mark, shortened, value_range
from longshort.web.scales import Scale, padded, path, thin
from longshort.web.svg import LETTER, Frame, el, picture, spread, tooltip, words

DOTTED = 40  # lines with at most so many points have a mark at each
READOUTS = 45  # places along a line where the pointer finds numbers
SHARE = 0.8  # of the room of a category is filled
LINE_GAP = 16  # between names at the ends of lines


def upright(drawing: Drawing) -> str:
    """A chart with its values up and its places across."""
    chart = drawing.chart
    named = _names_at_ends(drawing)
    keys, keys_height = ("", 0.0) if named else legend(drawing, 32)
    low, high = value_range(drawing)
    rough = drawing.value_marks(Scale(low, high, 1, 0).ticks(5))
    left = 16 + LETTER * max([3, *(len(label) for _, label in rough)])
    right = drawing.width - (30 + LETTER * max(len(one.name) for one in drawing.series) if named else 14)
    top = 30 + keys_height
    height = max(200, LINE_GAP * len(drawing.series)) if named else 200 if drawing.narrow else 220
    frame = Frame(left, top, right, top + height)
    up, across = Scale(low, high, frame.bottom, frame.top), _across(drawing, frame)
    body = [
        _aim(drawing, up, frame),
        frame.value_axis(up, drawing.value_marks(up.ticks(5)), chart.y_label),
        _bottom(drawing, across, frame),
        _reference(drawing, up, frame),
        *(_series(drawing, one, across, up) for one in reversed(drawing.series)),
        keys,
        _end_names(drawing, up, frame) if named else "",
        _readouts(drawing, across, frame),
    ]
    return picture(drawing.width, frame.bottom + 46, f"{chart.title}: {chart.y_label}", *body)


def _names_at_ends(drawing: Drawing) -> bool:
    several = 2 <= len(drawing.series) <= MOST_NAMED
    longest = max(len(one.name) for one in drawing.series)
    return drawing.chart.kind == "lines" and several and not drawing.narrow and longest <= 30


def _across(drawing: Drawing, frame: Frame) -> Scale:
    if drawing.chart.x_kind == "label":
        return Scale(-0.5, drawing.places - 0.5, frame.left, frame.right)
    x = np.concatenate([one.x for one in drawing.series])
    low, high = float(x.min()), float(x.max())
    if drawing.chart.kind == "bars":
        room = _smallest_step(drawing) / 2
        low, high = low - room, high + room
    elif drawing.chart.kind != "lines" or low == high:
        low, high = padded(low, high)
    return Scale(low, high, frame.left, frame.right)


def _smallest_step(drawing: Drawing) -> float:
    """The room of one place: a category, or the least distance of two numbers."""
    if drawing.chart.x_kind == "label":
        return 1.0
    steps = np.diff(np.unique(np.concatenate([one.x for one in drawing.series])))
    return float(steps.min()) if len(steps) else 1.0


def _bottom(drawing: Drawing, across: Scale, frame: Frame) -> str:
    chart = drawing.chart
    if chart.x_kind == "instant":
        return frame.time_axis(across, f"{day(int(across.low))} to {day(int(across.high))}, UTC")
    if chart.x_kind == "number":
        marks = across.ticks(4 if drawing.narrow else 8)
        return frame.bottom_axis(across, list(zip(marks, alike(marks), strict=True)), chart.x_label)
    room = (frame.right - frame.left) / max(1, drawing.places)
    longest = LETTER * min(14, max(len(label) for label in drawing.labels)) + 8
    every = max(1, int(np.ceil(longest / room)))
    places = [(float(k), shortened(label, 14)) for k, label in enumerate(drawing.labels) if k % every == 0]
    names = "".join(
        words(across.at(k), frame.bottom + 18, label, class_="tick middle") for k, label in places
    )
    return names + words(frame.right, frame.bottom + 36, chart.x_label, class_="axis end")


def _aim(drawing: Drawing, up: Scale, frame: Frame) -> str:
    band = drawing.chart.band
    if band is None or not np.isfinite(band).all():
        return ""
    top, bottom = up.inside(max(band)), up.inside(min(band))
    text = f"as it should be: {drawing.value_text(min(band))} to {drawing.value_text(max(band))}"
    return el("rect", tooltip(text), x=frame.left, y=top, width=frame.right - frame.left,
              height=max(1.0, bottom - top), class_="aim")  # fmt: skip


def _reference(drawing: Drawing, up: Scale, frame: Frame) -> str:
    value = drawing.chart.reference
    if value is None or not np.isfinite(value):
        return ""
    y = up.at(value)
    return el("line", tooltip(drawing.value_text(value)), x1=frame.left, x2=frame.right, y1=y, y2=y,
              class_="reference")  # fmt: skip


def _series(drawing: Drawing, one: Drawn, across: Scale, up: Scale) -> str:
    if not len(one.x):
        return ""
    if drawing.chart.kind == "lines":
        return _line(drawing, one, across, up)
    if drawing.chart.kind == "bars":
        return _bars(drawing, one, across, up)
    places = _dodged(drawing, one, across)
    quiet = sum(len(other.x) for other in drawing.series) > MANY
    heights = [up.inside(float(y)) for y in one.y]
    return _whiskers(one, places, up, f"s{one.style}") + "".join(
        mark(x, y, one.style, "" if quiet else drawing.said(one, row))
        for row, (x, y) in enumerate(zip(places, heights, strict=True))
    )


def _line(drawing: Drawing, one: Drawn, across: Scale, up: Scale) -> str:
    order = np.argsort(one.x, kind="stable")
    places, heights = across(one.x[order]), up(one.y[order])
    known = np.isfinite(heights)
    kept = thin(places, heights)
    outline = el("path", tooltip(one.name), d=path(places[kept], heights[kept]), class_=f"line s{one.style}")
    alone = known & ~np.append(known[1:], False) & ~np.append(False, known[:-1])
    dotted = known if int(known.sum()) <= DOTTED and len(drawing.series) <= 8 else alone
    dots = "".join(
        mark(float(places[k]), float(heights[k]), one.style, drawing.said(one, int(order[k])), 3.0)
        for k in np.flatnonzero(dotted)[:MANY]
    )
    return _corridor(one, order, across, up) + outline + dots


def _corridor(one: Drawn, order: np.ndarray, across: Scale, up: Scale) -> str:
    """The area between the lower and the upper end, piece by piece where it has gaps."""
    low, high = one.low[order], one.high[order]
    areas: list[str] = []
    for known, rows in groupby(range(len(order)), key=lambda k: bool(np.isfinite([low[k], high[k]]).all())):
        piece = np.array(list(rows))
        if known and len(piece) > 1:
            x = across(one.x[order][piece])
            top, bottom = path(x, up(high[piece])), path(x[::-1], up(low[piece])[::-1])
            areas.append(el("path", d=f"{top}L{bottom[1:]}Z", class_=f"area s{one.style}"))
    return "".join(areas)


def _bars(drawing: Drawing, one: Drawn, across: Scale, up: Scale) -> str:
    step = abs(across.at(_smallest_step(drawing)) - across.at(0.0))
    whole = max(1.5, step * SHARE)
    width = max(1.0, whole / len(drawing.series))
    offset = -whole / 2 + width * list(drawing.series).index(one)
    drawn: list[str] = []
    zero = up.inside(0.0)
    for row, (x, y) in enumerate(zip(across(one.x), up(one.y), strict=True)):
        drawn.append(
            el(
                "rect",
                tooltip(drawing.said(one, row)),
                x=x + offset,
                y=min(zero, y),
                width=max(0.8, width - (1 if width > 4 else 0)),
                height=max(0.6, abs(y - zero)),
                class_=f"bar s{one.style}",
            )
        )
    centers = across(one.x) + offset + width / 2
    return "".join(drawn) + _whiskers(one, centers, up, "ink")


def _whiskers(one: Drawn, places: Sequence[Number] | np.ndarray, up: Scale, color: str) -> str:
    return "".join(
        el(
            "line",
            x1=x,
            x2=x,
            y1=up.inside(float(low)),
            y2=up.inside(float(high)),
            class_=f"error {color}",
        )
        for x, low, high in zip(places, one.low, one.high, strict=True)
        if np.isfinite([low, high]).all()
    )


def _dodged(drawing: Drawing, one: Drawn, across: Scale) -> list[float]:
    """Places of dots: series beside each other in a category, points of a strip spread within theirs."""
    places = across(one.x)
    if drawing.chart.x_kind == "label":
        room = abs(across.at(1.0) - across.at(0.0)) * SHARE
        slot = room / len(drawing.series)
        places = places - room / 2 + slot * (list(drawing.series).index(one) + 0.5)
        if drawing.chart.kind == "strip":
            places = places + jitter(one.x) * min(slot, 60.0)
    return [float(x) for x in places]


def jitter(places: np.ndarray) -> np.ndarray:
    """An even spread from -0.4 to 0.4 of the points that share a place, in their order.

    >>> jitter(np.array([0.0, 0.0, 0.0, 2.0]))
    array([-0.4,  0. ,  0.4,  0. ])
    """
    spread_ = np.zeros(len(places))
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        spread_[rows] = np.linspace(-0.4, 0.4, len(rows)) if len(rows) > 1 else 0.0
    return spread_


def _end_names(drawing: Drawing, up: Scale, frame: Frame) -> str:
    known = [one for one in drawing.series if np.isfinite(one.y).any()]
    last = {one.name: one.y[np.isfinite(one.y)][-1] for one in known}
    ends = [up.inside(float(last[one.name])) for one in known]
    heights = spread(ends, LINE_GAP, frame.top + 6, frame.bottom - 2)
    return "".join(
        words(frame.right + 10, y + 4, one.name, class_=f"name s{one.style}")
        for one, y in zip(known, heights, strict=True)
    )


def _readouts(drawing: Drawing, across: Scale, frame: Frame) -> str:
    """Strips under the pointer that say the nearest values of the first lines of a chart with many points."""
    points = max(len(one.x) for one in drawing.series)
    if drawing.chart.kind != "lines" or drawing.narrow or points <= DOTTED:
        return ""
    step = (frame.right - frame.left) / READOUTS
    strips: list[str] = []
    for k in range(READOUTS):
        at = across.low + (k + 0.5) / READOUTS * (across.high - across.low)
        told = [
            drawing.said(one, int(np.abs(one.x - at).argmin())) for one in drawing.series[:8] if len(one.x)
        ]
        place = {
            "x": frame.left + k * step,
            "y": frame.top,
            "width": step,
            "height": frame.bottom - frame.top,
        }
        strips.append(el("rect", tooltip("\n".join(told)), class_="hover", **place))
    return "".join(strips)
