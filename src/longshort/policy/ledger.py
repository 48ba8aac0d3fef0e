"""The money ledger: what a list of wishes would have earned, open to open, after every cost."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

PerCoin = Float64[np.ndarray, "time asset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """An account, bar by bar, in settlement units; row t is the state at `closed_at[t]`, funding of that close booked.

    `fees`, `slippage` and `funding` are what was paid in the bar that ends at that close (positive: paid), `quantity`
    is signed contracts. `fills` has one row per fill:
    `decided_at, filled_at, symbol, quantity (signed), price, fee, slippage, realized`.
    """

    closed_at: Int64[np.ndarray, " time"]
    symbols: tuple[str, ...]
    starting_balance: float
    cash: Float64[np.ndarray, " time"]
    equity: Float64[np.ndarray, " time"]
    quantity: PerCoin
    fees: PerCoin
    slippage: PerCoin
    funding: PerCoin
    fills: pl.DataFrame
