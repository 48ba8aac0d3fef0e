"""Every check of a pipeline, in one time: what is quick goes first, and what is slow gets the time that is left.

With the same seed the same places are looked at, in the same order; how many is a matter of time. What was not looked
at for want of it is a finding of its own, never silence.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic

import numpy as np

from longshort.base.stage import History, Stage
from longshort.study.audit.answer import FAILURES, Answer, Subject, ask, differing_cells
from longshort.study.audit.causality import poison, truncation
from longshort.study.audit.execution import fills, profit
from longshort.study.audit.fitting import NOISES, fit_isolation, split_gap
from longshort.study.audit.proof import Proof, Watch, finding_of
from longshort.study.audit.record import Audit, Check, Finding, Pipeline
from longshort.study.audit.statistics import batch_size, persistence, shuffled_target

Report = Callable[[str, int, int], None]
DEFAULT_SECONDS = 110.0
QUICK = 1.0  # seconds: a fit that is no slower is tried with several noises


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task(Generic[History]):
    """A stage that was run, and its place among the others."""

    place: int
    subject: Subject[History]


def audit(
    pipeline: Pipeline[History],
    *,
    seconds: float = DEFAULT_SECONDS,
    thorough: bool = False,
    report: Report = lambda what, done, of: None,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Audit:
    """Ask every stage, fit, split, account and scoring whether it knew what it could not have known.

    `seconds` is what it aims at; a few cuts of every stage and one fit are made however long they take.
    """
    began = clock()
    run = _Run(
        pipeline=pipeline, watch=Watch(clock=clock, ends=began + seconds), seed=seed, thorough=thorough
    )
    with np.errstate(all="ignore"):  # noise is wild on purpose
        findings = [*_quick(run), *_accounts(run), *_fits(run, report), *_stages(run, report)]
        findings += _shuffled(run)
    return Audit(findings=tuple(findings), title=pipeline.title, seed=seed, seconds=clock() - began)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run(Generic[History]):
    """One audit that is under way."""

    pipeline: Pipeline[History]
    watch: Watch
    seed: int
    thorough: bool

    def rng(self, *place: int) -> np.random.Generator:
        """Randomness that depends on the seed and on what it is for, not on what was done before."""
        return np.random.default_rng([self.seed, *place])

    def timed(self, check: Callable[[], Finding]) -> Finding:
        """A finding with the seconds that it took."""
        began = self.watch.clock()
        return replace(check(), seconds=self.watch.clock() - began)


def _quick(run: _Run[History]) -> list[Finding]:
    found = [run.timed(lambda s=split: split_gap(s)) for split in run.pipeline.splits]
    found += [run.timed(lambda s=scoring: batch_size(s)) for scoring in run.pipeline.scorings]
    return found + [run.timed(lambda t=told: persistence(t)) for told in run.pipeline.forecasts]


def _accounts(run: _Run[History]) -> list[Finding]:
    found: list[Finding] = []
    history, timeline = run.pipeline.history, run.pipeline.timeline
    for place, account in enumerate(run.pipeline.accounts):
        found.append(run.timed(lambda a=account: fills(a)))
        watch, rng = run.watch.share(0.1), run.rng(1, place)
        found.append(run.timed(lambda a=account, w=watch, r=rng: profit(a, history, timeline, w, r)))
    return found


def _fits(run: _Run[History], report: Report) -> list[Finding]:
    """Refit while two fifths of the time last; all of them in a thorough run."""
    found: list[Finding] = []
    watch, longest = run.watch.share(0.4), 0.0
    history, timeline = run.pipeline.history, run.pipeline.timeline
    for place, fit in enumerate(run.pipeline.fits):
        if found and not run.thorough and watch.left < longest:
            detail = f"a fit takes about {longest:.0f} s: give more time, or run it with --thorough"
            found.append(_unrun(fit.name, "fit isolation", detail))
            continue
        rng = run.rng(2, place)
        once = run.timed(lambda f=fit, r=rng: fit_isolation(f, history, timeline, r, noises=1))
        is_quick = once.outcome == "clean" and once.seconds < QUICK
        more = partial(fit_isolation, fit, history, timeline, rng, noises=NOISES - 1)
        found.append(run.timed(more) if is_quick else once)
        longest = max(longest, found[-1].seconds)
        report("fits", place + 1, len(run.pipeline.fits))
    return found


def _stages(run: _Run[History], report: Report) -> list[Finding]:
    """Run every stage once, then look into them from the quickest to the slowest, each with an equal share."""
    found: dict[int, list[Finding]] = {}
    tasks: list[_Task[History]] = []
    for place, stage in enumerate(run.pipeline.stages):
        task = _first_run(run, place, stage)
        if isinstance(task, Finding):
            found[place] = [task]
        else:
            tasks.append(task)
    for done, task in enumerate(sorted(tasks, key=lambda task: task.subject.seconds)):
        found[task.place] = _look(run, task, 1.0 / (len(tasks) - done))
        report("stages", done + 1, len(tasks))
    return [finding for place in sorted(found) for finding in found[place]]


def _first_run(run: _Run[History], place: int, stage: Stage[History]) -> _Task[History] | Finding:
    """What a stage says of the whole history, if it says it twice."""
    history, timeline = run.pipeline.history, run.pipeline.timeline
    try:
        again = ask(stage, timeline, history)
        began = run.watch.clock()
        whole = ask(stage, timeline, history)
        seconds = run.watch.clock() - began
    except FAILURES as error:
        return _unproven(stage.name, f"it cannot be run on the whole history: {error}")
    if not _same(whole, again):
        return _unproven(stage.name, "two runs on the same history differ, so nothing can be proven of it")
    instants = timeline.instants(history)
    subject = Subject(
        stage=stage, timeline=timeline, history=history, instants=instants, whole=whole, seconds=seconds
    )
    return _Task(place=place, subject=subject)


def _look(run: _Run[History], task: _Task[History], share: float) -> list[Finding]:
    name, clock = task.subject.stage.name, run.watch.clock
    watch, found = run.watch.share(share), list[Finding]()
    for number, (check, prove) in enumerate(_CAUSALITY):
        began = clock()
        proof = prove(task.subject, watch.share(0.5 if number == 0 else 1.0), run.rng(3, task.place, number))
        found.append(finding_of(name, check, proof, clock() - began))
    return found


def _shuffled(run: _Run[History]) -> list[Finding]:
    refit = run.pipeline.shuffled
    if refit is None:
        return []
    if not run.thorough:
        return [_unrun("models", "shuffled target", "it refits every model: run it with --thorough")]
    return [run.timed(lambda: shuffled_target("models", refit, run.rng(4)))]


def _same(whole: Answer, again: Answer) -> bool:
    if not np.array_equal(whole.at, again.at) or not whole.arrays:
        return not whole.arrays and np.array_equal(whole.at, again.at)
    return not differing_cells(whole.arrays, again.arrays).any()


def _unrun(name: str, check: Check, detail: str) -> Finding:
    return Finding(stage=name, check=check, outcome="not run", looked=0, detail=detail)


def _unproven(name: str, detail: str) -> Finding:
    return Finding(stage=name, check="truncation", outcome="warning", looked=0, detail=detail)


_CAUSALITY: tuple[tuple[Check, Callable[..., Proof]], ...] = (("truncation", truncation), ("poison", poison))
