"""Bitget: the classic v2 interface, and the market data of v3 for unified accounts.

Candles come oldest first and are the newest of the window [startTime, endTime): 1000 of the recent weeks, 200 from the
history (100 in v3). Funding history is paged by number, newest first.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.loopback.candles import CLOSE, DAY, VOLUME, Candles
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
    prices,
    until,
)
from tests.loopback.wire import Record, Refused, Request

MOST_RECENT, MOST_HISTORY, MOST_HISTORY_V3, MOST_FUNDING = 1_000, 200, 100, 100
RECENT = 30 * DAY  # of bars shorter than an hour; wider ones reach back further
KINDS: dict[str, Price] = {"market": "trade", "mark": "mark", "index": "index"}


class Bitget(PlainVenue):
    """Public market data."""

    hosts = ("api.bitget.com", "ws.bitget.com")

    def table(self) -> dict[tuple[str, str], Route]:
        named: dict[str, Route] = {
            "v2/public/time": lambda request: self._data({"serverTime": str(self.world.now_ms())}),
            "v2/spot/public/symbols": lambda request: self._data([]),
            "v2/spot/public/coins": lambda request: self._data([]),
            "v2/margin/currencies": lambda request: self._data([]),
            "v2/mix/market/contracts": self._listing("productType", self._contract),
            "v2/mix/market/candles": self._recent,
            "v2/mix/market/history-candles": lambda request: self._history(request, "trade"),
            "v2/mix/market/history-mark-candles": lambda request: self._history(request, "mark"),
            "v2/mix/market/history-index-candles": lambda request: self._history(request, "index"),
            "v2/mix/market/history-fund-rate": self._funding,
            "v2/mix/market/open-interest": self._open_interest,
            "v3/account/settings": lambda request: self._classic(),
            "v3/market/instruments": self._listing("category", self._instrument),
            "v3/market/candles": self._recent,
            "v3/market/history-candles": self._history_v3,
            "v3/market/history-fund-rate": self._funding_v3,
        }
        return {("GET", f"/api/{name}"): route for name, route in named.items()}

    def name_of(self, contract: Contract) -> str:
        return contract.base + contract.quote

    def product_of(self, contract: Contract) -> str:
        """Which of the venue's lists a contract is on."""
        return "COIN-FUTURES" if contract.inverse else f"{contract.settle}-FUTURES"

    def stranger(self, name: str) -> Exception:
        return _error("40034", f"Parameter {name} does not exist")

    def dial(self, request: Request) -> Session:
        """Open a public stream of v2."""
        if request.path != "/v2/ws/public":
            raise Refused(404, {})
        return BitgetSession(self)

    def reel_on(self, product: str, name: str | None) -> Reel:
        """The contract with a name on a list; raise `Refused` where there is none."""
        reel = self.reel(name, inverse=product == "COIN-FUTURES")
        if self.product_of(reel.contract) != product:
            raise self.stranger(str(name))
        return reel

    def _data(self, content: object) -> Record:
        return {"code": "00000", "msg": "success", "requestTime": self.world.now_ms(), "data": content}

    def _classic(self) -> object:
        raise _error(
            "40085",
            "You are in Classic Account mode, and the Unified Account API is not supported at this time",
        )

    def _listing(self, key: str, describe: Callable[[Contract], Record]) -> Route:
        def route(request: Request) -> object:
            contracts = [reel.contract for reel in self.reels()]
            wanted = request.params.get(key)
            return self._data([describe(c) for c in contracts if self.product_of(c) == wanted])

        return route

    def _contract(self, contract: Contract) -> Record:
        lot = f"{contract.lot:f}"
        return {
            "symbol": self.name_of(contract),
            "baseCoin": contract.base,
            "quoteCoin": contract.quote,
            "supportMarginCoins": [contract.settle],
            "minTradeNum": lot,
            "volumePlace": str(contract.lot_decimals),
            "pricePlace": str(contract.price_decimals),
            "sizeMultiplier": lot,
            "priceEndStep": str(int(contract.tick.scaleb(contract.price_decimals))),
            "makerFeeRate": "0.0002",
            "takerFeeRate": "0.0006",
            "symbolType": "perpetual",
            "minTradeUSDT": f"{contract.min_notional:f}",
            "symbolStatus": "normal" if self.is_trading(contract) else "off",
            "offTime": "-1",
            "deliveryTime": "",
            "launchTime": str(contract.listed_at // MILLISECOND or ""),
            "fundInterval": str(contract.funding_hours),
            "minLever": "1",
            "maxLever": str(contract.max_leverage),
        }

    def _instrument(self, contract: Contract) -> Record:
        return {
            "symbol": self.name_of(contract),
            "category": self.product_of(contract),
            "baseCoin": contract.base,
            "quoteCoin": contract.quote,
            "type": "perpetual",
            "status": "online" if self.is_trading(contract) else "offline",
            "minOrderQty": f"{contract.lot:f}",
            "maxOrderQty": "1000000",
            "minOrderAmount": f"{contract.min_notional:f}",
            "pricePrecision": str(contract.price_decimals),
            "quantityPrecision": str(contract.lot_decimals),
            "makerFeeRate": "0.0002",
            "takerFeeRate": "0.0006",
            "minLeverage": "1",
            "maxLeverage": str(contract.max_leverage),
            "fundInterval": str(contract.funding_hours),
            "launchTime": str(contract.listed_at // MILLISECOND),
        }

    def _recent(self, request: Request) -> object:
        params = request.params
        kind = KINDS[params.get("kLineType", params.get("type", "market")).lower()]
        reel, length = self._asked(request)
        reach = self.world.now() - RECENT * max(1, length * 24 // DAY)
        start_at = max(instant(request, "startTime") or 0, reach)
        page = reel.shown(kind, length, self.world.now(), (start_at, until(instant(request, "endTime"))))
        return self._rows(request, reel, kind, page.last(count(request, "limit", 100, MOST_RECENT)))

    def _history_v3(self, request: Request) -> object:
        kind = KINDS[request.params.get("type", "market").lower()]
        return self._history(request, kind, MOST_HISTORY_V3)

    def _history(self, request: Request, kind: Price, most: int = MOST_HISTORY) -> object:
        reel, length = self._asked(request)
        window = (instant(request, "startTime") or 0, until(instant(request, "endTime")))
        page = reel.shown(kind, length, self.world.now(), window)
        return self._rows(request, reel, kind, page.last(count(request, "limit", 100, most)))

    def _asked(self, request: Request) -> tuple[Reel, int]:
        """The contract and the interval that a request names, in v2 or v3."""
        params = request.params
        reel = self.reel_on(params.get("productType") or params.get("category", ""), params.get("symbol"))
        return reel, length_of(params.get("granularity") or params.get("interval", ""))

    def _rows(self, request: Request, reel: Reel, kind: Price, page: Candles) -> object:
        picked = request.spoil(page)
        columns = zip(picked.opened_at.tolist(), picked.values.tolist(), strict=True)
        return self._data([row_of(reel.contract, kind, at, values) for at, values in columns])

    def _funding(self, request: Request) -> object:
        params = request.params
        reel = self.reel_on(params.get("productType", ""), params.get("symbol"))
        rows = self._rates(request, reel, "pageSize", "pageNo")
        return self._data([row | {"fundingTime": row.pop("fundingRateTimestamp")} for row in rows])

    def _funding_v3(self, request: Request) -> object:
        reel = self.reel_on(request.params.get("category", ""), request.params.get("symbol"))
        return self._data({"resultList": self._rates(request, reel, "limit", "cursor")})

    def _rates(self, request: Request, reel: Reel, size: str, number: str) -> list[Record]:
        per_page, page = count(request, size, 20, MOST_FUNDING), count(request, number, 1, 10_000)
        newest = list(reel.funding.between(0, self.world.now() + 1))[::-1]
        return [
            {
                "symbol": self.name_of(reel.contract),
                "fundingRate": f"{rate:.8f}",
                "fundingRateTimestamp": str(at // MILLISECOND),
            }
            for at, rate in newest[(page - 1) * per_page : page * per_page]
        ]

    def _open_interest(self, request: Request) -> object:
        params, now = request.params, self.world.now()
        reel = self.reel_on(params.get("productType", ""), params.get("symbol"))
        seen = reel.open_interest.between(0, now + 1)
        size = f"{seen.value[-1] if len(seen.at) else 0.0:.4f}"
        listed = [{"symbol": self.name_of(reel.contract), "size": size}]
        return self._data({"openInterestList": listed, "ts": str(now // MILLISECOND)})


def length_of(word: str) -> int:
    """The interval that a word like 1m, 1H, 6Hutc or 1Dutc means."""
    length = LENGTHS.get(word.lower().removesuffix("utc"))
    if length is None:
        raise _error("40034", f"Parameter {word} does not exist")
    return length


def row_of(contract: Contract, kind: Price, opened_at: int, values: list[float]) -> list[str]:
    """Time, four prices, and volume in base and in quote coins; dollars first for inverse contracts."""
    _, base, quote = amounts(contract, values[VOLUME], values[CLOSE])
    pair = (quote, base) if contract.inverse else (base, quote)
    texts = prices(values, contract, exact=kind == "trade")
    return [str(opened_at // MILLISECOND), *texts, *(f"{amount:.8f}" for amount in pair)]


def _error(code: str, message: str) -> Refused:
    return Refused(400, {"code": code, "msg": message, "requestTime": 0, "data": None})


class BitgetSession(BarSession):
    """Channels like candle1m of an instrument."""

    def __init__(self, venue: Bitget) -> None:
        super().__init__(venue.world)
        self._venue = venue

    def receive(self, text: str) -> list[Frame]:
        if text == "ping":
            return ["pong"]
        wanted: dict[str, Any] = json.loads(text)
        answers: list[Frame] = []
        for topic in wanted["args"]:
            reel = self._venue.reel_on(topic["instType"], topic["instId"])
            self.follow(json.dumps(topic), reel, length_of(topic["channel"].removeprefix("candle")))
            answers.append(json.dumps({"event": wanted["op"], "arg": topic}))
        return answers

    def tell(self, topic: str, reel: Reel, told: Told) -> Frame:
        row = row_of(reel.contract, "trade", int(told.bar.opened_at[0]), told.bar.values[0].tolist())
        frame = {"action": "update", "arg": json.loads(topic), "data": [row], "ts": told.at // MILLISECOND}
        return json.dumps(frame)
