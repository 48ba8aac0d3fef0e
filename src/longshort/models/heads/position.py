"""What to hold, learnt by what holding it earns after costs: no belief about returns is asked for.

A position p between -1 and 1 is a wish for the next bar alone, in units of volatility: the exposure is p / unit, so
that a full position moves the account by about one unit of return per bar, calm or wild. Per bar it earns

    exposure (exp(log return) - 1) - fill |exposure - exposure one bar earlier|

which is the money ledger's arithmetic but for the move between a close and the next open, and for funding. Only the
first horizon, which must be one bar, is learnt. The first row of a chunk is held already and pays no entry; a move over
a row without a bar pays none either, for nothing could be traded there.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from longshort.base.instrument import Costs
from longshort.models.forecast import StudentT
from longshort.models.heads.head import Came, Cells, MemberRaw, Raw, Reading, average
from longshort.models.heads.means import believed

LEAN = 0.1  # volatility units: the mean that the law of a full position has, before it is known what to believe of it
RISK = 0.1  # of the account per volatility unit at a full position: the larger, the sooner a position is cut for risk
LEAST_WEALTH = 0.5  # below it the logarithm goes on as its tangent: one bar may cost more than all there is
LEAST_STD = 1e-3  # volatility units: a book that holds nothing has no Sharpe ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityHead:
    """One output per horizon, a position once it is squashed; learnt by the logarithm of wealth."""

    costs: Costs
    width = 1

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Minus the growth of log wealth per bar, over the risk taken: about minus the net return, in volatility units.

        Zero at all horizons but the first.
        """
        wealth = 1.0 + RISK * net_returns(raw, came, self.costs)
        tangent = math.log(LEAST_WEALTH) + (wealth - LEAST_WEALTH) / LEAST_WEALTH
        growth = torch.where(wealth > LEAST_WEALTH, torch.log(wealth.clamp(min=LEAST_WEALTH)), tangent)
        return _at_first(-growth / RISK, raw)

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """A lean that is proportional to the position, at the first horizon; zero at the others."""
        mean = np.zeros_like(raw[..., 0])
        mean[..., 0] = LEAN * np.tanh(raw[..., 0, 0])
        return mean

    def law(self, raw: MemberRaw, reading: Reading) -> StudentT:
        """The anchor's law, leaning with the position: a wish worded as a belief, for reports to have one.

        The wish is for one bar, so that the mean over longer horizons is the same log return.
        """
        lean = np.zeros(reading.unit.shape)
        lean[..., 0] = LEAN * self.positions(raw)
        first = believed(lean, reading)[..., :1]
        later = reading.mean_share * reading.anchor.loc
        scale = np.where(np.isnan(reading.unit), np.nan, reading.anchor.scale)
        loc = first + later - later[..., :1]
        return StudentT(loc=loc, scale=scale, df=reading.anchor.df)

    def positions(self, raw: MemberRaw) -> Float64[np.ndarray, "time asset"]:
        """What to hold over the next bar, from -1 to 1, averaged over members."""
        return average(np.tanh(raw[:, :, :, 0, 0].astype(np.float64)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpeHead(UtilityHead):
    """The same, learnt by the Sharpe ratio of the whole batch: scale does not count, steadiness does."""

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Minus each net return over the standard deviation of all that are scored: their mean is minus the ratio.

        So a cell's loss depends on the other cells of the batch. Zero at all horizons but the first.
        """
        net, scored = net_returns(raw, came, self.costs), came.scored[..., 0]
        count = scored.sum().clamp(min=1)
        mean = net.sum() / count
        variance = torch.where(scored, (net - mean) ** 2, 0.0).sum() / count
        return _at_first(-net / torch.sqrt(variance + LEAST_STD**2), raw)


def net_returns(raw: Raw, came: Came, costs: Costs) -> Float[Tensor, "time batch"]:
    """What each position earns over its bar after costs, in volatility units; 0 where it is not scored."""
    unit, scored = came.unit[..., 0], came.scored[..., 0]
    exposure = torch.tanh(raw[..., 0, 0]) / unit
    earned = exposure * torch.expm1(came.target[..., 0] * unit)
    return torch.where(scored, earned - costs.fill * turnover(exposure, scored), 0.0)


def turnover(
    exposure: Float[Tensor, "time batch"], scored: Bool[Tensor, "time batch"]
) -> Float[Tensor, "time batch"]:
    """How far each exposure is from the one a bar earlier; 0 at the first row and where either row is not scored."""
    moved = torch.where(scored[1:] & scored[:-1], (exposure[1:] - exposure[:-1]).abs(), 0.0)
    return torch.cat([torch.zeros_like(exposure[:1]), moved])


def _at_first(cells: Float[Tensor, "time batch"], raw: Raw) -> Cells:
    return torch.cat([cells[..., None], torch.zeros_like(raw[:, :, 1:, 0])], dim=-1)
