"""Tells people what the journal is told, without ever holding up or ending the program that trades.

Events go into a bounded queue; one thread of its own sends them, tries again with longer and longer pauses, and keeps
what a route does not take, up to a bound. What is lost is counted, journaled and told once the route works again. It
may be lost for good when the machine stops: the journal, not the phone, is the record.
"""

import random
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue

from longshort.base.clock import SECOND, Clock, SystemClock
from longshort.base.errors import LongshortError
from longshort.base.journal import Event, Journal, MessagesLost, RouteFailed
from longshort.base.trading import NotifySettings
from longshort.connect.guard import STUMBLES
from longshort.connect.messages import Message, joined
from longshort.connect.outbox import Outbox
from longshort.connect.retry import Patience
from longshort.connect.routes import Route, Undelivered, routes_of

MOST_QUEUED = 1_000  # events that wait for the thread
MOST_KEPT = 200  # messages that wait for a route
TICK_S = 0.25
PATIENCE = Patience(first_s=1.0, longest_s=300.0)


class Courier:
    """One route and what still has to go there; `send` what is due, at an instant that the caller names."""

    def __init__(self, route: Route, journal: Journal, patience: Patience = PATIENCE) -> None:
        self.route = route
        self._journal = journal
        self._patience = patience
        self._kept: deque[Message] = deque(maxlen=MOST_KEPT)
        self._rng = random.Random(route.name)  # noqa: S311 only spreads retries
        self._failures = self._lost = self._next_at = 0

    @property
    def kept(self) -> int:
        """How many messages have not arrived."""
        return len(self._kept)

    def add(self, message: Message) -> None:
        """Keep one more message; the oldest makes room."""
        self._lost += len(self._kept) == MOST_KEPT
        self._kept.append(message)

    def send(self, at: int, *, last: bool = False) -> None:
        """Send all that is kept as one message, unless a pause after a failure is not over; `last`: now or never."""
        if not self._kept or (at < self._next_at and not last):
            return
        try:
            self.route.send(joined(list(self._kept)))
        except Undelivered as error:
            self._failed(at, str(error))
        else:
            self._kept.clear()
            self._failures = 0
            self._report(at, "too many waited")
        if last and self._kept:
            self._lost += len(self._kept)
            self._kept.clear()
            self._report(at, "the session ended")

    def _failed(self, at: int, reason: str) -> None:
        self._failures += 1
        self._next_at = at + round(self._patience.wait(self._failures, self._rng) * SECOND)
        if self._failures == 1:
            _write(self._journal, RouteFailed(at, self.route.name, reason))

    def _report(self, at: int, reason: str) -> None:
        if self._lost:
            _write(self._journal, MessagesLost(at, self.route.name, self._lost, reason))
            self._lost = 0


class Notifier:
    """A journal whose readers are people: append an event and go on; close it when the session ends.

    Its own troubles go to another journal, never to itself.
    """

    def __init__(
        self,
        settings: NotifySettings,
        journal: Journal,
        folder: Path,
        *,
        clock: Clock | None = None,
        routes: Sequence[Route] | None = None,
    ) -> None:
        urls = [url.get_secret_value() for url in settings.urls]
        chosen = routes_of(urls, folder) if routes is None else routes
        self._journal, self._clock = journal, clock or SystemClock()
        self._couriers = [Courier(route, journal) for route in chosen]
        self._outbox = Outbox(settings)
        self._queue: Queue[tuple[int, Event]] = Queue(MOST_QUEUED)
        self._dropped, self._lock = 0, threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="longshort notifier", daemon=True)
        if self._couriers:
            self._thread.start()

    def append(self, event: Event) -> None:
        """Tell people of an event; returns at once, whatever the routes do."""
        if not self._couriers:
            return
        try:
            self._queue.put_nowait((self._clock.now(), event))
        except Full:
            with self._lock:
                self._dropped += 1

    def close(self, timeout_s: float = 10.0) -> None:
        """Send what is left, each route once more, and end the thread; gives up after the timeout."""
        self._stop.set()
        if self._couriers:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._take(TICK_S)
            at = self._clock.now()
            self._post(self._outbox.due(at), at)
        self._take(0.0)
        at = self._clock.now()
        self._post((*self._outbox.due(at), *self._outbox.rest(at)), at, last=True)

    def _take(self, wait_s: float) -> None:
        """Move what is queued to the outbox; an event that cannot be told is none that ends the thread."""
        with suppress(Empty):
            at, event = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
            while True:
                with suppress(*STUMBLES):
                    self._outbox.add(event, at)
                at, event = self._queue.get_nowait()
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            lost = MessagesLost(self._clock.now(), "queue", dropped, "too many at once")
            _write(self._journal, lost)
            self._outbox.add(lost, lost.happened_at)

    def _post(self, messages: Sequence[Message], at: int, *, last: bool = False) -> None:
        for courier in self._couriers:
            for message in messages:
                courier.add(message)
            courier.send(at, last=last)


def _write(journal: Journal, event: Event) -> None:
    """Journal a trouble of our own; where even that fails there is nobody left to tell."""
    with suppress(OSError, LongshortError):
        journal.append(event)
