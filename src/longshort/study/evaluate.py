"""From a market to a report: walk forward, score, compare, judge."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from longshort.base.clock import SystemClock, format_instant
from longshort.base.files import jsonable
from longshort.models.opponents.catalog import find_opponents, model_name
from longshort.study.case import Case
from longshort.study.evidence import sections_of
from longshort.study.evidence.flags import flags
from longshort.study.folds import Fold
from longshort.study.market import Market
from longshort.study.metrics import (
    Truth,
    coverage,
    majority_losses,
    pit_histogram,
    row_losses,
    score_forecast,
    truth_of,
)
from longshort.study.money import Money, compare_money, curves, earn, profits, turnover_per_bar
from longshort.study.report import Comparison, FoldSpan, Report, data_notes, noun_of
from longshort.study.run import Run, tried_digest, versions
from longshort.study.trials import Tried, daily
from longshort.study.verdict import Margins, compare, judge
from longshort.study.walk import Report as Progress
from longshort.study.walk import Walk, walk

MAJORITY = "majority"
FORECAST_METRICS = ("log_score", "crps", "qlike")
DIRECTION_LOSSES = MappingProxyType({"accuracy": "miss", "brier": "brier"})
Values = Float64[np.ndarray, "time asset horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A report and what it rests on."""

    report: Report
    case: Case

    @property
    def walk(self) -> Walk:
        """The fits and forecasts."""
        return self.case.walk

    @property
    def money(self) -> Money:
        """The accounts."""
        return self.case.money


def evaluate(
    market: Market,
    *,
    cache: Path | None = None,
    holdout: bool = False,
    tried: Sequence[Tried] = (),
    report: Progress = lambda what, done, of: None,
) -> Evaluation:
    """Judge a study's model on its development folds, or on the sealed holdout; `tried` is what was tried before."""
    began, study, model = time.perf_counter(), market.study, model_name(market.study)
    folds = (market.holdout(),) if holdout else market.folds()
    opponents = find_opponents(study.validation.opponents)
    walked = walk(market, folds, cache=cache, opponents=opponents, report=report)
    report("judging", 0, 2)
    case = case_of(market, walked, model, tried)
    report("judging", 1, 2)
    document = Report(
        title=_title(market, folds, holdout=holdout),
        created_at=SystemClock().now(),
        settings=_plain(market),
        hashes=Run(market, "evaluate").hashes,
        versions=versions(),
        symbols=market.bars.symbols,
        interval=str(market.bars.interval),
        folds=tuple(_span(market, fold) for fold in folds),
        seeds=market.study.model.seeds,
        horizons=market.study.target.horizons,
        model=model,
        opponents=tuple(dict.fromkeys(c.opponent for c in case.comparisons)),
        verdicts=case.verdicts,
        comparisons=case.comparisons,
        scores={n: score_forecast(f, case.truth, case.losses[n]) for n, f in walked.forecasts.items()},
        coverage={n: coverage(f, case.truth) for n, f in walked.forecasts.items() if f.dense},
        pit=pit_histogram(case.forecast, case.truth),
        curves=curves(case.money),
        profits=profits(market, case.money),
        holdout=holdout,
        notes=tuple(_notes(market, case.money)),
        origins=market.bars.origins,
        changes=market.bars.changes,
        calendar=market.bars.calendar.name,
        flags=flags(case),
        sections=sections_of(case),
        seconds=time.perf_counter() - began,
    )
    report("judging", 2, 2)
    return Evaluation(report=document, case=case)


def case_of(market: Market, walked: Walk, model: str, tried: Sequence[Tried] = ()) -> Case:
    """Score a walk, run its accounts, compare the model with everybody, and say the words."""
    truth = truth_over(market, walked.folds)
    losses = {name: row_losses(forecast, truth) for name, forecast in walked.forecasts.items()}
    money = earn(market, walked, model)
    comparisons = [
        *compare_forecasts(market, walked, truth, losses, model),
        *compare_money(market, money, model),
    ]
    return Case(
        market=market,
        walk=walked,
        truth=truth,
        losses=losses,
        money=money,
        model=model,
        comparisons=tuple(comparisons),
        verdicts=judge(comparisons, margins=_margins(market, money, model), asked=_asked(market)),
        tried=(*tried, try_of(market, money, model)),
    )


def truth_over(market: Market, folds: Sequence[Fold]) -> Truth:
    """What came on the test rows; rows whose label reaches past the last of them are not scored."""
    horizons = market.targets.horizons
    usable = np.repeat(market.panel.usable[:, :, None], len(horizons), axis=2)
    return truth_of(market.targets.log_return, usable, folds, horizons)


def compare_forecasts(
    market: Market, walked: Walk, truth: Truth, losses: Mapping[str, Mapping[str, Values]], model: str
) -> list[Comparison]:
    """The model against every opponent that answers a question, per metric and horizon, on the same rows.

    Who states no distribution is no opponent in density and volatility, who names no direction none in direction.
    """
    mine, majority = losses[model], majority_losses(truth)
    others = {name: loss for name, loss in losses.items() if name != model}
    pairs = [
        (metric, name, mine[loss], theirs[loss])
        for name, theirs in others.items()
        for metric, loss in {**{m: m for m in FORECAST_METRICS}, **DIRECTION_LOSSES}.items()
        if _answers(metric, theirs)
    ]
    pairs += [(metric, MAJORITY, mine[loss], majority[loss]) for metric, loss in DIRECTION_LOSSES.items()]
    grid_row = market.bars.grid_row[walked.tested.start : walked.tested.stop]
    return [
        compare(
            metric,
            name,
            horizon_bars=horizon,
            model_loss=model_loss[:, :, k],
            opponent_loss=opponent_loss[:, :, k],
            grid_row=grid_row,
        )
        for k, horizon in enumerate(market.targets.horizons)
        for metric, name, model_loss, opponent_loss in pairs
    ]


def _answers(metric: str, losses: Mapping[str, Values]) -> bool:
    """True where a forecaster has the loss, and names directions where these are asked for."""
    loss = losses[DIRECTION_LOSSES.get(metric, metric)]
    directed = metric not in DIRECTION_LOSSES or bool(np.isfinite(losses["miss"]).any())
    return directed and bool(np.isfinite(loss).any())


def try_of(market: Market, money: Money, model: str) -> Tried:
    """What the ledger of trials keeps of an evaluation."""
    days, returns = np.zeros(0, dtype=np.int64), np.zeros(0)
    if money.ledgers:
        account = money.ledgers[model]
        days, returns = daily(account.closed_at, account.equity, account.starting_balance)
    return Tried(
        settings=tried_digest(market.study), recorded_at=SystemClock().now(), days=days, returns=returns
    )


def _asked(market: Market) -> list[tuple[str, int]]:
    pairs = [(q, h) for q in ("density", "volatility", "direction") for h in market.targets.horizons]
    return [*pairs, ("profit", market.study.policy.horizon_bars)]


def _margins(market: Market, money: Money, model: str) -> Margins:
    settings = market.study.report
    return Margins(
        crps_percent=settings.margin_crps_percent,
        direction_points=settings.margin_direction_points,
        bps_per_trade=settings.margin_bps_per_trade,
        trades_per_bar=turnover_per_bar(money, model),
    )


def _title(market: Market, folds: Sequence[Fold], *, holdout: bool) -> str:
    first, last = folds[0].test.start, folds[-1].test.stop - 1
    closes = market.bars.closed_at
    what = "Sealed holdout" if holdout else "Walk-forward"
    span = f"{format_instant(int(closes[first]))[:10]} to {format_instant(int(closes[last]))[:10]}"
    noun = noun_of(market.bars.calendar.name)
    return f"{what}: {len(market.bars.symbols)} {noun}, {market.bars.interval} bars, {span}"


def _plain(market: Market) -> dict[str, object]:
    plain = jsonable(market.study.model_dump(mode="json"))
    assert isinstance(plain, dict)
    return plain


def _span(market: Market, fold: Fold) -> FoldSpan:
    at = market.bars.closed_at
    return FoldSpan(
        train_from=int(at[fold.train.start]),
        train_until=int(at[fold.train.stop - 1]),
        test_from=int(at[fold.test.start]),
        test_until=int(at[fold.test.stop - 1]),
        gap_bars=fold.gap_bars,
        validation_from=int(at[fold.validation.start]),
        validation_until=int(at[fold.validation.stop - 1]),
    )


def _notes(market: Market, money: Money) -> list[str]:
    notes = [f"Profit is not computed. {money.error}"] if money.error else []
    if market.study.data.source == "embedded":
        notes.append(
            "The bars are simulated: they show that the program works, not that a market can be forecast."
        )
    return [*notes, *data_notes(market.bars.origins, market.bars.changes)]
