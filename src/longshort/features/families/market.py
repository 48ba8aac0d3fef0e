"""What the other coins do, over those that are there at each instant.

A coin without a bar has no say and no rank. A coin that is alone is its own market: beta and correlation 1, no
movement of its own, no dispersion, rank 0 in the middle; so a study of one coin keeps its rows.
"""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid, across
from longshort.features.look import MIN_VOLATILITY, SCALE_ROWS, Compute, Context, Feature, Look

MIN_VARIANCE = MIN_VOLATILITY**2
BETA_ROWS = 168
ROUNDING = 1e-9  # of a variance: what is left of it is no movement
PAIRS = 1 << 20  # pairs of coins compared at once, times rows


def _leader(name: str, mean: str) -> Compute:
    """Bitcoin's column for every coin (the first coin's, where Bitcoin is not among them).

    Where the leader has no bar, the mean over the coins that have one stands in.
    """

    def compute(look: Look) -> Grid:
        symbols = look.bars.symbols
        lead = next((a for a, symbol in enumerate(symbols) if symbol.startswith(("BTC", "XBT"))), 0)
        leading = np.repeat(look[name][:, lead : lead + 1], len(symbols), axis=1)
        return np.where(np.isfinite(leading), leading, look[mean])

    return compute


def rank(values: Grid) -> Grid:
    """The rank among the coins that are there, from -.5 (lowest) to .5; equal ones share the mean of their ranks.

    >>> rank(np.array([[3.0, 1.0, 2.0], [5.0, np.nan, np.nan]])).tolist()
    [[0.5, -0.5, 0.0], [0.0, nan, nan]]
    """
    ranks = np.full(values.shape, np.nan)
    step = max(1, PAIRS // max(1, values.shape[1] ** 2))
    for start in range(0, len(values), step):
        part = values[start : start + step]
        known = np.isfinite(part)
        others = np.maximum(known.sum(axis=1, keepdims=True) - 1, 1)
        below = (part[:, None, :] < part[:, :, None]).sum(axis=2)
        above = (part[:, None, :] > part[:, :, None]).sum(axis=2)
        ranks[start : start + step] = np.where(known, (below - above) / (2.0 * others), np.nan)
    return ranks


def _spread(look: Look) -> Grid:
    """The standard deviation over coins of the return in volatilities."""
    return np.sqrt(across((look["scaled_return"] - look["market_return"]) ** 2))


def _covariance(look: Look) -> Grid:
    product = look.mean("return_times_market", BETA_ROWS)
    return product - look.mean("log_return", BETA_ROWS) * look.mean("market_beside_return", BETA_ROWS)


def _beta(look: Look) -> Grid:
    """The slope of a coin's log return on the mean log return of all."""
    return look["covariance"] / np.maximum(look.std("market_beside_return", BETA_ROWS) ** 2, MIN_VARIANCE)


def _correlation(look: Look) -> Grid:
    spread = look.std("log_return", BETA_ROWS) * look.std("market_beside_return", BETA_ROWS)
    return np.clip(look["covariance"] / np.maximum(spread, MIN_VARIANCE), -1.0, 1.0)


def _own_volatility(look: Look) -> Grid:
    """The volatility that beta leaves over, as a multiple of the EWMA volatility."""
    variance = look.std("log_return", BETA_ROWS) ** 2
    left = variance - look["beta"] * look["covariance"]
    return np.sqrt(np.where(left > ROUNDING * variance, left, 0.0 * left)) / look["volatility"]


def _market(
    compute: Compute,
    inputs: str,
    summary: str,
    warmup_rows: int = SCALE_ROWS,
    *,
    context: Context = "recursive",
    default: bool = True,
) -> Feature:
    return Feature(
        compute=compute,
        family="market",
        inputs=tuple(inputs.split()),
        warmup_rows=warmup_rows,
        context=context,
        default=default,
        summary=summary,
    )


def _factor(rows: int, warmup_rows: int) -> Feature:
    return _market(
        lambda look: look.mean("market_return", rows) * np.sqrt(rows),
        "close",
        f"mean over coins and {rows} bars of return_1, times the root of {rows}",
        warmup_rows,
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "market_range": lambda look: across(look["relative_range"]),
        "market_return": lambda look: across(look["scaled_return"]),
        "market_beside_return": lambda look: np.where(
            np.isfinite(look["log_return"]), across(look["log_return"]), np.nan
        ),
        "return_times_market": lambda look: look["log_return"] * look["market_beside_return"],
        "covariance": _covariance,
        "beta": _beta,
        "spread": _spread,
    }
)

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "market_range_1": _market(
            lambda look: look["market_range"], "high low close", "mean over coins of range_1"
        ),
        "market_range_24": _market(
            lambda look: look.mean("market_range", 24),
            "high low close",
            "mean over coins and 24 bars of range_1",
            44,
        ),
        "market_return_1": _market(
            lambda look: look["market_return"], "close", "mean over coins of return_1"
        ),
        "market_return_6": _factor(6, 29),
        "market_return_24": _factor(24, 44),
        "leader_range_1": _market(
            _leader("relative_range", "market_range"),
            "high low close",
            "range_1 of Bitcoin or the first coin",
        ),
        "leader_return_1": _market(
            _leader("scaled_return", "market_return"), "close", "return_1 of Bitcoin or the first coin"
        ),
        "breadth_1": _market(
            lambda look: across(np.sign(look["log_return"])),
            "close",
            "coins that rose less coins that fell, as a share",
            2,
            context="row",
        ),
        "breadth_24": _market(
            lambda look: across(np.sign(look.mean("log_return", 24))),
            "close",
            "coins that rose over 24 bars less coins that fell, as a share",
            24,
            context="window",
            default=False,
        ),
        "dispersion_1": _market(
            lambda look: look["spread"], "close", "standard deviation over coins of return_1"
        ),
        "dispersion_24": _market(
            lambda look: look.mean("spread", 24), "close", "mean of dispersion_1 over 24 bars", 44
        ),
        "rank_return_1": _market(
            lambda look: rank(look["scaled_return"]), "close", "rank of return_1 among the coins, -.5 to .5"
        ),
        "rank_return_24": _market(
            lambda look: rank(look.mean("log_return", 24) / look["volatility"]),
            "close",
            "rank of the mean return of 24 bars in volatilities among the coins, -.5 to .5",
        ),
        "rank_volume_1": _market(
            lambda look: rank(look["log_volume_change"]),
            "close volume",
            "rank of volume_change among the coins, -.5 to .5",
            2,
            context="window",
        ),
        "beta_168": _market(
            lambda look: look["beta"],
            "close",
            "slope on the mean return of the coins, 168 bars",
            BETA_ROWS,
            context="window",
        ),
        "correlation_168": _market(
            _correlation,
            "close",
            "correlation with the mean return of the coins, 168 bars",
            BETA_ROWS,
            context="window",
        ),
        "own_volatility_168": _market(
            _own_volatility,
            "close",
            "volatility that beta leaves over, over the EWMA volatility",
            BETA_ROWS,
            default=False,
        ),
    }
)
