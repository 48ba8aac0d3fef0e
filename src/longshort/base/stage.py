"""What an audit needs to know of a step on a bar's way, so that any step can be handed to it.

It says what a stage promises and how a history is cut, sliced and turned into noise; it checks nothing itself.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64

History = TypeVar("History")
Arrays = dict[str, np.ndarray]
Instants = Int64[np.ndarray, " time"]
Rows = Int64[np.ndarray, " row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Generic[History]):
    """A named step that says something about every row of a history, fitted parts already fitted.

    `rows` is a pure function to arrays whose first axis is the rows of the answer. A stage is causal if what it says
    of a row does not change when later rows are cut off or replaced.

    `clock`: when each row of the answer claims to be usable, in time order; None: at the history's own instants.
    `ahead`: float arrays that are *about* the next k rows of the answer (targets): row t must stand once row t + k is
    there, and must be NaN before: what is known earlier than it says is no target.
    `stream`: the same answer piece by piece: it is given an iterator of consecutive pieces of a history, and answers
    each with as many rows before it asks for the next. The first piece may hold many rows, the others hold one. It
    holds no later row, so agreement is a proof at every bar.
    `from_row`: before it nothing is said, so nothing is cut there. `borders`: rows at which a cut is forced (folds).
    `anywhere`: whether it may be run on a slice that begins later; False for one that counts rows from the first,
    as a walk with folds does.
    """

    name: str
    rows: Callable[[History], Arrays]
    clock: Callable[[History], Instants] | None = None
    ahead: Mapping[str, int] = field(default_factory=dict[str, int])
    stream: Callable[[Iterator[History]], Iterator[Arrays]] | None = None
    from_row: int = 0
    borders: tuple[int, ...] = ()
    anywhere: bool = True


@runtime_checkable
class Timeline(Protocol[History]):
    """How a history is read, cut and replaced; every method leaves the history that it is given as it is."""

    def instants(self, history: History) -> Instants:
        """When each row became known, in time order."""
        ...

    def between(self, history: History, start: int, stop: int) -> History:
        """The same history between two rows."""
        ...

    def until(self, history: History, instant: int) -> History:
        """What was known at an instant."""
        ...

    def poisoned(self, history: History, instant: int, rng: np.random.Generator) -> History:
        """Everything that became known after an instant replaced by noise: as many rows, at the same instants."""
        ...

    def altered(self, history: History, rows: Bool[np.ndarray, " time"], rng: np.random.Generator) -> History:
        """The chosen rows replaced by noise, all others left as they are."""
        ...

    def edges(self, history: History) -> Rows:
        """Rows after which something irregular comes or ends, where a cut shows what a random one would miss.

        Both sides of every hole (a NaN, an absent bar, a gap between instants), and the ends of hours, 4 hours and
        days beside one.
        """
        ...


def differing_rows(whole: Arrays, other: Arrays, rows: int) -> int:
    """The first row, among the first `rows`, at which two answers differ in any bit; `rows` where none does.

    >>> differing_rows({"a": np.array([1.0, np.nan, 3.0])}, {"a": np.array([1.0, np.nan, 4.0])}, 3)
    2
    """
    first = rows
    for name, mine in whole.items():
        wrong = np.flatnonzero(differing(mine[:rows], other[name][:rows]).reshape(rows, -1).any(axis=1))
        first = min(first, int(wrong[0])) if len(wrong) else first
    return first


def differing(mine: np.ndarray, theirs: np.ndarray) -> Bool[np.ndarray, "..."]:
    """Where two arrays of one shape differ in any bit; NaN equals NaN, and 0.0 is not -0.0.

    >>> differing(np.array([0.0, np.nan]), np.array([-0.0, np.nan])).tolist()
    [True, False]
    """
    unequal = mine != theirs
    if mine.dtype.kind != "f" or theirs.dtype.kind != "f":
        return unequal
    other_zero = (mine == 0.0) & (np.signbit(mine) != np.signbit(theirs))
    return np.asarray((unequal | other_zero) & ~(np.isnan(mine) & np.isnan(theirs)))
