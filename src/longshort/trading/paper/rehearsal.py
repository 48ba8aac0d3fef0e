"""A few old bars traded on an account of its own: what is compiled on first use is not compiled at a close."""

from dataclasses import replace

import numpy as np

from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure
from longshort.trading.backtest import backtest

REHEARSED = 6  # rows


def rehearse(warm: Bars, costs: Costs, account: AccountTerms, starting_balance: float) -> None:
    """Trade the last of some bars."""
    rows = warm[-REHEARSED:]
    covered = replace(rows, funding_covered=np.ones_like(rows.funding_covered))
    target = np.resize([0.5, -0.5, 0.0], rows.close.shape)
    distance = np.full(target.shape, 0.01)
    wishes = Exposure(
        closed_at=rows.closed_at, symbols=rows.symbols, target=target, stop=distance, take=distance
    )
    backtest(covered, Script(wishes), costs, starting_balance, account=account)
