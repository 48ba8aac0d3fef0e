"""The page of a backtest: what the account earned, what it risked, what it paid, and what it did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from longshort.base.instrument import BPS
from longshort.policy.ledger import Ledger
from longshort.study.account.dissection import standing
from longshort.study.account.tearsheet import (
    Figures,
    TearSheet,
    drawdown_spells,
    figures,
    monthly_returns,
    won_share,
)
from longshort.study.report import Curve, data_notes, noun_of
from longshort.study.statistics.sharpe import Interval
from longshort.web.charts import bars
from longshort.web.formats import MONTHS, count, day, fixed, multiple, percent, percents
from longshort.web.lines import Axis, Line, line_chart
from longshort.web.money import Figure, money_figures
from longshort.web.pages import drawn, render
from longshort.web.sections import topics_of

OWN = "this account"
SHORT = {
    "topic-sure": "Luck",
    "topic-terms": "Terms",
    "topic-causes": "Causes",
    "topic-trades": "Trades",
    "topic-small": "Small",
}  # what the bar on top calls the sections
FILLS = 25  # how many of the last fills are listed
LARGEST = 10  # how many of the largest
DEEPEST = 5  # how many drawdowns
DEEP_MONTH = 0.15  # a month that moved this much is drawn in full color


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One key figure; `side` is `up` or `down` where its sign matters."""

    label: str
    figure: str
    beside: str = ""
    side: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One cell of the table of months; `depth` is the share of full color."""

    text: str
    side: str
    depth: int


def render_tearsheet(sheet: TearSheet) -> str:
    """One self-contained HTML page for one account and its rivals."""
    ledger = sheet.ledger
    found = figures(ledger.equity, ledger.starting_balance, sheet.bars.bars_per_year)
    own = Curve(name=OWN, closed_at=ledger.closed_at, equity=ledger.equity / ledger.starting_balance)
    spells = drawdown_spells(ledger.closed_at, ledger.equity, ledger.starting_balance)[:DEEPEST]
    return render(
        "tearsheet.html",
        sheet=sheet,
        title=sheet.title,
        notes=(*sheet.notes, *data_notes(sheet.bars.origins, sheet.bars.changes)),
        noun=noun_of(sheet.bars.calendar.name),
        created_at=sheet.created_at,
        versions=sheet.versions,
        headline=_headline(found, sheet.rivals),
        span=" to ".join(day(int(at)) for at in ledger.closed_at[[0, -1]]) if len(own.equity) else "",
        tiles=[*_result_tiles(sheet, found), *_cost_tiles(ledger)],
        money_charts=money_figures([own, *sheet.rivals]),
        exposure=_exposure(sheet),
        costs=_costs(ledger),
        months=_months(sheet),
        month_names=MONTHS,
        spells=spells,
        topics=(topics := topics_of(sheet.sections, OWN)),
        short={topic.key: SHORT.get(topic.key, topic.title) for topic in topics},
        last_fills=_fills(ledger).sort("filled_at").tail(FILLS).reverse().to_dicts(),
        largest_fills=_fills(ledger).sort("notional", descending=True).head(LARGEST).to_dicts(),
    )


def _headline(found: Figures, rivals: Sequence[Curve]) -> str:
    if not math.isfinite(found.net_return):
        return "No bars, no result."
    verb = "earned" if found.net_return >= 0 else "lost"
    said = f"It {verb} {percent(abs(found.net_return))} after all costs"
    ends = [(rival.name, float(rival.equity[-1]) - 1.0) for rival in rivals if len(rival.equity)]
    beside = ", ".join(f"{name} {percent(value, sign=True)}" for name, value in ends)
    return f"{said}; {beside}." if beside else f"{said}."


def _result_tiles(sheet: TearSheet, found: Figures) -> list[Tile]:
    gross = np.abs(sheet.exposure).sum(axis=1)
    known = gross[np.isfinite(gross)]
    mean = float(known.mean()) if len(known) else math.nan
    busy = percent(float((known > 0).mean()) if len(known) else math.nan, 0)
    ends = [count(sheet.ledger.starting_balance), *(count(float(e)) for e in sheet.ledger.equity[-1:])]
    net = percent(found.net_return, sign=True)
    sharpe = standing(OWN, sheet.ledger).sharpe
    longest = f"longest {count(found.longest_drawdown)} bars"
    return [
        Tile(label="Net return", figure=net, beside=" to ".join(ends), side=_side(found.net_return)),
        Tile(
            label="Sharpe, yearly",
            figure=fixed(sharpe.sharpe),
            beside=_interval(sharpe),
        ),
        Tile(label="Sortino, yearly", figure=fixed(found.sortino), beside="only falls count as risk"),
        Tile(label="Max drawdown", figure=percent(found.max_drawdown), beside=longest),
        Tile(label="Mean exposure", figure=multiple(mean), beside=f"gross; held {busy} of the time"),
    ]


def _interval(sharpe: Interval) -> str:
    """The interval of a Sharpe ratio, or why there is none."""
    if not math.isfinite(sharpe.low):
        return "too few days to tell"
    return f"95 % interval {fixed(sharpe.low)} to {fixed(sharpe.high)}"


def _cost_tiles(ledger: Ledger) -> list[Tile]:
    paid, won = ledger.totals, percent(won_share(ledger), 0)
    costs = (("Fees", paid.fees), ("Slippage", paid.slippage), ("Funding", paid.funding))
    return [
        Tile(label="Fills", figure=count(ledger.trades), beside=f"{won} of closing fills won"),
        Tile(label="Turnover", figure=multiple(_turnover(ledger)), beside="of equity in all"),
        *(
            Tile(label=f"{name} paid", figure=count(value), beside=f"{_share(value, ledger)} of the start")
            for name, value in costs
        ),
    ]


def _exposure(sheet: TearSheet) -> Figure:
    exposure, at = sheet.exposure, sheet.ledger.closed_at
    gross, net = np.abs(exposure).sum(axis=1), exposure.sum(axis=1)
    lines = [Line(name="net", at=at, values=net, style=0), Line(name="gross", at=at, values=gross, style=1)]
    axis = Axis(title="exposure, share of equity", show=percent, labels=percents, fill_to=0.0)
    most = float(np.nanmax(gross)) if np.isfinite(gross).any() else math.nan
    return Figure(
        drawing=drawn(lambda width: line_chart(lines, axis, width, 240)),
        reading=f"Gross adds long and short, net subtracts short. Most at once: {percent(most, 1)}.",
    )


def _costs(ledger: Ledger) -> Figure:
    paid = ledger.totals
    costs = (("fees", paid.fees), ("slippage", paid.slippage), ("funding", paid.funding))
    rows = [(label, value, f"{fixed(value)} ({_share(value, ledger)})") for label, value in costs]
    total, traded = paid.fees + paid.slippage + paid.funding, float(ledger.fills["notional"].sum())
    per_trade = fixed(total / traded / BPS if traded > 0.0 else math.nan, 1)
    return Figure(
        drawing=drawn(
            lambda width: bars(rows, "paid, settlement units (share of the start)", min(width, 620))
        ),
        reading=f"{fixed(total)} in all: {per_trade} bps of everything that was traded. Negative: received.",
    )


def _months(sheet: TearSheet) -> list[tuple[int, list[Month | None], Month]]:
    ledger = sheet.ledger
    found = monthly_returns(ledger.closed_at, ledger.equity, ledger.starting_balance)
    rows: list[tuple[int, list[Month | None], Month]] = []
    for year in sorted({year for year, _ in found}):
        cells = [found.get((year, month)) for month in range(1, 13)]
        whole = math.prod(1.0 + value for value in cells if value is not None) - 1.0
        rows.append((year, [None if value is None else _month(value) for value in cells], _month(whole)))
    return rows


def _month(value: float) -> Month:
    depth = min(1.0, abs(value) / DEEP_MONTH) if math.isfinite(value) else 0.0
    return Month(
        text=percent(value, 1, sign=True), side="plus" if value >= 0 else "minus", depth=round(55 * depth)
    )


def _fills(ledger: Ledger) -> pl.DataFrame:
    return ledger.fills.with_columns(pl.col("filled_at").dt.epoch("ns"))


def _turnover(ledger: Ledger) -> float:
    known = ledger.turnover[np.isfinite(ledger.turnover)]
    return float(known.sum())


def _share(value: float, ledger: Ledger) -> str:
    return percent(value / ledger.starting_balance)


def _side(value: float) -> str:
    return "up" if value > 0 else "down" if value < 0 else ""
