"""What only derivatives have: funding."""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid
from longshort.features.look import Compute, Feature, Look


def _funding(look: Look) -> Grid:
    settled = look.history.last_known("funding", look.bars.funding_rate)
    return np.where(look.bars.funding_covered, settled, np.nan)


BASE: MappingProxyType[str, Compute] = MappingProxyType({"funding": _funding})

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "funding_last": Feature(
            compute=lambda look: look["funding"] / look["volatility"],
            family="funding",
            inputs=("funding_rate", "close"),
            context="recursive",
            needs=("funding",),
            summary="rate of the last settlement, in volatilities",
        ),
        "funding_72": Feature(
            compute=lambda look: look.mean("funding", 72) / look["volatility"],
            family="funding",
            inputs=("funding_rate", "close"),
            warmup_rows=72,
            context="recursive",
            needs=("funding",),
            summary="mean rate of 72 bars, in volatilities",
        ),
    }
)
