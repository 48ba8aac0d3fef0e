"""Do adapted intervals keep their promise after volatility has tripled, whatever the forecaster adapts itself?"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from longshort.base.files import digest
from longshort.base.jobs import Job
from longshort.data.simulator import simulate_market
from longshort.models.calibration.adaptation import ACI, PID, Rule
from longshort.models.calibration.conformal import Band, calibrate
from longshort.models.calibration.split_conformal import Static
from longshort.models.forecast import StudentT
from longshort.models.opponents.scale import fit_scale
from longshort.study.evidence.gains import bars_text

from . import plan as plans
from .data import Proved
from .record import Claim
from .work import run

MARKETS = {plans.FULL: 200, plans.SAMPLE: 100}  # a mean over fewer says nothing: a market takes a second
COINS, HORIZONS = 3, (1, 4, 24)
FIT_BARS, BREAK, AFTER_BARS = 800, 2_000, 500
TIMES = 3.0
NOMINAL, WITHIN = 0.9, 0.01
HALFLIFE_BARS = 24.0
ADAPTIVE, STATIC = "conformal PID", "static conformal"
RULES: dict[str, Rule] = {STATIC: Static(), "ACI": ACI(), ADAPTIVE: PID()}  # the very settings of the report
FORECASTERS = ("EWMA-t", "frozen-t")
Grid = Float64[np.ndarray, "time asset"]
Key = tuple[str, str, int]  # forecaster, rule, horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripled:
    """Coverage of one market's 90 % intervals over the bars after the break, by forecaster, rule and horizon."""

    after: dict[Key, float]
    before: dict[Key, float]
    clipped: dict[Key, float]
    seconds: float


def tripled(seed: int) -> Tripled:
    """A market without an edge whose volatility triples at a bar, forecast by two laws and calibrated three ways."""
    began = time.perf_counter()
    close = simulate_market(COINS, BREAK + AFTER_BARS + max(HORIZONS) + 2, seed=80_000 + seed).bars.close
    log_return = np.diff(np.log(close), axis=0)
    log_return[BREAK + 1 :] *= TIMES  # the first forecast that is wrong is made at row BREAK
    came = np.stack([_ahead(log_return, h) for h in HORIZONS], axis=-1)
    after: dict[Key, float] = {}
    before: dict[Key, float] = {}
    clipped: dict[Key, float] = {}
    for name in FORECASTERS:
        band = Band.of(_law(name, log_return, came)[FIT_BARS:])
        outcome, at = came[FIT_BARS:], BREAK - FIT_BARS
        for rule_name, rule in RULES.items():
            found = calibrate(rule, band, outcome, horizons=HORIZONS)
            inside = (outcome >= found.low[0]) & (outcome <= found.high[0])
            for k, h in enumerate(HORIZONS):
                key = (name, rule_name, h)
                after[key] = float(inside[at : at + AFTER_BARS, :, k].mean())
                before[key] = float(inside[at - AFTER_BARS : at - h, :, k].mean())
                clipped[key] = float(found.at_clip[0, at : at + AFTER_BARS, k].mean())
    return Tripled(after=after, before=before, clipped=clipped, seconds=time.perf_counter() - began)


def tripled_jobs(plan: plans.Plan) -> list[Job]:
    """Markets whose volatility triples, one seed each."""

    return [
        Job(key=digest(f"tripled {seed}", plans.code()), function=tripled, arguments=(seed,))
        for seed in range(MARKETS[plan])
    ]


def prove_coverage(plan: plans.Plan) -> Proved:
    """Mean coverage after the break within a point of 90 % with PID, far from it with static conformal."""
    found: list[Tripled] = run("tripled volatility", tripled_jobs(plan))
    claims = [
        _kept(found, name, h) for name, h in (("EWMA-t", 1), ("EWMA-t", 4), ("frozen-t", 1), ("frozen-t", 4))
    ]
    return [*claims, _fails(found)], sum(f.seconds for f in found), (NOTE, _table(found))


def _kept(found: Sequence[Tripled], name: str, horizon: int) -> Claim:
    mean, error = _mean([f.after[name, ADAPTIVE, horizon] for f in found])
    hits = round(mean * len(found) * AFTER_BARS * COINS)
    return Claim(
        title=f"Volatility triples; {name} with {ADAPTIVE}, {bars_text(horizon)} ahead, {len(found)} markets",
        counted=f"outcomes of the next {AFTER_BARS} bars inside the 90 % interval (standard error {error:.2%})",
        hits=hits,
        of=len(found) * AFTER_BARS * COINS,
        claim="89 to 91 %",
        holds=abs(mean - NOMINAL) <= WITHIN,
    )


def _fails(found: Sequence[Tripled]) -> Claim:
    mean, _ = _mean([f.after["frozen-t", STATIC, 1] for f in found])
    return Claim(
        title=f"The same with {STATIC} on a frozen scale, 1 bar ahead",
        counted=f"outcomes of the next {AFTER_BARS} bars inside the 90 % interval",
        hits=round(mean * len(found) * AFTER_BARS * COINS),
        of=len(found) * AFTER_BARS * COINS,
        claim="fails: less than 80 %",
        holds=mean < 0.8,
    )


def _table(found: Sequence[Tripled]) -> str:
    """Every mean, those that are not claimed too."""
    lines = [
        f"{name} {rule} {h}: {_mean([f.before[name, rule, h] for f in found])[0]:.1%} before, "
        f"{_mean([f.after[name, rule, h] for f in found])[0]:.1%} after"
        for name in FORECASTERS
        for rule in RULES
        for h in HORIZONS
    ]
    return f"Mean coverage by forecaster, rule and bars ahead. {'; '.join(lines)}."


def _mean(value: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(value)), float(np.std(value, ddof=1) / np.sqrt(len(value)))


def _ahead(log_return: Grid, horizon: int) -> Grid:
    """The return over the bars after a row; NaN where they are not all there."""
    summed = np.vstack([np.zeros((1, log_return.shape[1])), np.cumsum(log_return, axis=0)])
    ahead = np.full_like(log_return, np.nan)
    ahead[:-horizon] = summed[horizon + 1 :] - summed[1:-horizon]
    return ahead


def _law(name: str, log_return: Grid, came: Float64[np.ndarray, "time asset horizon"]) -> StudentT:
    """A t law whose scale follows an EWMA, or stays that of the first bars; its size and tails are fitted on these."""
    level = _ewma(log_return) if name == "EWMA-t" else np.sqrt(np.mean(log_return[:FIT_BARS] ** 2, axis=0))
    base = np.broadcast_to(level, log_return.shape)
    scale, df = np.empty_like(came), np.empty_like(came)
    for k, h in enumerate(HORIZONS):
        known = (came[..., k] / base)[int(2 * HALFLIFE_BARS) : FIT_BARS - h].ravel() / np.sqrt(h)
        log_size, df[..., k] = fit_scale(np.ones((len(known), 1)), known)
        scale[..., k] = base * np.exp(log_size[0]) * np.sqrt(h)
    return StudentT(loc=np.zeros_like(scale), scale=scale, df=df)


def _ewma(log_return: Grid) -> Grid:
    decay = 0.5 ** (1.0 / HALFLIFE_BARS)
    variance = np.empty_like(log_return)
    now = np.mean(log_return[: int(2 * HALFLIFE_BARS)] ** 2, axis=0)
    for t, row in enumerate(log_return):
        now = variance[t] = decay * now + (1.0 - decay) * row**2
    return np.sqrt(variance)


NOTE = (
    f"Markets of {COINS} coins without an edge; every return from a bar on is three times as large. EWMA-t adapts its "
    "scale with a half-life of a day, frozen-t does not. The intervals are those of the report, with its settings. "
    "Counts pool coins and bars that miss together: read the standard error over markets, not the interval."
)
