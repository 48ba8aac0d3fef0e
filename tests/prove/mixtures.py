"""Does a fetch from a venue at which everything goes wrong now and then end with every row, or say that it did not?

Each mixture has a few kinds of passing faults, each at a rate of its own, in all answers or in those with bars. The
real command fetches bars, marks and funding of two coins through it.
"""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from longshort.base.instrument import lake_symbol
from longshort.data.lake import Lake, Series
from tests.loopback import HandClock, Server, Tape, loopback, random_walk
from tests.loopback.faults import stall

VENUE = "binanceusdm"
BARS = 6_000
UNLIMITED = 10**9  # weights per minute
MILLISECOND = 1_000_000
PASSING = (
    "too-many-requests", "ban", "rate-limit-400", "firewall", "500", "502", "503", "504", "520", "522",
    "backend-timeout", "reset", "short-body", "unknown-error", "disconnected", "overloaded",
    "truncated-body", "html-body", "empty-body", "no-rows", "duplicate", "gap", "disorder", "late",
)  # fmt: skip
KINDS = (3, 8)  # of faults in a mixture
RATES = (0.002, 0.05)  # of each
PATHS = ("*", "*lines")
LATE = stall(0.3)
WISH = (
    "--venue", VENUE, "--symbols", "BTC/USDT:USDT,ETH/USDT:USDT", "--interval", "1m", "--since", "2023-11-15",
    "--mark", "--from", "rest",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """One fetch that ended well, or with a sentence (`gave_up`), or otherwise (`speechless`).

    `wrong` rows are not the venue's; `silent` ones are neither there nor counted as missing although the command
    ended well; `lost` ones do not come either when all works again and the same fetch and a search for holes are run.
    """

    faults: int
    wanted: int
    counted: int
    wrong: int
    silent: int
    lost: int
    gave_up: bool
    speechless: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Compared:
    """The lake beside the tape."""

    wanted: int
    absent: int
    wrong: int


def mixed(seed: int) -> Mixed:
    """Fetch through a seeded mixture, and compare what is said and what is there with the tape."""
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    tape = random_walk(bars=BARS, seed=seed)
    with (
        loopback(tape, clock=HandClock(tape.last_at), weight_per_minute=UNLIMITED) as server,
        TemporaryDirectory() as folder,
    ):
        lake = Lake(Path(folder))
        _spoil(server, rng)
        done = _run(server, "fetch", *WISH, "--lake", folder, "--json")
        faults = sum(rule.struck for rule in server.faults.rules)
        server.faults.clear()
        found = _compare(tape, lake)
        ended_well = done.returncode == 0
        counted = sum(int(series["missing"]) for series in json.loads(done.stdout)) if ended_well else 0
        _run(server, "fetch", *WISH, "--lake", folder)
        _run(server, "check", "--refetch", "--lake", folder)
        after = _compare(tape, lake)
    return Mixed(
        faults=faults,
        wanted=found.wanted,
        counted=counted,
        wrong=found.wrong + after.wrong,
        silent=abs(found.absent - counted) if ended_well else 0,
        lost=after.absent,
        gave_up=not ended_well,
        speechless=not ended_well and not _is_one_sentence(done),
        seconds=time.perf_counter() - began,
    )


def _spoil(server: Server, rng: np.random.Generator) -> None:
    for name in rng.choice(PASSING, int(rng.integers(*KINDS)), replace=False):
        server.faults.add(
            LATE if name == "late" else str(name),
            path=str(rng.choice(PATHS)),
            times=None,
            chance=float(np.exp(rng.uniform(*np.log(RATES)))),
            seed=int(rng.integers(2**31)),
        )


def _run(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    child = server.child(arguments)
    out, err = child.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, child.returncode, out, err)


def _is_one_sentence(done: subprocess.CompletedProcess[str]) -> bool:
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    return done.returncode == 1 and len(errors) == 1 and errors[0].startswith(f"error: {VENUE}: ")


def _compare(tape: Tape, lake: Lake) -> Compared:
    on_record = lake.series()
    told = {series: _rows(lake, series) if series in on_record else {} for series in _truth(tape)}
    pairs = [(told[series], truth) for series, truth in _truth(tape).items()]
    return Compared(
        sum(len(truth) for _, truth in pairs),
        sum(len(truth.keys() - rows.keys()) for rows, truth in pairs),
        sum(truth.get(at) != values for rows, truth in pairs for at, values in rows.items()),
    )


def _rows(lake: Lake, series: Series) -> dict[int, tuple[float, ...]]:
    rows = lake.read(series)
    at = (rows.to_series(0).to_physical() * MILLISECOND).to_list()
    return dict(zip(at, rows[:, 1:].rows(), strict=True))


def _truth(tape: Tape) -> dict[Series, dict[int, tuple[float, ...]]]:
    found: dict[Series, dict[int, tuple[float, ...]]] = {}
    for reel in tape.reels:
        symbol = lake_symbol(reel.contract.name)
        for kind, columns, price in (("bars-1m", 5, "trade"), ("mark-1m", 4, "mark")):
            candles = reel.prices[price]
            values = map(tuple, candles.values[:, :columns].tolist())
            found[Series(VENUE, kind, symbol)] = dict(zip(candles.opened_at.tolist(), values, strict=True))
        settled = ((at, (rate,)) for at, rate in reel.funding if at < tape.last_at)
        found[Series(VENUE, "funding", symbol)] = dict(settled)
    return found
