"""Integrals over the lower tail of the standard Student-t, in closed form: what laws made of pieces of it need.

With density g and distribution function G of `df` degrees of freedom. All rest on the derivative of (df + z^2) g(z),
which is -(df - 1) z g(z).
"""

import numpy as np
from jaxtyping import Float64
from scipy import special

Cells = Float64[np.ndarray, "*cell"]


def density(df: Cells, z: Cells) -> Cells:
    """g(z)."""
    half = 0.5 * (df + 1.0)
    norm = special.gammaln(half) - special.gammaln(0.5 * df) - 0.5 * np.log(df * np.pi)
    return np.exp(norm - half * np.log1p(z * z / df))


def tail_mean(df: Cells, z: Cells) -> Cells:
    """The integral of u g(u) up to z, never positive.

    >>> round(tail_mean(np.array([4.0]), np.array([0.0])).item(), 6)
    -0.5
    """
    return -(df + z * z) * density(df, z) / (df - 1.0)


def tail_square(df: Cells, z: Cells) -> Cells:
    """The integral of u^2 g(u) up to z; over the whole line it is df / (df - 2).

    >>> round(2 * tail_square(np.array([4.0]), np.array([0.0])).item(), 6)
    2.0
    """
    return (df * special.stdtr(df, z) - z * (df + z * z) * density(df, z)) / (df - 2.0)


def tail_cdf(df: Cells, z: Cells) -> Cells:
    """The integral of G up to z: how much of the line an outcome is expected to lie below z.

    >>> round(tail_cdf(np.array([4.0]), np.array([0.0])).item(), 6)
    0.5
    """
    return z * special.stdtr(df, z) - tail_mean(df, z)


def tail_squared_cdf(df: Cells, z: Cells) -> Cells:
    """The integral of G^2 up to z.

    By parts; what remains, (df + u^2) g^2, is a Student-t of 2 df - 1 degrees of freedom on a narrower scale.

    >>> round(2 * tail_squared_cdf(np.array([4.0]), np.array([0.0])).item(), 4)  # the CRPS of the standard t at 0
    0.2637
    """
    below, at = special.stdtr(df, z), density(df, z)
    narrow = 2.0 * df - 1.0
    zero = np.zeros_like(df)
    rest = df * density(df, zero) ** 2 * np.sqrt(df / narrow) / density(narrow, zero)
    rest = rest * special.stdtr(narrow, z * np.sqrt(narrow / df))
    return z * below**2 + 2.0 / (df - 1.0) * ((df + z * z) * at * below - rest)


def mean_distance(df: Cells) -> Cells:
    """The mean absolute value of a standard Student-t.

    >>> mean_distance(np.array([4.0])).item()
    1.0
    """
    return -2.0 * tail_mean(df, np.zeros_like(df))
