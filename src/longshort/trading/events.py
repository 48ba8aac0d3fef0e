"""The two instants of a bar, as events: what opens, and what has closed. Nothing of a bar is known in between."""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from nautilus_trader.core import Data
from nautilus_trader.model.data import CustomData, DataType
from nautilus_trader.model.identifiers import ClientId

from longshort.data.bars import Bars

CLOCK = ClientId("CLOCK")  # where both kinds of events come from


class _Instant(Data):
    """Row `row` of a market, at one instant."""

    def __init__(self, row: int, market: Bars, at: int) -> None:
        self.row = row
        self.market = market
        self._at = at

    @property
    def ts_event(self) -> int:
        """The instant."""
        return self._at

    @property
    def ts_init(self) -> int:
        """The instant: nothing is known before."""
        return self._at


class Opened(_Instant):
    """All coins' bars of one row open, a nanosecond after the row before it has closed."""


class Closed(_Instant):
    """All coins' bars of one row have closed."""

    @property
    def bars(self) -> Bars:
        """The one row that just closed: all that a pilot ever sees."""
        return self.market[self.row : self.row + 1]


OPENED, CLOSED = DataType(Opened), DataType(Closed)


def events_of(bars: Bars) -> list[CustomData]:
    """Every row's opening and closing; the first row opens before anybody could wish."""
    opened_at, closed_at = (bars.opened_at + 1).tolist(), bars.closed_at.tolist()
    rows = range(len(bars))
    return [
        *(CustomData(OPENED, Opened(row, bars, opened_at[row])) for row in rows[1:]),
        *(CustomData(CLOSED, Closed(row, bars, closed_at[row])) for row in rows),
    ]
