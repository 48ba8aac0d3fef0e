"""What every member of the family of networks promises, and the cell as the textbooks write it."""

import torch
from torch import Tensor, nn

from longshort.models.networks.textbook import unrolled


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
