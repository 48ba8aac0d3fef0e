"""What commands print of evidence: each section's heading, its reading and its tables, and the red flags.

Charts are for the page; the terminal says how many there are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from longshort._commands.terminal import say, say_table
from longshort.base.errors import DataError, StudyError
from longshort.study.section import Cell, Column, Flag, Section, Table
from longshort.web.cells import MISSING, cell_text, unit_of
from longshort.web.facts import ordered_flags
from longshort.web.formats import MINUS

T = TypeVar("T")
NAN = float("nan")
SECTIONS = TypeAdapter(tuple[Section, ...])
FLAGS = TypeAdapter(tuple[Flag, ...])
DASHES = {MINUS: "-", MISSING: "-"}  # what is piped is read by programs that know one dash


def show_sections(sections: Sequence[Section], only: Sequence[str] = ()) -> None:
    """Print sections in order, all or those whose keys are named; an unknown key is refused."""
    known = list(dict.fromkeys(section.key for section in sections))
    unknown = [key for key in only if key not in known]
    if unknown:
        raise StudyError(
            f"the report has no section {unknown[0]!r}.",
            remedy=f"Choose from: {', '.join(known)}." if known else "Evaluate again: it has no sections.",
        )
    for section in sections:
        if not only or section.key in only:
            _show(section)


def show_flags(flags: Sequence[Flag]) -> None:
    """Print what a careful reader would ask about, serious ones first; nothing where there is nothing."""
    for flag in ordered_flags(flags):
        style = "bold red" if flag.severity == "serious" else "yellow"
        say(f"{flag.severity.upper()}: {flag.name}. {flag.seen} {flag.meaning}", style=style)


def sections_from(plain: Sequence[Mapping[str, Any]]) -> tuple[Section, ...]:
    """The sections of a report.json, as `Report.to_dict` wrote them; numbers that JSON could not hold are NaN."""
    return _read(SECTIONS.validate_python, [_with_numbers(section) for section in plain])


def flags_from(plain: Sequence[Mapping[str, Any]]) -> tuple[Flag, ...]:
    """The red flags of a report.json."""
    return _read(FLAGS.validate_python, plain)


def table_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Heads and cells as the terminal prints them: units in the head, numbers under a head that begins with `>`.

    >>> table_cells(Table(name="a", title="A", columns=(Column(name="gap", kind="signed", unit="bp"),), rows=((-1,),)))
    (['>gap, bp'], [['-1.00']])
    """
    return [_head(column) for column in table.columns], [
        [_plain(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows
    ]


def _show(section: Section) -> None:
    say("")
    say(section.title, style="bold")
    if section.missing:
        say(f"Not computed: {section.missing}")
        return
    if section.reading:
        say(section.reading)
    for table in section.tables:
        heads, rows = table_cells(table)
        say_table(table.title, heads, rows)
        if table.note:
            say(table.note)
    for chart in section.charts:
        say(f"{chart.title}: {chart.reading}")
    for line in section.notes:
        say(line)


def _head(column: Column) -> str:
    unit = unit_of(column)
    name = f"{column.name}, {unit}" if unit else column.name
    return name if column.kind == "text" else f">{name}"


def _plain(cell: Cell, column: Column) -> str:
    text = cell_text(cell, column)
    if isinstance(cell, str):
        return text
    for found, ascii_ in DASHES.items():
        text = text.replace(found, ascii_)
    return text


def _with_numbers(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section whose charts have NaN where JSON has null."""
    charts = [
        dict(chart) | {"series": [_series(series) for series in chart["series"]]}
        for chart in section["charts"]
    ]
    return dict(section) | {"charts": charts}


def _series(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value if key == "name" else [NAN if v is None else v for v in value]
        for key, value in plain.items()
    }


def _read(parse: Callable[..., T], plain: object) -> T:
    try:
        return parse(plain)
    except ValidationError as error:
        raise DataError(
            f"this report.json was not written by this version: {error.errors()[0]['msg'].lower()}.",
            remedy="Run `longshort evaluate` again.",
        ) from error
