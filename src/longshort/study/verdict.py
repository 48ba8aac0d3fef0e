"""The answer in three words: BEATS, NO EDGE or INCONCLUSIVE, per question and horizon.

A forecaster must beat every opponent in every metric of a question: the largest p-value is the one that
counts, and it is corrected for all the questions that were asked. Nothing here computes a loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, Int64

from longshort.study.metrics import mean_loss, per_instant
from longshort.study.report import Comparison, Verdict, Word
from longshort.study.significance import LEVEL, bars_to_decide, bars_to_rule_out, holm, skill_test

PerCoin = Float64[np.ndarray, "time asset"]
Series = Float64[np.ndarray, " time"]
Rows = Int64[np.ndarray, " time"]
Pair = tuple[str, int]

ASKED = MappingProxyType(
    {
        "density": "Does it know how likely each return is",
        "volatility": "Does it know how far prices will move",
        "direction": "Does it know which way prices will move",
        "profit": "Does trading on it earn more after costs",
    }
)

# What a volatility that is 10 % too high costs under Student-t with 5 degrees of freedom: 0.2 % of CRPS,
# 0.006 nats, 0.018 of QLIKE. So one margin, in CRPS, sets the other two.
NATS_PER_CRPS_PERCENT = 0.03
QLIKE_PER_CRPS_PERCENT = 0.09


@dataclass(frozen=True, slots=True)
class Metric:
    """Which question a metric answers, and how a gain in its loss is told to people.

    `relative` gains are fractions of the opponent's mean loss; `overlapping` losses share bars with those of
    the next instants where the horizon is longer than one bar.
    """

    question: str
    unit: str
    scale: float
    relative: bool = False
    overlapping: bool = True


METRICS = MappingProxyType(
    {
        "log_score": Metric("density", "nats", 1.0),
        "crps": Metric("density", "% of CRPS", 100.0, relative=True),
        "qlike": Metric("volatility", "QLIKE", 1.0),
        "accuracy": Metric("direction", "points", 100.0),
        "brier": Metric("direction", "% of Brier", 100.0, relative=True),
        "net_return": Metric("profit", "bp per bar", 1e4, overlapping=False),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """The smallest useful skill. `trades_per_bar` turns a margin per trade into one per bar.

    Trades count by size: a fill of half the equity is half a trade, so that turnover per bar is what to pass.
    """

    crps_percent: float = 0.2
    direction_points: float = 0.5
    bps_per_trade: float = 1.0
    trades_per_bar: float = 0.0

    def of(self, metric: str) -> float:
        """The margin in the unit in which a metric's skill is told.

        The Brier score has what such a hit rate is worth: the gain of a calibrated forecaster whose
        probabilities are normal around one half, `pi / 2` times the square of the points, over the 0.25 of a
        coin toss.

        >>> Margins().of("crps"), Margins().of("accuracy"), round(Margins().of("brier"), 4)
        (0.2, 0.5, 0.0157)
        """
        return {
            "log_score": NATS_PER_CRPS_PERCENT * self.crps_percent,
            "crps": self.crps_percent,
            "qlike": QLIKE_PER_CRPS_PERCENT * self.crps_percent,
            "accuracy": self.direction_points,
            "brier": 100.0 * np.pi / 2.0 * (self.direction_points / 100.0) ** 2 / 0.25,
            "net_return": self.bps_per_trade * self.trades_per_bar,
        }[metric]


def compare(
    metric: str,
    opponent: str,
    *,
    horizon_bars: int,
    model_loss: PerCoin,
    opponent_loss: PerCoin,
    grid_row: Rows,
) -> Comparison:
    """The model's skill against one opponent, from the losses of both on the same rows; NaN is not compared.

    The loss of `accuracy` is `miss`; for money see `compare_profit`. `grid_row` is the calendar's absolute
    row of each instant.
    """
    told = METRICS[metric]
    gain = opponent_loss - model_loss
    base = mean_loss(np.where(np.isnan(gain), np.nan, opponent_loss)) if told.relative else 1.0
    base = base or float("nan")  # a perfect opponent leaves nothing to be a fraction of
    overlap_bars = horizon_bars if told.overlapping else 1
    test = skill_test(per_instant(gain), grid_row, horizon_bars=overlap_bars)
    skill, half = told.scale * test.mean / base, told.scale * test.half_width / base
    return Comparison(
        question=told.question,
        horizon_bars=horizon_bars,
        opponent=opponent,
        metric=metric,
        skill=skill,
        unit=told.unit,
        ci95=(skill - half, skill + half),
        p_value=test.p_value,
        n_instants=test.n_instants,
        n_coins=int((~np.isnan(gain)).any(axis=0).sum()),
        reason=test.reason,
    )


def compare_profit(
    opponent: str,
    *,
    horizon_bars: int,
    model_return: Series,
    opponent_return: Series,
    grid_row: Rows,
    n_coins: int,
) -> Comparison:
    """The difference of two accounts' net returns per bar; NaN bars are not compared."""
    account = compare(
        "net_return",
        opponent,
        horizon_bars=horizon_bars,
        model_loss=-model_return[:, None],
        opponent_loss=-opponent_return[:, None],
        grid_row=grid_row,
    )
    return replace(account, n_coins=n_coins)


def judge(
    comparisons: Sequence[Comparison], *, margins: Margins, asked: Sequence[Pair] | None = None
) -> tuple[Verdict, ...]:
    """One verdict per question and horizon, Holm-corrected over all that were asked.

    NO EDGE speaks of the opponent with the best score, the other words of the one with the largest p-value.
    `asked` names pairs that must be answered even where nothing could be computed; by default those compared.
    A question one of whose metrics is missing cannot be won.
    """
    pairs = list(dict.fromkeys([*(asked or ()), *((c.question, c.horizon_bars) for c in comparisons)]))
    groups = [[c for c in comparisons if (c.question, c.horizon_bars) == pair] for pair in pairs]
    raw = [_largest_p(question, group) for (question, _), group in zip(pairs, groups, strict=True)]
    corrected = holm(raw)
    return tuple(
        _verdict(pair, group, p, LEVEL / sum(other >= mine for other in raw), margins)
        for pair, group, p, mine in zip(pairs, groups, corrected, raw, strict=True)
    )


def plain_words(
    verdicts: Sequence[Verdict], comparisons: Sequence[Comparison] = (), *, noun: str = "coins"
) -> list[str]:
    """One paragraph per verdict for people: what was tested, against whom, the answer, what would decide."""
    return [" ".join(_sentences(v, comparisons, noun)) for v in verdicts]


def hardest_of(group: Sequence[Comparison], margins: Margins) -> Comparison:
    """The comparison with the largest p-value; among equals the one with the least skill for its margin."""
    return max(group, key=lambda c: (c.p_value, -_in_margins(c, margins)))


def _verdict(pair: Pair, group: list[Comparison], p: float, level: float, margins: Margins) -> Verdict:
    if not group:
        return _answer(pair, Word.NO_EDGE, reason="Nothing could be computed, so nothing speaks for an edge.")
    hardest = hardest_of(group, margins)
    margin = margins.of(hardest.metric)
    missing = _missing(pair[0], group)
    if p < LEVEL:
        small = hardest.skill < margin
        reason = "It is proven, but smaller than the smallest useful skill." if small else ""
        return _answer(pair, Word.BEATS, p=p, hardest=hardest, reason=reason)
    best = min(group, key=lambda c: _in_margins(c, margins))
    if best.ci95[1] <= margins.of(best.metric):
        return _answer(pair, Word.NO_EDGE, p=p, hardest=best, reason=_no_test(best))
    reason = f"Not compared: {', '.join(missing)}." if missing else _no_test(hardest)
    bars = None if reason else _bars(hardest, level, margin)
    return _answer(pair, Word.INCONCLUSIVE, p=p, hardest=hardest, bars=bars, reason=reason)


def _answer(
    pair: Pair,
    word: Word,
    *,
    p: float = 1.0,
    hardest: Comparison | None = None,
    bars: int | None = None,
    reason: str = "",
) -> Verdict:
    return Verdict(
        question=pair[0],
        horizon_bars=pair[1],
        word=word,
        p_value=p,
        hardest=hardest,
        bars_to_decide=bars,
        reason=reason,
    )


def _bars(hardest: Comparison, level: float, margin: float) -> int | None:
    half = hardest.ci95[1] - hardest.skill
    ways = (
        bars_to_decide(hardest.p_value, hardest.n_instants, level=level),
        bars_to_rule_out(margin - hardest.skill, half, hardest.n_instants),
    )
    return min((bars for bars in ways if bars is not None), default=None)


def _largest_p(question: str, group: list[Comparison]) -> float:
    if not group or _missing(question, group):
        return 1.0
    return max(1.0 if np.isnan(c.p_value) else c.p_value for c in group)


def _missing(question: str, group: list[Comparison]) -> list[str]:
    return [
        m for m, told in METRICS.items() if told.question == question and m not in {c.metric for c in group}
    ]


def _in_margins(comparison: Comparison, margins: Margins) -> float:
    if np.isnan(comparison.skill):
        return float("inf")
    margin = margins.of(comparison.metric)
    return comparison.skill / margin if margin > 0.0 else comparison.skill


def _no_test(hardest: Comparison) -> str:
    return f"No test against {hardest.opponent}: {hardest.reason}." if hardest.reason else ""


def _sentences(verdict: Verdict, comparisons: Sequence[Comparison], noun: str) -> list[str]:
    pair = (verdict.question, verdict.horizon_bars)
    ahead = "1 bar" if verdict.horizon_bars == 1 else f"{verdict.horizon_bars} bars"
    said = [f"{ASKED[verdict.question]}, {ahead} ahead? {verdict.word.value}."]
    if verdict.hardest is not None:
        rivals = dict.fromkeys(c.opponent for c in comparisons if (c.question, c.horizon_bars) == pair)
        said += _measured(verdict.hardest, list(rivals), noun)
    said.append(_how_sure(verdict))
    return [*said, verdict.reason] if verdict.reason else said


def _measured(hardest: Comparison, rivals: list[str], noun: str) -> list[str]:
    low, high = hardest.ci95
    columns = f"{hardest.n_coins} {noun if hardest.n_coins != 1 else noun.removesuffix('s')}"
    against = f" against {', '.join(rivals)}" if rivals else ""
    known = f" (95 % interval {low:+.3g} to {high:+.3g})" if np.isfinite(low) else ""
    return [
        f"Tested on {hardest.n_instants:,} instants of {columns}{against}.",
        f"Hardest to beat was {hardest.opponent} in {hardest.metric}: "
        f"skill {hardest.skill:+.3g} {hardest.unit}{known}.",
    ]


def _how_sure(verdict: Verdict) -> str:
    chance = "less than 0.1 %" if verdict.p_value < 0.001 else f"{100.0 * verdict.p_value:.1f} %"
    match verdict.word:
        case Word.BEATS:
            return f"Without an edge, so strong a result has a chance of {chance}, all questions counted."
        case Word.NO_EDGE:
            return "An edge worth having is ruled out." if verdict.hardest else "No test was made."
        case Word.INCONCLUSIVE if verdict.bars_to_decide is not None:
            return (
                f"Luck alone does as well with a chance of {chance} (5 % is the limit); about "
                f"{verdict.bars_to_decide:,} scored instants would settle it if the skill stayed the same."
            )
        case _:
            return "Neither an edge nor its absence is shown."
