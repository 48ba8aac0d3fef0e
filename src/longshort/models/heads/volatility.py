"""The variance alone, learnt by QLIKE on the squared return: Patton (2011), robust to how noisy that proxy is."""

import numpy as np
import torch
from jaxtyping import Float32

from longshort.models.forecast import StudentT
from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed


class VolatilityHead:
    """One output per horizon: the logarithm of the variance. It states a mean of zero."""

    width = 1

    def loss(self, raw: Raw, came: Came) -> Cells:
        """`log variance + return^2 / variance`, in volatility units."""
        return raw[..., 0] + came.target**2 * torch.exp(-raw[..., 0])

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """Zero."""
        return np.zeros_like(raw[..., 0])

    def law(self, raw: MemberRaw, reading: Reading) -> StudentT:
        """The anchor's df about zero, on the scale that gives the variance; shared in its logarithm with the anchor."""
        own, share, df = 1.0 - reading.share, reading.share, reading.anchor.df
        log_std = 0.5 * average(raw[..., 0].astype(np.float64)) + np.log(reading.unit)
        log_scale = log_std + 0.5 * np.log((df - 2.0) / df)
        scale = np.exp(own * log_scale + share * np.log(reading.anchor.scale))
        return StudentT(loc=believed(np.zeros_like(scale), reading), scale=scale, df=df)
