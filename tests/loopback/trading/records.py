"""Orders, fills, positions and what is told about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tests.loopback.tape import Contract

Side = Literal["BUY", "SELL"]
Leg = Literal["BOTH", "LONG", "SHORT"]
Status = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
Patience = Literal["GTC", "IOC", "FOK", "GTX"]  # GTX is post-only
Reason = Literal[
    "margin", "reduce-only", "post-only", "unfillable", "notional", "quantity", "lot", "tick",
    "duplicate-id", "unknown-order", "closed-order", "not-trading", "triggers-now", "leg",
]  # fmt: skip
ZERO = Decimal(0)


class Rejected(Exception):
    """An order or a wish that the venue refuses."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a client asks for; a `trigger` makes it wait until the price has come to it from `from_below` or above."""

    contract: Contract
    side: Side
    quantity: Decimal
    price: Decimal | None = None
    leg: Leg = "BOTH"
    patience: Patience = "GTC"
    reduce_only: bool = False
    client_id: str = ""
    trigger: Decimal | None = None
    from_below: bool = False
    name: str = ""

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sale."""
        return 1 if self.side == "BUY" else -1

    @property
    def kind(self) -> str:
        """The venue's name of the type of order: MARKET or LIMIT, unless it was given."""
        return self.name or ("MARKET" if self.price is None else "LIMIT")


@dataclass(kw_only=True)
class Order:
    """A wish that was accepted, and what became of it; `average` is the mean price of its fills."""

    wish: Wish
    id: int
    client_id: str
    placed_at: int
    updated_at: int
    quantity: Decimal
    price: Decimal | None
    status: Status = "NEW"
    filled: Decimal = ZERO
    average: Decimal = ZERO
    triggered_id: int = 0

    @property
    def is_open(self) -> bool:
        """True while it may still fill."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def left(self) -> Decimal:
        """What has not filled yet."""
        return self.quantity - self.filled


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One trade of an order; fee and profit are in the coin that the contract settles in."""

    id: int
    order: Order
    at: int
    price: Decimal
    quantity: Decimal
    fee: Decimal
    profit: Decimal
    maker: bool


@dataclass(kw_only=True)
class Position:
    """One leg of one contract; `quantity` is signed, `entry` the mean price."""

    contract: Contract
    leg: Leg
    quantity: Decimal = ZERO
    entry: Decimal = ZERO
    updated_at: int = 0


@dataclass(frozen=True, kw_only=True)
class Income:
    """Money that came or went: COMMISSION, REALIZED_PNL or FUNDING_FEE."""

    id: int
    at: int
    kind: str
    contract: Contract
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing to tell the account's streams, with everything as it was then.

    `execution` is NEW, TRADE, CANCELED, EXPIRED or AMENDMENT for an order, FUNDING_FEE where only money moved.
    """

    at: int
    execution: str
    order: Order | None = None
    fill: Fill | None = None
    wallet: Mapping[str, Decimal]
    position: Position | None = None
