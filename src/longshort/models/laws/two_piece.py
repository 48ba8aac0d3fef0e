"""The skewed Student-t of Fernández and Steel (1998): two halves of one t, of different width, joined at the mode."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from longshort.models.forecast import Values
from longshort.models.laws.by_row import ByRow
from longshort.models.laws.student import tail_cdf, tail_mean, tail_squared_cdf


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPieceT(ByRow):
    """Mode, the scales to its left and right, and degrees of freedom above 2.

    Each side holds a share of the probability in proportion to its scale, so that the density has no step. With equal
    scales it is the Student-t.
    """

    mode: Values
    left: Values
    right: Values
    df: Values

    @classmethod
    def around(cls, mean: Values, left: Values, right: Values, df: Values) -> "TwoPieceT":
        """The law that has this mean."""
        return cls(mode=mean - _shift(left, right, df), left=left, right=right, df=df)

    def mean(self) -> Values:
        """The mode, and what the wider side adds."""
        return self.mode + _shift(self.left, self.right, self.df)

    def variance(self) -> Values:
        """The second moment about the mode less the square of the mean's distance from it."""
        square = self.df / (self.df - 2.0) * (self.left**2 - self.left * self.right + self.right**2)
        return square - _shift(self.left, self.right, self.df) ** 2

    def cdf(self, value: Values) -> Values:
        """The probability of at most `value`."""
        low, high = self._shares()
        away = value - self.mode
        below = 2.0 * low * special.stdtr(self.df, np.minimum(away, 0.0) / self.left)
        return below + high * (2.0 * special.stdtr(self.df, np.maximum(away, 0.0) / self.right) - 1.0)

    def quantile(self, level: float) -> Values:
        """The value that is not exceeded with probability `level`."""
        low, high = self._shares()
        below = self.left * special.stdtrit(self.df, np.minimum(0.5 * level / low, 0.5))
        above = self.right * special.stdtrit(self.df, np.minimum(0.5 * (1.0 - level) / high, 0.5))
        return self.mode + np.where(level <= low, below, -above)

    def log_density(self, value: Values) -> Values:
        """Natural logarithm of the density."""
        away = value - self.mode
        z = away / np.where(away < 0.0, self.left, self.right)
        half = 0.5 * (self.df + 1.0)
        norm = special.gammaln(half) - special.gammaln(0.5 * self.df) - 0.5 * np.log(self.df * np.pi)
        return norm - np.log(0.5 * (self.left + self.right)) - half * np.log1p(z * z / self.df)

    def crps(self, value: Values) -> Values:
        """The integral of (F - 1{value <= x})^2: of F^2 below the mode, of (1 - F)^2 above it, and in between."""
        low, high = self._shares()
        away = value - self.mode
        zero = np.zeros_like(self.df)
        half = 4.0 * tail_squared_cdf(self.df, zero)
        spread = half * (low**2 * self.left + high**2 * self.right)
        share, scale = np.where(away < 0.0, low, high), np.where(away < 0.0, self.left, self.right)
        between = tail_cdf(self.df, zero) - tail_cdf(self.df, -np.abs(away) / scale)
        return spread + np.abs(away) - 4.0 * share * scale * between

    def _shares(self) -> tuple[Values, Values]:
        total = self.left + self.right
        return self.left / total, self.right / total


def _shift(left: Values, right: Values, df: Values) -> Values:
    """The mean's distance from the mode."""
    return -2.0 * tail_mean(df, np.zeros_like(df)) * (right - left)
