"""Bars as a stream tells them: each one that closed since the last look, then the unfinished one."""

from dataclasses import dataclass

from tests.loopback.candles import Candles
from tests.loopback.tape import Price, Reel
from tests.loopback.venue import World


@dataclass(frozen=True, slots=True)
class Told:
    """One bar to tell: a page of one row, and whether it is final."""

    bar: Candles
    closes: bool
    at: int


class BarFollower:
    """Follows the bars of one contract from when it is made."""

    def __init__(self, world: World, reel: Reel, kind: Price, interval: int) -> None:
        self._world, self._reel = world, reel
        self._kind: Price = kind
        self._interval = interval
        self._looked_at = world.now()
        self._first = True

    def due(self) -> list[Told]:
        """What is new; nothing while time stands still."""
        now, length = self._world.now(), self._interval
        if now == self._looked_at and not self._first:
            return []
        closed = self._reel.bars(self._kind, length).between(self._looked_at - length + 1, now - length + 1)
        current = self._reel.current(self._kind, length, now)
        self._looked_at, self._first = now, False
        told = [
            Told(closed[row : row + 1], closes=True, at=int(closed.opened_at[row]) + length)
            for row in range(len(closed))
        ]
        return told if current is None else [*told, Told(current, closes=False, at=now)]
