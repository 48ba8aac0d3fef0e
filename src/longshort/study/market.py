"""A study's bars, features and targets, made once and handed to every stage that judges."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from pathlib import Path

from longshort.base.clock import parse_instant
from longshort.base.files import digest
from longshort.base.settings import Study
from longshort.data import market as data_market
from longshort.data.bars import Bars
from longshort.data.certificate.certify import Report, quietly
from longshort.features.panel import FeatureStream, Panel
from longshort.features.targets import Targets, make_targets
from longshort.study.folds import Fold, holdout_fold, walk_forward
from longshort.study.mood import with_news
from longshort.study.recipe import Recipe, recipe_of

RESULT_ROOMS = ("base", "data", "features", "models")  # whose code a fitted model depends on


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Everything that the study's data settings say, over the whole range at hand."""

    study: Study
    bars: Bars
    panel: Panel
    targets: Targets
    recipe: Recipe

    @classmethod
    def of(cls, study: Study, bars: Bars, recipe: Recipe | None = None) -> "Market":
        """Compute the panel and the targets of some bars; the features are chosen before the first test row."""
        recipe = recipe or recipe_of(study, bars[: first_test_row(study, bars)])
        panel = recipe.stream(bars.symbols).extend(bars)
        return cls(study=study, bars=bars, panel=panel, targets=targets_of(study, bars), recipe=recipe)

    def stream(self) -> FeatureStream:
        """The stream that turns this market's bars into panel rows, at its beginning."""
        return self.recipe.stream(self.bars.symbols)

    @property
    def development_rows(self) -> int:
        """How many rows had closed when the holdout begins; all of them without one."""
        return _development_rows(self.study, self.bars)

    def folds(self) -> tuple[Fold, ...]:
        """The walk-forward folds of the development rows."""
        settings = self.study.validation
        return walk_forward(
            self.development_rows,
            folds=settings.folds,
            first_train_share=settings.first_train_share,
            validation_share=settings.validation_share,
            max_horizon_bars=max(self.study.target.horizons),
            least_train_bars=self.least_train_bars,
            rolling_bars=settings.train_bars if settings.scheme == "rolling" else None,
        )

    def holdout(self) -> Fold:
        """Learn from the development rows, be judged on the sealed ones."""
        return holdout_fold(
            self.development_rows,
            len(self.bars),
            validation_share=self.study.validation.validation_share,
            max_horizon_bars=max(self.study.target.horizons),
            least_train_bars=self.least_train_bars,
        )

    def final_fold(self) -> Fold:
        """Learn from every development row: the last label that is known there is the last one used."""
        last = self.development_rows - 1
        horizon = max(self.study.target.horizons)
        fold = holdout_fold(
            last,
            last + horizon + 1,
            validation_share=self.study.validation.validation_share,
            max_horizon_bars=horizon,
            least_train_bars=self.least_train_bars,
        )
        return Fold(train=fold.train, validation=fold.validation, test=range(last, last))

    @property
    def least_train_bars(self) -> int:
        """The warm-up of the slowest feature and two chunks: fewer could not be trained on."""
        return self.recipe.warmup_rows + 2 * self.study.training.chunk_bars


def targets_of(study: Study, bars: Bars) -> Targets:
    """What came after every row, with the funding that a head which learns what to hold counts."""
    return make_targets(bars, study.target.horizons, funding=study.model.learns_positions)


def first_test_row(study: Study, bars: Bars) -> int:
    """How many rows come before the first that walk-forward tests."""
    return ceil(study.validation.first_train_share * _development_rows(study, bars))


def _development_rows(study: Study, bars: Bars) -> int:
    sealed_from = study.validation.holdout_from
    return len(bars.until(parse_instant(sealed_from))) if sealed_from else len(bars)


def load_bars(study: Study, report: Report = quietly) -> Bars:
    """The closed bars that a study's data settings name, and what was said in them where it scores the news.

    `report` hears of series that must be looked over first because no certificate of theirs holds.
    """
    return with_news(data_market.load_bars(study.data, study.folder, report=report), study)


@dataclass(frozen=True)
class Ear:
    """Who hears how far loading is; any two are equal, for it is no part of what is loaded."""

    report: Report = field(compare=False)


def open_market(study: Study, report: Report = quietly) -> Market:
    """Load a study's market; kept, so that the jobs of one process share it."""
    return _opened(study, Ear(report))


@lru_cache(maxsize=1)
def _opened(study: Study, ear: Ear) -> Market:
    return Market.of(study, load_bars(study, ear.report))


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A hash of the code that shapes a fitted model, so that a changed program never reuses an old result."""
    root = Path(__file__).parent.parent
    hasher = hashlib.sha256()
    for room in RESULT_ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            hasher.update(path.read_bytes())
    return digest(hasher.digest())
