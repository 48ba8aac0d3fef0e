"""What a venue does beside matching: it quotes the open; at the close it leaves, liquidates, settles and funds.

One module for the backtest and for the sandbox, so that both book the same. `dressed` says with what an exchange
must be built. The order of events inside a bar is that of `policy.booking.history.book`.
"""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from typing import Any

from nautilus_trader.backtest.config import SimulationModuleConfig
from nautilus_trader.backtest.modules import SimulationModule
from nautilus_trader.core import Data

from longshort.policy import booking
from longshort.policy.booking.history import book_close, book_open, forget_old_fills
from longshort.policy.booking.inside import AT_OPEN, IN_BAR, book_exits, book_liquidations
from longshort.policy.contract import UNMARGINED
from longshort.policy.ledger import unknown_funding
from longshort.trading.books import VenueBooks
from longshort.trading.coins import Coin
from longshort.trading.events import CLOSED, OPENED, Closed, Opened
from longshort.trading.fills import BookedFees, BookedPrices
from longshort.trading.forced import carry_out

BEFORE_ANYBODY = 100  # message priority: the venue is done before the strategy, at 0, sees the event


def dressed(books: VenueBooks) -> dict[str, Any]:
    """What to build a `SimulatedExchange` with, in a backtest or in the sandbox, so that it books by our contract."""
    return {
        "modules": [Settlement(books)],
        "fill_model": BookedPrices(books),
        "fee_model": BookedFees(books),
        "bar_execution": False,
    }


class Settlement(SimulationModule):
    """All that happens to an account without an order of its own, before anyone decides anything."""

    def __init__(self, books: VenueBooks) -> None:
        super().__init__(SimulationModuleConfig())
        self._books = books
        self._margined = books.desk.account.mode != UNMARGINED
        self._tiered = books.desk.fees.shape[1] > 1

    def register_venue(self, exchange: Any) -> None:
        """Listen to a venue's fills, and to the opens and closes of the market."""
        super().register_venue(exchange)
        self._books.open_at(exchange)
        heard = {
            "events.fills.*": self._books.on_fill,
            f"data.{OPENED.topic}": self.on_opened,
            f"data.{CLOSED.topic}": self.on_closed,
        }
        for topic, handler in heard.items():
            exchange.msgbus.subscribe(topic, handler, priority=BEFORE_ANYBODY)

    def pre_process(self, data: Data) -> None:
        """Nothing happens before matching."""

    def process(self, ts_now: int) -> None:
        """Nothing happens after matching: opens and closes arrive as events."""

    def reset(self) -> None:
        """One run, one module."""

    def log_diagnostics(self, logger: Any) -> None:
        """Nothing to say."""

    def on_opened(self, opened: Opened) -> None:
        """Liquidate what the open liquidates; quote the coins that have an order waiting."""
        books, row, at = self._books, opened.row, opened.ts_event
        books.row = row
        if self._margined and books.holds:
            book_liquidations(row, AT_OPEN, books.desk, books.books)
            self._carry_out(at)
        if self._tiered:
            forget_old_fills(row, books.desk, books.books)
        for asset in books.waiting:
            if opened.market.present[row, asset]:
                coin = books.coins[asset]
                self._quote(coin, float(opened.market.open[row, asset]), at)

    def on_closed(self, closed: Closed) -> None:
        """Fill or take back what rests, leave, liquidate, settle; raise `NotComputable` where funding is unknown."""
        books, row, at = self._books, closed.row, closed.ts_event
        books.row = row
        if books.waiting:
            book_open(row, books.desk, books.books)
            self._carry_out(at)
            self._take_back()
        if books.holds:
            book_exits(row, books.desk, books.books)
            self._carry_out(at)
            if self._margined:
                book_liquidations(row, IN_BAR, books.desk, books.books)
                self._carry_out(at)
        cash = float(books.desk.purse["cash"][0])
        unknown = book_close(row, books.desk, books.books)
        if unknown >= 0:
            raise unknown_funding(books.coins[unknown].symbol, at)
        self._pay_funding(cash, at)

    def _quote(self, coin: Coin, opened: float, at: int) -> None:
        """The open, on both sides; where an order rests, a tick beyond it, so that it is not taken."""
        held = self._books.desk.held[coin.asset]
        if held["limit"] > 0.0:
            low = float(held["limit"]) - (held["order"] < 0.0)
            tick = coin.quote(low, low + 1.0, at)
        else:
            ticks = booking.price_ticks(opened, coin.terms)
            tick = coin.quote(ticks, ticks, at)
        self.exchange.process_quote_tick(tick)

    def _carry_out(self, at: int) -> None:
        for due in self._books.gather():
            carry_out(self.exchange, due, at)

    def _take_back(self) -> None:
        for order in self.exchange.get_open_orders():
            self.exchange.get_matching_engine(order.instrument_id).cancel_order(order)

    def _pay_funding(self, booked_from: float, at: int) -> None:
        """In the order of the coins, as it was booked: a settled position's fill stands between two payments."""
        books, fresh = self._books, self._books.gather()
        if not fresh:
            books.post(float(books.desk.purse["cash"][0]) - booked_from, at)
            return
        funding, first = books.books.entries["funding"][books.row], 0
        for due in fresh:
            books.post(-float(funding[first : due.coin.asset].sum()), at)
            carry_out(self.exchange, due, at)
            first = due.coin.asset
        books.post(-float(funding[first:].sum()), at)
