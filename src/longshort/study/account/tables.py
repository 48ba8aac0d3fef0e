"""An account taken apart, as sections of plain values: tables, charts and the sentence that says what they show."""

from math import isfinite, nan

import numpy as np
import polars as pl

from longshort.study.account.dissection import CAUSES, Dissection, Standing
from longshort.study.section import Cell, Chart, Column, Section, Series, Table

OWN = "this account"
BINS = 24  # of the histogram of trades
TOLD = {
    "gross": "signal",
    "insurance": "paid by others",
    "liquidation": "liquidation fees",
}  # how causes are named where they are shown
SHARPE = (
    Column(name="net return", kind="signed percent"),
    Column(name="Sharpe", kind="signed", meaning="a year, of daily net returns"),
    Column(name="low", kind="signed", meaning="95 % interval that allows for dependence over time"),
    Column(name="high", kind="signed", meaning="its upper end"),
    Column(name="max drawdown", kind="percent"),
    Column(name="fills", kind="count"),
)


def sections_of(found: Dissection, settle: str, kind: str = "bars") -> tuple[Section, ...]:
    """The sections of a tear sheet; money is in the settlement currency, `kind` are the bars that trades count in."""
    return (
        _surety(found),
        _terms(found),
        _causes(found, settle),
        _trades(found, settle, kind),
        _small(found),
    )


def luck_sentence(found: Dissection) -> str:
    """The deflated Sharpe ratio in words."""
    if not isfinite(found.above_luck):
        return f"{found.days:,} days are too few for a Sharpe ratio."
    if found.trials < 2:
        return f"The only try on record: P(true Sharpe ratio above 0) = {found.above_luck:.0%}."
    return f"After {found.trials:,} tries on record: P(true Sharpe ratio above their luck) = {found.above_luck:.0%}."


def cost_sentence(found: Dissection) -> str:
    """What a fill may cost before nothing is left, beside what it did cost."""
    if not isfinite(found.break_even_bps):
        return "It never traded."
    return f"It breaks even at {found.break_even_bps:.1f} bps a fill; {found.charged_bps:.1f} were charged."


def won_share(trades: pl.DataFrame) -> float:
    """The share of trades that earned something after all costs; NaN without any."""
    net = trades["net"].to_numpy()
    return float((net > 0.0).mean()) if len(net) else nan


def _surety(found: Dissection) -> Section:
    own = found.own.sharpe
    span = f" (95 % interval {own.low:+.2f} to {own.high:+.2f})" if isfinite(own.low) else ""
    sharpe = f"The Sharpe ratio is {own.sharpe:.2f} a year{span}. " if isfinite(own.sharpe) else ""
    return Section(
        key="sure",
        title="How sure is it?",
        reading=sharpe + luck_sentence(found),
        tables=(
            Table(
                name="standings",
                title="Beside what anyone could have done",
                columns=(Column(name="strategy"), *SHARPE),
                rows=(_row(found.own, OWN), *(_row(s, s.name) for s in found.rivals)),
                note="Sharpe ratios rest on net returns of UTC days, without a risk-free rate; nothing below 20 days.",
            ),
        ),
    )


def _terms(found: Dissection) -> Section:
    return Section(
        key="terms",
        title="Other terms, the same wishes",
        reading=cost_sentence(found),
        tables=(
            Table(
                name="sensitivity",
                title="Sensitivity",
                columns=(Column(name="terms"), *SHARPE),
                rows=tuple(_row(s, s.name) for s in (found.own, *found.variations)),
                note="The wishes do not adapt to other terms, as a policy that knew of them would.",
            ),
            Table(
                name="executions",
                title="Taker and maker",
                columns=(Column(name="orders"), *SHARPE),
                rows=tuple(
                    _row(s, f"{s.name} (as booked)" if s.name == found.execution else s.name)
                    for s in found.executions
                ),
                note="A maker's order rests at the close for one bar and fills where the bar trades through it.",
            ),
        ),
    )


def _causes(found: Dissection, settle: str) -> Section:
    shown = [name for name in CAUSES if name in ("gross", "fees", "slippage", "net") or found.causes[name]]
    total: tuple[Cell, ...] = ("all", *(found.causes[n] for n in shown), int(found.by_coin["trades"].sum()))
    rows = [
        (row["symbol"], *(row[n] for n in shown), row["trades"])
        for row in found.by_coin.sort("net", descending=True).to_dicts()
    ]
    told = [f"{TOLD.get(n, n)} {found.causes[n]:+,.2f}" for n in shown if n != "net"]
    return Section(
        key="causes",
        title="What brought it, and what took it",
        reading=f"In {settle}: {', '.join(told)}; together {found.causes['net']:+,.2f}.",
        tables=(
            Table(
                name="causes",
                title="By coin and cause",
                columns=(
                    Column(name="coin"),
                    *(Column(name=TOLD.get(n, n), kind="signed", unit=settle) for n in shown),
                    Column(name="trades", kind="count"),
                ),
                rows=(total, *rows),
                note="Signal is what prices brought before slippage, open positions at their last price.",
            ),
        ),
        charts=(
            Chart(
                name="causes",
                title="By cause",
                kind="bars",
                x_label="cause",
                y_label=settle,
                x_kind="label",
                y_kind="signed",
                reference=0.0,
                labels=tuple(TOLD.get(n, n) for n in shown),
                series=(
                    Series(
                        name="this account",
                        x=tuple(float(k) for k in range(len(shown))),
                        y=tuple(found.causes[n] for n in shown),
                    ),
                ),
                reading="Above zero: brought; below: took. Net is their sum.",
            ),
        ),
    )


def _trades(found: Dissection, settle: str, kind: str) -> Section:
    trades = found.trades
    ended = trades.filter(pl.col("closed_at").is_not_null())
    parts = {"all": trades, **{side: trades.filter(pl.col("side") == side) for side in ("long", "short")}}
    if not len(trades):
        return Section(key="trades", title="Trades", reading="", missing="the account never traded.")
    won = won_share(trades)
    return Section(
        key="trades",
        title="Trades",
        reading=f"Of {len(trades):,} trades {won:.0%} earned something after all costs; {len(trades) - len(ended):,} "
        "were still open at the end.",
        tables=(
            Table(
                name="trades",
                title="Distribution",
                columns=_spread_columns("trades", settle, kind),
                rows=tuple(_spread(name, part) for name, part in parts.items() if len(part)),
                note=f"A trade lasts from flat to flat, or to the other side. Duration in {kind}.",
            ),
            Table(
                name="exits",
                title="By what ended them",
                columns=_spread_columns("exit", settle, kind),
                rows=tuple(
                    _spread(str(cause), trades.filter(pl.col("cause") == cause))
                    for cause in trades["cause"].unique(maintain_order=True)
                ),
            ),
        ),
        charts=(_histogram(trades, settle),),
    )


def _spread_columns(first: str, settle: str, kind: str) -> tuple[Column, ...]:
    money = [
        Column(name=n, kind="signed", unit=settle) for n in ("mean net", "median", "best", "worst", "sum")
    ]
    return (
        Column(name=first),
        Column(name="trades", kind="count"),
        Column(name="won", kind="percent"),
        *money,
        Column(name="held", kind="number", unit=kind, digits=1, meaning="mean duration"),
    )


def _spread(name: str, trades: pl.DataFrame) -> tuple[Cell, ...]:
    net = trades["net"].to_numpy()
    money = (net.mean(), np.median(net), net.max(), net.min(), net.sum())
    held = float(trades["bars"].to_numpy().mean())
    return (name, len(trades), float((net > 0.0).mean()), *(float(m) for m in money), held)


def _histogram(trades: pl.DataFrame, settle: str) -> Chart:
    """How many trades ended with what; the outermost hundredth on each side counts into the last bins."""
    net = trades["net"].to_numpy()
    low, high = np.quantile(net, [0.01, 0.99])
    edges = np.linspace(low, max(high, low + 0.01), BINS + 1)
    counts, _ = np.histogram(np.clip(net, edges[0], edges[-1]), edges)
    middle = (edges[:-1] + edges[1:]) / 2.0
    return Chart(
        name="trades",
        title="Net of each trade",
        kind="bars",
        x_label=f"net, {settle}",
        y_label="trades",
        y_kind="count",
        series=(Series(name="trades", x=tuple(middle.tolist()), y=tuple(float(c) for c in counts)),),
        reading=f"The middle one ended with {float(np.median(net)):+,.2f} {settle}.",
    )


def _small(found: Dissection) -> Section:
    told = [f"{a.share:.0%} at {a.size:,.0f}" for a in found.small_accounts if isfinite(a.share)]
    return Section(
        key="small",
        title="Could a small account follow?",
        reading=f"Orders below the venue's minimum: {', '.join(told)}." if told else "Nothing was wished.",
        tables=(
            Table(
                name="small-accounts",
                title="Wishes below the venue's minimum",
                columns=(
                    Column(
                        name="account",
                        kind="number",
                        unit="quote",
                        digits=0,
                    ),
                    Column(
                        name="orders wished", kind="count", meaning="wishes that open or resize a position"
                    ),
                    Column(name="too small", kind="percent", meaning="below the minimum notional or one lot"),
                ),
                rows=tuple((a.size, a.wished, a.share) for a in found.small_accounts),
            ),
        ),
    )


def _row(standing: Standing, name: str) -> tuple[Cell, ...]:
    sharpe = standing.sharpe
    numbers = (standing.net_return, sharpe.sharpe, sharpe.low, sharpe.high, standing.max_drawdown)
    return (name, *(n if isfinite(n) else nan for n in numbers), standing.fills)
