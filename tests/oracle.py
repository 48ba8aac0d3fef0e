"""A third, slow account in exact decimals, written from the words of the specification alone.

It shares nothing with the ledger or the engine but the input records. Rules, in the order of a bar:

* where the opens already leave less than maintenance margin, positions are liquidated there, and orders lapse;
* a decision at a row's close fills at the next row's open, with a latency at the first open that is as late; an
  absent bar there lets it lapse. What is on its way counts as held when a wish is sized, and is recalled with the
  position. A resting order fills at the close that decided it, only where the bar trades through that price by a
  tick; else it lapses, or becomes a market order at the open after. An order that adds needs initial margin: value
  over leverage, of all positions;
* fill = open x (1 +- slippage) to the nearest tick, ties against us; fee = value x rate, to 1e-8;
* a stop is reached where it is touched, and fills at the open where that is worse, slippage on top; a take fills at
  its price where the bar trades through it by a tick; the stop counts before the take, not after liquidation;
* liquidation where margin (isolated) or cash (cross, all coins on their way to the bar's worst prices at once),
  and what was gained, are down to maintenance margin: at that price, rounded to the tick against us, its fee on top.
  What is lost beyond the margin or the cash is paid by insurance;
* what expires or is listed no more is settled at the mark price; funding = value at the mark price x rate on what was
  held through the close; longs pay positive rates, to 1e-8;
* value = quantity x size x price, of inverse contracts quantity x size / price; profit by average entry price (inverse:
  harmonic), to 1e-8; an absent coin is worth its last close;
* size = target x equity at the close / value of a lot, toward zero to whole lots; an order below the minimum notional
  is left out, unless it takes the position to zero.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from math import isnan

from longshort.base.instrument import AccountTerms, Costs, Instrument
from longshort.data.bars import Bars
from longshort.policy.exposure import Exposure

CENT = Decimal("1e-8")
ZERO, ONE, HALF, BPS = Decimal(0), Decimal(1), Decimal("0.5"), Decimal(10_000)
THIRTY_DAYS = 30 * 86_400 * 10**9
USUAL_ROWS = 24


@dataclass
class Position:
    quantity: Decimal = ZERO
    cost: Decimal = ZERO  # of the open quantity: quantity x price, of inverse contracts quantity / price
    margin: Decimal = ZERO
    order: Decimal = ZERO
    limit: Decimal | None = None
    sent: int = -1  # the row that decided the order
    later: list[tuple[int, Decimal, Decimal | None]] = field(
        default_factory=list
    )  # what follows: decided, order, limit
    exits: tuple[float, float] = (float("nan"), float("nan"))


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


def run(
    bars: Bars,
    exposure: Exposure,
    costs: Costs,
    starting_balance: float,
    account: AccountTerms = AccountTerms(),  # noqa: B008
) -> Account:
    with localcontext() as context:
        context.prec = 60
        venue = Venue(bars, costs, account, starting_balance)
        for t in range(len(bars)):
            venue.row(t, exposure)
        return venue.account


class Venue:
    def __init__(self, bars: Bars, costs: Costs, terms: AccountTerms, starting_balance: float) -> None:
        self.bars, self.costs, self.terms = bars, costs, terms
        self.account = Account(exact(starting_balance), {s: Position() for s in bars.symbols})
        self.coins = list(enumerate(bars.instruments))
        self.last: dict[str, Decimal] = {}
        self.opened_at = bars.opened_at.tolist()
        self.traded: list[tuple[int, Decimal]] = []
        self.leverage = exact(terms.leverage)

    def row(self, t: int, exposure: Exposure) -> None:
        account = self.account
        self.paid = dict.fromkeys(("funding", "liquidation", "insurance"), ZERO)
        for position in account.positions.values():
            self.go_out(t, position)
        self.liquidate(t, {c.symbol: self.opened(t, a, c) for a, c in self.coins})
        resting = {symbol for symbol, position in account.positions.items() if position.limit is not None}
        for a, coin in sorted(self.coins, key=lambda numbered: numbered[1].symbol in resting):
            self.fill_order(t, a, coin)  # what goes out at the open comes before what rests inside the bar
        for a, coin in self.coins:
            self.leave(t, a, coin)
        self.liquidate(t, {c.symbol: self.worst(t, a, c) for a, c in self.coins})
        for a, coin in self.coins:
            if self.bars.present[t, a]:
                self.last[coin.symbol] = self.on_grid(coin, self.bars.close[t, a])
            self.settle(t, a, coin)
            self.fund(t, a, coin)
        equity = account.cash + sum((self.gain(c, self.last.get(c.symbol)) for _, c in self.coins), ZERO)
        quantities = {s: p.quantity for s, p in account.positions.items()}
        account.rows.append({"cash": account.cash, "equity": equity, **self.paid, **quantities})
        for a, coin in self.coins:
            self.decide(t, a, coin, exposure, equity)

    # what prices are

    def on_grid(self, coin: Instrument, price: float | Decimal) -> Decimal:
        ticks = (Decimal(str(price)) / coin.tick).to_integral_value(rounding=ROUND_HALF_UP)
        return max(ticks, ONE) * coin.tick

    def opened(self, t: int, a: int, coin: Instrument) -> Decimal | None:
        here = self.bars.present[t, a]
        return self.on_grid(coin, self.bars.open[t, a]) if here else self.last.get(coin.symbol)

    def worst(self, t: int, a: int, coin: Instrument) -> Decimal | None:
        opened = self.opened(t, a, coin)
        if not self.bars.present[t, a] or opened is None:
            return opened
        long = self.account.positions[coin.symbol].quantity > 0
        mark = self.bars.gauge("mark_low" if long else "mark_high")[t, a]
        last = (self.bars.low if long else self.bars.high)[t, a]
        price = self.on_grid(coin, last if isnan(mark) else mark)
        return min(opened, price) if long else max(opened, price)

    def mark(self, t: int, a: int, coin: Instrument) -> Decimal:
        mark = self.bars.mark_close[t, a]
        return self.last[coin.symbol] if isnan(mark) else self.on_grid(coin, mark)

    # what positions are worth

    def value(self, coin: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
        return quantity * coin.contract_size * (1 / price if coin.inverse else price)

    def entry(self, coin: Instrument) -> Decimal:
        position = self.account.positions[coin.symbol]
        held = abs(position.quantity)
        return held / position.cost if coin.inverse else position.cost / held

    def profit(self, coin: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
        entry = self.entry(coin)
        points = 1 / entry - 1 / price if coin.inverse else price - entry
        return quantity * coin.contract_size * points

    def gain(self, coin: Instrument, price: Decimal | None) -> Decimal:
        quantity = self.account.positions[coin.symbol].quantity
        return to_cent(self.profit(coin, quantity, price)) if quantity and price is not None else ZERO

    def maintenance(self, coin: Instrument, price: Decimal) -> Decimal:
        notional = abs(self.value(coin, self.account.positions[coin.symbol].quantity, price))
        tier = next(t for t in coin.tiers if notional <= Decimal(t.to_notional))
        return notional * exact(tier.maintenance_rate) - exact(tier.maintenance_amount)

    def standing(self, balance: Decimal, prices: dict[str, Decimal | None], only: str = "") -> Decimal:
        """What is left beyond maintenance margin, of one coin or of all."""
        for _, coin in self.coins:
            quantity, price = self.account.positions[coin.symbol].quantity, prices[coin.symbol]
            if quantity and price is not None and only in ("", coin.symbol):
                balance += self.profit(coin, quantity, price) - self.maintenance(coin, price)
        return balance

    # what happens

    def liquidate(self, t: int, worst: dict[str, Decimal | None]) -> None:
        if self.terms.margin == "none":
            return
        opens = {c.symbol: self.opened(t, a, c) for a, c in self.coins}
        held = [(a, c) for a, c in self.coins if self.account.positions[c.symbol].quantity]
        if self.terms.margin == "cross":
            way = self.way(self.account.cash, opens, worst)
            due = {c.symbol: self.between(c, opens, worst, way) for _, c in held} if way is not None else {}
        else:
            ways = {
                c.symbol: self.way(self.account.positions[c.symbol].margin, opens, worst, c.symbol)
                for a, c in held
                if self.bars.present[t, a]
            }
            due = {
                c.symbol: self.between(c, opens, worst, ways[c.symbol])
                for _, c in held
                if ways.get(c.symbol) is not None
            }
        for a, coin in held:
            if coin.symbol in due:
                self.forced(t, a, coin, due[coin.symbol])
        if due and self.terms.margin == "cross" and self.account.cash < 0:
            self.paid["insurance"] -= self.account.cash
            self.account.cash = ZERO

    def way(
        self,
        balance: Decimal,
        opens: dict[str, Decimal | None],
        worst: dict[str, Decimal | None],
        only: str = "",
    ) -> Decimal | None:
        """How far prices get from open to worst before nothing is left; None: all the way."""
        if self.standing(balance, opens, only) <= 0:
            return ZERO
        if self.standing(balance, worst, only) > 0:
            return None
        low, high = ZERO, ONE
        for _ in range(150):
            half = (low + high) / 2
            prices = {
                s: None if o is None or worst[s] is None else o + half * (worst[s] - o)
                for s, o in opens.items()
            }
            if self.standing(balance, prices, only) > 0:
                low = half
            else:
                high = half
        return high

    def between(self, coin: Instrument, opens, worst, way: Decimal) -> Decimal:
        opened = opens[coin.symbol]
        ticks = (opened + way * (worst[coin.symbol] - opened)) / coin.tick
        ticks = ticks.quantize(Decimal("1e-20"))
        long = self.account.positions[coin.symbol].quantity > 0
        return max(ticks.to_integral_value(rounding=ROUND_FLOOR if long else ROUND_CEILING), ONE) * coin.tick

    def forced(self, t: int, a: int, coin: Instrument, price: Decimal) -> None:
        position = self.account.positions[coin.symbol]
        rate = exact(self.costs.liquidation_bps) / BPS
        self.fill(t, coin, -position.quantity, price, rate, "liquidation")
        self.recall(coin, lapses=True)

    def recall(self, coin: Instrument, *, lapses: bool) -> None:
        position = self.account.positions[coin.symbol]
        orders = [
            (position.sent, position.order),
            *((decided, order) for decided, order, _ in position.later),
        ]
        if lapses:
            self.account.lapsed += [(decided, coin.symbol) for decided, order in orders if order]
        position.order, position.later = ZERO, []

    def go_out(self, t: int, position: Position) -> None:
        """What opens with row `t` is the first open that is late enough for the decision of some earlier row."""
        position.sent += 1  # what is still to be filled counts as decided a close later
        late = self.terms.latency_ms * 1_000_000
        for due in list(position.later):
            decided, order, limit = due
            earlier = [
                r for r in range(decided + 1, t) if self.opened_at[r] >= self.bars.closed_at[decided] + late
            ]
            if not earlier and self.opened_at[t] >= self.bars.closed_at[decided] + late:
                position.later.remove(due)
                position.order, position.limit, position.sent = position.order + order, limit, decided

    def fill_order(self, t: int, a: int, coin: Instrument) -> None:
        position = self.account.positions[coin.symbol]
        order = position.order
        if not order:
            return
        position.order = ZERO
        if not self.bars.present[t, a]:
            self.account.lapsed.append((position.sent, coin.symbol))
            return
        maker, taker = self.fees(t, coin)
        if position.limit is None:
            opened = self.on_grid(coin, self.bars.open[t, a])
            price, rate, cause = self.slipped(t, a, coin, order, opened), taker, "order"
        else:
            opened = price = position.limit
            rate, cause = maker, "maker"
            low, high = (self.on_grid(coin, x[t, a]) for x in (self.bars.low, self.bars.high))
            if not (low <= price - coin.tick if order > 0 else high >= price + coin.tick):
                position.limit = None
                if self.terms.execution == "maker, then taker":
                    position.order = order
                else:
                    self.account.lapsed.append((position.sent, coin.symbol))
                return
        if price is None or self.refused(coin, order, price, rate):
            self.account.lapsed.append((position.sent, coin.symbol))
            return
        self.fill(t, coin, order, price, rate, cause, opened)
        if cause == "maker":
            position.exits = (position.exits[0], float("nan"))  # the bar may have been there before

    def fees(self, t: int, coin: Instrument) -> tuple[Decimal, Decimal]:
        if not self.costs.by_volume:
            return exact(self.costs.maker_bps) / BPS, exact(self.costs.taker_bps) / BPS
        window = THIRTY_DAYS // self.bars.interval.ns
        volume = sum((worth for row, worth in self.traded if row > t - window), ZERO)
        tiers = sorted(coin.fees, key=lambda tier: tier.from_volume)
        tier = [f for f in tiers if volume >= exact(f.from_volume)][-1]
        return exact(tier.maker_bps) / BPS, exact(tier.taker_bps) / BPS

    def slipped(self, t: int, a: int, coin: Instrument, order: Decimal, price: Decimal) -> Decimal | None:
        slippage = exact(self.costs.slippage_bps) / BPS
        if self.costs.impact:
            usual = self.usual(t - 1, a, coin)
            if usual is None:
                return None
            slippage += exact(self.costs.impact) * usual * abs(self.value(coin, order, price)).sqrt()
        if order > 0:
            ticks = (price * (1 + slippage) / coin.tick + HALF).to_integral_value(rounding=ROUND_FLOOR)
        else:
            ticks = (price * (1 - slippage) / coin.tick - HALF).to_integral_value(rounding=ROUND_CEILING)
        return max(ticks, ONE) * coin.tick

    def usual(self, t: int, a: int, coin: Instrument) -> Decimal | None:
        """Volatility over the root of the value traded, of a bar, as the last bars were."""
        rows = [r for r in range(max(0, t - USUAL_ROWS + 1), t + 1) if self.bars.present[r, a]]
        if not rows:
            return None
        high, low, close, volume = (
            [exact(getattr(self.bars, name)[r, a]) for r in rows]
            for name in ("high", "low", "close", "volume")
        )
        variance = sum(((h / low_).ln() ** 2 for h, low_ in zip(high, low, strict=True)), ZERO)
        variance /= len(rows) * 4 * Decimal(2).ln()
        worth = [
            v * (coin.contract_size / c if coin.inverse else c) for v, c in zip(volume, close, strict=True)
        ]
        traded = sum(worth, ZERO) / len(rows)
        return (variance / traded).sqrt() if traded else None

    def refused(self, coin: Instrument, order: Decimal, price: Decimal, rate: Decimal) -> bool:
        position = self.account.positions[coin.symbol]
        held, after = position.quantity, position.quantity + order
        if self.terms.margin == "none" or (held * after >= 0 and abs(after) <= abs(held)):
            return False
        worth = abs(self.value(coin, after, price))
        tier = next(t for t in coin.tiers if worth <= Decimal(t.to_notional))
        if exact(tier.max_leverage) < self.leverage:
            return True
        closing = min(abs(order), abs(held)) if held * order < 0 else ZERO
        left = self.account.cash - to_cent(abs(self.value(coin, order, price)) * rate)
        if closing:
            left += to_cent(self.profit(coin, closing if held > 0 else -closing, price))
        others = [c for _, c in self.coins if c is not coin and self.account.positions[c.symbol].quantity]
        if self.terms.margin == "isolated":
            opening = abs(self.value(coin, abs(order) - closing, price))
            kept = ZERO if closing else position.margin
            needed = kept + to_cent(opening / self.leverage)
            needed += sum((self.account.positions[c.symbol].margin for c in others), ZERO)
        else:
            needed = worth / self.leverage
            if held * after > 0:
                left += to_cent(self.profit(coin, held, price))
            for other in others:
                quantity, last = self.account.positions[other.symbol].quantity, self.last[other.symbol]
                needed += abs(self.value(other, quantity, last)) / self.leverage - self.gain(other, last)
        return needed > left

    def leave(self, t: int, a: int, coin: Instrument) -> None:
        position = self.account.positions[coin.symbol]
        stop, take = position.exits
        if not position.quantity or not self.bars.present[t, a] or (isnan(stop) and isnan(take)):
            return
        long = position.quantity > 0
        sign, entry = (1 if long else -1), self.entry(coin)
        opened, high, low = (
            self.on_grid(coin, x[t, a]) for x in (self.bars.open, self.bars.high, self.bars.low)
        )
        if not isnan(stop):
            at = self.on_grid(coin, max(entry * (1 - sign * exact(stop)), coin.tick))
            if low <= at if long else high >= at:
                price = min(opened, at) if long else max(opened, at)
                if self.comes_too_late(t, a, coin, price + sign * coin.tick):
                    return
                slipped = self.slipped(t, a, coin, -position.quantity, price) or price
                self.fill(t, coin, -position.quantity, slipped, self.fees(t, coin)[1], "stop", price)
                self.recall(coin, lapses=False)
                return
        if not isnan(take):
            at = self.on_grid(coin, max(entry * (1 + sign * exact(take)), coin.tick))
            if high >= at + coin.tick if long else low <= at - coin.tick:
                self.fill(t, coin, -position.quantity, at, self.fees(t, coin)[0], "take")
                self.recall(coin, lapses=False)

    def comes_too_late(self, t: int, a: int, coin: Instrument, before: Decimal) -> bool:
        """Whether the bar liquidates the coin, all others unchanged, a tick before a stop or earlier."""
        if self.terms.margin == "none":
            return False
        balance, symbol = self.account.positions[coin.symbol].margin, coin.symbol
        if self.terms.margin == "cross":
            balance = self.account.cash
            for _, other in self.coins:
                if other is not coin and self.account.positions[other.symbol].quantity:
                    last = self.last[other.symbol]
                    balance += self.gain(other, last) - self.maintenance(other, last)
        prices = [{symbol: price} for price in (before, self.worst(t, a, coin))]
        everywhere = [dict.fromkeys(self.bars.symbols) | price for price in prices]
        return all(self.standing(balance, price, symbol) <= 0 for price in everywhere)

    def settle(self, t: int, a: int, coin: Instrument) -> None:
        position, closed_at = self.account.positions[coin.symbol], self.bars.closed_at
        expired = coin.expires_at is not None and closed_at[t] >= coin.expires_at
        first = expired and (t == 0 or closed_at[t - 1] < (coin.expires_at or 0))
        gone = t > 0 and self.bars.listed[t - 1, a] and not self.bars.listed[t, a]
        if position.quantity and (first or gone):
            listed = bool(self.bars.listed[t, a])
            rate = exact(self.costs.settlement_bps) / BPS if listed else ZERO
            cause = "expiry" if listed else "delisting"
            self.fill(t, coin, -position.quantity, self.mark(t, a, coin), rate, cause)
            self.recall(coin, lapses=False)

    def fund(self, t: int, a: int, coin: Instrument) -> None:
        rate, quantity = float(self.bars.funding_rate[t, a]), self.account.positions[coin.symbol].quantity
        if quantity and self.bars.listed[t, a] and not isnan(rate):
            paid = to_cent(self.value(coin, quantity, self.mark(t, a, coin)) * exact(rate))
            self.paid["funding"] += paid
            self.account.cash -= paid

    def decide(self, t: int, a: int, coin: Instrument, exposure: Exposure, equity: Decimal) -> None:
        position = self.account.positions[coin.symbol]
        position.exits = (float(exposure.stop[t, a]), float(exposure.take[t, a]))
        if isnan(exposure.target[t, a]):
            return
        if not self.bars.present[t, a]:
            self.account.lapsed.append((t, coin.symbol))
            return
        close = self.last[coin.symbol]
        lots = exact(exposure.target[t, a]) * max(equity, ZERO) / self.value(coin, coin.lot, close)
        lots = lots.to_integral_value(rounding=ROUND_DOWN)
        under_way = sum((order for _, order, _ in position.later), ZERO)
        if self.terms.latency_ms:
            under_way += position.order
        else:
            position.order = ZERO
        order = lots * coin.lot - position.quantity - under_way
        in_quotes = abs(order) * coin.contract_size * (1 if coin.inverse else close)
        if order and not (lots and in_quotes < coin.min_notional):
            position.later.append((t, order, None if self.terms.execution == "taker" else close))

    def fill(  # noqa: PLR0917
        self,
        t: int,
        coin: Instrument,
        order: Decimal,
        price: Decimal,
        rate: Decimal,
        cause: str,
        before: Decimal | None = None,
    ) -> None:
        account, position = self.account, self.account.positions[coin.symbol]
        fee = to_cent(abs(self.value(coin, order, price)) * rate)
        held, realized, covered = position.quantity, ZERO, ZERO
        closing = min(abs(order), abs(held)) if held * order < 0 else ZERO
        if closing:
            realized = to_cent(self.profit(coin, closing if held > 0 else -closing, price))
            kept = to_cent(position.margin * (abs(held) - closing) / abs(held))
            released, position.margin = position.margin - kept, kept
            if self.terms.margin == "isolated":
                covered = max(ZERO, (fee if cause == "liquidation" else ZERO) - realized - released)
            position.cost -= position.cost * closing / abs(held)
        opening = abs(order) - closing
        position.cost += opening / price if coin.inverse else opening * price
        if self.terms.margin == "isolated":
            position.margin += to_cent(abs(self.value(coin, opening, price)) / self.leverage)
        position.quantity = held + order
        account.cash += realized - fee + covered
        self.paid["insurance"] += covered
        self.paid["liquidation"] += fee if cause == "liquidation" else ZERO
        self.traded.append((t, to_cent(abs(self.value(coin, order, price)))))
        slipped = (
            ZERO if before is None else abs(self.value(coin, order, price) - self.value(coin, order, before))
        )
        account.fills.append(
            {
                "row": t,
                "symbol": coin.symbol,
                "quantity": order,
                "price": price,
                "fee": fee,
                "slippage": slipped,
                "realized": realized,
                "position": position.quantity,
                "cash": account.cash,
                "cause": cause,
            }
        )
