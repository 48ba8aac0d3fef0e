"""What is proved and how often, in full and as a sample of about five minutes on two cores."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from longshort.base.files import digest
from longshort.base.jobs import Job
from longshort.base.settings import Study
from tests.planted import LENGTHS, certify_planted

from . import audits, edges, following, kills, leaks, mixtures, verdicts

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data"
CODE = (
    *sorted((ROOT / "src" / "longshort").rglob("*.py")),
    *sorted(Path(__file__).parent.glob("*.py")),
    *sorted((ROOT / "tests" / "loopback").rglob("*.py")),
    ROOT / "tests" / "markets.py",
    ROOT / "tests" / "paper.py",
    ROOT / "tests" / "planted.py",
    ROOT / "requirements.lock",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many markets of each kind, every how many bars a leak is looked for, and how much is done to the data."""

    honest: int
    planted: int
    silent: int
    known_edge: int
    known_law: int
    drifts: int
    leak_markets: int
    every_bars: int
    audits: int
    kill_batches: int
    kills_per_batch: int
    hours: int
    paper_closes: int
    mixtures: int
    defects: int
    lengths: tuple[str, ...]


FULL = Plan(
    honest=500,
    planted=100,
    silent=200,
    known_edge=60,
    known_law=4,
    drifts=50,
    leak_markets=8,
    every_bars=1,
    audits=50,
    kill_batches=10,
    kills_per_batch=5,
    hours=30,
    paper_closes=1_440,
    mixtures=40,
    defects=500,
    lengths=LENGTHS,
)
SAMPLE = Plan(
    honest=40,
    planted=6,
    silent=10,
    known_edge=2,
    known_law=0,
    drifts=12,
    leak_markets=1,
    every_bars=20,
    audits=2,
    kill_batches=2,
    kills_per_batch=2,
    hours=2,
    paper_closes=60,
    mixtures=3,
    defects=56,
    lengths=("1h",),
)
PLANTED_SEED = 1
EDGES = (0.1, 0.15, 0.2)


def study_of(**data: object) -> Study:
    """Three coins for 4,000 hours, one small network, two folds: three seconds per market."""
    return Study.parse(
        {
            "data": {"source": "embedded", "embedded_coins": 3, "embedded_bars": 4_000, **data},
            "model": {"hidden": 16, "seeds": [1], "anchor": "har", "readout": 0},
            "training": {
                "steps": 60,
                "learning_rate": 2e-3,
                "check_every": 10,
                "chunk_bars": 96,
                "burn_in_bars": 24,
                "batch_chunks": 24,
                "processes": 1,
            },
            "validation": {"folds": 2, "opponents": []},
        }
    )


def honest_jobs(plan: Plan) -> list[Job]:
    """Markets without an edge, one seed each."""
    return [_judged(study_of(embedded_seed=10_000 + k)) for k in range(plan.honest)]


def planted_jobs(plan: Plan, edge: float) -> list[Job]:
    """Markets in which moves partly reverse."""
    return [_judged(study_of(embedded_seed=20_000 + k, embedded_edge=edge)) for k in range(plan.planted)]


def silent_jobs(plan: Plan) -> list[Job]:
    """Textbook markets in which there is nothing to find."""
    return [_job(f"silent {seed}", edges.silent, seed) for seed in range(plan.silent)]


def known_edge_jobs(plan: Plan) -> list[Job]:
    """Markets with an edge that theory says how many rows to find."""
    return [_job(f"known edge {seed}", edges.planted, seed) for seed in range(plan.known_edge)]


def known_law_jobs(plan: Plan) -> list[Job]:
    """Markets of which the law is known: a textbook's, and all that real bars do."""
    asked = [(law, seed) for seed in range(plan.known_law) for law in ("gjr", "market")]
    return [_job(f"known law {one}", edges.known, one) for one in asked]


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


def audit_jobs(plan: Plan) -> list[Job]:
    """Honest studies, one market each."""
    return [_job(f"audited {seed}", audits.audited, seed) for seed in range(plan.audits)]


def kill_jobs(plan: Plan) -> list[Job]:
    """Batches of fetches that are killed."""
    batches = [kills.Batch(seed=k, fetches=plan.kills_per_batch) for k in range(plan.kill_batches)]
    return [_job(f"{batch}", kills.killed, batch) for batch in batches]


def follow_jobs(plan: Plan) -> list[Job]:
    """Hours of market time with a stream that breaks."""
    return [_job(f"followed {seed}", following.followed, seed) for seed in range(plan.hours)]


def mixture_jobs(plan: Plan) -> list[Job]:
    """Fetches through mixtures of faults."""
    return [_job(f"mixed {seed}", mixtures.mixed, seed) for seed in range(plan.mixtures)]


def planted_defect_jobs(plan: Plan) -> list[Job]:
    """Defects in real bars."""
    asked = (plan.defects, PLANTED_SEED, REAL, plan.lengths)
    return [
        Job(
            key=digest(f"defects {asked[:2]} {plan.lengths}", code()),
            function=certify_planted,
            arguments=asked,
        )
    ]


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
