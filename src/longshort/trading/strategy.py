"""The thin strategy around a pilot: it tells the pilot what closed and sends what the pilot wishes.

It decides nothing itself. Sizes come from the contract, money and positions from Nautilus.
"""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

import numpy as np
from nautilus_trader.config import StrategyConfig
from nautilus_trader.core import Data
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.trading.strategy import Strategy

from longshort.base.journal import Journal, StoodAside
from longshort.policy.booking.fills import decided_row
from longshort.policy.contract import NO_NEXT_BAR
from longshort.policy.decider import Decider
from longshort.policy.exposure import Wishes
from longshort.policy.ledger import LAPSES, infinite_wish
from longshort.trading.books import VenueBooks
from longshort.trading.events import CLOCK, CLOSED, OPENED, Closed, Opened


class PilotStrategy(Strategy):
    """Asks the pilot once per close; each order goes out at its coin's next open, or lapses."""

    def __init__(self, pilot: Decider, books: VenueBooks, journal: Journal) -> None:
        super().__init__(StrategyConfig(order_id_tag="1"))
        self._pilot = pilot
        self._books = books
        self._journal = journal
        self._closed_at = 0

    def resume(self, closed_at: int) -> None:
        """Go on after a close that another strategy decided at."""
        self._closed_at = closed_at

    def on_start(self) -> None:
        """Subscribe to the opens and the closes."""
        for instant in (OPENED, CLOSED):
            self.subscribe_data(instant, client_id=CLOCK)

    def on_data(self, data: Data) -> None:
        """What closed is decided on; what opens is traded in."""
        if isinstance(data, Closed):
            self._journal_lapses(decided_row(data.row, self._books.desk))
            self._closed_at = data.ts_event
            self._decide(data)
        elif isinstance(data, Opened):
            self._send(data)

    def on_stop(self) -> None:
        """What lapsed at the last close is journaled too."""
        for row in range(decided_row(self._books.row, self._books.desk) + 1, self._books.row + 1):
            self._journal_lapses(row)

    def _decide(self, closed: Closed) -> None:
        equity = self._books.write_down(closed.row)
        wishes = self._pilot.on_close(closed.bars)
        self._check(wishes)
        self._books.wish(closed.row, wishes, equity)

    def _send(self, opened: Opened) -> None:
        for asset in self._books.waiting:
            if opened.market.present[opened.row, asset]:
                self._submit(asset)
            else:
                self._books.let_lapse(asset, NO_NEXT_BAR)

    def _submit(self, asset: int) -> None:
        coin, held = self._books.coins[asset], self._books.desk.held[asset]
        side = OrderSide.BUY if held["order"] > 0 else OrderSide.SELL
        order = (coin.perpetual.id, side, coin.quantity(held["order"]))
        if held["limit"] > 0.0:
            self.submit_order(self.order_factory.limit(*order, coin.price(held["limit"]), post_only=True))
        else:
            self.submit_order(self.order_factory.market(*order))

    def _journal_lapses(self, row: int) -> None:
        lapsed = self._books.books.entries["lapsed"][row]
        for asset in lapsed.nonzero()[0].tolist() if row >= 0 else []:
            symbol = self._books.coins[asset].symbol
            self._journal.append(StoodAside(self._closed_at, symbol, LAPSES[lapsed[asset]]))

    def _check(self, wishes: Wishes) -> None:
        endless = np.isinf(wishes.target).nonzero()[0]
        if len(endless):
            raise infinite_wish(self._books.coins[int(endless[0])].symbol, self._closed_at)
