"""Which bars a market can have: the grid that gaps are measured against.

A calendar maps a bar's closing instant to an absolute row number, the same whatever history is at hand. Around
the clock a bar opens where the one before it closed. A market with sessions has one bar per session, a day's:
it is kept under 00:00 UTC of its date, a label and no instant, and closes when that session did.
"""

import difflib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from longshort.base.clock import DAY, YEAR, Interval, format_instant
from longshort.base.errors import DataError, MissingExtra, StudyError

Instants = Int64[np.ndarray, " time"]
Sorted = Int64[np.ndarray, " session"]
EPOCH = "1970-01-01"  # sessions count from here, or from where the library's record of a market begins
TYPICAL_YEARS = range(2010, 2020)  # tell how many sessions a year has, whatever today is


@runtime_checkable
class Calendar(Protocol):
    """The closing instants that a market can have."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def closes(self, opened_at: Instants, interval: Interval) -> Instants:
        """When the bars closed that are kept under these stamps."""
        ...

    def opens(self, closed_at: Instants, interval: Interval) -> Instants:
        """When the bars opened that closed at these instants: the first moment at which they trade."""
        ...

    def grid(self, first_closed_at: int, last_closed_at: int, interval: Interval) -> Instants:
        """Every closing instant from the first to the last, both included."""
        ...

    def rows(self, closed_at: Instants, interval: Interval) -> Instants:
        """The absolute row number of each closing instant."""
        ...

    def later(self, closed_at: int, bars: int, interval: Interval) -> int:
        """The closing instant so many bars after one."""
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

    def closes(self, opened_at: Instants, interval: Interval) -> Instants:
        """An interval after they opened."""
        return opened_at + interval.ns

    def opens(self, closed_at: Instants, interval: Interval) -> Instants:
        """An interval before they closed."""
        return closed_at - interval.ns

    def grid(self, first_closed_at: int, last_closed_at: int, interval: Interval) -> Instants:
        """Every closing instant from the first to the last, both included."""
        count = (last_closed_at - first_closed_at) // interval.ns + 1  # np.arange would count in floats
        return first_closed_at + interval.ns * np.arange(count, dtype=np.int64)

    def rows(self, closed_at: Instants, interval: Interval) -> Instants:
        """The absolute row number of each closing instant."""
        return closed_at // interval.ns

    def later(self, closed_at: int, bars: int, interval: Interval) -> int:
        """The closing instant so many bars after one."""
        return closed_at + bars * interval.ns

    def bars_per_year(self, interval: Interval) -> float:
        """How many bars a year has."""
        return YEAR / interval.ns


@dataclass(frozen=True, slots=True)
class Sessions:
    """The trading days of a stock exchange, early closes included; daily bars only.

    Holidays and weekends are no rows, so they are no gaps. `name` is the exchange's ISO code.
    """

    name: str

    def closes(self, opened_at: Instants, interval: Interval) -> Instants:
        """When the sessions of these dates closed; raise `DataError` for a date without one."""
        schedule = self._schedule(interval)
        place = _find(schedule.labels, opened_at)
        if (place < 0).any():
            date = format_instant(int(opened_at[np.argmin(place)]))[:10]
            raise DataError(
                f"{self.name} has no session on {date}.",
                remedy="Correct that date, or name the calendar of the exchange that traded then.",
            )
        return schedule.closes[place]

    def opens(self, closed_at: Instants, interval: Interval) -> Instants:
        """When the sessions opened that closed at these instants."""
        return self._schedule(interval).opens[self.rows(closed_at, interval)]

    def grid(self, first_closed_at: int, last_closed_at: int, interval: Interval) -> Instants:
        """Every closing instant from the first to the last, both included."""
        closes = self._schedule(interval).closes
        first, end = (
            np.searchsorted(closes, first_closed_at),
            np.searchsorted(closes, last_closed_at, "right"),
        )
        return closes[first:end].copy()

    def rows(self, closed_at: Instants, interval: Interval) -> Instants:
        """The number of each session since 1970; raise `DataError` where none closed at that instant."""
        place = _find(self._schedule(interval).closes, closed_at)
        if (place < 0).any():
            instant = format_instant(int(closed_at[np.argmin(place)]))
            raise DataError(f"no session of {self.name} closed at {instant}.", remedy="Refetch that bar.")
        return place

    def later(self, closed_at: int, bars: int, interval: Interval) -> int:
        """The closing instant so many sessions after one; raise `DataError` beyond the coming year."""
        schedule = self._schedule(interval)
        place = int(self.rows(np.array([closed_at]), interval)[0]) + bars
        if place >= len(schedule.closes):
            last = format_instant(int(schedule.closes[-1]))[:10]
            raise DataError(f"the sessions of {self.name} are known up to {last} only.")
        return int(schedule.closes[place])

    def bars_per_year(self, interval: Interval) -> float:
        """How many sessions a year has: 252 in New York."""
        return self._schedule(interval).per_year

    def _schedule(self, interval: Interval) -> "Schedule":
        if interval.ns != DAY:
            raise StudyError(
                f"only daily bars (1d) have the sessions of {self.name} so far, was {interval}.",
                where="data.interval",
                remedy='Write "1d", or leave data.calendar empty for a market that is always open.',
            )
        return load_schedule(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every session of an exchange on record, in order: its date at 00:00 UTC, its open and its close."""

    labels: Sorted
    opens: Sorted
    closes: Sorted
    per_year: float


def find_calendar(name: str) -> Calendar:
    """The calendar of a name; empty is around the clock; raise `StudyError` with the nearest for an unknown one.

    >>> find_calendar("").name
    '24/7'
    """
    if name in ("", AlwaysOpen().name):
        return AlwaysOpen()
    library: Any = _library()
    known: list[str] = library.get_calendar_names(include_aliases=True)
    if name not in known:
        near = difflib.get_close_matches(name.upper(), known, n=3, cutoff=0.5)
        raise StudyError(
            f"unknown calendar {name!r}.",
            where="data.calendar",
            remedy=f"Did you mean {' or '.join(near)}?" if near else "New York's is XNYS, crypto's 24/7.",
        )
    return Sessions(library.resolve_alias(name))


@lru_cache(maxsize=4)
def load_schedule(name: str) -> Schedule:
    """The sessions of an exchange from 1970, or from the start of its record, into the coming year."""
    library: Any = _library()
    try:
        calendar = library.get_calendar(name, start=EPOCH)
    except ValueError:
        calendar = library.get_calendar(name, start=library.get_calendar(name).bound_min())
    years = calendar.sessions.year
    return Schedule(
        labels=calendar.sessions.as_unit("ns").asi8,
        opens=np.asarray(calendar.opens_nanos),
        closes=np.asarray(calendar.closes_nanos),
        per_year=float(round(np.isin(years, TYPICAL_YEARS).sum() / len(TYPICAL_YEARS))),
    )


def _library() -> Any:
    try:
        import exchange_calendars
    except ImportError as error:
        raise MissingExtra("exchange_calendars", "stocks") from error
    return exchange_calendars


def _find(known: Sorted, wanted: Instants) -> Instants:
    """Where each instant stands among the known ones, which are in order; -1 where it is not among them."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, place, -1)
