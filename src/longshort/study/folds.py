"""Which rows are learned from and which are judged: expanding walk-forward whose gap is derived, never typed.

Rows count bars on the calendar's grid. The label of row t is known at row `t + horizon`.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from jaxtyping import Bool

from longshort.base.errors import DataError

Rows = Bool[np.ndarray, " time"]


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to fit on, rows to stop on, rows to be judged on: in time order, purged between each pair."""

    train: range
    validation: range
    test: range

    @property
    def gap_bars(self) -> int:
        """How many rows before the test are left out because their labels would be made of test prices.

        >>> Fold(train=range(0, 4), validation=range(5, 7), test=range(8, 12)).gap_bars
        1
        """
        return self.test.start - self.validation.stop


def walk_forward(  # noqa: PLR0913 each is a choice of the study
    development_rows: int,
    *,
    folds: int,
    first_train_share: float,
    validation_share: float,
    max_horizon_bars: int,
    least_train_bars: int = 256,
    rolling_bars: int | None = None,
) -> tuple[Fold, ...]:
    """Folds whose test spans follow one another to the last development row.

    Each learns from all rows before its test, or from the last `rolling_bars` of them (0: as many as the first fold
    has). `validation_share` is the share of the rows before a test span. Nobody chooses the gap: the last label of
    training is known when validation begins, the last of validation when testing begins. Raises `DataError`.

    >>> shares = {"first_train_share": 0.6, "validation_share": 0.25}
    >>> walk_forward(20, folds=2, **shares, max_horizon_bars=2, least_train_bars=5)[0]
    Fold(train=range(0, 7), validation=range(8, 11), test=range(12, 16))
    """
    least = _least_before_test(validation_share, max_horizon_bars, least_train_bars)
    tested = 1.0 - first_train_share
    needed = max(ceil(least / first_train_share), ceil((folds * (max_horizon_bars + 1) + 1) / tested))
    if development_rows < needed:
        raise _too_few(development_rows, needed, f"{folds} folds", max_horizon_bars)
    first = ceil(first_train_share * development_rows)
    edges = [first + (development_rows - first) * k // folds for k in range(folds + 1)]
    bound = development_rows if rolling_bars is None else max(rolling_bars or first, least)
    return tuple(
        _purged(range(start, stop), validation_share, max_horizon_bars, max(0, start - bound))
        for start, stop in pairwise(edges)
    )


def holdout_fold(
    development_rows: int,
    total_rows: int,
    *,
    validation_share: float,
    max_horizon_bars: int,
    least_train_bars: int = 256,
) -> Fold:
    """Learn from every development row, be judged on the sealed rows behind them; raise `DataError`.

    >>> holdout_fold(12, 16, validation_share=0.25, max_horizon_bars=2, least_train_bars=5)
    Fold(train=range(0, 7), validation=range(8, 11), test=range(12, 16))
    """
    needed = _least_before_test(validation_share, max_horizon_bars, least_train_bars)
    if development_rows < needed:
        raise _too_few(development_rows, needed, "the bars before the holdout", max_horizon_bars)
    if total_rows - development_rows <= max_horizon_bars:
        raise _too_few(total_rows - development_rows, max_horizon_bars + 1, "the holdout", max_horizon_bars)
    return _purged(range(development_rows, total_rows), validation_share, max_horizon_bars)


def label_known(rows: range, *, horizon_bars: int, until_row: int) -> Rows:
    """Which rows have a label that is made of rows before `until_row` only.

    The last rows before a sealed holdout have labels made of sealed prices: scoring them would open the seal.

    >>> label_known(range(5, 10), horizon_bars=2, until_row=10).tolist()
    [True, True, True, False, False]
    """
    return np.arange(rows.start, rows.stop) + horizon_bars < until_row


def _purged(test: range, validation_share: float, horizon: int, first: int = 0) -> Fold:
    stop = test.start - horizon + 1
    start = stop - ceil(validation_share * (test.start - first))
    return Fold(train=range(first, start - horizon + 1), validation=range(start, stop), test=test)


def _least_before_test(validation_share: float, horizon: int, least_train: int) -> int:
    for_training = ceil((least_train + 2 * horizon - 1) / (1.0 - validation_share))
    return max(for_training, ceil(horizon / validation_share))


def _too_few(rows: int, needed: int, purpose: str, horizon: int) -> DataError:
    return DataError(
        f"{rows:,} bars are too few for {purpose} with horizons up to {horizon}: {needed:,} are needed.",
        remedy="Import more history, or lower validation.folds or the longest of target.horizons.",
    )
