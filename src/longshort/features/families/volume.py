"""How much was traded, who seems to have been in a hurry, and what it did to the price.

Which side a trade was on is not on record in bars: order flow here is a guess from where they closed. Turnover is
volume in quote currency. Where nothing was traded, flows and distances are 0.
"""

from types import MappingProxyType

import numpy as np
from scipy import special

from longshort.features.history import Grid
from longshort.features.look import MIN_VOLATILITY, SCALE_ROWS, Compute, Context, Feature, Look

MIN_SHARE_OF_PRICE = 1e-5  # a tenth of a basis point: range of a bar that did not move
MIN_VARIATION = 1e-6  # of log turnover: less is rounding


def _log_volume(look: Look) -> Grid:
    return np.log(np.maximum(look["volume"], 0.0) * look["close"] + 1.0)


def _close_location(look: Look) -> Grid:
    """Where the bar closed between its low (-1) and its high (1)."""
    moved = np.maximum(look["high"] - look["low"], MIN_SHARE_OF_PRICE * look["close"])
    return (2.0 * look["close"] - look["high"] - look["low"]) / moved


def _bought(look: Look) -> Grid:
    """Turnover bought less sold, by the bulk volume classification of Easley, Lopez de Prado and O'Hara (2012)."""
    return (2.0 * special.ndtr(look["scaled_return"]) - 1.0) * look["turnover"]


def _paired(name: str, other: str) -> Compute:
    """A column on the rows where the other is there too."""
    return lambda look: np.where(np.isfinite(look[other]), look[name], np.nan)


def share_of(look: Look, part: str, whole: str, rows: int) -> Grid:
    """The sum of one column over that of another which bounds it; 0 where there is nothing to share."""
    total = look.total(whole, rows)
    return np.clip(look.total(part, rows) / np.where(total == 0.0, 1.0, total), -1.0, 1.0)


def _illiquidity(look: Look, rows: int) -> Grid:
    """Log of Amihud (2002): absolute return per turnover, sums over the window, so that idle bars do no harm."""
    moved = np.maximum(look.total("absolute_return", rows) / rows, MIN_VOLATILITY)
    return np.log(moved) - np.log(look.total("turnover", rows) / rows + 1.0)


def _from_average_price(rows: int) -> Compute:
    """Distance of the close from the volume-weighted average of typical prices."""

    def compute(look: Look) -> Grid:
        volume = look.total("volume", rows)
        average = look.total("money", rows) / np.where(volume == 0.0, np.nan, volume)
        distance = np.where(volume == 0.0, 0.0, look["log_close"] - np.log(average))
        return distance / (look["volatility"] * np.sqrt(rows))

    return compute


def _correlation(look: Look) -> Grid:
    """Of returns with changes of turnover, over a week of hours."""
    product = look.mean("return_times_volume", 168)
    covariance = product - look.mean("return_beside_volume", 168) * look.mean("volume_beside_return", 168)
    spread = look.std("return_beside_volume", 168) * look.std("volume_beside_return", 168)
    return np.clip(covariance / np.maximum(spread, MIN_VARIATION), -1.0, 1.0)


def _score(look: Look) -> Grid:
    deviation = look["log_volume"] - look.mean("log_volume", 168)
    return deviation / np.maximum(look.std("log_volume", 168), MIN_VARIATION)


def _feature(
    compute: Compute, inputs: str, warmup_rows: int, summary: str, context: Context, *, default: bool = True
) -> Feature:
    return Feature(
        compute=compute,
        family="volume",
        inputs=tuple(inputs.split()),
        warmup_rows=warmup_rows,
        context=context,
        default=default,
        summary=summary,
    )


def _volume(rows: int) -> Feature:
    return _feature(
        lambda look: look["log_volume"] - look.mean("log_volume", rows),
        "volume close",
        rows,
        f"log turnover over its mean of {rows} bars",
        "window",
    )


def _flow(rows: int, warmup_rows: int) -> Feature:
    return _feature(
        lambda look: share_of(look, "bought", "turnover", rows),
        "close volume",
        warmup_rows,
        f"turnover bought less sold by the sizes of returns, as a share of {rows} bars",
        "recursive",
        default=False,
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "log_volume": _log_volume,
        "turnover": lambda look: look["volume"] * look["close"],
        "typical": lambda look: (look["high"] + look["low"] + look["close"]) / 3.0,
        "money": lambda look: look["typical"] * look["volume"],
        "close_location": _close_location,
        "located_turnover": lambda look: look["close_location"] * look["turnover"],
        "bought": _bought,
        "absolute_return": lambda look: np.abs(look["log_return"]),
        "log_volume_change": lambda look: look["log_volume"] - look.lag("log_volume", 1),
        "return_beside_volume": _paired("scaled_return", "log_volume_change"),
        "volume_beside_return": _paired("log_volume_change", "scaled_return"),
        "return_times_volume": lambda look: look["scaled_return"] * look["log_volume_change"],
    }
)

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "volume_change": _feature(
            lambda look: look["log_volume_change"],
            "volume close",
            2,
            "log turnover over that of the bar before",
            "window",
        ),
        **{f"volume_{rows}": _volume(rows) for rows in (24, 168)},
        "volume_score_168": _feature(
            _score,
            "volume close",
            168,
            "log turnover in standard deviations from its mean of 168 bars",
            "window",
            default=False,
        ),
        "close_location_1": _feature(
            lambda look: look["close_location"],
            "high low close",
            1,
            "where the bar closed in its range",
            "row",
        ),
        "accumulation_24": _feature(
            lambda look: share_of(look, "located_turnover", "turnover", 24),
            "high low close volume",
            24,
            "Chaikin money flow: close locations of 24 bars weighted by turnover",
            "window",
        ),
        "flow_6": _flow(6, 29),
        "flow_24": _flow(24, 44),
        "illiquidity_24": _feature(
            lambda look: _illiquidity(look, 24) - _illiquidity(look, 168),
            "close volume",
            168,
            "log absolute return per turnover of 24 bars over that of 168",
            "window",
        ),
        **{
            f"from_average_price_{rows}": _feature(
                _from_average_price(rows),
                "high low close volume",
                max(rows, SCALE_ROWS),
                f"distance of the close from the volume-weighted price of {rows} bars, in volatilities",
                "recursive",
                default=False,
            )
            for rows in (24, 168)
        },
        "return_volume_168": _feature(
            _correlation,
            "close volume",
            168,
            "correlation of returns and changes of turnover over 168 bars",
            "recursive",
        ),
    }
)
