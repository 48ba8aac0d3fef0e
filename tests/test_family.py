"""What every member of the family of networks promises, and the cell as the textbooks write it."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.data.simulator import simulate_market
from longshort.features.catalog import names_on_record
from longshort.features.panel import FeatureStream
from longshort.features.targets import make_targets
from longshort.models.forecaster import Past
from longshort.models.memory import Rows, TwoStates, run
from longshort.models.network import Network, NetworkConfig
from longshort.models.networks.attention_lstm import AttentionLSTM
from longshort.models.networks.backbone import Backbone, Shape
from longshort.models.networks.catalog import KINDS
from longshort.models.networks.instance import Normalised, backbone_of
from longshort.models.networks.textbook import unrolled
from longshort.models.training.fitting import fit_member

BARS = simulate_market(coins=2, bars=1_000, seed=7).bars
NAMES = names_on_record(BARS)
PAST = Past.cut(
    FeatureStream(BARS.symbols, NAMES).extend(BARS), make_targets(BARS, (1, 4)), range(860), range(864, 940)
)


def exact_cell() -> tuple[nn.LSTM, Tensor, tuple[Tensor, Tensor]]:
    """A cell in fp64, rows and a memory."""
    draw = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=draw)

    cell = nn.LSTM(4, 5).double()
    with torch.no_grad():
        for weights in cell.parameters():
            weights.copy_(normal(*weights.shape))
    return cell, normal(7, 3, 4).requires_grad_(), (normal(1, 3, 5), normal(1, 3, 5))


def test_the_textbook_cell_says_what_torch_says() -> None:
    cell, window, state = exact_cell()

    trace = unrolled(cell, window, state)
    hidden, (last_hidden, last_cell) = cell(window, state)

    torch.testing.assert_close(trace.hidden, hidden, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(trace.cell[-1:], last_cell, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(trace.hidden[-1:], last_hidden, rtol=1e-12, atol=1e-12)


def test_the_gradients_of_the_textbook_cell_are_those_of_torch() -> None:
    cell, window, state = exact_cell()
    of = [window, *cell.parameters()]
    weights = torch.linspace(-1.0, 1.0, 105, dtype=torch.float64).view(7, 3, 5)

    ours = torch.autograd.grad((unrolled(cell, window, state).hidden * weights).sum(), of)
    theirs = torch.autograd.grad((cell(window, state)[0] * weights).sum(), of)

    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-12)


def test_the_cell_is_the_sum_of_what_was_kept_and_what_was_written() -> None:
    cell, window, state = exact_cell()

    trace = unrolled(cell, window, state)
    before = torch.cat([state[1], trace.cell[:-1]])

    torch.testing.assert_close(
        trace.cell, trace.forget_gate * before + trace.input_gate * trace.candidate, rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(trace.hidden, trace.output_gate * trace.cell.tanh(), rtol=1e-12, atol=1e-12)


MEMBERS = {
    **{kind.key: ModelSettings(kind=kind.key, hidden=8, window=5, dropout=0.0) for kind in KINDS},
    "a deep lstm": ModelSettings(hidden=8, layers=3, residual=True, layer_norm=True, dropout=0.0),
    "normalised": ModelSettings(hidden=8, instance_norm_rows=6, dropout=0.0),
}
every_member = pytest.mark.parametrize("name", MEMBERS)
FEATURES, BATCH = 3, 4


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(name: str, seed: int = 5) -> Backbone:
    torch.manual_seed(seed)
    return backbone_of(MEMBERS[name], FEATURES).eval()


def network(name: str) -> Network:
    torch.manual_seed(5)
    built = Network(NetworkConfig(inputs=FEATURES, horizons=2, model=MEMBERS[name]))
    with torch.no_grad():
        built.skip.weight.normal_()
    return built.eval()


@every_member
def test_every_member_memorises_a_batch(name: str) -> None:
    member, window, target = made(name), normal(6, BATCH, FEATURES), normal(6, BATCH, seed=2)
    head = nn.Linear(member.width, 1)
    optimiser = torch.optim.Adam([*member.parameters(), *head.parameters()], lr=0.015)

    def error() -> Tensor:
        return (head(member(window)[0])[:, :, 0] - target).square().mean()

    first = error().item()
    for _ in range(120):
        optimiser.zero_grad()
        error().backward()
        optimiser.step()

    assert error().item() < 0.05 * first


@every_member
def test_every_member_looks_at_its_column_up_to_its_row_and_nowhere_else(name: str) -> None:
    window = normal(12, BATCH, FEATURES).requires_grad_()

    (made(name)(window)[0][8, 2] * normal(8, seed=3)[: made(name).width]).sum().backward()

    looked = window.grad.abs().amax(dim=2) > 0.0
    expected = torch.zeros(12, BATCH, dtype=torch.bool)
    expected[:9, 2] = True
    assert torch.equal(looked, expected)


@every_member
def test_every_member_is_indifferent_to_the_other_columns_of_its_batch(name: str) -> None:
    member, window, other = made(name), normal(12, BATCH, FEATURES), normal(12, BATCH, FEATURES, seed=2)
    other[:, 1] = window[:, 1]

    mine, theirs = member(window), member(other)

    assert torch.equal(mine[0][:, 1], theirs[0][:, 1])
    assert all(torch.equal(a[:, 1], b[:, 1]) for a, b in zip(mine[1], theirs[1], strict=True))


@every_member
def test_a_memory_set_to_zero_is_one_that_has_just_started(name: str) -> None:
    member, window = made(name), normal(12, BATCH, FEATURES)
    _, state = member(normal(9, BATCH, FEATURES, seed=2))
    assert {part.shape[1] for part in state} == {BATCH}
    for part in state:
        part[:, 2] = 0.0

    fresh, after = member(window)
    renewed, later = member(window, state)

    assert torch.equal(fresh[:, 2], renewed[:, 2])
    assert all(torch.equal(a[:, 2], b[:, 2]) for a, b in zip(after, later, strict=True))
    assert not torch.equal(fresh[:, 1], renewed[:, 1])


@every_member
def test_a_chunk_in_two_parts_says_what_it_says_in_one(name: str) -> None:
    member, window = made(name), normal(12, BATCH, FEATURES)

    whole, end = member(window)
    first, between = member(window[:7])
    second, last = member(window[7:], between)

    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-4, atol=1e-5)
    for a, b in zip(last, end, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@every_member
def test_every_member_survives_save_and_load(name: str) -> None:
    window, saved, other = normal(12, BATCH, FEATURES), io.BytesIO(), made(name, seed=6)

    torch.save(made(name).state_dict(), saved)
    saved.seek(0)
    before = other(window)[0]
    other.load_state_dict(torch.load(saved, weights_only=True))

    assert torch.equal(other(window)[0], made(name)(window)[0])
    assert not torch.equal(before, other(window)[0])


def some_rows(count: int = 70, coins: int = 3) -> Rows:
    restart = np.zeros((count, coins), dtype=np.bool_)
    restart[20, 1] = restart[41, 2] = restart[64, 0] = True
    return Rows(
        inputs=normal(count, coins, FEATURES).numpy(), grid_row=1_000 + np.arange(count), restart=restart
    )


@every_member
def test_every_member_streams_as_it_batches(name: str) -> None:
    built, rows = network(name), some_rows()

    batch = TwoStates(built, 32).extend(rows)
    states = TwoStates(built, 32)
    stream = np.concatenate([states.extend(rows[t : t + 1]) for t in range(70)])

    np.testing.assert_array_equal(stream, batch)


@every_member
def test_every_member_says_the_same_wherever_its_inputs_lie_in_memory(name: str) -> None:
    built, rows = network(name), some_rows()
    elsewhere = np.asfortranarray(rows.inputs)

    said = TwoStates(built, 32).extend(replace(rows, inputs=elsewhere))

    np.testing.assert_array_equal(said, TwoStates(built, 32).extend(rows))


@every_member
def test_what_every_member_says_does_not_depend_on_where_the_run_began(name: str) -> None:
    built, rows = network(name), some_rows()

    whole = run(built, rows, range(60, 70), 32)
    late = run(built, rows[24:], range(36, 46), 32)

    np.testing.assert_array_equal(late, whole)


@every_member
def test_two_fits_of_every_member_are_the_same_bits(name: str) -> None:
    small = TrainingSettings(
        steps=10, check_every=5, batch_chunks=3, chunk_bars=24, burn_in_bars=6, learning_rate=5e-3
    )
    model = MEMBERS[name].model_copy(update={"dropout": 0.2, "restart_rows": 32})

    mine, theirs = (fit_member(PAST, model, small, seed=3) for _ in range(2))

    assert mine.curve.score == theirs.curve.score
    for own, other in zip(mine.weights, theirs.weights, strict=True):
        for key, values in own.items():
            np.testing.assert_array_equal(values, other[key])


def test_attention_reaches_back_as_many_rows_as_the_window_and_not_before_the_start() -> None:
    torch.manual_seed(1)
    member = AttentionLSTM(FEATURES, Shape(hidden=8, window=3))
    known = torch.tensor([[False, False, True, True, True, True], [True] * 6])

    weights = member.weights(normal(4, 2, 8), normal(6, 2, 8, seed=2), known)

    reached = [[2], [2, 3], [2, 3, 4], [3, 4, 5]]
    assert [row.nonzero().flatten().tolist() for row in weights[0]] == reached
    assert [row.nonzero().flatten().tolist() for row in weights[1]] == [[0, 1, 2], [1, 2, 3], *reached[2:]]
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 4))


def test_running_means_and_deviations_are_those_of_a_loop() -> None:
    member, window = made("normalised"), normal(20, 2, FEATURES).double()
    assert isinstance(member, Normalised)
    read: list[Tensor] = []
    member.inner.register_forward_pre_hook(lambda _, given: read.append(given[0]))

    member.double()(window)

    weights = 0.5 ** (torch.arange(20, dtype=torch.float64).flip(0) / 6)[:, None, None]
    mean = (weights * window).sum(dim=0) / weights.sum(dim=0)
    variance = (weights * (window - mean) ** 2).sum(dim=0) / weights.sum(dim=0) + 0.01
    last = torch.cat([(window[-1] - mean) / variance.sqrt(), mean, variance.sqrt().log()], dim=1)
    torch.testing.assert_close(read[0][-1], last, rtol=1e-9, atol=1e-9)


def test_what_is_learnt_of_a_coin_is_learnt_from_its_own_rows_and_read_at_its_own_place() -> None:
    model = MEMBERS["lstm"].model_copy(update={"coin_width": 2})
    torch.manual_seed(5)
    built = Network(NetworkConfig(inputs=FEATURES, horizons=2, model=model, coins=3)).eval()
    with torch.no_grad():
        built.skip.weight.normal_()
        built.coins.weight[1] = 1.0
    rows = some_rows()[:12]
    window, whose = torch.from_numpy(rows.inputs[:, [2, 1, 0]].copy()), torch.tensor([2, 1, 0])

    raw, _ = built(window, coins=whose)
    raw[:, 0].sum().backward()
    stream = TwoStates(built, 32).extend(rows)

    assert built.coins.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [2]
    np.testing.assert_allclose(stream, raw.detach().numpy()[:, [2, 1, 0]], rtol=1e-5, atol=1e-6)
