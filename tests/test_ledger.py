"""The ledger: its rounding, its figures, what it refuses to compute. For its money see test_oracle.py."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.errors import DataError, NotComputable, StudyError
from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.data.simulator import Simulation
from longshort.policy import booking
from longshort.policy.contract import contract_terms
from longshort.policy.decider import Script
from longshort.policy.ledger import Ledger, run_ledger

from .accounts import coin, market, random_market, random_wishes, wishes

NAN = np.nan


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


@pytest.fixture
def two_trades() -> Ledger:
    """50 bought at 100.1, sold at 100.9 two bars later; funding of 0.51 paid in between."""
    bars = market(
        [coin()],
        _column(99, 100, 102, 101),
        _column(100, 102, 101, 101),
        rate=_column(NAN, 0.0001, NAN, NAN),
    )
    costs = Costs(taker_bps=5.0, slippage_bps=10.0)
    return run_ledger(bars, wishes(bars, _column(0.5, NAN, 0.0, NAN)), costs, starting_balance=10_000.0)


def test_returns_compound_to_the_equity(two_trades: Ledger) -> None:
    assert two_trades.equity[-1] == pytest.approx(10_000 - 2.5025 - 0.51 + 40 - 2.5225)
    assert 10_000 * np.prod(1 + two_trades.returns) == pytest.approx(two_trades.equity[-1])
    assert two_trades.returns[0] == 0.0


def test_turnover_is_the_notional_over_the_equity_that_decided_it(two_trades: Ledger) -> None:
    decided_with = two_trades.equity[2]

    expected = [0.0, 50 * 100.1 / 10_000, 0.0, 50 * 100.9 / decided_with]
    np.testing.assert_allclose(two_trades.turnover, expected, rtol=1e-12)


def test_totals_are_what_was_paid(two_trades: Ledger) -> None:
    assert two_trades.trades == 2
    assert two_trades.totals.fees == pytest.approx(2.5025 + 2.5225)
    assert two_trades.totals.slippage == pytest.approx(50 * 0.1 + 50 * 0.1)
    assert two_trades.totals.funding == pytest.approx(0.51)


def test_a_fill_says_when_it_was_decided_and_that_it_happened_at_the_next_open(two_trades: Ledger) -> None:
    fill = two_trades.fills.row(1, named=True)
    closes = two_trades.to_polars()["closed_at"]

    assert fill["decided_at"] == closes[2]
    assert fill["filled_at"] == closes[2]
    assert fill["position"] == 0.0
    assert fill["notional"] == pytest.approx(50 * 100.9)
    assert fill["cash"] == two_trades.cash[-1]


def test_a_notebook_shows_the_account(two_trades: Ledger) -> None:
    page = two_trades._repr_html_()

    assert "AAAUSDT: 2 fills" in page
    assert "10,034.47" in page
    assert two_trades.to_polars().height == 4


def test_money_adds_up_in_every_bar(rng: np.random.Generator) -> None:
    bars = random_market(500, 4, rng)

    ledger = run_ledger(bars, random_wishes(bars, rng), Costs())

    realized = np.zeros(len(bars))
    row = np.searchsorted(
        bars.closed_at, ledger.fills["decided_at"].dt.timestamp("ms").to_numpy() * 1_000_000
    )
    np.add.at(realized, row + 1, ledger.fills["realized"].to_numpy())
    paid = ledger.fees.sum(axis=1) + ledger.funding.sum(axis=1)
    np.testing.assert_allclose(ledger.cash, 100_000 + np.cumsum(realized - paid), rtol=0, atol=1e-6)


def test_the_future_does_not_change_the_account_of_the_past(rng: np.random.Generator) -> None:
    bars = random_market(300, 3, rng)
    exposure = random_wishes(bars, rng)

    whole = run_ledger(bars, exposure, Costs())
    start = run_ledger(bars[:200], exposure[:200], Costs())

    np.testing.assert_array_equal(start.equity, whole.equity[:200])
    np.testing.assert_array_equal(start.quantity, whole.quantity[:200])


def test_whole_lots_and_ticks_stay_within_their_rounding_of_fractional_ones(simulation: Simulation) -> None:
    bars = simulation.bars[:2_000]
    rng = np.random.default_rng(5)
    exposure = random_wishes(bars, rng, share=0.1, scale=0.3)
    costs = Costs()

    rounded = run_ledger(bars, exposure, costs)
    fractional = run_ledger(bars, exposure, costs, lots=False)

    assert rounded.trades == fractional.trades > 400
    assert np.abs(rounded.equity - fractional.equity).max() <= _rounding(bars, rounded)
    assert np.abs(rounded.equity - fractional.equity).max() > 1e-3


def _rounding(bars: Bars, ledger: Ledger) -> float:
    """Over fills: half a tick times the quantity, and half a lot times the price's move to the next fill."""
    total = 0.0
    for asset, instrument in enumerate(bars.instruments):
        fills = ledger.fills.filter(ledger.fills["symbol"] == instrument.symbol)
        last_close = bars.close[bars.present[:, asset], asset][-1]
        prices = np.append(fills["price"].to_numpy(), last_close)
        half_tick, half_lot = float(instrument.tick) / 2, float(instrument.lot) / 2
        total += (
            half_tick * np.abs(fills["quantity"].to_numpy()).sum() + half_lot * np.abs(np.diff(prices)).sum()
        )
    return total


def test_what_goes_out_at_the_open_is_booked_before_what_rests_whichever_coin_it_is_of() -> None:
    opens = np.full((3, 2), 100.0)
    closes = np.array([[100.0, 100.0], [100.0, 100.0], [98.0, 100.0]])
    bars = market([coin(), coin("BBBUSDT")], opens, closes)
    target = np.array(
        [[NAN, 0.5], [0.5, NAN], [NAN, NAN]]
    )  # nobody sells BBB below 100, so it goes to the market

    ledger = run_ledger(
        bars, wishes(bars, target), Costs(), account=AccountTerms(execution="maker, then taker")
    )

    assert ledger.fills["symbol"].to_list() == ["BBBUSDT", "AAAUSDT"]
    assert ledger.fills["cause"].to_list() == ["order", "maker"]
    assert ledger.fills["filled_at"].n_unique() == 1


@pytest.mark.parametrize(
    ("opened", "order", "slippage_bps", "filled"),
    [
        (1_000, 1, 25, 1_003),  # 1,002.5: a tie goes against the buyer
        (1_000, -1, 25, 997),  # 997.5: and against the seller
        (1_000, 1, 24, 1_002),
        (1_000, -1, 24, 998),
        (500_000, 1, 1, 500_050),  # 500,050.00000000006 in doubles is no reason for another tick
        (1, -1, 9_000, 1),  # never below one tick
    ],
)
def test_fill_prices_are_slipped_to_the_nearest_tick(
    opened: float, order: float, slippage_bps: float, filled: float
) -> None:
    terms = contract_terms([coin()])[0]

    assert booking.fill_ticks(float(opened), float(order), slippage_bps / 10_000, terms) == filled


@pytest.mark.parametrize(
    ("target", "equity", "close", "lots"),
    [
        (0.009, 1_000.0, 10.0, 9),  # 8.999999999999998 in doubles
        (0.0089999, 1_000.0, 10.0, 8),
        (-0.0089999, 1_000.0, 10.0, -8),
        (0.7, 0.0, 10.0, 0),
        (0.7, -50.0, 10.0, 0),
    ],
)
def test_sizes_round_toward_zero_and_need_equity(
    target: float, equity: float, close: float, lots: float
) -> None:
    terms = contract_terms([coin(tick="0.1", lot="0.1", minimum="0")])[0]

    assert booking.order_lots(target, equity * 1e8, close / 0.1, 0.0, terms) == lots


@given(
    quantity=st.integers(1, 10**7),
    ticks=st.integers(1, 10**6),
    rate=st.sampled_from([0.0001, 0.0005, 0.00075]),
)
def test_fees_round_exact_ties_up(quantity: int, ticks: int, rate: float) -> None:
    terms = contract_terms([coin(tick="0.0001", lot="0.1")])[0]  # one lot gains 1,000 units per tick

    exact, parts = quantity * ticks * 1_000 * round(rate * 1e5), 100_000
    assert booking.fee_units(float(quantity), float(ticks), rate, terms) == (2 * exact + parts) // (2 * parts)


def test_profit_is_not_computed_where_funding_is_unknown() -> None:
    covered = np.array([[True], [True], [False], [False]])
    bars = market([coin("BBBUSDT")], _column(99, 100, 101, 102), _column(100, 101, 102, 103), covered=covered)

    with pytest.raises(
        NotComputable, match=r"BBBUSDT: Profit is not computed.*2024-10-04 02:00Z.*longshort import"
    ):
        run_ledger(bars, wishes(bars, _column(0.5, NAN, NAN, NAN)), Costs())


def test_unknown_funding_does_not_matter_without_a_position() -> None:
    covered = np.array([[False], [True], [True], [False]])
    bars = market([coin()], _column(99, 100, 101, 102), _column(100, 101, 102, 103), covered=covered)

    ledger = run_ledger(bars, wishes(bars, _column(0.5, 0.0, NAN, NAN)), Costs())

    assert ledger.trades == 2


def test_a_delisted_position_does_not_need_funding() -> None:
    gone = np.array([[True], [True], [False]])
    bars = market(
        [coin()], _column(99, 100, NAN), _column(100, 101, NAN), covered=gone.copy(), listed=gone.copy()
    )

    ledger = run_ledger(bars, wishes(bars, _column(0.5, NAN, NAN)), Costs())

    assert ledger.quantity[:, 0].tolist() == [0.0, 500.0, 0.0]
    assert ledger.fills["cause"].to_list() == ["order", "delisting"]
    assert ledger.fills["price"].to_list()[1] == 101.0
    assert ledger.fills["fee"].to_list()[1] == 0.0


def test_an_inverse_contract_that_settles_in_another_coin_is_refused() -> None:
    quanto = replace(coin(inverse=True), settle="XBT")
    bars = market([quanto], _column(100), _column(100))

    with pytest.raises(NotComputable, match=r"AAAUSDT is quoted in USDT and settles in XBT.*Use the linear"):
        run_ledger(bars, wishes(bars, _column(NAN)), Costs())


def test_two_settlement_currencies_are_refused() -> None:
    other = replace(coin("BBBUSDC"), settle="USDC")
    bars = market([coin(), other], np.full((1, 2), 100.0), np.full((1, 2), 100.0))

    with pytest.raises(NotComputable, match="cannot add up USDC and USDT"):
        run_ledger(bars, wishes(bars, np.full((1, 2), NAN)), Costs())


def test_wishes_for_other_closes_are_refused() -> None:
    bars = market([coin()], _column(99, 100), _column(100, 101))

    with pytest.raises(DataError, match="do not have the same coins and closes"):
        run_ledger(bars, wishes(bars[1:], _column(0.5)), Costs())


def test_an_infinite_wish_is_refused() -> None:
    bars = market([coin()], _column(99, 100), _column(100, 101))

    with pytest.raises(StudyError, match=r"AAAUSDT: The wish at the close of 2024-10-04 01:00Z is infinite"):
        run_ledger(bars, wishes(bars, _column(NAN, np.inf)), Costs())


def test_returns_end_where_the_equity_does() -> None:
    bars = market([coin()], _column(99, 100, 60, 60), _column(100, 60, 60, 60))

    ledger = run_ledger(bars, wishes(bars, _column(3.0, NAN, NAN, NAN)), Costs(), starting_balance=10_000.0)

    assert ledger.returns[1] < -1
    assert np.isnan(ledger.returns[2:]).all()


def test_a_script_has_a_wish_for_every_close_it_is_asked_about() -> None:
    bars = market([coin()], _column(99, 100), _column(100, 101))
    script = Script(wishes(bars[:1], _column(0.5)))

    assert script.on_close(bars[0:1]).target.tolist() == [0.5]
    with pytest.raises(StudyError, match="no wish for the close of 2024-10-04 01:00Z"):
        script.on_close(bars[1:2])
