"""A third, slow account in exact decimals, written from the words of the specification alone.

It shares nothing with the ledger or the engine but the input records. Rules:

* a decision at a row's close fills at the next row's open; an absent next bar lets it lapse;
* size = target x equity at the close / close, toward zero to whole lots; funding of that close comes first;
* an order below the minimum notional is left out, unless it takes the position to zero;
* fill = open x (1 +- slippage) to the nearest tick, ties against us; fee = quantity x price x rate, to 1e-8;
* funding = quantity x close x rate on what was held through the close; longs pay positive rates, to 1e-8;
* profit by average entry price, to 1e-8; an absent or delisted coin is worth its last close.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from math import isnan

from longshort.base.instrument import Costs, Instrument
from longshort.data.bars import Bars
from longshort.policy.exposure import Exposure

CENT = Decimal("1e-8")
ZERO = Decimal(0)


@dataclass
class Position:
    quantity: Decimal = ZERO
    cost: Decimal = ZERO  # what the open quantity was bought or sold for, per contract size, always positive

    @property
    def entry(self) -> Decimal:
        return self.cost / abs(self.quantity)


@dataclass
class Account:
    cash: Decimal
    positions: dict[str, Position]
    rows: list[dict[str, Decimal]] = field(default_factory=list)
    fills: list[dict[str, object]] = field(default_factory=list)
    lapsed: list[tuple[int, str]] = field(default_factory=list)


def exact(number: float) -> Decimal:
    return Decimal(repr(float(number)))


def to_cent(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def run(bars: Bars, exposure: Exposure, costs: Costs, starting_balance: float) -> Account:
    with localcontext() as context:
        context.prec = 60
        return _run(
            bars, exposure, costs, Account(exact(starting_balance), {s: Position() for s in bars.symbols})
        )


def _run(bars: Bars, exposure: Exposure, costs: Costs, account: Account) -> Account:
    orders: dict[str, Decimal] = {}
    last: dict[str, Decimal] = {}
    for t in range(len(bars)):
        for a, coin in enumerate(bars.instruments):
            order = orders.pop(coin.symbol, ZERO)
            if order and bars.present[t, a]:
                _fill(t, coin, order, exact(bars.open[t, a]), costs, account)
            elif order:
                account.lapsed.append((t - 1, coin.symbol))
        last |= {
            c.symbol: exact(bars.close[t, a]) for a, c in enumerate(bars.instruments) if bars.present[t, a]
        }
        paid = sum((_funding(bars, t, a, account, last) for a in range(len(bars.instruments))), ZERO)
        account.cash -= paid
        equity = account.cash + sum((_open_profit(c, account, last) for c in bars.instruments), ZERO)
        quantities = {s: p.quantity for s, p in account.positions.items()}
        account.rows.append({"cash": account.cash, "equity": equity, "funding": paid, **quantities})
        for a, coin in enumerate(bars.instruments):
            if isnan(exposure.target[t, a]):
                continue
            if not bars.present[t, a]:
                account.lapsed.append((t, coin.symbol))
                continue
            held, target = account.positions[coin.symbol].quantity, exact(exposure.target[t, a])
            orders[coin.symbol] = _order(coin, target, equity, last[coin.symbol], held)
    return account


def _funding(bars: Bars, t: int, a: int, account: Account, last: dict[str, Decimal]) -> Decimal:
    coin, rate = bars.instruments[a], float(bars.funding_rate[t, a])
    quantity = account.positions[coin.symbol].quantity
    if not quantity or not bars.listed[t, a] or isnan(rate):
        return ZERO
    return to_cent(quantity * coin.contract_size * last[coin.symbol] * exact(rate))


def _order(coin: Instrument, target: Decimal, equity: Decimal, close: Decimal, held: Decimal) -> Decimal:
    lot_value = coin.lot * coin.contract_size * close
    lots = (target * max(equity, ZERO) / lot_value).to_integral_value(rounding=ROUND_DOWN)
    order = lots * coin.lot - held
    too_small = abs(order) * coin.contract_size * close < coin.min_notional
    return ZERO if lots and too_small else order


def _fill(t: int, coin: Instrument, order: Decimal, opened: Decimal, costs: Costs, account: Account) -> None:
    slippage, rate = exact(costs.slippage_bps) / 10_000, exact(costs.taker_bps) / 10_000
    half = Decimal("0.5")
    if order > 0:
        ticks = (opened * (1 + slippage) / coin.tick + half).to_integral_value(rounding=ROUND_FLOOR)
    else:
        ticks = (opened * (1 - slippage) / coin.tick - half).to_integral_value(rounding=ROUND_CEILING)
    price = ticks * coin.tick
    fee = to_cent(abs(order) * coin.contract_size * price * rate)
    realized = _trade(coin, order, price, account.positions[coin.symbol])
    account.cash += realized - fee
    account.fills.append(
        {
            "row": t,
            "symbol": coin.symbol,
            "quantity": order,
            "price": price,
            "fee": fee,
            "slippage": abs(order) * coin.contract_size * abs(price - opened),
            "realized": realized,
            "position": account.positions[coin.symbol].quantity,
            "cash": account.cash,
        }
    )


def _trade(coin: Instrument, order: Decimal, price: Decimal, position: Position) -> Decimal:
    held, realized = position.quantity, ZERO
    closing = min(abs(order), abs(held)) if held * order < 0 else ZERO
    if closing:
        direction = 1 if held > 0 else -1
        realized = to_cent(direction * closing * coin.contract_size * (price - position.entry))
        position.cost -= closing * position.entry
    position.cost += (abs(order) - closing) * price
    position.quantity = held + order
    return realized


def _open_profit(coin: Instrument, account: Account, last: dict[str, Decimal]) -> Decimal:
    position = account.positions[coin.symbol]
    if not position.quantity:
        return ZERO
    return to_cent(position.quantity * coin.contract_size * (last[coin.symbol] - position.entry))
