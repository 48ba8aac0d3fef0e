"""The fused kernel against torch in double precision: results, gradients, and when it stands aside."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from longshort.models.kernel import LSTM

BOUND = 1e-5  # relative to the largest gradient of the same tensor
SHAPES = [  # time, batch, inputs, hidden
    *((1, 1, 1, 4), (1, 48, 62, 64), (7, 1, 3, 5), (5, 6, 15, 16), (9, 13, 40, 33), (30, 48, 62, 32)),
    *((192, 48, 62, 64), (20, 50, 17, 48), (12, 5, 70, 80), (25, 48, 62, 128), (12, 7, 20, 256)),
]


def networks(inputs: int, hidden: int) -> tuple[LSTM, nn.LSTM]:
    """A fused one and torch's in double precision, with the same weights."""
    torch.manual_seed(inputs * hidden)
    fused, exact = LSTM(inputs, hidden), nn.LSTM(inputs, hidden)
    exact.load_state_dict(fused.state_dict())
    return fused, exact.double()


def tensors(*shapes: tuple[int, ...], seed: int = 1) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]


def results_and_gradients(
    network: nn.LSTM, window: Tensor, state: list[Tensor], upon: list[Tensor]
) -> list[Tensor]:
    """Hidden states, last state, and the gradients of window, state and parameters, as doubles."""
    kind = network.weight_hh_l0.dtype
    window, hidden, cell = (t.to(kind).requires_grad_() for t in (window, *state))
    out, last = network(window, (hidden, cell))
    loss = sum((a * b.to(kind)).sum() for a, b in zip((out, *last), upon, strict=True))
    sources = [window, hidden, cell, *network.parameters()]
    return [t.detach().double() for t in (out, *last, *torch.autograd.grad(loss, sources))]


def worst(found: list[Tensor], exact: list[Tensor]) -> float:
    errors = [(a - b).abs().max() / b.abs().max() for a, b in zip(found, exact, strict=True)]
    return float(torch.stack(errors).max())  # Python's own would pass over one that is not a number


def compare(time: int, batch: int, inputs: int, hidden: int) -> float:
    fused, exact = networks(inputs, hidden)
    ends = [(1, batch, hidden)] * 2
    window, out, *rest = tensors((time, batch, inputs), (time, batch, hidden), *ends, *ends)
    arguments = (window, rest[:2], [out, *rest[2:]])
    return worst(results_and_gradients(fused, *arguments), results_and_gradients(exact, *arguments))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_and_all_gradients_are_those_of_double_precision(shape: tuple[int, int, int, int]) -> None:
    assert compare(*shape) < BOUND


@given(
    time=st.integers(1, 20), batch=st.integers(1, 14), inputs=st.integers(1, 40), hidden=st.integers(4, 70)
)
def test_so_they_are_in_any_shape(time: int, batch: int, inputs: int, hidden: int) -> None:
    assert compare(time, batch, inputs, hidden) < BOUND


def test_gradients_of_saturated_gates_are_those_of_double_precision() -> None:
    fused, exact = networks(4, 20)
    window, out, *rest = tensors((10, 6, 4), (10, 6, 20), *[(1, 6, 20)] * 4)
    arguments = (30.0 * window, rest[:2], [out, *rest[2:]])

    assert worst(results_and_gradients(fused, *arguments), results_and_gradients(exact, *arguments)) < BOUND


def test_a_missing_state_is_a_state_of_zeros() -> None:
    fused, _ = networks(3, 8)
    (window,) = tensors((6, 2, 3))

    bare, (hidden, cell) = fused(window)
    given_zeros, _ = fused(window, (torch.zeros(1, 2, 8), torch.zeros(1, 2, 8)))

    assert torch.equal(bare, given_zeros)
    assert torch.equal(hidden[0], bare[-1])
    assert cell.shape == (1, 2, 8)


def test_it_really_is_the_kernel_that_trains() -> None:
    fused, _ = networks(3, 8)
    (window,) = tensors((6, 2, 3))

    assert type(fused(window)[0].grad_fn).__name__ == "FusedBackward"


@pytest.mark.parametrize("mode", ["evaluation", "no gradient", "refused"])
def test_what_does_not_train_or_is_refused_has_the_bits_of_torch(mode: str) -> None:
    torch.manual_seed(2)
    ours = LSTM(5, 24, fused=mode != "refused").train(mode != "evaluation")
    theirs = nn.LSTM(5, 24)
    theirs.load_state_dict(ours.state_dict())
    window, hidden, cell = tensors((30, 7, 5), (1, 7, 24), (1, 7, 24))

    with torch.set_grad_enabled(mode != "no gradient"):
        (found, state), (expected, theirs_state) = (
            ours(window, (hidden, cell)),
            theirs(window, (hidden, cell)),
        )

    assert torch.equal(found, expected)
    assert all(torch.equal(a, b) for a, b in zip(state, theirs_state, strict=True))


def test_double_precision_autocast_and_a_single_sequence_are_left_to_torch() -> None:
    fused, _ = networks(3, 8)
    (window,) = tensors((6, 2, 3))

    assert fused.trains_fused(window)
    assert not fused.trains_fused(window.double())
    assert not fused.trains_fused(window[:, 0])
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused.trains_fused(window)


def test_the_same_training_gives_the_same_bits() -> None:
    window, out, *rest = tensors((50, 9, 12), (50, 9, 40), *[(1, 9, 40)] * 4)
    once, again = (
        results_and_gradients(networks(12, 40)[0], window, rest[:2], [out, *rest[2:]]) for _ in "ab"
    )

    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_a_row_of_the_batch_is_indifferent_to_the_others() -> None:
    fused, _ = networks(4, 16)
    (window,) = tensors((20, 11, 4))
    other = window.clone()
    other[:, 1:] = 7.0

    assert torch.equal(fused(window)[0][:, 0], fused(other)[0][:, 0])


def test_rows_after_a_bar_have_no_gradient_from_it() -> None:
    fused, _ = networks(4, 16)
    (window,) = tensors((12, 3, 4))
    window.requires_grad_()

    fused(window)[0][5, 1].sum().backward()

    touched = window.grad.abs().sum(dim=2) > 0
    assert touched[:6, 1].all()
    assert touched.sum() == 6


def test_a_number_that_is_none_comes_out_as_none() -> None:
    fused, _ = networks(4, 16)
    (window,) = tensors((12, 3, 4))
    window[4, 1, 2] = torch.nan

    out, _ = fused(window)

    assert torch.isfinite(out[:4]).all()
    assert torch.isnan(out[4:, 1]).all()
    assert torch.isfinite(out[:, [0, 2]]).all()


def test_a_graph_that_is_kept_gives_its_gradients_twice() -> None:
    fused, _ = networks(4, 16)
    (window,) = tensors((12, 3, 4))
    loss = fused(window)[0].square().sum()

    once = torch.autograd.grad(loss, list(fused.parameters()), retain_graph=True)
    again = torch.autograd.grad(loss, list(fused.parameters()))

    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_a_state_of_another_batch_is_refused_as_torch_refuses_it() -> None:
    fused, _ = networks(4, 16)
    (window,) = tensors((12, 3, 4))

    with pytest.raises(RuntimeError, match="Expected hidden"):
        fused(window, (torch.zeros(1, 1, 16), torch.zeros(1, 1, 16)))


def test_it_memorises_one_batch() -> None:
    fused, _ = networks(2, 32)
    window, target = tensors((6, 4, 2), (6, 4, 32))
    target = 0.8 * torch.tanh(target)
    optimiser = torch.optim.Adam(fused.parameters(), lr=0.03)
    for _ in range(200):
        optimiser.zero_grad()
        loss = (fused(window)[0] - target).square().mean()
        loss.backward()
        optimiser.step()

    assert loss < 0.1 * target.square().mean()


def test_without_numba_torch_trains() -> None:
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "import torch; from longshort.models.kernel import LSTM\n"
        "out, _ = LSTM(3, 8)(torch.zeros(4, 2, 3)); out.sum().backward()\n"
        "print(type(out.grad_fn).__name__)"
    )
    said = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "Fused" not in said.stdout
