"""How often the same stretch was asked, what luck alone would show by now, and whether the best would stay the best."""

from collections.abc import Sequence
from math import isfinite, nan, sqrt

import numpy as np
from jaxtyping import Float64, Int64

from longshort.study.case import Case
from longshort.study.evidence.trading import deflated_sentence
from longshort.study.section import Chart, Column, Section, Series, Table
from longshort.study.statistics.overfit import Overfit, overfitting
from longshort.study.statistics.sharpe import (
    Track,
    days_per_year,
    deflated_sharpe,
    least_backtest_years,
    luckiest_sharpe,
    sharpe_ratio,
)
from longshort.study.trials import Tried, daily

TITLE = "How often this stretch was asked"
LEAST_TRIES = 4
LEAST_DAYS = 100
TOLD = 30  # tries that the table names: the latest
BINS = 20


def section(case: Case) -> Section:
    """The tries on record for this stretch of data and target, this one included."""
    if not case.tried:
        return Section(
            key="tries", title=TITLE, reading="", missing="No trial log came with this evaluation."
        )
    tried, reading = case.tried, [_counted(len(case.tried))]
    tables, charts = [_tries_table(tried)], _sharpe_charts(tried)
    ledger = case.money.ledgers.get(case.model)
    if ledger is not None:
        days, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
        known = np.isfinite(returns)
        track, per_year = Track.of(returns[known]), days_per_year(days[known])
        if isfinite(track.sharpe):
            tables.insert(0, _luck_table(track, per_year, len(tried)))
            reading += [_lucky(track, per_year, len(tried)), deflated_sentence(case.model, track, len(tried))]
    returns = comparable(tried)
    found = overfitting(returns) if returns.shape[1] >= LEAST_TRIES else None
    if found:
        tables.append(_overfit_table(found, len(returns)))
        charts.append(_logit_chart(found))
    reading.append(_stayed(found) if found else _too_few(returns.shape[1]))
    return Section(
        key="tries",
        title=TITLE,
        reading=" ".join(reading),
        tables=tuple(tables),
        charts=tuple(charts),
        notes=_NOTES,
    )


def comparable(tried: Sequence[Tried], *, least_days: int = LEAST_DAYS) -> Float64[np.ndarray, "day trial"]:
    """The daily returns of the tries on the days that they share, one column per different result.

    The last try is the measure: others are taken in, the ones that share most days with it first, as long as
    `least_days` days remain common to all. A wiped-out account earns 0 from then on.
    """
    kept = [t for t in tried if len(t.days)]
    if not kept:
        return np.empty((0, 0))
    common: Int64[np.ndarray, " day"] = kept[-1].days
    chosen: list[Tried] = []
    for one in sorted(kept, key=lambda t: -len(np.intersect1d(t.days, kept[-1].days, assume_unique=True))):
        shared = np.intersect1d(common, one.days, assume_unique=True)
        if len(shared) >= least_days:
            common, chosen = shared, [*chosen, one]
    columns = [np.nan_to_num(t.returns[np.searchsorted(t.days, common)]) for t in chosen]
    return np.unique(np.column_stack(columns), axis=1) if columns else np.empty((0, 0))


def sharpe_per_year(one: Tried) -> float:
    """The Sharpe ratio per year of a try on its own days; NaN without an account."""
    known = np.isfinite(one.returns)
    return sharpe_ratio(one.returns[known]) * sqrt(days_per_year(one.days[known])) if known.any() else nan


def _counted(tries: int) -> str:
    if tries == 1:
        return "This stretch of data was asked once: this is the first evaluation of it on record."
    return f"This stretch of data was asked with {tries:,} different settings, these included."


def _lucky(track: Track, per_year: float, tries: int) -> str:
    mine = track.sharpe * sqrt(per_year)
    if tries < 2:
        return f"The Sharpe ratio is {mine:.2f} a year."
    luck = luckiest_sharpe(track.periods, tries) * sqrt(per_year)
    return (
        f"The luckiest of {tries:,} without any skill would be expected to show a Sharpe ratio of {luck:.2f} a year on "
        f"{track.periods:,} days; this one shows {mine:.2f}."
    )


def _stayed(found: Overfit) -> str:
    meaning = (
        "choosing the best of them is little better than choosing at random"
        if found.probability >= 0.4
        else "the best of them tends to stay good"
        if found.probability <= 0.1
        else "choosing the best of them carries over only in part"
    )
    return (
        f"Whichever was best on one half of the days ranked in the lower half on the other in {found.probability:.0%} "
        f"of {len(found.logits):,} splits (PBO): {meaning}."
    )


def _too_few(results: int) -> str:
    return (
        f"Overfitting is not estimated: it takes {LEAST_TRIES} tries with different returns on {LEAST_DAYS} common "
        f"days, and there {'is' if results == 1 else 'are'} {results}."
    )


def _luck_table(track: Track, per_year: float, tries: int) -> Table:
    luck = luckiest_sharpe(track.periods, tries) * sqrt(per_year)
    return Table(
        name="luck",
        title="What luck alone would show",
        columns=(
            Column(name="tries", kind="count"),
            Column(name="days", kind="count"),
            Column(name="Sharpe", kind="signed", unit="a year"),
            Column(name="luckiest without skill", kind="signed", unit="a year", meaning="expected maximum"),
            Column(
                name="deflated",
                kind="percent",
                meaning="probability that the true Sharpe ratio is above that",
            ),
            Column(
                name="record needed",
                kind="number",
                unit="years",
                meaning="so that luck shows less than 1 (MinBTL)",
            ),
        ),
        rows=(
            (
                *(tries, track.periods, track.sharpe * sqrt(per_year), luck),
                *(deflated_sharpe(track, tries), least_backtest_years(tries)),
            ),
        ),
    )


def _overfit_table(found: Overfit, days: int) -> Table:
    return Table(
        name="overfitting",
        title="Would the best have stayed the best?",
        columns=(
            Column(name="different results", kind="count"),
            Column(name="common days", kind="count"),
            Column(name="blocks", kind="count"),
            Column(
                name="overfitted", kind="percent", meaning="best on one half, lower half on the other (PBO)"
            ),
            Column(
                name="slope", kind="signed", meaning="Sharpe ratio on one half against the other, of the best"
            ),
            Column(
                name="then lost", kind="percent", meaning="splits whose best lost money on the other half"
            ),
        ),
        rows=((found.trials, days, found.blocks, found.probability, found.slope, found.loss_probability),),
    )


def _tries_table(tried: Sequence[Tried]) -> Table:
    latest = list(tried)[-TOLD:][::-1]
    return Table(
        name="tries",
        title="Tries on record"
        if len(tried) <= TOLD
        else f"The latest {TOLD} of {len(tried):,} tries on record",
        columns=(
            Column(name="settings"),
            Column(name="recorded", kind="instant"),
            Column(name="days", kind="count"),
            Column(name="net return", kind="signed percent"),
            Column(name="Sharpe", kind="signed", unit="a year"),
        ),
        rows=tuple(
            (
                *(t.settings[:12], t.recorded_at, len(t.days)),
                float(np.prod(1.0 + np.nan_to_num(t.returns)) - 1.0) if len(t.days) else None,
                sharpe_per_year(t),
            )
            for t in latest
        ),
    )


def _sharpe_charts(tried: Sequence[Tried]) -> list[Chart]:
    known = [(float(i), s) for i, s in enumerate((sharpe_per_year(t) for t in tried), start=1) if isfinite(s)]
    if len(known) < 2:
        return []
    x, y = zip(*known, strict=True)
    return [
        Chart(
            name="tries",
            title="The Sharpe ratio of every try",
            kind="dots",
            x_label="try, oldest first",
            y_label="Sharpe ratio a year",
            y_kind="signed",
            reference=0.0,
            series=(Series(name="try", x=x, y=y),),
            reading=f"Between {min(y):.2f} and {max(y):.2f}; {sum(s > 0.0 for s in y)} of {len(y)} earned anything.",
        )
    ]


def _logit_chart(found: Overfit) -> Chart:
    counts, edges = np.histogram(found.logits, bins=BINS)
    return Chart(
        name="logits",
        title="Where the best of one half ranked on the other",
        kind="bars",
        x_label="logit of its rank (0: the middle)",
        y_label="share of splits",
        y_kind="percent",
        series=(
            Series(
                name="splits",
                x=tuple(((edges[:-1] + edges[1:]) / 2.0).tolist()),
                y=tuple((counts / len(found.logits)).tolist()),
            ),
        ),
        reading=f"{found.probability:.0%} lie at or left of 0: no better than the middle of all.",
    )


_NOTES = (
    "Settings count once however often they were evaluated; stretches of one target that share a bar count as one.",
    "Tries that resemble each other count as if they were independent, which makes the demand on luck severe.",
    "A pick exactly in the middle counts as overfitted; the halves are made of blocks of consecutive days.",
)
