"""How a feature is brought to a common size by what was known at each close, live as in training.

"train" is not done here: the model takes mean and standard deviation from its training rows and keeps them in its
bundle. The kinds here need no fit, and their state is that of the history.
"""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from longshort.base.errors import StudyError
from longshort.features.history import Grid
from longshort.features.look import Look, Scaling

ROLLING_ROWS = 720  # thirty days of hours
LEAST_ROWS = 48  # before the spread of all rows so far is believed
IQR = 1.349  # the distance between the quartiles of a normal law, in standard deviations
MIN_SPREAD = (
    1e-9  # relative to the size of the values: below it nothing moved, and rounding would be blown up
)


def scaled(look: Look, name: str, kind: Scaling, values: Grid) -> Grid:
    """The values of a feature, scaled causally and per coin; NaN until its scale is known.

    `volatility` divides by the EWMA volatility per bar, for what is a return; `rolling` takes the median of the last
    720 rows off and divides by their interquartile range over 1.349; `expanding` uses mean and standard deviation of
    all rows so far. Where a feature has not moved, its distance from the center is left as it is.
    """
    if kind not in SCALINGS:
        raise StudyError(
            f"{name} cannot be scaled by {kind!r}.",
            where="features.scaling",
            remedy=f"Known are: {', '.join(SCALINGS)}.",
        )
    return SCALINGS[kind](look, f"scaling {name}", values)


def _rolling(look: Look, key: str, values: Grid) -> Grid:
    median, quartiles = look.history.median_iqr(key, values, ROLLING_ROWS)
    return _standard(values, median, quartiles / IQR)


def _expanding(look: Look, key: str, values: Grid) -> Grid:
    """Around the first value there was, so that a feature far from zero loses no digits in its squares."""
    moved = values - _first_known(look, key, values)
    mean = look.history.expanding_mean(key, moved, LEAST_ROWS)
    square = look.history.expanding_mean(f"{key} squared", moved**2, LEAST_ROWS)
    return _standard(moved, mean, np.sqrt(np.maximum(square - mean**2, 0.0)))


def _first_known(look: Look, key: str, values: Grid) -> Float64[np.ndarray, "one asset"]:
    (kept,) = look.history.kept(f"first {key}", lambda: (np.full((1, look.history.assets), np.nan),))
    if len(values):
        earliest = np.take_along_axis(values, np.isfinite(values).argmax(axis=0)[None], axis=0)
        kept[:] = np.where(np.isnan(kept), earliest, kept)
    return kept.copy()


def _standard(values: Grid, center: Grid, spread: Grid) -> Grid:
    moves = spread > MIN_SPREAD * (1.0 + np.abs(center))
    return (values - center) / np.where(moves | np.isnan(spread), spread, 1.0)


SCALINGS: MappingProxyType[Scaling, Callable[[Look, str, Grid], Grid]] = MappingProxyType(
    {
        "train": lambda look, key, values: values,
        "none": lambda look, key, values: values,
        "volatility": lambda look, key, values: values / look["volatility"],
        "rolling": _rolling,
        "expanding": _expanding,
    }
)
LATER: MappingProxyType[Scaling, int] = MappingProxyType(
    {"rolling": ROLLING_ROWS - 1, "expanding": LEAST_ROWS - 1}
)  # rows by which a scaled feature stands later
