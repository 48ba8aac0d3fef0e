"""Many p-values at once: which of them may be believed. Holm's correction is in `significance`."""

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that, of those below a level, at most that share is false on average; in their order.

    Milder than Holm, which bounds the chance of even one false one: it says how much of a list to believe, not whether
    every line of it holds. Valid for independent tests and positively dependent ones, as gains over rivals are.
    Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57, 289-300.

    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")[::-1]
    steps = values[order] * len(values) / np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum.accumulate(steps) if len(values) else steps
    return np.minimum(corrected, 1.0).tolist()
