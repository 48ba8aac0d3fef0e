"""Is a clean study ever accused? The audit of small honest studies on markets with holes, one market a seed."""

import time
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.study.audit.pipeline import audited_study, pipeline_of
from longshort.study.audit.run import audit
from longshort.study.market import Market
from tests.markets import punched

SECONDS = 12.0  # what an audit may take here; its least cuts are made however long they take
COINS, BARS = 2, 3_000
ABSENT = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """How many checks a study was held to, and which of them accused it or were not made."""

    checks: int
    alarms: tuple[str, ...]
    left_out: int
    seconds: float


def audited(seed: int) -> Audited:
    """Audit a study whose bars, features, fits and books are honest."""
    began = time.perf_counter()
    study = audited_study(_study(), thorough=False)
    bars = punched(
        simulate_market(COINS, BARS, seed=60_000 + seed).bars, np.random.default_rng(seed), share=ABSENT
    )
    market = Market.of(study, bars)
    with patch("longshort.study.walk.open_market", lambda asked: market):  # bars with holes are in no lake
        pipeline = pipeline_of(market)
    found = audit(pipeline, seconds=SECONDS, seed=seed)
    return Audited(
        checks=len(found.findings),
        alarms=tuple(f"{f.stage}: {f.check}: {f.detail}" for f in found.alarms),
        left_out=sum(f.outcome == "not run" for f in found.findings),
        seconds=time.perf_counter() - began,
    )


def _study() -> Study:
    return Study.parse(
        {
            "model": {"hidden": 8, "seeds": [1], "restart_rows": 64},
            "training": {
                "steps": 20,
                "check_every": 10,
                "chunk_bars": 96,
                "burn_in_bars": 24,
                "batch_chunks": 16,
                "processes": 1,
            },
            "validation": {"folds": 2, "first_train_share": 0.6},
            "policy": {"entry_cost_multiple": 0.02},
        }
    )
