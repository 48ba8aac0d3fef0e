"""The plain cell written out once, as the textbook equations: for learning, for `longshort explain` and for the tests.

It computes what `torch.nn.LSTM` computes and keeps what that hides: the gates of every step. It is slow and no member
of the family: it reads the weights of one.

With x the row that comes in and (h', c') the memory before it:

    input gate    i = sigmoid(W_i x + U_i h' + b_i)     how much of the candidate is written
    forget gate   f = sigmoid(W_f x + U_f h' + b_f)     how much of the old cell is kept
    candidate     g = tanh(W_g x + U_g h' + b_g)        what could be written
    output gate   o = sigmoid(W_o x + U_o h' + b_o)     how much of the cell is shown
    cell          c = f c' + i g                        the long memory: a sum, so that gradients survive
    hidden        h = o tanh(c)                         what the rest of the network sees
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

Step = Float[Tensor, "batch hidden"]
Steps = Float[Tensor, "time batch hidden"]
Memory = tuple[Float[Tensor, "1 batch hidden"], Float[Tensor, "1 batch hidden"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What happened inside a cell, row by row."""

    input_gate: Steps
    forget_gate: Steps
    candidate: Steps
    output_gate: Steps
    cell: Steps
    hidden: Steps


def unrolled(
    cell: nn.LSTM, window: Float[Tensor, "time batch feature"], state: Memory | None = None
) -> Trace:
    """Every gate of every row of one layer, from the memory (h, c) before the first row; none means zeros.

    >>> trace = unrolled(nn.LSTM(2, 3), torch.zeros(5, 1, 2))
    >>> tuple(trace.forget_gate.shape), bool(trace.forget_gate.max() < 1)
    ((5, 1, 3), True)
    """
    zeros = window.new_zeros(window.shape[1], cell.hidden_size)
    hidden, kept = (zeros, zeros) if state is None else (state[0][0], state[1][0])
    steps: list[tuple[Tensor, ...]] = []
    for row in window:
        i, f, g, o = gates(cell, row, hidden)
        kept = f * kept + i * g
        hidden = o * torch.tanh(kept)
        steps.append((i, f, g, o, kept, hidden))
    i, f, g, o, c, h = (torch.stack(parts) for parts in zip(*steps, strict=True))
    return Trace(input_gate=i, forget_gate=f, candidate=g, output_gate=o, cell=c, hidden=h)


def gates(cell: nn.LSTM, row: Float[Tensor, "batch feature"], hidden: Step) -> tuple[Step, Step, Step, Step]:
    """Input gate, forget gate, candidate and output gate: the order in which torch stacks their weights."""
    from_row = nn.functional.linear(row, cell.get_parameter("weight_ih_l0"), cell.get_parameter("bias_ih_l0"))
    from_past = nn.functional.linear(
        hidden, cell.get_parameter("weight_hh_l0"), cell.get_parameter("bias_hh_l0")
    )
    i, f, g, o = (from_row + from_past).chunk(4, dim=-1)
    return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
