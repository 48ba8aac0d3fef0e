"""The two instants of a bar in a session: the backtest's events, whose market is the table that is still growing."""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false, reportIncompatibleVariableOverride=false
# NautilusTrader is compiled and has no stubs.

from typing import Any

from longshort.data.bars import Bars
from longshort.trading.events import Closed, Opened

AFTER_CLOSE = 1  # ns: a bar opens so long after the one before it has closed


class LiveOpened(Opened):
    """A row opens; `cells` is the table of all rows so far."""

    def __init__(self, row: int, cells: Any, at: int) -> None:
        self.row, self.market, self._at = row, cells, at


class LiveClosed(Closed):
    """A row has closed."""

    def __init__(self, row: int, closed: Bars, at: int) -> None:
        self.row, self._closed, self._at = row, closed, at

    @property
    def bars(self) -> Bars:
        """The one row that just closed."""
        return self._closed
