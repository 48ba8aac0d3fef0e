"""Orders, fills and positions as Binance writes them, and its codes for refusals."""

from types import MappingProxyType

from tests.loopback.binance.catalog import Catalog, error
from tests.loopback.trading.account import Account
from tests.loopback.trading.ledger import value_of
from tests.loopback.trading.records import Fill, Order, Position, Reason, Rejected
from tests.loopback.venue import MILLISECOND
from tests.loopback.wire import Record, Refused

REFUSALS: MappingProxyType[Reason, tuple[int, str]] = MappingProxyType(
    {
        "margin": (-2019, "Margin is insufficient."),
        "reduce-only": (-2022, "ReduceOnly Order is rejected."),
        "post-only": (
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be rejected.",
        ),
        "unfillable": (
            -5021,
            "Due to the order could not be filled immediately, the FOK order has been rejected.",
        ),
        "notional": (-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only)."),
        "quantity": (-4003, "Quantity less than or equal to zero."),
        "lot": (-1111, "Precision is over the maximum defined for this asset."),
        "tick": (-4014, "Price not increased by tick size."),
        "duplicate-id": (-4116, "ClientOrderId is duplicated."),
        "unknown-order": (-2013, "Order does not exist."),
        "closed-order": (-2011, "Unknown order sent."),
        "not-trading": (-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading."),
        "triggers-now": (-2021, "Order would immediately trigger."),
        "leg": (-4061, "Order's position side does not match user's setting."),
    }
)


def refusal_of(rejected: Rejected) -> Refused:
    """The error that Binance answers with."""
    return error(*REFUSALS[rejected.reason])


def order_record(catalog: Catalog, order: Order, *, acknowledged: bool = False) -> Record:
    """An order; only `acknowledged`, it says nothing of its fills."""
    wish = order.wish
    filled = 0 if acknowledged else order.filled
    average = 0 if acknowledged else order.average
    worth = filled * average * wish.contract.size if not wish.contract.inverse else filled
    return {
        "orderId": order.id,
        "symbol": catalog.symbol_of(wish.contract),
        "pair": wish.contract.base + wish.contract.quote,
        "status": "NEW" if acknowledged else order.status,
        "clientOrderId": order.client_id,
        "price": str(order.price or 0),
        "avgPrice": f"{average:.5f}",
        "origQty": str(order.quantity),
        "executedQty": str(filled),
        "cumQuote": f"{worth:.5f}",
        "cumQty": str(filled),
        "timeInForce": wish.patience,
        "type": wish.kind,
        "reduceOnly": wish.reduce_only,
        "closePosition": False,
        "side": wish.side,
        "positionSide": wish.leg,
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": wish.kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "time": order.placed_at // MILLISECOND,
        "updateTime": order.updated_at // MILLISECOND,
    }


def trigger_record(catalog: Catalog, order: Order) -> Record:
    """A conditional order."""
    wish = order.wish
    status = {"FILLED": "FINISHED"}.get(order.status, order.status)
    return {
        "algoId": order.id,
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": wish.kind,
        "symbol": catalog.symbol_of(wish.contract),
        "side": wish.side,
        "positionSide": wish.leg,
        "timeInForce": wish.patience,
        "quantity": str(order.quantity),
        "algoStatus": status,
        "actualOrderId": str(order.triggered_id or ""),
        "triggerPrice": str(wish.trigger),
        "price": str(wish.price or 0),
        "workingType": "CONTRACT_PRICE",
        "reduceOnly": wish.reduce_only,
        "closePosition": False,
        "createTime": order.placed_at // MILLISECOND,
        "updateTime": order.updated_at // MILLISECOND,
    }


def fill_record(catalog: Catalog, fill: Fill) -> Record:
    """One trade of an account."""
    wish = fill.order.wish
    contract = wish.contract
    worth = {
        "baseQty" if contract.inverse else "quoteQty": str(value_of(contract, fill.quantity, fill.price))
    }
    return worth | {
        "id": fill.id,
        "orderId": fill.order.id,
        "symbol": catalog.symbol_of(contract),
        "side": wish.side,
        "positionSide": wish.leg,
        "price": str(fill.price),
        "qty": str(fill.quantity),
        "realizedPnl": str(fill.profit),
        "commission": str(fill.fee),
        "commissionAsset": contract.settle,
        "buyer": wish.side == "BUY",
        "maker": fill.maker,
        "time": fill.at // MILLISECOND,
    }


def position_record(catalog: Catalog, account: Account, position: Position) -> Record:
    """A position as positionRisk tells it, in the words of all its versions."""
    now, contract = catalog.world.now(), position.contract
    ledger = account.ledger
    mark = ledger.mark(contract, now)
    worth = value_of(contract, position.quantity, mark) * (1 if position.quantity >= 0 else -1)
    margin = str(ledger.margin(position, now)) if position.quantity else "0"
    isolated = contract.name in ledger.isolated
    return {
        "symbol": catalog.symbol_of(contract),
        "positionSide": position.leg,
        "positionAmt": str(position.quantity),
        "entryPrice": f"{position.entry:.8f}",
        "breakEvenPrice": f"{position.entry:.8f}",
        "markPrice": f"{mark:.8f}",
        "unRealizedProfit": str(ledger.unrealized(position, now)),
        "liquidationPrice": "0",
        "leverage": str(ledger.leverage_of(contract)),
        "maxNotionalValue": "1000000",
        "marginType": "isolated" if isolated else "cross",
        "isolatedMargin": margin if isolated else "0.00000000",
        "isolatedWallet": margin if isolated else "0",
        "isAutoAddMargin": "false",
        "notional" if not contract.inverse else "notionalValue": f"{worth:.8f}",
        "marginAsset": contract.settle,
        "initialMargin": margin,
        "positionInitialMargin": margin,
        "openOrderInitialMargin": "0",
        "maintMargin": str(ledger.maintenance(position, now)) if position.quantity else "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.updated_at // MILLISECOND,
    }
