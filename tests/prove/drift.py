"""Does the adaptive loop win back what a change of regime costs, and does it leave alone what has not changed?

Markets are the embedded one with its hours of the day made stronger; where they change, the hours move by twelve.
Skill is the log score in nats per bar, one bar ahead, the mean over coins. What a change costs is the distance in the
first 500 bars after it between the model that was fitted before it and one that was fitted, with hindsight, on all
rows that follow it. Recovered is the share of that cost which is no longer there over the 1,000 bars after those 500,
for whichever model was in charge when they began: later promotions count for nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from longshort.base.files import digest
from longshort.base.jobs import Job
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import HOUR_OF_DAY, simulate_market
from longshort.models.forecaster import Fitted
from longshort.models.opponents.scale import HAR, ScaleModel, har
from longshort.study.drift.events import Drifted
from longshort.study.drift.lineage import Lineage, Rules
from longshort.study.drift.loop import adapt
from longshort.study.drift.shadow import fit, fold_known, score
from longshort.study.market import Market

from . import plan as plans
from .data import Proved
from .record import Claim
from .work import run

COINS, FIRST, CHANGE, WITHIN, JUDGED = 3, 2_200, 3_000, 500, 1_000
BARS = CHANGE + WITHIN + JUDGED
STRENGTH = (
    3.0  # a power of the embedded market's hours: the wildest has four times the deviation of the calmest
)
MOVED_HOURS = 12
UNCHANGED = 0.05
RULES = Rules(window_bars=2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """How one market went: what its change cost, which share came back, and what was done meanwhile.

    `delay` is the first alarm after the change in bars, None without one; `aside` the share of rows
    without new exposure.
    """

    cost_nats: float
    recovered: float
    frozen_recovered: float
    promotions: int
    alarms: int
    delay: int | None
    aside: float
    seconds: float


def lived(seed: int, changes: bool) -> Lived:
    """Let the loop run over one market."""
    began = time.perf_counter()
    market = market_of(seed, changes=changes)
    forecaster = ScaleModel(HAR, (1,), har)
    lineage = adapt(market, forecaster, RULES, rows=range(FIRST, BARS))
    hindsight = fit(market, forecaster, fold_known(CHANGE, BARS, max_horizon_bars=1, validation_share=0.15))
    frozen, kept = (
        lineage.models[0].fitted,
        lineage.models[int(lineage.champion[CHANGE + WITHIN - FIRST])].fitted,
    )
    soon, late = range(CHANGE, CHANGE + WITHIN), range(CHANGE + WITHIN, BARS - 1)
    cost = _skill(market, hindsight, soon) - _skill(market, frozen, soon)
    best = _skill(market, hindsight, late)
    return Lived(
        cost_nats=cost,
        recovered=1.0 - (best - _skill(market, kept, late)) / cost,
        frozen_recovered=1.0 - (best - _skill(market, frozen, late)) / cost,
        promotions=lineage.promotions,
        alarms=sum(isinstance(event, Drifted) and event.what in RULES.retrain_on for event in lineage.events),
        delay=_delay(market, lineage),
        aside=1.0 - float(lineage.adding.mean()),
        seconds=time.perf_counter() - began,
    )


def market_of(seed: int, *, changes: bool) -> Market:
    """A market whose hours of the day matter more, and move by twelve at `CHANGE` where it changes."""
    study = Study.parse(
        {"target": {"horizons": [1]}, "policy": {"horizon_bars": 1}, "features": {"names": ["return_1"]}}
    )
    bars = simulate_market(COINS, BARS, seed=70_000 + seed).bars
    hour = bars.opened_at // bars.interval.ns % 24
    moved = np.where(changes & (np.arange(BARS) >= CHANGE), MOVED_HOURS, 0)
    usual = HOUR_OF_DAY / HOUR_OF_DAY.mean()
    return Market.of(study, scaled(bars, usual[(hour + moved) % 24] ** STRENGTH / usual[hour]))


def scaled(bars: Bars, times: Float64[np.ndarray, " time"]) -> Bars:
    """The same market with every bar's move, inside and from close to close, a multiple of what it was."""
    before = np.log(np.vstack([bars.open[:1], bars.close[:-1]]))
    moves = {
        name: (np.log(getattr(bars, name)) - before) * times[:, None]
        for name in ("open", "high", "low", "close")
    }
    close = before[0] + np.cumsum(moves["close"], axis=0)
    start = np.vstack([before[:1], close[:-1]])
    return replace(bars, **{name: np.exp(start + move) for name, move in moves.items()})


def drift_jobs(runs: int, *, changes: bool) -> list[Job]:
    """One market each."""
    return [
        Job(
            key=digest(f"lived {seed} {changes}", plans.code()),
            function=lived,
            arguments=(seed, changes),
        )
        for seed in range(runs)
    ]


def prove_drift(plan: plans.Plan) -> Proved:
    """The loop recovers within 500 bars, the frozen model does not, and unchanged markets see no promotion."""
    return proved(plan.drifts)


def proved(runs: int) -> Proved:
    """The claims over so many markets of each kind."""
    changed: list[Lived] = run("markets that change", drift_jobs(runs, changes=True))
    same: list[Lived] = run("markets that do not change", drift_jobs(runs, changes=False))
    claims = [
        _recovery(changed),
        _frozen(changed),
        _left_alone(same),
    ]
    return claims, sum(found.seconds for found in (*changed, *same)), (_note(changed, same),)


def _recovery(found: Sequence[Lived]) -> Claim:
    median = float(np.median([one.recovered for one in found]))
    return Claim(
        title=f"HAR-t after a change of regime, kept true: median recovered {median:.0%}",
        counted="markets in which half of the lost skill is back after 500 bars",
        hits=sum(one.recovered >= 0.5 for one in found),
        of=len(found),
        claim="a median of at least 50 %",
        holds=median >= 0.5,
    )


def _frozen(found: Sequence[Lived]) -> Claim:
    median = float(np.median([one.frozen_recovered for one in found]))
    return Claim(
        title=f"The same markets, the model left as it was: median recovered {median:.0%}",
        counted="markets in which half of the lost skill is back after 500 bars",
        hits=sum(one.frozen_recovered >= 0.5 for one in found),
        of=len(found),
        claim="a median below 50 %",
        holds=median < 0.5,
    )


def _left_alone(found: Sequence[Lived]) -> Claim:
    hits = sum(one.promotions > 0 for one in found)
    return Claim(
        title=f"Markets that do not change, {BARS - FIRST:,} bars each",
        counted="markets in which a challenger was promoted",
        hits=hits,
        of=len(found),
        claim="at most 5 %",
        holds=hits <= UNCHANGED * len(found),
    )


def _note(changed: Sequence[Lived], same: Sequence[Lived]) -> str:
    delays = [one.delay for one in changed if one.delay is not None]
    cost, delay = np.median([one.cost_nats for one in changed]), np.median(delays) if delays else np.nan
    alarms, aside = np.mean([one.alarms for one in same]), np.mean([one.aside for one in same])
    return (
        f"The hours of the day move by {MOVED_HOURS} at bar {CHANGE:,} of {BARS:,}; the wildest hour has four times "
        f"the deviation of the calmest. That costs {cost:.3f} nats a bar (median), against a model fitted with "
        f"hindsight on the rows that follow. {len(delays)} of {len(changed)} markets raised an alarm, after "
        f"{delay:.0f} bars (median). Markets that do not change raised {alarms:.2f} alarms each and stood aside for "
        f"{aside:.1%} of their bars."
    )


def _delay(market: Market, lineage: Lineage) -> int | None:
    rows = {int(at): row for row, at in enumerate(market.bars.closed_at)}
    alarms = [
        rows[event.closed_at] - CHANGE
        for event in lineage.events
        if isinstance(event, Drifted) and event.what in RULES.retrain_on
    ]
    return next((delay for delay in alarms if delay >= 0), None)


def _skill(market: Market, fitted: Fitted, rows: range) -> float:
    return float(np.nanmean(score(market, fitted, rows, 1).log_density))
