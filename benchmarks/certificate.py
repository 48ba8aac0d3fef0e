"""How fast a certificate is made: 2.6 million one-minute bars, and what it takes of memory. Run it as a script."""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from longshort.base.clock import MINUTE, Interval, parse_instant
from longshort.data.certificate.certify import check_series
from longshort.data.files.rules import MILLISECOND
from longshort.data.lake import INSTANT, Lake, Series

BARS = 2_600_000
STEP = 0.0004  # of a minute's move, as a fraction
FIRST_AT = parse_instant("2020-01-01")


def minutes(bars: int, rng: np.random.Generator) -> pl.DataFrame:
    """A random walk with the texture of traded minutes: opens at the close before, wicks, volume."""
    close = 30_000.0 * np.exp(np.cumsum(STEP * rng.standard_t(4, size=bars)))
    opened = np.concatenate([[30_000.0], close[:-1]])
    wick = 1.0 + STEP * np.abs(rng.standard_normal((2, bars)))
    instants = (FIRST_AT + MINUTE * np.arange(bars, dtype=np.int64)) // MILLISECOND
    return pl.DataFrame(
        {
            "opened_at": pl.Series(instants).cast(INSTANT),
            "open": opened,
            "high": np.maximum(opened, close) * wick[0],
            "low": np.minimum(opened, close) / wick[1],
            "close": close,
            "volume": np.exp(rng.standard_normal(bars)),
        }
    )


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake, series = Lake(Path(folder)), Series.bars("bench", Interval(MINUTE), "BTCUSDT")
        lake.write(series, minutes(BARS, np.random.default_rng(0)))
        before = memory_mb()
        for _ in range(3):
            started_at, cpu_at = time.perf_counter(), time.process_time()
            found = check_series(lake, series)
            wall, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
            print(
                f"{found.rows:,} bars {found.grade}: {wall:.2f} s wall, {cpu:.2f} s cpu, {BARS / wall:,.0f} bars/s"
            )
        print(f"memory: {memory_mb() - before:,.0f} MB beyond the {before:,.0f} MB that making the bars took")


if __name__ == "__main__":
    main()
