"""What Binance's market streams push: klines of every kind, mark price, quotes, tickers, trades, the book.

A kline stream tells each bar that closed, with `x` true, and then the unfinished one. The book's update numbers
are market seconds, in which the REST book has its prices too, so that snapshots and updates fit together.
"""

from collections.abc import Callable
from typing import Protocol

from tests.loopback.binance.catalog import INTERVALS, Catalog, error
from tests.loopback.binance.quotes import SECOND, best_quotes, book_at, day, premium
from tests.loopback.candles import CLOSE, VOLUME, Candles
from tests.loopback.tape import Price, Reel
from tests.loopback.venue import MILLISECOND

Message = dict[str, object]
KLINES: dict[str, tuple[str, Price]] = {
    "kline": ("kline", "trade"),
    "markPriceKline": ("markPrice_kline", "mark"),
    "indexPriceKline": ("indexPrice_kline", "index"),
}


class Feed(Protocol):
    """One stream of one connection."""

    def due(self) -> list[Message]:
        """What has happened since it was last asked."""
        ...


def open_feed(catalog: Catalog, stream: str) -> Feed:
    """The feed that a stream's name asks for, like btcusdt@kline_1m; raise an error for another name."""
    symbol, _, channel = stream.partition("@")
    name, _, interval = channel.partition("_")
    if name in KLINES and interval in INTERVALS:
        reel = (
            catalog.reel_of_pair(symbol.upper()) if name.startswith("index") else catalog.reel(symbol.upper())
        )
        return KlineFeed(catalog, reel, name, interval)
    reel = catalog.reel(symbol.upper())
    kind = channel.partition("@")[0]
    if kind == "depth":
        return BookFeed(catalog, reel)
    if kind in SNAPSHOTS:
        return SnapshotFeed(catalog, reel, SNAPSHOTS[kind])
    raise error(2, f"Invalid request: unknown stream {stream}")


class KlineFeed:
    """Bars as they grow and close."""

    def __init__(self, catalog: Catalog, reel: Reel, channel: str, interval: str) -> None:
        self._catalog, self._reel = catalog, reel
        self._event, self._kind = KLINES[channel]
        self._interval = interval
        self._told_at = catalog.world.now()
        self._first = True

    def due(self) -> list[Message]:
        now = self._catalog.world.now()
        if now == self._told_at and not self._first:
            return []
        length = INTERVALS[self._interval]
        closed = self._reel.bars(self._kind, length).between(self._told_at - length + 1, now - length + 1)
        current = self._reel.current(self._kind, length, now)
        self._told_at, self._first = now, False
        frames = [self._tell(closed, row, closes=True) for row in range(len(closed))]
        return frames if current is None else [*frames, self._tell(current, 0, closes=False)]

    def _tell(self, page: Candles, row: int, *, closes: bool) -> Message:
        opened = int(page.opened_at[row]) // MILLISECOND
        length = INTERVALS[self._interval] // MILLISECOND
        texts = [f"{value:.8f}" for value in page.values[row].tolist()]
        symbol = self._catalog.symbol_of(self._reel.contract)
        worth = f"{page.values[row, VOLUME] * page.values[row, CLOSE]:.5f}"
        bar = dict(zip("ohlcv", texts, strict=True))
        times = {"t": opened, "T": opened + length - 1, "s": symbol, "i": self._interval, "x": closes}
        counts = {"f": 0, "L": 0, "n": 100, "q": worth, "V": "0", "Q": "0", "B": "0"}
        stamp = opened + length if closes else self._told_at // MILLISECOND
        pair = {"ps": self._reel.contract.base + self._reel.contract.quote}
        return {"e": self._event, "E": stamp, "s": symbol, "k": times | bar | counts} | pair


class SnapshotFeed:
    """The present, once a market second or as often as it is asked."""

    def __init__(self, catalog: Catalog, reel: Reel, describe: "Describe") -> None:
        self._catalog, self._reel, self._describe = catalog, reel, describe
        self._second = -1

    def due(self) -> list[Message]:
        second = self._catalog.world.now() // SECOND
        if second == self._second:
            return []
        self._second = second
        return [self._describe(self._catalog, self._reel) | {"E": self._catalog.world.now_ms()}]


class BookFeed:
    """Changes of the book."""

    def __init__(self, catalog: Catalog, reel: Reel) -> None:
        self._catalog, self._reel = catalog, reel
        self._second = catalog.world.now() // SECOND

    def due(self) -> list[Message]:
        last, now = self._second, self._catalog.world.now() // SECOND
        if now == last:
            return []
        self._second = now
        gone = [book_at(self._reel, second) for second in range(max(last, now - 3_600), now)]
        bid, ask = book_at(self._reel, now)
        bids = {price: "0" for price, _ in gone} | {bid: "100.000"}
        asks = {price: "0" for _, price in gone} | {ask: "100.000"}
        sides = {"b": [list(level) for level in bids.items()], "a": [list(level) for level in asks.items()]}
        stamps = {"E": now * 1_000, "T": now * 1_000, "U": last + 1, "u": now, "pu": last}
        symbol = self._catalog.symbol_of(self._reel.contract)
        return [{"e": "depthUpdate", "s": symbol} | stamps | sides]


def _mark(catalog: Catalog, reel: Reel) -> Message:
    told = premium(catalog, reel)
    return {
        "e": "markPriceUpdate",
        "s": told["symbol"],
        "p": told["markPrice"],
        "i": told["indexPrice"],
        "P": told["estimatedSettlePrice"],
        "r": told["lastFundingRate"],
        "T": told["nextFundingTime"],
    }


def _quotes(catalog: Catalog, reel: Reel) -> Message:
    told = best_quotes(catalog, reel)
    sides = {"b": told["bidPrice"], "B": told["bidQty"], "a": told["askPrice"], "A": told["askQty"]}
    return {
        "e": "bookTicker",
        "u": catalog.world.now() // SECOND,
        "s": told["symbol"],
        "T": told["time"],
    } | sides


def _ticker(catalog: Catalog, reel: Reel) -> Message:
    told = day(catalog, reel)
    words = {"p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "c": "lastPrice"}
    words |= {"Q": "lastQty", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume"}
    words |= {"O": "openTime", "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count", "s": "symbol"}
    worth = told.get("quoteVolume", told.get("baseVolume"))
    return {"e": "24hrTicker", "q": worth} | {short: told[name] for short, name in words.items()}


def _trade(catalog: Catalog, reel: Reel) -> Message:
    now = catalog.world.now()
    number = now // SECOND
    named = {"e": "aggTrade", "s": catalog.symbol_of(reel.contract), "T": now // MILLISECOND}
    price = f"{reel.price('trade', now):.8f}"
    return named | {"a": number, "f": number, "l": number, "p": price, "q": "1.000", "m": number % 2 == 0}


Describe = Callable[[Catalog, Reel], Message]
SNAPSHOTS: dict[str, Describe] = {
    "markPrice": _mark,
    "bookTicker": _quotes,
    "ticker": _ticker,
    "miniTicker": lambda catalog, reel: _ticker(catalog, reel) | {"e": "24hrMiniTicker"},
    "aggTrade": _trade,
    "trade": lambda catalog, reel: _trade(catalog, reel) | {"e": "trade", "t": catalog.world.now() // SECOND},
}
