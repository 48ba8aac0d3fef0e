"""Trades from fills: each fee, slippage and funding belongs to one trade, and together they are the account."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy.ledger import Ledger, run_ledger
from longshort.study.account.trades import trades_of

from .accounts import coin, market, random_market, random_wishes, stormy_market, stormy_wishes, wishes

NAN = np.nan
CENT = 0.005
CAREFUL = settings(max_examples=25, phases=(Phase.explicit, Phase.reuse, Phase.generate), deadline=None)


def _whole(ledger: Ledger, trades: pl.DataFrame) -> None:
    """What trades add up to is what the account had, to 1e-6 of a settlement unit."""
    paid = ledger.totals
    told = {name: trades[name].sum() for name in ("fees", "slippage", "funding", "liquidation", "insurance")}
    assert told == pytest.approx({name: getattr(paid, name) for name in told}, abs=1e-6)
    assert trades["net"].sum() == pytest.approx(ledger.equity[-1] - ledger.starting_balance, abs=1e-6)


def _stormy(seed: int, *, inverse: bool, account: AccountTerms) -> tuple[Bars, Ledger]:
    rng = np.random.default_rng(seed)
    bars = stormy_market(120, 2, rng, inverse=inverse)
    balance = 2.0 if inverse else 20_000.0
    exposure = stormy_wishes(bars, rng, scale=1.5)
    return bars, run_ledger(bars, exposure, Costs(impact=0.0), starting_balance=balance, account=account)


@CAREFUL
@given(
    seed=st.integers(0, 2**32),
    inverse=st.booleans(),
    account=st.sampled_from(
        [
            AccountTerms(),
            AccountTerms(margin="isolated", leverage=10.0),
            AccountTerms(margin="cross", leverage=5.0),
            AccountTerms(execution="maker, then taker"),
        ]
    ),
)
def test_the_trades_of_any_account_add_up_to_the_account(
    seed: int, inverse: bool, account: AccountTerms
) -> None:
    bars, ledger = _stormy(seed, inverse=inverse, account=account)

    _whole(ledger, trades_of(ledger, bars))


@CAREFUL
@given(seed=st.integers(0, 2**32))
def test_trades_of_one_coin_never_overlap_and_change_sides_only_between(seed: int) -> None:
    bars = random_market(120, 2, rng := np.random.default_rng(seed))
    ledger = run_ledger(bars, random_wishes(bars, rng), Costs())

    trades = trades_of(ledger, bars)

    for symbol in bars.symbols:
        mine = trades.filter(pl.col("symbol") == symbol)
        ended = mine["closed_at"][:-1]
        assert (ended <= mine["opened_at"][1:]).all()
        assert (mine["cause"][:-1] != "open").all()
        held = ledger.quantity[-1, bars.symbols.index(symbol)]
        assert len(mine.filter(pl.col("cause") == "open")) == int(held != 0.0)


def test_a_long_that_turns_short_is_two_trades_by_hand() -> None:
    """10,000 in cash; 1.0 at the close of 100 buys 100, at 110 it turns to -0.5 of 11,000 - 5 of fees."""
    opens = np.array([[100.0], [100.0], [110.0], [100.0], [100.0]])
    closes = np.array([[100.0], [110.0], [110.0], [100.0], [100.0]])
    bars = market([coin(lot="1")], opens, closes)
    target = np.array([[1.0], [-0.5], [NAN], [0.0], [NAN]])
    ledger = run_ledger(
        bars, wishes(bars, target), Costs(taker_bps=5.0, slippage_bps=0.0), starting_balance=10_000.0
    )

    first, second = trades_of(ledger, bars).to_dicts()

    assert (first["side"], first["quantity"], first["entry"], first["exit"]) == ("long", 100.0, 100.0, 110.0)
    assert (first["gross"], first["bars"], first["cause"]) == (1_000.0, 1, "order")
    assert first["fees"] == pytest.approx(5.0 + 5.5)  # in: 100 x 100 x 5 bps; out: 100 x 110 x 5 bps
    assert (second["side"], second["quantity"], second["entry"]) == ("short", 49.0, 110.0)
    assert second["gross"] == pytest.approx(490.0)
    assert second["fees"] == pytest.approx((49 * 110 + 49 * 100) * 5e-4)
    assert (second["bars"], second["closed_at"]) == (2, ledger.fills["filled_at"][-1])


def test_a_stop_ends_a_trade_inside_its_bar_and_an_open_trade_has_no_end() -> None:
    opens = np.array([[100.0], [100.0], [100.0], [100.0]])
    bars = market([coin(lot="1")], opens, opens.copy())
    low = bars.low.copy()
    low[2] = 90.0
    bars = replace(bars, low=low)
    stop = np.array([[0.05], [0.05], [NAN], [NAN]])
    exposure = replace(wishes(bars, np.array([[1.0], [NAN], [-1.0], [NAN]])), stop=stop)
    ledger = run_ledger(bars, exposure, Costs(slippage_bps=0.0), starting_balance=10_000.0)

    stopped, running = trades_of(ledger, bars).to_dicts()

    assert (stopped["cause"], stopped["exit"], stopped["bars"]) == ("stop", 95.0, 2)
    assert (running["cause"], running["closed_at"], running["side"]) == ("open", None, "short")
    _whole(ledger, trades_of(ledger, bars))


def test_funding_goes_to_the_trade_that_held_when_it_was_settled() -> None:
    prices = np.full((5, 1), 100.0)
    rate = np.full((5, 1), NAN)
    rate[1], rate[3] = 1e-3, 2e-3
    bars = market([coin(lot="1")], prices, prices.copy(), rate=rate)
    target = np.array([[1.0], [NAN], [-1.0], [NAN], [NAN]])  # turned at the open before the second funding
    ledger = run_ledger(
        bars, wishes(bars, target), Costs(taker_bps=0.0, slippage_bps=0.0), starting_balance=10_000.0
    )

    assert trades_of(ledger, bars)["funding"].to_list() == pytest.approx([10.0, -19.8])


def test_an_account_that_never_traded_has_no_trades() -> None:
    bars = random_market(20, 2, np.random.default_rng(0))
    ledger = run_ledger(bars, wishes(bars, np.full(bars.close.shape, NAN)), Costs())

    assert len(trades_of(ledger, bars)) == 0
