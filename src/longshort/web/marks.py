"""What the charts of sections share: series as arrays, ranges, labels of values, legends, marks by series."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from longshort.base.clock import format_instant
from longshort.study.section import Chart, Column, Series
from longshort.web.cells import PERCENT, SIGNED, cell_text, unit_of
from longshort.web.formats import Number, alike, significant
from longshort.web.scales import padded
from longshort.web.svg import LETTER, NARROW, el, tooltip, words

Points = Float64[np.ndarray, " time"]
STYLES = 6  # colors that can be told apart; series beyond them are gray
LEGEND = 20  # the height of one line of a legend
MOST_NAMED = 24  # series that a legend names
FAR = 5.0  # an interval that ends this many times the median interval's end away is cut off
MOST_PLACES = 200  # categories without a name that are drawn
MANY = 400  # points from which on they are drawn without a text under the pointer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A series ready to draw: rows with a finite place and value only; `low` and `high` NaN where unknown."""

    name: str
    style: int
    x: Points
    y: Points
    low: Points
    high: Points


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart, its series and the width it is drawn for."""

    chart: Chart
    series: tuple[Drawn, ...]
    width: int

    @property
    def narrow(self) -> bool:
        """Whether it is drawn for a phone."""
        return self.width < NARROW

    @cached_property
    def places(self) -> int:
        """How many categories there are: all that are named, and any beyond that hold a point."""
        last = max((int(one.x.max()) for one in self.series if len(one.x)), default=0)
        return max(len(self.chart.labels), last + 1)

    @cached_property
    def labels(self) -> list[str]:
        """The names of all categories; one without a name is called by its number."""
        return [*self.chart.labels, *(str(k) for k in range(len(self.chart.labels), self.places))]

    def label_at(self, x: Number) -> str:
        """What stands at a place of the horizontal axis, in words."""
        match self.chart.x_kind:
            case "label":
                return self.labels[round(x)] if 0 <= round(x) < self.places else str(round(x))
            case "instant":
                return format_instant(int(x))
            case _:
                return significant(x)

    def value_text(self, value: Number) -> str:
        """A value of the chart as a tooltip says it."""
        kind = self.chart.y_kind
        if kind in PERCENT | {"count", "p", "instant"}:
            column = Column(name="", kind=kind)
            unit = f" {unit_of(column)}" if kind in PERCENT else ""
            return cell_text(float(value), column) + unit
        text = significant(value, 3)
        return f"+{text}" if kind in SIGNED and value > 0 else text

    def said(self, one: Drawn, row: int) -> str:
        """One point in words: which series, where, what, and its interval."""
        low, high = one.low[row], one.high[row]
        known = (
            f" [{self.value_text(low)}, {self.value_text(high)}]" if np.isfinite([low, high]).all() else ""
        )
        name = f"{one.name}, " if one.name else ""
        return f"{name}{self.label_at(one.x[row])}: {self.value_text(one.y[row])}{known}"

    def value_marks(self, values: list[float]) -> list[tuple[float, str]]:
        """Ticks of the value axis with their labels."""
        kind = self.chart.y_kind
        if kind in PERCENT:
            shown = alike([100.0 * v for v in values], sign=kind in SIGNED)
            return [(v, f"{label} %") for v, label in zip(values, shown, strict=True)]
        return list(zip(values, alike(values, sign=kind in SIGNED), strict=True))


def prepared(chart: Chart, own: str) -> tuple[Drawn, ...]:
    """The series of a chart that hold a value, as arrays, with the model's own in the first color."""
    names = [series.name for series in chart.series]
    order = sorted(range(len(names)), key=lambda k: (names[k] != own, k))
    styles = {k: min(rank, STYLES) for rank, k in enumerate(order)}
    drawn = (_drawn(series, styles[k], chart) for k, series in enumerate(chart.series))
    return tuple(one for one in drawn if len(one.x))


def fits(drawing: Drawing) -> bool:
    """Whether a chart stands upright: lines, numbers and instants do, and categories whose names have room."""
    chart = drawing.chart
    if chart.x_kind != "label" or chart.kind == "lines":
        return True
    room = (drawing.width - 90) / max(1, drawing.places)
    longest = max(map(len, drawing.labels), default=0)
    return chart.kind != "intervals" and room >= LETTER * longest + 10


def value_range(drawing: Drawing) -> tuple[float, float]:
    """From the least to the greatest value to show; single intervals that end far outside are cut."""
    chart = drawing.chart
    values = np.concatenate([one.y[np.isfinite(one.y)] for one in drawing.series])
    ends = np.concatenate([end for one in drawing.series for end in (one.low, one.high)])
    ends = ends[np.isfinite(ends)]
    if len(ends) and chart.kind == "intervals":
        base = chart.reference or 0.0
        limit = FAR * float(np.median(np.abs(ends - base))) or 1.0
        ends = np.clip(ends, base - limit, base + limit)
        values = np.clip(values, base - limit, base + limit)
    also = [v for v in (chart.reference, *(chart.band or ())) if v is not None and math.isfinite(v)]
    also += [0.0] if chart.kind == "bars" else []
    everything = np.concatenate([values, ends, np.array(also, dtype=np.float64)])
    low, high = float(everything.min()), float(everything.max())
    wide_low, wide_high = padded(low, high)
    return (low if chart.kind == "bars" and low == 0.0 else wide_low), wide_high


def legend(drawing: Drawing, top: Number) -> tuple[str, float]:
    """Names of the series with their marks, in as many lines as they need, and the height of these lines."""
    if len(drawing.series) < 2:
        return "", 0.0
    x, y, parts = 4.0, float(top), []
    shown = drawing.series[:MOST_NAMED]
    more = len(drawing.series) - len(shown)
    for one in shown:
        name = shortened(one.name, int((drawing.width - 60) / LETTER))
        length = 34 + LETTER * len(name) + 14
        if x > 4 and x + length > drawing.width:
            x, y = 4.0, y + LEGEND
        parts += [_sample(drawing.chart.kind, one.style, x, y), words(x + 32, y + 4, name, class_="name")]
        x += length
    if more:
        y += LEGEND
        parts.append(words(4, y + 4, f"and {more} more", class_="tick"))
    return "".join(parts), y - top + LEGEND


def mark(x: Number, y: Number, style: int, text: str = "", radius: Number = 4.5) -> str:
    """A point whose shape tells its series, so that color alone never does."""
    r, inside = radius, [tooltip(text)] if text else []
    shape = style % STYLES if style < STYLES else 0
    if shape == 0:
        return el("circle", *inside, cx=x, cy=y, r=r, class_=f"mark s{style}")
    outlines = {
        1: f"M{x - r:.1f} {y - r:.1f}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z",
        2: f"M{x:.1f} {y - 1.3 * r:.1f}l{1.3 * r:g} {1.3 * r:g} {-1.3 * r:g} {1.3 * r:g} {-1.3 * r:g} {-1.3 * r:g}z",
        3: f"M{x:.1f} {y - 1.2 * r:.1f}l{1.2 * r:g} {2.2 * r:g}h{-2.4 * r:g}z",
        4: f"M{x:.1f} {y + 1.2 * r:.1f}l{1.2 * r:g} {-2.2 * r:g}h{-2.4 * r:g}z",
        5: f"M{x - 1.2 * r:.1f} {y - r / 2:.1f}h{2.4 * r:g}v{r:g}h{-2.4 * r:g}z",
    }
    return el("path", *inside, d=outlines[shape], class_=f"mark s{style}")


def shortened(text: str, letters: int) -> str:
    """At most so many letters, the last an ellipsis where some are missing.

    >>> shortened("seasonal naive", 9)
    'seasonal…'
    """
    return text if len(text) <= max(2, letters) else text[: max(1, letters - 1)].rstrip() + "…"


def _drawn(series: Series, style: int, chart: Chart) -> Drawn:
    rows = min(len(series.x), len(series.y))
    x, y = np.array(series.x[:rows], dtype=np.float64), np.array(series.y[:rows], dtype=np.float64)
    known = np.isfinite(x) & (np.isfinite(y) | (chart.kind == "lines"))
    if chart.x_kind == "label":
        x = np.round(x)
        known &= (x >= 0) & (x < max(len(chart.labels), MOST_PLACES))
    known &= bool(np.isfinite(y).any())
    y = np.where(np.isfinite(y), y, np.nan)
    return Drawn(
        name=series.name,
        style=style,
        x=x[known],
        y=y[known],
        low=_ends(series.low, rows)[known],
        high=_ends(series.high, rows)[known],
    )


def _ends(values: tuple[float, ...], rows: int) -> Points:
    ends = np.full(rows, np.nan)
    if len(values) >= rows:
        ends[:] = values[:rows]
    return np.where(np.isfinite(ends), ends, np.nan)


def _sample(kind: str, style: int, x: Number, y: Number) -> str:
    if kind == "lines":
        return el("path", d=f"M{x:g} {y:g}h26", class_=f"line s{style}")
    if kind == "bars":
        return el("rect", x=x + 6, y=y - 6, width=14, height=12, class_=f"bar s{style}")
    return mark(x + 14, y, style)
