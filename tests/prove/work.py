"""Doing jobs that are not done yet, and saying how far it is."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longshort.base.jobs import Job, run_jobs, usable_processors

CACHE = Path("runs/proofs")


def run(what: str, jobs: Sequence[Job]) -> list[Any]:
    """Do the jobs that are not done, and say how far it is."""
    began = said = time.monotonic()
    results: dict[int, object] = {}
    for index, result in run_jobs(jobs, cache=CACHE, processes=usable_processors()):
        results[index] = result
        now = time.monotonic()
        if now - said > 20 or len(results) == len(jobs):
            said = now
            sys.stderr.write(f"{what}: {len(results)} of {len(jobs)} after {now - began:.0f} s\n")
    return [results[k] for k in range(len(jobs))]
