"""The policy's books as an audit asks for them: over other histories and other wishes, booked as a backtest books.

Bars that close later than the first one that is another are noise: no execution bar tells of them, and those that
decide stand in, as they do wherever finer bars are missing.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from longshort.data.bars import Bars
from longshort.data.execution import laid_under
from longshort.models.opponents.catalog import model_name
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger
from longshort.policy.steering import Sight, Steering, exposures
from longshort.study.account.broker import Broker, broker_of
from longshort.study.market import Market
from longshort.study.money import rule_of
from longshort.study.walk import Walk

PerCoin = Float64[np.ndarray, "time asset"]
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedBooks:
    """Who books the tested rows of a study, and the policy's wishes on all rows of its history (NaN elsewhere)."""

    broker: Broker
    tested: range
    exposure: Exposure

    def profit(self, history: Bars, target: PerCoin) -> Float64[np.ndarray, " time"]:
        """The equity at every close; before the tested rows it is what the account began with."""
        ledger = self.booked(history, target)
        equity = np.full(len(history), self.broker.starting_balance)
        equity[self.tested.start : self.tested.stop] = self.broker.judged(ledger).equity
        equity[self.tested.stop :] = equity[self.tested.stop - 1]
        return equity

    def booked(self, history: Bars, target: PerCoin) -> Ledger:
        """The account of other targets on another history; from the first other target on, exits are others too."""
        rows = slice(self.tested.start, self.tested.stop)
        own = self.exposure[rows]
        others = np.flatnonzero(_differs(target[rows], own.target).any(axis=1))
        since = int(others[0]) if len(others) else len(own)
        exits = {name: getattr(own, name).copy() for name in ("stop", "take")}
        for values in exits.values():
            values[since:] *= 0.5
        wishes = replace(own, target=target[rows], **exits)
        return self._on(history[rows]).book(wishes)

    def _on(self, decision: Bars) -> Broker:
        """The broker on other bars; of execution bars it has those of the rows that are the same."""
        broker = self.broker
        if not broker.finer:
            return replace(broker, decision=decision, execution=decision)
        others = [_differs(getattr(decision, n), getattr(broker.decision, n)).any(axis=1) for n in PRICES]
        rows = np.flatnonzero(np.logical_or.reduce(others))
        known = int(rows[0]) if len(rows) else len(decision)
        if known == len(decision):
            return broker
        factor = len(broker.execution) // len(decision)
        execution = laid_under(decision, broker.execution[: max(known, 1) * factor]).bars
        return replace(broker, decision=decision, execution=execution)


def books_of(market: Market, walked: Walk) -> AuditedBooks:
    """The books of a walk's model under the study's policy, costs, account and execution bars."""
    tested, bars = walked.tested, market.bars
    steering, sight = Steering(rule_of(market), bars.symbols), Sight(bars, market.panel)
    found = exposures(walked.forecasts[model_name(market.study)], steering, sight)
    wishes: dict[str, PerCoin] = {}
    for name in ("target", "stop", "take"):
        wishes[name] = np.full(bars.close.shape, np.nan)
        wishes[name][tested.start : tested.stop] = getattr(found, name)
    exposure = Exposure(closed_at=bars.closed_at, symbols=bars.symbols, **wishes)
    return AuditedBooks(broker=broker_of(market, tested), tested=tested, exposure=exposure)


def _differs(mine: PerCoin, theirs: PerCoin) -> np.ndarray:
    return (mine != theirs) & ~(np.isnan(mine) & np.isnan(theirs))
