"""Closed bars as they come, each once and in order: from the stream while it flows, from the record where it broke.

A streamed bar is final when the next one begins at once on the same connection; the stream's own "closed" flag is
hidden by ccxt. After every break, stall or jump the record (REST) is asked for what is missing, so nothing is lost.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from longshort.base.clock import SECOND, Interval
from longshort.base.errors import VenueError
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.listing import Listing
from longshort.connect.pacing import MILLISECOND
from longshort.connect.pages import page, span
from longshort.connect.retry import Fault, Refusal, ending
from longshort.connect.rows import frame

LATE_BARS = 2  # the record may lag: only a bar this much older than the newest is believed to be missing
SOON_S = 2.0  # a bar was told to its end if the next begins so soon after the words before
STALL_BARS, STALL_S = 1.5, 5.0  # without a word for so many bars and seconds a stream counts as dead


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """All closed bars of a window; `streamed` where they are the stream's words, not the record's."""

    window: Window
    rows: pl.DataFrame
    streamed: bool


async def follow_bars(
    exchange: Exchange,
    listing: Listing,
    interval: Interval,
    from_at: int,
    *,
    stall_s: float | None = None,
) -> AsyncGenerator[Arrival, None]:
    """Every bar that opens at `from_at` or later, for ever; windows follow each other without a gap.

    A venue that is away is waited for; raise `Refusal` where it refuses for good.
    """
    patience_s = stall_s or STALL_BARS * interval.ns / SECOND + STALL_S
    next_at, breaks = from_at, 0
    while True:
        with unless_refused():
            async for arrival in _record(exchange, listing, interval, next_at):
                next_at = arrival.window.to_at
                yield arrival
            async with aclosing(_stream(exchange, listing, interval, patience_s)) as bars:
                async for bar in bars:
                    breaks = 0
                    async for arrival in _closed(exchange, listing, interval, next_at, bar):
                        next_at = arrival.window.to_at
                        yield arrival
        breaks += 1
        await exchange.timing.sleep(exchange.patience.wait(breaks, exchange.rng))


@contextmanager
def unless_refused() -> Generator[None]:
    """Let go of what a venue that is away did not answer, for the caller asks again; raise what it refuses."""
    try:
        yield
    except Refusal:
        raise
    except VenueError:
        return


async def _closed(
    exchange: Exchange,
    listing: Listing,
    interval: Interval,
    next_at: int,
    bar: tuple[int, pl.DataFrame | None],
) -> AsyncGenerator[Arrival, None]:
    """A streamed bar where it is the next; the record where words were missed, or volume is in other units."""
    opened_at, rows = bar
    if opened_at == next_at and rows is not None and not listing.instrument.inverse:
        yield Arrival(window=Window(opened_at, opened_at + interval.ns), rows=rows, streamed=True)
    elif opened_at >= next_at:
        async for arrival in _record(exchange, listing, interval, next_at):
            yield arrival


async def _record(
    exchange: Exchange, listing: Listing, interval: Interval, from_at: int
) -> AsyncGenerator[Arrival, None]:
    """What has closed since, page by page; the end waits for bars that the record may not have yet."""
    closed_to = await exchange.server_now() // interval.ns * interval.ns
    for window in Window(from_at, closed_to).split(span(exchange, "bars", interval)):
        rows = await page(exchange, "bars", listing, interval, window)
        last_at = int(rows["opened_at"].to_physical()[-1]) * MILLISECOND if rows.height else window.from_at
        believed_to = min(window.to_at, max(last_at + interval.ns, closed_to - LATE_BARS * interval.ns))
        if not rows.height and believed_to <= window.from_at:
            return
        yield Arrival(window=Window(window.from_at, believed_to), rows=rows, streamed=False)


async def _stream(
    exchange: Exchange, listing: Listing, interval: Interval, stall_s: float
) -> AsyncGenerator[tuple[int, pl.DataFrame | None], None]:
    """Bars that ended on one connection, without rows where the last words about one may have been lost.

    Ends when the connection breaks or says nothing for too long.
    """
    newest: list[Any] = []
    heard_at = 0
    connections: frozenset[object] = frozenset()
    while candles := await _heard(exchange, listing, interval, stall_s):
        if not connections <= exchange.connections:
            return  # broken and opened anew while nobody looked
        connections = exchange.connections
        now = exchange.timing.now()
        all_heard, heard_at = now - heard_at <= SOON_S * SECOND, now
        for candle in candles if newest else candles[-1:]:  # ccxt remembers half a bar from before a break
            if newest and candle[0] > newest[0]:
                rows = _row(exchange, listing, newest) if all_heard else None
                yield int(newest[0]) * MILLISECOND, rows
            newest = list(candle)  # ccxt changes its own in place


async def _heard(exchange: Exchange, listing: Listing, interval: Interval, stall_s: float) -> list[Any]:
    """The stream's next words; none where it broke or says nothing for too long."""
    try:
        async with asyncio.timeout(stall_s):  # `wait_for` may swallow a Ctrl-C in Python 3.11
            candles = await exchange.attempt(
                lambda client: client.watch_ohlcv(listing.unified, str(interval))
            )
    except TimeoutError:
        await _hang_up(exchange)
        return []
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
        return []  # it is the stream that was cancelled: another coin's stall made ccxt drop all
    if not isinstance(candles, Fault):
        return candles
    if candles.unsettled:
        return []
    raise ending(candles, exchange.venue.id)


async def _hang_up(exchange: Exchange) -> None:
    """Close every stream, one that is still being dialed included, and hear nothing of it any more.

    ccxt's own way forgets a dial that waits: it connects later and mixes old words with those of its successor.
    """
    streams = list(exchange.client.clients.values())
    exchange.client.clients.clear()
    for stream in streams:
        stream.on_message_callback = stream.on_error_callback = stream.on_close_callback = _unheard
        stream.on_connected_callback = _abandon
    await asyncio.gather(*(stream.close() for stream in streams))


def _unheard(*_: object) -> None:
    """Nobody listens."""


def _abandon(stream: Any) -> None:
    asyncio.ensure_future(stream.close())  # noqa: RUF006 it holds nothing that must end well


def _row(exchange: Exchange, listing: Listing, candle: list[Any]) -> pl.DataFrame:
    """One bar in the lake's columns and units."""
    in_contracts = "bars" in exchange.venue.counts_contracts and not listing.instrument.inverse
    size = float(listing.instrument.contract_size) if in_contracts else 1.0
    return frame("bars", [[value] for value in candle[:5]] + [[float(candle[5]) * size]])
