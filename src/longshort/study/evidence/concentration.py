"""Whether a profit was earned in many places, or on a few days or by one coin.

Any good account owes much to its best days, for all returns have tails; it is asked whether best *and* worst days
together carry the profit, and only where there is a profit to speak of without them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from longshort.data.bars import Bars
from longshort.policy.ledger import Ledger
from longshort.study.section import Flag

PerDay = Float64[np.ndarray, " day"]
PerBar = Float64[np.ndarray, " bar"]
PerAsset = Float64[np.ndarray, " asset"]

DAYS = 5
LEAST_DAYS = 60
NOTABLE = 2.0  # standard deviations of the sum of ordinary days
HALF = 0.5  # of the profit, from the best and the worst days together
LIONS_SHARE, LEAST_COINS = 0.8, 4  # of the profit, from one of so many


def is_notable(returns: PerDay) -> bool:
    """Whether ordinary days alone would hardly add up to this profit.

    The spread is that of the days between the best and worst five: one lucky day must not hide itself in it.
    """
    if len(returns) < LEAST_DAYS:
        return False
    ordinary = np.sort(returns)[DAYS:-DAYS]
    return bool(returns.sum() > NOTABLE * ordinary.std(ddof=1) * np.sqrt(len(returns)) > 0.0)


def carried_by_days(returns: PerDay, per_bar: PerBar) -> list[Flag]:
    """A profit that is more than half gone without its best five days and its worst five."""
    ordered, total = np.sort(returns), float(returns.sum())
    best, worst = float(ordered[-DAYS:].sum()), float(ordered[:DAYS].sum())
    if total <= 0.0 or best + worst <= HALF * total:
        return []
    top = max(1, len(per_bar) // 100)
    bars = float(np.sort(per_bar)[-top:].sum() / per_bar.sum()) if per_bar.sum() > 0.0 else float("nan")
    seen = (
        f"The best {DAYS} of {len(returns):,} days earned {best / total:.0%} of the net profit, and with the worst "
        f"{DAYS} set against them still {(best + worst) / total:.0%}; the best 1 % of bars {bars:.0%}."
    )
    meaning = (
        "The profit hangs on a few days and will not come back if they do not: look what happened on them."
    )
    return [Flag(name="profit from few days", seen=seen, meaning=meaning, severity="serious")]


def carried_by_one(profit: PerAsset, symbols: Sequence[str]) -> list[Flag]:
    """A profit of several coins that one of them made nearly alone."""
    total, first = float(profit.sum()), int(np.argmax(profit))
    if len(symbols) < LEAST_COINS or total <= 0.0 or profit[first] < LIONS_SHARE * total:
        return []
    losing = int((profit < 0.0).sum())
    seen = (
        f"{symbols[first]} made {profit[first] / total:.0%} of the net profit of {len(symbols)}; "
        f"{losing} of them lost money."
    )
    meaning = "A rule that works should work in many places. Leave this one out and evaluate again before believing it."
    return [Flag(name="profit from one coin", seen=seen, meaning=meaning)]


def profit_by_coin(ledger: Ledger, bars: Bars) -> PerAsset:
    """What each coin made after costs, in settlement units: sales less purchases, what is still held, fees, funding.

    `bars` are the very ones that the account was booked on; slippage is in the prices of the fills. The sum is what
    the equity gained.
    """
    size = np.array([float(i.contract_size) for i in bars.instruments])
    column = {symbol: a for a, symbol in enumerate(ledger.symbols)}
    traded = np.zeros(len(size))
    at = np.array([column[symbol] for symbol in ledger.fills["symbol"]], dtype=np.int64)
    np.add.at(traded, at, -(ledger.fills["quantity"] * ledger.fills["price"]).to_numpy())
    last = np.array([_last(close) for close in bars.close.T])
    held = np.where(ledger.quantity[-1] == 0.0, 0.0, ledger.quantity[-1] * last)
    return (traded + held) * size - ledger.fees.sum(axis=0) - ledger.funding.sum(axis=0)


def _last(close: PerBar) -> float:
    known = np.flatnonzero(np.isfinite(close))
    return float(close[known[-1]]) if len(known) else 0.0
