"""How fast money is booked: the compiled ledger, and the backtest on NautilusTrader. Run it as a script."""

import time
from collections.abc import Callable

import numpy as np

from longshort.base.instrument import Costs
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.trading.backtest import backtest

COINS, ROWS, ENGINE_ROWS = 9, 60_000, 6_000
SHARES = (0.0, 0.01, 0.1)  # of closes with a wish


def wishes(bars: Bars, share: float) -> Exposure:
    rng = np.random.default_rng(0)
    target = np.where(rng.random(bars.close.shape) < share, rng.normal(0, 0.1, bars.close.shape), np.nan)
    return Exposure(closed_at=bars.closed_at, symbols=bars.symbols, target=target)


def measure(name: str, bars: Bars, book: Callable[[], Ledger]) -> None:
    book()
    started_at, cpu_at = time.perf_counter(), time.process_time()
    ledger = book()
    wall, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
    updates = bars.close.size
    print(
        f"{name:<28} {updates:>9,} bars {ledger.trades:>7,} fills {wall:>7.2f} s "
        f"{updates / wall:>12,.0f} bars/s {updates / cpu:>12,.0f} bars/cpu-s"
    )


def main() -> None:
    started_at = time.perf_counter()
    bars = simulate_market(COINS, ROWS, seed=1).bars
    print(f"{COINS} coins, {ROWS:,} rows simulated in {time.perf_counter() - started_at:.1f} s")
    started_at = time.perf_counter()
    run_ledger(bars[:10], wishes(bars[:10], 0.0), Costs())
    print(f"first ledger, compiled or read from numba's cache: {time.perf_counter() - started_at:.1f} s")
    some = bars[:ENGINE_ROWS]
    for share in SHARES:
        every, few = wishes(bars, share), wishes(some, share)
        measure(f"ledger, {share:.0%} wishes", bars, lambda w=every: run_ledger(bars, w, Costs()))
        measure(f"backtest, {share:.0%} wishes", some, lambda w=few: backtest(some, Script(w), Costs()))


if __name__ == "__main__":
    main()
