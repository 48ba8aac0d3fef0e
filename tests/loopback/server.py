"""The HTTPS and WSS server in a thread of its own, and the handles by which a test holds it."""

import asyncio
import contextlib
import os
import socket as sockets
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web

from tests.loopback.certificate import make_certificate
from tests.loopback.faults import Faults
from tests.loopback.redirect import redirect
from tests.loopback.sockets import Sockets
from tests.loopback.trading.account import Account
from tests.loopback.venue import Venue, World
from tests.loopback.wire import Answer, Logged, Refused, Request

REPOSITORY = Path(__file__).parents[2]


class Server:
    """Serves venues on one port of this machine while it is entered.

    `requests` logs what was answered. `faults` are injected into answers, `sockets` breaks streams.
    """

    def __init__(self, world: World, venues: Sequence[Venue]) -> None:
        self.world = world
        self.faults = Faults()
        self.requests: list[Logged] = []
        self.sockets = Sockets(speed=world.clock.speed)
        self.port = 0
        self._venues = tuple(venues)
        self._crashes: list[Exception] = []
        self._connections: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback exchange", daemon=True)
        self._folder = tempfile.TemporaryDirectory(prefix="loopback-")
        hosts = [host for venue in venues for host in venue.hosts]
        self.certificate = make_certificate(Path(self._folder.name), hosts)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *failure: object) -> None:
        self._run(self.sockets.close(1001))
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()
        if self._crashes and failure[0] is None:
            raise self._crashes[0]

    def redirect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point clients that this process makes from now on at this server, until the test ends."""
        redirect(self.port, self.certificate.trusted, monkeypatch.setattr)

    def child(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start `longshort ARGUMENTS` as a process that reaches this server alone; `options` are Popen's."""
        start = [
            sys.executable,
            "-m",
            "tests.loopback.child",
            str(self.port),
            str(self.certificate.trusted),
            "--",
        ]
        env: Mapping[str, str] = options.pop("env", os.environ)
        options = {
            "cwd": REPOSITORY,
            "text": True,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        path = os.pathsep.join(filter(None, [str(REPOSITORY), env.get("PYTHONPATH")]))
        return subprocess.Popen([*start, *arguments], env={**env, "PYTHONPATH": path}, **options)  # noqa: S603

    def account(self, key: str = "loopback-key") -> Account:
        """An account by its API key; `world.open_account` opens others."""
        return self.world.accounts[key]

    def disconnect(self, code: int = 1006) -> None:
        """Close every WebSocket; 1006 breaks the connections without a word."""
        self._run(self.sockets.close(code))

    @contextlib.contextmanager
    def down(self) -> Generator[None]:
        """Break every connection and refuse new ones for a while."""
        self._run(self._stop_listening())
        try:
            yield
        finally:
            self._run(self._listen())

    def count(self, path: str, method: str = "*") -> int:
        """How many requests to a path were answered; `*` stands for anything."""
        return sum(fnmatchcase(r.path, path) and fnmatchcase(r.method, method) for r in self.requests)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self.port,
            ssl_context=self.certificate.server_context(),
            reuse_address=True,
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop_listening(self) -> None:
        for site in tuple(self._runner.sites):
            await site.stop()
        for connection in tuple(self._connections):
            connection.abort()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.transport:
            self._connections = {c for c in self._connections if not c.is_closing()} | {http.transport}
        request = Request(
            method=http.method,
            host=http.host,
            path=http.path,
            query=http.url.raw_query_string,
            body=await http.read(),
            headers=http.headers,
        )
        venue = next(v for v in self._venues if any(fnmatchcase(request.host, host) for host in v.hosts))
        try:
            return await self._serve(http, request, venue)
        except ConnectionError:  # the client has gone
            raise
        except Exception as crash:
            self._crashes.append(crash)
            raise

    async def _serve(self, http: web.BaseRequest, request: Request, venue: Venue) -> web.StreamResponse:
        upgrade = http.headers.get("Upgrade", "").lower() == "websocket"
        answer = self.faults.answer(request, _switch if upgrade else venue.answer)
        session = None
        try:
            session = venue.dial(request) if answer.status == 101 else None
        except Refused as refused:
            answer = refused.answer
        logged = Logged(
            method=request.method,
            host=request.host,
            path=request.path,
            params=request.params,
            status=answer.status,
        )
        self.requests.append(logged)
        return await (self.sockets.serve(http, session) if session else _respond(http, answer))


def _switch(request: Request) -> Answer:
    return Answer(status=101)


async def _respond(http: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    await asyncio.sleep(answer.delay)
    if answer.ending == "reset":
        return _break(http)
    if answer.ending == "whole":
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
    promised = {**answer.headers, "Content-Length": str(len(answer.body) + 100)}
    response = web.StreamResponse(status=answer.status, headers=promised)
    await response.prepare(http)
    await response.write(answer.body)
    return _break(http, response)


def _break(http: web.BaseRequest, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close with a reset, once what was written is on its way."""
    transport = http.transport
    if transport:
        if response is None:
            wire = transport.get_extra_info("socket")
            wire.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
    raise asyncio.CancelledError
