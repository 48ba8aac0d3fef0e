"""What was said, close by close, as JSON lines in a file: the memory by which a restart repeats and skips nothing.

All lines of a close are written in one go and are on the disk before anybody hears of them. A close whose lines a
crash cut off is taken away on opening, so that it is said again as a whole.
"""

import fcntl
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longshort.base.clock import parse_instant
from longshort.base.errors import DataError
from longshort.base.files import jsonable

LOOKED_BACK = 1 << 20  # bytes at the end of the file that are read on opening: far more than one close has

Line = dict[str, Any]


class Record:
    """A file of lines, each with its `closed_at` in ISO 8601; use `open_record`."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self.last: tuple[Line, ...] = ()
        self._take_away_what_was_cut_off()

    @property
    def last_at(self) -> int | None:
        """The newest close on record."""
        return parse_instant(self.last[-1]["closed_at"]) if self.last else None

    def append(self, lines: Sequence[Line]) -> None:
        """Write all lines of a close, the last of them marked, and wait until they are on the disk."""
        marked = [*lines[:-1], {**lines[-1], "whole": len(lines)}]
        text = "".join(json.dumps(jsonable(line), allow_nan=False) + "\n" for line in marked)
        try:
            os.write(self._handle, text.encode())
            os.fsync(self._handle)
        except OSError as error:
            raise DataError(
                f"it cannot be written: {(error.strerror or str(error)).lower()}.",
                where=self.path,
                remedy="Free some space, then run the same again.",
            ) from error
        self.last = tuple(marked)

    def _take_away_what_was_cut_off(self) -> None:
        size = os.fstat(self._handle).st_size
        begin = max(0, size - LOOKED_BACK)
        text = os.pread(self._handle, size - begin, begin)
        lines = text.splitlines(keepends=True)[1 if begin else 0 :]
        end = size
        while lines and not _ends_a_close(lines[-1]):
            end -= len(lines.pop())
        os.ftruncate(self._handle, end)
        if lines:
            count = json.loads(lines[-1])["whole"]
            self.last = tuple(json.loads(line) for line in lines[-count:])


@contextmanager
def open_record(path: Path) -> Generator[Record]:
    """Open a record, alone; raise `DataError` where another process has it open, or it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}.", where=path) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise DataError(
            "another process is following this study with this model.",
            where=path,
            remedy="End it first, or read what it prints.",
        ) from error
    try:
        yield Record(path, handle)
    finally:
        os.close(handle)  # and with it the lock


def _ends_a_close(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and "whole" in json.loads(line)
    except ValueError:
        return False
