"""A Student-t whose sides may differ in width, learnt by its likelihood: crashes are steeper than rallies."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed
from longshort.models.heads.student_t import parameters
from longshort.models.laws.two_piece import TwoPieceT

MOST_SKEW = 0.5  # of the log scale to either side: one side is at most e times as wide as the other


class SkewedTHead:
    """Four outputs per horizon: mean, log scale, degrees of freedom, skew."""

    width = 4

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Minus the log density, in nats per volatility unit."""
        return negative_log_density(raw, came.target)

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """The mean, not the mode."""
        return raw[..., 0]

    def law(self, raw: MemberRaw, reading: Reading) -> TwoPieceT:
        """Average mean, log scales and log df over members; share the last two with the anchor, whose skew is 0."""
        own, share = 1.0 - reading.share, reading.share
        outputs = torch.from_numpy(raw.astype(np.float64))
        loc, log_scale, df = (average(part.numpy()) for part in _with_log_df(outputs))
        skew = own * average(skewness(outputs).numpy())
        log_scale = own * (log_scale + np.log(reading.unit)) + share * np.log(reading.anchor.scale)
        return TwoPieceT.around(
            believed(loc, reading),
            left=np.exp(log_scale - skew),
            right=np.exp(log_scale + skew),
            df=np.exp(own * df + share * np.log(reading.anchor.df)),
        )


def skewness(raw: Float[Tensor, "*cell 4"]) -> Float[Tensor, "*cell"]:
    """Half the logarithm of the right side's scale over the left side's."""
    return MOST_SKEW * torch.tanh(raw[..., 3])


def negative_log_density(
    raw: Float[Tensor, "*cell 4"], target: Float[Tensor, "*cell"]
) -> Float[Tensor, "*cell"]:
    """Minus the log density of a two-piece Student-t, in nats; `models.laws.two_piece` has the same law in numpy."""
    loc, log_scale, df = parameters(raw[..., :3])
    skew, half = skewness(raw), 0.5 * (df + 1.0)
    norm = torch.lgamma(half) - torch.lgamma(0.5 * df) - 0.5 * torch.log(df * torch.pi)
    one_sided = torch.exp(norm) * df / (df - 1.0)  # the integral of u g(u) over one half
    z = (target - loc) * torch.exp(-log_scale) + 4.0 * one_sided * torch.sinh(skew)
    z = z * torch.exp(torch.where(z < 0.0, skew, -skew))
    return log_scale + torch.log(torch.cosh(skew)) + half * torch.log1p(z * z / df) - norm


def _with_log_df(raw: Float[Tensor, "*cell 4"]) -> tuple[Tensor, Tensor, Tensor]:
    loc, log_scale, df = parameters(raw[..., :3])
    return loc, log_scale, torch.log(df)
