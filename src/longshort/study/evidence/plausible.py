"""Forecasts that are too good to be true, or that only repeat what was known.

The bands are those of the audit of foreign forecasts; it knows no model and no code.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
from jaxtyping import Float64, Int64

from longshort.models.forecast import Values
from longshort.study.audit.plausibility import Case as Shown
from longshort.study.audit.plausibility import judge
from longshort.study.metrics import per_instant
from longshort.study.report import Comparison
from longshort.study.section import Flag

PerCoin = Float64[np.ndarray, "time asset"]
PerBar = Float64[np.ndarray, " time"]
Part = Float64[np.ndarray, " _"]
Instants = Int64[np.ndarray, " time"]

LEAST_JUDGED = 200  # forecasts of one series, below which nothing is judged
MOST_CRPS = 10.0  # per cent below the best opponent
COPY = 0.9  # rank correlation with a return that was known
LAGS = 10


def implausible(
    mean: Values, outcome: Values, closed_at: Instants, axes: tuple[tuple[str, ...], tuple[int, ...]]
) -> list[Flag]:
    """Direction, R² of returns, error of the next price and timing, against what honest tests of liquid assets found.

    The bands, and the alarm at p < 1e-4 with all series counted, are those of the audit of foreign forecasts.
    """
    symbols, horizons = axes
    found = [
        f"{finding.stage}, {bars_of(horizon)} ahead: {finding.detail}"
        for k, horizon in enumerate(horizons)
        for finding in judge(_shown(mean[..., k], outcome[..., k], closed_at, symbols, horizon), lambda: 0.0)
        if finding.outcome in {"implausible", "leak"}
    ]
    if not found:
        return []
    more = f" And {len(found) - 2} more like it." if len(found) > 2 else ""
    meaning = (
        "Forecasts of liquid markets are not this good. Something of the future is known to the model: run "
        "`longshort audit` before believing any figure here."
    )
    return [
        Flag(name="too good to be true", seen=" ".join(found[:2]) + more, meaning=meaning, severity="serious")
    ]


def much_better(crps: Sequence[Comparison]) -> list[Flag]:
    """A distribution that is better than every opponent's by more than any published one."""
    raised: list[Flag] = []
    for horizon in dict.fromkeys(c.horizon_bars for c in crps):
        best = min((c for c in crps if c.horizon_bars == horizon), key=lambda c: c.skill)
        if best.skill > MOST_CRPS and best.ci95[0] > MOST_CRPS / 2:
            seen = f"CRPS {bars_of(horizon)} ahead is {best.skill:.1f} % below {best.opponent}'s, the best opponent."
            meaning = (
                "Good models gain a few per cent. Run `longshort audit`, and look whether an opponent fails."
            )
            raised.append(
                Flag(name="far above every opponent", seen=seen, meaning=meaning, severity="serious")
            )
    return raised


def repeated(mean: Values, outcome: Values, horizons: Sequence[int]) -> list[Flag]:
    """A forecast of the mean that copies a return which was known, and is no better than "the price stays"."""
    raised: list[Flag] = []
    for k, horizon in enumerate(horizons):
        squared = np.where(np.isfinite(mean[..., k]), outcome[..., k] ** 2, nan)
        gain = per_instant(squared - (outcome[..., k] - mean[..., k]) ** 2)
        found = _copied(mean[..., k], outcome[..., k], range(horizon, horizon + LAGS + 1))
        at = int(np.argmax(np.abs(found)))
        if abs(found[at]) > COPY and np.nansum(gain) <= 0.0:
            seen = (
                f"{bars_of(horizon)} ahead the forecast of the mean has a rank correlation of {found[at]:+.2f} with "
                f"the return known {bars_of(horizon + at)} before; its squared error is above that of no change."
            )
            meaning = "It repeats the past and knows nothing beyond it: do not trade on its direction."
            raised.append(Flag(name="repeats the past", seen=seen, meaning=meaning))
    return raised


def _shown(
    mean: PerCoin, outcome: PerCoin, closed_at: Instants, symbols: Sequence[str], horizon: int
) -> list[Shown]:
    """Series of which enough is known, as the audit of foreign forecasts reads them."""
    cases: list[Shown] = []
    for a, symbol in enumerate(symbols):
        known = np.isfinite(mean[:, a]) & np.isfinite(outcome[:, a])
        if known.sum() < LEAST_JUDGED * horizon or not (mean[known, a] * outcome[known, a]).any():
            continue
        nothing = np.full(int(known.sum()), nan)
        cases.append(
            Shown(
                name=symbol,
                horizon=horizon,
                target_at=closed_at[known],
                came=outcome[known, a],
                move=mean[known, a],
                last=nothing,
                actual=nothing,
                forecast=nothing,
            )
        )
    return cases


def _copied(mean: PerCoin, outcome: PerCoin, lags: Sequence[int]) -> Float64[np.ndarray, " lag"]:
    """The rank correlation of a forecast with the return that began so many rows before it, averaged over coins."""
    found = np.zeros((mean.shape[1], len(lags)))
    for a in range(mean.shape[1]):
        mine, came = _ranks(mean[:, a]), _ranks(outcome[:, a])
        for k, lag in enumerate(lags):
            pair = mine[lag:], came[: len(came) - lag]
            known = np.isfinite(pair[0]) & np.isfinite(pair[1])
            found[a, k] = _correlation(pair[0][known], pair[1][known])
    return found.mean(axis=0)


def _ranks(values: PerBar) -> PerBar:
    """Ranks of what is known; NaN throughout where nothing varies."""
    ranks, known = np.full(len(values), nan), np.isfinite(values)
    if known.any() and np.ptp(values[known]) > 0.0:
        ranks[known] = np.argsort(np.argsort(values[known], kind="stable"), kind="stable")
    return ranks


def _correlation(left: Part, right: Part) -> float:
    varied = len(left) >= LEAST_JUDGED and np.ptp(left) > 0.0 and np.ptp(right) > 0.0
    return float(np.corrcoef(left, right)[0, 1]) if varied else 0.0


def bars_of(count: int) -> str:
    """A number of bars in words.

    >>> bars_of(1), bars_of(24)
    ('1 bar', '24 bars')
    """
    return f"{count} bar{'s' if count != 1 else ''}"
