"""What the checks of one stage have in common: a time to keep, an order to look in, and what was looked at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from longshort.base.clock import format_instant
from longshort.base.stage import History
from longshort.study.audit.answer import FAILURES, Offence, Subject, ask, first_offence
from longshort.study.audit.record import Check, Finding

Order = Int64[np.ndarray, " place"]
LEAST = 6  # cuts that are made whatever the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How much time is left; `clock` counts seconds."""

    clock: Callable[[], float]
    ends: float

    @property
    def left(self) -> float:
        """Seconds that are left, below 0 where it is late."""
        return self.ends - self.clock()

    def share(self, part: float) -> "Watch":
        """A watch over a part of the time that is left."""
        return Watch(clock=self.clock, ends=self.clock() + part * max(self.left, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How many places were looked at, how, and the first offence."""

    looked: int = 0
    said: tuple[str, ...] = ()
    offence: Offence | None = None
    failures: tuple[str, ...] = ()

    def __add__(self, other: "Proof") -> "Proof":
        return Proof(
            looked=self.looked + other.looked,
            said=self.said + other.said,
            offence=self.offence or other.offence,
            failures=self.failures + other.failures,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Instants to cut at in the order in which they are tried: forced ones first, each group evenly spread."""

    forced: Int64[np.ndarray, " forced"]
    others: Int64[np.ndarray, " other"]
    words: str = "edges and borders"
    least: int = LEAST


def spread(count: int) -> Order:
    """The numbers below `count` in an order of which every beginning is evenly spread.

    >>> spread(6).tolist()
    [0, 4, 2, 1, 5, 3]
    """
    bits = max(count - 1, 1).bit_length()
    every = np.arange(2**bits)
    mirrored = np.zeros_like(every)
    for bit in range(bits):
        mirrored |= ((every >> bit) & 1) << (bits - 1 - bit)
    return mirrored[mirrored < count]


def chosen_cuts(subject: Subject[History], borders: Iterable[int]) -> Cuts:
    """Every instant after which something is left: holes, fold borders and their neighbors are forced."""
    last = int(subject.instants[-1]) if subject.rows else 0
    first = int(subject.instants[min(subject.stage.from_row, subject.rows - 1)]) if subject.rows else 0
    every = np.unique(np.concatenate([subject.instants, subject.whole.at]))
    every = every[(every >= first) & (every < last)]
    beside = [row + step for row in borders for step in (-1, 0, 1)]
    rows = np.union1d(subject.timeline.edges(subject.history), np.asarray(beside, dtype=np.int64))
    rows = rows[(rows >= 0) & (rows < subject.rows)]
    forced = np.intersect1d(subject.instants[rows], every)
    others = np.setdiff1d(every, forced)
    return Cuts(forced=forced[spread(len(forced))], others=others[spread(len(others))])


def try_cuts(
    subject: Subject[History], cuts: Cuts, change: Callable[[int], History], watch: Watch, *, unknown: bool
) -> Proof:
    """Change the history after one instant after another, until something differs or the time is over."""
    looked, failures = 0, list[str]()
    for place, instant in enumerate([*cuts.forced.tolist(), *cuts.others.tolist()]):
        if watch.left < 0.0 and place >= cuts.least:
            break
        looked += 1
        try:
            other = ask(subject.stage, subject.timeline, change(instant))
        except FAILURES as error:
            failures.append(f"after {format_instant(instant)}: {error}")
            continue
        offence = first_offence(subject, other, instant, unknown=unknown)
        if offence:
            return Proof(looked=looked, offence=offence, failures=tuple(failures))
    return Proof(looked=looked, said=_said(cuts, looked), failures=tuple(failures))


def finding_of(name: str, check: Check, proof: Proof, seconds: float) -> Finding:
    """What a proof means: a leak where anything differed, a warning where the stage could not be run."""
    offence = proof.offence
    if offence is None:
        failed = len(proof.failures)
        said = "; ".join(proof.said) or "nothing later than any row of it"
        detail = f"{said}; {failed:,} could not be computed, first {proof.failures[0]}" if failed else said
        outcome = "warning" if failed else "clean"
        return Finding(
            stage=name, check=check, outcome=outcome, looked=proof.looked, detail=detail, seconds=seconds
        )
    return Finding(
        stage=name,
        check=check,
        outcome="leak",
        looked=proof.looked,
        detail=_told(offence),
        at=offence.at,
        seconds=seconds,
        row=offence.row,
        where=offence.where,
        size=offence.size,
    )


def _told(offence: Offence) -> str:
    return (
        f"{offence.where} of {format_instant(offence.at)} (row {offence.row:,}) {offence.what}; "
        f"later is after {format_instant(offence.knowing)}."
    )


def _said(cuts: Cuts, looked: int) -> tuple[str, ...]:
    forced = min(looked, len(cuts.forced))
    total = len(cuts.forced) + len(cuts.others)
    if looked == total:
        return (f"every one of {total:,} instants",)
    parts = [f"{forced:,} of {len(cuts.forced):,} {cuts.words}"] if len(cuts.forced) else []
    others = looked - forced
    return (*parts, *([f"{others:,} of {len(cuts.others):,} other instants"] if others or not parts else []))
