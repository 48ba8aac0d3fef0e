"""A convolution over time that never reads ahead, and whose memory is the rows it still needs."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from longshort.models.networks.backbone import Window


class CausalConvolution(nn.Module):
    """A linear map of `rows` rows, `apart` rows from one to the next, the newest of them the row itself.

    Before the first row there were zeros, so that a memory of zeros is one that has just started.
    """

    def __init__(self, inputs: int, outputs: int, *, rows: int, apart: int = 1) -> None:
        super().__init__()
        self.rows = rows
        self.apart = apart
        self.behind = (rows - 1) * apart
        self.mix = nn.Linear(rows * inputs, outputs)

    def forward(
        self, window: Window, before: Float[Tensor, "behind batch feature"] | None
    ) -> tuple[Float[Tensor, "time batch output"], Float[Tensor, "behind batch feature"]]:
        """What it makes of every row, and the last rows, which it will read again."""
        if before is None:
            before = window.new_zeros(self.behind, *window.shape[1:])
        seen, times = torch.cat([before, window]), len(window)
        taps = [seen[k * self.apart : k * self.apart + times] for k in range(self.rows)]
        return self.mix(torch.cat(taps, dim=2)), seen[times:]
