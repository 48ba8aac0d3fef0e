"""How often the same stretch of data has been asked: each evaluation is written down, none ever removed.

The best of many tries looks good by luck alone, so a verdict is told together with the number of tries before
it. What each try earned per day is kept beside it: whether the best of them would have stayed the best can be
asked later (`statistics.overfit`).
"""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import DAY
from longshort.base.errors import DataError

Days = Int64[np.ndarray, " day"]
PerDay = Float64[np.ndarray, " day"]

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
_DAILY = np.dtype([("day", "<i4"), ("net", "<f8")])  # the column that files from before it lack
_ADD_DAILY = "ALTER TABLE trials ADD COLUMN daily BLOB"
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
    """One evaluation: a stretch, the digest of the settings that were tried on it, when, and what it earned.

    `days` and `returns` are what `daily` gives of the policy's account; empty where there was none.
    """

    stretch: Stretch
    settings: str
    recorded_at: int
    days: Days = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    returns: PerDay = field(default_factory=lambda: np.empty(0, np.float64), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One configuration that was evaluated on a stretch, and what its policy earned: net return per UTC day.

    `days` counts days since 1970; both arrays are empty where there was no account.
    """

    settings: str
    recorded_at: int
    days: Days
    returns: PerDay


def daily(
    closed_at: Int64[np.ndarray, " time"], equity: Float64[np.ndarray, " time"], starting_balance: float
) -> tuple[Days, PerDay]:
    """The UTC days (since 1970) in which a bar closed, and the net return of each; its last close counts.

    The bar that closes at midnight belongs to the day before; the first and the last day may be cut short. A
    return is NaN once nothing was left to earn on.

    >>> days, returns = daily(np.array([DAY, 2 * DAY - 1, 2 * DAY]), np.array([110.0, 100.0, 99.0]), 100.0)
    >>> days.tolist(), returns.round(6).tolist()
    ([0, 1], [0.1, -0.1])
    """
    if not len(closed_at):
        return np.empty(0, np.int64), np.empty(0, np.float64)
    day = (closed_at - 1) // DAY
    last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
    after = equity[last]
    before = np.concatenate([[starting_balance], after[:-1]])
    alive = np.cumprod(before > 0.0).astype(np.bool_)
    return day[last], np.where(alive, after / np.where(alive, before, 1.0) - 1.0, np.nan)


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

    def tried(self, stretch: Stretch) -> tuple[Tried, ...]:
        """Every configuration evaluated on this stretch and what it earned the last time, oldest first."""
        found: dict[str, Tried] = {}
        for settings, recorded_at, packed in self._rows(stretch):
            found.pop(settings, None)
            days, returns = _unpacked(packed or b"")
            found[settings] = Tried(settings=settings, recorded_at=recorded_at, days=days, returns=returns)
        return tuple(found.values())

    def _rows(self, stretch: Stretch) -> list[tuple[str, int, bytes | None]]:
        if not self.path.exists():
            return []
        with self._database() as database:
            columns = _columns(database)
            if not columns:
                return []
            packed = "daily" if "daily" in columns else "NULL"
            return _matching(database, f"settings, recorded_at, {packed}", stretch, holdout=False)

    def _append(self, trial: Trial, *, holdout: bool) -> int:
        stretch = trial.stretch
        row = (
            stretch.target,
            stretch.first_at,
            stretch.last_at,
            trial.settings,
            int(holdout),
            _packed(trial),
        )
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            if "daily" not in _columns(database):
                database.execute(_ADD_DAILY)
            database.execute(
                "INSERT INTO trials (recorded_at, target, first_at, last_at, settings, holdout, daily)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
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
            return _select(database, what, stretch, holdout=holdout) if _columns(database) else 0

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
    return int(_matching(database, what, stretch, holdout=holdout)[0][0])


def _matching(
    database: sqlite3.Connection, what: str, stretch: Stretch, *, holdout: bool
) -> list[tuple[Any, ...]]:
    query = f"SELECT {what} FROM trials WHERE {_OVERLAP} AND holdout = ? ORDER BY id"  # noqa: S608 only our own words
    values = (stretch.target, stretch.last_at, stretch.first_at, int(holdout))
    return database.execute(query, values).fetchall()


def _columns(database: sqlite3.Connection) -> set[str]:
    return {row[1] for row in database.execute("PRAGMA table_info(trials)")}


def _packed(trial: Trial) -> bytes | None:
    if not len(trial.days):
        return None
    table = np.empty(len(trial.days), _DAILY)
    table["day"], table["net"] = trial.days, trial.returns
    return table.tobytes()


def _unpacked(packed: bytes) -> tuple[Days, PerDay]:
    table = np.frombuffer(packed, _DAILY)
    return table["day"].astype(np.int64), table["net"].astype(np.float64)
