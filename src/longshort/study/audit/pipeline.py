"""A study as an audit sees it: its stages, fits, splits, accounts and scores, over the study's own bars.

Nothing is judged here. The default leaves out what only takes longer: other folds, other seeds, a refit on shuffled
targets.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import NotComputable
from longshort.base.settings import Study
from longshort.base.stage import Arrays
from longshort.data.bars import Bars
from longshort.models.anchor import fit_anchor, numbers
from longshort.models.forecast import StudentT
from longshort.models.forecaster import Fitted, Past, volatility_over
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.catalog import model_name, model_of
from longshort.models.opponents.scale import FittedScale, fit_scale, scale_models
from longshort.models.training.chunks import chunk_starts
from longshort.models.training.fitting import fit_member
from longshort.study.audit.books import books_of
from longshort.study.audit.record import ALL_ROWS, Account, Fit, Pipeline, Scoring, Skill, Split, Told
from longshort.study.audit.stages import KEPT, stages_of
from longshort.study.audit.timeline import BarsTimeline
from longshort.study.evaluate import truth_over
from longshort.study.folds import Fold
from longshort.study.market import Market, targets_of
from longshort.study.metrics import mean_loss, per_instant, row_losses
from longshort.study.significance import skill_test
from longshort.study.walk import Report, Walk, past_of, walk

FEW_FOLDS = 2
SPOKEN_ROWS = 1_000  # before and behind the last border, of which the stages of a default audit speak
SCORED_ROWS = 97  # a prime: no batch of 7 or 32 rows divides it, so that a dropped one shows
MILLISECOND = 1_000_000
FIRST_TRADE = MILLISECOND  # after a bar opens: its open is a price that was traded in it, known no earlier


def audited_study(study: Study, *, thorough: bool) -> Study:
    """The study that is audited: with all its folds and seeds, or with two folds and the first seed."""
    if thorough:
        return study
    folds = min(study.validation.folds, FEW_FOLDS)
    return study.model_copy(
        update={
            "validation": study.validation.model_copy(update={"folds": folds}),
            "model": study.model.model_copy(update={"seeds": study.model.seeds[:1]}),
        }
    )


def pipeline_of(
    market: Market,
    *,
    cache: Path | None = None,
    thorough: bool = False,
    report: Report = lambda what, done, of: None,
) -> Pipeline[Bars]:
    """Walk a market forward as an evaluation does, and hand over every part of it; a sealed holdout stays sealed."""
    market = developed(market)
    walked = walk(market, market.folds(), cache=cache, report=report)
    chosen = range(len(walked.folds)) if thorough else range(1)
    return Pipeline(
        history=market.bars,
        timeline=SharedNoise(market.bars),
        stages=stages_of(market, walked, spoken=walked.tested if thorough else _around_last_border(walked)),
        fits=tuple(_fit(market, walked, number) for number in chosen),
        splits=tuple(_split(market, fold, number) for number, fold in enumerate(walked.folds)),
        accounts=tuple(_accounts(market, walked)),
        scorings=(_scoring(market, walked),),
        forecasts=_told(market, walked),
        shuffled=lambda rng: shuffled_skill(market, walked.folds[0], rng),
        title=f"Audit: {len(market.bars.symbols)} series, {len(market.bars):,} {market.bars.interval} bars",
    )


class SharedNoise(BarsTimeline):
    """Bars whose noise after an instant is the same for every stage, so that what was computed of it serves all."""

    def __init__(self, whole: Bars) -> None:
        self._whole = whole
        self._noise: dict[int, Bars] = {}

    def poisoned(self, history: Bars, instant: int, rng: np.random.Generator) -> Bars:
        """Bars that closed after an instant become noise; that of the whole history is made once and kept."""
        if history is not self._whole:
            return super().poisoned(history, instant, rng)
        if instant not in self._noise:
            noise = super().poisoned(history, instant, rng)
            self._noise = dict(list(self._noise.items())[-KEPT:]) | {instant: noise}
        return self._noise[instant]


def _around_last_border(walked: Walk) -> range:
    """The tested rows near the last change of models: what a walk says there depends on two of them."""
    border, tested = walked.folds[-1].test.start, walked.tested
    return range(max(border - SPOKEN_ROWS, tested.start), min(border + SPOKEN_ROWS, tested.stop))


def developed(market: Market) -> Market:
    """The market up to its holdout: no bar, and no label made of one, is sealed."""
    rows = market.development_rows
    bars = market.bars[:rows]
    return replace(market, bars=bars, panel=market.panel[:rows], targets=targets_of(market.study, bars))


def fitted_arrays(names: tuple[str, ...], models: Mapping[str, Fitted]) -> Arrays:
    """Every number that was learnt, and the choice of features, by name."""
    found: Arrays = {"features": np.array(names)}
    for name, model in models.items():
        if isinstance(model, FittedScale):
            found |= {f"{name} beta": model.beta, f"{name} df": model.df}
        if isinstance(model, FittedLSTM):
            found |= {"scaler mean": model.scaler.mean, "scaler std": model.scaler.std}
            found |= {"mean weights": np.array(model.mean_weights)}
            found |= {f"anchor {name}": value for name, value in numbers(model.anchor).items()}
            for member in model.members:
                found[f"seed {member.seed} stopped at"] = np.array(member.curve.best_step)
                found |= {
                    f"seed {member.seed} horizon {k} {part}": array
                    for k, weights in enumerate(member.weights)
                    for part, array in weights.items()
                }
    return found


def _fit(market: Market, walked: Walk, number: int) -> Fit[Bars]:
    """A fold's fits: as they were made by the walk, and made anew from other bars."""
    fold, models = walked.folds[number], walked.fitted[number]

    def learn(bars: Bars) -> Arrays:
        if bars is market.bars:
            return fitted_arrays(market.recipe.names, models)
        other = Market.of(market.study, bars)
        return fitted_arrays(other.recipe.names, fit_fold(other, fold))

    return Fit(
        name=f"fold {number + 1}", test_from_at=int(market.bars.closed_at[fold.test.start]), learn=learn
    )


def fit_fold(market: Market, fold: Fold) -> dict[str, Fitted]:
    """Fit everything that is fitted on one fold, in this process and from nothing kept."""
    study, past = market.study, past_of(market, fold)
    scales = {rival.name: rival.fit(past) for rival in scale_models(study.target.horizons)}
    model = model_of(study)
    if model is not None:
        return {model.name: model.fit(past), **scales}
    members = tuple(fit_member(past, study.model, study.training, seed) for seed in study.model.seeds)
    return {
        model_name(study): FittedLSTM.of(past, study.model, members, fit_anchor(past, study.model)),
        **scales,
    }


def _split(market: Market, fold: Fold, number: int) -> Split:
    """The rows whose labels a fold's fits read, and when the last of each row's labels was complete."""
    past, closes = past_of(market, fold), market.bars.closed_at
    rows = _rows_read(past, market.study, fold)
    ends = rows[:, None] + np.asarray(past.targets.horizons)
    known = past.targets.known[rows].any(axis=1)
    last = np.where(known, ends, rows[:, None]).max(axis=1)
    step = market.bars.interval.ns
    beyond = closes[-1] + (last - len(closes) + 1) * step
    known_at = np.where(last < len(closes), closes[np.minimum(last, len(closes) - 1)], beyond)
    return Split(
        name=f"fold {number + 1}",
        closed_at=closes[rows],
        label_known_at=known_at,
        test_closed_at=int(closes[fold.test.start]),
        step=step,
    )


def _rows_read(past: Past, study: Study, fold: Fold) -> Int64[np.ndarray, " row"]:
    """The rows of the chunks that training draws from, and the validation rows."""
    starts = chunk_starts(past, study.training, range(fold.train.start, fold.validation.stop))[:, 0]
    read = past.rows(fold.validation)
    inside = np.zeros(len(read) + 1, dtype=np.int64)
    np.add.at(inside, starts, 1)
    np.add.at(inside, starts + study.training.chunk_bars, -1)
    return np.flatnonzero(read | (np.cumsum(inside)[:-1] > 0))


def _accounts(market: Market, walked: Walk) -> list[Account[Bars]]:
    """The policy's books, if the funding that they need is on record."""
    found = books_of(market, walked)
    try:
        fills = found.booked(market.bars, found.exposure.target).fills
    except NotComputable:
        return []
    decided, filled = (
        fills[name].dt.timestamp("ms").to_numpy() * MILLISECOND for name in ("decided_at", "filled_at")
    )
    return [
        Account(
            name="policy",
            decided_at=decided,
            known_at=filled + FIRST_TRADE,
            profit=found.profit,
            exposure=found.exposure.target,
        )
    ]


def _scoring(market: Market, walked: Walk) -> Scoring:
    """Every loss of the last tested rows, forecast in batches of some size."""
    stop = walked.tested.stop - max(market.study.target.horizons)
    start = max(walked.folds[-1].test.start, stop - SCORED_ROWS)
    model, offset = walked.fitted[-1][model_name(market.study)], walked.tested.start
    truth = truth_over(market, walked.folds)
    part = replace(truth, **{n: getattr(truth, n)[start - offset : stop - offset] for n in TRUTH})

    def score(size: int) -> dict[str, float]:
        edges = range(start, stop, min(size, stop - start))
        pieces = [model.predict(market.panel, range(row, min(row + size, stop))) for row in edges]
        losses = row_losses(pieces[0].join(*pieces[1:]), part)
        counted = float(sum(np.isfinite(loss).sum() for loss in losses.values()))
        means = {
            f"{name} {h}": mean_loss(loss[..., k])
            for name, loss in losses.items()
            for k, h in enumerate(market.study.target.horizons)
        }
        return {"rows": float(sum(len(piece) for piece in pieces)), "cells": counted} | means

    return Scoring(name="forecasts", score=score, sizes=(1, 7, 32, ALL_ROWS))


TRUTH = ("outcome", "naive_error", "up_share")


def _told(market: Market, walked: Walk) -> tuple[Told, ...]:
    rows, mean = (
        slice(walked.tested.start, walked.tested.stop),
        walked.forecasts[model_name(market.study)].law.mean(),
    )
    return tuple(
        Told(
            name=f"forecasts {h} ahead",
            forecast=mean[:, :, k],
            actual=market.targets.log_return[rows, :, k],
            horizon_bars=h,
        )
        for k, h in enumerate(market.study.target.horizons)
    )


def shuffled_skill(market: Market, fold: Fold, rng: np.random.Generator) -> Skill:
    """Refit a fold on targets in a random order, and score it on what then came against the unconditional law.

    Targets are shuffled in units of volatility and in blocks, over training and test rows alike and the same for all
    coins: neither clustering nor the share of rises is changed, only what came before. Any skill that is left has
    learnt from rows that it is judged on.
    """
    longest = max(market.study.target.horizons)
    unit = volatility_over(market.panel, market.study.target.horizons)
    scaled = _in_blocks(market.targets.log_return / unit, 8 * longest, rng)
    other = replace(market, targets=replace(market.targets, log_return=scaled * unit))
    law = fit_fold(other, fold)[model_name(market.study)].predict(other.panel, fold.test).law
    rows = slice(fold.test.start, fold.test.stop)
    came, width = scaled[rows, :, :1], unit[rows, :, :1]
    learnt = scaled[: fold.validation.stop, :, 0]
    learnt = learnt[np.isfinite(learnt)]
    beta, df = fit_scale(np.ones((len(learnt), 1)), learnt)
    flat = StudentT(
        loc=np.zeros_like(came), scale=np.full_like(came, np.exp(beta[0])), df=np.full_like(came, df)
    )
    mine = law.log_density(scaled[rows] * unit[rows])[..., :1] + np.log(width)
    gain = per_instant((mine - flat.log_density(came))[..., 0])
    tested = skill_test(gain, market.bars.grid_row[rows], horizon_bars=market.study.target.horizons[0])
    return Skill(gain=gain, p_value=tested.p_value)


def _in_blocks(
    values: Float64[np.ndarray, "time asset horizon"], rows: int, rng: np.random.Generator
) -> Float64[np.ndarray, "time asset horizon"]:
    """The same rows, in blocks whose order is random."""
    starts = np.arange(0, len(values), rows)
    order = rng.permutation(starts)
    return np.concatenate([values[start : start + rows] for start in order])
