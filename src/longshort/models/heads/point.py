"""A single number per horizon, learnt by its absolute error or by Huber's; the law about it is the anchor's."""

import numpy as np
import torch
from jaxtyping import Float32

from longshort.models.forecast import StudentT
from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed

HUBER_FROM = 1.0  # volatility units: errors beyond count in proportion, not squared


class MAEHead:
    """One output per horizon: what half of the returns stay below."""

    width = 1

    def loss(self, raw: Raw, came: Came) -> Cells:
        """The absolute error, in volatility units."""
        return torch.abs(came.target - raw[..., 0])

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """The number itself."""
        return raw[..., 0]

    def law(self, raw: MemberRaw, reading: Reading) -> StudentT:
        """The anchor's scale and df about the members' average; the head states no scale to share with it."""
        scale = np.where(np.isnan(reading.unit), np.nan, reading.anchor.scale)
        loc = believed(average(raw[..., 0].astype(np.float64)), reading)
        return StudentT(loc=loc, scale=scale, df=reading.anchor.df)


class HuberHead(MAEHead):
    """One output per horizon: between mean and median."""

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Half the squared error up to one volatility unit, and in proportion beyond."""
        return torch.nn.functional.huber_loss(raw[..., 0], came.target, reduction="none", delta=HUBER_FROM)
