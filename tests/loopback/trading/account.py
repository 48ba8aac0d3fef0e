"""One account: takes wishes, fills them on the tape, and tells what happened.

Market orders fill at once, buys at the ask and sales at the bid, which are a tick apart. A limit order that
rests fills whole, at its price, as maker, once the walk of a later price has touched it. Nothing happens between
two looks: `settle` catches up with the clock, order by order, bar by bar, funding included.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.loopback.tape import FOREVER, Reel, Tape
from tests.loopback.trading.checks import check, closable
from tests.loopback.trading.ledger import Ledger, money, value_of
from tests.loopback.trading.records import ZERO, Event, Fill, Order, Position, Rejected, Status, Wish

FIRST_NUMBER = 1_000_001
MAKER_FEE, TAKER_FEE = Decimal("0.0002"), Decimal("0.0005")


@dataclass
class Account:
    """`parts` is how many trades each fill is told in; `hedged` keeps long and short legs apart."""

    tape: Tape
    now: Callable[[], int]
    key: str = "loopback-key"
    secret: str = "loopback-secret"  # noqa: S105
    wallet: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(10_000), "BTC": Decimal(1)})
    parts: int = 1
    hedged: bool = False
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.tape, self.wallet)
        self.settled_at = self.now()

    @property
    def credentials(self) -> dict[str, str]:
        """What a ccxt client is made with."""
        return {"apiKey": self.key, "secret": self.secret, "password": "loopback-password"}

    def position(self, name: str) -> Decimal:
        """The signed quantity of a contract in contracts, both legs together."""
        contract = self.tape[name].contract
        return sum((p.quantity for p in self.ledger.positions() if p.contract is contract), ZERO)

    def open_orders(self) -> list[Order]:
        """Those that may still fill or trigger."""
        return [order for order in self.orders.values() if order.is_open]

    def find(self, order_id: int | None = None, client_id: str | None = None) -> Order:
        """An order by either of its names, the latest first; raise `Rejected`."""
        for order in reversed(self.orders.values()):
            if order.id == order_id or (client_id and order.client_id == client_id):
                return order
        raise Rejected("unknown-order")

    def place(self, wish: Wish) -> Order:
        """Accept a wish and fill what can be filled now; raise `Rejected`."""
        self.settle()
        return self._place(wish, self.now())

    def cancel(self, order: Order) -> Order:
        """Take an order back; raise `Rejected` where it is closed."""
        self.settle()
        if not order.is_open:
            raise Rejected("closed-order")
        self._close(order, "CANCELED", self.now())
        return order

    def amend(self, order: Order, quantity: Decimal, price: Decimal) -> Order:
        """Change a resting order; raise `Rejected` where it is closed."""
        self.settle()
        if not order.is_open:
            raise Rejected("closed-order")
        order.quantity, order.price, order.updated_at = quantity, price, self.now()
        self._tell("AMENDMENT", order.updated_at, order)
        self._take(order, order.updated_at)
        return order

    def settle(self) -> None:
        """Catch up with the clock: limit orders that were reached, triggers, funding."""
        now = self.now()
        while self.settled_at < now:
            edge = min(now, self._next_edge())
            for order in self.open_orders():
                self._reach(order, edge)
            for reel in self.tape.reels:
                self._fund(reel, edge)
            self.settled_at = edge

    def _place(self, wish: Wish, at: int) -> Order:
        reel = self.tape[wish.contract.name]
        check(wish, at, reel, self)
        number = FIRST_NUMBER + len(self.orders)
        order = Order(
            wish=wish,
            id=number,
            client_id=wish.client_id or f"loopback-{number}",
            placed_at=at,
            updated_at=at,
            quantity=min(wish.quantity, closable(wish, self.ledger)) if wish.reduce_only else wish.quantity,
            price=wish.price,
        )
        self.orders[order.id] = order
        self._tell("NEW", at, order)
        if wish.trigger is None:
            self._take(order, at)
        return order

    def _next_edge(self) -> int:
        """Until when nothing but the walk inside the current bars can happen."""
        edges = [FOREVER]
        for name in {order.wish.contract.name for order in self.open_orders()}:
            interval = self.tape[name].trades.interval
            edges.append((self.settled_at // interval + 1) * interval)
        for position in self.ledger.positions():
            later = self.tape[position.contract.name].funding.between(self.settled_at + 1, FOREVER)
            edges += later.at[:1].tolist()
        return min(edges)

    def _take(self, order: Order, at: int) -> None:
        """Fill what meets the book; what does not rests, or expires where it may not."""
        bid, ask = self.tape[order.wish.contract.name].quotes(at)
        best = Decimal(str(ask if order.wish.sign > 0 else bid))
        if order.price is None or order.wish.sign * (order.price - best) >= 0:
            self._fill(order, best, at, maker=False)
        elif order.wish.patience in ("IOC", "FOK"):
            self._close(order, "EXPIRED", at)

    def _reach(self, order: Order, edge: int) -> None:
        """Fill or trigger an order that the walk from `settled_at` to `edge` has touched."""
        wish = order.wish
        waits_for = order.price if wish.trigger is None else wish.trigger
        assert waits_for is not None, "a market order never rests"
        low, high = self.tape[wish.contract.name].range(self.settled_at, edge)
        rising = wish.from_below if wish.trigger is not None else wish.sign < 0
        if not (high >= float(waits_for) if rising else low <= float(waits_for)):
            return
        if wish.trigger is None:
            self._fill(order, waits_for, edge, maker=True)
        else:
            self._trigger(order, edge)

    def _trigger(self, order: Order, at: int) -> None:
        """Send the order that waited for its trigger."""
        self._close(order, "FILLED", at)
        try:
            order.triggered_id = self._place(replace(order.wish, trigger=None, client_id="", name=""), at).id
        except Rejected:
            order.status = "EXPIRED"

    def _fill(self, order: Order, price: Decimal, at: int, *, maker: bool) -> None:
        wish = order.wish
        if wish.reduce_only:
            order.quantity = min(order.quantity, order.filled + closable(wish, self.ledger))
        sizes = split(order.left, self.parts, wish.contract.lot)
        for size in sizes:
            position = self.ledger.position(wish.contract, wish.leg)
            profit = self.ledger.trade(position, wish.sign * size, price, at)
            order.average = (order.average * order.filled + price * size) / (order.filled + size)
            order.filled += size
            order.updated_at = at
            order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
            fee = money(value_of(wish.contract, size, price) * (MAKER_FEE if maker else TAKER_FEE))
            number = len(self.fills) + 1
            fill = Fill(
                id=number, order=order, at=at, price=price, quantity=size, fee=fee, profit=profit, maker=maker
            )
            self.fills.append(fill)
            self.ledger.book(fill)
            self._tell("TRADE", at, order, fill=fill, position=position)
        if not sizes:
            self._close(order, "EXPIRED", at)

    def _close(self, order: Order, status: Status, at: int) -> None:
        order.status, order.updated_at = status, at
        self._tell(status, at, order)

    def _fund(self, reel: Reel, edge: int) -> None:
        for at, rate in reel.funding.between(self.settled_at + 1, edge + 1):
            for position in self.ledger.settle_funding(reel, rate, at):
                self._tell("FUNDING_FEE", at, position=position)

    def _tell(
        self,
        execution: str,
        at: int,
        order: Order | None = None,
        *,
        fill: Fill | None = None,
        position: Position | None = None,
    ) -> None:
        """Add an event that later changes do not reach."""
        event = Event(
            at=at,
            execution=execution,
            order=copy(order),
            fill=fill,
            wallet=dict(self.wallet),
            position=copy(position),
        )
        self.events.append(event)


def split(quantity: Decimal, parts: int, lot: Decimal) -> list[Decimal]:
    """A quantity in so many whole lots, or fewer where it has not that many."""
    share = max(quantity / parts // lot * lot, lot)
    sizes: list[Decimal] = []
    while quantity > 0:
        size = quantity if len(sizes) == parts - 1 else min(share, quantity)
        sizes.append(size)
        quantity -= size
    return sizes
