"""A part of the evidence as plain values: what was found in one sentence, then tables and charts.

Page, terminal and JSON print sections alike; who computes something makes a section of it and draws nothing.
"""

from dataclasses import dataclass, field
from typing import Literal

Cell = str | float | int | bool | None
Kind = Literal["text", "number", "signed", "percent", "signed percent", "count", "p", "instant"]
ChartKind = Literal["lines", "bars", "dots", "intervals", "strip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: how its cells are to be read.

    `percent` cells are fractions, `p` cells p-values, `instant` cells UTC nanoseconds; a cell that could not be
    computed is None or NaN. `unit` stands behind the name, like "bp". `digits` counts decimals of numbers.
    """

    name: str
    kind: Kind = "text"
    unit: str = ""
    digits: int = 2
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells, one per column; `name` is unique within its section and names the file of a download."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, set of bars or dots; `low` and `high` are the ends of intervals where there are any.

    `x` holds numbers, UTC nanoseconds (where the chart's `x_kind` is "instant") or positions of `Chart.labels`.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw: axes with units, series, a reference line, and the one-line reading below.

    `labels` names the places of a chart over categories. `reference` is a value of y to compare with (0, 0.9), `band`
    a range of y that is as it should be.
    """

    name: str
    title: str
    kind: ChartKind
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    reading: str
    labels: tuple[str, ...] = ()
    x_kind: Literal["number", "instant", "label"] = "number"
    y_kind: Kind = "number"
    reference: float | None = None
    band: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One topic: a heading, what was found in a sentence or two, and the evidence.

    `missing` says why nothing could be computed, where nothing could.
    """

    key: str
    title: str
    reading: str
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    missing: str = ""
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Something that a careful reader would ask about: what was seen, why it matters, what to do about it."""

    name: str
    seen: str
    meaning: str
    severity: Literal["warning", "serious"] = "warning"
