"""`venues`: what each exchange offers, told offline from ccxt's tables and our own."""

from collections.abc import Sequence
from dataclasses import asdict

from longshort._commands.terminal import emit_json, say, say_table
from longshort.connect.known_venues import Kind
from longshort.connect.venues import CLOSED, VENUES, Capabilities, capabilities

KINDS: tuple[Kind, ...] = ("bars", "mark", "index", "funding", "open-interest")


def venues(names: Sequence[str], *, as_json: bool) -> None:
    """Say what each venue offers; those of the mission where none is named."""
    told = [capabilities(name) for name in names or [v for v in VENUES if VENUES[v].contracts]]
    if as_json:
        emit_json([asdict(c) | {"history_days": dict(c.history_days)} for c in told])
        return
    columns = [
        "venue",
        "contracts",
        "bars",
        ">page",
        *KINDS,
        "funding settles",
        "live",
        "archive",
        "test net",
    ]
    say_table("What the venues offer to ccxt", columns, [_capability_row(c) for c in told])
    say(
        "Open interest in days: how far back the venue itself remembers. Other ccxt venues: `longshort venues NAME`."
    )
    for closed in CLOSED.values():
        say(str(closed), style="dim")


def _capability_row(told: Capabilities) -> list[str]:
    def past(kind: Kind) -> str:
        if kind not in told.kinds:
            return "-"
        if rows := told.history_rows.get(kind):
            return f"{rows:,} rows"
        days = told.history_days.get(kind)
        return f"{days} d" if days else "all"

    yes = {True: "yes", False: "-"}
    return [
        told.venue,
        ", ".join(told.contracts),
        f"{told.intervals[0]} to {told.intervals[-1]}" if told.intervals else "-",
        f"{told.page_rows:,}",
        *(past(kind) for kind in KINDS),
        told.settles,
        yes[told.websocket_bars],
        yes[told.archive],
        yes[told.sandbox],
    ]
