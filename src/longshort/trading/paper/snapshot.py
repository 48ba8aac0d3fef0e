"""An account as it was after some close, beside its journal: a restart replays only what came after.

The journal is the record, a snapshot only saves time. It names how much of the journal it stands for, the hash of that,
and the program that made it; where any of it is otherwise, or the file is damaged, the whole journal is replayed.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import longshort
from longshort.base.errors import DataError
from longshort.base.files import digest, write_atomically
from longshort.trading.paper.diary import Diary, plain_of

NAME, FORMAT = "snapshot", 1
ABOUT = "about"
BLOCK_BYTES = 1 << 20
State = Mapping[str, np.ndarray]
SUM_BYTES = 16  # of the hash of all the rest, at the beginning of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an account was: arrays, plain values, and how many bytes of its journal had led there."""

    arrays: State
    plain: Mapping[str, Any]
    size: int

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays of one part."""
        return {n.removeprefix(prefix): part for n, part in self.arrays.items() if n.startswith(prefix)}


class Snapshots:
    """Keeps the newest snapshot of one diary."""

    def __init__(self, diary: Diary) -> None:
        self.path = diary.path.with_name(NAME)
        self._diary = diary
        self._hash, self._hashed = hashlib.blake2b(digest_size=16), 0
        self.refused = ""  # why there was one and it was not used

    def load(self) -> Snapshot | None:
        """The newest snapshot, where it can be used; else None, and `refused` says why."""
        if not self.path.exists():
            return None
        try:
            content = self.path.read_bytes()
            if _sum(content[SUM_BYTES:]) != content[:SUM_BYTES]:
                _refuse("it is damaged.")
            with np.load(io.BytesIO(content[SUM_BYTES:]), allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept}
            plain = json.loads(arrays.pop(ABOUT).tobytes())
            self._check(plain)
            return Snapshot(arrays=arrays, plain=plain, size=int(plain["size"]))
        except DataError as error:
            self.refused = error.what
        except OSError as error:
            self.refused = f"it cannot be read: {(error.strerror or str(error)).lower()}."
        return None

    def save(self, arrays: State, plain: Mapping[str, Any]) -> None:
        """Keep what an account is now, after all that its diary holds; raise `DataError` where there is no room."""
        size = self._diary.size
        about = {"format": FORMAT, "program": program(), "size": size, "hash": self._hash_to(size), **plain}
        text = np.frombuffer(json.dumps(plain_of(about), allow_nan=False).encode(), dtype=np.uint8)
        whole: dict[str, Any] = {**arrays, ABOUT: text}
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **whole)
        kept = content.getvalue()
        write_atomically(self.path, lambda temporary: _write(temporary, kept))

    def _check(self, plain: Mapping[str, Any]) -> None:
        if plain["format"] != FORMAT or plain["program"] != program():
            _refuse("it was made by another version of the program.")
        if plain["size"] > self._diary.size:
            _refuse("the journal is shorter than it was then.")
        if plain["hash"] != self._hash_to(int(plain["size"])):
            _refuse("the journal is not the one that it stands for.")

    def _hash_to(self, size: int) -> str:
        """The hash of the first bytes of the journal; every call reads on where the one before ended."""
        if size < self._hashed:
            self._hash, self._hashed = hashlib.blake2b(digest_size=16), 0
        with self._diary.path.open("rb") as file:
            file.seek(self._hashed)
            while self._hashed < size:
                block = file.read(min(BLOCK_BYTES, size - self._hashed))
                if not block:
                    _refuse("the journal is shorter than it was then.")
                self._hash.update(block)
                self._hashed += len(block)
        return self._hash.hexdigest()


@cache
def program() -> str:
    """A hash of our code and of the versions of what books and computes."""
    folder = Path(longshort.__file__).parent
    sources = [path.read_bytes() for path in sorted(folder.rglob("*.py"))]
    return digest(*sources, version("numpy"), version("nautilus_trader"), version("torch"))


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(_sum(content) + content)
        file.flush()
        os.fsync(file.fileno())


def _sum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=SUM_BYTES).digest()


def _refuse(why: str) -> NoReturn:
    raise DataError(why)
