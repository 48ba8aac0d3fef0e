"""The loopback exchange, seen through the unmodified ccxt client."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import ccxt.pro
import numpy as np
import polars as pl
import pytest

from longshort.data.lake import Lake, Series
from tests.loopback import (
    BTC,
    BTC_INVERSE,
    ETH,
    Contract,
    FastClock,
    HandClock,
    Server,
    Tape,
    WallClock,
    folder,
    from_lake,
    loopback,
    random_walk,
    simulated,
)
from tests.loopback.faults import FAULTS, reply
from tests.loopback.trading.account import Account
from tests.loopback.trading.records import Rejected, Wish

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
SYMBOL = "BTC/USDT:USDT"


def ask(
    exchange: Server, work: Callable[[Any], Awaitable[Any]], venue: str = "binanceusdm", **options: Any
) -> Any:
    """What a fresh client with the account's keys gets."""

    async def run() -> Any:
        own = {"rateLimit": 1, "options": {"fetchCurrencies": False}, **exchange.account().credentials}
        async with getattr(ccxt.pro, venue)(own | options) as client:
            client.timeout_on_exit = 0
            await client.load_markets()
            return await work(client)

    return asyncio.run(run())


async def outcome(work: Awaitable[Any]) -> str:
    """The name of the exception, or of the result's type."""
    try:
        return type(await work).__name__
    except ccxt.BaseError as error:
        return type(error).__name__


@pytest.fixture(scope="module")
def tape() -> Tape:
    return random_walk(bars=10_080)


@pytest.fixture
def clock(tape: Tape) -> HandClock:
    return HandClock(tape.last_at)


@pytest.fixture
def exchange(tape: Tape, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with loopback(tape, clock=clock) as server:
        server.redirect(monkeypatch)
        yield server


def test_markets_carry_the_facts_of_their_contracts(exchange: Server) -> None:
    async def work(client: Any) -> Any:
        return client.markets[SYMBOL]

    market = ask(exchange, work)

    assert (market["id"], market["type"], market["active"], market["linear"]) == (
        "BTCUSDT",
        "swap",
        True,
        True,
    )
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert market["limits"]["cost"]["min"] == 5.0


def test_ten_thousand_bars_page_through_whole_and_equal_the_tape(exchange: Server, tape: Tape) -> None:
    async def work(client: Any) -> Any:
        rows: list[list[float]] = []
        for page in range(10):
            since = (tape.first_at + page * 1_000 * MINUTE) // 10**6
            rows += await client.fetch_ohlcv(SYMBOL, "1m", since, 1_000)
        return np.array(rows)

    rows = ask(exchange, work)

    np.testing.assert_array_equal(rows[:, 0], tape[SYMBOL].trades.opened_at[:10_000] // 10**6)
    np.testing.assert_array_equal(rows[:, 1:], tape[SYMBOL].trades.values[:10_000])


def test_hourly_bars_are_made_of_the_minutes(exchange: Server, tape: Tape) -> None:
    async def work(client: Any) -> Any:
        return await client.fetch_ohlcv(SYMBOL, "1h", tape.first_at // 10**6, 2)

    second = ask(exchange, work)[1]

    minutes = tape[SYMBOL].trades.values[60:120]
    by_hand = [
        minutes[0, 0],
        minutes[:, 1].max(),
        minutes[:, 2].min(),
        minutes[-1, 3],
        minutes[:, 4].sum().round(3),
    ]
    assert second[1:] == by_hand


def test_mark_and_index_bars_are_series_of_their_own(exchange: Server, tape: Tape) -> None:
    async def work(client: Any) -> Any:
        since = tape.first_at // 10**6
        return [
            await client.fetch_ohlcv(SYMBOL, "1m", since, 1, {"price": kind}) for kind in ("mark", "index")
        ]

    (mark,), (index,) = ask(exchange, work)

    assert mark[1:5] == tape[SYMBOL].prices["mark"].values[0, :4].tolist()
    assert index[1:5] == tape[SYMBOL].prices["index"].values[0, :4].tolist()
    assert mark[5] == index[5] == 0.0


def test_the_last_row_is_unfinished_until_its_minute_is_over(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock(tape.first_at + 10 * MINUTE + MINUTE // 2)

    async def work(client: Any) -> Any:
        before = await client.fetch_ohlcv(SYMBOL, "1m", None, 1)
        clock.advance(MINUTE // 2)
        return before[-1], (await client.fetch_ohlcv(SYMBOL, "1m", None, 2))[0]

    with loopback(tape, clock=clock) as exchange:
        exchange.redirect(monkeypatch)
        unfinished, closed = ask(exchange, work)

    assert unfinished[0] == closed[0]
    assert closed[1:] == tape[SYMBOL].trades.values[10].tolist()
    assert unfinished[5] < closed[5]


def test_nothing_of_the_future_is_told(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    now = tape.first_at + 2 * DAY

    async def work(client: Any) -> Any:
        bars = await client.fetch_ohlcv(SYMBOL, "1m", now // 10**6 - 60_000, 1_000)
        rates = await client.fetch_funding_rate_history(SYMBOL, tape.first_at // 10**6, 1_000)
        interest = await client.fetch_open_interest_history(SYMBOL, "1h", None, 500)
        return [bar[0] for bar in bars], rates, interest

    with loopback(tape, clock=HandClock(now)) as exchange:
        exchange.redirect(monkeypatch)
        bars, rates, interest = ask(exchange, work)

    assert bars == [now // 10**6 - 60_000, now // 10**6]
    assert len(rates) == 7
    assert rates[-1]["timestamp"] == now // 10**6
    assert interest[-1]["timestamp"] == now // 10**6


def test_open_interest_reaches_back_thirty_days(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = random_walk(bars=40 * 24, interval=60 * MINUTE)

    async def work(client: Any) -> Any:
        old, young = (tape.last_at - days * DAY for days in (31, 29))
        refused = await outcome(client.fetch_open_interest_history(SYMBOL, "1h", old // 10**6, 10))
        return refused, await client.fetch_open_interest_history(SYMBOL, "1h", young // 10**6, 10)

    with loopback(tape) as exchange:
        exchange.redirect(monkeypatch)
        refused, samples = ask(exchange, work)

    assert refused == "BadRequest"
    assert len(samples) == 10


def test_a_delisted_contract_is_settling_and_keeps_its_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    first_at = random_walk(bars=1).first_at
    gone = dataclasses.replace(ETH, listed_at=first_at + 10 * MINUTE, delisted_at=first_at + 60 * MINUTE)

    async def work(client: Any) -> Any:
        bars = await client.fetch_ohlcv("ETH/USDT:USDT", "1m", first_at // 10**6, 500)
        order = await outcome(client.create_order("ETH/USDT:USDT", "market", "buy", 1.0))
        return client.markets["ETH/USDT:USDT"], bars, order

    with loopback(random_walk((BTC, gone), bars=500)) as exchange:
        exchange.redirect(monkeypatch)
        market, bars, order = ask(exchange, work)

    assert (market["active"], market["info"]["status"]) == (False, "SETTLING")
    assert market["created"] == (first_at + 10 * MINUTE) // 10**6
    assert [bars[0][0], bars[-1][0]] == [market["created"], (first_at + 59 * MINUTE) // 10**6]
    assert order == "ExchangeError"


def test_too_much_weight_is_refused_and_then_banned(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(client: Any) -> Any:
        return [await outcome(client.fetch_ohlcv(SYMBOL, "1m", None, 1_000)) for _ in range(16)]

    with loopback(tape, weight_per_minute=16) as exchange:
        exchange.redirect(monkeypatch)
        outcomes = ask(exchange, work)

    assert outcomes[:4] == ["list", "list", "list", "DDoSProtection"]
    assert [r.status for r in exchange.requests][-2:] == [418, 418]


READS = {
    "too-many-requests": "DDoSProtection",
    "ban": "DDoSProtection",
    "rate-limit-400": "RateLimitExceeded",
    "firewall": "ExchangeNotAvailable",
    "500": "ExchangeNotAvailable",
    "502": "ExchangeNotAvailable",
    "503": "ExchangeNotAvailable",
    "520": "ExchangeNotAvailable",
    "522": "ExchangeNotAvailable",
    "504": "RequestTimeout",
    "stall": "RequestTimeout",
    "backend-timeout": "RequestTimeout",
    "reset": "ExchangeNotAvailable",
    "short-body": "ExchangeError",
    "unknown-error": "OperationFailed",
    "disconnected": "OperationFailed",
    "overloaded": "OperationFailed",
    "bad-timestamp": "InvalidNonce",
    "bad-symbol": "BadSymbol",
    "bad-key-format": "AuthenticationError",
    "bad-key": "AuthenticationError",
    "bad-signature": "AuthenticationError",
}
ORDERS = {
    "too-many-orders": "DDoSProtection",
    "no-margin": "InsufficientFunds",
    "small-notional": "InvalidOrder",
    "reduce-only": "InvalidOrder",
    "duplicate-id": "InvalidOrder",
    "would-take": "OrderNotFillable",
    "price-limit": "OperationRejected",
    "restricted": "PermissionDenied",
    "unknown-cancel": "OrderNotFound",
    "unknown-order": "OrderNotFound",
}
BODIES = ("truncated-body", "html-body", "empty-body")  # without a guard ccxt makes something of them
ROWS = ("no-rows", "duplicate", "gap", "disorder")
LOST = ("lost-reply", "lost-reply-502")


def test_faults_of_answers_become_the_exceptions_that_clients_know(exchange: Server) -> None:
    async def work(client: Any) -> Any:
        client.timeout = 500
        found: dict[str, str] = {}
        for name in READS:
            exchange.faults.add(name, path="*/klines", times=2)
            found[name] = await outcome(client.fetch_ohlcv(SYMBOL, "1m", None, 10))
            exchange.faults.clear()
        for name in ORDERS:
            exchange.faults.add(name, path="*/order", method="POST")
            found[name] = await outcome(client.create_order(SYMBOL, "market", "buy", 0.01))
            exchange.faults.clear()
        return found

    assert ask(exchange, work) == READS | ORDERS
    assert exchange.account().orders == {}


def test_every_fault_has_a_test() -> None:
    assert set(FAULTS) == {*READS, *ORDERS, *BODIES, *ROWS, *LOST}


def test_faulty_bodies_and_rows_come_as_they_are(exchange: Server, tape: Tape) -> None:
    async def page(name: str) -> tuple[int, bytes]:
        exchange.faults.add(name, path="*/klines")
        url = "https://fapi.binance.com/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=4"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.read()

    async def minutes(client: Any, name: str) -> list[int]:
        exchange.faults.add(name, path="*/klines")
        raw = await client.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "1m", "limit": 4})
        return [(tape.last_at // 10**6 - row[0]) // 60_000 for row in raw]

    async def work(client: Any) -> Any:
        return [await page(name) for name in BODIES], [await minutes(client, name) for name in ROWS]

    (truncated, html, empty), rows = ask(exchange, work)

    assert {status for status, _ in (truncated, html, empty)} == {200}
    assert (truncated[1][:2], truncated[1][-1:] == b"]") == (b"[[", False)
    assert (html[1][:6], empty[1]) == (b"<html>", b"")
    assert rows == [[], [4, 3, 2, 2], [4, 3], [3, 1, 4, 2]]


def test_a_rule_strikes_when_it_says(exchange: Server) -> None:
    async def work(client: Any) -> Any:
        exchange.faults.add("502", path="*/klines", after=1, times=2)
        return [await outcome(client.fetch_ohlcv(SYMBOL, "1m", None, 1)) for _ in range(4)]

    assert ask(exchange, work) == ["list", "ExchangeNotAvailable", "ExchangeNotAvailable", "list"]


def test_while_the_exchange_is_down_nobody_is_reached(exchange: Server) -> None:
    async def work(client: Any) -> Any:
        with exchange.down():
            refused = await outcome(client.fetch_time())
        return refused, await outcome(client.fetch_time())

    assert ask(exchange, work) == ("ExchangeNotAvailable", "int")


@pytest.mark.parametrize("fault", LOST)
def test_a_reply_may_be_lost_after_the_order_was_filled(exchange: Server, fault: str) -> None:
    async def work(client: Any) -> Any:
        exchange.faults.add(fault, path="*/order", method="POST")
        told = await outcome(
            client.create_order(SYMBOL, "market", "buy", 0.01, None, {"clientOrderId": "mine"})
        )
        return told, await client.fetch_order(None, SYMBOL, {"clientOrderId": "mine"})

    told, order = ask(exchange, work)

    assert told == "ExchangeNotAvailable"
    assert order["filled"] == 0.01
    assert exchange.account().position(SYMBOL) == Decimal("0.01")


def test_a_wrong_signature_a_strange_key_and_an_old_timestamp_are_refused(exchange: Server) -> None:
    async def work(client: Any) -> Any:
        right = await outcome(client.fetch_balance())
        client.options["timeDifference"] = 60_000
        late = await outcome(client.fetch_balance())
        client.options["timeDifference"] = 0
        client.secret = "wrong"  # noqa: S105
        forged = await outcome(client.fetch_balance())
        client.apiKey = "nobody"
        return right, late, forged, await outcome(client.fetch_balance())

    assert ask(exchange, work) == ("dict", "InvalidNonce", "AuthenticationError", "AuthenticationError")


def test_a_client_with_a_wrong_clock_is_right_after_it_has_asked_for_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(client: Any) -> Any:
        early = await outcome(client.fetch_balance())
        await client.load_time_difference()
        return early, await outcome(client.fetch_balance())

    tape = random_walk(bars=10, start_at=time.time_ns() // MINUTE * MINUTE - 5 * MINUTE)
    with loopback(tape, clock=WallClock(), skew=60 * 10**9) as exchange:
        exchange.redirect(monkeypatch)
        assert ask(exchange, work) == ("InvalidNonce", "dict")


def test_orders_fill_and_positions_flip(exchange: Server, tape: Tape) -> None:
    async def work(client: Any) -> Any:
        bought = await client.create_order(SYMBOL, "market", "buy", 0.05)
        sold = await client.create_order(SYMBOL, "market", "sell", 0.08)
        return bought, sold, await client.fetch_positions([SYMBOL]), await client.fetch_balance()

    bought, sold, (position,), balance = ask(exchange, work)

    bid = float(tape[SYMBOL].trades.values[-1, 3])
    assert (bought["average"], sold["average"]) == (pytest.approx(bid + 0.1), bid)
    assert (position["side"], position["contracts"], position["entryPrice"]) == ("short", 0.03, bid)
    fees = 0.0005 * (0.05 * (bid + 0.1) + 0.08 * bid)
    assert balance["USDT"]["total"] == pytest.approx(
        10_000 - 0.05 * 0.1 - fees + position["unrealizedPnl"], abs=1e-6
    )


def test_a_limit_order_fills_when_the_bars_come_to_it(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock(tape.first_at + DAY)
    lows = tape[SYMBOL].trades.values[1440:, 2]
    price = float(np.floor(10 * lows[:60].min()) / 10) - 0.2
    row = int(np.argmax(lows <= price))

    async def work(client: Any) -> Any:
        order = await client.create_order(SYMBOL, "limit", "buy", 0.01, price)
        clock.advance(row * MINUTE)
        waiting = await client.fetch_order(order["id"], SYMBOL)
        clock.advance(MINUTE)
        return waiting["status"], await client.fetch_order(order["id"], SYMBOL)

    with loopback(tape, clock=clock) as exchange:
        exchange.redirect(monkeypatch)
        waiting, order = ask(exchange, work)

    assert waiting == "open"
    assert (order["status"], order["average"]) == ("closed", price)
    assert exchange.account().fills[0].maker


def test_funding_is_paid_by_who_is_long_at_the_hour(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock(tape.first_at + 7 * 60 * MINUTE)

    async def work(client: Any) -> Any:
        await client.create_order(SYMBOL, "market", "buy", 0.05)
        clock.advance(60 * MINUTE)
        return await client.fetch_funding_history(SYMBOL)

    with loopback(tape, clock=clock) as exchange:
        exchange.redirect(monkeypatch)
        (payment,) = ask(exchange, work)

    reel = tape[SYMBOL]
    by_hand = -0.05 * reel.price("mark", clock.now()) * float(reel.funding.value[1])
    assert payment["amount"] == pytest.approx(by_hand, abs=1e-8)


def test_a_stop_waits_on_the_algo_endpoint_and_then_closes_the_position(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock(tape.first_at + DAY)
    trigger = round(float(tape[SYMBOL].trades.values[1440:, 2].min()) + 1.0, 1)

    async def work(client: Any) -> Any:
        await client.create_order(SYMBOL, "market", "buy", 0.05)
        stop = {"stopLossPrice": trigger, "reduceOnly": True}
        await client.create_order(SYMBOL, "market", "sell", 0.05, None, stop)
        waiting = await client.fetch_open_orders(SYMBOL, params={"trigger": True})
        clock.advance(tape.last_at - clock.now())
        return waiting, await client.fetch_open_orders(SYMBOL, params={"trigger": True})

    with loopback(tape, clock=clock) as exchange:
        exchange.redirect(monkeypatch)
        waiting, left = ask(exchange, work)

    assert ([order["triggerPrice"] for order in waiting], left) == ([trigger], [])
    assert exchange.account().position(SYMBOL) == 0


def test_an_inverse_contract_earns_coins() -> None:
    tape = random_walk((BTC_INVERSE,), bars=100)
    clock = HandClock(tape.first_at + 10 * MINUTE)
    account = Account(tape, clock.now)
    bought = account.place(Wish(contract=BTC_INVERSE, side="BUY", quantity=Decimal(10))).average
    clock.advance(60 * MINUTE)

    sold = account.place(Wish(contract=BTC_INVERSE, side="SELL", quantity=Decimal(10))).average

    profit = 10 * 100 * (1 / bought - 1 / sold)
    fees = Decimal("0.0005") * 10 * 100 * (1 / bought + 1 / sold)
    assert float(account.wallet["BTC"] - 1) == pytest.approx(float(profit - fees), abs=2e-8)
    assert bought != sold


def test_long_and_short_legs_are_kept_apart_where_the_account_is_hedged() -> None:
    tape = random_walk((BTC,), bars=10)
    account = Account(tape, lambda: tape.last_at, hedged=True)
    account.place(Wish(contract=BTC, side="BUY", quantity=Decimal("0.03"), leg="LONG"))
    account.place(Wish(contract=BTC, side="SELL", quantity=Decimal("0.02"), leg="SHORT"))

    with pytest.raises(Rejected, match="reduce-only"):
        account.place(Wish(contract=BTC, side="SELL", quantity=Decimal("0.04"), leg="LONG"))
    with pytest.raises(Rejected, match="leg"):
        account.place(Wish(contract=BTC, side="SELL", quantity=Decimal("0.01")))

    held = {p.leg: p.quantity for p in account.ledger.positions()}
    assert held == {"LONG": Decimal("0.03"), "SHORT": Decimal("-0.02")}


def test_a_stream_followed_through_disconnects_equals_the_tape(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FastClock(tape.first_at + DAY, speed=600)

    async def work(client: Any) -> Any:
        seen: dict[int, list[float]] = {}
        lost: list[str] = []
        caught_up = 0
        while len(seen) < 30:
            if len(seen) in (10, 20) and len(lost) < len(seen) // 10:
                exchange.disconnect((1001, 1006)[len(lost)])
            try:
                rows = await client.watch_ohlcv(SYMBOL, "1m")
            except ccxt.NetworkError as error:
                lost.append(str(error))
                continue
            if caught_up < len(
                lost
            ):  # asked for once the stream is back: a bar that ended before would be lost
                rows = [*rows, *await client.fetch_ohlcv(SYMBOL, "1m", max(seen), 100)]
                caught_up = len(lost)
            seen |= {row[0]: list(row[1:]) for row in rows}
        return seen, lost

    with loopback(tape, clock=clock) as exchange:
        exchange.redirect(monkeypatch)
        seen, lost = ask(exchange, work)

    times = sorted(seen)
    first = int(np.searchsorted(tape[SYMBOL].trades.opened_at, times[0] * 10**6))
    expected = tape[SYMBOL].trades.values[first : first + len(times) - 1].tolist()
    assert [code[-4:] for code in lost] == ["1001", "1006"]
    assert [seen[at] for at in times[:-1]] == expected


def test_a_stream_may_fall_silent_or_lose_its_pongs(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(client: Any) -> Any:
        client.streaming["keepAlive"] = 200
        await client.watch_ohlcv(SYMBOL, "1m")
        exchange.sockets.silent = True
        await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.watch_ohlcv(SYMBOL, "1m"), 1.0)
        exchange.sockets.lost_pongs = True
        return await outcome(client.watch_ohlcv(SYMBOL, "1m"))

    with loopback(tape, clock=FastClock(tape.first_at + DAY, speed=600)) as exchange:
        exchange.redirect(monkeypatch)
        assert ask(exchange, work) == "RequestTimeout"


def test_a_refused_dial_is_an_error_of_the_network(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(client: Any) -> Any:
        exchange.faults.add(reply(503, "busy"), path="/market/ws*")
        return await outcome(client.watch_ohlcv(SYMBOL, "1m")), await outcome(
            client.watch_ohlcv(SYMBOL, "1m")
        )

    with loopback(tape, clock=HandClock(tape.first_at + MINUTE)) as exchange:
        exchange.redirect(monkeypatch)
        assert ask(exchange, work) == ("NetworkError", "list")


def test_the_user_stream_tells_of_orders_and_positions(exchange: Server) -> None:
    exchange.account().parts = 2

    async def work(client: Any) -> Any:
        first = asyncio.create_task(client.watch_orders(SYMBOL))
        while not exchange.sockets.open:
            await asyncio.sleep(0.01)
        await client.create_order(SYMBOL, "market", "sell", 0.02)
        await first
        while client.orders[-1]["status"] != "closed":
            await client.watch_orders(SYMBOL)
        return client.orders[-1], list(client.positions["linear"])[-1]

    order, position = ask(exchange, work, newUpdates=False)

    assert (order["filled"], len(exchange.account().fills)) == (0.02, 2)
    assert (position["side"], position["contracts"]) == ("short", 0.02)


def test_a_host_that_is_not_played_is_not_reached(exchange: Server) -> None:
    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            await session.get("https://example.com/")

    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        asyncio.run(work())


def test_a_defect_of_the_server_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(client: Any) -> Any:
        return await outcome(client.fetch_ohlcv("SIM01/USDT:USDT", "1m", None, 3))

    def play() -> None:
        with loopback(simulated(coins=1, bars=48)) as exchange:
            exchange.redirect(monkeypatch)
            ask(exchange, work)

    with pytest.raises(AssertionError, match="do not make bars of"):
        play()


def test_a_folder_is_served_as_a_site(tape: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_bytes(b"here")

    async def work() -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        headers: dict[str, str] = {}
        async with aiohttp.ClientSession(base_url="https://data.binance.vision") as session:
            for path in ("/notes.txt", "/notes.txt", "/none.txt", "/../secret"):
                async with session.get(path, headers=headers) as answer:
                    found.append((answer.status, await answer.read()))
                    headers = {"If-None-Match": answer.headers["ETag"]}
        return found

    with loopback(tape, sites=[folder("data.binance.vision", tmp_path)]) as exchange:
        exchange.redirect(monkeypatch)
        found = asyncio.run(work())

    assert [status for status, _ in found] == [200, 304, 404, 404]
    assert found[0][1] == b"here"


def test_the_simulated_market_can_be_played(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = simulated(coins=1, bars=48)

    async def work(client: Any) -> Any:
        return await client.fetch_ohlcv("SIM01/USDT:USDT", "4h", tape.first_at // 10**6, 3)

    with loopback(tape) as exchange:
        exchange.redirect(monkeypatch)
        rows = ask(exchange, work)

    hours = tape["SIM01/USDT:USDT"].trades.values
    assert [row[1] for row in rows] == hours[0:12:4, 0].tolist()
    assert [row[4] for row in rows] == hours[3:12:4, 3].tolist()


def test_a_lake_can_be_played(tmp_path: Path, tape: Tape) -> None:
    trades = tape[SYMBOL].trades
    columns = dict(zip(("open", "high", "low", "close", "volume"), trades.values.T, strict=True))
    opened_at = pl.Series(trades.opened_at // 10**6).cast(pl.Datetime("ms", "UTC"))
    lake = Lake(tmp_path)
    lake.write(Series("binanceusdm", "bars-1m", "BTCUSDT"), pl.DataFrame({"opened_at": opened_at, **columns}))

    played = from_lake(lake, "binanceusdm", (BTC,))[SYMBOL].trades

    np.testing.assert_array_equal(played.opened_at, trades.opened_at)
    np.testing.assert_array_equal(played.values, trades.values)


def test_the_command_line_runs_as_a_redirected_child(exchange: Server) -> None:
    child = exchange.child(["--help"])

    printed, complaint = child.communicate(timeout=60)

    assert (child.returncode, complaint) == (0, "")
    assert "fetch" in printed or "import" in printed


DOLLAR = dataclasses.replace(BTC_INVERSE, size=Decimal(1))
VENUES: dict[str, tuple[tuple[Contract, ...], int]] = {
    "binanceusdm": ((BTC, ETH), 1_000),
    "binancecoinm": ((BTC_INVERSE,), 1_000),
    "bybit": ((BTC, DOLLAR), 1_000),
    "bingx": ((BTC, BTC_INVERSE), 1_000),
    "bitget": ((BTC, DOLLAR), 200),
    "okx": ((dataclasses.replace(BTC, size=Decimal("0.01"), lot=Decimal("0.01")), BTC_INVERSE), 300),
    "krakenfutures": ((dataclasses.replace(BTC, quote="USD", settle="USD"), DOLLAR), 1_000),
}
REFUSALS = dict.fromkeys(VENUES, "BadSymbol") | {
    "bybit": "BadRequest",
    "bitget": "ExchangeError",
    "krakenfutures": "BadRequest",
}
every_venue = pytest.mark.parametrize("venue", VENUES)


@every_venue
def test_every_venue_pages_its_bars_and_funding_through_whole(
    venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts, cap = VENUES[venue]
    tape = random_walk(contracts, bars=2 * cap + 100, seed=3)

    async def read(client: Any, symbol: str) -> np.ndarray:
        since = tape.first_at // 10**6
        pages = [await client.fetch_ohlcv(symbol, "1m", since + k * cap * 60_000, cap) for k in range(2)]
        return np.array([row[:5] for page in pages for row in page[:cap]])

    async def work(client: Any) -> Any:
        bars = {symbol: await read(client, symbol) for symbol in client.markets}
        first = next(iter(bars))
        return bars, await client.fetch_funding_rate_history(first, tape.first_at // 10**6, 100)

    with loopback(tape, venues=(venue,)) as exchange:
        exchange.redirect(monkeypatch)
        bars, rates = ask(exchange, work, venue, apiKey="", secret="")

    assert list(bars) == [contract.name for contract in contracts]
    for name, rows in bars.items():
        trades = tape[name].trades
        np.testing.assert_array_equal(rows[:, 0], trades.opened_at[: 2 * cap] // 10**6)
        np.testing.assert_array_equal(rows[:, 1:], trades.values[: 2 * cap, :4])
    assert [rate["fundingRate"] for rate in rates] == tape.reels[0].funding.value.tolist()


@pytest.mark.parametrize("venue", ["binancecoinm", "bybit", "bingx", "bitget", "okx"])
def test_every_venue_streams_its_bars(venue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contracts, _ = VENUES[venue]
    tape = random_walk(contracts, bars=500)
    symbol = contracts[-1].name

    async def work(client: Any) -> Any:
        seen: dict[int, list[float]] = {}
        while len(seen) < 4:
            rows = await asyncio.wait_for(client.watch_ohlcv(symbol, "1m"), 5.0)
            seen |= {row[0]: list(row[1:5]) for row in rows}
        return seen

    with loopback(tape, venues=(venue,), clock=FastClock(tape.first_at + 60 * MINUTE, speed=600)) as exchange:
        exchange.redirect(monkeypatch)
        seen = ask(exchange, work, venue, apiKey="", secret="")

    times = sorted(seen)[:-1]
    rows = np.searchsorted(tape[symbol].trades.opened_at, np.array(times) * 10**6)
    assert np.diff(rows).tolist() == [1, 1]
    assert [seen[at] for at in times] == tape[symbol].trades.values[rows, :4].tolist()


@every_venue
def test_every_venue_refuses_a_contract_that_it_does_not_have(
    venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts, _ = VENUES[venue]

    async def work(client: Any) -> Any:
        known = client.markets[contracts[0].name]
        strange = known["id"].replace("BTC", "DOGE").replace("XBT", "DOGE")
        client.markets["DOGE"] = known | {"symbol": "DOGE", "id": strange}
        return await outcome(client.fetch_ohlcv("DOGE", "1m", exchange.world.tape.first_at // 10**6, 10))

    with loopback(random_walk(contracts, bars=10), venues=(venue,)) as exchange:
        exchange.redirect(monkeypatch)
        assert ask(exchange, work, venue, apiKey="", secret="") == REFUSALS[venue]
