"""Cells of tables as people read them, and whole tables as CSV that a program reads back without loss."""

import csv
import io
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from longshort.base.clock import SECOND, format_instant
from longshort.study.section import Cell, Column, Table
from longshort.web.formats import MINUS, Number, fixed, significant

MISSING = "\N{EN DASH}"
WRITTEN = {"percent": "%", "signed percent": "%", "instant": "UTC"}  # the unit of a kind, in a table's head
SIGNED = frozenset({"signed", "signed percent"})
PERCENT = frozenset({"percent", "signed percent"})
UNQUOTED = ",;()*!-_.~"  # what a data URI may hold as it is: no slash, colon or equals sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file that a page carries with it: its name, and its contents as a data URI."""

    name: str
    href: str


def cell_text(cell: Cell, column: Column) -> str:
    """A cell as its column's kind wants it read; the unit stands in the head.

    >>> cell_text(0.0123, Column(name="net return", kind="signed percent")), cell_text(7, Column(name="a"))
    ('+1.23', '7')
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return MISSING
    if isinstance(cell, str | bool):
        return {True: "yes", False: "no"}[cell] if isinstance(cell, bool) else cell
    if math.isinf(cell):
        return "\N{INFINITY}" if cell > 0 else MINUS + "\N{INFINITY}"
    return _number(cell, column)


def unit_of(column: Column) -> str:
    """What stands behind a column's name.

    >>> unit_of(Column(name="gap", kind="number", unit="bp")), unit_of(Column(name="share", kind="percent"))
    ('bp', '%')
    """
    return column.unit or WRITTEN.get(column.kind, "")


def short_p(value: Number) -> str:
    """A p-value for a column that is named so.

    >>> short_p(0.0004), short_p(0.0312), short_p(1.0)
    ('< .001', '.031', '1.000')
    """
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def table_csv(table: Table) -> str:
    """A table as CSV: numbers with all their digits, percentages as fractions, instants in ISO 8601."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_csv_head(column) for column in table.columns])
    writer.writerows(
        [_csv_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    )
    return out.getvalue()


def download(section: str, table: Table) -> Download:
    """The CSV of a table, as a link's file name and address."""
    return Download(
        name=f"{_slug(section)}-{_slug(table.name)}.csv",
        href="data:text/csv;charset=utf-8," + quote(table_csv(table), safe=UNQUOTED),
    )


def _number(cell: Number, column: Column) -> str:
    if column.kind == "instant":
        return format_instant(int(cell)).removesuffix("Z")
    if column.kind == "p":
        return short_p(cell)
    if column.kind == "count":
        return fixed(cell, 0)
    if column.kind == "text":
        return fixed(cell, 0) if float(cell).is_integer() else significant(cell)
    shown = 100.0 * cell if column.kind in PERCENT else cell
    return fixed(shown, column.digits, sign=column.kind in SIGNED)


def _csv_head(column: Column) -> str:
    unit = "fraction" if column.kind in PERCENT and column.unit in {"", "%"} else unit_of(column)
    return f"{column.name} ({unit})" if unit else column.name


def _csv_cell(cell: Cell, column: Column) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if column.kind == "instant" and not isinstance(cell, str) and math.isfinite(cell):
        return datetime.fromtimestamp(int(cell) // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return repr(cell) if isinstance(cell, float) else str(cell)


def _slug(text: str) -> str:
    """A name of a file: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "table"
