"""What the loopback exchange knows: the whole past and future of its contracts, of which the clock shows a part.

Volume and open interest are in base coins for linear contracts and in contracts for inverse ones, as in the
lake. Trade, mark and index bars may start, end and have holes as they like: a hole is answered as a hole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from tests.loopback.candles import Candles, bar_start, price_within, range_within, unfinished

Price = Literal["trade", "mark", "index"]
FOREVER = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One perpetual or dated future; it is inverse where it settles in its base coin."""

    base: str
    quote: str = "USDT"
    settle: str = "USDT"
    tick: Decimal = Decimal("0.1")
    lot: Decimal = Decimal("0.001")
    size: Decimal = Decimal(1)
    min_notional: Decimal = Decimal(5)
    max_leverage: int = 125
    listed_at: int = 0
    delisted_at: int = FOREVER
    expires_at: int | None = None
    funding_hours: int = 8

    @cached_property
    def inverse(self) -> bool:
        """True where profit is paid in the base coin."""
        return self.settle == self.base

    @cached_property
    def name(self) -> str:
        """The unified symbol: BTC/USDT:USDT, or BTC/USDT:USDT-251226 where it expires."""
        ending = f"-{self.expires:%y%m%d}" if self.expires else ""
        return f"{self.base}/{self.quote}:{self.settle}{ending}"

    @property
    def expires(self) -> datetime | None:
        """The day of delivery; None for a perpetual."""
        return datetime.fromtimestamp(self.expires_at / 10**9, UTC) if self.expires_at else None

    @cached_property
    def price_decimals(self) -> int:
        """Digits after the point of a price."""
        return max(0, -int(self.tick.normalize().as_tuple().exponent))

    @cached_property
    def lot_decimals(self) -> int:
        """Digits after the point of a quantity."""
        return max(0, -int(self.lot.normalize().as_tuple().exponent))


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Values at instants in ns, ascending: funding rates, or open interest."""

    at: Int64[np.ndarray, " time"]
    value: Float64[np.ndarray, " time"]

    @classmethod
    def none(cls) -> "Samples":
        """Nothing on record."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0))

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(self.at.tolist(), self.value.tolist(), strict=True)

    def between(self, from_at: int, to_at: int) -> "Samples":
        """Those in [from_at, to_at)."""
        first, last = np.searchsorted(self.at, [from_at, to_at])
        return Samples(self.at[first:last], self.value[first:last])

    def tail(self, count: int, *, newest: bool) -> "Samples":
        """The last `count`, or the first."""
        rows = slice(max(len(self.at) - count, 0), None) if newest else slice(count)
        return Samples(self.at[rows], self.value[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class Reel:
    """All of one contract: bars by kind of price at the finest interval, funding, open interest."""

    contract: Contract
    prices: Mapping[Price, Candles]
    funding: Samples = field(default_factory=Samples.none)
    open_interest: Samples = field(default_factory=Samples.none)
    _wide: dict[tuple[Price, int], Candles] = field(default_factory=dict, repr=False)

    @property
    def trades(self) -> Candles:
        """Bars of traded prices."""
        return self.prices["trade"]

    def bars(self, kind: Price, interval: int) -> Candles:
        """All bars of the tape at an interval, the future included."""
        found = self._wide.get((kind, interval))
        if found is None:
            found = self._wide[kind, interval] = self.prices[kind].widen(interval)
        return found

    def shown(self, kind: Price, interval: int, now: int, window: tuple[int, int]) -> Candles:
        """What a venue shows at `now` of the bars that open in [from, to): closed ones and the unfinished one."""
        wide = self.bars(kind, interval)
        from_at, to_at = window
        closed = wide.between(from_at, min(to_at, now - interval + 1))
        start = int(bar_start(now, interval))
        if not from_at <= start < to_at:
            return closed
        current = self.current(kind, interval, now)
        return closed if current is None else closed + current

    def current(self, kind: Price, interval: int, now: int) -> Candles | None:
        """The unfinished bar at `now`; None where nothing of it has traded."""
        base = self.prices[kind]
        begun = base.between(int(bar_start(now, interval)), now + 1)
        if not len(begun):
            return None
        fraction = (now - int(begun.opened_at[-1])) / base.interval
        values = begun.values.copy()
        if fraction < 1.0:
            values[-1] = unfinished(values[-1], fraction, float(self.contract.tick))
        return Candles(base.interval, begun.opened_at, values).widen(interval)

    def price(self, kind: Price, now: int) -> float:
        """The price at an instant: inside a bar on its walk, in a hole and after the end the last close."""
        base = self.prices[kind]
        row = int(np.searchsorted(base.opened_at, now, side="right")) - 1
        if row < 0:
            return float(base.values[0, 0])
        fraction = min(1.0, (now - int(base.opened_at[row])) / base.interval)
        tick = float(self.contract.tick)
        return round(round(price_within(base.values[row], fraction) / tick) * tick, 8)

    def range(self, from_at: int, to_at: int) -> tuple[float, float]:
        """The lowest and highest price between two instants of one bar; nothing fits where none was traded."""
        base = self.trades
        row = int(np.searchsorted(base.opened_at, from_at, side="right")) - 1
        start, end = ((at - int(base.opened_at[row])) / base.interval for at in (from_at, to_at))
        if row < 0 or start >= 1.0:
            return np.inf, -np.inf
        return range_within(base.values[row], start, min(end, 1.0))

    def quotes(self, now: int) -> tuple[float, float]:
        """The best bid and ask: the last price, and a tick above it."""
        price = self.price("trade", now)
        return price, round(price + float(self.contract.tick), 8)


@dataclass(frozen=True, eq=False)
class Tape:
    """Reels by unified symbol."""

    reels: tuple[Reel, ...]

    def __getitem__(self, name: str) -> Reel:
        return next(reel for reel in self.reels if reel.contract.name == name)

    @property
    def first_at(self) -> int:
        """When the earliest bar opens."""
        return min(int(reel.trades.opened_at[0]) for reel in self.reels)

    @property
    def last_at(self) -> int:
        """When the latest bar closes."""
        return max(int(reel.trades.opened_at[-1]) + reel.trades.interval for reel in self.reels)
