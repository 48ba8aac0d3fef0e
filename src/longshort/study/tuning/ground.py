"""What a search may see: the bars before the first row that walk-forward tests, cut off, and folds inside them.

The bars behind are not masked but gone, so that no trial can depend on a test row or on the sealed holdout.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from longshort.base.errors import DataError, StudyError
from longshort.base.files import digest
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.certificate.certify import Report, quietly
from longshort.features.catalog import names_on_record
from longshort.models.forecast import Law, StudentT
from longshort.models.heads.catalog import HEADS, head_named
from longshort.models.heads.head import Reading
from longshort.models.opponents.catalog import model_of
from longshort.study.folds import Fold, walk_forward
from longshort.study.market import Ear, Market, code_digest, first_test_row, load_bars
from longshort.study.recipe import catalog_of, recipe_digest, recipe_of
from longshort.study.tuning.space import FAMILY, Choice, Shelf, Space, Span, space_of, with_values

WALKING = ("expanding", "rolling")
SHAPING = ("data", "features", "target", "model", "training", "validation")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """A study, the bars that its first fold may learn from, what may be changed, and inner folds to judge by."""

    study: Study
    bars: Bars
    space: Space
    folds: tuple[Fold, ...]

    @classmethod
    def of(cls, study: Study, bars: Bars) -> "Ground":
        """Cut the bars off before the first test row and divide what is left; raise `StudyError` or `DataError`."""
        if study.validation.scheme not in WALKING:
            raise StudyError(
                f"validation.scheme is {study.validation.scheme!r}, which has no first test row to stop before.",
                remedy='Tune with validation.scheme = "expanding" or "rolling".',
            )
        if model_of(study) is not None:
            raise StudyError(f"model.kind is {study.model.kind!r}, which has nothing to tune.")
        known = bars[: first_test_row(study, bars)]
        space = space_of(study, _shelf(study, known))
        return cls(study=study, bars=known, space=space, folds=_folds(study, known, space))

    @property
    def tested_rows(self) -> int:
        """How many rows the inner folds judge."""
        return sum(len(fold.test) for fold in self.folds)

    @property
    def metric(self) -> str:
        """By which score trials are told apart: the log score, or CRPS where a head states no density."""
        part = self.space.parts.get("head")
        heads = part.options if isinstance(part, Choice) else (self.study.model.head,)
        return "log score" if set(heads) <= set(dense_heads()) else "CRPS"

    def market(self, trial: Study) -> Market:
        """The bars as a trial reads them."""
        return Market.of(trial, self.bars, recipe_of(trial, self.bars))

    def digest(self) -> str:
        """A hash of all that the result of a trial depends on but what the trial changes."""
        search = self.study.tuning.model_dump_json(exclude={"trials"})
        code = (recipe_digest(self.study), code_digest())
        return digest(shaping(self.study), search, str(self.folds), self.bars.digest(), *code)


def open_ground(study: Study, report: Report = quietly) -> Ground:
    """The ground of a study; kept, so that the trials of one process share it."""
    return _opened(study, Ear(report))


@lru_cache(maxsize=1)
def _opened(study: Study, ear: Ear) -> Ground:
    return Ground.of(study, load_bars(study, ear.report))


@lru_cache(maxsize=1)
def dense_heads() -> tuple[str, ...]:
    """The heads whose law has a density: asked of what each says to nothing but zeros."""
    zero = np.zeros((1, 1, 1))
    return tuple(key for key in HEADS if np.isfinite(_said(key, 0.0).log_density(zero)).all())


@lru_cache(maxsize=1)
def whole_heads() -> tuple[str, ...]:
    """The heads that state a density of which they learn location and width: those worth trying for a log score."""
    pairs = {key: (_said(key, 0.0), _said(key, 0.5)) for key in dense_heads()}
    return tuple(
        key
        for key, (one, other) in pairs.items()
        if (one.mean() != other.mean()).all() and (one.variance() != other.variance()).all()
    )


def _said(key: str, raw: float) -> Law:
    """The law that a head makes of outputs that are all the same."""
    ones = np.ones((1, 1, 1))
    reading = Reading(
        unit=ones,
        anchor=StudentT(loc=0.0 * ones, scale=ones, df=4.0 * ones),
        share=0.5,
        mean_share=0.0,
        mean_weights=(1.0,),
    )
    head = head_named(key)
    return head.law(np.full((1, 1, 1, 1, head.width), raw, dtype=np.float32), reading)


def _shelf(study: Study, known: Bars) -> Shelf:
    """What there is to choose from, on bars from before the first test row."""
    catalog = catalog_of(study)
    there = dict.fromkeys(catalog[name].family for name in names_on_record(known, catalog))
    own = dict.fromkeys(catalog[name].family for name in recipe_of(study, known).names)
    return Shelf(families=tuple(there), own=tuple(own), heads=whole_heads())


def _folds(study: Study, known: Bars, space: Space) -> tuple[Fold, ...]:
    """The same for every trial: even the slowest features and the longest chunk find room in the first."""
    switches = {name: True for name in space.parts if name.startswith(FAMILY)}
    widest = recipe_of(with_values(study, space, switches), known)
    length = space.parts.get("chunk_bars")
    longest = length.high if isinstance(length, Span) else study.training.chunk_bars
    settings, tuning = study.validation, study.tuning
    try:
        return walk_forward(
            len(known),
            folds=tuning.folds,
            first_train_share=tuning.first_train_share,
            validation_share=settings.validation_share,
            max_horizon_bars=max(study.target.horizons),
            least_train_bars=widest.warmup_rows + 2 * int(longest),
            rolling_bars=settings.train_bars if settings.scheme == "rolling" else None,
        )
    except DataError as error:
        raise DataError(
            f"the rows before the first test row are too few to tune on: {error.what}",
            remedy="Raise validation.first_train_share, lower tuning.folds or the ends of chunk_bars, or search "
            "fewer families.",
        ) from error


def shaping(study: Study, *sections: str) -> str:
    """The settings that a fit depends on, as text: neither how one searches nor how many processes run."""
    plain = study.model_dump(mode="json", include=set(sections or SHAPING))
    plain.get("training", {}).pop("processes", None)
    return str(plain)
