"""Would the best of many tries have stayed the best? The probability of backtest overfitting.

Bailey, Borwein, Lopez de Prado and Zhu (2015), "The probability of backtest overfitting", by combinatorially
symmetric cross-validation: the record is cut into an even number of blocks; every half of them picks its best
try by Sharpe ratio, the other half ranks that pick. The tries are all that were made: a pick among the best of
them proves nothing.

Conventions that move the number: ranks run from 1 (worst) to N, ties share their mean rank; a pick at the very
middle (logit 0, which only an odd N or a tie has) counts as overfitted, as in the paper's integral up to 0, so
that pure noise gives about `(N + 1) / 2N` with odd N. Equal bests are picked first come. A try that never
varies has Sharpe ratio 0. Blocks differ by one row at most where the rows do not divide: no row is dropped.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.errors import NotComputable

BLOCKS = 16
LEAST_BLOCK_ROWS = 12

Ratios = Float64[np.ndarray, "split trial"]
PerSplit = Float64[np.ndarray, " split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfit:
    """What every split's pick was worth on its other half.

    `probability` is PBO: the share of picks that the other half ranks at or below the middle. `inside` and
    `outside` are the pick's Sharpe ratios per row on either half, `slope` that of the line through them
    (positive: what was better stays better), `loss_probability` the share of picks that lose on the other half.
    """

    probability: float
    logits: PerSplit
    inside: PerSplit
    outside: PerSplit
    slope: float
    loss_probability: float
    blocks: int
    trials: int


def blocks_for(rows: int) -> int:
    """How many blocks a record can be cut into: `BLOCKS`, or fewer, so that each has `LEAST_BLOCK_ROWS` rows.

    >>> blocks_for(1_000), blocks_for(100), blocks_for(10)
    (16, 8, 0)
    """
    return min(BLOCKS, rows // LEAST_BLOCK_ROWS // 2 * 2)


def overfitting(returns: Float64[np.ndarray, "time trial"], *, blocks: int | None = None) -> Overfit:
    """PBO over the returns of all tries, on the same rows; raises `NotComputable` below 2 tries or 4 blocks.

    >>> noise = np.random.default_rng(0).normal(size=(480, 10))
    >>> found = overfitting(noise)
    >>> len(found.logits), found.blocks
    (12870, 16)
    """
    rows, trials = returns.shape
    blocks = blocks_for(rows) if blocks is None else blocks
    if trials < 2 or blocks < 4 or blocks % 2 or rows < 2 * blocks:
        raise NotComputable(
            f"Overfitting cannot be told from {trials} tries on {rows} rows in {blocks} blocks.",
            remedy=f"It takes 2 tries and an even number of blocks, 4 or more, of 2 rows (usually {LEAST_BLOCK_ROWS}).",
        )
    chosen = halves(blocks)
    inside, outside = _ratios(returns, chosen), _ratios(returns, ~chosen)
    split, pick = np.arange(len(chosen)), inside.argmax(axis=1)
    inside_of_pick, outside_of_pick = inside[split, pick], outside[split, pick]
    share = _rank(outside, outside_of_pick) / (trials + 1.0)
    logits = np.log(share / (1.0 - share))
    return Overfit(
        probability=float((logits <= 1e-12).mean()),
        logits=logits,
        inside=inside_of_pick,
        outside=outside_of_pick,
        slope=_slope(inside_of_pick, outside_of_pick),
        loss_probability=float((outside_of_pick < 0.0).mean()),
        blocks=blocks,
        trials=trials,
    )


def halves(blocks: int) -> Bool[np.ndarray, "split block"]:
    """Every way to choose half of the blocks.

    >>> halves(4).sum(axis=1).tolist()
    [2, 2, 2, 2, 2, 2]
    """
    picked = np.array(list(combinations(range(blocks), blocks // 2)))
    chosen = np.zeros((len(picked), blocks), dtype=np.bool_)
    np.put_along_axis(chosen, picked, values=True, axis=1)
    return chosen


def _ratios(returns: Float64[np.ndarray, "time trial"], chosen: Bool[np.ndarray, "split block"]) -> Ratios:
    """The Sharpe ratio of every try on every choice of blocks, from the sums of each block."""
    starts = np.array([part[0] for part in np.array_split(np.arange(len(returns)), chosen.shape[1])])
    scale = np.abs(returns).max(axis=0)
    scaled = returns / np.where(scale > 0.0, scale, 1.0)
    center = scaled.mean(axis=0)
    weights, lengths = chosen.astype(np.float64), np.diff(starts, append=len(returns))
    count = (weights @ lengths)[:, None]
    moved = weights @ np.add.reduceat(scaled - center, starts) / count
    square = weights @ np.add.reduceat((scaled - center) ** 2, starts) / count
    variance = (square - moved**2) * count / (count - 1.0)
    varies = variance > 1e-14
    return np.where(varies, (moved + center) / np.sqrt(np.where(varies, variance, 1.0)), 0.0)


def _rank(ratios: Ratios, own: PerSplit) -> PerSplit:
    below = (ratios < own[:, None]).sum(axis=1)
    equal = (ratios == own[:, None]).sum(axis=1)  # itself among them
    return below + (equal + 1.0) / 2.0


def _slope(inside: PerSplit, outside: PerSplit) -> float:
    spread = float(((inside - inside.mean()) ** 2).sum())
    return float(((inside - inside.mean()) * outside).sum()) / spread if spread > 0.0 else float("nan")
