"""A loopback host of feeds: every name that aiohttp asks for leads here, TLS verified, so that addresses stay real.

    with FeedServer(tmp_path, monkeypatch) as server:
        server.serve("decrypt.co/feed", Page(RSS), Page(b"", status=429, headers={"Retry-After": "7"}))

The pages of an address answer in turn, the last one again and again; a page whose validator is shown is a 304.
"""

import gzip
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from longshort.base.clock import SECOND, parse_instant
from longshort.base.files import digest
from tests.loopback.certificate import make_certificate
from tests.loopback.redirect import redirect

HOSTS = ("decrypt.co", "other.test", "www.reddit.com", "api.alternative.me")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came."""

    address: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. `is_cut` breaks the connection off halfway, `is_zipped` packs the body."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False
    is_zipped: bool = False

    @property
    def etag(self) -> str:
        return f'"{digest(self.body)}"'


@dataclass
class HandPace:
    """A clock that a test moves; sleeping moves it too and takes no time."""

    at: int
    slept: list[float] = field(default_factory=list)

    def now(self) -> int:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += round(seconds * SECOND)

    def move_to(self, text: str) -> None:
        self.at = parse_instant(text)


class FeedServer:
    """Serves pages by address (host and path, query aside) and remembers who asked for what."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.asked: list[Asked] = []
        self._pages: dict[str, list[Page]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        certificate = make_certificate(folder, HOSTS)
        self._server.socket = certificate.server_context().wrap_socket(self._server.socket, server_side=True)
        redirect(self._server.server_port, certificate.trusted, patch.setattr)

    def serve(self, address: str, *pages: Page) -> None:
        """Answer an address with these pages from now on."""
        self._pages[address] = list(pages)

    def addresses(self) -> list[str]:
        """What was asked for, in order."""
        return [asked.address for asked in self.asked]

    def take(self, asked: Asked) -> Page:
        """The page whose turn it is."""
        self.asked.append(asked)
        pages = self._pages.get(asked.address, [Page(b"nothing here", status=404)])
        return pages.pop(0) if len(pages) > 1 else pages[0]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def rss(*items: str) -> bytes:
    """An RSS feed of items, which are XML."""
    channel = f"<channel><title>t</title>{''.join(items)}</channel>"
    return f"<?xml version='1.0'?><rss version='2.0'>{channel}</rss>".encode()


def item(title: str, published: str = "", *, guid: str = "", link: str = "") -> str:
    """One RSS item; what is empty is left out."""
    parts: Iterable[tuple[str, str]] = (
        ("title", title),
        ("pubDate", published),
        ("guid", guid),
        ("link", link),
    )
    return f"<item>{''.join(f'<{tag}>{text}</{tag}>' for tag, text in parts if text)}</item>"


def _handler(server: FeedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers["Host"].partition(":")[0]
            page = server.take(Asked(address=host + self.path.partition("?")[0], headers=dict(self.headers)))
            if page.status == 200 and self.headers.get("If-None-Match") == page.etag:
                self.send_response(304)
                self.end_headers()
                return
            body = gzip.compress(page.body) if page.is_zipped else page.body
            packing = {"Content-Encoding": "gzip"} if page.is_zipped else {}
            self.send_response(page.status)
            for name, value in {"ETag": page.etag, **packing, **page.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if page.is_cut else body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its parent's name
            """Say nothing."""

    return Handler
