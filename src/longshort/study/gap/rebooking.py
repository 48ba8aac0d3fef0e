"""A session's decisions booked anew: with those that it missed, without them, and with what was moved by hand."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger

PerBar = Float64[np.ndarray, " time"]
Mask = Bool[np.ndarray, " time"]
Book = Callable[[Exposure, PerBar], Ledger]  # wishes, and what is moved by hand at the closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decisions at some closes: what is `believed` on the bars as they came, and what a session let `passed`.

    It did not follow those whose bars came too late (`untold`), and those that took too long (`late`).
    """

    believed: Exposure
    passed: Exposure
    untold: Mask
    late: Mask


def rebooked(decided: Decided, moved: PerBar, book: Book) -> list[Ledger]:
    """The accounts `streamed`, `on_time`, `followed` and `moved` of a session's decisions."""
    believed, passed, nothing = decided.believed, decided.passed, np.zeros_like(moved)
    streamed = book(_swapped(believed, passed, decided.untold), nothing)
    on_time = book(_swapped(passed, believed, decided.late), nothing)
    followed = book(passed, nothing)
    return [streamed, on_time, followed, book(passed, moved) if moved.any() else followed]


def _swapped(most: Exposure, others: Exposure, rows: Mask) -> Exposure:
    """Wishes, at some rows those of others."""
    swapped = {
        name: np.where(rows[:, None], getattr(others, name), getattr(most, name))
        for name in ("target", "stop", "take")
    }
    return replace(most, **swapped)


def differing_closes(first: Exposure, second: Exposure) -> Mask:
    """The closes at which two exposures do not wish the same targets; NaN is the same as NaN."""
    same = (first.target == second.target) | (np.isnan(first.target) & np.isnan(second.target))
    return ~same.all(axis=1)
