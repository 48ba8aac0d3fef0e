"""Nineteen quantiles that cannot cross: a median, and steps away from it that are never negative."""

import math

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy import special
from torch import Tensor

from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed
from longshort.models.heads.mixture import softplus
from longshort.models.laws.mixture import in_order
from longshort.models.laws.quantiles import LEVELS, MEDIAN, Quantiles

START_DF, START_SCALE = 4.0, 0.75  # of the Student-t whose quantiles are stated before anything is learnt
START_STEPS = tuple(np.diff(START_SCALE * special.stdtrit(START_DF, np.asarray(LEVELS))).tolist())
LEAST_STEP = 1e-4  # of a starting step: equal quantiles would say that nothing lies between them


class QuantilesHead:
    """The median and eighteen steps per horizon, learnt by the pinball loss."""

    width = len(LEVELS)

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Twice the mean pinball loss over the levels: about the CRPS, per volatility unit."""
        error = came.target[..., None] - quantiles(raw)
        level = torch.tensor(LEVELS, dtype=raw.dtype, device=raw.device)
        return 2.0 * torch.maximum(level * error, (level - 1.0) * error).mean(dim=-1)

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """The mean of the quantiles: of what is neither among the lowest nor the highest twentieth, nearly."""
        return in_order(quantiles(torch.from_numpy(raw)).numpy()) / np.float32(len(LEVELS))

    def law(self, raw: MemberRaw, reading: Reading) -> Quantiles:
        """Average every quantile over members, and its distance from the mean with the anchor's, which lends its df.

        Quantiles are shared as they are, not their logarithms: so they keep their order.
        """
        own, share = 1.0 - reading.share, reading.share
        value_at = average(quantiles(torch.from_numpy(raw.astype(np.float64))).numpy())
        mean = in_order(value_at) / len(LEVELS)
        away = (value_at - mean[..., None]) * reading.unit[..., None]
        df = reading.anchor.df
        anchored = reading.anchor.scale[..., None] * special.stdtrit(df[..., None], np.asarray(LEVELS))
        return Quantiles(value_at=believed(mean, reading)[..., None] + own * away + share * anchored, df=df)


def quantiles(raw: Float[Tensor, "*cell level"]) -> Float[Tensor, "*cell level"]:
    """Increasing values at `LEVELS`, in volatility units."""
    start = torch.tensor(START_STEPS, dtype=raw.dtype, device=raw.device)
    steps = start * (LEAST_STEP + softplus(raw[..., 1:]) / math.log(2.0))
    middle = raw[..., :1]
    above = middle + torch.cumsum(steps[..., MEDIAN:], dim=-1)
    below = middle - torch.cumsum(steps[..., :MEDIAN].flip(-1), dim=-1).flip(-1)
    return torch.cat([below, middle, above], dim=-1)
