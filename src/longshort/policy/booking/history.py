"""A whole history of wishes, booked bar by bar; the order inside a bar is that of the lines of `book`."""

import numpy as np

from longshort.policy.booking.compiled import compiled
from longshort.policy.booking.fills import Deal, book_fill, decided_row, refusal, slipped
from longshort.policy.booking.inside import AT_OPEN, IN_BAR, book_exits, book_liquidations, recall
from longshort.policy.booking.worth import (
    fee_rates,
    funding_units,
    money,
    notional_units,
    order_lots,
    price_ticks,
    unrealized_total,
)
from longshort.policy.contract import (
    DELISTING,
    EXPIRY,
    MAKER,
    MAKER_THEN_TAKER,
    NO_BAR,
    NO_NEXT_BAR,
    NO_VOLUME,
    NOT_REACHED,
    ORDER,
    TAKER_ONLY,
    UNMARGINED,
    Books,
    Desk,
)

AT_ONCE, RESTING = range(2)


@compiled
def book(desk: Desk, books: Books) -> tuple[int, int]:
    """Book a whole history; return the row and coin where funding was unknown first, or -1, -1."""
    margined, moves_inside = desk.account.mode != UNMARGINED, len(desk.inside) > 0
    for row in range(len(desk.market)):
        if margined:
            book_liquidations(row, AT_OPEN, desk, books)
        book_open(row, desk, books)
        if moves_inside:
            book_exits(row, desk, books)
        if margined:
            book_liquidations(row, IN_BAR, desk, books)
        unknown = book_close(row, desk, books)
        if unknown >= 0:
            return row, unknown
        equity = book_state(row, desk, books)
        book_wishes(row, equity, desk, books)
    return -1, -1


@compiled
def book_open(row: int, desk: Desk, books: Books) -> None:
    """Fill the orders of the last close; those of absent coins lapse, and those that the venue refuses.

    What goes out at the open comes before what rests inside the bar, whichever coin it is of.
    """
    forget_old_fills(row, desk, books)
    book_orders(row, AT_ONCE, desk, books)
    if desk.account.execution != TAKER_ONLY:
        book_orders(row, RESTING, desk, books)


@compiled
def book_orders(row: int, how: int, desk: Desk, books: Books) -> None:
    """Fill the orders that rest, or those that go out `AT_ONCE`."""
    for asset in range(len(desk.held)):
        held = desk.held[asset]
        if held.order == 0.0 or (held.limit > 0.0) != (how == RESTING):
            continue
        lapsed = NO_NEXT_BAR
        if desk.market[row, asset].present:
            lapsed = book_order(row, asset, desk, books)
        if lapsed == NOT_REACHED and desk.account.execution == MAKER_THEN_TAKER:
            held.limit = 0.0
            continue
        if lapsed:
            books.entries[decided_row(row, desk), asset].lapsed = lapsed
        held.order = held.limit = 0.0


@compiled
def book_order(row: int, asset: int, desk: Desk, books: Books) -> int:
    """Fill one coin's order, at the open or where it rests; return why it lapses, 0 where it does not."""
    held, opened = desk.held[asset], price_ticks(desk.market[row, asset].open, desk.terms[asset])
    maker, taker = fee_rates(desk.purse[0].traded, desk.fees[asset])
    if held.limit > 0.0:
        if not trades_through(row, asset, desk):
            return NOT_REACHED
        deal = Deal(held.order, held.limit, held.limit, maker, MAKER)
    else:
        ticks = slipped(row, asset, held.order, opened, desk)
        if np.isnan(ticks):
            return NO_VOLUME
        deal = Deal(held.order, ticks, opened, taker, ORDER)
    refused = refusal(asset, deal, desk)
    if refused:
        return refused
    book_fill(row, asset, deal, desk, books)
    if deal.cause == MAKER:
        held.take = np.nan  # the bar may have been there before the order was filled
    return 0


@compiled
def trades_through(row: int, asset: int, desk: Desk) -> bool:
    """Whether a bar goes beyond a resting order's price by a tick: at a price that is only touched others are first."""
    held, terms, bar = desk.held[asset], desk.terms[asset], desk.inside[row, asset]
    if held.order > 0.0:
        return price_ticks(bar.low, terms) <= held.limit - 1.0
    return price_ticks(bar.high, terms) >= held.limit + 1.0


@compiled
def forget_old_fills(row: int, desk: Desk, books: Books) -> None:
    """Take what was traded more than 30 days ago out of the volume that decides the fees."""
    purse = desk.purse[0]
    if desk.fees.shape[1] < 2:
        return
    while purse.oldest < purse.fills:
        oldest: int = purse.oldest
        fill = books.fills[oldest]
        if fill.row > row - desk.account.window_rows:
            return
        asset: int = fill.asset
        terms = desk.terms[asset]
        purse.traded -= money(abs(notional_units(fill.order, fill.ticks, terms)), terms)
        purse.oldest += 1


@compiled
def book_close(row: int, desk: Desk, books: Books) -> int:
    """Value, settle what ends, and pay the funding of a close; return the coin whose funding is unknown, or -1."""
    for asset in range(len(desk.held)):
        held, cell = desk.held[asset], desk.market[row, asset]
        if cell.present:
            held.mark = price_ticks(cell.close, desk.terms[asset])
        if cell.settles and held.lots != 0.0:
            book_settlement(row, asset, desk, books)
        if held.lots == 0.0 or not cell.listed:
            continue
        if not cell.funding_covered:
            return asset
        if not np.isnan(cell.funding_rate):
            paid = funding_units(
                held.lots, mark_ticks(row, asset, desk), cell.funding_rate, desk.terms[asset]
            )
            books.entries[row, asset].funding = paid
            desk.purse[0].cash -= paid
    return -1


@compiled
def mark_ticks(row: int, asset: int, desk: Desk) -> float:
    """The mark price at a close in ticks; the last close where none is on record."""
    mark = desk.market[row, asset].mark
    return desk.held[asset].mark if np.isnan(mark) else price_ticks(mark, desk.terms[asset])


@compiled
def book_settlement(row: int, asset: int, desk: Desk, books: Books) -> None:
    """Close a position at the mark price, because its contract expires or is listed no more."""
    held, ticks = desk.held[asset], mark_ticks(row, asset, desk)
    expires = desk.market[row, asset].listed
    rate = desk.rates.settlement if expires else 0.0
    deal = Deal(-held.lots, ticks, ticks, rate, EXPIRY if expires else DELISTING)
    book_fill(row, asset, deal, desk, books)
    recall(row, asset, 0, desk, books)


@compiled
def book_state(row: int, desk: Desk, books: Books) -> float:
    """Write down the state at a close and return the equity."""
    cash = desk.purse[0].cash
    equity = cash + unrealized_total(desk.held, desk.terms)
    for asset in range(len(desk.held)):
        books.entries[row, asset].lots = desk.held[asset].lots
    balance = books.balances[row]
    balance.cash, balance.equity = cash, equity
    return equity


@compiled
def book_wishes(row: int, equity: float, desk: Desk, books: Books) -> None:
    """Turn the wishes of a close into orders and exits; without a close a wish cannot be sized and lapses."""
    exits = len(desk.inside) > 0
    for asset in range(len(desk.held)):
        cell, held = desk.market[row, asset], desk.held[asset]
        if exits:
            held.stop, held.take = desk.inside[row, asset].stop, desk.inside[row, asset].take
        wished = not np.isnan(cell.target)
        if wished and not cell.present:
            books.entries[row, asset].lapsed = NO_BAR
            wished = False
        limit = 0.0 if desk.account.execution == TAKER_ONLY else held.mark
        if desk.account.delay_rows:
            order = _later_order(asset, cell.target, equity, desk) if wished else 0.0
            _move_on(row, asset, order, limit, desk)
        elif wished:
            held.order = order_lots(cell.target, equity, held.mark, held.lots, desk.terms[asset])
            held.limit = limit


@compiled
def _later_order(asset: int, target: float, equity: float, desk: Desk) -> float:
    """The order of a wish whose forerunners are still on their way: it is sized as if they were filled."""
    held = desk.held[asset]
    under_way: float = held.order
    for waiting in desk.on_way[asset]:
        under_way += waiting.lots
    return order_lots(target, equity, held.mark, held.lots + under_way, desk.terms[asset])


@compiled
def _move_on(row: int, asset: int, order: float, limit: float, desk: Desk) -> None:
    """Send an order on its way; the one that was sent `delay_rows` ago goes out at the next open.

    What is still to be filled at the market goes with it.
    """
    held, waiting = desk.held[asset], desk.on_way[asset, row % desk.account.delay_rows]
    if waiting.lots != 0.0:
        held.order += waiting.lots
        held.limit = waiting.limit
    waiting.lots, waiting.limit = order, limit
