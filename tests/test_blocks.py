"""The anchors read a panel in blocks: what they learn and say is what they would from all of it at once."""

import tracemalloc
from functools import cache

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshort.data.simulator import simulate_market
from longshort.features.catalog import names_on_record
from longshort.features.panel import LEVELS, FeatureStream, Panel
from longshort.features.targets import make_targets
from longshort.models import inputs
from longshort.models.forecaster import Past
from longshort.models.opponents import boosting, scale
from longshort.models.opponents.boosting import FittedLightGBM, LightGBM
from longshort.models.opponents.scale import HAR, FittedScale, ScaleModel, fit_scale, har, least_squares
from longshort.models.opponents.table import Table

from .markets import punched

HORIZONS = (1, 4)
PARTS = ("loc", "scale", "df")
sizes = st.integers(1, 400)


@cache
def past() -> Past:
    bars = punched(simulate_market(coins=3, bars=1_500, seed=7).bars, np.random.default_rng(2), share=0.01)
    panel = FeatureStream(bars.symbols, names_on_record(bars)).extend(bars)
    return Past.cut(panel, make_targets(bars, HORIZONS), range(1_000), range(1_024, 1_400))


@cache
def fitted_har() -> FittedScale:
    return ScaleModel(HAR, HORIZONS, har).fit(past())


@cache
def fitted_trees() -> FittedLightGBM:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "MOST_ROUNDS", 5)
        patch.setattr(boosting, "LEAST_GAIN", -1.0)
        return LightGBM(HORIZONS).fit(past())


def drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A constant, four numbers, two hours that add up to the constant, and targets whose spread one number tells."""
    rng = np.random.default_rng(seed)
    terms = rng.standard_normal((rows, 7), dtype=np.float32)
    terms[:, 0] = 1.0
    terms[:, 5] = terms[:, 5] > 0.0
    terms[:, 6] = 1.0 - terms[:, 5]
    return terms, np.exp(0.3 * terms[:, 2].astype(np.float64)) * rng.standard_t(4, rows)


@settings(max_examples=25, deadline=None)
@given(size=sizes, rows=st.integers(1, 1_200), seed=st.integers(0, 99))
def test_least_squares_of_blocks_are_those_of_all_rows(size: int, rows: int, seed: int) -> None:
    terms, target = drawn(rows, seed)
    whole = least_squares(terms, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "WHOLE_ROWS", 0)
        patch.setattr(scale, "BLOCK_ROWS", size)
        blocks = least_squares(terms, target)

    np.testing.assert_allclose(blocks, whole, rtol=1e-9, atol=1e-9)


def test_least_squares_of_all_rows_are_those_of_numpy() -> None:
    terms, target = drawn(1_000, 1)

    expected = np.linalg.lstsq(terms.astype(np.float64), target, rcond=None)[0]

    np.testing.assert_array_equal(least_squares(terms, target), expected)


@settings(max_examples=4, deadline=None)
@given(size=st.integers(200, 2_000), seed=st.integers(0, 99))
def test_a_scale_fitted_in_blocks_is_the_scale_fitted_at_once(size: int, seed: int) -> None:
    terms, target = drawn(3_000, seed)
    beta, df = fit_scale(terms, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "WHOLE_ROWS", 0)
        patch.setattr(scale, "BLOCK_ROWS", size)
        beta_of_blocks, df_of_blocks = fit_scale(terms, target)

    np.testing.assert_allclose(terms @ beta_of_blocks, terms @ beta, rtol=0.0, atol=1e-9)
    assert df_of_blocks == pytest.approx(df, rel=1e-8)


@pytest.mark.parametrize("cells", [100, 1_000])
def test_har_learns_and_says_the_same_whatever_the_size_of_a_block(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted_har().law(past().panel)

    monkeypatch.setattr(inputs, "BLOCK_CELLS", cells)
    again = ScaleModel(HAR, HORIZONS, har).fit(past())
    said = again.law(past().panel)

    np.testing.assert_array_equal(again.beta, fitted_har().beta)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(said, part), getattr(expected, part))


def test_har_says_what_its_terms_say_all_at_once() -> None:
    panel, fitted = past().panel, fitted_har()
    terms = har(panel).astype(np.float64)

    expected = np.exp(terms @ fitted.beta.T) * np.sqrt(HORIZONS)

    np.testing.assert_allclose(
        fitted.scale(panel)[panel.usable], expected[panel.usable], rtol=1e-12, equal_nan=True
    )


def table_of(panel: Panel, names: tuple[str, ...]) -> tuple[Table, np.ndarray]:
    """The table of the usable cells, and what it should hold."""
    width = fitted_har().scale(panel)[:, :, 0]
    level = panel.levels[:, :, LEVELS.index("log_volatility")]
    places = [panel.names.index(name) for name in names]
    columns = [panel.values[:, :, place] for place in places]
    whole = np.stack([*columns, (np.log(width) - level).astype(np.float32)], axis=2)
    return Table.of(panel, names, width, panel.usable), whole[panel.usable]


@settings(max_examples=20, deadline=None)
@given(size=sizes, start=st.integers(0, 4_000), length=st.integers(0, 4_000))
def test_a_table_holds_features_and_the_relative_scale_of_the_chosen_cells(
    size: int, start: int, length: int
) -> None:
    table, whole = table_of(past().panel, past().names[5:2:-1])
    table.batch_size = size  # pyright: ignore[reportAttributeAccessIssue]

    np.testing.assert_array_equal(np.vstack(list(table.pieces())), whole)
    np.testing.assert_array_equal(table[start : start + length], whole[start : start + length])
    np.testing.assert_array_equal(table[start % len(table)], whole[start % len(table)].astype(np.float64))


def trees_of(grown: lightgbm.Booster) -> str:
    """The trees and the ends of their inputs, without the settings that led to them."""
    return grown.model_to_string().partition("\nparameters:")[0]


@pytest.mark.parametrize(("size", "sample"), [(97, 300), (4_096, 300), (250, 100_000)])
def test_trees_from_a_table_are_the_trees_from_a_matrix(size: int, sample: int) -> None:
    table, whole = table_of(past().panel, past().names)
    table.batch_size = size  # pyright: ignore[reportAttributeAccessIssue]
    lightgbm.Sequence.register(Table)
    terms = {**boosting.TREES, "bin_construct_sample_cnt": sample, "min_data_in_leaf": 20}
    drawn_by_seed = {name: value for name, value in terms.items() if name != "data_random_seed"}
    label = whole[:, 0] + whole[:, 1] * whole[:, 2]

    mine = lightgbm.train(terms, lightgbm.Dataset(table, label), 10)
    theirs = lightgbm.train(drawn_by_seed, lightgbm.Dataset(whole, label), 10)

    assert mine.num_trees() == 10
    assert trees_of(mine) == trees_of(theirs)


@pytest.mark.parametrize("cells", [100, 1_000])
def test_trees_say_the_same_whatever_the_size_of_a_block(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fitted_trees().law(past().panel)

    monkeypatch.setattr(inputs, "BLOCK_CELLS", cells)
    said = fitted_trees().law(past().panel)

    assert all(head.scale and head.mean for head in fitted_trees().heads)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(said, part), getattr(expected, part))


@pytest.mark.parametrize("fitted", [fitted_har, fitted_trees])
def test_a_law_is_told_without_another_array_of_the_size_of_the_features(
    fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, model = past().panel, fitted()
    monkeypatch.setattr(inputs, "BLOCK_CELLS", 120)

    tracemalloc.start()
    law = model.law(panel)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 3 * law.scale.nbytes + panel.values.nbytes / 4


def test_har_is_fitted_without_its_terms_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "BLOCK_CELLS", 120)
    monkeypatch.setattr(scale, "WHOLE_ROWS", 0)
    monkeypatch.setattr(scale, "BLOCK_ROWS", 120)
    terms = har(past().panel)

    tracemalloc.start()
    ScaleModel(HAR, HORIZONS[:1], har).fit(past())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 1.5 * terms.nbytes
