"""What happens between a bar's open and its close: exits that are reached, and liquidation."""

import numpy as np

from longshort.policy.booking.compiled import compiled
from longshort.policy.booking.fills import Deal, book_fill, decided_row, slipped
from longshort.policy.booking.margin import (
    against,
    cross_path,
    exit_levels,
    exit_ticks,
    liquidation_ticks,
    maintenance_units,
)
from longshort.policy.booking.worth import fee_rates, notional_units, price_ticks, unrealized_units
from longshort.policy.contract import (
    CROSS,
    ISOLATED,
    LIQUIDATED,
    LIQUIDATION,
    STOP,
    UNMARGINED,
    Books,
    Desk,
    Table,
)

AT_OPEN, IN_BAR = range(2)


@compiled
def exit_of(row: int, asset: int, desk: Desk) -> tuple[float, int]:
    """Where a coin's position is left in a bar, in ticks before slippage, and why; 0, 0 where it is not.

    A stop beyond the price of liquidation is never reached where the bar reaches that price.
    """
    held, terms, cell = desk.held[asset], desk.terms[asset], desk.market[row, asset]
    if held.lots == 0.0 or not cell.present or (np.isnan(held.stop) and np.isnan(held.take)):
        return 0.0, 0
    stop, take = exit_levels(held.entry, held.lots, held.stop, held.take, terms)
    bar = desk.inside[row, asset]
    opened, high, low = (
        price_ticks(cell.open, terms),
        price_ticks(bar.high, terms),
        price_ticks(bar.low, terms),
    )
    ticks, cause = exit_ticks(opened, high, low, held.lots, stop, take, terms)
    if cause == STOP and desk.account.mode != UNMARGINED:
        at = alone_ticks(asset, desk)
        if reached(worst_ticks(row, asset, desk), at, held.lots) and reached(
            ticks, at - np.sign(held.lots), held.lots
        ):
            return 0.0, 0
    return ticks, cause


@compiled
def reached(ticks: float, at: float, lots: float) -> bool:
    """Whether a price is at another or beyond it, against the position."""
    return ticks <= at if lots > 0.0 else ticks >= at


@compiled
def worst_ticks(row: int, asset: int, desk: Desk) -> float:
    """The worst price of a bar for a position, by the mark price where there is one; of an absent bar its mark."""
    held, terms, cell = desk.held[asset], desk.terms[asset], desk.market[row, asset]
    if not cell.present:
        return held.mark
    opened, bar = price_ticks(cell.open, terms), desk.inside[row, asset]
    if held.lots > 0.0:
        return min(opened, price_ticks(bar.mark_low, terms))
    return max(opened, price_ticks(bar.mark_high, terms))


@compiled
def alone_ticks(asset: int, desk: Desk) -> float:
    """The price at which a coin is liquidated while all others stay at their last prices."""
    held = desk.held[asset]
    balance = held.margin
    if desk.account.mode == CROSS:
        balance = desk.purse[0].cash
        for other in range(len(desk.held)):
            coin, terms = desk.held[other], desk.terms[other]
            if other != asset and coin.lots != 0.0:
                balance += unrealized_units(coin.lots, coin.entry, coin.mark, terms)
                balance -= maintenance_units(notional_units(coin.lots, coin.mark, terms), desk.tiers[other])
    return liquidation_ticks(held.lots, held.entry, balance, desk.terms[asset], desk.tiers[asset])


@compiled
def liquidations(row: int, moment: int, desk: Desk) -> Table:
    """The prices in ticks at which a row liquidates each coin, NaN where it does not: `AT_OPEN` or `IN_BAR`.

    Under cross margin all coins go to their worst prices of the bar at once, each in the same proportion of its way,
    and all are liquidated where the account no longer stands.
    """
    coins = len(desk.held)
    found, opens, worst = np.full(coins, np.nan), np.zeros(coins), np.zeros(coins)
    open_positions, last = 0, -1
    for asset in range(coins):
        held, cell = desk.held[asset], desk.market[row, asset]
        opens[asset] = price_ticks(cell.open, desk.terms[asset]) if cell.present else held.mark
        worst[asset] = opens[asset] if moment == AT_OPEN else worst_ticks(row, asset, desk)
        if held.lots != 0.0:
            open_positions, last = open_positions + 1, asset
            if desk.account.mode == ISOLATED and cell.present:
                found[asset] = _alone(asset, opens[asset], worst[asset], desk)
    if desk.account.mode == CROSS and open_positions == 1:
        found[last] = _alone(last, opens[last], worst[last], desk)
    elif desk.account.mode == CROSS and open_positions:
        way = cross_path(opens, worst, desk.purse[0].cash, desk.held, desk.terms, desk.tiers)
        for asset in range(coins):
            lots = desk.held[asset].lots
            if way <= 1.0 and lots != 0.0:
                at = opens[asset] + way * (worst[asset] - opens[asset])
                found[asset] = max(against(at, lots, desk.terms[asset]), 1.0)
    return found


@compiled
def _alone(asset: int, opened: float, worst: float, desk: Desk) -> float:
    lots, at = desk.held[asset].lots, alone_ticks(asset, desk)
    if not reached(worst, at, lots):
        return np.nan
    return max(min(opened, at) if lots > 0.0 else max(opened, at), 1.0)


@compiled
def book_liquidations(row: int, moment: int, desk: Desk, books: Books) -> None:
    """Liquidate what a row liquidates; orders that were on their way lapse."""
    found, last = liquidations(row, moment, desk), -1
    for asset in range(len(desk.held)):
        if np.isnan(found[asset]):
            continue
        held, last = desk.held[asset], asset
        deal = Deal(-held.lots, found[asset], found[asset], desk.rates.liquidation, LIQUIDATION)
        book_fill(row, asset, deal, desk, books)
        recall(row, asset, LIQUIDATED, desk, books)
    purse = desk.purse[0]
    if last >= 0 and desk.account.mode == CROSS and purse.cash < 0.0:
        books.entries[row, last].insurance -= purse.cash
        purse.cash = 0.0
        made: int = purse.fills
        books.fills["cash"][made - 1] = 0.0


@compiled
def book_exits(row: int, desk: Desk, books: Books) -> None:
    """Leave the positions whose stop or take a row reaches; orders that still rest lapse with them."""
    for asset in range(len(desk.held)):
        ticks, cause = exit_of(row, asset, desk)
        if not cause:
            continue
        held = desk.held[asset]
        order, price = -held.lots, ticks
        rate, taker = fee_rates(desk.purse[0].traded, desk.fees[asset])
        if cause == STOP:
            rate, price = taker, slipped(row, asset, order, ticks, desk)
        book_fill(row, asset, Deal(order, price, ticks, rate, cause), desk, books)
        recall(row, asset, 0, desk, books)


@compiled
def recall(row: int, asset: int, why: int, desk: Desk, books: Books) -> None:
    """Take back a coin's orders, those on their way too; they lapse for a reason, or silently (0)."""
    held, delay = desk.held[asset], desk.account.delay_rows
    if why and held.order != 0.0:
        books.entries[decided_row(row, desk), asset].lapsed = why
    held.order = 0.0
    for before in range(delay):
        waiting, decided = desk.on_way[asset, (row - 1 - before) % delay], row - 1 - before
        if why and waiting.lots != 0.0:
            books.entries[decided, asset].lapsed = why
        waiting.lots = 0.0
