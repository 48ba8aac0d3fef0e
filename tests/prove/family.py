"""Do the members of the family see what no linear map of past returns can?

Whether the next bar rises depends on the product of the signs of the last two moves: each alone says nothing, and both
together say nothing to a linear map. So DLinear has to stay at a mean of zero, and a member has to remember and
multiply. Both are judged by the squared error of their mean in volatility units, on the same rows.
"""

import time
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from longshort.base.files import digest
from longshort.base.jobs import Job
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.data.bars import Bars
from longshort.data.simulator import bars_of, simulate_market
from longshort.features.catalog import names_on_record
from longshort.features.panel import FeatureStream
from longshort.features.targets import make_targets
from longshort.models.forecaster import Forecaster, Past, volatility_over
from longshort.models.lstm import LSTMForecaster
from longshort.models.networks.catalog import KINDS
from longshort.models.opponents.linear import DLinear
from longshort.study.metrics import per_instant
from longshort.study.significance import LEVEL, skill_test

from . import plan as plans
from .data import Proved
from .record import Claim
from .work import run

MARKETS = {plans.FULL: 5, plans.SAMPLE: 1}
YARDSTICKS = ("gru",)
COINS, BARS, EDGE = 4, 4_000, 0.35
HORIZONS = (1,)
NAMES = ("return_1", "range_1")  # of the last bar alone: the move before it is for a memory to keep
TRAIN, VALIDATION, TEST = range(2_400), range(2_401, 2_900), range(2_901, BARS - 1)
TRAINING = TrainingSettings(
    steps=400,
    learning_rate=5e-3,
    check_every=40,
    chunk_bars=64,
    burn_in_bars=16,
    batch_chunks=24,
    patience=10,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How much of DLinear's squared error a member saves on one market, in percent, and how sure that is."""

    kind: str
    gain_percent: float
    p_value: float
    seconds: float


def product_market(seed: int) -> Bars:
    """A market without drift, to whose every move is added `EDGE` deviations times the signs of the two before it."""
    plain = simulate_market(COINS, BARS, seed=70_000 + seed)
    std = plain.truth.std
    moved = np.diff(np.log(plain.bars.close), axis=0, prepend=np.nan)
    moved[0] = 0.0
    for t in range(2, BARS):
        moved[t] += EDGE * std[t - 1] * np.sign(moved[t - 1] * moved[t - 2])
    inside = np.vstack([std[:1], std[:-1]])
    return bars_of(plain.bars.closed_at, moved, inside, seed=70_000 + seed)


def seen(asked: tuple[str, int]) -> Seen:
    """Fit a member and DLinear on one market and compare the means that they state of the rows that follow."""
    began = time.perf_counter()
    kind, seed = asked
    bars = product_market(seed)
    panel, targets = (
        FeatureStream(bars.symbols, names_on_record(bars)).extend(bars),
        make_targets(bars, HORIZONS),
    )
    past = Past.cut(panel, targets, TRAIN, VALIDATION, NAMES)
    model = ModelSettings(
        kind=kind, hidden=16, window=8, dropout=0.0, seeds=(1,), restart_rows=64, anchor="har"
    )
    unit = volatility_over(panel, HORIZONS)[TEST.start : TEST.stop, :, 0]
    came = targets.log_return[TEST.start : TEST.stop, :, 0]

    def error(forecaster: Forecaster) -> Float64[np.ndarray, " time"]:
        mean = forecaster.fit(past).predict(panel, TEST).law.mean()[:, :, 0]
        return per_instant(((came - mean) / unit) ** 2)

    linear, own = error(DLinear(HORIZONS)), error(LSTMForecaster(HORIZONS, model, TRAINING))
    test = skill_test(linear - own, bars.grid_row[TEST.start : TEST.stop], horizon_bars=1)
    return Seen(
        kind=kind,
        gain_percent=float(100.0 * test.mean / np.nanmean(linear)),
        p_value=test.p_value,
        seconds=time.perf_counter() - began,
    )


def prove_family(plan: plans.Plan) -> Proved:
    """Every member that is no yardstick beats DLinear where the edge is not linear."""
    members = [kind for kind in KINDS if kind.key not in YARDSTICKS]
    asked = [(kind.key, seed) for kind in members for seed in range(MARKETS[plan])]
    jobs = [Job(key=digest(f"family {one}", plans.code()), function=seen, arguments=(one,)) for one in asked]
    found: list[Seen] = run("members where the edge is not linear", jobs)
    claims: list[Claim] = []
    for kind in members:
        own = [one for one in found if one.kind == kind.key]
        gain = sum(one.gain_percent for one in own) / len(own)
        hits = sum(one.p_value < LEVEL for one in own)
        claims.append(
            Claim(
                title=f"The edge is a product of signs: {kind.name} saves {gain:.2f} % of DLinear's squared error",
                counted="markets in which it beats DLinear, p below .05",
                hits=hits,
                of=len(own),
                claim="more than half",
                holds=2 * hits > len(own),
            )
        )
    return claims, sum(one.seconds for one in found), ()
