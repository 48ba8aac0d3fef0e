"""Significance: the test is wrong as often as it says, no more, and finds what is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.sandwich_covariance import cov_hac

from longshort.study.significance import (
    bars_to_decide,
    bars_to_rule_out,
    critical_value,
    holm,
    long_run_variance,
    mean_above_zero,
    normal_equivalent,
    skill_test,
)

SIMULATIONS = 400


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def clustered(rng: np.random.Generator, bars: int, *, overlap: int = 1) -> np.ndarray:
    """Gains of no skill: fat tails, persistent volatility, autocorrelation, overlapping labels."""
    length = bars + overlap + 300
    log_scale = signal.lfilter([0.2 * 0.7], [1.0, -0.98], rng.normal(size=length))
    gain = signal.lfilter([1.0], [1.0, -0.6], rng.standard_t(5, size=length)) * np.exp(log_scale)
    return np.convolve(gain, np.ones(overlap), mode="valid")[-bars:]


def largest_honest_count(rate: float) -> int:
    return int(stats.binom.ppf(0.999, SIMULATIONS, rate))


@pytest.mark.parametrize(("bars", "horizon"), [(2_500, 1), (2_500, 4), (3_000, 24)])
def test_luck_is_called_skill_no_more_often_than_one_time_in_twenty(
    rng: np.random.Generator, bars: int, horizon: int
) -> None:
    gains = [clustered(rng, bars, overlap=horizon) for _ in range(SIMULATIONS)]
    rows = np.arange(bars, dtype=np.int64)

    fooled = sum(skill_test(gain, rows, horizon_bars=horizon).p_value < 0.05 for gain in gains)
    naive = sum(stats.ttest_1samp(gain, 0.0, alternative="greater").pvalue < 0.05 for gain in gains)

    assert fooled <= largest_honest_count(0.05)
    assert naive > 1.5 * largest_honest_count(0.05)


def test_p_values_of_no_skill_are_uniform_at_one_bar(rng: np.random.Generator) -> None:
    rows = np.arange(2_500, dtype=np.int64)

    p_values = [skill_test(clustered(rng, 2_500), rows, horizon_bars=1).p_value for _ in range(SIMULATIONS)]

    assert stats.kstest(p_values, "uniform").pvalue > 0.001


def test_a_real_gain_is_found(rng: np.random.Generator) -> None:
    rows = np.arange(3_000, dtype=np.int64)
    gains = [clustered(rng, 3_000) for _ in range(60)]
    size = 4.0 * np.sqrt(np.mean([long_run_variance(g, lags=80) for g in gains]) / 3_000)

    found = sum(skill_test(gain + size, rows, horizon_bars=1).p_value < 0.05 for gain in gains)

    assert found >= 54


def test_the_interval_holds_the_truth_nineteen_times_in_twenty(rng: np.random.Generator) -> None:
    rows = np.arange(2_500, dtype=np.int64)

    tests = [skill_test(0.1 + clustered(rng, 2_500), rows, horizon_bars=1) for _ in range(SIMULATIONS)]

    missed = sum(abs(test.mean - 0.1) > test.half_width for test in tests)

    assert missed <= largest_honest_count(0.05)
    assert missed >= int(stats.binom.ppf(0.001, SIMULATIONS, 0.05))


@pytest.mark.parametrize("lags", [0, 1, 26, 72])
def test_the_long_run_variance_is_that_of_statsmodels(rng: np.random.Generator, lags: int) -> None:
    gain = clustered(rng, 900)
    fitted = OLS(gain, np.ones(900)).fit()

    oracle = 900 * cov_hac(fitted, nlags=lags, use_correction=False).item()

    assert long_run_variance(gain, lags=lags) == pytest.approx(oracle, rel=1e-10)


def test_missing_instants_keep_their_neighbors_apart(rng: np.random.Generator) -> None:
    gain = clustered(rng, 60)
    gain[10:20] = np.nan
    known = ~np.isnan(gain)
    centered = gain - gain[known].mean()
    pairs = [(i, j) for i in np.flatnonzero(known) for j in np.flatnonzero(known) if abs(i - j) <= 3]

    by_hand = sum((1.0 - abs(i - j) / 4.0) * centered[i] * centered[j] for i, j in pairs) / known.sum()

    assert long_run_variance(gain, lags=3) == pytest.approx(by_hand, rel=1e-12)


def test_rows_left_out_and_rows_without_a_score_are_the_same_thing(rng: np.random.Generator) -> None:
    gain = clustered(rng, 1_000)
    gain[300:350] = gain[:30] = gain[-24:] = np.nan
    rows = np.arange(5_000, 6_000)
    known = ~np.isnan(gain)

    with_holes = skill_test(gain, rows, horizon_bars=4)
    left_out = skill_test(gain[known], rows[known], horizon_bars=4)

    assert with_holes == left_out


def test_critical_values_are_those_of_a_simulated_limit(rng: np.random.Generator) -> None:
    paths = rng.normal(size=(20_000, 500))
    centered = paths - paths.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centered, 1_000)) ** 2
    covariance = np.fft.irfft(spectrum, 1_000)[:, :100] / 500
    weights = 2.0 * (1.0 - np.arange(100) / 100)
    weights[0] = 1.0
    statistics = np.sqrt(500) * paths.mean(axis=1) / np.sqrt(covariance @ weights)

    exceeded = [
        np.mean(np.abs(statistics) > critical_value(z, 0.2)) / 2 for z in (1.2816, 1.6449, 1.96, 2.3263)
    ]

    np.testing.assert_allclose(exceeded, [0.10, 0.05, 0.025, 0.01], atol=0.004)


@pytest.mark.parametrize(
    ("z", "share", "expected"),
    [
        (1.2816, 0.0, 1.2816),
        (1.6449, 0.1, 1.8663),
        (1.96, 0.5, 3.48215),
        (2.3263, 1.0, 6.1189),
        (5.0, 0.0, 5.0),
    ],
)
def test_critical_values_are_the_published_ones(z: float, share: float, expected: float) -> None:
    assert critical_value(z, share) == pytest.approx(expected, abs=1e-4)


@given(z=st.floats(-8.0, 8.0), share=st.floats(0.001, 0.5))
def test_the_normal_equivalent_undoes_the_critical_value(z: float, share: float) -> None:
    assert normal_equivalent(critical_value(z, share), share) == pytest.approx(z, abs=1e-8)


@given(low=st.floats(0.0, 40.0), step=st.floats(1e-6, 5.0), share=st.floats(0.001, 0.5))
def test_more_evidence_never_counts_for_less_and_wider_bandwidths_for_more(
    low: float, step: float, share: float
) -> None:
    assert normal_equivalent(low, share) < normal_equivalent(low + step, share)
    assert normal_equivalent(low, share) <= low * 1.0001


def test_the_bandwidth_follows_the_horizon_and_the_sample(rng: np.random.Generator) -> None:
    rows = np.arange(10_000, dtype=np.int64)
    gain = rng.normal(size=10_000)

    assert skill_test(gain[:150], rows[:150], horizon_bars=24).lags == 24 + 2 * 24
    assert skill_test(gain, rows, horizon_bars=1).lags == 399


def test_the_weaker_of_both_p_values_counts(rng: np.random.Generator) -> None:
    gain = 0.05 + rng.normal(size=4_000)
    rows = np.arange(1_003, 5_003)

    every = mean_above_zero(gain, lags=252)
    apart = mean_above_zero(gain[1::4], lags=63)
    both = skill_test(gain, rows, horizon_bars=4)

    assert both.p_value == apart.p_value > every.p_value
    assert both.half_width == apart.half_width > every.half_width
    assert both.mean == every.mean


def test_the_same_non_overlapping_instants_are_used_whatever_the_first_row(rng: np.random.Generator) -> None:
    gain = 0.05 * rng.normal(size=4_000)
    gain[::4] += rng.normal(size=1_000) - 0.3
    rows = np.arange(8_000, 12_000)

    p_values = [skill_test(gain[k:], rows[k:], horizon_bars=4).p_value for k in range(4)]

    assert min(p_values) > 0.999


@pytest.mark.parametrize(
    ("gain", "reason"),
    [
        (np.zeros(1_000), "the two never differ"),
        (np.full(1_000, 0.1), "their difference never varies"),
        (np.full(1_000, np.nan), "nothing is scored"),
        (np.r_[np.zeros(997), 1.0, 2.0, 3.0], "they differ at 3 instants and a test needs 50"),
        (np.arange(40.0), "40 instants are scored and a test needs 54"),
    ],
)
def test_what_cannot_be_tested_is_never_significant(gain: np.ndarray, reason: str) -> None:
    test = skill_test(gain, np.arange(len(gain)), horizon_bars=1)

    assert (test.p_value, test.reason) == (1.0, reason)


def test_too_few_non_overlapping_instants_are_no_test(rng: np.random.Generator) -> None:
    test = skill_test(1.0 + rng.normal(size=1_000), np.arange(1_000), horizon_bars=24)

    assert test.p_value == 1.0
    assert test.reason == "on non-overlapping instants, 42 instants are scored and a test needs 54"


@given(scale=st.floats(1e-9, 1e9))
def test_the_unit_of_a_gain_does_not_matter(scale: float) -> None:
    gain = 0.05 + np.random.default_rng(3).normal(size=500)

    assert mean_above_zero(scale * gain, lags=26).p_value == pytest.approx(
        mean_above_zero(gain, lags=26).p_value, rel=1e-6
    )


def test_the_number_of_bars_to_decide_gives_the_power_that_it_promises(rng: np.random.Generator) -> None:
    bars = bars_to_decide(float(stats.norm.sf(1.0)), 1_000)
    drift = 1.0 / np.sqrt(1_000)

    found = np.mean(rng.normal(drift * np.sqrt(bars), 1.0, size=20_000) > stats.norm.ppf(0.95))

    assert found == pytest.approx(0.80, abs=0.01)


def test_no_number_of_bars_proves_a_skill_that_is_not_there() -> None:
    assert bars_to_decide(0.5, 1_000) is None
    assert bars_to_decide(0.9, 1_000) is None
    assert bars_to_decide(1.0, 1_000) is None
    assert bars_to_rule_out(-0.1, 1.0, 1_000) is None
    assert bars_to_rule_out(0.1, float("nan"), 1_000) is None


@pytest.mark.parametrize("pairs", [1, 2, 3, 9, 12])
def test_holm_is_that_of_statsmodels(rng: np.random.Generator, pairs: int) -> None:
    p_values = rng.beta(0.3, 1.0, size=pairs).round(2).tolist()

    oracle = multipletests(p_values, method="holm")[1]

    np.testing.assert_allclose(holm(p_values), oracle, rtol=1e-12)


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


def test_a_forecaster_that_speaks_once_a_day_is_tested_in_days() -> None:
    rng = np.random.default_rng(4)
    daily = rng.normal(0.1, 1.0, size=900)
    gain = np.full(900 * 24, np.nan)
    gain[7::24] = daily
    spoken = skill_test(gain, np.arange(1_000, 1_000 + len(gain)), horizon_bars=24)
    alone = skill_test(daily, np.arange(900), horizon_bars=1)
    assert spoken == alone
    assert not spoken.reason
