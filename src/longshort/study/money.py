"""What the policy would have earned on the test rows, beside what anyone could have earned without a forecast."""

from dataclasses import dataclass

import numpy as np

from longshort.base.errors import NotComputable
from longshort.base.instrument import BPS
from longshort.base.settings import Study
from longshort.models.heads.catalog import POSITIONS
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger
from longshort.policy.rivals import RIVALS, rival_exposure
from longshort.policy.steering import Rule, Sight, Steering, exposures
from longshort.study.account.broker import Broker, broker_of
from longshort.study.account.tearsheet import figures
from longshort.study.market import Market
from longshort.study.report import Comparison, Curve, Profit
from longshort.study.statistics.sharpe import days_per_year, sharpe_ratio
from longshort.study.trials import daily
from longshort.study.verdict import compare_profit
from longshort.study.walk import Walk

CASH = "cash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The account of the policy and of each rival at the closes of the test rows, and who booked it.

    Without ledgers, `error` says why: the funding of a position was unknown.
    """

    exposure: Exposure
    ledgers: dict[str, Ledger]
    error: NotComputable | None = None
    broker: Broker | None = None


def rule_of(market: Market) -> Rule:
    """The study's rule."""
    return rule_for(market.study, market.bars.bars_per_year)


def rule_for(study: Study, bars_per_year: float) -> Rule:
    """The rule of a study whose bars are not at hand."""
    return Rule(
        policy=study.policy,
        costs=study.costs.record,
        bars_per_year=bars_per_year,
        folder=study.folder,
        learns_positions=study.model.head in POSITIONS,
    )


def earn(market: Market, walk: Walk, model: str) -> Money:
    """Run the policy on a model's forecasts and every rival beside it, each through the same ledger.

    Limits are not in the way: they read the account, which `longshort backtest` drives bar by bar.
    """
    rule, rows = rule_of(market), walk.tested
    broker = broker_of(market, rows)
    sight = Sight(market.bars, market.panel)
    wishes = exposures(walk.forecasts[model], Steering(rule, market.bars.symbols), sight)
    every = {model: wishes} | {
        name: rival_exposure(name, market.bars, market.panel, rows, rule) for name in RIVALS
    }
    try:
        ledgers = {name: broker.judged(broker.book(wish)) for name, wish in every.items()}
    except NotComputable as error:
        return Money(exposure=wishes, ledgers={}, error=error, broker=broker)
    return Money(exposure=wishes, ledgers=ledgers, broker=broker)


def compare_money(market: Market, money: Money, model: str) -> list[Comparison]:
    """The policy's net return per bar against holding cash and against every rival."""
    if not money.ledgers:
        return []
    mine = money.ledgers[model].returns
    others = {CASH: np.zeros_like(mine)} | {n: money.ledgers[n].returns for n in money.ledgers if n != model}
    grid_row = market.bars.calendar.rows(money.ledgers[model].closed_at, market.bars.interval)
    return [
        compare_profit(
            name,
            horizon_bars=market.study.policy.horizon_bars,
            model_return=mine,
            opponent_return=theirs,
            grid_row=grid_row,
            n_coins=len(market.bars.symbols),
        )
        for name, theirs in others.items()
    ]


def turnover_per_bar(money: Money, model: str) -> float:
    """Notional traded over equity, per bar: what turns a margin per trade into one per bar."""
    return float(np.nanmean(money.ledgers[model].turnover)) if money.ledgers else 0.0


def curves(money: Money) -> tuple[Curve, ...]:
    """Equity as a multiple of the starting balance."""
    return tuple(
        Curve(name=name, closed_at=ledger.closed_at, equity=ledger.equity / ledger.starting_balance)
        for name, ledger in money.ledgers.items()
    )


def profits(market: Market, money: Money) -> tuple[Profit, ...]:
    """The figures of every account."""
    return tuple(_profit(name, ledger, market.bars.bars_per_year) for name, ledger in money.ledgers.items())


def daily_sharpe(ledger: Ledger) -> float:
    """The Sharpe ratio per year of net returns per UTC day; NaN where they are few or never vary."""
    days, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
    known = np.isfinite(returns)
    return sharpe_ratio(returns[known]) * float(np.sqrt(days_per_year(days[known])))


def _profit(name: str, ledger: Ledger, bars_per_year: float) -> Profit:
    found, paid, start = (
        figures(ledger.equity, ledger.starting_balance, bars_per_year),
        ledger.totals,
        ledger.starting_balance,
    )
    turnover = float(np.nansum(ledger.turnover))
    gross = found.net_return + (paid.fees + paid.slippage) / start
    return Profit(
        name=name,
        net_return=found.net_return,
        sharpe=daily_sharpe(ledger),
        max_drawdown=found.max_drawdown,
        trades=ledger.trades,
        turnover=turnover,
        fees=paid.fees / start,
        slippage=paid.slippage / start,
        funding=paid.funding / start,
        break_even_bps=gross / turnover / BPS if turnover > 0 else float("nan"),
    )
