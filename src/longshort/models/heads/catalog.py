"""Heads by the word that a study writes as `[model] head`."""

from importlib import import_module
from types import MappingProxyType

from longshort.base.errors import StudyError
from longshort.base.tables import nearest
from longshort.models.heads.head import Head

HEADS = MappingProxyType({"student-t": "student_t.StudentTHead"})


def head_named(key: str) -> Head:
    """The head of that word; raise `StudyError` where there is none."""
    if key not in HEADS:
        raise StudyError(f"model.head is {key!r}, which there is not.", remedy=nearest(key, list(HEADS)))
    module, _, name = HEADS[key].rpartition(".")
    return getattr(import_module(f"longshort.models.heads.{module}"), name)()
