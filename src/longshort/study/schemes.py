"""Other ways to divide the past: what would have been said had other coins or other times been learnt from.

Walk-forward alone is what a trader could have done. These learn from rows after the test too: labels that reach into
a test are purged, and as many rows as features look back are left out behind it. Nobody types either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import DataError

Ranges = tuple[range, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One fit: stretches of rows to learn from and to be judged on, in time order, purged from each other.

    `part` says what is judged, for people; `without` are the places of coins that are not learnt from, and which alone
    are judged where there are any.
    """

    part: str
    learn: Ranges
    judge: Ranges
    without: tuple[int, ...] = ()

    @property
    def learnt_rows(self) -> int:
        """How many rows are learnt from."""
        return sum(len(stretch) for stretch in self.learn)


def combinatorial(rows: int, *, groups: int, test_groups: int, purge: int, embargo: int) -> tuple[Split, ...]:
    """Every choice of some groups of rows as the test: combinatorial purged cross-validation.

    López de Prado (2018), "Advances in Financial Machine Learning", chapter 12: C(groups, test_groups) fits that make
    C(groups - 1, test_groups - 1) paths. `purge` rows are left out on both sides of a test, `embargo` more behind it.

    >>> [split.part for split in combinatorial(12, groups=3, test_groups=2, purge=0, embargo=0)]
    ['1+2', '1+3', '2+3']
    """
    blocks = equal_blocks(rows, groups)
    chosen = combinations(range(groups), test_groups)
    return tuple(
        Split(
            part="+".join(str(k + 1) for k in picked),
            learn=_beside([blocks[k] for k in picked], rows, purge, embargo),
            judge=tuple(blocks[k] for k in picked),
        )
        for picked in chosen
    )


def paths(splits: Sequence[Split], blocks: Sequence[range]) -> list[list[int]]:
    """Which split judges each block in each path: the p-th of those that judge the block.

    >>> splits = combinatorial(12, groups=3, test_groups=2, purge=0, embargo=0)
    >>> paths(splits, equal_blocks(12, 3))
    [[0, 0, 1], [1, 2, 2]]
    """
    judging = [[k for k, split in enumerate(splits) if block in split.judge] for block in blocks]
    return [list(path) for path in zip(*judging, strict=True)]


def leave_out(parts: dict[str, Ranges], rows: int, *, purge: int, embargo: int) -> tuple[Split, ...]:
    """One fit per part, that learns from everything but that part."""
    return tuple(
        Split(part=name, learn=_beside(judge, rows, purge, embargo), judge=judge)
        for name, judge in parts.items()
    )


def equal_blocks(rows: int, groups: int) -> list[range]:
    """Consecutive blocks of rows, the first ones longer by one where the division leaves a rest.

    >>> equal_blocks(7, 3)
    [range(0, 3), range(3, 5), range(5, 7)]
    """
    size, rest = divmod(rows, groups)
    edges = np.cumsum([0, *[size + (k < rest) for k in range(groups)]]).tolist()
    return [range(start, stop) for start, stop in pairwise(edges)]


def monthly_regimes(
    closed_at: Int64[np.ndarray, " time"], volatility: Float64[np.ndarray, " time"]
) -> dict[str, Ranges]:
    """Calendar months in three regimes by their mean volatility, calmest first; raise `DataError` for under six.

    Whole months, because rows as far as features look back are lost around every stretch. Which month belongs where
    is known only afterwards: this groups results, nobody could trade on it.
    """
    months = closed_at.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    edges = [0, *(np.flatnonzero(np.diff(months)) + 1).tolist(), len(months)]
    stretches = [range(start, stop) for start, stop in pairwise(edges)]
    if len(stretches) < 6:
        raise DataError(
            f"{len(stretches)} calendar months are too few to tell three regimes apart.",
            remedy='Use at least six months, or validation.scheme = "periods".',
        )
    level = np.array([_mean(volatility[s.start : s.stop]) for s in stretches])
    order = np.array_split(np.argsort(level, kind="stable"), 3)
    return {
        name: tuple(stretches[k] for k in sorted(part.tolist()))
        for name, part in zip(("calm months", "normal months", "stormy months"), order, strict=True)
    }


def _mean(values: Float64[np.ndarray, " time"]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _beside(judge: Sequence[range], rows: int, purge: int, embargo: int) -> Ranges:
    """All rows but those judged and those too near; a label never reaches past the last row either."""
    free = np.ones(rows, dtype=np.bool_)
    free[max(0, rows - purge) :] = False
    for stretch in judge:
        free[max(0, stretch.start - purge) : stretch.stop + purge + embargo] = False
    edges = np.flatnonzero(np.diff(free, prepend=False, append=False)).reshape(-1, 2)
    return tuple(range(start, stop) for start, stop in edges.tolist())
