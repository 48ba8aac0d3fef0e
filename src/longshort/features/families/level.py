"""Volatilities as they are, for the models that scale by them; they depend on the coin, so no network reads them."""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid
from longshort.features.look import MIN_VOLATILITY, Compute, Feature, Look


def _expanding(look: Look) -> Grid:
    variance = look.history.expanding_mean("squared_return", look["squared_return"], 48)
    return np.log(np.maximum(np.sqrt(variance), MIN_VOLATILITY))


BASE: MappingProxyType[str, Compute] = MappingProxyType({"log_expanding_volatility": _expanding})

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "log_volatility": Feature(
            compute=lambda look: look["log_volatility"],
            family="level",
            inputs=("close",),
            context="recursive",
            default=False,
            summary="log of the EWMA volatility per bar",
        ),
        "log_expanding_volatility": Feature(
            compute=lambda look: look["log_expanding_volatility"],
            family="level",
            inputs=("close",),
            warmup_rows=49,
            context="expanding",
            default=False,
            summary="log of the volatility per bar since the first one",
        ),
    }
)
