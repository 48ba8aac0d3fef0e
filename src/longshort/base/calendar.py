"""Which bars a market can have: the grid that gaps are measured against.

A calendar maps a bar's closing instant to an absolute row number, the same whatever history is at hand.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from longshort.base.clock import YEAR, Interval

Instants = Int64[np.ndarray, " time"]


@runtime_checkable
class Calendar(Protocol):
    """The closing instants that a market can have."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def grid(self, first_closed_at: int, last_closed_at: int, interval: Interval) -> Instants:
        """Every closing instant from the first to the last, both included."""
        ...

    def rows(self, closed_at: Instants, interval: Interval) -> Instants:
        """The absolute row number of each closing instant."""
        ...

    def bars_per_year(self, interval: Interval) -> float:
        """How many bars a year has."""
        ...


@dataclass(frozen=True, slots=True)
class AlwaysOpen:
    """Around the clock, every day of the week: crypto.

    >>> hour = Interval.parse("1h")
    >>> AlwaysOpen().rows(AlwaysOpen().grid(0, 2 * hour.ns, hour), hour).tolist()
    [0, 1, 2]
    """

    name: str = "24/7"

    def grid(self, first_closed_at: int, last_closed_at: int, interval: Interval) -> Instants:
        """Every closing instant from the first to the last, both included."""
        count = (last_closed_at - first_closed_at) // interval.ns + 1  # np.arange would count in floats
        return first_closed_at + interval.ns * np.arange(count, dtype=np.int64)

    def rows(self, closed_at: Instants, interval: Interval) -> Instants:
        """The absolute row number of each closing instant."""
        return closed_at // interval.ns

    def bars_per_year(self, interval: Interval) -> float:
        """How many bars a year has."""
        return YEAR / interval.ns
