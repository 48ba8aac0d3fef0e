"""The probability that the price rises, learnt by logistic loss."""

import numpy as np
import torch
from jaxtyping import Float32
from scipy import special

from longshort.models.forecast import StudentT
from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed

MOST_LOGIT = 4.0  # 1.8 % to 98.2 %: a law that must hold such a probability is not pushed farther from zero
NOMINAL_DF, NOMINAL_SCALE = 4.0, 0.5**0.5  # a Student-t whose standard deviation is one volatility unit


class DirectionHead:
    """One output per horizon: the logit of P(up)."""

    width = 1

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Logistic loss in nats; a return of exactly zero counts half as a rise."""
        rose = 0.5 + 0.5 * torch.sign(came.target)
        return torch.nn.functional.binary_cross_entropy_with_logits(raw[..., 0], rose, reduction="none")

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """The mean of a nominal law that has this P(up)."""
        p_up = special.expit(np.clip(raw[..., 0], -MOST_LOGIT, MOST_LOGIT).astype(np.float64))
        return (NOMINAL_SCALE * special.stdtrit(NOMINAL_DF, p_up)).astype(np.float32)

    def law(self, raw: MemberRaw, reading: Reading) -> StudentT:
        """The anchor's scale and df, about a location that gives P(up) its value where the mean is believed in full.

        Logits are averaged over members. The head states no scale, so that the anchor's share changes nothing; what
        is believed of the mean brings P(up) nearer to one half.
        """
        logit = np.clip(average(raw[..., 0].astype(np.float64)), -MOST_LOGIT, MOST_LOGIT)
        scale, df = np.where(np.isnan(reading.unit), np.nan, reading.anchor.scale), reading.anchor.df
        away = scale * special.stdtrit(df, special.expit(logit))
        return StudentT(loc=believed(away / reading.unit, reading), scale=scale, df=df)
