"""Positions, wallets and margin: what a fill or a funding payment does to them."""

from dataclasses import dataclass, field
from decimal import Decimal

from tests.loopback.tape import Contract, Reel, Tape
from tests.loopback.trading.records import ZERO, Fill, Income, Leg, Position

CENT = Decimal("0.00000001")  # the smallest amount of money
MAINTENANCE = Decimal("0.004")


def money(amount: Decimal) -> Decimal:
    """An amount as ledgers keep it: eight decimals."""
    return amount.quantize(CENT)


def value_of(contract: Contract, quantity: Decimal, price: Decimal) -> Decimal:
    """Worth of so many contracts in the coin that they settle in, without sign."""
    if contract.inverse:
        return abs(quantity) * contract.size / price
    return abs(quantity) * contract.size * price


def profit_of(contract: Contract, quantity: Decimal, entry: Decimal, price: Decimal) -> Decimal:
    """What a signed quantity has gained since its entry."""
    if contract.inverse:
        return quantity * contract.size * (1 / entry - 1 / price)
    return quantity * contract.size * (price - entry)


@dataclass
class Ledger:
    """Wallets by coin, positions by contract and leg, leverage and margin mode by contract."""

    tape: Tape
    wallet: dict[str, Decimal]
    leverage: dict[str, int] = field(default_factory=dict)
    isolated: set[str] = field(default_factory=set)
    incomes: list[Income] = field(default_factory=list)
    _positions: dict[tuple[str, Leg], Position] = field(default_factory=dict)

    def position(self, contract: Contract, leg: Leg = "BOTH") -> Position:
        """The position of a leg, flat where nothing was traded."""
        return self._positions.setdefault((contract.name, leg), Position(contract=contract, leg=leg))

    def positions(self) -> list[Position]:
        """All that are not flat."""
        return [position for position in self._positions.values() if position.quantity]

    def leverage_of(self, contract: Contract) -> int:
        """20 until it is set."""
        return self.leverage.get(contract.name, 20)

    def mark(self, contract: Contract, now: int) -> Decimal:
        """The mark price."""
        return Decimal(str(self.tape[contract.name].price("mark", now)))

    def unrealized(self, position: Position, now: int) -> Decimal:
        """What a position has gained at the mark price."""
        if not position.quantity:
            return ZERO
        mark = self.mark(position.contract, now)
        return money(profit_of(position.contract, position.quantity, position.entry, mark))

    def margin(self, position: Position, now: int) -> Decimal:
        """What a position ties up."""
        worth = value_of(position.contract, position.quantity, self.mark(position.contract, now))
        return money(worth / self.leverage_of(position.contract))

    def maintenance(self, position: Position, now: int) -> Decimal:
        """Below how much equity a position is liquidated; the loopback exchange never does it."""
        worth = value_of(position.contract, position.quantity, self.mark(position.contract, now))
        return money(worth * MAINTENANCE)

    def available(self, coin: str, now: int) -> Decimal:
        """What can be put into new positions."""
        mine = [position for position in self.positions() if position.contract.settle == coin]
        gained = sum((self.unrealized(p, now) - self.margin(p, now) for p in mine), ZERO)
        return self.wallet.get(coin, ZERO) + gained

    def trade(self, position: Position, signed: Decimal, price: Decimal, at: int) -> Decimal:
        """Move a position by a fill; the profit that this realizes."""
        held = position.quantity
        closing = -held if abs(signed) > abs(held) else signed
        realized = ZERO
        if held and (held > 0) != (signed > 0):
            realized = money(profit_of(position.contract, -closing, position.entry, price))
        else:
            closing = ZERO
        opening = signed - closing
        if opening:
            kept = held + closing
            position.entry = _mean_entry(position.contract, (kept, position.entry), (opening, price))
        position.quantity = held + signed
        position.entry = position.entry if position.quantity else ZERO
        position.updated_at = at
        return realized

    def pay(self, kind: str, contract: Contract, amount: Decimal, at: int) -> None:
        """Put money into the wallet, or take it out."""
        if amount:
            coin = contract.settle
            self.wallet[coin] = self.wallet.get(coin, ZERO) + amount
            entry = Income(id=len(self.incomes) + 1, at=at, kind=kind, contract=contract, amount=amount)
            self.incomes.append(entry)

    def settle_funding(self, reel: Reel, rate: float, at: int) -> list[Position]:
        """Longs pay shorts a rate of their worth at the mark price; the positions that were touched."""
        touched = [position for position in self.positions() if position.contract is reel.contract]
        for position in touched:
            worth = value_of(position.contract, position.quantity, self.mark(position.contract, at))
            paid = worth * Decimal(str(rate)) * (1 if position.quantity > 0 else -1)
            self.pay("FUNDING_FEE", position.contract, -money(paid), at)
        return touched

    def book(self, fill: Fill) -> None:
        """Put a fill's profit and fee into the wallet."""
        contract = fill.order.wish.contract
        self.pay("REALIZED_PNL", contract, fill.profit, fill.at)
        self.pay("COMMISSION", contract, -fill.fee, fill.at)


def _mean_entry(contract: Contract, old: tuple[Decimal, Decimal], new: tuple[Decimal, Decimal]) -> Decimal:
    (held, entry), (added, price) = old, new
    if not held:
        return price
    if contract.inverse:
        return (held + added) / (held / entry + added / price)
    return (held * entry + added * price) / (held + added)
