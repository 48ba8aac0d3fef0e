"""How fast a venue may be asked: one queue for every task of a client, and a gate that a ban shuts for all.

Calls are spaced by what they cost, as the venue counts it. Time and sleep are given, so that tests need not wait.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from longshort.base.clock import MINUTE, SECOND, Clock, SystemClock, format_instant
from longshort.base.errors import VenueError

Sleep = Callable[[float], Awaitable[object]]
MILLISECOND = SECOND // 1000
SHARE = 0.95  # of a venue's weight per minute: the rest is for what else this address asks
NEARLY_ALL = 0.98  # from here on, wait for the next minute
BANNED_UNTIL = re.compile(r"banned until (\d{13})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The clock and the sleep of a client."""

    clock: Clock = field(default_factory=SystemClock)
    sleep: Sleep = asyncio.sleep

    def now(self) -> int:
        """Nanoseconds since 1970, by the machine."""
        return self.clock.now()


class Pacer:
    """Lets calls through at a venue's pace; a gate shut by one answer holds back every task.

    `unit_ms` is the time that one unit of cost takes. A wait longer than `patience` seconds is not waited for:
    `VenueError` says until when the venue is shut.
    """

    def __init__(self, venue: str, unit_ms: float, timing: Timing, patience: float = 300.0) -> None:
        self.unit_ms = unit_ms
        self.opens_at = 0
        self._venue = venue
        self._timing = timing
        self._patience = patience
        self._next_at: dict[str, int] = {}
        self._per_minute = 0
        self._seen_at = 0

    async def turn(self, cost: float) -> None:
        """Wait until a call of this cost may be made."""
        await self._queue("", int(cost * self.unit_ms * MILLISECOND))

    async def pause(self, kind: str, ms: int) -> None:
        """Wait for a queue of its own, which lets one call through per `ms`."""
        await self._queue(kind, ms * MILLISECOND)

    def shut(self, until_at: int) -> None:
        """Let nothing through before an instant."""
        self.opens_at = max(self.opens_at, until_at)

    def heed(self, status: int, headers: Mapping[str, str], body: str) -> None:
        """Learn from an answer: a ban, a wait that was asked for, or weight nearly used up."""
        named = {name.lower(): value for name, value in headers.items()}
        banned = BANNED_UNTIL.search(body) if status in (418, 429) else None
        wait = named.get("retry-after", "")
        used = named.get("x-mbx-used-weight-1m", "")
        now = self._timing.now()
        if banned:
            self.shut(int(banned[1]) * MILLISECOND)
        if status in (403, 418, 429, 503) and wait.isdecimal():
            self.shut(now + int(wait) * SECOND)
        if used.isdecimal() and self._per_minute and int(used) >= NEARLY_ALL * self._per_minute:
            self.shut((now // MINUTE + 1) * MINUTE)

    def learn(self, answer: Any) -> None:
        """Take the pace from Binance's own table of limits, where an answer has one."""
        limits: Any = answer.get("rateLimits") if isinstance(answer, dict) else None
        for limit in limits if isinstance(limits, list) else ():
            if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
                self._per_minute = int(limit["limit"]) // int(limit.get("intervalNum", 1))
                self.unit_ms = 60_000 / (SHARE * self._per_minute)

    async def _queue(self, name: str, length: int) -> None:
        while True:
            await self._gate()
            now = self._timing.now()
            if now < self._seen_at:  # the clock was set back: queue anew
                self._next_at.clear()
            self._seen_at = now
            start = max(now, self._next_at.get(name, 0))
            self._next_at[name] = start + length
            if start > now:
                await self._timing.sleep((start - now) / SECOND)
            if self._timing.now() >= self.opens_at:
                return

    async def _gate(self) -> None:
        while (left := (self.opens_at - self._timing.now()) / SECOND) > 0:
            if left > self._patience:
                raise VenueError(
                    f"asked too much and is shut for this address until {format_instant(self.opens_at)}.",
                    where=self._venue,
                    remedy="Run the same command again after that; what was fetched is kept.",
                )
            await self._timing.sleep(left)
