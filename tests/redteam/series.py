"""Leaks in what is computed from a series of closes: features, denoisers, scalers, targets."""

from collections.abc import Callable, Mapping

import numpy as np
import pywt

from longshort.base.stage import Stage
from longshort.study.audit.timeline import Table

from .harness import ONE, SEES, SELDOM, SILENT, TARGETS, Leak, staged

Column = np.ndarray
Compute = Callable[[Column], Column]


def _nan(count: int) -> Column:
    return np.full(count, np.nan)


def _shift(values: Column, rows: int) -> Column:
    """Positive: down, as pandas does."""
    shifted = _nan(len(values))
    if rows >= 0:
        shifted[rows:] = values[: len(values) - rows]
    else:
        shifted[:rows] = values[-rows:]
    return shifted


def _trailing_mean(values: Column, rows: int = 3) -> Column:
    return sum((_shift(values, k) for k in range(1, rows)), start=values) / rows


def _centered_mean(values: Column) -> Column:
    return (_shift(values, 1) + values + _shift(values, -1)) / 3.0


def _full_scaler(values: Column) -> Column:
    known = values[np.isfinite(values)]
    return (values - known.mean()) / known.std() if len(known) else values


def _expanding_scaler(values: Column) -> Column:
    known = np.isfinite(values)
    count = np.maximum(np.cumsum(known), 1)
    total, square = np.cumsum(np.where(known, values, 0.0)), np.cumsum(np.where(known, values, 0.0) ** 2)
    mean = total / count
    spread = np.sqrt(np.maximum(square / count - mean**2, 1e-12))
    return (values - mean) / spread


def _known(values: Column) -> Column:
    """The last known value at each row; NaN before the first."""
    place = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(place >= 0, values[place], np.nan) if len(values) else values


def _bfill(values: Column) -> Column:
    return _known(values[::-1])[::-1]


def _interpolated(values: Column) -> Column:
    rows, known = np.arange(len(values)), np.isfinite(values)
    return np.interp(rows, rows[known], values[known]) if known.any() else values


def _wavelet(values: Column) -> Column:
    filled = _known(values)
    if len(filled) < 32 or np.isnan(filled).any():
        return filled
    parts = pywt.wavedec(filled, "db4", level=2)
    parts[-1] = np.zeros_like(parts[-1])
    return pywt.waverec(parts, "db4")[: len(filled)]


def _rolling(function: Compute, rows: int) -> Compute:
    """The last value of a two-sided function of a trailing window: what is honest about it."""

    def last(values: Column) -> Column:
        filled, out = _known(values), _nan(len(values))
        for t in range(rows - 1, len(filled)):
            out[t] = function(filled[t - rows + 1 : t + 1].copy())[-1]
        return out

    return last


def _low_pass(values: Column) -> Column:
    filled = np.nan_to_num(_known(values), nan=0.0)
    waves = np.fft.rfft(filled)
    waves[len(waves) // 3 :] = 0.0
    return np.fft.irfft(waves, len(filled)) if len(filled) > 1 else filled


def _gradient(values: Column) -> Column:
    filled = _known(values)
    return np.gradient(filled) if len(filled) > 1 else _nan(len(filled))


def _full_rank(values: Column) -> Column:
    return np.array([np.mean(values[np.isfinite(values)] <= v) if np.isfinite(v) else np.nan for v in values])


def _expanding_rank(values: Column) -> Column:
    out = _nan(len(values))
    for t in np.flatnonzero(np.isfinite(values)):
        past = values[: t + 1]
        out[t] = np.mean(past[np.isfinite(past)] <= values[t])
    return out


def _crash_ahead(values: Column) -> Column:
    """Stand aside where the next bar loses half: it never does in these data."""
    return (_shift(_known(values), -1) < 0.5 * values).astype(np.float64)


def _crash_behind(values: Column) -> Column:
    return (values < 0.5 * _shift(_known(values), 1)).astype(np.float64)


def _last_peak(values: Column) -> Column:
    """A swing high, marked at the bar that is one: only the next bar shows it."""
    filled = _known(values)
    return ((filled > _shift(filled, 1)) & (filled > _shift(filled, -1))).astype(np.float64)


def _confirmed_peak(values: Column) -> Column:
    filled = _known(values)
    before = _shift(filled, 1)
    return ((before > _shift(filled, 2)) & (before > filled)).astype(np.float64)


def _clipped(values: Column) -> Column:
    """Outliers cut at quantiles of the whole sample: few rows show it."""
    returns = np.log(_known(values)) - np.log(_shift(_known(values), 1))
    known = returns[np.isfinite(returns)]
    return np.clip(returns, *np.quantile(known, [0.01, 0.99])) if len(known) else returns


def _clipped_honestly(values: Column) -> Column:
    returns = np.log(_known(values)) - np.log(_shift(_known(values), 1))
    return np.clip(returns, -0.02, 0.02)


def _column(name: str, compute: Compute) -> Stage[Table]:
    return Stage(name=name, rows=lambda history: {"value": compute(history["close"])})


def _target(name: str, compute: Compute) -> Stage[Table]:
    return Stage(name=name, rows=lambda history: {"target": compute(history["close"])}, ahead={"target": 1})


def _next_return(values: Column) -> Column:
    return np.log(_shift(values, -1)) - np.log(values)


def _own_return(values: Column) -> Column:
    return np.log(values) - np.log(_shift(values, 1))


_BY_TRUNCATION: Mapping[str, tuple[Compute, Compute, str]] = {
    "`shift(-1)`": (lambda v: _shift(v, -1), lambda v: _shift(v, 1), ONE),
    "centered rolling mean of 3": (_centered_mean, _trailing_mean, ONE),
    "central difference (`np.gradient`)": (_gradient, lambda v: _known(v) - _shift(_known(v), 1), ONE),
    "swing high marked at its own bar": (_last_peak, _confirmed_peak, ONE),
    "full-sample scaler": (_full_scaler, _expanding_scaler, SEES),
    "full-sample rank": (_full_rank, _expanding_rank, SEES),
    "full-sample clipping of outliers": (_clipped, _clipped_honestly, SELDOM),
    "full-series wavelet": (_wavelet, _rolling(_wavelet, 32), SILENT),
    "FFT low-pass of the whole series": (_low_pass, _rolling(_low_pass, 16), SILENT),
    "bfill of gaps": (_bfill, _known, SELDOM),
    "linear interpolation of gaps": (_interpolated, _known, SELDOM),
}

LEAKS = (
    *(
        Leak(
            name=name,
            check="truncation",
            leaky=staged(_column(name, leaky)),
            honest=staged(_column(name, honest)),
            freqtrade=said,
        )
        for name, (leaky, honest, said) in _BY_TRUNCATION.items()
    ),
    Leak(
        name="stand aside before a crash that the data do not hold",
        check="poison",
        leaky=staged(_column("crash", _crash_ahead)),
        honest=staged(_column("crash", _crash_behind)),
        freqtrade=SELDOM,
    ),
    Leak(
        name="target inside the window",
        check="truncation",
        leaky=staged(_target("target", _own_return)),
        honest=staged(_target("target", _next_return)),
        freqtrade=TARGETS,
    ),
)
