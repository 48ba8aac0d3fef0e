"""Bybit V5, linear and inverse: every list is newest first.

Klines begin at `start` where only that is given, else they are the newest up to `end`, both ends included.
Funding history and open interest are the newest in their window, 200 at most; funding refuses a start alone.
"""

import json
from typing import Any

from tests.loopback.candles import CLOSE, VOLUME
from tests.loopback.follower import Told
from tests.loopback.tape import Contract, Price, Reel, Samples
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

INTERVALS = (
    {name.removesuffix("m"): ns for name, ns in LENGTHS.items() if name.endswith("m")}
    | {str(int(name[:-1]) * 60): ns for name, ns in LENGTHS.items() if name.endswith("h")}
    | {"D": LENGTHS["1d"], "W": LENGTHS["1w"]}
)
PERIODS = {"5min": "5m", "15min": "15m", "30min": "30m", "1h": "1h", "4h": "4h", "1d": "1d"}
MOST_BARS, MOST_SAMPLES = 1_000, 200


class Bybit(PlainVenue):
    """Public market data."""

    hosts = ("api.bybit.com", "stream.bybit.com")

    def table(self) -> dict[tuple[str, str], Route]:
        named: dict[str, Route] = {
            "time": self._time,
            "instruments-info": self._instruments,
            "kline": lambda request: self._klines(request, "trade"),
            "mark-price-kline": lambda request: self._klines(request, "mark"),
            "index-price-kline": lambda request: self._klines(request, "index"),
            "funding/history": self._funding,
            "open-interest": self._open_interest,
        }
        return {("GET", f"/v5/market/{name}"): route for name, route in named.items()}

    def name_of(self, contract: Contract) -> str:
        return contract.base + contract.quote

    def stranger(self, name: str) -> Exception:
        return Refused(
            200, {"retCode": 10001, "retMsg": f"params error: Symbol Invalid {name}", "result": {}}
        )

    def dial(self, request: Request) -> Session:
        """Open a public stream; its path says which contracts it has."""
        kind = request.path.rpartition("/")[2]
        if kind not in ("linear", "inverse"):
            raise Refused(404, {})
        return BybitSession(self, inverse=kind == "inverse")

    def _result(self, result: Record) -> Record:
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.world.now_ms()}

    def _time(self, request: Request) -> object:
        now = self.world.now()
        return self._result({"timeSecond": str(now // 10**9), "timeNano": str(now)})

    def _instruments(self, request: Request) -> object:
        category = request.params.get("category", "")
        wanted = category in ("linear", "inverse") and "status" not in request.params
        reels = self.reels(inverse=category == "inverse") if wanted else []
        rows = [self._describe(reel.contract) for reel in reels]
        return self._result({"category": category, "list": rows, "nextPageCursor": ""})

    def _describe(self, contract: Contract) -> Record:
        lot = f"{contract.lot:f}"
        return {
            "symbol": self.name_of(contract),
            "contractType": "InversePerpetual" if contract.inverse else "LinearPerpetual",
            "status": "Trading" if self.is_trading(contract) else "Closed",
            "baseCoin": contract.base,
            "quoteCoin": contract.quote,
            "settleCoin": contract.settle,
            "launchTime": str(contract.listed_at // MILLISECOND),
            "deliveryTime": "0",
            "priceScale": str(contract.price_decimals),
            "leverageFilter": {
                "minLeverage": "1",
                "maxLeverage": str(contract.max_leverage),
                "leverageStep": "0.01",
            },
            "priceFilter": {
                "minPrice": f"{contract.tick:f}",
                "maxPrice": "1999999.8",
                "tickSize": f"{contract.tick:f}",
            },
            "lotSizeFilter": {
                "maxOrderQty": "1190.000",
                "minOrderQty": lot,
                "qtyStep": lot,
                "minNotionalValue": f"{contract.min_notional:f}",
            },
            "fundingInterval": contract.funding_hours * 60,
        }

    def _reel(self, request: Request) -> Reel:
        inverse = request.params.get("category") == "inverse"
        return self.reel(request.params.get("symbol"), inverse=inverse)

    def _klines(self, request: Request, kind: Price) -> object:
        reel = self._reel(request)
        length = INTERVALS.get(request.params.get("interval", ""))
        if length is None:
            raise Refused(200, {"retCode": 10001, "retMsg": "params error: interval invalid", "result": {}})
        start, end = instant(request, "start"), instant(request, "end")
        page = reel.shown(
            kind, length, self.world.now(), (start or 0, until(None if end is None else end + 1))
        )
        limit = count(request, "limit", 200, MOST_BARS)
        picked = request.spoil(pick(page, limit, oldest=end is None and start is not None)[::-1])
        rows = [
            [
                str(at // MILLISECOND),
                *prices(v, reel.contract, exact=kind == "trade"),
                *_volumes(reel, v, kind),
            ]
            for at, v in zip(picked.opened_at.tolist(), picked.values.tolist(), strict=True)
        ]
        category = request.params.get("category")
        return self._result({"category": category, "symbol": self.name_of(reel.contract), "list": rows})

    def _funding(self, request: Request) -> object:
        reel = self._reel(request)
        start, end = instant(request, "startTime"), instant(request, "endTime")
        if start is not None and end is None:
            raise Refused(200, {"retCode": 10001, "retMsg": "params error: endTime missing", "result": {}})
        found = self._newest(request, reel.funding, 200)
        rows = [
            {
                "symbol": self.name_of(reel.contract),
                "fundingRate": f"{rate:.8f}",
                "fundingRateTimestamp": str(at // MILLISECOND),
            }
            for at, rate in reversed(list(found))
        ]
        return self._result({"category": request.params.get("category"), "list": rows})

    def _open_interest(self, request: Request) -> object:
        reel = self._reel(request)
        every = LENGTHS[PERIODS[request.params["intervalTime"]]]
        on_period = reel.open_interest.at % every == 0
        sampled = Samples(reel.open_interest.at[on_period], reel.open_interest.value[on_period])
        rows = [
            {"openInterest": f"{value:.8f}", "timestamp": str(at // MILLISECOND)}
            for at, value in reversed(list(self._newest(request, sampled, 50)))
        ]
        named = {"symbol": self.name_of(reel.contract), "category": request.params.get("category")}
        return self._result({**named, "list": rows, "nextPageCursor": ""})

    def _newest(self, request: Request, samples: Samples, usual: int) -> Samples:
        end = min(until(instant(request, "endTime")), self.world.now())
        within = samples.between(instant(request, "startTime") or 0, end + 1)
        return within.tail(count(request, "limit", usual, MOST_SAMPLES), newest=True)


def _volumes(reel: Reel, values: list[float], kind: Price) -> list[str]:
    """Volume and turnover: base and quote coins of linear contracts, dollars and coins of inverse ones."""
    if kind != "trade":
        return []
    _, base, quote = amounts(reel.contract, values[VOLUME], values[CLOSE])
    pair = (quote, base) if reel.contract.inverse else (base, quote)
    return [f"{amount:.8f}" for amount in pair]


class BybitSession(BarSession):
    """Topics like kline.1.BTCUSDT."""

    def __init__(self, venue: Bybit, *, inverse: bool) -> None:
        super().__init__(venue.world)
        self._venue, self._inverse = venue, inverse

    def receive(self, text: str) -> list[Frame]:
        wanted: dict[str, Any] = json.loads(text)
        if wanted["op"] == "ping":
            return [
                json.dumps({"success": True, "ret_msg": "pong", "op": "ping", "req_id": wanted.get("req_id")})
            ]
        for topic in wanted.get("args", []):
            _, interval, name = topic.split(".")
            self.follow(topic, self._venue.reel(name, inverse=self._inverse), INTERVALS[interval])
        return [
            json.dumps({"success": True, "ret_msg": "", "op": wanted["op"], "req_id": wanted.get("req_id")})
        ]

    def tell(self, topic: str, reel: Reel, told: Told) -> Frame:
        values = told.bar.values[0].tolist()
        opened, length = int(told.bar.opened_at[0]) // MILLISECOND, told.bar.interval // MILLISECOND
        words = dict(
            zip(("open", "high", "low", "close"), prices(values, reel.contract, exact=True), strict=True)
        )
        words |= dict(zip(("volume", "turnover"), _volumes(reel, values, "trade"), strict=True))
        stamp = told.at // MILLISECOND
        bar = {
            "start": opened,
            "end": opened + length - 1,
            "interval": topic.split(".")[1],
            "confirm": told.closes,
        }
        return json.dumps(
            {"topic": topic, "type": "snapshot", "ts": stamp, "data": [bar | words | {"timestamp": stamp}]}
        )
