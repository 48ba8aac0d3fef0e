"""Into which groups tested rows fall: volatility, trend, hour, weekday, coin, liquidity, size of move, quarter."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import DAY
from longshort.study.case import Case
from longshort.study.evidence.calendar import hours, quarters, weekdays

PerCoin = Float64[np.ndarray, "time asset"]
Codes = Int64[np.ndarray, "time asset"]
CALM = ("calmest fifth", "calm fifth", "middle volatility", "wild fifth", "wildest fifth")
TRENDS = ("falling trend", "no trend", "rising trend")
DEPTH = ("thinnest fifth", "thin fifth", "middle liquidity", "deep fifth", "deepest fifth")
MOVES = ("smallest moves", "small moves", "middle moves", "large moves", "largest moves")
TREND_HORIZONS = 5  # the trailing return spans so many of the longest horizon
VOLUME_BARS = 24
HINDSIGHT = "by_size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which group each row and coin belongs to at one horizon (-1: none), and what the groups are called."""

    key: str
    title: str
    labels: tuple[str, ...]
    codes: tuple[Codes, ...]
    note: str = ""


def splits_of(case: Case) -> list[Split]:
    """Every way in which the tested rows are taken apart."""
    panel, horizons = case.panel, case.forecast.horizons
    shape, rows = panel.volatility.shape, case.walk.tested
    every = slice(rows.start, rows.stop)

    def fixed(key: str, title: str, labels: tuple[str, ...], codes: Codes, note: str = "") -> Split:
        return Split(key=key, title=title, labels=labels, codes=(codes,) * len(horizons), note=note)

    def by_time(key: str, title: str, found: tuple[np.ndarray, tuple[str, ...]]) -> Split:
        used, place = np.unique(found[0], return_inverse=True)
        labels = tuple(found[1][u] for u in used)
        return fixed(key, title, labels, np.repeat(place.astype(np.int64)[:, None], shape[1], axis=1))

    within_days = case.market.bars.interval.ns < DAY
    span = TREND_HORIZONS * max(horizons)
    log_close = np.log(case.market.bars.close)
    trend = _change(log_close, span)[every]
    size = [
        np.abs(case.truth.outcome[..., k]) / (panel.volatility * np.sqrt(h)) for k, h in enumerate(horizons)
    ]
    splits = [
        fixed("by_volatility", "By volatility", CALM, parts(panel.volatility, 5), "Of each coin's own tested rows."),
        fixed("by_trend", "By trend", TRENDS, parts(trend, 3), f"Thirds of each coin's return over {span} bars."),
        *([by_time("by_hour", "By hour of day (UTC)", hours(panel.closed_at))] if within_days else []),
        by_time("by_weekday", "By weekday (UTC)", weekdays(panel.closed_at)),
        fixed("by_coin", "By coin", case.forecast.symbols, np.tile(np.arange(shape[1]), (shape[0], 1))),
        fixed("by_liquidity", "By liquidity", DEPTH, parts(_dollars(case)[every], 5, pooled=True),
              f"Dollar volume of the {VOLUME_BARS} bars before, all coins together."),
        Split(key="by_size", title="By size of the move", labels=MOVES,
              codes=tuple(parts(part, 5, pooled=True) for part in size),
              note="Chosen with hindsight: a wide law gains where moves turn out large, a narrow one where small."),
        by_time("by_quarter", "By quarter (UTC)", quarters(panel.closed_at)),
    ]  # fmt: skip
    return [split for split in splits if len(split.labels) > 1 and (split.codes[0] >= 0).any()]


def parts(value: PerCoin, count: int, *, pooled: bool = False) -> Codes:
    """Which of `count` equal parts a value lies in, among its coin's or among all; -1 where it is unknown.

    >>> parts(np.array([[1.0], [3.0], [2.0], [np.nan]]), 3).ravel().tolist()
    [0, 2, 1, -1]
    """
    codes = np.full(value.shape, -1, dtype=np.int64)
    columns = [slice(None)] if pooled else [slice(a, a + 1) for a in range(value.shape[1])]
    for column in columns:
        part = value[:, column]
        known = np.isfinite(part)
        if known.any():
            edges = np.quantile(part[known], np.arange(1, count) / count)
            codes[:, column] = np.where(known, np.searchsorted(edges, part), -1)
    return codes


def _change(log_close: PerCoin, bars: int) -> PerCoin:
    change = np.full(log_close.shape, np.nan)
    if bars < len(log_close):
        change[bars:] = log_close[bars:] - log_close[:-bars]
    return change


def _dollars(case: Case) -> PerCoin:
    """The mean dollar volume of the bars up to each close; NaN without any."""
    bars = case.market.bars
    value = bars.close * bars.volume
    there = np.isfinite(value)
    total = np.cumsum(np.pad(np.where(there, value, 0.0), ((VOLUME_BARS, 0), (0, 0))), axis=0)
    count = np.cumsum(np.pad(there, ((VOLUME_BARS, 0), (0, 0))), axis=0)
    total, count = total[VOLUME_BARS:] - total[:-VOLUME_BARS], count[VOLUME_BARS:] - count[:-VOLUME_BARS]
    return np.where((count > 0) & (total > 0.0), total / np.maximum(count, 1), np.nan)
