"""The search itself: Optuna proposes, jobs judge fold by fold, and what lags behind the median is given up.

Every trial lies in an SQLite file as soon as it is told, so that an interrupted search goes on: what it proposes next
depends on the trials that are finished and on nothing else. With one process the same search gives the same trials.
"""

import fcntl
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from longshort.base.clock import Clock
from longshort.base.errors import DataError, MissingExtra, StudyError
from longshort.base.jobs import Job, run_lanes
from longshort.base.searching import Value
from longshort.base.settings import Study
from longshort.study.tuning.ground import Ground
from longshort.study.tuning.objective import FoldScore, Unfit, fold_job
from longshort.study.tuning.space import Part, Space, Span, own_values, with_values

if TYPE_CHECKING:
    import optuna

RANDOM_FIRST = 6  # trials before the sampler has seen enough to lean on them
JUDGED_FIRST = 4  # trials that are judged in full before any is given up
SEEDS_APART = 100_003  # of the sampler from one trial to the next
TOLD = "told"  # under which Optuna keeps what it has no place of its own for

State = Literal["complete", "given up", "unfit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One trial that has ended: what it set, and its gain over HAR-t on each inner fold that it was judged on.

    Number 0 is the study as it stands. `reason` says why a trial could not be fitted.
    """

    number: int
    values: Mapping[str, Value]
    state: State
    folds: tuple[float, ...]
    reason: str = ""

    @property
    def score(self) -> float:
        """The mean over the folds it was judged on; NaN without any."""
        return float(np.mean(self.folds)) if self.folds else nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How far a search goes: so many trials in all, none begun after `until` (0: no end), so many at once."""

    trials: int
    until: int = 0
    processes: int = 1


@dataclass(slots=True)
class _Running:
    trial: "optuna.Trial"
    number: int
    study: Study
    folds: list[float] = field(default_factory=list[float])


class Search:
    """One search in an SQLite file; `heard` is told of every trial that was judged, and when it ended.

    Use `opened` to have it alone.
    """

    def __init__(self, ground: Ground, path: Path, heard: Callable[[Attempt, Study], None]) -> None:
        self.ground = ground
        self._heard = heard
        self._optuna = _library()
        self._study = self._optuna.create_study(
            study_name=ground.digest(),
            storage=self._optuna.storages.RDBStorage(f"sqlite:///{path}"),
            direction="maximize",
            load_if_exists=True,
            pruner=self._optuna.pruners.MedianPruner(n_startup_trials=JUDGED_FIRST, n_warmup_steps=0),
        )
        self._running: dict[int, _Running] = {}

    @classmethod
    @contextmanager
    def opened(
        cls, ground: Ground, path: Path, heard: Callable[[Attempt, Study], None] = lambda attempt, study: None
    ) -> Generator["Search"]:
        """Hold the file alone; raise `DataError` where another search does."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            search = cls(ground, path, heard)
            search._forget_interrupted()
            yield search
        except BlockingIOError as error:
            raise DataError("another search is going on here.", where=path, remedy="Wait for it.") from error
        finally:
            os.close(handle)  # and with it the lock

    def run(self, plan: Plan, clock: Clock, cache: Path | None) -> None:
        """Go on until there are as many trials as planned, or time is up; what runs then is judged to its end."""
        lanes = range(min(plan.processes, max(0, plan.trials - len(self.attempts()))))
        first = [job for lane in lanes if (job := self._begin(lane, plan, clock)) is not None]
        run_lanes(first, lambda lane, result: self._follow(lane, result, plan, clock), cache=cache)

    def attempts(self) -> tuple[Attempt, ...]:
        """Every trial that has ended, by number."""
        states = self._optuna.trial.TrialState
        ended = self._study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
        return tuple(sorted((_attempt(one) for one in ended), key=lambda one: one.number))

    def importances(self) -> dict[str, float]:
        """How much of the difference between good trials and all lies in each setting; empty with too few trials.

        PED-ANOVA of Watanabe, Bansal and Hutter (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance
        in arbitrary subspaces": the quarter of trials that did best against all that were judged in full.
        """
        complete = [one for one in self.attempts() if one.state == "complete"]
        if len(complete) < 2 * JUDGED_FIRST or len({one.score for one in complete}) < 2:
            return {}
        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        return dict(self._optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def _begin(self, lane: int, plan: Plan, clock: Clock) -> Job | None:
        """Ask for a trial that can be fitted at all, and name its first job."""
        while True:
            taken = {one.number for one in (*self.attempts(), *self._running.values())}
            number = next(k for k in range(len(taken) + 1) if k not in taken)
            if number >= plan.trials or (plan.until and clock.now() >= plan.until and number > 0):
                return None
            trial = self._ask(number)
            try:
                study = with_values(self.ground.study, self.ground.space, trial.params)
            except StudyError as error:
                self._tell(_Running(trial, number, self.ground.study), "unfit", str(error))
                continue
            self._running[lane] = _Running(trial, number, study)
            return fold_job(self.ground, study, 0)

    def _ask(self, number: int) -> "optuna.Trial":
        """The proposal of a number, by a sampler whose seed is that number's alone."""
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=self.ground.study.tuning.search_seed * SEEDS_APART + number,
            n_startup_trials=RANDOM_FIRST,
        )
        waiting = (self._optuna.trial.TrialState.WAITING,)
        if number == 0 and not self._study.get_trials(deepcopy=False, states=waiting):
            self._study.enqueue_trial(own_values(self.ground.study, self.ground.space))
        return self._study.ask(distributions(self.ground.space))

    def _follow(self, lane: int, result: FoldScore | Unfit, plan: Plan, clock: Clock) -> Job | None:
        """Hear of a fold, and name the lane's next job."""
        running = self._running[lane]
        if isinstance(result, Unfit) or not isfinite(result.gain):
            self._unfit(running, result.reason if isinstance(result, Unfit) else "its score is not finite.")
        else:
            running.folds.append(result.gain)
            running.trial.report(float(np.mean(running.folds)), step=len(running.folds))
            if len(running.folds) == len(self.ground.folds):
                self._tell(running, "complete")
            elif running.number and running.trial.should_prune():
                self._tell(running, "given up")
            else:
                return fold_job(self.ground, running.study, len(running.folds))
        del self._running[lane]
        return self._begin(lane, plan, clock)

    def _unfit(self, running: _Running, reason: str) -> None:
        if running.number == 0:
            raise StudyError(f"the study as it stands cannot be fitted on the inner folds: {reason}")
        self._tell(running, "unfit", reason)

    def _tell(self, running: _Running, state: State, reason: str = "") -> None:
        """Write a trial down: first where all tries are counted, then in the search."""
        trial = running.trial
        attempt = Attempt(
            number=running.number,
            values=trial.params,
            state=state,
            folds=tuple(running.folds),
            reason=reason,
        )
        self._heard(attempt, running.study)
        told = {"number": running.number, "state": state, "folds": running.folds, "reason": reason}
        trial.set_user_attr(TOLD, told)
        if state == "complete":
            self._study.tell(trial, attempt.score)
        else:
            self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)

    def _forget_interrupted(self) -> None:
        """Trials that ran when a search ended are no trials; their numbers are proposed again."""
        states = self._optuna.trial.TrialState
        for one in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            self._study.tell(one.number, state=states.FAIL)


def distributions(space: Space) -> dict[str, Any]:
    """A space as Optuna writes it."""
    return {name: _distribution(part) for name, part in space.parts.items()}


def best_of(attempts: Sequence[Attempt]) -> Attempt:
    """The trial with the highest score among those judged on every fold; the earliest of equals."""
    return max((one for one in attempts if one.state == "complete"), key=lambda one: one.score)


def _distribution(part: Part) -> Any:
    kinds = _library().distributions
    if not isinstance(part, Span):
        return kinds.CategoricalDistribution(part.options)
    if part.whole:
        return kinds.IntDistribution(int(part.low), int(part.high), log=part.log)
    return kinds.FloatDistribution(part.low, part.high, log=part.log)


def _attempt(one: Any) -> Attempt:
    told = cast("dict[str, Any]", one.user_attrs[TOLD])
    return Attempt(
        number=told["number"],
        values=dict(one.params),
        state=told["state"],
        folds=tuple(told["folds"]),
        reason=told["reason"],
    )


def _library() -> Any:
    """Optuna, in silence; raise `MissingExtra` without it."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra(error.name or "optuna", "tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
