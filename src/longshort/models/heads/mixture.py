"""Three normal laws in shares that change from bar to bar, learnt by their likelihood."""

import math

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed
from longshort.models.laws.mixture import NormalMixture, distance, in_order
from longshort.models.laws.student import mean_distance

PARTS = 3
START_SCALE = (
    0.55  # and each wider part twice the one before it: together about what a bar does, before any learning
)
START_SHARES = (0.5, 0.4, 0.1)


class MixtureHead:
    """Nine outputs per horizon: the means, log scales and log shares of calm, busy and wild bars."""

    width = 3 * PARTS

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Minus the log density, in nats per volatility unit."""
        log_share, loc, log_scale = parameters(raw)
        z = (came.target[..., None] - loc) * torch.exp(-log_scale)
        each = log_share - log_scale - 0.5 * z * z - 0.5 * math.log(2.0 * math.pi)
        return -torch.logsumexp(each, dim=-1)

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """The weighted mean of the parts."""
        log_share, loc, _ = parameters(torch.from_numpy(raw))
        return in_order((torch.exp(log_share) * loc).numpy())

    def law(self, raw: MemberRaw, reading: Reading) -> NormalMixture:
        """Average means, log scales and log shares over members, part by part: they are ordered by their scale.

        The anchor shares in the logarithm of the mean distance from the mean; the shape stays the mixture's.
        """
        outputs = torch.from_numpy(raw.astype(np.float64))
        log_share, loc, log_scale = (average(part.numpy()) for part in parameters(outputs))
        weight, scale = np.exp(log_share), np.exp(log_scale)
        weight = weight / in_order(weight)[..., None]
        mean = in_order(weight * loc)
        away = loc - mean[..., None]
        spread = in_order(weight * distance(away, scale)) * reading.unit
        anchored = reading.anchor.scale * mean_distance(reading.anchor.df)
        stretch = (np.exp(reading.share * (np.log(anchored) - np.log(spread))) * reading.unit)[..., None]
        weight = np.where(np.isnan(stretch), np.nan, weight)
        middle = believed(mean, reading)[..., None]
        return NormalMixture(weight=weight, loc=middle + away * stretch, scale=scale * stretch)


def parameters(
    raw: Float[Tensor, "*cell output"],
) -> tuple[Float[Tensor, "*cell part"], Float[Tensor, "*cell part"], Float[Tensor, "*cell part"]]:
    """Log shares, means and log scales in volatility units; each part is wider than the one before it."""
    loc, first, shares = raw[..., :PARTS], raw[..., PARTS], raw[..., 2 * PARTS :]
    wider = softplus(raw[..., PARTS + 1 : 2 * PARTS])  # log 2 where nothing is learnt
    steps = [first + math.log(START_SCALE)]
    for k in range(PARTS - 1):
        steps.append(steps[-1] + wider[..., k])
    start = torch.tensor(START_SHARES, dtype=raw.dtype, device=raw.device)
    return torch.log_softmax(shares + torch.log(start), dim=-1), loc, torch.stack(steps, dim=-1)


def softplus(raw: Tensor) -> Tensor:
    """log(1 + exp(raw)) of functions that give the same bits for one cell as for many; torch's own does not promise to.

    >>> [round(v, 4) for v in softplus(torch.tensor([-50.0, 0.0, 50.0])).tolist()]
    [0.0, 0.6931, 50.0]
    """
    return raw.clamp(min=0.0) + torch.log1p(torch.exp(-raw.abs()))
