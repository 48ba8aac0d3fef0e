"""Tables laid out from columns, and columns read back from tables, in one pass over the rows.

A table has its fields side by side, as booking reads them; numpy would go through all of it once for every field.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int8

from longshort.policy.booking.compiled import compiled
from longshort.policy.contract import UNITS, Table

PerCoin = Float64[np.ndarray, "time asset"]
Mask = Bool[np.ndarray, "time asset"]


class Cells(NamedTuple):
    """The fields of `CELL`, each on its own."""

    open: PerCoin
    close: PerCoin
    mark: PerCoin
    funding_rate: PerCoin
    target: PerCoin
    present: Mask
    listed: Mask
    funding_covered: Mask
    settles: Mask


class Moves(NamedTuple):
    """The fields of `INSIDE`, each on its own; NaN marks where none is on record."""

    high: PerCoin
    low: PerCoin
    mark_high: PerCoin
    mark_low: PerCoin
    stop: PerCoin
    take: PerCoin
    impact: PerCoin


class Paid(NamedTuple):
    """The fields of `ENTRY`, each on its own: contracts, settlement units, and why a wish lapsed."""

    quantity: PerCoin
    fees: PerCoin
    slippage: PerCoin
    funding: PerCoin
    liquidation: PerCoin
    insurance: PerCoin
    lapsed: Int8[np.ndarray, "time asset"]


@compiled
def lay_cells(cells: Cells, market: Table) -> None:
    """Fill in a `CELL` table."""
    for row in range(len(market)):
        for asset in range(market.shape[1]):
            cell = market[row, asset]
            cell.open, cell.close = cells.open[row, asset], cells.close[row, asset]
            cell.mark, cell.funding_rate = cells.mark[row, asset], cells.funding_rate[row, asset]
            cell.target = cells.target[row, asset]
            cell.present, cell.listed = cells.present[row, asset], cells.listed[row, asset]
            cell.funding_covered = cells.funding_covered[row, asset]
            cell.settles = cells.settles[row, asset]


@compiled
def lay_moves(moves: Moves, inside: Table) -> None:
    """Fill in an `INSIDE` table, with last prices for the marks that are not on record."""
    for row in range(len(inside)):
        for asset in range(inside.shape[1]):
            bar, high, low = inside[row, asset], moves.mark_high[row, asset], moves.mark_low[row, asset]
            bar.high, bar.low = moves.high[row, asset], moves.low[row, asset]
            bar.mark_high = bar.high if np.isnan(high) else high
            bar.mark_low = bar.low if np.isnan(low) else low
            bar.stop, bar.take = moves.stop[row, asset], moves.take[row, asset]
            bar.impact = moves.impact[row, asset]


@compiled
def read_entries(entries: Table, terms: Table, paid: Paid) -> None:
    """Read an `ENTRY` table into columns of zeros; most entries have nothing in most of them."""
    for row in range(len(entries)):
        for asset in range(entries.shape[1]):
            entry = entries[row, asset]
            paid.quantity[row, asset] = entry.lots * terms[asset].lot_step / terms[asset].lot_parts
            paid.funding[row, asset] = entry.funding / UNITS
            if entry.fees != 0.0 or entry.slippage != 0.0:
                paid.fees[row, asset] = entry.fees / UNITS
                paid.slippage[row, asset] = entry.slippage / UNITS
            if entry.liquidation != 0.0 or entry.insurance != 0.0:
                paid.liquidation[row, asset] = entry.liquidation / UNITS
                paid.insurance[row, asset] = entry.insurance / UNITS
            if entry.lapsed:
                paid.lapsed[row, asset] = entry.lapsed
