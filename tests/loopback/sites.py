"""Plain web sites beside the venues: an archive of files, a feed. Conditional requests are answered with 304."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.loopback.venue import Session
from tests.loopback.wire import Answer, Refused, Request

Page = Callable[[Request], Answer]


class Site:
    """One host; `page` answers every request of it."""

    def __init__(self, host: str, page: Page) -> None:
        self.hosts = (host,)
        self._page = page

    def answer(self, request: Request) -> Answer:
        """The page; 304 without a body where the client has it already, by its ETag."""
        answer = self._page(request)
        tag = f'"{hashlib.sha256(answer.body).hexdigest()[:16]}"'
        if answer.status == 200 and request.headers.get("If-None-Match") == tag:
            return Answer(status=304, headers={"ETag": tag})
        headers = {**answer.headers, "ETag": tag}
        return Answer(status=answer.status, body=answer.body, headers=headers)

    def dial(self, request: Request) -> Session:
        """A web site has no streams."""
        raise Refused(404, {})


def folder(host: str, root: Path) -> Site:
    """A host that serves the files of a folder."""

    def page(request: Request) -> Answer:
        path = (root / request.path.lstrip("/")).resolve()
        if not path.is_relative_to(root.resolve()) or not path.is_file():
            return Answer(status=404, body=b"<Error><Code>NoSuchKey</Code></Error>")
        return Answer(body=path.read_bytes(), headers={"Content-Type": "application/octet-stream"})

    return Site(host, page)


def pages(host: str, bodies: Mapping[str, bytes]) -> Site:
    """A host with a body per path; the mapping may be changed while it is served."""

    def page(request: Request) -> Answer:
        body = bodies.get(request.path)
        return Answer(status=404) if body is None else Answer(body=body, headers={"Content-Type": "text/xml"})

    return Site(host, page)
