"""Decisions at the closes of slow bars, fills and exits on finer ones.

Between two decisions nothing is wished; the exits of the last one stand. `at_pace` says it of wishes in one piece for
the ledger, `Paced` says it bar by bar for the engine: they agree row by row.
"""

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import DataError
from longshort.data.bars import Bars
from longshort.policy.contract import Books, Desk
from longshort.policy.decider import Accountable, Decider
from longshort.policy.exposure import Exposure, Wishes


def at_pace(exposure: Exposure, closed_at: Int64[np.ndarray, " time"]) -> Exposure:
    """Wishes of slow closes on finer ones; raise `DataError` where a slow close is no finer one.

    >>> slow = Exposure(closed_at=np.array([2, 4]), symbols=("A",), target=np.array([[1.0], [0.0]]),
    ...                 stop=np.array([[0.1], [np.nan]]))
    >>> fine = at_pace(slow, np.array([1, 2, 3, 4]))
    >>> fine.target.ravel().tolist(), fine.stop.ravel().tolist()
    ([nan, 1.0, nan, 0.0], [nan, 0.1, 0.1, nan])
    """
    rows = np.searchsorted(closed_at, exposure.closed_at)
    inside = rows < len(closed_at)
    if not inside.all() or not np.array_equal(closed_at[rows], exposure.closed_at):
        raise DataError(
            "a decision falls between two execution bars.",
            remedy="Use an execution interval that divides the decision interval.",
        )
    shape = (len(closed_at), len(exposure.symbols))
    target = np.full(shape, np.nan)
    target[rows] = exposure.target
    since = np.searchsorted(exposure.closed_at, closed_at, side="right") - 1
    return Exposure(
        closed_at=closed_at,
        symbols=exposure.symbols,
        target=target,
        stop=_standing(exposure.stop, since),
        take=_standing(exposure.take, since),
    )


class Paced:
    """A decider that is asked at its own closes only, with its own bars; finer rows pass it by."""

    def __init__(self, pilot: Decider, decision: Bars) -> None:
        self._pilot = pilot
        self._decision = decision
        self._row = 0
        self._last = Wishes.of(np.full(len(decision.symbols), np.nan))

    def attach(self, closed_at: Int64[np.ndarray, " time"], desk: Desk, books: Books) -> None:
        """Hand the account on to whoever reads it."""
        if isinstance(self._pilot, Accountable):
            self._pilot.attach(closed_at, desk, books)

    def on_close(self, bars: Bars) -> Wishes:
        """What the pilot wishes where one of its own bars has just closed; between them its exits stand."""
        due = self._row < len(self._decision)
        if not due or bars.closed_at[0] != self._decision.closed_at[self._row]:
            return self._last._replace(target=np.full(len(self._decision.symbols), np.nan))
        row = slice(self._row, self._row + 1)
        self._row += 1
        self._last = self._pilot.on_close(self._decision[row])
        return self._last


def _standing(
    exits: Float64[np.ndarray, "time asset"], since: Int64[np.ndarray, " finer"]
) -> Float64[np.ndarray, "finer asset"]:
    return np.where(since[:, None] >= 0, exits[np.maximum(since, 0)], np.nan)
