"""WebSocket connections: carries frames between clients and a venue's sessions, and breaks them on request."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.loopback.venue import Session
from tests.loopback.wire import Refused

QUICKEST, SLOWEST = 0.01, 0.25  # seconds between two looks at what is due


@dataclass(eq=False)
class Sockets:
    """All open connections, and what is wrong with them.

    `silent`: nothing is sent any more, but pings are answered. `lost_pongs`: pings are not answered.
    """

    speed: float = 1.0
    silent: bool = False
    lost_pongs: bool = False
    open: set[web.WebSocketResponse] = field(default_factory=set)

    async def serve(self, http: web.BaseRequest, session: Session) -> web.WebSocketResponse:
        """Carry frames until either side leaves."""
        socket = web.WebSocketResponse(autoping=False, compress=False)
        await socket.prepare(http)
        self.open.add(socket)
        sides = [
            asyncio.create_task(work) for work in (self._read(socket, session), self._pump(socket, session))
        ]
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(
                Refused
            ):  # a subscription that the venue does not know ends the connection
                for side in done:
                    side.result()
        finally:
            self.open.discard(socket)
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
        return socket

    async def close(self, code: int) -> None:
        """Close all; 1006 is not a code that can be sent: the connections just break."""
        for socket in tuple(self.open):
            if code == 1006:
                transport = socket._req.transport  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
                if transport:
                    transport.abort()
            else:
                await socket.close(code=code, drain=False)

    async def _read(self, socket: web.WebSocketResponse, session: Session) -> None:
        async for message in socket:
            if message.type is WSMsgType.PING and not self.lost_pongs:
                await socket.pong(message.data)
            if message.type is WSMsgType.TEXT:
                await self._send(socket, session.receive(message.data))

    async def _pump(self, socket: web.WebSocketResponse, session: Session) -> None:
        while not socket.closed:
            await self._send(socket, session.due())
            await asyncio.sleep(min(max(SLOWEST / self.speed, QUICKEST), SLOWEST))

    async def _send(self, socket: web.WebSocketResponse, frames: list[str | bytes]) -> None:
        for frame in [] if self.silent else frames:
            with contextlib.suppress(ConnectionError):
                await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame))
