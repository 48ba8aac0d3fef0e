"""Positions of a venue that was taken down, opened again in a new one: from the fills since each coin was last flat.

NautilusTrader averages entry prices fill by fill, so that the same fills in the same order give the same bits.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from typing import Any

import numpy as np
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import LiquiditySide, OmsType, OrderSide, OrderType
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import ClientOrderId, PositionId, TradeId, VenueOrderId
from nautilus_trader.model.orders import MarketOrder
from nautilus_trader.model.position import Position

from longshort.policy.contract import Table
from longshort.trading.books import VenueBooks
from longshort.trading.coins import Coin


def reopen_positions(books: VenueBooks, exchange: Any, strategy: Any) -> None:
    """Put the positions of some books into the cache of an exchange that has none, as a strategy's."""
    account_id = exchange.get_account().id
    for coin in books.coins:
        if not books.desk.held["lots"][coin.asset]:
            continue
        made = books.books.fills[: int(books.desk.purse["fills"][0])]
        fills = _since_flat(made[made["asset"] == coin.asset])
        position: Any = None
        for number, (fill, lots) in enumerate(fills):
            event = _filled(coin, fill, lots, number, (strategy, account_id))
            if position is None:
                position = Position(coin.perpetual, event)
                exchange.cache.add_order(_order_of(event), position_id=position.id)
            else:
                position.apply(event)
        exchange.cache.add_position(position, OmsType.NETTING)


def _since_flat(fills: Table) -> list[tuple[Any, float]]:
    """A coin's fills since it was flat or turned, each with its lots: of one that turned, what it opened."""
    after = fills["position"]
    before = np.concatenate([[0.0], after[:-1]])
    first = int(np.flatnonzero(np.sign(before) != np.sign(after))[-1])
    lots = fills["order"][first:].copy()
    lots[0] = after[first]
    return list(zip(fills[first:], lots.tolist(), strict=True))


def _order_of(event: OrderFilled) -> MarketOrder:
    """The order of a fill: the cache looks up those of a position when it ends."""
    return MarketOrder(
        event.trader_id,
        event.strategy_id,
        event.instrument_id,
        event.client_order_id,
        event.order_side,
        event.last_qty,
        UUID4(),
        event.ts_init,
    )


def _filled(coin: Coin, fill: Any, lots: float, number: int, who: tuple[Any, Any]) -> OrderFilled:
    strategy, account_id = who
    name, at = f"REOPENED-{coin.symbol}-{number}", int(fill["row"])
    return OrderFilled(
        strategy.trader_id,
        strategy.id,
        coin.perpetual.id,
        ClientOrderId(name),
        VenueOrderId(name),
        account_id,
        TradeId(name),
        PositionId(f"{coin.perpetual.id}-{strategy.id}"),
        OrderSide.BUY if lots > 0.0 else OrderSide.SELL,
        OrderType.MARKET,
        coin.quantity(lots),
        coin.price(float(fill["ticks"])),
        coin.perpetual.settlement_currency,
        coin.money(float(fill["fee"])),
        LiquiditySide.TAKER,
        UUID4(),
        at,
        at,
    )
