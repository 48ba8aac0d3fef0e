"""Features are scaled by what was known, per coin, live as in a whole history."""

from functools import lru_cache
from inspect import unwrap
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshort.base.errors import StudyError
from longshort.data.simulator import simulate_market
from longshort.features.catalog import BASE
from longshort.features.history import Grid, History
from longshort.features.look import Look
from longshort.features.panel import FeatureStream
from longshort.features.scaling import ROLLING_ROWS, SCALINGS, scaled

from .markets import poisoned, punched

ROWS = 1_000
HOLEY = punched(simulate_market(2, ROWS, seed=4).bars, np.random.default_rng(1), share=0.03)
NAMES = ("return_1", "hour_03")
every_kind = pytest.mark.parametrize("kind", SCALINGS)


def apply(kind: str, values: Grid) -> Grid:
    bars = simulate_market(values.shape[1], len(values), seed=4).bars
    look = Look(bars, History(values.shape[1], int(bars.grid_row[0])), 24.0, BASE)
    return scaled(look, "any", kind, values)  # type: ignore[arg-type]


@lru_cache
def panel_values(kind: str, rows: int) -> np.ndarray:
    return stream_of(kind).extend(HOLEY[:rows]).values


def stream_of(kind: str) -> FeatureStream:
    return FeatureStream(HOLEY.symbols, NAMES, scaling=dict.fromkeys(NAMES, kind))  # type: ignore[arg-type]


@every_kind
@settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, ROWS - 1), max_size=3), ones=st.integers(0, 8))
def test_a_live_row_is_scaled_exactly_as_a_training_row(kind: str, cuts: list[int], ones: int) -> None:
    edges = sorted({0, *cuts, *range(ROWS - ones, ROWS), ROWS})
    stream = stream_of(kind)

    joined = np.concatenate([stream.extend(HOLEY[a:b]).values for a, b in pairwise(edges)])

    np.testing.assert_array_equal(joined, panel_values(kind, ROWS))


@every_kind
@pytest.mark.parametrize("rows", [1, 60, 719, 720, 721, 950])
def test_the_past_stays_when_the_future_is_cut_off_or_noise(kind: str, rows: int) -> None:
    noise = poisoned(HOLEY, rows, np.random.default_rng(1))
    stream = stream_of(kind)

    np.testing.assert_array_equal(panel_values(kind, rows), panel_values(kind, ROWS)[:rows])
    np.testing.assert_array_equal(stream.extend(noise).values[:rows], panel_values(kind, ROWS)[:rows])


def test_rolling_takes_the_median_of_the_last_rows_off_and_divides_by_their_quartiles(
    rng: np.random.Generator,
) -> None:
    values = rng.normal(5.0, 2.0, size=(900, 1))
    last = values[900 - ROLLING_ROWS :, 0]
    low, middle, high = np.quantile(last, [0.25, 0.5, 0.75])

    mine = apply("rolling", values)

    np.testing.assert_allclose(mine[-1, 0], (values[-1, 0] - middle) / ((high - low) / 1.349), rtol=1e-12)
    assert np.isnan(mine[: ROLLING_ROWS - 1]).all()
    assert np.isfinite(mine[ROLLING_ROWS - 1 :]).all()


def test_expanding_uses_mean_and_deviation_of_all_rows_so_far(rng: np.random.Generator) -> None:
    values = rng.normal(1e6, 1e-3, size=(300, 1))
    values[7] = np.nan
    past = values[:201, 0]

    mine = apply("expanding", values)

    np.testing.assert_allclose(mine[200, 0], (past[-1] - np.nanmean(past)) / np.nanstd(past), rtol=1e-6)
    assert np.flatnonzero(np.isfinite(mine[:, 0]))[0] == 48


def test_volatility_divides_by_the_causal_volatility() -> None:
    values = np.ones((60, 2))
    bars = simulate_market(2, 60, seed=4).bars
    look = Look(bars, History(2, int(bars.grid_row[0])), 24.0, BASE)

    np.testing.assert_array_equal(scaled(look, "any", "volatility", values), 1.0 / look["volatility"])


@pytest.mark.parametrize("kind", ["train", "none"])
def test_what_the_model_scales_is_left_as_it_is(kind: str) -> None:
    values = np.arange(20.0)[:, None]

    assert apply(kind, values) is values


@pytest.mark.parametrize("kind", ["rolling", "expanding"])
def test_what_never_moved_is_centered_and_not_blown_up(kind: str) -> None:
    flat = np.full((800, 1), 1e6 / 3.0)
    flat[-1] += 0.5

    mine = apply(kind, flat)

    assert mine[-2, 0] == 0.0
    assert 0.0 < mine[-1, 0] < 1_000.0


def test_a_rare_event_over_quartiles_that_are_equal_stays_finite() -> None:
    rare = (np.arange(800) % 24 == 0).astype(np.float64)[:, None]

    assert set(np.unique(apply("rolling", rare)[ROLLING_ROWS:])) == {0.0, 1.0}


@pytest.mark.parametrize("kind", ["rolling", "expanding"])
def test_the_largest_moves_of_one_coin_do_not_scale_another(kind: str, rng: np.random.Generator) -> None:
    values = rng.normal(size=(800, 2))
    wild = values * np.array([1.0, 1e4])

    np.testing.assert_array_equal(apply(kind, wild)[:, 0], apply(kind, values)[:, 0])


def test_an_unknown_way_of_scaling_answers_with_the_list() -> None:
    with pytest.raises(StudyError, match=r"cannot be scaled by 'minmax'.*rolling, expanding"):
        unwrap(scaled)(None, "range_1", "minmax", np.ones((1, 1)))  # past the type checks of the tests
