"""A perpetual venue, booked by the ledger and by exact decimals: margin, liquidation, exits, both kinds of contract."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.errors import NotComputable, StudyError
from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger

from . import oracle
from .accounts import coin, market, stormy_market, stormy_wishes, wishes

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
def test_the_ledger_agrees_with_exact_decimals_in_a_storm(
    seed: int, inverse: bool, costs: Costs, terms: AccountTerms, exits_share: float
) -> None:
    rng = np.random.default_rng(seed)
    bars = stormy_market(72, 1 + seed % 3, rng, inverse=inverse)

    exposure = stormy_wishes(bars, rng, scale=terms.leverage * 0.4, exits_share=exits_share)

    ledger = _agrees(bars, exposure, costs, terms)

    _conserves(ledger)


def _conserves(ledger: Ledger) -> None:
    """Cash is what was realized, less fees and funding, and what insurance paid."""
    paid = ledger.fees + ledger.funding + ledger.liquidation - ledger.insurance
    moved = ledger.fills["realized"].sum() - paid.sum()
    assert ledger.cash[-1] - ledger.starting_balance == pytest.approx(moved, abs=1e-6)
