"""A fit in progress as a file, written whole; going on from it gives the bits of a fit without a pause."""

import pickle
from pathlib import Path
from typing import Any

import torch

from longshort.base.errors import DataError
from longshort.base.files import write_atomically

REMEDY = "Remove it, and the fit begins anew."


class Checkpoint:
    """The file that one fit, known by its `identity`, keeps its state in; without a path nothing is kept.

    What is `held` is written every so many times, and by `save`: so the last good state outlives a fit that fails.
    """

    def __init__(self, path: Path | None, identity: str, every: int = 1) -> None:
        self.path = path
        self._identity = identity
        self._every = every
        self._times = 0
        self._held: dict[str, Any] | None = None

    def read(self) -> dict[str, Any] | None:
        """The state that was written last, if there is one; raise `DataError` where it is not of this fit."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise DataError("the checkpoint cannot be read.", where=self.path, remedy=REMEDY) from error
        if not isinstance(found, dict) or found.get("identity") != self._identity:
            raise DataError("it is a checkpoint of another fit.", where=self.path, remedy=REMEDY)
        return found

    def hold(self, state: dict[str, Any]) -> None:
        """Remember a good state, a copy of what goes on changing; write it where it is time."""
        self._held = state | {"identity": self._identity}
        self._times += 1
        if self._times % self._every == 0:
            self.save()

    def save(self) -> None:
        """Write what is held."""
        held = self._held
        if self.path is not None and held is not None:
            write_atomically(self.path, lambda temporary: torch.save(held, temporary))

    def drop(self) -> None:
        """Remove the file of a fit that has ended."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
