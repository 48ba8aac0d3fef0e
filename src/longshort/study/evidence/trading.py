"""What the policy would have earned beside its rivals, how sure that is, what it risked and what it paid."""

from collections.abc import Mapping
from math import isfinite

from longshort.base.instrument import BPS
from longshort.study.case import Case
from longshort.study.evidence import costs
from longshort.study.evidence.account import Concentration, Earned, concentration, earned
from longshort.study.evidence.costs import Outcome
from longshort.study.money import profits
from longshort.study.section import Chart, Column, Section, Series, Table
from longshort.study.statistics.sharpe import Interval, Track, deflated_sharpe, probabilistic_sharpe

TITLE = "What it would have earned"


def section(case: Case) -> Section:
    """The account of the policy beside those of its rivals."""
    if not case.money.ledgers or not len(case.walk.tested):
        why = str(case.money.error) if case.money.error else "no account was booked"
        return Section(key="trading", title=TITLE, reading="", missing=f"Profit is not computed: {why}")
    tested = case.walk.tested
    bars = case.market.bars[tested.start : tested.stop]
    found = [earned(name, ledger, bars) for name, ledger in case.money.ledgers.items()]
    parts = {name: concentration(ledger, bars) for name, ledger in case.money.ledgers.items()}
    by_cost, by_delay = costs.cost_outcomes(case), costs.delay_outcomes(case)
    mine = next(e for e in found if e.name == case.model)
    trials = max(len(case.tried), 1)
    return Section(
        key="trading",
        title=TITLE,
        reading=f"{_reading(mine, found, trials)} {_stressed(case, by_cost[case.model], by_delay)}".strip(),
        tables=(
            _earned_table(found),
            _risk_table(found),
            costs.cost_table(case),
            costs.stress_table(case, by_cost[case.model], by_delay),
            costs.account_table(case),
            _concentration_table(parts),
        ),
        charts=(_interval_chart(mine, found), costs.cost_chart(case, by_cost)),
        notes=_notes(mine, trials),
    )


def _reading(mine: Earned, found: list[Earned], trials: int) -> str:
    if not mine.in_market:
        return f"{mine.name} never held a position: it earned nothing and risked nothing."
    told = f"{mine.name} earned {mine.net_return:+.1%} after all costs"
    if not isfinite(mine.hac.sharpe):
        return f"{told}; {mine.track.periods} days are too few for a Sharpe ratio."
    told += f", a Sharpe ratio of {_span(mine.hac)}: {_meaning(mine.hac)}."
    others = [e for e in found if e.name != mine.name]
    if others:
        best = max(others, key=lambda e: e.net_return)
        told += f" {best.name.capitalize()} earned {best.net_return:+.1%}, a Sharpe ratio of {best.hac.sharpe:.2f}."
    return f"{told} {deflated_sentence(mine.name, mine.track, trials)}"


def _stressed(case: Case, by_cost: Mapping[float, Outcome], by_delay: Mapping[int, Outcome]) -> str:
    profit = next(p for p in profits(case.market, case.money) if p.name == case.model)
    if not profit.trades:
        return ""
    per_fill = case.market.study.costs.record.fill / BPS
    told = f"{case.model} breaks even at {profit.break_even_bps:.1f} bp a fill; {per_fill:g} were charged"
    told += f", and twice that would have left {by_cost[2.0].net_return:+.1%}"
    late = by_delay.get(1)
    return told + (f"; decided one bar later, {late.net_return:+.1%}." if late else ".")


def deflated_sentence(name: str, track: Track, trials: int) -> str:
    """The deflated Sharpe ratio in words."""
    sure = deflated_sharpe(track, trials)
    if trials < 2:
        return f"As the only try on record, the true Sharpe ratio of {name} is above 0 with probability {sure:.0%}."
    return (
        f"After {trials:,} tries, the probability that the true Sharpe ratio of {name} is above what the luckiest of "
        f"as many without skill would show is {sure:.0%}."
    )


def _span(interval: Interval) -> str:
    return f"{interval.sharpe:.2f} a year (95 % interval {interval.low:.2f} to {interval.high:.2f})"


def _meaning(interval: Interval) -> str:
    if interval.low > 0.0:
        return "more than luck alone would explain, were it the only try"
    if interval.high < 0.0:
        return "a loss that luck does not explain"
    return "a record like this can not tell a profit from luck"


def _earned_table(found: list[Earned]) -> Table:
    signed = [
        Column(name=name, kind="signed", meaning=meaning)
        for name, meaning in (
            ("Sharpe", "a year, of daily net returns"),
            ("HAC low", "95 % interval that allows for dependence over time"),
            ("HAC high", "its upper end"),
            ("bootstrap low", "95 % percentile interval of the stationary bootstrap"),
            ("bootstrap high", "its upper end"),
        )
    ]
    return Table(
        name="earned",
        title="Earned after all costs",
        columns=(
            Column(name="strategy"),
            Column(name="net return", kind="signed percent"),
            *signed,
            Column(
                name="above zero", kind="percent", meaning="probability that the true Sharpe ratio is (PSR)"
            ),
            Column(
                name="record needed", kind="number", unit="years", meaning="to be 95 % sure of that (MinTRL)"
            ),
        ),
        rows=tuple(
            (
                e.name,
                e.net_return,
                *(e.hac.sharpe, e.hac.low, e.hac.high, e.bootstrap.low, e.bootstrap.high),
                probabilistic_sharpe(e.track),
                e.least_years if isfinite(e.least_years) else None,
            )
            for e in found
        ),
        note="No record is long enough where the Sharpe ratio is not above zero.",
    )


def _risk_table(found: list[Earned]) -> Table:
    return Table(
        name="risk",
        title="Risked",
        columns=(
            Column(name="strategy"),
            Column(name="Sortino", kind="signed", meaning="a year, mean over downside deviation"),
            Column(name="Calmar", kind="signed", meaning="return a year over the deepest drawdown"),
            Column(name="max drawdown", kind="percent"),
            Column(name="its length", kind="number", unit="days", digits=0),
            Column(name="turnover", kind="number", unit="a year", digits=0, meaning="notional over equity"),
            Column(name="gross exposure", kind="percent", meaning="mean over all closes, of equity"),
            Column(name="time in market", kind="percent"),
        ),
        rows=tuple(
            (
                *(e.name, e.sortino, e.calmar, e.max_drawdown, e.drawdown_days),
                *(e.turnover, e.gross_exposure, e.in_market),
            )
            for e in found
        ),
    )


def _concentration_table(parts: dict[str, Concentration]) -> Table:
    return Table(
        name="concentration",
        title="Where the profit came from",
        columns=(
            Column(name="strategy"),
            Column(name="net return", kind="signed percent"),
            Column(name="best day", kind="percent", meaning="share of the net profit"),
            Column(name="best five days", kind="percent", meaning="share of the net profit"),
            Column(
                name="without them", kind="signed percent", meaning="net return without the best five days"
            ),
            Column(name="best series"),
            Column(name="its part", kind="percent", meaning="share of the net profit"),
        ),
        rows=tuple(
            (
                *(name, c.net_return, c.best_day, c.best_five_days),
                *(c.without_best_days, c.best_coin, c.best_coin_share),
            )
            for name, c in parts.items()
        ),
        note="Shares above 100 % were lost again elsewhere; a loss has no shares.",
    )


def _interval_chart(mine: Earned, found: list[Earned]) -> Chart:
    return Chart(
        name="sharpe-intervals",
        title="Sharpe ratio a year with its 95 % interval",
        kind="intervals",
        x_label="strategy",
        y_label="Sharpe ratio a year",
        x_kind="label",
        y_kind="signed",
        reference=0.0,
        labels=tuple(e.name for e in found),
        series=(
            Series(
                name="HAC",
                x=tuple(float(i) for i in range(len(found))),
                y=tuple(e.hac.sharpe for e in found),
                low=tuple(e.hac.low for e in found),
                high=tuple(e.hac.high for e in found),
            ),
        ),
        reading=_apart(mine, [e for e in found if e.name != mine.name]),
    )


def _apart(mine: Earned, rivals: list[Earned]) -> str:
    above = sum(e.hac.low > mine.hac.high for e in rivals)
    below = sum(e.hac.high < mine.hac.low for e in rivals)
    same = len(rivals) - above - below
    return f"Of {len(rivals)} rivals, {same} overlap with {mine.name}, {above} lie above it and {below} below it."


def _notes(mine: Earned, trials: int) -> tuple[str, ...]:
    return (
        "Ratios per year rest on net returns of UTC days, without a risk-free rate; drawdowns on every bar.",
        f"The luck of {trials:,} tries on record is measured by the null variance of a Sharpe ratio, 1/(T - 1) with "
        f"T = {mine.track.periods:,} days: the variance across tries is mostly what costs took.",
        "HAC intervals have 1.3 sqrt(T) lags and fixed-b critical values; the bootstrap draws blocks of T^(1/3) days.",
    )
