"""Whoever scores texts, and a memory of scores so that no text is scored twice.

A score depends on the text alone: not on its neighbors, its coin or its time. So a remembered score is the score.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Float64
from polars.exceptions import PolarsError

from longshort.base.errors import DataError
from longshort.base.files import digest
from longshort.data.lake import write_rows

Scores = Float64[np.ndarray, " text"]

SCORES = "news/scores"  # in the lake, beside the headlines
_SCHEMA = {"text": pl.String(), "score": pl.Float64()}


@runtime_checkable
class Scorer(Protocol):
    """Tells good news from bad. `name` changes with anything that changes a score: words, weights, rules."""

    @property
    def name(self) -> str:
        """What it is and which edition of it, fit for the name of a file."""
        ...

    def score(self, texts: Sequence[str]) -> Scores:
        """One number from -1 (bad for who holds the coin) to 1 for each text; 0 says nothing either way."""
        ...


class Remembered:
    """A scorer with a memory in a lake: what it scored once it reads from there, by a hash of the text."""

    def __init__(self, scorer: Scorer, lake: Path) -> None:
        if not re.fullmatch(r"[\w.+-]+", scorer.name):
            raise DataError("it cannot be the name of a file.", where=f"the scorer {scorer.name!r}")
        self._scorer = scorer
        self.path = lake / SCORES / f"{scorer.name}.parquet"

    @property
    def name(self) -> str:
        """The name of the scorer behind it."""
        return self._scorer.name

    def score(self, texts: Sequence[str]) -> Scores:
        """The scores of some texts; only those that were never scored are asked for, each once."""
        known = self._read()
        keys = [digest(text) for text in texts]
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if fresh:
            scored = self._scorer.score(list(fresh.values()))
            known |= dict(zip(fresh, scored.tolist(), strict=True))
            write_rows(self.path, pl.DataFrame({"text": list(known), "score": list(known.values())}))
        return np.array([known[key] for key in keys], dtype=np.float64)

    def _read(self) -> dict[str, float]:
        if not self.path.is_file():
            return {}
        try:
            rows = pl.read_parquet(self.path, memory_map=False)
        except (PolarsError, OSError) as error:
            raise DataError("the file is damaged.", where=self.path, remedy="Delete it.") from error
        if dict(rows.schema) != _SCHEMA:
            raise DataError("it holds no scores.", where=self.path, remedy="Delete it.")
        return dict(rows.iter_rows())
