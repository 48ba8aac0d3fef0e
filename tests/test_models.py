"""Every forecaster inherits these contracts by being in the list; the network has some of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from longshort.base.errors import BundleError, DataError
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.features.catalog import names_on_record
from longshort.features.panel import FeatureStream, Panel
from longshort.features.targets import make_targets
from longshort.models.bundle import Bundle
from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import Fitted, Forecaster, Past
from longshort.models.heads.student_t import negative_log_density
from longshort.models.inputs import Scaler
from longshort.models.lstm import FittedLSTM, LSTMForecaster
from longshort.models.memory import Rows, TwoStates, run
from longshort.models.network import Network, NetworkConfig
from longshort.models.opponents.naive import PreviousValue, SeasonalNaive
from longshort.models.opponents.scale import fit_scale, scale_models
from longshort.models.training.chunks import chunk_starts

from .markets import poisoned, punched

HORIZONS = (1, 4, 24)
BARS = punched(simulate_market(coins=3, bars=2_600, seed=7).bars, np.random.default_rng(2), share=0.01)
NAMES = names_on_record(BARS)
TRAIN, VALIDATION, TEST = range(1_800), range(1_824, 2_100), range(2_124, 2_600)
MODEL = ModelSettings(hidden=8, seeds=(1, 2), restart_rows=64)
TRAINING = TrainingSettings(steps=20, check_every=10, batch_chunks=8, chunk_bars=96, burn_in_bars=24)


def panel_of(bars=BARS) -> Panel:
    return FeatureStream(bars.symbols, NAMES).extend(bars)


PANEL, TARGETS = panel_of(), make_targets(BARS, HORIZONS)
PAST = Past.cut(PANEL, TARGETS, TRAIN, VALIDATION)
FORECASTERS: dict[str, Forecaster] = {
    "LSTM": LSTMForecaster(HORIZONS, MODEL, TRAINING),
    **{rival.name: rival for rival in scale_models(HORIZONS)},
    "previous value": PreviousValue(HORIZONS),
    "seasonal naive": SeasonalNaive(HORIZONS),
}
STUDY = Study(model=MODEL)
every_forecaster = pytest.mark.parametrize("name", FORECASTERS)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Fitted]:
    return {name: forecaster.fit(PAST) for name, forecaster in FORECASTERS.items()}


def arrays(forecast: Forecast) -> list[np.ndarray]:
    return [forecast.law.loc, forecast.law.scale, forecast.law.df]


def assert_same(mine: Forecast, theirs: Forecast) -> None:
    for a, b in zip(arrays(mine), arrays(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@every_forecaster
@pytest.mark.parametrize("row", [2_124, 2_200, 2_303, 2_304, 2_599])
def test_a_forecast_does_not_change_when_the_future_is_cut_off(fitted, name: str, row: int) -> None:
    whole = fitted[name].predict(PANEL, TEST)
    alone = fitted[name].predict(panel_of(BARS[: row + 1]), range(row, row + 1))

    assert_same(alone, whole[row - TEST.start : row + 1 - TEST.start])


@every_forecaster
def test_a_forecast_does_not_change_when_the_future_is_noise(fitted, name: str) -> None:
    noise = panel_of(poisoned(BARS, 2_300, np.random.default_rng(0)))

    mine, theirs = fitted[name].predict(PANEL, TEST), fitted[name].predict(noise, TEST)

    assert_same(mine[: 2_300 - TEST.start], theirs[: 2_300 - TEST.start])


@every_forecaster
@pytest.mark.parametrize("start", [1, 700, 2_100, 2_124, 2_175, 2_176, 2_598])
def test_a_stream_from_any_start_gives_exactly_the_batch_forecasts(fitted, name: str, start: int) -> None:
    stream = fitted[name].start(PANEL[:start])
    rows = range(start, min(start + 70, len(PANEL)))
    batch = fitted[name].predict(PANEL, rows)

    for k, t in enumerate(rows):
        assert_same(stream.step(PANEL[t : t + 1]), batch[k : k + 1])


@every_forecaster
def test_a_fit_does_not_change_when_everything_after_the_first_test_close_is_noise(name: str) -> None:
    noise = poisoned(BARS, TEST.start, np.random.default_rng(0))
    past = Past.cut(panel_of(noise), make_targets(noise, HORIZONS), TRAIN, VALIDATION)

    mine, theirs = FORECASTERS[name].fit(PAST), FORECASTERS[name].fit(past)

    assert_same(mine.predict(PANEL, TEST), theirs.predict(PANEL, TEST))


@every_forecaster
def test_two_fits_of_one_past_are_the_same_bits(fitted, name: str) -> None:
    again = FORECASTERS[name].fit(PAST)

    assert_same(again.predict(PANEL, TEST), fitted[name].predict(PANEL, TEST))


@every_forecaster
def test_a_forecast_starts_at_the_first_test_row_and_has_none_where_the_bar_is_absent(
    fitted, name: str
) -> None:
    forecast = fitted[name].predict(PANEL, TEST)

    assert forecast.closed_at[0] == PANEL.closed_at[TEST.start]
    assert len(forecast) == len(TEST)
    states_a_law = name not in {"previous value", "seasonal naive"}
    known = np.isfinite(forecast.law.scale).all(axis=2)
    np.testing.assert_array_equal(known, PANEL.usable[TEST.start :] & states_a_law)


def test_the_past_ends_with_the_last_label_it_may_know() -> None:
    assert len(PAST.panel) == VALIDATION.stop - 1 + max(HORIZONS) + 1 == TEST.start
    assert np.isnan(PAST.targets.log_return[-1:, :, 0]).all()
    assert np.isfinite(PAST.targets.log_return[VALIDATION.stop - 1, :, :]).any()


def test_other_seeds_give_other_forecasts(fitted) -> None:
    other = LSTMForecaster(HORIZONS, MODEL.model_copy(update={"seeds": (3, 4)}), TRAINING).fit(PAST)

    assert not np.array_equal(
        other.predict(PANEL, TEST).law.scale, fitted["LSTM"].predict(PANEL, TEST).law.scale, equal_nan=True
    )


def test_a_network_that_reads_the_next_row_is_caught(fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Scaler.inputs

    def leaky(self: Scaler, panel: Panel) -> np.ndarray:
        rows = honest(self, panel)
        return np.concatenate([rows[1:], rows[-1:]])

    monkeypatch.setattr(Scaler, "inputs", leaky)
    whole = fitted["LSTM"].predict(PANEL, TEST)
    alone = fitted["LSTM"].predict(PANEL[:2_201], range(2_200, 2_201))

    assert not np.array_equal(alone.law.scale[0], whole.law.scale[2_200 - TEST.start])


def test_a_coins_forecast_is_indifferent_to_the_inputs_of_other_coins() -> None:
    network = a_network(inputs=5)
    rng = np.random.default_rng(0)
    rows = a_run(rng.normal(size=(300, 3, 5)))
    other = replace(rows, inputs=rows.inputs.copy())
    other.inputs[:, 1] = 9.0

    mine, theirs = run(network, rows, range(100, 300), 64), run(network, other, range(100, 300), 64)

    np.testing.assert_array_equal(mine[:, [0, 2]], theirs[:, [0, 2]])
    assert not np.array_equal(mine[:, 1], theirs[:, 1])


def test_a_forecast_rests_on_one_to_two_memories_of_rows() -> None:
    network = a_network(inputs=5)
    rows = a_run(np.random.default_rng(0).normal(size=(400, 1, 5)))
    before, inside = replace(rows, inputs=rows.inputs.copy()), replace(rows, inputs=rows.inputs.copy())
    before.inputs[:191], inside.inputs[192] = 9.0, 9.0

    mine = run(network, rows, range(300, 301), 64)

    np.testing.assert_array_equal(
        run(network, before, range(300, 301), 64), mine
    )  # 300 is in 256.., state from 192
    assert not np.array_equal(run(network, inside, range(300, 301), 64), mine)


def test_a_coin_back_from_a_long_gap_has_forgotten_what_was_before() -> None:
    network = a_network(inputs=5)
    rows = a_run(np.random.default_rng(0).normal(size=(60, 2, 5)))
    rows.restart[40, 0] = True
    other = replace(rows, inputs=rows.inputs.copy())
    other.inputs[:40] = 3.0

    mine, theirs = TwoStates(network, 64).extend(rows), TwoStates(network, 64).extend(other)

    np.testing.assert_array_equal(mine[40:, 0], theirs[40:, 0])
    assert not np.array_equal(mine[40:, 1], theirs[40:, 1])


def test_only_rows_up_to_t_have_a_gradient_in_the_output_at_t() -> None:
    network = a_network(inputs=4)
    window = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)

    raw, _ = network(window)
    raw[12, 1].sum().backward()

    touched = window.grad.abs().sum(dim=2) > 0
    assert touched[:13, 1].all()
    assert touched.sum() == 13


def test_the_network_can_memorise_one_batch() -> None:
    torch.manual_seed(0)
    network = Network(NetworkConfig(inputs=4, horizons=1, model=ModelSettings(hidden=32, dropout=0.0)))
    window, target = torch.randn(12, 6, 4), torch.randn(12, 6, 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    losses: list[float] = []
    for _ in range(300):
        loss = negative_log_density(network(window)[0], target).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[0] > 1.0
    assert losses[-1] < -1.0


def test_the_likelihood_is_that_of_torch() -> None:
    raw = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    target = torch.linspace(-3, 3, 7)
    df = 2.1 + 1.9 * raw[:, 2].exp()

    expected = -torch.distributions.StudentT(df, raw[:, 0], raw[:, 1].exp()).log_prob(target)

    torch.testing.assert_close(negative_log_density(raw, target), expected)


def test_the_law_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    shape = (4, 2, 3)
    law = StudentT(
        loc=rng.normal(size=shape), scale=rng.uniform(0.5, 2, shape), df=rng.uniform(2.5, 9, shape)
    )
    value = rng.normal(size=shape)
    frozen = stats.t(law.df, law.loc, law.scale)

    np.testing.assert_allclose(law.log_density(value), frozen.logpdf(value), rtol=1e-10)
    np.testing.assert_allclose(law.cdf(value), frozen.cdf(value), rtol=1e-10)
    np.testing.assert_allclose(law.quantile(0.05), frozen.ppf(0.05), rtol=1e-8)
    np.testing.assert_allclose(law.variance(), frozen.var(), rtol=1e-10)


def test_a_scale_model_finds_the_law_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    terms = np.stack([np.ones(40_000), rng.normal(size=40_000)], axis=1)
    target = np.exp(terms @ [-4.0, 0.5]) * rng.standard_t(5.0, size=40_000)

    beta, df = fit_scale(terms, target)

    np.testing.assert_allclose(beta, [-4.0, 0.5], atol=0.02)
    assert 4.6 < df < 5.4


@pytest.mark.parametrize("name", ["LSTM", *[rival.name for rival in scale_models(HORIZONS)]])
def test_no_forecaster_knows_more_than_the_law_that_made_the_market(fitted, name: str) -> None:
    simulation = simulate_market(coins=3, bars=2_600, seed=7)
    came = TARGETS.log_return[TEST.start : TEST.stop]

    mine = fitted[name].predict(PANEL, TEST).law.log_density(came)[:, :, 0]
    truth = simulation.truth.log_density(np.nan_to_num(TARGETS.log_return[:, :, 0]))[TEST.start : TEST.stop]

    scored = np.isfinite(mine)
    assert scored.sum() > 1_000
    assert mine[scored].mean() < truth[scored].mean()


def test_the_seasonal_naive_repeats_the_same_hours_of_the_day_before() -> None:
    bars = simulate_market(coins=2, bars=2_000, seed=1).bars
    panel = panel_of(bars)
    log_close = np.log(bars.close)

    loc = SeasonalNaive((1, 4, 30)).predict(panel, range(500, 501)).law.loc[0]

    np.testing.assert_allclose(loc[:, 0], log_close[477] - log_close[476], atol=1e-12)
    np.testing.assert_allclose(loc[:, 1], log_close[480] - log_close[476], atol=1e-12)
    np.testing.assert_allclose(loc[:, 2], log_close[482] - log_close[452], atol=1e-12)


def test_no_training_chunk_reaches_past_the_training_rows_or_over_a_long_gap() -> None:
    starts = chunk_starts(PAST, TRAINING, TRAIN)
    gap = replace(PAST, panel=replace(PANEL[: len(PAST.panel)], restart=PAST.panel.restart.copy()))
    gap.panel.restart[1_000, 2] = True

    assert starts[:, 0].max() + TRAINING.chunk_bars <= TRAIN.stop
    inside = chunk_starts(gap, TRAINING, TRAIN)
    over = (inside[:, 1] == 2) & (inside[:, 0] < 1_000) & (inside[:, 0] + TRAINING.chunk_bars > 1_000)
    assert not over.any()
    assert len(inside) < len(starts)


def test_too_short_a_history_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        DataError, match=r"50 training bars are fewer than one chunk of 96.*training.chunk_bars"
    ):
        chunk_starts(PAST, TRAINING, range(50))


def test_a_bundle_survives_saving_and_loading_bit_for_bit(fitted, tmp_path) -> None:
    bundle = a_bundle(fitted["LSTM"])
    bundle.save(tmp_path)

    loaded = Bundle.load(tmp_path)

    assert_same(loaded.fitted.predict(PANEL, TEST), fitted["LSTM"].predict(PANEL, TEST))
    assert loaded.symbols == bundle.symbols
    assert loaded.settings == bundle.settings
    assert len(list(tmp_path.glob("weights-*"))) == 1


def test_a_bundle_whose_weights_were_changed_is_refused(fitted, tmp_path) -> None:
    a_bundle(fitted["LSTM"]).save(tmp_path)
    path = next(tmp_path.glob("weights-*"))
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(bytes(body))

    with pytest.raises(BundleError, match="not the ones that were saved"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize(
    ("study", "symbols", "names", "says"),
    [
        (STUDY, BARS.symbols, NAMES[1:], "other features than the study's .*return_1"),
        (STUDY, BARS.symbols[:2], NAMES, "trained on SIM01USDT, SIM02USDT, SIM03USDT, the study has"),
        (
            Study.parse({"data": {"interval": "4h"}}),
            BARS.symbols,
            NAMES,
            "trained on 1h bars, the study has 4h",
        ),
        (
            Study(model=MODEL.model_copy(update={"hidden": 9})),
            BARS.symbols,
            NAMES,
            "model.hidden = 8, the study has 9",
        ),
    ],
)
def test_a_bundle_that_does_not_fit_the_study_is_refused(fitted, study, symbols, names, says) -> None:
    with pytest.raises(BundleError, match=says):
        a_bundle(fitted["LSTM"]).check(study, symbols, names)


def a_network(inputs: int) -> Network:
    """A network that hardly forgets, so that what it could read would show."""
    torch.manual_seed(0)
    network = Network(NetworkConfig(inputs=inputs, horizons=2, model=ModelSettings(hidden=8))).eval()
    with torch.no_grad():
        network.backbone.layers[0].bias_hh_l0[8:16] = 6.0
    return network


def a_run(inputs: np.ndarray) -> Rows:
    rows = len(inputs)
    return Rows(
        inputs=inputs.astype(np.float32),
        grid_row=np.arange(rows, dtype=np.int64),
        restart=np.zeros(inputs.shape[:2], dtype=np.bool_),
    )


def a_bundle(fitted: Fitted) -> Bundle:
    assert isinstance(fitted, FittedLSTM)
    settings = Study(model=MODEL).model_dump(mode="json")
    return Bundle(
        fitted=fitted,
        symbols=BARS.symbols,
        interval="1h",
        created_at=1,
        trained_until=2,
        settings=settings,
        memory={},
    )
