"""What is proved and how often, in full and as a sample of about five minutes on two cores."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from longshort.base.files import digest
from longshort.base.jobs import Job
from longshort.base.settings import Study

from . import leaks, verdicts

ROOT = Path(__file__).parents[2]
CODE = (
    *sorted((ROOT / "src" / "longshort").rglob("*.py")),
    *sorted(Path(__file__).parent.glob("*.py")),
    ROOT / "tests" / "markets.py",
    ROOT / "requirements.lock",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many markets of each kind, and every how many bars a leak is looked for."""

    honest: int
    planted: int
    leak_markets: int
    every_bars: int


FULL = Plan(honest=500, planted=100, leak_markets=8, every_bars=1)
SAMPLE = Plan(honest=80, planted=10, leak_markets=1, every_bars=10)
EDGES = (0.1, 0.15, 0.2)


def study_of(**data: object) -> Study:
    """Three coins for 4,000 hours, one small network, two folds: three seconds per market."""
    return Study.parse(
        {
            "data": {"source": "embedded", "embedded_coins": 3, "embedded_bars": 4_000, **data},
            "model": {"hidden": 16, "seeds": [1]},
            "training": {
                "steps": 60,
                "learning_rate": 2e-3,
                "check_every": 10,
                "chunk_bars": 96,
                "burn_in_bars": 24,
                "batch_chunks": 24,
                "processes": 1,
            },
            "validation": {"folds": 2},
        }
    )


def honest_jobs(plan: Plan) -> list[Job]:
    """Markets without an edge, one seed each."""
    return [_judged(study_of(embedded_seed=10_000 + k)) for k in range(plan.honest)]


def planted_jobs(plan: Plan, edge: float) -> list[Job]:
    """Markets in which moves partly reverse."""
    return [_judged(study_of(embedded_seed=20_000 + k, embedded_edge=edge)) for k in range(plan.planted)]


def leak_jobs(plan: Plan) -> list[Job]:
    """Markets with holes, in blocks of test bars; the memory restarts often in every second of them."""
    blocks = [
        leaks.Block(market=market, kind=kind, block=block, every_bars=plan.every_bars)
        for market in range(plan.leak_markets)
        for kind in leaks.KINDS
        for block in range(leaks.BLOCKS)
    ]
    return [_job(f"{block}", leaks.look, block) for block in blocks]


def refit_jobs(plan: Plan) -> list[Job]:
    """Every fold of the same markets, fitted again after everything that it must not know has become noise."""
    return [_job(f"refit {market}", leaks.refit, market) for market in range(plan.leak_markets)]


def stream_jobs(plan: Plan) -> list[Job]:
    """The pilot, fed bar by bar from the first test bar of every fold."""
    return [_job(f"stream {market}", leaks.stream, market) for market in range(plan.leak_markets)]


def control_jobs(plan: Plan) -> list[Job]:
    """A feature that sees the next bar: the search for leaks must find it."""
    return [_job(f"control {plan.every_bars}", leaks.control, plan.every_bars)]


def _judged(study: Study) -> Job:
    return _job(f"judged {study.digest()}", verdicts.judged, study)


def _job(what: str, function: object, argument: object) -> Job:
    assert callable(function)
    return Job(key=digest(what, code()), function=function, arguments=(argument,))


@lru_cache(maxsize=1)
def code() -> str:
    """A hash of the program, the proofs and the libraries: whatever has changed is proved again."""
    hasher = hashlib.sha256()
    for path in CODE:
        hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]
