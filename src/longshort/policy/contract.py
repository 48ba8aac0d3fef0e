"""The terms of linear perpetuals as numbers, and the tables that `booking` reads and fills in.

A table is a numpy array with named fields: one entry per coin, per row and coin, or per fill.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from longshort.base.errors import NotComputable
from longshort.base.instrument import Costs, Instrument

NO_BAR, NO_NEXT_BAR = 1, 2  # why a wish lapsed
UNITS = 1e8  # money units in one of the settlement currency: the precision of NautilusTrader's `Money`
RAW_DIGITS = 16  # decimals of NautilusTrader's fixed-point prices and quantities
RAW = 10.0**RAW_DIGITS

Table = Shaped[np.ndarray, "..."]
Terms = np.record  # one entry of a `TERMS` table: one coin's contract


def _layout(*floats: str, flags: Sequence[str] = (), counts: Sequence[str] = ()) -> np.dtype[np.void]:
    kinds = ((floats, np.float64), (flags, np.bool_), (counts, np.int64))
    return np.dtype([(name, kind) for names, kind in kinds for name in names])


# One lot: `lot_step / lot_parts` contracts of `size` base units; `tick` in quote units, `raw_tick` in 1e-16;
# `unit`: money units that one lot gains per tick; `minimum`: the smallest order in money units.
# Lots, ticks and money units are fractional unless `whole`.
TERMS = _layout("tick", "raw_tick", "lot_step", "lot_parts", "size", "unit", "minimum", flags=["whole"])
CELL = _layout("open", "close", "funding_rate", "target", flags=["present", "listed", "funding_covered"])
HOLDING = _layout("lots", "entry", "mark", "order")  # average entry price, last close in ticks, next order
PURSE = _layout("cash", counts=["fills"])
BALANCE = _layout("cash", "equity")
ENTRY = _layout("lots", "fees", "slippage", "funding", counts=["lapsed"])
FILL = _layout("order", "ticks", "fee", "slippage", "realized", "position", "cash", counts=["row", "asset"])


class Rates(NamedTuple):
    """What a fill costs, as fractions of notional."""

    fee: float
    slippage: float


class Desk(NamedTuple):
    """What booking starts from and works on: per coin, now (`purse` has one entry), and per row and coin."""

    terms: Table  # TERMS
    held: Table  # HOLDING
    purse: Table  # PURSE
    market: Table  # CELL
    rates: Rates


class Books(NamedTuple):
    """An account's history in lots and money units: per row, per row and coin, and per fill in order.

    `entries["lapsed"]` is 0, `NO_BAR` or `NO_NEXT_BAR`.
    """

    balances: Table  # BALANCE
    entries: Table  # ENTRY
    fills: Table  # FILL


def contract_terms(instruments: Sequence[Instrument], *, whole: bool = True) -> Table:
    """Read contracts' terms; raise `NotComputable` for an inverse or quanto one, or where they settle differently.

    >>> btc = Instrument(symbol="BTCUSDT", venue="v", base="BTC", quote="USDT", settle="USDT",
    ...                  tick=Decimal("0.1"), lot=Decimal("0.001"))
    >>> contract_terms([btc])["unit"].tolist()
    [10000.0]
    """
    settled = sorted({i.settle for i in instruments})
    if len(settled) > 1:
        raise NotComputable(
            f"One account cannot add up {' and '.join(settled)}.", remedy="Choose coins of one settlement."
        )
    return np.array([(*_numbers(i), whole) for i in instruments], dtype=TERMS).view(np.recarray)


def rates(costs: Costs) -> Rates:
    """Read costs in basis points as fractions, to the nearest double."""
    bps = Decimal(10_000)
    return Rates(
        fee=float(Decimal(str(costs.taker_bps)) / bps), slippage=float(Decimal(str(costs.slippage_bps)) / bps)
    )


def decimals(step: Decimal) -> int:
    """How many decimals a step needs.

    >>> decimals(Decimal("0.050")), decimals(Decimal("10"))
    (2, 0)
    """
    exponent = step.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _numbers(instrument: Instrument) -> tuple[float, ...]:
    if instrument.inverse:
        raise NotComputable(
            f"{instrument.symbol} is an inverse contract, whose money is not modelled yet.",
            remedy="Use the linear contract of this coin.",
        )
    if {instrument.settle[:3], instrument.quote[:3]} != {"USD"} and instrument.settle != instrument.quote:
        raise NotComputable(
            f"{instrument.symbol} is quoted in {instrument.quote} and settles in {instrument.settle}, "
            "which is not modelled.",
            remedy="Use the linear contract of this coin.",
        )
    tick, lot, size = instrument.tick, instrument.lot, instrument.contract_size
    parts, units = Decimal(10) ** decimals(lot), Decimal(UNITS)
    numbers = (tick, tick.scaleb(RAW_DIGITS), lot * parts, parts, size)
    return tuple(float(n) for n in (*numbers, tick * lot * size * units, instrument.min_notional * units))
