"""Every feature in the catalog inherits these contracts by being in it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.errors import DataError, StudyError
from longshort.data.bars import Bars
from longshort.features.catalog import FEATURES, Feature, Look, default_names
from longshort.features.history import History, across
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


@given(cuts=st.lists(st.integers(1, ROWS - 1), max_size=6), ones=st.integers(0, 30))
def test_a_stream_cut_anywhere_gives_the_same_bits_as_one_long_call(cuts: list[int], ones: int) -> None:
    edges = sorted({0, *cuts, *range(ROWS - ones, ROWS), ROWS})
    stream = FeatureStream(HOLEY.symbols, tuple(FEATURES))

    pieces = [stream.extend(HOLEY[a:b]) for a, b in pairwise(edges)]

    for array in ("values", "levels", "volatility", "missing_rows", "usable", "restart", "log_return"):
        joined = np.concatenate([getattr(piece, array) for piece in pieces])
        np.testing.assert_array_equal(joined, getattr(WHOLE, array))


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


def test_funding_features_are_left_out_where_a_coin_has_no_funding_record() -> None:
    bare = punched(BARS, np.random.default_rng(0), share=0.0)
    bare.funding_covered[:, 1] = False

    assert "funding_last" in default_names(BARS)
    assert not [name for name in default_names(bare) if "funding" in FEATURES[name].needs]


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


def test_the_mean_over_coins_leaves_out_who_is_not_there() -> None:
    values = np.array([[1.0, 3.0], [np.nan, 5.0], [np.nan, np.nan]])

    assert across(values)[:2].tolist() == [[2.0, 2.0], [5.0, 5.0]]
    assert np.isnan(across(values)[2]).all()


def test_window_means_equal_a_plain_mean_and_need_four_fifths_of_the_window() -> None:
    values = np.random.default_rng(0).normal(size=(40, 1))
    values[20:23] = np.nan

    means = History(1).mean("any", values, 10)

    np.testing.assert_allclose(means[15], values[6:16].mean(), rtol=1e-12)
    np.testing.assert_allclose(means[21], np.nanmean(values[12:22]), rtol=1e-12)
    assert np.isnan(means[22])
    assert np.isnan(means[6])
