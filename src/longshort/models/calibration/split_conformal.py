"""Split conformal intervals, the yardstick that does not adapt: right while nothing changes, and wrong ever after."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float64

from longshort.models.calibration.adaptation import (
    MOST,
    Alpha,
    Bars,
    Clips,
    Known,
    Multiples,
    State,
    alpha_of,
    bars_of,
    room_for,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """Split conformal: a quantile of the scores of the first rows, then frozen; multiples are 1 until then.

    The quantile is the ceil((n + 1) level)-th smallest of n scores (Vovk et al. 2005), n counting rows x coins.
    """

    rows: int = 720

    def start(self, horizons: tuple[int, ...], levels: tuple[float, ...], coins: int) -> "StaticTracker":
        """Nothing is known yet."""
        shape = (len(levels), len(horizons))
        state = {
            "row": np.zeros(1, dtype=np.int64),
            "rows": np.zeros(len(horizons), dtype=np.int64),
            "gathered": np.full((*shape, self.rows, coins), np.nan),
            "multiple": np.ones(shape),
        }
        return StaticTracker(self, bars_of(horizons), alpha_of(levels), state)


@dataclass(slots=True)
class StaticTracker:
    """Scores gathered until there are enough, then one multiple for ever."""

    rule: Static
    bars: Bars
    alpha: Alpha
    state: State

    def run(self, known: Known) -> tuple[Multiples, Clips]:
        """Gather, and freeze each horizon when its rows are full."""
        multiple, rows = room_for(known)[0], self.state["rows"]
        for t in range(len(known)):
            if (rows >= self.rule.rows).all():
                multiple[:, t:] = self.state["multiple"][:, None]
                break
            self._gather(known[t], int(self.state["row"][0]) + t)
            multiple[:, t] = self.state["multiple"]
        self.state["row"] += len(known)
        return multiple, (multiple >= MOST) | (multiple <= 1.0 / MOST)

    def _gather(self, score: Float64[np.ndarray, "level asset horizon"], row: int) -> None:
        rows, gathered = self.state["rows"], self.state["gathered"]
        for k in np.flatnonzero(
            ~np.isnan(score).all(axis=(0, 1)) & (rows < self.rule.rows) & (row >= self.bars)
        ):
            gathered[:, k, rows[k]] = score[:, :, k]
            rows[k] += 1
            if rows[k] == self.rule.rows:
                found = [
                    split_quantile(gathered[n, k].ravel(), 1.0 - a) for n, a in enumerate(self.alpha.tolist())
                ]
                self.state["multiple"][:, k] = np.clip(found, 1.0 / MOST, MOST)


def split_quantile(score: Float64[np.ndarray, " score"], level: float) -> float:
    """The ceil((n + 1) level)-th smallest score; infinite where there are too few of them.

    >>> split_quantile(np.array([5.0, 1.0, 3.0, 2.0, 4.0, np.nan]), 0.8), split_quantile(np.arange(5.0), 0.9)
    (5.0, inf)
    """
    known = np.sort(score[~np.isnan(score)])
    rank = ceil((len(known) + 1) * level - 1e-9)  # 10 x .9 is 9, whatever floats say
    return float(known[rank - 1]) if rank <= len(known) else float("inf")
