import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import DAY, HOUR, SECOND, Interval
from longshort.data.bars import Bars
from longshort.data.funding import Settlements, funding_holes, settle_on_grid
from longshort.data.simulator import Simulation

MILLISECOND = 1_000_000


def _hours(count: int) -> np.ndarray:
    return HOUR * np.arange(1, count + 1, dtype=np.int64)


def _record(hours: list[float], rates: list[float] | None = None) -> Settlements:
    settled_at = np.array([int(h * HOUR) for h in hours], dtype=np.int64)
    return Settlements(settled_at=settled_at, rate=np.array(rates or [1e-4] * len(hours)))


def test_a_slice_has_the_same_rows_without_a_copy(simulation: Simulation) -> None:
    part = simulation.bars[10:20]

    assert len(part) == 10
    assert np.shares_memory(part.close, simulation.bars.close)
    assert np.array_equal(part.closed_at, simulation.bars.closed_at[10:20])


def test_bars_until_an_instant_had_all_closed_by_it(simulation: Simulation) -> None:
    bars = simulation.bars

    assert len(bars.until(int(bars.closed_at[5]))) == 6
    assert len(bars.until(int(bars.closed_at[5]) - 1)) == 5


def test_some_coins_keep_their_columns_and_their_instruments(simulation: Simulation) -> None:
    chosen = simulation.bars.coins([2, 0])

    assert chosen.symbols == ("SIM03USDT", "SIM01USDT")
    assert np.array_equal(chosen.close, simulation.bars.close[:, [2, 0]])


def test_the_grid_row_of_a_close_does_not_depend_on_the_history_at_hand(simulation: Simulation) -> None:
    bars = simulation.bars

    assert np.array_equal(bars[7:].grid_row, bars.grid_row[7:])
    assert (np.diff(bars.grid_row) == 1).all()


@pytest.mark.parametrize("name", ["close", "volume", "funding_rate", "present"])
def test_the_digest_tells_any_changed_value(simulation: Simulation, name: str) -> None:
    bars = simulation.bars[:50]
    changed = getattr(bars, name).copy()
    changed[31, 1] = 0

    assert Bars.digest(_with(bars, name, changed)) != bars.digest()


def test_polars_gets_one_row_per_present_bar(simulation: Simulation) -> None:
    bars = simulation.bars[:20]
    present = bars.present.copy()
    present[4, 1] = False

    frame = _with(bars, "present", present).to_polars()

    assert len(frame) == 59
    assert frame["closed_at"].is_sorted()


def test_a_notebook_shows_how_many_bars_are_missing(simulation: Simulation) -> None:
    bars = simulation.bars[:20]
    present = bars.present.copy()
    present[4:6, 1] = False

    assert "<td>SIM02USDT</td><td>18</td><td>2</td>" in _with(bars, "present", present)._repr_html_()


@given(jitter=st.lists(st.integers(-59_000, 59_000), min_size=3, max_size=3))
def test_jitter_of_a_settlement_moves_it_to_no_other_bar(jitter: list[int]) -> None:
    exact = _record([8, 16, 24], [1e-4, -2e-4, 3e-4])
    jittered = Settlements(settled_at=exact.settled_at + np.array(jitter) * MILLISECOND, rate=exact.rate)

    rate, _ = settle_on_grid(jittered, _hours(30), Interval(HOUR))

    assert np.flatnonzero(np.isfinite(rate)).tolist() == [7, 15, 23]
    assert rate[[7, 15, 23]].tolist() == [1e-4, -2e-4, 3e-4]


def test_a_settlement_inside_a_bar_belongs_to_the_close_that_ends_it() -> None:
    rate, _ = settle_on_grid(_record([8.5, 9 + 70 / 3600]), _hours(12), Interval(HOUR))

    assert np.flatnonzero(np.isfinite(rate)).tolist() == [8, 9]


def test_several_settlements_in_a_bar_add_up() -> None:
    record = _record([8, 16, 24, 32, 40, 48], [1e-4, 2e-4, 3e-4, 4e-4, 5e-4, 6e-4])

    rate, covered = settle_on_grid(record, DAY * np.arange(1, 3, dtype=np.int64), Interval(DAY))

    assert rate.tolist() == pytest.approx([6e-4, 15e-4], rel=1e-12)
    assert covered.tolist() == [True, True]


@given(
    hours=st.lists(st.integers(1, 200), min_size=1, max_size=30, unique=True),
    bar_hours=st.sampled_from([1, 2, 4, 8, 24]),
)
def test_no_funding_is_lost_or_made_on_the_grid(hours: list[int], bar_hours: int) -> None:
    record = _record([float(h) for h in sorted(hours)])
    interval = Interval(bar_hours * HOUR)
    closes = interval.ns * np.arange(1, 240 // bar_hours, dtype=np.int64)

    rate, _ = settle_on_grid(record, closes, interval)

    assert np.nansum(rate) == pytest.approx(record.rate.sum(), rel=1e-9)


def test_before_the_first_settlement_and_when_the_next_is_overdue_nothing_is_covered() -> None:
    _, covered = settle_on_grid(_record([8, 16]), _hours(40), Interval(HOUR))

    assert np.flatnonzero(covered).tolist() == list(range(7, 23))


def test_a_hole_is_uncovered_from_the_first_settlement_missed_to_the_last() -> None:
    record = _record([8, 16, 40, 48])

    _, covered = settle_on_grid(record, _hours(50), Interval(HOUR))

    assert np.flatnonzero(~covered[7:]).tolist() == list(range(23 - 7, 32 - 7))
    assert (funding_holes(record.settled_at) // HOUR).tolist() == [[24, 32]]


def test_a_daily_bar_with_one_settlement_missing_is_not_covered() -> None:
    record = _record([8, 16, 24, 32, 48, 56, 64, 72])

    _, covered = settle_on_grid(record, DAY * np.arange(1, 4, dtype=np.int64), Interval(DAY))

    assert covered.tolist() == [True, False, True]


def test_two_hourly_settlements_amid_eight_hourly_ones_are_no_hole() -> None:
    hours = [8.0, 16, 24, 26, 28, 30, 32, 40, 48]

    _, covered = settle_on_grid(_record(hours), _hours(50), Interval(HOUR))

    assert covered[7:].all()


def test_a_coin_without_funding_has_no_rate_and_no_coverage() -> None:
    rate, covered = settle_on_grid(_record([]), _hours(5), Interval(HOUR))

    assert np.isnan(rate).all()
    assert not covered.any()


def test_the_grid_may_begin_after_the_record_and_end_before_it() -> None:
    record = _record([8, 16, 24, 32])

    rate, covered = settle_on_grid(record, _hours(30)[9:], Interval(HOUR))

    assert np.flatnonzero(np.isfinite(rate)).tolist() == [6, 14]
    assert covered.all()


def test_milliseconds_after_the_last_close_still_count_to_it() -> None:
    record = Settlements(settled_at=_hours(8)[-1:] + SECOND, rate=np.array([1e-4]))

    rate, covered = settle_on_grid(record, _hours(8), Interval(HOUR))

    assert rate[7] == 1e-4
    assert covered.tolist() == [False] * 7 + [True]


def _with(bars: Bars, name: str, values: np.ndarray) -> Bars:
    from dataclasses import replace

    return replace(bars, **{name: values.astype(getattr(bars, name).dtype)})
