"""What a stage said of a history, and the first place at which two answers disagree about the past."""

from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from jaxtyping import Bool, Int64

from longshort.base.errors import DataError, LongshortError
from longshort.base.stage import Arrays, History, Instants, Stage, Timeline, differing

FAILURES = (
    LongshortError,
    ArithmeticError,
    LookupError,
    ValueError,
)  # what a function of a short table may raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The arrays that a stage gave, and when each of their rows claims to be usable."""

    at: Instants
    arrays: Arrays

    def known_rows(self, instant: int) -> int:
        """How many rows claim to be usable at an instant."""
        return int(np.searchsorted(self.at, instant, side="right"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offence:
    """A row that knew what came later: where, when it claimed to be usable, what was wrong and by how much."""

    row: int
    at: int
    where: str
    what: str
    size: float
    knowing: int  # the instant after which things were changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Generic[History]):
    """A stage, the history that it is audited on, what it says of the whole of it, and how long that takes."""

    stage: Stage[History]
    timeline: Timeline[History]
    history: History
    instants: Instants
    whole: Answer
    seconds: float = 0.0

    @property
    def aligned(self) -> bool:
        """Whether the answer's rows are the history's rows."""
        return np.array_equal(self.whole.at, self.instants)

    @property
    def rows(self) -> int:
        """How many rows the history has."""
        return len(self.instants)


def ask(stage: Stage[History], timeline: Timeline[History], history: History) -> Answer:
    """Run a stage on a history; raise `DataError` where its arrays and its clock do not fit together."""
    arrays = stage.rows(history)
    at = stage.clock(history) if stage.clock else timeline.instants(history)
    for name, values in arrays.items():
        if len(values) != len(at):
            raise DataError(
                f"{name!r} has {len(values):,} rows and the clock {len(at):,}.",
                where=f"stage {stage.name!r}",
                remedy="Return one row per instant of the clock.",
            )
    for name in stage.ahead:
        if name not in arrays or arrays[name].dtype.kind != "f":
            raise DataError(
                f"{name!r} is about the coming rows but is no array of floats.",
                where=f"stage {stage.name!r}",
                remedy="Return it as floats, NaN where it is not known yet.",
            )
    if (np.diff(at) < 0).any():
        raise DataError("its clock runs backwards.", where=f"stage {stage.name!r}", remedy="Sort its rows.")
    return Answer(at=at, arrays=arrays)


def sliced(subject: Subject[History], start: int, stop: int) -> Subject[History]:
    """The same stage on a slice of its history, as if that were all there is."""
    history = subject.timeline.between(subject.history, start, stop)
    whole = ask(subject.stage, subject.timeline, history)
    return replace(subject, history=history, instants=subject.timeline.instants(history), whole=whole)


def first_offence(subject: Subject[History], other: Answer, instant: int, *, unknown: bool) -> Offence | None:
    """The first row usable at an instant of which another answer says something else, `None` where there is none.

    With `unknown` an array that is about later rows must be NaN where those had not come at the instant.
    """
    rows, others = subject.whole.known_rows(instant), other.known_rows(instant)
    moved = _moved_clock(subject.whole.at[:rows], other.at[:others], instant)
    found = [moved] if moved else []
    rows = min(rows, others)
    for name, values in subject.whole.arrays.items():
        ahead = subject.stage.ahead.get(name, 0)
        settled = max(rows - ahead, 0)
        place = _first_difference(values[:settled], _of(other, name, subject.stage.name)[:settled])
        found += [_offence(subject, place, values, other.arrays[name], instant, name)] if place else []
        if unknown and ahead:
            found += _known_too_early(subject, other, name, range(settled, rows), instant)
    return min(found, key=lambda offence: offence.row, default=None)


def columns_of(arrays: Arrays) -> tuple[np.ndarray, ...]:
    """Every array as a table of rows by columns.

    >>> [table.shape for table in columns_of({"a": np.zeros((5, 2, 3)), "b": np.zeros(5)})]
    [(5, 6), (5, 1)]
    """
    return tuple(values.reshape(len(values), -1) for values in arrays.values())


def differing_cells(mine: Arrays, theirs: Arrays) -> Bool[np.ndarray, "time column"]:
    """Where two answers of as many rows differ, over all columns of all arrays side by side.

    >>> differing_cells({"a": np.zeros(2)}, {"a": np.array([0.0, 1.0])}).tolist()
    [[False], [True]]
    """
    tables = zip(columns_of(mine), columns_of(theirs), strict=True)
    return np.concatenate([differing(left, right) for left, right in tables], axis=1)


def _of(answer: Answer, name: str, stage: str) -> np.ndarray:
    if name not in answer.arrays:
        raise DataError(
            f"{name!r} is there on one history and not on another.",
            where=f"stage {stage!r}",
            remedy="Return the same arrays, of no rows where there is nothing to say.",
        )
    return answer.arrays[name]


def _moved_clock(
    mine: Int64[np.ndarray, " mine"], theirs: Int64[np.ndarray, " theirs"], instant: int
) -> Offence | None:
    both = min(len(mine), len(theirs))
    wrong = np.flatnonzero(mine[:both] != theirs[:both])
    if not len(wrong) and len(mine) == len(theirs):
        return None
    row = int(wrong[0]) if len(wrong) else both
    at = int(mine[row]) if row < len(mine) else int(theirs[row])
    what = "is a row with what came later and none without, or the other way round"
    return Offence(row=row, at=at, where="clock", what=what, size=float("nan"), knowing=instant)


def _first_difference(mine: np.ndarray, theirs: np.ndarray) -> tuple[int, ...]:
    """The index of the first differing cell, in order of rows; empty where all are the same."""
    if mine.shape != theirs.shape:
        return (0,) * mine.ndim
    wrong = differing(mine, theirs)
    if not wrong.any():
        return ()
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))


def _offence(
    subject: Subject[History],
    place: tuple[int, ...],
    mine: np.ndarray,
    theirs: np.ndarray,
    instant: int,
    name: str,
) -> Offence:
    same_shape = mine.shape[1:] == theirs.shape[1:]
    left, right = (mine[place], theirs[place]) if same_shape else (mine.shape[1:], theirs.shape[1:])
    return Offence(
        row=place[0],
        at=int(subject.whole.at[place[0]]),
        where=name + _column(place),
        what=f"is {left} with what came later and {right} otherwise",
        size=_distance(left, right),
        knowing=instant,
    )


def _known_too_early(
    subject: Subject[History], other: Answer, name: str, late: range, instant: int
) -> list[Offence]:
    values = other.arrays[name][late.start : late.stop]
    known = ~np.isnan(values)
    if not known.any():
        return []
    index = np.unravel_index(int(np.argmax(known)), known.shape)
    place = (late.start + int(index[0]), *[int(i) for i in index[1:]])
    ahead = subject.stage.ahead[name]
    return [
        Offence(
            row=place[0],
            at=int(subject.whole.at[place[0]]),
            where=name + _column(place),
            what=f"is known {ahead - (late.stop - 1 - place[0])} rows before it can be: target inside the window",
            size=float(abs(other.arrays[name][place])),
            knowing=instant,
        )
    ]


def _column(place: tuple[int, ...]) -> str:
    return f"[{', '.join(str(i) for i in place[1:])}]" if len(place) > 1 else ""


def _distance(left: object, right: object) -> float:
    numbers = [isinstance(v, np.number | np.bool_) for v in (left, right)]
    return abs(float(left) - float(right)) if all(numbers) else float("nan")  # type: ignore[arg-type]
