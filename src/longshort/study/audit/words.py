"""What an audit found, in plain words: one verdict, one line per finding, and what to do about an alarm."""

from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import Any

from longshort.base.clock import format_instant
from longshort.study.audit.record import Audit, Check, Finding

_PAST_ONLY = (
    "Compute each row from rows up to it alone: no shift(-1), centered window, filter over the whole series, "
    "back-fill, interpolation, or longer bar before its close."
)
REMEDIES: Mapping[Check, str] = MappingProxyType(
    {
        "truncation": _PAST_ONLY,
        "poison": _PAST_ONLY,
        "fit isolation": "Fit scalers, filters, calibrators, thresholds and the moment to stop before the test only.",
        "split": "Leave out rows whose labels end after the first test close, and never shuffle rows in time.",
        "execution": "Fill at a price of the bar after the decision, and book profit from that fill on.",
        "batch size": "Keep the last incomplete batch, and let no row see others of its batch.",
        "shuffled target": "Look for the target among the inputs, and for test rows among those that are fitted on.",
        "persistence": "",
        "plausibility": "Ask for the code and audit its stages: this file alone cannot be believed.",
    }
)


def verdict(audit: Audit) -> str:
    """The answer in one sentence or two.

    >>> verdict(Audit(findings=(Finding(stage="features", check="poison", outcome="clean", looked=1, detail=""),)))
    'Nothing leaks: 1 check of 1 part found nothing.'
    """
    if audit.alarms:
        return _alarmed(audit.alarms)
    ran = [f for f in audit.findings if f.outcome != "not run"]
    if not ran:
        return "Nothing was checked."
    parts = len(dict.fromkeys(f.stage for f in ran))
    warned = sum(f.outcome == "warning" for f in ran)
    fine = f"{_count(len(ran), 'check')} of {_count(parts, 'part')}"
    warnings = f"; {_count(warned, 'warning')} to read" if warned else " found nothing"
    plausible = {f.check for f in ran} <= {"plausibility", "persistence"}
    what = "Nothing is too good to be true" if plausible else "Nothing leaks"
    left = len(audit.findings) - len(ran)
    rest = f" {_count(left, 'check')} not run." if left else ""
    return f"{what}: {fine}{warnings}.{rest}"


def place(finding: Finding) -> str:
    """Where an offence is: the row, its instant, the column and the size, as far as they are known.

    >>> found = Finding(stage="features", check="poison", outcome="leak", looked=9, detail="", row=7, at=0,
    ...     where="values[0, 3]", size=0.25)
    >>> place(found)
    'row 7, 1970-01-01 00:00Z, values[0, 3], off by 0.25'
    """
    parts = [
        f"row {finding.row:,}" if finding.row is not None else "",
        format_instant(finding.at) if finding.at is not None else "",
        finding.where,
        f"off by {finding.size:.4g}" if finding.size is not None and isfinite(finding.size) else "",
    ]
    return ", ".join(part for part in parts if part)


def remedies(audit: Audit) -> list[str]:
    """What to do, once per kind of alarm."""
    return list(dict.fromkeys(REMEDIES[f.check] for f in audit.alarms if REMEDIES[f.check]))


def recalled(plain: Mapping[str, Any]) -> Audit:
    """An audit from what `Audit.to_json` wrote."""
    names = Finding.__slots__
    findings = tuple(Finding(**{name: one[name] for name in names}) for one in plain["findings"])
    return Audit(
        findings=findings,
        title=str(plain["title"]),
        seed=int(plain["seed"]),
        seconds=float(plain["seconds"]),
    )


def _alarmed(alarms: Sequence[Finding]) -> str:
    leaks = [f for f in alarms if f.outcome == "leak"]
    if not leaks:
        return f"Too good to be true: {_named(alarms)}."
    rest = [f for f in alarms if f.outcome != "leak"]
    more = f" Too good to be true: {_named(rest)}." if rest else ""
    return f"It leaks: {_named(leaks)}.{more}"


def _named(findings: Sequence[Finding]) -> str:
    parts: dict[str, list[str]] = {}
    for f in findings:
        parts.setdefault(f.stage, []).append(f.where if f.check == "plausibility" and f.where else f.check)
    return ", ".join(f"{stage} ({', '.join(dict.fromkeys(checks))})" for stage, checks in parts.items())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
