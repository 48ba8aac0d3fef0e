"""What was said: decayed score, number, disagreement and surprise of a coin's headlines, and the mood of the market.

Sums over headlines fade with a half-life. Every mean also counts one headline that says nothing, so that a single
voice moves it by half, and silence brings it back to 0 instead of holding what was said last.
"""

from types import MappingProxyType

import numpy as np

from longshort.base.clock import DAY
from longshort.data.bars import Gauge
from longshort.features.history import Grid, across
from longshort.features.look import Compute, Context, Feature, Look

HALFLIFE_ROWS = 24.0
LONGER = 7.0  # the second half-life, in first ones
MIN_SPREAD = 0.1  # of scores: below it a surprise would be a matter of rounding
MIN_COUNT = 0.5  # the weight of a headline about the market


def _gauge(name: Gauge) -> Compute:
    return lambda look: np.array(look.bars.gauge(name))


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "said": _gauge("news_count"),
        "said_score": _gauge("news_score"),
        "said_square": _gauge("news_square"),
        "mood_level": _gauge("mood"),
    }
)


def _faded(look: Look, name: str, halflife: float) -> Grid:
    """The sum of a column, each row of which counts half after a half-life; missing where the row is."""
    total = look.ewma(name, halflife) / (1.0 - 0.5 ** (1.0 / halflife))
    return np.where(np.isfinite(look[name]), total, np.nan)


def _mean(halflife: float) -> Compute:
    return lambda look: _faded(look, "said_score", halflife) / (_faded(look, "said", halflife) + 1.0)


def _volume(halflife: float) -> Compute:
    return lambda look: np.log1p(_faded(look, "said", halflife))


def _spread(halflife: float) -> Compute:
    """The standard deviation of scores, in which the headline that says nothing counts too."""

    def compute(look: Look) -> Grid:
        square = _faded(look, "said_square", halflife) / (_faded(look, "said", halflife) + 1.0)
        return np.sqrt(np.maximum(square - _mean(halflife)(look) ** 2, 0.0))

    return compute


def _surprise(look: Look) -> Grid:
    """How far a bar's scores are from the mean before it, in the standard deviation of so many; 0 without any."""
    count = look["said"]
    fresh = look["said_score"] - count * look.lag("news_mean", 1)
    spread = np.maximum(look.lag("news_spread", 1), MIN_SPREAD)
    return fresh / (spread * np.sqrt(np.maximum(count, MIN_COUNT)))


def _mood_change(days: int) -> Compute:
    def compute(look: Look) -> Grid:
        rows = max(1, days * DAY // look.bars.interval.ns)
        return look["mood_level"] - look.lag("mood_level", rows)

    return compute


def _news(compute: Compute, warmup_rows: float, summary: str) -> Feature:
    return Feature(
        compute=compute,
        family="sentiment",
        inputs=("news_count", "news_score", "news_square"),
        warmup_rows=int(np.ceil(warmup_rows)),
        context="recursive",
        needs=("news",),
        optional=True,
        summary=summary,
    )


def _mood(compute: Compute, warmup_rows: int, context: Context, summary: str) -> Feature:
    return Feature(
        compute=compute,
        family="sentiment",
        inputs=("mood",),
        warmup_rows=warmup_rows,
        context=context,
        needs=("mood",),
        optional=True,
        summary=summary,
    )


def features_of_news(halflife_rows: float) -> dict[str, Feature]:
    """The features of headlines with a half-life of the study's, and one seven times as long."""
    short, long = halflife_rows, LONGER * halflife_rows
    return {
        "news_mean": _news(_mean(short), short, "decayed mean score of headlines"),
        "news_mean_long": _news(_mean(long), long, "the same over a longer time"),
        "news_volume": _news(_volume(short), short, "log of the decayed number of headlines"),
        "news_volume_long": _news(_volume(long), long, "the same over a longer time"),
        "news_spread": _news(_spread(short), short, "how much headlines disagree"),
        "news_surprise": _news(_surprise, short + 1, "score of this bar's headlines against the mean before"),
        "market_news_mean": _news(
            lambda look: across(look["news_mean"]), short, "mean over coins of news_mean"
        ),
        "market_news_volume": _news(
            lambda look: across(look["news_volume"]), short, "mean over coins of news_volume"
        ),
    }


TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        **features_of_news(HALFLIFE_ROWS),
        "mood": _mood(lambda look: look["mood_level"], 1, "row", "index of fear and greed, from -1 to 1"),
        "mood_change_1": _mood(_mood_change(1), 25, "window", "its change over a day"),
        "mood_change_7": _mood(_mood_change(7), 169, "window", "its change over seven days"),
    }
)
