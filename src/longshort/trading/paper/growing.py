"""The books of a market that is still going on: tables that grow by a row at each close.

A row is laid out by the very function that lays out a backtest, from the rows of the session so far.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Mapping
from typing import Any

import numpy as np

from longshort.base.errors import DataError
from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.policy import booking
from longshort.policy.contract import CELL, INSIDE, UNITS, Books, Table
from longshort.policy.desk import USUAL_ROWS, open_desk
from longshort.trading.books import VenueBooks
from longshort.trading.coins import coins_of
from longshort.trading.paper.rows import arrays_of, bars_of, joined

FIRST_ROWS = 1024
PRESENT = ("held", "purse", "on_way")  # tables of now
LAID, BOOKED = ("market", "inside"), ("balances", "entries")  # tables with a row per close


class GrowingBooks(VenueBooks):
    """`VenueBooks` without an end; `pattern` is a row that says which coins there are."""

    def __init__(self, pattern: Bars, costs: Costs, account: AccountTerms, starting_balance: float) -> None:
        shape = (FIRST_ROWS, len(pattern.symbols))
        self._terms = (costs, account, starting_balance)
        desk = open_desk(pattern, *self._terms)
        empty = desk._replace(market=np.zeros(shape, CELL), inside=np.zeros(shape, INSIDE))
        super().__init__(coins_of(pattern.instruments), empty)
        self._recent: list[Bars] = []
        self.rows = 0  # closed so far; the next one has this number
        self.late_funding = np.zeros(len(pattern.symbols))  # money units, per coin
        self.charged_late = 0.0  # of it, since the last close, of all coins
        self.moved = 0.0  # money units that a person put in since the last close; negative: took out
        self._moved_at = 0

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
        laid.market["funding_covered"][-1] = True  # what is not known yet is charged once it is
        self.desk.market[self.rows], self.desk.inside[self.rows] = laid.market[-1], laid.inside[-1]
        return self.desk.market.view(np.recarray)

    def close(self) -> None:
        """The row that was laid is over."""
        self.rows += 1
        self.charged_late = self.moved = 0.0

    def check_move(self, money: float) -> None:
        """Raise `DataError` where a transfer by hand is no number, or would leave nothing."""
        left = self.equity + self.moved / UNITS + money
        if not left > 0.0 or not np.isfinite(left):
            raise DataError(
                f"{money:+,.2f} would leave {left:,.2f} in the account.",
                remedy="Take out less than there is.",
            )

    def move(self, transfer: Mapping[str, Any]) -> None:
        """Money put in (positive) or taken out by hand: it counts from the next close on."""
        self.moved += round(float(transfer["money"]) * UNITS)
        self._moved_at = int(transfer["after"])

    def write_down(self, row: int) -> float:
        """Write down the state at a close, with what was moved since the one before, and return the equity."""
        if self.moved:
            self.desk.purse["cash"] += self.moved
            self.post(self.moved, self._moved_at)
        return super().write_down(row)

    def charge_late(self, row: int, told: Bars, at: int) -> list[tuple[int, float]]:
        """Pay the funding of a past row that was not known at its close: what each coin paid, in money units."""
        paid: list[tuple[int, float]] = []
        for asset, rate in enumerate(told.funding_rate[0].tolist()):
            entry, cell = self.books.entries[row, asset], self.desk.market[row, asset]
            if np.isnan(rate) or not np.isnan(cell["funding_rate"]) or not entry["lots"]:
                continue
            terms = self.desk.terms[asset]
            mark = told.mark_close[0, asset]
            price = float(told.close[0, asset] if np.isnan(mark) else mark)
            due = booking.funding_units(float(entry["lots"]), booking.price_ticks(price, terms), rate, terms)
            entry["funding"], cell["funding_rate"] = due, rate
            self.late_funding[asset] += due
            self.charged_late += due
            self.desk.purse["cash"] -= due
            self.post(-due, at)
            paid.append((asset, due))
        return paid

    def state(self, kept_rows: int) -> dict[str, np.ndarray]:
        """What the account goes on from after a close: of its past the last rows, and every fill."""
        last, made = slice(max(0, self.rows - kept_rows), self.rows), int(self.desk.purse["fills"][0])
        tables = {name: getattr(self.desk, name) for name in PRESENT}
        tables |= {name: getattr(self.desk, name)[last] for name in LAID}
        tables |= {name: getattr(self.books, name)[last] for name in BOOKED}
        recent = {f"recent/{name}": part for name, part in arrays_of(joined(self._recent)).items()}
        counts = {"rows": np.array([self.rows]), "late_funding": self.late_funding}
        return {**tables, "fills": self.books.fills[:made], **counts, **recent}

    def restore(self, state: Mapping[str, np.ndarray], pattern: Bars) -> None:
        """Go on where another account of the same terms was; do so before an exchange keeps it."""
        self.rows = int(state["rows"][0])
        while self.rows >= len(self.desk.market):
            self._grow()
        last = slice(self.rows - len(state["market"]), self.rows)
        for name in PRESENT:
            getattr(self.desk, name)[:] = state[name]
        for tables, names in ((self.desk, LAID), (self.books, BOOKED)):
            for name in names:
                getattr(tables, name)[last] = state[name]
        self.books.fills[: len(state["fills"])] = state["fills"]
        self.row, self._seen = self.rows - 1, len(state["fills"])
        self._cash = float(self.desk.purse["cash"][0])
        self.late_funding = state["late_funding"].copy()
        recent = bars_of({n.removeprefix("recent/"): v for n, v in state.items() if "recent/" in n}, pattern)
        self._recent = [recent[t : t + 1] for t in range(len(recent))]

    @property
    def exchange(self) -> Any:
        """The simulated exchange that keeps the account."""
        return self._exchange

    @property
    def equity(self) -> float:
        """At the last close, in settlement units; before the first one what the account begins with."""
        if not self.rows:
            return float(self.desk.purse["cash"][0]) / UNITS
        return float(self.books.balances["equity"][self.rows - 1]) / UNITS

    def _make_room(self) -> None:
        if self.rows >= len(self.desk.market):
            self._grow()

    def _grow(self) -> None:
        self.desk = self.desk._replace(market=_twice(self.desk.market), inside=_twice(self.desk.inside))
        self.books = Books(*(_twice(table) for table in self.books))


def _twice(table: Table) -> Table:
    return np.concatenate([table, np.zeros_like(table)])
