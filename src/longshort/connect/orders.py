"""What acts on an account: an order is sent once, and its fate is found out before anything else is said.

A reply can be lost after the venue has acted. So an order carries an id of our own and, whenever a call fails
without a clear refusal, it is looked up by that id for as long as the venue could still accept it.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from longshort.base.errors import VenueError
from longshort.connect.known_venues import Venue
from longshort.connect.pacing import MILLISECOND, Timing
from longshort.connect.retry import Fault, Refusal, ending

Answer = TypeVar("Answer")
REPEATABLE = frozenset(
    {
        "cancel_all_orders",
        "cancel_all_orders_after",
        "cancel_order",
        "set_leverage",
        "set_margin_mode",
        "set_position_mode",
    }
)  # doing it twice leaves the account as doing it once
UNCHANGED = frozenset({"NoChange", "MarginModeAlreadySet"})
TRIGGERS = frozenset(
    {"triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice", "trailingPercent", "trailingAmount"}
)
LISTS = ("fetch_open_orders", "fetch_closed_orders", "fetch_canceled_orders", "fetch_orders")
RECEIVE_WINDOW_MS = 10_000  # after so long no venue accepts an order that was on its way
BETWEEN_LOOKS_S = 1.0


class NotPlaced(VenueError):
    """The order with `client_order_id` is not on the venue's books and will not come."""

    def __init__(self, venue: str, client_order_id: str, why: str) -> None:
        super().__init__(
            f"order {client_order_id} was not placed: {why}", where=venue, remedy="It may be sent anew."
        )
        self.client_order_id = client_order_id


class Unsettled(VenueError):
    """It is not known whether the order with `client_order_id` was placed."""

    def __init__(self, venue: str, client_order_id: str, why: str) -> None:
        super().__init__(
            f"it is not known whether order {client_order_id} was placed: {why}",
            where=venue,
            remedy="Read orders and positions before sending anything else.",
        )
        self.client_order_id = client_order_id


class Account(Protocol):
    """What an `Exchange` is to this module."""

    venue: Venue
    timing: Timing
    client: Any

    async def ask(self, question: Callable[[Any], Awaitable[Answer]]) -> Answer:
        """Ask what may be asked again."""
        ...

    async def attempt(self, question: Callable[[Any], Awaitable[Answer]]) -> Answer | Fault:
        """Try once."""
        ...

    async def resync(self) -> None:
        """Learn the venue's clock."""
        ...

    async def listings(self) -> Mapping[str, object]:
        """Know the venue's contracts."""
        ...


async def send(account: Account, method: str, *args: Any, **kwargs: Any) -> Any:
    """Do one of the things that are known to be safe; raise `VenueError` for any other."""
    if method == "create_order":
        return await _create(account, *args, **kwargs)
    if method == "cancel_order":
        return await _cancel(account, *args, **kwargs)
    if method not in REPEATABLE:
        raise VenueError(f"no safe way to {method} is known.", where=account.venue.id)
    call = getattr(account.client, method)
    try:
        return await account.ask(lambda client: call(*args, **kwargs))
    except Refusal as refusal:
        if refusal.kind in UNCHANGED:
            return None
        raise


async def _create(account: Account, symbol: str, *order: Any, params: Mapping[str, Any] | None = None) -> Any:
    """`order` is type, side, amount and perhaps price; a `clientOrderId` in `params` is kept."""
    own_id: str = (params or {}).get("clientOrderId") or f"ls{uuid.uuid4().hex[:30]}"
    asked = {**(params or {}), "clientOrderId": own_id}
    await account.listings()  # a failure here is none of the order's
    outcome = await account.attempt(lambda client: client.create_order(symbol, *order, params=asked))
    if not isinstance(outcome, Fault):
        if isinstance(outcome, dict) and outcome.get("id"):
            return outcome
        outcome = Fault(("BadResponse", "OperationFailed"), "the answer names no order")
    if not outcome.unsettled:
        raise ending(outcome, account.venue.id)
    if outcome.is_a("InvalidNonce"):
        await account.resync()
    return await _settle(account, symbol, asked, outcome)


async def _settle(account: Account, symbol: str, asked: Mapping[str, Any], fault: Fault) -> Any:
    """The order as the venue has it, once it is certain what became of it."""
    own_id = str(asked["clientOrderId"])
    window_ms = int(account.client.options.get("recvWindow") or RECEIVE_WINDOW_MS)
    deadline_at = account.timing.now() + window_ms * MILLISECOND
    why = f"{fault.names[0]}: {fault.words}"
    while True:
        last = account.timing.now() >= deadline_at
        try:
            found = await _find(account, symbol, asked)
        except VenueError as error:
            raise Unsettled(
                account.venue.id, own_id, f"{why}; and looking it up failed: {error.what}"
            ) from None
        if found:
            return found
        if last:
            raise NotPlaced(account.venue.id, own_id, why)
        await account.timing.sleep(BETWEEN_LOOKS_S)


async def _find(account: Account, symbol: str, asked: Mapping[str, Any]) -> Any:
    """The order with our id, or None."""
    own_id = asked["clientOrderId"]
    trigger = {"trigger": True} if TRIGGERS & asked.keys() else {}
    if account.venue.finds_by_client_id:
        query = {"clientOrderId": own_id, **trigger}
        try:
            return await account.ask(lambda client: client.fetch_order(None, symbol, query))
        except Refusal as refusal:
            if refusal.kind == "OrderNotFound":
                return None
            raise
    for method in LISTS:
        camel = "".join(part.capitalize() if n else part for n, part in enumerate(method.split("_")))
        if account.client.has.get(camel) is True:
            rows = await _list(account, method, symbol, trigger)
            mine = [row for row in rows if row.get("clientOrderId") == own_id]
            if mine:
                return mine[0]
    return None


async def _list(
    account: Account, method: str, symbol: str, params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    call = getattr(account.client, method)
    return await account.ask(lambda client: call(symbol, params=dict(params)))


async def _cancel(
    account: Account, order_id: str, symbol: str, params: Mapping[str, Any] | None = None
) -> Any:
    """Cancel; an order that is gone already comes back as it ended, perhaps filled."""
    asked = dict(params or {})
    try:
        return await account.ask(lambda client: client.cancel_order(order_id, symbol, params=dict(asked)))
    except Refusal as refusal:
        if refusal.kind != "OrderNotFound":
            raise
    return await account.ask(lambda client: client.fetch_order(order_id, symbol, params=dict(asked)))
