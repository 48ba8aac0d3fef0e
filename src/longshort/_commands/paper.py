"""`paper`: a session on the terminal, one line per close."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from rich.text import Text

from longshort._commands.following import venue_of
from longshort._commands.terminal import emit_json, note, stdout
from longshort.base.calendar import AlwaysOpen, find_calendar
from longshort.base.clock import format_instant
from longshort.base.errors import MissingExtra, StudyError
from longshort.base.settings import Study
from longshort.connect.exchange import Exchange
from longshort.trading.paper.diary import Line

HEAD_EVERY = 20  # closes between two headings
HEAD = f"{'closed at':>12} {'equity':>14} {'today':>8}  wishes and fills"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How many closes (0: until stopped), and for whom."""

    bars: int = 0
    as_json: bool = False


def paper(study: Study, asked: Asked) -> None:
    """Trade a study on paper until stopped, or for so many closes.

    Raises `MissingExtra` without NautilusTrader, `StudyError` for a market that closes.
    """
    if find_spec("nautilus_trader") is None:
        raise MissingExtra("nautilus_trader", "trade")
    _check_bars(study)
    from longshort._commands.paper_session import PaperSession

    show = _show_json if asked.as_json else Lines()

    async def session() -> None:
        async with Exchange(venue_of(study)) as exchange:
            await PaperSession(study, exchange, show).run(asked.bars)

    asyncio.run(session())


def _check_bars(study: Study) -> None:
    """Raise `StudyError` for a market that closes; say where a backtest looks closer than a session."""
    calendar, fills = find_calendar(study.data.calendar), study.trading.execution_interval
    if not isinstance(calendar, AlwaysOpen):
        raise StudyError(
            f"paper trades markets that are always open; this study keeps the hours of {calendar.name}.",
            where="data.calendar",
            remedy="Try it with `longshort backtest`.",
        )
    if fills not in ("", study.data.interval):
        note(
            f"Exits are looked for on {study.data.interval} bars; a backtest looks on {fills} ones. What that makes "
            "of money, `longshort report STUDY --live` counts under fill."
        )


class Lines:
    """One line per close: when, equity, today's profit, what changed; fills as they happen."""

    def __init__(self) -> None:
        self._closes = 0

    def __call__(self, lines: Sequence[Line]) -> None:
        """Show what was said."""
        fills = [line for line in lines if line["kind"] in ("filled", "liquidated")]
        decided = next((line for line in lines if line["kind"] == "decided"), None)
        console = stdout()
        if decided is None:
            text = " " * 38 + "".join(f"  {_fill(fill)}" for fill in fills)
            console.print(Text(text if fills else ""), soft_wrap=True, end="\n" if fills else "")
        else:
            if self._closes % HEAD_EVERY == 0:
                console.print(Text(HEAD, style="bold"), soft_wrap=True)
            self._closes += 1
            console.print(Text(_close_text(decided, fills)), soft_wrap=True)
        for line in lines:
            if line["kind"] in ("limit-reached", "stood-aside", "liquidated"):
                console.print(Text(_remark(line), style="yellow"), soft_wrap=True)
        sys.stdout.flush()


def _close_text(decided: Line, fills: Sequence[Line]) -> str:
    midnight = decided["midnight_equity"]
    today = f"{decided['equity'] / midnight - 1.0:+.2%}" if midnight else ""
    orders = [f"{order['side']} {order['quantity']:g} {order['symbol']}" for order in decided["orders"]]
    what = "; ".join([*orders, *(_fill(fill) for fill in fills)]) or "-"
    return f"{format_instant(decided['closed_at'])[5:]:>12} {decided['equity']:>14,.2f} {today:>8}  {what}"


def _fill(fill: Line) -> str:
    return f"filled {fill['quantity']:+g} {fill['symbol']} at {fill['price']:,g}"


def _remark(line: Line) -> str:
    why = line.get("reason") or line.get("detail") or line["kind"]
    return f"{line['symbol'] or 'account'}: {why}"


def _show_json(lines: Sequence[Line]) -> None:
    for line in lines:
        emit_json(line)
    sys.stdout.flush()
