"""What a search may change: which settings, between which ends, and which families of features.

A study's own value always lies inside, so that the search can begin with it. Nothing here draws or scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any, cast

from longshort.base.errors import StudyError
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.base.searching import Value
from longshort.base.settings import Study
from longshort.base.tables import merge, nearest

FAMILIES = "families"
FAMILY = "family "  # what the name of a switch begins with
SECTIONS = MappingProxyType({"model": ModelSettings, "training": TrainingSettings})
FIXED = frozenset({"seeds", "processes", "folder"})  # who speaks and how fast, not what is believed
DECADE = 10.0  # a range of one decade or more is searched by its logarithm
DIGITS = 3  # significant ones, of what is proposed

Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """Every number between two ends."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holding(self, value: int | float) -> "Span":
        """The span, widened where it does not hold a value."""
        low, high = min(self.low, float(value)), max(self.high, float(value))
        return Span(low, high, self.log and value > 0, self.whole)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    options: tuple[Value, ...]

    def holding(self, value: Value) -> "Choice":
        """The choice, with a value that it lacks in front."""
        return self if value in self.options else Choice((value, *self.options))


Part = Span | Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The settings to search by name; `families` are those of the features that the study reads by itself."""

    parts: Mapping[str, Part]
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What there is to choose from: families on record, those that the study reads by itself, and heads."""

    families: tuple[str, ...]
    own: tuple[str, ...]
    heads: tuple[str, ...]


USUAL: Mapping[str, Part] = MappingProxyType(
    {
        "learning_rate": Span(5e-4, 1e-2, log=True),
        "batch_chunks": Span(16.0, 128.0, log=True, whole=True),
        "chunk_bars": Span(96.0, 384.0, log=True, whole=True),
        "weight_decay": Span(1e-3, 0.3, log=True),
        "hidden": Span(16.0, 128.0, log=True, whole=True),
        "layers": Span(1.0, 3.0, whole=True),
        "dropout": Span(0.0, 0.5),
        "restart_rows": Span(64.0, 512.0, log=True, whole=True),
        "window": Span(4.0, 96.0, log=True, whole=True),
    }
)
WINDOWED = ("cnn-lstm", "attention-lstm", "dlinear")  # kinds that look back over `model.window` rows


def space_of(study: Study, shelf: Shelf) -> Space:
    """The settings that a study lets be searched.

    Raises `StudyError` for a setting that is none, and for ends that are impossible.
    """
    asked = study.tuning
    names = asked.parameters or tuple(_usual(study))
    every = dict.fromkeys([*names, *asked.ranges])
    found: dict[str, Part] = {}
    for name in every:
        if name == FAMILIES:
            found |= _families(study, shelf)
        elif name == "head" and name not in asked.ranges:
            found[name] = Choice(shelf.heads).holding(study.model.head)
        else:
            found[name] = _part(study, name)
    found = {k: part for k, part in found.items() if isinstance(part, Span) or len(part.options) > 1}
    if not found:
        raise StudyError("there is nothing to search.", remedy="Name settings in tuning.parameters.")
    space = Space(parts=MappingProxyType(found), families=shelf.own)
    _refuse_impossible(study, space)
    return space


def own_values(study: Study, space: Space) -> dict[str, Value]:
    """Where a study itself stands in a space.

    >>> parts = {"hidden": USUAL["hidden"], "family noise": Choice((True, False))}
    >>> own_values(Study(), Space(parts=parts, families=("price",)))
    {'hidden': 48, 'family noise': False}
    """
    return {
        name: family in space.families if (family := family_of(name)) else getattr(_home(study, name), name)
        for name in space.parts
    }


def with_values(study: Study, space: Space, values: Values) -> Study:
    """A study with some settings changed; raise `StudyError` where together they are impossible.

    >>> space = Space(parts=USUAL)
    >>> with_values(Study(), space, {"hidden": 64, "learning_rate": 0.00123456}).training.learning_rate
    0.00123
    """
    tables: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if not family_of(name):
            tables.setdefault(_section(name), {})[name] = _tidy(value, getattr(_home(study, name), name))
    switched = {family: bool(value) for name, value in values.items() if (family := family_of(name))}
    on = [family for family, is_on in switched.items() if is_on]
    if switched and not on:
        raise StudyError("no family of features is left to read.")
    if set(on) != set(space.families):
        tables |= {"features": {"families": on}} if switched else {}
    return Study.parse(merge(study.model_dump(mode="json"), tables), folder=study.folder)


def family_of(name: str) -> str:
    """The family that a switch of this name turns on; nothing for a setting.

    >>> family_of("family price"), family_of("hidden")
    ('price', '')
    """
    return name.removeprefix(FAMILY) if name.startswith(FAMILY) else ""


def _usual(study: Study) -> list[str]:
    """The settings that are searched where a study names none."""
    names = [name for name in USUAL if name != "window" or study.model.kind in WINDOWED]
    return [*names, "head", *([] if study.features.names else [FAMILIES])]


def _families(study: Study, shelf: Shelf) -> dict[str, Part]:
    """One switch for every family that may be read: those asked for, else all that are on record."""
    if study.features.names:
        raise StudyError(
            "tuning searches families, but features.names says which features are read.",
            remedy="Empty features.names, or leave families out of tuning.",
        )
    asked = [str(family) for family in study.tuning.ranges.get(FAMILIES, ())]
    for family in asked:
        if family not in shelf.families:
            raise StudyError(
                f"tuning.ranges.families names {family!r}, of which these bars have no record.",
                remedy=f"There are: {', '.join(shelf.families)}.",
            )
    chosen = dict.fromkeys([*shelf.own, *(asked or shelf.families)])
    return {f"{FAMILY}{family}": Choice((True, False)) for family in chosen}


def _part(study: Study, name: str) -> Part:
    own: Value = getattr(_home(study, name), name)
    ends = study.tuning.ranges.get(name, ())
    if not ends:
        if name not in USUAL:
            raise StudyError(
                f"tuning.parameters names {name!r}, which has no usual range.",
                remedy=f"Say between which ends, like tuning.ranges = {{ {name} = [...] }}.",
            )
        return _usual_part(study, name).holding(cast("int | float", own))
    if isinstance(own, str | bool) or len(ends) != 2 or not _are_numbers(ends):
        return Choice(tuple(dict.fromkeys(ends))).holding(own)
    low, high = float(ends[0]), float(ends[1])
    if not low < high:
        raise StudyError(
            f"tuning.ranges.{name} goes from {ends[0]} to {ends[1]}.", remedy="Write the lower end first."
        )
    log = low > 0 and (high / low >= DECADE or getattr(USUAL.get(name), "log", False))
    return Span(low, high, log, whole=isinstance(own, int)).holding(own)


def _usual_part(study: Study, name: str) -> Span:
    """The usual range, as far as the rest of the study leaves room for it."""
    usual = cast("Span", USUAL[name])
    least = 2.0 * study.training.burn_in_bars if name == "chunk_bars" else usual.low
    return usual if least <= usual.low else Span(least, max(usual.high, 2 * least), usual.log, usual.whole)


def _refuse_impossible(study: Study, space: Space) -> None:
    """Try both ends of every span and every choice, one at a time."""
    for name, part in space.parts.items():
        if family_of(name):
            continue
        for value in _extremes(part):
            try:
                with_values(study, space, {name: value})
            except StudyError as error:
                raise StudyError(f"tuning.ranges.{name} holds {value!r}: {error}") from error


def _extremes(part: Part) -> tuple[Value, ...]:
    if isinstance(part, Choice):
        return part.options
    cast_to: Callable[[float], Value] = int if part.whole else float
    return cast_to(part.low), cast_to(part.high)


def _tidy(value: Value, own: Value) -> Value:
    """A proposed number to a few digits; the study's own stays as it is."""
    if value == own or isinstance(value, bool) or not isinstance(value, float) or not isfinite(value):
        return value
    return float(f"{value:.{DIGITS}g}")


def _are_numbers(values: Sequence[Value]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _section(name: str) -> str:
    known: list[str] = []
    for section, settings in SECTIONS.items():
        fields = [field for field in settings.model_fields if field not in FIXED]
        if name in fields:
            return section
        known += fields
    raise StudyError(
        f"tuning names {name!r}, which is no setting to search for.", remedy=nearest(name, [*known, FAMILIES])
    )


def _home(study: Study, name: str) -> Any:
    return getattr(study, _section(name))
