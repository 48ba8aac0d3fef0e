"""A stage says of a row what it would have said at that row's instant: asked by changing what came later.

Truncation: cut off, the answer must be the same in every bit. Poison: replaced by noise, likewise; it shows what a
cut cannot, such as a stage that only reacts to a crash which the real data do not hold. Where a stage can be streamed,
run on slices, or depends on few rows only, that is used to look at many more bars in the same time.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from longshort.base.stage import Arrays, History, differing
from longshort.study.audit.answer import FAILURES, Answer, Offence, Subject, columns_of, first_offence, sliced
from longshort.study.audit.proof import Cuts, Proof, Watch, chosen_cuts, spread, try_cuts
from longshort.study.audit.reach import striped

DEPTH = 48  # bars at the end of a slice, each of which it is cut at
MOST_WARMING = 0.5  # of the history: a stage that speaks later than that is not run on slices
WINDOWS = 512  # at most
STREAMED = 256  # bars of one stretch of the stream
LEAST_STREAMED = 100  # whatever the time
CHEAP = 4  # the stretch that comes first: behind most warm-ups, and with little to catch up on before it


def truncation(subject: Subject[History], watch: Watch, rng: np.random.Generator) -> Proof:
    """Cut the history off after one instant after another: earlier rows must stay, and targets be unknown."""
    last = int(subject.instants[-1]) if subject.rows else 0
    offence = first_offence(subject, subject.whole, last, unknown=True)
    if offence:
        return Proof(looked=1, offence=offence)
    proof = _streamed(subject, watch.share(0.6)) if subject.stage.stream and subject.rows else Proof()
    if proof.offence is None and subject.stage.anywhere and not _every_cut_fits(subject, watch):
        proof += _in_windows(subject, watch.share(0.5), rng)
    if proof.offence is None:
        cuts = chosen_cuts(subject, subject.stage.borders)
        proof += try_cuts(
            subject, cuts, lambda at: subject.timeline.until(subject.history, at), watch, unknown=True
        )
    return proof


def poison(subject: Subject[History], watch: Watch, rng: np.random.Generator) -> Proof:
    """Make noise of everything after one instant after another: earlier rows must stay in every bit."""
    proof = striped(subject, watch.share(0.6), rng) if subject.aligned and subject.rows else Proof()
    if proof.offence is None:
        cuts = chosen_cuts(subject, subject.stage.borders)
        proof += try_cuts(
            subject,
            cuts,
            lambda at: subject.timeline.poisoned(subject.history, at, rng),
            watch,
            unknown=False,
        )
    return proof


def _every_cut_fits(subject: Subject[History], watch: Watch) -> bool:
    """Whether there is time to cut the whole history at every instant, so that slices would add nothing."""
    return (subject.rows + len(subject.whole.at)) * subject.seconds < 0.7 * watch.left


def _in_windows(subject: Subject[History], watch: Watch, rng: np.random.Generator) -> Proof:
    """Run the stage on slices of the history and cut each at every one of its last bars: places with holes first."""
    warming = _warming(subject)
    length = warming + DEPTH
    if warming > MOST_WARMING * subject.rows or length >= subject.rows:
        return Proof()
    proof, windows = Proof(), 0
    for stop in _ends(subject, length, rng)[:WINDOWS]:
        if watch.left < 0.0 and windows:
            break
        windows += 1
        proof += _in_window(subject, stop - length, stop, watch)
        if proof.offence:
            return proof
    return replace(proof, said=(f"every bar of {windows:,} slices of {length:,} ({proof.looked:,} cuts)",))


def _in_window(subject: Subject[History], start: int, stop: int, watch: Watch) -> Proof:
    try:
        inner = sliced(subject, start, stop)
    except FAILURES as error:
        return Proof(failures=(f"on rows {start:,} to {stop:,}: {error}",))
    last = np.unique(inner.instants[-DEPTH - 1 : -1])
    none = np.zeros(0, dtype=np.int64)
    cuts = Cuts(forced=last[spread(len(last))], others=none, least=1)
    proof = try_cuts(inner, cuts, lambda at: subject.timeline.until(inner.history, at), watch, unknown=True)
    if proof.offence is None or not subject.aligned:
        return proof
    return replace(proof, offence=replace(proof.offence, row=proof.offence.row + start))


def _warming(subject: Subject[History]) -> int:
    """The row of the history from which everything stands that ever does."""
    first = [0]
    for values in columns_of(subject.whole.arrays):
        known = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, dtype=np.bool_)
        stands = known.any(axis=0)
        first += [int(known[:, stands].argmax(axis=0).max())] if stands.any() else []
    row = min(max(first), max(len(subject.whole.at) - 1, 0))
    at = subject.whole.at[row] if len(subject.whole.at) else 0
    return max(subject.stage.from_row, int(np.searchsorted(subject.instants, at)))


def _ends(subject: Subject[History], length: int, rng: np.random.Generator) -> list[int]:
    """Where slices end: so that holes lie among their last bars, then anywhere."""
    edges = subject.timeline.edges(subject.history)
    wanted = np.clip(edges + DEPTH // 2, length, subject.rows)
    slots = np.unique(wanted // (DEPTH // 2), return_index=True)[1]
    at_holes = wanted[slots][spread(len(slots))]
    anywhere = rng.integers(length, subject.rows + 1, size=WINDOWS)
    mixed: list[int] = []
    for k in range(WINDOWS):
        mixed += [int(at_holes[k])] if k < len(at_holes) else []
        mixed.append(int(anywhere[k]))
    return mixed


def _streamed(subject: Subject[History], watch: Watch) -> Proof:
    """Feed the stage bar by bar from several bars on: it holds nothing later, so what it says proves the rest."""
    stretches = range(subject.stage.from_row, subject.rows, STREAMED)
    bars, proof = 0, Proof()
    cheap = min(CHEAP, len(stretches) - 1)
    for number in dict.fromkeys([cheap, *spread(len(stretches)).tolist()]):
        start = stretches[number]
        seen, proof = _one_stretch(subject, start, min(start + STREAMED, subject.rows), watch)
        bars += seen
        if proof.offence or watch.left < 0.0:
            break
    if proof.offence or proof.failures:
        return replace(proof, looked=bars)
    return Proof(looked=bars, said=(f"streamed {bars:,} of {subject.rows - subject.stage.from_row:,} bars",))


def _one_stretch(subject: Subject[History], start: int, stop: int, watch: Watch) -> tuple[int, Proof]:
    assert subject.stage.stream
    seen = [start]

    def pieces() -> Iterator[History]:
        if start:
            yield subject.timeline.between(subject.history, 0, start)
        for row in range(start, stop):
            seen[0] = row + 1
            yield subject.timeline.between(subject.history, row, row + 1)

    done = 0
    try:
        for arrays in subject.stage.stream(pieces()):
            rows = len(next(iter(arrays.values()))) if arrays else 0
            offence = _streamed_offence(subject, arrays, done, seen[0])
            done += rows
            if offence or (watch.left < 0.0 and done - start >= LEAST_STREAMED):
                return max(done - start, 0), Proof(offence=offence)
    except FAILURES as error:
        return max(done - start, 0), Proof(failures=(f"streamed from row {start:,}: {error}",))
    return max(done - start, 0), Proof()


def _streamed_offence(subject: Subject[History], arrays: Arrays, start: int, seen: int) -> Offence | None:
    """The first row of a piece that differs, or that was said after more pieces had been asked for."""
    found: list[Offence] = []
    for name, values in arrays.items():
        if name in subject.stage.ahead or not len(values):
            continue
        mine = subject.whole.arrays[name][start : start + len(values)]
        wrong = (
            differing(mine, values)
            if mine.shape == values.shape
            else np.ones((len(values), 1), dtype=np.bool_)
        )
        place = np.argwhere(wrong)
        late = start + len(values) < seen
        if not len(place) and not late:
            continue
        row = start + (int(place[0][0]) if len(place) else 0)
        sizes = _sizes(mine, values, place)
        what = "was said after later bars were asked for" if late else "is not what the stream says of it"
        found.append(_at(subject.whole, row, f"{name}", what, sizes))
    return min(found, key=lambda offence: offence.row, default=None)


def _sizes(mine: np.ndarray, theirs: np.ndarray, place: np.ndarray) -> float:
    if not len(place) or mine.shape != theirs.shape or mine.dtype.kind not in "fiub":
        return float("nan")
    first = tuple(int(i) for i in place[0])
    return abs(float(mine[first]) - float(theirs[first]))


def _at(whole: Answer, row: int, where: str, what: str, size: float) -> Offence:
    at = int(whole.at[row])
    return Offence(row=row, at=at, where=where, what=what, size=size, knowing=at)
