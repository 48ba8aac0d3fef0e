"""Every feature in the catalog inherits these contracts by being in it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshort.base.clock import DAY, Interval
from longshort.base.errors import DataError, StudyError
from longshort.data.bars import Bars
from longshort.features.catalog import FEATURES, Feature, Look, names_on_record
from longshort.features.history import History
from longshort.features.panel import FeatureStream, Panel
from longshort.features.proving import in_other_units, markets
from longshort.features.targets import make_targets

from .markets import poisoned, punched

ROWS = 1_500
BARS = markets(ROWS)[0]  # with every record that a feature may read
HOLEY = punched(BARS, np.random.default_rng(3), share=0.05)
every_feature = pytest.mark.parametrize("name", FEATURES)


def panel_of(bars: Bars, *names: str) -> Panel:
    return FeatureStream(bars.symbols, names or tuple(FEATURES)).extend(bars)


def same_panels(mine: Panel, theirs: Panel) -> None:
    for array in ("values", "levels", "volatility", "missing_rows", "usable", "restart", "log_return"):
        np.testing.assert_array_equal(getattr(mine, array), getattr(theirs, array))


WHOLE = panel_of(HOLEY)

CUTS = {rows: panel_of(HOLEY[:rows]) for rows in (1, 2, 50, 777, 1_400)}
NOISE = panel_of(poisoned(HOLEY, 900, np.random.default_rng(1)))
COMPLETE = panel_of(BARS)
ELSEWHERE = panel_of(in_other_units(BARS))


@every_feature
@pytest.mark.parametrize("rows", CUTS)
def test_the_past_does_not_change_when_the_future_is_cut_off(name: str, rows: int) -> None:
    np.testing.assert_array_equal(CUTS[rows].column(name), WHOLE.column(name)[:rows])


@every_feature
def test_the_past_does_not_change_when_the_future_is_noise(name: str) -> None:
    np.testing.assert_array_equal(NOISE.column(name)[:900], WHOLE.column(name)[:900])


@every_feature
def test_the_first_value_comes_exactly_after_the_warm_up(name: str) -> None:
    stands = np.isfinite(COMPLETE.column(name)).all(axis=1)

    assert stands.argmax() == FEATURES[name].warmup_rows - 1
    assert stands[FEATURES[name].warmup_rows :].all()


@every_feature
def test_values_are_small_numbers_of_the_panels_type(name: str) -> None:
    values = COMPLETE.column(name)

    assert values.dtype == np.float32
    assert np.nanmax(np.abs(values)) < 100


@pytest.mark.parametrize("name", [n for n, f in FEATURES.items() if f.unitless])
def test_prices_in_another_unit_give_the_same_feature(name: str) -> None:
    np.testing.assert_allclose(ELSEWHERE.column(name), COMPLETE.column(name), atol=2e-3)


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, ROWS - 1), max_size=4), ones=st.integers(0, 6))
def test_a_stream_cut_anywhere_gives_the_same_bits_as_one_long_call(cuts: list[int], ones: int) -> None:
    edges = sorted({0, *cuts, *range(ROWS - ones, ROWS), ROWS})
    stream = FeatureStream(HOLEY.symbols, tuple(FEATURES))

    first, *later = [stream.extend(HOLEY[a:b]) for a, b in pairwise(edges)]

    same_panels(first.join(*later), WHOLE)


def test_a_feature_that_sees_the_next_bar_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(look: Look) -> np.ndarray:
        following = np.roll(np.log(look.bars.close), -1, axis=0)
        following[-1] = np.nan
        return following - np.log(look.bars.close)

    table = {**FEATURES, "leaky": Feature(compute=leaky, family="price")}
    monkeypatch.setattr("longshort.features.panel.FEATURES", table)

    cut, noise = (
        panel_of(HOLEY[:900], "leaky"),
        panel_of(poisoned(HOLEY, 900, np.random.default_rng(1)), "leaky"),
    )
    whole = panel_of(HOLEY, "leaky")

    assert not np.array_equal(cut.values, whole.values[:900], equal_nan=True)
    assert not np.array_equal(noise.values[:900], whole.values[:900], equal_nan=True)


def test_hours_and_weekdays_are_those_of_the_coming_bar() -> None:
    panel = panel_of(BARS)
    opens = BARS.closed_at.astype("datetime64[ns]")
    hour = opens.astype("datetime64[h]").astype(int) % 24
    weekday = (opens.astype("datetime64[D]").view("int64") - 4) % 7  # 1970-01-05 was a Monday

    stated_hour = np.argmax([panel.column(f"hour_{h:02d}")[:, 0] for h in range(24)], axis=0)
    stated_day = np.argmax([panel.column(f"weekday_{d}")[:, 0] for d in range(7)], axis=0)

    np.testing.assert_array_equal(stated_hour, hour)
    np.testing.assert_array_equal(stated_day, weekday)


def test_an_absent_bar_is_never_usable_and_a_long_gap_restarts_the_memory() -> None:
    gap = punched(BARS, np.random.default_rng(0), share=0.0)
    for array in (gap.open, gap.high, gap.low, gap.close, gap.volume):
        array[1_000:1_002, 0] = np.nan
        array[1_100:1_110, 0] = np.nan
    gap.present[1_000:1_002, 0] = False
    gap.present[1_100:1_110, 0] = False

    panel = panel_of(gap)

    assert not panel.usable[1_000:1_002, 0].any()
    assert np.flatnonzero(panel.restart[:, 0]).tolist() == [1_110]
    assert panel.missing_rows[1_100:1_111, 0].tolist() == [*range(1, 11), 0]


def test_features_are_left_out_of_the_default_set_where_a_coin_lacks_their_record() -> None:
    needed = {need for f in FEATURES.values() if f.default for need in f.needs}
    bare = replace(BARS, funding_covered=BARS.funding_covered.copy(), gauges={})
    bare.funding_covered[:, 1] = False

    assert needed <= {need for name in names_on_record(BARS) for need in FEATURES[name].needs}
    assert {"funding_last", "return_1"} <= set(names_on_record(BARS))
    assert {need for name in names_on_record(bare) for need in FEATURES[name].needs} <= {"4h", "1d"}
    assert "return_1" in names_on_record(bare)


def test_bars_of_a_day_are_left_out_where_the_studys_are_as_long() -> None:
    daily = replace(
        BARS, interval=Interval(DAY), closed_at=BARS.closed_at[0] // DAY * DAY + DAY * np.arange(ROWS)
    )

    assert {"return_4h", "return_1d"} <= set(names_on_record(BARS))
    assert not {"return_4h", "return_1d"} & set(names_on_record(daily))


@pytest.mark.parametrize(("known", "chosen"), [(ROWS // 2, False), (ROWS // 2 + 1, True)])
def test_a_gauge_is_on_record_if_it_is_known_for_more_than_half_of_every_coins_bars(
    known: int, chosen: bool
) -> None:
    gauge = np.where(np.arange(ROWS)[:, None] >= [0, ROWS - known, 0], BARS.close, np.nan)
    table = {"basis": Feature(compute=lambda look: look["close"], family="basis", needs=("index_close",))}

    names = names_on_record(replace(BARS, gauges={"index_close": gauge}), table)

    assert bool(names) is chosen


def test_what_comes_later_cannot_change_the_default_set_of_what_came_before() -> None:
    later = replace(BARS, gauges={name: grid.copy() for name, grid in BARS.gauges.items()})
    for grid in later.gauges.values():
        grid[800:] = np.nan

    assert names_on_record(later[:800]) == names_on_record(BARS[:800])


def test_a_restored_stream_goes_on_with_the_same_bits() -> None:
    first, second = (FeatureStream(HOLEY.symbols, tuple(FEATURES)) for _ in range(2))
    first.extend(HOLEY[:1_111])
    second.restore(first.state())

    panel = second.extend(HOLEY[1_111:1_113]).join(second.extend(HOLEY[1_113:]))

    same_panels(panel, WHOLE[1_111:])
    with pytest.raises(DataError, match="time order"):
        second.extend(HOLEY[-1:])


def test_where_a_stream_stands_does_not_depend_on_how_it_was_fed() -> None:
    once, twice = (FeatureStream(HOLEY.symbols, tuple(FEATURES)) for _ in range(2))
    once.extend(HOLEY)
    twice.extend(HOLEY[:901])
    twice.extend(HOLEY[901:])

    np.testing.assert_equal(once.state(), twice.state())


def test_a_missing_value_of_an_optional_feature_leaves_the_row_usable() -> None:
    table = {
        "needed": Feature(compute=lambda look: look["log_return"], family="price"),
        "spare": Feature(compute=lambda look: look["open"] * np.nan, family="basis", optional=True),
        "wanted": Feature(compute=lambda look: look["open"] * np.nan, family="basis"),
    }

    spare = FeatureStream(BARS.symbols, ("needed", "spare"), catalog=table).extend(BARS)
    wanted = FeatureStream(BARS.symbols, ("needed", "wanted"), catalog=table).extend(BARS)

    assert np.isnan(spare.column("spare")).all()
    assert spare.usable[30:].all()
    assert not wanted.usable.any()


def test_a_feature_of_the_user_may_build_on_others_and_on_ours() -> None:
    table = {
        **FEATURES,
        "tilt": Feature(compute=lambda look: look["body_1"] - look["market_return_1"], family="own"),
        "mean_tilt": Feature(compute=lambda look: look.mean("tilt", 10), family="own"),
    }

    panel = FeatureStream(BARS.symbols, ("tilt", "mean_tilt"), catalog=table).extend(BARS)

    tilt = COMPLETE.column("body_1") - COMPLETE.column("market_return_1")
    np.testing.assert_allclose(panel.column("tilt")[100:], tilt[100:], atol=1e-5)
    np.testing.assert_allclose(panel.column("mean_tilt")[100], tilt[91:101].mean(axis=0), atol=1e-5)


def test_a_feature_that_reads_itself_is_refused() -> None:
    table = {"mine": Feature(compute=lambda look: look.mean("mine", 3), family="own")}

    with pytest.raises(StudyError, match="'mine' reads itself"):
        FeatureStream(BARS.symbols, ("mine",), catalog=table).extend(BARS)


def test_a_column_that_nothing_computes_is_named() -> None:
    table = {"mine": Feature(compute=lambda look: look["clsoe"], family="own")}

    with pytest.raises(StudyError, match="reads the column 'clsoe', which nothing computes"):
        FeatureStream(BARS.symbols, ("mine",), catalog=table).extend(BARS)


def test_features_read_the_smoothed_bars_while_returns_and_levels_stay_those_of_the_bars() -> None:
    def smooth(bars: Bars, history: History) -> Bars:
        return replace(bars, close=history.mean("close", bars.close, 3))

    stream = FeatureStream(BARS.symbols, ("return_1",), denoise=smooth)
    panel = stream.extend(BARS[:700]).join(stream.extend(BARS[700:]))

    smoothed = np.log((BARS.close[2:] + BARS.close[1:-1] + BARS.close[:-2]) / 3.0)
    assert np.corrcoef(panel.column("return_1")[200:, 0], np.diff(smoothed[:, 0])[197:])[0, 1] > 0.9
    assert not np.array_equal(panel.column("return_1"), COMPLETE.column("return_1"), equal_nan=True)
    for array in ("log_return", "volatility", "levels", "missing_rows"):
        np.testing.assert_array_equal(getattr(panel, array), getattr(COMPLETE, array))


def test_a_scaling_is_chosen_per_feature() -> None:
    names = ("volume_change", "return_1")

    panel = FeatureStream(BARS.symbols, names, scaling={"volume_change": "rolling"}).extend(BARS)

    scaled = panel.column("volume_change")[1_000:]
    assert np.abs(np.median(scaled)) < 0.2
    assert not np.array_equal(scaled, COMPLETE.column("volume_change")[1_000:])
    np.testing.assert_array_equal(panel.column("return_1"), COMPLETE.column("return_1"))


def test_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(StudyError, match="unknown feature 'retrun_1'"):
        FeatureStream(BARS.symbols, ("retrun_1",))


def test_a_bar_that_was_already_seen_is_refused() -> None:
    stream = FeatureStream(BARS.symbols, ("return_1",))
    stream.extend(BARS[:10])

    with pytest.raises(DataError, match="time order"):
        stream.extend(BARS[9:11])


def test_targets_are_the_coming_log_returns_and_end_where_the_bars_do() -> None:
    targets = make_targets(HOLEY, (1, 4))
    log_close = np.log(HOLEY.close)

    np.testing.assert_array_equal(targets.log_return[:-4, :, 1], log_close[4:] - log_close[:-4])
    assert not targets.known[-1:, :, 0].any()
    assert not targets.known_by(1_000)[999:, :, 0].any()
    assert targets.known_by(1_000)[:999, :, 0].sum() == targets.known[:999, :, 0].sum()
