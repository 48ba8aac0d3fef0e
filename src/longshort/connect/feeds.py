"""Feeds of news as their hosts serve them: bytes and when they came, never what they mean.

Polite: asks only for what changed, says who asks, one request at a time per host with a pause between, waits as long
as a host says. One source that fails says so in a sentence and holds up no other.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from longshort.base.clock import SECOND, Clock, SystemClock
from longshort.base.errors import LongshortError, MissingExtra, StudyError, VenueError
from longshort.base.files import digest

if TYPE_CHECKING:
    import aiohttp

FeedKind = Literal["rss", "json", "reddit", "fear-greed"]
KINDS = ("rss", "json", "reddit", "fear-greed")
DEFAULT_FEEDS = (
    "coindesk=rss:https://www.coindesk.com/arc/outboundfeeds/rss/",
    "cointelegraph=rss:https://cointelegraph.com/rss",
    "decrypt=rss:https://decrypt.co/feed",
    "theblock=rss:https://www.theblock.co/rss.xml",
    "reddit:CryptoCurrency",
    "reddit:Bitcoin",
    "fear-greed",
)
USER_AGENT = "longshort (personal feed reader, one request per feed and run)"
REDDIT = "https://www.reddit.com/r/{}/new/.rss?limit=100"  # its .json asks for an account since May 2026
FEAR_GREED = "https://api.alternative.me/fng/?limit=0"  # 0: its whole history

MOST_BYTES = 20_000_000  # after unpacking: no feed is as large, and a bomb is
ATTEMPTS = 3
FIRST_WAIT_S = 1.0  # doubled after every attempt
LONGEST_WAIT_S = 120.0  # a host that asks for more is asked again at another run
HOST_PAUSE_S = 2.0
TIMEOUT_S = 60.0
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that another attempt may cure


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One source: its `name` in the lake, what its bytes are, and where they lie."""

    name: str
    kind: FeedKind
    url: str

    @property
    def host(self) -> str:
        """Whom a request reaches."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a host said of the version that we have, so that it need not send it again."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a host sent; `body` is None where nothing has changed."""

    received_at: int
    body: bytes | None
    content_type: str = ""
    validators: Validators = field(default_factory=Validators)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What tells the time and lets it pass."""

    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


Deliver = Callable[[Feed, Answer | LongshortError], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delay:
    """Why an attempt failed that another may cure, and how long the host asks to wait."""

    why: str
    seconds: float | None = None


def parse_feed(text: str) -> Feed:
    """Read `rss:URL`, `json:URL`, `reddit:SUB` or `fear-greed`, with `NAME=` before it where it shall have a name.

    >>> parse_feed("reddit:Bitcoin").name, parse_feed("rss:https://www.decrypt.co/feed").name
    ('reddit-bitcoin', 'decrypt.co-feed')
    >>> parse_feed("coins=rss:https://decrypt.co/feed").name
    'coins'
    """
    named = re.fullmatch(r"(\w[\w.-]*)=(.+)", text.strip())
    name, rest = (named[1], named[2]) if named else ("", text.strip())
    kind, _, place = rest.partition(":")
    match kind:
        case "fear-greed" if not place:
            return Feed(name=name or kind, kind=kind, url=FEAR_GREED)
        case "reddit" if re.fullmatch(r"\w{2,21}", place := place.removeprefix("r/")):
            return Feed(name=name or f"reddit-{place.lower()}", kind=kind, url=REDDIT.format(place))
        case "rss" | "json" if urlsplit(place).scheme in ("http", "https") and urlsplit(place).hostname:
            return Feed(name=name or _name(place), kind=kind, url=place)
        case _:
            raise StudyError(f"{text!r} is not a source of news.", where="--source", remedy=_remedy(kind))


async def download(
    feeds: Sequence[Feed],
    deliver: Deliver,
    *,
    validators: Mapping[str, Validators] | None = None,
    pace: Pace | None = None,
) -> None:
    """Ask every feed and hand over each answer, or what went wrong, as it comes; `validators` by name of feed."""
    try:
        import aiohttp
        import certifi
    except ImportError as error:
        raise MissingExtra(error.name or "aiohttp", "news") from error
    trust = ssl.create_default_context(cafile=certifi.where())
    hosts: dict[str, list[Feed]] = {}
    for feed in feeds:
        hosts.setdefault(feed.host, []).append(feed)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
    ) as session:
        visits = (
            _visit(session, feeds, deliver, validators or {}, pace or Pace()) for feeds in hosts.values()
        )
        await asyncio.gather(*visits)


async def _visit(
    session: "aiohttp.ClientSession",
    feeds: Sequence[Feed],
    deliver: Deliver,
    validators: Mapping[str, Validators],
    pace: Pace,
) -> None:
    """Ask the feeds of one host, one after the other."""
    for number, feed in enumerate(feeds):
        if number:
            await pace.sleep(HOST_PAUSE_S)
        try:
            answer = await _ask(session, feed, validators.get(feed.name, Validators()), pace)
        except VenueError as error:
            deliver(feed, error)
        else:
            deliver(feed, answer)


async def _ask(session: "aiohttp.ClientSession", feed: Feed, validators: Validators, pace: Pace) -> Answer:
    for attempt in range(1, ATTEMPTS + 1):
        outcome = await _attempt(session, feed, validators, pace.clock)
        if isinstance(outcome, Answer):
            return outcome
        wait = FIRST_WAIT_S * 2 ** (attempt - 1) if outcome.seconds is None else outcome.seconds
        if wait > LONGEST_WAIT_S:
            raise VenueError(
                f"{outcome.why}.", where=feed.name, remedy=f"It asks to be left alone for {wait:,.0f} s."
            )
        if attempt == ATTEMPTS:
            raise VenueError(
                f"{outcome.why}, {ATTEMPTS} times in a row.", where=feed.name, remedy="Try again later."
            )
        await pace.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


async def _attempt(
    session: "aiohttp.ClientSession", feed: Feed, validators: Validators, clock: Clock
) -> Answer | _Delay:
    import aiohttp

    headers = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    asked = {name: value for name, value in headers.items() if value}
    try:
        async with session.get(feed.url, headers=asked, max_redirects=5) as response:
            if response.status == 304:
                return Answer(received_at=clock.now(), body=None, validators=validators)
            if response.status in PASSING:
                return _Delay(why=_status(response), seconds=_retry_after(response, clock))
            if response.status != 200:
                raise VenueError(
                    f"{_status(response)}.", where=feed.name, remedy=_cure(response.status, feed)
                )
            body = await _body(response, feed)
            return Answer(
                received_at=clock.now(),
                body=body,
                content_type=response.headers.get("Content-Type", ""),
                validators=Validators(
                    etag=response.headers.get("ETag", ""),
                    last_modified=response.headers.get("Last-Modified", ""),
                ),
            )
    except (aiohttp.ClientSSLError, aiohttp.TooManyRedirects, aiohttp.InvalidURL) as error:
        raise VenueError(_reason(error), where=feed.name, remedy="Check its address.") from error
    except TimeoutError:
        return _Delay(why=f"{feed.host} did not answer within {TIMEOUT_S:.0f} s")
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
        broke = isinstance(error, aiohttp.ClientPayloadError)
        return _Delay(why=f"{feed.host} " + ("broke off its answer" if broke else "cannot be reached"))
    except aiohttp.ClientError as error:
        raise VenueError(_reason(error), where=feed.name) from error


async def _body(response: "aiohttp.ClientResponse", feed: Feed) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(65_536):
        size += len(chunk)
        if size > MOST_BYTES:
            raise VenueError(f"more than {MOST_BYTES / 1e6:.0f} MB are no feed.", where=feed.name)
        chunks.append(chunk)
    return b"".join(chunks)


def _retry_after(response: "aiohttp.ClientResponse", clock: Clock) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - clock.now() / SECOND)


def _status(response: "aiohttp.ClientResponse") -> str:
    return f"{response.url.host} answered {response.status} {response.reason or ''}".rstrip()


def _cure(status: int, feed: Feed) -> str:
    if status in (401, 403) and feed.kind == "reddit":
        return "Reddit refuses many addresses of data centers and VPNs; try from another network."
    return "Check its address." if status in (404, 410) else ""


def _reason(error: Exception) -> str:
    return f"the request failed ({type(error).__name__})."  # an address in a message could hold a key


def _name(url: str) -> str:
    parts = urlsplit(url)
    whole = f"{(parts.hostname or '').removeprefix('www.')}{parts.path}".lower()
    plain = re.sub(r"[^a-z0-9.]+", "-", whole).strip("-.")[:80]
    return f"{plain}-{digest(parts.query)[:6]}" if parts.query else plain


def _remedy(kind: str) -> str:
    if kind in ("http", "https"):
        return "Write rss: before the address, or json:."
    close = get_close_matches(kind, KINDS, n=1)
    forms = "rss:URL, json:URL, reddit:SUB or fear-greed"
    return f"Did you mean {close[0]}? Write {forms}." if close and close[0] != kind else f"Write {forms}."
