"""What a study's network reads: which features, of whose making, and what happens to the bars before.

Decided once, on bars from before the first test row: what comes later can not change the choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from longshort.base.errors import StudyError
from longshort.base.files import digest
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.features.catalog import DEFAULT_FAMILIES, FEATURES, find_features, names_on_record
from longshort.features.denoise import Denoiser, denoiser, denoiser_digest
from longshort.features.families.sentiment import features_of_news
from longshort.features.look import Feature
from longshort.features.own import own_digest, own_features
from longshort.features.panel import FeatureStream
from longshort.features.scaling import LATER
from longshort.models.networks.catalog import own_sources
from longshort.models.opponents.scale import HAR_COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The features that the network reads by name, and the catalog that holds them."""

    study: Study
    names: tuple[str, ...]
    catalog: Mapping[str, Feature]
    denoise: Denoiser

    @property
    def columns(self) -> tuple[str, ...]:
        """What a panel must hold: the network's features, and those that HAR reads."""
        return (*self.names, *[name for name in HAR_COLUMNS if name not in self.names])

    @property
    def warmup_rows(self) -> int:
        """The row at which the slowest feature first stands, scaled as the study asks."""
        scaling = self.study.features.scaling
        features = {name: self.catalog[name] for name in self.columns}
        return max(f.warmup_rows + LATER.get(scaling.get(name, f.scaling), 0) for name, f in features.items())

    def stream(self, symbols: tuple[str, ...]) -> FeatureStream:
        """A stream that turns this study's bars into panel rows, at its beginning."""
        settings = self.study.features
        return FeatureStream(
            symbols,
            self.columns,
            halflife_rows=settings.volatility_halflife_bars,
            max_gap_rows=settings.max_gap_bars,
            catalog=self.catalog,
            scaling=settings.scaling,
            denoise=self.denoise if settings.denoise else None,
        )


def recipe_of(study: Study, known: Bars) -> Recipe:
    """Choose the features of a study by bars that were known before its first test; raise `StudyError`.

    The user's own are read as well as ours, unless the study names its features. A filter of the user's that sees the
    future of these bars is refused.
    """
    catalog = catalog_of(study)
    names = study.features.names or _chosen(study, names_on_record(known, catalog), catalog)
    return named_recipe(study, names, catalog, known)


def catalog_of(study: Study) -> dict[str, Feature]:
    """Our features, as the study sets them, and those of the user's."""
    settings = study.features
    return {
        **FEATURES,
        **features_of_news(settings.news_halflife_bars),
        **own_features(settings.own, study.folder),
    }


def named_recipe(
    study: Study,
    names: tuple[str, ...],
    catalog: Mapping[str, Feature] | None = None,
    known: Bars | None = None,
) -> Recipe:
    """A study's recipe with these features; raise `StudyError` where one is unknown."""
    catalog = catalog_of(study) if catalog is None else catalog
    find_features(names, catalog)
    denoise = denoiser(study.features.denoise, folder=study.folder, bars=known)
    return Recipe(study=study, names=names, catalog=catalog, denoise=denoise)


def recipe_digest(study: Study) -> str:
    """A hash of the user's code that shapes what a network reads, or is one."""
    return digest(input_digest(study), *own_sources(study.model))


def input_digest(study: Study) -> str:
    """A hash of the user's code that shapes what a network reads."""
    own, folder = study.features, study.folder
    return digest(own_digest(own.own, folder), denoiser_digest(own.denoise, folder))


def _chosen(study: Study, names: tuple[str, ...], catalog: Mapping[str, Feature]) -> tuple[str, ...]:
    """The part of what is on record that belongs to the study's families, or to those of the default set.

    What a study asks for in another way is in the default set too: features of its own, news, a spot market.
    """
    there = dict.fromkeys(catalog[name].family for name in names)
    unknown = [family for family in study.features.families if family not in there]
    if unknown:
        raise StudyError(
            f"features.families names {unknown[0]!r}, of which these bars have no record.",
            remedy=f"There are: {', '.join(there)}.",
        )
    asked = {"sentiment": study.features.news, "basis": study.data.spot_venue, "own": study.features.own}
    default = (*DEFAULT_FAMILIES, *[family for family, wish in asked.items() if wish])
    families = study.features.families or default
    return tuple(name for name in names if catalog[name].family in families)
