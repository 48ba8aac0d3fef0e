"""How a fill changes an account: cash, position, margin, fees, and who pays what a margin does not cover."""

from typing import NamedTuple

import numpy as np

from longshort.policy.booking.compiled import compiled
from longshort.policy.booking.margin import leverage_cap, margin_added, margin_kept
from longshort.policy.booking.worth import (
    entry_after,
    fee_units,
    fill_ticks,
    money,
    notional_units,
    realized_units,
    slippage_units,
    unrealized_units,
)
from longshort.policy.contract import (
    ABOVE_CAP,
    ISOLATED,
    LIQUIDATION,
    MAKER,
    NO_MARGIN,
    ORDER,
    UNMARGINED,
    Books,
    Desk,
)


class Deal(NamedTuple):
    """A fill to be: signed lots, the price in ticks and that before slippage, the rate of its fee, and why."""

    order: float
    ticks: float
    before: float
    rate: float
    cause: int


@compiled
def slipped(row: int, asset: int, order: float, ticks: float, desk: Desk) -> float:
    """The price in ticks of a market order that arrives at a price; NaN where nobody knows what was traded before."""
    slippage, terms = desk.rates.slippage, desk.terms[asset]
    if len(desk.inside):
        slippage += desk.inside[row - 1, asset].impact * np.sqrt(abs(notional_units(order, ticks, terms)))
    return fill_ticks(ticks, order, slippage, terms)


@compiled
def refusal(asset: int, deal: Deal, desk: Desk) -> int:
    """Why a venue would refuse an order at its fill: 0 (it would not), `ABOVE_CAP` or `NO_MARGIN`."""
    held, terms, account = desk.held[asset], desk.terms[asset], desk.account
    after = held.lots + deal.order
    if account.mode == UNMARGINED or (held.lots * after >= 0.0 and abs(after) <= abs(held.lots)):
        return 0
    notional = abs(notional_units(after, deal.ticks, terms))
    if leverage_cap(notional, desk.tiers[asset]) < account.leverage:
        return ABOVE_CAP
    left = desk.purse[0].cash - fee_units(deal.order, deal.ticks, deal.rate, terms)
    left += realized_units(held.lots, held.entry, deal.order, deal.ticks, terms)
    if account.mode == ISOLATED:
        needed = margin_kept(held.lots, held.margin, deal.order, terms)
        needed += margin_added(held.lots, deal.order, deal.ticks, account.leverage, terms)
    else:
        needed = notional / account.leverage
        if held.lots * after > 0.0:
            left += unrealized_units(held.lots, held.entry, deal.ticks, terms)
    return 0 if needed + others_need(asset, desk) <= left else NO_MARGIN


@compiled
def others_need(asset: int, desk: Desk) -> float:
    """The margin that all other coins take, less (under cross margin) what they have gained at their last prices."""
    needed = 0.0
    for other in range(len(desk.held)):
        coin, terms = desk.held[other], desk.terms[other]
        if other == asset or coin.lots == 0.0:
            continue
        if desk.account.mode == ISOLATED:
            needed += coin.margin
        else:
            needed += abs(notional_units(coin.lots, coin.mark, terms)) / desk.account.leverage
            needed -= unrealized_units(coin.lots, coin.entry, coin.mark, terms)
    return needed


@compiled
def book_fill(row: int, asset: int, deal: Deal, desk: Desk, books: Books) -> None:
    """Fill a deal and write it down."""
    held, terms, purse, entry = desk.held[asset], desk.terms[asset], desk.purse[0], books.entries[row, asset]
    made: int = purse.fills
    fill = books.fills[made]
    fill.row, fill.asset, fill.order, fill.ticks, fill.cause = row, asset, deal.order, deal.ticks, deal.cause
    fill.decided = decided_row(row, desk) if deal.cause in (ORDER, MAKER) else row - 1
    fill.fee = fee_units(deal.order, deal.ticks, deal.rate, terms)
    fill.slippage = slippage_units(deal.order, deal.ticks, deal.before, terms)
    fill.realized = realized_units(held.lots, held.entry, deal.order, deal.ticks, terms)
    entry.slippage += fill.slippage
    if deal.cause == LIQUIDATION:
        entry.liquidation += fill.fee
    else:
        entry.fees += fill.fee
    covered = covered_units(asset, deal, fill.realized, fill.fee, desk)
    entry.insurance += covered
    purse.cash += fill.realized - fill.fee + covered
    held.margin = margin_left(asset, deal, desk)
    held.entry = entry_after(held.lots, held.entry, deal.order, deal.ticks, terms)
    held.lots += deal.order
    held.safe_above = held.safe_below = 0.0
    purse.least = np.inf
    purse.traded += money(abs(notional_units(deal.order, deal.ticks, terms)), terms)
    purse.fills += 1
    fill.position, fill.cash = held.lots, purse.cash


@compiled
def decided_row(row: int, desk: Desk) -> int:
    """The row at whose close the orders were decided that go out in a row."""
    return row - 1 - desk.account.delay_rows


@compiled
def margin_left(asset: int, deal: Deal, desk: Desk) -> float:
    """An isolated position's margin after a fill; 0 in every other account."""
    held, terms, account = desk.held[asset], desk.terms[asset], desk.account
    if account.mode != ISOLATED:
        return 0.0
    kept = margin_kept(held.lots, held.margin, deal.order, terms)
    return kept + margin_added(held.lots, deal.order, deal.ticks, account.leverage, terms)


@compiled
def covered_units(asset: int, deal: Deal, realized: float, fee: float, desk: Desk) -> float:
    """What a closing fill loses beyond the isolated margin that it releases: others pay that.

    The fee of a liquidation is paid from the margin too, any other fee from the account.
    """
    held = desk.held[asset]
    if desk.account.mode != ISOLATED or held.lots * deal.order >= 0.0:
        return 0.0
    released = held.margin - margin_kept(held.lots, held.margin, deal.order, desk.terms[asset])
    paid = fee if deal.cause == LIQUIDATION else 0.0
    return max(0.0, paid - realized - released)
