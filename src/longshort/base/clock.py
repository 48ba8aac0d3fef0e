"""Instants and intervals: int64 nanoseconds since 1970, always UTC.

The only module that may ask the machine for the time.
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from longshort.base.errors import StudyError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY + DAY // 4

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


@runtime_checkable
class Clock(Protocol):
    """Whatever tells the time, so that a test can tell another one."""

    def now(self) -> int:
        """Nanoseconds since 1970, UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of a bar.

    >>> Interval.parse("4h").ns // HOUR, str(Interval.parse("4h"))
    (4, '4h')
    """

    ns: int

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Read `1m`, `15m`, `1h`, `4h`, `1d`; raise `StudyError` for anything else."""
        match = re.fullmatch(r"([1-9]\d*)([smhdw])", text.strip())
        if not match:
            raise StudyError(
                f"{text!r} is not an interval.", remedy="Write a number and one of s, m, h, d, w, like 1h."
            )
        return cls(int(match[1]) * _UNITS[match[2]])

    def __str__(self) -> str:
        unit = next(u for u in ("w", "d", "h", "m", "s") if self.ns % _UNITS[u] == 0)
        if unit == "w" and self.ns != _UNITS["w"]:
            unit = "d"
        return f"{self.ns // _UNITS[unit]}{unit}"


def parse_instant(text: str) -> int:
    """Read an ISO date or time as a UTC instant; one without a zone counts as UTC.

    >>> format_instant(parse_instant("2024-01-01T01:00Z"))
    '2024-01-01 01:00Z'
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise StudyError(
            f"{text!r} is not a date.", remedy="Write it like 2024-12-31 or 2024-12-31T08:00Z."
        ) from error
    aware = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed
    return int(aware.timestamp()) * SECOND


def format_instant(instant: int) -> str:
    """Write an instant for people, to the minute.

    >>> format_instant(0)
    '1970-01-01 00:00Z'
    """
    return datetime.fromtimestamp(instant / SECOND, UTC).strftime("%Y-%m-%d %H:%MZ")
