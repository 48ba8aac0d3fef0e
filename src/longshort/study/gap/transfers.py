"""An account that money is put into or taken out of by hand: the ledger, with a hand in the purse at its closes.

What is moved counts from a close on: it is in the equity that the wishes of that close are sized with, as in a paper
session. The order inside a bar is that of `policy.booking.history.book`, and without transfers the account is that of
`run_ledger`, to the last bit.
"""

import numpy as np
from jaxtyping import Float64

from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy.contract import UNITS, UNMARGINED, Books, Desk
from longshort.policy.desk import open_desk
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import (
    NO_MARGIN,
    Ledger,
    blank_books,
    checked_wishes,
    ledger_from,
    run_ledger,
    unknown_funding,
)


def book_with_transfers(
    bars: Bars,
    exposure: Exposure,
    costs: Costs,
    moved: Float64[np.ndarray, " time"],
    *,
    starting_balance: float = 100_000.0,
    account: AccountTerms = NO_MARGIN,
) -> Ledger:
    """Book wishes while settlement units are `moved` in (positive) or out at the closes.

    Raises what `run_ledger` raises.
    """
    if not moved.any():
        return run_ledger(bars, exposure, costs, starting_balance=starting_balance, account=account)
    checked_wishes(exposure, bars)
    desk = open_desk(bars, costs, account, starting_balance, exposure=exposure)
    books = blank_books(desk, orders=int(np.isfinite(exposure.target).sum()))
    for row, units in enumerate(np.round(moved * UNITS).tolist()):
        unknown = _book_row(row, units, desk, books)
        if unknown >= 0:
            raise unknown_funding(bars.symbols[unknown], int(bars.closed_at[row]))
    made = int(desk.purse["fills"][0])
    return ledger_from(books._replace(fills=books.fills[:made]), bars, starting_balance)


def _book_row(row: int, units: float, desk: Desk, books: Books) -> int:
    """Book a row, with money moved at its close; return the coin whose funding is unknown, or -1."""
    from longshort.policy.booking import history, inside

    margined = desk.account.mode != UNMARGINED
    if margined:
        inside.book_liquidations(row, inside.AT_OPEN, desk, books)
    history.book_open(row, desk, books)
    if len(desk.inside):
        inside.book_exits(row, desk, books)
    if margined:
        inside.book_liquidations(row, inside.IN_BAR, desk, books)
    unknown = history.book_close(row, desk, books)
    desk.purse["cash"] += units
    if unknown < 0:
        history.book_wishes(row, history.book_state(row, desk, books), desk, books)
    return unknown
