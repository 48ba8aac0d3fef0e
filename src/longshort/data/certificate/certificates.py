"""What a certificate holds, how it becomes JSON and back, and where it is kept.

<lake>/<venue>/certificates.json     one per series

One is valid as long as its rows have the hash that it names, and so have the others that it was judged against: all of
its venue and kind, and other bars and marks of its coin.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polars.exceptions import PolarsError

from longshort.base.calendar import AlwaysOpen
from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.base.files import digest, write_json
from longshort.base.window import Window
from longshort.data.certificate.findings import RULES, Finding, Grade
from longshort.data.certificate.timeline import Gap
from longshort.data.lake import Lake, Series

FILE = "certificates.json"
VERSION = 2  # of the rules: certificates made by others are made again


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What one series is worth. Rows are bars, settlements or samples; instants are of opens or events."""

    venue: str
    kind: str
    symbol: str
    grade: Grade = "broken"
    findings: tuple[Finding, ...] = ()
    digest: str = ""
    calendar: str = AlwaysOpen().name
    first_at: int = 0
    last_at: int = 0
    rows: int = 0
    expected: int = 0
    gaps: tuple[Gap, ...] = ()
    zero_volume: int = 0
    traded_from_at: int = 0
    traded_until_at: int = 0

    @property
    def series(self) -> Series:
        """What was looked at."""
        return Series(self.venue, self.kind, self.symbol)

    @property
    def missing(self) -> int:
        """How many rows are not there between the first and the last."""
        return self.expected - self.rows

    @property
    def reasons(self) -> tuple[str, ...]:
        """The findings in words, the worst first."""
        return tuple(f.words for f in self.findings)

    def found(self, rule: str) -> Finding | None:
        """The finding of one rule, if there is one."""
        return next((f for f in self.findings if f.rule == rule), None)


def to_json(certificate: Certificate) -> dict[str, Any]:
    """Everything, for programs: instants as nanoseconds, and the first and the last as text too.

    >>> from_json(to_json(Certificate(venue="x", kind="bars-1h", symbol="BTCUSDT", rows=3))).rows
    3
    """
    names = (
        "venue",
        "kind",
        "symbol",
        "grade",
        "digest",
        "calendar",
        "rows",
        "expected",
        "missing",
        "zero_volume",
    )
    c = certificate
    return {
        **{name: getattr(c, name) for name in names},
        "first": format_instant(c.first_at) if c.rows else "",
        "last": format_instant(c.last_at) if c.rows else "",
        **{name: getattr(c, name) for name in ("first_at", "last_at", "traded_from_at", "traded_until_at")},
        "findings": [
            {"rule": f.rule, "grade": f.grade, "words": f.words, "count": f.count, "places": list(f.places)}
            for f in c.findings
        ],
        "gaps": [[g.window.from_at, g.window.to_at, g.missing, g.asked] for g in c.gaps],
    }


def from_json(entry: Mapping[str, Any]) -> Certificate:
    """What `to_json` wrote; raise `KeyError` or the like for anything else."""
    names = ("venue", "kind", "symbol", "grade", "digest", "calendar", "rows", "expected", "zero_volume")
    instants = ("first_at", "last_at", "traded_from_at", "traded_until_at")
    return Certificate(
        **{name: entry[name] for name in (*names, *instants)},
        findings=tuple(
            Finding(rule=f["rule"], words=f["words"], count=f["count"], places=tuple(f["places"]))
            for f in entry["findings"]
        ),
        gaps=tuple(
            Gap(window=Window(from_at, to_at), missing=missing, asked=asked)
            for from_at, to_at, missing, asked in entry["gaps"]
        ),
    )


def witnesses_of(lake: Lake, venue: str) -> dict[Series, str]:
    """For every series of a venue, one hash of all that it is judged against: their names and their rows."""
    held = {series: _recorded(lake, series) for series in lake.series(venue)}
    said = {series: f"{series} {rows}" for series, rows in held.items()}
    of_kind: dict[str, list[str]] = {}
    of_coin: dict[str, list[str]] = {}
    for series, words in said.items():
        of_kind.setdefault(series.kind, []).append(words)
        if series.measure in ("bars", "mark"):
            of_coin.setdefault(series.symbol, []).append(words)
    kinds = {kind: digest(*words) for kind, words in of_kind.items()}
    return {s: digest(kinds[s.kind], *of_coin.get(s.symbol, ())) for s in held}


def keep(
    lake: Lake, certificates: Iterable[Certificate], witnesses: Mapping[str, Mapping[Series, str]]
) -> None:
    """Put certificates beside the data, in place of older ones of the same series and of series that are gone.

    `witnesses` are by venue what `witnesses_of` said before anything was looked at. A lake that cannot be written
    keeps none: they are made again when they are needed.
    """
    by_venue: dict[str, list[Certificate]] = {}
    for certificate in certificates:
        by_venue.setdefault(certificate.venue, []).append(certificate)
    for venue, found in by_venue.items():
        path = lake.root / venue / FILE
        known = {str(s) for s in lake.series(venue)}
        entries = {name: entry for name, entry in _entries(path).items() if name in known}
        entries |= {str(c.series): to_json(c) | {"witnesses": witnesses[venue][c.series]} for c in found}
        with suppress(DataError):
            write_json(path, {"version": VERSION, "series": dict(sorted(entries.items()))})


def kept(
    lake: Lake, series: Iterable[Series], witnesses: Mapping[str, Mapping[Series, str]]
) -> dict[Series, Certificate]:
    """The certificates on record that still hold: same rows, same rules, same company."""
    found: dict[Series, Certificate] = {}
    entries: dict[str, dict[str, dict[str, Any]]] = {}
    for one in series:
        table = entries.setdefault(one.venue, _entries(lake.root / one.venue / FILE))
        entry = table.get(str(one), {})
        same_rows = bool(entry.get("digest")) and entry["digest"] == _recorded(lake, one)
        if same_rows and entry.get("witnesses") == witnesses[one.venue].get(one):
            found[one] = from_json(entry)
    return found


def _recorded(lake: Lake, series: Series) -> str:
    """The hash of a series; empty for a file that cannot be read or that another program wrote."""
    try:
        return lake.recorded_digest(series)
    except (PolarsError, OSError):
        return ""


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """The table on record; an absent, damaged or outdated file holds none."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        entries: dict[str, dict[str, Any]] = whole["series"] if whole["version"] == VERSION else {}
        fit = all({f["rule"] for f in entry["findings"]} <= set(RULES) for entry in entries.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return entries if fit else {}
