"""What can be wrong with a series, and how bad each of it is: one table, from which every grade follows.

`clean` has no finding, `usable` has findings that a study can live with and should know, `broken` would teach a
model something false. Nothing is repaired.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

Grade = Literal["clean", "usable", "broken"]
GRADES: tuple[Grade, ...] = ("clean", "usable", "broken")  # from the best to the worst
Instants = Int64[np.ndarray, " time"]
Runs = Int64[np.ndarray, "run 2"]
Places = Int64[np.ndarray, " place"]
PLACES_KEPT = 1_000  # of one finding, in the JSON; its count is always whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a finding means for the series."""

    grade: Grade
    means: str


def _usable(means: str) -> Rule:
    return Rule(grade="usable", means=means)


def _broken(means: str) -> Rule:
    return Rule(grade="broken", means=means)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "unreadable": _broken("the file is damaged or holds other columns"),
        "altered": _broken("the rows are not those that were written"),
        "no hash": _usable("another program wrote the file"),
        "order": _broken("times repeat or go back"),
        "off grid": _broken("bars open between the full intervals: jitter, or a fixed shift"),
        "clock": _broken("the series follows the other coins best some bars early or late"),
        "impossible": _broken("what no market can print: high below low, a price of zero, no number"),
        "swapped": _broken("open and close have changed places"),
        "missing": _usable("bars are not there"),
        "many missing": _broken("over 5 % of the bars are not there and were never asked for, or over half are not"),
        "paging": _usable("gaps at a fixed distance: the download lost a row of each page; fetch again"),
        "not traded yet": _usable("a placeholder price until the first trade: those rows count as not listed"),
        "trading stopped": _usable("the last price repeats to the end: those rows are no bars"),
        "silent": _usable("bars without a trade"),
        "halted": _broken("without a trade for a week and at least 24 bars, then traded again"),
        "no volume": _usable("no bar has any volume"),
        "stuck": _usable("traded bars that repeat one price for longer than chance allows"),
        "repeated": _usable("rows that are copies of earlier rows"),
        "odd": _usable("moves that are errors by their looks: see the kinds"),
        "many false rows": _broken("over 1 row in 1,000 is odd, stuck or a copy"),
        "off the mark": _usable("trade and mark price disagree by far more than they do as a rule"),
        "stale": _usable("it ends long before the others of its venue and interval"),
        "funding holes": _usable("settlements are missing: unknown, not zero"),
        "absurd rates": _usable("funding beyond 5 % per settlement"),
        "percent": _broken("funding rates look like percent, not fractions"),
        "zeros": _usable("an open interest of zero"),
        "stood still": _usable("open interest that does not move for a day or more"),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found: by which rule, in words, how often, and at which instants (of the first row of each)."""

    rule: str
    words: str
    count: int
    places: tuple[int, ...] = ()

    @property
    def grade(self) -> Grade:
        """What the rule says."""
        return RULES[self.rule].grade


@dataclass(slots=True)
class Findings:
    """What has been found so far in one series."""

    found: list[Finding] = field(default_factory=list[Finding])

    def add(self, rule: str, words: str, *, count: int = 1, places: Iterable[int] | Places = ()) -> None:
        """Note a finding; `rule` must be one of the table."""
        assert rule in RULES, f"no such rule: {rule}"
        kept = tuple(int(p) for p, _ in zip(places, range(PLACES_KEPT), strict=False))
        self.found.append(Finding(rule=rule, words=words, count=count, places=kept))

    def sorted(self) -> tuple[Finding, ...]:
        """The worst first, else in the order of the table."""
        rank = {rule: n for n, rule in enumerate(RULES)}
        return tuple(sorted(self.found, key=lambda f: (f.grade != "broken", rank[f.rule])))


def grade_of(findings: Sequence[Finding]) -> Grade:
    """The worst grade of all.

    >>> grade_of([]), grade_of([Finding(rule="silent", words="1 bar without a trade", count=1)])
    ('clean', 'usable')
    """
    return worst_grade(f.grade for f in findings)


def worst_grade(grades: Iterable[Grade]) -> Grade:
    """The worst of some grades; clean where there are none."""
    return GRADES[max((GRADES.index(grade) for grade in grades), default=0)]


def count_of(number: int, noun: str) -> str:
    """A number and its noun.

    >>> count_of(1, "gap"), count_of(1_200, "gap")
    ('1 gap', '1,200 gaps')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def runs_of(mask: Bool[np.ndarray, " time"]) -> Runs:
    """Where a mask is true without a break: first row and the row after the last, one pair per run.

    >>> runs_of(np.array([True, True, False, True])).tolist()
    [[0, 2], [3, 4]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2).astype(np.int64)
