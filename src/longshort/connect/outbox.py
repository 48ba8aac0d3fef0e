"""What is told now, what waits for the end of the quiet hours, and what the daily summary says of it.

No clock, no thread and no route: whoever calls says what time it is. What waits comes as one message.
"""

from collections import Counter, deque
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from longshort.base.clock import SECOND, format_instant
from longshort.base.journal import AccountSeen, Event, MessagesLost
from longshort.base.trading import NotifySettings
from longshort.connect.messages import Message, Severity, joined, render, summary

MOST_WAITING = 500


class Outbox:
    r"""Events in, messages out.

    >>> from longshort.base.journal import Session
    >>> outbox = Outbox(NotifySettings(quiet_from="22:00", quiet_until="07:00"))
    >>> outbox.add(Session(0, "started", ""), 0), outbox.due(0)
    (None, ())
    >>> [message.text for message in outbox.due(7 * 3600 * SECOND)]
    ['While it was quiet:\n1970-01-01 00:00Z session started']
    """

    def __init__(self, settings: NotifySettings) -> None:
        self._settings = settings
        self._zone = ZoneInfo(settings.zone)
        self._below = Severity[settings.quiet_below.upper()]
        self._ready: list[Message] = []
        self._waiting: deque[Message] = deque(maxlen=MOST_WAITING)
        self._missed = 0
        self._counts: Counter[str] = Counter()
        self._first: AccountSeen | None = None
        self._last: AccountSeen | None = None
        self._summary_at: int | None = None

    def add(self, event: Event, at: int) -> None:
        """Take in what happened."""
        self._counts[event.kind] += not isinstance(event, AccountSeen)
        if isinstance(event, AccountSeen):
            self._first, self._last = self._first or event, event
        message = render(event, at, self._zone)
        if message is None:
            return
        if message.severity < self._below and self._quiet(at):
            self._missed += len(self._waiting) == MOST_WAITING
            self._waiting.append(message)
        else:
            self._ready.append(message)

    def due(self, at: int) -> tuple[Message, ...]:
        """What goes out at an instant, each message once; ask at least once a minute."""
        out: list[Message] = []
        if self._waiting and not self._quiet(at):
            out += self._digest(at)
        if self._ready:
            out.append(joined(self._ready))
            self._ready = []
        if self._summary_is_due(at):
            out.append(summary(+self._counts, self._first, self._last, format_instant(at)))
            self._counts, self._first = Counter(), self._last
        return tuple(out)

    def rest(self, at: int) -> tuple[Message, ...]:
        """What is left when the session ends, quiet or not."""
        waiting = self._digest(at) if self._waiting else []
        ready, self._ready = ([joined(self._ready)] if self._ready else []), []
        return (*waiting, *ready)

    def _digest(self, at: int) -> list[Message]:
        messages = list(self._waiting)
        self._waiting.clear()
        if self._missed:
            lost = render(MessagesLost(at, "quiet hours", self._missed, "too many"), at, self._zone)
            messages += [lost] if lost else []
            self._missed = 0
        return [joined(messages, "While it was quiet:")]

    def _quiet(self, at: int) -> bool:
        begins, ends = self._settings.quiet_from, self._settings.quiet_until
        if not begins:
            return False
        now = f"{self._local(at):%H:%M}"
        return begins <= now < ends if begins <= ends else now >= begins or now < ends

    def _summary_is_due(self, at: int) -> bool:
        if not self._settings.summary_at:
            return False
        due = self._summary_at is not None and at >= self._summary_at
        if due or self._summary_at is None:
            self._summary_at = self._next_summary(at)
        return due

    def _next_summary(self, at: int) -> int:
        hour, minute = (int(part) for part in self._settings.summary_at.split(":"))
        now = self._local(at)
        named = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        later = named if named > now else named + timedelta(days=1)
        return int(later.timestamp()) * SECOND

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at // SECOND, self._zone)
