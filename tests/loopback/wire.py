"""One request and its answer, as venues and faults see them: no sockets, no clock."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from tests.loopback.candles import Candles

Record = dict[str, Any]
RowEdit = Callable[[list[int]], list[int]]
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: after `delay` seconds, whole, cut short of its promised length, or as a reset."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    delay: float = 0.0
    ending: Literal["whole", "short", "reset"] = "whole"


@dataclass(slots=True, kw_only=True)
class Request:
    """A request as it came; `edit` is set by a fault that spoils the rows of a page."""

    method: str
    host: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    edit: RowEdit | None = None

    @property
    def signed_text(self) -> str:
        """Query and body as they were sent, which is what most venues sign."""
        return self.query + self.body.decode()

    @property
    def params(self) -> dict[str, Any]:
        """Query and body together, from a form or JSON."""
        found: dict[str, Any] = dict(parse_qsl(self.query, keep_blank_values=True))
        if self.body[:1] in (b"{", b"["):
            sent = json.loads(self.body)
            return found | (sent if isinstance(sent, dict) else {"rows": sent})
        return found | dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    def spoil(self, page: Candles) -> Candles:
        """The page as the fault that was injected would have it."""
        return page[self.edit(list(range(len(page))))] if self.edit else page


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A request that was answered; a status of 0 is a connection that was reset."""

    method: str
    host: str
    path: str
    params: Mapping[str, Any]
    status: int


class Refused(Exception):
    """Raised by a venue to answer with an error."""

    def __init__(self, status: int, content: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, content)
        self.answer = json_answer(content, status, headers)


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Answer(status=status, body=body, headers=JSON | dict(headers or {}))
