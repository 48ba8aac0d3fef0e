"""A verdict in plain words: one headline, one sentence per question, and names that people understand."""

from collections.abc import Sequence
from itertools import groupby
from types import MappingProxyType

from longshort.study.report import Comparison, Report, Verdict, Word
from longshort.study.verdict import ASKED, Margins
from longshort.study.verdict import METRICS as VERDICT_METRICS
from longshort.web.formats import listing

METRICS = MappingProxyType(
    {
        "mae": "MAE",
        "rmse": "RMSE",
        "mase": "MASE",
        "crps": "CRPS",
        "log_score": "log score",
        "qlike": "QLIKE",
        "brier": "Brier",
        "pinball": "pinball",
        "winkler": "Winkler",
        "accuracy": "accuracy",
        "majority_accuracy": "majority accuracy",
        "n": "cells",
        "n_direction": "cells with a direction",
        "coverage90": "coverage of 90 %",
        "net_return": "net return",
    }
)


def ahead(horizon_bars: int) -> str:
    """A horizon in words.

    >>> ahead(1), ahead(24)
    ('1 bar ahead', '24 bars ahead')
    """
    return "1 bar ahead" if horizon_bars == 1 else f"{horizon_bars:,} bars ahead"


def times(number: int) -> str:
    """How often.

    >>> times(1), times(3)
    ('once', '3 times')
    """
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def metric_name(metric: str) -> str:
    """The name of a metric as people write it; an unknown one is shown as it is."""
    return METRICS.get(metric, metric.replace("_", " "))


def headline(report: Report) -> str:
    """The verdict in one sentence; an edge is claimed only where the word is BEATS."""
    if not report.verdicts:
        return "No verdict: nothing was compared."
    won = [v for v in report.verdicts if v.word is Word.BEATS]
    if not won:
        nothing = all(v.word is Word.NO_EDGE for v in report.verdicts)
        return "No edge anywhere." if nothing else "It does not beat its opponents on any question."
    parts = [f"{question} ({_bars(members)})" for question, members in _by_question(won)]
    lost = [
        question for question, _ in _by_question(report.verdicts) if question not in {v.question for v in won}
    ]
    rest = f"; no proof of an edge in {listing(lost, 'or')}" if lost else ""
    return f"It beats every opponent on {listing(parts)}{rest}."


def sentences(report: Report) -> list[str]:
    """One sentence per question, in the order of the verdicts."""
    return [_answer(question, members) for question, members in _by_question(report.verdicts)]


def meaning(question: str) -> str:
    """The question as people would ask it; empty for one that this program does not ask."""
    return f"{ASKED[question]}?" if question in ASKED else ""


def margin(comparison: Comparison, report: Report) -> float | None:
    """The smallest useful skill in the comparison's own unit; None where the study states none."""
    stated = report.settings.get("report", {})
    if comparison.metric not in VERDICT_METRICS or not stated:
        return None
    turnover = report.profits[0].turnover / comparison.n_instants if report.profits else 0.0
    margins = Margins(
        crps_percent=stated["margin_crps_percent"],
        direction_points=stated["margin_direction_points"],
        bps_per_trade=stated["margin_bps_per_trade"],
        trades_per_bar=turnover,
    )
    return margins.of(comparison.metric)


def _by_question(verdicts: Sequence[Verdict]) -> list[tuple[str, list[Verdict]]]:
    order = list(dict.fromkeys(v.question for v in verdicts))
    ranked = sorted(verdicts, key=lambda v: (order.index(v.question), v.horizon_bars))
    return [(question, list(members)) for question, members in groupby(ranked, key=lambda v: v.question)]


def _bars(verdicts: Sequence[Verdict]) -> str:
    horizons = [f"{v.horizon_bars:,}" for v in verdicts]
    return f"{listing(horizons)} {'bar' if horizons == ['1'] else 'bars'} ahead"


def _answer(question: str, verdicts: Sequence[Verdict]) -> str:
    parts: list[str] = []
    for word, said in _SAYINGS.items():
        members = [v for v in verdicts if v.word is word]
        parts += [f"{said} {_bars(members)}"] if members else []
    return f"{question.capitalize()}: {'; '.join(parts)}."


_SAYINGS = MappingProxyType(
    {
        Word.BEATS: "beats every opponent",
        Word.NO_EDGE: "no edge",
        Word.INCONCLUSIVE: "inconclusive",
    }
)
