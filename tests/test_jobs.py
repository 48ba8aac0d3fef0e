"""Long work resumes, and ends at once when it is told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longshort.base.jobs import Job, WorkerLost, run_jobs

SLEEPERS = """
import sys, time
from pathlib import Path
from longshort.base.jobs import Job, run_jobs

if __name__ == "__main__":
    jobs = [Job(key="quick", function=len, arguments=("abc",))]
    jobs += [Job(key=f"slow{k}", function=time.sleep, arguments=(600,)) for k in range(2)]
    for index, _ in run_jobs(jobs, cache=Path(sys.argv[1]), processes=2):
        print("done", index, flush=True)
"""


def test_a_finished_job_is_not_run_again(tmp_path: Path) -> None:
    first = dict(run_jobs([Job(key="a", function=os.getpid)], cache=tmp_path))
    (tmp_path / "ran").touch()

    again = dict(
        run_jobs([Job(key="a", function=Path.unlink, arguments=(tmp_path / "ran",))], cache=tmp_path)
    )

    assert again == first
    assert (tmp_path / "ran").exists()


def test_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    dict(run_jobs([Job(key="a", function=len, arguments=("abc",))], cache=tmp_path))
    (tmp_path / "a.pickle").write_bytes(b"\x80")

    assert dict(run_jobs([Job(key="a", function=len, arguments=("abc",))], cache=tmp_path)) == {0: 3}


def test_a_worker_that_dies_is_one_clear_sentence(tmp_path: Path) -> None:
    jobs = [Job(key=f"{k}", function=os._exit, arguments=(9,)) for k in range(2)]

    with pytest.raises(WorkerLost, match=r"a worker process died.*training.processes"):
        dict(run_jobs(jobs, processes=2))


def test_an_interrupt_ends_the_workers_at_once_and_keeps_what_was_finished(tmp_path: Path) -> None:
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    process = subprocess.Popen(  # noqa: S603 our own script
        [sys.executable, str(script), str(tmp_path / "cache")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "done 0\n"

    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    process.wait(timeout=60)

    assert time.monotonic() - began < 30
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["quick.pickle"]
    process.stdout.close()
