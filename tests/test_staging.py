import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import HOUR, parse_instant
from longshort.base.errors import DataError
from longshort.base.window import Window, join_windows, missing_windows
from longshort.data.lake import Lake, Series
from longshort.data.staging import Staging, empty_rows
from tests.test_lake import make_rows

BTC = Series("binanceusdm", "bars-1h", "BTCUSDT")
START = parse_instant("2024-01-01")
windows = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda ends: Window(min(ends), max(ends))),
    max_size=8,
)


def hours(first: int, last: int) -> Window:
    return Window(START + first * HOUR, START + last * HOUR)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def instants(of: list[Window]) -> set[int]:
    return {at for window in of for at in range(window.from_at, window.to_at)}


@given(windows)
def test_joined_windows_hold_the_same_instants_and_stand_apart(some: list[Window]) -> None:
    joined = join_windows(some)

    assert instants(joined) == instants(some)
    assert all(a.to_at < b.from_at for a, b in pairwise(joined))


@given(windows, st.integers(0, 60), st.integers(0, 60))
def test_known_and_missing_windows_make_up_what_is_wanted(known: list[Window], a: int, b: int) -> None:
    wanted = Window(min(a, b), max(a, b))

    missing = missing_windows(wanted, known)

    assert instants(missing) == instants([wanted]) - instants(known)


def test_stretches_fold_into_one_series_in_whatever_order_they_came(lake: Lake) -> None:
    staging = Staging(lake, BTC)
    staging.put([hours(12, 24)], make_rows(list(range(12, 24))))
    staging.put([hours(0, 12)], make_rows(list(range(12))))
    assert staging.windows() == [hours(0, 24)]
    assert lake.series() == []

    merge = staging.fold()

    assert (merge.added, lake.asked(BTC)) == (24, [hours(0, 24)])
    assert lake.read(BTC).equals(make_rows(list(range(24))))
    assert staging.fold().is_new is False


def test_a_window_without_rows_is_an_answer_too(lake: Lake) -> None:
    staging = Staging(lake, BTC)
    staging.put([hours(0, 12)], empty_rows(BTC))
    staging.put([hours(12, 14)], make_rows([12, 13]))

    staging.fold()

    assert lake.asked(BTC) == [hours(0, 14)]
    assert len(lake.read(BTC)) == 2


def test_a_series_of_which_the_venue_has_nothing_is_not_made(lake: Lake) -> None:
    staging = Staging(lake, BTC)
    staging.put([hours(0, 12)], empty_rows(BTC))

    assert len(staging.fold().rows) == 0
    assert lake.series() == []


def test_windows_with_the_same_ends_do_not_take_each_other_s_place(lake: Lake) -> None:
    staging = Staging(lake, BTC)
    staging.put([hours(0, 4), hours(6, 10)], make_rows([0, 1, 2, 3, 6, 7, 8, 9]))
    staging.put([hours(0, 1), hours(4, 6), hours(9, 10)], make_rows([0, 4, 5, 9]))

    staging.fold()

    assert lake.read(BTC).equals(make_rows(list(range(10))))
    assert lake.asked(BTC) == [hours(0, 10)]


def test_a_fold_that_contradicts_the_record_loses_nothing(lake: Lake) -> None:
    lake.write(BTC, make_rows([0, 1]))
    staging = Staging(lake, BTC)
    staging.put([hours(0, 3)], make_rows([0, 1, 2], price=101.0))

    with pytest.raises(DataError, match="Use --replace to take the new"):
        staging.fold()
    merge = staging.fold(replace=True)

    assert (merge.added, merge.changed) == (1, 2)
    assert lake.read(BTC).equals(make_rows([0, 1, 2], price=101.0))


def test_a_stretch_that_was_cut_off_is_asked_for_again(lake: Lake) -> None:
    staging = Staging(lake, BTC)
    staging.put([hours(0, 3)], make_rows([0, 1, 2]))
    staging.put([hours(3, 5)], make_rows([3, 4]))
    damaged = next((lake.root / "binanceusdm" / "bars-1h" / ".parts" / "BTCUSDT").glob(f"{START}-*"))
    damaged.write_bytes(damaged.read_bytes()[:40])

    assert staging.windows() == [hours(3, 5)]
    assert len(staging.fold().rows) == 2


def test_an_import_keeps_what_was_asked(lake: Lake) -> None:
    lake.write(BTC, make_rows([0, 1]), asked=[hours(0, 2)])
    lake.write(BTC, make_rows([0, 1, 2]))

    assert lake.asked(BTC) == [hours(0, 2)]


def test_one_process_at_a_time_writes_a_series(lake: Lake) -> None:
    script = (
        "import sys; from pathlib import Path; from longshort.data.lake import Lake, Series\n"
        "with Lake(Path(sys.argv[1])).lock(Series('binanceusdm', 'bars-1h', 'BTCUSDT')):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(lake.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:  # noqa: S603
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="another process is writing this series"), lake.lock(BTC):
            pass
        other.kill()
        other.wait()

    with lake.lock(BTC):  # a lock dies with its process
        pass


def test_what_a_killed_process_left_half_written_is_swept_up(lake: Lake) -> None:
    lake.write(BTC, make_rows([0]))
    (lake.path(BTC).parent / ".BTCUSDT.parquet.x81k").write_bytes(b"half")

    with lake.lock(BTC):
        pass

    assert {path.name for path in lake.path(BTC).parent.iterdir()} == {".BTCUSDT.lock", "BTCUSDT.parquet"}


def test_a_disk_without_room_is_one_sentence(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("underlying IO error: No space left on device (os error 28)")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(DataError, match=r"it cannot be written: no space left on device\. Free some space"):
        Staging(lake, BTC).put([hours(0, 1)], make_rows([0]))
