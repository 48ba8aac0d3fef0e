"""Is an edge claimed where there is none, found where one of known size is, and a law seen that a textbook knows?"""

import time
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np

from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.study.evidence.oracle import behind
from longshort.study.metrics import mean_loss, per_instant
from longshort.study.significance import LEVEL, critical_value, holm, lags_for, long_run_variance, skill_test

from .verdicts import case_made

STRICT = 0.01
COINS = 3
EDGE = 0.1
POWER_Z, LEVEL_Z = 0.8416, 1.6449  # 80 % power, one-sided 5 %
TIMES_THEORY = 3
TRAIN_SHARE = 0.4
HORIZONS = (1, 4, 24)
SHAPES = {
    "gjr": (6, 20_000),
    "market": (3, 16_000),
}  # coins and bars; a network needs more than three parameters do


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A market without drift or edge: p-values by question, and whether Holm at 1 % calls any of them an edge."""

    p_values: dict[str, float]
    seconds: float

    @property
    def claims(self) -> bool:
        """True where an edge is claimed."""
        return min(holm(list(self.p_values.values()))) < STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A known edge: was it found in the oracle's forecasts, and in the network's at three times the rows?"""

    rows: int
    oracle: bool
    network: bool
    oracle_accuracy: float
    network_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Nats behind the true law, one bar ahead, by forecaster."""

    law: str
    behind: dict[str, float]
    seconds: float


def small(**tables: object) -> dict[str, dict[str, object]]:
    """Three coins, one small network, two folds, the opponents that no study can do without."""
    plain: dict[str, dict[str, object]] = {
        "model": {"hidden": 16, "seeds": [1], "anchor": "har", "readout": 0},
        "training": {
            "steps": 60,
            "check_every": 10,
            "chunk_bars": 96,
            "burn_in_bars": 24,
            "batch_chunks": 24,
            "processes": 1,
        },
        "validation": {"folds": 2, "opponents": []},
    }
    for name, table in tables.items():
        plain[name] = plain.get(name, {}) | dict(table)  # type: ignore[call-overload]
    return plain


def silent(seed: int) -> Silent:
    """Three coins of symmetric GARCH-t without drift: whatever is found there is luck."""
    began = time.perf_counter()
    data = {"source": "embedded", "embedded_law": "garch", "embedded_coins": COINS, "embedded_bars": 4_000}
    case = case_made(Study.parse(small(data=data | {"embedded_seed": 40_000 + seed})))
    p = {(c.opponent, c.metric, c.horizon_bars): c.p_value for c in case.comparisons}
    found = {f"direction {h}": max(p["majority", "accuracy", h], p["majority", "brier", h]) for h in HORIZONS}
    found["profit"] = p.get(("cash", "net_return", 4), 1.0)
    return Silent(p_values=found, seconds=time.perf_counter() - began)


def planted(seed: int) -> Planted:
    """The oracle is judged on as many rows as theory asks for 80 % power, the network on three times as many."""
    began = time.perf_counter()
    rows = theory_rows()
    data = {
        "source": "embedded",
        "embedded_coins": COINS,
        "embedded_bars": int(np.ceil(TIMES_THEORY * rows / (1.0 - TRAIN_SHARE))) + 10,
        "embedded_edge": EDGE,
        "embedded_seed": 50_000 + seed,
    }
    training = {"steps": 150, "check_every": 15}
    study = Study.parse(small(data=data, training=training, target={"horizons": [1, 4]}))
    case = case_made(study)
    own = next(
        c for c in case.comparisons if (c.opponent, c.metric, c.horizon_bars) == ("majority", "accuracy", 1)
    )
    truth = simulate_market(COINS, study.data.embedded_bars, edge=EDGE, seed=study.data.embedded_seed).truth
    tested = case.walk.tested
    came, mean = case.truth.outcome[:rows, :, 0], truth.mean[tested.start : tested.start + rows]
    gain = _gain(came, mean, case.truth.up_share[:rows, :, 0] - 0.5)
    grid_row = case.market.bars.grid_row[tested.start : tested.start + rows]
    return Planted(
        rows=rows,
        oracle=skill_test(per_instant(gain), grid_row, horizon_bars=1).p_value < LEVEL,
        network=own.p_value < LEVEL,
        oracle_accuracy=float(np.nanmean((came > 0.0) == (mean > 0.0))),
        network_accuracy=1.0 - mean_loss(case.losses[case.model]["miss"][:, :, 0]),
        seconds=time.perf_counter() - began,
    )


@lru_cache(maxsize=1)
def theory_rows() -> int:
    """How many instants the house's test needs to find the oracle's direction four times out of five.

    The gain of naming the oracle's sign over naming the commoner one has a mean and a long-run variance, taken from a
    long simulation; the t-value must exceed the fixed-b critical value of the bandwidth that so many instants have.
    """
    long = simulate_market(COINS, 120_000, edge=EDGE, seed=7)
    came = np.diff(np.log(long.bars.close), axis=0)
    gain = per_instant(_gain(came, long.truth.mean[:-1], np.ones_like(came)))
    mean, variance = float(np.nanmean(gain)), long_run_variance(gain, lags=lags_for(len(gain), 1))
    for rows in range(200, 100_000, 10):
        critical = critical_value(LEVEL_Z, (lags_for(rows, 1) + 1) / rows)
        if sqrt(rows) * mean / sqrt(variance) >= critical + POWER_Z:
            return rows
    raise AssertionError("so small an edge needs more rows than anybody has")


def known(asked: tuple[str, int]) -> Known:
    """A market of a known law: who comes how near to it, one bar ahead."""
    began = time.perf_counter()
    law, seed = asked
    coins, bars = SHAPES[law]
    data = {"source": "embedded", "embedded_law": law, "embedded_coins": coins, "embedded_bars": bars}
    study = Study.parse(
        small(
            data=data | {"embedded_seed": 60_000 + seed},
            model={"hidden": 48, "seeds": [1, 2, 3], "anchor": "har", "readout": 0},
            training={"steps": 150, "batch_chunks": 48, "chunk_bars": 192, "burn_in_bars": 48},
            validation={"opponents": ["garch", "gjr-garch"], "first_train_share": 0.6},
        )
    )
    gaps = behind(case_made(study))
    return Known(
        law=law,
        behind={name: float(np.nanmean(per_instant(gap))) for name, gap in gaps.items()},
        seconds=time.perf_counter() - began,
    )


def _gain(came: np.ndarray, lean: np.ndarray, majority: np.ndarray) -> np.ndarray:
    """How much less often a lean is wrong than the majority; NaN where nothing moved."""
    moved = np.isfinite(came) & (came != 0.0)
    right, beside = (came > 0.0) == (lean > 0.0), (came > 0.0) == (majority > 0.0)
    return np.where(moved, right.astype(float) - beside.astype(float), np.nan)
