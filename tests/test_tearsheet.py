"""The account taken apart: causes, other terms, small accounts and luck, and the books that it is written into."""

import csv
import doctest
import io
from dataclasses import replace
from datetime import datetime
from math import isnan, sqrt
from pathlib import Path

import numpy as np
import pytest

from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.study.account.bookkeeping import fills_csv, funding_csv, trades_csv
from longshort.study.account.broker import Broker
from longshort.study.account.dissection import CAUSES, Dissection, dissect, standing
from longshort.study.account.tables import cost_sentence, luck_sentence, sections_of
from longshort.study.account.tearsheet import TearSheet
from longshort.study.evidence.costs import delayed
from longshort.study.statistics.sharpe import Track, deflated_sharpe
from longshort.study.trials import daily
from longshort.web.tearsheet import render_tearsheet

from .accounts import coin, market, random_market, random_wishes, stormy_market, stormy_wishes, wishes

NAN = np.nan
CENT = 0.005
BALANCE = 20_000.0


def a_broker(bars: Bars, **changes: object) -> Broker:
    plain = Broker(
        decision=bars, execution=bars, costs=Costs(), account=AccountTerms(), starting_balance=BALANCE
    )
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def stormy() -> tuple[Broker, Exposure, Ledger]:
    """Forty days, two coins, isolated margin and impact: liquidations, exits, an expiry and a delisting."""
    bars = stormy_market(960, 2, rng := np.random.default_rng(12))
    broker = a_broker(bars, costs=Costs(impact=0.3), account=AccountTerms(margin="isolated", leverage=10.0))
    exposure = stormy_wishes(bars, rng, scale=0.8)
    return broker, exposure, broker.book(exposure)


@pytest.fixture(scope="module")
def found(stormy: tuple[Broker, Exposure, Ledger]) -> Dissection:
    return dissect(*stormy, {"buy and hold": stormy[2]}, trials=7)


def test_causes_add_up_to_what_the_account_earned(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    ledger, causes = stormy[2], found.causes
    paid = ledger.totals

    assert sum(causes[name] for name in CAUSES[:-1]) == pytest.approx(causes["net"], abs=1e-6)
    assert causes["net"] == pytest.approx(ledger.equity[-1] - BALANCE, abs=1e-6)
    assert causes["liquidation"] == pytest.approx(-paid.liquidation, abs=1e-6)
    assert causes["insurance"] == pytest.approx(paid.insurance, abs=1e-6)
    assert min(paid.liquidation, paid.insurance) > 0.0
    assert causes["slippage"] + causes["impact"] == pytest.approx(-paid.slippage, abs=1e-6)
    assert causes["impact"] < 0.0


def test_each_coins_causes_are_what_the_ledger_has_of_that_coin(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    ledger = stormy[2]

    assert found.by_coin["symbol"].to_list() == list(ledger.symbols)
    np.testing.assert_allclose(found.by_coin["fees"], -ledger.fees.sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.by_coin["funding"], -ledger.funding.sum(axis=0), atol=1e-6)


def test_other_terms_are_the_same_wishes_booked_again(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    broker, exposure, _ = stormy
    again = {
        "fees x2": replace(
            broker, costs=Costs(impact=0.3, taker_bps=10.0, maker_bps=4.0, settlement_bps=10.0)
        ),
        "slippage x3": replace(broker, costs=Costs(impact=0.9, slippage_bps=3.0)),
    }

    told = {one.name: one for one in found.variations}

    assert list(told) == ["fees x2", "one bar late", "slippage x3"]
    assert told["one bar late"] == standing("one bar late", broker.book(delayed(exposure, 1)))
    assert all(told[name] == standing(name, one.book(exposure)) for name, one in again.items())
    assert len({one.net_return for one in (found.own, *told.values())}) == 4


def test_taker_and_maker_are_both_told_and_the_accounts_own_is_what_was_booked(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    broker, exposure, ledger = stormy
    taker, maker, both = found.executions

    assert (taker.name, maker.name, both.name) == ("taker", "maker", "maker, then taker")
    assert replace(taker, name="") == standing("", ledger)
    assert replace(maker, name="") == standing("", broker.executed("maker").book(exposure))
    assert maker.fills < taker.fills


def test_the_probability_is_deflated_by_the_tries_on_record(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    ledger = stormy[2]
    _, returns = daily(ledger.closed_at, ledger.equity, BALANCE)
    track = Track.of(returns)

    assert found.above_luck == deflated_sharpe(track, 7) < found.above_zero
    assert found.own.sharpe.sharpe == pytest.approx(track.sharpe * sqrt(365.25))
    assert luck_sentence(found) == (
        f"After 7 tries on record: P(true Sharpe ratio above their luck) = {found.above_luck:.0%}."
    )


def test_break_even_by_hand() -> None:
    """Bought at 100, sold at 101, no slippage: 100 earned on 20,100 traded, 50 bps a fill in all."""
    bars = market([coin(lot="1")], _column(100, 100, 101, 101), _column(100, 101, 101, 101))
    broker = a_broker(bars, costs=Costs(slippage_bps=0.0), starting_balance=10_000.0)
    exposure = wishes(bars, _column(1.0, 0.0, NAN, NAN))

    found = dissect(broker, exposure, broker.book(exposure), {}, trials=1)

    assert found.charged_bps == pytest.approx(5.0)
    assert found.break_even_bps == pytest.approx(100.0 / (10_000 / 10_000 + 10_100 / 10_095), rel=1e-3)
    assert "breaks even at 50.0 bps a fill; 5.0 were charged" in cost_sentence(found)


def test_a_few_days_give_no_sharpe_ratio_and_say_so() -> None:
    bars = random_market(50, 1, rng := np.random.default_rng(0))
    exposure = random_wishes(bars, rng)

    found = dissect(broker := a_broker(bars), exposure, broker.book(exposure), {}, trials=1)

    assert isnan(found.above_luck)
    assert luck_sentence(found) == "4 days are too few for a Sharpe ratio."


def test_the_books_add_up_to_the_account_to_the_cent(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    broker, _, ledger = stormy
    paid = ledger.totals

    fills = _rows(fills_csv(ledger, broker.execution))
    funding = _rows(funding_csv(ledger, broker.execution))
    trades = _rows(trades_csv(found.trades, broker.execution))

    assert _sum(fills, "fee_USDT") == pytest.approx(paid.fees + paid.liquidation, abs=CENT)
    assert _sum(fills, "slippage_USDT") == pytest.approx(paid.slippage, abs=CENT)
    assert _sum(funding, "paid_USDT") == pytest.approx(paid.funding, abs=CENT)
    assert _sum(trades, "net_USDT") == pytest.approx(ledger.equity[-1] - BALANCE, abs=CENT)
    assert _sum(trades, "fees_USDT") == pytest.approx(paid.fees, abs=CENT)
    assert len(fills) == ledger.trades
    assert len(funding) == np.count_nonzero(ledger.funding)


def test_the_books_name_instants_in_utc_and_leave_open_what_is_open(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    broker, _, ledger = stormy
    fill = _rows(fills_csv(ledger, broker.execution))[0]
    trade = _rows(trades_csv(found.trades, broker.execution))[0]

    assert datetime.fromisoformat(fill["filled_at"]) == ledger.fills["filled_at"][0]
    assert fill["filled_at"].endswith("Z")
    assert (trade["opened_at"], trade["symbol"]) == (fill["filled_at"], fill["symbol"])
    running = [row for row in _rows(trades_csv(found.trades, broker.execution)) if row["cause"] == "open"]
    assert [row["closed_at"] for row in running] == [""] * int((ledger.quantity[-1] != 0.0).sum())


def test_the_page_shows_every_part_of_the_account(
    stormy: tuple[Broker, Exposure, Ledger], found: Dissection
) -> None:
    broker, _, ledger = stormy
    sheet = TearSheet(
        title="Storm",
        created_at=0,
        ledger=ledger,
        bars=broker.execution,
        sections=sections_of(found, "USDT"),
    )

    page = render_tearsheet(sheet)

    wanted = [
        "How sure is it?",
        "Other terms, the same wishes",
        "By coin and cause",
        "Distribution",
        "fees x2",
    ]
    wanted += [
        "slippage x3",
        "one bar late",
        "taker (as booked)",
        "liquidation fees",
        "paid by others",
        "buy and hold",
    ]
    assert [words for words in wanted if words not in page] == []
    assert f"{found.trades['net'].mean():+,.2f}".lstrip("+-") in page


def test_an_account_that_never_traded_has_a_page_too() -> None:
    bars = random_market(50, 2, np.random.default_rng(0))
    exposure = wishes(bars, np.full(bars.close.shape, NAN))
    broker = a_broker(bars)
    ledger = broker.book(exposure)

    found = dissect(broker, exposure, ledger, {}, trials=1)
    sheet = TearSheet(
        title="Still", created_at=0, ledger=ledger, bars=bars, sections=sections_of(found, "USDT")
    )

    assert "the account never traded." in render_tearsheet(sheet)
    assert cost_sentence(found) == "It never traded."


def test_an_inverse_position_is_worth_its_contracts_over_the_price() -> None:
    bars = market(
        [
            replace(
                coin("BTCUSD.BTC", lot="1", size="10", inverse=True), base="BTC", quote="USD", settle="BTC"
            )
        ],
        _column(20_000, 20_000, 25_000),
        _column(20_000, 25_000, 25_000),
    )
    ledger = run_ledger(bars, wishes(bars, _column(1.0, NAN, NAN)), Costs(), starting_balance=2.0)
    sheet = TearSheet(title="", created_at=0, ledger=ledger, bars=bars)

    contracts = ledger.quantity[1, 0]
    assert sheet.exposure[1, 0] == pytest.approx(contracts * 10 / 25_000 / ledger.equity[1])


def test_the_examples_of_the_page_for_traders_run() -> None:
    page = Path(__file__).parents[1] / "docs" / "backtest.md"

    found = doctest.testfile(str(page), module_relative=False)

    assert found.failed == 0
    assert found.attempted > 15


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _sum(rows: list[dict[str, str]], column: str) -> float:
    return sum(float(row[column]) for row in rows)
