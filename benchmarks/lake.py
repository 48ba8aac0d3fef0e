"""How fast the lake writes and reads five years of one-minute bars, beside plain polars with the same compression.

    python benchmarks/lake.py

Best of some runs each. The lake hashes rows when it writes and verifies their checksum when it reads.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from longshort.base.clock import MINUTE, Interval, parse_instant
from longshort.base.window import Window
from longshort.data.certificate.certify import check_series
from longshort.data.lake import INSTANT, Lake, Series
from longshort.data.staging import Staging

BARS = 2_600_000
PAGE = 16 * 499  # rows of one stretch of a fetch
FIRST_AT = parse_instant("2020-01-01")
SERIES = Series.bars("bench", Interval(MINUTE), "BTCUSDT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    rows = minutes(options.bars, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        lake, path = Lake(Path(folder)), Path(folder) / "plain.parquet"
        ways: dict[str, Callable[[], object]] = {
            "lake writes": lambda: lake.write(SERIES, rows),
            "polars writes": lambda: rows.write_parquet(path, compression="zstd"),
            "lake reads": lambda: lake.read(SERIES),
            "lake reads, unverified": lambda: lake.read(SERIES, verify=False),
            "polars reads": lambda: pl.read_parquet(path, memory_map=False),
            "lake joins a day": lambda: lake.merge(SERIES, rows[-1440:]),
            "certificate": lambda: check_series(lake, SERIES),
        }
        for name, way in ways.items():
            report(name, way, options.bars, options.runs)
        report("stretches folded", lambda: fold(lake, rows), options.bars, 1)


def fold(lake: Lake, rows: pl.DataFrame) -> None:
    """What a fetch does: one file per stretch, then all of them into the series."""
    staging = Staging(lake, Series.bars("bench", Interval(MINUTE), "ETHUSDT"))
    at = rows["opened_at"].to_physical() * 1_000_000
    for first in range(0, len(rows), PAGE):
        last = min(first + PAGE, len(rows))
        staging.put([Window(int(at[first]), int(at[last - 1]) + MINUTE)], rows[first:last])
    staging.fold()


def minutes(bars: int, rng: np.random.Generator) -> pl.DataFrame:
    """Prices on a tick of .1 and volumes on a lot of .001, as BTCUSDT has them."""
    close = 30_000.0 * np.exp(np.cumsum(4e-4 * rng.standard_t(4, size=bars)))
    opened = np.concatenate([[30_000.0], close[:-1]])
    wick = 1.0 + 4e-4 * np.abs(rng.standard_normal((2, bars)))
    prices = opened, np.maximum(opened, close) * wick[0], np.minimum(opened, close) / wick[1], close
    at = (FIRST_AT + MINUTE * np.arange(bars, dtype=np.int64)) // 1_000_000
    return pl.DataFrame(
        {
            "opened_at": pl.Series(at).cast(INSTANT),
            **dict(zip(("open", "high", "low", "close"), (np.round(p, 1) for p in prices), strict=True)),
            "volume": np.round(rng.gamma(1.0, 50.0, bars), 3),
        }
    )


def report(name: str, way: Callable[[], object], bars: int, runs: int) -> None:
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        way()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    print(
        f"{name:<24} {min(walls):>6.2f} s {min(cpus):>6.2f} cpu-s {bars / min(walls) / 1e6:>8.2f} million rows/s"
    )


if __name__ == "__main__":
    main()
