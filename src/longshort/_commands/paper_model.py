"""What `status` says of the model that an account trades: how its intervals hold, and what its papers say."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from longshort._commands.following import ago
from longshort._commands.terminal import say_table
from longshort.base.clock import SECOND, format_instant
from longshort.base.settings import Study
from longshort.study.arming.gate import CERTIFICATE, MODEL, objections
from longshort.study.arming.papers import KINDS, Papers, papers
from longshort.study.evidence.gains import bars_text
from longshort.trading.paper.diary import Line

COLUMNS = ("ahead", ">has to reach", ">inside", ">of bars", "coverage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one paper says; `objection` is its cause where it speaks against trading, else empty."""

    paper: str
    says: str
    objection: str = ""


def papers_told(study: Study, now: int) -> list[Said]:
    """Every paper of a study's model as it stands now, those that speak for it first."""
    held = papers(study)
    against = [
        Said(paper=one.paper, says=f"{one.what} {one.remedy}".rstrip(), objection=one.cause)
        for one in objections(held, now)
    ]
    spoken = {one.paper for one in against}
    return [*(one for one in _speaking_for(held, now) if one.paper not in spoken), *against]


def say_intervals(told: Sequence[Line]) -> None:
    """A row per horizon: how far its interval has to be stretched, what lay inside, and the monitor's word."""
    rows = [
        (
            bars_text(one["horizon_bars"]),
            "unknown" if one["multiple"] is None else f"{one['multiple']:.2f} x",
            "" if one["covered"] is None else f"{one['covered']:.1%}",
            f"{one['bars']:,}",
            one["coverage"],
        )
        for one in told
    ]
    say_table("90 % intervals of the model, since the session began", COLUMNS, rows)


def say_papers(told: Sequence[Said]) -> None:
    """A row per paper."""
    rows = [
        (
            one.paper,
            Text(f"{one.objection}: {one.says}", style="yellow") if one.objection else one.says,
        )
        for one in told
    ]
    say_table("papers of the model", ("paper", "says"), rows)


def _speaking_for(held: Papers, now: int) -> list[Said]:
    found: list[Said] = []
    if held.model:
        until = format_instant(held.model.trained_until)
        found.append(
            Said(paper=MODEL, says=f"{held.model.weights[:6]}, trained until {until}{_expiry(held, now)}")
        )
    if held.certificate and held.certificate.grade:
        found.append(Said(paper=CERTIFICATE, says=held.certificate.grade))
    counting = [paper for paper in map(held.latest, KINDS) if paper]
    found += [Said(paper=p.kind, says=f"{p.says}, {format_instant(p.made_at)}") for p in counting]
    return found


def _expiry(held: Papers, now: int) -> str:
    if held.expires_at is None:
        return ""
    return f", expires {format_instant(held.expires_at)} (in {ago(max(0, held.expires_at - now) / SECOND)})"
