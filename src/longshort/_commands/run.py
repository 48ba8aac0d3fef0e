"""The commands that learn and judge, as a person meets them: progress while they run, the answer at the end."""

from longshort._commands import fit, judge, tell, tell_account, trade
from longshort._commands import refine as refinement
from longshort._commands.divide import DIVISIONS, show_division
from longshort._commands.terminal import emit_json, note, progress
from longshort.base.clock import SystemClock
from longshort.base.errors import StudyError
from longshort.base.jobs import usable_processors
from longshort.base.settings import Study
from longshort.models.training.estimate import estimate
from longshort.study.market import open_market
from longshort.study.report import noun_of
from longshort.study.run import Run
from longshort.study.walk import past_of
from longshort.web.fan import fan_chart, fan_of, render_forecast

DRAWN_ROWS = 200


def train(study: Study) -> None:
    """Say what it will take, do it, say how it went."""
    fit.check_trainable(study)
    with progress() as report:
        market = open_market(study, report)
    processes = study.training.processes or usable_processors()
    coming = estimate(
        past_of(market, market.final_fold()), study, fits=len(study.model.seeds), processes=processes
    )
    columns = f"{len(market.bars.symbols)} {noun_of(market.bars.calendar.name)}"
    rows, features = market.development_rows, len(market.panel.names)
    note(f"{len(study.model.seeds)} seeds on {columns} x {rows:,} bars x {features} features: {coming}.")
    with progress() as report:
        bundle = fit.train(study, report=report)
    tell.tell_bundle(bundle, fit.bundle_folder(study))


def refine(study: Study) -> None:
    """Go on from the saved bundle, and say what was taken of it."""
    with progress() as report:
        found = refinement.refine(study, report=report)
    tell.tell_refinement(found, fit.bundle_folder(study))


def evaluate(study: Study, *, holdout: bool, as_json: bool) -> None:
    """Judge, and print the verdict or one JSON object; a division of the past that gives no verdict, its parts."""
    if study.validation.scheme in DIVISIONS:
        if holdout:
            raise StudyError(
                f"a scheme of {study.validation.scheme} has no holdout.", remedy="Leave --holdout out."
            )
        show_division(study, as_json=as_json)
        return
    with progress() as report:
        document, folder = judge.evaluate_into(study, holdout=holdout, report=report)
    if as_json:
        emit_json(document.summary() | {"report": str(folder / "report.html")})
    else:
        tell.tell_report(document, folder)


def forecast(study: Study, *, as_json: bool) -> None:
    """Print the table or JSON, and draw a fan per coin."""
    with progress() as report:
        market = open_market(study, report)
    found = fit.forecast(study)
    if as_json:
        emit_json(tell.forecast_rows(found))
        return
    bars = market.bars[max(0, len(market.bars) - DRAWN_ROWS) :]
    run = Run(market, "forecast")
    title = f"Forecast: {len(bars.symbols)} {noun_of(bars.calendar.name)}, {bars.interval} bars"
    page = run.write_page(
        "forecast.html", render_forecast(found, bars, title=title, created_at=SystemClock().now())
    )
    first = bars.symbols[0]
    fan = fan_of(found, bars, first)
    picture = run.write_page(f"fan-{first}.svg", fan_chart(fan))
    tell.tell_forecast(found, bars, [page, picture])


def backtest(study: Study, *, as_json: bool) -> None:
    """Trade, and print the tear sheet's figures or JSON."""
    with progress() as report:
        found = trade.backtest_into(study, report=report)
    if as_json:
        emit_json(tell_account.backtest_record(found))
    else:
        tell_account.tell_backtest(found)
