"""What a venue refuses, in the order in which it looks."""

from decimal import Decimal
from typing import Protocol

from tests.loopback.tape import FOREVER, Reel
from tests.loopback.trading.ledger import Ledger, value_of
from tests.loopback.trading.records import ZERO, Order, Rejected, Wish


class Book(Protocol):
    """What is known of the account."""

    ledger: Ledger
    hedged: bool

    def open_orders(self) -> list[Order]:
        """Those that may still fill or trigger."""
        ...


def check(wish: Wish, at: int, reel: Reel, book: Book) -> None:
    """Raise `Rejected` unless the wish can be accepted."""
    _check_contract(wish, at, book)
    _check_form(wish)
    if any(order.client_id == wish.client_id for order in book.open_orders()):
        raise Rejected("duplicate-id")
    bid, ask = (Decimal(str(price)) for price in reel.quotes(at))
    _check_price(wish, bid, ask)
    closing = wish.reduce_only or closes_leg(wish)
    if closing and wish.trigger is None:
        _check_closing(wish, book.ledger)
    price = wish.price or (ask if wish.sign > 0 else bid)
    if not closing:
        _check_money(wish, price, at, book.ledger)


def closes_leg(wish: Wish) -> bool:
    """True for a sale of the long leg and a purchase of the short one."""
    return (wish.leg, wish.side) in (("LONG", "SELL"), ("SHORT", "BUY"))


def closable(wish: Wish, ledger: Ledger) -> Decimal:
    """How much of a position the wish could close."""
    return max(-wish.sign * ledger.position(wish.contract, wish.leg).quantity, ZERO)


def _check_contract(wish: Wish, at: int, book: Book) -> None:
    if at >= min(wish.contract.delisted_at, wish.contract.expires_at or FOREVER):
        raise Rejected("not-trading")
    if book.hedged == (wish.leg == "BOTH"):
        raise Rejected("leg")


def _check_form(wish: Wish) -> None:
    if wish.quantity <= 0:
        raise Rejected("quantity")
    if wish.quantity % wish.contract.lot:
        raise Rejected("lot")
    if wish.price is not None and wish.price % wish.contract.tick:
        raise Rejected("tick")


def _check_price(wish: Wish, bid: Decimal, ask: Decimal) -> None:
    if wish.trigger is not None and (ask >= wish.trigger if wish.from_below else bid <= wish.trigger):
        raise Rejected("triggers-now")
    if wish.price is None or wish.trigger is not None:
        return
    crosses = wish.price >= ask if wish.sign > 0 else wish.price <= bid
    if crosses and wish.patience == "GTX":
        raise Rejected("post-only")
    if not crosses and wish.patience == "FOK":
        raise Rejected("unfillable")


def _check_closing(wish: Wish, ledger: Ledger) -> None:
    limit = closable(wish, ledger)
    if not limit or (closes_leg(wish) and wish.quantity > limit):
        raise Rejected("reduce-only")


def _check_money(wish: Wish, price: Decimal, at: int, ledger: Ledger) -> None:
    worth = value_of(wish.contract, wish.quantity, price)
    if worth < wish.contract.min_notional and not wish.contract.inverse:
        raise Rejected("notional")
    opening = wish.quantity - 2 * min(
        closable(wish, ledger), wish.quantity
    )  # what it closes frees its margin
    needed = value_of(wish.contract, max(opening, ZERO), price) / ledger.leverage_of(wish.contract)
    if needed > ledger.available(wish.contract.settle, at):
        raise Rejected("margin")
