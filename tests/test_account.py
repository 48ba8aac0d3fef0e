"""What would have been earned, how sure that is, what it cost; and what so many tries leave of it."""

from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from longshort.base.clock import DAY
from longshort.base.errors import NotComputable
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.policy.rivals import RIVALS, rival_exposure
from longshort.study.account.broker import Broker
from longshort.study.account.tearsheet import TearSheet
from longshort.study.case import Case
from longshort.study.evaluate import truth_over
from longshort.study.evidence import costs, trading, tries
from longshort.study.evidence.account import (
    concentration,
    earned,
    gross_exposure,
    last_closes,
    profit_by_coin,
)
from longshort.study.market import Market
from longshort.study.money import Money, rule_of
from longshort.study.section import Section, Table
from longshort.study.trials import Tried, daily
from longshort.study.walk import Walk

from .accounts import coin, market, random_market, random_wishes, wishes

STUDY = Study.parse({"validation": {"folds": 2, "first_train_share": 0.4}})
MODEL = "a model"


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def a_case() -> Case:
    """A walk whose policy wishes at random."""
    simulated = simulate_market(coins=3, bars=6_000, seed=3).bars
    whole = Market.of(STUDY, simulated)
    walk = Walk(folds=whole.folds(), fitted=(), forecasts={})
    rows, rule = walk.tested, rule_of(whole)
    tested = simulated[rows.start : rows.stop]
    wish = random_wishes(tested, np.random.default_rng(1), share=0.02, scale=0.1)
    every = {MODEL: wish} | {n: rival_exposure(n, whole.bars, whole.panel, rows, rule) for n in RIVALS}
    ledgers = {name: run_ledger(tested, exposure, rule.costs) for name, exposure in every.items()}
    return Case(
        market=whole,
        walk=walk,
        truth=truth_over(whole, walk.folds),
        losses={},
        money=Money(exposure=wish, ledgers=ledgers),
        model=MODEL,
        comparisons=(),
        verdicts=(),
    )


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def told(case: Case) -> Section:
    return trading.section(case)


def table(section: Section, name: str) -> Table:
    return next(t for t in section.tables if t.name == name)


def column(section: Section, name: str, of: str) -> list[float]:
    """The numbers of one column, by row."""
    found = table(section, name)
    return [row[[c.name for c in found.columns].index(of)] for row in found.rows]


def bars_of(case: Case) -> Bars:
    rows = case.walk.tested
    return case.market.bars[rows.start : rows.stop]


def test_every_row_has_a_cell_for_every_column_and_every_chart_a_value_for_every_place(told: Section) -> None:
    assert [len(r) for t in told.tables for r in t.rows] == [
        len(t.columns) for t in told.tables for _ in t.rows
    ]
    assert all(len(s.x) == len(s.y) for c in told.charts for s in c.series)
    assert [len(t.rows) for t in told.tables] == [5, 5, 5, 7, 3, 5]
    assert all(type(cell) in (str, int, float, type(None)) for t in told.tables for r in t.rows for cell in r)


def test_the_profits_of_the_coins_add_up_to_that_of_the_account(rng: np.random.Generator) -> None:
    bars = random_market(500, 4, rng)
    ledger = run_ledger(bars, random_wishes(bars, rng), Costs())

    parts = profit_by_coin(ledger, bars)

    assert np.abs(parts).min() > 1.0
    assert parts.sum() == pytest.approx(ledger.equity[-1] - 100_000.0, abs=1e-5)


def test_a_coin_that_is_not_traded_earns_nothing(rng: np.random.Generator) -> None:
    bars = random_market(300, 3, rng)
    exposure = random_wishes(bars, rng)
    exposure.target[:, 1] = np.nan

    assert profit_by_coin(run_ledger(bars, exposure, Costs()), bars)[1] == 0.0


def test_gross_exposure_is_that_of_the_tear_sheet_and_absent_bars_count_at_their_last_close(
    rng: np.random.Generator,
) -> None:
    bars = random_market(300, 3, rng)
    ledger = run_ledger(bars, random_wishes(bars, rng), Costs())

    held = gross_exposure(ledger, bars)

    sheet = np.abs(TearSheet(title="", created_at=0, ledger=ledger, bars=bars).exposure).sum(axis=1)
    priced = np.isfinite(sheet)
    np.testing.assert_allclose(held[priced], sheet[priced], rtol=1e-12)
    assert np.isfinite(held).all()
    assert not priced.all()


def test_the_last_close_is_carried_and_none_is_invented() -> None:
    bars = market([coin()], _column(np.nan, 10, np.nan, 12), _column(np.nan, 11, np.nan, 13))

    np.testing.assert_array_equal(last_closes(bars)[:, 0], [np.nan, 11, 11, 13])


def test_ratios_a_year_rest_on_days(case: Case, told: Section) -> None:
    ledger = case.money.ledgers["momentum"]
    _, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
    names = [row[0] for row in table(told, "earned").rows]
    per_year = np.sqrt(365.25)

    assert names == [MODEL, *RIVALS]
    k = names.index("momentum")
    assert column(told, "earned", "Sharpe")[k] == pytest.approx(
        returns.mean() / returns.std(ddof=1) * per_year
    )
    downside = np.sqrt((np.minimum(returns, 0) ** 2).mean())
    assert column(told, "risk", "Sortino")[k] == pytest.approx(returns.mean() / downside * per_year)
    assert column(told, "earned", "net return")[k] == pytest.approx(ledger.equity[-1] / 100_000 - 1)


def test_the_deepest_drawdown_lasts_from_its_peak_to_its_recovery() -> None:
    equity = np.array([100.0, 120.0, 60.0, 90.0, 121.0, 110.0, 130.0])
    found = earned("x", a_ledger(equity), flat_days(7))

    assert found.max_drawdown == 0.5
    assert found.drawdown_days == 3.0
    assert found.calmar == pytest.approx((1.3 ** (365.25 * 24 / 7) - 1) / 0.5)


def flat_days(days: int) -> Bars:
    bars = market([coin()], np.full((days, 1), 100.0), np.full((days, 1), 100.0))
    return replace(bars, closed_at=20_000 * DAY + DAY * np.arange(days, dtype=np.int64))


def a_ledger(equity: np.ndarray) -> Ledger:
    """An account whose equity was typed, on daily closes, without a fill."""
    bars = flat_days(len(equity))
    empty = run_ledger(bars, wishes(bars, np.full((len(equity), 1), np.nan)), Costs(), starting_balance=100.0)
    return replace(empty, equity=equity)


def test_concentration_by_hand() -> None:
    gains = np.array([0.0, 10, -5, 1, 1, 1, 1, -4, 0, 5])
    bars = flat_days(10)

    found = concentration(a_ledger(100.0 + gains.cumsum()), bars)

    assert found.net_return == pytest.approx(0.10)
    assert found.best_day == pytest.approx(1.0)
    assert found.best_five_days == pytest.approx(1.8)
    assert found.without_best_days == pytest.approx(-0.08)


def test_a_loss_has_no_shares() -> None:
    found = concentration(a_ledger(np.array([100.0, 90.0, 95.0])), flat_days(3))

    assert isnan(found.best_day)
    assert isnan(found.best_coin_share)
    assert found.without_best_days == pytest.approx(-0.10)


def test_costs_add_up_from_gross_to_net(told: Section) -> None:
    parts = [column(told, "costs", name) for name in ("gross", "fees", "slippage", "funding")]

    np.testing.assert_allclose(np.sum(parts, axis=0), column(told, "costs", "net"), rtol=1e-12)
    np.testing.assert_allclose(column(told, "costs", "fees per trade"), 5.0, rtol=1e-6)
    np.testing.assert_allclose(column(told, "costs", "slippage per trade"), 1.0, rtol=0.1)


def test_what_is_booked_at_the_studys_costs_is_what_was_booked_before(case: Case) -> None:
    again = {name: costs.booked(costs.broker_for(case), wish) for name, wish in costs.wishes_of(case).items()}

    assert again == {name: costs.outcome_of(ledger) for name, ledger in case.money.ledgers.items()}


def test_costs_that_rise_leave_less_by_about_what_was_paid(case: Case) -> None:
    found = costs.cost_outcomes(case)[MODEL]
    nets = [found[m].net_return for m in costs.MULTIPLES]
    paid = case.money.ledgers[MODEL].totals

    assert nets == sorted(nets, reverse=True)
    assert nets[0] - nets[2] == pytest.approx((paid.fees + paid.slippage) / 100_000, rel=0.1)


def test_a_late_decision_fills_later_at_the_prices_of_then() -> None:
    bars = market([coin()], _column(99, 100, 110, 120, 130), _column(100, 110, 120, 130, 140))
    exposure = wishes(bars, _column(0.5, np.nan, 0.0, np.nan, np.nan))

    late = run_ledger(bars, costs.delayed(exposure, 1), Costs())

    assert late.fills["price"].to_list() == pytest.approx([110.0, 130.0], rel=1e-3)
    np.testing.assert_array_equal(costs.delayed(exposure, 4).target[:, 0], [np.nan] * 4 + [0.5])


def test_a_delayed_wish_that_meets_unknown_funding_is_told_as_unknown() -> None:
    covered = np.array([[True], [True], [False], [True]])
    bars = market([coin()], _column(99, 100, 101, 102), _column(100, 101, 102, 103), covered=covered)
    exposure = wishes(bars, _column(0.5, 0.0, np.nan, np.nan))
    broker = Broker(
        decision=bars, execution=bars, costs=Costs(), account=AccountTerms(), starting_balance=1_000.0
    )

    on_time, late = (costs.booked(broker, costs.delayed(exposure, k)) for k in (0, 1))

    assert on_time.net_return == pytest.approx(0.0, abs=0.02)
    assert isnan(late.net_return)


def test_wishes_below_the_minimum_by_hand() -> None:
    """Lots of .1 at 100 are ten; with 500, the wishes of 1 % (5), and half a percent more than 2 % (2.5) are less."""
    instruments = [coin(lot="0.1", minimum="5"), coin("BBBUSDT", lot="0.001", minimum="6")]
    target = np.array(
        [[0.01, 0.01], [0.03, np.nan], [np.nan, 0.03], [0.0, 0.0], [0.02, 0.012], [0.025, np.nan]]
    )
    close = np.full(target.shape, 100.0)

    assert costs.below_minimum(target, close, instruments, 500.0) == (7, 3)
    assert costs.below_minimum(target, close, instruments, 50_000.0) == (7, 0)
    assert costs.below_minimum(target, close, instruments, 1.0) == (7, 7)
    assert costs.below_minimum(np.full_like(target, np.nan), close, instruments, 500.0) == (0, 0)


def test_small_accounts_can_follow_less(told: Section) -> None:
    shares = column(told, "small-accounts", "too small")

    assert shares == sorted(shares, reverse=True)
    assert column(told, "small-accounts", "account") == [500.0, 5_000.0, 50_000.0]


def test_the_reading_says_what_was_earned_how_sure_that_is_and_what_costs_and_delay_do(told: Section) -> None:
    for words in (
        "after all costs",
        "95 % interval",
        "the only try on record",
        "breaks even at",
        "one bar later",
    ):
        assert words in told.reading


def test_no_account_is_told_with_its_reason(case: Case) -> None:
    error = NotComputable("Profit is not computed: the funding is unknown.", where="AAAUSDT")

    empty = trading.section(replace(case, money=Money(exposure=case.money.exposure, ledgers={}, error=error)))

    assert "the funding is unknown" in empty.missing
    assert empty.tables == ()


def test_a_policy_that_never_trades_is_told_so(case: Case) -> None:
    nothing = Exposure(
        closed_at=case.money.exposure.closed_at,
        symbols=case.money.exposure.symbols,
        target=np.full_like(case.money.exposure.target, np.nan),
    )
    ledgers = dict(case.money.ledgers) | {MODEL: run_ledger(bars_of(case), nothing, Costs())}

    section = trading.section(replace(case, money=Money(exposure=nothing, ledgers=ledgers)))

    assert section.reading == f"{MODEL} never held a position: it earned nothing and risked nothing."


def test_few_days_have_no_sharpe_and_no_trouble(case: Case) -> None:
    first = case.walk.tested.start
    walk = Walk(folds=(replace(case.walk.folds[0], test=range(first, first + 100)),), fitted=(), forecasts={})
    short = replace(case, walk=walk)
    wish = random_wishes(bars_of(short), np.random.default_rng(2))
    ledgers = {MODEL: run_ledger(bars_of(short), wish, Costs())}

    section = trading.section(replace(short, money=Money(exposure=wish, ledgers=ledgers)))

    assert "days are too few for a Sharpe ratio" in section.reading
    assert isnan(column(section, "earned", "Sharpe")[0])


def some_tries(count: int, days: int, *, apart: int = 0) -> tuple[Tried, ...]:
    rng = np.random.default_rng(9)
    return tuple(
        Tried(
            settings=f"{k:064x}",
            recorded_at=k * DAY,
            days=np.arange(20_000 + k * apart, 20_000 + k * apart + days),
            returns=rng.normal(0.0, 0.01, days),
        )
        for k in range(count)
    )


def test_without_a_log_nothing_is_said_about_tries(case: Case) -> None:
    assert tries.section(case).missing


def test_the_first_try_is_told_as_the_first(case: Case) -> None:
    section = tries.section(replace(case, tried=some_tries(1, 200)))

    assert "was asked once" in section.reading
    assert "Overfitting is not estimated" in section.reading
    assert [t.name for t in section.tables] == ["luck", "tries"]


def test_twelve_tries_are_counted_deflated_and_split(case: Case) -> None:
    section = tries.section(replace(case, tried=some_tries(12, 200)))

    assert "with 12 different settings" in section.reading
    assert "luckiest of 12" in section.reading
    assert "(PBO)" in section.reading
    assert [t.name for t in section.tables] == ["luck", "tries", "overfitting"]
    assert column(section, "overfitting", "different results") == [12]
    assert all(len(r) == len(t.columns) for t in section.tables for r in t.rows)
    assert column(section, "tries", "recorded") == [k * DAY for k in range(12)][::-1]


def test_more_tries_leave_less_in_the_main_section_too(case: Case) -> None:
    section = trading.section(replace(case, tried=some_tries(12, 200)))

    assert "After 12 tries" in section.reading


def test_the_same_result_twice_is_one_result() -> None:
    first, second = some_tries(2, 150)

    assert tries.comparable((first, second, replace(first, settings="other"))).shape == (150, 2)


def test_only_days_common_to_all_are_compared_and_too_few_leave_a_try_out() -> None:
    apart = some_tries(5, 200, apart=30)  # the last shares 170, 140, 110 and 80 days with those before it

    found = tries.comparable(apart)

    assert found.shape == (110, 4)
    returns = {tuple(column) for column in found.T}
    assert tuple(apart[4].returns[:110]) in returns
    assert tuple(apart[1].returns[-110:]) in returns


def test_a_wiped_out_try_earns_nothing_from_then_on_and_stays_in() -> None:
    first, second = some_tries(2, 150)
    second.returns[100:] = np.nan

    assert np.isfinite(tries.comparable((first, second))).all()


def test_tries_without_an_account_are_counted_and_not_compared(case: Case) -> None:
    bare = Tried(settings="a", recorded_at=0, days=np.empty(0, np.int64), returns=np.empty(0))

    section = tries.section(replace(case, tried=(bare, bare)))

    assert "there are 0" in section.reading
