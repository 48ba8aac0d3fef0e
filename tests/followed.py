"""A study whose market is a loopback exchange: trained on a history, then followed by a clock that jumps."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from longshort._commands import fit
from longshort.base.clock import SECOND, Interval
from longshort.base.settings import Study, to_toml
from longshort.connect.exchange import Exchange
from longshort.connect.pacing import Timing
from longshort.data.fetch import fetch
from longshort.data.lake import Lake, Measure
from longshort.data.wish import Wish
from tests.loopback import BTC, ETH, Tape, loopback, random_walk

HISTORY = 1_420  # bars in the lake before anybody follows
SYMBOLS = ("BTCUSDT", "ETHUSDT")
UNLIMITED = 10**9
SETTINGS: dict[str, Any] = {
    "data": {"interval": "1m"},
    "model": {"hidden": 4, "seeds": [1], "anchor": "har", "restart_rows": 32, "readout": 0},
    "training": {
        "steps": 10,
        "check_every": 10,
        "chunk_bars": 48,
        "burn_in_bars": 16,
        "batch_chunks": 4,
        "processes": 1,
    },
    "features": {"families": ["price", "range", "volume", "market"]},
    "validation": {"opponents": []},
    "policy": {"entry_cost_multiple": 0.0, "no_trade_band": 0.0, "horizon_bars": 4, "max_exposure": 1.0},
}


class SteppedClock:
    """Runs as the machine's does, and jumps where a test says."""

    speed = 1.0

    def __init__(self, start_at: int) -> None:
        self.jump(start_at)

    def now(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return self._at + time.monotonic_ns() - self._since

    def jump(self, at: int) -> None:
        """Let it be another time."""
        self._at, self._since = at, time.monotonic_ns()


async def hurry(seconds: float) -> None:
    """Waiting for a venue's pace or patience is tested elsewhere."""
    await asyncio.sleep(min(seconds, 0.01))


def tape_of(bars: int, seed: int = 1) -> Tape:
    """A market that goes on for so many bars after the history."""
    return random_walk((BTC, ETH), bars=HISTORY + bars, seed=seed)


def start_of(tape: Tape) -> int:
    """When the history ends."""
    return tape.first_at + HISTORY * tape.reels[0].trades.interval


def exchange_of(clock: SteppedClock) -> Exchange:
    """A client that does not wait long for anything."""
    exchange = Exchange("binanceusdm", timing=Timing(clock=clock, sleep=hurry))
    exchange.client.timeout_on_exit = 20
    return exchange


async def fill(study: Study, tape: Tape, clock: SteppedClock, measures: tuple[Measure, ...]) -> None:
    """Bring a study's lake up to the clock."""
    async with exchange_of(clock) as exchange:
        wish = Wish(
            venue="binanceusdm",
            symbols=tuple(f"{reel.contract.base}{reel.contract.quote}" for reel in tape.reels),
            interval=Interval.parse(study.data.interval),
            since_at=tape.first_at,
            measures=measures,
            source="rest",
        )
        await fetch(wish, Lake(study.folder / "lake"), exchange, _silent)


def train_study(
    tape: Tape,
    folder: Path,
    settings: Mapping[str, Any] = SETTINGS,
    *,
    measures: tuple[Measure, ...] = ("bars", "funding"),
) -> Study:
    """A study with its lake and its bundle."""
    clock = SteppedClock(start_of(tape) + SECOND)
    study = Study.parse(settings, folder=folder)
    with (
        pytest.MonkeyPatch.context() as patch,
        loopback(tape, clock=clock, weight_per_minute=UNLIMITED) as server,
    ):
        server.redirect(patch)
        asyncio.run(fill(study, tape, clock, measures))
    (folder / "study.toml").write_text(to_toml(study))
    fit.train(study)
    return study


def _silent(*_: object) -> None:
    """Progress is of no interest."""
