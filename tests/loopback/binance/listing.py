"""Binance's exchangeInfo and fundingInfo: which contracts there are, and their rules."""

from tests.loopback.binance.catalog import Catalog
from tests.loopback.binance.weight import Meter
from tests.loopback.tape import Contract
from tests.loopback.venue import MILLISECOND, Route
from tests.loopback.wire import Record

NO_EXPIRY = 4_133_404_800_000  # the delivery date of a perpetual


def routes(catalog: Catalog, meter: Meter) -> dict[str, Route]:
    """By name after the version."""
    return {
        "ping": lambda request: {},
        "time": lambda request: {"serverTime": catalog.world.now_ms()},
        "exchangeInfo": lambda request: _exchange_info(catalog, meter),
        "fundingInfo": lambda request: _funding_info(catalog),
    }


def _exchange_info(catalog: Catalog, meter: Meter) -> object:
    limits = [
        ("REQUEST_WEIGHT", "MINUTE", 1, meter.per_minute),
        ("ORDERS", "MINUTE", 1, 1_200),
        ("ORDERS", "SECOND", 10, 300),
    ]
    keys = ("rateLimitType", "interval", "intervalNum", "limit")
    return {
        "timezone": "UTC",
        "serverTime": catalog.world.now_ms(),
        "futuresType": "COIN_MARGINED" if catalog.inverse else "U_MARGINED",
        "rateLimits": [dict(zip(keys, limit, strict=True)) for limit in limits],
        "exchangeFilters": [],
        "symbols": [_describe(catalog, reel.contract) for reel in catalog.reels()],
    }


def _describe(catalog: Catalog, contract: Contract) -> Record:
    expires_at = contract.expires_at
    status = "TRADING" if catalog.is_trading(contract) else "SETTLING"
    inverse = {"contractStatus": status, "contractSize": int(contract.size)}
    return (inverse if catalog.inverse else {"status": status}) | {
        "symbol": catalog.symbol_of(contract),
        "pair": contract.base + contract.quote,
        "contractType": "CURRENT_QUARTER" if expires_at else "PERPETUAL",
        "deliveryDate": expires_at // MILLISECOND if expires_at else NO_EXPIRY,
        "onboardDate": contract.listed_at // MILLISECOND,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": contract.base,
        "quoteAsset": contract.quote,
        "marginAsset": contract.settle,
        "pricePrecision": contract.price_decimals,
        "quantityPrecision": contract.lot_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": _filters(contract),
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _filters(contract: Contract) -> list[Record]:
    tick, lot = f"{contract.tick.normalize():f}", f"{contract.lot.normalize():f}"
    sizes = {"minQty": lot, "maxQty": "1000000", "stepSize": lot}
    reach = {"multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"}
    smallest = {"filterType": "MIN_NOTIONAL", "notional": f"{contract.min_notional:f}"}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", **sizes},
        {"filterType": "MARKET_LOT_SIZE", **sizes},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        *([smallest] if contract.min_notional else []),
        {"filterType": "PERCENT_PRICE", **reach},
    ]


def _funding_info(catalog: Catalog) -> object:
    """Only contracts whose rule is not the usual one: eight hours."""
    return [
        {
            "symbol": catalog.symbol_of(reel.contract),
            "adjustedFundingRateCap": "0.02500000",
            "adjustedFundingRateFloor": "-0.02500000",
            "fundingIntervalHours": reel.contract.funding_hours,
        }
        for reel in catalog.reels()
        if reel.contract.funding_hours != 8
    ]
