"""The trial log: nothing asked is forgotten, whoever asks, however a process ends."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from longshort.base.clock import DAY, HOUR
from longshort.base.errors import DataError
from longshort.study.trials import Stretch, Trial, TrialLog, daily

YEAR_2024 = Stretch(target="binanceusdm 1h 1,4,24", first_at=100, last_at=200)


def trial(settings: str, stretch: Stretch = YEAR_2024) -> Trial:
    return Trial(stretch=stretch, settings=settings, recorded_at=1)


def earning(settings: str, *returns: float, recorded_at: int = 1) -> Trial:
    days = np.arange(19_000, 19_000 + len(returns))
    earned = np.array(returns, dtype=np.float64)
    return Trial(stretch=YEAR_2024, settings=settings, recorded_at=recorded_at, days=days, returns=earned)


@pytest.fixture
def log(tmp_path: Path) -> TrialLog:
    return TrialLog(tmp_path / "lake" / "trials.sqlite")


WRITE_MANY = """
import sys
from pathlib import Path
from longshort.study.trials import Stretch, Trial, TrialLog
log = TrialLog(Path(sys.argv[1]))
stretch = Stretch(target="binanceusdm 1h 1,4,24", first_at=100, last_at=200)
for number in range(60):
    log.record(Trial(stretch=stretch, settings=f"{sys.argv[2]}-{number}", recorded_at=number))
    log.open_holdout(Trial(stretch=stretch, settings="same", recorded_at=number))
"""

MADE_BEFORE_RETURNS_WERE_KEPT = """
CREATE TABLE trials (
    id INTEGER PRIMARY KEY,
    recorded_at INTEGER NOT NULL,
    target TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    settings TEXT NOT NULL,
    holdout INTEGER NOT NULL
) STRICT;
INSERT INTO trials VALUES (1, 7, 'binanceusdm 1h 1,4,24', 100, 200, 'old', 0);
"""

DIE_IN_THE_MIDDLE = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
columns = "id, recorded_at, target, first_at, last_at, settings, holdout"
chosen = "id + 100, 1, target, first_at, last_at, 'half', 0"
database.execute(f"INSERT INTO trials ({columns}) SELECT {chosen} FROM trials")
os.kill(os.getpid(), signal.SIGKILL)
"""


def started(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)])  # noqa: S603 our own text


def test_different_settings_are_counted_and_a_repetition_counts_once(log: TrialLog) -> None:
    counts = [log.record(trial(settings)) for settings in ("a", "b", "a", "c")]

    assert counts == [1, 2, 2, 3]
    assert (log.count(YEAR_2024), log.evaluations(YEAR_2024)) == (3, 4)


def test_every_look_at_the_holdout_counts_even_with_the_same_settings(log: TrialLog) -> None:
    looks = [log.open_holdout(trial("a")) for _ in range(3)]

    assert looks == [1, 2, 3]
    assert log.openings(YEAR_2024) == 3
    assert log.count(YEAR_2024) == 0


@pytest.mark.parametrize(
    ("first_at", "last_at", "count"), [(100, 200, 1), (200, 300, 1), (0, 100, 1), (201, 300, 0), (0, 99, 0)]
)
def test_stretches_that_share_an_instant_are_the_same(
    log: TrialLog, first_at: int, last_at: int, count: int
) -> None:
    log.record(trial("a"))

    assert log.count(Stretch(target=YEAR_2024.target, first_at=first_at, last_at=last_at)) == count


def test_another_target_has_a_count_of_its_own(log: TrialLog) -> None:
    log.record(trial("a"))
    log.record(trial("a", Stretch(target="binanceusdm 4h 1", first_at=100, last_at=200)))

    assert log.count(YEAR_2024) == 1


def test_a_log_that_was_never_written_is_empty_and_reading_does_not_make_one(log: TrialLog) -> None:
    assert (log.count(YEAR_2024), log.evaluations(YEAR_2024), log.openings(YEAR_2024)) == (0, 0, 0)
    assert not log.path.exists()


def test_a_file_that_was_opened_and_never_filled_reads_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    path.touch()

    assert TrialLog(path).count(YEAR_2024) == 0
    assert TrialLog(path).record(trial("a")) == 1


def test_another_process_reads_what_was_written(log: TrialLog) -> None:
    log.record(trial("a"))

    assert TrialLog(log.path).count(YEAR_2024) == 1


def test_processes_that_write_at_once_lose_nothing(log: TrialLog) -> None:
    writers = [started(WRITE_MANY, log.path, worker) for worker in range(3)]

    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert (log.count(YEAR_2024), log.openings(YEAR_2024)) == (180, 180)


def test_a_process_killed_while_writing_leaves_what_was_there(log: TrialLog) -> None:
    log.record(trial("before"))

    assert started(DIE_IN_THE_MIDDLE, log.path).wait() == -signal.SIGKILL
    assert log.evaluations(YEAR_2024) == 1
    assert log.record(trial("after")) == 2


def test_a_file_that_is_no_log_is_refused_with_one_sentence_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "trials.sqlite"
    path.write_text("this is not a database, however long one looks at it" * 50)

    with pytest.raises(DataError) as caught:
        TrialLog(path).record(trial("a"))

    assert str(caught.value) == (
        f"{path}: the trial log cannot be used: file is not a database. "
        "Make the folder writable; if the file is damaged, move it away, do not delete it."
    )
    assert path.read_text().startswith("this is not a database")


def test_what_a_trial_earned_per_day_is_read_back_to_the_bit(log: TrialLog) -> None:
    log.record(earning("a", 0.1, -1 / 3, float("nan"), 1e-300))

    (tried,) = log.tried(YEAR_2024)

    assert (tried.settings, tried.recorded_at) == ("a", 1)
    np.testing.assert_array_equal(tried.days, [19_000, 19_001, 19_002, 19_003])
    np.testing.assert_array_equal(tried.returns, [0.1, -1 / 3, np.nan, 1e-300])


def test_of_one_configuration_tried_twice_the_later_earnings_are_told(log: TrialLog) -> None:
    for trial in (earning("a", 0.1), earning("b", 0.2), earning("a", 0.3, recorded_at=2)):
        log.record(trial)

    assert [(t.settings, t.recorded_at, t.returns.tolist()) for t in log.tried(YEAR_2024)] == [
        ("b", 1, [0.2]),
        ("a", 2, [0.3]),
    ]


def test_a_look_at_the_holdout_and_another_stretch_are_not_among_the_tries(log: TrialLog) -> None:
    log.open_holdout(earning("sealed", 0.5))
    log.record(trial("elsewhere", Stretch(target=YEAR_2024.target, first_at=300, last_at=400)))

    assert log.tried(YEAR_2024) == ()


def test_a_trial_without_an_account_is_a_try_without_days(log: TrialLog) -> None:
    log.record(trial("a"))

    (tried,) = log.tried(YEAR_2024)

    assert (len(tried.days), len(tried.returns)) == (0, 0)


def test_reading_the_tries_of_no_file_and_of_an_empty_one_finds_none(log: TrialLog, tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()

    assert log.tried(YEAR_2024) == ()
    assert TrialLog(tmp_path / "empty.sqlite").tried(YEAR_2024) == ()


@pytest.fixture
def old_log(tmp_path: Path) -> TrialLog:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as database:
        database.executescript(MADE_BEFORE_RETURNS_WERE_KEPT)
    return TrialLog(tmp_path / "old.sqlite")


def test_a_log_made_before_returns_were_kept_is_read_as_it_is(old_log: TrialLog) -> None:
    before = old_log.path.read_bytes()

    assert old_log.count(YEAR_2024) == 1
    assert [(t.settings, len(t.days)) for t in old_log.tried(YEAR_2024)] == [("old", 0)]
    assert old_log.path.read_bytes() == before


def test_a_log_made_before_returns_were_kept_goes_on_with_them(old_log: TrialLog) -> None:
    assert old_log.record(earning("new", 0.1)) == 2
    assert old_log.record(earning("old", 0.2)) == 2

    assert [(t.settings, t.returns.tolist()) for t in old_log.tried(YEAR_2024)] == [
        ("new", [0.1]),
        ("old", [0.2]),
    ]


def test_processes_that_find_an_old_log_at_once_lose_nothing(old_log: TrialLog) -> None:
    writers = [started(WRITE_MANY, old_log.path, worker) for worker in range(2)]

    assert [writer.wait() for writer in writers] == [0, 0]
    assert old_log.count(YEAR_2024) == 121


def test_days_end_at_midnight_utc_and_their_returns_compound_to_the_equity() -> None:
    closed_at = 19_000 * DAY + HOUR * np.arange(5, 101, dtype=np.int64)
    equity = 100.0 * np.exp(np.random.default_rng(1).normal(0.0, 0.01, 96).cumsum())

    days, returns = daily(closed_at, equity, 100.0)

    assert days.tolist() == [19_000, 19_001, 19_002, 19_003, 19_004]
    assert returns[0] == pytest.approx(equity[19] / 100.0 - 1.0)  # the close at midnight is still of the day
    assert returns[1] == pytest.approx(equity[43] / equity[19] - 1.0)
    assert np.prod(1.0 + returns) == pytest.approx(equity[-1] / 100.0)


def test_an_account_that_was_wiped_out_earns_nothing_afterwards() -> None:
    closed_at = DAY * np.arange(1, 5, dtype=np.int64)

    returns = daily(closed_at, np.array([50.0, -1.0, 5.0, 6.0]), 100.0)[1]

    np.testing.assert_allclose(returns, [-0.5, -1.02, np.nan, np.nan])


def test_no_closes_make_no_days() -> None:
    days, returns = daily(np.empty(0, np.int64), np.empty(0), 100.0)

    assert (len(days), len(returns)) == (0, 0)
