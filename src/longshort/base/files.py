"""Writes that either happen whole or not at all, and hashes of what was written."""

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from longshort.base.errors import DataError

_REMEDIES = {
    errno.ENOSPC: "Free some space, then run the same again: what is finished is kept.",
    errno.EACCES: "Change its permissions, or name another folder.",
    errno.EROFS: "Name a folder that may be written.",
}


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place in one step.

    Raise `DataError` where the disk is full or may not be written; what was there before stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise DataError(f"it cannot be written: {reason}.", where=path, remedy=remedy) from error


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_atomically(path, lambda temporary: _fill(temporary, text))


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically; NaN and infinity become null, as JSON has neither."""
    write_text(path, json.dumps(jsonable(value), indent=1, allow_nan=False) + "\n")


def jsonable(value: object) -> object:
    """Turn numpy numbers and non-finite floats into what JSON can hold.

    >>> jsonable({"a": float("nan"), "b": (1, 2.5)})
    {'a': None, 'b': [1, 2.5]}
    """
    match value:
        case dict():
            return {str(k): jsonable(v) for k, v in value.items()}
        case list() | tuple():
            return [jsonable(v) for v in value]
        case np.ndarray():
            return jsonable(value.tolist())
        case np.generic():
            return jsonable(value.item())
        case float():
            return value if np.isfinite(value) else None
        case _:
            return value


def digest(*parts: bytes | str | np.ndarray) -> str:
    """Hash parts in order to 16 hexadecimal digits; arrays by shape, type and canonical bytes.

    >>> digest("a", "b") == digest("ab")
    False
    """
    hasher = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            whole = np.ascontiguousarray(part)
            head = f"{whole.shape}{whole.dtype.str}".encode()
            body = whole.reshape(-1).view(np.uint8).data
        else:
            head, body = b"", part.encode() if isinstance(part, str) else part
        hasher.update((len(head) + len(body)).to_bytes(8, "little") + head)
        hasher.update(body)
    return hasher.hexdigest()[:16]


def _fill(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def file_name(name: str) -> str:
    """A name that people read, as part of a file's.

    >>> file_name("LSTM + LightGBM"), file_name("buy and hold")
    ('LSTM-LightGBM', 'buy-and-hold')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-")
