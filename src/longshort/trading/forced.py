"""Fills that no order of ours asked for, made to happen in NautilusTrader with an order's whole life.

Without its life (submitted, accepted, filled) an order's profit would silently not be booked.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Callable
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import LiquiditySide, TriggerType
from nautilus_trader.model.identifiers import ClientOrderId, VenueOrderId
from nautilus_trader.model.orders import LimitOrder, MarketOrder, StopMarketOrder

from longshort.policy.contract import MAKER, STOP, TAKE
from longshort.policy.ledger import CAUSES
from longshort.trading.books import Due

PASSIVE = (MAKER, TAKE)
Identity = tuple[Any, ...]


def _market(who: Identity, _price: Any, rest: dict[str, Any]) -> Any:
    return MarketOrder(*who, UUID4(), **rest)


def _limit(who: Identity, price: Any, rest: dict[str, Any]) -> Any:
    return LimitOrder(*who, price, UUID4(), **rest)


def _stop(who: Identity, price: Any, rest: dict[str, Any]) -> Any:
    return StopMarketOrder(*who, price, TriggerType.LAST_PRICE, UUID4(), **rest)


ORDERS: dict[int, Callable[[Identity, Any, dict[str, Any]], Any]] = {STOP: _stop, TAKE: _limit}


def carry_out(exchange: Any, due: Due, at: int) -> None:
    """Make a booked fill happen: of the order that rests, or of a closing order made for it."""
    cause, instrument = int(due.row["cause"][0]), due.coin.perpetual.id
    price, quantity = due.coin.price(due.row["ticks"][0]), due.coin.quantity(due.row["order"][0])
    position = None
    if cause == MAKER:
        order = exchange.get_open_orders(instrument)[0]
    else:
        position = exchange.cache.positions_open(None, instrument)[0]
        order = _closing(exchange, position, price, cause, at)
    side = LiquiditySide.MAKER if cause in PASSIVE else LiquiditySide.TAKER
    exchange.get_matching_engine(instrument).apply_fills(order, [(price, quantity)], side, None, position)


def _closing(exchange: Any, position: Any, price: Any, cause: int, at: int) -> Any:
    tag = CAUSES[cause].upper()
    name = f"{tag}-{position.instrument_id.symbol}-{at}"
    order_id, venue_order_id = ClientOrderId(name), VenueOrderId(name)
    who = (
        position.trader_id,
        position.strategy_id,
        position.instrument_id,
        order_id,
        position.closing_order_side(),
        position.quantity,
    )
    order = ORDERS.get(cause, _market)(who, price, {"ts_init": at, "reduce_only": True, "tags": [tag]})
    exchange.cache.add_order(order, position_id=position.id)
    names = (position.strategy_id, position.instrument_id, order_id)
    exchange.exec_client.generate_order_submitted(*names, at)
    exchange.exec_client.generate_order_accepted(*names, venue_order_id, at)
    return order
