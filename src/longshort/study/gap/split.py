"""Why a session booked other money than the backtest of the same closes: seven causes whose sum is all of it.

One ingredient after the other is taken as the session had it instead of as the backtest would have had it, in the
order of `CAUSES`, and a cause gets what its step changes. What follows from a step (another size, because the account
is another) belongs to that step. Nothing here reads a journal or runs a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import DataError
from longshort.base.instrument import Costs
from longshort.data.bars import Bars
from longshort.policy.contract import UNITS, contract_terms
from longshort.policy.ledger import BY_ORDER, Ledger
from longshort.policy.ledger import CAUSES as FILLED_BY

CAUSES = ("data", "signal", "latency", "transfer", "fill", "fee", "funding")
MEANINGS = {  # with a number before them, a line of a terminal must hold them
    "data": "bars differ from the record, or came late",
    "signal": "decisions differ, or were lost",
    "latency": "decisions took too long to follow",
    "transfer": "money put in or taken out by hand",
    "fill": "fills at other prices, or of other sizes",
    "fee": "fees beyond the study's costs",
    "funding": "funding beyond the recorded rates",
}
PRICED = ("open", "high", "low", "close", "volume")
BPS = 1e4

PerBar = Float64[np.ndarray, " time"]
PerCoin = Float64[np.ndarray, "time asset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedFill:
    """A fill in the bar of a row: signed contracts, and the fee in settlement units (None: it is in the price)."""

    row: int
    asset: int
    quantity: float
    price: float
    notional: float
    fee: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What a session booked, close by close, all coins together.

    `funding` is what was paid at each close; NaN where it is not told apart from a liquidation: then it counts as what
    was due. `moved` is what a person put in by then since the close before, or took out (negative). Where `apart` is
    False, some closes do not tell the two apart, and both are in `funding`.
    """

    closed_at: Int64[np.ndarray, " time"]
    equity: PerBar
    quantity: PerCoin
    funding: PerBar
    fills: tuple[BookedFill, ...]
    moved: PerBar
    apart: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The six accounts between the record and the session, on the same closes.

    `executed`: the backtest, on the record and on the bars that the study lets orders fill on. `recorded`: the same on
    the bars that decide, as a session fills. `streamed`: the bars as they came, what is decided on
    them, funding from the record, and no decision where they came too late. `on_time`: the session's decisions, those
    that took too long as if they had not.
    `followed`: the session's decisions. `moved`: the same with what was put in and taken out by hand.
    """

    executed: Ledger
    recorded: Ledger
    streamed: Ledger
    on_time: Ledger
    followed: Ledger
    moved: Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One cause: the money that it brought, in settlement units, and how often it was seen."""

    cause: str
    money: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What a session booked and what the backtest books, in settlement units, and the parts of the difference.

    Where funding and transfers are not told `apart`, the part of funding has both.
    """

    closes: int
    starting_balance: float
    booked: float
    replayed: float
    parts: tuple[Part, ...]
    apart: bool = True

    @property
    def total(self) -> float:
        """What was booked beyond the backtest."""
        return self.booked - self.replayed

    def bps(self, money: float) -> float:
        """Money in basis points of the starting balance."""
        return money / self.starting_balance * BPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How often the causes were seen that no account shows: cells of bars, decisions."""

    data: int = 0
    signal: int = 0
    latency: int = 0


def split(accounts: Accounts, booked: Booked, bars: Bars, costs: Costs, counts: Counts) -> Gap:
    """Split the difference; `bars` are those as they came, with the funding of the record.

    The parts sum to the whole difference up to rounding of doubles; raise `DataError` where the accounts and the
    session do not have the same closes.
    """
    steps = [
        accounts.executed,
        accounts.recorded,
        accounts.streamed,
        accounts.on_time,
        accounts.followed,
        accounts.moved,
    ]
    if any(not np.array_equal(one.closed_at, booked.closed_at) for one in steps):
        raise DataError(
            "the session and its replay do not have the same closes.",
            remedy="Fetch the bars of the session with `longshort fetch`.",
        )
    ends = [float(ledger.equity[-1]) for ledger in steps]
    more_fees = _more_fees(accounts.moved, booked.fills, costs)
    more_funding = np.nan_to_num(booked.funding - funding_due(bars, booked.quantity))
    fee, funding = 0.0 - fsum(more_fees), 0.0 - fsum(more_funding)  # never a negative nothing
    coarser, *between = [after - before for before, after in pairwise(ends)]
    fill = coarser + float(booked.equity[-1]) - ends[-1] - fee - funding
    money = dict(zip(CAUSES, (*between, fill, fee, funding), strict=True))
    seen = {
        "data": counts.data,
        "signal": counts.signal,
        "latency": counts.latency,
        "transfer": int((np.abs(booked.moved) >= 1.0 / UNITS).sum()),
        "fill": _differing_fills(accounts.moved, booked.fills)
        + _differing_fills(accounts.executed, list(_fills(accounts.recorded))),
        "fee": sum(more != 0.0 for more in more_fees),
        "funding": int((np.abs(more_funding) >= 1.0 / UNITS).sum()),
    }
    return Gap(
        closes=len(booked.closed_at),
        starting_balance=accounts.recorded.starting_balance,
        booked=float(booked.equity[-1]),
        replayed=ends[0],
        parts=tuple(Part(cause=cause, money=money[cause], count=seen[cause]) for cause in CAUSES),
        apart=booked.apart,
    )


def funding_due(bars: Bars, quantity: PerCoin) -> PerBar:
    """The funding that positions at the closes owe by the rates of the bars, all coins together.

    At the mark price, and at the last close where none is on record, as the ledger does.
    """
    from longshort.policy import booking

    terms, due = contract_terms(bars.instruments), np.zeros(len(bars))
    mark = np.where(np.isnan(bars.mark_close), _last_known(bars.close), bars.mark_close)
    owing = (quantity != 0.0) & ~np.isnan(bars.funding_rate) & (bars.funding_rate != 0.0)
    for row, asset in np.argwhere(owing).tolist():
        coin = terms[asset]
        lots = float(round(quantity[row, asset] * coin["lot_parts"] / coin["lot_step"]))
        ticks = booking.price_ticks(float(mark[row, asset]), coin)
        due[row] += booking.funding_units(lots, ticks, float(bars.funding_rate[row, asset]), coin) / UNITS
    return due


def booked_of(ledger: Ledger) -> Booked:
    """An account of the ledger as a session would have booked it."""
    return Booked(
        closed_at=ledger.closed_at,
        equity=ledger.equity,
        quantity=ledger.quantity,
        funding=ledger.funding.sum(axis=1),
        fills=tuple(_fills(ledger)),
        moved=np.zeros(len(ledger.closed_at)),
    )


def differing_cells(recorded: Bars, streamed: Bars) -> int:
    """How many bars of a coin are not the same in two stretches of the same closes."""
    cells = recorded.present != streamed.present
    for name in PRICED:
        mine, theirs = getattr(recorded, name), getattr(streamed, name)
        cells |= (mine != theirs) & ~(np.isnan(mine) & np.isnan(theirs))
    return int(cells.sum())


def _more_fees(followed: Ledger, fills: Sequence[BookedFill], costs: Costs) -> list[float]:
    """What each fill paid beyond what the account that followed the same decisions pays for the like of it."""
    known = _by_place(list(_fills(followed)))
    more: list[float] = []
    for place, fill in _by_place(fills).items():
        like = known.get(place)
        if fill.fee is None or (like is not None and (like.notional, like.fee) == (fill.notional, fill.fee)):
            more.append(0.0)
            continue
        rate = (
            like.fee / like.notional
            if like and like.fee is not None and like.notional
            else costs.taker_bps / BPS
        )
        beyond = fill.fee - rate * fill.notional
        more.append(beyond if abs(beyond) > 1.0 / UNITS else 0.0)  # both are rounded to the unit
    return more


def _differing_fills(followed: Ledger, fills: Sequence[BookedFill]) -> int:
    mine, theirs = _by_place(fills), _by_place(list(_fills(followed)))
    both = [(mine[place], theirs[place]) for place in mine.keys() & theirs.keys()]
    moved = sum((a.price, a.quantity) != (b.price, b.quantity) for a, b in both)
    return moved + len(mine.keys() ^ theirs.keys())


def _by_place(fills: Sequence[BookedFill]) -> dict[tuple[int, int, int], BookedFill]:
    """Fills by bar, coin and number among those."""
    found: dict[tuple[int, int, int], BookedFill] = {}
    for fill in fills:
        number = 0
        while (fill.row, fill.asset, number) in found:
            number += 1
        found[fill.row, fill.asset, number] = fill
    return found


def _fills(ledger: Ledger) -> list[BookedFill]:
    """The fills of an account: those of orders in the bar under way then, all others in the one that closes."""
    columns = {symbol: asset for asset, symbol in enumerate(ledger.symbols)}
    filled_at = ledger.fills["filled_at"].dt.epoch("ns").to_numpy()
    ordered = ledger.fills["cause"].is_in(FILLED_BY[:BY_ORDER]).to_numpy()
    opens, closes = (np.searchsorted(ledger.closed_at, filled_at, side=side) for side in ("right", "left"))
    rows = np.where(ordered, opens, closes).tolist()
    return [
        BookedFill(
            row=row,
            asset=columns[fill["symbol"]],
            quantity=fill["quantity"],
            price=fill["price"],
            notional=fill["notional"],
            fee=None if fill["cause"] == "liquidation" else fill["fee"],
        )
        for row, fill in zip(rows, ledger.fills.to_dicts(), strict=True)
    ]


def _last_known(close: PerCoin) -> PerCoin:
    rows = np.where(np.isnan(close), 0, np.arange(len(close))[:, None])
    return np.take_along_axis(close, np.maximum.accumulate(rows, axis=0), axis=0)
