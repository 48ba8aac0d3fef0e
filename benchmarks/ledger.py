"""How fast money is booked: the compiled ledger, and the backtest on NautilusTrader. Run it as a script.

With the path of a Python that has vectorbt as its argument, the same signals are booked there too, in one account with
the same costs; vectorbt knows no lots, funding, margin or liquidation.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from longshort.base.instrument import AccountTerms, Costs, MaintenanceTier
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import NO_MARGIN, Ledger, run_ledger
from longshort.trading.backtest import backtest

COINS, ROWS, ENGINE_ROWS = 9, 60_000, 6_000
SHARES = (0.0, 0.01, 0.1)  # of closes with a wish
REPEATS = 5  # the fastest counts: others use the machine too
TIERS = (
    MaintenanceTier(from_notional=0.0, to_notional=5e4, maintenance_rate=0.004, max_leverage=125.0),
    MaintenanceTier(
        from_notional=5e4,
        to_notional=np.inf,
        maintenance_rate=0.005,
        maintenance_amount=50.0,
        max_leverage=100.0,
    ),
)
ACCOUNTS = (NO_MARGIN, *(AccountTerms(margin=mode, leverage=5.0) for mode in ("isolated", "cross")))
VECTORBT = """
import sys, time
import numpy as np, vectorbt as vbt
told = np.load(sys.argv[1])
def simulated():
    return vbt.Portfolio.from_orders(
        told["close"], size=told["target"], size_type="targetpercent", price=told["open"],
        val_price=told["sized_at"], fees=0.0005, slippage=0.0001, init_cash=1e5, cash_sharing=True,
        group_by=True, freq="1h",
    )
def read(): # what a ledger is: equity, cash, positions and fills
    made = simulated()
    return made.value(), made.cash(), made.assets(), made.orders.records_readable
for name, run in (("from_orders alone", simulated), ("and its record", read)):
    run()
    taken = []
    for _ in range(int(sys.argv[2])):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        taken.append((time.process_time() - cpu, time.perf_counter() - wall))
    print(name, *min(taken), len(simulated().orders.records), sep="|")
"""


def wishes(bars: Bars, share: float) -> Exposure:
    rng = np.random.default_rng(0)
    target = np.where(rng.random(bars.close.shape) < share, rng.normal(0, 0.1, bars.close.shape), np.nan)
    return Exposure(closed_at=bars.closed_at, symbols=bars.symbols, target=target)


def tell(name: str, updates: int, fills: int, cpu: float, wall: float) -> None:
    print(
        f"{name:<34} {updates:>9,} bars {fills:>7,} fills {wall:>7.3f} s {cpu:>7.3f} cpu-s "
        f"{updates / wall:>12,.0f} bars/s {updates / cpu:>12,.0f} bars/cpu-s  load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def measure(name: str, bars: Bars, book: Callable[[], Ledger], repeats: int = REPEATS) -> None:
    ledger, taken = book(), []
    for _ in range(repeats):
        started_at, cpu_at = time.perf_counter(), time.process_time()
        book()
        taken.append((time.process_time() - cpu_at, time.perf_counter() - started_at))
    tell(name, bars.close.size, ledger.trades, *min(taken))


def beside(python: str, bars: Bars, share: float) -> None:
    """The same wishes in vectorbt: sized at one close, filled at the next open."""
    before = np.full((1, len(bars.symbols)), np.nan)
    told = {
        "close": bars.close,
        "open": bars.open,
        "target": np.concatenate([before, wishes(bars, share).target[:-1]]),
        "sized_at": np.concatenate([bars.open[:1], bars.close[:-1]]),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "told.npz"
        np.savez(path, **told)
        command = [python, "-W", "ignore", "-c", VECTORBT, str(path), str(REPEATS)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        name, cpu, wall, fills = line.split("|")
        tell(f"vectorbt, {share:.0%} wishes, {name}", bars.close.size, int(fills), float(cpu), float(wall))


def main() -> None:
    started_at = time.perf_counter()
    bars = simulate_market(COINS, ROWS, seed=1).bars
    bars = replace(bars, instruments=tuple(replace(i, tiers=TIERS) for i in bars.instruments))
    print(f"{COINS} coins, {ROWS:,} rows simulated in {time.perf_counter() - started_at:.1f} s")
    started_at = time.perf_counter()
    run_ledger(bars[:10], wishes(bars[:10], 0.0), Costs())
    print(f"first ledger, compiled or read from numba's cache: {time.perf_counter() - started_at:.1f} s")
    some = bars[:ENGINE_ROWS]
    for share in SHARES:
        every, few = wishes(bars, share), wishes(some, share)
        for account in ACCOUNTS:
            name = f"ledger, {share:.0%} wishes, margin {account.margin}"
            measure(name, bars, lambda w=every, a=account: run_ledger(bars, w, Costs(), account=a))
        for python in sys.argv[1:2]:
            beside(python, bars, share)
        name = f"backtest, {share:.0%} wishes"
        measure(name, some, lambda w=few: backtest(some, Script(w), Costs()), repeats=1)


if __name__ == "__main__":
    main()
