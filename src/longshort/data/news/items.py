"""What was said about the market, and from which instant on a forecast may use it.

Each row rests either on our own eyes (it is known from when we saw it) or, where `backfilled`, on the word of its
source. A row once written never changes: an edited item is a new row, known from when the edit was seen.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import unescape
from math import isfinite
from types import MappingProxyType
from typing import Any

import polars as pl

from longshort.base.clock import DAY, HOUR
from longshort.base.files import digest
from longshort.data.lake import INSTANT
from longshort.data.news.times import Stamp

NEWS_SCHEMA = MappingProxyType(
    {
        "published_at": INSTANT,
        "ingested_at": INSTANT,
        "known_at": INSTANT,
        "source": pl.String(),
        "text": pl.String(),
        "url": pl.String(),
        "id": pl.String(),
        "value": pl.Float64(),
        "stated": pl.String(),
        "backfilled": pl.Boolean(),
    }
)
NOTHING_STATED = "nothing"
LIVE_WITHIN = DAY  # an item seen within a day of its time was watched as it came, so it is known when seen
BACKFILL_DELAY = HOUR  # what passes between an item's time and its being read: feeds lag, readers poll
LONGEST_TEXT = 50_000
MILLISECOND = 1_000_000

_UNSEEN = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BREAKS = re.compile(r"</?(?:p|br|div|li|ul|ol|tr|td|th|h[1-6]|blockquote|pre)\b[^<>]*>", re.IGNORECASE)
_TAGS = re.compile(r"</?[a-zA-Z][^<>]*>|<!\[CDATA\[|\]\]>")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufeff\u200b]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One item as its source gives it, with plain text. `value` is the figure of an index; an index has no text."""

    text: str = ""
    published: Stamp | None = None
    edited: Stamp | None = None
    url: str = ""
    id: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How items came to us: at `ingested_at`, from a file, or by asking a source that we last asked at `asked_at`."""

    ingested_at: int
    fetched: bool = False
    asked_at: int | None = None
    delay: int = BACKFILL_DELAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """When an item counts as published, and from when on it may be used."""

    published_at: int | None
    known_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What a source holds after items came in: `added` rows in all, of which `edited` are new texts of known items."""

    rows: pl.DataFrame
    added: int
    edited: int
    repeated: int


def when_known(item: Headline, look: Look, *, is_edit: bool = False) -> Known:
    """Apply the rule of time: never before the source says it was out, and before we saw it only on the source's word.

    The word is taken, with a delay, for items of files and for those that a source had published while nobody asked it
    or before anybody did. It is not taken for edits, nor for an item that was not there when the source was last asked.
    """
    stamps = [s for s in (item.published, item.edited) if s is not None]
    if not stamps:
        return Known(published_at=None, known_at=look.ingested_at)
    published_at = _named(item.published or stamps[0], look)
    out_at = max(published_at, *(_out(s, look) for s in stamps))
    if is_edit or (look.fetched and not _was_missed(stamps, out_at, look)):
        return Known(published_at=published_at, known_at=max(out_at, look.ingested_at))
    read_at = max(_out(s, look) + (0 if s.form == "day" else look.delay) for s in stamps)
    return Known(published_at=published_at, known_at=max(out_at, min(read_at, look.ingested_at)))


def add_headlines(old: pl.DataFrame, items: Sequence[Headline], *, source: str, look: Look) -> Gathered:
    """The rows of a source with new items behind them; what is there stays as it is, and nothing is added twice."""
    seen = set(old.select("id", "text", "value").iter_rows())
    known_ids = set(old["id"])
    versions = Counter(i for i, _, _ in {(item.id, item.text, item.value) for item in items})
    rows: list[dict[str, Any]] = []
    edited = 0
    for item in items:
        fallback = _fallback_id(item, source)
        own = item.id if item.id and versions[item.id] == 1 else fallback
        if {(own, item.text, item.value), (fallback, item.text, item.value)} & seen:
            continue
        seen.add((own, item.text, item.value))
        is_edit = own in known_ids
        edited += is_edit
        rows.append(_row(item, source, own, look, when_known(item, look, is_edit=is_edit)))
    new = pl.DataFrame(rows, schema=dict(NEWS_SCHEMA))
    return Gathered(
        rows=pl.concat([old, new]), added=len(rows), edited=edited, repeated=len(items) - len(rows)
    )


def empty_news() -> pl.DataFrame:
    """No rows, with all columns."""
    return pl.DataFrame(schema=dict(NEWS_SCHEMA))


def as_of(news: pl.DataFrame, instant: int) -> pl.DataFrame:
    """What a reader knew at an instant: of each item the text that was the latest then, in order of `known_at`.

    An item known exactly at the instant counts: a bar that closes at t may use what is known at t.
    """
    known = news.filter(
        pl.col("known_at") <= pl.from_epoch(pl.lit(instant // MILLISECOND), "ms").cast(INSTANT)
    )
    return known.sort("known_at", "source", "id", maintain_order=True).unique(
        ["source", "id"], keep="last", maintain_order=True
    )


def plain_text(*parts: object) -> str:
    """Texts as one line: tags and entities resolved, space normalized; a part that opens the next is not repeated.

    >>> plain_text("Up &amp; <b>up</b>", "<p>Up &amp; up again</p><p>It rose.</p>", None)
    'Up & up again It rose.'
    """
    kept: list[str] = []
    for part in parts:
        cleaned = _clean(part) if isinstance(part, str) else ""
        if kept and cleaned.casefold().startswith(kept[-1].casefold()):
            kept.pop()
        kept += [cleaned] if cleaned else []
    return " ".join(kept)


def finite(value: object) -> float | None:
    """A number, or a text that is one; None for anything else, NaN and infinity included.

    >>> finite("42"), finite("n/a"), finite(float("nan"))
    (42.0, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _named(stamp: Stamp, look: Look) -> int:
    """The instant to show; one without a zone that may be past was past when it was seen."""
    if stamp.form == "zoneless" and stamp.earliest_at <= look.ingested_at:
        return min(stamp.named_at, look.ingested_at)
    return stamp.named_at


def _out(stamp: Stamp, look: Look) -> int:
    return _named(stamp, look) if stamp.form == "zoneless" else stamp.latest_at


def _was_missed(stamps: Iterable[Stamp], out_at: int, look: Look) -> bool:
    is_old = look.ingested_at - out_at > LIVE_WITHIN
    return is_old and (look.asked_at is None or all(s.earliest_at > look.asked_at for s in stamps))


def _fallback_id(item: Headline, source: str) -> str:
    stated = "" if item.url or item.published is None else item.published.stated
    return digest(source, item.url, item.text, stated)


def _row(item: Headline, source: str, own: str, look: Look, known: Known) -> dict[str, Any]:
    known_at = _milliseconds(known.known_at)
    ingested_at = _milliseconds(look.ingested_at)
    return {
        "published_at": None if known.published_at is None else _milliseconds(known.published_at),
        "ingested_at": ingested_at,
        "known_at": known_at,
        "source": source,
        "text": item.text,
        "url": item.url,
        "id": own,
        "value": item.value,
        "stated": item.published.form
        if item.published
        else item.edited.form
        if item.edited
        else NOTHING_STATED,
        "backfilled": known_at < ingested_at,
    }


def _milliseconds(instant: int) -> int:
    return -(-instant // MILLISECOND)  # rounded up: a part of a millisecond never makes an item known early


def _clean(text: str) -> str:
    text = text[:LONGEST_TEXT].encode("utf-8", "replace").decode()  # half of a surrogate pair is not text
    if "<" in text or "]]>" in text:
        text = _TAGS.sub("", _BREAKS.sub(" ", _UNSEEN.sub(" ", text)))
    text = unescape(text)
    return " ".join((text if text.isprintable() else _CONTROLS.sub("", text)).split())
