"""Tables as pages show them: heads with units, cells as text, the model's row and the best cells marked.

The tables of a report's own numbers are made here as the tables of its sections are made elsewhere.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longshort.base.instrument import BPS
from longshort.study.report import Report
from longshort.study.section import Cell, Column, Table
from longshort.web.cells import Download, cell_text, download, unit_of
from longshort.web.formats import decimals_for
from longshort.web.words import ahead, metric_name

COVERED = "coverage90"  # shown among the scores: the share of outcomes inside the central 90 % interval
LARGER_IS_BETTER = frozenset({"accuracy"})
WITHOUT_BEST = frozenset({"n", "n_direction", "majority_accuracy"})
METRIC_ORDER = (
    "log_score", "crps", "qlike", "mae", "rmse", "mase", "pinball", "winkler", "brier",
    "accuracy", "majority_accuracy", COVERED,
)  # fmt: skip
SHARES = frozenset({"accuracy", "majority_accuracy", COVERED})
RETURNS = frozenset({"crps", "mae", "rmse", "pinball", "winkler"})  # in units of a log return: told in bp
COUNTS = frozenset({"n", "n_direction"})
UP, DOWN = "\N{NO-BREAK SPACE}\N{UPWARDS ARROW}", "\N{NO-BREAK SPACE}\N{DOWNWARDS ARROW}"
LONG = 20  # rows of a table that are shown before the rest is folded away
DIGITS = 4  # significant ones, of scores

Best = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a column."""

    name: str
    unit: str
    meaning: str
    left: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The cells of a row; `best` are the places of those that are the best of their column."""

    cells: tuple[str, ...]
    own: bool
    best: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A table ready for a page."""

    title: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    note: str
    download: Download

    @property
    def long(self) -> bool:
        """Whether most of it is folded away at first."""
        return len(self.rows) > LONG


def view(section: str, table: Table, *, own: str = "", best: Best = frozenset()) -> View:
    """A table of a section, with the rows of the model named `own` marked."""
    return View(
        title=table.title,
        heads=tuple(_head(column) for column in table.columns),
        rows=tuple(
            Row(
                cells=tuple(cell_text(c, column) for c, column in zip(row, table.columns, strict=True)),
                own=bool(own) and own in [c for c in row[:3] if isinstance(c, str)],
                best=frozenset(k for number, k in best if number == r),
            )
            for r, row in enumerate(table.rows)
        ),
        note=table.note,
        download=download(section, table),
    )


def score_views(report: Report) -> list[View]:
    """One table per horizon that has scores: models down, the model itself first, metrics across."""
    horizons = [h for h in report.horizons if any(h in own for own in report.scores.values())]
    return [_scores_at(report, h) for h in horizons]


def coverage_view(report: Report) -> View | None:
    """The share of outcomes inside the central intervals of every model."""
    pairs = sorted(
        {(h, p) for horizons in report.coverage.values() for h, levels in horizons.items() for p in levels}
    )
    columns = [Column(name="model")] + [
        Column(name=f"{100 * p:g} % interval, {ahead(h)}", kind="percent", digits=1) for h, p in pairs
    ]
    rows = [
        (name, *(report.coverage[name].get(h, {}).get(p) for h, p in pairs))
        for name in _ordered(list(report.coverage), report)
    ]
    table = Table(name="coverage", title="Coverage of every model", columns=tuple(columns), rows=tuple(rows))
    return view("calibration", table, own=report.model) if rows else None


def comparison_view(report: Report) -> View:
    """Every comparison: skill with its interval, and the chance of luck."""
    columns = (
        Column(name="question"), Column(name="bars ahead", kind="count"), Column(name="opponent"),
        Column(name="metric"), Column(name="skill", kind="signed"), Column(name="low", kind="signed"),
        Column(name="high", kind="signed"), Column(name="unit"),
        Column(name="p", kind="p", meaning="one-sided, uncorrected"), Column(name="instants", kind="count"),
        Column(name=report.noun, kind="count"), Column(name="no test because"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (c.question, c.horizon_bars, c.opponent, metric_name(c.metric), c.skill, *c.ci95, c.unit, c.p_value,
         c.n_instants, c.n_coins, c.reason or None)
        for c in report.comparisons
    ]  # fmt: skip
    told = len(columns) if any(c.reason for c in report.comparisons) else len(columns) - 1
    table = Table(name="comparisons", title="All comparisons", columns=columns[:told],
                  rows=tuple(row[:told] for row in rows),
                  note="p is one-sided and not yet corrected.")  # fmt: skip
    shown = view("skill", table)
    return _with_decimals(
        shown, table, [decimals_for(c.ci95[1] - c.ci95[0]) for c in report.comparisons], {4, 5, 6}
    )


def money_view(report: Report) -> View:
    """What each strategy earned, risked and paid, in percent of the starting balance."""
    columns = (
        Column(name="strategy"), Column(name="net return", kind="signed percent"),
        Column(name="Sharpe", kind="number", unit="yearly"), Column(name="max drawdown", kind="percent"),
        Column(name="trades", kind="count"),
        Column(name="turnover", kind="number", unit="\N{MULTIPLICATION SIGN} equity"),
        Column(name="fees", kind="percent"), Column(name="slippage", kind="percent"),
        Column(name="funding", kind="percent", meaning="negative: received"),
        Column(name="all costs", kind="percent"),
        Column(name="break-even", kind="number", unit="bp", digits=1,
               meaning="costs per unit traded at which nothing would be left"),
    )  # fmt: skip
    rows = tuple(
        (p.name, p.net_return, p.sharpe, p.max_drawdown, p.trades, p.turnover, p.fees, p.slippage, p.funding,
         p.fees + p.slippage + p.funding, p.break_even_bps)
        for p in report.profits
    )  # fmt: skip
    title = "After all costs, as shares of the starting balance"
    own = report.profits[0].name if report.profits else ""
    return view("money", Table(name="strategies", title=title, columns=columns, rows=rows), own=own)


def fold_view(report: Report) -> View:
    """When each fold learned and was judged."""
    names = ("learned from", "until", "stopped from", "until", "judged from", "until")
    columns = (Column(name="fold", kind="count"), *(Column(name=n, kind="instant") for n in names),
               Column(name="gap", kind="count", unit="bars"))  # fmt: skip
    rows = tuple(
        (k + 1, f.train_from, f.train_until, f.validation_from, f.validation_until, f.test_from, f.test_until,
         f.gap_bars)
        for k, f in enumerate(report.folds)
    )  # fmt: skip
    return view("folds", Table(name="spans", title="The folds as dates", columns=columns, rows=rows))


def origin_download(report: Report) -> Download:
    """The series of the lake that the bars were made of, as CSV."""
    columns = (Column(name="symbol"), Column(name="series"), Column(name="grade"),
               Column(name="rows", kind="count"), Column(name="missing", kind="count"),
               Column(name="what was found"), Column(name="hash"))  # fmt: skip
    rows = tuple(
        (o.symbol, o.kind, o.grade, o.rows, o.missing, "; ".join(o.findings), o.digest)
        for o in report.origins
    )
    return download("data", Table(name="series", title="Series", columns=columns, rows=rows))


def change_download(report: Report) -> Download:
    """What cleaning did to the bars, as CSV."""
    columns = (Column(name="symbol"), Column(name="what was done"), Column(name="bars", kind="count"),
               Column(name="first closes", kind="instant"))  # fmt: skip
    rows = tuple((c.symbol, c.reason, c.bars, next(iter(c.closed_at), None)) for c in report.changes)
    return download("data", Table(name="cleaning", title="Cleaning", columns=columns, rows=rows))


def _scores_at(report: Report, horizon_bars: int) -> View:
    names = [n for n in _ordered(list(report.scores), report) if horizon_bars in report.scores[n]]
    scores: dict[str, dict[str, float]] = {n: dict(report.scores[n][horizon_bars]) for n in names}
    for name in names:
        covered = report.coverage.get(name, {}).get(horizon_bars, {}).get(0.9)
        scores[name] |= {} if covered is None else {COVERED: covered}
    present = list(dict.fromkeys(metric for own in scores.values() for metric in own))
    metrics = [m for m in METRIC_ORDER if m in present] + [m for m in present if m not in METRIC_ORDER]
    names = _ranked(names, scores, metrics, report.model)
    columns = [_score_column(m, [own.get(m, math.nan) for own in scores.values()]) for m in metrics]
    worth = {n: {m: v / BPS if m in RETURNS else v for m, v in scores[n].items()} for n in names}
    least = [_least([_badness(m, scores[n].get(m, math.nan)) for n in names]) for m in metrics]
    best = frozenset(
        (r, k + 1) for r, n in enumerate(names) for k, m in enumerate(metrics)
        if _badness(m, scores[n].get(m, math.nan)) == least[k]
    )  # fmt: skip
    table = Table(
        name=f"{horizon_bars}-ahead",
        title=ahead(horizon_bars),
        columns=(Column(name="model"), *columns),
        rows=tuple((n, *(worth[n].get(m) for m in metrics)) for n in names),
    )
    return view("scores", table, own=report.model, best=best)


def _ranked(
    names: Sequence[str], scores: Mapping[str, Mapping[str, float]], metrics: Sequence[str], own: str
) -> list[str]:
    """The model first, then all others from the best to the worst in the first metric that is a score."""
    leading = next((m for m in ("crps", *metrics) if m in metrics and m not in WITHOUT_BEST), "")
    found = {n: _badness(leading, scores[n].get(leading, math.nan)) for n in names}
    return sorted(names, key=lambda n: (n != own, not math.isfinite(found[n]), found[n]))


def _score_column(metric: str, values: Sequence[float]) -> Column:
    name = metric_name(metric) + _arrow(metric)
    if metric in COUNTS:
        return Column(name=name, kind="count")
    if metric in SHARES:
        return Column(name=name, kind="percent")
    if metric in RETURNS:
        return Column(name=name, kind="number", unit="bp", digits=_decimals([v / BPS for v in values]))
    return Column(name=name, kind="number", digits=_decimals(values))


def _decimals(values: Sequence[float]) -> int:
    """How many decimals give the median value four significant digits."""
    known = sorted(abs(v) for v in values if math.isfinite(v) and v)
    return max(0, min(8, DIGITS - 1 - math.floor(math.log10(known[len(known) // 2])))) if known else 2


def _with_decimals(shown: View, table: Table, decimals: Sequence[int], columns: set[int]) -> View:
    rows = tuple(
        Row(cells=tuple(
                cell_text(table.rows[r][k], Column(name="", kind="signed", digits=decimals[r]))
                if k in columns else cell for k, cell in enumerate(row.cells)),
            own=row.own, best=row.best)
        for r, row in enumerate(shown.rows)
    )  # fmt: skip
    return View(title=shown.title, heads=shown.heads, rows=rows, note=shown.note, download=shown.download)


def _head(column: Column) -> Head:
    left = column.kind == "text"
    return Head(name=column.name, unit=unit_of(column), meaning=column.meaning, left=left)


def _ordered(names: Sequence[str], report: Report) -> list[str]:
    known = [report.model, *report.opponents]
    return [name for name in known if name in names] + [name for name in names if name not in known]


def _badness(metric: str, value: float) -> float:
    if metric in WITHOUT_BEST:
        return math.nan
    if metric == COVERED:
        return abs(value - 0.9)
    return -value if metric in LARGER_IS_BETTER else value


def _least(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return min(known) if len(known) > 1 else math.nan


def _arrow(metric: str) -> str:
    if metric in WITHOUT_BEST or metric == COVERED:
        return ""
    return UP if metric in LARGER_IS_BETTER else DOWN
