"""Binance's present: mark price, open interest, tickers, the book, the last trades.

The book has one price on either side, a tick apart, and changes once a second; there is a trade each second too.
"""

from collections.abc import Callable

from tests.loopback.binance.catalog import HOUR, Catalog, limit_of
from tests.loopback.candles import CLOSE, DAY, HIGH, LOW, MINUTE, OPEN, VOLUME
from tests.loopback.tape import Reel
from tests.loopback.venue import MILLISECOND, Route
from tests.loopback.wire import Record, Request

SECOND = 10**9
Describe = Callable[[Catalog, Reel], Record]


def routes(catalog: Catalog) -> dict[str, Route]:
    """By name after the version."""
    return {
        "premiumIndex": lambda request: _each(catalog, request, premium),
        "openInterest": lambda request: _open_interest(catalog, catalog.reel(request.params.get("symbol"))),
        "ticker/24hr": lambda request: _each(catalog, request, day),
        "ticker/price": lambda request: _each(catalog, request, _last_price),
        "ticker/bookTicker": lambda request: _each(catalog, request, best_quotes),
        "depth": lambda request: _depth(catalog, catalog.reel(request.params.get("symbol"))),
        "trades": lambda request: _trades(catalog, request),
        "aggTrades": lambda request: _grouped_trades(catalog, request),
    }


def _each(catalog: Catalog, request: Request, describe: Describe) -> object:
    """One record for a symbol, or all; COIN-M lists even one."""
    named = request.params.get("symbol")
    if not named:
        return [describe(catalog, reel) for reel in catalog.reels()]
    content = describe(catalog, catalog.reel(named))
    return [content] if catalog.inverse else content


def premium(catalog: Catalog, reel: Reel) -> Record:
    """Mark and index price, and funding."""
    now = catalog.world.now()
    every = reel.contract.funding_hours * HOUR
    settled = reel.funding.between(0, now + 1)
    index = f"{reel.price('index', now):.8f}"
    return {
        "symbol": catalog.symbol_of(reel.contract),
        "pair": reel.contract.base + reel.contract.quote,
        "markPrice": f"{reel.price('mark', now):.8f}",
        "indexPrice": index,
        "estimatedSettlePrice": index,
        "lastFundingRate": f"{settled.value[-1] if len(settled.at) else 0.0:.8f}",
        "interestRate": "0.00010000",
        "nextFundingTime": (now // every + 1) * every // MILLISECOND,
        "time": now // MILLISECOND,
    }


def _open_interest(catalog: Catalog, reel: Reel) -> Record:
    seen = reel.open_interest.between(0, catalog.world.now() + 1)
    return {
        "symbol": catalog.symbol_of(reel.contract),
        "openInterest": f"{seen.value[-1] if len(seen.at) else 0.0:.3f}",
        "time": catalog.world.now_ms(),
    }


def day(catalog: Catalog, reel: Reel) -> Record:
    """The last 24 hours."""
    now = catalog.world.now()
    day = reel.shown("trade", MINUTE, now, (now - DAY, now + 1)) if reel.trades.interval == MINUTE else None
    values = (day or reel.shown("trade", reel.trades.interval, now, (now - DAY, now + 1))).values
    first, last = (float(values[0, OPEN]), float(values[-1, CLOSE])) if len(values) else (0.0, 0.0)
    volume = float(values[:, VOLUME].sum())
    quote_volume = float((values[:, VOLUME] * values[:, CLOSE]).sum())
    return {
        "symbol": catalog.symbol_of(reel.contract),
        "priceChange": f"{last - first:.8f}",
        "priceChangePercent": f"{100 * (last / first - 1) if first else 0.0:.3f}",
        "weightedAvgPrice": f"{quote_volume / volume if volume else 0.0:.8f}",
        "lastPrice": f"{last:.8f}",
        "lastQty": "1.000",
        "openPrice": f"{first:.8f}",
        "highPrice": f"{values[:, HIGH].max(initial=0.0):.8f}",
        "lowPrice": f"{values[:, LOW].min(initial=last):.8f}",
        "volume": f"{volume:.3f}",
        "baseVolume" if catalog.inverse else "quoteVolume": f"{quote_volume:.3f}",
        "openTime": (now - DAY) // MILLISECOND,
        "closeTime": now // MILLISECOND,
        "firstId": 1,
        "lastId": 1 + len(values),
        "count": len(values),
    }


def _last_price(catalog: Catalog, reel: Reel) -> Record:
    now = catalog.world.now()
    named = {"symbol": catalog.symbol_of(reel.contract)}
    return named | {"price": f"{reel.price('trade', now):.8f}", "time": now // MILLISECOND}


def best_quotes(catalog: Catalog, reel: Reel) -> Record:
    """The best bid and ask."""
    now = catalog.world.now()
    bid, ask = reel.quotes(now)
    return {
        "symbol": catalog.symbol_of(reel.contract),
        "bidPrice": f"{bid:.8f}",
        "bidQty": "100.000",
        "askPrice": f"{ask:.8f}",
        "askQty": "100.000",
        "time": now // MILLISECOND,
    }


def book_at(reel: Reel, second: int) -> tuple[str, str]:
    """The best bid and ask of the book in a market second, as they are written."""
    bid, ask = reel.quotes(second * SECOND)
    return f"{bid:.8f}", f"{ask:.8f}"


def _depth(catalog: Catalog, reel: Reel) -> Record:
    second = catalog.world.now() // SECOND
    bid, ask = book_at(reel, second)
    stamp = catalog.world.now_ms()
    levels = {"bids": [[bid, "100.000"]], "asks": [[ask, "100.000"]]}
    return {"lastUpdateId": second, "E": stamp, "T": stamp} | levels


def _trades(catalog: Catalog, request: Request) -> object:
    return [
        {
            "id": second,
            "price": price,
            "qty": "1.000",
            "quoteQty": price,
            "time": second * 1_000,
            "isBuyerMaker": second % 2 == 0,
        }
        for second, price in _last_seconds(catalog, request)
    ]


def _grouped_trades(catalog: Catalog, request: Request) -> object:
    return [
        {
            "a": second,
            "p": price,
            "q": "1.000",
            "f": second,
            "l": second,
            "T": second * 1_000,
            "m": second % 2 == 0,
        }
        for second, price in _last_seconds(catalog, request)
    ]


def _last_seconds(catalog: Catalog, request: Request) -> list[tuple[int, str]]:
    reel = catalog.reel(request.params.get("symbol"))
    latest = catalog.world.now() // SECOND
    seconds = range(latest - limit_of(request, 500, 1_000) + 1, latest + 1)
    return [(second, f"{reel.price('trade', second * SECOND):.8f}") for second in seconds]
