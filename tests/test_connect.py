"""Every fault of the outside world, through the real ccxt client: complete rows or one clear sentence."""

import asyncio
import logging
import random
import socket
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp.connector
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import DAY, HOUR, MINUTE, SECOND, Interval
from longshort.base.errors import VenueError
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.guard import Credentials, Redactor
from longshort.connect.orders import NotPlaced, Unsettled
from longshort.connect.pacing import Pacer, Timing
from longshort.connect.pages import first_listed, page, span
from longshort.connect.retry import Refusal
from tests.loopback import HandClock, Server, WallClock, loopback, random_walk

Got = TypeVar("Got")
ONE_MINUTE = Interval.parse("1m")
BTC = "BTC/USDT:USDT"
TAPE = random_walk(bars=1_500)
PAGE = Window(TAPE.first_at, TAPE.first_at + 499 * MINUTE)
KEYS = Credentials(key="loopback-key", secret="loopback-secret")  # noqa: S106 of the loopback exchange


class Hurry:
    """The machine's clock, but whoever sleeps is woken at once and the time is taken as past."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.sleeps: list[float] = []

    def now(self) -> int:
        return time.time_ns() + int(self.skipped * SECOND)

    async def sleep(self, seconds: float) -> None:
        self.skipped += seconds
        self.sleeps.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with loopback(TAPE) as server:
        server.redirect(monkeypatch)
        yield server


@pytest.fixture
def hurry() -> Hurry:
    return Hurry()


@pytest.fixture
def ask(hurry: Hurry) -> Callable[..., Any]:
    """Runs a question on a new client that waits for nothing."""

    def run(question: Callable[[Exchange], Awaitable[Got]], *, private: bool = False) -> Got:
        async def session() -> Got:
            timing = Timing(clock=hurry, sleep=hurry.sleep)
            credentials = KEYS if private else None
            rng = random.Random(1)  # noqa: S311 spreads waits
            async with Exchange("binanceusdm", credentials=credentials, timing=timing, rng=rng) as exchange:
                exchange.client.timeout = 400
                exchange.client.timeout_on_exit = 20
                return await question(exchange)

        return asyncio.run(session())

    return run


async def first_page(exchange: Exchange) -> pl.DataFrame:
    listing = (await exchange.listings())[BTC]
    return await page(exchange, "bars", listing, ONE_MINUTE, PAGE)


async def buy(exchange: Exchange, **params: Any) -> Any:
    return await exchange.send("create_order", BTC, "market", "buy", 0.05, params=params)


def recorded(window: Window) -> pl.DataFrame:
    bars = TAPE[BTC].trades.between(window.from_at, window.to_at)
    columns = dict(zip(("open", "high", "low", "close", "volume"), bars.values.T, strict=True))
    at = pl.Series("opened_at", bars.opened_at // 1_000_000).cast(pl.Datetime("ms", "UTC"))
    return pl.DataFrame([at, *[pl.Series(name, values) for name, values in columns.items()]])


PASSING = [
    *[
        "too-many-requests",
        "ban",
        "rate-limit-400",
        "firewall",
        "500",
        "502",
        "503",
        "520",
        "522",
        "504",
        "stall",
    ],
    *["backend-timeout", "reset", "short-body", "unknown-error", "disconnected", "overloaded"],
    *["truncated-body", "html-body", "empty-body", "no-rows", "duplicate", "gap", "disorder"],
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_page_is_complete_and_right_after_a_fault_that_passes(fault: str, market: Server, ask: Any) -> None:
    rule = market.faults.add(fault, path="*/klines", times=2 if fault == "reset" else 1)

    rows = ask(first_page)

    assert rows.equals(recorded(PAGE))
    assert rule.struck


NO_JSON = "binanceusdm: answers with something that is not what it should be (GET 200: the body is not JSON"
LASTING = {
    "too-many-requests": "binanceusdm: goes on refusing: too many requests.",
    "ban": "binanceusdm: goes on refusing: too many requests.",
    "rate-limit-400": "binanceusdm: goes on refusing: too many requests.",
    "firewall": "binanceusdm: is down.",
    "502": "binanceusdm: is down.",
    "504": "binanceusdm: does not answer in time.",
    "stall": "binanceusdm: does not answer in time.",
    "backend-timeout": "binanceusdm: does not answer in time.",
    "reset": "binanceusdm: cannot be reached.",
    "short-body": "binanceusdm: breaks off its answers half-way.",
    "truncated-body": NO_JSON,
    "html-body": NO_JSON,
    "empty-body": NO_JSON,
}


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_that_stays_ends_in_one_sentence(fault: str, market: Server, ask: Any) -> None:
    market.faults.add(fault, path="*/klines", times=None)

    with pytest.raises(VenueError) as refused:
        ask(first_page)

    assert str(refused.value).startswith(LASTING[fault])
    assert market.count("*/klines") <= 12  # six attempts, of which aiohttp may double a reset one


def test_rows_that_the_venue_does_not_have_are_asked_for_once_more_and_then_missing(
    market: Server, ask: Any
) -> None:
    market.faults.add("gap", path="*/klines", times=None)

    rows = ask(first_page)

    assert rows.height == 497
    assert market.count("*/klines") == 2


def test_the_unfinished_bar_is_left_out_until_it_closes(monkeypatch: pytest.MonkeyPatch, ask: Any) -> None:
    clock = HandClock(TAPE.first_at + 100 * MINUTE + 30 * SECOND)

    async def twice(exchange: Exchange) -> list[pl.DataFrame]:
        before = await first_page(exchange)
        clock.advance(30 * SECOND)
        return [before, await first_page(exchange)]

    with loopback(TAPE, clock=clock) as server:
        server.redirect(monkeypatch)
        before, after = ask(twice)

    assert before.equals(recorded(Window(PAGE.from_at, PAGE.from_at + 100 * MINUTE)))
    assert after.equals(recorded(Window(PAGE.from_at, PAGE.from_at + 101 * MINUTE)))


def test_a_series_begins_on_the_day_of_its_first_bar(market: Server, ask: Any) -> None:
    async def begins(exchange: Exchange) -> tuple[int, int]:
        listing = (await exchange.listings())[BTC]
        samples = await first_listed(exchange, listing, "open-interest", Interval.parse("1h"))
        return await first_listed(exchange, listing, "bars", ONE_MINUTE), samples

    assert ask(begins) == (TAPE.first_at, TAPE.first_at)


def test_open_interest_begins_where_the_venue_still_remembers(
    monkeypatch: pytest.MonkeyPatch, ask: Any
) -> None:
    async def begins(exchange: Exchange) -> int:
        listing = (await exchange.listings())[BTC]
        return await first_listed(exchange, listing, "open-interest", Interval.parse("1h"))

    with loopback(TAPE, clock=HandClock(TAPE.first_at + 40 * DAY)) as server:
        server.redirect(monkeypatch)
        assert ask(begins) == TAPE.first_at + 10 * DAY + 15 * MINUTE


def test_an_unknown_contract_is_refused_after_the_contracts_were_read_anew(market: Server, ask: Any) -> None:
    market.faults.add("bad-symbol", path="*/klines", times=None)

    with pytest.raises(Refusal, match="Invalid symbol") as refused:
        ask(first_page)

    assert refused.value.kind == "BadSymbol"
    assert (market.count("*/klines"), market.count("*/exchangeInfo")) == (2, 2)


@pytest.mark.parametrize("fault", ["truncated-body", "html-body", "empty-body"])
def test_a_broken_answer_does_not_wipe_the_contracts(fault: str, market: Server, ask: Any) -> None:
    async def reload(exchange: Exchange) -> tuple[str, int, pl.DataFrame]:
        await exchange.listings()
        market.faults.add(fault, path="*/exchangeInfo", times=None)
        with pytest.raises(VenueError) as refused:
            await exchange.listings(again=True)
        return str(refused.value), len(exchange.client.markets), await first_page(exchange)

    words, contracts, rows = ask(reload)

    assert "not what it should be" in words
    assert contracts == 2
    assert rows.equals(recorded(PAGE))


@pytest.mark.parametrize("fault", ["truncated-body", "html-body", "empty-body", "short-body", "502"])
def test_a_broken_answer_never_means_no_positions(fault: str, market: Server, ask: Any) -> None:
    async def look(exchange: Exchange) -> tuple[Any, type[Exception]]:
        await buy(exchange)
        market.faults.add(fault, path="*/positionRisk", times=1)
        positions = await exchange.read("fetch_positions", [BTC])
        market.faults.add(fault, path="*/positionRisk", times=None)
        with pytest.raises(VenueError) as refused:
            await exchange.read("fetch_positions", [BTC])
        return positions, refused.type

    positions, refused = ask(look, private=True)

    assert [position["contracts"] for position in positions] == [0.05]
    assert refused is VenueError


def test_without_a_network_it_says_so(market: Server, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(aiohttp.abc.AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> Any:
            raise socket.gaierror(-3, "Temporary failure in name resolution")

        async def close(self) -> None: ...

    monkeypatch.setattr(aiohttp.connector, "DefaultResolver", lambda *args, **kwargs: Nowhere())

    with pytest.raises(VenueError, match=r"^binanceusdm: its address cannot be found: no network\. Check"):
        ask(first_page)


def test_a_venue_that_is_gone_cannot_be_reached(market: Server, ask: Any) -> None:
    with market.down(), pytest.raises(VenueError, match=r"^binanceusdm: cannot be reached\."):
        ask(first_page)


def test_a_venue_that_comes_back_goes_on(market: Server, ask: Any, hurry: Hurry) -> None:
    async def interrupted(exchange: Exchange) -> pl.DataFrame:
        await exchange.listings()
        with market.down():
            failing = await exchange.attempt(lambda client: client.fetch_time())
            assert getattr(failing, "step").value == "wait and ask again"  # noqa: B009
        return await first_page(exchange)

    assert ask(interrupted).equals(recorded(PAGE))


def test_a_ban_stops_every_task_until_it_ends(market: Server) -> None:
    async def banned() -> tuple[list[int], list[pl.DataFrame]]:
        counts: list[int] = []
        async with Exchange("binanceusdm") as exchange:
            await first_page(exchange)
            market.faults.add("ban", path="*/klines")
            tasks = [asyncio.create_task(first_page(exchange)) for _ in range(4)]
            for seconds in (0.3, 1.2):
                await asyncio.sleep(seconds)
                counts.append(len(market.requests))
            return counts, await asyncio.gather(*tasks)

    (early, late), pages = asyncio.run(banned())

    assert early == late
    assert all(rows.equals(recorded(PAGE)) for rows in pages)


def test_the_wait_that_a_venue_asks_for_is_kept(market: Server, ask: Any, hurry: Hurry) -> None:
    market.faults.add("too-many-requests", path="*/klines")

    ask(first_page)

    assert max(hurry.sleeps) == pytest.approx(1.0, abs=0.05)


def test_a_ban_of_days_is_told_and_not_waited_for(hurry: Hurry) -> None:
    pacer = Pacer("binanceusdm", 25.0, Timing(clock=hurry, sleep=hurry.sleep))
    until = hurry.now() // 1_000_000 + 3 * 86_400_000
    pacer.heed(418, {}, f"Way too many requests; IP banned until {until}. Please use the websocket.")

    with pytest.raises(VenueError, match="shut for this address until"):
        asyncio.run(pacer.turn(1.0))

    assert not hurry.sleeps


def test_tasks_share_one_pace_and_stay_below_the_venue_limit(hurry: Hurry) -> None:
    pacer = Pacer("binanceusdm", 50.0, Timing(clock=hurry, sleep=hurry.sleep))
    pacer.learn({"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "limit": 2400}]})
    began = hurry.now()

    async def all_at_once() -> None:
        for _ in range(
            1_141
        ):  # 2,280 units lie between the first call and the last: 95 % of a minute's weight
            await pacer.turn(2.0)

    asyncio.run(all_at_once())

    assert (hurry.now() - began) / SECOND == pytest.approx(60.0, rel=0.01)


def test_a_queue_longer_than_a_minute_keeps_its_pace() -> None:
    now = [1_000 * SECOND]
    waits: list[float] = []

    class Still:
        def now(self) -> int:
            return now[0]

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def crowd() -> None:
        pacer = Pacer("v", 1_000.0, Timing(clock=Still(), sleep=sleep))
        await asyncio.gather(*[pacer.turn(1.0) for _ in range(100)])
        now[0] = 500 * SECOND  # the clock is set back: nobody waits for the future that was
        await pacer.turn(1.0)

    asyncio.run(crowd())

    assert waits == [float(n) for n in range(1, 100)]


def test_weight_that_is_nearly_used_up_waits_for_the_next_minute(hurry: Hurry) -> None:
    pacer = Pacer("binanceusdm", 25.0, Timing(clock=hurry, sleep=hurry.sleep))
    pacer.learn({"rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "limit": 2400}]})

    pacer.heed(200, {"X-MBX-USED-WEIGHT-1M": "1000"}, "")
    calm = pacer.opens_at
    pacer.heed(200, {"X-MBX-USED-WEIGHT-1M": "2390"}, "")

    assert calm == 0
    assert pacer.opens_at % MINUTE == 0
    assert 0 < pacer.opens_at - hurry.now() <= MINUTE


def test_the_pace_is_read_from_the_venue(monkeypatch: pytest.MonkeyPatch, ask: Any) -> None:
    async def pace(exchange: Exchange) -> float:
        await exchange.listings()
        return exchange.pacer.unit_ms

    with loopback(TAPE, weight_per_minute=6_000) as server:
        server.redirect(monkeypatch)
        assert ask(pace) == pytest.approx(10.0 / 0.95)


@pytest.mark.parametrize("skew", [-30, 30])
def test_a_clock_that_is_wrong_from_the_start_is_learnt(
    skew: int, monkeypatch: pytest.MonkeyPatch, ask: Any
) -> None:
    with loopback(TAPE, clock=WallClock(), skew=skew * SECOND) as server:
        server.redirect(monkeypatch)
        balance = ask(lambda exchange: exchange.read("fetch_balance"), private=True)

    assert balance["USDT"]["total"] == 10_000


def test_a_clock_that_drifts_is_learnt_again(monkeypatch: pytest.MonkeyPatch, ask: Any) -> None:
    async def drifting(exchange: Exchange) -> Any:
        await exchange.read("fetch_balance")
        server.world.skew = 60 * SECOND
        return await exchange.read("fetch_balance")

    with loopback(TAPE, clock=WallClock()) as server:
        server.redirect(monkeypatch)
        assert ask(drifting, private=True)["USDT"]["total"] == 10_000


def test_a_clock_is_learnt_every_hour(market: Server, ask: Any, hurry: Hurry) -> None:
    async def hours(exchange: Exchange) -> int:
        await exchange.read("fetch_balance")
        before = market.count("*/time")
        hurry.skipped += HOUR / SECOND
        await exchange.read("fetch_balance")
        return market.count("*/time") - before

    assert ask(hours, private=True) == 1


def test_a_clock_that_stays_wrong_is_told_after_two_lessons(market: Server, ask: Any) -> None:
    market.faults.add("bad-timestamp", path="*/account", times=None)
    market.faults.add("bad-timestamp", path="*/balance", times=None)

    with pytest.raises(
        VenueError, match=r"refuses this machine's time\. Let the machine synchronise its clock\."
    ):
        ask(lambda exchange: exchange.read("fetch_balance"), private=True)

    assert market.count("*/account") + market.count("*/balance") == 3


@pytest.mark.parametrize("fault", ["bad-key", "bad-key-format", "bad-signature"])
def test_a_refused_key_halts_at_once(fault: str, market: Server, ask: Any) -> None:
    market.faults.add(fault, path="*/positionRisk", times=None)

    with pytest.raises(Refusal, match=r"binanceusdm: refuses the API key\. Check key, secret"):
        ask(lambda exchange: exchange.read("fetch_positions"), private=True)

    assert market.count("*/positionRisk") == 1


def test_a_key_that_was_taken_back_is_told_as_such(market: Server, ask: Any) -> None:
    async def taken_back(exchange: Exchange) -> None:
        await exchange.read("fetch_positions")
        exchange.client.options["hasAlreadyAuthenticatedSuccessfully"] = True
        market.faults.add("bad-key", path="*/positionRisk", times=None)
        await exchange.read("fetch_positions")

    with pytest.raises(Refusal, match="refuses the API key"):
        ask(taken_back, private=True)


def test_an_order_is_sent_once_with_an_id_of_our_own(market: Server, ask: Any) -> None:
    order = ask(buy, private=True)

    (sent,) = [request for request in market.requests if request.method == "POST"]
    assert order["filled"] == 0.05
    assert sent.params["newClientOrderId"].startswith("ls")
    assert len(sent.params["newClientOrderId"]) == 32


ACTED = ["lost-reply", "lost-reply-502", "truncated-body", "html-body", "empty-body", "short-body", "stall"]


@pytest.mark.parametrize("fault", ACTED)
def test_an_order_whose_answer_is_lost_is_found_and_not_sent_again(
    fault: str, market: Server, ask: Any
) -> None:
    market.faults.add(fault, path="*/order", method="POST", times=None)

    order = ask(buy, private=True)

    assert (order["filled"], order["clientOrderId"][:2]) == (0.05, "ls")
    assert market.count("*/order", "POST") == 1
    assert market.world.accounts[KEYS.key].position(BTC) == Decimal("0.05")


NOT_ACTED = ["503", "502", "504", "overloaded", "unknown-error", "disconnected", "reset", "too-many-orders"]


@pytest.mark.parametrize("fault", [*NOT_ACTED, "bad-timestamp", "firewall", "backend-timeout", "ban"])
def test_an_order_that_never_arrived_is_looked_for_and_not_repeated(
    fault: str, market: Server, ask: Any, hurry: Hurry
) -> None:
    market.faults.add(fault, path="*/order", method="POST", times=None)

    with pytest.raises(NotPlaced, match="was not placed") as refused:
        ask(buy, private=True)

    assert market.count("*/order", "POST") == 1
    assert market.count("*/order", "GET") >= 9  # one look a second for as long as it could still arrive
    assert refused.value.client_order_id.startswith("ls")
    assert market.world.accounts[KEYS.key].position(BTC) == 0


def test_an_order_of_which_nothing_can_be_learnt_is_unsettled(market: Server, ask: Any) -> None:
    market.faults.add("lost-reply", path="*/order", method="POST")
    market.faults.add("502", path="*/order", method="GET", times=None)

    with pytest.raises(Unsettled, match="not known whether order mine-1 was placed") as refused:
        ask(lambda exchange: buy(exchange, clientOrderId="mine-1"), private=True)

    assert refused.value.client_order_id == "mine-1"
    assert market.count("*/order", "POST") == 1


REFUSED = {
    "no-margin": "InsufficientFunds",
    "small-notional": "InvalidOrder",
    "reduce-only": "InvalidOrder",
    "duplicate-id": "InvalidOrder",
    "would-take": "OrderNotFillable",
    "price-limit": "OperationRejected",
    "restricted": "PermissionDenied",
    "bad-key": "AuthenticationError",
    "bad-symbol": "BadSymbol",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_an_order_that_is_refused_is_told_at_once(fault: str, market: Server, ask: Any) -> None:
    market.faults.add(fault, path="*/order", method="POST", times=None)

    with pytest.raises(Refusal) as refused:
        ask(buy, private=True)

    assert refused.value.kind == REFUSED[fault]
    assert (market.count("*/order", "POST"), market.count("*/order", "GET")) == (1, 0)


def test_cancelling_is_repeated_and_an_order_that_is_gone_comes_back_as_it_ended(
    market: Server, ask: Any
) -> None:
    async def cancel(exchange: Exchange) -> tuple[Any, Any]:
        resting = await exchange.send("create_order", BTC, "limit", "buy", 0.05, 30_000.0)
        market.faults.add("502", path="*/order", method="DELETE")
        cancelled = await exchange.send("cancel_order", resting["id"], BTC)
        filled = await buy(exchange)
        return cancelled, await exchange.send("cancel_order", filled["id"], BTC)

    cancelled, filled = ask(cancel, private=True)

    assert cancelled["status"] == "canceled"
    assert (filled["status"], filled["filled"]) == ("closed", 0.05)


def test_settings_of_an_account_are_sent_until_they_hold(market: Server, ask: Any) -> None:
    market.faults.add("503", path="*/leverage", times=2)

    answer = ask(lambda exchange: exchange.send("set_leverage", 5, BTC), private=True)

    assert answer["leverage"] == 5
    assert market.count("*/leverage", "POST") == 3


@pytest.mark.parametrize("method", ["create_orders", "edit_order", "withdraw"])
def test_what_cannot_be_sent_safely_is_not_sent(method: str, market: Server, ask: Any) -> None:
    with pytest.raises(VenueError, match=f"no safe way to {method} is known"):
        ask(lambda exchange: exchange.send(method), private=True)


def test_an_order_cannot_slip_through_as_a_read(market: Server, ask: Any) -> None:
    with pytest.raises(AssertionError, match="use send"):
        ask(lambda exchange: exchange.read("create_order", BTC, "market", "buy", 1.0), private=True)


@pytest.mark.parametrize(
    "fault", ["reset", "stall", "short-body", "502", "504", "bad-signature", "truncated-body"]
)
def test_no_message_or_log_holds_a_secret(
    fault: str, market: Server, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    market.faults.add(fault, path="*/positionRisk", times=None)

    with caplog.at_level(logging.DEBUG), pytest.raises(VenueError) as refused:
        ask(lambda exchange: exchange.read("fetch_positions"), private=True)

    ours = [
        record.getMessage() for record in caplog.records if record.name != "aiohttp.access"
    ]  # the server's own
    told = "".join([*traceback.format_exception(refused.value), repr(vars(refused.value)), *ours])
    assert "loopback-key" not in told.replace('key="loopback-key"', "")
    assert "loopback-secret" not in told.replace('secret="loopback-secret"', "")
    assert "signature=" not in told
    assert "timestamp=" not in told
    assert repr(KEYS) == "Credentials(key=***)"


@given(
    secret=st.text("abcdefXYZ0123456789+/=-_", min_size=12, max_size=80).filter(lambda s: s.strip() == s),
    before=st.text(" {}'\"?&=:/x\u00e9", max_size=20),
    after=st.text(" {}'\"?&=:/x\u00e9", max_size=20),
    form=st.sampled_from(
        [
            "{}",
            "GET https://fapi.binance.com/fapi/v1/order?symbol=X&signature={}",
            '{{"code": -1, "apiKey": "{}"}}',
            "X-MBX-APIKEY: {}",
            "wss://fstream.binance.com/private/ws?listenKey={}",
        ]
    ),
)
def test_no_secret_survives_redaction(secret: str, before: str, after: str, form: str) -> None:
    redactor = Redactor(secrets=(secret,))

    assert secret not in redactor.clean(before + form.format(secret) + after)
    assert quote(secret, safe="") not in redactor.clean(before + form.format(quote(secret, safe="")) + after)


@given(key=st.text("abcdefXYZ0123456789", min_size=24, max_size=64))
@pytest.mark.parametrize(
    "form",
    [
        '{{"listenKey":"{}"}}',
        "wss://fstream.binance.com/private/ws?listenKey={}&events=x",
        "wss://fstream.binance.com/ws/{}",
        "POST https://api.bitget.com/api/v2/mix/order/place-order?x=1&sign={} failed",
        "{{'ACCESS-SIGN': '{}', 'ACCESS-PASSPHRASE': '{}'}}",
    ],
)
def test_keys_of_a_session_are_redacted_though_nobody_named_them(form: str, key: str) -> None:
    assert key not in Redactor().clean(form.format(key, key))


def test_a_hundred_thousand_bars_take_seconds_beside_the_pacing(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = random_walk((TAPE[BTC].contract,), bars=20_000)

    async def download() -> tuple[int, float]:
        async with Exchange("binanceusdm") as exchange:
            listing = (await exchange.listings())[BTC]
            await exchange.server_now()
            exchange.pacer.unit_ms = 0.0
            step = span(exchange, "bars", ONE_MINUTE)
            starts = iter(range(tape.first_at, tape.last_at, step))
            began = time.perf_counter()

            async def work() -> int:
                windows = (Window(at, min(at + step, tape.last_at)) for at in starts)
                return sum([(await page(exchange, "bars", listing, ONE_MINUTE, w)).height for w in windows])

            rows = await asyncio.gather(*[work() for _ in range(3)])
            return sum(rows), time.perf_counter() - began

    with loopback(tape) as server:
        server.redirect(monkeypatch)
        rows, seconds = asyncio.run(download())

    assert rows == 20_000
    assert seconds < 3.0  # a fifth of 100,000 rows; 0.45 s on two idle cores
