"""What people are told of each event: plain text, short, with units, in UTC and in their own time.

One renderer per kind of event; a kind without one is told as its fields. `None` is not worth a message: it only counts
in the daily summary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from longshort.base.clock import SECOND, format_instant
from longshort.base.journal import (
    AccountSeen,
    Event,
    Filled,
    GraceEnded,
    LimitCleared,
    LimitReached,
    Liquidated,
    MessagesLost,
    OrderCut,
    Rearmed,
    Session,
    StoodAside,
)

LONGEST_TEXT = 3_500  # characters: Telegram takes 4,096
MOST_LINES = 40


class Severity(IntEnum):
    """How much a message matters."""

    INFO = 0
    WARNING = 1
    ALARM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to tell people; `text` begins with when it was."""

    severity: Severity
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Signaled(Event):
    """A person is told to change what is held, in words that say all of it; no journal has it but the signals' own."""

    kind: ClassVar[str] = "signal"
    closed_at: int
    symbol: str
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a renderer makes of an event."""

    severity: Severity
    what: str


def both_times(instant: int, zone: ZoneInfo) -> str:
    """An instant in UTC and, where it differs, in the reader's time.

    >>> both_times(0, ZoneInfo("Asia/Tokyo")), both_times(0, ZoneInfo("UTC"))
    ('1970-01-01 00:00Z (09:00 JST)', '1970-01-01 00:00Z')
    """
    local = datetime.fromtimestamp(instant // SECOND, zone)
    there = "" if local.utcoffset() == datetime.fromtimestamp(0, ZoneInfo("UTC")).utcoffset() else local
    return format_instant(instant) + (f" ({there:%H:%M %Z})" if there else "")


def render(event: Event, at: int, zone: ZoneInfo) -> Message | None:
    """The message for an event that was told at an instant, or None where it is not worth one."""
    told = RENDERERS[type(event)](event) if type(event) in RENDERERS else _other(event)
    if told is None:
        return None
    return Message(
        severity=told.severity, title=f"longshort: {event.kind}", text=f"{both_times(at, zone)} {told.what}"
    )


def joined(messages: Sequence[Message], heading: str = "") -> Message:
    """Several messages as one, as severe as the worst of them; what is too long is in the journal."""
    worst = max(messages, key=lambda message: message.severity)
    lines, left = [m.text for m in messages[:MOST_LINES]], max(len(messages) - MOST_LINES, 0)
    more = [f"... and {left} more: see the journal"] if left else []
    text = "\n".join([*([heading] if heading else []), *lines, *more])
    title = worst.title if len(messages) == 1 else f"longshort: {len(messages)} messages"
    return Message(severity=worst.severity, title=title, text=shortened(text))


def shortened(text: str) -> str:
    """A text that every route takes."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ... (cut)"


def summary(
    counts: Mapping[str, int], first: AccountSeen | None, last: AccountSeen | None, at: str
) -> Message:
    r"""What happened since the summary before: how often each kind of event, and what the account did.

    >>> summary({"filled": 3}, None, None, "1970-01-02 00:00Z").text
    '1970-01-02 00:00Z daily summary\nfilled: 3'
    """
    lines = [f"{at} daily summary"]
    if first and last:
        change = last.equity - first.equity
        share = f", {change / first.equity:+.2%}" if first.equity > 0 else ""
        lines.append(
            f"equity {last.equity:,.2f} ({change:+,.2f}{share}), in positions {last.gross_notional:,.2f}"
        )
    lines += [f"{kind}: {count}" for kind, count in sorted(counts.items())] or ["nothing happened"]
    return Message(severity=Severity.INFO, title="longshort: daily summary", text=shortened("\n".join(lines)))


def _whose(symbol: str) -> str:
    return symbol or "account"


def _reached(event: LimitReached) -> Told:
    alarming = event.action.startswith("flatten")
    severity = Severity.ALARM if alarming else Severity.WARNING
    return Told(severity, f"{_whose(event.symbol)}: {event.cause}, so {event.action} ({event.detail})")


def _graced(event: GraceEnded) -> Told:
    what = f"{event.cause} since {format_instant(event.since)} did not pass, so positions are closed"
    return Told(Severity.ALARM, f"{_whose(event.symbol)}: {what}")


def _cleared(event: LimitCleared) -> Told:
    since = format_instant(event.since)
    return Told(Severity.INFO, f"{_whose(event.symbol)}: {event.cause} is over, it began {since}")


def _rearmed(event: Rearmed) -> Told:
    return Told(Severity.ALARM, f"account: re-armed after {' and '.join(event.causes)}, trading goes on")


def _filled(event: Filled) -> Told:
    side = "bought" if event.quantity > 0 else "sold"
    told = f"{event.symbol}: {side} {abs(event.quantity):g} at {event.price:g}, worth {event.notional:,.2f}"
    gained = f", realized {event.realized:+,.2f}" if event.realized else ""
    return Told(Severity.INFO, f"{told}, fee {event.fee:,.4f}{gained}")


def _liquidated(event: Liquidated) -> Told:
    told = f"liquidated {abs(event.quantity):g} at {event.price:g}, {event.lost:,.2f} lost"
    return Told(Severity.ALARM, f"{event.symbol}: {told}")


def _session(event: Session) -> Told:
    return Told(Severity.INFO, f"session {event.what}" + (f": {event.detail}" if event.detail else ""))


def _stood_aside(event: StoodAside) -> Told:
    return Told(Severity.INFO, f"{_whose(event.symbol)}: stood aside, {event.reason}")


def _lost(event: MessagesLost) -> Told:
    return Told(Severity.WARNING, f"{event.count} messages were lost ({event.route}: {event.reason})")


def _signaled(event: Signaled) -> Told:
    return Told(Severity.WARNING, event.text)


def _silent(_event: Event) -> None:
    return None


def _other(event: Event) -> Told:
    fields = ", ".join(f"{name.replace('_', ' ')} {_value(name, v)}" for name, v in asdict(event).items())
    return Told(Severity.INFO, f"{event.kind}: {fields}")


def _value(name: str, value: object) -> str:
    if isinstance(value, int) and name.endswith("_at"):
        return format_instant(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


RENDERERS: Mapping[type[Event], Callable[[Any], Told | None]] = MappingProxyType(
    {
        LimitReached: _reached,
        GraceEnded: _graced,
        LimitCleared: _cleared,
        OrderCut: _silent,
        Rearmed: _rearmed,
        AccountSeen: _silent,
        Filled: _filled,
        Liquidated: _liquidated,
        Session: _session,
        StoodAside: _stood_aside,
        MessagesLost: _lost,
        Signaled: _signaled,
    }
)
