"""Does following a stream that breaks in every way keep each bar once, finished and right?

`follow` keeps the bars and the funding of two coins for an hour of market time that passes in six seconds, while the
loopback exchange closes its streams, breaks them, refuses to take new ones, falls silent, and is gone for a while.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np
import pytest

from longshort.base.clock import HOUR, MINUTE, SECOND, Interval
from longshort.base.errors import LongshortError
from longshort.connect.exchange import Exchange
from longshort.connect.retry import Patience
from longshort.data.follow import Kept, follow
from longshort.data.lake import Lake, Series
from longshort.data.wish import Wish
from tests.loopback import FastClock, Server, Tape, loopback, random_walk

VENUE = "binanceusdm"
M1 = Interval(MINUTE)
MILLISECOND = 1_000_000
SPEED = 600
FOLLOWED_S = HOUR / SECOND / SPEED
BEFORE, AFTER = 3 * HOUR, 5 * HOUR  # the past, which is fetched first, and more future than is followed
QUIET_S = 1.5  # after the hour, so that its last bars can come
ROUND_NS = SECOND // 2
TROUBLES = 6
COINS = {"BTC/USDT:USDT": "BTCUSDT", "ETH/USDT:USDT": "ETHUSDT"}
PATIENCE = Patience(first_s=0.02, longest_s=0.2)
# How long a stream may say nothing, where minutes are short and the machine is shared.
STALL_BARS, STALL_S, SOON_S = 1.5 / SPEED, 0.5, 0.03
UNLIMITED = 10**9  # weights per minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One hour: bars that should be there, how many were streamed, what is wrong, and what it went through."""

    wanted: int
    streamed: int
    missing: int
    doubled: int
    wrong: int
    corrected: int
    died: str
    troubles: Mapping[str, int]
    seconds: float


Trouble = Callable[[Server, np.random.Generator], Awaitable[None]]


async def _closed(server: Server, rng: np.random.Generator) -> None:
    await asyncio.to_thread(server.disconnect, 1001)


async def _broken(server: Server, rng: np.random.Generator) -> None:
    await asyncio.to_thread(server.disconnect, 1006)


async def _refused(server: Server, rng: np.random.Generator) -> None:
    rule = server.faults.add("503", path="*/ws*", times=int(rng.integers(1, 3)))
    await asyncio.to_thread(server.disconnect, 1006)
    for _ in range(50):
        await asyncio.sleep(0.02 * (rule.struck < (rule.times or 0)))


async def _silent(server: Server, rng: np.random.Generator) -> None:
    server.sockets.silent = True
    await asyncio.sleep(rng.uniform(0.05, 0.9))
    server.sockets.silent = False


async def _gone(server: Server, rng: np.random.Generator) -> None:
    with server.down():
        await asyncio.sleep(rng.uniform(0.02, 1.5))


TROUBLE: Mapping[str, Trouble] = MappingProxyType(
    {"closed": _closed, "broken": _broken, "refused": _refused, "silent": _silent, "gone": _gone}
)


def followed(seed: int) -> Followed:
    """Follow for an hour of the market with seeded troubles, and compare the lake with the tape."""
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    tape = random_walk(bars=(BEFORE + AFTER) // MINUTE, seed=seed)
    troubles = sorted(
        (rng.uniform(0.0, FOLLOWED_S), str(name)) for name in rng.choice(list(TROUBLE), TROUBLES)
    )
    told: list[Kept] = []
    with (
        pytest.MonkeyPatch.context() as patch,
        loopback(tape, clock=FastClock(tape.first_at + BEFORE, SPEED), weight_per_minute=UNLIMITED) as server,
        TemporaryDirectory() as folder,
    ):
        patch.setattr("longshort.connect.follow.STALL_BARS", STALL_BARS)
        patch.setattr("longshort.connect.follow.STALL_S", STALL_S)
        patch.setattr("longshort.connect.follow.SOON_S", SOON_S)
        server.redirect(patch)
        lake = Lake(Path(folder))
        died, hour_ends_at = asyncio.run(_watch(server, lake, told, troubles, rng))
        found = [_compare(tape, lake, coin, hour_ends_at) for coin in COINS]
    return Followed(
        wanted=sum(counts["wanted"] for counts in found),
        missing=sum(counts["missing"] for counts in found),
        doubled=sum(counts["doubled"] for counts in found),
        wrong=sum(counts["wrong"] for counts in found),
        streamed=sum(kept.streamed for kept in told),
        corrected=sum(kept.corrected for kept in told),
        died=died,
        troubles={name: sum(name == other for _, other in troubles) for name in TROUBLE},
        seconds=time.perf_counter() - began,
    )


async def _watch(
    server: Server,
    lake: Lake,
    told: list[Kept],
    troubles: Sequence[tuple[float, str]],
    rng: np.random.Generator,
) -> tuple[str, int]:
    """Follow through an hour of troubles and a quiet end; what ended it before, and when the hour was over."""
    world = server.world
    wish = Wish(venue=VENUE, symbols=tuple(COINS), interval=M1, since_at=world.tape.first_at, source="rest")
    async with Exchange(VENUE, patience=PATIENCE) as exchange:
        exchange.client.timeout_on_exit = 20
        following = asyncio.create_task(follow(wish, lake, exchange, told.append, round_ns=ROUND_NS))
        while not told and not following.done():
            await asyncio.sleep(0.02)
        began, hour_ends_at = time.monotonic(), world.now() + HOUR
        for at_s, name in troubles:
            await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
            await TROUBLE[name](server, rng)
        await asyncio.sleep(max(0.0, began + FOLLOWED_S - time.monotonic()) + QUIET_S)
        following.cancel()
        try:
            await following
        except asyncio.CancelledError:
            return "", hour_ends_at
        except LongshortError as error:
            return str(error), hour_ends_at
    return "it ended by itself", hour_ends_at


def _compare(tape: Tape, lake: Lake, coin: str, hour_ends_at: int) -> dict[str, int]:
    """The lake's bars against the tape's, of which all that closed within the hour must be there."""
    candles = tape[coin].trades
    final = dict(zip(candles.opened_at.tolist(), candles.values.tolist(), strict=True))
    rows = lake.read(Series.bars(VENUE, M1, COINS[coin]))
    at = (rows["opened_at"].to_physical() * MILLISECOND).to_list()
    wanted = [opened_at for opened_at in final if opened_at + MINUTE <= hour_ends_at]
    values = rows.drop("opened_at").rows()
    return {
        "wanted": len(wanted),
        "missing": len(set(wanted) - set(at)),
        "doubled": len(at) - len(set(at)),
        "wrong": sum(final.get(opened_at) != list(row) for opened_at, row in zip(at, values, strict=True)),
    }
