"""The certificate of what is in the lake: what is there, what is missing, what cannot be true.

Nothing is repaired. Each series is looked at by itself, then against the other coins of its venue and interval, so
that a crash that all share is no error. What each finding means for the grade stands in `findings.RULES`.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from longshort.base.calendar import find_calendar
from longshort.base.errors import DataError
from longshort.data.certificate import timeline
from longshort.data.certificate.certificates import Certificate, keep, kept, witnesses_of
from longshort.data.certificate.examine import Examined, examine
from longshort.data.certificate.findings import count_of, grade_of
from longshort.data.certificate.outliers import Odd, unshared
from longshort.data.certificate.witnesses import judge_mark, supported
from longshort.data.files.sources import spellings
from longshort.data.lake import Lake, Series

Report = Callable[[str, int, int], None]
FALSE_SHARE, FALSE_ROWS = 0.001, 10  # odd, stuck or copied rows that break a series
KIND_WORDS = {
    "bar": ("bar at a false level", "stretches at a false level"),
    "close": ("close that the next open does not follow", "closes that the next open does not follow"),
    "open": ("open that leads nowhere", "opens that lead nowhere"),
    "jump": ("jump between close and open", "jumps between close and open"),
    "wick": ("wick without volume", "wicks without volume"),
    "spike": ("close taken back, without volume", "closes taken back, without volume"),
}


def quietly(what: str, done: int, of: int) -> None:
    """Who does not want to hear how far it is."""


def check_lake(lake: Lake, venue: str | None = None, *, report: Report = quietly) -> list[Certificate]:
    """A certificate for every series, in order; they are kept beside the data."""
    return _certify_and_keep(lake, lake.series(venue), report)


def check_series(lake: Lake, series: Series) -> Certificate:
    """The certificate of one series by itself; it is not kept."""
    return certify(lake, [series])[0]


def certificates_of(
    lake: Lake, chosen: Sequence[Series], *, calendar: str = "", report: Report = quietly
) -> list[Certificate]:
    """The certificates on record that still hold, else new ones, judged against all of their venue and kind.

    A study may name a calendar that the lake does not: certificates by that one are made for it and not kept.
    """
    witnesses = {venue: witnesses_of(lake, venue) for venue in {s.venue for s in chosen}}
    known = kept(lake, chosen, witnesses)
    stale = {(s.venue, s.kind) for s in chosen if s not in known}
    fresh = _certify_and_keep(lake, [s for key in sorted(stale) for s in lake.series(*key)], report)
    known |= {c.series: c for c in fresh}
    sessions = find_calendar(calendar).name if calendar else ""
    other = [s for s in chosen if sessions not in ("", known[s].calendar)]
    known |= {c.series: c for c in certify(lake, other, calendar=calendar, report=report)}
    return [known[series] for series in chosen]


def is_accepted(certificate: Certificate, accept: Collection[str]) -> bool:
    """True where `accept` names the series: by its symbol, as people may write it, or in full."""
    accepted = {spelt for name in accept for spelt in (name, *spellings(name))}
    return bool(accepted & {certificate.symbol, str(certificate.series)})


def refuse_broken(certificates: Iterable[Certificate], accept: Collection[str]) -> None:
    """Raise `DataError` for the first series graded broken that is not accepted by name."""
    for certificate in certificates:
        if certificate.grade == "broken" and not is_accepted(certificate, accept):
            raise DataError(
                f"graded broken: {certificate.findings[0].words}.",
                where=str(certificate.series),
                remedy=f'Look with `longshort check`; write data.accept_broken = ["{certificate.symbol}"] to use it.',
            )


def certify(
    lake: Lake, chosen: Iterable[Series], *, calendar: str = "", report: Report = quietly
) -> list[Certificate]:
    """Certificates of some series, each judged against the others of its venue and kind among them.

    Their sessions are those of `calendar`, else what the lake says.
    """
    groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for series in chosen:
        groups[series.venue, series.kind].append(series)
    done, total = 0, sum(len(group) for group in groups.values())
    certificates: list[Certificate] = []
    for group in groups.values():
        examined: list[Examined] = []
        for series in group:
            examined.append(examine(lake, series, calendar))
            done += 1
            report("looking over", done, total)
        lags = _lags(examined)
        certificates += [_conclude(lake, n, examined, lags[n]) for n in range(len(examined))]
    return certificates


def _certify_and_keep(lake: Lake, series: Sequence[Series], report: Report) -> list[Certificate]:
    witnesses = {venue: witnesses_of(lake, venue) for venue in {s.venue for s in series}}
    certificates = certify(lake, series, report=report)
    keep(lake, certificates, witnesses)
    return certificates


def _conclude(lake: Lake, n: int, group: Sequence[Examined], lag: int) -> Certificate:
    """Judge what takes other series, and grade."""
    looked, others = group[n], [e for m, e in enumerate(group) if m != n]
    findings, series = looked.findings, looked.seen.series
    if looked.seen.rows:
        timeline.judge_end(looked.seen.last_at, [e.seen.last_at for e in others], looked.interval, findings)
    sketches = [e.sketch for e in others if e.sketch]
    odd = supported(lake, series, unshared(looked.odd, sketches))
    _judge_odd(looked, odd)
    if lag:
        words = f"the other coins move {count_of(abs(lag), 'bar')} {'earlier' if lag > 0 else 'later'}: a shifted clock"
        findings.add("clock", words, count=abs(lag))
    if series.measure == "bars" and looked.sketch:
        judge_mark(lake, series, findings)
    found = findings.sorted()
    return replace(looked.seen, findings=found, grade=grade_of(found))


def _judge_odd(looked: Examined, odd: Sequence[Odd]) -> None:
    kinds = [(kind, [o for o in odd if o.kind == kind]) for kind in KIND_WORDS]
    if odd:
        words = ", ".join(f"{len(some):,} {KIND_WORDS[kind][len(some) > 1]}" for kind, some in kinds if some)
        looked.findings.add("odd", words, count=len(odd), places=[o.at for o in odd])
    false = looked.false_rows + sum(o.end - o.row for o in odd if o.kind != "jump")
    if false >= FALSE_ROWS and false > FALSE_SHARE * looked.seen.rows:
        looked.findings.add("many false rows", f"{false:,} rows are odd, stuck or copies", count=false)


def _lags(group: Sequence[Examined]) -> list[int]:
    """How many bars each clock is off, judged against the mean move of the others."""
    usable = [n for n, e in enumerate(group) if len(e.recent_at)]
    lags = [0] * len(group)
    if len(usable) <= timeline.LAG_PEERS:
        return lags
    instants = np.unique(np.concatenate([group[n].recent_at for n in usable]))
    table = np.full((len(instants), len(usable)), np.nan)
    for column, n in enumerate(usable):
        move = group[n].recent_move
        typical = float(np.nanmedian(np.abs(move))) if np.isfinite(move).any() else 0.0
        table[np.searchsorted(instants, group[n].recent_at), column] = move / max(typical, 1e-12)
    known = np.isfinite(table)
    total, count = np.where(known, table, 0.0).sum(axis=1), known.sum(axis=1)
    for column, n in enumerate(usable):
        others = count - known[:, column]
        rest = total - np.where(known[:, column], table[:, column], 0.0)
        mean = np.where(others > 0, rest / np.maximum(others, 1), np.nan)
        interval = group[n].interval
        assert interval
        lags[n] = timeline.lag_bars(instants, table[:, column], mean, interval.ns)
    return lags
