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
        exchange.account().position("BTC/USDT:USDT")         # what orders signed with its credentials have done

`sites=[folder("data.binance.vision", path)]` plays web sites too: archives, feeds.

A `Tape` holds the past and the future of each contract; the clock decides what is shown: `WallClock`, `FastClock`,
or `HandClock`, which a test moves. Without a clock time stands still at the tape's end.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.loopback.clock import FastClock, HandClock, WallClock
    from tests.loopback.exchange import loopback
    from tests.loopback.makers import BTC, BTC_INVERSE, ETH, from_lake, random_walk, simulated
    from tests.loopback.server import Server
    from tests.loopback.sites import Site, folder, pages
    from tests.loopback.tape import Contract, Reel, Samples, Tape

_HOMES = {
    "BTC": "makers",
    "BTC_INVERSE": "makers",
    "Contract": "tape",
    "ETH": "makers",
    "FastClock": "clock",
    "HandClock": "clock",
    "Reel": "tape",
    "Samples": "tape",
    "Server": "server",
    "Site": "sites",
    "Tape": "tape",
    "WallClock": "clock",
    "folder": "sites",
    "from_lake": "makers",
    "loopback": "exchange",
    "pages": "sites",
    "random_walk": "makers",
    "simulated": "makers",
}

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
    "Site",
    "Tape",
    "WallClock",
    "folder",
    "from_lake",
    "loopback",
    "pages",
    "random_walk",
    "simulated",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is used, so that the redirected child starts without this server."""
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"tests.loopback.{_HOMES[name]}"), name)
