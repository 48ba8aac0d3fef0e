"""Metrics: every loss against an independent oracle, every average against a hand-worked table."""

import numpy as np
import pytest
import scoringrules as sr
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from longshort.models.forecast import Forecast, StudentT
from longshort.study.folds import Fold
from longshort.study.metrics import (
    Truth,
    coverage,
    majority_losses,
    mean_loss,
    per_instant,
    pinball,
    pit_histogram,
    qlike,
    row_losses,
    score_forecast,
    truth_of,
    winkler,
)

DENSITY_LOSSES = ("crps", "log_score", "qlike", "brier", "pinball", "winkler")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def a_law(rng: np.random.Generator, shape: tuple[int, int, int]) -> StudentT:
    return StudentT(
        loc=rng.normal(scale=1e-3, size=shape),
        scale=np.exp(rng.normal(scale=0.7, size=shape)) * 1e-2,
        df=rng.uniform(2.2, 40.0, size=shape),
    )


def drawn(law: StudentT, rng: np.random.Generator) -> np.ndarray:
    return law.loc + law.scale * rng.standard_t(law.df)


def forecast_of(law: StudentT, horizons: tuple[int, ...]) -> Forecast:
    rows, assets, _ = law.loc.shape
    symbols = tuple(f"COIN{a}" for a in range(assets))
    closed_at = np.arange(rows, dtype=np.int64)
    return Forecast(model="model", closed_at=closed_at, symbols=symbols, horizons=horizons, law=law)


def truth_about(outcome: np.ndarray, *, naive_error: float = 0.01, up_share: float = 0.5) -> Truth:
    return Truth(
        outcome=outcome,
        naive_error=np.full(outcome.shape, naive_error),
        up_share=np.full(outcome.shape, up_share),
    )


def test_crps_agrees_with_scoringrules(rng: np.random.Generator) -> None:
    law = a_law(rng, (40, 3, 2))
    outcome = drawn(law, rng)

    oracle = sr.crps_t(outcome, law.df, law.loc, law.scale)

    np.testing.assert_allclose(law.crps(outcome), oracle, rtol=1e-9)


def test_crps_agrees_with_its_definition_as_an_integral() -> None:
    law = StudentT(loc=np.full((1, 1, 1), 0.1), scale=np.full((1, 1, 1), 0.7), df=np.full((1, 1, 1), 3.0))
    exact = stats.t(df=3.0, loc=0.1, scale=0.7)

    below, _ = integrate.quad(lambda y: exact.cdf(y) ** 2, -np.inf, 0.9)
    above, _ = integrate.quad(lambda y: exact.sf(y) ** 2, 0.9, np.inf)

    assert law.crps(np.full((1, 1, 1), 0.9)).item() == pytest.approx(below + above, rel=1e-6)


def test_log_density_agrees_with_scipy_and_with_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    law = a_law(rng, (40, 3, 2))
    outcome = drawn(law, rng)

    by_torch = torch.distributions.StudentT(*(torch.tensor(p) for p in (law.df, law.loc, law.scale)))

    np.testing.assert_allclose(
        law.log_density(outcome), stats.t.logpdf(outcome, law.df, law.loc, law.scale), rtol=1e-10
    )
    np.testing.assert_allclose(
        law.log_density(outcome), by_torch.log_prob(torch.tensor(outcome)).numpy(), rtol=1e-8
    )


def test_cdf_quantile_and_variance_agree_with_scipy(rng: np.random.Generator) -> None:
    law = a_law(rng, (40, 3, 2))
    outcome = drawn(law, rng)
    exact = stats.t(df=law.df, loc=law.loc, scale=law.scale)

    np.testing.assert_allclose(law.cdf(outcome), exact.cdf(outcome), rtol=1e-9)
    np.testing.assert_allclose(law.quantile(0.05), exact.ppf(0.05), rtol=1e-8)
    np.testing.assert_allclose(law.variance(), exact.var(), rtol=1e-9)


def test_pinball_and_winkler_agree_with_scoringrules(rng: np.random.Generator) -> None:
    law = a_law(rng, (50, 2, 2))
    outcome = drawn(law, rng)
    low, high = law.quantile(0.05), law.quantile(0.95)

    np.testing.assert_allclose(pinball(outcome, low, 0.05), sr.quantile_score(outcome, low, 0.05), rtol=1e-12)
    np.testing.assert_allclose(
        winkler(outcome, low, high, 0.9), sr.interval_score(outcome, low, high, 0.1), rtol=1e-9
    )


def test_the_named_losses_are_what_their_names_say(rng: np.random.Generator) -> None:
    law = a_law(rng, (30, 2, 2))
    outcome = drawn(law, rng)

    losses = row_losses(forecast_of(law, (1, 4)), truth_about(outcome, naive_error=0.02))

    np.testing.assert_allclose(losses["mae"], np.abs(outcome - law.loc))
    np.testing.assert_allclose(losses["mse"], (outcome - law.loc) ** 2)
    np.testing.assert_allclose(losses["mase"], np.abs(outcome - law.loc) / 0.02)
    np.testing.assert_allclose(losses["crps"], sr.crps_t(outcome, law.df, law.loc, law.scale), rtol=1e-9)
    np.testing.assert_allclose(
        losses["log_score"], -stats.t.logpdf(outcome, law.df, law.loc, law.scale), rtol=1e-10
    )
    np.testing.assert_allclose(
        losses["winkler"],
        sr.interval_score(outcome, law.quantile(0.05), law.quantile(0.95), 0.1),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        losses["brier"], (stats.t.sf(0.0, law.df, law.loc, law.scale) - (outcome > 0)) ** 2, atol=1e-12
    )
    np.testing.assert_array_equal(losses["miss"], np.sign(outcome) != np.sign(law.loc))


@given(error=st.floats(0.05, 0.9), sign=st.sampled_from([-1.0, 1.0]))
def test_qlike_is_smallest_in_expectation_at_the_true_variance(error: float, sign: float) -> None:
    rng = np.random.default_rng(1)
    outcome = rng.normal(size=(200_000, 1, 1))
    outcome /= outcome.std()

    right = qlike(outcome, np.ones_like(outcome)).mean()
    wrong = qlike(outcome, np.full_like(outcome, np.exp(sign * error))).mean()

    assert right < wrong


def test_qlike_is_defined_where_nothing_moved() -> None:
    assert qlike(np.zeros((1, 1, 1)), np.full((1, 1, 1), 4.0)).item() == pytest.approx(np.log(4.0))


def test_every_density_loss_prefers_the_law_that_drew_the_outcome(rng: np.random.Generator) -> None:
    shape = (20_000, 1, 1)
    right = StudentT(loc=np.full(shape, 0.3), scale=np.ones(shape), df=np.full(shape, 5.0))
    wide = StudentT(loc=right.loc, scale=1.3 * right.scale, df=right.df)
    truth = truth_about(drawn(right, rng))

    true_scores = score_forecast(forecast_of(right, (1,)), truth)[1]
    wide_scores = score_forecast(forecast_of(wide, (1,)), truth)[1]

    assert [name for name in DENSITY_LOSSES if true_scores[name] >= wide_scores[name]] == []


def test_a_forecast_without_a_density_has_point_scores_only(rng: np.random.Generator) -> None:
    nothing = np.full((10, 2, 1), np.nan)
    law = StudentT(loc=np.full((10, 2, 1), 0.01), scale=nothing, df=nothing)
    outcome = rng.normal(size=(10, 2, 1))
    forecast = forecast_of(law, (1,))

    scores = score_forecast(forecast, truth_about(outcome))[1]

    assert [name for name in DENSITY_LOSSES if not np.isnan(scores[name])] == []
    assert scores["mae"] == pytest.approx(np.abs(outcome - 0.01).mean())
    assert scores["rmse"] == pytest.approx(np.sqrt(((outcome - 0.01) ** 2).mean()))
    assert np.isnan(coverage(forecast, truth_about(outcome))[1][0.9])
    assert pit_histogram(forecast, truth_about(outcome)) == {}


def test_a_location_of_zero_and_a_return_of_zero_have_no_direction() -> None:
    loc = np.array([0.1, 0.0, 0.1, -0.1]).reshape(4, 1, 1)
    law = StudentT(loc=loc, scale=np.ones((4, 1, 1)), df=np.full((4, 1, 1), 5.0))
    outcome = np.array([1.0, 1.0, 0.0, 1.0]).reshape(4, 1, 1)

    scores = score_forecast(forecast_of(law, (1,)), truth_about(outcome, up_share=0.6))[1]

    assert (scores["n"], scores["n_direction"]) == (4.0, 2.0)
    assert scores["accuracy"] == 0.5
    assert scores["majority_accuracy"] == 1.0


def test_the_majority_is_the_one_of_training_whatever_the_test_rows_say() -> None:
    outcome = np.array([1.0, 1.0, 1.0, -1.0]).reshape(4, 1, 1)

    losses = majority_losses(truth_about(outcome, up_share=0.4))

    assert losses["miss"].ravel().tolist() == [1.0, 1.0, 1.0, 0.0]
    np.testing.assert_allclose(losses["brier"].ravel(), [0.36, 0.36, 0.36, 0.16])


def test_coverage_of_the_true_law_is_nominal_and_its_pit_level(rng: np.random.Generator) -> None:
    law = a_law(rng, (20_000, 2, 1))
    truth = truth_about(drawn(law, rng))
    forecast = forecast_of(law, (4,))

    shares = coverage(forecast, truth)[4]
    histogram = pit_histogram(forecast, truth)[4]

    np.testing.assert_allclose([shares[p] for p in (0.5, 0.8, 0.9, 0.95)], [0.5, 0.8, 0.9, 0.95], atol=0.012)
    assert len(histogram) == 20
    assert sum(histogram) == pytest.approx(1.0)
    np.testing.assert_allclose(histogram, 0.05, atol=0.005)


def test_coverage_counts_outcomes_inside_the_central_interval() -> None:
    law = StudentT(loc=np.zeros((4, 1, 1)), scale=np.ones((4, 1, 1)), df=np.full((4, 1, 1), 5.0))
    edge = stats.t.ppf(0.95, 5.0)
    outcome = np.array([edge - 0.01, -edge + 0.01, edge + 0.01, 0.0]).reshape(4, 1, 1)

    assert coverage(forecast_of(law, (1,)), truth_about(outcome), levels=(0.9,)) == {1: {0.9: 0.75}}


def test_every_instant_weighs_the_same_however_many_coins_it_has() -> None:
    loss = np.array([[1.0, 3.0, 5.0], [7.0, np.nan, np.nan], [np.nan, np.nan, np.nan]])

    np.testing.assert_array_equal(per_instant(loss), [3.0, 7.0, np.nan])
    assert mean_loss(loss) == 5.0
    assert np.isnan(mean_loss(loss[2:]))


def test_scales_and_shares_come_from_the_training_rows_of_each_fold_alone() -> None:
    outcome = np.array([1.0, -3.0, 100.0, 100.0, 100.0, -5.0, 100.0, 100.0]).reshape(8, 1, 1)
    folds = (
        Fold(train=range(2), validation=range(2, 3), test=range(3, 5)),
        Fold(train=range(3), validation=range(3, 5), test=range(5, 8)),
    )

    truth = truth_of(outcome, np.ones((8, 1, 1), dtype=bool), folds, (1,))

    np.testing.assert_allclose(truth.naive_error.ravel(), [2.0, 2.0] + [104.0 / 3.0] * 3)
    np.testing.assert_allclose(truth.up_share.ravel(), [0.5, 0.5] + [2.0 / 3.0] * 3)
    np.testing.assert_array_equal(truth.outcome.ravel(), [100.0, 100.0, -5.0, 100.0, np.nan])


@given(horizons=st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True), last=st.integers(12, 30))
def test_no_scored_row_has_a_label_beyond_the_last_test_row(horizons: list[int], last: int) -> None:
    shape = (40, 2, len(horizons))
    folds = (Fold(train=range(6), validation=range(6, 9), test=range(10, last)),)

    truth = truth_of(np.ones(shape), np.ones(shape, dtype=bool), folds, tuple(horizons))

    scored = (~np.isnan(truth.outcome)).sum(axis=0)
    assert scored.tolist() == [[max(last - h - 10, 0) for h in horizons]] * 2


def test_absent_rows_are_neither_scored_nor_learned_from() -> None:
    outcome = np.array([[1.0, 9.0], [2.0, 9.0], [3.0, 9.0], [4.0, 9.0], [5.0, 9.0]])[:, :, None]
    present = np.array([[1, 0], [0, 0], [1, 1], [1, 0], [1, 1]], dtype=bool)[:, :, None]
    folds = (Fold(train=range(2), validation=range(2, 2), test=range(2, 5)),)

    truth = truth_of(outcome, present, folds, (1,))

    np.testing.assert_array_equal(truth.outcome[..., 0], [[3.0, 9.0], [4.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(truth.naive_error[..., 0], np.ones((3, 2)))


def test_what_the_test_rows_say_never_reaches_the_reference(rng: np.random.Generator) -> None:
    outcome = rng.normal(size=(60, 2, 1))
    folds = (Fold(train=range(20), validation=range(20, 30), test=range(30, 60)),)
    changed = np.concatenate([outcome[:20], rng.normal(size=(40, 2, 1))])
    present = np.ones(outcome.shape, dtype=bool)

    before, after = truth_of(outcome, present, folds, (1,)), truth_of(changed, present, folds, (1,))

    np.testing.assert_array_equal(before.naive_error, after.naive_error)
    np.testing.assert_array_equal(before.up_share, after.up_share)
