"""The plain LSTM of Hochreiter and Schmidhuber (1997) with forget gates (Gers et al., 2000): one layer or a stack."""

from typing import ClassVar

import torch
from torch import nn

from longshort.models import kernel
from longshort.models.networks.backbone import Backbone, ChunkDropout, Hidden, Shape, State, Window


class LSTM(Backbone):
    """One or more layers; a stack may add each layer's input to its output, and normalise what each layer says."""

    exact_pieces: ClassVar[bool] = True

    def __init__(self, inputs: int, shape: Shape) -> None:
        super().__init__(inputs, shape)
        self.layers = nn.ModuleList(
            layer(inputs if k == 0 else shape.hidden, shape.hidden) for k in range(shape.layers)
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(shape.hidden) if shape.layer_norm else nn.Identity() for _ in range(shape.layers)
        )
        self.drop = ChunkDropout(shape.dropout)

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """Hidden states of the last layer; the memory is h and c of every layer, one after the other."""
        hidden, after = window, []
        for k, (cell, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            before = None if state is None else (state[2 * k], state[2 * k + 1])
            said, own = cell(hidden if k == 0 else self.drop(hidden), before)
            said = norm(said)
            hidden = said + hidden if self.shape.residual and k else said
            after += own
        return hidden, tuple(after)


def layer(inputs: int, hidden: int) -> nn.LSTM:
    """One layer that remembers at first: its forget gates start open, after Jozefowicz et al. (2015)."""
    cell = kernel.LSTM(inputs, hidden)
    with torch.no_grad():
        cell.get_parameter("bias_hh_l0")[hidden : 2 * hidden] = 1.0
    return cell
