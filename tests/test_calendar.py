import sys
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.calendar import AlwaysOpen, Calendar, Sessions, find_calendar, load_schedule
from longshort.base.clock import DAY, HOUR, Interval, format_instant, parse_instant
from longshort.base.errors import DataError, MissingExtra, StudyError

DAILY = Interval(DAY)
NEW_YORK = Sessions("XNYS")
CALENDARS = {"XNYS": NEW_YORK, "XLON": Sessions("XLON"), "XTKS": Sessions("XTKS"), "24/7": AlwaysOpen()}
every_calendar = pytest.mark.parametrize("calendar", CALENDARS.values(), ids=CALENDARS)
dates = st.dates(date(1998, 1, 1), date(2026, 6, 30))


def at(text: str) -> int:
    return parse_instant(text)


def midnight(day: date) -> int:
    return parse_instant(day.isoformat())


def written(instants: np.ndarray) -> list[str]:
    return [format_instant(int(i)) for i in instants]


@every_calendar
@given(first=dates, days=st.integers(10, 900))
def test_the_rows_of_a_grid_count_one_by_one(calendar: Calendar, first: date, days: int) -> None:
    grid = calendar.grid(midnight(first), midnight(first + timedelta(days)), DAILY)

    rows = calendar.rows(grid, DAILY)

    assert rows.tolist() == list(range(int(rows[0]), int(rows[0]) + len(grid)))


@every_calendar
@given(starts=st.tuples(dates, dates), days=st.integers(10, 400))
def test_a_close_has_one_row_whatever_history_is_at_hand(
    calendar: Calendar, starts: tuple[date, date], days: int
) -> None:
    early, late = min(starts), max(starts)
    last = midnight(late + timedelta(days))
    long, short = calendar.grid(midnight(early), last, DAILY), calendar.grid(midnight(late), last, DAILY)

    assert calendar.rows(long, DAILY)[-len(short) :].tolist() == calendar.rows(short, DAILY).tolist()


@every_calendar
@given(first=dates, days=st.integers(10, 400))
def test_bars_open_before_they_close_and_not_before_the_last_close(
    calendar: Calendar, first: date, days: int
) -> None:
    closed_at = calendar.grid(midnight(first), midnight(first + timedelta(days)), DAILY)

    opened_at = calendar.opens(closed_at, DAILY)

    assert (opened_at < closed_at).all()
    assert (opened_at[1:] >= closed_at[:-1]).all()


@every_calendar
@given(first=dates, bars=st.integers(0, 300))
def test_later_is_as_many_rows_on(calendar: Calendar, first: date, bars: int) -> None:
    close = int(calendar.grid(midnight(first), midnight(first + timedelta(20)), DAILY)[0])

    later = np.array([calendar.later(close, min(bars, 100), DAILY)])

    assert calendar.rows(later, DAILY)[0] == calendar.rows(np.array([close]), DAILY)[0] + min(bars, 100)


def test_the_clock_change_moves_the_close_by_an_hour() -> None:
    march = np.array([at("2024-03-08"), at("2024-03-11")])  # a Friday and the Monday after the change

    assert written(NEW_YORK.closes(march, DAILY)) == ["2024-03-08 21:00Z", "2024-03-11 20:00Z"]


def test_early_closes_are_the_true_ones_and_the_open_comes_after_the_close_before() -> None:
    july = np.array([at("2024-07-02"), at("2024-07-03")])

    closed_at = NEW_YORK.closes(july, DAILY)

    assert written(closed_at) == ["2024-07-02 20:00Z", "2024-07-03 17:00Z"]
    assert written(NEW_YORK.opens(closed_at, DAILY)) == ["2024-07-02 13:30Z", "2024-07-03 13:30Z"]


def test_weekends_and_holidays_are_no_rows() -> None:
    grid = NEW_YORK.grid(at("2024-12-24"), at("2025-01-11"), DAILY)

    assert [text[5:10] for text in written(grid)] == [
        "12-24", "12-26", "12-27", "12-30", "12-31", "01-02", "01-03", "01-06", "01-07", "01-08", "01-10",
    ]  # fmt: skip


def test_new_york_is_known_from_1990_to_the_coming_year() -> None:
    schedule = load_schedule("XNYS")

    assert NEW_YORK.closes(np.array([at("1990-01-02")]), DAILY)[0] == at("1990-01-02T21:00Z")
    assert schedule.closes[-1] > at("2026-12-31")


def test_an_exchange_whose_record_begins_later_counts_from_there() -> None:
    tokyo = load_schedule("XTKS")

    assert written(tokyo.labels[:1]) == ["1997-01-06 00:00Z"]


@pytest.mark.parametrize(("name", "bars"), [("XNYS", 252.0), ("XLON", 253.0), ("XTKS", 245.0)])
def test_a_year_has_as_many_sessions_as_people_say(name: str, bars: float) -> None:
    assert Sessions(name).bars_per_year(DAILY) == bars


@pytest.mark.parametrize("day", ["2024-07-04", "2024-07-06", "2025-01-09"])
def test_a_date_without_a_session_is_refused_by_name(day: str) -> None:
    with pytest.raises(DataError, match=f"XNYS has no session on {day}"):
        NEW_YORK.closes(np.array([at("2024-07-03"), at(day)]), DAILY)


def test_an_instant_at_which_no_session_closed_has_no_row() -> None:
    with pytest.raises(DataError, match="no session of XNYS closed at 2024-07-03 20:00Z"):
        NEW_YORK.rows(np.array([at("2024-07-03T20:00Z")]), DAILY)


def test_sessions_beyond_the_coming_year_are_not_made_up() -> None:
    with pytest.raises(DataError, match="the sessions of XNYS are known up to"):
        NEW_YORK.later(at("2024-07-03T17:00Z"), 5_000, DAILY)


@pytest.mark.parametrize(
    "ask",
    [
        NEW_YORK.bars_per_year,
        lambda interval: NEW_YORK.closes(np.array([0]), interval),
        lambda interval: NEW_YORK.grid(0, DAY, interval),
        lambda interval: NEW_YORK.rows(np.array([0]), interval),
    ],
)
def test_sessions_have_daily_bars_only(ask: Callable[[Interval], object]) -> None:
    with pytest.raises(StudyError, match=r"only daily bars \(1d\) have the sessions of XNYS so far, was 1h"):
        ask(Interval(HOUR))


def test_another_name_of_an_exchange_means_the_same_calendar() -> None:
    assert find_calendar("NYSE") == NEW_YORK


@pytest.mark.parametrize("name", ["", "24/7"])
def test_crypto_is_always_open(name: str) -> None:
    assert find_calendar(name) == AlwaysOpen()


@pytest.mark.parametrize(
    ("name", "nearest"), [("XNYSE", "XNYS"), ("xnas", "XNAS"), ("nothing", "New York's is XNYS")]
)
def test_an_unknown_calendar_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(StudyError, match=f"unknown calendar '{name}'.*{nearest}"):
        find_calendar(name)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)

    with pytest.raises(MissingExtra, match=r'exchange_calendars is not installed.*"longshort\[stocks\]"'):
        find_calendar("XNYS")
