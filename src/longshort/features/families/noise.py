"""How far the price is from what a one-sided filter takes for its level.

Exponential smoothing is the local level model once its gain has settled (Muth 1960): a short half-life for a noisy
level, a long one for a trend.
"""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid
from longshort.features.look import SCALE_ROWS, Compute, Feature, Look


def _from_level(halflife_rows: int) -> Feature:
    def compute(look: Look) -> Grid:
        gap = look["log_close"] - look.ewma("log_close", float(halflife_rows))
        return gap / (look["volatility"] * np.sqrt(halflife_rows))

    return Feature(
        compute=compute,
        family="noise",
        inputs=("close",),
        warmup_rows=max(halflife_rows + 1, SCALE_ROWS),
        context="recursive",
        default=False,
        summary=f"distance of the close from its average with a half-life of {halflife_rows} bars, in volatilities",
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType({})

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {f"from_level_{halflife_rows}": _from_level(halflife_rows) for halflife_rows in (3, 48)}
)
