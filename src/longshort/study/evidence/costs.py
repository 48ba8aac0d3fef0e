"""What costs, delay and a small account do to a profit: paid, broken down, and booked again under other terms.

Every variation goes through the money ledger with the very wishes of the study: they do not adapt to other costs, as a
policy that knew them would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan, sqrt

import numpy as np
from jaxtyping import Float64

from longshort.base.errors import NotComputable
from longshort.base.instrument import BPS, Instrument
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger
from longshort.policy.rivals import RIVALS, rival_exposure
from longshort.study.account.broker import Broker, broker_of
from longshort.study.case import Case
from longshort.study.money import profits, rule_of
from longshort.study.section import Chart, Column, Series, Table
from longshort.study.statistics.sharpe import days_per_year, sharpe_ratio
from longshort.study.trials import daily

Targets = Float64[np.ndarray, "time asset"]

MULTIPLES = (0.0, 0.5, 1.0, 2.0, 3.0)
DELAYS = (1, 2)
ACCOUNTS = (500.0, 5_000.0, 50_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an account ended with, and its Sharpe ratio per year on daily returns; NaN where it can not be booked."""

    net_return: float
    sharpe: float


UNKNOWN = Outcome(net_return=nan, sharpe=nan)


def outcome_of(ledger: Ledger) -> Outcome:
    """The outcome of an account."""
    days, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
    known = np.isfinite(returns)
    sharpe = sharpe_ratio(returns[known]) * sqrt(days_per_year(days[known]))
    return Outcome(net_return=float(ledger.equity[-1] / ledger.starting_balance - 1.0), sharpe=sharpe)


def wishes_of(case: Case) -> dict[str, Exposure]:
    """The wishes of the policy and of every rival on the tested rows, the policy first."""
    market, rule = case.market, rule_of(case.market)
    rivals = [name for name in case.money.ledgers if name in RIVALS]
    return {case.model: case.money.exposure} | {
        name: rival_exposure(name, market.bars, market.panel, case.walk.tested, rule) for name in rivals
    }


def delayed(exposure: Exposure, bars: int) -> Exposure:
    """The same wishes, each formed so many bars later; the last ones are never formed."""
    late = {name: np.full_like(exposure.target, np.nan) for name in ("target", "stop", "take")}
    for name, values in late.items():
        values[bars:] = getattr(exposure, name)[: len(exposure) - bars]
    return replace(exposure, **late)


def booked(broker: Broker, exposure: Exposure) -> Outcome:
    """The outcome of wishes with a broker; `UNKNOWN` where funding is unknown while a position is open."""
    try:
        return outcome_of(broker.judged(broker.book(exposure)))
    except NotComputable:
        return UNKNOWN


def broker_for(case: Case) -> Broker:
    """Who booked the accounts of a case."""
    return case.money.broker or broker_of(case.market, case.walk.tested)


def cost_outcomes(case: Case) -> dict[str, dict[float, Outcome]]:
    """Per strategy and cost multiple: what would have been left; once the costs is what was booked already."""
    broker = broker_for(case)
    return {
        name: {
            m: outcome_of(case.money.ledgers[name])
            if m == 1.0
            else booked(broker.dearer(fees=m, slippage=m), wish)
            for m in MULTIPLES
        }
        for name, wish in wishes_of(case).items()
    }


def delay_outcomes(case: Case) -> dict[int, Outcome]:
    """What the policy's wishes would have earned if each had come some bars later."""
    broker, wished = broker_for(case), case.money.exposure
    return {k: booked(broker, delayed(wished, k)) for k in DELAYS if k < len(wished)}


def below_minimum(
    target: Targets, close: Targets, instruments: Sequence[Instrument], account: float
) -> tuple[int, int]:
    """How many wishes ask for an order that opens or resizes, and how many of those the venue would not take.

    The order is the wish's difference from the last one, for an account of constant size in quote units; it is too
    small below the minimum notional or below one lot. Wishes to be flat are left out: closing is always taken.
    """
    asked = refused = 0
    for a, instrument in enumerate(instruments):
        rows = np.flatnonzero(np.isfinite(target[:, a]) & np.isfinite(close[:, a]))
        wish = target[rows, a]
        order = np.abs(np.diff(wish, prepend=0.0)) * account
        worth = 1.0 if instrument.inverse else close[rows, a]
        one_lot = worth * float(instrument.contract_size) * float(instrument.lot)
        least = np.maximum(one_lot, float(instrument.min_notional)) * (1.0 - 1e-12)
        opens = (wish != 0.0) & (order > 0.0)
        asked += int(opens.sum())
        refused += int((opens & (order < least)).sum())
    return asked, refused


def cost_table(case: Case) -> Table:
    """Gross, what was paid for what, and net."""
    rows: list[tuple[str | float, ...]] = []
    for profit in profits(case.market, case.money):
        ledger = case.money.ledgers[profit.name]
        traded = float(ledger.fills["notional"].sum())
        paid, start = ledger.totals, ledger.starting_balance
        in_bps = [x / traded / BPS if traded > 0.0 else nan for x in (paid.fees, paid.slippage, paid.funding)]
        gross = profit.net_return + (paid.fees + paid.slippage + paid.funding) / start
        shares = (gross, -profit.fees, -profit.slippage, -profit.funding, profit.net_return)
        rows.append((profit.name, *shares, *in_bps, profit.trades, profit.break_even_bps))
    return Table(
        name="costs",
        title="What was paid",
        columns=(
            Column(name="strategy"),
            *(
                Column(name=name, kind="signed percent", meaning=f"{name}, of the starting balance")
                for name in ("gross", "fees", "slippage", "funding", "net")
            ),
            *(
                Column(name=f"{name} per trade", kind="number", unit="bp", meaning="of the notional traded")
                for name in ("fees", "slippage", "funding")
            ),
            Column(name="trades", kind="count"),
            Column(
                name="break-even", kind="signed", unit="bp", meaning="the cost per fill that leaves nothing"
            ),
        ),
        rows=tuple(rows),
        note="Negative shares were paid, positive ones received.",
    )


def stress_table(case: Case, costs: Mapping[float, Outcome], delays: Mapping[int, Outcome]) -> Table:
    """The policy under other costs, and with decisions that come late."""
    per_fill = case.market.study.costs.record.fill / BPS
    varied = [(f"{m:g}x costs ({m * per_fill:g} bp a fill)", costs[m]) for m in MULTIPLES]
    varied += [(f"{k} {'bar' if k == 1 else 'bars'} late", found) for k, found in delays.items()]
    return Table(
        name="sensitivity",
        title=f"{case.model} under other terms",
        columns=(
            Column(name="terms"),
            Column(name="net return", kind="signed percent"),
            Column(name="Sharpe", kind="signed", unit="a year"),
            Column(name="against 1x", kind="signed percent", meaning="the difference in net return"),
        ),
        rows=tuple(
            (name, found.net_return, found.sharpe, found.net_return - costs[1.0].net_return)
            for name, found in varied
        ),
        note="The wishes stay what they were; funding is paid as it was, it is not multiplied.",
    )


def account_table(case: Case) -> Table:
    """How much of what the policy wishes small accounts could follow."""
    tested = case.walk.tested
    bars = case.market.bars[tested.start : tested.stop]
    found = [
        (a, *below_minimum(case.money.exposure.target, bars.close, bars.instruments, a)) for a in ACCOUNTS
    ]
    return Table(
        name="small-accounts",
        title="Wishes below the venue's minimum",
        columns=(
            Column(name="account", kind="number", unit=bars.instruments[0].settle, digits=0),
            Column(name="orders wished", kind="count", meaning="wishes that open or resize a position"),
            Column(name="too small", kind="percent", meaning="below the minimum notional or one lot"),
        ),
        rows=tuple((account, asked, lost / asked if asked else nan) for account, asked, lost in found),
    )


def cost_chart(case: Case, outcomes: Mapping[str, Mapping[float, Outcome]]) -> Chart:
    """Net return against the multiple of the costs that were charged."""
    mine = outcomes[case.model]
    cheap, dear = mine[MULTIPLES[0]].net_return, mine[MULTIPLES[-1]].net_return
    return Chart(
        name="net-return-by-cost",
        title="Net return against costs",
        kind="lines",
        x_label="times the costs of the study",
        y_label="net return",
        y_kind="signed percent",
        reference=0.0,
        series=tuple(
            Series(name=name, x=MULTIPLES, y=tuple(found[m].net_return for m in MULTIPLES))
            for name, found in outcomes.items()
        ),
        reading=f"{case.model}: {cheap:+.1%} without costs, {dear:+.1%} at three times the study's.",
    )
