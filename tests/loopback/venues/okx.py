"""OKX V5 swaps: lists newest first between `before` and `after`, which exclude their ends.

Volume comes in contracts and in base coins. A page is the newest of its window, 300 candles or 100 of mark and index
prices at most. Bars of six hours and more are those of UTC.
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
    prices,
    until,
)
from tests.loopback.wire import Record, Refused, Request

MOST_BARS, MOST_OTHERS = 300, 100


class OKX(PlainVenue):
    """Public market data."""

    hosts = ("www.okx.com", "ws.okx.com")

    def table(self) -> dict[tuple[str, str], Route]:
        named: dict[str, Route] = {
            "public/time": lambda request: _data([{"ts": str(self.world.now_ms())}]),
            "public/instruments": self._instruments,
            "public/funding-rate-history": self._funding,
            "rubik/stat/contracts/open-interest-history": self._open_interest,
        }
        for age in ("", "history-"):
            named[f"market/{age}candles"] = lambda request: self._candles(request, "trade")
            named[f"market/{age}mark-price-candles"] = lambda request: self._candles(request, "mark")
            named[f"market/{age}index-candles"] = lambda request: self._candles(request, "index")
        return {("GET", f"/api/v5/{name}"): route for name, route in named.items()}

    def name_of(self, contract: Contract) -> str:
        return f"{contract.base}-{contract.quote}-SWAP"

    def stranger(self, name: str) -> Exception:
        return Refused(200, {"code": "51001", "msg": f"Instrument ID {name} does not exist", "data": []})

    def dial(self, request: Request) -> Session:
        """Open a stream; candles are on the business one."""
        return OKXSession(self)

    def _instruments(self, request: Request) -> object:
        swaps = request.params.get("instType") == "SWAP"
        return _data([self._describe(reel.contract) for reel in self.reels()] if swaps else [])

    def _describe(self, contract: Contract) -> Record:
        family, lot = f"{contract.base}-{contract.quote}", f"{contract.lot:f}"
        return {
            "instType": "SWAP",
            "instId": self.name_of(contract),
            "instIdCode": 10458,
            "uly": family,
            "instFamily": family,
            "baseCcy": "",
            "quoteCcy": "",
            "settleCcy": contract.settle,
            "ctType": "inverse" if contract.inverse else "linear",
            "ctVal": f"{contract.size:f}",
            "ctMult": "1",
            "ctValCcy": contract.quote if contract.inverse else contract.base,
            "expTime": "",
            "lever": str(contract.max_leverage),
            "listTime": str(contract.listed_at // MILLISECOND),
            "contTdSwTime": "",
            "lotSz": lot,
            "minSz": lot,
            "maxLmtSz": "100000000",
            "maxMktSz": "30000",
            "tickSz": f"{contract.tick:f}",
            "state": "live" if self.is_trading(contract) else "suspend",
        }

    def _candles(self, request: Request, kind: Price) -> object:
        reel = self._reel(request, kind)
        length = _length(request.params.get("bar", "1m"))
        after = until(instant(request, "after"))
        page = reel.shown(kind, length, self.world.now(), ((instant(request, "before") or -1) + 1, after))
        most = MOST_BARS if kind == "trade" else MOST_OTHERS
        picked = request.spoil(page.last(count(request, "limit", 100, most))[::-1])
        closed_by = self.world.now() - length
        columns = zip(picked.opened_at.tolist(), picked.values.tolist(), strict=True)
        return _data([_row(reel.contract, kind, at, v, closes=at <= closed_by) for at, v in columns])

    def _reel(self, request: Request, kind: Price) -> Reel:
        """Index prices go by the underlying, like BTC-USDT, the others by the contract."""
        name = request.params.get("instId")
        return self.reel(f"{name}-SWAP" if kind == "index" else name)

    def _funding(self, request: Request) -> object:
        reel = self.reel(request.params.get("instId"))
        found = self._window(request, reel.funding, "before", "after").tail(
            count(request, "limit", MOST_OTHERS, MOST_OTHERS), newest=True
        )
        rows = [
            {
                "instType": "SWAP",
                "instId": self.name_of(reel.contract),
                "fundingRate": f"{rate:.8f}",
                "realizedRate": f"{rate:.8f}",
                "fundingTime": str(at // MILLISECOND),
                "method": "current_period",
            }
            for at, rate in found
        ]
        return _data(rows[::-1])

    def _open_interest(self, request: Request) -> object:
        reel = self.reel(request.params.get("instId"))
        every = _length(request.params.get("period", "5m"))
        on_period = reel.open_interest.at % every == 0
        sampled = Samples(reel.open_interest.at[on_period], reel.open_interest.value[on_period])
        found = self._window(request, sampled, "begin", "end")
        newest = found.tail(count(request, "limit", MOST_OTHERS, MOST_OTHERS), newest=True)
        rows: list[list[str]] = []
        for at, value in newest:
            held = amounts(reel.contract, value, reel.price("trade", at))
            rows.append([str(at // MILLISECOND), *(f"{amount:.8f}" for amount in held)])
        return _data(rows[::-1])

    def _window(self, request: Request, samples: Samples, first: str, last: str) -> Samples:
        end = min(until(instant(request, last)), self.world.now() + 1)
        return samples.between((instant(request, first) or -1) + 1, end)


def _length(bar: str) -> int:
    length = LENGTHS.get(bar.lower().removesuffix("utc"))
    if length is None:
        raise Refused(200, {"code": "51000", "msg": "Parameter bar error", "data": []})
    return length


def _data(rows: object) -> Record:
    return {"code": "0", "msg": "", "data": rows}


def _row(contract: Contract, kind: Price, opened_at: int, values: list[float], *, closes: bool) -> list[str]:
    texts = prices(values, contract, exact=kind == "trade")
    held = amounts(contract, values[VOLUME], values[CLOSE]) if kind == "trade" else ()
    return [str(opened_at // MILLISECOND), *texts, *(f"{amount:.8f}" for amount in held), str(int(closes))]


class OKXSession(BarSession):
    """Channels like candle1m of an instrument."""

    def __init__(self, venue: OKX) -> None:
        super().__init__(venue.world)
        self._venue = venue

    def receive(self, text: str) -> list[Frame]:
        if text == "ping":
            return ["pong"]
        wanted: dict[str, Any] = json.loads(text)
        answers: list[Frame] = []
        for topic in wanted["args"]:
            length = _length(topic["channel"].removeprefix("candle"))
            self.follow(json.dumps(topic), self._venue.reel(topic["instId"]), length)
            answers.append(json.dumps({"event": wanted["op"], "arg": topic, "connId": "a4d3ae55"}))
        return answers

    def tell(self, topic: str, reel: Reel, told: Told) -> Frame:
        opened_at, values = int(told.bar.opened_at[0]), told.bar.values[0].tolist()
        row = _row(reel.contract, "trade", opened_at, values, closes=told.closes)
        return json.dumps({"arg": json.loads(topic), "data": [row]})
