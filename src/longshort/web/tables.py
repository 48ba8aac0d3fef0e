"""The tables of the report: scores with the best of each column marked, and coverage of every model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from longshort.study.report import Report
from longshort.web.formats import count, percent, significant
from longshort.web.words import metric_name

COVERED = "coverage90"  # shown among the scores: the share of outcomes inside the central 90 % interval
LARGER_IS_BETTER = frozenset({"accuracy"})
WITHOUT_BEST = frozenset({"n", "n_direction", "majority_accuracy"})
METRIC_ORDER = (
    "log_score", "crps", "qlike", "mae", "rmse", "mase", "pinball", "winkler", "brier",
    "accuracy", "majority_accuracy", COVERED,
)  # fmt: skip
UP, DOWN = "\N{NO-BREAK SPACE}\N{UPWARDS ARROW}", "\N{NO-BREAK SPACE}\N{DOWNWARDS ARROW}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Heads, and rows of a name with cells; a cell is its text and whether it is the best of its column."""

    horizon_bars: int
    heads: list[str]
    rows: list[tuple[str, list[tuple[str, bool]]]]


def score_tables(report: Report) -> list[Table]:
    """One table per horizon that has scores: models down, metrics across."""
    return [_scores_at(report, h) for h in report.horizons if any(h in s for s in report.scores.values())]


def coverage_columns(report: Report) -> list[tuple[int, float]]:
    """Every horizon and level that some model has a coverage for."""
    return sorted(
        {(h, p) for horizons in report.coverage.values() for h, levels in horizons.items() for p in levels}
    )


def coverage_rows(report: Report) -> list[tuple[str, list[float]]]:
    """Each model's coverage in the order of the columns; NaN where it has none."""
    columns = coverage_columns(report)
    return [
        (name, [report.coverage[name].get(h, {}).get(level, math.nan) for h, level in columns])
        for name in _ordered(list(report.coverage), report)
    ]


def _scores_at(report: Report, horizon_bars: int) -> Table:
    names = _ordered(list(report.scores), report)
    scores = {name: dict(report.scores[name].get(horizon_bars, {})) for name in names}
    for name in names:
        covered = report.coverage.get(name, {}).get(horizon_bars, {}).get(0.9)
        scores[name] |= {} if covered is None else {COVERED: covered}
    present = list(dict.fromkeys(metric for own in scores.values() for metric in own))
    metrics = [m for m in METRIC_ORDER if m in present] + [m for m in present if m not in METRIC_ORDER]
    best = {m: _least([_badness(m, own.get(m, math.nan)) for own in scores.values()]) for m in metrics}
    return Table(
        horizon_bars=horizon_bars,
        heads=[metric_name(m) + _arrow(m) for m in metrics],
        rows=[
            (name, [_cell(m, own.get(m, math.nan), best[m]) for m in metrics]) for name, own in scores.items()
        ],
    )


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


def _cell(metric: str, value: float, best: float) -> tuple[str, bool]:
    text = significant(value)
    if metric in {"n", "n_direction"}:
        text = count(value)
    elif metric in {"accuracy", "majority_accuracy", COVERED}:
        text = percent(value)
    return text, bool(_badness(metric, value) == best)


def _arrow(metric: str) -> str:
    if metric in WITHOUT_BEST or metric == COVERED:
        return ""
    return UP if metric in LARGER_IS_BETTER else DOWN
