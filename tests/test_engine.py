"""NautilusTrader as a perpetual venue: margin, liquidation, exits, inverse contracts, event by event as the ledger."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nautilus_trader.backtest.engine import SimulatedExchange
from nautilus_trader.backtest.execution_client import BacktestExecClient
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.enums import AccountType, OmsType, OrderStatus, OrderType
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.portfolio.portfolio import Portfolio
from polars.testing import assert_frame_equal

from longshort.base.clock import DAY, HOUR
from longshort.base.instrument import AccountTerms, Costs, MaintenanceTier
from longshort.base.journal import MemoryJournal
from longshort.data.bars import Bars
from longshort.policy.decider import Script
from longshort.policy.desk import open_desk
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.trading import engine
from longshort.trading.backtest import backtest
from longshort.trading.books import VenueBooks
from longshort.trading.coins import coins_of
from longshort.trading.venue import dressed

from .accounts import TIERS, coin, market, random_wishes, real_market, stormy_market, stormy_wishes, wishes
from .perpetual_cases import Case, cases

NAN = float("nan")
CENT = 1e-8
MONEY = ("cash", "equity", "fees", "slippage", "funding", "liquidation", "insurance")
FREE = Costs(taker_bps=0.0, maker_bps=0.0, slippage_bps=0.0, liquidation_bps=0.0, settlement_bps=0.0)
PLAIN = AccountTerms()

costs = st.builds(
    Costs,
    taker_bps=st.sampled_from([0.0, 5.0]),
    slippage_bps=st.sampled_from([0.0, 2.5]),
    impact=st.sampled_from([0.0, 1.0]),
    by_volume=st.booleans(),
    liquidation_bps=st.sampled_from([0.0, 125.0]),
)
margin = st.sampled_from(
    [("none", 1.0), ("isolated", 5.0), ("isolated", 20.0), ("cross", 5.0), ("cross", 20.0)]
)


def _both(bars: Bars, exposure: Exposure, costs: Costs, balance: float, account: AccountTerms) -> Ledger:
    ledger = run_ledger(bars, exposure, costs, starting_balance=balance, account=account)
    booked = backtest(bars, Script(exposure), costs, balance, account=account)
    np.testing.assert_array_equal(booked.quantity, ledger.quantity)
    for name in MONEY:
        np.testing.assert_allclose(
            getattr(booked, name), getattr(ledger, name), rtol=0, atol=CENT / 2, err_msg=name
        )
    assert_frame_equal(booked.fills, ledger.fills, check_exact=False, rel_tol=0, abs_tol=CENT / 2)
    assert booked.lapsed.equals(ledger.lapsed)
    return booked


def _storm(seed: int, coins: int, costs: Costs, account: AccountTerms, *, inverse: bool = False) -> Ledger:
    """A market of three days in which everything happens; an odd seed leaves by no exit."""
    rng = np.random.default_rng(seed)
    bars = stormy_market(72, coins, rng, inverse=inverse)
    wish = random_wishes if seed % 2 else stormy_wishes
    exposure = wish(bars, rng, scale=0.4 * account.leverage)
    return _both(bars, exposure, costs, 0.5 if inverse else 10_000.0, account)


@settings(max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # shrinking takes minutes
@given(
    seed=st.integers(0, 2**32),
    inverse=st.booleans(),
    costs=costs,
    margin=margin,
    execution=st.sampled_from(["taker", "maker", "maker, then taker"]),
    latency_ms=st.sampled_from([0, 0, 1, 3_600_000]),
)
def test_engine_and_ledger_book_the_same_events_in_a_storm(
    seed: int, inverse: bool, costs: Costs, margin: Any, execution: Any, latency_ms: int
) -> None:
    account = AccountTerms(margin=margin[0], leverage=margin[1], execution=execution, latency_ms=latency_ms)

    _storm(seed, 1 + seed % 3, costs, account, inverse=inverse)


@pytest.fixture(scope="module")
def two_years(real_data: Path) -> Bars:
    """Hours of three perpetuals of different ticks and lots, with the funding that was settled."""
    bars = real_market(real_data, ("BTCUSDT", "SOLUSDT", "DOGEUSDT"), 20_000)
    return replace(bars, instruments=tuple(replace(coin, tiers=TIERS) for coin in bars.instruments))


@settings(
    max_examples=12,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32),
    start=st.integers(0, 20_000 - 120),
    costs=costs,
    margin=margin,
    execution=st.sampled_from(["taker", "maker", "maker, then taker"]),
)
def test_engine_and_ledger_book_the_same_events_on_real_bars(
    two_years: Bars, seed: int, start: int, costs: Costs, margin: Any, execution: Any
) -> None:
    account = AccountTerms(margin=margin[0], leverage=margin[1], execution=execution)
    bars = two_years[start : start + 120]

    booked = _both(
        bars,
        stormy_wishes(bars, np.random.default_rng(seed), scale=0.25 * account.leverage),
        costs,
        1e6,
        account,
    )

    assert booked.fills.height + booked.lapsed.height > 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_order_that_was_not_reached_goes_to_the_market_in_both(seed: int) -> None:
    account = AccountTerms(margin="isolated", leverage=5.0, execution="maker, then taker")

    booked = _storm(seed, 3, Costs(by_volume=True), account)

    assert {"order", "maker"} <= set(booked.fills["cause"])


def test_a_storm_has_every_cause_of_a_fill_in_it() -> None:
    account = AccountTerms(margin="isolated", leverage=20.0)

    causes = [cause for seed in range(5) for cause in _storm(seed, 3, Costs(), account).fills["cause"]]

    assert set(causes) == {"order", "stop", "take", "liquidation", "expiry", "delisting"}


def test_an_inverse_position_is_entered_at_the_harmonic_mean_which_nautilus_does_not_keep() -> None:
    """100 contracts of 100 USD at 50,000 and 300 at 40,000 cost .2 + .75 BTC; at 60,000 they are worth 2/3 of one."""
    bars = _inverse(50_000.0, 50_000.0, 40_000.0, 60_000.0)
    target = np.array([0.2, 0.8, 0.0, NAN])[:, None]

    booked = _both(bars, wishes(bars, target), FREE, 1.0, PLAIN)

    assert booked.fills["quantity"].to_list() == [100.0, 300.0, -400.0]
    assert booked.fills["realized"].to_list() == [0.0, 0.0, 0.28333333]
    assert booked.cash[-1] == 1.28333333


def _inverse(*closes: float) -> Bars:
    contract = replace(
        coin("BTCUSD", tick="0.5", lot="1", size="100", inverse=True), base="BTC", quote="USD", settle="BTC"
    )
    prices = np.array(closes)[:, None]
    return market([contract], prices, prices.copy())


class _Watched:
    """Keeps what NautilusTrader's engine knew of its orders when it was taken down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.orders: list[Any] = []
        watched = self

        class Engine(engine.BacktestEngine):
            def dispose(self) -> None:
                watched.orders = sorted(self.cache.orders(), key=lambda order: order.ts_init)
                super().dispose()

        monkeypatch.setattr(engine, "BacktestEngine", Engine)


def _linear(opens: list[float], closes: list[float], high: list[float], low: list[float]) -> Bars:
    tier = MaintenanceTier(from_notional=0.0, to_notional=1e9, maintenance_rate=0.01, max_leverage=50.0)
    columns = [np.array(values, dtype=np.float64)[:, None] for values in (opens, closes, high, low)]
    contract = replace(coin(), tiers=(tier,))
    return replace(market([contract], *columns[:2]), high=columns[2], low=columns[3])


def test_what_nobody_ordered_has_an_order_s_whole_life(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = _linear([100, 100, 100, 100], [100, 100, 100, 100], [100, 101, 104, 101], [100, 95, 99, 85])
    exits = {"stop": np.array([0.03, NAN, NAN, NAN]), "take": np.array([NAN, 0.03, NAN, NAN])}
    target = np.array([1.0, 1.0, 9.0, NAN])[:, None]
    exposure = replace(wishes(bars, target), **{name: values[:, None] for name, values in exits.items()})
    watched = _Watched(monkeypatch)

    booked = _both(bars, exposure, FREE, 10_000.0, AccountTerms(margin="isolated", leverage=10.0))

    forced = [order for order in watched.orders if order.tags]
    assert [order.tags for order in forced] == [["STOP"], ["TAKE"], ["LIQUIDATION"]]
    assert [order.order_type for order in forced] == [
        OrderType.STOP_MARKET,
        OrderType.LIMIT,
        OrderType.MARKET,
    ]
    assert [[type(event).__name__ for event in order.events] for order in forced] == [
        ["OrderInitialized", "OrderSubmitted", "OrderAccepted", "OrderFilled"]
    ] * 3
    assert booked.fills.filter(booked.fills["cause"] != "order")["price"].to_list() == [97.0, 103.0, 90.9]


def test_an_order_that_the_venue_refuses_is_rejected_and_lapses(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = _linear([100, 100, 100], [100, 100, 100], [100, 100, 100], [100, 100, 100])
    watched, journal = _Watched(monkeypatch), MemoryJournal()
    exposure = wishes(bars, np.array([11.0, 5.0, NAN])[:, None])

    booked = backtest(
        bars, Script(exposure), FREE, 10_000.0, journal, AccountTerms(margin="isolated", leverage=10.0)
    )

    assert [order.status for order in watched.orders] == [OrderStatus.REJECTED, OrderStatus.FILLED]
    assert [event.reason for event in journal.events] == ["not enough margin"]
    assert booked.quantity[:, 0].tolist() == [0.0, 0.0, 500.0]


def test_a_resting_order_that_is_only_touched_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = _linear([100, 101, 100, 100], [100, 101, 100, 100], [101, 101, 100, 100], [100, 100, 99.9, 100])
    watched = _Watched(monkeypatch)
    exposure = wishes(bars, np.array([1.0, 1.0, NAN, NAN])[:, None])

    booked = _both(bars, exposure, FREE, 10_000.0, AccountTerms(execution="maker"))

    assert [order.status for order in watched.orders] == [OrderStatus.CANCELED, OrderStatus.FILLED]
    assert [order.is_post_only for order in watched.orders] == [True, True]
    assert booked.fills["price"].to_list() == [101.0]
    assert booked.fills["cause"].to_list() == ["maker"]


def test_any_simulated_exchange_can_be_dressed_as_the_venue() -> None:
    bars = _linear([100, 100], [100, 100], [100, 100], [100, 100])
    books = VenueBooks(coins_of(bars.instruments), open_desk(bars, Costs(), PLAIN, 10_000.0))
    first, clock = books.coins[0], TestClock()
    msgbus = MessageBus(trader_id=TraderId("PAPER-001"), clock=clock)
    cache = Cache()
    exchange = SimulatedExchange(
        venue=first.perpetual.id.venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[first.money(1e12)],
        base_currency=first.perpetual.settlement_currency,
        default_leverage=Decimal(1),
        leverages={},
        portfolio=Portfolio(msgbus, cache, clock),
        msgbus=msgbus,
        cache=cache,
        clock=clock,
        use_message_queue=False,
        **dressed(books),
    )
    exchange.register_client(BacktestExecClient(exchange=exchange, msgbus=msgbus, cache=cache, clock=clock))

    assert exchange.modules[0].exchange is exchange
    assert {"events.fills.*"} <= {subscription.topic for subscription in msgbus.subscriptions()}


def test_funding_is_paid_before_and_after_a_settlement_in_the_order_of_the_coins() -> None:
    """Three coins at 100; the second expires at the close at which all settle their funding."""
    expiring = replace(coin("BBBUSDT"), expires_at=20_000 * DAY + 2 * HOUR)
    prices = np.full((4, 3), 100.0)
    rate = np.full((4, 3), NAN)
    rate[2] = [0.001, 0.002, 0.004]
    bars = market([coin("AAAUSDT"), expiring, coin("CCCUSDT")], prices, prices.copy(), rate=rate)
    target = np.full((4, 3), NAN)
    target[0] = [0.1, 0.1, 0.1]

    booked = _both(bars, wishes(bars, target), replace(FREE, settlement_bps=10.0), 10_000.0, PLAIN)

    assert booked.funding[2].tolist() == [1.0, 0.0, 4.0]
    assert booked.fills["cash"].to_list() == [10_000.0, 10_000.0, 10_000.0, 9_998.0]
    assert booked.cash[2] == 9_994.0


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_engine_comes_to_what_was_worked_out_by_hand(case: Case) -> None:
    booked = backtest(case.bars, Script(case.exposure), case.costs, case.balance, account=case.account)

    found = booked.fills.select("quantity", "price", "fee", "realized", "cause").rows()
    assert [fill[-1] for fill in found] == [fill.cause for fill in case.fills]
    np.testing.assert_allclose(
        [fill[:-1] for fill in found],
        [(fill.quantity, fill.price, fill.fee, fill.realized) for fill in case.fills],
        rtol=0,
        atol=CENT / 2,
    )
    for name, expected in (("cash", case.cash), ("equity", case.equity)):
        np.testing.assert_allclose(getattr(booked, name), expected, rtol=0, atol=CENT / 2)
    np.testing.assert_allclose(booked.quantity[:, 0], case.held, rtol=0, atol=0)
    np.testing.assert_allclose(booked.insurance[:, 0], case.insurance, rtol=0, atol=CENT / 2)
