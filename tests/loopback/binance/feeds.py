"""What Binance's market streams push: klines of every kind, mark price, quotes, tickers, trades, the book.

A kline stream tells each bar that closed, with `x` true, and then the unfinished one. The book's update numbers
are market seconds, in which the REST book has its prices too, so that snapshots and updates fit together.
"""

from collections.abc import Callable
from typing import Protocol

from tests.loopback.binance.catalog import INTERVALS, Catalog, error
from tests.loopback.binance.quotes import SECOND, best_quotes, book_at, day, premium
from tests.loopback.candles import CLOSE, VOLUME
from tests.loopback.follower import BarFollower, Told
from tests.loopback.tape import Price, Reel
from tests.loopback.venue import MILLISECOND
from tests.loopback.wire import Record

Message = Record
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
        self._event, kind = KLINES[channel]
        self._interval = interval
        self._symbol = catalog.symbol_of(reel.contract)
        self._pair = reel.contract.base + reel.contract.quote
        self._bars = BarFollower(catalog.world, reel, kind, INTERVALS[interval])

    def due(self) -> list[Message]:
        return [self._tell(told) for told in self._bars.due()]

    def _tell(self, told: Told) -> Message:
        opened, length = int(told.bar.opened_at[0]) // MILLISECOND, told.bar.interval // MILLISECOND
        values = told.bar.values[0].tolist()
        bar = {letter: f"{value:.8f}" for letter, value in zip("ohlcv", values, strict=True)}
        times = {
            "t": opened,
            "T": opened + length - 1,
            "s": self._symbol,
            "i": self._interval,
            "x": told.closes,
        }
        counts = {"f": 0, "L": 0, "n": 100, "q": f"{values[VOLUME] * values[CLOSE]:.5f}"}
        named = {"e": self._event, "E": told.at // MILLISECOND, "s": self._symbol, "ps": self._pair}
        return named | {"k": times | bar | counts | {"V": "0", "Q": "0", "B": "0"}}


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
