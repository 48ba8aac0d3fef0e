"""When rows were: the calendar quarter, weekday and hour of closing instants, in UTC, as places among labels."""

import numpy as np
from jaxtyping import Int64

Instants = Int64[np.ndarray, " time"]
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def quarters(closed_at: Instants) -> tuple[Instants, tuple[str, ...]]:
    """The place of each instant's quarter among the quarters there are.

    >>> day = 86_400 * 10**9
    >>> quarters(np.array([0, 89 * day, 90 * day, 365 * day]))[1]
    ('1970 Q1', '1970 Q2', '1971 Q1')
    """
    month = closed_at.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    there, place = np.unique(month // 3, return_inverse=True)
    return place.astype(np.int64), tuple(f"{1970 + q // 4} Q{q % 4 + 1}" for q in there.tolist())


def weekdays(closed_at: Instants) -> tuple[Instants, tuple[str, ...]]:
    """The weekday of each instant."""
    day = closed_at // (86_400 * 10**9)
    return (day + 3) % 7, DAYS  # 1970-01-01 was a Thursday


def hours(closed_at: Instants) -> tuple[Instants, tuple[str, ...]]:
    """The hour of each instant."""
    return closed_at // (3_600 * 10**9) % 24, tuple(f"{h:02d}:00" for h in range(24))
