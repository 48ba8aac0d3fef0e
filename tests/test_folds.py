"""Folds: what is learned from is known before judging begins, and nothing is judged twice or dropped."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from longshort.base.errors import DataError
from longshort.study.folds import Fold, holdout_fold, label_known, walk_forward

shapes = st.fixed_dictionaries(
    {
        "folds": st.integers(1, 12),
        "first_train_share": st.floats(0.1, 0.9),
        "validation_share": st.floats(0.05, 0.45),
        "max_horizon_bars": st.integers(1, 48),
        "least_train_bars": st.integers(1, 300),
    }
)


def made(rows: int, shape: dict[str, int | float]) -> tuple[Fold, ...]:
    try:
        return walk_forward(rows, **shape)
    except DataError:
        assume(False)
        raise


@given(rows=st.integers(100, 40_000), shape=shapes)
def test_every_training_label_is_known_before_testing_begins(
    rows: int, shape: dict[str, int | float]
) -> None:
    horizon = shape["max_horizon_bars"]

    folds = made(rows, shape)

    assert all(fold.train[-1] + horizon <= fold.validation[0] for fold in folds)
    assert all(fold.validation[-1] + horizon <= fold.test[0] for fold in folds)


@given(rows=st.integers(100, 40_000), shape=shapes)
def test_the_gap_is_no_wider_than_the_horizon_demands(rows: int, shape: dict[str, int | float]) -> None:
    horizon = shape["max_horizon_bars"]

    folds = made(rows, shape)

    assert {fold.gap_bars for fold in folds} == {horizon - 1}
    assert {fold.validation.start - fold.train.stop for fold in folds} == {horizon - 1}


@given(rows=st.integers(100, 40_000), shape=shapes)
def test_test_spans_follow_one_another_to_the_last_development_row(
    rows: int, shape: dict[str, int | float]
) -> None:
    folds = made(rows, shape)

    tested = [row for fold in folds for row in fold.test]

    assert tested == list(range(folds[0].test.start, rows))
    assert folds[0].test.start - 1 < shape["first_train_share"] * rows <= folds[0].test.start
    assert max(len(f.test) for f in folds) - min(len(f.test) for f in folds) <= 1


@given(rows=st.integers(100, 40_000), shape=shapes)
def test_every_span_is_long_enough_to_be_used(rows: int, shape: dict[str, int | float]) -> None:
    folds = made(rows, shape)

    assert all(fold.train.start == 0 for fold in folds)
    assert min(len(fold.train) for fold in folds) >= shape["least_train_bars"]
    assert min(len(fold.validation) for fold in folds) >= shape["max_horizon_bars"]
    assert min(len(fold.test) for fold in folds) > shape["max_horizon_bars"]


def test_the_folds_of_a_small_history_are_these() -> None:
    folds = walk_forward(
        1_000, folds=2, first_train_share=0.5, validation_share=0.2, max_horizon_bars=24, least_train_bars=100
    )

    assert folds == (
        Fold(train=range(354), validation=range(377, 477), test=range(500, 750)),
        Fold(train=range(554), validation=range(577, 727), test=range(750, 1_000)),
    )


def test_too_few_bars_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(DataError) as caught:
        walk_forward(700, folds=5, first_train_share=0.4, validation_share=0.15, max_horizon_bars=24)

    assert str(caught.value) == (
        "700 bars are too few for 5 folds with horizons up to 24: 893 are needed. "
        "Import more history, or lower validation.folds or the longest of target.horizons."
    )
    assert (
        len(walk_forward(893, folds=5, first_train_share=0.4, validation_share=0.15, max_horizon_bars=24))
        == 5
    )


def test_the_holdout_fold_learns_from_development_rows_whose_labels_are_known() -> None:
    fold = holdout_fold(1_000, 1_300, validation_share=0.2, max_horizon_bars=24)

    assert fold == Fold(train=range(754), validation=range(777, 977), test=range(1_000, 1_300))


@pytest.mark.parametrize(("development", "total"), [(100, 1_000), (1_000, 1_024), (1_000, 1_000)])
def test_a_holdout_that_is_too_short_on_either_side_is_refused(development: int, total: int) -> None:
    with pytest.raises(DataError, match="are needed"):
        holdout_fold(development, total, validation_share=0.2, max_horizon_bars=24)


@given(
    start=st.integers(0, 100), length=st.integers(1, 60), horizon=st.integers(1, 30), spare=st.integers(0, 40)
)
def test_a_scored_row_has_a_label_before_the_seal(start: int, length: int, horizon: int, spare: int) -> None:
    rows = range(start, start + length)
    seal = rows.stop + spare

    known = label_known(rows, horizon_bars=horizon, until_row=seal)

    assert [row for row, is_known in zip(rows, known, strict=True) if is_known] == [
        row for row in rows if row + horizon <= seal - 1
    ]


def test_rolling_folds_learn_from_as_many_rows_each() -> None:
    shares = {"first_train_share": 0.5, "validation_share": 0.2}
    folds = walk_forward(1_000, folds=4, **shares, max_horizon_bars=4, least_train_bars=50, rolling_bars=0)
    assert [fold.test.start - fold.train.start for fold in folds] == [500] * 4
    assert [fold.train.start for fold in folds] == [0, 125, 250, 375]
    shorter = walk_forward(
        1_000, folds=4, **shares, max_horizon_bars=4, least_train_bars=50, rolling_bars=200
    )
    assert [fold.test.start - fold.train.start for fold in shorter] == [200] * 4
    assert [fold.test for fold in shorter] == [fold.test for fold in folds]


def test_a_rolling_fold_never_learns_from_fewer_rows_than_a_fit_needs() -> None:
    shares = {"first_train_share": 0.5, "validation_share": 0.2}
    folds = walk_forward(1_000, folds=2, **shares, max_horizon_bars=4, least_train_bars=150, rolling_bars=10)
    assert all(len(fold.train) >= 150 for fold in folds)
