"""An append-only diary: one JSON line per event, on disk before the program goes on."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from longshort.base.clock import Clock, SystemClock, format_instant
from longshort.base.files import jsonable


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth remembering; `kind` names it in the journal."""

    kind: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class StoodAside(Event):
    """A decision that added no exposure because something could not be computed."""

    kind: ClassVar[str] = "stood-aside"
    closed_at: int
    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class LimitReached(Event):
    """A limit is reached from here on; `action` is what follows at once, `symbol` is empty for the whole account."""

    kind: ClassVar[str] = "limit-reached"
    closed_at: int
    symbol: str
    cause: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class GraceEnded(Event):
    """What was waited out did not pass, so from here on positions are closed."""

    kind: ClassVar[str] = "grace-ended"
    closed_at: int
    symbol: str
    cause: str
    since: int


@dataclass(frozen=True, slots=True)
class LimitCleared(Event):
    """A limit that was reached `since` is reached no more."""

    kind: ClassVar[str] = "limit-cleared"
    closed_at: int
    symbol: str
    cause: str
    since: int


@dataclass(frozen=True, slots=True)
class OrderCut(Event):
    """A wish was made smaller by a limit of size or rate; both are notionals in settlement units, signed."""

    kind: ClassVar[str] = "order-cut"
    closed_at: int
    symbol: str
    cause: str
    wished: float
    allowed: float


@dataclass(frozen=True, slots=True)
class Rearmed(Event):
    """A person let trading go on after the switch or the drawdown had stopped it."""

    kind: ClassVar[str] = "rearmed"
    closed_at: int
    rearmed_at: int
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccountSeen(Event):
    """The account at a close, in settlement units, for the daily summary."""

    kind: ClassVar[str] = "account"
    closed_at: int
    equity: float
    gross_notional: float


@dataclass(frozen=True, slots=True)
class Filled(Event):
    """An order was filled: signed contracts, what they were worth, and what the fill cost and earned."""

    kind: ClassVar[str] = "filled"
    filled_at: int
    symbol: str
    quantity: float
    price: float
    notional: float
    fee: float
    realized: float


@dataclass(frozen=True, slots=True)
class Liquidated(Event):
    """The venue closed a position that its margin no longer carried."""

    kind: ClassVar[str] = "liquidated"
    filled_at: int
    symbol: str
    quantity: float
    price: float
    lost: float


@dataclass(frozen=True, slots=True)
class Session(Event):
    """A session of paper or live trading did something: `what` is a word like started, resumed or stopped."""

    kind: ClassVar[str] = "session"
    happened_at: int
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class RouteFailed(Event):
    """A route does not take messages from here on, and is tried again; `route` and `reason` show no secret."""

    kind: ClassVar[str] = "route-failed"
    happened_at: int
    route: str
    reason: str


@dataclass(frozen=True, slots=True)
class MessagesLost(Event):
    """Messages that nobody got, because too many waited or the session ended; `route` shows no secret."""

    kind: ClassVar[str] = "messages-lost"
    happened_at: int
    route: str
    count: int
    reason: str


@runtime_checkable
class Journal(Protocol):
    """Whatever remembers events in order."""

    def append(self, event: Event) -> None:
        """Remember one event."""
        ...


class FileJournal:
    """A journal in a file of JSON lines; a line is either whole or absent after a crash."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()

    def append(self, event: Event) -> None:
        """Write one line and wait until it is on the disk."""
        at = format_instant(self._clock.now())
        record = {"at": at, "kind": event.kind} | asdict(event)
        line = json.dumps(jsonable(record), allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


class MemoryJournal:
    """A journal that lives as long as the process: backtests and tests."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, event: Event) -> None:
        """Remember one event."""
        self.events.append(event)


class Several:
    """One journal that is many; where one cannot write, the others still do, and then its error is raised."""

    def __init__(self, *journals: Journal) -> None:
        self._journals = journals

    def append(self, event: Event) -> None:
        """Tell each of them."""
        failed: OSError | None = None
        for journal in self._journals:
            try:
                journal.append(event)
            except OSError as error:
                failed = failed or error
        if failed:
            raise failed
