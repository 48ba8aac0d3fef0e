"""Tapes: a quick random walk by the minute, the simulated market, or series of a lake."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from longshort.base.instrument import lake_symbol
from longshort.data.lake import Lake, Series
from longshort.data.simulator import simulate_market
from tests.loopback.candles import MINUTE, Candles
from tests.loopback.tape import Contract, Price, Reel, Samples, Tape

HOUR = 60 * MINUTE
START_AT = 1_700_006_400 * 10**9  # 2023-11-15 00:00Z
BTC = Contract(base="BTC")
ETH = Contract(base="ETH", tick=Decimal("0.01"))
BTC_INVERSE = Contract(
    base="BTC", quote="USD", settle="BTC", lot=Decimal(1), size=Decimal(100), min_notional=Decimal(0)
)


def random_walk(
    contracts: Sequence[Contract] = (BTC, ETH),
    bars: int = 3_000,
    *,
    start_at: int = START_AT,
    seed: int = 1,
    interval: int = MINUTE,
) -> Tape:
    """Bars that wander by half a basis point or so a second, between each contract's listing and delisting."""
    rng = np.random.default_rng(seed)
    opened_at = start_at + interval * np.arange(bars, dtype=np.int64)
    return Tape(tuple(_wandering(contract, opened_at, interval, rng) for contract in contracts))


def simulated(coins: int = 2, bars: int = 500, *, seed: int = 1) -> Tape:
    """The embedded market's hourly coins SIM01/USDT:USDT, SIM02/USDT:USDT and so on, with its funding."""
    market = simulate_market(coins, bars, seed=seed).bars
    opened_at = market.closed_at - HOUR
    reels: list[Reel] = []
    for coin, instrument in enumerate(market.instruments):
        contract = Contract(base=instrument.base, tick=instrument.tick, lot=instrument.lot)
        columns = (market.open, market.high, market.low, market.close, market.volume)
        candles = Candles(HOUR, opened_at, np.column_stack([column[:, coin] for column in columns]))
        settled = ~np.isnan(market.funding_rate[:, coin])
        funding = Samples(market.closed_at[settled], market.funding_rate[settled, coin])
        reels.append(Reel(contract=contract, prices=_three(candles, contract), funding=funding))
    return Tape(tuple(reels))


def from_lake(lake: Lake, venue: str, contracts: Sequence[Contract], interval: str = "1m") -> Tape:
    """What a lake holds of some contracts: bars, mark, index, funding and open interest where they are.

    A contract's tick and lot must be as fine as the stored values: answers are rounded to them.
    """
    return Tape(tuple(_stored(lake, venue, contract, interval) for contract in contracts))


def _wandering(
    contract: Contract, opened_at: Int64[np.ndarray, " time"], interval: int, rng: np.random.Generator
) -> Reel:
    alive = (opened_at >= contract.listed_at) & (opened_at + interval <= contract.delisted_at)
    count = len(opened_at)
    scale = 4e-4 * np.sqrt(interval / MINUTE)
    close = 40_000.0 * float(contract.tick) * 10 * np.exp(np.cumsum(scale * rng.standard_normal(count)))
    opened = np.concatenate([close[:1], close[:-1]])
    spread = scale * np.abs(rng.standard_normal((2, count)))
    high, low = np.maximum(opened, close) * (1 + spread[0]), np.minimum(opened, close) * (1 - spread[1])
    prices = _on_tick(np.column_stack([opened, high, low, close]), contract)
    volume = np.round(rng.exponential(50.0, count) + 0.001, 3)
    candles = Candles(
        interval, opened_at, np.column_stack([prices, np.ceil(volume) if contract.inverse else volume])
    )
    return Reel(
        contract=contract,
        prices=_three(candles[alive], contract),
        funding=_funding(opened_at[alive], contract, rng),
        open_interest=_open_interest(opened_at[alive], rng),
    )


def _three(candles: Candles, contract: Contract) -> dict[Price, Candles]:
    """Mark and index prices beside the traded ones: a basis point below and above, without volume."""
    return {
        "trade": candles,
        "mark": _scaled(candles, 1 - 1e-4),
        "index": _scaled(candles, 1 + 1e-4),
    }


def _scaled(candles: Candles, factor: float) -> Candles:
    values = np.round(candles.values * factor, 8)
    values[:, 4] = 0.0
    return Candles(candles.interval, candles.opened_at, values)


def _on_tick(
    price: Float64[np.ndarray, "time value"], contract: Contract
) -> Float64[np.ndarray, "time value"]:
    per_unit = float(1 / contract.tick)
    return np.round(np.round(price * per_unit) / per_unit, contract.price_decimals)


def _funding(opened_at: Int64[np.ndarray, " time"], contract: Contract, rng: np.random.Generator) -> Samples:
    every = contract.funding_hours * HOUR
    settled_at = opened_at[opened_at % every == 0]
    return Samples(settled_at, np.round(1e-4 + 5e-5 * rng.standard_normal(len(settled_at)), 8))


def _open_interest(opened_at: Int64[np.ndarray, " time"], rng: np.random.Generator) -> Samples:
    sampled_at = opened_at[opened_at % (5 * MINUTE) == 0]
    return Samples(sampled_at, np.round(80_000 + np.cumsum(rng.standard_normal(len(sampled_at))), 3))


def _stored(lake: Lake, venue: str, contract: Contract, interval: str) -> Reel:
    symbol = lake_symbol(contract.name)
    candles = _candles(lake.read(Series(venue, f"bars-{interval}", symbol)))
    prices = _three(candles, contract)
    for kind in ("mark", "index"):
        series = Series(venue, f"{kind}-{interval}", symbol)
        if lake.path(series).is_file():
            prices[kind] = _candles(lake.read(series))
    funding, interest = (
        _samples(lake, Series(venue, kind, symbol)) for kind in ("funding", "open-interest-1h")
    )
    return Reel(contract=contract, prices=prices, funding=funding, open_interest=interest)


def _samples(lake: Lake, series: Series) -> Samples:
    if not lake.path(series).is_file():
        return Samples.none()
    rows = lake.read(series)
    return Samples(_instants(rows), rows.get_columns()[1].to_numpy())


def _candles(rows: pl.DataFrame) -> Candles:
    opened_at = _instants(rows)
    values = rows.drop("opened_at").to_numpy()
    whole = np.zeros((len(values), 5))
    whole[:, : values.shape[1]] = values
    return Candles(int(np.diff(opened_at).min()), opened_at, whole)


def _instants(rows: pl.DataFrame) -> Int64[np.ndarray, " time"]:
    return rows.get_columns()[0].to_physical().to_numpy().astype(np.int64) * 10**6
