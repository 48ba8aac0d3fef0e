"""Code of the user's: a file is run once for each of its contents, and what it raises is told in one sentence."""

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType, TracebackType

import numpy as np
from jaxtyping import Float64

from longshort.base.errors import LongshortError, StudyError
from longshort.base.files import digest

Column = Float64[np.ndarray, " time"]


def module_of(path: Path) -> ModuleType:
    """What a file defines; raise `StudyError` where it is not there or cannot be run."""
    return _executed(path.resolve(), str(path), source_of(path))


def source_of(path: Path) -> bytes:
    """What stands in a file; raise `StudyError` where there is none."""
    if not path.is_file():
        raise StudyError(
            "no such file.", where=path, remedy="Write its path relative to the folder of the study."
        )
    return path.read_bytes()


def function_in(path: Path, name: str) -> Callable[..., object]:
    """One function of a file by name; raise `StudyError` where there is none."""
    module = module_of(path)
    function = getattr(module, name, None)
    if not inspect.isfunction(function):
        known = [key for key, value in vars(module).items() if _is_from(value, module)]
        raise StudyError(
            f"it has no function {name!r}.", where=path, remedy=f"It has: {', '.join(known) or 'none'}."
        )
    return function


class users_code:  # noqa: N801 reads as a statement: with users_code(...)
    """Turn whatever a user's code raises inside the block into one `StudyError` that names its file and line."""

    def __init__(self, where: str | Path, name: str = "") -> None:
        self._where = where
        self._name = name

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(error, Exception):
            return
        if isinstance(error.__cause__, LongshortError):  # told already, and wrapped on its way
            raise error.__cause__
        if isinstance(error, LongshortError):
            return
        if isinstance(error, SyntaxError):
            raise StudyError(f"line {error.lineno}: {error.msg}.", where=self._where) from error
        line = _line_in(trace, str(self._where))
        inside = f"{self._name}: " if self._name else ""
        text = str(error).strip().rstrip(".")
        raise StudyError(
            f"{inside}{line}{type(error).__name__}{': ' if text else ''}{text}.", where=self._where
        ) from error


def answer_of(function: Callable[..., object], columns: Mapping[str, Column], where: str | Path) -> Column:
    """What a user's function says of some columns: as many numbers as there are rows, or a `StudyError`."""
    rows = len(next(iter(columns.values())))
    name = function.__name__
    with users_code(where, name), np.errstate(all="ignore"):
        answer = np.asarray(function(**{key: column.copy() for key, column in columns.items()}))
    if answer.shape != (rows,):
        raise StudyError(
            f"{name} answers with an array of shape {answer.shape} to {rows} rows.",
            where=where,
            remedy="Return one number per row, NaN where there is none yet.",
        )
    if answer.dtype.kind not in "fiub":
        raise StudyError(
            f"{name} answers with {answer.dtype} instead of numbers.", where=where, remedy="Return floats."
        )
    return answer.astype(np.float64)


@lru_cache(maxsize=16)
def _executed(path: Path, shown: str, source: bytes) -> ModuleType:
    """Run a file once for each of its contents."""
    module = ModuleType(f"longshort_own_{digest(str(path), source)}")
    module.__file__ = shown
    sys.modules[module.__name__] = module  # where dataclasses look for what they are made in
    with users_code(shown):
        exec(compile(source, shown, "exec"), module.__dict__)  # noqa: S102 the user's own file
    return module


def _is_from(value: object, module: ModuleType) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__


def _line_in(trace: TracebackType | None, file: str) -> str:
    lines: list[int] = []
    while trace:
        if trace.tb_frame.f_code.co_filename == file:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"line {lines[-1]}: " if lines else ""
