"""What a wish, a fill, a funding settlement and a position are worth, compiled; and a whole history of them.

Money counts in units of 1e-8 of the settlement currency, prices in ticks, quantities in lots: floats that
hold whole numbers (exact below 9e15 units, 90 million of the currency), or fractions where the terms are not
`whole`. The ledger and the backtest both book through these functions and share no other arithmetic of money.

Rounding: sizes toward zero; fill prices to the nearest tick, ties against us; fees and funding to the nearest
1e-8, ties away from zero; profit in the doubles and with the rounding of NautilusTrader's `Money`.

All of it lives in one module, because numba's cache looks at the date of a function's own file only: a
compiled function elsewhere would go on running inside its callers in its old form.
"""

import inspect
from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from jaxtyping import Float64

from longshort.policy.contract import NO_BAR, NO_NEXT_BAR, RAW, UNITS, Books, Desk, Table, Terms

DUST = 1e-15  # relative: what float products lose, so that exact decimal ties are seen as ties
LOT_DUST = 1e-12  # relative: a wish this near to one lot more is that lot (0.3 is not quite 0.3 in floats)

Closes = Float64[np.ndarray, " asset"]
Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile to machine code on first call, cached on disk, without the type checks of the tests."""
    return cast("Function", numba.njit(cache=True, error_model="numpy")(inspect.unwrap(function)))


@compiled
def nearest(value: float) -> float:
    """The nearest whole number, ties away from zero."""
    whole = np.floor(abs(value))
    return np.copysign(whole + 1.0 if abs(value) - whole >= 0.5 else whole, value)


@compiled
def money(value: float, terms: Terms) -> float:
    """Money in whole units, with exact decimal ties rounded away from zero."""
    return nearest(value * (1.0 + DUST)) if terms.whole else value


@compiled
def price_ticks(price: float, terms: Terms) -> float:
    """A price in ticks; an off-grid one moves to the nearest, never below one tick."""
    return max(nearest(price / terms.tick), 1.0) if terms.whole else price / terms.tick


@compiled
def price_of(ticks: float, terms: Terms) -> float:
    """A price in quote units: the very double that NautilusTrader makes of it."""
    return ticks * terms.raw_tick / RAW


@compiled
def quantity_of(lots: float, terms: Terms) -> float:
    """A quantity in contracts: the very double that NautilusTrader makes of it."""
    return lots * terms.lot_step * (RAW / terms.lot_parts) / RAW


@compiled
def order_lots(target: float, equity: float, close_ticks: float, held_lots: float, terms: Terms) -> float:
    """The signed lots to trade so that the position is worth `target` times the equity at the close.

    The wished position is rounded toward zero to whole lots; without equity the wish is flat, whatever the
    target. An order below the minimum notional is left out unless it closes the position.
    """
    wanted = target * max(equity, 0.0) / (close_ticks * terms.unit)
    if terms.whole:
        wanted = np.trunc(wanted * (1.0 + LOT_DUST))
    order = wanted - held_lots
    if wanted != 0.0 and abs(order) * close_ticks * terms.unit < terms.minimum:
        return 0.0
    return order


@compiled
def fill_ticks(open_ticks: float, order: float, slippage: float, terms: Terms) -> float:
    """The price of a market order at the open, slippage against us, to the nearest tick, ties against us."""
    if order > 0.0:
        slipped = open_ticks * (1.0 + slippage)
        return np.floor(slipped * (1.0 + DUST) + 0.5) if terms.whole else slipped
    slipped = open_ticks * (1.0 - slippage)
    return max(np.ceil(slipped * (1.0 - DUST) - 0.5), 1.0) if terms.whole else slipped


@compiled
def fee_units(lots: float, ticks: float, rate: float, terms: Terms) -> float:
    """The fee of a fill in money units."""
    return money(abs(lots) * ticks * terms.unit * rate, terms)


@compiled
def slippage_units(lots: float, ticks: float, open_ticks: float, terms: Terms) -> float:
    """What a fill lost against the open, in money units."""
    return abs(lots) * abs(ticks - open_ticks) * terms.unit


@compiled
def funding_units(lots: float, close_ticks: float, rate: float, terms: Terms) -> float:
    """What a position pays at a settlement (negative: receives); longs pay a positive rate."""
    return money(lots * close_ticks * terms.unit * rate, terms)


@compiled
def unrealized_units(lots: float, entry: float, ticks: float, terms: Terms) -> float:
    """What a position entered at the average price `entry` has gained at a price in ticks."""
    gain = quantity_of(lots, terms) * terms.size * (price_of(ticks, terms) - entry) * UNITS
    return nearest(gain) if terms.whole else gain


@compiled
def realized_units(held: float, entry: float, order: float, ticks: float, terms: Terms) -> float:
    """What a fill gains on the part of the position that it closes; 0 where it only adds.

    NautilusTrader takes the smaller of two doubles of one quantity, its fixed-point one and its rounded sum.
    """
    if held * order >= 0.0:
        return 0.0
    closing = quantity_of(min(abs(held), abs(order)), terms)
    closing = min(closing, abs(held) * terms.lot_step / terms.lot_parts)
    gain = np.copysign(closing, held) * terms.size * (price_of(ticks, terms) - entry) * UNITS
    return nearest(gain) if terms.whole else gain


@compiled
def entry_after(held: float, entry: float, order: float, ticks: float, terms: Terms) -> float:
    """The average entry after a fill: weighted where it adds, kept where it reduces, new where it turns."""
    price = price_of(ticks, terms)
    if held * (held + order) <= 0.0:
        return price
    if held * order < 0.0:
        return entry
    before, added = quantity_of(abs(held), terms), quantity_of(abs(order), terms)
    return (entry * before + price * added) / (before + added)


@compiled
def mark_all(closes: Closes, held: Table, terms: Table) -> None:
    """Value every coin at its last close."""
    for asset in range(len(held)):
        held[asset].mark = price_ticks(closes[asset], terms[asset])


@compiled
def unrealized_total(held: Table, terms: Table) -> float:
    """What all positions have gained at their last closes."""
    total = 0.0
    for asset in range(len(held)):
        coin = held[asset]
        if coin.lots != 0.0:
            total += unrealized_units(coin.lots, coin.entry, coin.mark, terms[asset])
    return total


@compiled
def book_fill(row: int, asset: int, desk: Desk, books: Books) -> None:
    """Fill one coin's order at the open of a row."""
    held, terms, purse, entry = desk.held[asset], desk.terms[asset], desk.purse[0], books.entries[row, asset]
    order, open_ticks = held.order, price_ticks(desk.market[row, asset].open, terms)
    ticks = fill_ticks(open_ticks, order, desk.rates.slippage, terms)
    made: int = purse.fills
    fill = books.fills[made]
    fill.row, fill.asset, fill.order, fill.ticks = row, asset, order, ticks
    fill.fee = entry.fees = fee_units(order, ticks, desk.rates.fee, terms)
    fill.slippage = entry.slippage = slippage_units(order, ticks, open_ticks, terms)
    fill.realized = realized_units(held.lots, held.entry, order, ticks, terms)
    held.entry = entry_after(held.lots, held.entry, order, ticks, terms)
    held.lots += order
    purse.cash += fill.realized - fill.fee
    purse.fills += 1
    fill.position, fill.cash = held.lots, purse.cash


@compiled
def book_open(row: int, desk: Desk, books: Books) -> None:
    """Fill the orders of the last close; those of absent coins lapse."""
    for asset in range(len(desk.held)):
        held = desk.held[asset]
        if held.order == 0.0:
            continue
        if desk.market[row, asset].present:
            book_fill(row, asset, desk, books)
        else:
            books.entries[row - 1, asset].lapsed = NO_NEXT_BAR
        held.order = 0.0


@compiled
def book_funding(row: int, desk: Desk, books: Books) -> int:
    """Settle the funding of a close on what is held; return the coin whose funding is unknown, or -1."""
    for asset in range(len(desk.held)):
        held, cell = desk.held[asset], desk.market[row, asset]
        if cell.present:
            held.mark = price_ticks(cell.close, desk.terms[asset])
        if held.lots == 0.0 or not cell.listed:
            continue
        if not cell.funding_covered:
            return asset
        if not np.isnan(cell.funding_rate):
            paid = funding_units(held.lots, held.mark, cell.funding_rate, desk.terms[asset])
            books.entries[row, asset].funding = paid
            desk.purse[0].cash -= paid
    return -1


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
    """Turn the wishes of a close into orders; without a close a wish cannot be sized and lapses."""
    for asset in range(len(desk.held)):
        cell, held = desk.market[row, asset], desk.held[asset]
        if np.isnan(cell.target):
            continue
        if cell.present:
            held.order = order_lots(cell.target, equity, held.mark, held.lots, desk.terms[asset])
        else:
            books.entries[row, asset].lapsed = NO_BAR


@compiled
def book(desk: Desk, books: Books) -> tuple[int, int]:
    """Book a whole history; return the row and coin where funding was unknown first, or -1, -1."""
    for row in range(len(desk.market)):
        book_open(row, desk, books)
        unknown = book_funding(row, desk, books)
        if unknown >= 0:
            return row, unknown
        equity = book_state(row, desk, books)
        book_wishes(row, equity, desk, books)
    return -1, -1
