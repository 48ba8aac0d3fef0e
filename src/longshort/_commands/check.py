"""`check`: print the certificate of every series in the lake, and what each finding is about."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from longshort._commands.terminal import emit_json, say, say_table
from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.data.certificate.certificates import Certificate, to_json
from longshort.data.certificate.certify import check_lake
from longshort.data.certificate.findings import Finding
from longshort.data.lake import Lake
from longshort.data.market import find_lake

GRADE_STYLES = {"clean": "green", "usable": "yellow", "broken": "bold red"}
NAMED_PLACES = 3
LEGEND = {
    "clean": "nothing was found",
    "usable": "a study can live with what was found and should know it",
    "broken": "it would teach a model something false; training refuses it unless data.accept_broken names it",
}


def check(*, lake: str, venue: str, as_json: bool) -> bool:
    """Print the certificate of every series; False if any is broken."""
    root = find_lake(lake, Path())
    certificates = check_lake(Lake(root), venue or None)
    if not certificates:
        raise DataError(
            "there is nothing to check.", where=root, remedy="Fill the lake with `longshort import FILES...`."
        )
    if as_json:
        emit_json([to_json(c) for c in certificates])
    else:
        _say_certificates(root, certificates)
    return all(c.grade != "broken" for c in certificates)


def _say_certificates(root: Path, certificates: Sequence[Certificate]) -> None:
    columns = ["kind", "symbol", "grade", ">rows", ">missing", "first", "last", "findings"]
    for venue in sorted({c.venue for c in certificates}):
        rows = [_row(c) for c in certificates if c.venue == venue]
        say_table(f"{root}/{venue}", columns, rows)
    for certificate in certificates:
        _say_findings(certificate)
    for grade, means in LEGEND.items():
        count = sum(c.grade == grade for c in certificates)
        if count:
            say(f"{grade}: {means}.", style="dim")
    counts = [f"{sum(c.grade == grade for c in certificates):,} {grade}" for grade in GRADE_STYLES]
    say(f"{len(certificates):,} series: {', '.join(counts)}.")


def _row(certificate: Certificate) -> list[str | Text]:
    return [
        certificate.kind,
        certificate.symbol,
        Text(certificate.grade, style=GRADE_STYLES[certificate.grade]),
        f"{certificate.rows:,}",
        f"{certificate.missing:,}",
        format_instant(certificate.first_at)[:10] if certificate.rows else "",
        format_instant(certificate.last_at)[:10] if certificate.rows else "",
        ", ".join(dict.fromkeys(f.rule for f in certificate.findings)),
    ]


def _say_findings(certificate: Certificate) -> None:
    if not certificate.findings:
        return
    say(str(certificate.series))
    for finding in certificate.findings:
        say(f"  {finding.grade:6}  {finding.words}{_places(finding)}", style=GRADE_STYLES[finding.grade])
    say("")


def _places(finding: Finding) -> str:
    """The first few instants, where the words do not name them."""
    if not finding.places or finding.rule in ("not traded yet", "trading stopped", "stale"):
        return ""
    named = [format_instant(at) for at in finding.places[:NAMED_PLACES]]
    more = ", ..." if len(finding.places) > NAMED_PLACES else ""
    return f": {', '.join(named)}{more}"
