"""The bars that an account has at hand: what it may yet be told otherwise, and what a mind may have to step again.

Older ones are forgotten, lest months of minutes fill the memory; their closes are not.
"""

import numpy as np

from longshort.data.bars import Bars
from longshort.trading.paper.rows import joined


class Past:
    """The rows before an account and its own; which of them are kept depends on their number alone."""

    def __init__(self, warm: Bars, kept_rows: int) -> None:
        self.closed_at: list[int] = []  # of all rows of the account
        self._kept_rows = kept_rows
        self._bars, self._new = warm, list[Bars]()

    @property
    def bars(self) -> Bars:
        """All that is kept, as it is believed now."""
        if self._new:
            self._bars, self._new = joined([self._bars, *self._new]), []
        return self._bars

    @property
    def closed_to(self) -> int:
        """The last close; before the first row of the account that of the bars before it."""
        return self.closed_at[-1] if self.closed_at else int(self._bars.closed_at[-1])

    def append(self, row: Bars) -> None:
        """Take in a row of the account."""
        self.closed_at.append(int(row.closed_at[0]))
        self._new.append(row)
        if len(self.closed_at) % self._kept_rows == 0:
            self._bars = self.bars[-self._kept_rows :]

    def correct(self, row: Bars) -> int | None:
        """Put a row in the place of that of its close; return its number in the account, None where it is older."""
        known, at = self.bars, int(row.closed_at[0])
        place = int(np.searchsorted(known.closed_at, at))
        self._bars = joined([known[:place], row, known[place + 1 :]])
        number = int(np.searchsorted(self.closed_at, at))
        return number if number < len(self.closed_at) and self.closed_at[number] == at else None

    def restore(self, bars: Bars, closed_at: list[int]) -> None:
        """Go on where another past was."""
        self._bars, self._new, self.closed_at = bars, [], closed_at
