"""From a bar's close to exposures: features, every network, the anchor and the policy, one closed row at a time.

    python benchmarks/decide.py [--coins 50] [--seeds 5] [--rows 500]

Training is left out: the networks are fitted for a few steps only, which changes nothing of what a step costs. Three
horizons, the default features and anchor, one thread.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from longshort.base.settings import Study
from longshort.policy.pilot import Pilot
from longshort.policy.steering import Steering
from longshort.study.market import Market, open_market
from longshort.study.money import rule_of
from longshort.study.run import job_cache
from longshort.study.walk import walk

WARM_UP = 20  # rows that compile and fill caches, not counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--coins", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=500)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        market = opened(asked.coins, asked.seeds, asked.rows, Path(folder))
        walked = walk(market, market.folds(), cache=job_cache(market.study))
    model = next(name for name in walked.forecasts if name.startswith("LSTM"))
    start = walked.tested.start
    pilot = walked.pilot(market, model, Steering(rule_of(market), market.bars.symbols))
    took = seconds(pilot, market, range(start, min(start + WARM_UP + asked.rows, walked.tested.stop)))
    median, tail, worst = np.percentile(took[WARM_UP:], [50, 99, 100]) * 1e3
    sys.stdout.write(
        f"{asked.coins} coins x {asked.seeds} seeds x {len(market.panel.names)} features, "
        f"{len(took) - WARM_UP} closes: median {median:.1f} ms, p99 {tail:.1f} ms, longest {worst:.1f} ms\n"
    )


def opened(coins: int, seeds: int, rows: int, folder: Path) -> Market:
    """A simulated market whose last rows are the test."""
    bars = 2_400 + rows
    tables = {
        "data": {"source": "embedded", "embedded_coins": coins, "embedded_bars": bars},
        "model": {"seeds": list(range(1, seeds + 1))},
        "training": {"steps": 10},
        "validation": {"folds": 1, "first_train_share": 1.0 - (rows + 100) / bars, "opponents": []},
    }
    return open_market(Study.parse(tables, folder=folder))


def seconds(pilot: Pilot, market: Market, rows: range) -> np.ndarray:
    """What each close took."""
    took: list[float] = []
    for row in rows:
        bars = market.bars[row : row + 1]
        started = time.perf_counter()
        pilot.on_close(bars)
        took.append(time.perf_counter() - started)
    return np.array(took)


if __name__ == "__main__":
    main()
