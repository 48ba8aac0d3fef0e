"""A mixture of normal laws: calm, busy and wild bars side by side. Its tails end as those of a normal law do."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from scipy import special

from longshort.models.forecast import Values
from longshort.models.laws.by_row import ByRow

Parts = Float64[np.ndarray, "time asset horizon part"]
HALVINGS = 56  # of the bracket of a quantile, down to the last bits


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalMixture(ByRow):
    """The weight, mean and standard deviation of each part; weights sum to 1."""

    weight: Parts
    loc: Parts
    scale: Parts

    def mean(self) -> Values:
        """The weighted mean."""
        return in_order(self.weight * self.loc)

    def variance(self) -> Values:
        """Within the parts and between them."""
        away = self.loc - self.mean()[..., None]
        return in_order(self.weight * (self.scale**2 + away**2))

    def cdf(self, value: Values) -> Values:
        """The probability of at most `value`."""
        return in_order(self.weight * special.ndtr((value[..., None] - self.loc) / self.scale))

    def quantile(self, level: float) -> Values:
        """The value that is not exceeded with probability `level`; it lies between those of the parts.

        Always as many halvings: cells that have arrived must not depend on those that have not.
        """
        ends = self.loc + self.scale * special.ndtri(level)
        low, high = ends.min(axis=-1), ends.max(axis=-1)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)

    def log_density(self, value: Values) -> Values:
        """Natural logarithm of the density, from that of the likeliest part."""
        z = (value[..., None] - self.loc) / self.scale
        each = np.log(self.weight) - np.log(self.scale) - 0.5 * z * z - 0.5 * np.log(2.0 * np.pi)
        most = each.max(axis=-1)
        return most + np.log(in_order(np.exp(each - most[..., None])))

    def crps(self, value: Values) -> Values:
        """Closed form of Grimit, Gneiting, Berrocal and Johnson (2006): E|X - value| - E|X - X'| / 2."""
        near = in_order(self.weight * distance(value[..., None] - self.loc, self.scale))
        apart = np.zeros_like(value)
        for k in range(self.loc.shape[-1]):
            spread = np.hypot(self.scale, self.scale[..., k : k + 1])
            pairs = self.weight * distance(self.loc - self.loc[..., k : k + 1], spread)
            apart = apart + self.weight[..., k] * in_order(pairs)
        return near - 0.5 * apart


def distance(
    mean: Float64[np.ndarray, "*cell"], std: Float64[np.ndarray, "*cell"]
) -> Float64[np.ndarray, "*cell"]:
    """The mean absolute value of a normal law.

    >>> round(distance(np.array([0.0]), np.array([1.0])).item(), 6)
    0.797885
    """
    z = mean / std
    return mean * (2.0 * special.ndtr(z) - 1.0) + std * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * z * z)


def in_order(parts: Float[np.ndarray, "*cell part"]) -> Float[np.ndarray, "*cell"]:
    """The sum over the last axis, added in order: the same bits for one row as for many."""
    total = parts[..., 0]
    for k in range(1, parts.shape[-1]):
        total = total + parts[..., k]
    return total
