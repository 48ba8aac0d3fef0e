"""Points this process's aiohttp, and so ccxt, at the loopback exchange: every host name leads to one port.

URLs stay real and TLS is verified, against the throw-away certificate alone: a host that the exchange does not
play fails, it is never reached. Only clients made after the redirect are affected.
"""

import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiohttp
import aiohttp.abc
import aiohttp.connector
import certifi

Patch = Callable[[object, str, object], object]


class _Resolver(aiohttp.abc.AbstractResolver):
    """Answers every name with the same port of this machine."""

    def __init__(self, port: int, loop: object = None) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host="127.0.0.1", port=self._port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing to close."""


def redirect(port: int, trusted: Path, patch: Patch = setattr) -> None:
    """Redirect; `patch` is `setattr`, for good, or monkeypatch's, for a test."""
    context = ssl.create_default_context(cafile=trusted)
    patch(aiohttp.connector, "DefaultResolver", partial(_Resolver, port))
    patch(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)  # what aiohttp uses where no context is given
    patch(certifi, "where", lambda: str(trusted))  # what ccxt builds its context from
