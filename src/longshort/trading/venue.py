"""A simulated venue on NautilusTrader that books by our contract: fills, fees and funding.

The only liquidity is the one tick at each bar's open. Every order fills there whole, whatever its size.
"""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import SimulationModuleConfig
from nautilus_trader.backtest.models import FeeModel, FillModel
from nautilus_trader.backtest.modules import SimulationModule
from nautilus_trader.core import Data
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.currencies import Currency
from nautilus_trader.model.data import BookOrder, CustomData, DataType, QuoteTick
from nautilus_trader.model.enums import BookType, CurrencyType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity

from longshort.base.instrument import Instrument
from longshort.data.bars import Bars
from longshort.policy import booking
from longshort.policy.contract import RAW_DIGITS, Books, Rates, Terms, contract_terms, decimals
from longshort.policy.ledger import unknown_funding

MONEY_DIGITS = 8
MONEY_RAW = 10 ** (RAW_DIGITS - MONEY_DIGITS)  # Nautilus's raw money per unit of 1e-8


class Closed(Data):
    """All coins' bars of one closing instant: row `row` of the market."""

    def __init__(self, row: int, market: Bars) -> None:
        self.row = row
        self.market = market
        self._closed_at = int(market.closed_at[row])

    @property
    def bars(self) -> Bars:
        """The one row that just closed: all that a pilot ever sees."""
        return self.market[self.row : self.row + 1]

    @property
    def ts_event(self) -> int:
        """The closing instant."""
        return self._closed_at

    @property
    def ts_init(self) -> int:
        """The closing instant: nothing of the bar is known before."""
        return self._closed_at


CLOSED = DataType(Closed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """One column of the market as Nautilus knows it; lots and ticks convert without rounding."""

    asset: int
    symbol: str
    terms: Terms
    perpetual: CryptoPerpetual
    raw_tick: int
    raw_lot: int

    def ticks(self, price: Price) -> float:
        """A price in ticks."""
        return float(price.raw // self.raw_tick)

    def price(self, ticks: float) -> Price:
        """Ticks as a price."""
        return Price.from_raw(int(ticks) * self.raw_tick, self.perpetual.price_precision)

    def lots(self, quantity: Quantity) -> float:
        """A quantity in lots."""
        return float(quantity.raw // self.raw_lot)

    def quantity(self, lots: float) -> Quantity:
        """Lots, whatever their sign, as a quantity."""
        return Quantity.from_raw(abs(int(lots)) * self.raw_lot, self.perpetual.size_precision)


def coins_of(bars: Bars) -> list[Coin]:
    """Every coin of a market, in column order."""
    venue, terms = Venue(bars.venue.upper().replace("-", "_")), contract_terms(bars.instruments)
    return [
        Coin(
            asset=asset,
            symbol=instrument.symbol,
            terms=terms[asset],
            perpetual=_perpetual(instrument, venue),
            raw_tick=int(instrument.tick.scaleb(RAW_DIGITS)),
            raw_lot=int(instrument.lot.scaleb(RAW_DIGITS)),
        )
        for asset, instrument in enumerate(bars.instruments)
    ]


def currency(code: str) -> Currency:
    """A currency to 1e-8, whatever Nautilus thinks that its precision should be."""
    return Currency(code, MONEY_DIGITS, 0, code, CurrencyType.CRYPTO)


def opening_ticks(bars: Bars, coin: Coin) -> list[QuoteTick]:
    """One tick per bar after the first, at its open, a nanosecond after the close before it."""
    rows = np.flatnonzero(bars.present[1:, coin.asset]) + 1
    opens = bars.open[rows, coin.asset].tolist()
    prices = [coin.price(booking.price_ticks(price, coin.terms)) for price in opens]
    opened_at = (bars.opened_at[rows] + 1).tolist()
    lot = coin.quantity(1.0)
    return [
        QuoteTick(coin.perpetual.id, price, price, lot, lot, at, at)
        for price, at in zip(prices, opened_at, strict=True)
    ]


def closings(bars: Bars) -> list[CustomData]:
    """One event per closing instant."""
    return [CustomData(CLOSED, Closed(row, bars)) for row in range(len(bars))]


class Slippage(FillModel):
    """Fills every market order whole, slipped from the open."""

    def __init__(self, coins: Sequence[Coin], rates: Rates) -> None:
        super().__init__()
        self._coins = {coin.perpetual.id: coin for coin in coins}
        self._rates = rates

    def get_orderbook_for_fill_simulation(
        self, instrument: CryptoPerpetual, order: Any, best_bid: Price, best_ask: Price
    ) -> OrderBook:
        """A book with just what the order needs, at the slipped price."""
        coin, buys = self._coins[instrument.id], order.side == OrderSide.BUY
        lots = coin.lots(order.quantity) * (1.0 if buys else -1.0)
        ticks = booking.fill_ticks(
            coin.ticks(best_ask if buys else best_bid), lots, self._rates.slippage, coin.terms
        )
        book = OrderBook(instrument.id, BookType.L2_MBP)
        side = OrderSide.SELL if buys else OrderSide.BUY
        book.add(BookOrder(side, coin.price(ticks), order.quantity, 1), 0, 0)
        return book


class TakerFees(FeeModel):
    """The taker fee of our contract."""

    def __init__(self, coins: Sequence[Coin], rates: Rates) -> None:
        super().__init__()
        self._coins = {coin.perpetual.id: coin for coin in coins}
        self._rates = rates

    def get_commission(
        self, _order: Any, fill_qty: Quantity, fill_px: Price, instrument: CryptoPerpetual
    ) -> Money:
        """The fee of one fill."""
        coin = self._coins[instrument.id]
        units = booking.fee_units(coin.lots(fill_qty), coin.ticks(fill_px), self._rates.fee, coin.terms)
        return Money.from_raw(int(units) * MONEY_RAW, instrument.settlement_currency)


class Funding(SimulationModule):
    """Settles funding at each close on what was held through it, before anyone decides anything.

    Never through `exchange.adjust_account`: it changes the previous account state in place.
    """

    def __init__(self, coins: Sequence[Coin], books: Books) -> None:
        super().__init__(SimulationModuleConfig())
        self._coins = {coin.perpetual.id: coin for coin in coins}
        self._books = books

    def pre_process(self, data: Data) -> None:
        """Nothing happens before matching."""

    def process(self, ts_now: int) -> None:
        """Nothing happens after matching: closings arrive as events."""

    def reset(self) -> None:
        """One run, one module."""

    def log_diagnostics(self, logger: Any) -> None:
        """Nothing to say."""

    def on_closed(self, closed: Closed) -> None:
        """Pay or receive; raise `NotComputable` where the rate of a held coin is unknown."""
        market, row = closed.market, closed.row
        if np.isnan(market.funding_rate[row]).all() and market.funding_covered[row].all():
            return
        paid = sum(
            self._settle(row, market, self._coins[position.instrument_id], position)
            for position in self.cache.positions_open()
        )
        if paid:
            self._adjust(-int(paid) * MONEY_RAW, closed.ts_event)

    def _settle(self, row: int, market: Bars, coin: Coin, position: Any) -> float:
        if not market.listed[row, coin.asset]:
            return 0.0
        if not market.funding_covered[row, coin.asset] and not market.coins([coin.asset]).ended[row, 0]:
            raise unknown_funding(coin.symbol, int(market.closed_at[row]))
        rate = float(market.funding_rate[row, coin.asset])
        if np.isnan(rate):
            return 0.0
        last = int(np.flatnonzero(market.present[: row + 1, coin.asset])[-1])
        mark = booking.price_ticks(float(market.close[last, coin.asset]), coin.terms)
        paid = booking.funding_units(held_lots(position, coin), mark, rate, coin.terms)
        self._books.entries["funding"][row, coin.asset] = paid
        return paid

    def _adjust(self, raw: int, settled_at: int) -> None:
        account = self.exchange.get_account()
        old = account.balance()
        new = AccountBalance(
            total=Money.from_raw(old.total.raw + raw, old.total.currency),
            locked=old.locked,
            free=Money.from_raw(old.free.raw + raw, old.total.currency),
        )
        self.exchange.exec_client.generate_account_state(
            balances=[new], margins=list(account.margins().values()), reported=True, ts_event=settled_at
        )


def held_lots(position: Any, coin: Coin) -> float:
    """A Nautilus position in signed lots."""
    lots = coin.lots(position.quantity)
    return lots if position.is_long else -lots


def _perpetual(instrument: Instrument, venue: Venue) -> CryptoPerpetual:
    symbol, settle = Symbol(instrument.symbol), currency(instrument.settle)
    tick, lot, size = instrument.tick, instrument.lot, instrument.contract_size
    return CryptoPerpetual(
        instrument_id=InstrumentId(symbol, venue),
        raw_symbol=symbol,
        base_currency=currency(instrument.base),
        quote_currency=settle,
        settlement_currency=settle,
        is_inverse=False,
        price_precision=decimals(tick),
        size_precision=decimals(lot),
        price_increment=Price(tick, decimals(tick)),
        size_increment=Quantity(lot, decimals(lot)),
        multiplier=Quantity(size, decimals(size)),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
    )
