"""Venues without a network: what their recorded answers mean, what names mean, and what is known before asking.

That every venue's pages join to a whole is tested in `test_fetch_venues.py`.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from decimal import Decimal
from typing import Any, TypeVar

import polars as pl
import pytest

from longshort.base.clock import DAY, MINUTE, Interval, parse_instant
from longshort.base.errors import MissingExtra, VenueError
from longshort.base.instrument import MaintenanceTier
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.guard import Credentials
from longshort.connect.known_venues import MEANT, Kind
from longshort.connect.listing import Listing, read_listings, read_tiers, resolve, with_tiers
from longshort.connect.pages import page
from longshort.connect.retry import Refusal
from longshort.connect.venues import capabilities, ccxt_ids, find_venue
from tests.loopback import BTC, Contract, HandClock, loopback, random_walk
from tests.recorded import ANSWERS, FIXTURES, Wire

Got = TypeVar("Got")
Row = list[float]
ONE_MINUTE = Interval.parse("1m")
NOW = parse_instant("2026-01-01")
LAST = Contract(base="OLD", listed_at=0, delisted_at=1_700_030_000 * 10**9)
QUARTER = Contract(base="BTC", expires_at=1_703_836_800 * 10**9)

needs_recordings = pytest.mark.skipif(
    not FIXTURES.is_dir(),
    reason="needs recorded answers in ../shared/fixtures/ccxt, which do not ship with it",
)


def ask(venue: str, question: Callable[[Exchange], Awaitable[Got]]) -> Got:
    """Run a question on a client whose wire gives recorded answers."""

    async def session() -> Got:
        async with Exchange(venue) as exchange:
            exchange.client.timeout_on_exit = 1
            exchange.client.fetch = Wire(venue).fetch
            exchange.pacer.unit_ms = 0.0
            exchange.seen_at = NOW
            return await question(exchange)

    return asyncio.run(session())


def shape(listing: Listing) -> tuple[object, ...]:
    """What an order's size depends on."""
    traded = listing.instrument
    return (
        listing.id,
        traded.symbol,
        str(traded.tick),
        str(traded.lot),
        str(traded.contract_size),
        traded.inverse,
    )


CONTRACTS = {
    "binanceusdm": {
        "BTC/USDT:USDT": ("BTCUSDT", "BTCUSDT", "0.1", "0.001", "1", False),
        "BTC/USDT:USDT-220325": ("BTCUSDT_220325", "BTCUSDT-220325", "0.1", "0.001", "1", False),
    },
    "binancecoinm": {
        "BTC/USD:BTC-200925": ("BTCUSD_200925", "BTCUSD.BTC-200925", "0.1", "1", "100", True),
    },
    "bybit": {
        "BTC/USDT:USDT": ("BTCUSDT", "BTCUSDT", "0.5", "0.001", "1", False),
        "BTC/USD:BTC": ("BTCUSD", "BTCUSD.BTC", "0.5", "1", "1", True),
    },
    "bitget": {
        "BTC/USDT:USDT": ("BTCUSDT", "BTCUSDT", "0.1", "0.001", "1", False),
        "BTC/USD:BTC": ("BTCUSD", "BTCUSD.BTC", "0.1", "0.001", "1", True),
    },
    "bingx": {
        "BTC/USDT:USDT": ("BTC-USDT", "BTCUSDT", "0.1", "0.0001", "1", False),
        "BTC/USD:BTC": ("BTC-USD", "BTCUSD.BTC", "0.1", "1", "100", True),  # no lot is told: the least amount
    },
    "okx": {
        "BTC/USDT:USDT": ("BTC-USDT-SWAP", "BTCUSDT", "0.1", "0.01", "0.01", False),
        "BTC/USD:BTC": ("BTC-USD-SWAP", "BTCUSD.BTC", "0.1", "1", "100", True),
        "BTC/USD:BTC-241227": ("BTC-USD-241227", "BTCUSD.BTC-241227", "0.1", "1", "100", True),
    },
    "krakenfutures": {
        "ETH/USD:USD": ("PF_ETHUSD", "ETHUSD", "0.1", "0.001", "1", False),
        "BTC/USD:BTC": ("PI_XBTUSD", "BTCUSD.BTC", "0.5", "1", "1", True),
        "PEPE/USD:USD": ("PF_PEPEUSD", "PEPEUSD", "1E-10", "1000", "1", False),
    },
}


@needs_recordings
@pytest.mark.parametrize("venue", ANSWERS)
def test_contracts_have_the_steps_and_sizes_of_their_venue(venue: str) -> None:
    listings = ask(venue, lambda exchange: exchange.listings())

    assert {name: shape(listings[name]) for name in CONTRACTS[venue]} == CONTRACTS[venue]


WRITTEN: dict[tuple[str, str, Kind, str], list[Row]] = {
    # instants in ms, prices and volume (base coins, inverse: contracts), rates, open interest
    ("binanceusdm", "BTC/USDT:USDT", "bars", "1w"): [
        [1499040000000, 0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815]
    ],
    ("binanceusdm", "BTC/USDT:USDT", "mark", "1m"): [
        [1591256460000, 9653.29201333, 9654.56401333, 9653.07367333, 9653.07367333]
    ],
    ("binanceusdm", "BTC/USDT:USDT", "funding", ""): [[1570608000000, -0.0375], [1570636800000, 0.0001]],
    ("binanceusdm", "BTC/USDT:USDT", "open-interest", "5m"): [
        [1583127900000, 20403.637], [1583128200000, 20401.367],
    ],
    ("binancecoinm", "BTC/USD:BTC-200925", "bars", "1m"): [
        [1591258320000, 9640.7, 9642.4, 9640.6, 9642.0, 206]
    ],
    ("binancecoinm", "BTC/USD:BTC-200925", "open-interest", "5m"): [[1583128500000, 20401]],  # 5 minutes late
    ("bybit", "BTC/USDT:USDT", "bars", "1m"): [[1709891679000, 27450, 27460, 27440, 27455, 123.45]],
    ("bitget", "BTC/USDT:USDT", "bars", "5m"): [
        [1695835800000, 26210.5, 26210.5, 26194.5, 26194.5, 26.26],
        [1695836100000, 26194.5, 26194.5, 26171, 26171, 17.98],
    ],
    ("bitget", "BTC/USDT:USDT", "mark", "5m"): [
        [1695835800000, 26210.5, 26210.5, 26194.5, 26194.5],
        [1695836100000, 26194.5, 26194.5, 26171, 26171],
    ],
    ("bitget", "BTC/USDT:USDT", "funding", ""): [[1695715200000, 0.000013], [1695776400000, 0.0005]],
    ("bingx", "BTC/USDT:USDT", "bars", "1m"): [[1702717200000, 0.7034, 0.7081, 0.7033, 0.7065, 635494]],
    ("bingx", "BTC/USDT:USDT", "mark", "1m"): [[1705820520000, 0.7034, 0.7081, 0.7033, 0.7065]],
    ("okx", "BTC/USDT:USDT", "bars", "1m"): [
        [1747093980000, 102806, 102820.5, 102783.1, 102806.1, 71.6404],
        [1747094040000, 102806.1, 102820.4, 102806.1, 102820.4, 10.4037],
    ],
    ("krakenfutures", "BTC/USD:BTC", "bars", "1h"): [
        [1731715200000, 91069, 91373.5, 90956, 91045.5, 319499],
        [1731718800000, 91045.5, 91488.5, 91045.5, 91415, 2407],
        [1731722400000, 91415, 91490.5, 91415, 91490.5, 4995],
    ],
    ("krakenfutures", "BTC/USD:BTC", "funding", ""): [
        [1752163200000, 0.00015], [1752192000000, -0.00005], [1752220800000, 0.0001],
    ],
}  # fmt: skip


@needs_recordings
@pytest.mark.parametrize(("asked", "rows"), WRITTEN.items(), ids=lambda value: " ".join(map(str, value))[:40])
def test_what_was_recorded_reads_as_it_was_written(
    asked: tuple[str, str, Kind, str], rows: list[Row]
) -> None:
    venue, symbol, kind, length = asked
    interval = Interval.parse(length) if length else None
    last_ms = int(rows[-1][0]) + (interval.ns // 10**6 if interval else 1)
    window = Window(int(rows[0][0]) * 10**6, last_ms * 10**6)

    async def read(exchange: Exchange) -> list[Row]:
        listing = (await exchange.listings())[symbol]
        exchange.seen_at = window.to_at + MINUTE  # as old as it is now, open interest is remembered by nobody
        table = await page(exchange, kind, listing, interval, window)
        return [list(row) for row in table.with_columns(table.to_series(0).dt.timestamp("ms")).iter_rows()]

    assert ask(venue, read) == rows


@needs_recordings
def test_a_dated_future_has_no_funding() -> None:
    async def refused(exchange: Exchange) -> object:
        listing = (await exchange.listings())["BTC/USD:BTC-241227"]
        return await page(exchange, "funding", listing, None, Window(0, MINUTE))

    with pytest.raises(VenueError, match=r"^okx: has no history of funding for BTC/USD:BTC-241227\.$"):
        ask("okx", refused)


def test_binance_lists_what_trades_what_is_gone_and_what_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read() -> dict[str, Listing]:
        async with Exchange("binanceusdm") as exchange:
            exchange.client.timeout_on_exit = 20
            return await exchange.listings()

    tape = random_walk((BTC, LAST, QUARTER), bars=1_500)
    with loopback(tape, clock=HandClock(tape.last_at)) as server:
        server.redirect(monkeypatch)
        listings = asyncio.run(read())

    assert (listings["OLD/USDT:USDT"].active, listings["BTC/USDT:USDT"].active) == (False, True)
    quarter = listings["BTC/USDT:USDT-231229"]
    told = (quarter.contract, quarter.id, quarter.expires_at)
    assert told == ("future", "BTCUSDT_231229", QUARTER.expires_at)


def test_a_bar_that_gate_counts_in_contracts_comes_in_base_coins() -> None:
    market = {"BTC/USDT:USDT": _market("BTC/USDT:USDT", contractSize=0.0001)}

    async def read(exchange: Exchange) -> pl.DataFrame:
        listing = read_listings(market, exchange.client, "gate", 0)["BTC/USDT:USDT"]
        exchange.client.markets = {}
        exchange.client.fetch_ohlcv = _one_bar  # what ccxt makes of gate's answer
        exchange.seen_at = DAY
        return await page(exchange, "bars", listing, ONE_MINUTE, Window(0, MINUTE))

    async def session() -> pl.DataFrame:
        async with Exchange("gate") as exchange:
            exchange.client.timeout_on_exit = 1
            return await read(exchange)

    assert asyncio.run(session())["volume"].to_list() == [pytest.approx(1.5)]


async def _one_bar(*asked: Any) -> list[list[float]]:
    return [[0, 1.0, 2.0, 0.5, 1.5, 15_000.0]]


def _market(symbol: str, **fields: Any) -> dict[str, Any]:
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    kind = "spot" if not settle else "future" if "-" in settle else "swap"
    coin = settle.partition("-")[0]
    plain = {
        "symbol": symbol,
        "id": symbol.replace("/", ""),
        "type": kind,
        "base": base,
        "quote": quote,
        "settle": coin,
    }
    return plain | {"inverse": coin == base} | fields


class _Digits:
    precisionMode = 2  # noqa: N815 ccxt's name


class _Ticks:
    precisionMode = 4  # noqa: N815


def test_what_a_venue_leaves_out_falls_back_to_what_is_stated() -> None:
    traded = read_listings({"X": _market("X/USDT:USDT")}, _Ticks(), "v", 7)["X"]

    assert traded.instrument.tick == Decimal("0.00000001")
    assert (traded.instrument.lot, traded.instrument.contract_size, traded.instrument.min_notional) == (
        1,
        1,
        0,
    )
    assert (traded.active, traded.listed_at, traded.seen_at) == (True, None, 7)


def test_precision_in_digits_becomes_a_step() -> None:
    market = _market("X/USDT:USDT", precision={"price": 2, "amount": 0})

    traded = read_listings({"X": market}, _Digits(), "v", 0)["X"].instrument

    assert (traded.tick, traded.lot) == (Decimal("0.01"), Decimal(1))


def test_tiny_and_large_steps_are_exact() -> None:
    market = _market(
        "X/USDT:USDT", precision={"price": 1e-10, "amount": 1000.0}, limits={"cost": {"min": 5.5}}
    )

    traded = read_listings({"X": market}, _Ticks(), "v", 0)["X"].instrument

    assert (traded.tick, traded.lot, traded.min_notional) == (Decimal("1E-10"), Decimal(1000), Decimal("5.5"))


NAMES = (
    "BTC/USDT:USDT",
    "BTC/USDT",
    "ETH/USDT:USDT",
    "BTC/USD:BTC",
    "BTC/USDT:USDT-251226",
    "BTC/USDC:USDC",
    "SOL/USDT:USDT",
)


@pytest.fixture
def listed() -> dict[str, Listing]:
    ids = {"BTC/USD:BTC": "BTCUSD_PERP", "BTC/USDT:USDT": "BTCUSDT", "BTC/USDT": "BTCUSDT"}
    markets = {name: _market(name) | ({"id": ids[name]} if name in ids else {}) for name in NAMES}
    return read_listings(markets, _Ticks(), "somewhere", 0)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("BTC/USDT:USDT", "BTC/USDT:USDT"),
        (" btc/usdt:usdt ", "BTC/USDT:USDT"),
        ("BTCUSDT", "BTC/USDT:USDT"),
        ("btcusdt", "BTC/USDT:USDT"),
        ("BTCUSD_PERP", "BTC/USD:BTC"),
        ("BTCUSD.BTC", "BTC/USD:BTC"),
        ("BTCUSDT-251226", "BTC/USDT:USDT-251226"),
    ],
)
def test_a_contract_is_found_by_any_of_its_names(text: str, meant: str, listed: dict[str, Listing]) -> None:
    assert resolve(listed, text).unified == meant


def test_a_spot_market_is_found_where_spot_is_meant(listed: dict[str, Listing]) -> None:
    assert resolve(listed, "BTCUSDT", market="spot").unified == "BTC/USDT"


def test_a_spot_symbol_on_a_futures_venue_names_the_future(listed: dict[str, Listing]) -> None:
    with pytest.raises(VenueError, match=r"'ETH/USDT' is a spot symbol.* Write ETH/USDT:USDT\.$"):
        resolve(listed, "ETH/USDT")


def test_an_unknown_symbol_names_the_three_nearest(listed: dict[str, Listing]) -> None:
    with pytest.raises(
        VenueError, match=r"^somewhere: has no contract 'BTCUSTD'\. The nearest are BTC/USDT:USDT, "
    ) as unknown:
        resolve(listed, "BTCUSTD")

    assert unknown.value.remedy.count(", ") == 2


def test_a_symbol_of_several_contracts_lists_them(listed: dict[str, Listing]) -> None:
    twice = {
        **listed,
        "twin": read_listings({"twin": _market("BTC/USDT:BTC", id="BTCUSDT")}, _Ticks(), "v", 0)["twin"],
    }

    with pytest.raises(
        VenueError, match=r"'BTCUSDT' could be BTC/USDT:USDT, BTC/USDT:BTC\. Write one of these\."
    ):
        resolve(twice, "BTCUSDT")


def test_bitmex_is_closed_and_its_history_can_be_imported() -> None:
    with pytest.raises(VenueError) as closed:
        find_venue("BitMEX")

    assert str(closed.value) == (
        "bitmex: BitMEX stopped trading on 2026-09-23 and ccxt has no class for it. Its history can be imported from "
        "files with `longshort import --venue bitmex FILES`."
    )


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("binance", "binanceusdm or binancecoinm"),
        ("binanse", "binanceusdm or binancecoinm"),
        ("Binance USD-M", "binanceusdm or binancecoinm"),
        ("binance-coinm", "binancecoinm"),
        ("binanceus", "binanceusdm or binancecoinm"),
        ("bybt", "bybit"),
        ("bitgt", "bitget"),
        ("bingex", "bingx"),
        ("okex", "okx"),
        ("kraken", "krakenfutures"),
        ("krakn", "krakenfutures"),
        ("kucoin", "kucoinfutures"),
        ("gateio", "gate"),
        ("huobi", "htx"),
        ("deribt", "deribit"),
    ],
)
def test_a_venue_that_is_not_meant_exactly_is_suggested_and_not_guessed(text: str, near: str) -> None:
    with pytest.raises(VenueError) as unknown:
        find_venue(text)

    assert (
        str(unknown.value) == f"venue: there is no futures venue of the name {text!r}. Did you mean {near}?"
    )


def test_a_name_like_no_other_leads_to_the_list() -> None:
    with pytest.raises(VenueError, match=r"of the name 'xyzzy'\. `longshort venues` lists what there is\."):
        find_venue("xyzzy")


def test_a_branch_of_a_venue_has_its_habits() -> None:
    assert find_venue("myokx").counts_contracts == find_venue("okx").counts_contracts
    assert find_venue("bybitid").rows == find_venue("bybit").rows


@pytest.mark.parametrize("venue", [name for name in ccxt_ids() if name not in MEANT])
def test_every_venue_of_ccxt_tells_what_it_offers_without_a_network(venue: str) -> None:
    offered = capabilities(venue)

    assert offered.venue == venue
    assert 1 <= offered.page_rows <= 5_000
    assert "1M" not in offered.intervals
    assert ("bars" in offered.kinds) >= bool(offered.kinds)


def test_a_venue_without_futures_says_so_before_anything_is_asked() -> None:
    said = {venue: _said(venue) for venue in ccxt_ids() if venue not in MEANT}

    refused = {venue for venue, words in said.items() if words}
    assert refused >= {"bithumb", "bitvavo", "coinbaseexchange", "luno", "upbit", "zaif"}
    assert refused.isdisjoint({"binanceusdm", "bybit", "deribit", "gemini", "hyperliquid", "phemex"})
    assert {said[venue] for venue in refused} == {
        f"{venue}: has no futures, as far as ccxt knows. `longshort venues` lists venues that have."
        for venue in refused
    }


def _said(venue: str) -> str:
    try:
        Exchange(venue)
    except VenueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("venue", "method", "wanted"),
    [
        ("mudrex", "fetch_markets", "secret"),
        ("woofipro", "fetch_ohlcv", "apiKey"),
        ("modetrade", "fetch_ohlcv", "apiKey"),
    ],
)
def test_a_venue_that_tells_its_data_to_its_clients_only_says_so(
    venue: str, method: str, wanted: str
) -> None:
    async def session() -> object:
        async with Exchange(venue) as exchange:
            client = exchange.client
            client.timeout_on_exit = 1
            client.set_markets([client.safe_market_structure(_market("BTC/USDT:USDT", swap=True, info={}))])
            return await exchange.read(method, *["BTC/USDT:USDT"][: method == "fetch_ohlcv"])

    with pytest.raises(
        Refusal, match=rf"^{venue}: tells this to owners of an account only: it wants '{wanted}'\."
    ):
        asyncio.run(session())


def test_what_is_known_of_binance_is_told() -> None:
    offered = capabilities("binanceusdm")

    assert offered.kinds == ("bars", "mark", "index", "funding", "open-interest")
    assert (offered.archive, offered.sandbox, offered.websocket_bars) == (True, True, True)
    assert offered.history_days == {"open-interest": 30}
    assert "1s" not in offered.intervals
    assert json.loads(json.dumps(asdict(offered)))["history_days"] == {"open-interest": 30}


def test_a_venue_that_remembers_so_many_bars_only_is_not_asked_for_more() -> None:
    asked: list[int] = []

    async def bars(symbol: str, length: str, since: int, limit: int, params: object) -> list[list[float]]:
        asked.append(since)
        return [[since, 1.0, 1.0, 1.0, 1.0, 1.0]]

    async def session() -> None:
        async with Exchange("hyperliquid") as exchange:
            exchange.client.timeout_on_exit = 1
            exchange.client.fetch_ohlcv = bars
            exchange.client.markets = {}
            exchange.seen_at = NOW
            listing = read_listings({"X": _market("X/USDC:USDC")}, exchange.client, "hyperliquid", 0)["X"]
            for days in (6, 4, 2):
                at = NOW - days * DAY
                await page(exchange, "bars", listing, ONE_MINUTE, Window(at, at + MINUTE))

    asyncio.run(session())

    assert asked == [(NOW - 2 * DAY) // 10**6]  # 5000 minutes are less than four days


def test_without_ccxt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)

    with pytest.raises(MissingExtra, match=r"^ccxt is not installed\. Install it with"):
        Exchange("bybit")


def test_no_key_is_taken_where_ccxt_would_sign_a_fee_for_others() -> None:
    with pytest.raises(
        VenueError, match="hyperliquid: is for public data only: ccxt's client signs a builder fee"
    ):
        Exchange("hyperliquid", credentials=Credentials(key="k", secret="s"))  # noqa: S106


def test_hyperliquid_signs_nothing_for_others_even_so() -> None:
    options = Exchange("hyperliquid").client.options

    assert (options["builderFee"], options["approvedBuilderFee"], options["refSet"]) == (False, True, True)


def test_tiers_are_asked_where_they_are_public() -> None:
    rows = [
        {"maxNotional": 50_000, "maintenanceMarginRate": 0.004, "maxLeverage": 125},
        {"maintenanceMarginRate": None},
    ]

    async def told(symbol: str) -> list[dict[str, Any]]:
        return rows

    async def session() -> tuple[Listing, Listing]:
        async with Exchange("bybit") as exchange, Exchange("binanceusdm") as private:
            exchange.client.timeout_on_exit = private.client.timeout_on_exit = 1
            exchange.client.fetch_market_leverage_tiers = told
            listing = read_listings({"X": _market("X/USDT:USDT")}, _Ticks(), "v", 0)["X"]
            return await with_tiers(exchange, listing), await with_tiers(private, listing)

    public, private = asyncio.run(session())

    assert public.tiers == (
        MaintenanceTier(
            from_notional=0.0,
            to_notional=50_000.0,
            maintenance_rate=0.004,
            maintenance_amount=0.0,
            max_leverage=125.0,
        ),
    )
    assert private.tiers == ()


def test_the_margin_of_a_position_has_no_step_where_two_tiers_meet() -> None:
    ends = [600_000, 50_000, 3_000_000, None]
    rates = [0.005, 0.004, 0.0125, 0.05]
    rows = [{"maxNotional": e, "maintenanceMarginRate": r} for e, r in zip(ends, rates, strict=True)]

    tiers = read_tiers(rows)

    assert [tier.from_notional for tier in tiers] == [0, 50_000, 600_000, 3_000_000]
    for below, above in itertools.pairwise(tiers):
        margins = [below.to_notional * t.maintenance_rate - t.maintenance_amount for t in (below, above)]
        assert margins[0] == pytest.approx(margins[1], rel=1e-12)
    assert {tier.max_leverage for tier in tiers} == {1.0}  # what is not told adds no exposure
