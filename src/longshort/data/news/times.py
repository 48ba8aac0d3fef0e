"""What a source states of when an item appeared, read as the stretch of instants in which that can have been.

A time without a zone can be that of any place on Earth, a date is its whole day, midnight is a date. Nothing is
guessed: text that is not understood is no time, and what is left unread makes a stamp later, never earlier.
"""

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from longshort.base.errors import DataError

Form = Literal["time", "zoneless", "day"]
Stamped = Literal["auto", "time", "day"]

FIRST_ZONE = timezone(timedelta(hours=14))  # where a day begins first
LAST_ZONE = timezone(timedelta(hours=-12))  # and where it ends last
YEARS = range(1990, 2101)  # any other year is a mistake of the source
SMALLEST_EPOCH = 1e8  # below 1973 in seconds, a number is a year, a count or a spreadsheet's day
EPOCH_SCALES = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000))
ZONE_HOURS = MappingProxyType(
    {"Z": 0, "UT": 0, "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5}
    | {"MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
)  # those of RFC 822; others, like IST, mean several zones and count as none
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_CLOCK = (
    r"(?:(?:\s*[T,]\s*|\s+)(?:at\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?\s*(?P<half>[ap]\.?m\b\.?)?)?"
    r"(?P<zone>[^\d].*|)"
)
_FORMATS = tuple(
    re.compile(day + _CLOCK, re.IGNORECASE | re.DOTALL)
    for day in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?!\d)",
        r"(?:[a-z]+\.?,?\s+)?(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s-]+(?P<month>[a-z]{3,9})\.?,?[\s-]+(?P<year>\d{4}|\d{2})(?!\d)",
        r"(?:[a-z]+,\s+)?(?P<month>[a-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})(?!\d)",
    )
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """When an item appeared, as far as its source says it.

    The truth lies in `earliest_at`..`latest_at`; `named_at` is what to show, `stated` is what the source wrote.
    """

    form: Form
    earliest_at: int
    named_at: int
    latest_at: int
    stated: str


def read_stamp(value: object, *, zone: tzinfo | None = None, stamped: Stamped = "auto") -> Stamp | None:
    """Read a date, time, epoch number or text; None where it holds none. `zone` serves those that name no zone.

    `stamped` says whether midnight is a time: "auto" takes it for a date, "time" for a time, "day" drops every time.

    >>> one = read_stamp("Mon, 03 Jun 2024 10:00:00 GMT")
    >>> one.form, one.latest_at == one.earliest_at, read_stamp("2024-06-03 10:00").form, read_stamp("3/6/2024")
    ('time', True, 'zoneless', None)
    """
    moment = _moment(value)
    if moment is None or moment.year not in YEARS:
        return None
    if not isinstance(moment, datetime):
        return _day(moment, zone, moment.isoformat())
    is_midnight = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    stated = moment.date().isoformat() if is_midnight else moment.isoformat()
    known_zone = moment.tzinfo or zone
    if stamped == "day" or (stamped == "auto" and is_midnight):
        return _day(moment.date(), known_zone, stated)
    if known_zone is None:
        earliest_at, latest_at = _instant(moment, FIRST_ZONE), _instant(moment, LAST_ZONE)
        return Stamp(
            form="zoneless", earliest_at=earliest_at, named_at=latest_at, latest_at=latest_at, stated=stated
        )
    at = _nanoseconds(moment) if moment.tzinfo else _instant(moment, known_zone)
    return Stamp(form="time", earliest_at=at, named_at=at, latest_at=at, stated=stated)


def find_zone(name: str) -> tzinfo | None:
    """The zone of a name like Europe/Berlin; None for no name; raise `DataError` for an unknown one.

    >>> find_zone("UTC")
    datetime.timezone.utc
    """
    if not name or name.upper() == "UTC":
        return UTC if name else None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        close = get_close_matches(name, sorted(zoneinfo.available_timezones()), n=1)
        remedy = f"Did you mean {close[0]}?" if close else "Write it like UTC or America/New_York."
        raise DataError(f"{name!r} is not a time zone.", where="--zone", remedy=remedy) from error


def _day(day: date, zone: tzinfo | None, stated: str) -> Stamp:
    first, named, last = (zone, zone, zone) if zone else (FIRST_ZONE, UTC, LAST_ZONE)
    begin = datetime(day.year, day.month, day.day)  # noqa: DTZ001 a wall clock's reading, placed below
    return Stamp(
        form="day",
        earliest_at=_instant(begin, first),
        named_at=_instant(begin, named),
        latest_at=_instant(begin + timedelta(days=1), last),
        stated=stated,
    )


def _instant(wall: datetime, zone: tzinfo) -> int:
    """Nanoseconds of a wall clock's reading; the later where clocks are set back and it occurs twice."""
    return max(_nanoseconds(wall.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))


def _nanoseconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1_000


def _moment(value: object) -> date | None:
    match value:
        case bool():
            return None
        case date():
            return value
        case int() | float():
            return _from_epoch(float(value))
        case str():
            return _from_text(value.strip())
        case _:
            return None


def _from_epoch(number: float) -> datetime | None:
    scale = next((per_second for limit, per_second in EPOCH_SCALES if number < limit), None)
    if scale is None or not number >= SMALLEST_EPOCH:
        return None
    return _EPOCH + timedelta(microseconds=round(number * (1_000_000 / scale)))


def _from_text(text: str) -> date | None:
    if re.fullmatch(r"\d{9,20}(\.\d*)?", text):
        return _from_epoch(float(text))
    found = next((m for pattern in _FORMATS if (m := pattern.fullmatch(text))), None)
    return _from_parts(found.groupdict()) if found else None


def _from_parts(parts: dict[str, str | None]) -> date | None:
    month = _month(parts["month"] or "")
    year = int(parts["year"] or 0)
    year += 2000 if year < 70 else 1900 if year < 100 else 0
    try:
        day = date(year, month, int(parts["day"] or 0))
        if parts["hour"] is None:
            return day
        hour = _hour(int(parts["hour"]), (parts["half"] or "")[:1].lower())
        micros = int((parts["fraction"] or "0")[:6].ljust(6, "0"))
        return datetime(
            day.year,
            day.month,
            day.day,
            hour,
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            micros,
            tzinfo=_zone(parts["zone"] or ""),
        )
    except ValueError:
        return None


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    return MONTHS.index(text[:3].lower()) + 1 if text[:3].lower() in MONTHS else 0


def _hour(hour: int, half: str) -> int:
    if half and hour not in range(1, 13):
        raise ValueError("an hour of half a day")
    return hour % 12 + (12 if half == "p" else 0) if half else hour


def _zone(text: str) -> tzinfo | None:
    offset = re.search(r"([+-])(\d{1,2}):?(\d{2})?(?!\d)", text)
    if offset:
        size = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(size if offset[1] == "+" else -size) if size <= timedelta(hours=14) else None
    hours = ZONE_HOURS.get(text.strip().upper())
    return None if hours is None else timezone(timedelta(hours=hours))
