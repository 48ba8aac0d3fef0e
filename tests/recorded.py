"""Other venues, as their documentation has them answer, put in the place of ccxt's wire; no server, no sockets.

Contracts are recorded answers from `../shared/fixtures/ccxt`. Bars, funding and open interest follow from the minute,
so that a test knows what is right; order, limits and ends of windows are each venue's own.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures" / "ccxt"
MINUTE = 60_000
HOUR = 60 * MINUTE
FUNDING = 8 * HOUR
FIRST = 1_690_848_000_000  # 2023-08-01: nothing has traded before
Params = Mapping[str, str]
Answer = Callable[[str, Params], object]
LENGTHS = {
    "1": MINUTE,
    "1m": MINUTE,
    "D": 24 * HOUR,
    "1d": 24 * HOUR,
    "1D": 24 * HOUR,
    "1Dutc": 24 * HOUR,
    "1h": HOUR,
}


def candle(at: int) -> list[float]:
    """Open, high, low, close and volume of the bar that opens at an instant in ms; volume counts up."""
    price = 30_000.0 + at // MINUTE % 977
    return [price, price + 5.0, price - 5.0, price + 1.0, 1.0 + at // MINUTE % 13]


def rate(at: int) -> float:
    """The funding rate settled at an instant."""
    return round((at // FUNDING % 21 - 10) * 1e-5, 8)


def stamps(step: int, from_ms: int, to_ms: int, now: int) -> list[int]:
    """Instants on a grid in [from, to), from the first trade until now, oldest first."""
    return list(range(-(-max(from_ms, FIRST) // step) * step, min(to_ms, now + 1), step))


class Wire:
    """Takes the place of one client's `fetch`: `now` is market time in ms, `requests` what was asked."""

    def __init__(self, venue: str, now: int) -> None:
        self.now = now
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._answer = getattr(self, f"_{venue}")

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> object:
        """What ccxt gets from the venue."""
        parts = urlsplit(url)
        params = dict(parse_qsl(parts.query))
        self.requests.append((parts.path, params))
        return json.loads(json.dumps(self._answer(parts.path, params)))

    def count(self, part: str) -> int:
        """How many requests went to paths with this part."""
        return sum(part in path for path, _ in self.requests)

    def _bybit(self, path: str, asked: Params) -> object:
        return {"retCode": 0, "retMsg": "OK", "result": self._bybit_result(path, asked), "time": self.now}

    def _bybit_result(self, path: str, asked: Params) -> object:
        if path.endswith("instruments-info"):
            rows = (
                []
                if "status" in asked
                else recorded(f"nautilus/bybit/http_get_instruments_{asked['category']}.json")
            )
            contracts = rows["result"]["list"] if rows else []
            for contract in contracts:
                contract["fundingInterval"] = 480
            return {"category": asked["category"], "list": contracts, "nextPageCursor": ""}
        if path.endswith("time"):
            return {"timeSecond": str(self.now // 1000)}
        limit, ends = int(asked["limit"]), int(asked.get("end") or asked["endTime"]) + 1
        if path.endswith("kline"):
            assert limit <= 1000
            at = stamps(LENGTHS[asked["interval"]], int(asked["start"]), ends, self.now)[-limit:]
            return {
                "category": asked["category"],
                "list": [[str(t), *texts(candle(t)), "7"] for t in reversed(at)],
            }
        assert limit <= 200
        if path.endswith("open-interest"):
            at = stamps(HOUR, int(asked["startTime"]), ends, self.now)[-limit:]
            rows = [{"openInterest": str(t / HOUR), "timestamp": str(t)} for t in reversed(at)]
            return {"symbol": asked["symbol"], "list": rows, "nextPageCursor": ""}
        at = stamps(FUNDING, int(asked["startTime"]), ends, self.now)[-limit:]
        rows = [{"fundingRate": f"{rate(t):.8f}", "fundingRateTimestamp": str(t)} for t in reversed(at)]
        return {"category": asked["category"], "list": [row | {"symbol": asked["symbol"]} for row in rows]}

    def _bitget(self, path: str, asked: Params) -> object:
        return {
            "code": "00000",
            "msg": "success",
            "requestTime": self.now,
            "data": self._bitget_data(path, asked),
        }

    def _bitget_data(self, path: str, asked: Params) -> object:
        if path.endswith("time"):
            return {"serverTime": str(self.now)}
        if path.endswith("contracts"):
            contracts = recorded("ccxt_static/bitget_v2_contracts.json")["data"]
            return [row for row in contracts if kind_of(row) == asked["productType"]]
        if path.endswith("candles"):
            limit, starts, ends = (int(asked[name]) for name in ("limit", "startTime", "endTime"))
            assert limit <= 200
            at = stamps(LENGTHS[asked["granularity"]], starts, ends + 1, self.now)[-limit:]
            return [[str(t), *texts(candle(t)), "7"] for t in at]
        size, number = int(asked["pageSize"]), int(asked["pageNo"])
        assert size <= 100
        at = stamps(FUNDING, 0, self.now, self.now)[::-1][(number - 1) * size : number * size]
        return [
            {"symbol": asked["symbol"], "fundingRate": f"{rate(t):.8f}", "fundingTime": str(t)} for t in at
        ]

    def _bingx(self, path: str, asked: Params) -> object:
        return {"code": 0, "msg": "", "timestamp": self.now, "data": self._bingx_data(path, asked)}

    def _bingx_data(self, path: str, asked: Params) -> object:
        static = "ccxt_static/bingx_contracts.json"
        if path.endswith("common/symbols"):
            return {"symbols": []}
        if path.endswith("server/time"):
            return {"serverTime": self.now}
        if path.endswith("quote/contracts"):
            return recorded(static)["linear_contracts"]["data"]
        if path.endswith("market/contracts"):
            return recorded(static)["inverse_contracts"]["data"]
        starts, ends, limit = int(asked["startTime"]), int(asked["endTime"]) + 1, int(asked["limit"])
        if path.endswith("fundingRate"):
            at = stamps(FUNDING, starts, ends, self.now)[-limit:]
            return [{"symbol": asked["symbol"], "fundingRate": str(rate(t)), "fundingTime": t} for t in at]
        at = stamps(LENGTHS[asked["interval"]], starts, ends, self.now)[-limit:]
        names = ("open", "high", "low", "close", "volume")
        return [dict(zip(names, texts(candle(t)), strict=True)) | {"time": t} for t in reversed(at)]

    def _okx(self, path: str, asked: Params) -> object:
        return {"code": "0", "msg": "", "data": self._okx_data(path, asked)}

    def _okx_data(self, path: str, asked: Params) -> object:
        if path.endswith("time"):
            return [{"ts": str(self.now)}]
        if path.endswith("instruments"):
            return recorded(f"nautilus/okx/http_get_instruments_{asked['instType'].lower()}.json")["data"]
        limit = int(asked["limit"])
        if "open-interest" in path:
            at = stamps(HOUR, int(asked["begin"]) + 1, int(asked["end"]), self.now)[-limit:]
            return [[str(t), str(t / HOUR * 100), str(t / HOUR), "1"] for t in reversed(at)]
        starts, ends = int(asked["before"]) + 1, int(asked["after"])
        if path.endswith("funding-rate-history"):
            assert limit <= 100
            at = stamps(FUNDING, starts, ends, self.now)[-limit:]
            return [
                {"instId": asked["instId"], "realizedRate": str(rate(t)), "fundingTime": str(t)}
                for t in reversed(at)
            ]
        at = stamps(LENGTHS[asked["bar"]], starts, ends, self.now)[-limit:]
        bars = ((t, texts(candle(t))) for t in reversed(at))
        return [[str(t), *bar[:4], "700", bar[4], "7", "1"] for t, bar in bars]

    def _krakenfutures(self, path: str, asked: Params) -> object:
        if path.endswith("instruments"):
            return recorded("nautilus/kraken/http_futures_instruments.json")
        if path.endswith("historicalfundingrates"):
            rows = [
                {"timestamp": iso(t), "relativeFundingRate": rate(t)}
                for t in stamps(FUNDING, 0, self.now, self.now)
            ]
            return {"result": "success", "rates": rows}
        step = LENGTHS[path.rpartition("/")[2]]
        at = stamps(step, int(asked["from"]) * 1000, int(asked["to"]) * 1000 + 1, self.now)[:2000]
        names = ("open", "high", "low", "close", "volume")
        return {"candles": [dict(zip(names, texts(candle(t)), strict=True)) | {"time": t} for t in at]}


def recorded(name: str) -> Any:
    """A recorded answer."""
    return json.loads((FIXTURES / name).read_text())


def kind_of(contract: Mapping[str, Any]) -> str:
    """Bitget's product type of a contract."""
    return {"USDT": "USDT-FUTURES", "USD": "COIN-FUTURES"}.get(contract["quoteCoin"], "USDC-FUTURES")


def texts(values: list[float]) -> list[str]:
    """Numbers as venues send them."""
    return [str(value) for value in values]


def iso(at: int) -> str:
    """An instant in ISO 8601."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
