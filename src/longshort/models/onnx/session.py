"""A graph of ONNX, run by onnxruntime on one thread of the processor: the same bits whenever it is asked the same."""

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from longshort.base.errors import BundleError, MissingExtra

EXTRA = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output by name: its type, and its size on each axis, None where it is free."""

    name: str
    kind: str
    shape: tuple[int | None, ...]


class Graph:
    """An open graph."""

    def __init__(self, session: Any, faults: tuple[type[Exception], ...], where: str) -> None:
        self._session = session
        self._faults = faults
        self._where = where
        self.inputs = tuple(_port(port) for port in session.get_inputs())
        self.outputs = tuple(_port(port) for port in session.get_outputs())

    def run(self, *values: Shaped[np.ndarray, "..."]) -> list[Float32[np.ndarray, "..."]]:
        """The outputs for some inputs, both in the graph's order; raise `BundleError` where it cannot be run."""
        feed = {port.name: value for port, value in zip(self.inputs, values, strict=True)}
        try:
            return self._session.run(None, feed)
        except self._faults as fault:
            raise BundleError(f"the graph cannot be run: {_sentence(fault)}.", where=self._where) from fault


@lru_cache(maxsize=8)
def open_graph(source: bytes, where: str | Path) -> Graph:
    """Open a graph by its contents; raise `BundleError` where it is none, `MissingExtra` without the library."""
    try:
        library: Any = import_module("onnxruntime")
        own: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError as error:
        raise MissingExtra("onnxruntime", EXTRA) from error
    faults = (
        own.Fail,
        own.InvalidArgument,
        own.InvalidGraph,
        own.InvalidProtobuf,
        own.NotImplemented,
        own.RuntimeException,
    )
    options = library.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = library.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except faults as fault:
        raise BundleError(
            f"it cannot be read as a graph of ONNX: {_sentence(fault)}.", where=where
        ) from fault
    return Graph(session, faults, str(where))


def _port(port: Any) -> Port:
    shape = tuple(size if isinstance(size, int) else None for size in port.shape)
    return Port(name=port.name, kind=port.type, shape=shape)


def _sentence(fault: Exception) -> str:
    """What the library says, on one line, without its number."""
    text = " ".join(str(fault).split())
    return text.rpartition("[ONNXRuntimeError] : ")[2].rstrip(".")
