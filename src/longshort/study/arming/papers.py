"""The papers of a trained model, read from what `train`, `evaluate` and `audit` left beside its study.

Each has the hashes of what it is about; whether it counts, and what follows, `arming` says. Nothing here trains,
judges or fetches, and what is damaged is told, not raised.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longshort.base.calendar import find_calendar
from longshort.base.clock import YEAR, Interval
from longshort.base.errors import DataError, LongshortError
from longshort.base.files import write_json
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.models.bundle import Bundle
from longshort.models.opponents.catalog import model_of
from longshort.study.badge import FIRST
from longshort.study.report import Word
from longshort.study.run import hashes_of

BUNDLE, CERTIFICATE = "bundle", "certificate.json"
EVALUATION, HOLDOUT, AUDIT = "evaluation", "opened holdout", "audit"
KINDS = {  # how the runs begin that make a paper, and where in them it lies
    EVALUATION: ("evaluate", "report.json"),
    HOLDOUT: ("holdout", "report.json"),
    AUDIT: ("audit", "audit.json"),
}
SHAPING = (
    "data",
    "features",
    "target",
    "model",
    "training",
    "validation",
)  # the sections that weights depend on
WITHOUT_EFFECT = ("processes", "checkpoint_every")  # their keys that make no difference to weights
PASSED_AUDITS = ("clean", "warning")
AGE_COLUMNS = (0, 1, 2, 3)  # of the report's table of ages: horizon, age from, to, gain
UNKNOWN_AGE_BARS = (
    2_000  # where no evaluation says how a model ages: less than the test of a fold usually has
)
UNREAD = (KeyError, TypeError, ValueError, IndexError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What one run found; `failure` is empty where it speaks for the model, `says` is its result in a few words."""

    kind: str
    where: str
    made_at: int
    hashes: Mapping[str, str]
    says: str
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The weights that would trade, by their hash; `differs` names a setting that they were not trained with."""

    weights: str
    hashes: Mapping[str, str]
    trained_until: int
    differs: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The worst grade of the bars that some weights learnt from, and which series are broken; no grade: no record."""

    where: str
    weights: str
    data: str
    grade: str
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """All that a study's model carries; `wanted` are the hashes that a paper must have to count.

    `needs_model` is False where the study's model has nothing to train. `damaged` says what could not be read.
    """

    where: str
    needs_model: bool
    wanted: Mapping[str, str]
    model: Model | None = None
    certificate: Certificate | None = None
    runs: tuple[Paper, ...] = ()
    expires_at: int | None = None
    damaged: tuple[LongshortError, ...] = ()

    def latest(self, kind: str) -> Paper | None:
        """The newest paper of a kind that counts, or else the newest of the same settings, or else the newest."""
        known = [paper for paper in self.runs if paper.kind == kind]
        return max(known, key=self._nearness, default=None)

    def differing(self, paper: Paper) -> list[str]:
        """The hashes that a paper does not share; empty where it counts."""
        return [name for name, value in self.wanted.items() if paper.hashes.get(name) != value]

    def _nearness(self, paper: Paper) -> tuple[bool, bool, int]:
        differing = self.differing(paper)
        return not differing, "study" not in differing, paper.made_at


def papers(study: Study) -> Papers:
    """Everything on record about the model that a study would trade with now."""
    damaged: list[LongshortError] = []
    needs_model = model_of(study) is None
    model = _model(study, damaged) if needs_model else None
    found = [one for kind in KINDS for one in _of_kind(study, kind, damaged)]
    runs = tuple(paper for paper, _ in found)
    wanted = hashes_of(study, model.hashes.get("data", "") if model else "")
    if model is None:  # then the evaluation says which bars are meant
        wanted["data"] = _newest_data(wanted, runs)
    held = Papers(where=str(study.folder), needs_model=needs_model, wanted=wanted, runs=runs)
    judged = held.latest(EVALUATION)
    counting = judged if judged and not held.differing(judged) else None
    path = study.folder / BUNDLE / CERTIFICATE
    if not needs_model and counting:
        path = Path(counting.where).with_name("run.json")
    report = next((plain for paper, plain in found if paper is counting), {})
    return Papers(
        where=held.where,
        needs_model=needs_model,
        wanted=wanted,
        model=model,
        certificate=_certificate(path, damaged),
        runs=runs,
        expires_at=_expires_at(study, model, report) if model else None,
        damaged=tuple(damaged),
    )


def write_certificate(folder: Path, bundle: Bundle, bars: Bars) -> None:
    """Put beside a bundle what is on record of the bars that it learnt from, tied to its weights."""
    record = {
        "weights": bundle.content,
        "hashes": {"data": bundle.hashes["data"]},
        "data": {"origins": [asdict(origin) for origin in bars.origins]},
    }
    write_json(folder / CERTIFICATE, record)


def expires_after_bars(report: Mapping[str, Any], horizon_bars: int) -> int:
    """The age up to which an evaluation saw the gain of its models last, at a horizon.

    Where the gain is gone first; the oldest age that was judged where it never is, or was not there to be lost;
    `UNKNOWN_AGE_BARS` where the report does not say.
    """
    tables = [table for section in report.get("sections", ()) for table in section["tables"]]
    rows = [row for table in tables if table["name"] == "age" for row in table["rows"]]
    ages = [[row[k] for k in AGE_COLUMNS[1:]] for row in rows if row[0] == horizon_bars]
    if not ages:
        return UNKNOWN_AGE_BARS
    gone = [int(age) for age, _, gain in ages if gain is not None and not gain > 0.0]
    return gone[0] if gone and gone[0] > 0 else int(ages[-1][1])


def _expires_at(study: Study, model: Model, report: Mapping[str, Any]) -> int:
    bars = study.trading.expires_after_bars or expires_after_bars(report, study.policy.horizon_bars)
    per_year = find_calendar(study.data.calendar).bars_per_year(Interval.parse(study.data.interval))
    return model.trained_until + bars * round(YEAR / per_year)


def _newest_data(wanted: Mapping[str, str], runs: tuple[Paper, ...]) -> str:
    """The bars of the newest evaluation that shares all the rest."""
    rest = {name: value for name, value in wanted.items() if name != "data"}
    same = [p for p in runs if p.kind == EVALUATION and rest.items() <= dict(p.hashes).items()]
    newest = max(same, key=lambda paper: paper.made_at, default=None)
    return newest.hashes.get("data", "") if newest else ""


def _model(study: Study, damaged: list[LongshortError]) -> Model | None:
    folder = study.folder / BUNDLE
    if not (folder / "bundle.json").is_file():
        return None
    try:
        bundle = Bundle.load(folder)
    except LongshortError as error:
        damaged.append(error)
        return None
    return Model(
        weights=bundle.content,
        hashes=bundle.hashes,
        trained_until=bundle.trained_until,
        differs=_differing_setting(study, bundle.settings),
    )


def _differing_setting(study: Study, trained: Mapping[str, Any]) -> str:
    for section, table in study.model_dump(mode="json", include=set(SHAPING)).items():
        for key, value in table.items():
            if key not in WITHOUT_EFFECT and trained.get(section, {}).get(key) != value:
                return f"{section}.{key}"
    return ""


def _certificate(path: Path, damaged: list[LongshortError]) -> Certificate | None:
    """From what lies beside a bundle, or from the record of a run."""
    if not path.is_file():
        return None
    try:
        plain = _json(path)
        origins = plain["data"]["origins"]
        return Certificate(
            where=str(path),
            weights=plain.get("weights", ""),
            data=plain["hashes"]["data"],
            grade=max((o["grade"] for o in origins), key=("clean", "usable", "broken").index, default=""),
            broken=tuple(f"{o['symbol']} {o['kind']}" for o in origins if o["grade"] == "broken"),
        )
    except UNREAD as error:
        damaged.append(_unreadable(path, error))
        return None


def _of_kind(study: Study, kind: str, damaged: list[LongshortError]) -> list[tuple[Paper, Mapping[str, Any]]]:
    """The papers of a kind, each with the record that it was read from."""
    prefix, name = KINDS[kind]
    found: list[tuple[Paper, Mapping[str, Any]]] = []
    for path in sorted((study.folder / "runs").glob(f"{prefix}-*/{name}")):
        try:
            plain = _json(path)
            says, failure = _audited(plain) if kind == AUDIT else _judged(plain, study.policy.horizon_bars)
            made_at, hashes = int(plain["created_at"]), dict(plain["hashes"])
        except UNREAD as error:
            damaged.append(_unreadable(path, error))
            continue
        paper = Paper(kind=kind, where=str(path), made_at=made_at, hashes=hashes, says=says, failure=failure)
        found.append((paper, plain))
    return found


def _judged(plain: Mapping[str, Any], horizon_bars: int) -> tuple[str, str]:
    """What an evaluation says, question by question, and why it does not speak for trading."""
    words = {
        v["question"]: str(v["word"]) for v in plain["verdicts"] if int(v["horizon_bars"]) == horizon_bars
    }
    said = ", ".join(f"{question} {word}" for question, word in words.items()) or "nothing"
    says = f"at {horizon_bars} bars {said}"
    if words.get(FIRST) == Word.BEATS:
        return says, ""
    found = words.get(FIRST, "no verdict")
    return says, f"its verdict on {FIRST} at {horizon_bars} bars is {found}, not {Word.BEATS}."


def _audited(plain: Mapping[str, Any]) -> tuple[str, str]:
    outcome = str(plain["outcome"])
    return outcome, "" if outcome in PASSED_AUDITS else f"its outcome is {outcome!r}."


def _json(path: Path) -> dict[str, Any]:
    """A record; anything else raises one of `UNREAD`."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"this record cannot be read: {type(error).__name__} {error}.",
        where=path,
        remedy="Run the command again that wrote it, or remove its folder.",
    )
