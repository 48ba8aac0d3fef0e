"""A perpetual venue, booked by the ledger and by exact decimals: margin, liquidation, exits, both kinds of contract."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from longshort.base.errors import NotComputable, StudyError
from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy.booking import book, exit_ticks, margin_kept
from longshort.policy.booking.compiled import FINGERPRINT, fingerprint
from longshort.policy.booking.history import book_close, book_open, book_state, book_wishes
from longshort.policy.booking.inside import AT_OPEN, IN_BAR, book_liquidations
from longshort.policy.contract import STOP, Books, Desk, contract_terms
from longshort.policy.desk import open_desk
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, blank_books, run_ledger

from . import oracle
from .accounts import TIERS, coin, market, random_wishes, stormy_market, stormy_wishes, wishes
from .perpetual_cases import PAGE, Case, Fill, cases

NAN = float("nan")
BALANCE = 10_000.0

costs = st.builds(
    Costs,
    taker_bps=st.sampled_from([0.0, 5.0]),
    slippage_bps=st.sampled_from([0.0, 2.5]),
    impact=st.sampled_from([0.0, 0.0, 1.0]),
    by_volume=st.booleans(),
    liquidation_bps=st.sampled_from([0.0, 50.0, 125.0]),
)
terms = st.builds(
    AccountTerms,
    margin=st.sampled_from(["none", "isolated", "cross"]),
    leverage=st.sampled_from([1.0, 5.0, 20.0]),
    execution=st.sampled_from(["taker", "taker", "maker", "maker, then taker"]),
    latency_ms=st.sampled_from([0, 0, 1, 3_600_000, 7_000_000]),
)


def _balance(bars: Bars) -> float:
    return BALANCE / (20_000 if bars.instruments[0].inverse else 1)


def _agrees(bars: Bars, exposure: Exposure, costs: Costs, account: AccountTerms) -> Ledger:
    ledger = run_ledger(bars, exposure, costs, starting_balance=_balance(bars), account=account)
    exactly = oracle.run(bars, exposure, costs, _balance(bars), account)
    rows = {name: [float(row[name]) for row in exactly.rows] for name in exactly.rows[0]}
    cent = 1.1e-8 * (
        1 + len(exactly.fills)
    )  # an average entry in doubles may round one cent otherwise per fill

    assert ledger.fills["cause"].to_list() == [fill["cause"] for fill in exactly.fills]
    assert ledger.fills["symbol"].to_list() == [fill["symbol"] for fill in exactly.fills]
    for name, tolerance in (("quantity", 0), ("price", 1e-9), ("fee", 1.1e-8), ("realized", 1.1e-8)):
        theirs = [float(str(fill[name])) for fill in exactly.fills]
        np.testing.assert_allclose(ledger.fills[name].to_numpy(), theirs, rtol=0, atol=tolerance)
    for name in ("funding", "liquidation", "insurance"):
        ours = getattr(ledger, name).sum(axis=1)
        np.testing.assert_allclose(ours, rows[name], rtol=0, atol=cent)
    np.testing.assert_allclose(ledger.cash, rows["cash"], rtol=0, atol=cent)
    np.testing.assert_allclose(ledger.equity, rows["equity"], rtol=0, atol=cent)
    assert sorted(exactly.lapsed) == _lapsed(ledger)
    return ledger


def _lapsed(ledger: Ledger) -> list[tuple[int, str]]:
    at = ledger.lapsed["decided_at"].dt.timestamp("ms").to_numpy() * 1_000_000
    return sorted(zip(np.searchsorted(ledger.closed_at, at).tolist(), ledger.lapsed["symbol"], strict=True))


@given(
    seed=st.integers(0, 2**32),
    inverse=st.booleans(),
    costs=costs,
    terms=terms,
    exits_share=st.sampled_from([0.0, 0.1, 0.5]),
)
@example(  # a stop is reached before anybody knows what is traded in a bar
    seed=121,
    inverse=False,
    costs=Costs(taker_bps=0.0, slippage_bps=0.0, impact=1.0),
    terms=AccountTerms(execution="maker"),
    exits_share=0.1,
)
def test_the_ledger_agrees_with_exact_decimals_in_a_storm(
    seed: int, inverse: bool, costs: Costs, terms: AccountTerms, exits_share: float
) -> None:
    rng = np.random.default_rng(seed)
    bars = stormy_market(72, 1 + seed % 3, rng, inverse=inverse)

    exposure = stormy_wishes(bars, rng, scale=terms.leverage * 0.4, exits_share=exits_share)

    _agrees(bars, exposure, costs, terms)


@given(seed=st.integers(0, 2**32), inverse=st.booleans(), costs=costs, terms=terms)
def test_equity_changes_by_profit_less_fees_and_funding_and_by_what_insurance_pays(
    seed: int, inverse: bool, costs: Costs, terms: AccountTerms
) -> None:
    rng = np.random.default_rng(seed)
    bars = stormy_market(72, 1 + seed % 3, rng, inverse=inverse)
    exposure = stormy_wishes(bars, rng, scale=terms.leverage * 0.4, exits_share=0.1)

    ledger = run_ledger(bars, exposure, costs, starting_balance=_balance(bars), account=terms)

    _conserves(ledger)
    flat = (ledger.quantity == 0.0).all(axis=1)
    np.testing.assert_array_equal(ledger.equity[flat], ledger.cash[flat])


def _conserves(ledger: Ledger) -> None:
    """At every close cash is what was realized so far, settlements included, less what was paid."""
    paid = (ledger.fees + ledger.funding + ledger.liquidation - ledger.insurance).sum(axis=1)
    filled_at = ledger.fills["filled_at"].dt.timestamp("ms").to_numpy() * 1_000_000
    by_order = ledger.fills["cause"].is_in(["order", "maker"]).to_numpy()
    row = (
        np.searchsorted(ledger.closed_at, filled_at) + by_order
    )  # an order's fill is dated at the bar's open
    realized = np.zeros(len(ledger.closed_at))
    np.add.at(realized, row, ledger.fills["realized"].to_numpy())
    expected = ledger.starting_balance + np.cumsum(realized - paid)
    np.testing.assert_allclose(ledger.cash, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("side", "stop", "take", "left_at"), [(1.0, 96.0, 104.0, 96.0), (-1.0, 104.0, 96.0, 104.0)]
)
def test_where_a_bar_reaches_stop_and_take_the_stop_counts(
    side: float, stop: float, take: float, left_at: float
) -> None:
    terms = contract_terms([coin()])[0]

    assert exit_ticks(100.0, 110.0, 90.0, side, stop, take, terms) == (left_at, STOP)


def test_an_isolated_margin_is_released_in_the_proportion_in_which_the_position_closes() -> None:
    terms = contract_terms([coin()])[0]

    assert margin_kept(50.0, 500.0, -20.0, terms) == 300.0
    assert margin_kept(-50.0, 500.0, 50.0, terms) == 0.0
    assert margin_kept(-50.0, 500.0, 80.0, terms) == 0.0
    assert margin_kept(50.0, 500.0, 20.0, terms) == 500.0


def test_a_halved_position_is_liquidated_where_the_whole_one_would_have_been() -> None:
    closes = np.array([100.0, 100.0, 100.0, 90.0])[:, None]
    bars = market([replace(coin(), tiers=TIERS)], np.full((4, 1), 100.0), closes)
    exposure = wishes(bars, np.array([[2.0], [1.0], [NAN], [NAN]]))

    ledger = run_ledger(
        bars,
        exposure,
        Costs(taker_bps=0.0, slippage_bps=0.0),
        starting_balance=BALANCE,
        account=AccountTerms(margin="isolated", leverage=10.0),
    )

    # margin 1,000 for 100: 1,000 + 100 (P - 100) = 100 P x 0.01 gives P = 9,000 / 99 = 90.909...
    assert ledger.fills["quantity"].to_list() == [200.0, -100.0, -100.0]
    assert ledger.fills["price"].to_list() == [100.0, 100.0, pytest.approx(90.9)]


def test_four_times_the_order_slips_twice_as_far() -> None:
    rows = 30
    opens = np.full((rows, 1), 100.0)
    bars = market([coin()], opens, opens)
    bars = replace(bars, high=opens + 1.0, low=opens - 1.0, volume=np.full((rows, 1), 1_000.0))
    target = np.full((rows, 1), NAN)
    target[25], target[27] = 0.1, 0.5

    ledger = run_ledger(
        bars,
        wishes(bars, target),
        Costs(taker_bps=0.0, slippage_bps=0.0, impact=1.0),
        starting_balance=BALANCE,
        lots=False,
    )

    # volatility ln(101 / 99) / sqrt(4 ln 2) = 0.0120116; 1,000 of 100,000 traded: its root is a tenth
    slipped = ledger.fills["price"].to_numpy() - 100.0
    assert slipped[0] == pytest.approx(0.120116, abs=1e-6)
    assert slipped[1] == pytest.approx(0.240232, rel=1e-3)


def by_ledger(case: Case) -> tuple[list[Fill], list[list[float]]]:
    ledger = run_ledger(
        case.bars, case.exposure, case.costs, starting_balance=case.balance, account=case.account
    )
    row = np.searchsorted(
        ledger.closed_at, ledger.fills["decided_at"].dt.timestamp("ms").to_numpy() * 1_000_000
    )
    told = ledger.fills.select("quantity", "price", "fee", "realized", "cause").rows(named=True)
    fills = [Fill(row=int(r) + 1, **fill) for r, fill in zip(row, told, strict=True)]
    columns = (ledger.cash, ledger.equity, ledger.quantity[:, 0], ledger.insurance[:, 0])
    return fills, [column.tolist() for column in columns]


def by_oracle(case: Case) -> tuple[list[Fill], list[list[float]]]:
    told = oracle.run(case.bars, case.exposure, case.costs, case.balance, case.account)
    numbers = ("quantity", "price", "fee", "realized")
    fills = [
        Fill(row=fill["row"], cause=fill["cause"], **{name: float(fill[name]) for name in numbers})
        for fill in told.fills
    ]
    symbol = case.bars.symbols[0]
    return fills, [
        [float(row[name]) for row in told.rows] for name in ("cash", "equity", symbol, "insurance")
    ]


@pytest.mark.parametrize("account", [by_ledger, by_oracle])
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_table_of_the_page_is_booked_to_the_cent(
    case: Case, account: Callable[[Case], tuple[list[Fill], list[list[float]]]]
) -> None:
    fills, columns = account(case)

    assert [(fill.row, fill.cause) for fill in fills] == [(fill.row, fill.cause) for fill in case.fills]
    for name in ("quantity", "price", "fee", "realized"):
        assert [getattr(fill, name) for fill in fills] == pytest.approx(
            [getattr(fill, name) for fill in case.fills], abs=1e-9
        )
    for said, wanted in zip(columns, (case.cash, case.equity, case.held, case.insurance), strict=True):
        assert said == pytest.approx(wanted, abs=1e-9)


def test_the_page_has_all_that_was_asked_for_and_every_table_follows_a_venue() -> None:
    told = {cause for case in cases() for fill in case.fills for cause in [fill.cause]}
    tables = PAGE.read_text(encoding="utf-8").count("\n| bar |")

    assert len(cases()) == tables >= 12
    assert told == {"order", "maker", "stop", "take", "liquidation", "expiry", "delisting"}
    assert {case.bars.instruments[0].inverse for case in cases()} == {True, False}
    assert all(re.match(r"https://([\w-]+\.)*(binance|bybit|bitmex)\.", case.link) for case in cases())


@given(
    seed=st.integers(0, 2**32),
    inverse=st.booleans(),
    side=st.sampled_from([-1.0, 1.0]),
    leverage=st.sampled_from([2.0, 10.0, 20.0]),
)
def test_an_isolated_position_loses_at_most_its_margin(
    seed: int, inverse: bool, side: float, leverage: float
) -> None:
    rng = np.random.default_rng(seed)
    bars = stormy_market(72, 1, rng, inverse=inverse)
    bars = replace(bars, funding_rate=np.full(bars.close.shape, NAN))
    target = np.full(bars.close.shape, NAN)
    target[0], target[-2] = side * leverage * 0.5, 0.0

    ledger = run_ledger(
        bars,
        wishes(bars, target),
        Costs(taker_bps=0.0, liquidation_bps=125.0),
        starting_balance=_balance(bars),
        account=AccountTerms(margin="isolated", leverage=leverage),
    )

    margin = ledger.fills["notional"].head(1).sum() / leverage
    assert ledger.cash.min() >= ledger.starting_balance - margin - 1.1e-8
    _conserves(ledger)


def test_a_cross_account_is_never_left_below_zero_by_liquidation() -> None:
    insured = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        bars = replace(stormy_market(72, 3, rng), funding_rate=np.full((72, 3), NAN))
        terms = AccountTerms(margin="cross", leverage=20.0)

        ledger = run_ledger(
            bars,
            stormy_wishes(bars, rng, scale=8.0, exits_share=0.0),
            Costs(slippage_bps=0.0),
            starting_balance=BALANCE,
            account=terms,
        )

        liquidated = ledger.liquidation.sum(axis=1) > 0
        insured += int((ledger.insurance > 0).sum())
        assert (ledger.cash[liquidated] >= 0).all()
    assert insured > 0


def test_a_leverage_above_the_cap_of_the_venue_is_refused_in_one_sentence() -> None:
    bars = market([replace(coin(), tiers=TIERS, max_leverage=50.0)], np.ones((1, 1)), np.ones((1, 1)))

    with pytest.raises(
        StudyError, match=r"trading.leverage: A leverage of 125 is above the 50 that AAAUSDT has"
    ):
        run_ledger(
            bars,
            wishes(bars, np.full((1, 1), NAN)),
            Costs(),
            account=AccountTerms(margin="cross", leverage=125.0),
        )


def test_margin_without_tiers_on_record_is_not_computed() -> None:
    bars = market([coin()], np.ones((1, 1)), np.ones((1, 1)))

    with pytest.raises(NotComputable, match="The maintenance tiers of AAAUSDT are not on record"):
        run_ledger(bars, wishes(bars, np.full((1, 1), NAN)), Costs(), account=AccountTerms(margin="isolated"))


def _at_latency(latency_ms: int, targets: list[float], *, gone: int | None = None) -> Ledger:
    """Opens of 100, 101, 102 and so on, closes of 100 throughout, 10,000 to begin with, and no costs."""
    opens = 100.0 + np.arange(len(targets))[:, None]
    closes = np.full(opens.shape, 100.0)
    if gone is not None:
        opens[gone] = closes[gone] = NAN
    bars = market([coin()], opens, closes)
    free = Costs(taker_bps=0.0, slippage_bps=0.0)
    terms = AccountTerms(latency_ms=latency_ms)
    exposure = wishes(bars, np.array(targets)[:, None])
    return run_ledger(bars, exposure, free, starting_balance=BALANCE, account=terms)


@pytest.mark.parametrize(
    ("latency_ms", "price"), [(0, 101.0), (1, 102.0), (3_600_000, 102.0), (3_600_001, 103.0)]
)
def test_an_order_fills_at_the_first_open_that_is_late_enough(latency_ms: int, price: float) -> None:
    ledger = _at_latency(latency_ms, [0.5, NAN, NAN, NAN, NAN])

    assert ledger.fills["price"].to_list() == [price]
    assert ledger.fills["quantity"].to_list() == [50.0]
    assert _at(ledger.fills["decided_at"]) == [ledger.closed_at[0]]
    assert _at(ledger.fills["filled_at"]) == [ledger.closed_at[0] + 3_600 * 10**9 * int(price - 101)]


def test_a_wish_counts_what_is_on_its_way_as_held() -> None:
    ledger = _at_latency(1, [0.5, 0.8, 0.8, NAN, NAN])

    # 50; 80 less the 50 under way; 0.8 x (10,000 - 50 x 2) / 100 = 79.2 less the 50 held and the 30 under way
    assert ledger.fills["quantity"].to_list() == [50.0, 30.0, -0.8]
    assert ledger.fills["price"].to_list() == [102.0, 103.0, 104.0]


def test_an_order_on_its_way_lapses_at_the_close_that_decided_it() -> None:
    ledger = _at_latency(3_600_001, [NAN, 0.5, NAN, NAN, NAN], gone=4)

    assert ledger.trades == 0
    assert _at(ledger.lapsed["decided_at"]) == [ledger.closed_at[1]]
    assert ledger.lapsed["reason"].to_list() == ["no bar to fill in"]


def test_a_stop_takes_back_what_is_on_its_way() -> None:
    still = np.full((6, 1), 100.0)
    bars = market([coin()], still, still)
    bars = replace(bars, low=np.array([100.0, 100.0, 100.0, 90.0, 100.0, 100.0])[:, None])
    exposure = wishes(bars, np.array([0.5, NAN, 0.8, NAN, NAN, NAN])[:, None])
    exposure.stop[2] = 0.05  # reached in the bar after, one before the 30 more would be bought

    ledger = run_ledger(
        bars,
        exposure,
        Costs(taker_bps=0.0, slippage_bps=0.0),
        starting_balance=BALANCE,
        account=AccountTerms(latency_ms=1),
    )

    assert ledger.fills["quantity"].to_list() == [50.0, -50.0]
    assert ledger.fills["cause"].to_list() == ["order", "stop"]


def _at(instants: pl.Series) -> list[int]:
    return (instants.dt.timestamp("ms") * 1_000_000).to_list()


@given(
    seed=st.integers(0, 2**32),
    inverse=st.booleans(),
    coins=st.integers(1, 4),
    account=st.builds(
        AccountTerms,
        margin=st.sampled_from(["isolated", "cross"]),
        leverage=st.sampled_from([1.0, 5.0, 20.0]),
    ),
    share=st.sampled_from([0.02, 0.3]),
    dearer=st.sampled_from([1.0, 300.0]),
)
def test_no_liquidation_is_missed_where_a_position_was_found_to_be_safe(
    seed: int, inverse: bool, coins: int, account: AccountTerms, share: float, dearer: float
) -> None:
    rng = np.random.default_rng(seed)
    bars = stormy_market(200, coins, rng, inverse=inverse)
    bars = replace(bars, funding_rate=bars.funding_rate * dearer)
    exposure = random_wishes(bars, rng, share=share, scale=account.leverage * 0.4)
    desks = [open_desk(bars, Costs(), account, _balance(bars), exposure=exposure) for _ in range(2)]
    booked = [blank_books(desk, orders=int(np.isfinite(exposure.target).sum())) for desk in desks]

    book(desks[0], booked[0])
    _book_looking_closely(desks[1], booked[1])

    for ours, theirs in zip(booked[0], booked[1], strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_funding_alone_liquidates_a_cross_account_whose_prices_stand_still() -> None:
    prices, rate = np.full((5, 2), 100.0), np.full((5, 2), NAN)
    rate[2:4] = 0.3  # of 2 x 10,000, twice: 6,000 each time
    bars = market(
        [replace(coin(name), tiers=TIERS) for name in ("AAAUSDT", "BBBUSDT")], prices, prices, rate=rate
    )
    target = np.full((5, 2), NAN)
    target[0] = 1.0

    ledger = run_ledger(
        bars,
        wishes(bars, target),
        Costs(taker_bps=0.0, slippage_bps=0.0, liquidation_bps=0.0),
        starting_balance=BALANCE,
        account=AccountTerms(margin="cross", leverage=5.0),
    )

    assert ledger.cash.tolist() == [10_000.0, 10_000.0, 4_000.0, -2_000.0, 0.0]
    assert ledger.fills["cause"].to_list() == ["order", "order", "liquidation", "liquidation"]
    assert ledger.insurance.sum() == 2_000.0


def _book_looking_closely(desk: Desk, books: Books) -> None:
    """`book`, row by row, with what it knows of safe prices forgotten each time."""
    for row in range(len(desk.market)):
        _forget(desk)
        book_liquidations(row, AT_OPEN, desk, books)
        book_open(row, desk, books)
        _forget(desk)
        book_liquidations(row, IN_BAR, desk, books)
        assert book_close(row, desk, books) == -1
        book_wishes(row, book_state(row, desk, books), desk, books)


def _forget(desk: Desk) -> None:
    desk.held["safe_above"] = desk.held["safe_below"] = 0.0
    desk.purse["least"] = np.inf


def test_a_change_in_any_file_of_the_arithmetic_makes_all_of_it_be_compiled_anew(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("worth.py", "margin.py")]
    for path in files:
        path.write_text("1")
    before = fingerprint(files)
    files[1].write_text("2")

    assert fingerprint(files) != before
    assert book._cache._cache_file._source_stamp == FINGERPRINT
