"""Binance's order endpoints: plain, batched and conditional (`algo`) orders, and the trades they made."""

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.loopback.binance.catalog import Catalog, error, window_of
from tests.loopback.binance.keys import signer_of
from tests.loopback.binance.words import fill_record, order_record, refusal_of, trigger_record
from tests.loopback.tape import FOREVER
from tests.loopback.trading.account import Account
from tests.loopback.trading.records import Order, Rejected, Wish
from tests.loopback.venue import Route
from tests.loopback.wire import Refused, Request

Params = dict[str, Any]
Handler = Callable[[Account, Params], object]
KINDS = ("MARKET", "LIMIT")
TRIGGERS = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")


def signed(catalog: Catalog, handler: Handler) -> Route:
    """A route for whoever has signed; refusals become Binance's errors."""

    def route(request: Request) -> object:
        account = signer_of(catalog.world, request)
        account.settle()
        try:
            return handler(account, request.params)
        except Rejected as rejected:
            raise refusal_of(rejected) from rejected

    return route


class Desk:
    """Takes orders."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def routes(self) -> dict[tuple[str, str], Route]:
        """By method and name with its version."""
        table: dict[tuple[str, str], Handler] = {
            ("POST", "v1/order"): self._place,
            ("GET", "v1/order"): self._show,
            ("PUT", "v1/order"): self._amend,
            ("DELETE", "v1/order"): self._cancel,
            ("GET", "v1/openOrder"): self._show,
            ("GET", "v1/openOrders"): self._open,
            ("GET", "v1/allOrders"): self._all,
            ("DELETE", "v1/allOpenOrders"): self._cancel_all,
            ("POST", "v1/batchOrders"): self._place_many,
            ("DELETE", "v1/batchOrders"): self._cancel_many,
            ("GET", "v1/userTrades"): self._trades,
            ("POST", "v1/algoOrder"): self._wait,
            ("GET", "v1/algoOrder"): self._show_waiting,
            ("DELETE", "v1/algoOrder"): self._cancel_waiting,
            ("GET", "v1/openAlgoOrders"): self._all_waiting,
            ("GET", "v1/allAlgoOrders"): self._all_triggers,
            ("DELETE", "v1/algoOpenOrders"): self._cancel_all_waiting,
        }
        return {where: signed(self._catalog, handler) for where, handler in table.items()}

    def _place(self, account: Account, params: Params) -> object:
        order = account.place(self._wish(params))
        full = params.get("newOrderRespType", "ACK") == "RESULT"
        return order_record(self._catalog, order, acknowledged=not full)

    def _place_many(self, account: Account, params: Params) -> object:
        return [self._each(self._place, account, wanted) for wanted in json.loads(params["batchOrders"])]

    def _show(self, account: Account, params: Params) -> object:
        return order_record(self._catalog, self._order(account, params))

    def _amend(self, account: Account, params: Params) -> object:
        order = self._order(account, params)
        changed = account.amend(order, decimal(params, "quantity"), decimal(params, "price"))
        return order_record(self._catalog, changed)

    def _cancel(self, account: Account, params: Params) -> object:
        try:
            order = self._order(account, params)
        except Rejected:
            raise Rejected("closed-order") from None  # Binance calls an order that it never saw the same
        return order_record(self._catalog, account.cancel(order))

    def _cancel_many(self, account: Account, params: Params) -> object:
        numbers = json.loads(params.get("orderIdList", "[]"))
        names = json.loads(params.get("origClientOrderIdList", "[]"))
        wanted = [{"orderId": number} for number in numbers] + [{"origClientOrderId": name} for name in names]
        return [self._each(self._cancel, account, {"symbol": params["symbol"], **one}) for one in wanted]

    def _cancel_all(self, account: Account, params: Params) -> object:
        for order in self._orders(account, params, waiting=False):
            if order.is_open:
                account.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _open(self, account: Account, params: Params) -> object:
        orders = self._orders(account, params, waiting=False)
        return [order_record(self._catalog, order) for order in orders if order.is_open]

    def _all(self, account: Account, params: Params) -> object:
        return [order_record(self._catalog, o) for o in self._orders(account, params, waiting=False)]

    def _trades(self, account: Account, params: Params) -> object:
        contract = self._catalog.reel(params.get("symbol")).contract
        start_at, end_at = window_of(Request(method="GET", host="", path="", query=_query(params)))
        mine = [fill for fill in account.fills if fill.order.wish.contract is contract]
        within = [f for f in mine if (start_at or 0) <= f.at <= (FOREVER if end_at is None else end_at)]
        wanted = [f for f in within if f.order.id == int(params.get("orderId", f.order.id))]
        return [fill_record(self._catalog, fill) for fill in wanted[-int(params.get("limit", 500)) :]]

    def _wait(self, account: Account, params: Params) -> object:
        kind = params.get("type")
        if kind not in TRIGGERS:
            raise error(-1116, "Invalid orderType.")
        wish = self._wish(params | {"newClientOrderId": params.get("clientAlgoId", "")})
        return trigger_record(self._catalog, account.place(wish))

    def _show_waiting(self, account: Account, params: Params) -> object:
        return trigger_record(self._catalog, self._trigger(account, params))

    def _cancel_waiting(self, account: Account, params: Params) -> object:
        order = account.cancel(self._trigger(account, params))
        return {"algoId": order.id, "clientAlgoId": order.client_id, "code": "200", "msg": "success"}

    def _all_waiting(self, account: Account, params: Params) -> object:
        orders = self._orders(account, params, waiting=True)
        return [trigger_record(self._catalog, order) for order in orders if order.is_open]

    def _all_triggers(self, account: Account, params: Params) -> object:
        return [trigger_record(self._catalog, o) for o in self._orders(account, params, waiting=True)]

    def _cancel_all_waiting(self, account: Account, params: Params) -> object:
        for order in self._orders(account, params, waiting=True):
            if order.is_open:
                account.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _wish(self, params: Params) -> Wish:
        """What a client asks for; raise -1102 for what is left out and -1116 for an unknown type."""
        kind, side = params.get("type", ""), params.get("side")
        if kind not in KINDS + TRIGGERS or ("algoType" in params) != (kind in TRIGGERS):
            raise error(-1116, "Invalid orderType.")
        if side not in ("BUY", "SELL"):
            raise error(-1117, "Invalid side.")
        reel = self._catalog.reel(params.get("symbol"))
        priced = kind in ("LIMIT", "STOP", "TAKE_PROFIT")
        buys = side == "BUY"
        return Wish(
            contract=reel.contract,
            side=side,
            quantity=decimal(params, "quantity"),
            price=decimal(params, "price") if priced else None,
            leg=params.get("positionSide", "BOTH"),
            patience=params.get("timeInForce", "GTC"),
            reduce_only=str(params.get("reduceOnly", "false")).lower() == "true",
            client_id=params.get("newClientOrderId", ""),
            trigger=decimal(params, "triggerPrice") if kind in TRIGGERS else None,
            from_below=buys if kind.startswith("STOP") else not buys,
            name=kind,
        )

    def _order(self, account: Account, params: Params) -> Order:
        self._catalog.reel(params.get("symbol"))
        number = params.get("orderId")
        return account.find(int(number) if number else None, params.get("origClientOrderId"))

    def _trigger(self, account: Account, params: Params) -> Order:
        number = params.get("algoId")
        return account.find(int(number) if number else None, params.get("clientAlgoId"))

    def _orders(self, account: Account, params: Params, *, waiting: bool) -> list[Order]:
        """Those of one contract, or of all of this market; `waiting`: conditional ones."""
        wanted = [self._catalog.reel(params["symbol"])] if "symbol" in params else self._catalog.reels()
        contracts = [reel.contract for reel in wanted]
        mine = (order for order in account.orders.values() if order.wish.contract in contracts)
        return [order for order in mine if (order.wish.trigger is not None) == waiting]

    def _each(self, handler: Handler, account: Account, params: Params) -> object:
        """One of a batch: its error stands in its place."""
        try:
            return handler(account, params)
        except Rejected as rejected:
            return json.loads(refusal_of(rejected).answer.body)
        except Refused as refused:
            return json.loads(refused.answer.body)


def decimal(params: Params, name: str) -> Decimal:
    """A number that must be there; raise -1102."""
    try:
        return Decimal(str(params[name]))
    except (KeyError, InvalidOperation):
        raise error(
            -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        ) from None


def _query(params: Params) -> str:
    return "&".join(f"{name}={value}" for name, value in params.items())
