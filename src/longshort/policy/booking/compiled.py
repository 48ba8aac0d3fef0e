"""Compiling the arithmetic of money, with a cache that knows when any of it has changed.

numba looks at the date of a function's own file only: a function changed in another file would go on running inside
its callers in its old form. So every cached function carries the hash of all files that any of them is made of.
"""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from longshort.policy import contract

Function = TypeVar("Function", bound=Callable[..., object])


def fingerprint(files: list[Path]) -> str:
    """The hash of what some files hold."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False}  # no counting of references
FINGERPRINT = fingerprint([*Path(__file__).parent.glob("*.py"), Path(contract.__file__)])


def compiled(function: Function) -> Function:
    """Compile to machine code on first call, cached on disk, without the type checks of the tests.

    Nothing compiled here may make an array: numba would count who still uses each, which took two thirds of the time.
    """
    made: Any = numba.njit(**OPTIONS)(inspect.unwrap(function))
    made._cache._cache_file._source_stamp = FINGERPRINT  # noqa: SLF001 numba has no other way in
    return cast("Function", made)
