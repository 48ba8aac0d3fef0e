"""CNN-LSTM: causal dilated convolutions find patterns in the last rows, an LSTM remembers them."""

import torch
from torch import nn

from longshort.models.networks.backbone import Backbone, ChunkDropout, Hidden, Shape, State, Window
from longshort.models.networks.convolution import CausalConvolution
from longshort.models.networks.lstm import LSTM

ROWS = 3  # of each convolution


class CNNLSTM(Backbone):
    """Convolutions whose rows lie 1, 2, 4, ... apart, after van den Oord et al. (2016), under the plain LSTM.

    There are as many as it takes to look back `shape.window` rows. Each adds to what it was given.
    """

    def __init__(self, inputs: int, shape: Shape) -> None:
        super().__init__(inputs, shape)
        self.enter = nn.Linear(inputs, shape.hidden)
        self.convolutions = nn.ModuleList(
            CausalConvolution(shape.hidden, shape.hidden, rows=ROWS, apart=apart)
            for apart in dilations(shape.window)
        )
        self.drop = ChunkDropout(shape.dropout)
        self.lstm = LSTM(shape.hidden, shape)

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """Hidden states of the LSTM; the memory is its own, after the rows that each convolution still needs."""
        values, after, depth = self.enter(window), [], len(self.convolutions)
        for k, convolution in enumerate(self.convolutions):
            found, last = convolution(values, None if state is None else state[k])
            values = values + torch.relu(found)
            after.append(last)
        hidden, own = self.lstm(self.drop(values), None if state is None else state[depth:])
        return hidden, (*after, *own)


def dilations(window: int) -> list[int]:
    """How far apart the rows of each convolution lie, for all of them together to see `window` rows or more.

    >>> dilations(3), dilations(24)
    ([1], [1, 2, 4, 8])
    """
    apart = [1]
    while 1 + (ROWS - 1) * sum(apart) < window:
        apart.append(2 * apart[-1])
    return apart
