"""A loopback exchange: an HTTPS and WSS server that unmodified clients take for the real venues.

    tape = random_walk(bars=10_000)
    with loopback(tape, clock=FastClock(tape.first_at, speed=600)) as exchange:
        exchange.redirect(monkeypatch)                       # this process: every host leads here, TLS verified
        async with ccxt.pro.binanceusdm() as client: ...     # real URLs, no option needed
        exchange.child(["fetch", "--venue", "binanceusdm"])  # or the command line as a process of its own

        exchange.faults.add("502", path="*/klines", after=2, times=3)   # see tests/loopback/faults.py
        exchange.sockets.silent = True                       # streams die, pings are answered
        exchange.disconnect(1001); exchange.down()           # streams closed; nothing listens
        exchange.requests, exchange.count("*/klines")        # what was asked and answered

A `Tape` holds the past and the future of each contract; the clock decides what is shown: `WallClock`, `FastClock`,
or `HandClock`, which a test moves. Without a clock time stands still at the tape's end.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from tests.loopback.binance.venue import Binance
from tests.loopback.clock import FastClock, HandClock, MarketClock, WallClock
from tests.loopback.makers import BTC, BTC_INVERSE, ETH, from_lake, random_walk, simulated
from tests.loopback.server import Server
from tests.loopback.tape import Contract, Reel, Samples, Tape
from tests.loopback.venue import Venue, World

__all__ = [
    "BTC",
    "BTC_INVERSE",
    "ETH",
    "Contract",
    "FastClock",
    "HandClock",
    "Reel",
    "Samples",
    "Server",
    "Tape",
    "WallClock",
    "from_lake",
    "loopback",
    "random_walk",
    "simulated",
]

VENUES: MappingProxyType[str, Callable[[World], Venue]] = MappingProxyType(
    {
        "binanceusdm": lambda world: Binance(world, inverse=False),
        "binancecoinm": lambda world: Binance(world, inverse=True),
    }
)


def loopback(
    tape: Tape, *, clock: MarketClock | None = None, venues: Sequence[str] = ("binanceusdm",), **world: Any
) -> Server:
    """A server to be entered; `world` are further fields of `World`, like `weight_per_minute`."""
    shared = World(tape=tape, clock=clock or HandClock(tape.last_at), **world)
    return Server(shared, [VENUES[name](shared) for name in venues])
