"""The last bar in volatility units, and the columns of prices that the other families build on.

Volatility units mean: divided by the causal EWMA volatility per bar.
"""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid
from longshort.features.look import MIN_VOLATILITY, Compute, Feature, Look

MIN_RANGE = 1e-5  # a tenth of a basis point: log range of a bar that did not move
PARKINSON = 2.0 * np.sqrt(np.log(2.0))  # log range over this is a volatility: Parkinson (1980)


def _log_return(look: Look) -> Grid:
    return look["log_close"] - look.lag("log_close", 1)


def _gap(look: Look) -> Grid:
    return np.log(look["open"]) - look.lag("log_close", 1)


def _volatility(look: Look) -> Grid:
    variance = look.ewma("squared_return", look.halflife_rows)
    return np.maximum(np.sqrt(variance), MIN_VOLATILITY)


def _log_range(look: Look) -> Grid:
    moved = np.log(look["high"]) - np.log(look["low"])
    return np.log(np.maximum(moved, MIN_RANGE) / PARKINSON)


def _shadow(look: Look) -> Grid:
    top = np.log(look["high"]) - np.log(np.maximum(look["open"], look["close"]))
    bottom = np.log(np.minimum(look["open"], look["close"])) - np.log(look["low"])
    return top - bottom


def _in_volatilities(name: str, inputs: tuple[str, ...], summary: str) -> Feature:
    return Feature(
        compute=lambda look: look[name] / look["volatility"],
        family="price",
        inputs=inputs,
        context="recursive",
        summary=summary,
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "open": lambda look: look.bars.open,
        "high": lambda look: look.bars.high,
        "low": lambda look: look.bars.low,
        "close": lambda look: look.bars.close,
        "volume": lambda look: look.bars.volume,
        "log_close": lambda look: np.log(look["close"]),
        "log_return": _log_return,
        "squared_return": lambda look: look["log_return"] ** 2,
        "gap": _gap,
        "volatility": _volatility,
        "log_volatility": lambda look: np.log(look["volatility"]),
        "log_range": _log_range,
        "relative_range": lambda look: look["log_range"] - look["log_volatility"],
        "scaled_return": lambda look: look["log_return"] / look["volatility"],
        "body": lambda look: look["log_close"] - np.log(look["open"]),
        "shadow": _shadow,
    }
)

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "return_1": _in_volatilities("log_return", ("close",), "log return of the bar, in volatilities"),
        "range_1": Feature(
            compute=lambda look: look["relative_range"],
            family="price",
            inputs=("high", "low", "close"),
            context="recursive",
            summary="log of high over low, in volatilities",
        ),
        "body_1": _in_volatilities("body", ("open", "close"), "log of close over open, in volatilities"),
        "shadow_1": _in_volatilities(
            "shadow", ("open", "high", "low", "close"), "upper less lower shadow, in volatilities"
        ),
        "gap_1": _in_volatilities(
            "gap", ("open", "close"), "log of open over the close before, in volatilities"
        ),
    }
)
