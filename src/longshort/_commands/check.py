"""`check`: print the certificate of every series in the lake, what each finding is about, and what to do next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from longshort._commands.terminal import emit_json, progress, say, say_table
from longshort.base.clock import format_instant
from longshort.base.errors import DataError, LongshortError
from longshort.base.settings import Study
from longshort.connect.venues import find_venue
from longshort.data.certificate.certificates import Certificate, to_json
from longshort.data.certificate.certify import check_lake, is_accepted
from longshort.data.certificate.findings import GRADES, Finding, count_of
from longshort.data.lake import Lake, Series
from longshort.data.market import find_lake, series_of

GRADE_STYLES = {"clean": "green", "usable": "yellow", "broken": "bold red"}
NAMED_PLACES = 3
MANY_SERIES = 40  # of one venue: clean ones then share a line per kind
SAID_IN_WORDS = ("not traded yet", "trading stopped", "stale")  # findings whose words name their instants
LEGEND = {
    "usable": "a study can live with what was found and should know it",
    "broken": "it would teach a model something false; a study refuses it unless data.accept_broken names it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A study beside the lake: which of its series it reads, and which broken ones it accepts."""

    name: str
    series: frozenset[Series]
    accept: tuple[str, ...]

    def broken(self, certificates: Sequence[Certificate], *, accepted: bool) -> list[Certificate]:
        """The broken series that it reads, and that it accepts by name, or does not."""
        read = (c for c in certificates if c.grade == "broken" and c.series in self.series)
        return [c for c in read if is_accepted(c, self.accept) == accepted]


def check(*, lake: str, venue: str, as_json: bool) -> bool:
    """Print the certificate of every series; False if any is broken."""
    root = find_lake(lake, Path())
    venues = sorted({series.venue for series in Lake(root).series()})
    if not venues or venue not in ("", *venues):
        raise DataError(
            f"there is nothing {f'of {venue} ' if venues else ''}to check.",
            where=root,
            remedy=f"The lake holds {', '.join(venues)}."
            if venues
            else "Fill the lake with `longshort fetch` or `longshort import FILES...`.",
        )
    with progress() as report:
        certificates = check_lake(Lake(root), venue or None, report=report)
    readers = list(_readers(root))
    if as_json:
        emit_json([_as_json(c, readers) for c in certificates])
    else:
        _say_certificates(root, certificates)
        _say_next(certificates, readers, f" --lake {lake}" if lake else "")
    return all(c.grade != "broken" for c in certificates)


def _readers(root: Path) -> Iterator[Reader]:
    """The studies in this folder, beside the lake, and one folder below either, that read from it."""
    here = {folder.resolve() for folder in (Path(), root.parent)}
    for path in sorted(
        {p for folder in here for p in (*folder.glob("study.toml"), *folder.glob("*/study.toml"))}
    ):
        try:
            study = Study.load(path)
            if (
                study.data.source != "lake"
                or find_lake(study.data.lake, study.folder).resolve() != root.resolve()
            ):
                continue
            series = series_of(Lake(root), study.data)
        except LongshortError:  # what is wrong with a study is for its own commands to say
            continue
        yield Reader(name=path.parent.name, series=frozenset(series), accept=study.data.accept_broken)


def _as_json(certificate: Certificate, readers: Sequence[Reader]) -> dict[str, Any]:
    def names(*, accepted: bool) -> list[str]:
        return [reader.name for reader in readers if reader.broken([certificate], accepted=accepted)]

    return to_json(certificate) | {"accepted_by": names(accepted=True), "refused_by": names(accepted=False)}


def _say_certificates(root: Path, certificates: Sequence[Certificate]) -> None:
    columns = ["kind", "symbol", "grade", ">rows", ">missing", "first", "last", "findings"]
    for venue in sorted({c.venue for c in certificates}):
        say_table(f"{root}/{venue}", columns, _rows([c for c in certificates if c.venue == venue]))
    for certificate in sorted(certificates, key=lambda c: -GRADES.index(c.grade)):
        _say_findings(certificate)
    counts = [(grade, sum(c.grade == grade for c in certificates)) for grade in GRADES]
    said = ", ".join(f"{count:,} {grade}" for grade, count in counts if count)
    say(f"{len(certificates):,} series: {said}.", style="bold")
    for grade, count in counts:
        if count and grade in LEGEND:
            say(f"  {grade}: {LEGEND[grade]}.", style="dim")


def _rows(certificates: Sequence[Certificate]) -> list[list[str | Text]]:
    """One line per series; where they are many, clean ones share one per kind."""
    if len(certificates) <= MANY_SERIES:
        return [_row(c, c.symbol, [c]) for c in certificates]
    rows: list[list[str | Text]] = []
    for kind in dict.fromkeys(c.kind for c in certificates):
        clean = [c for c in certificates if c.kind == kind and c.grade == "clean"]
        rows += [_row(clean[0], f"{len(clean):,} symbols", clean)] if clean else []
        rows += [_row(c, c.symbol, [c]) for c in certificates if c.kind == kind and c.grade != "clean"]
    return rows


def _row(certificate: Certificate, name: str, together: Sequence[Certificate]) -> list[str | Text]:
    known = [c for c in together if c.rows]
    return [
        certificate.kind,
        name,
        Text(certificate.grade, style=GRADE_STYLES[certificate.grade]),
        f"{sum(c.rows for c in together):,}",
        f"{sum(c.missing for c in together):,}",
        format_instant(min(c.first_at for c in known))[:10] if known else "",
        format_instant(max(c.last_at for c in known))[:10] if known else "",
        ", ".join(dict.fromkeys(f.rule for f in certificate.findings)),
    ]


def _say_findings(certificate: Certificate) -> None:
    if not certificate.findings:
        return
    say(str(certificate.series), style="bold")
    for finding in certificate.findings:
        say(f"  {finding.grade:6}  {finding.words}", style=GRADE_STYLES[finding.grade])
        places = _places(finding)
        if places:
            say(f"          {places}", style="dim")
    say("")


def _places(finding: Finding) -> str:
    """The first few instants, where the words do not name them."""
    if not finding.places or finding.rule in SAID_IN_WORDS:
        return ""
    named = ", ".join(format_instant(at) for at in finding.places[:NAMED_PLACES])
    return f"first: {named}, ..." if len(finding.places) > NAMED_PLACES else f"at {named}"


def _say_next(certificates: Sequence[Certificate], readers: Sequence[Reader], here: str) -> None:
    """What studies make of it, and what can be done."""
    lines = [line for reader in readers for line in _reader_lines(reader, certificates)]
    lines += _refetch_lines(certificates, here)
    if any(c.found("odd") for c in certificates):
        lines.append(
            'Odd bars stay as they are unless a study says data.cleaning = "mask": absent, by what was known.'
        )
    if not readers and all(c.grade != "broken" for c in certificates):
        lines.append("`longshort init NAME` writes a study about these bars.")
    for n, line in enumerate(lines):
        say(f"{'next  ' if n == 0 else '      '}{line}")


def _reader_lines(reader: Reader, certificates: Sequence[Certificate]) -> Iterator[str]:
    read = [c for c in certificates if c.series in reader.series]
    counts = [(grade, sum(c.grade == grade for c in read)) for grade in GRADES]
    said = ", ".join(f"{count:,} {grade}" for grade, count in counts if count)
    if read:
        yield f"Study {reader.name} reads {len(read):,} of these series: {said}."
    for certificate in reader.broken(certificates, accepted=True):
        yield f"Study {reader.name} accepts {certificate.series}, though it is broken."
    refused = reader.broken(certificates, accepted=False)
    if refused:
        names = ", ".join(
            f'"{name}"' for name in dict.fromkeys([*reader.accept, *(c.symbol for c in refused)])
        )
        series = ", ".join(str(c.series) for c in refused)
        yield f"Study {reader.name} refuses {series}: mend it, or write data.accept_broken = [{names}]."


def _refetch_lines(certificates: Sequence[Certificate], here: str) -> Iterator[str]:
    """Holes that nobody asked a venue for, if it can be asked."""
    for venue in sorted({c.venue for c in certificates}):
        holed = [(c, _never_asked(c)) for c in certificates if c.venue == venue]
        lost, series = sum(rows for _, rows in holed), sum(rows > 0 for _, rows in holed)
        if not lost:
            continue
        what = f"{count_of(lost, 'missing row')} in {series} series"
        if _can_be_asked(venue):
            yield f"`longshort check --refetch --venue {venue}{here}` asks {venue} for {what}: nobody did so far."
        else:
            yield f"No exchange of ccxt is called {venue}, so {what} can only come from files: `longshort import`."


def _never_asked(certificate: Certificate) -> int:
    return sum(gap.missing - gap.asked for gap in certificate.gaps)


def _can_be_asked(venue: str) -> bool:
    try:
        find_venue(venue)
    except LongshortError:
        return False
    return True
