"""The books of a market that is still going on: tables that grow by a row at each close.

A row is laid out by the very function that lays out a backtest, from the rows of the session so far.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Mapping
from typing import Any

import numpy as np

from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy.contract import CELL, INSIDE, UNITS, Books, Table
from longshort.policy.desk import USUAL_ROWS, open_desk
from longshort.trading.books import VenueBooks
from longshort.trading.coins import coins_of
from longshort.trading.rows import joined

FIRST_ROWS = 1024


class GrowingBooks(VenueBooks):
    """`VenueBooks` without an end; `pattern` says which coins there are."""

    def __init__(self, pattern: Bars, costs: Costs, account: AccountTerms, starting_balance: float) -> None:
        shape = (FIRST_ROWS, len(pattern.symbols))
        self._terms = (costs, account, starting_balance)
        desk = open_desk(_placeholder(pattern), *self._terms)
        empty = desk._replace(market=np.zeros(shape, CELL), inside=np.zeros(shape, INSIDE))
        super().__init__(coins_of(pattern.instruments), empty)
        self._recent: list[Bars] = []
        self.rows = 0  # closed so far; the next one has this number

    def lay_opening(self, prices: Mapping[int, float]) -> Any:
        """The next row as far as it is known when it opens: prices by column."""
        self._make_room()
        cells = self.desk.market[self.rows]
        cells["present"], cells["open"] = False, np.nan
        for asset, price in prices.items():
            cells["present"][asset], cells["open"][asset] = True, price
        return self.desk.market.view(np.recarray)

    def lay(self, row: Bars) -> Any:
        """The next row, closed."""
        self._make_room()
        self._recent = [*self._recent[-USUAL_ROWS:], row]
        laid = open_desk(joined(self._recent), *self._terms)
        laid.market["funding_covered"][-1] = row.funding_covered[0]  # what has ended is known afterwards only
        self.desk.market[self.rows], self.desk.inside[self.rows] = laid.market[-1], laid.inside[-1]
        return self.desk.market.view(np.recarray)

    def close(self) -> None:
        """The row that was laid is over."""
        self.rows += 1

    @property
    def equity(self) -> float:
        """At the last close, in settlement units."""
        return float(self.books.balances["equity"][self.rows - 1]) / UNITS

    def _make_room(self) -> None:
        if self.rows < len(self.desk.market):
            return
        self.desk = self.desk._replace(
            market=_twice(self.desk.market), inside=_twice(self.desk.inside)
        )
        self.books = Books(*(_twice(table) for table in self.books))


def _twice(table: Table) -> Table:
    return np.concatenate([table, np.zeros_like(table)])


def _placeholder(pattern: Bars) -> Bars:
    """One row of nothing: terms, fees and tiers come from the coins alone."""
    return pattern[:1] if len(pattern) else pattern
