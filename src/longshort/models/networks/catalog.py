"""The members of the family by the word that a study writes as `[model] kind`."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from longshort.base.errors import StudyError
from longshort.base.settings import ModelSettings
from longshort.base.tables import nearest

OWN = "file:"  # before the path of a network of the user's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A member: its `key` in a study, its `name` in reports, the module and class that hold it, one line about it."""

    key: str
    name: str
    home: str
    summary: str

    def load(self) -> type[Any]:
        """The class, a `Backbone`; torch comes with it."""
        module, _, name = self.home.rpartition(".")
        return getattr(import_module(f"longshort.models.networks.{module}"), name)


KINDS = (Kind(key="lstm", name="LSTM", home="lstm.LSTM", summary="the plain cell, one layer or a stack"),)


def kind_of(model: ModelSettings) -> Kind:
    """The member that a study asks for; raise `StudyError` where there is none of that word."""
    for kind in KINDS:
        if kind.key == model.kind:
            return kind
    keys = [kind.key for kind in KINDS]
    raise StudyError(f"model.kind is {model.kind!r}, which there is not.", remedy=nearest(model.kind, keys))
    if model.kind.startswith(OWN):
        from longshort.models.networks.own import own_kind

        return own_kind(model)
