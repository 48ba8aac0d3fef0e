"""A law drawn through quantiles: straight between them, and beyond the outermost the tails of a Student-t.

It states no density: where a straight line is drawn for want of knowledge, its slope is not a belief.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import special

from longshort.models.forecast import Values
from longshort.models.laws.by_row import ByRow
from longshort.models.laws.student import tail_cdf, tail_mean, tail_square, tail_squared_cdf

Knots = Float64[np.ndarray, "time asset horizon level"]
LEVELS = tuple(k / 20 for k in range(1, 20))
STEP, OUTER = LEVELS[0], LEVELS[0]
MEDIAN = len(LEVELS) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles(ByRow):
    """The values at `LEVELS`, increasing, and the degrees of freedom of the tails.

    The tails are those of two Student-t about the median, each wide enough to meet its outermost value.
    """

    value_at: Knots
    df: Values

    def mean(self) -> Values:
        """The integral of the quantiles over their levels."""
        total = np.zeros_like(self.df)
        for low, high in self._segments():
            total = total + STEP * 0.5 * (low + high)
        left, right = self._scales()
        tails = tail_mean(self.df, self._end()) * (left - right)
        return total + 2.0 * OUTER * self.value_at[..., MEDIAN] + tails

    def variance(self) -> Values:
        """The second moment about the median less the square of the mean's distance from it."""
        middle = self.value_at[..., MEDIAN]
        left, right = self._scales()
        square = tail_square(self.df, self._end()) * (left**2 + right**2)
        for low, high in self._segments():
            a, b = low - middle, high - middle
            square = square + STEP * (a * a + a * b + b * b) / 3.0
        return square - (self.mean() - middle) ** 2

    def cdf(self, value: Values) -> Values:
        """The probability of at most `value`."""
        inside = np.full_like(self.df, OUTER)
        for low, high in self._segments():
            inside = inside + STEP * np.clip((value - low) / (high - low), 0.0, 1.0)
        left, right = self._scales()
        away = value - self.value_at[..., MEDIAN]
        below = value < self.value_at[..., 0]
        tail = special.stdtr(self.df, away / np.where(below, left, right))
        return np.where(below | (value > self.value_at[..., -1]), tail, inside)

    def quantile(self, level: float) -> Values:
        """The value that is not exceeded with probability `level`."""
        left, right = self._scales()
        if level < OUTER:
            return self.value_at[..., MEDIAN] + left * special.stdtrit(self.df, level)
        if level > 1.0 - OUTER:
            return self.value_at[..., MEDIAN] - right * special.stdtrit(self.df, 1.0 - level)
        at = min(int((level - OUTER) / STEP + 1e-9), len(LEVELS) - 2)
        share = min(max((level - LEVELS[at]) / STEP, 0.0), 1.0)
        low, high = self.value_at[..., at], self.value_at[..., at + 1]
        return np.where(share < 1.0, low + share * (high - low), high)

    def log_density(self, value: Values) -> Values:
        """NaN: none is stated."""
        return np.full_like(self.df, np.nan)

    def crps(self, value: Values) -> Values:
        """The integral of (F - 1{value <= x})^2, exactly: F is linear between the quantiles."""
        left, right = self._scales()
        middle = self.value_at[..., MEDIAN]
        total = self._tail(left, value - middle) + self._tail(right, middle - value)
        for level, (low, high) in zip(LEVELS, self._segments(), strict=False):
            share = np.clip((value - low) / (high - low), 0.0, 1.0)
            total = total + (high - low) * (
                _square(share, level, level + STEP * share)
                + _square(1.0 - share, 1.0 - level - STEP * share, 1.0 - level - STEP)
            )
        return total

    def _tail(self, scale: Values, away: Values) -> Values:
        """What the part beyond an outermost quantile adds, for an outcome `away` from the median, away being up."""
        end = self._end()
        beyond = np.minimum(away / scale, end)
        between = tail_cdf(self.df, end) - tail_cdf(self.df, beyond)
        return scale * (tail_squared_cdf(self.df, end) + (end - beyond) - 2.0 * between)

    def _segments(self) -> list[tuple[Values, Values]]:
        return [(self.value_at[..., k], self.value_at[..., k + 1]) for k in range(len(LEVELS) - 1)]

    def _end(self) -> Values:
        """The standard Student-t's own lowest quantile."""
        return special.stdtrit(self.df, OUTER)

    def _scales(self) -> tuple[Values, Values]:
        """Those of the left and the right tail."""
        reach, middle = -self._end(), self.value_at[..., MEDIAN]
        return (middle - self.value_at[..., 0]) / reach, (self.value_at[..., -1] - middle) / reach


def _square(width: Values, start: float | Values, stop: float | Values) -> Values:
    """The integral of the square of a straight line."""
    return width * (start * start + start * stop + stop * stop) / 3.0
