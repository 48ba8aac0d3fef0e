"""What feeds and exports hold, as headlines: RSS and Atom, and JSON of several makers.

Feedparser finds the entries, but its reading of times is not used: it takes 2016/6/29 for a day of another month.
What is broken is taken as far as it is whole, and the remark says so.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from longshort.base.errors import DataError, MissingExtra
from longshort.data.news.items import Headline, finite, plain_text
from longshort.data.news.rows import Object, Parsed, Reading, read_rows
from longshort.data.news.times import Stamp, read_stamp

LIST_NAMES = ("items", "articles", "results", "posts", "news", "entries", "stories", "data", "Data")
REDDIT_TAIL = re.compile(r"\s*submitted by\s+/u/\S+(\s+to\s+r/\S+)?(\s*\[\w+\])*$")
_ENDS = re.compile(rb"</(?:\w+:)?(?:item|entry)\s*>")
_BARE_AMPERSAND = re.compile(rb"&(?!#?\w+;)")
_BEGINS = re.compile(rb"<(?:\w+:)?(?:item|entry)[\s>]")


def read_feed(body: bytes, reading: Reading, *, where: str | Path, content_type: str = "") -> Parsed:
    """Read RSS or Atom; raise `DataError` for anything else. Nothing is asked of the network."""
    feed = _feed(body, content_type)
    fault = _fault(feed)
    if fault and _BARE_AMPERSAND.search(body):  # which feedparser would turn from AT&T into AT&T;
        feed = _feed(_BARE_AMPERSAND.sub(b"&amp;", body), content_type)
    if not feed.get("version"):
        raise _no_feed(body, where)
    entries: list[dict[str, Any]] = [dict(entry) for entry in feed["entries"]]
    is_cut = bool(fault) and _breaks_off(body)
    whole = entries[:-1] if is_cut else entries
    items = [_entry(entry, reading) for entry in whole]
    kept = tuple(item for item in items if item.text)
    remark = f"it breaks off: whole items were taken, {len(whole)} in number" if is_cut else fault
    return Parsed(items=kept, skipped=len(items) - len(kept), remark=remark)


def read_json(body: bytes, reading: Reading, *, where: str | Path) -> Parsed:
    """Read a Telegram export, a Reddit listing, the Fear & Greed index, or any list of objects."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        if body.lstrip()[:1] == b"<":
            raise DataError("it is XML or a web page, not JSON.", where=where) from error
        raise DataError("not JSON.", where=where, remedy=_json_remedy(error)) from error
    try:
        known = _of_known_maker(cast("Object", value), reading, where) if isinstance(value, dict) else None
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError("its JSON lacks what such files hold.", where=where) from error
    if known is not None:
        return known
    rows = _objects(value)
    if rows is None:
        raise DataError("there is no list of items in it.", where=where)
    return Parsed(items=()) if not rows else read_rows(rows, reading, where=where)


def _feed(body: bytes, content_type: str) -> dict[str, Any]:
    try:
        import feedparser
    except ImportError as error:
        raise MissingExtra("feedparser", "news") from error
    headers = {"content-type": content_type} if content_type else {}
    return feedparser.parse(BytesIO(body), response_headers=headers)  # as a stream: bytes could name a file


def _of_known_maker(told: Object, reading: Reading, where: str | Path) -> Parsed | None:
    if isinstance(told.get("messages"), list) or isinstance(told.get("chats"), dict):
        return _telegram(told, reading, where)
    if told.get("kind") == "Listing":
        return _reddit(told)
    if "Fear and Greed" in str(told.get("name")):
        return _fear_and_greed(told, where)
    return None


def _entry(entry: dict[str, Any], reading: Reading) -> Headline:
    published, updated = (reading.stamp(entry.get(name)) for name in ("published", "updated"))
    text = plain_text(entry.get("title"), entry.get("summary"))
    return Headline(
        text=REDDIT_TAIL.sub("", text),
        published=published or updated,
        edited=updated,
        url=plain_text(entry.get("link")),
        id=plain_text(entry.get("id")),
    )


def _breaks_off(body: bytes) -> bool:
    """True where an item begins behind the last one that ends."""
    end = max((m.end() for m in _ENDS.finditer(body)), default=0)
    return _BEGINS.search(body, end) is not None


def _fault(feed: Mapping[str, Any]) -> str:
    fault = feed.get("bozo_exception")
    harmless = type(fault).__name__ in {"CharacterEncodingOverride", "NonXMLContentType", "NoneType"}
    return "" if harmless or not feed.get("bozo") else "its XML is faulty: what could be read was taken"


def _no_feed(body: bytes, where: str | Path) -> DataError:
    start = body[:2_000].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if not start:
        return DataError("the answer is empty.", where=where)
    if start[:1] in (b"{", b"["):
        return DataError("it is JSON, not a feed.", where=where, remedy="Name it as json: instead.")
    if b"<html" in start or start.startswith(b"<!doctype html"):
        return DataError(
            "it is a web page, not a feed.",
            where=where,
            remedy="Look in the page for its RSS or Atom address.",
        )
    return DataError("it is neither RSS nor Atom.", where=where)


def _telegram(export: Object, reading: Reading, where: str | Path) -> Parsed:
    """A chat, or all chats, as Telegram Desktop exports them: only the last wording, so it is known from its edit."""
    chats: list[Object] = export["chats"].get("list", []) if "chats" in export else [export]
    written = [
        (c, m)
        for c in chats
        for m in c.get("messages", [])
        if isinstance(m, dict) and m.get("type") == "message"
    ]
    if not written:
        raise DataError("the export holds no messages.", where=where)
    items = [_message(chat, message, reading) for chat, message in written]
    kept = tuple(item for item in items if item.text)
    return Parsed(items=kept, skipped=len(items) - len(kept))


def _message(chat: Object, message: Object, reading: Reading) -> Headline:
    return Headline(
        text=plain_text(_joined(message.get("text_entities") or message.get("text"))),
        published=_exact(message.get("date_unixtime")) or reading.stamp(message.get("date")),
        edited=_exact(message.get("edited_unixtime")) or reading.stamp(message.get("edited")),
        id=f"{chat.get('id', '')}/{message.get('id', '')}",
    )


def _joined(text: object) -> str:
    """Telegram's text: one string, or a list of strings and of objects with a text."""
    if isinstance(text, str):
        return text
    parts = cast("list[object]", text) if isinstance(text, list) else []
    return "".join(str(cast("Object", p).get("text", "")) if isinstance(p, dict) else str(p) for p in parts)


def _reddit(listing: Object) -> Parsed:
    posts = [cast("Object", child["data"]) for child in listing["data"]["children"]]
    items = [
        Headline(
            text=plain_text(post.get("title"), post.get("selftext") or post.get("body")),
            published=_exact(post.get("created_utc")),
            edited=_exact(post.get("edited")),
            url=f"https://www.reddit.com{post.get('permalink', '')}",
            id=str(post.get("name", "")),
        )
        for post in posts
    ]
    kept = tuple(item for item in items if item.text)
    return Parsed(items=kept, skipped=len(items) - len(kept))


def _fear_and_greed(answer: Object, where: str | Path) -> Parsed:
    """A figure from 0 to 100 for a day that is stamped at its start; it says no time of day."""
    days: list[Object] = answer.get("data") or []
    if not days:
        raise DataError("the index gave no figures.", where=where, remedy="Try again later.")
    stamps = [
        (read_stamp(day.get("timestamp"), zone=UTC, stamped="day"), finite(day.get("value"))) for day in days
    ]
    kept = tuple(_figure(s, v) for s, v in stamps if s is not None and v is not None and 0 <= v <= 100)
    return Parsed(items=kept, skipped=len(days) - len(kept))


def _figure(stamp: Stamp, value: float) -> Headline:
    day = stamp.stated[:10]
    return Headline(published=stamp, value=value, id=day)


def _exact(value: object) -> Stamp | None:
    """Seconds since 1970 from a clock: midnight is a time like any other."""
    return read_stamp(value, stamped="time")


def _objects(value: object) -> list[Object] | None:
    """The list of objects that a JSON value is or holds, looked for under usual names first, one level deep or two."""
    if isinstance(value, list):
        listed = cast("list[object]", value)
        return cast("list[Object]", listed) if all(isinstance(v, dict) for v in listed) else None
    if not isinstance(value, dict):
        return None
    held = cast("dict[str, object]", value)
    places = [held[name] for name in LIST_NAMES if name in held] + _lists(held.values())
    return next((found for place in places if (found := _objects(place)) is not None), None)


def _lists(values: Iterable[object]) -> list[object]:
    return [value for value in values if isinstance(value, list)]


def _json_remedy(error: Exception) -> str:
    line = getattr(error, "lineno", 0)
    return f"Look at line {line:,}." if line else ""
