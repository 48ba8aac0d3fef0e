"""The trial log: nothing asked is forgotten, whoever asks, however a process ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from longshort.base.errors import DataError
from longshort.study.trials import Stretch, Trial, TrialLog

YEAR_2024 = Stretch(target="binanceusdm 1h 1,4,24", first_at=100, last_at=200)


def trial(settings: str, stretch: Stretch = YEAR_2024) -> Trial:
    return Trial(stretch=stretch, settings=settings, recorded_at=1)


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

DIE_IN_THE_MIDDLE = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
database.execute("INSERT INTO trials SELECT id + 100, 1, target, first_at, last_at, 'half', 0 FROM trials")
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
