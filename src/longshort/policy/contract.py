"""The terms of contracts and accounts as numbers, and the tables that `booking` reads and fills in.

A table is a numpy array with named fields: one entry per coin, per row and coin, or per fill.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from longshort.base.clock import DAY, Interval
from longshort.base.errors import NotComputable, StudyError
from longshort.base.instrument import AccountTerms, Costs, FeeTier, Instrument

# why a wish lapsed
NO_BAR, NO_NEXT_BAR, NO_MARGIN, ABOVE_CAP, LIQUIDATED, NOT_REACHED, NO_VOLUME = range(1, 8)
ORDER, MAKER, STOP, TAKE, LIQUIDATION, EXPIRY, DELISTING = range(7)  # why there was a fill
UNMARGINED, ISOLATED, CROSS = range(3)
TAKER_ONLY, MAKER_ONLY, MAKER_THEN_TAKER = range(3)
MODES = {"none": UNMARGINED, "isolated": ISOLATED, "cross": CROSS}
EXECUTIONS = {"taker": TAKER_ONLY, "maker": MAKER_ONLY, "maker, then taker": MAKER_THEN_TAKER}
UNITS = 1e8  # money units in one of the settlement currency: the precision of NautilusTrader's `Money`
RAW_DIGITS = 16  # decimals of NautilusTrader's fixed-point prices and quantities
RAW = 10.0**RAW_DIGITS
FEE_WINDOW = 30 * DAY  # what was traded for so long decides the fee tier

Table = Shaped[np.ndarray, "..."]
Terms = np.record  # one entry of a `TERMS` table: one coin's contract


def _layout(*floats: str, flags: Sequence[str] = (), counts: Sequence[str] = ()) -> np.dtype[np.void]:
    kinds = ((floats, np.float64), (flags, np.bool_), (counts, np.int64))
    return np.dtype([(name, kind) for names, kind in kinds for name in names])


# One lot: `lot_step / lot_parts` contracts of `size` base units (inverse: quote units); `tick` in quote units,
# `raw_tick` in 1e-16; `unit`: money units that one lot is worth at a price of one tick (inverse: the money units of
# one lot times the price in ticks); `minimum`: the smallest order in 1e-8 quote units.
# Lots, ticks and money units are fractional unless `whole`.
TERMS = _layout(
    "tick", "raw_tick", "lot_step", "lot_parts", "size", "unit", "minimum", flags=["whole", "inverse"]
)
TIER = _layout("rate", "amount", "to_units", "max_leverage")  # of notional, in money units; in order of size
FEE = _layout("from_units", "maker", "taker")  # by 30-day volume in money units, in order
# `mark`: the mark price at the close, the close where none is on record; `settles`: positions end at this close.
CELL = _layout(
    "open",
    "close",
    "mark",
    "funding_rate",
    "target",
    flags=["present", "listed", "funding_covered", "settles"],
)
# What a bar did between open and close (of the mark price, of the last price where none is on record), the exits
# wished at its close, and the slippage of an order of one money unit. Empty where none of it is asked for.
INSIDE = _layout("high", "low", "mark_high", "mark_low", "stop", "take", "impact")
# average entry price, last close in ticks, next order, isolated margin, exits as fractions of the entry, the price in
# ticks at which the order rests (0: at the market), and between which prices nothing is liquidated (0, 0: unknown)
HOLDING = _layout(
    "lots", "entry", "mark", "order", "margin", "stop", "take", "limit", "safe_above", "safe_below"
)
WAITING = _layout("lots", "limit")  # an order on its way to the venue
# `traded`: since the fill `oldest`; `least`: below so much cash those prices are no longer safe under cross margin
PURSE = _layout("cash", "traded", "least", counts=["fills", "oldest"])
BALANCE = _layout("cash", "equity")
ENTRY = _layout("lots", "fees", "slippage", "funding", "liquidation", "insurance", counts=["lapsed"])
FILL = _layout(
    "order",
    "ticks",
    "fee",
    "slippage",
    "realized",
    "position",
    "cash",
    counts=["row", "asset", "cause", "decided"],
)


class Rates(NamedTuple):
    """What a fill costs, as fractions of notional."""

    fee: float
    slippage: float
    maker: float = 0.0
    liquidation: float = 0.0
    settlement: float = 0.0


class Account(NamedTuple):
    """`AccountTerms` as numbers, and how many rows the 30 days are that decide the fee tier.

    An order goes out at the open after its close, or `delay_rows` opens later.
    """

    mode: int = UNMARGINED
    leverage: float = 1.0
    execution: int = TAKER_ONLY
    window_rows: int = 0
    delay_rows: int = 0


class Desk(NamedTuple):
    """What booking starts from and works on: per coin, now (`purse` has one entry), and per row and coin."""

    terms: Table  # TERMS
    tiers: Table  # TIER, "asset tier"
    fees: Table  # FEE, "asset tier"
    held: Table  # HOLDING
    purse: Table  # PURSE
    market: Table  # CELL
    inside: Table  # INSIDE; no rows: nothing happens inside bars
    on_way: Table  # WAITING, "asset row", the row modulo `delay_rows`
    rates: Rates
    account: Account


class Books(NamedTuple):
    """An account's history in lots and money units: per row, per row and coin, and per fill in order.

    `entries["lapsed"]` is 0 or why a wish lapsed, `fills["cause"]` why there was a fill. `entries["insurance"]` is what
    a loss beyond the margin or the account was, and somebody else paid.
    """

    balances: Table  # BALANCE
    entries: Table  # ENTRY
    fills: Table  # FILL


def contract_terms(instruments: Sequence[Instrument], *, whole: bool = True) -> Table:
    """Read contracts' terms; raise `NotComputable` for a quanto one, or where they settle differently.

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
    return np.array([(*_numbers(i), whole, i.inverse) for i in instruments], dtype=TERMS).view(np.recarray)


def maintenance_tiers(instruments: Sequence[Instrument], account: AccountTerms) -> Table:
    """Each coin's maintenance tiers, padded with its last; none are needed without margin.

    Raises `StudyError` for a leverage that a venue does not give, `NotComputable` where it has not told its tiers.
    """
    if account.margin == "none":
        return np.zeros((len(instruments), 0), TIER)
    most = max(len(_told(i, account).tiers) for i in instruments)
    return np.array(
        [
            [
                (t.maintenance_rate, t.maintenance_amount * UNITS, t.to_notional * UNITS, t.max_leverage)
                for t in (*i.tiers, *(i.tiers[-1:] * (most - len(i.tiers))))
            ]
            for i in instruments
        ],
        dtype=TIER,
    )


def fee_tiers(instruments: Sequence[Instrument], costs: Costs) -> Table:
    """Each coin's fees by volume, padded with its last; the costs' own unless they go by volume."""
    own = (FeeTier(maker_bps=costs.maker_bps, taker_bps=costs.taker_bps),)
    told = [
        tuple(sorted(i.fees, key=lambda tier: tier.from_volume)) if costs.by_volume else own
        for i in instruments
    ]
    most = max(len(tiers) for tiers in told)
    return np.array(
        [
            [
                (t.from_volume * UNITS, _fraction(t.maker_bps), _fraction(t.taker_bps))
                for t in (*tiers, *(tiers[-1:] * (most - len(tiers))))
            ]
            for tiers in told
        ],
        dtype=FEE,
    )


def account_of(terms: AccountTerms, interval: Interval, delay_rows: int = 0) -> Account:
    """Account terms as numbers, for bars of an interval."""
    return Account(
        mode=MODES[terms.margin],
        leverage=terms.leverage,
        execution=EXECUTIONS[terms.execution],
        window_rows=max(1, FEE_WINDOW // interval.ns),
        delay_rows=delay_rows,
    )


def rates(costs: Costs) -> Rates:
    """Read costs in basis points as fractions, to the nearest double."""
    return Rates(
        fee=_fraction(costs.taker_bps),
        slippage=_fraction(costs.slippage_bps),
        maker=_fraction(costs.maker_bps),
        liquidation=_fraction(costs.liquidation_bps),
        settlement=_fraction(costs.settlement_bps),
    )


def decimals(step: Decimal) -> int:
    """How many decimals a step needs.

    >>> decimals(Decimal("0.050")), decimals(Decimal("10"))
    (2, 0)
    """
    exponent = step.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _fraction(bps: float) -> float:
    return float(Decimal(str(bps)) / Decimal(10_000))


def _told(instrument: Instrument, account: AccountTerms) -> Instrument:
    """An instrument whose venue has told what margin needs."""
    if not instrument.tiers:
        raise NotComputable(
            f"The maintenance tiers of {instrument.symbol} are not on record, so nobody knows when it is liquidated.",
            remedy='Ask the venue with `longshort fetch`, or set trading.margin = "none".',
        )
    cap = instrument.max_leverage or max(tier.max_leverage for tier in instrument.tiers)
    if account.leverage > cap:
        raise StudyError(
            f"A leverage of {account.leverage:g} is above the {cap:g} that {instrument.symbol} has "
            f"on {instrument.venue}.",
            where="trading.leverage",
            remedy=f"Set it to {cap:g} or less.",
        )
    return instrument


def _numbers(instrument: Instrument) -> tuple[float, ...]:
    in_dollars = {instrument.settle[:3], instrument.quote[:3]} == {"USD"}
    paid_in = instrument.base if instrument.inverse else instrument.quote
    if instrument.settle != paid_in and (instrument.inverse or not in_dollars):
        raise NotComputable(
            f"{instrument.symbol} is quoted in {instrument.quote} and settles in {instrument.settle}, "
            "which is not modelled.",
            remedy="Use the linear contract of this coin.",
        )
    tick, lot, size = instrument.tick, instrument.lot, instrument.contract_size
    parts, units = Decimal(10) ** decimals(lot), Decimal(UNITS)
    unit = (lot * size / tick if instrument.inverse else tick * lot * size) * units
    numbers = (tick, tick.scaleb(RAW_DIGITS), lot * parts, parts, size)
    return tuple(float(n) for n in (*numbers, unit, instrument.min_notional * units))
