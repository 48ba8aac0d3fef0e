"""How coins move together: an exponentially weighted correlation of scaled returns, the same from wherever one began.

It restarts at absolute multiples of `restart_rows` grid rows, in two staggered states of which the older is read, as a
network's memory does: with `context_rows` rows seen, nothing depends on where they began.
"""

import math

import numpy as np
from jaxtyping import Float64

HALFLIVES = 4  # in a block: of an endless past all but a sixteenth is counted
LEAST_WEIGHT = 0.5  # of the whole, that a pair must have been there together

Square = Float64[np.ndarray, "asset asset"]


class Comovement:
    """Feed it the scaled returns of every row, once and in order."""

    def __init__(self, coins: int, halflife_rows: float) -> None:
        self.restart_rows = math.ceil(HALFLIVES * halflife_rows)
        self._decay = 0.5 ** (1.0 / halflife_rows)
        self._coins = coins
        self._block = -2
        self._older: Float64[np.ndarray, "3 asset asset"] | None = None
        self._younger: Float64[np.ndarray, "3 asset asset"] | None = None

    @property
    def context_rows(self) -> int:
        """How many rows make what is said independent of where they begin."""
        return 2 * self.restart_rows

    def see(self, grid_row: int, scaled: Float64[np.ndarray, " asset"]) -> None:
        """Take in one row: returns over their causal volatility, NaN where there is none."""
        block, into = divmod(grid_row, self.restart_rows)
        if block != self._block:
            follows = block == self._block + 1
            self._older = self._younger if follows else None
            self._younger = np.zeros((3, self._coins, self._coins)) if into == 0 else None
            self._block = block
        there = np.isfinite(scaled)
        value = np.where(there, scaled, 0.0)
        both = np.outer(there, there).astype(np.float64)
        row = np.stack([np.outer(value, value), (value * value)[:, None] * both, both])
        for sums in (self._older, self._younger):
            if sums is not None:
                sums[:] = self._decay * sums + row

    def correlation(self) -> Square:
        """Per pair, from the rows on which both were there; NaN where they were too few."""
        if self._older is None:
            return np.full((self._coins, self._coins), np.nan)
        products, squares, weight = self._older
        scale = np.sqrt(squares * squares.T)
        stands = (weight * (1.0 - self._decay) >= LEAST_WEIGHT) & (scale > 0.0)
        return np.where(stands, np.clip(products / np.where(stands, scale, 1.0), -1.0, 1.0), np.nan)
