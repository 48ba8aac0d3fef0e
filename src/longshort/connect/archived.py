"""Contracts that only Binance's archive remembers: delisted long ago, and so in no list of the venue.

What the archive does not tell (tick, lot, fees) is left at the finest or usual value; the lake infers ticks and
lots from the bars themselves.
"""

import re
from decimal import Decimal

from longshort.base.instrument import Instrument
from longshort.connect.listing import Listing

_COIN_MARGINED = re.compile(r"(\w+?)USD_(PERP|\d{6})")
_QUOTES = ("USDT", "USDC", "BUSD")
_FINEST = Decimal("0.00000001")


def archived_listing(venue: str, symbol: str, seen_at: int) -> Listing:
    """A contract by Binance's own symbol.

    >>> archived_listing("binanceusdm", "FTTUSDT", 0).instrument.symbol
    'FTTUSDT'
    >>> archived_listing("binancecoinm", "LUNAUSD_PERP", 0).instrument.symbol
    'LUNAUSD.LUNA'
    """
    coin = _COIN_MARGINED.fullmatch(symbol)
    quote = "USD" if coin else next((q for q in _QUOTES if symbol.endswith(q)), "USDT")
    base = coin[1] if coin else symbol.removesuffix(quote)
    expiry = f"-{coin[2]}" if coin and coin[2] != "PERP" else ""
    instrument = Instrument(
        symbol=f"{base}USD.{base}{expiry}" if coin else symbol,
        venue=venue,
        base=base,
        quote=quote,
        settle=base if coin else quote,
        tick=_FINEST,
        lot=Decimal(1) if coin else _FINEST,
        inverse=coin is not None,
    )
    return Listing(
        unified="",
        id=symbol,
        instrument=instrument,
        contract="future" if expiry else "swap",
        active=False,
        listed_at=None,
        expires_at=None,
        seen_at=seen_at,
    )


def is_archived(listing: Listing) -> bool:
    """True for a contract that the venue does not list any more."""
    return not listing.unified
