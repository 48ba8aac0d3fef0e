"""Location, log scale and degrees of freedom of a Student-t, learnt by its likelihood: the default."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from longshort.models.forecast import StudentT
from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed
from longshort.models.opponents.scale import MIN_DF

START_DF = 4.0


class StudentTHead:
    """Three outputs per horizon."""

    width = 3

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Minus the log density, in nats per volatility unit."""
        return negative_log_density(raw, came.target)

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """The location."""
        return raw[..., 0]

    def law(self, raw: MemberRaw, reading: Reading) -> StudentT:
        """Average location, log scale and log df over members; share the logarithms of the last two with the anchor."""
        loc, log_scale, df = (part.numpy().astype(np.float64) for part in parameters(torch.from_numpy(raw)))
        own, share = 1.0 - reading.share, reading.share
        return StudentT(
            loc=believed(average(loc), reading),
            scale=np.exp(
                own * (average(log_scale) + np.log(reading.unit)) + share * np.log(reading.anchor.scale)
            ),
            df=np.exp(own * average(np.log(df)) + share * np.log(reading.anchor.df)),
        )


def parameters(raw: Float[Tensor, "*cell 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Location, log scale and degrees of freedom (above 2) in volatility units, of raw outputs."""
    loc, log_scale, raw_df = raw.unbind(-1)
    return loc, log_scale, MIN_DF + (START_DF - MIN_DF) * torch.exp(raw_df.clamp(-3.0, 3.0))


def negative_log_density(
    raw: Float[Tensor, "*cell 3"], target: Float[Tensor, "*cell"]
) -> Float[Tensor, "*cell"]:
    """Minus the log density of a Student-t, in nats; constants in the target's unit left in."""
    loc, log_scale, df = parameters(raw)
    z = (target - loc) * torch.exp(-log_scale)
    half = 0.5 * (df + 1.0)
    norm = torch.lgamma(half) - torch.lgamma(0.5 * df) - 0.5 * torch.log(df * torch.pi)
    return log_scale + half * torch.log1p(z * z / df) - norm
