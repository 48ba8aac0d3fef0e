"""How far back a stage depends on its history, and noise in stripes where that is not far.

One run with noise in every n-th block of rows asks of thousands of bars at once whether they see what follows them;
after some rounds over all shifts of the blocks nearly every bar was the last one before noise. What differs is
confirmed by noise after that very bar, so a dependence that was thought too short costs time and raises no alarm.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from longshort.base.stage import Arrays, History
from longshort.study.audit.answer import (
    FAILURES,
    Offence,
    Subject,
    ask,
    differing_cells,
    first_offence,
    sliced,
)
from longshort.study.audit.proof import Proof, Watch, spread

TIERS = (
    40,
    200,
)  # rows: columns that depend on no more are proven together; on more than the last, not by stripes
FARTHEST = TIERS[-1]
PROBED = 12 * FARTHEST  # rows at the end, of which the dependence is found out
PROBES = 6
ROUNDS = 4  # over all shifts of the stripes
DOUBTS = 3  # unconfirmed differences after which stripes are given up

Columns = Bool[np.ndarray, " column"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Per column over how many rows one changed row was seen (0: nowhere), and the first that saw it too early."""

    rows: Int64[np.ndarray, " column"]
    offence: Offence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripes:
    """Blocks of rows that are kept and blocks of noise between them, in turn."""

    context: int
    noise: int

    @property
    def period(self) -> int:
        """After how many rows they repeat: the number of shifts that make every bar the last before noise."""
        return self.context + 2 * self.noise

    def rows(
        self, count: int, shift: int, rng: np.random.Generator | None = None
    ) -> tuple[Bool[np.ndarray, " time"], Bool[np.ndarray, " time"]]:
        """Which of `count` rows are noise, and which depend on kept rows only.

        With `rng` one stripe in three is noise as a whole: else what looks ahead by a certain distance would always
        look at rows that are kept.

        >>> noisy, safe = Stripes(context=2, noise=1).rows(9, 0)
        >>> np.flatnonzero(noisy).tolist(), np.flatnonzero(safe).tolist()
        ([3, 7], [0, 1, 2, 6])
        """
        stripe, place = np.divmod(np.arange(count) + shift, self.period)
        noisy = place >= self.period - self.noise
        if rng is not None:
            noisy |= (rng.random(count // self.period + 2) < 1 / 3)[stripe]
        safe = (place >= self.context) & ~noisy
        first = int(np.argmax(noisy)) if noisy.any() else count
        safe[:first] = True
        return noisy, safe


def striped(subject: Subject[History], watch: Watch, rng: np.random.Generator) -> Proof:
    """Find out how far the stage depends on its history, then ask every bar that can be asked in the time."""
    arrays = _said_now(subject, subject.whole.arrays)
    if subject.rows < 3 * FARTHEST or not arrays:
        return Proof()
    probed = _probed(subject)
    reach = _probe(probed, watch.share(0.3), rng)
    if reach.offence:
        row = reach.offence.row + subject.rows - probed.rows
        return Proof(looked=PROBES, offence=replace(reach.offence, row=row))
    proof, least = Proof(), -1
    for number, most in enumerate(TIERS):
        near = (reach.rows > least) & (reach.rows <= most)
        least = most
        if near.any() and proof.offence is None:
            context = reach.rows[near].max() * 5 // 4 + 8
            stripes = Stripes(context=int(context), noise=max(2, int(context) // 8))
            proof += _run(subject, arrays, stripes, near, watch.share((number + 1) / len(TIERS)), rng)
    return proof


def _probed(subject: Subject[History]) -> Subject[History]:
    """The end of the history where that is enough to find out how far a stage depends on it."""
    if not subject.stage.anywhere or subject.rows < 2 * PROBED:
        return subject
    try:
        return sliced(subject, subject.rows - PROBED, subject.rows)
    except FAILURES:
        return subject


def _run(
    subject: Subject[History],
    arrays: Arrays,
    stripes: Stripes,
    near: Columns,
    watch: Watch,
    rng: np.random.Generator,
) -> Proof:
    total, doubts = len(near), 0
    asked = np.zeros(subject.rows - 1, dtype=np.bool_)
    for number, shift in enumerate(ROUNDS * spread(stripes.period).tolist()):
        if (watch.left < 0.0 and number) or doubts >= DOUBTS or not near.any():
            break
        noisy, safe = stripes.rows(subject.rows, shift, rng)
        wrong = _wrong(subject, arrays, noisy, rng) & safe[:, None] & near[None, :]
        asked |= safe[:-1] & noisy[1:]
        while wrong.any() and doubts < DOUBTS:
            row = int(wrong.any(axis=1).argmax())
            offence = _confirmed(subject, row, rng)
            if offence:
                return Proof(looked=int(asked.sum()), offence=offence)
            doubts += 1
            near = near & ~wrong[row]
            wrong &= near[None, :]
    looked = int(asked.sum())
    if doubts >= DOUBTS or not near.any():
        return Proof(looked=looked)
    how = (
        f"noise in stripes after {looked:,} of {len(asked):,} bars ({int(near.sum()):,} of {total:,} columns)"
    )
    return Proof(looked=looked, said=(how,))


def _confirmed(subject: Subject[History], row: int, rng: np.random.Generator) -> Offence | None:
    """What noise after a row changes up to it; `None` where the difference came from earlier rows."""
    later = np.arange(subject.rows) > row
    try:
        other = ask(subject.stage, subject.timeline, subject.timeline.altered(subject.history, later, rng))
    except FAILURES:
        return None
    return first_offence(subject, other, int(subject.instants[row]), unknown=False)


def _probe(subject: Subject[History], watch: Watch, rng: np.random.Generator) -> Reach:
    """Change one row after another, and see which earlier and which later rows notice."""
    arrays = _said_now(subject, subject.whole.arrays)
    farthest = np.zeros(sum(v.reshape(len(v), -1).shape[1] for v in arrays.values()), dtype=np.int64)
    rows = np.linspace(subject.rows // 3, subject.rows - 2 * FARTHEST, PROBES).astype(np.int64)
    for number, row in enumerate(rows.tolist()):
        if watch.left < 0.0 and number > 1:
            break
        chosen = np.arange(subject.rows) == row
        wrong = _wrong(subject, arrays, chosen, rng)
        if wrong[:row].any():
            offence = _confirmed(subject, int(wrong[:row].any(axis=1).argmax()), rng)
            if offence:
                return Reach(rows=farthest, offence=offence)
        last = subject.rows - wrong[::-1].argmax(axis=0) - row
        farthest = np.maximum(farthest, np.where(wrong.any(axis=0), last, 0))
    return Reach(rows=farthest)


def _wrong(
    subject: Subject[History], arrays: Arrays, noisy: Bool[np.ndarray, " time"], rng: np.random.Generator
) -> Bool[np.ndarray, "time column"]:
    """Where the answer changes when rows become noise; nowhere where it cannot be computed then."""
    history = subject.timeline.altered(subject.history, noisy, rng)
    columns = sum(v.reshape(len(v), -1).shape[1] for v in arrays.values())
    try:
        other = ask(subject.stage, subject.timeline, history)
    except FAILURES:
        return np.zeros((subject.rows, columns), dtype=np.bool_)
    return differing_cells(arrays, _said_now(subject, other.arrays))


def _said_now(subject: Subject[History], arrays: Arrays) -> Arrays:
    """The arrays that are not about later rows."""
    return {name: values for name, values in arrays.items() if name not in subject.stage.ahead}
