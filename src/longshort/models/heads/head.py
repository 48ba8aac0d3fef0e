"""The contract of every head: a loss per cell to learn by, and a law to answer with.

Raw outputs are in volatility units: `unit`, the causal volatility over a horizon, turns them into log returns.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from longshort.models.forecast import Law, StudentT, Values

Raw = Float[Tensor, "time batch horizon output"]
Cells = Float[Tensor, "time batch horizon"]
MemberRaw = Float32[np.ndarray, "member time asset horizon output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came after a batch of rows: targets in volatility units (0 where not `scored`), and the unit itself.

    `funding`, for heads that count it, is what a long position worth 1 pays over the next bar (0 where not scored).
    """

    target: Cells
    scored: Bool[Tensor, "time batch horizon"]
    unit: Cells
    funding: Float[Tensor, "time batch 1"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What raw outputs are read against.

    The unit per cell, the anchor's law with its shares in the logarithm of the scale and in the mean, and how much of a
    mean to believe at each horizon.
    """

    unit: Values
    anchor: StudentT
    share: float
    mean_share: float
    mean_weights: tuple[float, ...]


@runtime_checkable
class Head(Protocol):
    """Raw outputs -> a loss, a mean, a law. `width` is the number of raw outputs per horizon."""

    @property
    def width(self) -> int:
        """Raw outputs per horizon."""
        ...

    def loss(self, raw: Raw, came: Came) -> Cells:
        """What training makes small, per cell; its mean over the scored cells is what counts."""
        ...

    def mean(self, raw: MemberRaw) -> Float32[np.ndarray, "member time asset horizon"]:
        """The mean that each member states, in volatility units."""
        ...

    def law(self, raw: MemberRaw, reading: Reading) -> Law:
        """The members' law of log returns, averaged in their parameters."""
        ...


def average(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis, added in order: the same bits for one row as for many."""
    total = values[0]
    for member in values[1:]:
        total = total + member
    return total / len(values)
