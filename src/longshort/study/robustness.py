"""How far a result depends on which coins and which times were learnt from: fits on other divisions of the past.

No verdict comes of it: who learns from rows after the test could not have traded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import format_instant
from longshort.base.errors import DataError, NotComputable
from longshort.base.files import digest
from longshort.base.jobs import Job, run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.models.anchor import fit_anchor
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Past
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.scale import HAR, ScaleModel, har
from longshort.models.training.fitting import fit_member
from longshort.policy.steering import Sight, Steering, exposures
from longshort.study.account.broker import Broker, broker_of
from longshort.study.evidence.divisions import Part, section
from longshort.study.market import Market, code_digest, open_market
from longshort.study.metrics import Truth, majority_losses, per_instant, row_losses
from longshort.study.money import daily_sharpe, rule_of
from longshort.study.recipe import recipe_digest
from longshort.study.report import Comparison
from longshort.study.schemes import (
    Split,
    combinatorial,
    equal_blocks,
    leave_out,
    monthly_regimes,
    paths,
)
from longshort.study.section import Section
from longshort.study.verdict import compare
from longshort.study.walk import Report as Progress

MAJORITY = "majority"
COIN_GROUPS = 3
Values = Float64[np.ndarray, "time asset horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one split's fits say of its judged rows, and what came: `rows` in time order."""

    split: Split
    rows: Int64[np.ndarray, " time"]
    model: Forecast = field(repr=False)
    rival: Forecast = field(repr=False)
    truth: Truth = field(repr=False)


def robustness(
    market: Market, *, cache: Path | None = None, report: Progress = lambda what, done, of: None
) -> Section:
    """Fit every split of the study's scheme and tell its parts apart; raise `DataError` where rows are too few."""
    splits = splits_of(market)
    study, seeds = market.study, market.study.model.seeds
    jobs = [_job(market, split, seed) for split in splits for seed in seeds]
    processes = study.training.processes or usable_processors()
    members: dict[int, object] = {}
    for done, (index, member) in enumerate(run_jobs(jobs, cache=cache, processes=processes)):
        members[index] = member
        report("fitting", done + 1, len(jobs))
    told: list[Told] = []
    for k, split in enumerate(splits):
        told.append(_tell(market, split, tuple(members[k * len(seeds) + i] for i in range(len(seeds)))))
        report("forecasting", k + 1, len(splits))
    one_stretch = study.validation.scheme != "coins"
    broker = broker_of(market, range(market.development_rows), report) if one_stretch else None
    parts = [_part(market, name, ones, broker) for name, ones in gathered(market, told).items()]
    return section(study, parts, fits=len(jobs))


def splits_of(market: Market) -> tuple[Split, ...]:
    """The splits of the scheme that a study names, on its development rows."""
    settings, rows = market.study.validation, market.development_rows
    purge, embargo = max(market.study.target.horizons), market.recipe.warmup_rows
    if settings.scheme == "coins":
        return _coins(market)
    closes = market.bars.closed_at[:rows]
    if settings.scheme == "regimes":
        level = per_instant(np.where(market.panel.usable, market.panel.volatility, np.nan)[:rows])
        splits = leave_out(monthly_regimes(closes, level), rows, purge=purge, embargo=embargo)
    elif settings.scheme == "periods":
        blocks = equal_blocks(rows, settings.groups)
        named = {f"{_day(closes[b.start])} to {_day(closes[b.stop - 1])}": (b,) for b in blocks}
        splits = leave_out(named, rows, purge=purge, embargo=embargo)
    else:
        _check_groups(settings.groups, settings.test_groups)
        splits = combinatorial(
            rows, groups=settings.groups, test_groups=settings.test_groups, purge=purge, embargo=embargo
        )
    least = min(splits, key=lambda split: split.learnt_rows)
    if least.learnt_rows < 2 * market.least_train_bars:
        raise DataError(
            f"without {least.part} only {least.learnt_rows:,} bars are left to learn from, once the "
            f"{purge + embargo:,} around each test are left out: {2 * market.least_train_bars:,} are needed.",
            remedy="Use a longer history, or fewer and longer groups (validation.groups).",
        )
    return splits


def past_of_split(market: Market, split: Split) -> Past:
    """What a fit may see: the learnt stretches one after the other, memory restarting at every seam."""
    panel = market.panel[split.learn[0].start : split.learn[0].stop]
    panel = panel.join(*[market.panel[s.start : s.stop] for s in split.learn[1:]])
    seams = np.cumsum([len(stretch) for stretch in split.learn])[:-1]
    restart, usable = panel.restart.copy(), panel.usable.copy()
    restart[seams] = True
    targets = market.targets.gather(split.learn)
    usable[:, list(split.without)] = False
    targets.log_return[:, list(split.without)] = np.nan
    horizon = max(market.targets.horizons)
    start = len(panel) - int(np.ceil(market.study.validation.validation_share * len(panel)))
    return Past(
        panel=replace(panel, restart=restart, usable=usable),
        targets=targets,
        train=range(start - horizon + 1),
        validation=range(start, len(panel)),
        names=market.recipe.names,
    )


def fit_split(study: Study, split: Split, seed: int) -> object:
    """Train one seed on one split."""
    return fit_member(past_of_split(open_market(study), split), study.model, study.training, seed)


def gathered(market: Market, told: Sequence[Told]) -> dict[str, list[Told]]:
    """What is compared as one: a path of a combinatorial scheme, or all that speak of the same part."""
    if market.study.validation.scheme != "combinatorial":
        parts = dict.fromkeys(one.split.part for one in told)
        return {part: [one for one in told if one.split.part == part] for part in parts}
    blocks = equal_blocks(market.development_rows, market.study.validation.groups)
    ways = paths([one.split for one in told], blocks)
    return {
        f"path {k + 1}": [_cut(told[split], block) for split, block in zip(way, blocks, strict=True)]
        for k, way in enumerate(ways)
    }


def _part(market: Market, name: str, told: Sequence[Told], broker: Broker | None) -> Part:
    sharpe = _sharpe(market, told, broker) if broker else None
    return Part(name=name, comparisons=tuple(_compared(market, told)), sharpe=sharpe)


def _tell(market: Market, split: Split, members: tuple[object, ...]) -> Told:
    past = past_of_split(market, split)
    beneath = ScaleModel(HAR, market.targets.horizons, har).fit(past)
    model = FittedLSTM.of(past, market.study.model, members, fit_anchor(past, market.study.model))  # pyright: ignore[reportArgumentType]
    first, *later = [model.predict(market.panel, stretch) for stretch in split.judge]
    beside, *others = [beneath.predict(market.panel, stretch) for stretch in split.judge]
    rows = np.concatenate([np.arange(s.start, s.stop) for s in split.judge])
    return Told(
        split=split,
        rows=rows,
        model=first.join(*later),
        rival=beside.join(*others),
        truth=_truth(market, past, split, rows),
    )


def _truth(market: Market, past: Past, split: Split, rows: Int64[np.ndarray, " time"]) -> Truth:
    """What came on the judged rows and coins; what the learnt rows said of it. Nothing sealed is scored."""
    horizons = np.asarray(market.targets.horizons)
    usable = market.panel.usable[rows]
    if split.without:
        usable = usable & np.isin(np.arange(usable.shape[1]), split.without)[None, :]
    known = rows[:, None] + horizons[None, :] < market.development_rows
    outcome = np.where(usable[:, :, None] & known[:, None, :], market.targets.log_return[rows], np.nan)
    learnt = np.where(past.panel.usable[:, :, None], past.targets.log_return, np.nan)
    error, rises = np.abs(learnt), np.where(np.isnan(learnt) | (learnt == 0.0), np.nan, learnt > 0.0)
    return Truth(
        outcome=outcome,
        naive_error=np.broadcast_to(np.nanmean(error, axis=(0, 1)), outcome.shape),
        up_share=np.broadcast_to(np.nanmean(rises, axis=(0, 1)), outcome.shape),
    )


def _compared(market: Market, told: Sequence[Told]) -> list[Comparison]:
    """The network against HAR-t and against the majority, over all that speak of a part."""
    rows = np.concatenate([one.rows for one in told])
    order = np.argsort(rows, kind="stable")
    grid_row = market.bars.grid_row[rows[order]]
    mine = [row_losses(one.model, one.truth) for one in told]
    theirs = [row_losses(one.rival, one.truth) for one in told]
    commoner = [majority_losses(one.truth) for one in told]
    pairs = (
        ("crps", "crps", HAR, theirs),
        ("log_score", "log_score", HAR, theirs),
        ("accuracy", "miss", MAJORITY, commoner),
    )
    found: list[Comparison] = []
    for k, horizon in enumerate(market.targets.horizons):
        for metric, loss, name, others in pairs:
            model_loss = np.concatenate([one[loss][:, :, k] for one in mine])[order]
            opponent_loss = np.concatenate([one[loss][:, :, k] for one in others])[order]
            found.append(
                compare(
                    metric,
                    name,
                    horizon_bars=horizon,
                    model_loss=model_loss,
                    opponent_loss=opponent_loss,
                    grid_row=grid_row,
                )
            )
    return found


def _sharpe(market: Market, told: Sequence[Told], broker: Broker) -> float | None:
    """The net Sharpe ratio per year of the policy on a part that is one stretch of rows and all coins.

    It is booked as a backtest is: on the study's execution bars, on its margin.
    """
    rows = np.concatenate([one.rows for one in told])
    if told[0].split.without or np.any(np.diff(rows) != 1):
        return None
    first, *later = [one.model for one in told]
    steering = Steering(rule_of(market), market.bars.symbols)
    wishes = exposures(first.join(*later), steering, Sight(market.bars, market.panel))
    part = broker.over(range(int(rows[0]), int(rows[-1]) + 1))
    try:
        return daily_sharpe(part.judged(part.book(wishes)))
    except NotComputable:
        return None


def _cut(told: Told, block: range) -> Told:
    """The part of a split that speaks of one block."""
    at = int(np.searchsorted(told.rows, block.start))
    part = slice(at, at + len(block))
    truth = Truth(
        **{name: getattr(told.truth, name)[part] for name in ("outcome", "naive_error", "up_share")}
    )
    return replace(told, rows=told.rows[part], model=told.model[part], rival=told.rival[part], truth=truth)


def _coins(market: Market) -> tuple[Split, ...]:
    symbols = market.bars.symbols
    if len(symbols) < 2:
        raise DataError(
            "there is one coin: none can be left out.", remedy='Use validation.scheme = "periods".'
        )
    groups = np.array_split(np.arange(len(symbols)), min(COIN_GROUPS, len(symbols)))
    return tuple(
        Split(
            part=", ".join(symbols[k] for k in group),
            learn=(range(fold.train.start, fold.validation.stop),),
            judge=(fold.test,),
            without=tuple(group.tolist()),
        )
        for group in groups
        for fold in market.folds()
    )


def _check_groups(groups: int, test_groups: int) -> None:
    if test_groups >= groups:
        raise DataError(
            f"validation.test_groups is {test_groups} of {groups} groups: none is left to learn from.",
            remedy="Lower validation.test_groups or raise validation.groups.",
        )


def _job(market: Market, split: Split, seed: int) -> Job:
    study = market.study
    plain = study.model_dump(mode="json", include={"data", "features", "target", "training"})
    plain["training"].pop("processes")
    shape = {
        k: v for k, v in study.model.model_dump().items() if k not in ("seeds", "anchor", "anchor_share")
    }
    share, seen = study.validation.validation_share, market.bars[: market.development_rows].digest()
    named = (str(split), str(plain), str(shape), str(share), *market.recipe.names, recipe_digest(study))
    key = digest(f"split {seed}", *named, seen, code_digest())
    return Job(key=key, function=fit_split, arguments=(study, split, seed))


def _day(instant: int | np.integer) -> str:
    return format_instant(int(instant))[:10]
