"""The thin strategy around a pilot: it tells the pilot what closed and sends what the pilot wishes.

It decides nothing itself. Sizes come from the contract, money and positions from Nautilus.
"""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Sequence
from typing import Any

import numpy as np
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import ClientId, InstrumentId
from nautilus_trader.trading.strategy import Strategy

from longshort.base.journal import Journal, StoodAside
from longshort.data.bars import Bars
from longshort.policy import booking
from longshort.policy.contract import HOLDING, NO_BAR, NO_NEXT_BAR, TERMS, Books
from longshort.policy.decider import Decider
from longshort.policy.ledger import LAPSES, infinite_wish
from longshort.trading.venue import CLOSED, MONEY_RAW, Closed, Coin, held_lots

CLOSES = ClientId("CLOSES")


class PilotStrategy(Strategy):
    """Asks the pilot once per close; each order goes out on the tick of its coin's next open, or lapses."""

    def __init__(self, pilot: Decider, coins: Sequence[Coin], books: Books, journal: Journal) -> None:
        super().__init__(StrategyConfig(order_id_tag="1"))
        self._pilot = pilot
        self._coins = {coin.perpetual.id: coin for coin in coins}
        self._books = books
        self._journal = journal
        self._terms = np.array([coin.terms for coin in coins], TERMS).view(np.recarray)
        self._held = np.zeros(len(coins), HOLDING)
        self._closes = np.full(len(coins), np.nan)
        self._wishes: dict[InstrumentId, float] = {}
        self._settle = next(iter(self._coins.values())).perpetual.settlement_currency
        self._rows = self._closed_at = 0
        self._cash = 0.0
        self.fills = 0

    def on_start(self) -> None:
        """Subscribe to every coin's opens and to the closes."""
        for instrument_id in self._coins:
            self.subscribe_quote_ticks(instrument_id)
        self.subscribe_data(CLOSED, client_id=CLOSES)
        self._account = self.portfolio.account(next(iter(self._coins)).venue)
        self._cash = self._cash_now()

    def on_data(self, data: Closed) -> None:
        """Write down the state at the close, ask the pilot, keep its wishes for the next opens."""
        bars = data.bars
        for instrument_id in self._wishes:
            self._lapse(self._coins[instrument_id], NO_NEXT_BAR)
        self._wishes.clear()
        self._rows, self._closed_at = data.row + 1, data.ts_event
        equity = self._write_down(data.row, bars)
        target = self._pilot.on_close(bars).target
        for coin in self._coins.values():
            self._wish(float(target[coin.asset]), equity, coin, bars)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """A coin's next bar opens: send its order."""
        order = self._wishes.pop(tick.instrument_id, 0.0)
        if order:
            side = OrderSide.BUY if order > 0 else OrderSide.SELL
            quantity = self._coins[tick.instrument_id].quantity(order)
            self.submit_order(self.order_factory.market(tick.instrument_id, side, quantity))

    def on_order_filled(self, event: Any) -> None:
        """Write down the fill from what Nautilus booked."""
        coin = self._coins[event.instrument_id]
        ticks, opened = coin.ticks(event.last_px), self.cache.quote_tick(event.instrument_id)
        lots = coin.lots(event.last_qty) * (1.0 if event.order_side == OrderSide.BUY else -1.0)
        slippage = booking.slippage_units(lots, ticks, coin.ticks(opened.bid_price), coin.terms)
        before, self._cash = self._cash, self._cash_now()
        position = self.cache.position(event.position_id)
        self._held["lots"][coin.asset] = held = held_lots(position, coin)
        self._held["entry"][coin.asset] = position.avg_px_open
        fee = float(event.commission.raw // MONEY_RAW)
        fill = {
            "row": self._rows,
            "asset": coin.asset,
            "order": lots,
            "ticks": ticks,
            "fee": fee,
            "slippage": slippage,
            "realized": self._cash - before + fee,
            "position": held,
            "cash": self._cash,
        }
        self._books.fills[self.fills] = tuple(fill[name] for name in self._books.fills.dtype.names or ())
        self.fills += 1
        entry = self._books.entries[self._rows, coin.asset]
        entry["fees"], entry["slippage"] = fee, slippage

    def _write_down(self, row: int, bars: Bars) -> float:
        self._cash = self._cash_now()
        self._closes = np.where(bars.present[0], bars.close[0], self._closes)
        booking.mark_all(self._closes, self._held, self._terms)
        equity = self._cash + booking.unrealized_total(self._held, self._terms)
        self._books.entries["lots"][row] = self._held["lots"]
        self._books.balances[row] = self._cash, equity
        return equity

    def _wish(self, target: float, equity: float, coin: Coin, bars: Bars) -> None:
        if np.isnan(target):
            return
        if np.isinf(target):
            raise infinite_wish(coin.symbol, self._closed_at)
        if not bars.present[0, coin.asset]:
            self._lapse(coin, NO_BAR)
            return
        held = self._held[coin.asset]
        order = booking.order_lots(target, equity, float(held["mark"]), float(held["lots"]), coin.terms)
        if order:
            self._wishes[coin.perpetual.id] = order

    def _lapse(self, coin: Coin, why: int) -> None:
        self._books.entries["lapsed"][self._rows - 1, coin.asset] = why
        self._journal.append(StoodAside(self._closed_at, coin.symbol, LAPSES[why]))

    def _cash_now(self) -> float:
        return float(self._account.balance_total(self._settle).raw // MONEY_RAW)
