"""Attention-LSTM: every hidden state asks those of the last rows, itself among them, what else matters."""

from math import sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from longshort.models.networks.backbone import Backbone, Hidden, Shape, State, Window
from longshort.models.networks.lstm import LSTM

Seen = Float[Tensor, "seen batch hidden"]
Weights = Float[Tensor, "batch time seen"]


class AttentionLSTM(Backbone):
    """The plain LSTM, and causal attention over its last `shape.window` hidden states, added to the newest of them.

    Scaled dot products of one head, after Vaswani et al. (2017), with a learnt bias for every age in rows.
    """

    def __init__(self, inputs: int, shape: Shape) -> None:
        super().__init__(inputs, shape)
        self.lstm = LSTM(inputs, shape)
        self.query, self.key, self.value = (
            nn.Linear(shape.hidden, shape.hidden, bias=False) for _ in range(3)
        )
        self.add = nn.Linear(shape.hidden, shape.hidden)
        self.age = nn.Parameter(torch.zeros(shape.window))

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """Hidden states; the memory is the LSTM's, the last hidden states, and a mark of those that there were."""
        hidden, own = self.lstm(window, None if state is None else state[:-2])
        times, batch, width = hidden.shape
        behind = self.shape.window - 1
        before = hidden.new_zeros(behind, batch, width) if state is None else state[-2]
        marked = hidden.new_zeros(behind, batch, 1) if state is None else state[-1]
        seen, marks = torch.cat([before, hidden]), torch.cat([marked, hidden.new_ones(times, batch, 1)])
        weights = self.weights(hidden, seen, marks[:, :, 0].T > 0.0)
        found = torch.bmm(weights, self.value(seen).transpose(0, 1)).transpose(0, 1)
        return hidden + self.add(found), (*own, seen[times:], marks[times:])

    def weights(self, hidden: Hidden, seen: Seen, known: Bool[Tensor, "batch seen"]) -> Weights:
        """How much each row attends to each hidden state seen: nothing to later rows, nor to those before the start."""
        asked, offered = self.query(hidden).transpose(0, 1), self.key(seen).permute(1, 2, 0)
        score = torch.bmm(asked, offered) / sqrt(hidden.shape[2])
        newest = torch.arange(len(seen) - len(hidden), len(seen), device=hidden.device)
        age = newest[:, None] - torch.arange(len(seen), device=hidden.device)
        near = (age >= 0) & (age < self.shape.window)
        score = score + self.age[age.clamp(0, self.shape.window - 1)]
        return torch.softmax(score.masked_fill(~(near & known[:, None]), -torch.inf), dim=2)
