"""How fast features are made: a million one-minute bars at once, and fifty coins bar by bar. Run it as a script.

The million bars are real where the real minutes lie beside the repository, else simulated; features are the default
set for these bars, and the whole catalog. The peer is pandas over whole columns, for what both can say: rolling means,
deviations, extremes and medians, and an EWMA.
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from longshort.base.clock import MINUTE, Interval
from longshort.base.instrument import Instrument
from longshort.data.bars import Bars
from longshort.data.funding import Settlements
from longshort.data.grid import assemble
from longshort.data.simulator import simulate_market
from longshort.features.catalog import DEFAULT_FAMILIES, FEATURES, names_on_record
from longshort.features.history import History
from longshort.features.panel import FeatureStream

REAL = Path(__file__).parents[2] / "shared" / "data" / "raw" / "bitfinex_BTCUSD_spot_1m_2018_2019_raw.parquet"
BARS = 1_000_000
COINS, WARM_BARS, STEPS = 50, 3_000, 1_000
WINDOWS = (24, 168, 720)


def a_million_minutes() -> Bars:
    if not REAL.is_file():
        bars = simulate_market(1, BARS, seed=1).bars
        return replace(
            bars, interval=Interval(MINUTE), closed_at=bars.closed_at[0] + MINUTE * np.arange(BARS)
        )
    coin = Instrument(
        symbol="BTCUSD", venue="bitfinex", base="BTC", quote="USD", settle="USD", tick=Decimal("0.1"),
        lot=Decimal("0.00000001"), has_funding=False,
    )  # fmt: skip
    rows = pl.read_parquet(REAL).rename({"ts": "opened_at"})
    nothing = Settlements(settled_at=np.empty(0, dtype=np.int64), rate=np.empty(0))
    return assemble(Interval(MINUTE), [coin], [rows], [nothing])[:BARS]


def chosen(bars: Bars, which: str) -> tuple[str, ...]:
    """The default set, every family's chosen features, or the whole catalog."""
    if which == "catalog":
        return tuple(FEATURES)
    every = which == "families"
    return tuple(n for n in names_on_record(bars) if every or FEATURES[n].family in DEFAULT_FAMILIES)


def batch(which: str) -> None:
    """One coin's million bars; what is compiled is loaded before."""
    bars = a_million_minutes()
    names = chosen(bars, which)
    FeatureStream(bars.symbols, names).extend(bars[:2_000])
    started_at, cpu_at = time.perf_counter(), time.process_time()
    FeatureStream(bars.symbols, names).extend(bars)
    wall, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(bars):,} minutes x {len(names)} features ({which}): "
          f"{wall:.2f} s wall, {cpu:.2f} s cpu, peak {memory:,.0f} MB")  # fmt: skip


def stream(which: str) -> None:
    """Fifty coins, one bar at a time."""
    bars = simulate_market(COINS, WARM_BARS + STEPS, seed=1).bars
    names = chosen(bars, which)
    features = FeatureStream(bars.symbols, names)
    features.extend(bars[:WARM_BARS])
    features.extend(bars[WARM_BARS : WARM_BARS + 1])
    took: list[float] = []
    for row in range(WARM_BARS + 1, len(bars)):
        started_at = time.perf_counter()
        features.extend(bars[row : row + 1])
        took.append(1e3 * (time.perf_counter() - started_at))
    print(f"a bar of {COINS} coins x {len(names)} features ({which}): "
          f"{np.median(took):.1f} ms median, {np.quantile(took, 0.99):.1f} ms p99")  # fmt: skip


def peer() -> None:
    """The operators against pandas', on one column of a million rows."""
    import pandas as pd

    values = np.random.default_rng(0).standard_normal((BARS, 1))
    series = pd.Series(values[:, 0])
    operators: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
        "mean": (lambda n: History(1).mean("x", values, n), lambda n: series.rolling(n).mean()),
        "std": (lambda n: History(1).std("x", values, n), lambda n: series.rolling(n).std(ddof=0)),
        "maximum": (lambda n: History(1).maximum("x", values, n), lambda n: series.rolling(n).max()),
        "ewma": (lambda n: History(1).ewma("x", values, n), lambda n: series.ewm(halflife=n).mean()),
        "median and IQR": (
            lambda n: History(1).median_iqr("x", values, n),
            lambda n: (series.rolling(n).median(), series.rolling(n).quantile(0.25), series.rolling(n).quantile(0.75)),
        ),
    }  # fmt: skip
    print(f"{'':16}{'rows':>6}{'ours, ms':>10}{'pandas, ms':>12}{'ratio':>7}")
    for name, (ours, theirs) in operators.items():
        ours(WINDOWS[0])
        for rows in WINDOWS:
            mine, other = _milliseconds(lambda: ours(rows)), _milliseconds(lambda: theirs(rows))  # noqa: B023
            print(f"{name:16}{rows:6}{mine:10.0f}{other:12.0f}{mine / other:7.2f}")


def _milliseconds(work: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started_at)


def main() -> None:
    for part in (
        *[(kind, which) for kind in (batch, stream) for which in ("default", "families", "catalog")],
        (peer,),
    ):
        process = get_context("spawn").Process(target=part[0], args=part[1:])
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
