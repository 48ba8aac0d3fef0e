"""Noise taken out of prices by what was known at each close; nothing here looks ahead, and nothing that does gets in.

A filter is a plain function of one coin's past log closes. It runs through restarted windows of 512 to 1,024 rows, so
that a live bar gets the same bits as a row of a long history. The whole candle moves with its filtered close; volume,
presence, funding and gauges stay. Only features read filtered bars: returns to forecast and money are those of the
raw ones. A filter that uses later closes to smooth earlier ones makes any backtest brilliant and is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal

from longshort.base.errors import StudyError
from longshort.base.files import digest
from longshort.data.bars import Bars
from longshort.features.history import History
from longshort.features.look import Look
from longshort.features.usercode import answer_of, function_in, users_code

Column = Float64[np.ndarray, " time"]
Filter = Callable[[Column], Column]
Denoiser = Callable[[Bars, History], Bars]

MAD = 1.4826  # times the median distance from the median: the standard deviation of a normal law
LEAST_DIFFERENCES = 48  # before a signal-to-noise ratio is believed
LEAST_RATIO = 0.01  # of signal to noise: a level that moves less follows prices only after 500 rows
ROUNDING = 1e-9  # a past that changes by a smaller share was summed in another order; it has seen nothing
PROBED_ROWS = 1_024  # the longest past that a filter ever sees
DENSE_ROWS = 160  # of which every single row is tried
CUTS = 24  # and so many further ones
LEAST_PAST = 32  # closes without which a user's filter is not asked: they stay as they are
FILE = "file:"
RAW = "raw close"  # no name of a column: features may look at filtered bars through the same history


def hampel(log_close: Column, *, span: int = 24, k: float = 8.0) -> Column:
    """Replace a close further than `k` deviations from the median of the `span` closes before it by that median.

    Prices wander, so the usual k = 3 takes one hourly bar in eight for an outlier, and 8 about one in a hundred. At
    its own close nobody can tell a wrong print from a crash: a true jump is believed only once half of the span has
    followed it. Hampel (1974).

    >>> hampel(np.array([0.0, 0.1, 0.0, 9.0, 0.1]), span=3).tolist()
    [0.0, 0.1, 0.0, 9.0, 0.1]
    >>> hampel(np.array([0.0, 0.1, 0.3, 9.0, 0.1]), span=3).tolist()
    [0.0, 0.1, 0.3, 0.1, 0.1]
    """
    filtered = log_close.copy()
    if len(log_close) > span:
        past = sliding_window_view(log_close[:-1], span)
        median = _medians(past)
        deviation = MAD * _medians(np.abs(past - median[:, None]))
        far = (np.abs(log_close[span:] - median) > k * deviation) & (deviation > 0.0)
        filtered[span:] = np.where(far, median, log_close[span:])
    return filtered


def kalman(log_close: Column, *, rows: int = 256) -> Column:
    """The level of a local level model: a random walk seen through noise, the signal-to-noise ratio from the past.

    The change of such a price has variance s + 2n and covariance -n with the change before it, s of the level and n
    of the noise: both are taken from the last `rows` changes (Harvey 1989, 2.4), and the gain is the one the filter
    settles at for s / n. Where changes do not reverse there is no noise, and the price passes unchanged.
    """
    change = np.diff(log_close, prepend=log_close[:1])
    count = np.minimum(np.arange(len(change)), rows)
    variance = _last_sum(change**2, rows) / np.maximum(count, 1)
    noise = -_last_sum(change * np.append(0.0, change[:-1])[: len(change)], rows) / np.maximum(count, 1)
    is_noisy = (noise > 0.0) & (count >= LEAST_DIFFERENCES)
    ratio = np.maximum((variance - 2.0 * noise) / np.where(is_noisy, noise, 1.0), LEAST_RATIO)
    gain = np.where(is_noisy, (np.sqrt(ratio * (ratio + 4.0)) - ratio) / 2.0, 1.0)
    return _follow(log_close, gain)


def wavelet(log_close: Column, *, levels: int = 3, rows: int = 64) -> Column:
    """Shrink the details of a one-sided stationary Haar transform softly towards zero.

    Scale j compares with 2^j rows before (a trous), so no later row enters. The threshold is sigma sqrt(2 ln rows) of
    Donoho and Johnstone (1994), sigma by the median size of the finest details of the last `rows` rows, and falls
    with the noise that is left at coarser scales.
    """
    smooth, removed, limit = log_close, np.zeros(len(log_close)), np.zeros(len(log_close))
    for level in range(levels):
        detail = (smooth - _before(smooth, 2**level)) / 2.0
        if level == 0 and len(detail) >= rows:
            typical = _medians(np.abs(sliding_window_view(detail, rows)))
            limit[rows - 1 :] = MAD * np.sqrt(2.0 * np.log(rows)) * typical
        removed = removed + np.clip(detail, -limit, limit)
        smooth = smooth - detail
        limit = limit / np.sqrt(2.0)
    return log_close - removed


def ssa(log_close: Column, *, window: int = 256, length: int = 24, rank: int = 3, every: int = 64) -> Column:
    """Keep of the last `length` closes what their `rank` main shapes can say, and take the newest point of it.

    The shapes are the first eigenvectors of the trajectory matrix of the `window` rows before (Broomhead and King
    1986), found anew every `every` rows; the newest point has no neighbors to be averaged with, so this is the
    end-point filter of singular spectrum analysis.
    """
    filtered = log_close.copy()
    for first in range(window, len(log_close), every):
        past = sliding_window_view(log_close[first - window : first], length)
        past = past - past.mean(axis=1, keepdims=True)
        shapes = np.linalg.eigh(past.T @ past)[1][:, -rank:]
        weights = shapes @ shapes[-1] + 1.0 / length
        stop = min(first + every, len(log_close))
        newest = np.zeros(stop - first)
        for weight, row in zip(weights, range(first - length + 1, first + 1), strict=True):
            newest = newest + weight * log_close[row : row + stop - first]  # in this order, however many rows
        filtered[first:stop] = newest
    return filtered


def ewma(log_close: Column, *, halflife: float = 3.0) -> Column:
    """Exponential smoothing: the weight of a close halves every `halflife` rows.

    >>> ewma(np.array([1.0, 1.0, 3.0]), halflife=1.0).tolist()
    [1.0, 1.0, 2.0]
    """
    gain = 1.0 - 0.5 ** (1.0 / halflife)
    return signal.lfilter([gain], [1.0, gain - 1.0], log_close, zi=log_close[:1] * (1.0 - gain))[0]


FILTERS: MappingProxyType[str, Filter] = MappingProxyType(
    {"hampel": hampel, "kalman": kalman, "wavelet": wavelet, "ssa": ssa, "ewma": ewma}
)


def denoiser(spec: str, *, folder: Path = Path(), bars: Bars | None = None) -> Denoiser:
    """What `features.denoise` asks for: bars and the state before them in, bars with filtered prices out.

    A user's filter (`file:my.py:smooth`, relative to the study's folder) maps one coin's past closes, 32 at least, to
    as many filtered ones. It is tried on a random walk and on the closes of `bars` first: `StudyError` where it changes
    the past when later closes arrive.
    """
    if not spec:
        return lambda bars, history: bars
    if spec in FILTERS:
        chosen = FILTERS[spec]
        return partial(_apply, f"denoise {spec}", lambda close: np.exp(chosen(np.log(close)) - np.log(close)))
    path, name = _place(spec, folder)
    function = function_in(path, name)
    of_close = partial(_answer, function, path)
    refuse_two_sided(of_close, f"{name} in {path}", _closes(bars))
    return partial(_apply, f"denoise {spec}", lambda close: of_close(close) / close)


def denoiser_digest(spec: str, folder: Path = Path()) -> str:
    """A hash of the setting and, where it names one, of the file."""
    source = _place(spec, folder)[0] if spec.startswith(FILE) else None
    return digest(spec, source.read_bytes() if source and source.is_file() else b"")


def refuse_two_sided(function: Filter, what: str, closes: Mapping[str, Column]) -> None:
    """Raise `StudyError` where what a filter says of a row changes once later rows are there.

    Of the first two series, all rows of a short stretch are cut off in turn, and of every one some rows of the longest
    past that the filter will see.
    """
    for place, (symbol, close) in enumerate(closes.items()):
        for stretch, cuts in _stretches(close)[place > 1 :]:
            whole = function(stretch)
            again = function(stretch)
            if not np.array_equal(whole, again, equal_nan=True):
                raise StudyError(
                    f"the filter {what} answers differently when asked the same twice.",
                    remedy="Take randomness and memory out of it.",
                )
            for rows in cuts:
                _refuse_change(whole[:rows], function(stretch[:rows]), f"the filter {what}", symbol, rows)


def _refuse_change(whole: Column, cut: Column, what: str, symbol: str, rows: int) -> None:
    apart = np.abs(whole / cut - 1.0)
    changed = np.where(np.isnan(apart), np.isnan(whole) != np.isnan(cut), apart > ROUNDING)
    if not changed.any():
        return
    row = int(np.flatnonzero(changed)[0])
    size = "from missing to a number" if np.isnan(apart[row]) else f"by {100.0 * apart[row]:.3g} %"
    raise StudyError(
        f"{what} is two-sided: on {symbol} its value at row {row} changed {size} when rows from {rows} on were added, "
        f"so it smooths the past with the future.",
        remedy="Use a one-sided filter (trailing mean, ewma, lfilter), or one of features.denoise = "
        + ", ".join(f'"{name}"' for name in FILTERS)
        + ".",
    )


def _apply(key: str, ratio_of: Filter, bars: Bars, history: History) -> Bars:
    """Move each candle by the ratio of its filtered close to its close."""
    if not len(bars):
        return bars
    look = Look(bars, history, 1.0, {RAW: lambda look: look.bars.close})
    with users_code("features.denoise"):
        moved = look.windowed(key, lambda columns: {"ratio": ratio_of(columns[RAW])}, (RAW,))["ratio"]
    ratio = np.where(np.isfinite(moved) & (moved > 0.0), moved, np.nan)
    return replace(bars, **{name: getattr(bars, name) * ratio for name in ("open", "high", "low", "close")})


def _answer(function: Callable[..., object], path: Path, close: Column) -> Column:
    """What a user's filter says, from the row on at which it has enough of a past."""

    def of_close(close: Column) -> object:
        return function(close)

    of_close.__name__ = function.__name__
    filtered = close.copy()
    if len(close) >= LEAST_PAST:
        filtered[LEAST_PAST - 1 :] = answer_of(of_close, {"close": close}, path)[LEAST_PAST - 1 :]
    return filtered


def _place(spec: str, folder: Path) -> tuple[Path, str]:
    path, colon, name = spec.removeprefix(FILE).rpartition(":")
    if not (spec.startswith(FILE) and colon and path and name):
        known = ", ".join(FILTERS)
        raise StudyError(
            f"unknown noise filter {spec!r}.",
            where="features.denoise",
            remedy=f'Known are: {known}, "file:my.py:smooth" for a function of your own, or "" for none.',
        )
    return folder / path, name


def _closes(bars: Bars | None) -> dict[str, Column]:
    """The series that a user's filter is tried on."""
    walk = {"a random walk": 100.0 * np.exp(np.random.default_rng(0).normal(0.0, 0.01, 2_000).cumsum())}
    if bars is None:
        return walk
    found = {symbol: bars.close[bars.present[:, a], a] for a, symbol in enumerate(bars.symbols)}
    return walk | {symbol: close for symbol, close in found.items() if len(close)}


def _stretches(close: Column) -> list[tuple[np.ndarray, list[int]]]:
    """Two ends of a series, and the lengths that each is cut to."""
    dense, long = close[-DENSE_ROWS:], close[-PROBED_ROWS:]
    places = np.unique(np.linspace(min(LEAST_PAST, len(long)), len(long), CUTS, dtype=int))
    return [(dense, list(range(LEAST_PAST, len(dense)))), (long, [int(place) for place in places])]


def _follow(values: Column, gain: Column) -> Column:
    level = float(values[0]) if len(values) else 0.0
    followed: list[float] = []
    for share, value in zip(gain.tolist(), values.tolist(), strict=True):
        level = value if share == 1.0 else level + share * (value - level)
        followed.append(level)
    return np.array(followed)


def _medians(rows: Float64[np.ndarray, "row place"]) -> Float64[np.ndarray, " row"]:
    low, high = (rows.shape[1] - 1) // 2, rows.shape[1] // 2
    ordered = np.partition(rows, (low, high), axis=1)
    return (ordered[:, low] + ordered[:, high]) / 2.0


def _before(values: Column, rows: int) -> Column:
    return np.concatenate([np.repeat(values[:1], rows), values])[: len(values)]


def _last_sum(values: Column, rows: int) -> Column:
    total = np.cumsum(values)
    return total - np.concatenate([np.zeros(rows), total])[: len(total)]
