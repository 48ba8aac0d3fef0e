"""The classic indicators without a unit: of log prices, distances in volatilities, oscillators in [-1, 1] or so.

A coin that does not move has 0 everywhere. Smoothings count from the first bar: they agree with TA-Lib's to 1e-6 once
its own first values are forgotten, and cost one step per bar. The last two ask TA-Lib itself, which counts bars that
are there in windows of 512 to 1,024 rows.
"""

from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from longshort.features.families.volume import share_of
from longshort.features.history import Grid
from longshort.features.look import MIN_VOLATILITY, SCALE_ROWS, Compute, Context, Feature, Look

Series = Float64[np.ndarray, " time"]
Columns = dict[str, Series]

BAND_ROWS, STOCHASTIC_ROWS = 20, 14
PRICES = ("log_high", "log_low", "log_close")


def _halflife(weight: float) -> float:
    """In rows, of an average that gives the newest row this weight."""
    return float(np.log(0.5) / np.log(1.0 - weight))


WILDER_14 = _halflife(1.0 / 14.0)
FAST, SLOW, SIGNAL = (_halflife(2.0 / (rows + 1.0)) for rows in (12, 26, 9))


def _true_range(look: Look) -> Grid:
    """Of log prices: from the close before, where that is further away."""
    before = look.lag("log_close", 1)
    return np.maximum(look["log_high"], before) - np.minimum(look["log_low"], before)


def _rise(look: Look) -> Grid:
    return look["log_high"] - look.lag("log_high", 1)


def _fall(look: Look) -> Grid:
    return look.lag("log_low", 1) - look["log_low"]


def _movement(name: str, other: str) -> Compute:
    """Wilder's directional movement (1978): the further of two new extremes, the other one 0."""
    return lambda look: np.where(look[name] > look[other], np.maximum(look[name], 0.0), 0.0 * look[other])


def _balance(look: Look) -> Grid:
    return look.ewma("upward", WILDER_14) - look.ewma("downward", WILDER_14)


def _directional_index(look: Look) -> Grid:
    both = look.ewma("upward", WILDER_14) + look.ewma("downward", WILDER_14)
    return np.abs(look["directional_balance"]) / np.maximum(both, MIN_VOLATILITY)


def _rsi(look: Look) -> Grid:
    """(RSI - 50) / 50: gains less losses over gains plus losses."""
    return look.ewma("log_return", WILDER_14) / np.maximum(
        look.ewma("absolute_return", WILDER_14), MIN_VOLATILITY
    )


def _macd(look: Look) -> Grid:
    return (look["macd_line"] - look.ewma("macd_line", SIGNAL)) / look["volatility"]


def _directional(look: Look) -> Grid:
    return look["directional_balance"] / np.maximum(look.ewma("true_range", WILDER_14), MIN_VOLATILITY)


def _aroon(columns: Columns) -> Columns:
    import talib

    return {"aroon": talib.AROONOSC(columns["log_high"], columns["log_low"], 25) / 100.0}


def _cci(columns: Columns) -> Columns:
    import talib

    high, low, close = (columns[name] for name in PRICES)
    return {"cci": talib.CCI(high, low, close, 20) / 100.0}


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
        "true_range": _true_range,
        "rise": _rise,
        "fall": _fall,
        "upward": _movement("rise", "fall"),
        "downward": _movement("fall", "rise"),
        "directional_balance": _balance,
        "directional_index": _directional_index,
        "macd_line": lambda look: look.ewma("log_close", FAST) - look.ewma("log_close", SLOW),
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
    return _feature(compute, "close", max(rows, SCALE_ROWS), summary, default=default)


def _feature(
    compute: Compute,
    inputs: str,
    warmup_rows: int,
    summary: str,
    *,
    context: Context = "recursive",
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
        "rsi_14": _feature(_rsi, "close", 11, "RSI of 14 bars, 50 at 0, 100 at 1"),
        "macd": _feature(
            _macd,
            "close",
            SCALE_ROWS,
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
        ),
        "atr_14": _feature(
            lambda look: _log_ratio(look, look.ewma("true_range", WILDER_14)),
            "high low close",
            SCALE_ROWS,
            "log of the average true range of 14 bars over the volatility",
            default=False,
        ),
        "adx_14": _feature(
            lambda look: look.ewma("directional_index", WILDER_14),
            "high low close",
            20,
            "ADX of 14 bars, 100 at 1",
        ),
        "directional_14": _feature(
            _directional,
            "high low close",
            11,
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
            lambda look: look.windowed("cci", _cci, PRICES)["cci"],
            "high low close",
            20,
            "commodity channel index of 20 bars, 100 at 1",
            context="restarted",
            default=False,
        ),
        "aroon_25": _feature(
            lambda look: look.windowed("aroon", _aroon, PRICES)["aroon"],
            "high low",
            26,
            "Aroon oscillator of 25 bars: 1 with a new high and an old low",
            context="restarted",
            default=False,
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
