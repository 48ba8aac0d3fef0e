"""The sLSTM block of Beck et al. (2024), "xLSTM": scalar memory with exponential gating, and hidden states that mix.

    candidate z = tanh(.)    input i = exp(.)    forget f = sigmoid(.)    output o = sigmoid(.)
    cell c = f c' + i z      normaliser n = f n' + i      hidden h = o c / n

Gates are kept as logarithms relative to the largest so far, m: h is the same whatever m is, and no exponential
overflows. Two simplifications: one head, and the convolution mixes channels.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from longshort.models.networks.backbone import Hidden, State
from longshort.models.networks.convolution import CausalConvolution

CONVOLVED_ROWS = 4
NEVER = -1e30  # the logarithm of a weight that nothing can make count
FIRST_FORGET_BIAS = (3.0, 6.0)  # memories of 20 to 400 rows at first, as published

Step = Float[Tensor, "batch hidden"]


class SLSTMBlock(nn.Module):
    """The cell, then a gated map of each row alone; both add to what comes in."""

    parts: ClassVar[int] = 5

    def __init__(self, hidden: int) -> None:
        super().__init__()
        inner = -(-4 * hidden // 3)
        self.norm, self.said, self.middle = (nn.LayerNorm(hidden) for _ in range(3))
        self.convolution = CausalConvolution(hidden, hidden, rows=CONVOLVED_ROWS)
        self.gates = nn.Linear(hidden, 2 * hidden)
        self.values = nn.Linear(hidden, 2 * hidden)
        self.mix = nn.Parameter(torch.empty(hidden, 4 * hidden))
        self.up = nn.Linear(hidden, 2 * inner)
        self.down = nn.Linear(inner, hidden)
        with torch.no_grad():
            self.mix.uniform_(-(hidden**-0.5), hidden**-0.5)
            self.gates.bias[hidden:] = torch.linspace(*FIRST_FORGET_BIAS, hidden)

    def forward(self, rows: Hidden, state: State | None) -> tuple[Hidden, State]:
        """The rows, and as memory the convolution's last rows, then h, c, n and m."""
        normed = self.norm(rows)
        convolved, last = self.convolution(normed, None if state is None else state[0])
        pre = torch.cat([self.gates(functional.silu(convolved)), self.values(normed)], dim=2)
        zeros = rows.new_zeros(1, *rows.shape[1:])
        said, after = recurrence(pre, self.mix, (zeros,) * 4 if state is None else state[1:])
        rows = rows + self.said(said)
        value, gate = self.up(self.middle(rows)).chunk(2, dim=2)
        return rows + self.down(value * functional.gelu(gate)), (last, *after)


def recurrence(
    pre: Float[Tensor, "time batch gate"], mix: Float[Tensor, "hidden gate"], state: State
) -> tuple[Hidden, State]:
    """Hidden states from what rows say to the gates i, f, z, o, and h, c, n, m after the last of them."""
    hidden, cell, norm, most = (part[0] for part in state)
    most = torch.where(norm == 0.0, NEVER, most)  # nothing was written yet
    said: list[Step] = []
    for row in pre.unbind(0):
        write, forget, candidate, show = torch.addmm(row, hidden, mix).chunk(4, dim=1)
        kept = functional.logsigmoid(forget) + most
        with torch.no_grad():
            most = torch.maximum(kept, write)
        keep, add = torch.exp(kept - most), torch.exp(write - most)
        cell = torch.addcmul(keep * cell, add, torch.tanh(candidate))
        norm = torch.addcmul(add, keep, norm)  # 1 or more: one of both weights is 1
        hidden = torch.sigmoid(show) * (cell / norm)
        said.append(hidden)
    return torch.stack(said), tuple(part[None] for part in (hidden, cell, norm, most))
