"""What a training will take, measured on this machine with this study's own shapes before it starts."""

import resource
import sys
import time
from dataclasses import dataclass

import torch

from longshort.base.settings import Study
from longshort.models.forecaster import Past
from longshort.models.training.fitting import Trainer

TRIAL_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds and bytes at most: early stopping can only shorten it."""

    seconds: float
    bytes: int

    def __str__(self) -> str:
        return f"at most {_duration(self.seconds)} and about {self.bytes / 2**30:.1f} GiB"


def estimate(past: Past, study: Study, *, fits: int, processes: int) -> Estimate:
    """Time a few steps and one validation, and scale them up to all fits."""
    torch.set_num_threads(1)
    trainer = Trainer(past, study.model, study.training, 0, past.train)
    trainer.step(1)
    began = time.perf_counter()
    for number in range(TRIAL_STEPS):
        trainer.step(number + 1)
    per_step = (time.perf_counter() - began) / TRIAL_STEPS
    began = time.perf_counter()
    trainer.validate()
    checks = study.training.steps / study.training.check_every
    per_fit = 2 * per_step * study.training.steps + (time.perf_counter() - began) * checks
    together = max(1, min(processes, fits))
    rounds = -(-fits // together)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS and in KiB on Linux
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return Estimate(seconds=per_fit * rounds, bytes=resident * (together + 1))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
