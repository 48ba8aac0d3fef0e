"""BingX, linear and inverse swaps: klines newest first, WebSocket frames compressed with gzip.

With `startTime` alone klines begin there, else they are the newest before `endTime`, which ccxt sets so that it must be
excluded. Funding history is always the newest. Open interest has no history.
"""

import gzip
import json
from typing import Any

from tests.loopback.candles import CLOSE, VOLUME
from tests.loopback.follower import Told
from tests.loopback.tape import Contract, Price, Reel
from tests.loopback.venue import MILLISECOND, Frame, Route, Session
from tests.loopback.venues.plain import (
    LENGTHS,
    BarSession,
    PlainVenue,
    amounts,
    count,
    instant,
    pick,
    prices,
    until,
)
from tests.loopback.wire import Record, Refused, Request

MOST_LINEAR, MOST_INVERSE, MOST_FUNDING = 1_440, 1_000, 1_000


class BingX(PlainVenue):
    """Public market data."""

    hosts = ("open-api.bingx.com", "open-api-swap.bingx.com", "open-api-cswap-ws.bingx.com")

    def table(self) -> dict[tuple[str, str], Route]:
        named: dict[str, Route] = {
            "swap/v2/server/time": lambda request: _data({"serverTime": self.world.now_ms()}),
            "spot/v1/common/symbols": lambda request: _data({"symbols": []}),
            "swap/v2/quote/contracts": lambda request: self._contracts(),
            "cswap/v1/market/contracts": lambda request: self._inverse_contracts(),
            "swap/v3/quote/klines": lambda request: self._klines(request, "trade", inverse=False),
            "swap/v1/market/markPriceKlines": lambda request: self._klines(request, "mark", inverse=False),
            "cswap/v1/market/klines": lambda request: self._klines(request, "trade", inverse=True),
            "swap/v2/quote/fundingRate": self._funding,
            "swap/v2/quote/openInterest": lambda request: _data(self._open_interest(request, inverse=False)),
            "cswap/v1/market/openInterest": lambda request: _data(
                [self._open_interest(request, inverse=True)]
            ),
        }
        return {("GET", f"/openApi/{name}"): route for name, route in named.items()}

    def name_of(self, contract: Contract) -> str:
        return f"{contract.base}-{contract.quote}"

    def stranger(self, name: str) -> Exception:
        return Refused(200, {"code": 109425, "msg": f"{name} not exist, please verify it", "data": {}})

    def dial(self, request: Request) -> Session:
        """Open a public stream."""
        return BingXSession(self, inverse="cswap" in request.host)

    def _contracts(self) -> object:
        rows = [
            {
                "contractId": str(100 + number),
                "symbol": self.name_of(contract),
                "size": "0",
                "quantityPrecision": contract.lot_decimals,
                "pricePrecision": contract.price_decimals,
                "feeRate": 0.0005,
                "makerFeeRate": 0.0002,
                "takerFeeRate": 0.0005,
                "tradeMinQuantity": float(contract.lot),
                "tradeMinUSDT": float(contract.min_notional),
                "maxLongLeverage": contract.max_leverage,
                "maxShortLeverage": contract.max_leverage,
                "currency": contract.settle,
                "asset": contract.base,
                "status": 1 if self.is_trading(contract) else 25,
                "apiStateOpen": str(self.is_trading(contract)).lower(),
                "apiStateClose": str(self.is_trading(contract)).lower(),
                "launchTime": contract.listed_at // MILLISECOND,
            }
            for number, contract in enumerate(reel.contract for reel in self.reels(inverse=False))
        ]
        return _data(rows)

    def _inverse_contracts(self) -> object:
        contracts = [reel.contract for reel in self.reels(inverse=True)]
        rows = [
            {
                "symbol": self.name_of(contract),
                "pricePrecision": contract.price_decimals,
                "minTickSize": f"{contract.size}",
                "minTradeValue": f"{contract.size}",
                "minQty": f"{contract.lot:.8f}",
                "status": 1 if self.is_trading(contract) else 25,
                "timeOnline": contract.listed_at // MILLISECOND,
            }
            for contract in contracts
        ]
        return _data(rows)

    def _klines(self, request: Request, kind: Price, *, inverse: bool) -> object:
        reel = self.reel(request.params.get("symbol"), inverse=inverse)
        length = LENGTHS.get(request.params.get("interval", ""))
        if length is None:
            raise Refused(200, {"code": 109400, "msg": "Invalid parameters, err:interval", "data": {}})
        start, end = instant(request, "startTime"), instant(request, "endTime")
        page = reel.shown(kind, length, self.world.now(), (start or 0, until(end)))
        limit = count(request, "limit", 500, MOST_INVERSE if inverse else MOST_LINEAR)
        picked = request.spoil(pick(page, limit, oldest=end is None and start is not None)[::-1])
        columns = zip(picked.opened_at.tolist(), picked.values.tolist(), strict=True)
        return _data([_words(at // MILLISECOND, values, reel.contract, kind) for at, values in columns])

    def _funding(self, request: Request) -> object:
        reel = self.reel(request.params.get("symbol"), inverse=False)
        end = min(until(instant(request, "endTime")), self.world.now())
        within = reel.funding.between(instant(request, "startTime") or 0, end + 1)
        newest = within.tail(count(request, "limit", 100, MOST_FUNDING), newest=True)
        name = self.name_of(reel.contract)
        rows = [
            {"symbol": name, "fundingRate": f"{rate:.8f}", "fundingTime": at // MILLISECOND}
            for at, rate in newest
        ]
        return _data(rows[::-1])

    def _open_interest(self, request: Request, *, inverse: bool) -> Record:
        """Now: dollars for linear contracts, contracts for inverse ones."""
        reel = self.reel(request.params.get("symbol"), inverse=inverse)
        now = self.world.now()
        seen = reel.open_interest.between(0, now + 1)
        held = float(seen.value[-1]) if len(seen.at) else 0.0
        worth = held if inverse else held * reel.price("trade", now)
        return {
            "openInterest": f"{worth:.2f}",
            "symbol": self.name_of(reel.contract),
            "timestamp" if inverse else "time": now // MILLISECOND,
        }


def _data(content: object) -> Record:
    return {"code": 0, "msg": "", "data": content}


def _words(opened: int, values: list[float], contract: Contract, kind: Price) -> Record:
    texts = prices(values, contract, exact=kind == "trade")
    words: Record = dict(zip(("open", "high", "low", "close"), texts, strict=True))
    _, base, _ = amounts(contract, values[VOLUME], values[CLOSE])
    words["volume"] = f"{values[VOLUME] if contract.inverse else base:.8f}"
    return words | ({"time": opened} if kind == "trade" else {"openTime": opened, "closeTime": opened})


class BingXSession(BarSession):
    """Topics like BTC-USDT@kline_1m."""

    def __init__(self, venue: BingX, *, inverse: bool) -> None:
        super().__init__(venue.world)
        self._venue, self._inverse = venue, inverse

    def receive(self, text: str) -> list[Frame]:
        if text == "Pong":
            return []
        wanted: dict[str, Any] = json.loads(text)
        name, _, channel = wanted["dataType"].partition("@")
        interval = channel.removeprefix("kline_")
        self.follow(wanted["dataType"], self._venue.reel(name, inverse=self._inverse), LENGTHS[interval])
        return [_packed({"id": wanted.get("id"), "code": 0, "msg": ""})]

    def tell(self, topic: str, reel: Reel, told: Told) -> Frame:
        values = told.bar.values[0].tolist()
        opened = int(told.bar.opened_at[0]) // MILLISECOND
        bar: Record = dict(zip("ohlc", prices(values, reel.contract, exact=True), strict=True))
        bar |= {"v": f"{values[VOLUME]:.8f}", "t" if self._inverse else "T": opened}
        named = {"code": 0, "dataType": topic, "s": self._venue.name_of(reel.contract)}
        return _packed(named | {"data": bar if self._inverse else [bar]})


def _packed(content: object) -> bytes:
    return gzip.compress(json.dumps(content).encode(), compresslevel=1)
