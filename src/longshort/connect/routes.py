"""The ways a message leaves this machine, behind one function each; addresses hold tokens and are never shown.

`file:PATH` appends to a file and needs no library. Everything else is an address of apprise, which tells its failures
to a log: that log is silenced, because addresses stand in it.
"""

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import unquote

from longshort.base.errors import LongshortError, MissingExtra, StudyError
from longshort.connect.guard import HIDDEN, Redactor
from longshort.connect.messages import Message

SEND_TYPES = ("info", "warning", "failure")  # apprise's words, by severity
CHATTY = ("apprise", "urllib3.connectionpool", "requests", "charset_normalizer")
_HERE = local()  # set in threads whose sending must not be logged


class Undelivered(LongshortError):
    """A route did not take a message; what is said of it holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where messages go: `name` is fit to be shown, `send` raises `Undelivered`."""

    name: str
    send: Callable[[Message], None] = field(repr=False)


def routes_of(urls: Sequence[str], folder: Path) -> tuple[Route, ...]:
    """Read addresses; raise `StudyError` for one that is none, `MissingExtra` without apprise.

    A file's path is relative to `folder`, the run's.

    >>> [route.name for route in routes_of(["file:told.txt"], Path("."))]
    ['file:told.txt']
    """
    return tuple(_route(url.strip(), place, folder) for place, url in enumerate(urls))


def shown(url: str) -> str:
    """What may be shown of an address: how it begins.

    >>> shown("tgram://123:abc/456"), shown("123:abc")
    ('tgram://***', '***')
    """
    scheme = re.match(r"[a-z][a-z0-9+.-]{1,20}(?=://)", url, re.IGNORECASE)
    return f"{scheme[0]}://{HIDDEN}" if scheme else HIDDEN


def secrets_of(url: str) -> tuple[str, ...]:
    """Every part of an address that could be a secret: all of them."""
    rest = url.partition("://")[2]
    parts = [part for part in re.split(r"[/:@?&=,#]", rest) if part]
    return tuple(dict.fromkeys([url, rest, *parts, *(unquote(part) for part in parts)]))


def _route(url: str, place: int, folder: Path) -> Route:
    where = f"notify.urls[{place}]"
    if url.startswith("file:") and len(url) > len("file:"):
        path = folder / url.removeprefix("file:")
        return Route(name=url, send=lambda message: _append(path, message))
    if url and not url.strip("*"):
        raise StudyError(
            "the address is not there: only stars are.",
            where=where,
            remedy="A run folder hides addresses. Give them as LONGSHORT_NOTIFY__URLS.",
        )
    if find_spec("apprise") is None:
        raise MissingExtra("apprise", "notify")
    server = _server(url)
    if server is None:
        raise StudyError(
            f"{shown(url)} is not an address that apprise knows.",
            where=where,
            remedy="Write it like tgram://TOKEN/CHAT, discord://ID/TOKEN, mailto://..., json://HOST/PATH or file:PATH.",
        )
    redactor = Redactor(secrets=secrets_of(url))
    return Route(name=f"{where} ({shown(url)})", send=lambda message: _send(server, message, redactor))


def _server(url: str) -> Any:
    """Apprise's object for an address, or None; it warns of what it cannot read, address and all."""
    _hush()
    _HERE.lines = []
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # its plugins load here
            import apprise

            return apprise.Apprise.instantiate(url)
    except (TypeError, ValueError, AttributeError):
        return None
    finally:
        _HERE.lines = None


def _send(server: Any, message: Message, redactor: Redactor) -> None:
    _HERE.lines = []
    try:
        sent = server.notify(
            body=message.text,
            title=message.title,
            notify_type=SEND_TYPES[message.severity],
            body_format="text",
        )
        if not sent:
            why = redactor.clean(_HERE.lines[-1]) if _HERE.lines else "it says no reason"
            raise Undelivered(f"the message was not taken: {why.rstrip('.')}.")
    except (OSError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise Undelivered(f"the message was not sent: {type(error).__name__}.") from None
    finally:
        _HERE.lines = None


def _append(path: Path, message: Message) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{message.title}\n{message.text}\n\n")
    except OSError as error:
        raise Undelivered(f"the file cannot be written: {error.strerror}.", where=path) from error


def _hush() -> None:
    """Keep what these libraries log while we send out of every log; warnings are kept for the error."""
    for name in CHATTY:
        logger = logging.getLogger(name)
        if _Hush not in [type(one) for one in logger.filters]:
            logger.addFilter(_Hush())


class _Hush(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        lines = getattr(_HERE, "lines", None)
        if lines is None:
            return True
        if record.levelno >= logging.WARNING:
            lines.append(record.getMessage())
        return False
