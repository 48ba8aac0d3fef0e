"""When a position must be left: its stop, its profit target, and the price at which its margin no longer holds it.

Maintenance margin is `notional * rate - amount` by tier, at the price looked at. As tiers join without a step and
their rates rise, it is the largest of what the tiers say, and the price of liquidation the nearest of theirs; see
https://www.binance.com/en/support/faq/detail/b3c689c1f50a44cabb3a84e663b81d93 for the linear formula and
https://www.binance.com/en/support/faq/ceccfcfb4e3a45e3b48b0b1bb1a8ae46 for the inverse one.
"""

import numpy as np

from longshort.policy.booking.compiled import compiled
from longshort.policy.booking.worth import (
    LOT_DUST,
    money,
    notional_units,
    price_ticks,
)
from longshort.policy.contract import STOP, TAKE, Table, Terms

NEVER_BELOW, NEVER_ABOVE = 0.0, np.inf  # prices in ticks that no long and no short is liquidated at


@compiled
def exit_levels(entry: float, side: float, stop: float, take: float, terms: Terms) -> tuple[float, float]:
    """Stop and take in ticks, from fractions of the average entry price; NaN where there is none.

    `side` is positive for a long, negative for a short position.
    """
    long = 1.0 if side > 0.0 else -1.0
    at_stop = (
        price_ticks(max(entry * (1.0 - long * stop), terms.tick), terms) if not np.isnan(stop) else np.nan
    )
    at_take = (
        price_ticks(max(entry * (1.0 + long * take), terms.tick), terms) if not np.isnan(take) else np.nan
    )
    return at_stop, at_take


@compiled
def exit_ticks(  # noqa: PLR0913, PLR0917 one signature for ledger, engine and rules
    opened: float, high: float, low: float, side: float, stop: float, take: float, terms: Terms
) -> tuple[float, int]:
    """Where a bar leaves a position, in ticks before slippage, and why: `STOP`, `TAKE`, or 0 where it does not.

    All prices are in ticks. A stop is reached where it is touched, and fills at the open where the bar gapped through
    it. A take is a resting limit order: it fills at its price, only where the bar trades through it by a tick. Where
    a bar reaches both, the stop counts.

    >>> import numpy as np
    >>> from longshort.policy.contract import TERMS
    >>> terms = np.ones(1, TERMS).view(np.recarray)[0]
    >>> exit_ticks(100.0, 110.0, 95.0, 1.0, 96.0, 110.0, terms), exit_ticks(100.0, 110.0, 97.0, 1.0, 96.0, 110.0, terms)
    ((96.0, 2), (0.0, 0))
    """
    through = 1.0 if terms.whole else 1e-9 * take
    if side > 0.0:
        if low <= stop:
            return min(opened, stop), STOP
        if high >= take + through:
            return take, TAKE
    else:
        if high >= stop:
            return max(opened, stop), STOP
        if low <= take - through:
            return take, TAKE
    return 0.0, 0


@compiled
def maintenance_units(notional: float, tiers: Table) -> float:
    """The margin, in unrounded money units, that a position of some notional must keep."""
    needed = 0.0
    for tier in tiers:
        needed = max(needed, abs(notional) * tier.rate - tier.amount)
    return needed


@compiled
def leverage_cap(notional: float, tiers: Table) -> float:
    """How far a position of some notional may be levered."""
    for tier in tiers:
        if abs(notional) <= tier.to_units:
            return tier.max_leverage
    return 0.0


@compiled
def bankrupt_ticks(lots: float, entry: float, balance: float, terms: Terms) -> float:
    """The price in ticks, not rounded, at which a position has lost all of a balance; 0 or infinite: at none."""
    return _lost_ticks(lots, entry, balance, 0.0, 0.0, terms)


@compiled
def liquidation_ticks(lots: float, entry: float, balance: float, terms: Terms, tiers: Table) -> float:
    """The price in whole ticks at which one position's balance and profit are down to its maintenance margin.

    `balance` is the margin of an isolated position; under cross margin the cash, plus what the others have gained,
    less their maintenance. A long is liquidated at it or below, a short at it or above; 0 or infinite: at no price.
    """
    found = NEVER_BELOW if lots > 0.0 else NEVER_ABOVE
    for tier in tiers:
        at = _lost_ticks(lots, entry, balance, tier.rate, tier.amount, terms)
        found = max(found, at) if lots > 0.0 else min(found, at)
    return against(found, lots, terms)


@compiled
def _lost_ticks(lots: float, entry: float, balance: float, rate: float, amount: float, terms: Terms) -> float:
    size, unit = abs(lots), terms.unit
    if terms.inverse:
        left = balance + amount + lots * unit * terms.tick / entry
        worth = unit * (lots + size * rate)
        if lots > 0.0:
            return worth / left if left > 0.0 else NEVER_ABOVE
        return worth / left if left < 0.0 else NEVER_ABOVE
    at = (lots * unit * (entry / terms.tick) - balance - amount) / (unit * (lots - size * rate))
    return max(at, NEVER_BELOW)


@compiled
def against(ticks: float, lots: float, terms: Terms) -> float:
    """A price in whole ticks, rounded against the position."""
    if not terms.whole or np.isinf(ticks):
        return ticks
    if lots > 0.0:
        return np.floor(ticks * (1.0 + LOT_DUST))
    return np.ceil(ticks * (1.0 - LOT_DUST))


@compiled
def margin_kept(held: float, margin: float, order: float, terms: Terms) -> float:
    """What a fill leaves of an isolated margin: it is released in the proportion in which the position closes."""
    if held * order >= 0.0:
        return margin
    return money(margin * max(0.0, abs(held) - abs(order)) / abs(held), terms)


@compiled
def margin_added(held: float, order: float, ticks: float, leverage: float, terms: Terms) -> float:
    """What a fill adds to an isolated margin: the value of what it opens, over the leverage."""
    opened = order if held * order >= 0.0 else max(0.0, abs(order) - abs(held))
    return money(abs(notional_units(opened, ticks, terms)) / leverage, terms)
