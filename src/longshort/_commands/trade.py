"""`backtest`: the pilot on the event-driven engine, out of sample throughout, and a tear sheet of what it earned."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longshort.base.clock import SystemClock, format_instant
from longshort.base.errors import LongshortError
from longshort.base.journal import FileJournal
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.models.opponents import model_name
from longshort.policy.decider import Decider
from longshort.policy.exposure import Wishes
from longshort.policy.ledger import Ledger
from longshort.policy.steering import Steering
from longshort.study.market import Market, open_market
from longshort.study.money import Money, curves, earn, rule_of
from longshort.study.report import noun_of
from longshort.study.run import Run, job_cache, versions
from longshort.study.tearsheet import TearSheet
from longshort.study.walk import Report as Progress
from longshort.study.walk import Walk, walk
from longshort.web.tearsheet import render_tearsheet

TOLERANCE = 1e-6  # settlement units; both round every event to 1e-8
REPORT_EVERY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A tear sheet, where its evidence lies, and whether the engine booked what the ledger had."""

    sheet: TearSheet
    folder: Path
    largest_difference: float


class EngineDisagrees(LongshortError):
    """The event-driven engine and the ledger booked different money: one of them is wrong."""


def backtest(study: Study, *, report: Progress = lambda what, done, of: None) -> Ledger:
    """Trade the test rows of a study's walk-forward on NautilusTrader; the account, bar by bar."""
    return backtest_into(study, report=report).sheet.ledger


def backtest_into(study: Study, *, report: Progress = lambda what, done, of: None) -> Backtest:
    """Trade the test rows bar by bar, check the account against the ledger, and write the tear sheet."""
    from longshort.trading.backtest import backtest as run_engine

    market = open_market(study, report)
    model = model_name(study)
    walked = walk(market, market.folds(), cache=job_cache(study), report=report)
    money = earn(market, walked, model)
    if money.error is not None:
        raise money.error
    run = Run(market, "backtest")
    run.write_study()
    steering = Steering(rule_of(market), market.bars.symbols)
    pilot = walked.pilot(market, model, steering)
    bars = market.bars[walked.tested.start : walked.tested.stop]
    journal = FileJournal(run.folder / "journal.jsonl")
    journal.path.unlink(missing_ok=True)
    ledger = run_engine(
        bars,
        _Reported(pilot, len(bars), report),
        study.costs.record,
        starting_balance=study.trading.starting_balance,
        journal=journal,
    )
    sheet = _sheet(market, walked, money, ledger, run)
    run.write_ledger("ledger", ledger)
    run.write_page("tearsheet.html", render_tearsheet(sheet))
    return Backtest(
        sheet=sheet, folder=run.folder, largest_difference=_difference(ledger, money.ledgers[model])
    )


def _difference(engine: Ledger, ledger: Ledger) -> float:
    """The largest difference of cash at any close, in settlement units; raise where it is more than rounding."""
    largest = float(np.max(np.abs(engine.cash - ledger.cash)))
    if largest > TOLERANCE or not np.array_equal(engine.quantity, ledger.quantity):
        at = format_instant(int(engine.closed_at[np.argmax(np.abs(engine.cash - ledger.cash))]))
        raise EngineDisagrees(
            f"the engine's cash and the ledger's differ by {largest:.8f} at {at}.",
            remedy="Report this with the run folder: neither account can be trusted.",
        )
    return largest


class _Reported:
    """A pilot that tells how far it is."""

    def __init__(self, pilot: Decider, rows: int, report: Progress) -> None:
        self._pilot = pilot
        self._rows = rows
        self._report = report
        self._done = 0

    def on_close(self, bars: Bars) -> Wishes:
        """What the pilot says."""
        self._done += 1
        if self._done % REPORT_EVERY == 0 or self._done == self._rows:
            self._report("trading", self._done, self._rows)
        return self._pilot.on_close(bars)


def _sheet(market: Market, walked: Walk, money: Money, ledger: Ledger, run: Run) -> TearSheet:
    bars = market.bars[walked.tested.start : walked.tested.stop]
    first, last = int(bars.closed_at[0]), int(bars.closed_at[-1])
    noun = noun_of(bars.calendar.name)
    return TearSheet(
        title=f"Backtest: {len(bars.symbols)} {noun}, {format_instant(first)[:10]} to {format_instant(last)[:10]}",
        created_at=SystemClock().now(),
        ledger=ledger,
        bars=bars,
        rivals=tuple(curve for curve in curves(money) if curve.name != model_name(market.study)),
        settings=market.study.model_dump(mode="json"),
        hashes=run.hashes,
        versions=versions(),
        notes=(
            "Every bar was traded by a model that had been fitted before it: walk-forward, out of sample.",
        ),
    )
