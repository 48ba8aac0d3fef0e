"""Who books the wishes of a study: its bars, its costs and its account, in one place.

Where orders fill on finer bars than those that decide, wishes are booked on the finer ones, and `judged` gives the
account at the closes of decisions: figures, opponents and evidence then have the rows that they compare on.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from longshort.base.clock import Interval
from longshort.base.instrument import AccountTerms, Costs, Execution
from longshort.data.bars import Bars
from longshort.data.certificate.certify import Report, quietly
from longshort.data.execution import load_finer
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.policy.pace import at_pace
from longshort.study.market import Market

FLOWS = ("fees", "slippage", "funding", "liquidation", "insurance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """`decision` are the bars that decide, `execution` those that orders fill on: often the same ones."""

    decision: Bars
    execution: Bars
    costs: Costs
    account: AccountTerms
    starting_balance: float
    notes: tuple[str, ...] = ()

    @property
    def finer(self) -> bool:
        """Whether orders fill on other bars than those that decide."""
        return self.execution.interval != self.decision.interval

    def over(self, rows: range) -> "Broker":
        """The same on some of the rows that decide."""
        factor = len(self.execution) // max(len(self.decision), 1)
        return replace(
            self,
            decision=self.decision[rows.start : rows.stop],
            execution=self.execution[factor * rows.start : factor * rows.stop],
        )

    def paced(self, exposure: Exposure) -> Exposure:
        """Wishes on the rows of execution."""
        return at_pace(exposure, self.execution.closed_at) if self.finer else exposure

    def book(self, exposure: Exposure) -> Ledger:
        """What wishes at the closes of decisions would have earned, on the rows of execution."""
        return run_ledger(
            self.execution,
            self.paced(exposure),
            self.costs,
            starting_balance=self.starting_balance,
            account=self.account,
        )

    def judged(self, ledger: Ledger) -> Ledger:
        """The same account at the closes of decisions."""
        return at_closes(ledger, self.decision.closed_at) if self.finer else ledger

    def dearer(self, *, fees: float = 1.0, slippage: float = 1.0) -> "Broker":
        """The same at so many times the fees, the venue's tiers included, or the slippage; a rebate never grows."""
        costs = replace(
            self.costs,
            taker_bps=_times(self.costs.taker_bps, fees),
            maker_bps=_times(self.costs.maker_bps, fees),
            settlement_bps=_times(self.costs.settlement_bps, fees),
            slippage_bps=self.costs.slippage_bps * slippage,
            impact=self.costs.impact * slippage,
        )
        return replace(self, costs=costs, execution=_charged(self.execution, fees))

    def executed(self, execution: Execution) -> "Broker":
        """The same with orders of another kind."""
        return replace(self, account=replace(self.account, execution=execution))


def broker_of(market: Market, rows: range, report: Report = quietly) -> Broker:
    """Who books the study's wishes on some rows of its market; finer bars are read where the study asks for them."""
    study, decision = market.study, market.bars[rows.start : rows.stop]
    wanted = study.trading.execution_interval
    finer = None
    if wanted not in ("", study.data.interval):
        finer = load_finer(study.data, study.folder, Interval.parse(wanted), decision, report=report)
    return Broker(
        decision=decision,
        execution=finer.bars if finer else decision,
        costs=study.costs.record,
        account=study.trading.account,
        starting_balance=study.trading.starting_balance,
        notes=(_paces(decision, finer.bars), *finer.notes) if finer else (),
    )


def _paces(decision: Bars, execution: Bars) -> str:
    return (
        f"Decisions at the closes of {decision.interval} bars, fills and exits on {execution.interval} bars."
    )


def at_closes(ledger: Ledger, closed_at: Int64[np.ndarray, " time"]) -> Ledger:
    """An account at some of its closes: states as they were there, what was paid summed since the close before.

    What was decided in between counts as decided at the close before, so that turnover falls into the right bar.
    """
    rows = np.searchsorted(ledger.closed_at, closed_at)
    decided_at = ledger.fills["decided_at"].dt.epoch("ns").to_numpy()
    before = np.maximum(np.searchsorted(closed_at, decided_at, side="right") - 1, 0)
    decided = pl.from_epoch(pl.Series(closed_at[before]), "ns").dt.cast_time_unit("ms")
    return replace(
        ledger,
        closed_at=closed_at,
        cash=ledger.cash[rows],
        equity=ledger.equity[rows],
        quantity=ledger.quantity[rows],
        fills=ledger.fills.with_columns(decided_at=decided.dt.replace_time_zone("UTC")),
        **{name: _summed(getattr(ledger, name), rows) for name in FLOWS},
    )


def _charged(bars: Bars, multiple: float) -> Bars:
    tiers = [
        tuple(
            replace(fee, maker_bps=_times(fee.maker_bps, multiple), taker_bps=_times(fee.taker_bps, multiple))
            for fee in instrument.fees
        )
        for instrument in bars.instruments
    ]
    instruments = (replace(i, fees=fees) for i, fees in zip(bars.instruments, tiers, strict=True))
    return replace(bars, instruments=tuple(instruments))


def _times(bps: float, multiple: float) -> float:
    return bps * multiple if bps > 0.0 else bps


def _summed(
    values: Float64[np.ndarray, "time asset"], rows: Int64[np.ndarray, " row"]
) -> Float64[np.ndarray, "row asset"]:
    if not values.size or not len(rows):
        return values[: len(rows)]
    return np.add.reduceat(values[: rows[-1] + 1], np.concatenate([[0], rows[:-1] + 1]), axis=0)
