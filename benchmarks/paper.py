"""How long after a bar's close a paper session has decided: bars asked, features, networks, limits, journal on disk.

    python -m benchmarks.paper [--coins 50] [--seeds 5] [--closes 20]

One-minute bars of a loopback exchange, served by the same process over the exchange's own protocol, so that the
exchange's work is counted too. What a real venue's network adds is not in it.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tests.followed import HISTORY, SETTINGS, UNLIMITED, SteppedClock, start_of, train_study
from tests.loopback import Contract, loopback, random_walk
from tests.paper import Trader, trade

from longshort.base.clock import MINUTE, SECOND

BEFORE = SECOND // 20  # how long before a close the clock is put


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--coins", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--closes", type=int, default=20)
    asked = parser.parse_args()
    contracts = [Contract(base=f"SIM{k:02}") for k in range(1, asked.coins + 1)]
    tape = random_walk(contracts, bars=HISTORY + asked.closes + 10)
    model = SETTINGS["model"] | {"seeds": list(range(1, asked.seeds + 1)), "hidden": 64, "readout": 64}
    clock = SteppedClock(start_of(tape) + SECOND)
    took: list[float] = []

    async def script(trader: Trader) -> None:
        for k in range(1, asked.closes + 1):
            close = start_of(tape) + k * MINUTE
            clock.jump(close - BEFORE)
            began = time.perf_counter() + BEFORE / SECOND
            while trader.account.closed_to < close:
                await asyncio.sleep(0.002)
            took.append(time.perf_counter() - began)
            await trader.until(lambda: not trader.account.awaited)

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        study = train_study(tape, Path(folder), SETTINGS | {"model": model})
        with loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server:
            server.redirect(patch)
            lines = trade(study, tape, clock, script)
    decided = [line for line in lines if line["kind"] == "decided"]
    missed = sum(bool(line["circumstances"]["missed"]) for line in decided)
    median, tail, worst = np.percentile(took, [50, 99, 100])
    sys.stdout.write(
        f"{asked.coins} coins x {asked.seeds} seeds, {len(took)} closes, {missed} missed: "
        f"median {median:.2f} s, p99 {tail:.2f} s, longest {worst:.2f} s after the close\n"
    )


if __name__ == "__main__":
    main()
