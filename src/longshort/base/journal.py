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
