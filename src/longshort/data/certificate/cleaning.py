"""What a study does about bars that look wrong: `keep`, `mask` or `winsorise`; always explicit, always causal.

A cleaned row depends on that row of all coins and on rows before it, never on what came next: the certificate may
see that a spike was taken back, a study that trades at its close may not. So a spike is masked by what was known at
its own close: it is out of proportion to the trailing robust scale, it broke the path from the closes before it or
came without the volume of a true move, and fewer than half of the other coins moved so. A spike below those limits
stays, and of several bars in a row at a false level only the first is masked: the second looks like a new level.

In every mode silence is no price. A placeholder before the first trade is absent, and so is a bar without a trade from
the fourth in a row on. A coin counts as listed from its first trade on, and no more once nobody has traded it for a
week (`patterns.dead_bars`), until somebody does: nobody could tell a delisting from a pause before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from longshort.data.bars import Bars, Change, Mask
from longshort.data.certificate.outliers import SHARED_SCALES, SUPPORT, TO_STD
from longshort.data.certificate.patterns import FLAT_BARS, dead_bars

How = Literal["keep", "mask", "winsorise"]
Column = Float64[np.ndarray, " time"]
TRAILING_BARS = 96  # present bars before a row, for its scale, its usual volume and its noise
LEAST_BARS = 24  # with fewer, nothing is known and nothing is touched
REACH = 3  # closes back that a bar may continue: one false bar between does not make it odd
BREAK_SCALES = 8.0  # between the nearest of those closes and the open
FAR_SCALES = 15.0  # from there to the high or low, without the volume of a true move
WINSOR_SCALES = 10.0  # prices beyond are moved to that distance
BREAK_TAILS = 4.0  # a break is beyond so many times what 1 open in 20 misses the close by
NORMAL_90 = (
    1.645  # standard deviations that 9 of 10 normal moves stay within: where most bars do not move at all
)
PLACES_KEPT = 10
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """How far each bar went from where it could begin, in trailing scales; NaN where that cannot be told."""

    reference: Float64[np.ndarray, "time asset"]
    scale: Float64[np.ndarray, "time asset"]
    up: Float64[np.ndarray, "time asset"]
    down: Float64[np.ndarray, "time asset"]
    is_odd: Mask


def clean(bars: Bars, how: How, *, counted: slice = slice(None)) -> Bars:
    """Bars as a study asked for them; their `changes` say what was done in the rows to be counted.

    Rows before those are the past that a cleaned row depends on.
    """
    listed, early, silent = _silence(bars)
    masks = {"before the first trade": early, "without a trade": silent}
    prices = {name: getattr(bars, name) for name in PRICES}
    moved = np.zeros(bars.close.shape, dtype=bool)
    if how != "keep":
        masks |= {"that no market can print": _impossible(bars)}
        odd, prices, moved = _judge(_without(bars, list(masks.values())), how)
        masks |= {"odd": odd}
    cleaned = _without(replace(bars, **prices), list(masks.values()))
    done = {f"{reason}: absent": mask for reason, mask in masks.items()} | {"moved to the limit": moved}
    within = {reason: mask[counted] for reason, mask in done.items()}
    return replace(cleaned, listed=listed, changes=(*bars.changes, *_changes(bars[counted], within)))


def _silence(bars: Bars) -> tuple[Mask, Mask, Mask]:
    """Where a coin was known to trade, rows before its first trade, and rows deep in silence after it."""
    traded = bars.traded
    row = np.arange(len(bars))[:, None]
    last = np.maximum.accumulate(np.where(traded, row, -1), axis=0)
    quiet = bars.present & ~traded
    deep = np.zeros(quiet.shape, dtype=bool)
    for a in range(quiet.shape[1]):
        rows = np.flatnonzero(bars.present[:, a])
        deep[rows, a] = _run_length(quiet[rows, a]) >= FLAT_BARS
    has_traded = last >= 0
    listed = bars.listed & has_traded & (row - last < dead_bars(bars.interval))
    return listed, quiet & ~has_traded, deep & has_traded


def _impossible(bars: Bars) -> Mask:
    prices = np.stack([getattr(bars, name) for name in PRICES])
    with np.errstate(invalid="ignore"):
        fine = np.isfinite(prices).all(axis=0) & (prices > 0.0).all(axis=0) & (bars.volume >= 0.0)
        fine &= (bars.high >= np.maximum(bars.open, bars.close) / (1 + 1e-12)) & (bars.high >= bars.low)
        fine &= bars.low <= np.minimum(bars.open, bars.close) * (1 + 1e-12)
    return bars.present & ~fine


def _judge(bars: Bars, how: How) -> tuple[Mask, dict[str, Float64[np.ndarray, "time asset"]], Mask]:
    """The odd rows of possible bars, or the prices at their limits and which rows have any."""
    sizes = _sizes(bars)
    alone = ~_shared(sizes)
    prices = {name: getattr(bars, name) for name in PRICES}
    nothing = np.zeros(bars.present.shape, dtype=bool)
    if how == "mask":
        return sizes.is_odd & alone, prices, nothing
    reach = WINSOR_SCALES * sizes.scale
    with np.errstate(invalid="ignore"):
        beyond = bars.present & alone & ((sizes.up > WINSOR_SCALES) | (sizes.down < -WINSOR_SCALES))
    low, high = sizes.reference * np.exp(-reach), sizes.reference * np.exp(reach)
    clipped = {name: np.where(beyond, np.clip(prices[name], low, high), prices[name]) for name in PRICES}
    return nothing, clipped, beyond


def _sizes(bars: Bars) -> _Sizes:
    shape = bars.present.shape
    reference, scale, up, down = (np.full(shape, np.nan) for _ in range(4))
    is_odd = np.zeros(shape, dtype=bool)
    for a in range(shape[1]):
        rows = np.flatnonzero(bars.present[:, a])
        if len(rows):
            coin = [getattr(bars, name)[rows, a] for name in (*PRICES, "volume")]
            found = _coin_sizes(coin, np.diff(rows, prepend=rows[0] - 1))
            reference[rows, a], scale[rows, a], up[rows, a], down[rows, a], is_odd[rows, a] = found
    return _Sizes(reference=reference, scale=scale, up=up, down=down, is_odd=is_odd)


def _coin_sizes(
    coin: list[Column], elapsed: Int64[np.ndarray, " time"]
) -> tuple[Column, Column, Column, Column, Bool[np.ndarray, " time"]]:
    """One coin's present bars: reference price, scale, extent up and down, and whether the bar is odd."""
    opened, high, low, close = (np.log(prices) for prices in coin[:4])
    volume = coin[4]
    move = np.abs(np.diff(close, prepend=np.nan)) / np.sqrt(elapsed)
    gap = np.abs(opened - np.concatenate([[np.nan], close[:-1]])) / np.sqrt(elapsed)
    usual = np.fmax(TO_STD * _trailing(move), _trailing(move, 0.9) / NORMAL_90)
    scale = np.where(usual > 0.0, usual, np.nan) * np.sqrt(elapsed)
    noise = BREAK_TAILS * _trailing(gap, 0.95) * np.sqrt(elapsed)
    reference = _nearest_close(opened, close)
    up, down = (high - reference) / scale, (low - reference) / scale
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.fmax(up, -down)
        apart = np.abs(opened - reference)
        broken = (apart > BREAK_SCALES * scale) & (apart > noise)
        quiet = volume < SUPPORT * size * _trailing(volume)
        odd = broken | ((size > FAR_SCALES) & quiet)
    return np.exp(reference), scale, up, down, odd


def _trailing(values: Column, quantile: float = 0.5) -> Column:
    """A quantile of the bars before each row, that row not included; NaN while there are too few."""
    known = pl.Series(values[1:])  # the first bar has no move
    past = known.rolling_quantile(quantile, "linear", TRAILING_BARS, min_samples=LEAST_BARS)
    return np.concatenate([[np.nan] * 2, past.fill_null(np.nan).to_numpy()])[: len(values)]


def _nearest_close(opened: Column, close: Column) -> Column:
    """Of the last few closes, the one nearest to each open."""
    back = np.stack(
        [np.concatenate([np.full(k, np.nan), close[:-k]])[: len(close)] for k in range(1, REACH + 1)]
    )
    apart = np.where(np.isfinite(back), np.abs(back - opened), np.inf)
    return back[np.argmin(apart, axis=0), np.arange(len(close))]


def _shared(sizes: _Sizes) -> Mask:
    """True where at least half of the other coins, and at least one, moved far in the same direction."""
    known = np.isfinite(sizes.up) & np.isfinite(sizes.down)
    others = known.sum(axis=1, keepdims=True) - known
    shared = np.zeros(known.shape, dtype=bool)
    with np.errstate(invalid="ignore"):
        rises, falls = sizes.up > SHARED_SCALES, -sizes.down > SHARED_SCALES
        is_rise = np.fmax(sizes.up, 0.0) > np.fmax(-sizes.down, 0.0)
    for along, mine in ((rises, is_rise), (falls, ~is_rise)):
        company = along.sum(axis=1, keepdims=True) - along
        shared |= mine & (company > 0) & (2 * company >= others)
    return shared


def _run_length(mask: Bool[np.ndarray, " time"]) -> Int64[np.ndarray, " time"]:
    """How many true rows in a row end in each row."""
    place = np.arange(1, len(mask) + 1)
    return place - np.maximum.accumulate(np.where(mask, 0, place))


def _without(bars: Bars, masks: list[Mask]) -> Bars:
    gone = bars.present & np.logical_or.reduce(masks)
    if not gone.any():
        return bars
    arrays = {name: np.where(gone, np.nan, getattr(bars, name)) for name in (*PRICES, "volume")}
    return replace(bars, present=bars.present & ~gone, **arrays)


def _changes(bars: Bars, masks: dict[str, Mask]) -> Iterator[Change]:
    for a, symbol in enumerate(bars.symbols):
        for reason, mask in masks.items():
            rows = np.flatnonzero(mask[:, a])
            if len(rows):
                places = tuple(bars.closed_at[rows[:PLACES_KEPT]].tolist())
                yield Change(symbol=symbol, reason=reason, bars=len(rows), closed_at=places)
