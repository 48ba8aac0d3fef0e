"""Reversible instance normalisation, without a look ahead: a coin's inputs against their own recent past.

Kim et al. (2022) subtract the mean of a window and divide by its deviation, and put both back into the forecast. A
window knows its own end; here mean and deviation are exponentially weighted over the rows up to each row. They stay
readable beside the inputs, and what comes out has its scale put back by whoever multiplies with the volatility unit.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from longshort.base.learning import ModelSettings
from longshort.models.networks.backbone import Backbone, Hidden, Shape, State, Window
from longshort.models.networks.catalog import kind_of

LEAST_VARIANCE = 0.01  # inputs are standardised: a tenth of a deviation, below which a column stands still


class Normalised(Backbone):
    """A member of the family that reads inputs so normalised, their recent means and their log deviations."""

    def __init__(self, inner: Backbone, inputs: int, halflife_rows: int) -> None:
        super().__init__(inputs, inner.shape)
        self.inner = inner
        self.width = inner.width
        self.decay = 0.5 ** (1.0 / halflife_rows)

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """Hidden states; the memory is the weighted sums of 1, x and x squared, then that of the member."""
        seen = torch.cat([torch.ones_like(window[..., :1]), window, window**2], dim=2)
        sums = self.sums(seen, window.new_zeros(1, *seen.shape[1:]) if state is None else state[0])
        count, first, second = sums.split([1, self.inputs, self.inputs], dim=2)
        mean = first / count
        variance = (second / count - mean**2).clamp(min=0.0) + LEAST_VARIANCE
        against = (window - mean) * variance.rsqrt()
        read = torch.cat([against, mean, 0.5 * variance.log()], dim=2)
        hidden, after = self.inner(read, None if state is None else state[1:])
        return hidden, (sums[-1:], *after)

    def sums(
        self, seen: Float[Tensor, "time batch channel"], before: Float[Tensor, "1 batch channel"]
    ) -> Float[Tensor, "time batch channel"]:
        """Exponentially weighted sums up to every row: one triangular product instead of a loop."""
        age = torch.arange(len(seen), dtype=seen.dtype, device=seen.device)
        ages = age[:, None] - age[None, :]
        weights = torch.where(ages >= 0.0, self.decay ** ages.clamp(min=0.0), 0.0)
        fresh = (weights @ seen.flatten(1)).view_as(seen)
        return fresh + before * (self.decay ** (age + 1.0))[:, None, None]


def backbone_of(model: ModelSettings, inputs: int) -> Backbone:
    """The member of the family that a study asks for, its inputs normalised where the study says over how long."""
    make, shape, rows = kind_of(model).load(), Shape.of(model), model.instance_norm_rows
    return Normalised(make(3 * inputs, shape), inputs, rows) if rows else make(inputs, shape)
