"""What time it is on the exchange: the machine's time, the machine's time sped up, or set by hand.

`now()` is market time, which decides what has traded. Requests are signed with the machine's time: a client
does not know that the market runs faster.
"""

import time
from typing import Protocol


class MarketClock(Protocol):
    """Tells market time; `speed` is how many seconds of it pass per second of the machine."""

    speed: float

    def now(self) -> int:
        """Nanoseconds since 1970, UTC."""
        ...


class WallClock:
    """The machine's own time, `ahead` nanoseconds early."""

    speed = 1.0

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead

    def now(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return time.time_ns() + self.ahead


class FastClock:
    """Starts at `start_at` when made and passes `speed` times as fast as the machine's time."""

    def __init__(self, start_at: int, speed: float) -> None:
        self.start_at = start_at
        self.speed = speed
        self._began = time.monotonic_ns()

    def now(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return self.start_at + int(self.speed * (time.monotonic_ns() - self._began))


class HandClock:
    """Stands still until a test moves it."""

    speed = 1.0

    def __init__(self, start_at: int) -> None:
        self._now = start_at

    def now(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return self._now

    def advance(self, ns: int) -> None:
        """Let time pass."""
        assert ns >= 0
        self._now += ns
