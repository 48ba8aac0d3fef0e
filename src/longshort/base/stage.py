"""What an audit needs to know of a step on a bar's way, so that any step can be handed to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

History = TypeVar("History")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Generic[History]):
    """A named step that says something about every row of a history, fitted parts already fitted.

    `rows` returns arrays whose first axis is the history's rows. A stage is causal if what it says of a row does not
    change when later rows are cut off or replaced.
    """

    name: str
    rows: Callable[[History], Arrays]


def differing_rows(whole: Arrays, other: Arrays, rows: int) -> int:
    """The first row, among the first `rows`, at which two answers differ in any bit; `rows` where none does.

    >>> differing_rows({"a": np.array([1.0, np.nan, 3.0])}, {"a": np.array([1.0, np.nan, 4.0])}, 3)
    2
    """
    first = rows
    for name, mine in whole.items():
        theirs = other[name][:rows]
        same = (mine[:rows] == theirs) | ((mine[:rows] != mine[:rows]) & (theirs != theirs))  # noqa: PLR0124 NaN
        wrong = np.flatnonzero(~same.reshape(rows, -1).all(axis=1))
        first = min(first, int(wrong[0])) if len(wrong) else first
    return first
