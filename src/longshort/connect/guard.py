"""What ccxt would let pass and must not: answers that are no JSON, secrets in messages, unpaced calls.

ccxt reads a broken answer of status 200 as "nothing": no positions, no bars, an order without an id. Here it is a
`BadResponse`, markets stay as they were, and what ccxt's parsers stumble over is one too.
"""

import logging
import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from longshort.connect.pacing import Pacer

STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
RAW_CANDLES: ContextVar[bool] = ContextVar("RAW_CANDLES", default=False)
HIDDEN = "***"
SHORTEST_SECRET = 4
LONGEST_MESSAGE = 300
_URL = re.compile(r"\b((?:https?|wss?)://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", re.IGNORECASE)
_NAMED = re.compile(
    r"""(?ix) \b([\w-]*(?:signature|listen_?key|api_?key|apisign|secret|passphrase|password|access-sign|token)
    [\w-]*|sign) (["']?\s*[=:]\s*["']?) [^\s"'&,;{}()\]]+"""
)
_KEYED_PATH = re.compile(r"(wss?://[^/\s]+/(?:[\w-]+/)*ws/)[A-Za-z0-9]{24,}")


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Credentials:
    """Keys to an account; they show in no message and no `repr`."""

    key: str
    secret: str
    password: str = ""

    def __repr__(self) -> str:
        return f"Credentials(key={HIDDEN})"

    def settings(self) -> dict[str, str]:
        """As ccxt's clients take them."""
        return {"apiKey": self.key, "secret": self.secret, "password": self.password}

    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(value for value in (self.key, self.secret, self.password) if value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redactor:
    """Takes secrets, signed queries and session keys out of text.

    >>> Redactor().clean("GET https://fapi.binance.com/fapi/v1/order?symbol=X&signature=ab12 failed")
    'GET https://fapi.binance.com/fapi/v1/order failed'
    >>> Redactor().clean('{"listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1"}')
    '{"listenKey": "***"}'
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)

    def clean(self, text: str) -> str:
        """The text without what must not be shown, in one line of bearable length."""
        for secret in sorted(self._spellings(), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        text = _KEYED_PATH.sub(rf"\1{HIDDEN}", _URL.sub(r"\1", text))
        text = " ".join(_NAMED.sub(rf"\1\2{HIDDEN}", text).split())
        return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " ..."

    def _spellings(self) -> Iterable[str]:
        for secret in self.secrets:
            if len(secret) >= SHORTEST_SECRET:
                yield from {secret, quote(secret, safe=""), quote_plus(secret), secret.strip()}


class Guard:
    """Stands between ccxt's client and the wire: checks each answer, meters it, and paces each call."""

    def __init__(self, client: Any, pacer: Pacer, bad_response: type[Exception]) -> None:
        self._client = client
        self._pacer = pacer
        self._bad_response = bad_response
        self._after_answer = client.on_rest_response
        self._parse_json = client.parse_json
        self._parse_candles = client.parse_ohlcvs
        self._read: tuple[Any, Any] = (None, None)

    def attach(self) -> None:
        """Take the client's place where an answer comes in, where candles are read and where calls queue."""
        self._client.on_rest_response = self.check
        self._client.parse_json = self.parsed
        self._client.parse_ohlcvs = self.candles
        self._client.throttle = self.throttle
        self._client.logger = _silent_logger()

    async def throttle(self, cost: float | None = None) -> None:
        """Wait for this call's turn."""
        await self._pacer.turn(1.0 if cost is None else cost)

    def check(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *sent: Any
    ) -> Any:
        """Refuse an answer that says success and is no JSON object or array; `url` is never repeated."""
        self._pacer.heed(code, headers or {}, body or "")
        text = self._after_answer(code, reason, url, method, headers, body, *sent)
        if code < 400:
            try:
                content = self._client.on_json_response(text)
            except ValueError:
                content = None
            if not isinstance(content, dict | list):
                raise self._bad_response(f"{method} {code}: the body is not JSON ({len(body or '')} bytes)")
            self._pacer.learn(content)
            self._read = (text, content)
        return text

    def parsed(self, text: str) -> Any:
        """What `check` has read of this very text, else what ccxt makes of it."""
        seen, content = self._read
        self._read = (None, None)
        return content if seen is text and text else self._parse_json(text)

    def candles(self, rows: Any, *about: Any) -> Any:
        """Candles as the venue wrote them where they were asked for in the raw, else as ccxt reads them."""
        return rows if RAW_CANDLES.get() else self._parse_candles(rows, *about)


def _silent_logger() -> logging.Logger:
    """Swallows what ccxt would log: requests with their signatures and headers with their keys."""
    logger = logging.Logger("longshort.connect.silent")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.disabled = True
    return logger
