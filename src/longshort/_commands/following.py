"""`forecast --follow`: one line per coin and horizon as soon as each bar has closed, on record before it is shown."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from longshort._commands.record import Line, Record, open_record
from longshort._commands.terminal import emit_json, note, stdout
from longshort._commands.watch import Seen, Watch
from longshort.base.clock import SECOND, format_instant, parse_instant
from longshort.base.settings import Study
from longshort.connect.exchange import Exchange
from longshort.data.lake import Lake
from longshort.data.market import columns_of, find_lake

RECORD = "forecasts.jsonl"
HEAD_EVERY = 20  # closes between two headings of the table
COLUMNS = (
    ("closed at", 12),
    ("coin", -11),
    ("close", 10),
    ("bars", 4),
    ("P(up)", 6),
    ("vol", 6),
    ("5 %", 7),
    ("median", 7),
    ("95 %", 7),
)  # a negative width is aligned to the left; together they have 78 columns

Show = Callable[[Sequence[Line]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How long to follow (0: until Ctrl-C), and for whom."""

    bars: int = 0
    as_json: bool = False


def follow(study: Study, asked: Asked) -> None:
    """Follow the venue of a study until Ctrl-C, or so many closes."""
    show = _show_json if asked.as_json else Table()

    async def session() -> None:
        async with Exchange(venue_of(study)) as exchange:
            await follow_on(Watch(study, exchange), asked.bars, show)

    try:
        asyncio.run(session())
    except KeyboardInterrupt:
        note("Ended; the same command goes on where this one stopped.")
        raise


async def follow_on(watch: Watch, bars: int, show: Show) -> None:
    """Say every close after the last one on record: write it down, then show it."""
    await watch.prepare()
    folder = watch.folder("follow")
    with open_record(folder / RECORD) as record:
        _greet(watch, record)
        said = 0
        async with aclosing(watch.closes(record.last_at)) as closes:
            async for seen in closes:
                lines = forecast_lines(seen)
                record.append(lines)
                show(lines)
                said += 1
                if said == bars:
                    return


def venue_of(study: Study) -> str:
    """The exchange whose bars a study reads."""
    lake = Lake(find_lake(study.data.lake, study.folder))
    return columns_of(lake, study.data).bars[0].venue


def forecast_lines(seen: Seen) -> list[Line]:
    """One line per coin and horizon: what is believed, of which close, whether it came late, and what was not told."""
    at = datetime.fromtimestamp(seen.close.closed_at // SECOND, UTC).isoformat()
    prices = dict(zip(seen.row.symbols, seen.row.close[0].tolist(), strict=True))
    present = dict(zip(seen.row.symbols, seen.row.present[0].tolist(), strict=True))
    lines: list[Line] = []
    for row in seen.forecast.to_polars().drop("closed_at").iter_rows(named=True):
        symbol = row["symbol"]
        about: dict[str, Any] = {
            "closed_at": at,
            "price": prices[symbol],
            "absent": not present[symbol],
            "unknown": list(seen.unknown[symbol]),
            "late": seen.is_late,
            "delay_s": round(seen.close.delay_s, 3),
        }
        lines.append(about | row)
    return lines


class Table:
    """Aligned lines of 80 columns; the heading comes again now and then."""

    def __init__(self) -> None:
        self._closes = 0

    def __call__(self, lines: Sequence[Line]) -> None:
        """Show a close."""
        console = stdout()
        if self._closes % HEAD_EVERY == 0:
            console.print(Text(_row([name for name, _ in COLUMNS]), style="bold"), soft_wrap=True)
        self._closes += 1
        before = ""
        for n, line in enumerate(lines):
            is_first = line["symbol"] != before
            before = line["symbol"]
            text = _row(
                [
                    format_instant(parse_instant(line["closed_at"]))[5:] if n == 0 else "",
                    *_cells(line, is_first=is_first),
                ]
            )
            console.print(Text(text, style="dim" if line["absent"] else ""), soft_wrap=True)
        if remark := _remark(lines):
            console.print(Text(remark, style="yellow"), soft_wrap=True)
        sys.stdout.flush()


def _cells(line: Line, *, is_first: bool) -> list[str]:
    name = line["symbol"] if is_first else ""
    price = "" if not is_first else "absent" if line["absent"] else f"{line['price']:,.6g}"
    known = line["p_up"] is not None and line["p_up"] == line["p_up"]
    figures = [
        f"{line['p_up']:.1%}",
        f"{line['volatility']:.2%}",
        *[f"{line[q]:+.2%}" for q in ("q0.05", "q0.50", "q0.95")],
    ]
    return [name, price, str(line["horizon_bars"]), *(figures if known else ["?"] * 5)]


def _row(cells: Sequence[str]) -> str:
    return " ".join(
        cell.rjust(width) if width > 0 else cell.ljust(-width)
        for cell, (_, width) in zip(cells, COLUMNS, strict=True)
    ).rstrip()


def _remark(lines: Sequence[Line]) -> str:
    """What a reader has to know of this close before acting on it."""
    absent = list(dict.fromkeys(line["symbol"] for line in lines if line["absent"]))
    said = [f"late: {ago(lines[0]['delay_s'])} after its close"] if lines[0]["late"] else []
    said += [f"no bar in time: {', '.join(absent)}"] if absent else []
    unknown = {measure: None for line in lines for measure in line["unknown"]}
    for measure in unknown:
        coins = dict.fromkeys(line["symbol"] for line in lines if measure in line["unknown"])
        said.append(f"{measure} not told yet: {', '.join(coins)}")
    return "; ".join(said)


def ago(seconds: float) -> str:
    """A stretch of time in one unit.

    >>> ago(3.0), ago(300.0), ago(7_300.0)
    ('3 s', '5 min', '2 h')
    """
    for unit, size in (("d", 172_800.0), ("h", 7_200.0), ("min", 120.0)):
        if seconds >= size:
            return f"{seconds / {'d': 86_400.0, 'h': 3_600.0, 'min': 60.0}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def _show_json(lines: Sequence[Line]) -> None:
    for line in lines:
        emit_json(line)
    sys.stdout.flush()


def _greet(watch: Watch, record: Record) -> None:
    last = record.last_at
    step, newest = watch.bars.interval.ns, int(watch.bars.closed_at[-1])
    if last is None:
        wait = ago(max(0, newest + step - watch.now()) / SECOND)
        note(
            f"Following {len(watch.wish.symbols)} of {watch.wish.venue}: the next close is in {wait}; Ctrl-C ends."
        )
    else:
        note(f"Going on after {format_instant(last)}; what closed since comes first, marked late.")
    note(f"On record in {record.path}")
