"""The page of an audit, and its section in the report of an evaluation: the verdict first, then every check."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from longshort.study.audit.record import SEVERITY, Audit, Check
from longshort.study.audit.words import place, recalled, remedies, verdict
from longshort.web.pages import render

QUESTIONS: Mapping[Check, str] = MappingProxyType(
    {
        "truncation": "With everything after a bar cut off, does each stage say of it and all before what it said?",
        "poison": "With everything after a bar replaced by noise, does it say the same, in every bit?",
        "fit isolation": "With the test rows replaced by noise, is every number that was learnt the same?",
        "split": "Was the last label that a fit read known when its test began?",
        "execution": "Was every fill's price known only after its decision, and does no profit know later prices?",
        "batch size": "Are the scores the same, however many rows are evaluated at once?",
        "shuffled target": "Learning from shuffled targets, does all skill vanish?",
        "persistence": "Is the forecast more than what has come, repeated?",
        "plausibility": "Is the forecast better than honest tests of liquid assets ever found?",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """When and from what an audit was made; `notes` are sentences that its reader must see."""

    created_at: int
    hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notes: Sequence[str] = ()


def render_audit(audit: Audit, provenance: Provenance) -> str:
    """One self-contained HTML page for one audit."""
    outcomes = Counter(f.outcome for f in audit.findings)
    asked = {f.check for f in audit.findings}
    return render(
        "audit.html",
        audit=audit,
        title=audit.title,
        verdict=verdict(audit),
        alarmed=[(f, place(f)) for f in audit.alarms],
        remedies=remedies(audit),
        counts=[(word, outcomes[word]) for word in reversed(SEVERITY) if outcomes[word]],
        questions={check: question for check, question in QUESTIONS.items() if check in asked},
        notes=provenance.notes,
        created_at=provenance.created_at,
        hashes=provenance.hashes,
        versions=provenance.versions,
        settings=provenance.settings,
    )


def audit_section(record: Mapping[str, Any] | None, hashes: Mapping[str, str]) -> Markup:
    """The section of a report on the same study and data: what their latest audit found, if there was one.

    `record` is what `longshort audit` wrote into audit.json; one of other data or settings counts as none.
    """
    known = record if record and _same(record["hashes"], hashes) else None
    audit = recalled(known) if known else None
    page = render(
        "audit_section.html",
        audit=audit,
        verdict=verdict(audit) if audit else "",
        alarmed=[(f, place(f)) for f in audit.alarms] if audit else [],
        remedies=remedies(audit) if audit else [],
        created_at=int(known["created_at"]) if known else 0,
        stale=known is not None and known["hashes"].get("code") != hashes.get("code"),
    )
    return Markup(page)  # noqa: S704 our own template, escaped there


def _same(mine: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    return all(mine.get(name) == theirs.get(name) for name in ("study", "data"))
