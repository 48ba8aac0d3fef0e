"""What commands print: tables and progress for people, JSON for programs, one line for an error.

Results go to stdout, everything else to stderr. Colors and live bars appear on a terminal only.
"""

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from longshort.base.clock import SECOND, SystemClock
from longshort.base.files import jsonable

PIPED_WIDTH = 160  # a file has no edge; wrapped tables are for nobody
LINE_EVERY = 10 * SECOND

Report = Callable[[str, int, int], None]  # what long work calls: report("training", done, of)


def stdout() -> Console:
    """Where results go."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def stderr() -> Console:
    """Where progress and notes go."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPED_WIDTH, highlight=False)


def say(text: str, *, style: str = "") -> None:
    """One line of a result; markup in it is not interpreted, and it is never wrapped."""
    stdout().print(Text(text, style=style), soft_wrap=True)


def note(text: str) -> None:
    """One line beside the result."""
    stderr().print(Text(text, style="dim"), soft_wrap=True)


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """A table; a column whose name starts with `>` holds numbers and is aligned to the right."""
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(
            Text(column.removeprefix(">")), justify="right" if is_number else "left", no_wrap=is_number
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    stdout().print(table)


def emit_json(value: object) -> None:
    """One JSON value on one line."""
    sys.stdout.write(json.dumps(jsonable(value), allow_nan=False) + "\n")


@contextmanager
def progress(clock: SystemClock | None = None, *, unit: str = "") -> Generator[Report]:
    """Show how far long work is: bars with the time left on a terminal, a line now and then where piped.

    Where the steps have a `unit`, their speed is shown too.
    """
    if not sys.stderr.isatty():
        yield _PlainLines(clock or SystemClock(), unit)
        return
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *((_Speed(unit),) if unit else (MofNCompleteColumn(),)),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=stderr(),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, of: int) -> None:
        if what not in tasks:
            tasks[what] = shown.add_task(what)
        finished = bool(unit) and done >= of  # of many series only those under way are of interest
        shown.update(tasks[what], completed=done, total=of, visible=not finished)

    with shown:
        yield report


class _Speed(ProgressColumn):
    """How many there are and how fast they come: 1,200,000 of 2,629,440 rows, 240,000/s."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The cell of one task."""
        speed = f", {task.speed:,.0f}/s" if task.speed else ""
        return Text(f"{task.completed:,.0f} of {task.total or 0:,.0f} {self._unit}{speed}")


class _PlainLines:
    """The first and the last step of each work, and one at most every ten seconds between."""

    def __init__(self, clock: SystemClock, unit: str = "") -> None:
        self._clock = clock
        self._unit = unit
        self._began: dict[str, int] = {}
        self._spoke_at = 0

    def __call__(self, what: str, done: int, of: int) -> None:
        now = self._clock.now()
        began = self._began.setdefault(what, now)
        if done < of and began != now and now - self._spoke_at < LINE_EVERY:
            return
        self._spoke_at = now
        elapsed = (now - began) / SECOND
        left = f", about {elapsed / done * (of - done):.0f} s left" if 0 < done < of and elapsed > 0 else ""
        speed = f" {self._unit}, {done / elapsed:,.0f}/s" if self._unit and elapsed > 1 else ""
        sys.stderr.write(f"{what} {done}/{of}{speed}, {elapsed:.0f} s{left}\n")
        sys.stderr.flush()
