"""Direction and ranking: against scipy, by hand, and against coins that move together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longshort.study.metrics import per_instant
from longshort.study.significance import skill_test
from longshort.study.statistics.direction import (
    ALL_ONE_WAY,
    NO_DIRECTION,
    ONE_SIDED,
    auc,
    auc_gain,
    effective_tosses,
    instants_needed,
    pesaran_timmermann,
    power_of,
    smallest_shown,
    timing_gain,
)
from longshort.study.statistics.ranking import rank_correlation, ranking


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def a_table(
    *, hits_up: int, misses_up: int, misses_down: int, hits_down: int
) -> tuple[np.ndarray, np.ndarray]:
    """Leans and outcomes with so many of each kind."""
    counts = [hits_up, misses_up, misses_down, hits_down]
    return np.repeat([1.0, 1.0, -1.0, -1.0], counts), np.repeat([1.0, -1.0, 1.0, -1.0], counts)


def together(rng: np.random.Generator, shape: tuple[int, int], *, shared: float) -> np.ndarray:
    common = rng.normal(size=(shape[0], 1))
    return np.sqrt(shared) * common + np.sqrt(1.0 - shared) * rng.normal(size=shape)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(2, 50), n=st.integers(10, 200))
def test_auc_is_the_mann_whitney_statistic_ties_included(seed: int, levels: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.integers(levels, size=n).astype(float)
    outcome = np.append(rng.normal(size=n - 2), [1.0, -1.0])

    found = auc(score, outcome)

    rises, falls = score[outcome > 0], score[outcome < 0]
    oracle = stats.mannwhitneyu(rises, falls).statistic / (len(rises) * len(falls))
    assert found == pytest.approx(oracle, abs=1e-12)


def test_auc_gains_average_to_the_auc_and_vary_as_delong_says(rng: np.random.Generator) -> None:
    score, outcome = rng.normal(size=(400, 1)).round(1), rng.normal(size=(400, 1))
    outcome += 0.3 * score

    gain, area = auc_gain(score, outcome)

    rises, falls = score[outcome > 0], score[outcome < 0]
    above = (rises[:, None] > falls) + 0.5 * (rises[:, None] == falls)
    delong = above.mean(axis=1).var() / len(rises) + above.mean(axis=0).var() / len(falls)
    assert area[0] == pytest.approx(above.mean())
    assert gain.mean() == pytest.approx(area[0] - 0.5)
    assert gain.var() / 400 == pytest.approx(delong)


def test_pesaran_timmermann_of_a_table_worked_by_hand() -> None:
    lean, outcome = a_table(hits_up=40, misses_up=20, misses_down=10, hits_down=30)

    found = pesaran_timmermann(lean, outcome)

    assert (found.hit, found.expected, found.n) == (0.7, 0.5, 100)
    assert found.statistic == pytest.approx(0.2 / np.sqrt(0.0025 - 0.0001 - 0.000024))
    assert found.p_value == pytest.approx(2.04e-5, rel=0.01)


def test_pesaran_timmermann_is_near_the_test_of_independence_in_a_table() -> None:
    lean, outcome = a_table(hits_up=4_000, misses_up=2_900, misses_down=1_500, hits_down=1_400)

    found = pesaran_timmermann(lean, outcome)

    chi_squared = stats.chi2_contingency([[4_000, 2_900], [1_500, 1_400]], correction=False).statistic
    assert found.statistic == pytest.approx(np.sqrt(chi_squared), rel=0.01)


def test_the_mean_timing_gain_is_hits_beyond_those_expected(rng: np.random.Generator) -> None:
    lean, outcome = rng.normal(size=(500, 2)) + 0.4, rng.normal(size=(500, 2)) - 0.2
    lean[3, 0] = outcome[5, 1] = np.nan

    gain = timing_gain(lean, outcome)

    singles = [pesaran_timmermann(lean[:, a], outcome[:, a]) for a in range(2)]
    np.testing.assert_allclose(np.nanmean(gain, axis=0), [s.hit - s.expected for s in singles], atol=1e-12)


def test_forecasts_of_one_direction_are_no_timing() -> None:
    outcome = np.array([1.0, -1.0, 1.0])

    assert pesaran_timmermann(np.ones(3), outcome).reason == ONE_SIDED
    assert pesaran_timmermann(outcome, np.ones(3)).reason == ALL_ONE_WAY
    assert pesaran_timmermann(np.zeros(3), outcome).reason == NO_DIRECTION
    assert np.isnan(pesaran_timmermann(np.ones(3), outcome).p_value)
    assert np.isnan(timing_gain(np.ones((3, 1)), outcome[:, None])).all()


def test_coins_that_move_together_fool_the_naive_test_and_not_the_one_on_means(
    rng: np.random.Generator,
) -> None:
    rows, runs = np.arange(1_200), 150
    naive, robust = np.empty(runs), np.empty(runs)

    for run in range(runs):
        lean, outcome = (together(rng, (1_200, 9), shared=0.7) for _ in range(2))
        naive[run] = pesaran_timmermann(lean.ravel(), outcome.ravel()).p_value
        robust[run] = skill_test(per_instant(timing_gain(lean, outcome)), rows, horizon_bars=1).p_value

    assert (naive < 0.05).mean() > 0.15
    assert (robust < 0.05).mean() < 0.11


@pytest.mark.parametrize(("hit_rate", "n"), [(0.51, 15_455), (0.52, 3_863), (0.53, 1_716), (0.55, 617)])
def test_tosses_needed_for_eighty_percent_power(hit_rate: float, n: int) -> None:
    assert instants_needed(hit_rate) == n
    assert power_of(hit_rate, float(n)) == pytest.approx(0.8, abs=1e-3)
    assert smallest_shown(float(n)) == pytest.approx(hit_rate, abs=1e-4)


def test_power_is_the_share_of_samples_in_which_a_hit_rate_is_shown(rng: np.random.Generator) -> None:
    hits = rng.binomial(1_000, 0.53, size=20_000)

    shown = (hits / 1_000 - 0.5) / np.sqrt(0.25 / 1_000) > stats.norm.ppf(0.95)

    assert power_of(0.53, 1_000.0) == pytest.approx(shown.mean(), abs=0.02)


def test_no_sample_shows_a_hit_rate_of_one_half() -> None:
    assert instants_needed(0.5) is None
    assert power_of(0.5, 1e6) == pytest.approx(0.05)


@pytest.mark.parametrize(("shared", "least", "most"), [(0.0, 20_000, 36_000), (1.0, 2_000, 4_000)])
def test_coins_count_as_one_where_they_move_as_one(
    rng: np.random.Generator, shared: float, least: int, most: int
) -> None:
    hit = (together(rng, (4_000, 9), shared=shared) > 0.0).astype(float)

    tosses = effective_tosses(hit, np.arange(4_000), horizon_bars=1)

    assert least <= tosses <= most


def test_overlapping_horizons_count_once(rng: np.random.Generator) -> None:
    sums = np.convolve(rng.normal(size=4_023), np.ones(24), "valid")[:, None]

    tosses = effective_tosses((sums > 0.0).astype(float), np.arange(4_000), horizon_bars=24)

    assert 40 <= tosses <= 400


@given(seed=st.integers(0, 2**32 - 1), coins=st.integers(3, 12), levels=st.integers(2, 30))
def test_rank_correlation_is_spearmans_on_the_coins_that_are_there(
    seed: int, coins: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    forecast = rng.integers(levels, size=(8, coins)).astype(float)
    outcome = np.where(rng.random((8, coins)) < 0.2, np.nan, rng.integers(levels, size=(8, coins)))

    found = rank_correlation(forecast, outcome)

    np.testing.assert_allclose(
        found, [spearman(f, o) for f, o in zip(forecast, outcome, strict=True)], atol=1e-12
    )


def spearman(forecast: np.ndarray, outcome: np.ndarray) -> float:
    there = ~np.isnan(outcome)
    a, b = stats.rankdata(forecast[there]), stats.rankdata(outcome[there])
    defined = there.sum() >= 3 and np.ptp(a) > 0 and np.ptp(b) > 0
    return stats.spearmanr(a, b).statistic if defined else np.nan


def test_a_planted_ranking_is_found_and_noise_is_not(rng: np.random.Generator) -> None:
    forecast, rows = rng.normal(size=(3_000, 6)), np.arange(3_000)
    noise = rng.normal(size=(3_000, 6))

    planted = ranking(rank_correlation(forecast, noise + 0.1 * forecast), rows, horizon_bars=1)
    nothing = ranking(rank_correlation(forecast, noise), rows, horizon_bars=1)

    assert (planted.mean, planted.p_value < 1e-4, planted.positive > 0.55) == (
        pytest.approx(0.095, abs=0.03),
        True,
        True,
    )
    assert nothing.p_value > 0.05
    assert planted.ratio == pytest.approx(planted.mean * np.sqrt(5.0), rel=0.1)
    assert planted.t == pytest.approx(planted.ratio * np.sqrt(3_000), rel=0.35)


def test_two_coins_are_not_ranked() -> None:
    found = ranking(rank_correlation(np.ones((500, 2)), np.ones((500, 2))), np.arange(500), horizon_bars=1)

    assert (found.n, found.reason) == (0, "nothing is scored")
