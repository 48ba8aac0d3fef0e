"""One study file, parsed once into frozen settings.

Values come from the file, then from `LONGSHORT_SECTION__KEY` in the environment, then from `--set section.key=value`.
A key that does not exist is an error that names the nearest one that does.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from longshort.base.clock import Interval, parse_instant
from longshort.base.errors import StudyError
from longshort.base.files import digest
from longshort.base.learning import ModelSettings, Section, TrainingSettings
from longshort.base.searching import TuningSettings
from longshort.base.tables import from_environment, from_overrides, merge, nearest, written
from longshort.base.trading import (
    CostSettings,
    LimitSettings,
    NotifySettings,
    PolicySettings,
    TradingSettings,
)


def _as_text(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value  # TOML has dates of its own


DateText = Annotated[str, BeforeValidator(_as_text)]


class DataSettings(Section):
    """Which bars: the lake's, or the embedded market that the simulator makes."""

    source: Literal["lake", "embedded"] = "lake"
    lake: str = ""
    venue: str = ""
    interval: str = "1h"
    symbols: tuple[str, ...] = ()
    since: DateText = ""
    until: DateText = ""
    calendar: str = ""
    spot_venue: str = ""
    cleaning: Literal["keep", "mask", "winsorise"] = "keep"
    accept_broken: tuple[str, ...] = ()
    embedded_coins: int = Field(default=6, ge=2, le=50)
    embedded_bars: int = Field(default=9_000, ge=2_000, le=1_000_000)
    embedded_edge: float = Field(default=0.0, ge=0.0, le=0.5)
    embedded_season: float = Field(default=0.0, ge=0.0, le=1.0)
    embedded_missing: float = Field(default=0.0, ge=0.0, le=0.5)
    embedded_law: Literal["market", "garch", "gjr"] = "market"
    embedded_seed: int = 1


Scaling = Literal["train", "none", "volatility", "rolling", "expanding"]


class FeatureSettings(Section):
    """What the network sees. No names: the default set.

    `families` are read instead of those of the default set, `own` are files (or `entry:NAME`) with features of the
    user, `scaling` overrides how single features are scaled. `news` scores headlines ("vader", or "model:FOLDER").
    """

    names: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    scaling: dict[str, Scaling] = Field(default_factory=dict[str, Scaling])
    denoise: str = ""
    max_gap_bars: int = Field(default=3, ge=0, le=100)
    volatility_halflife_bars: float = Field(default=24.0, gt=1.0)
    news: str = ""
    news_sources: tuple[str, ...] = ()
    news_delay_minutes: int = Field(default=0, ge=0)
    news_halflife_bars: float = Field(default=24.0, gt=1.0)


class TargetSettings(Section):
    """How far ahead, in bars."""

    horizons: tuple[int, ...] = (1, 4, 24)


class ValidationSettings(Section):
    """Which rows teach and which judge, whom a model has to beat, and the stretch that stays sealed.

    The last four schemes are no walk-forward: they show how far a result depends on the coins and the times that were
    learnt from, and give no verdict. `train_bars` bounds what a rolling fold learns from. `opponents` come on top of
    those that no study can do without.
    """

    scheme: Literal["expanding", "rolling", "combinatorial", "coins", "periods", "regimes"] = "expanding"
    opponents: tuple[str, ...] = ("ridge", "lightgbm")
    train_bars: int = Field(default=0, ge=0)
    groups: int = Field(default=6, ge=2, le=20)
    test_groups: int = Field(default=2, ge=1, le=10)
    folds: int = Field(default=5, ge=1, le=100)
    first_train_share: float = Field(default=0.4, gt=0.0, lt=1.0)
    validation_share: float = Field(default=0.15, gt=0.0, lt=0.5)
    holdout_from: DateText = ""


class ReportSettings(Section):
    """The smallest useful skill: what counts as an edge at all."""

    margin_crps_percent: float = Field(default=0.2, ge=0.0)
    margin_direction_points: float = Field(default=0.5, ge=0.0)
    margin_bps_per_trade: float = Field(default=1.0, ge=0.0)


class Study(Section):
    """Everything that shapes a run; frozen, and hashed into every result."""

    data: DataSettings = DataSettings()
    features: FeatureSettings = FeatureSettings()
    target: TargetSettings = TargetSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    validation: ValidationSettings = ValidationSettings()
    policy: PolicySettings = PolicySettings()
    costs: CostSettings = CostSettings()
    trading: TradingSettings = TradingSettings()
    limits: LimitSettings = LimitSettings()
    notify: NotifySettings = NotifySettings()
    report: ReportSettings = ReportSettings()
    tuning: TuningSettings = TuningSettings()
    folder: Path = Field(default=Path(), exclude=True)

    def __hash__(self) -> int:
        return hash((self.digest(), self.folder))

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Study":
        """Read a study file, the environment and `section.key=value` overrides; raise `StudyError`."""
        path = Path(path)
        path = path / "study.toml" if path.is_dir() else path
        if not path.is_file():
            raise StudyError("no such study file.", where=path, remedy="Make one with `longshort init NAME`.")
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise StudyError(f"not a TOML file: {error}.", where=path) from error
        tables = merge(merge(tables, from_environment(os.environ)), from_overrides(overrides))
        return cls.parse(tables, where=path, folder=path.parent)

    @classmethod
    def parse(cls, tables: Mapping[str, Any], *, where: str | Path = "", folder: Path = Path()) -> "Study":
        """Check tables and freeze them.

        >>> Study.parse({"target": {"horizons": [1, 4]}}).target.horizons
        (1, 4)
        """
        _refuse_unknown(tables, where)
        try:
            study = cls(**_rooted(tables, folder), folder=folder)
        except ValidationError as error:
            raise StudyError(_first_problem(error), where=where) from error
        study._cross_check(where)
        _check_execution(study, where)
        _check_losses(study, where)
        _check_policy(study, where)
        training = study.training.model_copy(update={"costs": study.costs.record})
        return study.model_copy(update={"training": training})

    def digest(self, *sections: str) -> str:
        """A hash of the effective settings: of some sections, or of all but the search for settings and messages."""
        chosen = self.model_dump_json(
            include=set(sections) if sections else None, exclude={"tuning", "notify"}
        )
        return digest(chosen)

    def _cross_check(self, where: str | Path) -> None:
        Interval.parse(self.data.interval)
        for text in (self.data.since, self.data.until, self.validation.holdout_from):
            if text:
                parse_instant(text)
        horizons = self.target.horizons
        if not horizons or min(horizons) < 1 or len(set(horizons)) < len(horizons):
            raise StudyError(
                "target.horizons must name different numbers of bars, each at least 1.", where=where
            )
        if self.policy.horizon_bars not in horizons:
            raise StudyError(
                f"policy.horizon_bars is {self.policy.horizon_bars}, which target.horizons lacks.",
                where=where,
                remedy=f"Use one of {list(horizons)}.",
            )
        if not self.model.seeds or len(set(self.model.seeds)) < len(self.model.seeds):
            raise StudyError("model.seeds must name at least one seed, each only once.", where=where)
        if self.training.burn_in_bars >= self.training.chunk_bars:
            raise StudyError("training.burn_in_bars must be smaller than training.chunk_bars.", where=where)


def to_toml(study: Study) -> str:
    """The effective settings as a study file that gives the same study.

    >>> Study.parse(tomllib.loads(to_toml(Study()))) == Study()
    True
    """
    lines: list[str] = []
    for section, table in study.model_dump(mode="json").items():
        lines += [f"[{section}]", *[f"{key} = {written(value)}" for key, value in table.items()], ""]
    return "\n".join(lines)


def _check_losses(study: Study, where: str | Path) -> None:
    horizons = study.target.horizons
    weights = study.training.horizon_weights
    if weights and (len(weights) != len(horizons) or min(weights) < 0.0 or sum(weights) <= 0.0):
        raise StudyError(
            f"training.horizon_weights must be {len(horizons)} numbers from 0 on, not all 0: one per horizon.",
            where=where,
        )
    if study.model.head.startswith("position-") and horizons[0] != 1:
        raise StudyError(
            f"a {study.model.head} head learns what to hold for one bar; the first horizon is {horizons[0]}.",
            where=where,
            remedy="Begin target.horizons with 1.",
        )


def _check_execution(study: Study, where: str | Path) -> None:
    """Orders fill on the bars that decide, or on finer ones that divide them."""
    wanted, decides = study.trading.execution_interval, study.data.interval
    if wanted in ("", decides):
        return
    if Interval.parse(decides).ns % Interval.parse(wanted).ns:
        raise StudyError(
            f"trading.execution_interval is {wanted}, which does not divide the {decides} of data.interval.",
            where=where,
            remedy='Write a shorter one like "1m", or leave it empty.',
        )
    if study.data.source == "embedded":
        raise StudyError(
            f"trading.execution_interval is {wanted}, and the embedded market has {decides} bars only.",
            where=where,
            remedy="Leave it empty.",
        )


def _check_policy(study: Study, where: str | Path) -> None:
    """The words of the policy, before anything is trained: files of the user's own are read when they are needed."""
    words = {"rule": ("auto", "forecast", "position"), "sizer": ("volatility", "kelly")}
    for key, known in words.items():
        value: str = getattr(study.policy, key)
        if value not in known and not value.startswith(("file:", "entry:")):
            raise StudyError(
                f"policy.{key} is {value!r}, which there is not.",
                where=where,
                remedy=nearest(value, list(known)),
            )
    if study.policy.rule == "position" and not study.model.head.startswith("position-"):
        raise StudyError(
            f'policy.rule is "position", and a {study.model.head} head states none.',
            where=where,
            remedy='Set model.head = "position-utility" or "position-sharpe", or policy.rule = "auto".',
        )


def _rooted(tables: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tables, with the place that a network of the user's own is looked for."""
    model: Mapping[str, Any] = tables.get("model", {})
    own = ":" in str(model.get("kind", ""))
    return {**tables, "model": {**model, "folder": folder.resolve()}} if own else dict(tables)


def _refuse_unknown(tables: Mapping[str, Any], where: str | Path) -> None:
    sections = {name: field.annotation for name, field in Study.model_fields.items() if name != "folder"}
    for section, table in tables.items():
        if section not in sections:
            raise StudyError(
                f"unknown section [{section}].", where=where, remedy=nearest(section, list(sections))
            )
        if not isinstance(table, Mapping):
            raise StudyError(f"[{section}] must be a table.", where=where)
        fields = sections[section].model_fields  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        known: list[str] = [name for name, field in fields.items() if not field.exclude]
        for key in table:
            if key not in known:
                raise StudyError(f"unknown key {section}.{key}.", where=where, remedy=nearest(key, known))


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(str(p) for p in problem['loc'])}: {problem['msg']} (was {problem['input']!r})."
