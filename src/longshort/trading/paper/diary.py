"""All that a paper account was told, one JSON line each, on the disk before anything is done about it.

Replaying the lines in order gives the account again, exactly. One process at a time writes; a line that a crash cut off
is taken away on opening, and a line that cannot be written whole leaves no trace.
"""

import fcntl
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from longshort.base.errors import DataError
from longshort.base.files import jsonable

NAME, LOCK = "journal.jsonl", "lock"
TAIL_BYTES = 1 << 20  # what a reader of the newest lines reads: far more than a close has

Line = dict[str, Any]


class Diary:
    """A journal of lines with a `kind`; use `open_diary`, which keeps everybody else out."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._size = _take_away_what_was_cut_off(handle)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line and wait until it is on the disk; raise `DataError` where there is no room, with no trace."""
        text = (json.dumps(jsonable(dict(line)), allow_nan=False) + "\n").encode()
        try:
            written = os.write(self._handle, text)
            os.fsync(self._handle)
        except OSError as error:
            self._erase()
            raise _not_written(self.path, error.strerror or str(error)) from error
        if written < len(text):
            self._erase()
            raise _not_written(self.path, "no space left on device")
        self._size += written

    @property
    def size(self) -> int:
        """How many bytes are on record."""
        return self._size

    def lines(self, after: int = 0) -> Generator[Line]:
        """What is on record, in order, after so many bytes; raise `DataError` for a damaged line."""
        since = " after its snapshot" if after else ""
        with self.path.open("rb") as file:
            file.seek(after)
            for number, text in enumerate(file, start=1):
                yield _read(text, self.path, f"line {number}{since}")

    def _erase(self) -> None:
        with suppress(OSError):
            os.ftruncate(self._handle, self._size)


@contextmanager
def open_diary(folder: Path) -> Generator[Diary]:
    """Open a folder's diary, alone; raise `DataError` where another process has it, or it cannot be written."""
    path, lock = folder / NAME, folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        locked = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _not_written(lock, error.strerror or str(error)) from error
    try:
        if not _lock(locked):
            raise DataError(
                "this study is being paper-traded by another process already.",
                where=folder,
                remedy="Look at it with `longshort status`, or end it with `longshort stop`.",
            )
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            yield Diary(path, handle)
        finally:
            os.close(handle)
    finally:
        os.close(locked)  # and with it the lock


def plain_of(value: object) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(jsonable(value), allow_nan=False))


def is_running(folder: Path) -> bool:
    """Whether a process has the diary of a folder open."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def newest(folder: Path, kind: str) -> Line | None:
    """The newest whole line of a kind, without opening the diary; None where there is none lately."""
    try:
        with (folder / NAME).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            texts = file.read().splitlines(keepends=True)
    except OSError:
        return None
    for text in reversed(texts):
        with suppress(ValueError):
            line = json.loads(text)
            if text.endswith(b"\n") and line["kind"] == kind:
                return line
    return None


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _take_away_what_was_cut_off(handle: int) -> int:
    """Cut the file after its last whole line, and return its size."""
    size = os.fstat(handle).st_size
    end = size
    while end:
        begin = max(0, end - TAIL_BYTES)
        found = os.pread(handle, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    os.ftruncate(handle, end)
    return end


def _read(text: bytes, path: Path, which: str) -> Line:
    try:
        line = json.loads(text)
        return line if isinstance(line["kind"], str) else {}[line["kind"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{which} is damaged, so the account cannot be restored from it.",
            where=path,
            remedy="Put back a copy, or move the folder away to begin anew.",
        ) from error


def _not_written(path: Path, reason: str) -> DataError:
    return DataError(
        f"it cannot be written: {reason.lower()}.",
        where=path,
        remedy="Free some space, then run the same again: the account goes on where it was.",
    )
