"""What a venue lists: one record per contract, delisted ones included, and the contract that a user means.

Where a venue leaves something out, the fall-back is stated here and nowhere else.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from longshort.base.errors import VenueError
from longshort.base.instrument import FeeTier, Instrument, MaintenanceTier, lake_symbol
from longshort.connect.pacing import MILLISECOND

if TYPE_CHECKING:
    from longshort.connect.exchange import Exchange

ContractType = Literal["swap", "future", "spot"]
Market = Literal["futures", "spot"]
FINEST_TICK = Decimal("0.00000001")  # where a venue has no fixed tick: finer than any
ONE = Decimal(1)  # a contract, where neither lot nor least amount is told
NO_MINIMUM = Decimal(0)  # where no least cost is told, the lot alone binds
USUAL_FEES = FeeTier(maker_bps=2.0, taker_bps=5.0)  # where fees are not told
DECIMAL_PLACES = 2  # ccxt's code for precision counted in digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One contract as its venue listed it at `seen_at`; `tiers` are empty until `with_tiers` has asked.

    `unified` is ccxt's symbol, `id` the venue's own, `instrument.symbol` the name in the lake. `listed_at` is what
    the venue says; bars may begin earlier (see `pages.first_listed`).
    """

    unified: str
    id: str
    instrument: Instrument
    contract: ContractType
    active: bool
    listed_at: int | None
    expires_at: int | None
    seen_at: int
    max_leverage: float | None = None
    tiers: tuple[MaintenanceTier, ...] = ()


def read_listings(markets: Mapping[str, Any], client: Any, venue: str, seen_at: int) -> dict[str, Listing]:
    """Listings by unified symbol, from ccxt's markets; options are left out."""
    digits = client.precisionMode == DECIMAL_PLACES
    return {
        symbol: _listing(market, venue, seen_at, digits=digits)
        for symbol, market in markets.items()
        if market.get("type") in ("swap", "future", "spot")
    }


async def with_tiers(exchange: "Exchange", listing: Listing) -> Listing:
    """The listing with its maintenance tiers, where the venue tells them in public or a key is at hand."""
    if not (exchange.venue.public_tiers or exchange.private) or listing.contract == "spot":
        return listing
    rows = await exchange.read("fetch_market_leverage_tiers", listing.unified)
    return replace(listing, tiers=read_tiers(rows))


def read_tiers(rows: Sequence[Mapping[str, Any]]) -> tuple[MaintenanceTier, ...]:
    """Maintenance tiers from ccxt's, smallest positions first; the amounts follow from their joining without a step.

    A tier begins where the one before ends; rows without a rate say nothing and are left out.

    >>> low = {"minNotional": 0, "maxNotional": 50_000, "maintenanceMarginRate": 0.004, "maxLeverage": 125}
    >>> high = {"minNotional": 50_000, "maxNotional": None, "maintenanceMarginRate": 0.005, "maxLeverage": 100}
    >>> [(t.from_notional, t.to_notional, t.maintenance_amount) for t in read_tiers([low, high])]
    [(0.0, 50000.0, 0.0), (50000.0, inf, 50.0)]
    """
    told = [row for row in rows if row.get("maintenanceMarginRate") is not None]
    tiers: list[MaintenanceTier] = []
    before = MaintenanceTier(from_notional=0.0, to_notional=0.0, maintenance_rate=0.0)
    for row in sorted(told, key=lambda row: _float(row.get("maxNotional")) or math.inf):
        rate, start = float(row["maintenanceMarginRate"]), before.to_notional
        step = start * (rate - before.maintenance_rate)
        before = MaintenanceTier(
            from_notional=start,
            to_notional=_float(row.get("maxNotional")) or math.inf,
            maintenance_rate=rate,
            maintenance_amount=round(before.maintenance_amount + step, 8),
            max_leverage=_float(row.get("maxLeverage")) or 1.0,
        )
        tiers.append(before)
    return tuple(tiers)


def resolve(listings: Mapping[str, Listing], text: str, *, market: Market = "futures") -> Listing:
    """The contract that a user means by a unified symbol, a venue's own or one of the lake.

    Raise `VenueError` that names the nearest where there is none, and the candidates where there are several.
    """
    wanted = text.strip().upper()
    right = [listing for listing in listings.values() if (listing.contract == "spot") == (market == "spot")]
    where = next(iter(listings.values())).instrument.venue if listings else "venue"
    for names in (_unified, _names):
        found = [listing for listing in right if wanted in names(listing)]
        if len(found) > 1:
            found = [listing for listing in found if listing.active] or found
        if len(found) == 1:
            return found[0]
        if found:
            raise VenueError(
                f"{text!r} could be {_list([listing.unified for listing in found])}.",
                where=where,
                remedy="Write one of these.",
            )
    raise _unknown(right, text, where, market)


def _unknown(right: list[Listing], text: str, where: str, market: Market) -> VenueError:
    wanted = text.strip().upper()
    derived = [listing.unified for listing in right if listing.unified.partition(":")[0].upper() == wanted]
    if market == "futures" and derived:
        swaps = [name for name in derived if "-" not in name] or derived
        return VenueError(
            f"{text!r} is a spot symbol, and this is about futures.",
            where=where,
            remedy=f"Write {' or '.join(swaps[:3])}.",
        )
    spelt = {
        _plain(name): listing.unified for listing in right for name in (*_names(listing), listing.unified)
    }
    near = difflib.get_close_matches(_plain(wanted), spelt, n=9, cutoff=0.4)
    nearest = list(dict.fromkeys(spelt[name] for name in near))[:3]
    return VenueError(
        f"has no {'contract' if market == 'futures' else 'spot market'} {text!r}.",
        where=where,
        remedy=f"The nearest are {_list(nearest)}." if nearest else "",
    )


def _unified(listing: Listing) -> tuple[str, ...]:
    return (listing.unified.upper(),)


def _names(listing: Listing) -> tuple[str, ...]:
    return (listing.id.upper(), listing.instrument.symbol)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def _list(names: list[str]) -> str:
    return ", ".join(names)


def _listing(market: Mapping[str, Any], venue: str, seen_at: int, *, digits: bool) -> Listing:
    expires, created = market.get("expiry"), market.get("created")
    return Listing(
        unified=market["symbol"],
        id=str(market["id"]),
        instrument=_instrument(market, venue, digits=digits),
        contract=market["type"],
        active=market.get("active") is not False,
        listed_at=int(created) * MILLISECOND if created else None,
        expires_at=int(expires) * MILLISECOND if expires else None,
        seen_at=seen_at,
        max_leverage=_float(((market.get("limits") or {}).get("leverage") or {}).get("max")),
    )


def _instrument(market: Mapping[str, Any], venue: str, *, digits: bool) -> Instrument:
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    least = _decimal((limits.get("amount") or {}).get("min"))
    fee = USUAL_FEES
    if market.get("maker") is not None and market.get("taker") is not None:
        fee = FeeTier(maker_bps=round(market["maker"] * 1e4, 6), taker_bps=round(market["taker"] * 1e4, 6))
    return Instrument(
        symbol=lake_symbol(market["symbol"]),
        venue=venue,
        base=market["base"],
        quote=market["quote"],
        settle=market.get("settle") or market["quote"],
        tick=_step(precision.get("price"), digits=digits) or FINEST_TICK,
        lot=_step(precision.get("amount"), digits=digits) or least or ONE,
        min_notional=_decimal((limits.get("cost") or {}).get("min")) or NO_MINIMUM,
        contract_size=_decimal(market.get("contractSize")) or ONE,
        inverse=market.get("inverse") is True,
        fees=(fee,),
    )


def _step(precision: Any, *, digits: bool) -> Decimal | None:
    """A price or amount step; ccxt counts it in digits on some venues."""
    value = _decimal(precision)
    return ONE.scaleb(-int(value)) if digits and value is not None else value


def _decimal(value: Any) -> Decimal | None:
    """A positive number as people write it: 0.001, not 0.001000000000000000020816...; None for none."""
    number = Decimal(repr(value) if isinstance(value, float) else str(value)) if value is not None else None
    return number.normalize() + 0 if number else None


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
