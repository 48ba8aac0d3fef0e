"""Whether a model may trade: what speaks against it, a sentence each, tied to the very weights by hash.

Paper trading shows the objections and goes on; what trades real money calls `require` first. Papers of another model
or of another version of it do not count, whatever they say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from longshort.base.clock import format_instant
from longshort.base.errors import BundleError
from longshort.study.arming.papers import AUDIT, EVALUATION, HOLDOUT, KINDS, Papers

Cause = Literal["missing", "of another model", "stale", "failed", "expired", "unreadable"]
MODEL, CERTIFICATE = "model", "data certificate"
TIES = {  # hashes, and what they are of
    "study": "other settings",
    "data": "other bars",
    "code": "another version of the program",
    "recipe": "another version of your own features or network",
    "policy": "another version of the policy's code",
}
COMMANDS = {
    MODEL: "longshort train STUDY",
    CERTIFICATE: "longshort train STUDY",
    EVALUATION: "longshort evaluate STUDY",
    HOLDOUT: "longshort evaluate STUDY --holdout",
    AUDIT: "longshort audit STUDY",
}
OWN_CODE = ("code", "recipe")  # what weights depend on


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """One thing that speaks against trading, and what to do about it.

    >>> print(Objection(paper="audit", cause="missing", what="Nobody looked.", where="mine", remedy="Look."))
    mine: Nobody looked. Look.
    """

    paper: str
    cause: Cause
    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}".rstrip()


def objections(held: Papers, now: int) -> list[Objection]:
    """What speaks against trading with this model at an instant; empty: nothing does."""
    damaged = [
        Objection(paper="record", cause="unreadable", what=e.what, where=e.where, remedy=e.remedy)
        for e in held.damaged
    ]
    return [
        *damaged,
        *_against_model(held, now),
        *_against_certificate(held),
        *_against_run(held, EVALUATION),
        *_against_holdout(held),
        *_against_run(held, AUDIT),
    ]


def require(held: Papers, now: int) -> None:
    """Raise `BundleError` with every objection where there is one: whatever trades real money calls this first."""
    found = objections(held, now)
    if found:
        listed = "".join(f"\n- {one}" for one in found)
        raise BundleError(
            f"this model may not trade; {len(found)} objection{'s' if len(found) > 1 else ''}:{listed}",
            where=held.where,
        )


def told(held: Papers, now: int) -> list[str]:
    """A line for each paper that counts, then one for each objection: what a session shows when it starts."""
    counting = [paper for paper in map(held.latest, KINDS) if paper and not held.differing(paper)]
    lines = [f"{p.kind} of {format_instant(p.made_at)}: {p.says}" for p in counting]
    if held.certificate and held.certificate.grade:
        lines.append(f"{CERTIFICATE}: {held.certificate.grade}")
    if held.model and held.expires_at is not None:
        until, end = format_instant(held.model.trained_until), format_instant(held.expires_at)
        lines.append(f"model {held.model.weights[:6]}: trained until {until}, expires {end}")
    return [*lines, *(f"objection ({one.paper} {one.cause}): {one}" for one in objections(held, now))]


def _against_model(held: Papers, now: int) -> Iterator[Objection]:
    if not held.needs_model:
        return
    model = held.model
    if model is None:
        if not held.damaged:
            yield _objection(held, MODEL, "missing", "there is no trained model.")
        return
    if model.differs:
        what = f"the model was trained with another {model.differs} than the study has."
        yield _objection(held, MODEL, "of another model", what)
    others = [TIES[name] for name in OWN_CODE if model.hashes.get(name) != held.wanted[name]]
    if others:
        yield _objection(held, MODEL, "stale", f"the model was trained by {' and '.join(others)}.")
    if "parent" in model.hashes:
        what = "the model was refined, and evaluations judge models that are trained from the beginning."
        yield _objection(held, MODEL, "stale", what)
    if held.expires_at is not None and now >= held.expires_at:
        since = format_instant(held.expires_at)
        yield _objection(held, MODEL, "expired", f"the model expired at {since}.")


def _against_certificate(held: Papers) -> Iterator[Objection]:
    found = held.certificate
    if held.needs_model and held.model is None:
        return  # training writes both
    if found is None:
        yield _objection(
            held, CERTIFICATE, "missing", "nothing says what the bars are worth that it learnt from."
        )
    elif (held.model and found.weights != held.model.weights) or found.data != held.wanted["data"]:
        what = "the certificate of the data belongs to another model."
        yield _objection(held, CERTIFICATE, "of another model", what, found.where)
    elif not found.grade:
        what = "the bars that it learnt from have no certificate: they were simulated."
        remedy = "Train on bars from the lake."
        yield Objection(paper=CERTIFICATE, cause="failed", what=what, where=found.where, remedy=remedy)
    elif found.broken:
        what = f"it learnt from broken series: {', '.join(found.broken)}."
        remedy = "Mend them (`longshort check` says how), or leave these coins out, and train again."
        yield Objection(paper=CERTIFICATE, cause="failed", what=what, where=found.where, remedy=remedy)


def _against_holdout(held: Papers) -> Iterator[Objection]:
    """A holdout need not be opened; where it was, what it said of this very model holds."""
    paper = held.latest(HOLDOUT)
    if paper and not held.differing(paper) and paper.failure:
        yield _failed(paper.kind, paper.failure, paper.where)


def _against_run(held: Papers, kind: str) -> Iterator[Objection]:
    paper = held.latest(kind)
    if paper is None:
        yield _objection(held, kind, "missing", f"there is no {kind}.")
        return
    differing = held.differing(paper)
    others = " and ".join(TIES[name] for name in differing)
    if "study" in differing:
        what = f"the {kind} is of {others}."
        yield _objection(held, kind, "of another model", what, paper.where)
    elif differing:
        yield _objection(held, kind, "stale", f"the {kind} is of {others}.", paper.where)
    elif paper.failure:
        yield _failed(kind, paper.failure, paper.where)


def _objection(held: Papers, paper: str, cause: Cause, what: str, where: str = "") -> Objection:
    remedy = f"Run `{COMMANDS[paper]}`."
    return Objection(paper=paper, cause=cause, what=what, where=where or held.where, remedy=remedy)


def _failed(kind: str, failure: str, where: str) -> Objection:
    remedy = {
        EVALUATION: "No order of this model is justified by what it has shown; paper trading costs nothing.",
        HOLDOUT: "Rows that nobody had seen did not bear it out: do not trade it.",
        AUDIT: "Do what it says, then run `longshort audit STUDY` again.",
    }[kind]
    return Objection(
        paper=kind, cause="failed", what=f"the {kind} failed: {failure}", where=where, remedy=remedy
    )
