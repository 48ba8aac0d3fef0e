"""`backtest`: the pilot behind its limits on the event-driven engine, out of sample throughout, then taken apart."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from longshort._commands.tries import trial_of, trials_of
from longshort.base.clock import SystemClock, format_instant
from longshort.base.errors import LongshortError
from longshort.base.files import write_text
from longshort.base.journal import FileJournal, LimitReached, MemoryJournal, OrderCut, Several
from longshort.base.settings import Study
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.models.opponents.catalog import model_name
from longshort.policy.decider import Decider
from longshort.policy.exposure import Exposure, Wishes
from longshort.policy.ledger import Ledger
from longshort.policy.limits.intervals import forecast_of
from longshort.policy.limits.limited import Limited
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import LimitState
from longshort.policy.pace import Paced
from longshort.policy.steering import Steering
from longshort.study.account.bookkeeping import fills_csv, funding_csv, trades_csv
from longshort.study.account.broker import Broker
from longshort.study.account.dissection import Dissection, dissect
from longshort.study.account.tables import sections_of
from longshort.study.account.tearsheet import TearSheet
from longshort.study.market import Market, open_market
from longshort.study.money import Money, curves, earn, rule_of
from longshort.study.report import noun_of
from longshort.study.run import Run, job_cache, tried_digest, versions
from longshort.study.trials import Tried, daily
from longshort.study.walk import Report as Progress
from longshort.study.walk import walk
from longshort.web.tearsheet import render_tearsheet

TOLERANCE = 1e-6  # settlement units; both round every event to 1e-8
REPORT_EVERY = 50
Held = Float64[np.ndarray, " asset"]
OUT_OF_SAMPLE = "Every bar was traded by a model that had been fitted before it: walk-forward, out of sample."


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """A tear sheet, where its evidence lies, and whether the engine booked what the ledger had.

    `limited` counts the journal's events of limits, by cause.
    """

    sheet: TearSheet
    dissection: Dissection
    folder: Path
    largest_difference: float
    limited: Mapping[str, int]


class EngineDisagrees(LongshortError):
    """The event-driven engine and the ledger booked different money: one of them is wrong."""


def backtest(study: Study, *, report: Progress = lambda what, done, of: None) -> Ledger:
    """Trade the test rows of a study's walk-forward on NautilusTrader; the account, bar by bar."""
    return backtest_into(study, report=report).sheet.ledger


def backtest_into(study: Study, *, report: Progress = lambda what, done, of: None) -> Backtest:
    """Trade the test rows bar by bar, check the account against the ledger, and write it all down.

    Like an evaluation it is counted as a trial of these bars: who looks at many accounts finds a good one by luck.
    """
    market = open_market(study, report)
    model = model_name(study)
    walked = walk(market, market.folds(), cache=job_cache(study), report=report)
    money = earn(market, walked, model)
    if money.error is not None or money.broker is None:
        raise money.error or AssertionError("an account without a broker")
    run = Run(market, "backtest")
    run.write_study()
    steering = Steering(rule_of(market), market.bars.symbols)
    drive = _Drive(study, money.broker, run, report)
    ledger, passed = drive.through(walked.pilot(market, model, steering), steering)
    booked = money.broker.book(passed)
    difference = _difference(ledger, booked)
    if study.limits == LimitSettings():
        _same_wishes(passed, money.exposure)
    found = dissect(money.broker, passed, ledger, _rivals(money, model), trials=_counted(market, ledger))
    sheet = _sheet(market, money, ledger, run, found)
    sheet = replace(sheet, notes=(*sheet.notes, *misheld(money.broker.judged(ledger), drive.left_alone)))
    _write(run, sheet, found)
    return Backtest(
        sheet=sheet,
        dissection=found,
        folder=run.folder,
        largest_difference=difference,
        limited=drive.limited,
    )


class _Drive:
    """One run of the engine over a broker's bars, journaled."""

    def __init__(self, study: Study, broker: Broker, run: Run, report: Progress) -> None:
        self._study = study
        self._broker = broker
        self._report = report
        self._file = FileJournal(run.folder / "journal.jsonl")
        self._told = MemoryJournal()
        self.left_alone: list[Held] = []

    @property
    def limited(self) -> dict[str, int]:
        """How often each limit was reached or cut an order."""
        causes = [e.cause for e in self._told.events if isinstance(e, LimitReached | OrderCut)]
        return dict(Counter(str(cause) for cause in causes))

    def _tell(self, done: int) -> None:
        rows = len(self._broker.decision)
        if done % REPORT_EVERY == 0 or done == rows:
            self._report("trading", done, rows)

    def through(self, pilot: Decider, steering: Steering) -> tuple[Ledger, Exposure]:
        """The account of a pilot behind the study's limits, and the wishes that they let through.

        `left_alone` keeps what the policy took itself to hold at each close, NaN where it wished for anything.
        """
        from longshort.trading.backtest import backtest as run_engine

        broker, journal = self._broker, Several(self._file, self._told)
        self._file.path.unlink(missing_ok=True)
        state = LimitState.fresh(broker.decision.symbols)
        gate = Limited(
            _Reported(pilot, steering, self.left_alone, self._tell),
            Limits(self._study.limits, state),
            journal,
        )
        ledger = run_engine(
            broker.execution,
            Paced(gate, broker.decision) if broker.finer else gate,
            broker.costs,
            starting_balance=broker.starting_balance,
            journal=journal,
            account=broker.account,
        )
        return ledger, gate.exposure


class _Reported:
    """A pilot that tells how many bars it has seen, and keeps what it takes itself to hold where it leaves it alone."""

    def __init__(
        self, pilot: Decider, steering: Steering, left_alone: list[Held], report: Callable[[int], None]
    ) -> None:
        self._pilot = pilot
        self._steering = steering
        self._left_alone = left_alone
        self._report = report

    @property
    def forecast(self) -> Forecast | None:
        """What the pilot believed at the last close."""
        return forecast_of(self._pilot)

    def on_close(self, bars: Bars) -> Wishes:
        """What the pilot says."""
        wishes = self._pilot.on_close(bars)
        self._left_alone.append(np.where(np.isnan(wishes.target), self._steering.held, np.nan))
        self._report(len(self._left_alone))
        return wishes


def misheld(ledger: Ledger, left_alone: Sequence[Held]) -> tuple[str, ...]:
    """A sentence where a policy left positions alone that its account did not hold; nothing where there were none.

    `left_alone` is what it took itself to hold at each close of the account, NaN where it wished for anything.
    """
    believed = np.reshape(left_alone, ledger.quantity.shape)
    wrong = np.isfinite(believed) & (np.sign(believed) != np.sign(ledger.quantity))
    if not wrong.any():
        return ()
    return (
        f"At {int(wrong.sum()):,} of {wrong.size:,} closes the policy left a coin alone that it took to be held "
        "otherwise than it was: it takes orders to fill at the next open, and these filled later or not at all.",
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


def _same_wishes(driven: Exposure, batch: Exposure) -> None:
    """Raise where the pilot, asked bar by bar and without limits, wished otherwise than in one piece."""
    same = (driven.target == batch.target) | (np.isnan(driven.target) & np.isnan(batch.target))
    if not same.all():
        row, asset = (int(i) for i in np.argwhere(~same)[0])
        raise EngineDisagrees(
            f"the pilot wished {driven.target[row, asset]:g} of {driven.symbols[asset]} at "
            f"{format_instant(int(driven.closed_at[row]))}, and {batch.target[row, asset]:g} in one piece.",
            remedy="Report this with the run folder: live would not repeat the evaluation.",
        )


def _rivals(money: Money, model: str) -> dict[str, Ledger]:
    return {name: ledger for name, ledger in money.ledgers.items() if name != model}


def _counted(market: Market, ledger: Ledger) -> int:
    """Write the backtest down as a trial; return how many different settings were tried on these bars."""
    log, development, _ = trials_of(market)
    days, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
    earned = Tried(settings=tried_digest(market.study), recorded_at=0, days=days, returns=returns)
    return log.record(trial_of(development, market.study, earned))


def _write(run: Run, sheet: TearSheet, found: Dissection) -> None:
    ledger, bars = sheet.ledger, sheet.bars
    run.write_ledger("ledger", ledger)
    write_text(run.folder / "trades.csv", trades_csv(found.trades, bars))
    write_text(run.folder / "fills.csv", fills_csv(ledger, bars))
    write_text(run.folder / "funding.csv", funding_csv(ledger, bars))
    run.write_page("tearsheet.html", render_tearsheet(sheet))


def _sheet(market: Market, money: Money, ledger: Ledger, run: Run, found: Dissection) -> TearSheet:
    broker = money.broker
    assert broker is not None
    bars = broker.decision
    first, last = int(bars.closed_at[0]), int(bars.closed_at[-1])
    noun = noun_of(bars.calendar.name)
    return TearSheet(
        title=f"Backtest: {len(bars.symbols)} {noun}, {format_instant(first)[:10]} to {format_instant(last)[:10]}",
        created_at=SystemClock().now(),
        ledger=ledger,
        bars=broker.execution,
        rivals=tuple(curve for curve in curves(money) if curve.name != model_name(market.study)),
        settings=market.study.model_dump(mode="json"),
        hashes=run.hashes,
        versions=versions(),
        notes=(OUT_OF_SAMPLE, *broker.notes),
        sections=sections_of(found, bars.instruments[0].settle, f"{broker.execution.interval} bars"),
    )
