"""The contract of the family: rows in, hidden states and a memory out.

A memory is a tuple of tensors with the batch on axis 1, and zeros mean "just started": memory.py restarts a coin by
setting its column to zero. So a member needs no clock and no position of its own.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from longshort.base.learning import ModelSettings

State = tuple[Tensor, ...]
Window = Float[Tensor, "time batch feature"]
Hidden = Float[Tensor, "time batch hidden"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Everything that shapes a backbone. `window` is how many rows attention or a convolution looks back."""

    hidden: int = 48
    layers: int = 1
    dropout: float = 0.25
    window: int = 24
    layer_norm: bool = False
    residual: bool = False

    @classmethod
    def of(cls, model: ModelSettings) -> "Shape":
        """The shape that a study asks for."""
        return cls(
            hidden=model.hidden,
            layers=model.layers,
            dropout=model.dropout,
            window=model.window,
            layer_norm=model.layer_norm,
            residual=model.residual,
        )


class Backbone(nn.Module):
    """A member of the family; `width` is the size of its hidden states.

    `exact_pieces` says that a call with many rows gives the bits of as many calls with one. Members that cannot promise
    it are fed row by row when they forecast, so that a batch equals a stream for all of them.
    """

    exact_pieces: ClassVar[bool] = False
    width: int

    def __init__(self, inputs: int, shape: Shape) -> None:
        super().__init__()
        self.inputs = inputs
        self.shape = shape
        self.width = shape.hidden

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """Hidden states of the rows, and the memory after the last of them; no state means zeros."""
        raise NotImplementedError


class ChunkDropout(nn.Module):
    """Dropout whose mask is drawn once per chunk and kept over time: Gal and Ghahramani (2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Float[Tensor, "time batch channel"]) -> Float[Tensor, "time batch channel"]:
        """The values, in training with a share of the channels of each chunk set to zero."""
        if not self.training or self.rate == 0.0:
            return values
        return values * (values.new_empty(values.shape[1:]).bernoulli_(1.0 - self.rate) / (1.0 - self.rate))
