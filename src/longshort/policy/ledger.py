"""The money ledger: what a list of wishes would have earned, open to open, after every cost.

A wish formed at a close is sized with the equity of that close, funding settled there already booked, and fills at
the next row's open, or the first one after the latency; where the coin has no bar then, or none at the close, it
lapses. An absent bar is valued at the last close; funding is paid at the mark price, at the last close where none is
on record. What expires or is listed no more is settled and pays no more funding. Without margin (`AccountTerms`)
there is no liquidation: an account without equity is flat at its next wish. The order of events inside a bar is that
of `booking.history.book`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import polars as pl
from jaxtyping import Float64, Int8, Int64

from longshort.base.clock import format_instant
from longshort.base.errors import DataError, NotComputable, StudyError
from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.data.grid import MILLISECOND
from longshort.data.lake import INSTANT
from longshort.policy.contract import (
    BALANCE,
    ENTRY,
    FILL,
    RAW,
    UNITS,
    Books,
    Desk,
    Table,
    contract_terms,
)
from longshort.policy.desk import open_desk
from longshort.policy.exposure import Exposure

PerCoin = Float64[np.ndarray, "time asset"]
PerBar = Float64[np.ndarray, " time"]
LAPSES = (  # by `NO_BAR` and so on
    "",
    "no bar at this close",
    "no bar to fill in",
    "not enough margin",
    "above the size that the venue allows at this leverage",
    "liquidated before",
    "the price did not trade through the order",
    "no volume on record to size the slippage",
)
CAUSES = ("order", "maker", "stop", "take", "liquidation", "expiry", "delisting")  # by `ORDER` and so on
NO_MARGIN = AccountTerms()
BY_ORDER = 2  # causes before this one fill an order, at the open; the others happen by the close


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was paid over the whole span, in settlement units; negative funding was received.

    `liquidation` are the fees of liquidations, `insurance` is what others paid of losses beyond the margin.
    """

    fees: float
    slippage: float
    funding: float
    liquidation: float = 0.0
    insurance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """An account, bar by bar, in settlement units; row t is the state at `closed_at[t]`, its funding booked.

    `fees`, `slippage`, `funding` and `liquidation` (fees) are what was paid in the bar that ends at that close
    (positive: paid), `insurance` is what others paid of a loss beyond the margin, `quantity` is signed contracts.
    `fills` has one row per fill: `decided_at, filled_at, symbol, quantity (signed), price, notional, fee, slippage,
    realized, position, cash, cause`, position and cash right after the fill; what no order asked for (`CAUSES`) is
    dated at the bar's close. `lapsed` has one row per wish that could not be followed: `decided_at, symbol, reason`.
    """

    closed_at: Int64[np.ndarray, " time"]
    symbols: tuple[str, ...]
    starting_balance: float
    cash: PerBar
    equity: PerBar
    quantity: PerCoin
    fees: PerCoin
    slippage: PerCoin
    funding: PerCoin
    fills: pl.DataFrame
    lapsed: pl.DataFrame = field(default_factory=pl.DataFrame)
    liquidation: PerCoin = field(default_factory=lambda: np.zeros((0, 0)))
    insurance: PerCoin = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def returns(self) -> PerBar:
        """The net return of equity per bar; NaN once there was no equity left to earn on."""
        before = self._equity_before
        return np.divide(self.equity - before, before, out=np.full_like(before, np.nan), where=before > 0)

    @property
    def turnover(self) -> PerBar:
        """The notional traded per bar, as a multiple of the equity at the close that decided it."""
        before = self._equity_before
        traded = np.zeros_like(before)
        decided_at = self.fills["decided_at"].dt.timestamp("ms").to_numpy() * 1_000_000
        np.add.at(traded, np.searchsorted(self.closed_at, decided_at) + 1, self.fills["notional"].to_numpy())
        return np.divide(traded, before, out=np.full_like(before, np.nan), where=before > 0)

    @property
    def trades(self) -> int:
        """The number of fills."""
        return len(self.fills)

    @property
    def totals(self) -> Totals:
        """What was paid over the whole span."""
        return Totals(
            fees=float(self.fees.sum()),
            slippage=float(self.slippage.sum()),
            funding=float(self.funding.sum()),
            liquidation=float(self.liquidation.sum()),
            insurance=float(self.insurance.sum()),
        )

    @property
    def _equity_before(self) -> PerBar:
        return np.concatenate([[self.starting_balance], self.equity[:-1]])

    def to_polars(self) -> pl.DataFrame:
        """One row per close: the account, what the bar cost over all coins, and the quantity of each coin."""
        columns = {
            "closed_at": _instants(self.closed_at),
            "cash": self.cash,
            "equity": self.equity,
            "returns": self.returns,
            "turnover": self.turnover,
            "fees": self.fees.sum(axis=1),
            "slippage": self.slippage.sum(axis=1),
            "funding": self.funding.sum(axis=1),
        }
        return pl.DataFrame(columns | {s: self.quantity[:, a] for a, s in enumerate(self.symbols)})

    def _repr_html_(self) -> str:
        paid = self.totals
        rows = {
            "starting balance": self.starting_balance,
            "equity": float(self.equity[-1]) if len(self.equity) else self.starting_balance,
            "fees paid": paid.fees,
            "slippage paid": paid.slippage,
            "funding paid": paid.funding,
        }
        cells = "".join(f"<tr><td>{name}</td><td>{value:,.2f}</td></tr>" for name, value in rows.items())
        coins = escape(", ".join(self.symbols))
        return f"<table><caption>{coins}: {self.trades:,} fills</caption>{cells}</table>"


def run_ledger(
    bars: Bars,
    exposure: Exposure,
    costs: Costs,
    *,
    starting_balance: float = 100_000.0,
    lots: bool = True,
    account: AccountTerms = NO_MARGIN,
) -> Ledger:
    """Book wishes on a market; with `lots` in whole lots and ticks and to 1e-8, exactly as the backtest does.

    Raises `NotComputable` where a position meets a row whose funding is unknown: profit is not guessed. Raises
    `StudyError` for a leverage that a venue does not give.
    """
    from longshort.policy.booking import book

    checked_wishes(exposure, bars)
    desk = open_desk(bars, costs, account, starting_balance, exposure=exposure, lots=lots)
    books = blank_books(desk, orders=int(np.isfinite(exposure.target).sum()))
    row, asset = book(desk, books)
    if row >= 0:
        raise unknown_funding(bars.symbols[asset], int(bars.closed_at[row]))
    made = int(desk.purse["fills"][0])
    return ledger_from(books._replace(fills=books.fills[:made]), bars, starting_balance)


def blank_books(desk: Desk, *, orders: int) -> Books:
    """Books with room for a market and for so many orders: each may be filled, and what it opened be closed once."""
    return Books(
        balances=np.zeros(len(desk.market), BALANCE),
        entries=np.zeros(desk.market.shape, ENTRY),
        fills=np.zeros(2 * orders, FILL),
    )


def checked_wishes(exposure: Exposure, bars: Bars) -> PerCoin:
    """The targets of an exposure that fits the bars; raise where it does not, or where a wish is infinite."""
    if exposure.symbols != bars.symbols or not np.array_equal(exposure.closed_at, bars.closed_at):
        raise DataError(
            "The exposure and the bars do not have the same coins and closes.",
            remedy="Form the exposure on the very bars that it is booked on.",
        )
    if np.isinf(exposure.target).any():
        row, asset = (int(i) for i in np.argwhere(np.isinf(exposure.target))[0])
        raise infinite_wish(bars.symbols[asset], int(bars.closed_at[row]))
    return exposure.target


def infinite_wish(symbol: str, closed_at: int) -> StudyError:
    """The error for a wish that no account could follow."""
    return StudyError(
        f"The wish at the close of {format_instant(closed_at)} is infinite.",
        where=symbol,
        remedy="Cap the exposure in [policy].",
    )


def unknown_funding(symbol: str, closed_at: int) -> NotComputable:
    """The error for a position held where the funding record has a hole."""
    return NotComputable(
        f"Profit is not computed: a position is open at {format_instant(closed_at)}, its funding unknown.",
        where=symbol,
        remedy=f"Import the funding rates of {symbol} with `longshort import`.",
    )


def ledger_from(books: Books, bars: Bars, starting_balance: float) -> Ledger:
    """Turn books in lots and money units into a ledger in contracts and settlement units."""
    from longshort.policy.booking.tables import Paid, read_entries

    entries = books.entries
    columns = (np.zeros(entries.shape) for _ in Paid._fields[:-1])
    paid = Paid(*columns, lapsed=np.zeros(entries.shape, np.int8))
    read_entries(entries, contract_terms(bars.instruments), paid)
    return Ledger(
        closed_at=bars.closed_at,
        symbols=bars.symbols,
        starting_balance=starting_balance,
        cash=books.balances["cash"] / UNITS,
        equity=books.balances["equity"] / UNITS,
        quantity=paid.quantity,
        fees=paid.fees,
        slippage=paid.slippage,
        funding=paid.funding,
        liquidation=paid.liquidation,
        insurance=paid.insurance,
        fills=_fill_frame(books.fills, bars),
        lapsed=_lapse_frame(paid.lapsed, bars),
    )


def _fill_frame(fills: Table, bars: Bars) -> pl.DataFrame:
    row, asset, cause = fills["row"], fills["asset"], fills["cause"]
    terms = contract_terms(bars.instruments)
    step, parts, unit = (terms[name][asset] for name in ("lot_step", "lot_parts", "unit"))
    order, ticks = np.ascontiguousarray(fills["order"]), np.ascontiguousarray(fills["ticks"])
    worth = np.where(terms["inverse"][asset], unit / ticks, ticks * unit)
    return pl.DataFrame(
        {
            "decided_at": _instants(bars.closed_at[fills["decided"]]),
            "filled_at": _instants(np.where(cause < BY_ORDER, bars.opened_at[row], bars.closed_at[row])),
            "symbol": _names(bars.symbols, asset),
            "quantity": order * step / parts,
            "price": ticks * terms["raw_tick"][asset] / RAW,
            "notional": np.abs(order) * worth / UNITS,
            "fee": fills["fee"] / UNITS,
            "slippage": fills["slippage"] / UNITS,
            "realized": fills["realized"] / UNITS,
            "position": fills["position"] * step / parts,
            "cash": fills["cash"] / UNITS,
            "cause": _names(CAUSES, cause),
        }
    )


def _lapse_frame(lapsed: Int8[np.ndarray, "time asset"], bars: Bars) -> pl.DataFrame:
    row, asset = np.divmod(np.flatnonzero(lapsed), len(bars.symbols))
    return pl.DataFrame(
        {
            "decided_at": _instants(bars.closed_at[row]),
            "symbol": _names(bars.symbols, asset),
            "reason": _names(LAPSES, lapsed[row, asset].astype(np.int64)),
        }
    )


def _names(names: Sequence[str], which: Int64[np.ndarray, " row"]) -> pl.Series:
    return pl.Series(values=names, dtype=pl.String).gather(which)


def _instants(at: Int64[np.ndarray, " row"]) -> pl.Series:
    return pl.Series(values=at // MILLISECOND).cast(INSTANT)
