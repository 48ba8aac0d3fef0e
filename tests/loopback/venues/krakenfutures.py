"""Kraken futures: charts by path, oldest first between `from` and `to` in seconds, 2000 candles at most.

Linear contracts are called PF_, inverse ones PI_, Bitcoin is XBT. Funding history comes whole, in absolute and in
relative rates. The index is called spot.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from tests.loopback.candles import VOLUME
from tests.loopback.tape import Contract, Price
from tests.loopback.venue import Route, Session
from tests.loopback.venues.plain import LENGTHS, PlainVenue, prices
from tests.loopback.wire import Record, Refused, Request

KINDS: dict[str, Price] = {"trade": "trade", "mark": "mark", "spot": "index"}
INTERVALS = ("1m", "5m", "15m", "30m", "1h", "4h", "12h", "1d", "1w")
CHARTS = "/api/charts/v1/"
MOST_BARS = 2_000
SECOND = 10**9


class KrakenFutures(PlainVenue):
    """Public market data."""

    hosts = ("futures.kraken.com",)
    coins: ClassVar[Mapping[str, str]] = {"BTC": "XBT"}

    def table(self) -> dict[tuple[str, str], Route]:
        return {
            ("GET", "/derivatives/api/v3/instruments"): lambda request: self._instruments(),
            ("GET", "/derivatives/api/v4/historicalfundingrates"): self._funding,
        }

    def route(self, request: Request) -> Route | None:
        return self._charts if request.path.startswith(CHARTS) else super().route(request)

    def name_of(self, contract: Contract) -> str:
        coin = self.coins.get(contract.base, contract.base)
        return f"{'PI' if contract.inverse else 'PF'}_{coin}{contract.quote}"

    def stranger(self, name: str) -> Exception:
        return Refused(
            400, {"result": "error", "error": "invalidArgument: symbol", "serverTime": self._clock()}
        )

    def dial(self, request: Request) -> Session:
        """Candles are not streamed."""
        raise Refused(404, {})

    def _clock(self) -> str:
        return _written(self.world.now())

    def _instruments(self) -> object:
        rows = [
            {
                "symbol": self.name_of(reel.contract),
                "type": "futures_inverse" if reel.contract.inverse else "flexible_futures",
                "tickSize": float(reel.contract.tick),
                "contractSize": float(reel.contract.size),
                "tradeable": self.is_trading(reel.contract),
                "openingDate": _written(reel.contract.listed_at),
                "contractValueTradePrecision": reel.contract.lot_decimals,
                "fundingRateCoefficient": 24 // reel.contract.funding_hours,
                "maxRelativeFundingRate": 0.0025,
                "marginLevels": [{"contracts": 0, "initialMargin": 0.02, "maintenanceMargin": 0.01}],
                "base": reel.contract.base,
                "quote": reel.contract.quote,
            }
            for reel in self.reels()
        ]
        return {"result": "success", "instruments": rows, "serverTime": self._clock()}

    def _charts(self, request: Request) -> object:
        word, name, interval = request.path.removeprefix(CHARTS).split("/")
        if word not in KINDS or interval not in INTERVALS:
            raise Refused(404, {"errors": [{"message": "not found"}]})
        reel, kind, length = self.reel(name), KINDS[word], LENGTHS[interval]
        now, params = self.world.now(), request.params
        to_at = int(params["to"]) * SECOND if "to" in params else now
        from_at = int(params["from"]) * SECOND if "from" in params else to_at - MOST_BARS * length
        page = reel.shown(kind, length, now, (from_at, to_at + 1))
        picked = request.spoil(page.first(MOST_BARS))
        candles: list[Record] = []
        for at, values in zip(picked.opened_at.tolist(), picked.values.tolist(), strict=True):
            texts = prices(values, reel.contract, exact=kind == "trade")
            bar: Record = dict(zip(("open", "high", "low", "close"), texts, strict=True))
            candles.append({"time": at // 10**6, **bar, "volume": f"{values[VOLUME]:.8f}"})
        return {"candles": candles, "more_candles": len(page) > MOST_BARS}

    def _funding(self, request: Request) -> object:
        reel = self.reel(request.params.get("symbol"))
        settled = reel.funding.between(0, self.world.now() + 1)
        rates = [
            {
                "timestamp": _written(at),
                "fundingRate": rate * reel.price("mark", at),
                "relativeFundingRate": rate,
            }
            for at, rate in settled
        ]
        return {"result": "success", "serverTime": self._clock(), "rates": rates}


def _written(instant: int) -> str:
    moment = datetime.fromtimestamp(instant // 10**6 / 1000, UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
