"""Tails and variances: back-tests against formulas written out, simulations of size, and statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import integrate, stats

from longshort.models.forecast import StudentT, Values
from longshort.study.statistics.risk import (
    exceedance_tests,
    expected_shortfall,
    shortfall_gains,
    shortfall_null,
    shortfall_statistics,
    shortfall_test,
    tail_ratios,
    value_at_risk,
)
from longshort.study.statistics.volatility import mincer_zarnowitz


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


class Opaque:
    """A law that hides which it is."""

    def __init__(self, law: StudentT) -> None:
        self._law = law

    def __getitem__(self, rows: slice) -> "Opaque":
        return Opaque(self._law[rows])

    def join(self, *later: "Opaque") -> "Opaque":
        return Opaque(self._law.join(*[one._law for one in later]))

    def mean(self) -> Values:
        return self._law.mean()

    def variance(self) -> Values:
        return self._law.variance()

    def cdf(self, value: Values) -> Values:
        return self._law.cdf(value)

    def quantile(self, level: float) -> Values:
        return self._law.quantile(level)

    def log_density(self, value: Values) -> Values:
        return self._law.log_density(value)

    def crps(self, value: Values) -> Values:
        return self._law.crps(value)


def a_law(loc: float, scale: float, df: float, rows: int = 1) -> StudentT:
    shape = (rows, 1, 1)
    return StudentT(loc=np.full(shape, loc), scale=np.full(shape, scale), df=np.full(shape, df))


def test_kupiec_agrees_with_scipy_on_a_hundred_rows() -> None:
    found = exceedance_tests(np.arange(100) % 25 == 0, 0.01)

    oracle = 2.0 * (stats.binom.logpmf(4, 100, 0.04) - stats.binom.logpmf(4, 100, 0.01))
    assert (found.n, found.exceeded) == (100, 4)
    assert found.coverage == pytest.approx(oracle, rel=1e-10)
    assert found.coverage_p == pytest.approx(stats.chi2.sf(oracle, 1), rel=1e-10)


def test_christoffersen_of_transitions_counted_by_hand() -> None:
    exceeded = np.zeros(101, dtype=bool)
    exceeded[[0, 11, 12, 50, 51, 80]] = True

    found = exceedance_tests(exceeded, 0.05)

    # 91 quiet to quiet, 3 quiet to loud, 4 loud to quiet, 2 loud to loud
    apart = 91 * np.log(91 / 94) + 3 * np.log(3 / 94) + 4 * np.log(4 / 6) + 2 * np.log(2 / 6)
    together = 95 * np.log(0.95) + 5 * np.log(0.05)
    assert found.independence == pytest.approx(2.0 * (apart - together), rel=1e-10)
    assert found.independence_p == pytest.approx(0.0191, rel=0.01)
    assert found.both == pytest.approx(found.coverage + found.independence)
    assert found.both_p == pytest.approx(stats.chi2.sf(found.both, 2))


@pytest.mark.parametrize("exceeded", [np.zeros(300, dtype=bool), np.ones(300, dtype=bool)])
def test_nothing_or_everything_exceeded_is_no_error(exceeded: np.ndarray) -> None:
    found = exceedance_tests(exceeded, 0.05)

    assert found.coverage_p < 1e-6
    assert (found.independence, found.independence_p) == (0.0, 1.0)


def test_exceedance_tests_hold_their_size_and_see_runs(rng: np.random.Generator) -> None:
    fair = [exceedance_tests(rng.random(2_000) < 0.05, 0.05) for _ in range(400)]
    state = np.repeat(rng.random((50, 400)) < 0.1, 5, axis=1)
    in_runs = [exceedance_tests(row & (rng.random(2_000) < 0.5), 0.05) for row in state]

    assert [
        np.mean([getattr(f, p) < 0.05 for f in fair]) for p in ("coverage_p", "independence_p", "both_p")
    ] == [pytest.approx(0.05, abs=0.03)] * 3
    assert np.mean([f.independence_p < 0.05 for f in in_runs]) > 0.95


@pytest.mark.parametrize(("df", "rate"), [(2.5, 0.05), (4.0, 0.01), (30.0, 0.025)])
@pytest.mark.parametrize("short", [False, True])
def test_expected_shortfall_is_the_mean_of_the_tail(df: float, rate: float, *, short: bool) -> None:
    law = a_law(0.3, 0.7, df)
    sign = 1.0 if short else -1.0

    var = value_at_risk(law, rate, short=short)
    es = expected_shortfall(law, var, rate, short=short).item()
    read = expected_shortfall(Opaque(law), var, rate, short=short).item()

    exact = stats.t(df, loc=sign * 0.3, scale=0.7)
    tail, _ = integrate.quad(lambda x: x * exact.pdf(x), exact.isf(rate), np.inf, epsabs=1e-12)
    assert var.item() == pytest.approx(exact.isf(rate), rel=1e-9)
    assert es == pytest.approx(tail / rate, rel=1e-6)
    assert read == pytest.approx(es, rel=2e-3)


def test_tail_ratios_average_one() -> None:
    ratios = tail_ratios(a_law(0.1, 0.7, 4.0), 0.05, short=False)

    assert ratios.shape == (1, 1, 1, 40)
    assert ratios.mean() == pytest.approx(1.0)
    assert np.all(np.diff(ratios.ravel()) < 0.0)


@pytest.mark.parametrize("df", [3.0, 5.0, 100.0])
def test_the_simulated_null_is_that_of_losses_drawn_from_the_law(rng: np.random.Generator, df: float) -> None:
    law, rate = a_law(0.0, 1.0, df), 0.025
    var = value_at_risk(law, rate, short=False).item()
    es = expected_shortfall(law, np.full((1, 1, 1), var), rate, short=False).item()
    ratios = tail_ratios(law, rate, short=False).ravel()

    _, z2 = shortfall_null(250, rate, ratios=ratios, rng=rng, draws=20_000)

    loss = rng.standard_t(df, size=(20_000, 250))
    drawn = 1.0 - np.where(loss > var, loss / es, 0.0).sum(axis=1) / (250 * rate)
    assert z2.mean() == pytest.approx(0.0, abs=0.02)
    np.testing.assert_allclose(np.quantile(z2, [0.05, 0.5]), np.quantile(drawn, [0.05, 0.5]), atol=0.03)
    assert np.quantile(z2, 0.05) == pytest.approx(-0.75, abs=0.08)


def test_shortfall_tests_hold_their_size_and_see_understated_risk(rng: np.random.Generator) -> None:
    law, rate, rows = a_law(0.0, 1.0, 4.0), 0.05, 500
    var = np.full(rows, value_at_risk(law, rate, short=False).item())
    es = np.full(
        rows, expected_shortfall(law, value_at_risk(law, rate, short=False), rate, short=False).item()
    )
    null = shortfall_null(rows, rate, ratios=tail_ratios(law, rate, short=False).ravel(), rng=rng)

    fair = [shortfall_test(rng.standard_t(4.0, rows), var, es, rate, null=null) for _ in range(400)]
    wild = [shortfall_test(1.4 * rng.standard_t(4.0, rows), var, es, rate, null=null) for _ in range(100)]

    assert np.mean([f.z1_p < 0.05 for f in fair]) == pytest.approx(0.05, abs=0.035)
    assert np.mean([f.z2_p < 0.05 for f in fair]) == pytest.approx(0.05, abs=0.035)
    assert np.mean([f.z2_p < 0.05 for f in wild]) > 0.9


def test_shortfall_gains_average_to_the_statistics_of_one_coin(rng: np.random.Generator) -> None:
    loss = rng.standard_t(4.0, size=(800, 1))
    var, es = np.full((800, 1), 2.1), np.full((800, 1), 3.2)
    loss[7] = np.nan

    z1, z2 = shortfall_gains(loss, var, es, 0.05)

    known = ~np.isnan(loss[:, 0])
    expected = shortfall_statistics(loss[known, 0], var[known, 0], es[known, 0], 0.05)
    np.testing.assert_allclose([np.nanmean(z1), np.nanmean(z2)], expected, rtol=1e-10)


def test_nothing_exceeded_leaves_the_first_statistic_undefined() -> None:
    z1, z2 = shortfall_statistics(np.zeros(10), np.ones(10), np.full(10, 2.0), 0.05)

    assert np.isnan(z1)
    assert z2 == 1.0


@pytest.mark.parametrize("lags", [0, 5, 40])
def test_mincer_zarnowitz_of_one_coin_is_newey_west(rng: np.random.Generator, lags: int) -> None:
    forecast = np.exp(rng.normal(size=(600, 1)))
    realised = forecast * rng.normal(size=(600, 1)) ** 2

    found = mincer_zarnowitz(realised, forecast, np.arange(600), lags=lags)

    oracle = sm.OLS(realised, sm.add_constant(forecast)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
    )
    np.testing.assert_allclose([found.intercept, found.slope], oracle.params, rtol=1e-9)
    np.testing.assert_allclose([found.intercept_error, found.slope_error], oracle.bse, rtol=1e-8)
    assert found.r2 == pytest.approx(oracle.rsquared, rel=1e-9)
    assert found.wald == pytest.approx(
        oracle.wald_test((np.eye(2), [0.0, 1.0]), scalar=True).statistic, rel=1e-7
    )


def test_mincer_zarnowitz_of_coins_is_driscoll_kraay(rng: np.random.Generator) -> None:
    common = rng.normal(size=(300, 1)) ** 2
    forecast = np.exp(rng.normal(size=(300, 4)))
    realised = forecast * common

    found = mincer_zarnowitz(realised, forecast, np.arange(300), lags=6)

    time = np.repeat(np.arange(300), 4)
    oracle = sm.OLS(realised.ravel(), sm.add_constant(forecast.ravel())).fit(
        cov_type="hac-groupsum", cov_kwds={"time": time, "maxlags": 6, "use_correction": False}
    )
    np.testing.assert_allclose([found.intercept, found.slope], oracle.params, rtol=1e-9)
    np.testing.assert_allclose([found.intercept_error, found.slope_error], oracle.bse, rtol=1e-8)


def test_the_weighted_regression_is_weighted_by_the_forecast(rng: np.random.Generator) -> None:
    forecast = np.exp(rng.normal(size=(500, 1)))
    realised = forecast * rng.normal(size=(500, 1)) ** 2

    found = mincer_zarnowitz(realised, forecast, np.arange(500), lags=0, weighted=True)

    oracle = sm.WLS(realised, sm.add_constant(forecast), weights=forecast**-2.0).fit(cov_type="HC0")
    np.testing.assert_allclose([found.intercept, found.slope], oracle.params, rtol=1e-9)
    np.testing.assert_allclose([found.intercept_error, found.slope_error], oracle.bse, rtol=1e-8)


def test_a_right_variance_is_rarely_rejected_and_one_too_lively_is(rng: np.random.Generator) -> None:
    right, lively = np.empty(200), np.empty(200)

    for run in range(200):
        variance = np.exp(0.6 * np.convolve(rng.normal(size=2_099), np.full(100, 0.1), "valid"))[:, None]
        squared = variance * rng.normal(size=(2_000, 1)) ** 2
        right[run] = mincer_zarnowitz(squared, variance, np.arange(2_000), lags=178, weighted=True).p_value
        lively[run] = mincer_zarnowitz(
            squared, variance**1.7, np.arange(2_000), lags=178, weighted=True
        ).p_value

    assert (right < 0.05).mean() < 0.12
    assert (lively < 0.05).mean() > 0.8


def test_rows_that_are_absent_keep_their_place(rng: np.random.Generator) -> None:
    forecast = np.exp(rng.normal(size=(400, 1)))
    realised = forecast * rng.normal(size=(400, 1)) ** 2
    hole = realised.copy()
    hole[100:150] = np.nan
    kept = np.r_[0:100, 150:400]

    masked = mincer_zarnowitz(hole, forecast, np.arange(400), lags=5)
    cut = mincer_zarnowitz(realised[kept], forecast[kept], kept, lags=5)

    assert (masked.slope, masked.slope_error, masked.n) == (
        pytest.approx(cut.slope),
        pytest.approx(cut.slope_error),
        350,
    )


def test_a_forecast_that_never_varies_is_not_regressed_on() -> None:
    found = mincer_zarnowitz(np.ones((100, 1)), np.ones((100, 1)), np.arange(100), lags=5)

    assert found.reason == "too few rows, or a forecast that never varies"
    assert np.isnan(found.slope)
