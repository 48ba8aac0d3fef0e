"""`report --live`: a paper session replayed through the backtest, and why the two booked other money."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float64

from longshort._commands.paper_account import WARM
from longshort._commands.paper_desk import paper_folder
from longshort._commands.terminal import emit_json, say
from longshort._commands.watch import steering_of, trained_model
from longshort.base.clock import Interval, format_instant
from longshort.base.errors import DataError
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.execution import load_finer
from longshort.policy.decider import Decider
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger
from longshort.policy.limits.limited import Judge, Limited
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import LimitState
from longshort.policy.pace import Paced
from longshort.study.account.broker import at_closes
from longshort.study.following import Following, Trained
from longshort.study.gap.rebooking import Decided, differing_closes, rebooked
from longshort.study.gap.split import (
    MEANINGS,
    Accounts,
    Counts,
    Gap,
    differing_cells,
    split,
)
from longshort.study.gap.transfers import book_with_transfers
from longshort.study.market import load_bars
from longshort.trading.paper.diary import Line
from longshort.trading.paper.recollection import Recollection, Retold, Stepped, journal_lines, recollect
from longshort.trading.paper.rows import instrument_of
from longshort.trading.paper.rows import load_bars as load_kept

NOT_APART = "Begun by an older program: money moved by hand is not told apart from funding."


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A session's gap and the span that it is of."""

    gap: Gap
    first_at: int
    last_at: int


def show_gap(study: Study, *, as_json: bool) -> None:
    """Replay a study's paper session and print how it and the backtest part; raise `DataError` where there is none."""
    found = replay_session(study)
    if as_json:
        emit_json(asdict(found) | {"total": found.gap.total})
    else:
        for line in gap_lines(found):
            say(line)


def gap_lines(found: Replayed) -> list[str]:
    """The table, at most 80 columns wide."""
    gap, span = found.gap, f"{format_instant(found.first_at)} to {format_instant(found.last_at)}"
    head = f"Paper and backtest, {gap.closes:,} closes, {span}"
    names = f"{'cause':<8} {'money':>12} {'bp':>8} {'seen':>6}  what"
    rows = [
        f"{p.cause:<8} {p.money:>+12,.2f} {gap.bps(p.money):>+8.2f} {p.count:>6,}  {MEANINGS[p.cause]}"
        for p in gap.parts
    ]
    total = f"{'total':<8} {gap.total:>+12,.2f} {gap.bps(gap.total):>+8.2f}"
    ends = f"Booked: {gap.booked:,.2f}. The backtest books {gap.replayed:,.2f}."
    return [head, names, *rows, total, ends, *([] if gap.apart else [NOT_APART])]


def replay_session(study: Study) -> Replayed:
    """Book a session anew step by step; raise `DataError` where the record or the model is not that of the session."""
    folder = paper_folder(study)
    lines, known = journal_lines(folder), load_bars(study)
    trained = trained_model(study, known)
    if not lines or lines[0].get("name") != f"{study.digest()} {trained.name}":
        raise DataError(
            "this session was begun with other settings or another model.",
            where=folder,
            remedy="Report it with those that it was begun with.",
        )
    coins = tuple(instrument_of(line) for line in lines[0]["coins"])
    known = replace(known, instruments=coins, origins=(), changes=())
    session = recollect(lines, known[-1:], study.trading.starting_balance)
    judge = _dated(lines)
    warm = load_kept(folder / WARM, known[-1:])
    return _replayed(study, trained, session, (known, warm), judge)


def _replayed(
    study: Study, trained: Trained, session: Recollection, past: tuple[Bars, Bars], judge: Judge
) -> Replayed:
    known, warm = past
    recorded = _same_closes(known, session)
    streamed = replace(
        session.bars, funding_rate=recorded.funding_rate, funding_covered=recorded.funding_covered
    )
    before = known[: len(known.until(int(recorded.closed_at[0]) - 1))]
    executed, by_record = on_record(
        study, recorded, lambda: Stepped(_following(study, trained, before)), judge
    )
    _, believed = _backtest(
        study, streamed, Retold(_following(study, trained, warm), warm, session), judge=judge
    )
    untold, late = session.missed_by("data"), session.missed_by("latency")
    decided = Decided(believed=believed, passed=session.passed, untold=untold, late=late)
    by_stream, on_time, followed, moved = rebooked(
        decided, session.booked.moved, partial(_book, study, streamed)
    )
    accounts = Accounts(
        executed=executed,
        recorded=by_record,
        streamed=by_stream,
        on_time=on_time,
        followed=followed,
        moved=moved,
    )
    other = differing_closes(believed, session.passed)
    counts = Counts(
        data=differing_cells(recorded, streamed) + int((other & untold).sum()),
        signal=int((other & ~untold & ~late).sum()),
        latency=int((other & late).sum()),
    )
    gap = split(accounts, session.booked, streamed, study.costs.record, counts)
    return Replayed(gap=gap, first_at=int(recorded.closed_at[0]), last_at=int(recorded.closed_at[-1]))


def _same_closes(known: Bars, session: Recollection) -> Bars:
    """The record at the closes of the session; raise `DataError` where it does not have them all."""
    closed_at = session.booked.closed_at
    since = known[len(known.until(int(closed_at[0]) - 1)) :]
    recorded = since.until(int(closed_at[-1]))
    if recorded.closed_at.tolist() != closed_at.tolist():
        raise DataError(
            f"the lake does not hold every close from {format_instant(int(closed_at[0]))} to "
            f"{format_instant(int(closed_at[-1]))}.",
            remedy="Fetch them with `longshort fetch`.",
        )
    return recorded


def _following(study: Study, trained: Trained, warm: Bars) -> Following:
    return Following(trained, steering_of(study, warm), warm)


def _dated(lines: Sequence[Line]) -> Judge:
    """Each close under the date at which the session held its model to be too old."""
    dates = {
        line["closed_at"]: line["circumstances"]["expires_at"] for line in lines if line["kind"] == "decided"
    }
    return lambda bars, health: replace(health, model_expires_at=dates.get(int(bars.closed_at[0])))


def on_record(
    study: Study, recorded: Bars, decider: Callable[[], Decider], judge: Judge | None = None
) -> tuple[Ledger, Ledger]:
    """What the backtest books where its orders fill on the study's own bars for that, and on those that decide."""
    decided, _ = _backtest(study, recorded, decider(), judge=judge)
    wanted = study.trading.execution_interval
    if wanted in ("", study.data.interval):
        return decided, decided
    finer = load_finer(study.data, study.folder, Interval.parse(wanted), recorded).bars
    executed, _ = _backtest(study, finer, decider(), recorded, judge)
    return at_closes(executed, recorded.closed_at), decided


def _backtest(
    study: Study, bars: Bars, decider: Decider, decision: Bars | None = None, judge: Judge | None = None
) -> tuple[Ledger, Exposure]:
    """What a decider behind the study's limits books, and what the limits let through.

    Where others than the bars that are booked on are those that decide, `decision` are these.
    """
    from longshort.trading.backtest import backtest

    limited = Limited(decider, Limits(study.limits, LimitState.fresh(bars.symbols)), judge=judge)
    trading = study.trading
    paced = limited if decision is None else Paced(limited, decision)
    ledger = backtest(bars, paced, study.costs.record, trading.starting_balance, account=trading.account)
    return ledger, limited.exposure


def _book(study: Study, bars: Bars, exposure: Exposure, moved: Float64[np.ndarray, " time"]) -> Ledger:
    trading = study.trading
    return book_with_transfers(
        bars,
        exposure,
        study.costs.record,
        moved,
        starting_balance=trading.starting_balance,
        account=trading.account,
    )
