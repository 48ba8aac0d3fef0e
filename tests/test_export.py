"""A trained bundle as ONNX: onnxruntime says of real rows what torch says, and what cannot be exported is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from longshort.base.errors import BundleError
from longshort.base.learning import ModelSettings
from longshort.base.settings import Study
from longshort.models.bundle import Bundle
from longshort.models.lstm import as_rows
from longshort.models.network import Network, NetworkConfig
from longshort.models.networks.catalog import KINDS
from longshort.models.onnx.export import difference_on, graph_of, outputs_of
from longshort.models.onnx.session import open_graph
from longshort.study.market import open_market

from .conftest import Said

STUDY = """
[data]
source = "embedded"
embedded_coins = 3
embedded_bars = 2200
[features]
names = ["return_1", "return_1d"]
[target]
horizons = [1, 4]
[model]
hidden = 4
seeds = [1, 2]
restart_rows = 32
[training]
chunk_bars = 32
burn_in_bars = 8
batch_chunks = 4
steps = 10
check_every = 2
processes = 1
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def a_network(**settings: object) -> Network:
    """A network that remembers, with weights that are not at their beginning."""
    torch.manual_seed(1)
    chosen = ModelSettings.model_validate({"hidden": 6, "window": 4, **settings})
    network = Network(NetworkConfig(inputs=5, horizons=2, coins=4, model=chosen)).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    return network


def some_rows(rng: np.random.Generator, rows: int = 40) -> np.ndarray:
    return rng.standard_normal((rows, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("kind", [kind.key for kind in KINDS])
def test_every_member_of_the_family_says_the_same_in_onnxruntime(
    kind: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    network = a_network(kind=kind)
    graph = open_graph(graph_of(network, 5, tmp_path), tmp_path)
    assert difference_on(graph, network, some_rows(rng), tmp_path) <= 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": 2, "layer_norm": True, "residual": True},
        {"coin_width": 3},
        {"instance_norm_rows": 8},
        {"head": "quantiles"},
    ],
    ids=str,
)
def test_whatever_shapes_a_network_is_exported_with_it(
    settings: dict[str, object], rng: np.random.Generator, tmp_path: Path
) -> None:
    network = a_network(**settings)
    graph = open_graph(graph_of(network, 5, tmp_path), tmp_path)
    assert difference_on(graph, network, some_rows(rng), tmp_path) <= 1e-5


def test_a_graph_of_other_weights_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    network = a_network()
    graph = open_graph(graph_of(network, 5, tmp_path), tmp_path)
    with torch.no_grad():
        network.head.bias.add_(1e-3)
    with pytest.raises(BundleError, match="cannot be exported: onnxruntime differs from torch by"):
        difference_on(graph, network, some_rows(rng), tmp_path)


def test_a_network_that_onnx_has_no_words_for_is_refused_in_a_sentence(tmp_path: Path) -> None:
    code = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.inside = nn.Linear(inputs, hidden)

    def forward(self, window):
        return torch.special.erfcx(self.inside(window))
"""
    (tmp_path / "net.py").write_text(code)
    network = a_network(kind="file:net.py:Net", folder=tmp_path)
    with pytest.raises(BundleError, match=r"its network cannot be exported: .*erfcx"):
        graph_of(network, 5, tmp_path / "net.onnx")


def test_the_memory_is_handed_through(rng: np.random.Generator, tmp_path: Path) -> None:
    network = a_network()
    graph = open_graph(graph_of(network, 5, tmp_path), tmp_path)
    rows = some_rows(rng)
    changed = rows.copy()
    changed[0] += 1.0
    assert np.abs(outputs_of(graph, network, rows)[5] - outputs_of(graph, network, changed)[5]).max() > 1e-4
    assert [port.shape for port in graph.inputs] == [(1, None, 5), (1, None, 6), (1, None, 6)]


def test_a_study_is_exported_with_all_that_is_needed_to_run_it_elsewhere(
    home: Path, inside: Callable[..., Said]
) -> None:
    assert inside("train", ".", cwd=home).code == 0
    said = inside("export", ".", "--json", cwd=home)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    bundle = Bundle.load(home / "bundle")
    networks = bundle.fitted.networks()
    assert len(found["networks"]) == len(networks)
    assert all(one["largest_difference"] <= 1e-5 and one["rows"] >= 64 for one in found["networks"])

    told = json.loads((home / "onnx" / "model.json").read_text())
    assert told["symbols"] == ["SIM01USDT", "SIM02USDT", "SIM03USDT"]
    assert [f["name"] for f in told["features"]] == ["return_1", "return_1d"]
    assert told["inputs"]["columns"] == ["return_1", "return_1d", "missing", "missing_rows"]
    assert {h for one in told["networks"] for h in one["horizons"]} == {1, 4}
    assert told["outputs"]["per_horizon"] == 3

    panel = open_market(Study.load(home)).panel[-40:]
    values = panel.values[:, :, [panel.names.index(f["name"]) for f in told["features"]]]
    scaled = (values - [f["mean"] for f in told["features"]]) / [f["std"] for f in told["features"]]
    marks = np.zeros((*values.shape[:2], 2))
    by_hand = np.concatenate([np.clip(scaled, -6.0, 6.0), marks], axis=2).astype(np.float32)
    np.testing.assert_allclose(as_rows(bundle.fitted.scaler, panel).inputs, by_hand, atol=1e-5)
    first = told["networks"][0]
    graph = open_graph((home / "onnx" / first["file"]).read_bytes(), first["file"])
    assert [port["name"] for port in first["takes"]] == [port.name for port in graph.inputs]
    with torch.inference_mode():
        ours, _ = networks[0](torch.from_numpy(by_hand))
    np.testing.assert_allclose(outputs_of(graph, networks[0], by_hand), ours.numpy(), atol=2e-5)

    printed = inside("export", ".", "--to", "there", cwd=home)
    assert "Equal within 1e-05 on the study's own rows" in printed.out
    assert (home / "there" / "model.json").is_file()


def test_the_bundle_must_be_there(home: Path, inside: Callable[..., Said]) -> None:
    said = inside("export", ".", cwd=home)
    assert said.code == 1
    assert "there is no trained model here" in said.err
