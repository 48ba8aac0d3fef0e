"""What happens between a bar's open and its close: exits that are reached, and liquidation."""

import numpy as np

from longshort.policy.booking.compiled import compiled
from longshort.policy.booking.fills import Deal, book_fill, decided_row, slipped
from longshort.policy.booking.margin import (
    against,
    exit_levels,
    exit_ticks,
    liquidation_ticks,
    maintenance_units,
)
from longshort.policy.booking.worth import (
    fee_rates,
    gain_units,
    notional_units,
    price_of,
    price_ticks,
    quantity_of,
    unrealized_units,
)
from longshort.policy.contract import (
    CROSS,
    LIQUIDATED,
    LIQUIDATION,
    STOP,
    UNMARGINED,
    Books,
    Desk,
    Terms,
)

AT_OPEN, IN_BAR = 0.0, 1.0  # how far the prices of a bar have gone to its worst
HALVINGS = 100
SURE = 1e-6  # of what is at stake: more left than this is no matter of rounding


@compiled
def exit_of(row: int, asset: int, desk: Desk) -> tuple[float, int]:
    """Where a coin's position with exits is left in a bar, in ticks before slippage, and why; 0, 0 where it is not.

    A stop beyond the price of liquidation is never reached where the bar reaches that price.
    """
    held, terms, cell = desk.held[asset], desk.terms[asset], desk.market[row, asset]
    if not cell.present:
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
        if reached(gone_ticks(row, asset, IN_BAR, desk), at, held.lots) and reached(
            ticks, at - np.sign(held.lots), held.lots
        ):
            return 0.0, 0
    return ticks, cause


@compiled
def reached(ticks: float, at: float, lots: float) -> bool:
    """Whether a price is at another or beyond it, against the position."""
    return ticks <= at if lots > 0.0 else ticks >= at


@compiled
def gone_ticks(row: int, asset: int, way: float, desk: Desk) -> float:
    """The price of a coin that has gone so far from a bar's open (0) to the worst for its position (1).

    That is by the mark price where there is one; an absent bar stays at the last close.
    """
    return _gone(way, desk.held[asset], desk.terms[asset], desk.market[row, asset], desk.inside[row, asset])


@compiled
def _gone(way: float, held: np.record, terms: Terms, cell: np.record, bar: np.record) -> float:
    if not cell.present:
        return held.mark
    opened = price_ticks(cell.open, terms)
    if way == AT_OPEN:
        return opened
    if held.lots > 0.0:
        worst = min(opened, price_ticks(bar.mark_low, terms))
    else:
        worst = max(opened, price_ticks(bar.mark_high, terms))
    return opened + way * (worst - opened)


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
def book_liquidations(row: int, moment: float, desk: Desk, books: Books) -> None:
    """Liquidate what a row liquidates, `AT_OPEN` or `IN_BAR`; orders that were on their way lapse."""
    asset = next_in_danger(row, 0, moment, desk)
    if desk.account.mode == CROSS:
        if asset >= 0 or not desk.purse[0].cash >= desk.purse[0].least:
            _book_together(row, moment, desk, books)
        return
    while asset >= 0:
        if desk.market[row, asset].present:
            _book_alone(row, asset, moment, desk, books)
        asset = next_in_danger(row, asset + 1, moment, desk)


@compiled
def next_in_danger(row: int, first: int, moment: float, desk: Desk) -> int:
    """The next coin, from some column on, that leaves the prices between which it was found to be safe; -1: none."""
    for asset in range(first, len(desk.held)):
        held = desk.held[asset]
        if held.lots == 0.0:
            continue
        cell, bar = desk.market[row, asset], desk.inside[row, asset]
        low = high = cell.open
        if not cell.present:
            low = high = held.mark * desk.terms[asset].tick
        elif moment != AT_OPEN:
            low, high = min(low, bar.mark_low), max(high, bar.mark_high)
        if not held.safe_above < low or not high < held.safe_below:
            return asset
    return -1


@compiled
def _keep_safe(ticks: float, held: np.record, terms: Terms) -> None:
    """Note that a position is safe short of a price, by two ticks: prices are rounded to ticks."""
    tick = terms.tick
    if held.lots > 0.0:
        held.safe_above, held.safe_below = (ticks + 2.0) * tick, np.inf
    else:
        held.safe_above, held.safe_below = 0.0, (ticks - 2.0) * tick


@compiled
def _book_alone(row: int, asset: int, moment: float, desk: Desk, books: Books) -> None:
    lots, at = desk.held[asset].lots, alone_ticks(asset, desk)
    if reached(gone_ticks(row, asset, moment, desk), at, lots):
        opened = gone_ticks(row, asset, AT_OPEN, desk)
        _liquidate(row, asset, min(opened, at) if lots > 0.0 else max(opened, at), desk, books)
    else:
        _keep_safe(at, desk.held[asset], desk.terms[asset])


@compiled
def _liquidate(row: int, asset: int, ticks: float, desk: Desk, books: Books) -> None:
    at = max(ticks, 1.0)
    deal = Deal(-desk.held[asset].lots, at, at, desk.rates.liquidation, LIQUIDATION)
    book_fill(row, asset, deal, desk, books)
    recall(row, asset, LIQUIDATED, desk, books)


@compiled
def _book_together(row: int, moment: float, desk: Desk, books: Books) -> None:
    """Liquidate a cross account; what it owes then is paid by insurance."""
    purse, positions, last = desk.purse[0], 0, 0
    for asset in range(len(desk.held)):
        if desk.held[asset].lots != 0.0:
            positions, last = positions + 1, asset
    if not positions:
        return
    before: int = purse.fills
    if positions == 1:
        _book_alone(row, last, moment, desk, books)
        purse.least = purse.cash
    else:
        _book_all(row, moment, desk, books)
    made: int = purse.fills
    if made > before and purse.cash < 0.0:
        fill = books.fills[made - 1]
        asset = fill.asset
        books.entries[row, asset].insurance -= purse.cash
        fill.cash = purse.cash = 0.0


@compiled
def _book_all(row: int, moment: float, desk: Desk, books: Books) -> None:
    """Liquidate all positions where their account no longer stands.

    All coins go to their worst prices of the bar at once, each in the same proportion of its way. What is left falls
    on the way, so the point is found by halving.
    """
    left, worth = standing_units(row, moment, desk)
    if left > 0.0:
        _keep_all_safe(row, moment, left, worth, desk)
        return
    standing, fallen = 0.0, moment
    for _ in range(HALVINGS):
        half = 0.5 * (standing + fallen)
        if standing_units(row, half, desk)[0] > 0.0:
            standing = half
        else:
            fallen = half
    for asset in range(len(desk.held)):
        lots = desk.held[asset].lots
        if lots != 0.0:
            ticks = against(gone_ticks(row, asset, fallen, desk), lots, desk.terms[asset])
            _liquidate(row, asset, ticks, desk, books)


@compiled
def standing_units(row: int, way: float, desk: Desk) -> tuple[float, float]:
    """What all positions leave of the cash beyond their maintenance margin, and their value; at 0 all is liquidated."""
    left, worth = desk.purse[0].cash, 0.0
    for asset in range(len(desk.held)):
        coin, terms = desk.held[asset], desk.terms[asset]
        if coin.lots != 0.0:
            ticks = _gone(way, coin, terms, desk.market[row, asset], desk.inside[row, asset])
            notional = abs(notional_units(coin.lots, ticks, terms))
            left += gain_units(quantity_of(coin.lots, terms), coin.entry, price_of(ticks, terms), terms)
            left -= maintenance_units(notional, desk.tiers[asset])
            worth += notional
    return left, worth


@compiled
def _keep_all_safe(row: int, moment: float, left: float, worth: float, desk: Desk) -> None:
    """Note how far all prices may go on, and how far the cash may fall, so that an account surely stands.

    A price that goes on by a fraction, a half at most, costs at most four times that of the position's value: linear
    ones up to once, inverse ones twice, and as much again for maintenance. Prices may use half of what is left, cash
    (funding) a quarter; the rest is far above what doubles lose.
    """
    purse = desk.purse[0]
    if left > SURE * (worth + abs(purse.cash)):
        share = min(left / (8.0 * worth), 0.5)
        purse.least = purse.cash - 0.25 * left
        for asset in range(len(desk.held)):
            coin, terms = desk.held[asset], desk.terms[asset]
            if coin.lots != 0.0:
                ticks = _gone(moment, coin, terms, desk.market[row, asset], desk.inside[row, asset])
                _keep_safe(ticks * (1.0 - np.sign(coin.lots) * share), coin, terms)


@compiled
def book_exits(row: int, desk: Desk, books: Books) -> None:
    """Leave the positions whose stop or take a row reaches; orders that still rest lapse with them."""
    for asset in range(len(desk.held)):
        held = desk.held[asset]
        if held.lots == 0.0 or (np.isnan(held.stop) and np.isnan(held.take)):
            continue
        ticks, cause = exit_of(row, asset, desk)
        if not cause:
            continue
        order, price = -held.lots, ticks
        rate, taker = fee_rates(desk.purse[0].traded, desk.fees[asset])
        if cause == STOP:
            rate, price = taker, slipped(row, asset, order, ticks, desk)
            if np.isnan(price):  # nobody knows what was traded before
                price = ticks
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
