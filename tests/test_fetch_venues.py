"""Every venue of the mission end to end: `fetch` through the real ccxt client, from the loopback exchange into a lake.

One table says what each venue is and has; each test then holds for all of it. What the lake receives is compared
with the tape row by row, so that a page that is lost, doubled, shifted or in another unit fails here.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from longshort.base.clock import DAY, HOUR, MINUTE, Interval, parse_instant
from longshort.base.errors import VenueError
from longshort.base.instrument import lake_symbol
from longshort.connect.exchange import Exchange
from longshort.connect.pacing import MILLISECOND, Timing
from longshort.data.fetch import fetch
from longshort.data.instruments import read_instruments
from longshort.data.lake import Lake, Measure, Series
from longshort.data.wish import Fetched, Wish
from tests.loopback import (
    BTC,
    BTC_INVERSE,
    Contract,
    HandClock,
    Reel,
    Samples,
    Server,
    Tape,
    loopback,
    random_walk,
)
from tests.loopback.tape import Price

SAMPLE = 5 * MINUTE  # of open interest
DATA = ("*kline*", "*Kline*", "*candles*", "*/charts/*", "*fund*", "*interest*", "*Interest*")
DOLLAR = replace(BTC_INVERSE, size=Decimal(1))
CENTI = replace(BTC, size=Decimal("0.01"), lot=Decimal("0.01"))
IN_USD = replace(BTC, quote="USD", settle="USD")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A venue with one contract: how the venue lists it, what one page of it holds, what it has of it.

    `recent`: the bars are of these days, for which some venues have other pages than for old ones. `late`: how much
    later than the venue's stamp open interest counts as known.
    """

    venue: str
    contract: Contract
    listed: tuple[str, str, str, bool, str]  # lake symbol, lot, contract size, inverse, settle
    page: int
    has: tuple[Measure, ...]
    lacks: tuple[Measure, ...] = ()
    recent: bool = False
    late: int = 0


ALL: tuple[Measure, ...] = ("bars", "mark", "index", "funding", "open-interest")
NO_INTEREST, INTEREST = ALL[:4], ALL[4:]
LINEAR = ("BTCUSDT", "0.001", "1", False, "USDT")
CENTS = ("BTCUSDT", "0.01", "0.01", False, "USDT")
BY_ONE = ("BTCUSD.BTC", "1", "1", True, "BTC")
BY_HUNDRED = ("BTCUSD.BTC", "1", "100", True, "BTC")

CASES = {
    "binanceusdm": Case(venue="binanceusdm", contract=BTC, listed=LINEAR, page=499, has=ALL),
    "binancecoinm": Case(
        venue="binancecoinm", contract=BTC_INVERSE, listed=BY_HUNDRED, page=499, has=ALL, late=SAMPLE
    ),
    "bybit": Case(venue="bybit", contract=BTC, listed=LINEAR, page=1_000, has=ALL),
    "bybit inverse": Case(venue="bybit", contract=DOLLAR, listed=BY_ONE, page=1_000, has=ALL),
    "bingx": Case(
        venue="bingx", contract=BTC, listed=LINEAR, page=1_000, has=("bars", "mark", "funding"),
        lacks=("index", "open-interest"),
    ),
    "bingx inverse": Case(
        venue="bingx", contract=BTC_INVERSE, listed=BY_HUNDRED, page=1_000, has=("bars",), lacks=ALL[1:]
    ),
    "bitget": Case(venue="bitget", contract=BTC, listed=LINEAR, page=200, has=NO_INTEREST, lacks=INTEREST),
    "bitget recent": Case(
        venue="bitget", contract=BTC, listed=LINEAR, page=200, has=NO_INTEREST, lacks=INTEREST, recent=True
    ),
    "okx": Case(venue="okx", contract=CENTI, listed=CENTS, page=300, has=ALL),
    "okx inverse": Case(venue="okx", contract=BTC_INVERSE, listed=BY_HUNDRED, page=300, has=ALL),
    "okx recent": Case(venue="okx", contract=CENTI, listed=CENTS, page=300, has=ALL, recent=True),
    "krakenfutures": Case(
        venue="krakenfutures", contract=IN_USD, listed=("BTCUSD", "0.001", "1", False, "USD"), page=2_000,
        has=NO_INTEREST, lacks=INTEREST,
    ),
    "krakenfutures inverse": Case(
        venue="krakenfutures", contract=DOLLAR, listed=BY_ONE, page=2_000, has=NO_INTEREST, lacks=INTEREST
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@contextmanager
def playing(case: Case, tape: Tape, monkeypatch: pytest.MonkeyPatch) -> Generator[Server]:
    """The case's venue with a tape that has just ended."""
    clock = HandClock(tape.last_at)
    with loopback(tape, clock=clock, venues=(case.venue,), weight_per_minute=10**9) as server:
        server.redirect(monkeypatch)
        yield server


def bring(case: Case, wish: Wish, lake: Lake, tape: Tape) -> list[Fetched]:
    """Fetch, with the machine's clock at the tape's end, or years later by ccxt's own where bars are not recent."""

    async def session() -> list[Fetched]:
        timing = Timing(clock=HandClock(tape.last_at), sleep=hurry)
        async with Exchange(case.venue, timing=timing) as exchange:
            exchange.client.timeout_on_exit = 20
            if case.recent:
                exchange.client.milliseconds = lambda: tape.last_at // MILLISECOND
            return await fetch(wish, lake, exchange, silent)

    return asyncio.run(session())


def silent(series: str, done: int, of: int) -> None:
    """Progress is of no interest here."""


async def hurry(seconds: float) -> None:
    """Waiting for a venue's pace is tested elsewhere."""
    await asyncio.sleep(0)


def wish_for(
    case: Case, since_at: int, *, interval: int = MINUTE, measures: tuple[Measure, ...] = ("bars",)
) -> Wish:
    return Wish(
        venue=case.venue,
        symbols=(case.contract.name,),
        interval=Interval(interval),
        since_at=since_at,
        measures=measures,
        source="rest",
    )


def in_lake(case: Case, lake: Lake, measure: Measure, interval: int = MINUTE) -> np.ndarray:
    """All rows of a series: the instant in ns, then the values."""
    step = max(interval, SAMPLE) if measure == "open-interest" else interval
    symbol = lake_symbol(case.contract.name)
    rows = lake.read(Series.of(case.venue, measure, None if measure == "funding" else Interval(step), symbol))
    return np.column_stack([rows.to_series(0).to_physical().to_numpy() * MILLISECOND, rows[:, 1:].to_numpy()])


def on_tape(case: Case, reel: Reel, measure: Measure, from_at: int, to_at: int) -> np.ndarray:
    """What the venue has of a window of minutes."""
    prices: dict[Measure, Price] = {"bars": "trade", "mark": "mark", "index": "index"}
    if measure in prices:
        candles = reel.prices[prices[measure]].between(from_at, to_at)
        return np.column_stack([candles.opened_at, candles.values[:, : 5 if measure == "bars" else 4]])
    if measure == "funding":
        settled = reel.funding.between(from_at, to_at)
        return np.column_stack([settled.at, settled.value])
    sampled = reel.open_interest.between(from_at - case.late, to_at // SAMPLE * SAMPLE - case.late)
    return np.column_stack([sampled.at + case.late, sampled.value])


def asked_for_data(server: Server) -> int:
    return sum(server.count(path) for path in DATA)


@every_case
def test_what_is_fetched_is_what_the_venue_has_and_comes_once(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = random_walk((case.contract,), bars=max(2 * case.page + 400, 2_600))
    lake = Lake(tmp_path / "lake")
    from_at, to_at = tape.first_at + 7 * MINUTE, tape.last_at - 11 * MINUTE  # no multiple of any page
    wish = replace(wish_for(case, from_at, measures=case.has), until_at=to_at)

    with playing(case, tape, monkeypatch) as server:
        fetched = bring(case, wish, lake, tape)
        asked = asked_for_data(server)
        again = bring(case, wish, lake, tape)

        assert asked_for_data(server) == asked
    assert [f.missing for f in fetched] == [0] * len(case.has)
    assert [f.added for f in again] == [0] * len(case.has)
    for measure in case.has:
        stored, truth = in_lake(case, lake, measure), on_tape(case, tape.reels[0], measure, from_at, to_at)
        np.testing.assert_array_equal(stored[:, 0], truth[:, 0])
        np.testing.assert_allclose(stored, truth, rtol=1e-14 if measure == "open-interest" else 0)


@every_case
def test_a_contract_is_recorded_as_its_venue_lists_it(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = random_walk((case.contract,), bars=30)
    lake = Lake(tmp_path / "lake")

    with playing(case, tape, monkeypatch):
        bring(case, wish_for(case, tape.first_at), lake, tape)

    ((symbol, told),) = read_instruments(lake.root / case.venue).items()
    assert (symbol, str(told.lot), str(told.contract_size), told.inverse, told.settle) == case.listed
    assert told.tick == Decimal("0.1")


@every_case
def test_listing_delisting_and_an_empty_page_between_lose_nothing(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_at = 1_700_006_400 * 10**9
    hole = 2 * case.page  # so that one page at least has nothing
    contract = replace(
        case.contract, listed_at=start_at + 20 * MINUTE, delisted_at=start_at + (hole + 300) * MINUTE
    )
    (whole,) = random_walk((contract,), bars=hole + 400, start_at=start_at).reels
    kept = np.r_[0:90, 90 + hole : len(whole.trades)]
    other = random_walk((replace(case.contract, base="ETH"),), bars=hole + 400, start_at=start_at).reels[0]
    tape = Tape((Reel(contract=contract, prices={"trade": whole.trades[kept]}), other))
    lake = Lake(tmp_path / "lake")

    with playing(case, tape, monkeypatch):
        (fetched,) = bring(case, wish_for(case, start_at - 30 * DAY), lake, tape)

    truth = on_tape(case, tape.reels[0], "bars", 0, tape.last_at)
    np.testing.assert_array_equal(in_lake(case, lake, "bars"), truth)
    assert (fetched.first_at, fetched.missing) == (contract.listed_at, hole)
    assert fetched.last_at == contract.delisted_at - MINUTE


@pytest.mark.parametrize(
    "case",
    [c for c in CASES.values() if "funding" in c.has],
    ids=[n for n, c in CASES.items() if "funding" in c.has],
)
def test_funding_is_whole_where_its_interval_changes(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reel,) = random_walk((case.contract,), bars=85 * 24, interval=HOUR).reels
    days = (reel.trades.opened_at - reel.trades.opened_at[0]) // DAY
    every = np.select([days < 15, days < 30], [8 * HOUR, 4 * HOUR], HOUR)
    settled_at = reel.trades.opened_at[reel.trades.opened_at % every == 0] + 3 * MILLISECOND  # as venues do
    funding = Samples(settled_at, np.round(np.sin(np.arange(len(settled_at))) * 1e-4, 8))
    tape = Tape((replace(reel, funding=funding),))
    lake = Lake(tmp_path / "lake")

    with playing(case, tape, monkeypatch):
        bring(case, wish_for(case, tape.first_at, interval=HOUR, measures=("funding",)), lake, tape)

    stored = in_lake(case, lake, "funding")
    assert len(stored) == 15 * 3 + 15 * 6 + 55 * 24
    np.testing.assert_array_equal(stored, np.column_stack([settled_at, funding.value]))


@every_case
def test_days_of_years_come_whole_although_windows_are_limited(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = random_walk((case.contract,), bars=450, interval=DAY)
    lake = Lake(tmp_path / "lake")

    with playing(case, tape, monkeypatch):
        (fetched,) = bring(case, wish_for(case, tape.first_at - 300 * DAY, interval=DAY), lake, tape)

    truth = on_tape(case, tape.reels[0], "bars", 0, tape.last_at)
    assert (fetched.rows, fetched.missing) == (450, 0)
    np.testing.assert_array_equal(in_lake(case, lake, "bars", DAY), truth)


@pytest.mark.parametrize(
    ("case", "measure"),
    [pytest.param(c, m, id=f"{name} {m}") for name, c in CASES.items() for m in c.lacks],
)
def test_what_a_venue_does_not_have_is_said_and_nothing_is_made_up(
    case: Case, measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = random_walk((case.contract,), bars=30)
    lake = Lake(tmp_path / "lake")

    with (
        playing(case, tape, monkeypatch),
        pytest.raises(
            VenueError, match=rf"^{case.venue}: has no history of {measure}( for {case.contract.name})?\.$"
        ),
    ):
        bring(case, wish_for(case, tape.first_at, measures=(measure,)), lake, tape)

    assert list(lake.series(case.venue)) == []


@pytest.mark.parametrize(
    ("name", "interval", "sentence"),
    [
        ("bybit", 2 * HOUR, r"has no open interest of 2h\. It has 5m, 15m, 30m, 1h, 4h, 1d\.$"),
        ("okx", DAY, r"has no open interest of 1d\. It has 5m, 1h\.$"),  # but days of Hong Kong
    ],
)
def test_open_interest_of_a_step_that_a_venue_lacks_is_refused(
    name: str, interval: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, tape = CASES[name], random_walk((CASES[name].contract,), bars=3 * 24, interval=HOUR)

    with playing(case, tape, monkeypatch), pytest.raises(VenueError, match=sentence):
        bring(
            case,
            wish_for(case, tape.first_at, interval=interval, measures=("open-interest",)),
            Lake(tmp_path / "lake"),
            tape,
        )


@pytest.mark.parametrize("interval", [MINUTE, HOUR])
def test_open_interest_of_binance_is_never_known_before_it_was_taken(
    interval: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive stamps samples 5 minutes early since June 2026; of REST nobody knows, so it counts as if it did."""
    case = replace(CASES["binanceusdm"], late=SAMPLE)
    tape = random_walk((case.contract,), bars=3_000, start_at=parse_instant("2026-07-01"))
    lake = Lake(tmp_path / "lake")

    with playing(case, tape, monkeypatch):
        bring(case, wish_for(case, tape.first_at, interval=interval, measures=("open-interest",)), lake, tape)

    stored = in_lake(case, lake, "open-interest", interval)
    truth = on_tape(case, tape.reels[0], "open-interest", 0, tape.last_at)
    np.testing.assert_array_equal(stored, truth[truth[:, 0] % interval == 0])
    assert len(stored) == {MINUTE: 599, HOUR: 49}[interval]
