"""The first screen: what was tested, what won, by how much, how sure that is, and what it would have cost.

An edge is claimed only where the word is BEATS; a figure that was not computed says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from longshort.base.instrument import BPS
from longshort.study.report import Comparison, Curve, Profit, Report, Verdict, Word
from longshort.study.section import Flag
from longshort.study.statistics.sharpe import days_per_year, hac_interval
from longshort.study.trials import daily
from longshort.web.formats import count, day, fixed, listing, p_value, percent, roughly, skill
from longshort.web.words import ahead, metric_name, times

NAMED = 12  # coins that are named one by one
OTHERS = 3  # further wins that are told beside the greatest
UNKNOWN = "not computed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One answer: a short figure and what it rests on; `side` is `up`, `down` or `loud` where that matters."""

    label: str
    figure: str
    beside: tuple[str, ...] = ()
    side: str = ""


def first_facts(report: Report) -> list[Fact]:
    """The eight answers of the first screen, in the order in which people ask."""
    return [
        _tested(report),
        _against(report),
        _won(report),
        _by_how_much(report),
        _how_sure(report),
        _cost(report),
        _earned(report),
        _trust(report),
    ]


def ordered_flags(flags: Sequence[Flag]) -> list[Flag]:
    """Serious ones in front, otherwise as they came."""
    return sorted(flags, key=lambda flag: flag.severity != "serious")


def judged_span(report: Report) -> str:
    """From the first to the last day that was judged; empty without folds.

    The dates are UTC.
    """
    if not report.folds:
        return ""
    return f"{day(min(f.test_from for f in report.folds))} to {day(max(f.test_until for f in report.folds))}"


def named(names: Sequence[str], most: int = NAMED) -> str:
    """Some names, and how many more there are.

    >>> named(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def sharpe_words(profit: Profit, curves: Sequence[Curve]) -> str:
    """A yearly Sharpe ratio with its 95 % interval, of returns per day, where they say one."""
    told = f"Sharpe {fixed(profit.sharpe)} a year"
    curve = next((c for c in curves if c.name == profit.name and len(c.equity)), None)
    if curve is None or not math.isfinite(profit.sharpe):
        return told
    days, returns = daily(curve.closed_at, curve.equity, 1.0)
    found = hac_interval(returns[np.isfinite(returns)])
    if not math.isfinite(found.low):
        return told
    yearly = found.scaled(math.sqrt(days_per_year(days)))
    return f"{told}, 95 % interval {fixed(yearly.low, sign=True)} to {fixed(yearly.high, sign=True)}"


def _tested(report: Report) -> Fact:
    number, span = len(report.symbols), judged_span(report)
    noun = report.noun if number != 1 else report.noun.removesuffix("s")
    sessions = f"sessions of {report.calendar}" if report.noun == "stocks" else ""
    runs = (
        f"{_plural(len(report.folds), 'fold')} \N{MULTIPLICATION SIGN} {_plural(len(report.seeds), 'seed')}"
    )
    horizons = f"{listing([count(h) for h in report.horizons])} bars ahead"
    beside = [sessions, f"from {span}" if span else "", f"{runs}, {horizons}", named(report.symbols)]
    return Fact(label="What was tested", figure=f"{number} {noun}, {report.interval} bars",
                beside=_said(beside))  # fmt: skip


def _against(report: Report) -> Fact:
    number = len(report.opponents)
    return Fact(
        label="Against", figure=_plural(number, "opponent"), beside=_said([", ".join(report.opponents)])
    )


def _won(report: Report) -> Fact:
    won = [v for v in report.verdicts if v.word is Word.BEATS]
    if not report.verdicts:
        return Fact(label="What won", figure=UNKNOWN, beside=("Nothing was compared.",))
    asked = [v.question for v in report.verdicts]
    lost = [q for q in dict.fromkeys(asked) if q not in {v.question for v in won}]
    if not won:
        words = [v.word for v in report.verdicts]
        tally = [f"{words.count(w)} {w.value}" for w in (Word.NO_EDGE, Word.INCONCLUSIVE) if w in words]
        return Fact(label="What won", figure="Nothing", beside=(f"of {len(words)} questions: {listing(tally)}",),
                    side="down")  # fmt: skip
    figure = listing([f"{q} at {_bars(won, q)}" for q in dict.fromkeys(v.question for v in won)])
    beside = f"no proof in {listing(lost, 'or')}" if lost else "every question asked"
    return Fact(label="What won", figure=figure.capitalize(), side="up",
                beside=(f"BEATS every opponent, {len(won)} of {len(asked)} questions", beside))  # fmt: skip


def _by_how_much(report: Report) -> Fact:
    told, won = _told(report)
    if not told:
        return Fact(label="By how much", figure=UNKNOWN)
    first = told[0]
    others = [f"{ahead(c.horizon_bars)}: {_skill(c)}" for c in told[1 : 1 + OTHERS]] if won else []
    which = f"{first.question}, {metric_name(first.metric)}, {ahead(first.horizon_bars)}"
    hardest = f"against {first.opponent}, the hardest to beat"
    if not won:
        which = f"not proven; closest is {which}"
    return Fact(label="By how much", figure=_skill(first), beside=(which, hardest, *others))


def _how_sure(report: Report) -> Fact:
    told = [v for v in report.verdicts if v.word is Word.BEATS and v.hardest]
    asked = f"one-sided, corrected for {_plural(len(report.verdicts), 'question')}"
    if told:
        weakest = max(told, key=lambda v: v.p_value)
        chance = "less than 0.1 %" if weakest.p_value < 0.001 else percent(weakest.p_value, 1)
        which = "the weakest of the wins; " if len(told) > 1 else ""
        return Fact(label="How sure", figure=p_value(weakest.p_value), beside=(
            f"{which}without an edge, luck does as well with a chance of {chance}", asked))  # fmt: skip
    closest = _closest(report.verdicts)
    if closest is None:
        return Fact(label="How sure", figure=UNKNOWN)
    bars = closest.bars_to_decide
    needed = f"about {roughly(bars)} scored bars would decide" if bars is not None else ""
    limit = "too likely luck: .05 is the limit" if closest.p_value >= 0.05 else ""
    return Fact(label="How sure", figure=p_value(closest.p_value), beside=_said([limit, needed, asked]))


def _cost(report: Report) -> Fact:
    if not report.profits:
        return Fact(label="What it would have cost", figure=UNKNOWN, beside=_why(report))
    own = report.profits[0]
    parts = {"fees": own.fees, "slippage": own.slippage, "funding": own.funding}
    paid = ", ".join(f"{name} {percent(value)}" for name, value in parts.items())
    total = sum(parts.values())
    per_trade = f"{fixed(total / own.trades / BPS)} bp of the account" if own.trades else ""
    traded = f"{fixed(total / own.turnover / BPS, 1)} bp of what was traded" if own.turnover > 0 else ""
    each = ", ".join(part for part in (per_trade, traded) if part and math.isfinite(total))
    return Fact(
        label="What it would have cost",
        figure=f"{percent(total)} of the account" if math.isfinite(total) else "not all known",
        beside=_said([paid, f"per trade: {each}" if each else "", f"{count(own.trades)} trades"]),
    )


def _earned(report: Report) -> Fact:
    if not report.profits:
        return Fact(label="What was left", figure=UNKNOWN, beside=_why(report))
    own, *rivals = report.profits
    beside = ", ".join(f"{p.name} {percent(p.net_return, sign=True)}" for p in rivals[:OTHERS])
    risk = f"largest drawdown {percent(own.max_drawdown, 1)}"
    side = "up" if own.net_return > 0 else "down" if own.net_return < 0 else ""
    return Fact(label="What was left", figure=f"{percent(own.net_return, sign=True)} net", side=side,
                beside=_said([sharpe_words(own, report.curves), risk, beside]))  # fmt: skip


def _trust(report: Report) -> Fact:
    openings = report.holdout_openings
    opened = f"sealed holdout opened {times(openings)}" if openings else "sealed holdout unopened"
    judged = "; measured on it" if report.holdout else ""
    serious = sum(flag.severity == "serious" for flag in report.flags)
    warnings = len(report.flags) - serious
    flags = [f"{serious} serious"] * bool(serious) + [_plural(warnings, "warning")] * bool(warnings)
    side = "loud" if serious or report.holdout else ""
    return Fact(label="How much to trust it", figure=_plural(report.trials, "evaluation"), side=side, beside=_said(
        ["of this data and target so far", opened + judged, f"red flags: {listing(flags) or 'none'}"]))  # fmt: skip


def _told(report: Report) -> tuple[list[Comparison], bool]:
    """The hardest comparisons of what won, surest first; the closest to an edge where nothing won."""
    won = sorted((v for v in report.verdicts if v.word is Word.BEATS), key=lambda v: v.p_value)
    found = [v.hardest for v in won if v.hardest]
    if found:
        return found, True
    closest = _closest(report.verdicts)
    return ([closest.hardest] if closest and closest.hardest else []), False


def _closest(verdicts: Sequence[Verdict]) -> Verdict | None:
    return min((v for v in verdicts if v.hardest), key=lambda v: v.p_value, default=None)


def _bars(won: Sequence[Verdict], question: str) -> str:
    horizons = sorted(v.horizon_bars for v in won if v.question == question)
    return f"{listing([count(h) for h in horizons])} {'bar' if horizons == [1] else 'bars'} ahead"


def _skill(comparison: Comparison) -> str:
    return skill(comparison.skill, comparison.ci95, comparison.unit)


def _why(report: Report) -> tuple[str, ...]:
    about = [note for note in report.notes if "profit" in note.lower() or "funding" in note.lower()]
    return tuple(about[:1])


def _plural(number: int, noun: str) -> str:
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def _said(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if part)
