"""At what price, and for what fee, the simulated venue fills an order: both as booking says."""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from typing import Any

from nautilus_trader.backtest.models import FeeModel, FillModel
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder
from nautilus_trader.model.enums import BookType, OrderSide, OrderType
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity

from longshort.trading.books import VenueBooks


class BookedPrices(FillModel):
    """Fills every market order whole at its booked price, or not at all where the venue refuses it."""

    def __init__(self, books: VenueBooks) -> None:
        super().__init__()
        self._books = books

    def get_orderbook_for_fill_simulation(
        self, instrument: CryptoPerpetual, order: Any, _best_bid: Price, _best_ask: Price
    ) -> OrderBook | None:
        """A book with just what the order needs; for any other than a market order Nautilus's own."""
        if order.order_type != OrderType.MARKET:
            return None
        coin, buys = self._books.coin(instrument.id), order.side == OrderSide.BUY
        due = self._books.trade(coin, coin.lots(order.quantity) * (1.0 if buys else -1.0))
        book = OrderBook(instrument.id, BookType.L2_MBP)
        if due is None:
            self._books.withdraw_quote(coin)
            return book
        side = OrderSide.SELL if buys else OrderSide.BUY
        book.add(BookOrder(side, coin.price(due.row["ticks"][0]), order.quantity, 1), 0, 0)
        return book


class BookedFees(FeeModel):
    """The booked fee of the fill that is being made."""

    def __init__(self, books: VenueBooks) -> None:
        super().__init__()
        self._books = books

    def get_commission(
        self, _order: Any, _fill_qty: Quantity, _fill_px: Price, instrument: CryptoPerpetual
    ) -> Money:
        """What booking says."""
        return self._books.coin(instrument.id).money(self._books.next_fee())
