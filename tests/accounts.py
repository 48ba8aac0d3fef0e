"""Small markets and wishes for tests of money."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from longshort.base.clock import DAY, HOUR, Interval
from longshort.base.instrument import Instrument
from longshort.data.bars import Bars
from longshort.data.funding import Settlements
from longshort.data.instruments import infer_instrument
from longshort.data.market import assemble
from longshort.policy.exposure import Exposure

FIRST_CLOSED_AT = 20_000 * DAY
SPECS = (  # symbol, tick, lot, contract size, first price
    ("BTCUSDT", "0.1", "0.001", "1", 50_000.0),
    ("DOGEUSDT", "0.00001", "1", "1", 0.1),
    ("XRPUSDT", "0.0001", "0.1", "1", 0.5),
    ("ODDUSDT", "0.05", "0.25", "10", 600.0),
)


def coin(
    symbol: str = "AAAUSDT",
    *,
    tick: str = "0.1",
    lot: str = "0.1",
    size: str = "1",
    minimum: str = "5",
    inverse: bool = False,
) -> Instrument:
    return Instrument(
        symbol=symbol,
        venue="test",
        base=symbol[:-4],
        quote="USDT",
        settle=symbol[:-4] if inverse else "USDT",
        tick=Decimal(tick),
        lot=Decimal(lot),
        min_notional=Decimal(minimum),
        contract_size=Decimal(size),
        inverse=inverse,
    )


def market(
    instruments: list[Instrument],
    opens: np.ndarray,
    closes: np.ndarray,
    *,
    rate: np.ndarray | None = None,
    listed: np.ndarray | None = None,
    covered: np.ndarray | None = None,
) -> Bars:
    """Hourly bars; NaN closes are absent ones."""
    everywhere = np.ones(closes.shape, dtype=bool)
    return Bars(
        venue="test",
        interval=Interval(HOUR),
        instruments=tuple(instruments),
        closed_at=FIRST_CLOSED_AT + HOUR * np.arange(len(closes), dtype=np.int64),
        open=opens,
        high=np.fmax(opens, closes),
        low=np.fmin(opens, closes),
        close=closes,
        volume=np.ones(closes.shape),
        present=~np.isnan(closes),
        listed=everywhere if listed is None else listed,
        funding_rate=np.full(closes.shape, np.nan) if rate is None else rate,
        funding_covered=everywhere if covered is None else covered,
    )


def random_market(rows: int, coins: int, rng: np.random.Generator, *, absent: float = 0.03) -> Bars:
    """Ten basis points to one percent an hour, eight-hourly funding of both signs, a few bars missing."""
    instruments, paths = [], []
    for asset in range(coins):
        symbol, tick, lot, size, price = SPECS[asset % len(SPECS)]
        name = symbol if asset < len(SPECS) else f"C{asset}USDT"
        instruments.append(coin(name, tick=tick, lot=lot, size=size))
        walk = price * np.exp(np.cumsum(rng.normal(0, 0.005, 2 * rows)))
        decimals = -Decimal(tick).as_tuple().exponent
        paths.append(np.round(np.round(walk / float(tick)) * float(tick), decimals))
    opens, closes = np.stack(paths, axis=1)[0::2].copy(), np.stack(paths, axis=1)[1::2].copy()
    gone = rng.random(closes.shape) < absent
    opens[gone] = closes[gone] = np.nan
    rate = np.full(closes.shape, np.nan)
    rate[::8] = rng.normal(0, 1e-4, rate[::8].shape).round(8)
    return market(instruments, opens, closes, rate=rate)


def random_wishes(
    bars: Bars, rng: np.random.Generator, *, share: float = 0.3, scale: float = 0.5
) -> Exposure:
    """Wishes for a share of the closes: long, short, often flat, to three decimals."""
    target = rng.normal(0, scale, bars.close.shape).round(3)
    target[rng.random(target.shape) < 0.15] = 0.0
    target[rng.random(target.shape) >= share] = np.nan
    return wishes(bars, target)


def wishes(bars: Bars, target: np.ndarray) -> Exposure:
    return Exposure(closed_at=bars.closed_at, symbols=bars.symbols, target=target)


def real_market(folder: Path, symbols: tuple[str, ...], rows: int) -> Bars:
    """The first hourly bars of real perpetuals, with their funding."""
    tables = [
        pl.read_parquet(folder / "ohlcv_1h" / f"binance_{s}_perp_1h.parquet")
        .head(rows)
        .rename({"ts": "opened_at"})
        for s in symbols
    ]
    settled = [pl.read_parquet(folder / "funding" / f"binance_{s}_funding.parquet") for s in symbols]
    return assemble(
        Interval(HOUR),
        [infer_instrument("binanceusdm", s, t) for s, t in zip(symbols, tables, strict=True)],
        tables,
        [
            Settlements(settled_at=f["ts"].to_physical().to_numpy() * 1_000_000, rate=f["rate"].to_numpy())
            for f in settled
        ],
    )
