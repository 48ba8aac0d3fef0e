"""Trades built from fills: what each position earned, from the fill that opened it to the one that closed it.

A fill that turns a position ends one trade and begins another; its fee and slippage are shared by quantity. Every fee,
every slippage and every funding belongs to exactly one trade, so that their sums are the account's, open trades at
their last price included.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import nan
from typing import Any

import numpy as np
import polars as pl

from longshort.data.bars import Bars
from longshort.policy.contract import LIQUIDATION as BY_LIQUIDATION
from longshort.policy.contract import RAW, UNITS, Terms, contract_terms
from longshort.policy.ledger import BY_ORDER, CAUSES, Ledger

LIQUIDATION = CAUSES[BY_LIQUIDATION]
OPEN = "open"  # the cause of a trade that has not ended
AT_OPEN = frozenset(CAUSES[:BY_ORDER])  # these fills begin a bar; the others happen inside it or end it
MONEY = ("gross", "fees", "slippage", "funding", "liquidation", "insurance", "net")
NOTHING = 1e-9  # a position below this many contracts is rounding, not a position


@dataclass(slots=True, kw_only=True)
class _Trade:
    """One trade under way; rows are those of the ledger, money is in settlement units."""

    symbol: str
    side: str
    opened_at: Any
    closed_at: Any = None
    first_row: int
    last_row: int
    fills: int = 0
    quantity: float = 0.0
    bought: float = 0.0
    entry_worth: float = 0.0
    sold: float = 0.0
    exit_worth: float = 0.0
    realized: float = 0.0
    fees: float = 0.0
    slippage: float = 0.0
    funding: float = 0.0
    liquidation: float = 0.0
    insurance: float = 0.0
    cause: str = OPEN

    def row(self) -> dict[str, Any]:
        """The trade as a row of the table."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        inside = self.cause not in AT_OPEN
        gross = self.realized + self.slippage
        net = self.realized - self.fees - self.funding - self.liquidation + self.insurance
        return {name: plain[name] for name in ("symbol", "side", "opened_at", "closed_at")} | {
            "bars": self.last_row - self.first_row + int(inside),
            "fills": self.fills,
            "quantity": self.quantity,
            "entry": self.entry_worth / self.bought if self.bought else nan,
            "exit": self.exit_worth / self.sold if self.sold else nan,
            "gross": gross,
            **{name: plain[name] for name in MONEY[1:-1]},
            "net": net,
            "cause": self.cause,
        }


SCHEMA = {
    "symbol": pl.String,
    "side": pl.String,
    "opened_at": pl.Datetime("ms", "UTC"),
    "closed_at": pl.Datetime("ms", "UTC"),
    "bars": pl.Int64,
    "fills": pl.Int64,
    "quantity": pl.Float64,
    "entry": pl.Float64,
    "exit": pl.Float64,
    **dict.fromkeys(MONEY, pl.Float64),
    "cause": pl.String,
}


def trades_of(ledger: Ledger, bars: Bars) -> pl.DataFrame:
    """Every trade of an account on the bars that it was booked on, in the order in which they began.

    `gross` is what prices brought before slippage, `net = gross - slippage - fees - funding - liquidation + insurance`;
    entry and exit are average prices (of inverse contracts harmonic ones), `bars` how many it was held. An open trade
    has no `closed_at`, is valued at the last price, and its cause is `open`.
    """
    trades = [trade for asset in range(len(bars.symbols)) for trade in _of_coin(ledger, bars, asset)]
    table = pl.DataFrame([trade.row() for trade in trades], schema=SCHEMA)
    return table.sort("opened_at", "symbol", maintain_order=True)


def fill_rows(ledger: Ledger) -> np.ndarray:
    """The row of each fill's bar: the one after the close that decided it."""
    decided_at = ledger.fills["decided_at"].dt.epoch("ns").to_numpy()
    return np.searchsorted(ledger.closed_at, decided_at) + 1


def _of_coin(ledger: Ledger, bars: Bars, asset: int) -> Iterator[_Trade]:
    """The trades of one coin, funding and insurance shared out."""
    symbol, rows = bars.symbols[asset], fill_rows(ledger)
    mine = (ledger.fills["symbol"] == symbol).to_numpy()
    fills = ledger.fills.filter(mine).to_dicts()
    trades = list(_chained(fills, rows[mine].tolist(), inverse=bars.instruments[asset].inverse))
    paid, covered = ledger.funding[:, asset], _grid(ledger.insurance, ledger)[:, asset]
    for row in np.flatnonzero(paid):
        _holder(trades, int(row)).funding += float(paid[row])
    for row in np.flatnonzero(covered):
        _ended(trades, int(row)).insurance += float(covered[row])
    if trades and trades[-1].cause == OPEN:
        trades[-1].last_row = len(ledger.closed_at) - 1
        trades[-1].realized += _unrealized(fills, bars, asset)
    yield from trades


def _chained(fills: list[dict[str, Any]], rows: list[int], *, inverse: bool) -> Iterator[_Trade]:
    """One trade after the other, from flat to flat or to the other side."""
    trade: _Trade | None = None
    for fill, row in zip(fills, rows, strict=True):
        before, share = fill["position"] - fill["quantity"], 1.0
        if trade is not None and abs(before) > NOTHING and before * fill["quantity"] < 0.0:
            share = min(1.0, abs(before) / abs(fill["quantity"]))
            _exit(trade, fill, share, inverse=inverse)
            if abs(fill["position"]) < NOTHING or share < 1.0:
                trade.closed_at, trade.last_row, trade.cause = fill["filled_at"], row, fill["cause"]
                yield trade
                trade = None
            if share == 1.0:
                continue
            share = 1.0 - share
        if trade is None:
            side = "long" if fill["quantity"] > 0.0 else "short"
            trade = _Trade(
                symbol=fill["symbol"], side=side, opened_at=fill["filled_at"], first_row=row, last_row=row
            )
        _enter(trade, fill, share, inverse=inverse)
    if trade is not None:
        yield trade


def _enter(trade: _Trade, fill: dict[str, Any], share: float, *, inverse: bool) -> None:
    size = abs(fill["quantity"]) * share
    trade.bought += size / fill["price"] if inverse else size
    trade.entry_worth += size if inverse else size * fill["price"]
    _pay(trade, fill, share)
    trade.quantity = max(trade.quantity, abs(fill["position"]))


def _exit(trade: _Trade, fill: dict[str, Any], share: float, *, inverse: bool) -> None:
    size = abs(fill["quantity"]) * share
    trade.sold += size / fill["price"] if inverse else size
    trade.exit_worth += size if inverse else size * fill["price"]
    trade.realized += fill["realized"]  # only what closes realizes
    _pay(trade, fill, share)


def _pay(trade: _Trade, fill: dict[str, Any], share: float) -> None:
    trade.fills += 1
    trade.slippage += fill["slippage"] * share
    if fill["cause"] == LIQUIDATION:
        trade.liquidation += fill["fee"] * share
    else:
        trade.fees += fill["fee"] * share


def _holder(trades: list[_Trade], row: int) -> _Trade:
    """The trade that was open when the row closed."""
    return next(t for t in reversed(trades) if t.first_row <= row and (t.cause == OPEN or t.last_row >= row))


def _ended(trades: list[_Trade], row: int) -> _Trade:
    """The trade whose loss others shared: the first that a fill of this row made smaller."""
    return next(t for t in trades if t.first_row <= row and (t.cause == OPEN or t.last_row >= row))


def _unrealized(fills: list[dict[str, Any]], bars: Bars, asset: int) -> float:
    """What an open position has gained, by the arithmetic of the ledger itself."""
    from longshort.policy import booking

    (terms,) = contract_terms(bars.instruments[asset : asset + 1])
    entry = lots = 0.0
    for fill in fills:
        order, ticks = _lots(fill["quantity"], terms), round(fill["price"] * RAW / terms["raw_tick"])
        entry = booking.entry_after(lots, entry, order, float(ticks), terms)
        lots += order
    (there,) = np.nonzero(bars.present[:, asset])
    mark = booking.price_ticks(float(bars.close[there[-1], asset]), terms)
    return float(booking.unrealized_units(lots, entry, mark, terms)) / UNITS


def _lots(quantity: float, terms: Terms) -> float:
    return float(round(quantity * terms["lot_parts"] / terms["lot_step"]))


def _grid(values: np.ndarray, ledger: Ledger) -> np.ndarray:
    """The column of an account that may lack it."""
    return values if values.size else np.zeros_like(ledger.quantity)
