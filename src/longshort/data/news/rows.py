"""Rows of any table or list of objects become headlines: which column is the time, which the text.

Names are compared without regard to case, spaces and dashes. A time that is there but cannot be read is refused;
a row without text and without a figure is left out and counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from longshort.base.errors import DataError
from longshort.data.news.items import Headline, finite, plain_text
from longshort.data.news.times import Stamp, Stamped, read_stamp

TIMES = (
    "published_at",
    "published",
    "publishedat",
    "published_on",
    "publishedon",
    "date_published",
    "pubdate",
    "pub_date",
    "created_utc",
    "created_at",
    "createdat",
    "datetime",
    "timestamp",
    "ts",
    "time",
    "date",
    "created",
)  # fmt: skip  the first that is there: names that say published stand before those that may say anything
TITLES = ("title", "headline", "text", "message", "tweet", "content_text", "body", "content")
SUMMARIES = ("summary", "description", "selftext", "subtitle")
URLS = ("url", "link", "permalink", "href")
IDS = ("id", "guid", "uuid", "name_id")
VALUES = ("value", "index_value")
EDITS = ("edited_at", "updated_at", "updatedat", "date_modified", "modified_at", "edited")


Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the user says of files: names of columns where ours do not find them, and how times are meant."""

    time: str = ""
    text: tuple[str, ...] = ()
    url: str = ""
    id: str = ""
    value: str = ""
    zone: tzinfo | None = None
    stamped: Stamped = "auto"

    def stamp(self, value: object) -> Stamp | None:
        """Read a time as the user means it."""
        return read_stamp(value, zone=self.zone, stamped=self.stamped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a body or file held: items, how many held nothing to read, and what else there is to say."""

    items: tuple[Headline, ...]
    skipped: int = 0
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    time: str
    edited: str
    texts: tuple[str, ...]
    url: str
    id: str
    value: str


def read_rows(
    rows: Sequence[Object], reading: Reading, *, where: str | Path, names: Iterable[str] = ()
) -> Parsed:
    """Turn rows into items; raise `DataError` where no column holds times, or none holds text or figures.

    >>> read_rows([{"Date": "2024-06-03", "Title": "Up"}], Reading(), where="x").items[0].published.form
    'day'
    """
    if not rows:
        raise DataError("there are no rows.", where=where)
    all_names = list(dict.fromkeys(names or (name for row in rows for name in row)))
    columns = _choose(all_names, reading, where)
    items = [_item(row, columns, reading, f"{where}, row {n:,}") for n, row in enumerate(rows, start=1)]
    kept = tuple(item for item in items if item.text or item.value is not None)
    return Parsed(items=kept, skipped=len(items) - len(kept))


def _choose(names: Sequence[str], reading: Reading, where: str | Path) -> _Columns:
    known = {_plain(name): name for name in reversed(names)}

    def pick(wanted: str, aliases: Sequence[str]) -> str:
        if wanted and wanted not in names:
            raise DataError(f"there is no column {wanted!r}.", where=where, remedy=_nearest(wanted, names))
        return wanted or next((known[alias] for alias in aliases if alias in known), "")

    columns = _Columns(
        time=pick(reading.time, TIMES),
        edited=pick("", EDITS),
        texts=tuple(pick(t, ()) for t in reading.text)
        or tuple(t for t in (pick("", TITLES), pick("", SUMMARIES)) if t),
        url=pick(reading.url, URLS),
        id=pick(reading.id, IDS),
        value=pick(reading.value, VALUES),
    )
    if not columns.time:
        raise DataError(
            f"no column holds times: they are {', '.join(names)}.", where=where, remedy="Name it with --time."
        )
    if not columns.texts and not columns.value:
        raise DataError(
            f"no column holds text or figures: they are {', '.join(names)}.",
            where=where,
            remedy="Name one with --text or --value.",
        )
    return columns


def _item(row: Object, columns: _Columns, reading: Reading, where: str) -> Headline:
    published = _time(row.get(columns.time), reading, where)
    text = plain_text(*(row.get(name) for name in columns.texts))
    value = finite(row.get(columns.value))
    own = _word(row.get(columns.id))
    if not own and not text and published:
        own = published.stated  # the figure of a day is that day's, whatever it is
    return Headline(
        text=text,
        published=published,
        edited=reading.stamp(row.get(columns.edited)),
        url=_word(row.get(columns.url)),
        id=own,
        value=value,
    )


def _time(value: object, reading: Reading, where: str) -> Stamp | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    stamp = reading.stamp(value)
    if stamp is None:
        shown = value.isoformat() if isinstance(value, date) else value
        raise DataError(
            f"{shown!r} is not a time.", where=where, remedy="Write it like 2024-12-31T08:00:00Z."
        )
    return stamp


def _word(value: object) -> str:
    return plain_text(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.4)
    return f"Did you mean {close[0]}?" if close else f"There are {', '.join(known)}."
