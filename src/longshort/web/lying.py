"""Charts of sections over categories that need a row each: names to the left, values across, numbers at the right."""

import numpy as np

from longshort.web.formats import Number
from longshort.web.marks import MANY, Drawing, Drawn, legend, mark, shortened, value_range
from longshort.web.scales import Scale
from longshort.web.svg import LETTER, Frame, el, picture, tooltip, words
from longshort.web.upright import jitter

LONGEST = 34  # letters of a name beside its row; the rest is read under the pointer
ROW, BAR, DOT = 24.0, 11.0, 13.0  # the height of a row, and what each further series adds to it
ABOVE = 20.0  # what a name above its row takes on a phone


def lying(drawing: Drawing) -> str:
    """A chart with a row for each category and its values across."""
    chart = drawing.chart
    keys, keys_height = legend(drawing, 32)
    above = drawing.narrow and max(len(label) for label in drawing.labels) > 12
    names = [shortened(label, 44 if above else LONGEST) for label in drawing.labels]
    numbers = _numbers(drawing)
    left = 12.0 if above else 22 + LETTER * max(map(len, names))
    right = drawing.width - 18 - LETTER * max((len(text) for text in numbers.values()), default=0)
    step = _row_height(drawing) + (ABOVE if above else 0.0)
    top = 30 + keys_height
    frame = Frame(left, top, right, top + step * drawing.places)
    across = Scale(*value_range(drawing), left, right)
    middles = [top + step * (k + 1) - _row_height(drawing) / 2 for k in range(drawing.places)]
    body = [
        _aim(drawing, across, frame),
        frame.bottom_axis(
            across, drawing.value_marks(across.ticks(3 if drawing.narrow else 7)), chart.y_label
        ),
        _reference(drawing, across, frame),
        *(_name(drawing, k, name, middles[k], frame, above=above) for k, name in enumerate(names)),
        *(_series(drawing, one, across, middles) for one in drawing.series),
        *(words(right + 12, middles[k] + 4, text, class_="number") for k, text in numbers.items()),
        words(4, 14, chart.x_label, class_="axis"),
        keys,
    ]
    return picture(drawing.width, frame.bottom + 46, f"{chart.title}: {chart.y_label}", *body)


def _row_height(drawing: Drawing) -> float:
    each = BAR if drawing.chart.kind == "bars" else DOT
    return ROW + each * (len(drawing.series) - 1)


def _numbers(drawing: Drawing) -> dict[int, str]:
    """The value of each row, where every row has one at most."""
    if len(drawing.series) != 1 or len(np.unique(drawing.series[0].x)) != len(drawing.series[0].x):
        return {}
    one = drawing.series[0]
    return {int(x): drawing.value_text(float(y)) for x, y in zip(one.x, one.y, strict=True)}


def _name(drawing: Drawing, k: int, name: str, middle: Number, frame: Frame, *, above: bool) -> str:
    full = [tooltip(drawing.labels[k])] if name != drawing.labels[k] else []
    if above:
        return el("g", *full, words(4, middle - 18, name, class_="name"))
    return el("g", *full, words(frame.left - 12, middle + 4, name, class_="name end"))


def _aim(drawing: Drawing, across: Scale, frame: Frame) -> str:
    band = drawing.chart.band
    if band is None or not np.isfinite(band).all():
        return ""
    left, right = across.inside(min(band)), across.inside(max(band))
    text = f"as it should be: {drawing.value_text(min(band))} to {drawing.value_text(max(band))}"
    return el("rect", tooltip(text), x=left, y=frame.top, width=max(1.0, right - left),
              height=frame.bottom - frame.top, class_="aim")  # fmt: skip


def _reference(drawing: Drawing, across: Scale, frame: Frame) -> str:
    value = drawing.chart.reference
    if value is None or not np.isfinite(value):
        return ""
    x = across.at(value)
    return el("line", tooltip(drawing.value_text(value)), x1=x, x2=x, y1=frame.top, y2=frame.bottom,
              class_="reference")  # fmt: skip


def _series(drawing: Drawing, one: Drawn, across: Scale, middles: list[float]) -> str:
    each = BAR if drawing.chart.kind == "bars" else DOT
    number = list(drawing.series).index(one) - (len(drawing.series) - 1) / 2
    shifts = jitter(one.x) * (each if drawing.chart.kind == "strip" else 0.0)
    quiet = sum(len(other.x) for other in drawing.series) > MANY
    drawn: list[str] = []
    for row, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
        at = middles[int(x)] + each * number + float(shifts[row])
        text = "" if quiet else drawing.said(one, row)
        drawn.append(_bar(across, one, float(y), at, text) if drawing.chart.kind == "bars" else "")
        drawn.append(
            _whisker(across, one, row, at, "ink" if drawing.chart.kind == "bars" else f"s{one.style}")
        )
        drawn.append(
            mark(across.inside(float(y)), at, one.style, text) if drawing.chart.kind != "bars" else ""
        )
    return "".join(drawn)


def _bar(across: Scale, one: Drawn, value: float, at: Number, text: str) -> str:
    zero, end = across.inside(0.0), across.inside(value)
    inside = [tooltip(text)] if text else []
    return el("rect", *inside, x=min(zero, end), y=at - BAR / 2 + 0.5, width=max(0.6, abs(end - zero)),
              height=BAR - 1, class_=f"bar s{one.style}")  # fmt: skip


def _whisker(across: Scale, one: Drawn, row: int, at: Number, color: str) -> str:
    low, high = float(one.low[row]), float(one.high[row])
    if not np.isfinite([low, high]).all():
        return ""
    line = el("line", x1=across.inside(low), x2=across.inside(high), y1=at, y2=at, class_=f"error {color}")
    cuts = ((across.inside(high), 6, high > across.high), (across.inside(low), -6, low < across.low))
    return line + "".join(
        el("path", d=f"M{x:.1f} {at - 4:.1f}l{way} 4l{-way} 4", class_=f"error {color}")
        for x, way, cut in cuts
        if cut
    )  # fmt: skip
