"""The Sharpe ratio of a part is that of a backtest of it: the study's account, its exits, its execution bars."""

from dataclasses import replace

import numpy as np
import pytest

from longshort.base.instrument import AccountTerms
from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.models.forecast import Forecast, StudentT
from longshort.policy.ledger import run_ledger
from longshort.policy.pace import at_pace
from longshort.policy.steering import Sight, Steering, exposures
from longshort.study.account.broker import Broker, broker_of
from longshort.study.market import Market
from longshort.study.metrics import Truth
from longshort.study.money import daily_sharpe, rule_of
from longshort.study.robustness import Told, _sharpe
from longshort.study.schemes import Split

from .accounts import TIERS
from .test_audit_pipeline import on_halves

ROWS = range(300, 1_100)
ACCOUNT = AccountTerms(margin="isolated", leverage=3.0, latency_ms=500)
STUDY = Study.parse(
    {
        "features": {"names": ["return_1"]},
        "policy": {"entry_cost_multiple": 0.02, "stop_multiple": 0.4, "take_multiple": 0.5},
        "trading": {"margin": "isolated", "leverage": 3.0, "latency_ms": 500, "starting_balance": 20_000.0},
    }
)


@pytest.fixture(scope="module")
def market() -> Market:
    bars = simulate_market(coins=2, bars=1_200, seed=4).bars
    return Market.of(
        STUDY, replace(bars, instruments=tuple(replace(i, tiers=TIERS) for i in bars.instruments))
    )


@pytest.fixture(scope="module")
def told(market: Market) -> Told:
    rng, shape = np.random.default_rng(1), (len(ROWS), 2, 1)
    forecast = Forecast(
        model="any",
        closed_at=market.bars.closed_at[ROWS.start : ROWS.stop],
        symbols=market.bars.symbols,
        horizons=(4,),
        law=StudentT(
            loc=0.01 * np.sign(np.sin(np.arange(len(ROWS)) / 9.0))[:, None, None] + np.zeros(shape),
            scale=rng.uniform(0.01, 0.02, shape),
            df=np.full(shape, 4.0),
        ),
    )
    nothing = np.full(shape, np.nan)
    return Told(
        split=Split(part="1", learn=(range(200),), judge=(ROWS,)),
        rows=np.arange(ROWS.start, ROWS.stop),
        model=forecast,
        rival=forecast,
        truth=Truth(outcome=nothing, naive_error=nothing, up_share=nothing),
    )


def test_a_part_is_booked_with_the_studys_account_on_its_execution_bars(market: Market, told: Told) -> None:
    broker = on_halves(market, range(len(market.bars)))
    wishes = exposures(
        told.model, Steering(rule_of(market), market.bars.symbols), Sight(market.bars, market.panel)
    )
    halves = on_halves(market, ROWS).execution
    asked = at_pace(wishes, halves.closed_at)
    ledger = run_ledger(halves, asked, broker.costs, starting_balance=20_000.0, account=ACCOUNT)
    free = run_ledger(halves, asked, broker.costs, starting_balance=20_000.0)

    found = _sharpe(market, [told], broker)

    assert found == pytest.approx(daily_sharpe(ledger), rel=1e-9)
    assert abs(found - daily_sharpe(free)) > 0.1
    assert abs(found - _on_hours(market, told)) > 0.1
    assert {"order", "stop", "take"} <= set(ledger.fills["cause"])


def _on_hours(market: Market, told: Told) -> float:
    return _sharpe(market, [told], broker_of(market, range(len(market.bars)))) or 0.0


def test_a_coin_that_was_left_out_or_rows_with_holes_have_no_account(market: Market, told: Told) -> None:
    broker = broker_of(market, range(len(market.bars)))

    assert _sharpe(market, [replace(told, split=replace(told.split, without=(0,)))], broker) is None
    assert _sharpe(market, [replace(told, rows=told.rows * 2)], broker) is None


def test_a_broker_over_some_rows_books_what_a_broker_of_these_rows_books(market: Market) -> None:
    whole, part = on_halves(market, range(len(market.bars))), on_halves(market, ROWS)

    cut = whole.over(ROWS)

    assert isinstance(cut, Broker)
    assert cut.decision.digest() == part.decision.digest()
    assert cut.execution.digest() == part.execution.digest()
