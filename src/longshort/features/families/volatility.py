"""How much prices moved, by every estimator that four prices allow, against the EWMA volatility.

Realised volatilities are log ratios to the EWMA volatility per bar: near 0 where both agree, and 0 for a coin that
does not move. What is a share of the variance is 0 where there is none.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid
from longshort.features.look import MIN_VOLATILITY, SCALE_ROWS, Compute, Feature, Look

MIN_VARIANCE = MIN_VOLATILITY**2
QUARTER_OVER_LOG_2 = 1.0 / (4.0 * np.log(2.0))
BODY_WEIGHT = 2.0 * np.log(2.0) - 1.0
YANG_ZHANG = 0.34  # the paper's choice, which makes the estimate least noisy


def _parkinson(look: Look) -> Grid:
    """Parkinson (1980): the squared log range over 4 log 2."""
    return QUARTER_OVER_LOG_2 * look["high_low"] ** 2


def _garman_klass(look: Look) -> Grid:
    """Garman and Klass (1980), the practical estimator: half the squared range less .386 of the squared body."""
    return 0.5 * look["high_low"] ** 2 - BODY_WEIGHT * look["body"] ** 2


def _rogers_satchell(look: Look) -> Grid:
    """Rogers and Satchell (1991), indifferent to a drift within the bar."""
    high, low, opened, close = (look[f"log_{name}"] for name in ("high", "low", "open", "close"))
    return (high - close) * (high - opened) + (low - close) * (low - opened)


def _log_ratio(look: Look, variance: Grid) -> Grid:
    return np.log(np.maximum(np.sqrt(np.maximum(variance, 0.0)), MIN_VOLATILITY)) - look["log_volatility"]


def _mean_square(rows: int) -> Compute:
    return lambda look: np.maximum(look.mean("squared_return", rows), MIN_VARIANCE)


def _beside_lagged(look: Look, rows: int) -> Grid:
    """The mean square of returns and that of those before them: a jump that has left one has not left the other."""
    return np.sqrt(look[f"mean_square_{rows}"] * look.lag(f"mean_square_{rows}", 1))


def _realised(column: str) -> Callable[[int], Compute]:
    return lambda rows: lambda look: _log_ratio(look, look.mean(column, rows))


def _yang_zhang(rows: int) -> Compute:
    """Yang and Zhang (2000): the variance of gaps, and that of bodies weighted with Rogers and Satchell's."""
    weight = YANG_ZHANG / (1.0 + YANG_ZHANG + (rows + 1.0) / (rows - 1.0))
    unbiased = rows / (rows - 1.0)

    def compute(look: Look) -> Grid:
        between = unbiased * look.std("gap", rows) ** 2
        body = unbiased * look.std("body", rows) ** 2
        within = weight * body + (1.0 - weight) * look.mean("rogers_satchell", rows)
        return _log_ratio(look, between + within)

    return compute


def _jump(rows: int) -> Compute:
    """What the bipower variation of Barndorff-Nielsen and Shephard (2004) leaves of the variance, as a share of it."""

    def compute(look: Look) -> Grid:
        return 1.0 - np.maximum(look.mean("bipower", rows), MIN_VARIANCE) / _beside_lagged(look, rows)

    return compute


def _asymmetry(rows: int) -> Compute:
    """Upside less downside semivariance as a share of both: Barndorff-Nielsen, Kinnebrock, Shephard (2010)."""
    return lambda look: look.mean("signed_square", rows) / look[f"mean_square_{rows}"]


def _autocorrelation(rows: int) -> Compute:
    """Of a return with the one before it, about zero."""
    return lambda look: np.clip(look.mean("lagged_product", rows) / _beside_lagged(look, rows), -1.0, 1.0)


def _skew(rows: int) -> Compute:
    """Realised skewness of Amaya, Christoffersen, Jacobs, Vasquez (2015), per bar: without its root of rows."""
    return lambda look: look.mean("cubed_return", rows) / look[f"mean_square_{rows}"] ** 1.5


def _of_range(rows: int) -> Feature:
    return Feature(
        compute=lambda look: look.std("log_range", rows),
        family="volatility",
        inputs=("high", "low"),
        warmup_rows=rows,
        summary=f"volatility of volatility: standard deviation of the log range over {rows} bars",
    )


def _spans(
    name: str, compute: Callable[[int], Compute], *, inputs: str, default: Collection[int] = ()
) -> Mapping[str, Feature]:
    return {
        f"{name}_{rows}": Feature(
            compute=compute(rows),
            family="volatility",
            inputs=tuple(inputs.split()),
            warmup_rows=max(rows, SCALE_ROWS),
            context="recursive",
            default=rows in default,
            summary=f"log of {name.replace('_', '-')} volatility over {rows} bars, against the EWMA volatility",
        )
        for rows in (6, 24, 168)
    }


def _shape(
    compute: Compute, rows: int, summary: str, *, warmup_rows: int = 0, default: bool = True
) -> Feature:
    return Feature(
        compute=compute,
        family="volatility",
        inputs=("close",),
        warmup_rows=warmup_rows or rows,
        default=default,
        summary=f"{summary}, over {rows} bars",
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "log_open": lambda look: np.log(look["open"]),
        "log_high": lambda look: np.log(look["high"]),
        "log_low": lambda look: np.log(look["low"]),
        "high_low": lambda look: look["log_high"] - look["log_low"],
        "signed_square": lambda look: look["log_return"] * np.abs(look["log_return"]),
        "cubed_return": lambda look: look["log_return"] ** 3,
        "parkinson": _parkinson,
        "garman_klass": _garman_klass,
        "rogers_satchell": _rogers_satchell,
        "lagged_product": lambda look: look["log_return"] * look.lag("log_return", 1),
        "bipower": lambda look: np.pi / 2.0 * np.abs(look["lagged_product"]),
        **{f"mean_square_{rows}": _mean_square(rows) for rows in (24, 168)},
    }
)

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        **_spans("realised", _realised("squared_return"), inputs="close", default=(6, 24, 168)),
        **_spans("parkinson", _realised("parkinson"), inputs="high low"),
        **_spans("garman_klass", _realised("garman_klass"), inputs="open high low close", default=(24,)),
        **_spans("rogers_satchell", _realised("rogers_satchell"), inputs="open high low close"),
        **_spans("yang_zhang", _yang_zhang, inputs="open high low close"),
        "jump_24": _shape(_jump(24), 24, "the share of variance in jumps", warmup_rows=25),
        "asymmetry_24": _shape(
            _asymmetry(24), 24, "upside less downside variance, as a share", default=False
        ),
        "asymmetry_168": _shape(_asymmetry(168), 168, "upside less downside variance, as a share"),
        "autocorrelation_24": _shape(_autocorrelation(24), 24, "autocorrelation of returns", warmup_rows=25),
        "autocorrelation_168": _shape(
            _autocorrelation(168), 168, "autocorrelation of returns", warmup_rows=169
        ),
        "skew_168": _shape(_skew(168), 168, "realised skewness", default=False),
        "volatility_of_range_24": _of_range(24),
        "volatility_of_range_168": _of_range(168),
    }
)
