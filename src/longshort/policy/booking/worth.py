"""What a wish, a fill, a funding settlement and a position are worth, compiled: linear contracts and inverse ones.

Money counts in units of 1e-8 of the settlement currency, prices in ticks, quantities in lots: floats that
hold whole numbers (exact below 9e15 units, 90 million of the currency), or fractions where the terms are not
`whole`. A lot of a linear contract is worth its price, one of an inverse contract a fixed sum over its price.

Rounding: sizes toward zero; fill prices to the nearest tick, ties against us; fees, funding and margin to the nearest
1e-8, ties away from zero; profit in the doubles and with the rounding of NautilusTrader's `Money`.
"""

import numpy as np
from jaxtyping import Float64

from longshort.policy.booking.compiled import compiled
from longshort.policy.contract import RAW, UNITS, Table, Terms

DUST = 1e-15  # relative: what float products lose, so that exact decimal ties are seen as ties
LOT_DUST = 1e-12  # relative: a wish this near to one lot more is that lot (0.3 is not quite 0.3 in floats)

Closes = Float64[np.ndarray, " asset"]


@compiled
def nearest(value: float) -> float:
    """The nearest whole number, ties away from zero."""
    whole = np.floor(abs(value))
    return np.copysign(whole + 1.0 if abs(value) - whole >= 0.5 else whole, value)


@compiled
def money(value: float, terms: Terms) -> float:
    """Money in whole units, with exact decimal ties rounded away from zero."""
    return nearest(value * (1.0 + DUST)) if terms.whole else value


@compiled
def price_ticks(price: float, terms: Terms) -> float:
    """A price in ticks; an off-grid one moves to the nearest, never below one tick."""
    return max(nearest(price / terms.tick), 1.0) if terms.whole else price / terms.tick


@compiled
def price_of(ticks: float, terms: Terms) -> float:
    """A price in quote units: the very double that NautilusTrader makes of it."""
    return ticks * terms.raw_tick / RAW


@compiled
def quantity_of(lots: float, terms: Terms) -> float:
    """A quantity in contracts: the very double that NautilusTrader makes of it."""
    return lots * terms.lot_step * (RAW / terms.lot_parts) / RAW


@compiled
def notional_units(lots: float, ticks: float, terms: Terms) -> float:
    """What lots are worth at a price, signed, in unrounded money units."""
    return lots * terms.unit / ticks if terms.inverse else lots * ticks * terms.unit


@compiled
def order_lots(target: float, equity: float, close_ticks: float, held_lots: float, terms: Terms) -> float:
    """The signed lots to trade so that the position is worth `target` times the equity at the close.

    The wished position is rounded toward zero to whole lots; without equity the wish is flat, whatever the
    target. An order below the minimum notional is left out unless it closes the position.
    """
    wanted = target * max(equity, 0.0) / notional_units(1.0, close_ticks, terms)
    if terms.whole:
        wanted = np.trunc(wanted * (1.0 + LOT_DUST))
    order = wanted - held_lots
    per_lot = terms.unit * terms.tick if terms.inverse else close_ticks * terms.unit
    if wanted != 0.0 and abs(order) * per_lot < terms.minimum:
        return 0.0
    return order


@compiled
def fill_ticks(open_ticks: float, order: float, slippage: float, terms: Terms) -> float:
    """The price of a market order at the open, slippage against us, to the nearest tick, ties against us."""
    if order > 0.0:
        slipped = open_ticks * (1.0 + slippage)
        return np.floor(slipped * (1.0 + DUST) + 0.5) if terms.whole else slipped
    slipped = open_ticks * (1.0 - slippage)
    return max(np.ceil(slipped * (1.0 - DUST) - 0.5), 1.0) if terms.whole else slipped


@compiled
def fee_units(lots: float, ticks: float, rate: float, terms: Terms) -> float:
    """The fee of a fill in money units."""
    return money(abs(notional_units(lots, ticks, terms)) * rate, terms)


@compiled
def fee_rates(traded: float, fees: Table) -> tuple[float, float]:
    """What a maker and a taker pay who has traded so many money units in 30 days, by one coin's `FEE` entries."""
    maker, taker = fees[0].maker, fees[0].taker
    for tier in fees:
        if traded >= tier.from_units:
            maker, taker = tier.maker, tier.taker
    return maker, taker


@compiled
def slippage_units(lots: float, ticks: float, open_ticks: float, terms: Terms) -> float:
    """What a fill lost against the open, in money units."""
    if terms.inverse:
        return abs(lots) * terms.unit * abs(1.0 / ticks - 1.0 / open_ticks)
    return abs(lots) * abs(ticks - open_ticks) * terms.unit


@compiled
def funding_units(lots: float, mark_ticks: float, rate: float, terms: Terms) -> float:
    """What a position pays at a settlement (negative: receives); longs pay a positive rate."""
    return money(notional_units(lots, mark_ticks, terms) * rate, terms)


@compiled
def gain_units(quantity: float, entry: float, price: float, terms: Terms) -> float:
    """What a signed quantity of contracts gains between two prices, unrounded, in the doubles of NautilusTrader."""
    points = 1.0 / entry - 1.0 / price if terms.inverse else price - entry
    return quantity * terms.size * points * UNITS


@compiled
def unrealized_units(lots: float, entry: float, ticks: float, terms: Terms) -> float:
    """What a position entered at the average price `entry` has gained at a price in ticks."""
    gain = gain_units(quantity_of(lots, terms), entry, price_of(ticks, terms), terms)
    return nearest(gain) if terms.whole else gain


@compiled
def realized_units(held: float, entry: float, order: float, ticks: float, terms: Terms) -> float:
    """What a fill gains on the part of the position that it closes; 0 where it only adds.

    NautilusTrader takes the smaller of two doubles of one quantity, its fixed-point one and its rounded sum.
    """
    if held * order >= 0.0:
        return 0.0
    closing = quantity_of(min(abs(held), abs(order)), terms)
    closing = min(closing, abs(held) * terms.lot_step / terms.lot_parts)
    gain = gain_units(np.copysign(closing, held), entry, price_of(ticks, terms), terms)
    return nearest(gain) if terms.whole else gain


@compiled
def entry_after(held: float, entry: float, order: float, ticks: float, terms: Terms) -> float:
    """The average entry after a fill: weighted where it adds, kept where it reduces, new where it turns.

    Of inverse contracts it is the harmonic mean, as on BitMEX and Binance: the price at which all of them together
    cost what they did. NautilusTrader takes the arithmetic mean there, which gives another profit.
    """
    price = price_of(ticks, terms)
    if held * (held + order) <= 0.0:
        return price
    if held * order < 0.0:
        return entry
    before, added = quantity_of(abs(held), terms), quantity_of(abs(order), terms)
    if terms.inverse:
        return (before + added) / (before / entry + added / price)
    return (entry * before + price * added) / (before + added)


@compiled
def mark_all(closes: Closes, held: Table, terms: Table) -> None:
    """Value every coin at its last close."""
    for asset in range(len(held)):
        held[asset].mark = price_ticks(closes[asset], terms[asset])


@compiled
def unrealized_total(held: Table, terms: Table) -> float:
    """What all positions have gained at their last closes."""
    total = 0.0
    for asset in range(len(held)):
        coin = held[asset]
        if coin.lots != 0.0:
            total += unrealized_units(coin.lots, coin.entry, coin.mark, terms[asset])
    return total
