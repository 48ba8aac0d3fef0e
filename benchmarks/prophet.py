"""Where Prophet should shine: a strong season by hour and weekday, and 20 % of the bars missing. Who wins?

    python -m benchmarks.prophet [--season 0.5] [--share 0.2] [--bars 8000]

A simulated market of two coins whose mean by hour and weekday is known. All are compared at the same origins, every
fifth bar of the last fifth, so that every hour comes up; the per-coin models refit weekly on 90 days, the network and
HAR learn from all bars before. "planted season" knows the mean, with HAR's scale (too wide for it).

The per-coin models get the bars with their holes. The network and HAR say nothing on those: with a fifth of the bars
gone no window of features is complete. So they get bars in which the last close stands where one is absent.

As written (about 400 cells per horizon), the network wins and Prophet is second: MAE 34.6, 78.3 and 220.3 basis points
at horizons 1, 4 and 24 against Prophet's 35.1, 80.4 and 241.7, AutoARIMA's 38.7, 109.6 and 319.0, and 42.9, 124.1 and
327.5 of "the price stays"; the planted mean itself has 33.3, 72.6 and 207.0. CRPS: 25.7, 59.3, 168.1 against Prophet's
26.3, 60.1, 181.9. One market, one seed.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
from tests.markets import punched

from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.catalog import names_on_record
from longshort.features.panel import FeatureStream
from longshort.features.targets import make_targets
from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import Past
from longshort.models.lstm import LSTMForecaster
from longshort.models.opponents.automatic import AutoARIMA, AutoETS, Theta
from longshort.models.opponents.naive import PreviousValue, SeasonalNaive
from longshort.models.opponents.prophet import Prophet
from longshort.models.opponents.scale import HAR, scale_models
from longshort.models.opponents.series import PerSeries

HORIZONS = (1, 4, 24)
EVERY = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--season", type=float, default=0.5)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--bars", type=int, default=8_000)
    options = parser.parse_args()
    simulation = simulate_market(2, options.bars, season=options.season, seed=3)
    bars = punched(simulation.bars, np.random.default_rng(4), share=options.share)
    panel, targets = FeatureStream(bars.symbols, ("return_1",)).extend(bars), make_targets(bars, HORIZONS)
    flat = filled(bars)
    whole = FeatureStream(flat.symbols, names_on_record(flat)).extend(flat)
    edges = [int(share * options.bars) for share in (0.68, 0.8)]
    train, validation = range(edges[0]), range(edges[0] + 24, edges[1] - 24)
    test = range(edges[1], options.bars)
    past = Past.cut(whole, make_targets(flat, HORIZONS), train, validation)
    forecasts: list[tuple[Forecast, float]] = []
    for model in forecasters():
        began = time.perf_counter()
        seen = panel if isinstance(model, PerSeries) else whole
        forecasts.append((model.fit(past).predict(seen, test), time.perf_counter() - began))
    har = next(forecast for forecast, _ in forecasts if forecast.model == HAR)
    ahead = [
        sum(np.roll(simulation.truth.mean, -k, axis=0) for k in range(h))[test.start :] for h in HORIZONS
    ]
    law = replace(har.law, loc=np.stack(ahead, axis=-1))
    forecasts.append((replace(har, model="planted season", law=law), 0.0))
    origins = bars.present[test.start :] & (panel.grid_row[test.start :] % EVERY == 0)[:, None]
    tell(forecasts, np.where(origins[:, :, None], targets.log_return[test.start :], np.nan))


def filled(bars: Bars) -> Bars:
    """Flat bars without volume where one is absent; the first rows, before any close, stay absent."""
    last = np.maximum.accumulate(np.where(bars.present, np.arange(len(bars))[:, None], 0), axis=0)
    close = np.take_along_axis(bars.close, last, axis=0)
    flat = {name: np.where(bars.present, getattr(bars, name), close) for name in ("open", "high", "low")}
    volume = np.where(bars.present, bars.volume, 0.0)
    return replace(bars, close=close, volume=volume, present=np.isfinite(close), **flat)


def forecasters() -> list:
    slow = [model(HORIZONS, every=EVERY) for model in (Prophet, AutoARIMA, AutoETS, Theta)]
    network = LSTMForecaster(HORIZONS, ModelSettings(seeds=(1, 2), anchor="har"), TrainingSettings())
    har = next(model for model in scale_models(HORIZONS) if model.name == HAR)
    return [*slow, network, har, SeasonalNaive(HORIZONS), PreviousValue(HORIZONS)]


def tell(forecasts: list[tuple[Forecast, float]], came: np.ndarray) -> None:
    """MAE and CRPS in basis points, and how often the direction was right, on the cells that all speak of."""
    known = np.isfinite(came)
    for forecast, _ in forecasts:
        known &= np.isfinite(forecast.law.loc)
    cells = known.sum(axis=(0, 1))
    print(f"{'':16}" + "".join(f"{f'h = {h} ({n} cells)':>27}" for h, n in zip(HORIZONS, cells, strict=True)))
    print(f"{'':16}" + 3 * f"{'MAE':>11}{'CRPS':>8}{'right':>8}" + f"{'seconds':>9}")
    for forecast, seconds in forecasts:
        columns = "".join(scores(forecast, came, known, k) for k in range(len(HORIZONS)))
        print(f"{forecast.model:16}{columns}{seconds:9.0f}")


def scores(forecast: Forecast, came: np.ndarray, known: np.ndarray, at: int) -> str:
    law, cells = forecast.law, known[:, :, at]
    assert isinstance(law, StudentT)
    mae = 1e4 * np.abs(came - law.loc)[:, :, at][cells].mean()
    crps = 1e4 * law.crps(came)[:, :, at][cells].mean()
    said = law.loc[:, :, at][cells]
    right = np.mean(np.sign(said) == np.sign(came[:, :, at][cells])) if said.any() else np.nan
    return f"{mae:11.1f}{crps:8.1f}{right:8.1%}".replace("nan%", "   -").replace("nan", "  -")


if __name__ == "__main__":
    main()
