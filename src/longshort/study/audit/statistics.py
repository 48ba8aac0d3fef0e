"""What figures alone can show: that they depend on the batch, vanish with the target, or repeat the last value.

A skill that survives shuffled targets is an alarm at p < 1e-4 only. That forecasts look like the last value is a
warning: an honest mean near zero does so too.
"""

from collections.abc import Callable, Mapping
from math import isclose, isnan

import numpy as np
from jaxtyping import Float64

from longshort.study.audit.record import ALARM, ALL_ROWS, Finding, Scoring, Skill, Told

SAME = 1e-6  # relative: what adding 32-bit floats in another order may change
LAGS = 10

PerCoin = Float64[np.ndarray, "time asset"]


def batch_size(scoring: Scoring) -> Finding:
    """Every count exactly, every other figure to `SAME`, whatever the size of the batch."""
    first, *others = scoring.sizes
    mine = scoring.score(first)
    for size in others:
        theirs = scoring.score(size)
        wrong = _unequal(mine, theirs)
        if wrong:
            left, right = mine.get(wrong[0], float("nan")), theirs.get(wrong[0], float("nan"))
            return Finding(
                stage=scoring.name,
                check="batch size",
                outcome="leak",
                looked=len(scoring.sizes),
                detail=(
                    f"{wrong[0]} is {left:.10g} in batches of {_size(first)} and {right:.10g} in batches of "
                    f"{_size(size)}: rows are dropped, or see each other."
                ),
                where=wrong[0],
                size=abs(left - right),
            )
    sizes = ", ".join(_size(size) for size in scoring.sizes)
    detail = f"{len(mine):,} figures, the same in batches of {sizes}"
    return Finding(
        stage=scoring.name, check="batch size", outcome="clean", looked=len(scoring.sizes), detail=detail
    )


def shuffled_target(
    name: str, refit: Callable[[np.random.Generator], Skill], rng: np.random.Generator
) -> Finding:
    """With targets permuted in blocks there is nothing to learn: any skill comes from a leak."""
    skill = refit(rng)
    gain = float(np.nanmean(skill.gain)) if np.isfinite(skill.gain).any() else 0.0
    leak = gain > 0.0 and skill.p_value < ALARM
    known = int(np.isfinite(skill.gain).sum())
    return Finding(
        stage=name,
        check="shuffled target",
        outcome="leak" if leak else "clean",
        looked=known,
        detail=(
            f"refitted on permuted targets, the gain over the unconditional distribution is {gain:.3g} per instant "
            f"(p {skill.p_value:.2g}, {known:,} instants)"
            + (": the target is in the inputs." if leak else "")
        ),
        p=skill.p_value,
        size=gain,
    )


def persistence(told: Told) -> Finding:
    """Whether the mean is better than the last value, or follows what has come rather than what comes."""
    known = np.isfinite(told.forecast) & np.isfinite(told.actual)
    looked = int(known.sum())
    forecast, actual = np.where(known, told.forecast, 0.0), np.where(known, told.actual, 0.0)
    naive = float(np.square(actual).sum())
    skill = 1.0 - float(np.square(actual - forecast).sum()) / naive if naive > 0.0 else 0.0
    lag, correlation = _best_lag(told)
    late = lag > 0 and correlation > 4.0 / max(looked, 1) ** 0.5
    detail = (
        f"squared error {abs(skill):.2%} {'below' if skill > 0 else 'above'} that of the last value; it goes best "
        + (
            f"with what came {lag} bars before ({correlation:.2f})"
            if late
            else "with what comes, or with nothing"
        )
    )
    worse = skill <= 0.0
    outcome = "warning" if late or worse else "clean"
    return Finding(
        stage=told.name, check="persistence", outcome=outcome, looked=looked, detail=detail, size=skill
    )


def _best_lag(told: Told) -> tuple[int, float]:
    """How many bars back the returns end that the forecasts go with best; 0: those that were forecast."""
    step = max(told.horizon_bars, 1)
    found = [_correlation(told.forecast, told.actual, 0 if k == 0 else step + k - 1) for k in range(LAGS + 1)]
    best = int(np.argmax(found))
    return best, found[best]


def _correlation(forecast: PerCoin, actual: PerCoin, rows: int) -> float:
    left = forecast[rows:]
    right = actual[: len(actual) - rows]
    known = np.isfinite(left) & np.isfinite(right)
    x, y = left[known], right[known]
    if len(x) < 3 or not (np.ptp(x) > 0.0 and np.ptp(y) > 0.0):
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _unequal(mine: Mapping[str, float | int], theirs: Mapping[str, float | int]) -> list[str]:
    return [name for name in sorted({*mine, *theirs}) if not _same(mine.get(name), theirs.get(name))]


def _same(left: float | int | None, right: float | int | None) -> bool:
    if left is None or right is None:
        return False
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return (isnan(left) and isnan(right)) or isclose(left, right, rel_tol=SAME, abs_tol=1e-12)


def _size(size: int) -> str:
    return "all" if size >= ALL_ROWS else f"{size:,}"
