"""Tests by name: they are what their authors wrote, and wrong as often as they say."""

import sys
from math import sqrt

import arch.bootstrap as oracle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from longshort.base.errors import MissingExtra
from longshort.study.significance import long_run_variance
from longshort.study.statistics.many import Draws, against, block_of, confidence_set, stretches
from longshort.study.statistics.multiple import benjamini_hochberg
from longshort.study.statistics.pairwise import (
    adjusted_gain,
    clark_west,
    diebold_mariano,
    favored,
    giacomini_white,
    long_run,
    on_even_grid,
    understatement,
)

DRAWS = Draws(reps=300, seed=7, block_bars=10.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def moving(rng: np.random.Generator, bars: int, *, overlap: int) -> np.ndarray:
    """Gains of no skill that are dependent as overlapping labels make them."""
    return np.convolve(rng.normal(size=bars + overlap - 1), np.ones(overlap), mode="valid")


def clustered(rng: np.random.Generator, bars: int) -> np.ndarray:
    """Gains of no skill whose sign and size last."""
    log_scale = signal.lfilter([0.14], [1.0, -0.98], rng.normal(size=bars + 300))
    return (signal.lfilter([1.0], [1.0, -0.6], rng.standard_t(5, size=bars + 300)) * np.exp(log_scale))[
        -bars:
    ]


def largest_honest_count(trials: int, rate: float) -> int:
    return int(stats.binom.ppf(0.999, trials, rate))


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_diebold_mariano_is_the_published_formula_worked_by_hand(
    rng: np.random.Generator, horizon: int
) -> None:
    gain = 0.4 + moving(rng, 60, overlap=horizon)
    mean = gain.sum() / 60
    covariance = [
        sum((gain[t] - mean) * (gain[t - k] - mean) for t in range(k, 60)) / 60 for k in range(horizon)
    ]
    plain = mean / sqrt((covariance[0] + 2 * sum(covariance[1:])) / 60)
    corrected = plain * sqrt((60 + 1 - 2 * horizon + horizon * (horizon - 1) / 60) / 60)

    test = diebold_mariano(gain, horizon_bars=horizon)

    assert test.statistic == pytest.approx(corrected, rel=1e-10)
    assert test.p_value == pytest.approx(stats.t(59).sf(corrected), rel=1e-10)
    assert (test.n, test.lags, test.mean) == (60, horizon - 1, pytest.approx(mean))


def test_one_bar_ahead_diebold_mariano_is_a_t_test(rng: np.random.Generator) -> None:
    gain = 0.2 + rng.normal(size=80)

    known = stats.ttest_1samp(gain, 0.0, alternative="greater")

    test = diebold_mariano(gain, horizon_bars=1)
    assert test.statistic == pytest.approx(known.statistic, rel=1e-10)
    assert test.p_value == pytest.approx(known.pvalue, rel=1e-10)


@pytest.mark.parametrize("horizon", [2, 5])
def test_unweighted_lags_are_those_of_statsmodels(rng: np.random.Generator, horizon: int) -> None:
    gain = 0.3 + moving(rng, 400, overlap=horizon)
    fitted = OLS(gain, np.ones(400)).fit(
        cov_type="HAC", cov_kwds={"maxlags": horizon - 1, "kernel": "uniform", "use_correction": False}
    )
    correction = sqrt((401 - 2 * horizon + horizon * (horizon - 1) / 400) / 400)

    test = diebold_mariano(gain, horizon_bars=horizon)

    assert test.statistic == pytest.approx(fitted.tvalues.item() * correction, rel=1e-8)


def test_a_sum_of_covariances_below_zero_is_no_test() -> None:
    test = diebold_mariano(np.tile([1.0, -1.0], 30) + 0.01, horizon_bars=2)

    assert (test.p_value, test.reason) == (1.0, "the variance with 1 lags is not above zero")


@pytest.mark.parametrize(("horizon", "bars"), [(1, 16 + 8), (1, 60), (4, 60)])
def test_diebold_mariano_is_wrong_as_often_as_it_says_in_short_series(
    rng: np.random.Generator, horizon: int, bars: int
) -> None:
    tests = [diebold_mariano(moving(rng, bars, overlap=horizon), horizon_bars=horizon) for _ in range(2_000)]

    wrong = sum(test.p_value < 0.05 for test in tests)

    assert wrong <= largest_honest_count(2_000, 0.05 if horizon == 1 else 0.08)
    assert wrong >= int(stats.binom.ppf(0.001, 2_000, 0.05))


def test_where_losses_cluster_h_minus_1_lags_are_too_sure_and_the_long_run_is_not(
    rng: np.random.Generator,
) -> None:
    gains = [clustered(rng, 1_500) for _ in range(300)]

    short = sum(diebold_mariano(gain, horizon_bars=1).p_value < 0.05 for gain in gains)
    whole = sum(long_run(gain, horizon_bars=1).p_value < 0.05 for gain in gains)

    assert short > 2 * largest_honest_count(300, 0.05)
    assert whole <= largest_honest_count(300, 0.05)
    assert np.median([understatement(gain, horizon_bars=1) for gain in gains]) > 1.5


def test_nothing_is_understated_where_gains_are_independent(rng: np.random.Generator) -> None:
    ratios = [understatement(rng.normal(size=2_000), horizon_bars=1) for _ in range(60)]

    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("lags", [0, 3, 40])
def test_the_long_run_statistic_is_a_regression_on_a_constant_with_newey_and_west(
    rng: np.random.Generator, lags: int
) -> None:
    gain = 0.1 + clustered(rng, 700)
    kinds = {"maxlags": lags, "use_correction": False}
    fitted = OLS(gain, np.ones(700)).fit(cov_type="HAC", cov_kwds=kinds)

    test = long_run(gain, horizon_bars=1, lags=lags)

    assert test.statistic == pytest.approx(fitted.tvalues.item(), rel=1e-8)


def test_giacomini_white_is_n_times_r_squared_of_a_regression_of_one(rng: np.random.Generator) -> None:
    gain = 0.1 + clustered(rng, 500)
    moments = np.column_stack([gain[1:], gain[:-1] * gain[1:]])
    fitted = OLS(np.ones(499), moments).fit()

    test = giacomini_white(gain, horizon_bars=1)

    assert test.statistic == pytest.approx(499 * (1.0 - fitted.ssr / 499), rel=1e-8)
    assert test.p_value == pytest.approx(stats.chi2(2).sf(test.statistic), rel=1e-8)
    assert (test.n, test.lags) == (499, 0)


def test_giacomini_white_beyond_one_bar_has_the_covariance_of_statsmodels(rng: np.random.Generator) -> None:
    gain = 0.1 + moving(rng, 500, overlap=4)
    moments = np.column_stack([gain[4:], gain[:-4] * gain[4:]])
    lagged = [moments[k:].T @ moments[: len(moments) - k] for k in range(4)]
    spread = lagged[0] + sum((1.0 - k / 4.0) * (lagged[k] + lagged[k].T) for k in range(1, 4))
    total = moments.sum(axis=0)

    test = giacomini_white(gain, horizon_bars=4)

    assert test.statistic == pytest.approx(total @ np.linalg.inv(spread) @ total, rel=1e-8)
    assert (test.n, test.lags) == (496, 3)


def test_giacomini_white_is_wrong_as_often_as_it_says(rng: np.random.Generator) -> None:
    scale = [np.exp(signal.lfilter([0.3], [1.0, -0.9], rng.normal(size=400))) for _ in range(1_000)]
    tests = [giacomini_white(s * rng.normal(size=400), horizon_bars=1) for s in scale]

    wrong = sum(test.p_value < 0.05 for test in tests)

    assert wrong <= largest_honest_count(1_000, 0.05)


def test_a_gain_that_comes_and_goes_is_found_where_its_mean_is_zero(rng: np.random.Generator) -> None:
    gain = signal.lfilter([1.0], [1.0, -0.5], rng.normal(size=2_000))
    gain -= gain.mean()

    test = giacomini_white(gain, horizon_bars=1)

    assert test.p_value < 1e-6
    assert diebold_mariano(gain, horizon_bars=1).p_value == pytest.approx(0.5)
    assert favored(gain, horizon_bars=1) == pytest.approx(0.5, abs=0.05)


@given(scale=st.floats(1e-9, 1e9))
def test_the_unit_of_a_loss_does_not_matter(scale: float) -> None:
    gain = 0.1 + moving(np.random.default_rng(5), 200, overlap=2)

    assert giacomini_white(scale * gain, horizon_bars=2).p_value == pytest.approx(
        giacomini_white(gain, horizon_bars=2).p_value, rel=1e-6
    )
    assert diebold_mariano(scale * gain, horizon_bars=2).p_value == pytest.approx(
        diebold_mariano(gain, horizon_bars=2).p_value, rel=1e-6
    )


def test_clark_west_is_a_regression_of_the_adjusted_gain_on_a_constant(rng: np.random.Generator) -> None:
    came, small, large = rng.normal(size=(3, 600)) * [[1.0], [0.0], [0.1]]
    by_hand = came**2 - ((came - large) ** 2 - large**2)
    fitted = OLS(by_hand, np.ones(600)).fit(cov_type="HAC", cov_kwds={"maxlags": 5, "use_correction": False})

    test = clark_west(adjusted_gain(came, small, large), horizon_bars=1, lags=5)

    assert test.statistic == pytest.approx(fitted.tvalues.item(), rel=1e-8)
    assert test.mean == pytest.approx(2.0 * (came * large).mean())


def test_clark_west_gives_back_what_needless_parameters_cost(rng: np.random.Generator) -> None:
    """Of nested models of equal worth the larger one loses in squared error; only the adjusted gain is even."""
    plain, adjusted = [], []
    for _ in range(400):
        came, large = rng.normal(size=400), 0.15 * rng.normal(size=400)
        plain.append(diebold_mariano(came**2 - (came - large) ** 2, horizon_bars=1).p_value)
        adjusted.append(clark_west(adjusted_gain(came, np.zeros(400), large), horizon_bars=1).p_value)

    assert sum(p < 0.05 for p in plain) < 8
    assert sum(p < 0.05 for p in adjusted) <= largest_honest_count(400, 0.05)
    assert sum(p < 0.5 for p in adjusted) == pytest.approx(200, abs=35)


def test_clark_west_finds_a_mean_that_is_known_in_part(rng: np.random.Generator) -> None:
    known = 0.15 * rng.normal(size=3_000)
    came = known + rng.normal(size=3_000)

    test = clark_west(adjusted_gain(came, np.zeros(3_000), known), horizon_bars=1)

    assert test.p_value < 1e-4


@pytest.mark.parametrize("tested", [diebold_mariano, long_run, giacomini_white, clark_west])
@pytest.mark.parametrize("gain", [np.full(200, np.nan), np.zeros(0), np.zeros(200), np.arange(6.0)])
def test_what_cannot_be_tested_is_never_significant_and_says_why(tested: object, gain: np.ndarray) -> None:
    test = tested(gain, horizon_bars=2)

    assert test.p_value == 1.0
    assert np.isnan(test.statistic)
    assert test.reason


def test_instants_without_a_score_keep_their_neighbors_apart(rng: np.random.Generator) -> None:
    gain = moving(rng, 300, overlap=3)
    gain[100:110] = gain[:5] = gain[-7:] = np.nan
    centered = np.nan_to_num(gain - np.nanmean(gain))
    n = np.isfinite(gain).sum()
    variance = sum(centered[k:] @ centered[: 300 - k] * (1 if k == 0 else 2) for k in range(3)) / n
    correction = sqrt((n - 5 + 6 / n) / n)

    test = diebold_mariano(gain, horizon_bars=3)

    assert test.n == n
    assert test.statistic == pytest.approx(correction * np.nanmean(gain) / sqrt(variance / n), rel=1e-10)


def test_who_speaks_once_a_day_is_tested_day_by_day(rng: np.random.Generator) -> None:
    daily = rng.normal(size=100)
    gain = np.full(2_400, np.nan)
    gain[5::24] = daily

    even, steps = on_even_grid(gain, np.arange(7_000, 9_400), horizon_bars=24)

    np.testing.assert_array_equal(even, daily)
    assert steps == 1
    assert on_even_grid(gain, np.arange(2_400), horizon_bars=48)[1] == 2


@pytest.mark.parametrize("count", [1, 2, 3, 9, 30])
def test_benjamini_hochberg_is_that_of_statsmodels(rng: np.random.Generator, count: int) -> None:
    p_values = rng.beta(0.3, 1.0, size=count).round(2).tolist()

    np.testing.assert_allclose(
        benjamini_hochberg(p_values), multipletests(p_values, method="fdr_bh")[1], rtol=1e-12
    )


def test_nothing_corrected_is_nothing() -> None:
    assert benjamini_hochberg([]) == []


def losses_of(rng: np.random.Generator, bars: int, better: tuple[float, ...]) -> np.ndarray:
    """A shared loss, noise of each one's own, and by how much each is better than the first."""
    shared = np.exp(signal.lfilter([0.3], [1.0, -0.9], rng.normal(size=bars)))[:, None]
    return shared + 0.3 * rng.normal(size=(bars, 1 + len(better))) - np.array([0.0, *better])


def test_superiority_is_that_of_arch_on_gains_in_long_run_standard_deviations(
    rng: np.random.Generator,
) -> None:
    losses = losses_of(rng, 400, (0.02, -0.02, 0.0))
    gain = losses[:, :1] - losses[:, 1:]
    spread = np.sqrt([long_run_variance(column, lags=19) for column in gain.T])
    known = oracle.SPA(np.zeros(400), -gain / spread, block_size=10, reps=300, seed=7)
    known.compute()

    test = against(losses[:, 0], losses[:, 1:], draws=DRAWS)

    assert (test.p_lower, test.p_value, test.p_upper) == pytest.approx(tuple(known.pvalues), abs=1e-12)
    assert 0.0 < test.p_value < 1.0
    assert (test.n, test.block_bars) == (400, 10.0)


def test_the_list_of_superior_rivals_is_that_of_arch(rng: np.random.Generator) -> None:
    losses = losses_of(rng, 400, (0.08, -0.02, 0.0, 0.06))
    gain = losses[:, :1] - losses[:, 1:]
    spread = np.sqrt([long_run_variance(column, lags=19) for column in gain.T])
    known = oracle.StepM(np.zeros(400), -gain / spread, block_size=10, reps=300, seed=7)
    known.compute()

    test = against(losses[:, 0], losses[:, 1:], draws=DRAWS)

    assert test.better == tuple(known.superior_models) == (0, 3)
    assert test.p_value == 0.0


def test_rivals_that_are_all_better_are_named_though_one_is_found_only_after_the_other(
    rng: np.random.Generator,
) -> None:
    gain = rng.normal(size=(400, 2))
    gain = (gain - gain.mean(axis=0)) / gain.std(axis=0)
    steps = [gain + np.array([1.0, z / 20.0]) for z in np.linspace(1.4, 2.2, 9)]

    better = [against(np.zeros(400), -each, draws=DRAWS).better for each in steps]

    assert better == sorted(better)
    assert (better[0], better[-1]) == ((0,), (0, 1))


def test_where_no_rival_is_better_on_average_p_is_one(rng: np.random.Generator) -> None:
    losses = losses_of(rng, 400, (-0.2, -0.1))

    test = against(losses[:, 0], losses[:, 1:], draws=DRAWS)

    assert (test.p_value, test.better, test.reason) == (1.0, (), "")


def test_the_confidence_set_is_that_of_arch(rng: np.random.Generator) -> None:
    losses = losses_of(rng, 400, (0.03, -0.08, 0.02))
    known = oracle.MCS(losses, size=0.10, block_size=10, reps=300, seed=7)
    known.compute()

    found = confidence_set(losses, draws=DRAWS)

    np.testing.assert_allclose(found.p_values, known.pvalues["Pvalue"].sort_index(), atol=1e-12)
    assert [k for k, inside in enumerate(found.included) if inside] == known.included
    assert found.included[2] is False


def test_forecasters_with_the_very_same_losses_share_a_place(rng: np.random.Generator) -> None:
    losses = losses_of(rng, 300, (-0.2, 0.0))

    twice = confidence_set(losses[:, [0, 1, 0, 2]], draws=DRAWS)
    identical = confidence_set(losses[:, [0, 0]], draws=DRAWS)
    no_rival = against(losses[:, 0], losses[:, [0]], draws=DRAWS)

    assert twice.p_values[0] == twice.p_values[2]
    assert twice.included == (True, False, True, twice.included[3])
    assert (identical.reason, identical.included) == ("all losses are the same", (False, False))
    assert (no_rival.p_value, no_rival.reason) == (1.0, "no rival differs")


def test_a_row_that_somebody_leaves_out_is_left_out_for_all(rng: np.random.Generator) -> None:
    losses = losses_of(rng, 400, (0.05, 0.0))
    holed = np.insert(losses, [100, 300], [[np.nan, 9.0, 9.0], [1.0, np.nan, 2.0]], axis=0)

    assert confidence_set(holed, draws=DRAWS) == confidence_set(losses, draws=DRAWS)
    assert against(holed[:, 0], holed[:, 1:], draws=DRAWS) == against(
        losses[:, 0], losses[:, 1:], draws=DRAWS
    )


def test_too_few_rows_are_no_test(rng: np.random.Generator) -> None:
    losses = losses_of(rng, 49, (0.5,))

    assert against(losses[:, 0], losses[:, 1:]).reason == "49 instants are scored for all"
    assert confidence_set(losses).reason == "49 instants are scored for all"
    assert confidence_set(losses).included == (False, False)


@given(rows=st.integers(2, 400), most=st.integers(1, 50))
def test_stretches_keep_every_mean(rows: int, most: int) -> None:
    losses = np.random.default_rng(rows).normal(size=(rows, 3))

    summed, stretch = stretches(losses, most=most)

    np.testing.assert_allclose(summed.mean(axis=0), losses.mean(axis=0), atol=1e-12)
    assert len(summed) <= most
    assert stretch == pytest.approx(rows / len(summed))


def test_the_block_is_the_longest_that_any_pair_needs(rng: np.random.Generator) -> None:
    pairs = np.column_stack([rng.normal(size=500), signal.lfilter([1.0], [1.0, -0.9], rng.normal(size=500))])

    needed = oracle.optimal_block_length(pairs)["stationary"].to_numpy()

    assert block_of(pairs) == pytest.approx(needed[1])
    assert needed[1] > needed[0]
    assert block_of(np.zeros((100, 2))) == 1.0


def test_summing_over_stretches_hardly_moves_an_answer(rng: np.random.Generator) -> None:
    losses = losses_of(rng, 2_400, (0.012, 0.0))
    gain = losses[:, :1] - losses[:, 1:]
    spread = np.sqrt([long_run_variance(column, lags=59) for column in gain.T])
    whole = oracle.SPA(np.zeros(2_400), -gain / spread, block_size=30, reps=1_000, seed=3)
    whole.compute()

    test = against(losses[:, 0], losses[:, 1:], draws=Draws(block_bars=30.0))

    assert test.p_value == pytest.approx(whole.pvalues["consistent"], abs=0.05)


def test_equal_rivals_are_called_better_no_more_often_than_it_says(rng: np.random.Generator) -> None:
    draws = Draws(reps=200)

    def fooled() -> bool:
        losses = np.column_stack([clustered(rng, 600) for _ in range(4)])
        return bool(against(losses[:, 0], losses[:, 1:], draws=draws).better)

    assert sum(fooled() for _ in range(60)) <= largest_honest_count(60, 0.05)


def test_a_missing_library_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)

    with pytest.raises(MissingExtra, match=r"arch is not installed\. .*longshort\[baselines\]"):
        confidence_set(np.ones((60, 2)))
