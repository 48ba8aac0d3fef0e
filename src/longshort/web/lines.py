"""Charts over time: lines with their names beside them, an optional fill, and a readout under the pointer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import format_instant
from longshort.web.formats import NOTHING, Number, alike, day
from longshort.web.scales import Scale, padded, path, thin
from longshort.web.svg import LETTER, NARROW, Frame, el, picture, spread, tooltip, words

READOUTS = 90  # places along the time axis where the pointer finds numbers
COLORS = 6  # that the style has
LEGEND = 18  # the height of one line of a legend
LOG_FROM = 4.0  # a range this many times its lowest value is easier to read on a logarithmic axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series; `style` 0 is the model, higher numbers are its rivals."""

    name: str
    at: Int64[np.ndarray, " time"]
    values: Float64[np.ndarray, " time"]
    style: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How a chart's values are named and written; `fill_to` shades between the first line and that value."""

    title: str
    show: Callable[[float], str]
    labels: Callable[[Sequence[float]], list[str]] = alike
    log: bool = False
    fill_to: Number | None = None


def needs_log(lines: Sequence[Line]) -> bool:
    """True where the values are positive and range over more than a factor of four."""
    values = _known(lines)
    return len(values) > 0 and bool(values.min() > 0) and bool(values.max() > LOG_FROM * values.min())


def line_chart(lines: Sequence[Line], axis: Axis, width: int = 1000, height: int = 320) -> str:
    """Series over UTC time; wide charts name each line at its end, narrow ones in a legend above."""
    lines = [line for line in lines if np.isfinite(line.values).any()]
    if not lines:
        return picture(width, 60, axis.title, words(4, 34, "nothing to draw", class_="tick"))
    narrow = width < NARROW
    longest = max(len(line.name) for line in lines)
    height += LEGEND * len(lines) if narrow else 0
    top = 34 + LEGEND * len(lines) if narrow else 30
    frame = Frame(56, top, width - (10 if narrow else 24 + LETTER * longest), height - 44)
    across, up = _scales(lines, axis, frame)
    values = up.ticks(3 if frame.bottom - frame.top < 150 else 5)
    marks = list(zip(values, axis.labels(values), strict=True))
    span = f"{day(int(across.low))} to {day(int(across.high))}, UTC"
    body = [
        frame.value_axis(up, marks, axis.title),
        frame.time_axis(across, span),
        *(_drawn(line, across, up, axis.fill_to if line is lines[0] else None) for line in reversed(lines)),
        _legend(lines) if narrow else _names(lines, up, frame),
        "" if narrow else _readouts(lines, axis, across, frame),
    ]
    return picture(width, height, f"{axis.title}: {', '.join(line.name for line in lines)}; {span}", *body)


def sample(x: Number, y: Number, style: int) -> str:
    """A short piece of line as a legend shows it."""
    return el("path", d=f"M{x:g} {y:g}h26", class_=f"line {color(style)}")


def color(style: int) -> str:
    """The class of a series: six colors that can be told apart, gray beyond.

    >>> color(0), color(9)
    ('s0', 's6')
    """
    return f"s{min(style, COLORS)}"


def _known(lines: Sequence[Line]) -> Float64[np.ndarray, " time"]:
    values = np.concatenate([line.values for line in lines]) if lines else np.zeros(0)
    return values[np.isfinite(values)]


def _scales(lines: Sequence[Line], axis: Axis, frame: Frame) -> tuple[Scale, Scale]:
    first, last = (float(f(f(line.at) for line in lines)) for f in (min, max))
    values = _known(lines)
    low, high = float(values.min()), float(values.max())
    if axis.fill_to is not None:
        low, high = min(low, axis.fill_to), max(high, axis.fill_to)
    if axis.log:
        low, high = low / 1.05, high * 1.05
    else:
        low, high = padded(low, high)
    across = Scale(first, max(last, first + 1), frame.left, frame.right)
    return across, Scale(low, high, frame.bottom, frame.top, log=axis.log)


def _drawn(line: Line, across: Scale, up: Scale, fill_to: Number | None) -> str:
    places, heights = across(line.at.astype(np.float64)), up(line.values)
    kept = thin(places, heights)
    outline = path(places[kept], heights[kept])
    area = ""
    if fill_to is not None and np.isfinite(heights).all():
        base = up.at(fill_to)
        closed = f"M{places[0]:.1f} {base:.1f}L{outline[1:]}L{places[-1]:.1f} {base:.1f}Z"
        area = el("path", d=closed, class_=f"area {color(line.style)}")
    return area + el("path", tooltip(line.name), d=outline, class_=f"line {color(line.style)}")


def _names(lines: Sequence[Line], up: Scale, frame: Frame) -> str:
    ends = [up.at(float(line.values[np.isfinite(line.values)][-1])) for line in lines]
    heights = spread(ends, 16.0, frame.top + 6, frame.bottom - 2)
    return "".join(
        words(frame.right + 10, y + 4, line.name, class_=f"name {color(line.style)}")
        for line, y in zip(lines, heights, strict=True)
    )


def _legend(lines: Sequence[Line]) -> str:
    return "".join(
        sample(6, 28 + LEGEND * row, line.style)
        + words(40, 32 + LEGEND * row, line.name, class_=f"name {color(line.style)}")
        for row, line in enumerate(lines)
    )


def _readouts(lines: Sequence[Line], axis: Axis, across: Scale, frame: Frame) -> str:
    count = min(READOUTS, max(len(line.at) for line in lines))
    step = (frame.right - frame.left) / count
    instants = across.low + (np.arange(count) + 0.5) / count * (across.high - across.low)
    drawn: list[str] = []
    for k, at in enumerate(instants):
        values = [f"{line.name}: {_value_at(line, at, axis)}" for line in lines]
        text = "\n".join([format_instant(int(at)), *values])
        place = {
            "x": frame.left + k * step,
            "y": frame.top,
            "width": step,
            "height": frame.bottom - frame.top,
        }
        drawn.append(el("rect", tooltip(text), class_="hover", **place))
    return "".join(drawn)


def _value_at(line: Line, instant: Number, axis: Axis) -> str:
    row = int(np.searchsorted(line.at, instant, side="right")) - 1
    return axis.show(float(line.values[row])) if row >= 0 else NOTHING
