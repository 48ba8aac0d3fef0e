"""An account taken apart: trades, what each coin and each cause brought, other terms, small accounts, and luck.

Other terms book the very wishes again: they do not adapt, as a policy that knew of them would.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import nan, sqrt

import numpy as np
import polars as pl

from longshort.base.errors import NotComputable
from longshort.base.instrument import BPS
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger
from longshort.study.account.broker import Broker
from longshort.study.account.tearsheet import drawdown
from longshort.study.account.trades import MONEY, trades_of
from longshort.study.evidence.costs import ACCOUNTS, below_minimum, delayed
from longshort.study.statistics.sharpe import (
    Interval,
    Track,
    days_per_year,
    deflated_sharpe,
    hac_interval,
    probabilistic_sharpe,
)
from longshort.study.trials import daily

EXECUTIONS = ("taker", "maker", "maker, then taker")
CAUSES = ("gross", "fees", "slippage", "impact", "funding", "liquidation", "insurance", "net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an account earned and how sure that is: the Sharpe ratio a year of daily net returns, its 95 % interval."""

    name: str
    net_return: float
    sharpe: Interval
    max_drawdown: float
    fills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallAccount:
    """How many of the wished orders an account of a size (in quote units) could not send."""

    size: float
    wished: int
    refused: int

    @property
    def share(self) -> float:
        """Of the wished orders; NaN where there were none."""
        return self.refused / self.wished if self.wished else nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Dissection:
    """What `dissect` finds; money in settlement units, `by_coin` one row per coin and its causes (`CAUSES`).

    `above_zero` is the probability that the true Sharpe ratio is above 0, `above_luck` that it is above what the
    luckiest of `trials` without skill would show. `break_even_bps` is the cost per fill that would leave nothing.
    """

    trades: pl.DataFrame = field(repr=False)
    by_coin: pl.DataFrame
    own: Standing
    rivals: tuple[Standing, ...]
    variations: tuple[Standing, ...]
    executions: tuple[Standing, ...]
    small_accounts: tuple[SmallAccount, ...]
    execution: str
    trials: int
    days: int
    above_zero: float
    above_luck: float
    break_even_bps: float
    charged_bps: float

    @property
    def causes(self) -> dict[str, float]:
        """What each cause brought or took over all coins."""
        return {name: float(self.by_coin[name].sum()) for name in CAUSES}


def dissect(
    broker: Broker, wishes: Exposure, ledger: Ledger, rivals: Mapping[str, Ledger], *, trials: int
) -> Dissection:
    """Take the account of some wishes apart; `ledger` is what the broker booked of them, on the rows of execution."""
    trades = trades_of(ledger, broker.execution)
    own = standing("as booked", ledger)
    track = Track.of(_daily_returns(ledger)[1])
    turnover = float(np.nansum(ledger.turnover))
    gross = own.net_return + (ledger.totals.fees + ledger.totals.slippage) / ledger.starting_balance
    notional = float(ledger.fills["notional"].sum())
    return Dissection(
        trades=trades,
        by_coin=by_coin(trades, ledger, broker),
        own=own,
        rivals=tuple(standing(name, rival) for name, rival in rivals.items()),
        variations=variations(broker, wishes),
        executions=executions(broker, wishes, own),
        small_accounts=small_accounts(broker, wishes),
        execution=broker.account.execution,
        trials=trials,
        days=track.periods,
        above_zero=probabilistic_sharpe(track),
        above_luck=deflated_sharpe(track, max(trials, 1)),
        break_even_bps=gross / turnover / BPS if turnover > 0.0 else nan,
        charged_bps=(ledger.totals.fees + ledger.totals.slippage) / notional / BPS if notional else nan,
    )


def standing(name: str, ledger: Ledger) -> Standing:
    """What an account earned; NaN where it has no rows."""
    days, returns = _daily_returns(ledger)
    interval = hac_interval(returns).scaled(sqrt(days_per_year(days)) if len(days) else nan)
    return Standing(
        name=name,
        net_return=float(ledger.equity[-1]) / ledger.starting_balance - 1.0 if len(ledger.equity) else nan,
        sharpe=interval,
        max_drawdown=float(drawdown(ledger.equity, ledger.starting_balance).max()) if len(days) else nan,
        fills=ledger.trades,
    )


def variations(broker: Broker, wishes: Exposure) -> tuple[Standing, ...]:
    """The same wishes at twice the fees, one bar late, and at three times the slippage."""
    return (
        _booked("fees x2", broker.dearer(fees=2.0), wishes),
        _booked("one bar late", broker, delayed(wishes, 1) if len(wishes) > 1 else wishes),
        _booked("slippage x3", broker.dearer(slippage=3.0), wishes),
    )


def executions(broker: Broker, wishes: Exposure, own: Standing) -> tuple[Standing, ...]:
    """The same wishes sent as each kind of order; the account's own kind is not booked again."""
    return tuple(
        replace(own, name=kind)
        if kind == broker.account.execution
        else _booked(kind, broker.executed(kind), wishes)
        for kind in EXECUTIONS
    )


def small_accounts(broker: Broker, wishes: Exposure) -> tuple[SmallAccount, ...]:
    """The wished orders that a venue would refuse accounts of 500, 5,000 and 50,000."""
    bars = broker.decision
    found = [(a, *below_minimum(wishes.target, bars.close, bars.instruments, a)) for a in ACCOUNTS]
    return tuple(SmallAccount(size=size, wished=wished, refused=lost) for size, wished, lost in found)


def by_coin(trades: pl.DataFrame, ledger: Ledger, broker: Broker) -> pl.DataFrame:
    """What each coin's trades brought, by cause; positive is earned, and a row's causes add up to its net.

    Where the study has market impact, what slippage is above the fixed part counts as impact, to the nearest tick.
    """
    symbols = pl.DataFrame({"symbol": list(ledger.symbols)}, schema={"symbol": pl.String})
    summed = trades.group_by("symbol").agg(
        pl.len().cast(pl.Int64).alias("trades"), *(pl.col(n).sum() for n in MONEY)
    )
    table = symbols.join(summed, on="symbol", how="left", maintain_order="left").fill_null(0)
    impact = pl.Series("impact", _impact(ledger, broker))
    table = table.with_columns(impact).with_columns(slippage=pl.col("slippage") - pl.col("impact"))
    paid = ("fees", "slippage", "impact", "funding", "liquidation")
    taken = (pl.when(pl.col(name) == 0.0).then(0.0).otherwise(-pl.col(name)).alias(name) for name in paid)
    return table.with_columns(*taken).select("symbol", *CAUSES, "trades")


def _impact(ledger: Ledger, broker: Broker) -> list[float]:
    """Per coin, the slippage beyond the fixed basis points; 0 without impact."""
    if not broker.costs.impact:
        return [0.0] * len(ledger.symbols)
    fixed = pl.min_horizontal("slippage", pl.col("notional") * (broker.costs.slippage_bps * BPS))
    beyond = ledger.fills.with_columns(beyond=pl.col("slippage") - fixed)
    return [float(beyond.filter(pl.col("symbol") == s)["beyond"].sum()) for s in ledger.symbols]


def _booked(name: str, broker: Broker, wishes: Exposure) -> Standing:
    """The standing of wishes under other terms; NaN where funding is unknown while a position is open."""
    try:
        return standing(name, broker.book(wishes))
    except NotComputable:
        unknown = Interval(sharpe=nan, low=nan, high=nan)
        return Standing(name=name, net_return=nan, sharpe=unknown, max_drawdown=nan, fills=0)


def _daily_returns(ledger: Ledger) -> tuple[np.ndarray, np.ndarray]:
    days, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
    known = np.isfinite(returns)
    return days[known], returns[known]
