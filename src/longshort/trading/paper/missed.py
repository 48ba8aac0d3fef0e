"""Why a decision was missed, in the words that the journal keeps, and the cause of a gap that each counts under.

A close that passed before the session began, or whose decision a crash cut off, was not decided on in time by anybody:
signal. Bars that the venue told too late: data. A decision that took too long itself: latency.
"""

from collections.abc import Mapping
from types import MappingProxyType

from longshort.base.clock import SECOND

CUT_OFF = "the session ended before it was on record"
AWAY, UNTOLD, LATE = "nobody looked until", "its bars were not told until", "it came"
COUNTS_UNDER: Mapping[str, str] = MappingProxyType(
    {CUT_OFF: "signal", AWAY: "signal", UNTOLD: "data", LATE: "latency"}
)


def cause_of(missed: str) -> str:
    """The cause that a reason counts under, "" where a decision was followed; raise `KeyError` for an unknown reason.

    >>> cause_of("it came 9.0 s after the close"), cause_of(CUT_OFF), cause_of("")
    ('latency', 'signal', '')
    """
    if not missed:
        return ""
    return COUNTS_UNDER[next((words for words in COUNTS_UNDER if missed.startswith(words)), missed)]


class Misses:
    """Says of the closes of a session, one after another, why they are missed; all instants are by one clock.

    A venue that tells one close too late, to somebody who waits for it, has told what closed meanwhile too late too.
    """

    def __init__(self, began_at: int, late_s: float) -> None:
        self._began_at, self._late = began_at, round(late_s * SECOND)
        self._waiting_since, self._told_from = began_at, 0

    def wait(self, at: int) -> None:
        """From now on the next close is waited for."""
        self._waiting_since = at

    def why(self, closed_at: int, told_at: int, now: int) -> str:
        """Why the decision at a close, whose bars were told then, is missed; empty where it is in time."""
        if told_at - closed_at > self._late >= self._waiting_since - closed_at:
            self._told_from = told_at
        if now - closed_at <= self._late:
            return ""
        words = AWAY if closed_at < self._began_at else UNTOLD if closed_at < self._told_from else LATE
        return f"{words} {(now - closed_at) / SECOND:,.1f} s after the close"
