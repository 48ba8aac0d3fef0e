"""The catalog of features: what was knowable at the close of each bar.

Every entry is an expression over the columns of a `Look`, row t of which uses rows ..t only. Adding an entry to the
table of a family adds its tests.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeVar, cast

import numpy as np

from longshort.base.calendar import AlwaysOpen
from longshort.base.clock import Interval
from longshort.base.errors import StudyError
from longshort.data.bars import Bars, Gauge
from longshort.features.families import (
    calendar,
    derivatives,
    higher,
    indicators,
    level,
    market,
    momentum,
    noise,
    price,
    sentiment,
    volatility,
    volume,
)
from longshort.features.look import Compute, Feature
from longshort.features.look import Look as Look  # noqa: PLC0414 features are written against the catalog

FAMILIES = (  # in the order of their columns
    price, momentum, volatility, indicators, higher, volume, market, derivatives, sentiment, noise, calendar, level,
)  # fmt: skip
DEFAULT_FAMILIES = ("price", "range", "volume", "market", "calendar")  # what an ablation left (docs/log.md)
MIN_KNOWN = 0.5  # a gauge is on record if it is known for more than this share of each coin's bars
GAUGES: Mapping[str, Gauge] = MappingProxyType({"news": "news_count"})  # needs that go by another name
Entry = TypeVar("Entry")


def _merged(tables: Iterable[Mapping[str, Entry]]) -> MappingProxyType[str, Entry]:
    merged: dict[str, Entry] = {}
    for table in tables:
        twice = merged.keys() & table.keys()
        assert not twice, f"two families bring {sorted(twice)}"
        merged.update(table)
    return MappingProxyType(merged)


BASE: MappingProxyType[str, Compute] = _merged(family.BASE for family in FAMILIES)
FEATURES: MappingProxyType[str, Feature] = _merged(family.TABLE for family in FAMILIES)


def find_features(names: Iterable[str], catalog: Mapping[str, Feature] = FEATURES) -> dict[str, Feature]:
    """The features of these names; raise `StudyError` where one is unknown.

    >>> find_features(["return_1"])["return_1"].family
    'price'
    """
    chosen = tuple(names)
    unknown = next((name for name in chosen if name not in catalog), None)
    if unknown is not None:
        near = get_close_matches(unknown, catalog, n=1)
        raise StudyError(
            f"unknown feature {unknown!r}.",
            remedy=f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(catalog)}.",
        )
    return {name: catalog[name] for name in chosen}


def names_on_record(bars: Bars, catalog: Mapping[str, Feature] = FEATURES) -> tuple[str, ...]:
    """The chosen features of every family, without those that need a record which a coin of these bars lacks.

    A need like "4h" asks for bars that fill longer ones, around the clock.
    """
    needs = {need for feature in catalog.values() for need in feature.needs}
    there = {need for need in needs if _on_record(bars, need)}
    return tuple(name for name, f in catalog.items() if f.default and there.issuperset(f.needs))


def _on_record(bars: Bars, need: str) -> bool:
    if need == "funding":
        return bool(bars.funding_covered.any(axis=0).all()) and all(i.has_funding for i in bars.instruments)
    if need[0].isdigit():
        longer = Interval.parse(need).ns
        return (
            isinstance(bars.calendar, AlwaysOpen)
            and bars.interval.ns < longer
            and not longer % bars.interval.ns
        )
    gauge = GAUGES.get(need, cast("Gauge", need))
    known = (np.isfinite(bars.gauge(gauge)) & bars.present).sum(axis=0)
    return bool((known > MIN_KNOWN * bars.present.sum(axis=0)).all())
