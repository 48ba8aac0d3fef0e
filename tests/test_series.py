"""The slow models, fitted to one coin at a time, keep the contract of forecasters; each finds what it should."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longshort.base.clock import DAY, HOUR
from longshort.base.errors import MissingExtra
from longshort.data.simulator import simulate_market
from longshort.features.panel import FeatureStream, Panel
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Fitted, Forecaster
from longshort.models.opponents.automatic import ARMA, AutoARIMA, AutoETS, Theta, carried
from longshort.models.opponents.prophet import LearntProphet, Prophet, coming
from longshort.models.opponents.series import CONTEXT_ROWS, REFIT_ROWS, PerSeries, Series

from .markets import poisoned, punched

HORIZONS = (1, 4, 24)
BARS = punched(simulate_market(coins=2, bars=900, seed=7).bars, np.random.default_rng(2), share=0.03)
ROWS = range(700, 900)
MADE = (Prophet(HORIZONS, every=5), *(model(HORIZONS, every=5) for model in (AutoARIMA, AutoETS, Theta)))
MODELS: dict[str, PerSeries] = {made.name: made for made in MADE}
every_model = pytest.mark.parametrize("name", MODELS)


def panel_of(bars=BARS) -> Panel:
    return FeatureStream(bars.symbols, ("return_1",)).extend(bars)


PANEL = panel_of()
ORIGINS = np.flatnonzero(PANEL.grid_row % 5 == 0)
LATE = int(ORIGINS[ORIGINS < 880][-1])  # long after the refit that it rests on


@pytest.fixture(scope="module")
def forecasts() -> dict[str, Forecast]:
    return {name: model.predict(PANEL, ROWS) for name, model in MODELS.items()}


def arrays(forecast: Forecast) -> list[np.ndarray]:
    return [forecast.law.loc, forecast.law.scale, forecast.law.df]


def assert_same(mine: Forecast, theirs: Forecast) -> None:
    for a, b in zip(arrays(mine), arrays(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def series_of(log_close: np.ndarray) -> Series:
    return Series(closed_at=HOUR * np.arange(len(log_close), dtype=np.int64), log_close=log_close)


def a_path(seed: int, *, ar: float = 0.0, drift: float = 0.0, rows: int = 2_160) -> np.ndarray:
    shock = 0.005 * np.random.default_rng(seed).standard_t(5, size=rows)
    x = shock.copy()
    for t in range(1, rows):
        x[t] += ar * x[t - 1]
    return 5.0 + np.cumsum(x + drift)


@every_model
def test_it_is_a_forecaster_and_its_own_fit(forecasts, name: str) -> None:
    model, forecast = MODELS[name], forecasts[name]

    assert isinstance(model, Forecaster)
    assert isinstance(model, Fitted)
    assert (forecast.model, forecast.horizons) == (name, HORIZONS)
    assert forecast.symbols == PANEL.symbols
    np.testing.assert_array_equal(forecast.closed_at, PANEL.closed_at[700:])


@every_model
def test_it_speaks_at_every_origin_with_a_close_and_nowhere_else(forecasts, name: str) -> None:
    speaks = BARS.present & (PANEL.grid_row % 5 == 0)[:, None]

    for array in arrays(forecasts[name]):
        known = np.isfinite(array)
        np.testing.assert_array_equal(known, np.repeat(speaks[700:, :, None], 3, axis=2))
    assert (~BARS.present[ORIGINS]).sum() > 0


@every_model
def test_a_forecast_does_not_change_when_the_future_is_cut_off(forecasts, name: str) -> None:
    alone = MODELS[name].predict(panel_of(BARS[: LATE + 1]), range(LATE, LATE + 1))

    assert_same(alone, forecasts[name][LATE - 700 : LATE - 699])


@every_model
def test_a_forecast_does_not_change_when_the_future_is_noise(forecasts, name: str) -> None:
    noise = panel_of(poisoned(BARS, 780, np.random.default_rng(0)))

    mine = MODELS[name].predict(noise, range(700, 800))

    assert_same(mine[:80], forecasts[name][:80])
    assert not np.array_equal(mine.law.scale[80:], forecasts[name].law.scale[80:100], equal_nan=True)


@every_model
def test_a_stream_gives_exactly_the_batch_forecasts(forecasts, name: str) -> None:
    start = 840 - 15
    stream = MODELS[name].start(PANEL[:start])

    for t in range(start, start + 40):
        assert_same(stream.step(PANEL[t : t + 1]), forecasts[name][t - 700 : t - 699])


def test_a_stream_refits_once_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    refits: list[int] = []
    learn = AutoETS.learn
    monkeypatch.setattr(
        AutoETS, "learn", lambda self, window: refits.append(int(window.closed_at[-1])) or learn(self, window)
    )
    stream = AutoETS(HORIZONS, every=12).start(PANEL[:500])

    for t in range(500, 500 + 2 * REFIT_ROWS):
        stream.step(PANEL[t : t + 1])

    assert len(refits) == 6  # in three weeks, for two coins
    assert {at // HOUR % REFIT_ROWS for at in refits} == {0}


def test_a_forecast_rests_on_the_declared_context_and_no_more() -> None:
    model = AutoETS(HORIZONS, every=1)
    panel = panel_of(simulate_market(coins=1, bars=3_000, seed=3).bars)
    last = int(np.flatnonzero(panel.grid_row % REFIT_ROWS == REFIT_ROWS - 1)[-1])
    whole = model.predict(panel, range(last, last + 1))

    enough = model.predict(
        panel[last + 1 - model.context_rows : last + 1], range(CONTEXT_ROWS - 1, CONTEXT_ROWS)
    )
    less = model.predict(panel[last + 2 - CONTEXT_ROWS : last + 1], range(CONTEXT_ROWS - 2, CONTEXT_ROWS - 1))

    assert_same(enough, whole)
    assert not np.array_equal(less.law.scale, whole.law.scale)


def test_a_coin_too_young_to_be_fitted_is_not_forecast() -> None:
    forecast = AutoETS(HORIZONS, every=1).predict(PANEL[:300], range(200, 300))

    assert np.isnan(np.stack(arrays(forecast))).all()


def test_the_scale_follows_the_volatility_of_the_row(forecasts) -> None:
    calm = replace(PANEL, volatility=PANEL.volatility.copy())
    calm.volatility[LATE] *= 0.5

    mine = MODELS["AutoETS"].predict(calm, range(LATE, LATE + 1))

    at = slice(LATE - 700, LATE - 699)
    np.testing.assert_array_equal(2.0 * mine.law.scale, forecasts["AutoETS"].law.scale[at])
    np.testing.assert_array_equal(mine.law.loc, forecasts["AutoETS"].law.loc[at])


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_prophet_finds_a_planted_season_whether_or_not_bars_are_missing(share: float) -> None:
    simulation = simulate_market(coins=1, bars=2_500, season=0.5, seed=4)
    panel = panel_of(punched(simulation.bars, np.random.default_rng(5), share=share))

    forecast = Prophet((1, 4), every=1).predict(panel, range(2_400, 2_500))

    said = forecast.law.loc[:-4, 0]
    known = np.isfinite(said[:, 0])
    planted = simulation.truth.mean[2_400:2_496, 0]
    ahead = np.stack([simulation.truth.mean[2_400 + k : 2_496 + k, 0] for k in range(4)]).sum(axis=0)
    assert known.sum() > 60
    assert np.corrcoef(said[known, 0], planted[known])[0, 1] > 0.9
    assert np.corrcoef(said[known, 1], ahead[known])[0, 1] > 0.9
    assert 0.6 < np.polyfit(planted[known], said[known, 0], 1)[0] < 1.4


def test_what_was_learnt_says_what_prophet_says() -> None:
    import pandas as pd
    from prophet import Prophet as Library

    path = a_path(1, rows=1_000) - 5.0
    at = HOUR * np.arange(100, 1_130, dtype=np.int64)
    library: Any = Library(uncertainty_samples=0)
    library.fit(pd.DataFrame({"ds": at[:1_000].astype("datetime64[ns]"), "y": path}))
    expected = library.predict(pd.DataFrame({"ds": at.astype("datetime64[ns]")}))["yhat"].to_numpy()

    value = LearntProphet.of(library).value(at)

    np.testing.assert_allclose(value - value[0], expected - expected[0], atol=1e-9)


def test_the_coming_bars_of_a_stock_close_on_its_days() -> None:
    friday = 29 * DAY + 20 * HOUR  # 1970-01-30
    days = np.concatenate([np.arange(5) * DAY + friday - 4 * DAY - week * 7 * DAY for week in (3, 2, 1, 0)])

    after = coming(days, np.arange(len(days)), 1)

    assert after[-1] == friday + 3 * DAY
    assert after[-2] == friday


def test_prophet_leaves_no_files_and_says_nothing(capfd, caplog: pytest.LogCaptureFixture) -> None:
    import cmdstanpy

    folders = [Path(cmdstanpy._TMPDIR), Path(cmdstanpy._TMPDIR).parent]
    before = {path for folder in folders for path in folder.glob("*prophet_model*")}

    Prophet(HORIZONS).learn(series_of(a_path(1, rows=500)))

    assert {path for folder in folders for path in folder.glob("*prophet_model*")} == before
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_arima_finds_what_increments_remember() -> None:
    path = a_path(3, ar=0.4)

    learnt = AutoARIMA(HORIZONS).learn(series_of(path))

    said = learnt.increments(series_of(path), (1,), 100)[:-1, 0]
    assert np.corrcoef(said, path[100:-1] - path[99:-2])[0, 1] > 0.98
    assert 0.3 < np.polyfit(path[100:-1] - path[99:-2], said, 1)[0] < 0.5


@pytest.mark.parametrize("ar", [0.0, 0.4])
@pytest.mark.parametrize("model", [AutoARIMA, Theta])
def test_what_was_learnt_says_what_the_library_says(model, ar: float, monkeypatch) -> None:
    from longshort.models.opponents import automatic

    made: list[Any] = []
    fitted = automatic._fitted
    monkeypatch.setattr(automatic, "_fitted", lambda *asked: made.append(found := fitted(*asked)) or found)
    series = series_of(a_path(6, ar=ar, drift=1e-4))

    said = model(HORIZONS).learn(series).increments(series, (1, 4, 24), -1)[0]

    best = min(made, key=lambda found: found.model_.get("mse", 0.0))
    np.testing.assert_allclose(said, best.predict(24)["mean"][[0, 3, 23]] - carried(series)[-1], atol=1e-9)


@pytest.mark.parametrize("kind", ["ANN", "AAN"])
def test_exponential_smoothing_says_what_the_library_says(kind: str, monkeypatch) -> None:
    from statsforecast import models

    series = series_of(a_path(8, ar=0.2, drift=2e-4))
    library = models.AutoETS(season_length=1, model=kind, damped=False).fit(carried(series))
    monkeypatch.setattr("longshort.models.opponents.automatic._fitted", lambda *asked: library)

    said = AutoETS(HORIZONS).learn(series).increments(series, (1, 4, 24), -1)[0]

    expected = library.predict(24)["mean"][[0, 3, 23]] - carried(series)[-1]
    np.testing.assert_allclose(said, expected, rtol=1e-4)


def test_the_bar_that_ends_a_hole_brings_the_whole_surprise() -> None:
    model = ARMA(mean=0.1, ar=(0.5,), ma=())
    series = series_of(np.array([0.0, 0.5, np.nan, 1.0]))

    said = model.increments(series, (1, 2), 0)

    # less its mean the second bar moved 0.4, so 0.2 and 0.1 are expected next: 0.5 + 0.3 + 0.2 = 1.0, no surprise
    np.testing.assert_allclose(said[1], [0.3, 0.5], atol=1e-12)
    np.testing.assert_allclose(said[3], [0.15, 0.275], atol=1e-12)


def test_holes_do_not_shift_time() -> None:
    path = a_path(3, ar=0.4)
    holed = np.where(np.random.default_rng(1).random(len(path)) < 0.2, np.nan, path)
    learnt = ARMA(mean=0.0, ar=(0.4,), ma=())

    whole = learnt.increments(series_of(path), (1,), 0)[:, 0]
    mine = learnt.increments(series_of(holed), (1,), 0)[:, 0]

    both = np.isfinite(holed) & np.isfinite(np.roll(holed, 1))
    assert np.corrcoef(whole[both], mine[both])[0, 1] > 0.99
    np.testing.assert_allclose(
        carried(series_of(holed))[both] - carried(series_of(holed))[0],
        holed[both] - holed[np.isfinite(holed)][0],
        atol=1e-12,
    )


@pytest.mark.parametrize(("library", "model"), [("prophet", Prophet), ("statsforecast", AutoETS)])
def test_a_missing_library_is_named_with_its_remedy(library: str, model, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(MissingExtra, match=rf'{library}.*pip install "longshort\[baselines\]"'):
        model(HORIZONS).learn(series_of(a_path(1, rows=400)))
