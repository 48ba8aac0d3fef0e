"""The mLSTM block of Beck et al. (2024), "xLSTM": a matrix of keys and values with exponential gating.

    memory C = f C' + i k v^T      normaliser n = f n' + i k      answer h = q C / max(|q n|, 1)

Gates see the row and not the hidden state, so that all rows of a chunk are answered at once. C and n are kept over
exp(m), where m is the largest logarithm of a weight so far and at least 0: no exponential overflows, and h is the
same whatever m is. Two simplifications: no wider inside than outside, and the convolution mixes channels.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from longshort.models.networks.backbone import Hidden, State
from longshort.models.networks.convolution import CausalConvolution

CONVOLVED_ROWS = 4
PIECE_ROWS = 32
FIRST_FORGET_BIAS = (3.0, 6.0)  # memories of 20 to 400 rows at first, as published

Rows = Float[Tensor, "batch head time channel"]
Gate = Float[Tensor, "batch head time"]


class MLSTMBlock(nn.Module):
    """The memory between two maps of each row alone, gated; adds to what comes in."""

    parts: ClassVar[int] = 4

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.heads = 2 if hidden % 2 == 0 else 1
        self.norm = nn.LayerNorm(hidden)
        self.said = nn.GroupNorm(self.heads, hidden)
        self.up = nn.Linear(hidden, 2 * hidden)
        self.down = nn.Linear(hidden, hidden)
        self.convolution = CausalConvolution(hidden, hidden, rows=CONVOLVED_ROWS)
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.gates = nn.Linear(hidden, 2 * self.heads)
        with torch.no_grad():
            self.gates.weight.zero_()
            self.gates.bias[: self.heads] = 0.0
            self.gates.bias[self.heads :] = torch.linspace(*FIRST_FORGET_BIAS, self.heads)

    def forward(self, rows: Hidden, state: State | None) -> tuple[Hidden, State]:
        """The rows, and as memory the convolution's last rows, then C, n and m."""
        values, gate = self.up(self.norm(rows)).chunk(2, dim=2)
        convolved, last = self.convolution(values, None if state is None else state[0])
        convolved = functional.silu(convolved)
        query, key, value = (
            self._by_head(said) for said in (self.query(convolved), self.key(convolved), self.value(values))
        )
        gates = self.gates(convolved).permute(1, 2, 0)  # (batch, 2 x head, time)
        before = self._before(query) if state is None else state[1:]
        key = key * key.shape[3] ** -0.5
        answer, after = answers((query, key, value), (gates[:, : self.heads], gates[:, self.heads :]), before)
        said = answer.permute(2, 0, 1, 3).flatten(2)  # (time, batch, hidden)
        said = self.said(said.flatten(0, 1)).view_as(rows)
        return rows + self.down(said * functional.silu(gate)), (last, *after)

    def _by_head(self, values: Hidden) -> Rows:
        return values.unflatten(2, (self.heads, -1)).permute(1, 2, 0, 3)

    def _before(self, query: Rows) -> State:
        batch, heads, _, width = query.shape
        shapes = ((width, width), (width,), ())
        return tuple(query.new_zeros(1, batch, heads, *shape) for shape in shapes)


def answers(asked: tuple[Rows, Rows, Rows], gates: tuple[Gate, Gate], state: State) -> tuple[Rows, State]:
    """What `recall` answers, some rows at a time: its cost grows with the square of the rows."""
    pieces = zip(*(part.split(PIECE_ROWS, dim=2) for part in (*asked, *gates)), strict=True)
    found: list[Rows] = []
    for query, key, value, write, forget in pieces:
        answer, state = recall((query, key, value), (write, forget), state)
        found.append(answer)
    return torch.cat(found, dim=2), state


def recall(asked: tuple[Rows, Rows, Rows], gates: tuple[Gate, Gate], state: State) -> tuple[Rows, State]:
    """What queries find among the keys and values of their row and earlier ones, and C, n, m after the last row."""
    (query, key, value), (write, forget) = asked, gates
    memory, norm, most = (part[0] for part in state)
    kept = functional.logsigmoid(forget).cumsum(dim=2)  # of what was there before the first row
    later = torch.ones(kept.shape[2], kept.shape[2], dtype=torch.bool, device=kept.device).triu(1)
    weight = (kept[..., :, None] + (write - kept)[..., None, :]).masked_fill(later, -torch.inf)
    kept = kept + most[..., None]
    with torch.no_grad():
        most = torch.maximum(kept, weight.amax(dim=3)).clamp(min=0.0)  # (batch, head, time)
    weight, kept = torch.exp(weight - most[..., None]), torch.exp(kept - most)
    match = query @ key.transpose(2, 3) * weight
    found = match @ value + kept[..., None] * (query @ memory)
    size = match.sum(dim=3) + kept * (query @ norm[..., None])[..., 0]
    answer = found / torch.maximum(size.abs(), torch.exp(-most))[..., None]
    last, old = key * weight[:, :, -1, :, None], kept[:, :, -1, None]
    after = (
        old[..., None] * memory + last.transpose(2, 3) @ value,
        old * norm + last.sum(dim=2),
        most[..., -1],
    )
    return answer, tuple(part[None] for part in after)
