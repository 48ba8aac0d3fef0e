"""Puts a loopback exchange together: which venues it can play, and what they share."""

from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from tests.loopback.binance.venue import Binance
from tests.loopback.clock import HandClock, MarketClock
from tests.loopback.server import Server
from tests.loopback.sites import Site
from tests.loopback.tape import Tape
from tests.loopback.venue import Venue, World
from tests.loopback.venues.bingx import BingX
from tests.loopback.venues.bitget import Bitget
from tests.loopback.venues.bybit import Bybit
from tests.loopback.venues.krakenfutures import KrakenFutures
from tests.loopback.venues.okx import OKX

VENUES: MappingProxyType[str, Callable[[World], Venue]] = MappingProxyType(
    {
        "binanceusdm": partial(Binance, inverse=False),
        "binancecoinm": partial(Binance, inverse=True),
        "bybit": Bybit,
        "bingx": BingX,
        "bitget": Bitget,
        "okx": OKX,
        "krakenfutures": KrakenFutures,
    }
)


def loopback(
    tape: Tape,
    *,
    clock: MarketClock | None = None,
    venues: Sequence[str] = ("binanceusdm",),
    sites: Sequence[Site] = (),
    **world: Any,
) -> Server:
    """A server to be entered; `world` are further fields of `World`, like `weight_per_minute`."""
    shared = World(tape=tape, clock=clock or HandClock(tape.last_at), **world)
    return Server(shared, [VENUES[name](shared) for name in venues] + list(sites))
