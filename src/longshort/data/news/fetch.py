"""News from the network into the lake: each source is asked, read and written on its own.

A source that fails is named with its reason, and everything that others sent is kept. Rows are written before what is
remembered of the source, so that a crash between the two costs one more download and nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from longshort.base.errors import DataError, LongshortError
from longshort.base.files import digest
from longshort.connect.feeds import Answer, Feed, Pace, Validators, download
from longshort.data.news.bodies import read_feed, read_json
from longshort.data.news.items import Gathered, Look
from longshort.data.news.rows import Parsed, Reading
from longshort.data.news.store import NewsStore, SourceState

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of one source: what it gave, or why it gave nothing."""

    source: str
    items: int = 0
    added: int = 0
    edited: int = 0
    skipped: int = 0
    unchanged: bool = False
    remark: str = ""
    error: str = ""


def fetch_news(
    feeds: Sequence[Feed], root: Path, *, pace: Pace | None = None, report: Report | None = None
) -> list[Fetched]:
    """Ask every feed for news and put it into the lake; the result has the order of the feeds.

    Raise `DataError` before anything is asked where two feeds share a name, or a name is that of another feed.
    """
    store = NewsStore(root)
    states = store.states()
    _refuse_other_feeds(feeds, states)
    done: dict[str, Fetched] = {}

    def deliver(feed: Feed, answer: Answer | LongshortError) -> None:
        done[feed.name] = _take(feed, answer, store, states.get(feed.name))
        if report is not None:
            report("news", len(done), len(feeds))

    validators = {
        name: Validators(etag=state.etag, last_modified=state.last_modified) for name, state in states.items()
    }
    asyncio.run(download(feeds, deliver, validators=validators, pace=pace))
    return [done[feed.name] for feed in feeds]


def _take(
    feed: Feed, answer: Answer | LongshortError, store: NewsStore, state: SourceState | None
) -> Fetched:
    if isinstance(answer, LongshortError):
        return Fetched(source=feed.name, error=str(answer))
    try:
        parsed = _parse(feed, answer)
        look = Look(
            ingested_at=answer.received_at, fetched=True, asked_at=None if state is None else state.asked_at
        )
        gathered = None if parsed is None else store.add(feed.name, parsed.items, look)
        store.remember(feed.name, _state(feed, answer, is_whole=parsed is None or not parsed.remark))
    except DataError as error:
        return Fetched(source=feed.name, error=str(error))
    return _fetched(feed, parsed, gathered)


def _parse(feed: Feed, answer: Answer) -> Parsed | None:
    if answer.body is None:
        return None
    if feed.kind in ("rss", "reddit"):
        return read_feed(answer.body, Reading(), where=feed.name, content_type=answer.content_type)
    return read_json(answer.body, Reading(), where=feed.name)


def _fetched(feed: Feed, parsed: Parsed | None, gathered: Gathered | None) -> Fetched:
    if parsed is None or gathered is None:
        return Fetched(source=feed.name, unchanged=True)
    return Fetched(
        source=feed.name,
        items=len(parsed.items),
        added=gathered.added,
        edited=gathered.edited,
        skipped=parsed.skipped,
        remark=parsed.remark,
    )


def _state(feed: Feed, answer: Answer, *, is_whole: bool) -> SourceState:
    """A body that was broken is asked for again in full, whatever its host says of changes."""
    validators = answer.validators if is_whole else Validators()
    return SourceState(
        kind=feed.kind,
        host=feed.host,
        address=digest(feed.url),
        asked_at=answer.received_at,
        etag=validators.etag,
        last_modified=validators.last_modified,
    )


def _refuse_other_feeds(feeds: Sequence[Feed], states: dict[str, SourceState]) -> None:
    names: set[str] = set()
    for feed in feeds:
        state = states.get(feed.name)
        if feed.name in names:
            raise DataError("two sources have this name.", where=feed.name, remedy=_RENAME)
        if state is not None and state.address != digest(feed.url):
            raise DataError(
                f"this source was fetched from another address, of {state.host}.",
                where=feed.name,
                remedy=_RENAME,
            )
        names.add(feed.name)


_RENAME = "Give one a name of its own: NAME=rss:URL."
