"""What is handed to an audit, and what it answers: plain records that hold no check themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import format_instant
from longshort.base.files import jsonable
from longshort.base.stage import Arrays, History, Stage, Timeline

Check = Literal[
    "truncation",
    "poison",
    "fit isolation",
    "split",
    "execution",
    "batch size",
    "shuffled target",
    "persistence",
    "plausibility",
]
Outcome = Literal["clean", "warning", "not run", "implausible", "leak"]
SEVERITY: tuple[Outcome, ...] = (
    "not run",
    "clean",
    "warning",
    "implausible",
    "leak",
)  # the last is the worst
NOTHING: Outcome = "not run"
ALARM = 1e-4  # a statistical check calls nothing a leak at a larger p
ALL_ROWS = 10**9  # one batch

Instants = Int64[np.ndarray, " fit"]
Fills = Int64[np.ndarray, " fill"]
PerBar = Float64[np.ndarray, " time"]
PerCoin = Float64[np.ndarray, "time asset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found in one stage: how much it looked at, and of an alarm the first offence.

    `at` and `row` say where the first offence is, `where` in which array and column, `size` how large the difference
    is there (NaN: a value beside none). `looked` counts rows, fills, sizes or fits, as `detail` says.
    """

    stage: str
    check: Check
    outcome: Outcome
    looked: int
    detail: str
    at: int | None = None
    p: float | None = None
    seconds: float = 0.0
    row: int | None = None
    where: str = ""
    size: float | None = None

    def to_json(self) -> dict[str, object]:
        """Every field by name, and the instant as people write it."""
        fields: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return fields | {"instant": None if self.at is None else format_instant(self.at)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Every finding, in the order of the stages."""

    findings: tuple[Finding, ...]
    title: str = ""
    seed: int = 0
    seconds: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """The worst of the findings; "not run" where no check was.

        >>> Audit(findings=()).outcome
        'not run'
        """
        return max([f.outcome for f in self.findings] or [NOTHING], key=SEVERITY.index)

    @property
    def exit_code(self) -> int:
        """2 where anything leaks or is implausible, else 0."""
        return 2 if self.alarms else 0

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that say leak or implausible."""
        return tuple(f for f in self.findings if f.outcome in ("leak", "implausible"))

    def to_json(self) -> dict[str, object]:
        """Everything, as JSON can hold it."""
        whole = {
            "title": self.title,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "seed": self.seed,
            "seconds": self.seconds,
            "findings": [f.to_json() for f in self.findings],
        }
        return {name: jsonable(value) for name, value in whole.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit(Generic[History]):
    """Something fitted whose test begins at the close `test_from_at`: every array that fitting it makes.

    What became known at `test_from_at` itself may be learned from; what came later may not.
    """

    name: str
    test_from_at: int
    learn: Callable[[History], Arrays]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The rows that a fit learns from or stops on (validation included), and the first close that it is tested on.

    `label_known_at` has one instant per row of `closed_at`: when the row's label was complete. `step` is the length
    of a bar in nanoseconds, 0: the smallest distance between two closes.
    """

    name: str
    closed_at: Instants
    label_known_at: Instants
    test_closed_at: int
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Generic[History]):
    """The books of a list of wishes: when each fill was decided, and when the price that it got became known.

    The open of a bar is a price of that bar: it is known by the bar's close, not at the close before it.
    `profit` books an exposure (one wish per row, formed at that row's close) on a history: one figure per row, what
    was earned up to its close or in it.
    """

    name: str
    decided_at: Fills
    known_at: Fills
    profit: Callable[[History, PerCoin], PerBar]
    exposure: PerCoin


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """The figures of an evaluation as a function of how many rows are evaluated at once, with how many were."""

    name: str
    score: Callable[[int], Mapping[str, float | int]]
    sizes: tuple[int, ...] = (1, 7, 32, ALL_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """How much smaller a model's loss is than the unconditional distribution's, per instant, and the p of "not"."""

    gain: PerBar
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Means that a model forecast, and what came: log returns over `horizon_bars` from each row on."""

    name: str
    forecast: PerCoin
    actual: PerCoin
    horizon_bars: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(Generic[History]):
    """All that is audited together, over one history; `shuffled` permutes the targets, refits and scores."""

    history: History
    timeline: Timeline[History]
    stages: Sequence[Stage[History]] = ()
    fits: Sequence[Fit[History]] = ()
    splits: Sequence[Split] = ()
    accounts: Sequence[Account[History]] = ()
    scorings: Sequence[Scoring] = ()
    forecasts: Sequence[Told] = ()
    shuffled: Callable[[np.random.Generator], Skill] | None = None
    title: str = ""
