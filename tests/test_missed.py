"""Why decisions are missed, and the cause of a gap that each reason counts under."""

import pytest

from longshort.base.clock import MINUTE, SECOND
from longshort.trading.paper.missed import AWAY, COUNTS_UNDER, CUT_OFF, LATE, UNTOLD, Misses, cause_of

BEGAN = 10 * MINUTE


def misses() -> Misses:
    return Misses(BEGAN, 5.0)


def test_a_decision_in_time_is_not_missed() -> None:
    assert misses().why(BEGAN + MINUTE, BEGAN + MINUTE + SECOND, BEGAN + MINUTE + 5 * SECOND) == ""
    assert cause_of("") == ""


def test_what_closed_before_the_session_began_counts_as_signal() -> None:
    told = misses().why(BEGAN - MINUTE, BEGAN + SECOND, BEGAN + 2 * SECOND)

    assert told == "nobody looked until 62.0 s after the close"
    assert cause_of(told) == "signal"


def test_a_decision_that_took_too_long_itself_counts_as_latency() -> None:
    told = misses().why(BEGAN + MINUTE, BEGAN + MINUTE + SECOND, BEGAN + MINUTE + 9 * SECOND)

    assert told == "it came 9.0 s after the close"
    assert cause_of(told) == "latency"


def test_bars_that_come_too_late_count_as_data_and_so_does_all_that_closed_meanwhile() -> None:
    """Away from minute 1 on; back 20 s after minute 4; each of the four takes a second to decide on."""
    one, back = misses(), BEGAN + 4 * MINUTE + 20 * SECOND
    one.wait(BEGAN + SECOND)
    told: list[str] = []
    for k in range(1, 5):
        now = back + k * SECOND
        told.append(one.why(BEGAN + k * MINUTE, now - SECOND, now))
        one.wait(now)

    assert told[0] == "its bars were not told until 201.0 s after the close"
    assert [cause_of(one) for one in told] == ["data"] * 4


def test_a_machine_that_falls_behind_is_late_though_the_venue_was_away_before() -> None:
    """The venue tells minute 1 late, at 1:20; minute 2 is decided on for 70 s, so that minute 3 is asked for late."""
    one = misses()
    one.wait(BEGAN + SECOND)
    first, second, third = (BEGAN + k * MINUTE for k in (1, 2, 3))
    told = [one.why(first, first + 20 * SECOND, first + 21 * SECOND)]
    one.wait(first + 21 * SECOND)
    told.append(one.why(second, second + SECOND, second + 70 * SECOND))
    one.wait(second + 70 * SECOND)
    told.append(one.why(third, second + 70 * SECOND, second + 71 * SECOND))

    assert [cause_of(one) for one in told] == ["data", "latency", "latency"]


def test_what_a_crash_cut_off_counts_as_signal_and_every_reason_has_a_cause() -> None:
    assert {words: cause_of(words) for words in (CUT_OFF, AWAY, UNTOLD, LATE)} == dict(COUNTS_UNDER)
    assert cause_of(CUT_OFF) == "signal"


def test_a_reason_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError, match="it rained"):
        cause_of("it rained")
