"""A network of the user's: built by what it asks for, held to the contract, trained and streamed like ours."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from longshort.base.errors import StudyError
from longshort.base.learning import ModelSettings
from longshort.base.settings import Study
from longshort.models.bundle import Bundle
from longshort.models.networks.backbone import Shape
from longshort.models.networks.catalog import kind_of
from longshort.study.market import open_market
from longshort.study.walk import member_job

from .conftest import Said

HEAD = """
import torch
from torch import nn


"""
PLAIN = """
class Net(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.inside = nn.Linear(inputs, hidden)
        self.across = nn.GRU(hidden, hidden, bidirectional=True)

    def forward(self, window):
        return self.across(torch.tanh(self.inside(window)))[0]
"""
STATEFUL = """
class Net(nn.Module):
    def __init__(self, inputs, hidden=7):
        super().__init__()
        self.width = hidden
        self.cell = nn.GRU(inputs, hidden)

    def forward(self, window, state):
        hidden, last = self.cell(window, None if state is None else state[0])
        return hidden, (last,)
"""
GATE = "self.gate = nn.Parameter(torch.zeros(1))"


def broken(said: str, *, init: str = "", width: str = "4") -> str:
    """A network with a state that would be fine but for what it says."""
    return f"""
class Net(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.width = {width}
        self.inside = nn.Linear(inputs, 4)
        {init}

    def forward(self, window, state):
        hidden = self.inside(window)
        last = hidden[-1:] if state is None else state[0]
        {said}
"""


def kind_in(folder: Path, code: str):
    (folder / "net.py").write_text(HEAD + code)
    return kind_of(ModelSettings(kind="file:net.py:Net", folder=folder))


def made(folder: Path, code: str, *, window: int = 5):
    return kind_in(folder, code).load()(3, Shape(hidden=6, window=window)).eval()


@pytest.mark.parametrize(("code", "width"), [(PLAIN, 12), (STATEFUL, 6)])
def test_a_network_is_built_by_what_its_constructor_asks_for(code: str, width: int, tmp_path: Path) -> None:
    network = made(tmp_path, code)
    hidden, _ = network(torch.zeros(2, 4, 3))
    assert (network.width, hidden.shape) == (width, (2, 4, width))
    assert kind_in(tmp_path, code).name == "Net (net.py)"


@torch.inference_mode()
def test_a_plain_network_reads_its_window_and_nothing_before_or_after(tmp_path: Path) -> None:
    network = made(tmp_path, PLAIN, window=4)
    rows = torch.randn(10, 2, 3)
    inside = network.network(rows[3:7])[-1]
    torch.testing.assert_close(network(rows)[0][6], inside)
    changed = rows.clone()
    changed[:3] += 1.0
    changed[7:] += 1.0
    torch.testing.assert_close(network(changed)[0][6], inside)
    changed[3] += 1.0
    assert not torch.allclose(network(changed)[0][6], inside)


@torch.inference_mode()
def test_a_plain_networks_memory_is_its_last_rows(tmp_path: Path) -> None:
    network = made(tmp_path, PLAIN, window=4)
    rows = torch.randn(6, 2, 3)
    whole, (kept,) = network(rows)
    first, state = network(rows[:2])
    second, _ = network(rows[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    assert torch.equal(kept, rows[3:])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (broken("return hidden.flip(0), (last,)"), r"Net sees the future: a hidden state has a gradient"),
        (broken("return hidden + hidden.mean(0).detach(), (last,)"), r"sees the future: later rows change"),
        (
            broken("return hidden + self.gate * hidden.flip(0), (last,)", init=GATE),
            r"sees the future",
        ),
        (broken("return hidden + hidden.mean(1, keepdim=True), (last,)"), r"lets one coin of a batch read another"),
        (broken("return hidden + hidden.mean(1, keepdim=True).detach(), (last,)"), r"one coin of a batch read"),
        (broken("return hidden + hidden.cumsum(0), (last,)"), r"row by row than of all rows at once"),
        (broken("return hidden + (0 if state is None else 1), (last,)"), r"state of zeros for having just started"),
        (broken("return hidden, (hidden,)"), r"size depends on how many rows"),
        (broken("return hidden, (last.transpose(0, 1),)"), r"second axis is not the batch"),
        (broken("return hidden, (last,)", width="9"), r"width 9, but they have 4"),
        (broken("return hidden, (last,)", width="None"), r"does not say how wide"),
        (broken("return hidden[-1], (last,)"), r"answers with \(3, 4\) to a window of shape \(10, 3, 3\)"),
        (broken("return hidden.detach(), (last,)"), r"cannot be trained"),
        (broken("return hidden / 0.0, (last,)"), r"not finite"),
        (
            broken("return hidden + torch.rand(()), (last,)"),
            r"something else when asked the same again",
        ),
        (
            broken("return hidden, (last,)", init="self.register_buffer('count', torch.zeros(1, dtype=torch.int64))"),
            r"keeps count as torch.int64: only float32 can be saved",
        ),
        (broken("return hidden.nothing, (last,)"), r"net.py: Net: line 17: AttributeError"),
    ],
)  # fmt: skip
def test_a_network_that_breaks_the_contract_is_refused_in_a_sentence(
    code: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=says):
        made(tmp_path, code)


@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [
        ("file:net.py", PLAIN, "names no class of a file"),
        ("file:other.py:Net", PLAIN, "other.py: no such file"),
        ("file:net.py:Other", PLAIN, "it has no network 'Other'"),
        ("file:net.py:Net", PLAIN.replace("hidden):", "units):"), "asks for 'units', which we do not know"),
        (
            "file:net.py:Net",
            PLAIN.replace("[0]\n", "[0][-1]\n"),
            r"answers with \(2, 12\) to a window of shape \(5, 2, 3\)",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_in_a_sentence(
    kind: str, code: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(HEAD + code)
    with pytest.raises(StudyError, match=says):
        kind_of(ModelSettings(kind=kind, folder=tmp_path)).load()(3, Shape(hidden=6, window=5))


def test_looking_at_a_network_leaves_the_random_numbers_as_they_are(tmp_path: Path) -> None:
    for code in (PLAIN, STATEFUL):
        kind = kind_in(tmp_path, code).load()
        first, again = [_weights(kind) for _ in range(2)]
        assert torch.equal(first, again)


def _weights(kind: Callable[[int, Shape], torch.nn.Module]) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.cat([p.detach().flatten() for p in kind(3, Shape(hidden=6)).parameters()])


STUDY = """
[data]
source = "embedded"
embedded_coins = 2
embedded_bars = 2200
[features]
names = ["return_1", "return_1d"]
[target]
horizons = [1, 4]
[model]
kind = "file:net.py:Net"
hidden = 4
window = 3
seeds = [1]
restart_rows = 32
[training]
chunk_bars = 32
burn_in_bars = 8
batch_chunks = 4
steps = 10
processes = 1
"""


@pytest.mark.parametrize("code", [PLAIN, STATEFUL])
def test_a_network_is_trained_saved_and_forecasts_and_streams_as_it_batches(
    code: str, tmp_path: Path, inside: Callable[..., Said]
) -> None:
    (tmp_path / "net.py").write_text(HEAD + code)
    (tmp_path / "study.toml").write_text(STUDY)
    trained = inside("train", ".", cwd=tmp_path)
    assert trained.code == 0, trained.err
    said = inside("forecast", str(tmp_path), "--json", cwd=tmp_path.parent)
    assert said.code == 0, said.err
    assert len(json.loads(said.out)) == 4

    fitted, panel = Bundle.load(tmp_path / "bundle").fitted, open_market(Study.load(tmp_path)).panel
    whole = fitted.predict(panel, range(2_000, 2_010))
    stream = fitted.start(panel[:2_000])
    steps = [stream.step(panel[row : row + 1]) for row in range(2_000, 2_010)]
    np.testing.assert_array_equal(steps[0].join(*steps[1:]).law.quantile(0.1), whole.law.quantile(0.1))
    assert whole.model == "Net (net.py) + LightGBM"

    (tmp_path / "net.py").write_text(HEAD + code + "\n# another\n")
    refused = inside("forecast", ".", cwd=tmp_path)
    assert refused.code == 1
    assert "have changed since the model was trained" in refused.err


def test_another_network_in_the_same_file_is_another_job(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "net.py").write_text(HEAD + PLAIN)
    market = open_market(Study.load(tmp_path))
    fold = market.final_fold()
    before = member_job(market, fold, 1).key
    assert member_job(market, fold, 1).key == before
    (tmp_path / "net.py").write_text(HEAD + STATEFUL)
    assert member_job(market, fold, 1).key != before


def test_settings_of_the_users_own_find_it_from_anywhere_and_do_not_say_where(tmp_path: Path) -> None:
    tables = {"model": {"kind": "file:net.py:Net"}}
    study = Study.parse(tables, folder=tmp_path)
    assert study.model.folder == tmp_path.resolve()
    assert study.digest() == Study.parse(tables, folder=tmp_path / "elsewhere").digest()
    assert "folder" not in study.model_dump()["model"]
    with pytest.raises(StudyError, match=r"unknown key model.folder"):
        Study.parse({"model": {"folder": "there"}})
