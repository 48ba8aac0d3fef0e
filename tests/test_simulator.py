from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longshort.base.clock import HOUR, Interval
from longshort.data.bars import Bars
from longshort.data.facts import Facts, measure_facts, profile_correlation
from longshort.data.files.rules import impossible_bars
from longshort.data.funding import Settlements
from longshort.data.instruments import infer_instrument
from longshort.data.market import assemble
from longshort.data.simulator import HOUR_OF_DAY, Simulation, simulate_market

NINE = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "TRX")

# Nine Binance perpetuals, 21,888 hourly bars each, 2023-01-01 to 2025-06-30; how far off a simulation may be.
# Measured with `longshort import ../shared/data/ohlcv_1h/*`, then on a study made by `longshort init`:
# `longshort facts STUDY --json --set data.since=2023-01-01 --set 'data.symbols=["BTCUSDT", ..., "TRXUSDT"]'`.
REAL = {
    "kurtosis": 24.81,
    "autocorrelation_1h": 0.290,
    "autocorrelation_24h": 0.151,
    "autocorrelation_168h": 0.110,
    "cross_correlation": 0.626,
    "hour_ratio": 1.608,
}
BANDS = {
    "kurtosis": (14.0, 70.0),
    "autocorrelation_1h": (0.23, 0.35),
    "autocorrelation_24h": (0.09, 0.19),
    "autocorrelation_168h": (0.05, 0.15),
    "cross_correlation": (0.57, 0.68),
    "hour_ratio": (1.40, 1.85),
}


def _log_returns(simulation: Simulation) -> np.ndarray:
    return np.diff(np.log(simulation.bars.close), axis=0)


def _real_bars(folder: Path) -> Bars:
    rows = [
        pl.read_parquet(folder / f"ohlcv_1h/binance_{c}USDT_perp_1h.parquet").rename({"ts": "opened_at"})
        for c in NINE
    ]
    none = Settlements(settled_at=np.zeros(0, dtype=np.int64), rate=np.zeros(0))
    instruments = [infer_instrument("binanceusdm", f"{c}USDT", r) for c, r in zip(NINE, rows, strict=True)]
    return assemble(Interval(HOUR), instruments, rows, [none] * len(NINE))


@pytest.fixture(scope="module", params=[1, 2, 3])
def simulated_facts(request: pytest.FixtureRequest) -> Facts:
    return measure_facts(simulate_market(9, 21_888, seed=request.param).bars)


@pytest.mark.parametrize("fact", sorted(BANDS))
def test_simulated_facts_lie_in_bands_around_the_real_ones(simulated_facts: Facts, fact: str) -> None:
    low, high = BANDS[fact]

    assert low < REAL[fact] < high
    assert low < getattr(simulated_facts, fact) < high


def test_the_hours_of_the_simulated_day_are_those_of_the_real_one(simulated_facts: Facts) -> None:
    assert np.corrcoef(simulated_facts.hour_profile, HOUR_OF_DAY)[0, 1] > 0.95
    assert 0.68 < simulated_facts.weekend_ratio < 0.82


def test_the_stated_real_facts_are_those_of_the_real_bars(real_data: Path, simulated_facts: Facts) -> None:
    real = measure_facts(_real_bars(real_data))

    assert {fact: getattr(real, fact) for fact in REAL} == pytest.approx(REAL, rel=0.005)
    assert profile_correlation(real, simulated_facts) > 0.95


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    one, again, other = (simulate_market(2, 500, seed=s) for s in (5, 5, 6))

    assert one.bars.digest() == again.bars.digest() != other.bars.digest()
    assert np.array_equal(one.truth.scale, again.truth.scale)


@given(bars=st.integers(10, 400), coins=st.integers(1, 5))
def test_a_longer_or_wider_simulation_extends_a_shorter_one(bars: int, coins: int) -> None:
    whole, part = simulate_market(5, 400, edge=0.1, seed=3), simulate_market(coins, bars, edge=0.1, seed=3)

    assert part.bars.digest() == whole.bars[:bars].coins(range(coins)).digest()
    assert np.array_equal(part.truth.scale, whole.truth.scale[:bars, :coins])
    assert np.array_equal(part.truth.mean, whole.truth.mean[:bars, :coins])


def test_every_coin_s_returns_follow_the_exposed_law() -> None:
    simulation = simulate_market(4, 20_000, edge=0.2, seed=9)
    value = np.vstack([_log_returns(simulation), np.zeros((1, 4))])

    rank = simulation.truth.cdf(value)[:-1]

    assert min(stats.kstest(rank[:, a], "uniform").pvalue for a in range(4)) > 0.01


@pytest.mark.parametrize("distortion", [0.96, 1.04])
def test_no_other_scale_scores_better_than_the_true_one(distortion: float) -> None:
    simulation = simulate_market(4, 20_000, seed=9)
    value = np.vstack([_log_returns(simulation), np.zeros((1, 4))])
    wrong = type(simulation.truth)(
        mean=simulation.truth.mean,
        scale=simulation.truth.scale * distortion,
        df=simulation.truth.df,
        jump_probability=simulation.truth.jump_probability,
        jump_multiple=simulation.truth.jump_multiple,
    )

    gain = (simulation.truth.log_density(value) - wrong.log_density(value))[:-1].mean(axis=1)

    assert gain.mean() > 2.0 * gain.std() / np.sqrt(len(gain))


def test_the_density_is_the_slope_of_the_distribution_function() -> None:
    truth = simulate_market(2, 50, seed=4).truth
    value, step = truth.mean + 1.7 * truth.scale, 1e-5 * truth.scale

    slope = (truth.cdf(value + step) - truth.cdf(value - step)) / (2.0 * step)

    np.testing.assert_allclose(np.exp(truth.log_density(value)), slope, rtol=1e-6)


def test_the_stated_deviation_is_that_of_the_returns() -> None:
    simulation = simulate_market(6, 30_000, seed=2)

    z = (_log_returns(simulation) - simulation.truth.mean[:-1]) / simulation.truth.std[:-1]

    assert 0.96 < z.var() < 1.04


def test_without_an_edge_nothing_is_expected_of_the_next_return(simulation: Simulation) -> None:
    assert not simulation.truth.mean.any()


def test_a_planted_edge_is_in_the_returns_at_its_stated_size() -> None:
    simulation = simulate_market(6, 30_000, edge=0.1, seed=8)
    expected = (simulation.truth.mean / simulation.truth.std)[:-1].ravel()
    happened = (_log_returns(simulation) / simulation.truth.std[:-1]).ravel()

    slope = expected @ happened / (expected @ expected)

    assert 0.9 < slope < 1.1
    assert 0.09 < np.corrcoef(expected, happened)[0, 1] < 0.11


def test_a_planted_season_has_its_stated_size_and_repeats_every_week() -> None:
    plain, seasonal = (simulate_market(2, 3 * 168, season=size, seed=8) for size in (0.0, 0.3))
    usual = np.array([0.40, 0.40 + 0.45 * 0.618]) / np.sqrt(8_766)
    planted = seasonal.truth.mean / usual

    np.testing.assert_allclose(planted[:168], planted[168:336], atol=1e-12)
    np.testing.assert_allclose(np.sqrt((planted[:168] ** 2).mean(axis=0)), 0.3, rtol=1e-9)
    np.testing.assert_allclose(planted[:168].mean(axis=0), 0.0, atol=1e-12)
    added = _log_returns(seasonal) - _log_returns(plain)
    np.testing.assert_allclose(added, seasonal.truth.mean[:-1], atol=1e-6)
    assert np.array_equal(seasonal.truth.scale, plain.truth.scale)


def test_bars_keep_every_rule_of_the_importer_and_lie_on_ticks(simulation: Simulation) -> None:
    bars = simulation.bars
    rows = bars.to_polars()
    per_unit = np.array([float(1 / i.tick) for i in bars.instruments])

    assert [what for rule, what in impossible_bars() if len(rows.filter(rule))] == []
    assert np.array_equal(np.round(bars.close * per_unit) / per_unit, bars.close)
    assert np.abs(np.log(bars.open[1:] / bars.close[:-1])).max() < 1e-3


def test_recent_ranges_tell_more_of_the_coming_volatility_than_recent_squares() -> None:
    simulation = simulate_market(4, 20_000, seed=5)
    bars, week = simulation.bars, np.ones(48) / 48
    truth = np.log(simulation.truth.scale[48:, 0])
    squares = _log_returns(simulation)[:, 0] ** 2
    ranges = np.log(bars.high[1:, 0] / bars.low[1:, 0]) ** 2

    by_square, by_range = (
        np.corrcoef(np.log(np.convolve(x, week, "valid")), truth)[0, 1] for x in (squares, ranges)
    )

    assert by_range > by_square + 0.01


def test_a_bar_with_a_wild_shock_is_wild_inside_even_where_it_ends_near_its_start() -> None:
    simulation = simulate_market(4, 20_000, seed=5)
    std = simulation.truth.std[:-1]
    reach = np.log(simulation.bars.high / simulation.bars.low)[1:] / std
    quiet = reach[np.abs(_log_returns(simulation)) < 0.3 * std]

    assert quiet.std() / quiet.mean() > 0.45


def test_volatility_is_in_its_long_run_law_from_the_first_bar() -> None:
    first = [float(np.log(simulate_market(1, 2, seed=seed).truth.scale[0, 0])) for seed in range(200)]

    assert 0.45 < np.std(first) < 0.7


def test_volume_rises_and_falls_with_volatility(simulation: Simulation) -> None:
    bars = simulation.bars

    correlation = np.corrcoef(
        np.log(bars.volume * bars.close)[:, 0], np.log(np.log(bars.high / bars.low))[:, 0]
    )

    assert correlation[0, 1] > 0.6


def test_funding_settles_every_eight_hours_and_is_covered_everywhere(simulation: Simulation) -> None:
    bars = simulation.bars
    settled = np.isfinite(bars.funding_rate)

    assert np.array_equal(settled, np.repeat((bars.closed_at % (8 * HOUR) == 0)[:, None], 3, axis=1))
    assert bars.funding_covered.all()
    assert -0.01 < bars.funding_rate[settled].min() < 0.0 < bars.funding_rate[settled].max() < 0.01


def test_a_price_that_falls_to_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longshort.data.simulator.BARS_PER_YEAR", 1)

    with pytest.raises(Exception, match="fell to nothing or rose beyond reason"):
        simulate_market(2, 2_000)
