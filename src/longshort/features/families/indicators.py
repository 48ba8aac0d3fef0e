"""The classic indicators without a unit: of log prices, distances in volatilities, oscillators in [-1, 1] or so.

A coin that does not move has 0 everywhere. What remembers only its window is an operator over rows; what smooths as
Wilder did comes from TA-Lib, which counts the bars that are there and has settled to 1e-6 within 512 of them.
"""

from types import MappingProxyType

import numpy as np
import talib
from jaxtyping import Float64

from longshort.features.families.volume import share_of
from longshort.features.history import Grid
from longshort.features.look import MIN_VOLATILITY, SCALE_ROWS, Compute, Context, Feature, Look

Series = Float64[np.ndarray, " time"]
Columns = dict[str, Series]

BAND_ROWS, STOCHASTIC_ROWS = 20, 14
PRICES = ("log_high", "log_low", "log_close")


def _of_closes(columns: Columns) -> Columns:
    """What smooths log closes.

    TA-Lib's CMO has Wilder's smoothing, unlike Chande's: it is RSI / 50 - 1, and 0 instead of -1 where nothing moved.
    """
    level = columns["log_close"]
    return {"rsi": talib.CMO(level, 14) / 100.0, "macd": talib.MACD(level, 12, 26, 9)[2]}


def _of_ranges(columns: Columns) -> Columns:
    """What smooths true ranges and directional movements."""
    high, low, close = _prices(columns)
    balance = talib.PLUS_DI(high, low, close, 14) - talib.MINUS_DI(high, low, close, 14)
    return {
        "atr": talib.ATR(high, low, close, 14),
        "adx": talib.ADX(high, low, close, 14) / 100.0,
        "directional": balance / 100.0,
    }


def _of_extremes(columns: Columns) -> Columns:
    return {"aroon": talib.AROONOSC(columns["log_high"], columns["log_low"], 25) / 100.0}


def _of_deviations(columns: Columns) -> Columns:
    high, low, close = _prices(columns)
    return {"cci": talib.CCI(high, low, close, 20) / 100.0}


def _prices(columns: Columns) -> tuple[Series, Series, Series]:
    return columns["log_high"], columns["log_low"], columns["log_close"]


def _closes(look: Look, name: str) -> Grid:
    return look.windowed("closes", _of_closes, ("log_close",))[name]


def _ranges(look: Look, name: str) -> Grid:
    return look.windowed("ranges", _of_ranges, PRICES)[name]


def _aroon(look: Look) -> Grid:
    return look.windowed("extremes", _of_extremes, ("log_high", "log_low"))["aroon"]


def _cci(look: Look) -> Grid:
    return look.windowed("deviations", _of_deviations, PRICES)["cci"]


def _log_ratio(look: Look, movement: Grid) -> Grid:
    return np.log(np.maximum(movement, MIN_VOLATILITY)) - look["log_volatility"]


def _band(look: Look) -> Grid:
    distance = look["log_close"] - look.mean("log_close", BAND_ROWS)
    return distance / np.maximum(2.0 * look.std("log_close", BAND_ROWS), MIN_VOLATILITY)


def _stochastic(look: Look) -> Grid:
    """Where the close lies between the extremes of the last rows: -1 at the low, 1 at the high."""
    top, bottom = look.maximum("log_high", STOCHASTIC_ROWS), look.minimum("log_low", STOCHASTIC_ROWS)
    return (2.0 * look["log_close"] - top - bottom) / np.maximum(top - bottom, MIN_VOLATILITY)


def _money_flow(look: Look) -> Grid:
    """Typical price times volume, with the sign of the typical price's change."""
    return np.sign(look["typical"] - look.lag("typical", 1)) * look["typical"] * look["volume"]


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "stochastic": _stochastic,
        "slow_stochastic": lambda look: look.mean("stochastic", 3),
        "money_flow": _money_flow,
        "signed_volume": lambda look: np.sign(look["log_return"]) * look["volume"],
    }
)


def _from_mean(rows: int, *, default: bool) -> Feature:
    def compute(look: Look) -> Grid:
        return (look["log_close"] - look.mean("log_close", rows)) / (look["volatility"] * np.sqrt(rows))

    summary = f"distance of the close from its mean of {rows} bars, in volatilities of so many bars"
    return _feature(compute, "close", max(rows, SCALE_ROWS), summary, context="recursive", default=default)


def _feature(
    compute: Compute,
    inputs: str,
    warmup_rows: int,
    summary: str,
    *,
    context: Context = "restarted",
    default: bool = True,
) -> Feature:
    return Feature(
        compute=compute,
        family="indicators",
        inputs=tuple(inputs.split()),
        warmup_rows=warmup_rows,
        context=context,
        default=default,
        summary=summary,
    )


TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "rsi_14": _feature(
            lambda look: _closes(look, "rsi"), "close", 15, "RSI of 14 bars, 50 at 0, 100 at 1"
        ),
        "macd": _feature(
            lambda look: _closes(look, "macd") / look["volatility"],
            "close",
            34,
            "MACD histogram (12, 26, 9) of log closes, in volatilities",
        ),
        "band_20": _feature(
            _band,
            "close",
            BAND_ROWS,
            "where the close lies in the Bollinger bands of 20 log closes: 1 at the upper",
            context="window",
        ),
        "bandwidth_20": _feature(
            lambda look: _log_ratio(look, look.std("log_close", BAND_ROWS)),
            "close",
            SCALE_ROWS,
            "log of the standard deviation of 20 log closes over the volatility",
            context="recursive",
        ),
        "atr_14": _feature(
            lambda look: _log_ratio(look, _ranges(look, "atr")),
            "high low close",
            SCALE_ROWS,
            "log of the average true range of 14 bars over the volatility",
            default=False,
        ),
        "adx_14": _feature(
            lambda look: _ranges(look, "adx"), "high low close", 28, "ADX of 14 bars, 100 at 1"
        ),
        "directional_14": _feature(
            lambda look: _ranges(look, "directional"),
            "high low close",
            15,
            "+DI less -DI of 14 bars, 100 at 1",
            default=False,
        ),
        "stochastic_k_14": _feature(
            lambda look: look["slow_stochastic"],
            "high low close",
            STOCHASTIC_ROWS + 2,
            "slow stochastic of 14 bars: -1 at their low, 1 at their high",
            context="window",
        ),
        "stochastic_d_14": _feature(
            lambda look: look.mean("slow_stochastic", 3),
            "high low close",
            STOCHASTIC_ROWS + 4,
            "mean of three slow stochastics",
            context="window",
            default=False,
        ),
        "cci_20": _feature(
            _cci, "high low close", 20, "commodity channel index of 20 bars, 100 at 1", default=False
        ),
        "aroon_25": _feature(
            _aroon, "high low", 26, "Aroon oscillator: 1 with a new high and an old low", default=False
        ),
        "mfi_14": _feature(
            lambda look: share_of(look, "money_flow", "money", 14),
            "high low close volume",
            14,
            "money flow index of 14 bars, 50 at 0, 100 at 1",
            context="window",
            default=False,
        ),
        "obv_24": _feature(
            lambda look: share_of(look, "signed_volume", "volume", 24),
            "close volume",
            24,
            "change of the on-balance volume as a share of the volume of 24 bars",
            context="window",
        ),
        "from_mean_50": _from_mean(50, default=False),
        "from_mean_200": _from_mean(200, default=True),
    }
)
