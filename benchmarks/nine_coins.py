"""Nine coins, real hourly bars: seconds, memory and verdict of `longshort evaluate`, as a person would run it.

    python benchmarks/nine_coins.py --data ../shared/data [--folder FOLDER] [--seeds 3] [--set KEY=VALUE] [--holdout]

Everything is chosen on bars up to 2024-12-31. `--holdout` opens what comes after, which is counted in the lake
of the folder and can be done with an open mind only once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COINS = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "TRX")
STUDY = """\
[data]
since = "2023-01-01"
until = "2025-06-30T23:00Z"  # the last close whose funding is on record

[validation]
folds = 5
holdout_from = "2025-01-01"
"""
POLL_SECONDS = 2.0


def main() -> None:
    options = parse()
    if options.folder is None:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), options)
    else:
        options.folder.mkdir(parents=True, exist_ok=True)
        measure(options.folder, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ohlcv_1h and funding")
    parser.add_argument("--folder", type=Path, help="keep lake, fits and report here, and resume from them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--holdout", action="store_true", help="open the sealed part; counted")
    return parser.parse_args()


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Import what is not there, evaluate in a process of its own, print what it took and what it said."""
    imported = prepare(folder, options.data.absolute())
    seeds = f"model.seeds={list(range(1, options.seeds + 1))}"
    chosen = [part for override in (seeds, *options.overrides) for part in ("--set", override)]
    arguments = ["evaluate", "nine", "--json", *chosen, *(["--holdout"] if options.holdout else [])]
    said, took = timed(arguments, folder)
    report(json.loads(said.splitlines()[-1]), took)
    sys.stdout.write(f"\nimport: {len(imported.splitlines())} lines; report: {folder / 'nine' / 'runs'}\n")


def prepare(folder: Path, data: Path) -> str:
    """Import bars and funding that are not there yet, write the study, and return what the import said."""
    bars = [str(data / "ohlcv_1h" / f"binance_{coin}USDT_perp_1h.parquet") for coin in COINS]
    funding = [str(data / "funding" / f"binance_{coin}USDT_funding.parquet") for coin in COINS]
    imported, _ = timed(["import", *bars, *funding], folder)
    study = folder / "nine" / "study.toml"
    study.parent.mkdir(exist_ok=True)
    study.write_text(STUDY)
    return imported


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


class Took:
    """Seconds by the wall, and the most memory that a process and all it started held together."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.seconds = 0.0
        self.bytes = 0
        self._process = process
        self._began = time.perf_counter()

    def watch(self) -> None:
        while self._process.poll() is None:
            self.bytes = max(self.bytes, sum(proportional_bytes(pid) for pid in family(self._process.pid)))
            time.sleep(POLL_SECONDS)
        self.seconds = time.perf_counter() - self._began


def timed(arguments: Sequence[str], folder: Path) -> tuple[str, Took]:
    command = [sys.executable, "-m", "longshort", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        took = Took(process)
        watcher = threading.Thread(target=took.watch)
        watcher.start()
        said = process.stdout.read() if process.stdout else ""
        process.wait()
        watcher.join()
    if process.returncode:
        sys.exit(process.returncode)
    return said, took


def family(pid: int) -> list[int]:
    """A process and everything that descends from it, as Linux tells."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def proportional_bytes(pid: int) -> int:
    """Memory with what is shared counted once: the proportional set size."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def report(found: dict[str, Any], took: Took) -> None:
    """One line per question and horizon: the word, and the opponent that was hardest to beat."""
    out = sys.stdout.write
    out(f"{found['folds']} folds x {found['seeds']} seeds: {took.seconds:.0f} s from start to end, ")
    out(f"{took.bytes / 2**30:.2f} GiB at most\n\n")
    out("| question | bars | word | hardest opponent | skill | 95 % interval | unit | p | instants |\n")
    out("|---|---|---|---|---|---|---|---|---|\n")
    pairs = dict.fromkeys((row["question"], row["horizon_bars"]) for row in found["rows"])
    order = ("density", "volatility", "direction", "profit")
    for question, horizon in sorted(pairs, key=lambda pair: (order.index(pair[0]), pair[1])):
        rows = [r for r in found["rows"] if (r["question"], r["horizon_bars"]) == (question, horizon)]
        out(line(max(rows, key=lambda row: (row["p_value"], -row["skill"]))))
    out("\n| bars | 50 % | 80 % | 90 % | 95 % |\n|---|---|---|---|---|\n")
    for horizon, covered in found["coverage_by_horizon"].items():
        out(
            f"| {horizon} | "
            + " | ".join(f"{covered[level]:.1%}" for level in ("0.5", "0.8", "0.9", "0.95"))
            + " |\n"
        )


def line(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    known = f"{low:+.4g} to {high:+.4g}" if low is not None else ""
    return (
        f"| {row['question']} | {row['horizon_bars']} | {row['verdict']} | {row['opponent']} ({row['metric']}) "
        f"| {row['skill']:+.4g} | {known} | {row['unit']} | {row['p_value']:.2g} | {row['n_instants']:,} |\n"
    )


if __name__ == "__main__":
    main()
