"""From a market to a report: walk forward, score, compare, judge."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from longshort.base.clock import SystemClock, format_instant
from longshort.base.files import jsonable
from longshort.models.forecast import Forecast
from longshort.models.lstm import NAME
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
from longshort.study.run import Run, versions
from longshort.study.verdict import Margins, compare, judge
from longshort.study.walk import Report as Progress
from longshort.study.walk import Walk, walk

MAJORITY = "majority"
FORECAST_METRICS = ("log_score", "crps", "qlike")
Values = Float64[np.ndarray, "time asset horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A report and what it rests on."""

    report: Report
    walk: Walk
    money: Money


def evaluate(
    market: Market,
    *,
    cache: Path | None = None,
    holdout: bool = False,
    report: Progress = lambda what, done, of: None,
) -> Evaluation:
    """Judge a study's model on its development folds, or on the sealed holdout."""
    began = time.perf_counter()
    folds = (market.holdout(),) if holdout else market.folds()
    walked = walk(market, folds, cache=cache, processes=market.study.training.processes, report=report)
    money = earn(market, walked, NAME)
    truth = truth_over(market, folds)
    losses = {name: row_losses(forecast, truth) for name, forecast in walked.forecasts.items()}
    comparisons = [*compare_forecasts(market, walked, truth, losses), *compare_money(market, money, NAME)]
    verdicts = judge(comparisons, margins=_margins(market, money), asked=_asked(market))
    document = Report(
        title=_title(market, folds, holdout=holdout),
        created_at=SystemClock().now(),
        seconds=time.perf_counter() - began,
        settings=_plain(market),
        hashes=Run(market, "evaluate").hashes,
        versions=versions(),
        symbols=market.bars.symbols,
        interval=str(market.bars.interval),
        folds=tuple(_span(market, fold) for fold in folds),
        seeds=market.study.model.seeds,
        horizons=market.study.target.horizons,
        model=NAME,
        opponents=tuple(dict.fromkeys(c.opponent for c in comparisons)),
        verdicts=verdicts,
        comparisons=tuple(comparisons),
        scores={name: score_forecast(f, truth, losses[name]) for name, f in walked.forecasts.items()},
        coverage={name: coverage(f, truth) for name, f in walked.forecasts.items() if _has_law(f)},
        pit=pit_histogram(walked.forecasts[NAME], truth),
        curves=curves(money),
        profits=profits(market, money),
        holdout=holdout,
        notes=tuple(_notes(market, money)),
        origins=market.bars.origins,
        changes=market.bars.changes,
        calendar=market.bars.calendar.name,
    )
    return Evaluation(report=document, walk=walked, money=money)


def truth_over(market: Market, folds: Sequence[Fold]) -> Truth:
    """What came on the test rows; rows whose label reaches past the last of them are not scored."""
    horizons = market.targets.horizons
    usable = np.repeat(market.panel.usable[:, :, None], len(horizons), axis=2)
    return truth_of(market.targets.log_return, usable, folds, horizons)


def compare_forecasts(
    market: Market, walked: Walk, truth: Truth, losses: dict[str, dict[str, Values]]
) -> list[Comparison]:
    """The model against every opponent that answers a question, per metric and horizon, on the same rows."""
    mine, majority = losses[NAME], majority_losses(truth)
    pairs = [
        (metric, name, mine[metric], losses[name][metric])
        for name, forecast in walked.forecasts.items()
        if name != NAME and _has_law(forecast)
        for metric in FORECAST_METRICS
    ]
    pairs += [("accuracy", MAJORITY, mine["miss"], majority["miss"])]
    pairs += [("brier", MAJORITY, mine["brier"], majority["brier"])]
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


def _has_law(forecast: Forecast) -> bool:
    return bool(np.isfinite(forecast.law.scale).any())


def _asked(market: Market) -> list[tuple[str, int]]:
    pairs = [(q, h) for q in ("density", "volatility", "direction") for h in market.targets.horizons]
    return [*pairs, ("profit", market.study.policy.horizon_bars)]


def _margins(market: Market, money: Money) -> Margins:
    settings = market.study.report
    return Margins(
        crps_percent=settings.margin_crps_percent,
        direction_points=settings.margin_direction_points,
        bps_per_trade=settings.margin_bps_per_trade,
        trades_per_bar=turnover_per_bar(money, NAME),
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
