"""Does a fetch that SIGKILL ends at any moment leave a lake that is whole, and does the next one complete it?

The real command fetches bars, marks and funding of two coins from the loopback exchange, which takes its time over
each page. A run without a kill comes first: it says how long a run and its writing take, and what must come out.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from longshort.base.clock import MINUTE
from longshort.base.errors import DataError
from longshort.base.window import Window, join_windows
from longshort.connect.venues import find_venue
from longshort.data.fetch import AT_ONCE, PAGES_PER_STRETCH
from longshort.data.instruments import FILE, read_instruments
from longshort.data.lake import Lake, Series, asked_windows
from tests.loopback import HandClock, Server, loopback, random_walk
from tests.loopback.faults import stall

BARS = 20_000
PAGE_TAKES_S = 0.05
UNLIMITED = 10**9  # weights per minute
VENUE = "binanceusdm"
MOST_UNDER_WAY = AT_ONCE * PAGES_PER_STRETCH * find_venue(VENUE).rows["bars"]  # bars that a kill may cost
MILLISECOND = 1_000_000
LOOK_EVERY_S = 0.001
AIMED_EVERY = 4  # every fourth fetch is killed while its series are written, which is soon over


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """So many fetches, each killed once or, every second one, twice."""

    seed: int
    fetches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The lake after a kill, and how many of the bars that were asked for since the one before are not in it."""

    whole: bool
    has_parts: bool
    has_series: bool
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One fetch: its kills, and whether the run that completed it ended as an undisturbed one does."""

    kills: tuple[Kill, ...]
    same: bool
    bars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What became of a batch."""

    fetches: tuple[Fetch, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A lake that nothing disturbed; how long its run took, and the part of that from its first series on."""

    lake: Lake
    bars: int
    run_s: float
    writing_s: float


def killed(batch: Batch) -> Killed:
    """Kill fetches at seeded moments, look at each lake, and let each fetch be completed."""
    began = time.perf_counter()
    rng = np.random.default_rng(batch.seed)
    with _exchange() as server, TemporaryDirectory() as folder:
        whole = _undisturbed(server, Lake(Path(folder) / "whole"))
        fetches = tuple(
            _fetched(server, Lake(Path(folder) / f"{number}"), whole, number, rng)
            for number in range(batch.seed * batch.fetches, (batch.seed + 1) * batch.fetches)
        )
    return Killed(fetches=fetches, seconds=time.perf_counter() - began)


def _fetched(server: Server, lake: Lake, whole: Whole, number: int, rng: np.random.Generator) -> Fetch:
    kills: list[Kill] = []
    while len(kills) < 1 + number % 2:
        aimed = number % AIMED_EVERY == AIMED_EVERY - 1 and not kills
        asked, kept = _bars_asked(server), _bars_kept(lake)
        if not _kill(server, lake, whole, rng, aimed=aimed):
            continue  # it was done before that: another moment
        files = _files(lake)
        kills.append(
            Kill(
                whole=is_whole(lake, whole.lake),
                has_parts=any(path.parent.parent.name == ".parts" for path in files),
                has_series=bool(lake.series()),
                lost=_bars_asked(server) - asked - (_bars_kept(lake) - kept),
            )
        )
    child = _start(server, lake)
    child.communicate(timeout=120)
    same = child.returncode == 0 and _content(lake) == _content(whole.lake) and not _rubbish(lake)
    return Fetch(kills=tuple(kills), same=same, bars=whole.bars)


def _kill(server: Server, lake: Lake, whole: Whole, rng: np.random.Generator, *, aimed: bool) -> bool:
    """Kill a run somewhere in its whole length, or in its writing; False where it had ended by itself."""
    child = _start(server, lake)
    moment_s = rng.uniform(0.0, whole.writing_s if aimed else whole.run_s)
    if aimed:
        _wait_for_series(child, lake)
    try:
        child.wait(moment_s)
    except subprocess.TimeoutExpired:
        child.kill()
    child.communicate(timeout=30)
    return child.returncode < 0


def is_whole(lake: Lake, reference: Lake) -> bool:
    """True where all can be read, and every file holds each row of the windows that it says were asked for."""
    try:
        for series in lake.series():
            lake.read(series)
        if (lake.root / VENUE / FILE).is_file():
            read_instruments(lake.root / VENUE)
    except DataError:
        return False
    return all(_tells_the_truth(path, reference) for path in _files(lake))


def _tells_the_truth(path: Path, reference: Lake) -> bool:
    windows = asked_windows(path)
    rows, wanted = pl.read_parquet(path), reference.read(_series_of(path))
    return bool(windows) and rows.equals(wanted.filter(_inside(wanted, windows)))


def _inside(rows: pl.DataFrame, windows: list[Window]) -> pl.Series:
    at = rows.to_series(0).to_physical() * MILLISECOND
    inside = [(at >= window.from_at) & (at < window.to_at) for window in windows]
    return pl.select(pl.any_horizontal(inside)).to_series()


def _series_of(path: Path) -> Series:
    if path.parent.parent.name == ".parts":
        return Series(VENUE, path.parents[2].name, path.parent.name)
    return Series(VENUE, path.parent.name, path.stem)


def _files(lake: Lake) -> list[Path]:
    """Series, and stretches that wait for theirs; not what a killed writer had begun."""
    return [path for path in lake.root.rglob("*.parquet") if not path.name.startswith(".")]


def _rubbish(lake: Lake) -> list[Path]:
    """What should not be there once a fetch is done."""
    left = [path for path in lake.root.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    return [path for path in left if path.name.startswith(".") or ".parts" in path.parts]


def _content(lake: Lake) -> dict[Series, tuple[str, list[Window]]]:
    """Row hashes, verified, and what was asked for."""
    return {s: (lake.recorded_digest(s) * bool(len(lake.read(s))), lake.asked(s)) for s in lake.series()}


def _bars_kept(lake: Lake) -> int:
    """Bars and marks that were asked for and kept, folded or not."""
    windows: dict[Series, list[Window]] = {}
    for path in _files(lake):
        windows.setdefault(_series_of(path), []).extend(asked_windows(path))
    joined = [window for s in windows if s.interval for window in join_windows(windows[s])]
    return sum((window.to_at - window.from_at) // MINUTE for window in joined)


def _bars_asked(server: Server) -> int:
    """Bars and marks that were asked for, answered or not."""
    asked = [
        r.params
        for r in server.requests
        if r.path.lower().endswith("klines") and r.params["interval"] == "1m"
    ]
    return sum((int(p["endTime"]) + 1 - int(p["startTime"])) * MILLISECOND // MINUTE for p in asked)


def _undisturbed(server: Server, lake: Lake) -> Whole:
    began = time.perf_counter()
    child = _start(server, lake)
    _wait_for_series(child, lake)
    wrote = time.perf_counter()
    _, said = child.communicate(timeout=120)
    assert child.returncode == 0, said
    ended = time.perf_counter()
    return Whole(lake=lake, bars=_bars_asked(server), run_s=ended - began, writing_s=ended - wrote)


def _wait_for_series(child: subprocess.Popen[str], lake: Lake) -> None:
    while not any(lake.root.glob("*/*/*.parquet")) and child.poll() is None:
        time.sleep(LOOK_EVERY_S)


def _start(server: Server, lake: Lake) -> subprocess.Popen[str]:
    return server.child(
        [
            "fetch", "--venue", VENUE, "--symbols", "BTC/USDT:USDT,ETH/USDT:USDT", "--interval", "1m",
            "--since", "2023-11-15", "--mark", "--from", "rest", "--lake", str(lake.root), "--json",
        ]
    )  # fmt: skip


@contextmanager
def _exchange() -> Iterator[Server]:
    tape = random_walk(bars=BARS)
    with loopback(tape, clock=HandClock(tape.last_at), weight_per_minute=UNLIMITED) as server:
        server.faults.add(stall(PAGE_TAKES_S), path="*lines", times=None)
        yield server
