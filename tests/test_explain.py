"""What `longshort explain` says is so: gates are the network's own, attributions add up, and its tests can fail."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest
import torch

from longshort._commands.fit import train
from longshort.base.clock import HOUR
from longshort.base.errors import NotComputable
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.features.panel import FeatureStream, Panel
from longshort.features.targets import make_targets
from longshort.models.bundle import Bundle
from longshort.models.explain.attribution import (
    Cells,
    answers,
    attribute,
    cells_at,
    input_names,
    unbroken,
)
from longshort.models.explain.faithfulness import faithfulness
from longshort.models.explain.gates import half_life, traced
from longshort.models.forecaster import Past
from longshort.models.lstm import FittedLSTM, LSTMForecaster, as_rows
from longshort.models.memory import run
from longshort.models.network import Network, NetworkConfig
from longshort.models.networks.backbone import Backbone, Hidden, Shape, State, Window
from longshort.models.networks.catalog import KINDS
from longshort.models.opponents.scale import HAR_COLUMNS
from longshort.study.tracking import track
from longshort.web.formats import percent

from .conftest import Said
from .markets import punched

BARS = punched(simulate_market(coins=2, bars=2_000, seed=7).bars, np.random.default_rng(2), share=0.01)
NAMES = ("return_1", *HAR_COLUMNS[:5])
MODEL = ModelSettings(hidden=6, layers=2, dropout=0.0, seeds=(1, 2), restart_rows=32, anchor="har")
TRAINING = TrainingSettings(steps=10, check_every=10, batch_chunks=4, chunk_bars=48, burn_in_bars=8)
LAGS, INPUTS, PLANTED = 8, 6, 3
WANTED = range(1_890, 2_000)


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Two coins with holes, each of which restarts a memory."""
    return FeatureStream(BARS.symbols, ("return_1", *HAR_COLUMNS), max_gap_rows=0).extend(BARS)


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> FittedLSTM:
    past = Past.cut(panel, make_targets(BARS, (1, 4)), range(1_400), range(1_404, 1_700), NAMES)
    found = LSTMForecaster((1, 4), MODEL, TRAINING).fit(past)
    assert isinstance(found, FittedLSTM)
    return found


def network_of(kind: str = "lstm") -> Network:
    torch.manual_seed(1)
    model = ModelSettings(kind=kind, hidden=8, dropout=0.0, window=4, readout=0)
    network = Network(NetworkConfig(inputs=INPUTS, horizons=1, model=model))
    with torch.no_grad():
        network.head.weight.normal_(0.0, 0.5)
    return network.eval()


def cells_of(network: Network, rng: np.random.Generator, count: int = 12) -> Cells:
    window = rng.normal(size=(LAGS, count, INPUTS)).astype(np.float32)
    _, state = network(torch.from_numpy(rng.normal(size=(5, count, INPUTS)).astype(np.float32)))
    memory = tuple(part.detach() for part in state)
    coins = np.zeros(count, dtype=np.int64)
    return Cells(window=window, coins=coins, networks=(network,), memories=(memory,), horizon=0)


@pytest.fixture(scope="module")
def planted() -> Network:
    """A network that learnt to state a location: what one of its inputs was two rows ago."""
    network = network_of().train()
    rng = np.random.default_rng(3)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(120):
        window = torch.from_numpy(rng.normal(size=(LAGS, 32, INPUTS)).astype(np.float32))
        raw, _ = network(window)
        loss = (raw[2:, :, 0, 0] - window[:-2, :, PLANTED]).square().mean() + raw[..., 1:].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def test_a_gate_that_keeps_half_has_a_half_life_of_one_bar() -> None:
    np.testing.assert_allclose(half_life(np.full((9, 2, 3), 0.5, dtype=np.float32)), 1.0)


def test_half_lives_come_from_the_product_of_the_gates_not_from_their_mean() -> None:
    by_turns = np.tile(np.array([1.0, 0.25], dtype=np.float32), 10)[
        :, None, None
    ]  # halves each bar on average

    np.testing.assert_allclose(half_life(by_turns), 1.0)
    np.testing.assert_allclose(
        half_life(np.full((4, 1, 1), 2.0 ** (-1 / 24), dtype=np.float32)), 24.0, rtol=1e-5
    )


def test_a_gate_that_never_closes_remembers_forever_and_one_that_shuts_forgets_at_once() -> None:
    gates = np.array([[[1.0, 1.0]], [[1.0, 0.0]]], dtype=np.float32)

    assert half_life(gates).tolist() == [np.inf, 0.0]


def test_the_recomputed_hidden_states_are_those_that_the_network_speaks_from(
    fitted: FittedLSTM, panel: Panel
) -> None:
    network, rows = fitted.networks()[0], as_rows(fitted.scaler, panel)

    layers = traced(network, rows, WANTED, MODEL.restart_rows)
    hidden = torch.from_numpy(layers[-1].hidden)
    window = torch.from_numpy(rows.inputs[WANTED.start : WANTED.stop])
    with torch.no_grad():
        said = network.read(hidden, network.embed(window, torch.arange(2))).numpy()

    assert rows.restart[WANTED.start - 32 : WANTED.stop].sum() >= 2
    np.testing.assert_allclose(said, run(network, rows, WANTED, MODEL.restart_rows), atol=1e-6)
    assert len(layers) == 2
    assert max(layer.gap for layer in layers) < 1e-6


def test_the_cell_is_what_the_gates_let_through(fitted: FittedLSTM, panel: Panel) -> None:
    rows = as_rows(fitted.scaler, panel)
    layer = traced(fitted.networks()[0], rows, range(1_920, 1_940), MODEL.restart_rows)[0]

    kept = layer.forget_gate[1:] * layer.cell[:-1] + layer.input_gate[1:] * layer.candidate[1:]

    assert not rows.restart[1_920:1_940].any()
    np.testing.assert_allclose(layer.cell[1:], kept, atol=1e-6)
    np.testing.assert_allclose(layer.hidden, layer.output_gate * np.tanh(layer.cell), atol=1e-6)


def test_a_network_without_gates_says_so_and_can_be_attributed_all_the_same(
    panel: Panel, fitted: FittedLSTM, rng: np.random.Generator
) -> None:
    network = network_of()
    network.backbone = _Linear()

    with pytest.raises(NotComputable, match="has no LSTM layer"):
        traced(network, as_rows(fitted.scaler, panel), WANTED, MODEL.restart_rows)

    assert max(attribute(cells_of(network, rng)).gap) < 0.01


def test_an_explained_cell_is_the_forecast_itself(fitted: FittedLSTM, panel: Panel) -> None:
    rows = as_rows(fitted.scaler, panel)
    places = [
        (t, a)
        for t in (1_944, 1_957, 1_984, 1_999)
        for a in unbroken(rows, panel.usable, t, MODEL.restart_rows)
    ]

    cells = cells_at(fitted, rows, np.array(places), LAGS, horizon=1)
    raw = [run(network, rows, range(2_000), MODEL.restart_rows) for network in cells.networks]
    location = np.mean([[one[t, a, 1, 0] for t, a in places] for one in raw], axis=0)

    assert len(places) >= 3
    np.testing.assert_allclose(answers(cells)[0], location, atol=2e-6)
    assert len(input_names(fitted)) == cells.window.shape[2]


@pytest.mark.parametrize("kind", [kind.key for kind in KINDS])
def test_integrated_gradients_add_up_to_the_way_from_the_reference(
    kind: str, rng: np.random.Generator
) -> None:
    cells = cells_of(network_of(kind), rng, count=4)

    found = attribute(cells)
    way = answers(cells) - answers(cells, torch.zeros_like(torch.from_numpy(cells.window)))

    np.testing.assert_allclose(found.integrated.sum(axis=(1, 3)), way, atol=0.02 * np.abs(way).max())
    assert max(found.gap) < 0.02


def test_the_gap_tells_when_integrated_gradients_do_not_add_up(rng: np.random.Generator) -> None:
    cells = cells_of(network_of(), rng)

    assert min(attribute(cells, steps=1, most=1).gap) > 4 * max(attribute(cells).gap)


def test_of_a_linear_network_both_methods_give_weight_times_input(rng: np.random.Generator) -> None:
    network = network_of()
    with torch.no_grad():
        network.head.weight.zero_()
        network.skip.weight[0] = torch.arange(INPUTS)  # the location; the rest stays 0
    cells = cells_of(network, rng)

    found = attribute(cells)
    expected = np.zeros((LAGS, len(cells), INPUTS))
    expected[-1] = cells.window[-1] * np.arange(INPUTS)

    np.testing.assert_allclose(found.integrated[0], expected, atol=1e-3)
    np.testing.assert_allclose(found.gradient_input[0], expected, atol=1e-3)
    assert not found.integrated[1].any()


def test_attribution_finds_the_input_and_the_lag_that_were_planted(
    planted: Network, rng: np.random.Generator
) -> None:
    found = attribute(cells_of(planted, rng))

    assert found.by_input(0).argmax() == PLANTED
    assert found.by_input(0)[PLANTED] > 0.5
    assert found.by_input(0, gradient=True).argmax() == PLANTED
    assert found.by_lag(0).argmax() == LAGS - 3
    assert np.unravel_index(found.by_both(0).argmax(), (LAGS, INPUTS)) == (LAGS - 3, PLANTED)


def test_a_faithful_order_moves_the_answer_sooner_than_random_ones(
    planted: Network, rng: np.random.Generator
) -> None:
    cells = cells_of(planted, rng, count=24)
    found = attribute(cells[:12])
    orders = np.stack([np.argsort(-found.by_input(k)) for k in (0, 1)])

    told = faithfulness(cells[12:], orders, rng)[0]

    assert told.area > told.random_area
    assert told.p_value <= 0.2  # one random order in six begins with the planted input too
    assert told.curve[-1] == pytest.approx(1.0)


def test_an_attribution_that_is_wrong_fails_its_test(planted: Network, rng: np.random.Generator) -> None:
    cells = cells_of(planted, rng, count=24)
    found = attribute(cells[:12])
    backwards = np.stack([np.argsort(found.by_input(k)) for k in (0, 1)])

    told = faithfulness(cells[12:], backwards, rng)[0]

    assert told.area < told.random_area
    assert told.p_value > 0.8


def test_random_orders_are_found_out_as_often_as_chance_has_it(
    planted: Network, rng: np.random.Generator
) -> None:
    cells = cells_of(planted, rng, count=6)

    p_values = [
        faithfulness(cells, np.stack([rng.permutation(INPUTS)] * 2), rng, draws=19)[0].p_value
        for _ in range(20)
    ]

    assert 0.3 < np.mean(p_values) < 0.8
    assert np.mean(np.array(p_values) <= 0.1) < 0.3


def test_units_are_found_to_follow_what_they_were_made_of_and_nothing_else(rng: np.random.Generator) -> None:
    rows = 1_200
    closed_at = np.arange(rows, dtype=np.int64) * HOUR
    slow = np.cumsum(rng.normal(size=(rows, 2, 1)), axis=0) * 0.02 + rng.normal(size=(rows, 2, 1))
    move = rng.normal(size=(rows, 2))
    daily = np.sin(2 * np.pi * np.arange(rows) / 24 + 1.0)[:, None] + rng.normal(size=(rows, 2))
    cell = np.stack([-slow[:, :, 0], move, daily, rng.normal(size=(rows, 2))], axis=2)

    found = track(cell, {"volatility": slow[:, :, 0], "move": move}, closed_at, rng, rotations=99)

    assert [found.best(unit) for unit in range(4)] == ["volatility", "move", "hour", ""]
    assert found.found["volatility"][0] == pytest.approx(-1.0)
    assert found.found["hour"][2] == pytest.approx(
        1 / 3, abs=0.06
    )  # half a unit of variance beside one of noise


def test_slow_series_that_share_nothing_do_not_pass_for_tracking(rng: np.random.Generator) -> None:
    closed_at = np.arange(600, dtype=np.int64) * HOUR
    fooled = 0
    for _ in range(8):
        walks = np.cumsum(rng.normal(size=(600, 1, 5)), axis=0)
        slow = walks - 0.98 * np.pad(walks, ((1, 0), (0, 0), (0, 0)))[:-1]
        found = track(slow[:, :, 1:], {"volatility": slow[:, :, 0]}, closed_at, rng, rotations=99)
        fooled += any(found.best(unit) for unit in range(4))

    assert fooled <= 2


class _Linear(Backbone):
    """A backbone without memory."""

    def __init__(self) -> None:
        super().__init__(INPUTS, Shape(hidden=8))
        self.mix = torch.nn.Linear(INPUTS, 8)

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        return torch.tanh(self.mix(window)), ()


STUDY = """\
[data]
source = "embedded"
embedded_coins = 2
embedded_bars = 2200

[features]
families = ["range", "calendar"]

[model]
hidden = 6
seeds = [1]
restart_rows = 64

[training]
steps = 10
check_every = 10
chunk_bars = 64
burn_in_bars = 16
batch_chunks = 4
processes = 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small trained study."""
    home = tmp_path_factory.mktemp("explained")
    (home / "mine").mkdir()
    (home / "mine" / "study.toml").write_text(STUDY)
    train(Study.load(home / "mine"))
    return home


def test_a_trained_study_is_explained_from_end_to_end(home: Path, inside: Callable[..., Said]) -> None:
    said = inside("explain", "mine", "--bars", "72", "--json", "--pictures", "drawn", cwd=home)
    found = json.loads(said.out.splitlines()[-1])
    gates = pl.read_parquet(home / found["gates"])

    assert said.code == 0
    lives = [unit["half_life_bars"] for unit in found["memory"]["units"]]
    assert len(lives) == 6
    assert lives == sorted(lives, reverse=True)
    assert found["memory"]["largest_difference"] < 1e-6
    assert gates.shape == (72 * 6, 9)
    for answer in found["answers"].values():
        assert sum(one["share"] for one in answer["inputs"]) == pytest.approx(1.0)
        assert sum(answer["lags"]) == pytest.approx(1.0)
        assert answer["unexplained"] < 0.02
    for drawing in (home / "drawn").glob("*.svg"):
        ET.parse(drawing)  # noqa: S314 our own
    assert (home / "drawn" / "explain-forget.svg").is_file()


def test_the_page_asks_no_network_and_holds_every_unit(home: Path, inside: Callable[..., Said]) -> None:
    said = inside("explain", "mine", "--bars", "72", "--coin", "SIM02USDT", cwd=home)
    page = next((home / "mine" / "runs").glob("explain-*/explanation.html")).read_text()

    assert said.code == 0
    fitted = Bundle.load(home / "mine" / "bundle").fitted
    believed = (1.0 - 0.7) * fitted.mean_weights[
        fitted.horizons.index(4)
    ]  # the rest of the mean is LightGBM's

    assert "By chance the best of 6 units reaches" in said.out
    assert "Forget gates of 6 units, SIM02USDT" in page
    assert f"Of this mean the forecast believes {percent(believed, 0)}" in page
    assert [
        one for one in re.findall(r'(?:src|href)="([^"]*)"', page) if not one.startswith(("#", "data:"))
    ] == []
    assert page.count("The gates of unit") >= 3  # its heading, and a chart for screen and one for phone


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--coin", "DOGEUSDT"), "the study has no coin DOGEUSDT. There are: SIM01USDT, SIM02USDT."),
        (
            ("--set", "model.kind=prophet"),
            "prophet is no network: it has neither gates nor inputs to explain.",
        ),
        (("--set", "model.hidden=8"), "the model was trained with model.hidden = 6, the study has 8."),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_sentence(
    home: Path, inside: Callable[..., Said], arguments: tuple[str, ...], told: str
) -> None:
    said = inside("explain", "mine", *arguments, cwd=home)

    assert said.code == 1
    assert told.lower() in said.err.lower()
    assert len(said.err.strip().splitlines()) <= 2  # progress may come first
