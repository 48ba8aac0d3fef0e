"""The coins of a market as NautilusTrader knows them, and the way between its raw numbers and ours."""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.model.currencies import Currency
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import CurrencyType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity

from longshort.base.instrument import Instrument
from longshort.policy.contract import RAW_DIGITS, Terms, contract_terms, decimals

MONEY_DIGITS = 8
MONEY_RAW = 10 ** (RAW_DIGITS - MONEY_DIGITS)  # Nautilus's raw money per unit of 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """One column of the market as Nautilus knows it; lots, ticks and money units convert without rounding."""

    asset: int
    symbol: str
    inverse: bool
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

    def money(self, units: float) -> Money:
        """Money units in the settlement currency."""
        return Money.from_raw(int(units) * MONEY_RAW, self.perpetual.settlement_currency)

    def quote(self, bid: float, ask: float, at: int) -> QuoteTick:
        """One lot wanted and one for sale, at prices in ticks."""
        lot = self.quantity(1.0)
        return QuoteTick(self.perpetual.id, self.price(bid), self.price(ask), lot, lot, at, at)

    def held(self, position: Any) -> float:
        """A Nautilus position in signed lots."""
        lots = self.lots(position.quantity)
        return -lots if position.is_short else lots


def coins_of(instruments: Sequence[Instrument]) -> list[Coin]:
    """Every coin of a market, in column order."""
    terms = contract_terms(instruments)
    return [
        Coin(
            asset=asset,
            symbol=instrument.symbol,
            inverse=instrument.inverse,
            terms=terms[asset],
            perpetual=_perpetual(instrument),
            raw_tick=int(instrument.tick.scaleb(RAW_DIGITS)),
            raw_lot=int(instrument.lot.scaleb(RAW_DIGITS)),
        )
        for asset, instrument in enumerate(instruments)
    ]


def units(money: Money) -> float:
    """Money in units of 1e-8."""
    return float(money.raw // MONEY_RAW)


def _currency(code: str) -> Currency:
    """A currency to 1e-8, whatever Nautilus thinks that its precision should be."""
    return Currency(code, MONEY_DIGITS, 0, code, CurrencyType.CRYPTO)


def _perpetual(instrument: Instrument) -> CryptoPerpetual:
    symbol, venue = Symbol(instrument.symbol), Venue(instrument.venue.upper().replace("-", "_"))
    settle = _currency(instrument.settle)
    tick, lot, size = instrument.tick, instrument.lot, instrument.contract_size
    return CryptoPerpetual(
        instrument_id=InstrumentId(symbol, venue),
        raw_symbol=symbol,
        base_currency=settle if instrument.inverse else _currency(instrument.base),
        quote_currency=_currency(instrument.quote) if instrument.inverse else settle,
        settlement_currency=settle,
        is_inverse=instrument.inverse,
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
