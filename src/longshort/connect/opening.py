"""The opening price of the bar under way, which a venue tells as soon as somebody has traded in it."""

from typing import Any

from longshort.base.clock import Interval
from longshort.connect.exchange import Exchange
from longshort.connect.listing import Listing
from longshort.connect.pacing import MILLISECOND
from longshort.connect.retry import Fault


async def opening_price(
    exchange: Exchange, listing: Listing, interval: Interval, opened_at: int
) -> float | None:
    """At what price the bar that opens at an instant has opened; None where nobody knows yet."""
    at = opened_at // MILLISECOND
    rows: Any = await exchange.attempt(
        lambda client: client.fetch_ohlcv(listing.unified, str(interval), since=at, limit=2)
    )
    if isinstance(rows, Fault):
        return None
    opens = [float(row[1]) for row in rows if row[0] == at and row[1] is not None]
    return opens[0] if opens and opens[0] > 0.0 else None
