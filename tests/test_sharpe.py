"""Sharpe ratios: the papers' printed examples, independent formulas, and whether the intervals hold what they say."""

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest
import statsmodels.api as sm
from arch.bootstrap import StationaryBootstrap
from scipy import integrate, stats

from longshort.study.statistics.sharpe import (
    Interval,
    Track,
    bootstrap_interval,
    deflated_sharpe,
    expected_maximum,
    hac_error,
    hac_interval,
    least_backtest_years,
    least_track_record,
    luckiest_sharpe,
    probabilistic_sharpe,
    sharpe_ratio,
    stationary_rows,
)

FUND = Track(periods=24, sharpe=0.458, skewness=-2.448, kurtosis=10.164)


def volatile(rng: np.random.Generator, periods: int, records: int) -> np.ndarray:
    """Records (rows) of returns around 0 whose volatility comes in clusters."""
    log_volatility = np.zeros((records, periods))
    for t in range(1, periods):
        log_volatility[:, t] = 0.95 * log_volatility[:, t - 1] + rng.normal(0.0, 0.15, records)
    return np.exp(log_volatility) * rng.standard_t(6, log_volatility.shape)


@pytest.mark.parametrize(
    ("track", "printed"), [(FUND, 0.913), (Track(periods=24, sharpe=0.458), 0.982)], ids=["its own", "normal"]
)
def test_psr_is_what_the_paper_prints_for_the_fund_of_two_years(track: Track, printed: float) -> None:
    assert round(probabilistic_sharpe(track), 3) == printed


@pytest.mark.parametrize(
    ("per_year", "skewness", "kurtosis", "printed"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_min_trl_is_what_the_paper_prints_for_a_sharpe_of_two_to_be_above_one(
    per_year: int, skewness: float, kurtosis: float, printed: float
) -> None:
    track = Track(periods=0, sharpe=2 / sqrt(per_year), skewness=skewness, kurtosis=kurtosis)

    assert round(least_track_record(track, 1 / sqrt(per_year)) / per_year, 2) == printed


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "printed"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_dsr_is_what_the_paper_prints_for_a_sharpe_of_two_and_a_half(
    trials: int, skewness: float, kurtosis: float, printed: float
) -> None:
    track = Track(periods=1_250, sharpe=2.5 / sqrt(250), skewness=skewness, kurtosis=kurtosis)

    assert round(deflated_sharpe(track, trials, variance=0.5 / 250), 4) == printed


def test_min_btl_is_what_the_paper_prints_for_ten_and_for_forty_five_trials() -> None:
    assert round(expected_maximum(10), 2) == 1.57
    assert round(least_backtest_years(45), 1) == 5.0


@pytest.mark.parametrize("trials", [5, 20, 100, 10_000])
def test_the_expected_maximum_is_that_of_normal_draws(trials: int) -> None:
    exact = integrate.quad(
        lambda x: x * trials * stats.norm.pdf(x) * stats.norm.cdf(x) ** (trials - 1), -9, 9, limit=200
    )[0]

    assert expected_maximum(trials) == pytest.approx(exact, rel=0.03)


def test_a_record_of_exactly_its_minimum_length_is_just_sure_enough() -> None:
    track = Track(periods=0, sharpe=0.1, skewness=-1.0, kurtosis=8.0)
    needed = least_track_record(track, 0.02)

    exactly = Track(periods=round(needed), sharpe=0.1, skewness=-1.0, kurtosis=8.0)
    assert probabilistic_sharpe(exactly, 0.02) == pytest.approx(0.95, abs=1e-3)
    assert least_track_record(track, 0.1) == inf


def test_the_moments_of_a_record_are_those_of_scipy(rng: np.random.Generator) -> None:
    returns = rng.standard_t(5, 300) * 0.01 + 0.001

    track = Track.of(returns)

    assert track.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    assert track.skewness == pytest.approx(stats.skew(returns), rel=1e-12)
    assert track.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-12)


def test_without_lags_the_error_is_mertens_formula(rng: np.random.Generator) -> None:
    returns = stats.skewnorm.rvs(5, size=500, random_state=rng) + 0.3
    track = Track.of(returns)
    plain = Track(
        periods=500, sharpe=returns.mean() / returns.std(), skewness=track.skewness, kurtosis=track.kurtosis
    )

    assert hac_error(returns, lags=0) == pytest.approx(plain.spread / sqrt(500), rel=1e-10)


@pytest.mark.parametrize("lags", [0, 5, 27])
def test_the_error_is_the_delta_method_on_statsmodels_matrix(lags: int, rng: np.random.Generator) -> None:
    returns = volatile(rng, 400, 1)[0] + 0.1
    moments = np.column_stack([returns, returns**2])
    mean, square = moments.mean(axis=0)
    variance = square - mean**2
    matrix = sm.stats.sandwich_covariance.S_hac_simple(moments - [mean, square], nlags=lags) / 400
    gradient = np.array([square, -mean / 2]) / variance**1.5

    expected = sqrt(gradient @ matrix @ gradient / 400)
    assert hac_error(returns, lags=lags) == pytest.approx(expected, rel=1e-8)


def test_both_intervals_hold_the_truth_as_often_as_they_say(rng: np.random.Generator) -> None:
    truth, records = 0.08, volatile(rng, 400, 300)
    shifted = records / records.std() + truth
    hac = [hac_interval(r) for r in shifted]
    bootstrap = [bootstrap_interval(r, resamples=200) for r in shifted]

    assert 0.91 <= np.mean([i.low <= truth <= i.high for i in hac]) <= 0.99
    assert 0.88 <= np.mean([i.low <= truth <= i.high for i in bootstrap]) <= 0.99


def test_the_bootstrap_scatters_as_archs_does(rng: np.random.Generator) -> None:
    returns = rng.normal(0.05, 1.0, 200)
    returns = returns + 0.5 * np.roll(returns, 1)
    theirs = StationaryBootstrap(10, returns, seed=7).apply(
        lambda r: np.array([r.mean() / r.std(ddof=1)]), 2_000
    )

    rows = stationary_rows(200, 2_000, mean_block=10.0, rng=rng)
    drawn = returns[rows]
    ours = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1)

    assert ours.std() == pytest.approx(theirs.std(), rel=0.06)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * theirs.std() / sqrt(2_000) * sqrt(2))


def test_resampled_rows_run_on_for_as_long_as_the_mean_block_and_none_is_preferred(
    rng: np.random.Generator,
) -> None:
    rows = stationary_rows(100, 4_000, mean_block=5.0, rng=rng)

    runs_on = (np.diff(rows, axis=1) % 100 == 1).mean()
    assert runs_on == pytest.approx(0.8 + 0.2 / 100, abs=0.005)
    counts = np.bincount(rows.ravel(), minlength=100)
    assert counts.min() > 3_600
    assert counts.max() < 4_400


def test_the_same_returns_have_the_same_interval_and_another_seed_another(rng: np.random.Generator) -> None:
    returns = rng.normal(0.1, 1.0, 100)

    assert bootstrap_interval(returns) == bootstrap_interval(returns.copy())
    assert bootstrap_interval(returns) != bootstrap_interval(returns, seed=1)


def test_more_trials_leave_less_of_a_sharpe_and_one_leaves_all_of_it() -> None:
    track = Track(periods=500, sharpe=0.15, skewness=-0.5, kurtosis=6.0)

    deflated = [deflated_sharpe(track, trials) for trials in (1, 2, 10, 100, 1_000)]

    assert deflated[0] == probabilistic_sharpe(track)
    assert deflated == sorted(deflated, reverse=True)
    assert deflated[-1] < 0.6


def test_the_luckiest_of_many_worthless_records_is_as_lucky_as_predicted(rng: np.random.Generator) -> None:
    luckiest = [max(sharpe_ratio(record) for record in rng.normal(size=(50, 250))) for _ in range(100)]

    assert np.mean(luckiest) == pytest.approx(luckiest_sharpe(250, 50), rel=0.05)


@pytest.mark.parametrize("returns", [np.zeros(0), np.full(19, 0.01), np.full(100, 0.01), np.zeros(100)])
def test_what_never_varies_or_is_too_short_has_no_sharpe(returns: np.ndarray) -> None:
    track = Track.of(returns)
    found = [
        sharpe_ratio(returns),
        probabilistic_sharpe(track),
        least_track_record(track),
        deflated_sharpe(track, 3),
    ]
    ends = [hac_interval(returns), bootstrap_interval(returns)]

    assert all(isnan(value) for value in found)
    assert all(isnan(end.low) and isnan(end.high) for end in ends)


def test_an_interval_is_told_per_year() -> None:
    assert Interval(sharpe=0.1, low=-0.1, high=nan).scaled(2.0).low == -0.2
