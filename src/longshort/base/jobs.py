"""Long work as pure functions of their inputs: cached by a hash of those inputs, so that it resumes.

A job's function must be importable and its arguments must survive pickling. Nothing here knows what is run.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longshort.base.errors import LongshortError
from longshort.base.files import write_atomically


class WorkerLost(LongshortError):
    """A process that worked on a job is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call: `key` must hash everything the result depends on, the program's version included."""

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = field(default=())


def run_jobs(
    jobs: Sequence[Job], *, cache: Path | None = None, processes: int = 1
) -> Iterator[tuple[int, Any]]:
    """Yield `(index, result)` in the order in which jobs finish; finished ones are never run again.

    >>> dict(run_jobs([Job(key="a", function=len, arguments=("abc",))]))
    {0: 3}
    """
    waiting: list[int] = []
    for index, job in enumerate(jobs):
        known = _recall(cache, job)
        if known is None:
            waiting.append(index)
        else:
            yield index, known[0]
    for index, result in _compute(jobs, waiting, processes):
        _remember(cache, jobs[index], result)
        yield index, result


def run_lanes(
    first: Sequence[Job], follow: Callable[[int, Any], Job | None], *, cache: Path | None = None
) -> None:
    """Run one job after the other in each of some lanes, one process per lane.

    `follow(lane, result)` hears each result and names the lane's next job, or None where the lane ends. A single lane
    runs in this process.

    >>> heard = []
    >>> run_lanes([Job(key="a", function=len, arguments=("abc",))], lambda lane, result: heard.append(result))
    >>> heard
    [3]
    """
    if len(first) > 1:
        _run_side_by_side(first, follow, cache)
        return
    for job in first:
        following: Job | None = job
        while following is not None:
            following = follow(0, _outcome(following, cache))


def usable_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compute(jobs: Sequence[Job], waiting: list[int], processes: int) -> Iterator[tuple[int, Any]]:
    if processes <= 1 or len(waiting) <= 1:
        for index in waiting:
            yield index, jobs[index].function(*jobs[index].arguments)
        return
    with _workers(min(processes, len(waiting))) as pool:
        futures: dict[Future[Any], int] = {
            pool.submit(jobs[i].function, *jobs[i].arguments): i for i in waiting
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


def _run_side_by_side(
    first: Sequence[Job], follow: Callable[[int, Any], Job | None], cache: Path | None
) -> None:
    with _workers(len(first)) as pool:
        running = {pool.submit(_outcome, job, cache): lane for lane, job in enumerate(first)}
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(finished, key=lambda one: running[one]):
                lane = running.pop(future)
                job = follow(lane, future.result())
                if job is not None:
                    running[pool.submit(_outcome, job, cache)] = lane


def _outcome(job: Job, cache: Path | None) -> Any:
    """The result of a job, kept."""
    known = _recall(cache, job)
    if known is not None:
        return known[0]
    result = job.function(*job.arguments)
    _remember(cache, job, result)
    return result


@contextlib.contextmanager
def _workers(count: int) -> Generator[ProcessPoolExecutor]:
    """Processes that end with the work, however it ends."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_leave_interrupts)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise WorkerLost(
            "a worker process died, most likely for want of memory.",
            remedy="Set training.processes to 1, or use fewer bars; finished work is kept.",
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


def _leave_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; only the one that waits for the others should answer it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _recall(cache: Path | None, job: Job) -> tuple[Any] | None:
    if cache is None:
        return None
    with contextlib.suppress(FileNotFoundError, EOFError, pickle.UnpicklingError):
        return (pickle.loads((cache / f"{job.key}.pickle").read_bytes()),)  # noqa: S301 our own cache
    return None


def _remember(cache: Path | None, job: Job, result: object) -> None:
    if cache is not None:
        body = pickle.dumps(result)
        write_atomically(cache / f"{job.key}.pickle", lambda path: _dump(path, body))


def _dump(path: Path, body: bytes) -> None:
    path.write_bytes(body)
