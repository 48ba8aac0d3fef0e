"""What laws share whose every field is an array with time on its first axis: to be cut and joined."""

from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

Kind = TypeVar("Kind", bound="ByRow")


class ByRow:
    """A base for frozen dataclasses of arrays."""

    __slots__ = ()

    def __getitem__(self: Kind, rows: slice) -> Kind:
        """The same law between two rows."""
        mine: Any = self
        return replace(mine, **{part.name: getattr(self, part.name)[rows] for part in fields(mine)})

    def join(self: Kind, *later: Kind) -> Kind:
        """One law of these rows and those that follow them."""
        mine: Any = self
        parts = (self, *later)
        return replace(
            mine,
            **{part.name: np.concatenate([getattr(p, part.name) for p in parts]) for part in fields(mine)},
        )
