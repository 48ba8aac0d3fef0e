"""Opponents keep the contract of forecasters by being in the list, and agree with independent computations."""

import pickle
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from arch import arch_model
from numpy.lib.stride_tricks import sliding_window_view

from longshort.base.errors import MissingExtra
from longshort.data.simulator import simulate_market
from longshort.features.catalog import names_on_record
from longshort.features.panel import FeatureStream, Panel
from longshort.features.targets import Targets, make_targets
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Fitted, Forecaster, Past
from longshort.models.opponents import garch
from longshort.models.opponents.boosting import FittedLightGBM, LightGBM
from longshort.models.opponents.garch import GARCH, GJRGARCH, Equation, Filter, FittedGARCH
from longshort.models.opponents.linear import DLinear, FittedLinear, Moments, Ridge, moving_average
from longshort.models.opponents.naive import Drift
from longshort.models.opponents.scale import HAR, ScaleModel, ewma, har

from .markets import poisoned, punched

HORIZONS = (1, 24)
BARS = punched(simulate_market(coins=3, bars=2_600, seed=7).bars, np.random.default_rng(2), share=0.01)
NAMES = names_on_record(BARS)
TRAIN, VALIDATION, TEST = range(1_800), range(1_824, 2_100), range(2_124, 2_600)


def panel_of(bars=BARS) -> Panel:
    return FeatureStream(bars.symbols, NAMES).extend(bars)


PANEL, TARGETS = panel_of(), make_targets(BARS, HORIZONS)
PAST = Past.cut(PANEL, TARGETS, TRAIN, VALIDATION)
OPPONENTS: dict[str, Forecaster] = {
    opponent.name: opponent
    for opponent in (
        Drift(HORIZONS),
        Ridge(HORIZONS),
        DLinear(HORIZONS),
        GARCH(HORIZONS, restart_rows=16),
        GJRGARCH(HORIZONS, restart_rows=16),
        LightGBM(HORIZONS),
    )
}
every_opponent = pytest.mark.parametrize("name", OPPONENTS)


@cache
def panel_until(row: int) -> Panel:
    return panel_of(BARS[:row])


@cache
def noise_from(row: int) -> tuple[Panel, Targets]:
    bars = poisoned(BARS, row, np.random.default_rng(0))
    return panel_of(bars), make_targets(bars, HORIZONS)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Fitted]:
    return {name: opponent.fit(PAST) for name, opponent in OPPONENTS.items()}


def assert_same(mine: Forecast, theirs: Forecast) -> None:
    np.testing.assert_array_equal(mine.closed_at, theirs.closed_at)
    for part in ("loc", "scale", "df"):
        np.testing.assert_array_equal(getattr(mine.law, part), getattr(theirs.law, part))


def score(forecast: Forecast, outcome: np.ndarray) -> float:
    """The mean log density over usable rows."""
    return float(np.nanmean(forecast.law.log_density(outcome)))


@every_opponent
@pytest.mark.parametrize("row", [2_124, 2_303, 2_599])
def test_a_forecast_does_not_change_when_the_future_is_cut_off(fitted, name: str, row: int) -> None:
    whole = fitted[name].predict(PANEL, TEST)
    alone = fitted[name].predict(panel_until(row + 1), range(row, row + 1))

    assert_same(alone, whole[row - TEST.start : row + 1 - TEST.start])


@every_opponent
def test_a_forecast_does_not_change_when_the_future_is_noise(fitted, name: str) -> None:
    noise, _ = noise_from(2_300)

    mine, theirs = fitted[name].predict(PANEL, TEST), fitted[name].predict(noise, TEST)

    assert_same(mine[: 2_300 - TEST.start], theirs[: 2_300 - TEST.start])


@every_opponent
def test_a_forecast_rests_on_no_row_before_its_declared_context(fitted, name: str) -> None:
    context = 2 * 256 + 96
    late = PANEL[TEST.start - context :]

    mine = fitted[name].predict(late, range(context, len(late)))

    assert_same(mine, fitted[name].predict(PANEL, TEST))


@every_opponent
@pytest.mark.parametrize("start", [1, 700, 2_175, 2_598])
def test_a_stream_from_any_start_gives_exactly_the_batch_forecasts(fitted, name: str, start: int) -> None:
    stream = fitted[name].start(PANEL[:start])
    rows = range(start, min(start + 60, len(PANEL)))
    batch = fitted[name].predict(PANEL, rows)

    for k, t in enumerate(rows):
        assert_same(stream.step(PANEL[t : t + 1]), batch[k : k + 1])


@every_opponent
def test_a_stream_runs_over_the_restart_of_its_memory_without_a_seam(fitted, name: str) -> None:
    boundary = int(np.flatnonzero(PANEL.grid_row % 256 == 0)[-1])
    rows = range(boundary - 20, boundary + 20)
    stream = fitted[name].start(PANEL[: rows.start])
    batch = fitted[name].predict(PANEL, rows)

    for k, t in enumerate(rows):
        assert_same(stream.step(PANEL[t : t + 1]), batch[k : k + 1])


@every_opponent
@pytest.mark.parametrize("cut", [1, 37, 256, 475])
def test_forecasts_in_pieces_are_the_forecast_in_one(fitted, name: str, cut: int) -> None:
    model, middle = fitted[name], TEST.start + cut
    pieces = (model.predict(PANEL, range(TEST.start, middle)), model.predict(PANEL, range(middle, TEST.stop)))

    assert_same(pieces[0].join(pieces[1]), model.predict(PANEL, TEST))


@every_opponent
def test_a_fit_does_not_change_when_everything_after_the_first_test_close_is_noise(fitted, name: str) -> None:
    past = Past.cut(*noise_from(TEST.start), TRAIN, VALIDATION)

    theirs = OPPONENTS[name].fit(past)

    assert_same(fitted[name].predict(PANEL, TEST), theirs.predict(PANEL, TEST))


@every_opponent
def test_a_fitted_opponent_survives_pickling_bit_for_bit(fitted, name: str) -> None:
    again = pickle.loads(pickle.dumps(fitted[name]))  # noqa: S301 our own

    assert_same(again.predict(PANEL, TEST), fitted[name].predict(PANEL, TEST))


@every_opponent
def test_a_forecast_starts_at_the_first_test_row_and_has_none_where_a_row_is_not_usable(
    fitted, name: str
) -> None:
    forecast = fitted[name].predict(PANEL, TEST)

    assert forecast.model == name
    assert forecast.closed_at[0] == PANEL.closed_at[TEST.start]
    np.testing.assert_array_equal(np.isfinite(forecast.law.loc).all(axis=2), PANEL.usable[TEST.start :])
    assert not PANEL.usable[TEST.start :].all()
    assert forecast.dense == (name != "drift")


@every_opponent
def test_no_rows_give_no_forecasts(fitted, name: str) -> None:
    assert len(fitted[name].predict(PANEL, range(2_200, 2_200))) == 0


def test_the_drift_is_the_mean_return_of_each_coin_times_the_horizon(fitted) -> None:
    returns = PANEL.log_return[[*TRAIN, *VALIDATION]]
    row = int(np.flatnonzero(PANEL.usable.all(axis=1))[-1])

    loc = fitted["drift"].predict(PANEL, range(row, row + 1)).law.loc[0]

    np.testing.assert_allclose(loc, np.nanmean(returns, axis=0)[:, None] * [1, 24], rtol=1e-12)


@pytest.mark.parametrize("leverage", [0, 1])
def test_the_variance_filter_is_that_of_arch(leverage: int) -> None:
    equation = an_equation(gamma=0.06 * leverage)
    returns = a_gjr_market(equation, rows=2_000, rng=np.random.default_rng(3))
    panel = replace(blank_panel(returns), volatility=np.full_like(returns, 0.01))
    model = arch_model(100 * returns[:, 0], mean="Zero", p=1, o=leverage, q=1, dist="t", rescale=False)
    omega, *rest = (1e4 * equation.omega[0], equation.alpha[0], *equation.gamma[:leverage])
    theirs = model.fix([omega, *rest, equation.beta[0], equation.df[0]]).conditional_volatility / 100

    mine = Filter(equation, 512).extend(panel)[:, 0]

    np.testing.assert_allclose(np.sqrt(mine[600:-1]), theirs[601:], rtol=1e-10)


def test_the_variance_over_a_horizon_is_the_mean_of_many_simulated_paths() -> None:
    equation = an_equation(gamma=0.06)
    rng = np.random.default_rng(5)
    variance = np.full(400_000, 2e-4)
    total = np.zeros_like(variance)
    for _ in range(4):
        shock = np.sqrt(variance * (8 - 2) / 8) * rng.standard_t(8, size=len(variance))
        total += shock
        variance = (
            equation.omega
            + (equation.alpha + equation.gamma * (shock < 0)) * shock**2
            + equation.beta * variance
        )

    expected = equation.ahead(np.full((1, 1), 2e-4), (1, 4))[0, 0]

    assert expected[0] == 2e-4
    np.testing.assert_allclose(expected[1], total.var(), rtol=0.02)


def test_a_missing_return_lets_the_variance_go_where_it_is_expected_to() -> None:
    equation = an_equation(gamma=0.06)
    panel = replace(blank_panel(np.full((3, 1), np.nan)), volatility=np.full((3, 1), 0.02))

    variance = Filter(equation, 512).extend(panel)[:, 0]

    kept = 0.05 + 0.03 + 0.88
    np.testing.assert_allclose(variance[:2], [4e-4, equation.omega[0] + kept * 4e-4], rtol=1e-12)


def test_garch_with_leverage_finds_the_law_of_its_market_and_beats_the_rest() -> None:
    equation = an_equation(gamma=0.12)
    columns = [a_gjr_market(equation, rows=9_000, rng=np.random.default_rng(seed)) for seed in (1, 2)]
    panel, past, outcome = a_past(np.concatenate(columns, axis=1), test=range(6_500, 9_000))

    plain, leveraged = GARCH((1, 4)).fit(past), GJRGARCH((1, 4)).fit(past)
    rival = ScaleModel("EWMA-t", (1, 4), ewma).fit(past)
    test = range(6_500, 8_990)
    scores = [score(model.predict(panel, test), outcome[test]) for model in (rival, plain, leveraged)]

    assert isinstance(leveraged, FittedGARCH)
    np.testing.assert_allclose(leveraged.equation.persistence, 0.05 + 0.06 + 0.82, atol=0.06)
    np.testing.assert_allclose(leveraged.equation.df, 8.0, atol=2.5)
    assert scores[0] + 0.005 < scores[2]
    assert scores[1] + 0.001 < scores[2]


def test_a_coin_with_too_few_returns_takes_what_the_others_have_learnt(fitted) -> None:
    gone = replace(PAST.panel, log_return=PAST.panel.log_return.copy())
    gone.log_return[: VALIDATION.stop - 300, 1] = np.nan

    equation = GARCH(HORIZONS).fit(replace(PAST, panel=gone)).equation

    whole = fitted["GARCH-t"].equation
    np.testing.assert_array_equal(equation.beta[[0, 2]], whole.beta[[0, 2]])
    assert equation.beta[1] == np.median(whole.beta[[0, 2]])
    assert equation.df[1] == np.median(whole.df[[0, 2]])


def test_where_no_coin_can_be_fitted_the_usual_coefficients_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garch, "LEAST_ROWS", 10_000)

    fitted = GARCH(HORIZONS).fit(PAST)

    assert fitted.equation.beta.tolist() == [0.9, 0.9, 0.9]
    assert np.isfinite(fitted.predict(PANEL, TEST).law.scale[PANEL.usable[TEST.start :]]).all()


def test_ridge_weights_are_those_of_the_normal_equations(fitted) -> None:
    model = fitted["ridge"]
    inputs = model.reader.of(PAST.panel, range(len(PAST.panel)))
    target = PAST.scaled_targets()[:, :, 1]
    rows = PAST.panel.usable & np.isfinite(target) & PAST.rows(TRAIN, VALIDATION)[:, None]
    seen, came = inputs[rows], target[rows]
    penalty = model.penalty[1] * len(seen)

    expected = np.linalg.solve(seen.T @ seen + penalty * np.eye(seen.shape[1]), seen.T @ came)

    np.testing.assert_allclose(model.weights[:, 1], expected, rtol=1e-6, atol=1e-12)


def test_dlinear_is_ridge_on_the_trend_and_the_remainder_of_a_window_of_log_prices() -> None:
    rng = np.random.default_rng(0)
    returns = rng.normal(size=1_500)
    windows = sliding_window_view(np.cumsum(returns), 96)[:, ::-1]
    levels = windows - windows[:, :1]
    padded = np.pad(levels, ((0, 0), (12, 12)), mode="edge")
    trend = sliding_window_view(padded, 25, axis=1).mean(axis=2)
    parts = np.concatenate([trend, levels - trend], axis=1)
    target = rng.normal(size=len(parts))
    own = np.linalg.solve(parts.T @ parts + 0.5 * len(parts) * np.eye(192), parts.T @ target)
    seen = sliding_window_view(returns, 95)[1:, ::-1]

    of_returns = -np.tril(np.ones((96, 95)), -1)
    smooth = moving_average(96, 25) @ of_returns
    both = np.concatenate([smooth, of_returns - smooth]).T
    weights = Moments.of(np.ascontiguousarray(seen), target).ridge((0.5,), both)[0]

    np.testing.assert_allclose(seen @ weights, parts @ own, rtol=1e-6, atol=1e-9)


def test_a_window_holds_the_returns_over_the_volatility_of_its_row_newest_first(fitted) -> None:
    window = fitted["DLinear"].reader.of(PANEL, range(2_300, 2_301))[0, 0]

    expected = np.nan_to_num(PANEL.log_return[2_300 - 94 : 2_301, 0])[::-1] / PANEL.volatility[2_300, 0]
    np.testing.assert_array_equal(window, expected)


@pytest.mark.parametrize("model", [Ridge((1,)), LightGBM((1,))], ids=["ridge", "LightGBM"])
def test_a_planted_mean_is_found(model: Forecaster) -> None:
    past, panel, signal, outcome = a_planted_panel(mean=0.2, scale=0.0)

    forecast = model.fit(past).predict(panel, range(3_000, 4_000))

    mean = forecast.law.loc[:, :, 0] / panel.volatility[3_000:]
    assert np.corrcoef(mean.ravel(), signal[3_000:].ravel())[0, 1] > 0.9
    assert 0.12 < np.polyfit(signal[3_000:].ravel(), mean.ravel(), 1)[0] < 0.25
    flat = ScaleModel(HAR, (1,), har).fit(past).predict(panel, range(3_000, 4_000))
    assert score(forecast, outcome[3_000:]) > score(flat, outcome[3_000:]) + 0.005


def test_dlinear_finds_a_planted_reversal_and_nothing_where_there_is_none() -> None:
    past, *_ = a_planted_panel(mean=0.0, scale=0.0)
    planted = replace(
        past.targets, log_return=past.targets.log_return - 0.2 * past.panel.log_return[:, :, None]
    )

    none = DLinear((1,)).fit(past)
    found = DLinear((1,)).fit(replace(past, targets=planted))

    assert isinstance(found, FittedLinear)
    assert -0.25 < found.weights[0, 0] < -0.1
    assert np.abs(found.weights[1:, 0]).max() < 0.06
    assert np.abs(none.weights).max() < 0.06


def test_lightgbm_beats_har_where_a_feature_carries_the_scale() -> None:
    past, panel, _, outcome = a_planted_panel(mean=0.0, scale=0.4)
    test = range(3_000, 4_000)

    trees = LightGBM((1,)).fit(past).predict(panel, test)
    rival = ScaleModel(HAR, (1,), har).fit(past).predict(panel, test)

    assert score(trees, outcome[test]) > score(rival, outcome[test]) + 0.05
    gained = 1.0 - np.nanmean(trees.law.crps(outcome[test])) / np.nanmean(rival.law.crps(outcome[test]))
    assert gained > 0.01


def test_lightgbm_grows_no_trees_where_validation_rows_support_none() -> None:
    past, panel, _, _ = a_planted_panel(mean=0.0, scale=0.0)
    har_scale = ScaleModel(HAR, (1,), har).fit(past).law(panel).scale
    noise = har_scale * np.random.default_rng(1).standard_t(4.0, size=har_scale.shape)
    alone = replace(past, targets=replace(past.targets, log_return=noise[: len(past.panel)]))

    model = LightGBM((1,)).fit(alone)

    assert isinstance(model, FittedLightGBM)
    assert model.heads[0].mean == ""
    assert 3.5 < model.heads[0].df < 4.6


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arch", None)

    with pytest.raises(MissingExtra, match=r'arch is not installed.*pip install "longshort\[baselines\]"'):
        GARCH((1,)).fit(PAST)


def an_equation(*, gamma: float) -> Equation:
    values = {"omega": 4e-6, "alpha": 0.05, "gamma": gamma, "beta": 0.82 if gamma > 0.1 else 0.88, "df": 8.0}
    return Equation(**{name: np.array([value]) for name, value in values.items()})


def a_gjr_market(equation: Equation, *, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Returns of one coin, (time, 1)."""
    omega, alpha, gamma, beta, df = (
        float(part[0])
        for part in (equation.omega, equation.alpha, equation.gamma, equation.beta, equation.df)
    )
    shocks = rng.standard_t(df, size=rows) * np.sqrt((df - 2) / df)
    returns = np.empty(rows)
    variance = omega / (1 - float(equation.persistence[0]))
    for t in range(rows):
        returns[t] = np.sqrt(variance) * shocks[t]
        variance = omega + (alpha + gamma * (returns[t] < 0)) * returns[t] ** 2 + beta * variance
    return returns[:, None]


def blank_panel(returns: np.ndarray) -> Panel:
    """A panel of some returns whose features say nothing."""
    rows, coins = returns.shape
    column = np.zeros((rows, coins), dtype=np.float32)
    square = np.nan_to_num(returns) ** 2
    for t in range(1, rows):
        square[t] = 0.06 * square[t] + 0.94 * square[t - 1]
    volatility = np.sqrt(square) + 1e-6
    names = tuple(name for name in PANEL.names if name.startswith(("range", "hour")))
    return replace(
        PANEL,
        closed_at=np.arange(rows, dtype=np.int64),
        grid_row=np.arange(rows, dtype=np.int64),
        symbols=tuple(f"C{k}" for k in range(coins)),
        names=names,
        optional=("",) * len(names),
        standardised=(True,) * len(names),
        values=np.zeros((rows, coins, len(names)), dtype=np.float32),
        levels=np.stack([np.log(volatility).astype(np.float32), column], axis=2),
        log_close=np.cumsum(np.nan_to_num(returns), axis=0),
        log_return=returns,
        volatility=volatility,
        missing_rows=np.zeros((rows, coins)),
        usable=np.ones((rows, coins), dtype=bool),
        restart=np.zeros((rows, coins), dtype=bool),
    )


def a_past(returns: np.ndarray, test: range) -> tuple[Panel, Past, np.ndarray]:
    """A panel of some returns, what may be learnt from it, and what came over 1 and 4 bars."""
    panel = blank_panel(returns)
    targets = replace(
        TARGETS,
        horizons=(1, 4),
        log_return=np.stack(
            [
                np.concatenate(
                    [panel.log_close[h:] - panel.log_close[:-h], np.full((h, returns.shape[1]), np.nan)]
                )
                for h in (1, 4)
            ],
            axis=2,
        ),
    )
    train, validation = range(100, test.start - 1_000), range(test.start - 990, test.start - 4)
    return panel, Past.cut(panel, targets, train, validation), targets.log_return


def a_planted_panel(*, mean: float, scale: float) -> tuple[Past, Panel, np.ndarray, np.ndarray]:
    """A market in which one feature carries the mean, or the log scale, of the next return."""
    rng = np.random.default_rng(11)
    rows, coins = 4_000, 4
    panel = blank_panel(0.01 * rng.standard_t(6.0, size=(rows, coins)))
    signal = rng.normal(size=(rows, coins))
    values = panel.values.copy()
    values[:, :, 0] = rng.normal(size=(rows, coins))
    values = np.concatenate([values, signal[:, :, None].astype(np.float32)], axis=2)
    panel = replace(
        panel,
        names=(*panel.names, "signal"),
        optional=(*panel.optional, ""),
        standardised=(*panel.standardised, True),
        values=values,
        volatility=np.full((rows, coins), 0.01),
        levels=np.full((rows, coins, 2), np.log(0.01), dtype=np.float32),
    )
    came = 0.01 * (mean * signal + np.exp(scale * signal) * rng.standard_t(5.0, size=(rows, coins)))
    targets = replace(TARGETS, horizons=(1,), log_return=came[:, :, None])
    return Past.cut(panel, targets, range(2_200), range(2_201, 2_998)), panel, signal, targets.log_return
