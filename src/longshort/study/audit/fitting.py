"""A fit must not have seen what it is tested on: by its arrays, and by the rows that it is said to learn from.

Isolation: with everything after the first test close replaced by noise or cut off, every fitted array must have the
same bits. Split: every label is complete by the first test close, and no fitted row lies behind a test row.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from longshort.base.clock import format_instant
from longshort.base.files import digest
from longshort.base.stage import Arrays, History, Timeline, differing
from longshort.study.audit.answer import FAILURES
from longshort.study.audit.record import Finding, Fit, Outcome, Split

NOISES = 6  # different noises behind a fit that is quick: a stop or a choice may be the same by chance


def fit_isolation(
    fit: Fit[History], history: History, timeline: Timeline[History], rng: np.random.Generator, *, noises: int
) -> Finding:
    """Fit on the history, then on histories whose test rows are noise: the same arrays must come out."""
    try:
        mine = fit.learn(history)
        others = [fit.learn(timeline.poisoned(history, fit.test_from_at, rng)) for _ in range(max(noises, 1))]
        wrong = sorted({name for other in others for name in _differing(mine, other)})
        again = _differing(mine, fit.learn(history)) if wrong else []
    except FAILURES as error:
        return _isolation(fit, "warning", 0, f"it could not be fitted: {error}")
    if again:
        return _isolation(
            fit, "warning", len(mine), f"two fits on the same rows differ in {', '.join(again)}"
        )
    if not wrong:
        hashes = digest(*[part for name in sorted(mine) for part in (name, mine[name])])
        detail = f"{len(mine):,} arrays, the same with other test rows (hash {hashes})"
        return _isolation(fit, "clean", len(mine), detail)
    size = max(_distance(mine[name], other.get(name)) for other in others for name in wrong if name in mine)
    detail = (
        f"{len(wrong):,} of {len(mine):,} fitted arrays change when rows after {format_instant(fit.test_from_at)} "
        f"do: {', '.join(wrong[:5])}{', ...' if len(wrong) > 5 else ''}."
    )
    found = _isolation(fit, "leak", len(mine), detail)
    return replace(found, where=wrong[0], size=size, at=fit.test_from_at)


def split_gap(split: Split) -> Finding:
    """The largest label instant must not lie after the first test close, and no row may be tested and learned from."""
    late = split.label_known_at > split.test_closed_at
    inside = split.closed_at >= split.test_closed_at
    step = split.step or _step(split.closed_at)
    if not late.any() and not inside.any():
        left = int(split.test_closed_at - split.label_known_at.max(initial=split.closed_at.min(initial=0)))
        detail = f"{len(split.closed_at):,} rows; the last label is known {_bars(left, step)} before the test"
        return _split(split, "clean", detail)
    worst = int(split.label_known_at.max() - split.test_closed_at)
    if inside.any():
        row = int(np.argmax(inside))
        detail = (
            f"{int(inside.sum()):,} of {len(inside):,} fitted rows lie in or behind the test, which begins at "
            f"{format_instant(split.test_closed_at)}: rows are shuffled, or the test is learned from."
        )
    else:
        row = int(np.argmax(late))
        detail = (
            f"{int(late.sum()):,} of {len(late):,} fitted rows have labels that are known after the first test "
            f"close, by up to {_bars(worst, step)}: leave out a gap as long as the horizon."
        )
    found = _split(split, "leak", detail)
    return replace(found, row=row, at=int(split.closed_at[row]), size=worst / step)


def _differing(mine: Arrays, theirs: Arrays) -> list[str]:
    return sorted(
        name
        for name in {*mine, *theirs}
        if name not in mine
        or name not in theirs
        or mine[name].shape != theirs[name].shape
        or differing(mine[name], theirs[name]).any()
    )


def _distance(mine: np.ndarray, theirs: np.ndarray | None) -> float:
    if theirs is None or mine.shape != theirs.shape or mine.dtype.kind not in "fiub":
        return float("nan")
    return float(np.abs(mine.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0))


def _step(closed_at: Int64[np.ndarray, " fit"]) -> int:
    steps = np.diff(np.unique(closed_at))
    return int(steps.min()) if len(steps) else 1


def _bars(distance: int, step: int) -> str:
    bars = distance / step
    return f"{bars:,.0f} bars" if bars == round(bars) else f"{bars:,.2f} bars"


def _isolation(fit: Fit[History], outcome: Outcome, looked: int, detail: str) -> Finding:
    return Finding(stage=fit.name, check="fit isolation", outcome=outcome, looked=looked, detail=detail)


def _split(split: Split, outcome: Outcome, detail: str) -> Finding:
    looked = len(split.closed_at)
    return Finding(stage=split.name, check="split", outcome=outcome, looked=looked, detail=detail)
