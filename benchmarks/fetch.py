"""100,000 one-minute bars through the real ccxt client from loopback, beside a bare loop of its `fetch_ohlcv`.

    python -m benchmarks.fetch [--bars 100000]

The exchange is a process of its own that answers with generated bars. Each way runs in a process of its own, once at
the venue's pace and once without any; what is left of the first after the pacing is subtracted is said too.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.loopback import HandClock, loopback, random_walk
from tests.loopback.redirect import redirect

from longshort.base.clock import MINUTE, SECOND, Interval
from longshort.connect.exchange import Exchange
from longshort.data.fetch import fetch
from longshort.data.lake import Lake
from longshort.data.wish import Wish

VENUE, SYMBOL = "binanceusdm", "BTC/USDT:USDT"
PAGE = 499
UNLIMITED, BINANCE = 10**9, 2_400  # weights per minute
WEIGHT = 2  # of a page of 499 bars


@dataclass(frozen=True, slots=True)
class Task:
    """So many bars from an instant on, into a folder."""

    bars: int
    first_at: int
    folder: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bars", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", choices=["serve", *WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--weight", type=int, default=UNLIMITED, help=argparse.SUPPRESS)
    parser.add_argument("--place", nargs=3, help=argparse.SUPPRESS)  # port, certificate, when the bars begin
    options = parser.parse_args()
    if options.way == "serve":
        serve(options.bars, options.weight)
    elif options.way:
        run(options.way, options.bars, options.place)
    else:
        compare(options.bars, options.runs)


def serve(bars: int, weight: int) -> None:
    """Play the exchange until there is nobody who listens."""
    tape = random_walk(bars=bars)
    with loopback(tape, clock=HandClock(tape.last_at), weight_per_minute=weight) as server:
        print(json.dumps([server.port, str(server.certificate.trusted), tape.first_at]), flush=True)
        for _ in sys.stdin:
            print(len(server.requests), flush=True)


def compare(bars: int, runs: int) -> None:
    for way, weight in (("longshort", UNLIMITED), ("ccxt", UNLIMITED), ("longshort", BINANCE)):
        words = [sys.executable, "-m", "benchmarks.fetch", "--bars", str(bars)]
        found = []
        for _ in range(runs if weight == UNLIMITED else 1):
            with subprocess.Popen(
                [*words, "--way", "serve", "--weight", str(weight)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            ) as server:  # fmt: skip
                assert server.stdin
                assert server.stdout
                place = [str(part) for part in json.loads(server.stdout.readline())]
                done = subprocess.run(
                    [*words, "--way", way, "--place", *place], check=True, capture_output=True, text=True
                )
                server.stdin.write("\n")
                server.stdin.flush()
                found.append(json.loads(done.stdout) | {"requests": int(server.stdout.readline())})
                server.stdin.close()
        say(way, weight, min(found, key=lambda run: run["wall_s"]))


def say(way: str, weight: int, run: dict[str, float]) -> None:
    pace = "no pace" if weight == UNLIMITED else f"{weight} weights a minute"
    rate = run["rows"] / (run["wall_s"] - run["paced_s"])
    print(
        f"{way:<10} {pace:<22} {run['rows']:>7,.0f} rows {run['requests']:>4.0f} requests {run['wall_s']:>6.2f} s, "
        f"{run['paced_s']:>5.2f} s of it pace, {run['cpu_s']:>5.2f} cpu-s, {rate:>8,.0f} rows/s without pace, "
        f"{run['mib']:>4.0f} MiB at most"
    )


def run(way: str, bars: int, place: list[str]) -> None:
    redirect(int(place[0]), Path(place[1]))
    began, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        rows, unit_ms = asyncio.run(WAYS[way](Task(bars, int(place[2]), Path(folder))))
    print(
        json.dumps(
            {
                "rows": rows,
                "wall_s": time.perf_counter() - began,
                "cpu_s": time.process_time() - cpu,
                "paced_s": -(-bars // PAGE) * WEIGHT * unit_ms / 1000.0,
                "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            }
        )
    )


async def through_longshort(task: Task) -> tuple[int, float]:
    """Asked for, checked, staged and folded into a lake."""
    wish = Wish(
        venue=VENUE,
        symbols=(SYMBOL,),
        interval=Interval(MINUTE),
        since_at=task.first_at,
        measures=("bars",),
        source="rest",
    )
    async with Exchange(VENUE) as exchange:
        fetched = await fetch(wish, Lake(task.folder), exchange, lambda *_: None)
        assert not fetched[0].missing
        return fetched[0].rows, exchange.pacer.unit_ms


async def with_ccxt(task: Task) -> tuple[int, float]:
    """One page after the other, each from the last bar of the one before; nothing is kept on disk."""
    import ccxt.async_support as ccxt

    rows: list[list[float]] = []
    since_ms = task.first_at // 1_000_000
    async with ccxt.binanceusdm() as client:
        client.enableRateLimit = False
        await client.load_markets()
        while len(rows) < task.bars:
            page = await client.fetch_ohlcv(SYMBOL, "1m", since_ms, PAGE)
            rows += page
            since_ms = int(page[-1][0]) + MINUTE // (SECOND // 1000)
        return len(rows), 0.0


WAYS: dict[str, Callable[[Task], Awaitable[tuple[int, float]]]] = {
    "longshort": through_longshort,
    "ccxt": with_ccxt,
}

if __name__ == "__main__":
    main()
