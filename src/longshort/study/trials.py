"""How often the same stretch of data has been asked: each evaluation is written down, none ever removed.

The best of many tries looks good by luck alone, so a verdict is told together with the number of tries before
it.
"""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.errors import DataError

PATIENCE_SECONDS = 60.0  # how long a process waits for another one that is writing

_TABLE = """
CREATE TABLE IF NOT EXISTS trials (
    id INTEGER PRIMARY KEY,
    recorded_at INTEGER NOT NULL,
    target TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    settings TEXT NOT NULL,
    holdout INTEGER NOT NULL
) STRICT
"""
_OVERLAP = "target = ? AND first_at <= ? AND last_at >= ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What was asked of which bars: `target` is venue, interval and horizons, the instants span its closes.

    Stretches of one target that share an instant count as the same: adding a bar does not reset the count.
    """

    target: str
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One evaluation: a stretch, the digest of the settings that were tried on it, and when."""

    stretch: Stretch
    settings: str
    recorded_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One configuration that was evaluated on a stretch, and what its policy earned: net return per UTC day.

    `days` counts days since 1970; both arrays are empty where there was no account.
    """

    settings: str
    recorded_at: int
    days: Int64[np.ndarray, " day"]
    returns: Float64[np.ndarray, " day"]


class TrialLog:
    """The trials of one lake, in one SQLite file that several processes may write at once.

    >>> TrialLog(Path("no/such/folder/trials.sqlite")).count(Stretch(target="1h", first_at=0, last_at=1))
    0
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, trial: Trial) -> int:
        """Write one evaluation down, on disk when this returns; return `count` of its stretch."""
        return self._append(trial, holdout=False)

    def open_holdout(self, trial: Trial) -> int:
        """Write one look at a sealed stretch down *before* looking; return how many looks there were with it.

        Every look counts, with the same settings too. It is not an evaluation of the development rows.
        """
        return self._append(trial, holdout=True)

    def count(self, stretch: Stretch) -> int:
        """How many different settings were evaluated on this stretch; a repetition of one counts once."""
        return self._read("COUNT(DISTINCT settings)", stretch, holdout=False)

    def evaluations(self, stretch: Stretch) -> int:
        """How many evaluations there were on this stretch, repetitions included."""
        return self._read("COUNT(*)", stretch, holdout=False)

    def openings(self, stretch: Stretch) -> int:
        """How often this sealed stretch was looked at."""
        return self._read("COUNT(*)", stretch, holdout=True)

    def _append(self, trial: Trial, *, holdout: bool) -> int:
        stretch = trial.stretch
        row = (stretch.target, stretch.first_at, stretch.last_at, trial.settings, int(holdout))
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.execute(
                "INSERT INTO trials (recorded_at, target, first_at, last_at, settings, holdout)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (trial.recorded_at, *row),
            )
            what = "COUNT(*)" if holdout else "COUNT(DISTINCT settings)"
            found = _select(database, what, stretch, holdout=holdout)
            database.execute("COMMIT")
        return found

    def _read(self, what: str, stretch: Stretch, *, holdout: bool) -> int:
        if not self.path.exists():
            return 0
        with self._database() as database:
            begun = database.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'trials'").fetchone()[0]
            return _select(database, what, stretch, holdout=holdout) if begun else 0

    @contextmanager
    def _database(self) -> Generator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=PATIENCE_SECONDS, isolation_level=None)
            with closing(connection) as database:
                yield database
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"the trial log cannot be used: {error}.",
                where=self.path,
                remedy="Make the folder writable; if the file is damaged, move it away, do not delete it.",
            ) from error


def _select(database: sqlite3.Connection, what: str, stretch: Stretch, *, holdout: bool) -> int:
    query = f"SELECT {what} FROM trials WHERE {_OVERLAP} AND holdout = ?"  # noqa: S608 only our own words
    values = (stretch.target, stretch.last_at, stretch.first_at, int(holdout))
    return int(database.execute(query, values).fetchone()[0])
