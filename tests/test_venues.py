"""The venues of the mission, each in its own words, through the real ccxt client: contracts, bars, funding, names."""

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import polars as pl
import pytest

from longshort.base.clock import DAY, HOUR, MINUTE, Interval
from longshort.base.errors import MissingExtra, VenueError
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.guard import Credentials
from longshort.connect.known_venues import VENUES, Kind
from longshort.base.instrument import MaintenanceTier
from longshort.connect.listing import Listing, read_listings, read_tiers, resolve, with_tiers
from longshort.connect.pacing import Timing
from longshort.connect.pages import first_listed, page, span
from longshort.connect.venues import capabilities, find_venue
from tests.loopback import BTC, BTC_INVERSE, ETH, Contract, HandClock, loopback, random_walk
from tests.recorded import FIRST, FIXTURES, FUNDING, Wire, candle, rate, stamps

Got = TypeVar("Got")
MILLISECOND = 1_000_000
ONE_MINUTE, ONE_HOUR = Interval.parse("1m"), Interval.parse("1h")
NOW = 1_700_006_400_000 + 90_000  # 2023-11-15 00:01:30Z
LAST = Contract(base="OLD", listed_at=0, delisted_at=1_700_030_000 * 10**9)
QUARTER = Contract(base="BTC", expires_at=1_703_836_800 * 10**9)
OTHERS = ("bybit", "bitget", "bingx", "okx", "krakenfutures")
LINEAR = {"krakenfutures": "ETH/USD:USD"}

needs_recordings = pytest.mark.skipif(
    not FIXTURES.is_dir(),
    reason="needs recorded answers in ../shared/fixtures/ccxt, which do not ship with it",
)


def ask(venue: str, question: Callable[[Exchange, Wire], Awaitable[Got]]) -> Got:
    """Run a question on a client whose wire is a recorded venue."""

    async def session() -> Got:
        wire = Wire(venue, NOW)
        timing = Timing(clock=HandClock(NOW * MILLISECOND))  # for venues that do not tell the time
        async with Exchange(venue, timing=timing) as exchange:
            exchange.client.timeout_on_exit = 1
            exchange.client.fetch = wire.fetch
            exchange.pacer.unit_ms = 0.0
            return await question(exchange, wire)

    return asyncio.run(session())


async def everything(
    exchange: Exchange, kind: Kind, interval: Interval | None, window: Window
) -> pl.DataFrame:
    """All rows of a window of any length, page by page."""
    symbol = LINEAR.get(exchange.venue.id, "BTC/USDT:USDT")
    listing = (await exchange.listings())[symbol]
    step = span(exchange, kind, interval)
    starts = range(window.from_at, window.to_at, step)
    windows = [Window(at, min(at + step, window.to_at)) for at in starts]
    return pl.concat([await page(exchange, kind, listing, interval, part) for part in windows])


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
@pytest.mark.parametrize("venue", OTHERS)
def test_contracts_have_the_steps_and_sizes_of_their_venue(venue: str) -> None:
    listings = ask(venue, lambda exchange, wire: exchange.listings())

    assert {name: shape(listings[name]) for name in CONTRACTS[venue]} == CONTRACTS[venue]


@needs_recordings
@pytest.mark.parametrize("venue", OTHERS)
def test_bars_are_complete_over_several_pages(venue: str) -> None:
    window = Window((NOW - 2_500 * 60_000) // 60_000 * 60_000 * MILLISECOND, (NOW + 600_000) * MILLISECOND)

    rows = ask(venue, lambda exchange, wire: everything(exchange, "bars", ONE_MINUTE, window))

    at = stamps(60_000, window.from_at // MILLISECOND, NOW - 60_000, NOW)
    assert rows["opened_at"].dt.timestamp("ms").to_list() == at
    assert rows.drop("opened_at").rows() == [tuple(candle(t)) for t in at]


@needs_recordings
@pytest.mark.parametrize("venue", OTHERS)
def test_bars_older_than_all_trading_are_asked_for_twice_and_are_none(venue: str) -> None:
    window = Window((FIRST - 6_000_000) * MILLISECOND, FIRST * MILLISECOND)

    async def before(exchange: Exchange, wire: Wire) -> tuple[int, int]:
        await exchange.listings()
        await exchange.server_now()
        asked = len(wire.requests)
        rows = await everything(exchange, "bars", ONE_MINUTE, window)
        return rows.height, len(wire.requests) - asked

    assert ask(venue, before) == (0, 2)


@needs_recordings
@pytest.mark.parametrize("venue", OTHERS)
def test_funding_is_complete_however_the_venue_pages_it(venue: str) -> None:
    window = Window((NOW - 80 * 86_400_000) * MILLISECOND, NOW * MILLISECOND)

    rows = ask(venue, lambda exchange, wire: everything(exchange, "funding", None, window))

    at = stamps(FUNDING, window.from_at // MILLISECOND, NOW, NOW)
    assert len(at) == 240
    assert rows["settled_at"].dt.timestamp("ms").to_list() == at
    assert rows["rate"].to_list() == [rate(t) for t in at]


@needs_recordings
@pytest.mark.parametrize("venue", ["bybit", "okx"])
def test_open_interest_of_linear_contracts_is_in_base_coins(venue: str) -> None:
    window = Window((NOW // 3_600_000 - 300) * HOUR, NOW // 3_600_000 * HOUR)

    rows = ask(venue, lambda exchange, wire: everything(exchange, "open-interest", ONE_HOUR, window))

    at = rows["sampled_at"].dt.timestamp("ms").to_list()
    assert at == stamps(3_600_000, window.from_at // MILLISECOND, window.to_at // MILLISECOND, NOW)
    assert rows["open_interest"].to_list() == pytest.approx([t / 3_600_000 for t in at])


@needs_recordings
@pytest.mark.parametrize("venue", OTHERS)
def test_a_series_begins_on_its_first_day_whatever_the_venue_says_of_listing(venue: str) -> None:
    async def begins(exchange: Exchange, wire: Wire) -> int:
        listing = (await exchange.listings())[LINEAR.get(venue, "BTC/USDT:USDT")]
        return await first_listed(exchange, listing, "bars", ONE_MINUTE)

    assert ask(venue, begins) == FIRST * MILLISECOND


@needs_recordings
@pytest.mark.parametrize(
    ("venue", "kind", "symbol"),
    [
        ("bingx", "index", "BTC/USDT:USDT"),  # ccxt would give traded prices for it
        ("bingx", "mark", "BTC/USD:BTC"),
        ("bingx", "open-interest", "BTC/USDT:USDT"),
        ("bitget", "open-interest", "BTC/USDT:USDT"),
        ("okx", "funding", "BTC/USD:BTC-241227"),
    ],
)
def test_what_a_venue_does_not_have_is_said_and_not_made_up(venue: str, kind: Kind, symbol: str) -> None:
    async def refused(exchange: Exchange, wire: Wire) -> object:
        listing = (await exchange.listings())[symbol]
        return await page(exchange, kind, listing, ONE_MINUTE, Window(0, HOUR))

    with pytest.raises(VenueError, match=rf"^{venue}: has no history of {kind} for {symbol}\.$"):
        ask(venue, refused)


@needs_recordings
def test_an_interval_that_a_venue_lacks_is_refused_with_those_it_has() -> None:
    window = Window(0, HOUR)

    with pytest.raises(VenueError, match=r"krakenfutures: has no bars of 3m\. It has 1m, 5m, 15m, 30m, 1h"):
        ask(
            "krakenfutures", lambda exchange, wire: everything(exchange, "bars", Interval.parse("3m"), window)
        )


@pytest.fixture
def binance(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Asks one of Binance's markets on the loopback exchange."""
    tape = random_walk((BTC, ETH, BTC_INVERSE, LAST, QUARTER), bars=1_500)

    def run(venue: str, question: Callable[[Exchange], Awaitable[Got]]) -> Got:
        async def session() -> Got:
            async with Exchange(venue) as exchange:
                exchange.client.timeout_on_exit = 20
                return await question(exchange)

        clock = HandClock(tape.last_at + 30 * 10**9)
        with loopback(tape, clock=clock, venues=["binanceusdm", "binancecoinm"]) as server:
            server.redirect(monkeypatch)
            return asyncio.run(session())

    run.tape = tape  # pyright: ignore[reportFunctionMemberAccess]
    return run


def test_binance_lists_what_trades_what_is_gone_and_what_expires(binance: Any) -> None:
    listings = binance("binanceusdm", lambda exchange: exchange.listings())

    assert shape(listings["BTC/USDT:USDT"]) == ("BTCUSDT", "BTCUSDT", "0.1", "0.001", "1", False)
    assert (listings["OLD/USDT:USDT"].active, listings["BTC/USDT:USDT"].active) == (False, True)
    quarter = listings["BTC/USDT:USDT-231229"]
    assert (quarter.contract, quarter.id, quarter.expires_at) == (
        "future",
        "BTCUSDT_231229",
        QUARTER.expires_at,
    )


@pytest.mark.parametrize("kind", ["bars", "mark", "index"])
@pytest.mark.parametrize(
    ("venue", "symbol"), [("binanceusdm", "BTC/USDT:USDT"), ("binancecoinm", "BTC/USD:BTC")]
)
def test_binance_bars_of_every_kind_are_those_of_the_tape(
    venue: str, symbol: str, kind: Kind, binance: Any
) -> None:
    tape = binance.tape
    window = Window(tape.first_at + 700 * MINUTE, tape.first_at + 1_199 * MINUTE)

    async def read(exchange: Exchange) -> pl.DataFrame:
        listing = (await exchange.listings())[symbol]
        return await page(exchange, kind, listing, ONE_MINUTE, window)

    rows = binance(venue, read)

    prices = tape[symbol].prices["trade" if kind == "bars" else kind].between(window.from_at, window.to_at)
    assert rows["opened_at"].dt.timestamp("ms").to_list() == (prices.opened_at // MILLISECOND).tolist()
    columns = [
        "open",
        "high",
        "low",
        "close",
        *(["volume"] if kind == "bars" else []),
    ]  # contracts, if inverse
    truth = prices.values[:, : len(columns)]
    assert rows.select(columns).to_numpy() == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize(
    ("venue", "symbol"), [("binanceusdm", "BTC/USDT:USDT"), ("binancecoinm", "BTC/USD:BTC")]
)
def test_binance_funding_and_open_interest_are_those_of_the_tape(
    venue: str, symbol: str, binance: Any
) -> None:
    reel = binance.tape[symbol]
    window = Window(binance.tape.first_at, binance.tape.first_at + 20 * HOUR)

    async def read(exchange: Exchange) -> tuple[pl.DataFrame, pl.DataFrame]:
        listing = (await exchange.listings())[symbol]
        funding = await page(exchange, "funding", listing, None, window)
        return funding, await page(exchange, "open-interest", listing, ONE_HOUR, window)

    funding, interest = binance(venue, read)

    settled, sampled = (s.between(window.from_at, window.to_at) for s in (reel.funding, reel.open_interest))
    hourly = sampled.at % HOUR == 0
    assert funding["settled_at"].dt.timestamp("ms").to_list() == (settled.at // MILLISECOND).tolist()
    assert funding["rate"].to_list() == pytest.approx(settled.value.tolist())
    assert interest["sampled_at"].dt.timestamp("ms").to_list() == (sampled.at[hourly] // MILLISECOND).tolist()
    assert interest["open_interest"].to_list() == pytest.approx(sampled.value[hourly].tolist())


def test_hourly_funding_is_complete_although_an_answer_holds_only_part(binance: Any) -> None:
    """A page is as long as a thousand settlements every eight hours; a coin that pays hourly fills it eight times."""
    asked: list[dict[str, Any]] = []

    async def read(exchange: Exchange) -> pl.DataFrame:
        listing = (await exchange.listings())["BTC/USDT:USDT"]
        await exchange.server_now()
        first_ms = 1_690_848_000_000

        async def wire(url: str, *sent: Any) -> object:
            start, end = (
                int(url.partition(f"{name}=")[2].partition("&")[0]) for name in ("startTime", "endTime")
            )
            asked.append({"start": start})
            hours = range(-(-max(start, first_ms) // 3_600_000), end // 3_600_000 + 1)
            rows = [
                {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingTime": h * 3_600_000} for h in hours
            ]
            return rows[:1000]

        exchange.client.fetch = wire
        exchange.pacer.unit_ms = 0.0
        exchange.pacer.pause = _no_pause  # pyright: ignore[reportAttributeAccessIssue]
        window = Window(first_ms * MILLISECOND, first_ms * MILLISECOND + 100 * DAY)
        return await page(exchange, "funding", listing, None, window)

    rows = binance("binanceusdm", read)

    assert rows.height == 2_400
    assert len(asked) == 3


async def _no_pause(kind: str, ms: int) -> None: ...


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
        ("bybt", "bybit"),
        ("okex", "okx"),
        ("kraken", "krakenfutures"),
    ],
)
def test_a_venue_that_is_not_meant_exactly_is_suggested_and_not_guessed(text: str, near: str) -> None:
    with pytest.raises(VenueError, match=rf"no futures venue of the name '{text}'\. Did you mean {near}"):
        find_venue(text)


@pytest.mark.parametrize("venue", [*VENUES, "deribit", "phemex"])
def test_every_venue_tells_what_it_offers_without_a_network(venue: str) -> None:
    offered = capabilities(venue)

    assert "bars" in offered.kinds
    assert 100 <= offered.page_rows <= 5_000
    assert "1h" in offered.intervals
    assert "1M" not in offered.intervals


def test_what_is_known_of_binance_is_told() -> None:
    offered = capabilities("binanceusdm")

    assert offered.kinds == ("bars", "mark", "index", "funding", "open-interest")
    assert (offered.archive, offered.sandbox, offered.websocket_bars) == (True, True, True)
    assert offered.history_days == {"open-interest": 30}
    assert "1s" not in offered.intervals


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

    async def session() -> tuple[Listing, Listing]:
        async with Exchange("bybit") as exchange, Exchange("binanceusdm") as private:
            exchange.client.timeout_on_exit = private.client.timeout_on_exit = 1
            exchange.client.fetch_market_leverage_tiers = lambda symbol: _answer(rows)
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


async def _answer(rows: Got) -> Got:
    return rows
