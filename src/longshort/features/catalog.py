"""The catalog of features: what was knowable at the close of each bar.

Every entry is an expression over the columns of a `Look`, row t of which uses rows ..t only. Adding an entry adds its
tests. Volatility units mean: divided by the causal EWMA volatility per bar.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from longshort.base.clock import DAY, HOUR
from longshort.data.bars import Bars
from longshort.features.history import Grid, History, across

MIN_RANGE = 1e-5  # a tenth of a basis point: log range of a bar that did not move
MIN_VOLATILITY = 1e-5  # per bar; keeps a dead market from dividing by zero
SCALE_ROWS = 25  # the EWMA volatility stands after 24 returns
PARKINSON = 2.0 * np.sqrt(np.log(2.0))  # log range over this is a volatility: Parkinson (1980)


class Look:
    """One stretch of bars seen through the history before it; columns are computed once and kept."""

    def __init__(self, bars: Bars, history: History, halflife_rows: float) -> None:
        self.bars = bars
        self.history = history
        self.halflife_rows = halflife_rows
        self._columns: dict[str, Grid] = {}

    def __getitem__(self, name: str) -> Grid:
        """A base column by name."""
        if name not in self._columns:
            self._columns[name] = BASE[name](self)
        return self._columns[name]

    def mean(self, name: str, rows: int) -> Grid:
        """The mean of a base column over the last rows."""
        key = f"mean {name} {rows}"
        if key not in self._columns:
            self._columns[key] = self.history.mean(name, self[name], rows)
        return self._columns[key]


def _log_return(look: Look) -> Grid:
    log_close = np.log(look.bars.close)
    return log_close - look.history.lag("log_close", log_close, 1)


def _gap(look: Look) -> Grid:
    return np.log(look.bars.open) - look.history.lag("gap_close", np.log(look.bars.close), 1)


def _volatility(look: Look) -> Grid:
    variance = look.history.ewma("squared_return", look["log_return"] ** 2, look.halflife_rows)
    return np.maximum(np.sqrt(variance), MIN_VOLATILITY)


def _expanding(look: Look) -> Grid:
    variance = look.history.expanding_mean("squared_return", look["log_return"] ** 2, 48)
    return np.log(np.maximum(np.sqrt(variance), MIN_VOLATILITY))


def _log_range(look: Look) -> Grid:
    moved = np.log(look.bars.high) - np.log(look.bars.low)
    return np.log(np.maximum(moved, MIN_RANGE) / PARKINSON)


def _log_volume(look: Look) -> Grid:
    return np.log(np.maximum(look.bars.volume, 0.0) * look.bars.close + 1.0)


def _body(look: Look) -> Grid:
    return np.log(look.bars.close) - np.log(look.bars.open)


def _shadow(look: Look) -> Grid:
    top = np.log(look.bars.high) - np.log(np.maximum(look.bars.open, look.bars.close))
    bottom = np.log(np.minimum(look.bars.open, look.bars.close)) - np.log(look.bars.low)
    return top - bottom


def _funding(look: Look) -> Grid:
    settled = look.history.last_known("funding", look.bars.funding_rate)
    return np.where(look.bars.funding_covered, settled, np.nan)


def _opening(period: int, unit: int, offset: int = 0) -> Callable[[Look], Grid]:
    """Where in a period the *coming* bar falls: it opens at this close."""

    def compute(look: Look) -> Grid:
        position = (look.bars.closed_at // unit + offset) % period
        return np.repeat(position[:, None].astype(np.float64), len(look.bars.symbols), axis=1)

    return compute


BASE: MappingProxyType[str, Callable[[Look], Grid]] = MappingProxyType(
    {
        "log_return": _log_return,
        "gap": _gap,
        "volatility": _volatility,
        "log_volatility": lambda look: np.log(look["volatility"]),
        "log_expanding_volatility": _expanding,
        "log_range": _log_range,
        "relative_range": lambda look: look["log_range"] - look["log_volatility"],
        "scaled_return": lambda look: look["log_return"] / look["volatility"],
        "market_range": lambda look: across(look["relative_range"]),
        "log_volume": _log_volume,
        "body": _body,
        "shadow": _shadow,
        "funding": _funding,
        "hour": _opening(24, HOUR),
        "weekday": _opening(7, DAY, offset=3),  # 1970-01-01 was a Thursday
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column: how to compute it, the family it belongs to, and at which row of a complete series it first stands.

    Warm-ups hold for the default half-life of the volatility. `funded` features need a funding record; the
    default set leaves them out where a coin has none.
    """

    compute: Callable[[Look], Grid]
    family: str
    warmup_rows: int = SCALE_ROWS
    default: bool = True
    funded: bool = False


def _span(rows: int) -> Feature:
    return Feature(
        compute=lambda look: look.mean("log_range", rows) - look["log_volatility"],
        family="range",
        warmup_rows=max(rows, SCALE_ROWS),
    )


def _momentum(rows: int) -> Feature:
    return Feature(
        compute=lambda look: look.mean("log_return", rows) * np.sqrt(rows) / look["volatility"],
        family="momentum",
        warmup_rows=max(rows, SCALE_ROWS),
    )


def _volume(rows: int) -> Feature:
    return Feature(
        compute=lambda look: look["log_volume"] - look.mean("log_volume", rows),
        family="volume",
        warmup_rows=rows,
    )


def _leader(name: str) -> Callable[[Look], Grid]:
    """Bitcoin's column for every coin (the first coin's, where Bitcoin is not among them).

    Where the leader has no bar, the mean over the coins that have one stands in.
    """

    def compute(look: Look) -> Grid:
        symbols = look.bars.symbols
        lead = next((a for a, symbol in enumerate(symbols) if symbol.startswith(("BTC", "XBT"))), 0)
        leading = np.repeat(look[name][:, lead : lead + 1], len(symbols), axis=1)
        return np.where(np.isfinite(leading), leading, across(look[name]))

    return compute


def _calendar(column: str, position: int) -> Feature:
    """One where the coming bar falls on a position of the day or week, else zero."""
    return Feature(
        compute=lambda look: np.equal(look[column], position).astype(np.float64),
        family="calendar",
        warmup_rows=1,
    )


FEATURES: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "return_1": Feature(compute=lambda look: look["scaled_return"], family="price"),
        "range_1": Feature(compute=lambda look: look["relative_range"], family="price"),
        "body_1": Feature(compute=lambda look: look["body"] / look["volatility"], family="price"),
        "shadow_1": Feature(compute=lambda look: look["shadow"] / look["volatility"], family="price"),
        "gap_1": Feature(compute=lambda look: look["gap"] / look["volatility"], family="price"),
        **{f"range_{rows}": _span(rows) for rows in (6, 24, 168, 720)},
        **{f"momentum_{rows}": _momentum(rows) for rows in (6, 24, 168)},
        "volume_change": Feature(
            compute=lambda look: look["log_volume"] - look.history.lag("log_volume", look["log_volume"], 1),
            family="volume",
            warmup_rows=2,
        ),
        **{f"volume_{rows}": _volume(rows) for rows in (24, 168)},
        "market_range_1": Feature(compute=lambda look: look["market_range"], family="market"),
        "market_range_24": Feature(
            compute=lambda look: look.mean("market_range", 24), family="market", warmup_rows=44
        ),
        "market_return_1": Feature(compute=lambda look: across(look["scaled_return"]), family="market"),
        "leader_range_1": Feature(compute=_leader("relative_range"), family="market"),
        "leader_return_1": Feature(compute=_leader("scaled_return"), family="market"),
        "funding_last": Feature(
            compute=lambda look: look["funding"] / look["volatility"], family="funding", funded=True
        ),
        "funding_72": Feature(
            compute=lambda look: look.mean("funding", 72) / look["volatility"],
            family="funding",
            warmup_rows=72,
            funded=True,
        ),
        **{f"hour_{hour:02d}": _calendar("hour", hour) for hour in range(24)},
        **{f"weekday_{day}": _calendar("weekday", day) for day in range(7)},
        "log_volatility": Feature(compute=lambda look: look["log_volatility"], family="level", default=False),
        "log_expanding_volatility": Feature(
            compute=lambda look: look["log_expanding_volatility"],
            family="level",
            warmup_rows=49,
            default=False,
        ),
    }
)


def default_names(bars: Bars) -> tuple[str, ...]:
    """The default set for these bars: funding features only where every coin has a funding record."""
    funded = bool(bars.funding_covered.any(axis=0).all()) and all(i.has_funding for i in bars.instruments)
    return tuple(name for name, f in FEATURES.items() if f.default and (funded or not f.funded))
