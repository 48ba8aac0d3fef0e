"""Headlines and indices become gauges of bars: each goes to the first bar that closed once it could be used.

An item may be used from `max(known_at, published_at + delay)` on. What is known later never changes an earlier bar: a
live bar's gauges are those of the same function on the items known by its close.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from longshort.base.clock import DAY
from longshort.base.errors import DataError
from longshort.data.bars import Bars, Gauge, Grid
from longshort.data.news.items import MILLISECOND
from longshort.features.sentiment.coins import coin_weights
from longshort.features.sentiment.score import Scorer

SAME_STORY = 3 * DAY  # a text that was there in the days before is no news, whoever brings it
RECORD_SILENCE = 7 * DAY  # when nothing at all came for so long, nobody was listening: unknown, not quiet
MOOD_HELD = 2 * DAY  # how long an index of a day stands after that day, so that one missing day is bridged
MOOD_MIDDLE = 50.0  # indices run from 0 (fear) to 100 (greed)

_AVAILABLE = "available_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the lake's rows say once it is settled from when on each may be used (int64 nanoseconds), in that order.

    `heard_at` are the instants of all texts, edits and repetitions included: they tell that somebody was listening.
    """

    headline_at: Int64[np.ndarray, " headline"]
    texts: tuple[str, ...]
    heard_at: Int64[np.ndarray, " text"]
    mood_at: Int64[np.ndarray, " figure"]
    mood_until: Int64[np.ndarray, " figure"]
    mood: Float64[np.ndarray, " figure"]

    @classmethod
    def of(cls, news: pl.DataFrame, *, delay: int = 0) -> "Record":
        """Settle the rows of `read_news`; raise `DataError` where an index is not one from 0 to 100.

        Of an item that was edited the first wording counts, and of a text that several sources bring, or one again
        and again, the first within three days.
        """
        ordered = _available(news, delay)
        texts = ordered.filter(pl.col("text") != "")
        stories = _stories(texts)
        mood = _moods(ordered.filter((pl.col("text") == "") & pl.col("value").is_not_null()))
        until = mood["day"].to_numpy() + max(delay, DAY) + MOOD_HELD
        return cls(
            headline_at=stories[_AVAILABLE].to_numpy(),
            texts=tuple(stories["text"]),
            heard_at=texts[_AVAILABLE].to_numpy(),
            mood_at=mood[_AVAILABLE].to_numpy(),
            mood_until=until.astype(np.int64),
            mood=mood["value"].to_numpy() / MOOD_MIDDLE - 1.0,
        )


def news_gauges(record: Record, bars: Bars, scorer: Scorer | None) -> dict[Gauge, Grid]:
    """What was said in each bar, by coin, and the mood at its close; only headlines of these bars are scored.

    `news_count` adds up the weights of the headlines that could first be used in the bar, `news_score` their scores,
    `news_square` the squares; all are 0 where nothing was said and NaN where nobody listened: before the first headline
    of the record, and after a week without any. `mood` is the last index from -1 to 1, NaN once it is out of date.
    """
    row = np.searchsorted(bars.closed_at, record.headline_at, side="left")
    inside = (row < len(bars)) & (record.headline_at > _before(bars))
    texts = [record.texts[k] for k in np.flatnonzero(inside)]
    assert scorer is not None or not texts, "headlines without a scorer"
    scores = scorer.score(texts) if scorer and texts else np.zeros(0)
    weights = coin_weights(texts, [i.base for i in bars.instruments])
    unheard = ~_heard(record.heard_at, bars.closed_at)
    parts: Mapping[Gauge, np.ndarray] = {
        "news_count": np.ones_like(scores),
        "news_score": scores,
        "news_square": scores**2,
    }
    gauges: dict[Gauge, Grid] = {}
    for name, part in parts.items():
        gauges[name] = np.zeros(bars.close.shape)
        np.add.at(gauges[name], row[inside], weights * part[:, None])
        gauges[name][unheard] = np.nan
    gauges["mood"] = np.repeat(_mood(record, bars)[:, None], len(bars.instruments), axis=1)
    return gauges


def _available(news: pl.DataFrame, delay: int) -> pl.DataFrame:
    known, published = (pl.col(name).dt.epoch("ms") * MILLISECOND for name in ("known_at", "published_at"))
    return news.with_columns(
        pl.max_horizontal(known, published + delay).alias(_AVAILABLE),
        published.fill_null(known).alias("day"),
    ).sort(_AVAILABLE, "known_at", "source", "id", maintain_order=True)


def _stories(texts: pl.DataFrame) -> pl.DataFrame:
    """First wordings that nobody had brought in the days before, whatever their case and punctuation."""
    first = texts.unique(["source", "id"], keep="first", maintain_order=True)
    plain = pl.col("text").str.to_lowercase().str.replace_all(r"\W+", " ").str.strip_chars()
    told = first.with_columns(pl.when(plain == "").then("text").otherwise(plain).alias("plain"))
    since = pl.col(_AVAILABLE) - pl.col(_AVAILABLE).shift(1).over("plain")
    return told.filter(since.is_null() | (since > SAME_STORY))


def _moods(indices: pl.DataFrame) -> pl.DataFrame:
    """The figures in the order in which they could be used, without those of days before one that was there already."""
    sources = indices["source"].unique().sort().to_list()
    if len(sources) > 1:
        raise DataError(
            f"there are several indices of mood: {', '.join(sources)}.",
            where="features.news_sources",
            remedy="Name the sources to use, with one index among them.",
        )
    wrong = indices.filter(~pl.col("value").is_between(0.0, 100.0))
    if len(wrong):
        raise DataError(
            f"it holds {wrong['value'][0]:g}, and an index of mood runs from 0 to 100.",
            where=sources[0],
            remedy="Leave it out: name the other sources in features.news_sources.",
        )
    return indices.filter(pl.col("day") >= pl.col("day").cum_max())


def _before(bars: Bars) -> int:
    """The close before the first bar: what could be used by then belongs to earlier bars."""
    if not len(bars):
        return 0
    return bars.calendar.later(int(bars.closed_at[0]), -1, bars.interval)


def _heard(
    heard_at: Int64[np.ndarray, " text"], closed_at: Int64[np.ndarray, " time"]
) -> Bool[np.ndarray, " time"]:
    last = np.searchsorted(heard_at, closed_at, side="right") - 1
    if not len(heard_at):
        return np.zeros(len(closed_at), dtype=bool)
    return (last >= 0) & (closed_at - heard_at[np.maximum(last, 0)] <= RECORD_SILENCE)


def _mood(record: Record, bars: Bars) -> Float64[np.ndarray, " time"]:
    last = np.searchsorted(record.mood_at, bars.closed_at, side="right") - 1
    if not len(record.mood):
        return np.full(len(bars), np.nan)
    place = np.maximum(last, 0)
    stands = (last >= 0) & (bars.closed_at <= record.mood_until[place])
    return np.where(stands, record.mood[place], np.nan)
