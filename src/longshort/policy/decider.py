"""Whatever decides at each close what to hold: the one object that backtest, paper and live run."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from longshort.base.clock import format_instant
from longshort.base.errors import StudyError
from longshort.data.bars import Bars
from longshort.policy.contract import Books, Desk
from longshort.policy.exposure import Exposure, Wishes


@runtime_checkable
class Decider(Protocol):
    """Bars in, wishes out, one close after another: the pilot, a rival or a script."""

    def on_close(self, bars: Bars) -> Wishes:
        """Given the one row of bars that just closed, what is wished of each coin."""
        ...


@runtime_checkable
class Accountable(Protocol):
    """A decider that reads the account while it is booked."""

    def attach(self, closed_at: Int64[np.ndarray, " time"], desk: Desk, books: Books) -> None:
        """Read the account from these tables from now on; `closed_at` are the closes of their rows."""
        ...


class Script:
    """Replays wishes formed beforehand."""

    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure

    def on_close(self, bars: Bars) -> Wishes:
        """The wish written down for this close; raise `StudyError` where there is none."""
        closed_at = int(bars.closed_at[-1])
        row = int(np.searchsorted(self._exposure.closed_at, closed_at))
        if row == len(self._exposure) or self._exposure.closed_at[row] != closed_at:
            raise StudyError(
                f"The script has no wish for the close of {format_instant(closed_at)}.",
                remedy="Write one row per bar, NaN where nothing should happen.",
            )
        return self._exposure.at(row)
