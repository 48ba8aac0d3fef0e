"""Binance's request weight: so much per minute of the machine's time, then 429, and 418 for who goes on."""

import time
from collections.abc import Mapping

from tests.loopback.wire import Refused

MINUTE = 60.0
PATIENCE = 10  # refused requests before the address is banned
BAN_SECONDS = 120

BY_LIMIT = ((100, 1), (500, 2), (1_001, 5), (10_000, 10))  # klines: below so many rows
DEPTH = ((51, 2), (101, 5), (501, 10), (1_001, 20))
FLAT = {
    "ticker/24hr": 1,
    "trades": 5,
    "balance": 5,
    "account": 5,
    "positionRisk": 5,
    "userTrades": 5,
    "income": 30,
}


def weight_of(name: str, params: Mapping[str, str]) -> int:
    """What a request costs; `name` is its path after the version."""
    if "Klines" in name or name == "klines":
        return _step(BY_LIMIT, int(params.get("limit", 500)))
    if name == "depth":
        return _step(DEPTH, int(params.get("limit", 500)))
    if name in ("ticker/24hr", "openOrders") and "symbol" not in params:
        return 40
    return FLAT.get(name, 1)


def _step(table: tuple[tuple[int, int], ...], limit: int) -> int:
    return next((weight for below, weight in table if limit < below), 10)


class Meter:
    """Counts the weight of each minute; `per_minute` may be changed at any time."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.used = 0
        self.banned_until = 0.0
        self._minute = 0
        self._refused = 0

    def spend(self, weight: int) -> dict[str, str]:
        """The headers that tell what is spent; raise `Refused` where it is too much."""
        now = time.time()
        if now < self.banned_until:
            raise self._ban()
        if self._minute != int(now // MINUTE):
            self._minute, self.used, self._refused = int(now // MINUTE), 0, 0
        if self.used + weight > self.per_minute:
            self._refused += 1
            if self._refused > PATIENCE:
                self.banned_until = now + BAN_SECONDS
                raise self._ban()
            wait = int(MINUTE - now % MINUTE) + 1
            message = (
                f"Too many requests; current limit of IP(127.0.0.1) is {self.per_minute} requests per minute."
            )
            raise Refused(429, {"code": -1003, "msg": message}, self._headers() | {"Retry-After": str(wait)})
        self.used += weight
        return self._headers()

    def _headers(self) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self.used)}

    def _ban(self) -> Refused:
        message = f"Way too many requests; IP(127.0.0.1) banned until {int(self.banned_until * 1000)}."
        wait = str(int(self.banned_until - time.time()) + 1)
        return Refused(418, {"code": -1003, "msg": message}, {"Retry-After": wait})
