"""What to hold, learnt by what holding it earns after costs: no belief about returns is asked for.

A full position moves the account by about one unit of return per bar, calm or wild: exposure = position / unit. At
each close the network names a wish from -1 to 1 and how far what is held may be from it; the exposure goes to the
nearest end of that zone, and stays where it is inside. With costs in proportion to what is traded nothing else can be
best: Davis and Norman (1990), "Portfolio selection with transaction costs". Per bar it earns

    exposure (exp(log return) - 1 - funding) - fill |exposure - exposure one bar earlier|

where `funding` is what settles on a long position until the next close. That is the money ledger's arithmetic but for
the move between a close and the next open. Only the first horizon, which must be one bar, is learnt. In training the
first row of a chunk holds its wish already and pays no entry; where there is no bar, or where what it would settle is
not on record, nothing is traded and nothing learnt.
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
from longshort.models.heads.mixture import softplus

LEAN = 0.1  # volatility units: the mean that the law of a full position has, before it is known what to believe of it
RISK = 0.1  # of the account per volatility unit at a full position: the larger, the sooner a position is cut for risk
LEAST_WEALTH = 0.5  # below it the logarithm goes on as its tangent: one bar may cost more than all there is
START_REACH = 0.2  # before anything is learnt
LEAST_STD = 1e-3  # volatility units: a book that holds nothing has no Sharpe ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """The ends between which a position is left alone, in volatility units."""

    low: Float64[np.ndarray, "time asset"]
    high: Float64[np.ndarray, "time asset"]

    def exposures(self, full: Float64[np.ndarray, "time asset"]) -> Float64[np.ndarray, "time asset"]:
        """What to hold at each close, from flat, where a full position is worth `full`; NaN: leave it alone.

        >>> low, high = np.array([[0.5], [0.1], [np.nan], [-0.4]]), np.array([[0.7], [0.9], [np.nan], [-0.2]])
        >>> zones = Zones(low=low, high=high)
        >>> zones.exposures(np.full((4, 1), 2.0)).ravel().tolist()
        [1.0, nan, nan, -0.4]
        """
        held = np.zeros(full.shape[1])
        target = np.full(full.shape, np.nan)
        for t in range(len(full)):
            nearest = np.clip(held, self.low[t] * full[t], self.high[t] * full[t])
            moves = np.isfinite(nearest) & (nearest != held)
            target[t, moves] = nearest[moves]
            held = np.where(moves, nearest, held)
        return target


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityHead:
    """Two outputs per horizon, a wish and how far from it is near enough; learnt by the logarithm of wealth."""

    costs: Costs
    width = 2

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Minus the growth of log wealth per bar, over the risk taken: about minus the net return, in volatility units.

        Zero at all horizons but the first.
        """
        wealth = 1.0 + RISK * net_returns(raw, came, self.costs)
        tangent = math.log(LEAST_WEALTH) + (wealth - LEAST_WEALTH) / LEAST_WEALTH
        growth = torch.where(wealth > LEAST_WEALTH, torch.log(wealth.clamp(min=LEAST_WEALTH)), tangent)
        return _at_first(-growth / RISK, raw)

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """A lean that is proportional to the wish, at the first horizon; zero at the others."""
        mean = np.zeros_like(raw[..., 0])
        mean[..., 0] = LEAN * np.tanh(raw[..., 0, 0])
        return mean

    def law(self, raw: MemberRaw, reading: Reading) -> StudentT:
        """The anchor's law, leaning with the wish: worded as a belief, for reports to have one.

        The wish is for one bar, so that the mean over longer horizons is the same log return.
        """
        lean = np.zeros(reading.unit.shape)
        zones = self.zones(raw)
        lean[..., 0] = LEAN * 0.5 * (zones.low + zones.high)
        first = believed(lean, reading)[..., :1]
        later = reading.mean_share * reading.anchor.loc
        scale = np.where(np.isnan(reading.unit), np.nan, reading.anchor.scale)
        loc = first + later - later[..., :1]
        return StudentT(loc=loc, scale=scale, df=reading.anchor.df)

    def zones(self, raw: MemberRaw) -> Zones:
        """Where a position may lie over the next bar, averaged over members."""
        wish, reach = (average(part.numpy()) for part in _zone(torch.from_numpy(raw.astype(np.float64))))
        return Zones(low=wish - reach, high=wish + reach)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpeHead(UtilityHead):
    """The same, learnt by the Sharpe ratio of the whole batch: scale does not count, steadiness does."""

    def loss(self, raw: Raw, came: Came) -> Cells:
        """Minus each net return over the standard deviation of all that are scored: their mean is minus the ratio.

        So a cell's loss depends on the other cells of the batch. Zero at all horizons but the first.
        """
        net, scored = net_returns(raw, came, self.costs), came.scored[..., 0]
        count = scored.sum().clamp(min=1)
        mean = torch.where(scored, net, 0.0).sum() / count
        variance = torch.where(scored, (net - mean) ** 2, 0.0).sum() / count
        return _at_first(-net / torch.sqrt(variance + LEAST_STD**2), raw)


def net_returns(raw: Raw, came: Came, costs: Costs) -> Float[Tensor, "time batch"]:
    """What each exposure earns over its bar after costs and funding, in volatility units."""
    assert came.funding is not None
    unit = came.unit[..., 0]
    exposure, before = exposures(raw, unit, came.scored[..., 0])
    earned = torch.expm1(came.target[..., 0] * unit) - came.funding[..., 0]
    return exposure * earned - costs.fill * (exposure - before).abs()


def exposures(
    raw: Raw, unit: Float[Tensor, "time batch"], scored: Bool[Tensor, "time batch"]
) -> tuple[Float[Tensor, "time batch"], Float[Tensor, "time batch"]]:
    """What is held over each bar, and what was held before it."""
    wish, reach = _zone(raw)
    low, high = (wish - reach) / unit, (wish + reach) / unit
    held = [torch.where(scored[0], wish[0] / unit[0], 0.0)]
    for t in range(len(raw)):
        nearest = torch.minimum(torch.maximum(held[-1], low[t]), high[t])
        held.append(torch.where(scored[t], nearest, held[-1]))
    path = torch.stack(held)
    return path[1:], path[:-1]


def _zone(raw: Float[Tensor, "*cell horizon 2"]) -> tuple[Float[Tensor, "*cell"], Float[Tensor, "*cell"]]:
    """The wish, from -1 to 1, and how far around it nothing is traded."""
    first = raw[..., 0, :]
    return torch.tanh(first[..., 0]), START_REACH * softplus(first[..., 1]) / math.log(2.0)


def _at_first(cells: Float[Tensor, "time batch"], raw: Raw) -> Cells:
    return torch.cat([cells[..., None], torch.zeros_like(raw[:, :, 1:, 0])], dim=-1)
