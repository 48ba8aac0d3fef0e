"""What the adaptive loop writes into the journal: every change of who is in charge, and why."""

from dataclasses import dataclass
from typing import ClassVar

from longshort.base.journal import Event


@dataclass(frozen=True, slots=True)
class Drifted(Event):
    """Something that is watched changed; `since` is where it seems to have begun."""

    kind: ClassVar[str] = "drifted"
    closed_at: int
    what: str
    since: int
    statistic: float
    detail: str


@dataclass(frozen=True, slots=True)
class TrialBegan(Event):
    """A challenger forecasts in shadow; the test that decides is written down before its first row."""

    kind: ClassVar[str] = "trial-began"
    closed_at: int
    champion: int
    challenger: int
    reason: str
    trained_from: int
    trained_until: int
    most_rows: int
    margin_nats: float
    evidence_needed: float


@dataclass(frozen=True, slots=True)
class TrialEnded(Event):
    """A challenger was promoted or dismissed: on how many rows, with what evidence and mean gain."""

    kind: ClassVar[str] = "trial-ended"
    closed_at: int
    champion: int
    challenger: int
    outcome: str
    rows: int
    evidence: float
    gain_nats: float


@dataclass(frozen=True, slots=True)
class Expired(Event):
    """The model in charge is too old; `successor` is who takes over, None where nobody may."""

    kind: ClassVar[str] = "expired"
    closed_at: int
    model: int
    age_bars: int
    successor: int | None


@dataclass(frozen=True, slots=True)
class StoodDown(Event):
    """From here on no exposure is added, because coverage or skill broke or the model expired."""

    kind: ClassVar[str] = "stood-down"
    closed_at: int
    model: int
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """What broke holds again, or another model is in charge."""

    kind: ClassVar[str] = "resumed"
    closed_at: int
    model: int
