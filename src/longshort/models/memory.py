"""Running a network over time so that a forecast never depends on where the run began.

A state starts anew at every absolute multiple of R grid rows and lives for 2R rows. Two are always alive; the older
one, with R to 2R rows behind it, is read. So batch equals stream, and both equal a run from any earlier start.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from longshort.models.network import Network, State

Inputs = Float32[np.ndarray, "time asset input"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Consecutive inputs of all coins, their absolute grid rows, and where a coin's memory restarts."""

    inputs: Inputs
    grid_row: Int64[np.ndarray, " time"]
    restart: Bool[np.ndarray, "time asset"]

    def __getitem__(self, part: slice) -> "Rows":
        """Some of the rows."""
        return Rows(inputs=self.inputs[part], grid_row=self.grid_row[part], restart=self.restart[part])


def first_context_row(grid_row: int, restart_rows: int) -> int:
    """The absolute row at which the state that is read at `grid_row` started.

    >>> first_context_row(1_000, 256), first_context_row(1_024, 256)
    (512, 768)
    """
    return (grid_row // restart_rows - 1) * restart_rows


@torch.inference_mode()
def run(
    network: Network, rows: Rows, wanted: range, restart_rows: int
) -> Float32[np.ndarray, "time asset horizon 3"]:
    """Raw outputs of the wanted rows; earlier rows are context."""
    pieces: list[Tensor] = []
    at = wanted.start
    while at < wanted.stop:
        here = int(rows.grid_row[at])
        block_end = (here // restart_rows + 1) * restart_rows
        stop = min(int(np.searchsorted(rows.grid_row, block_end)), wanted.stop)
        begin = int(np.searchsorted(rows.grid_row, first_context_row(here, restart_rows)))
        raw, _ = advance(network, rows[begin:stop], None)
        pieces.append(raw[at - begin :])
        at = stop
    if not pieces:
        return np.zeros((0, rows.inputs.shape[1], network.config.horizons, 3), dtype=np.float32)
    return torch.cat(pieces).numpy()


def advance(network: Network, rows: Rows, state: State | None) -> tuple[Tensor, State]:
    """Run over some rows from a state, emptying the memory of a coin at the rows where it restarts."""
    network.eval()
    inputs = torch.from_numpy(np.ascontiguousarray(rows.inputs))
    cuts = [0, *[int(t) for t in np.flatnonzero(rows.restart.any(axis=1)) if t > 0], len(inputs)]
    pieces: list[Tensor] = []
    for begin, end in zip(cuts[:-1], cuts[1:], strict=True):
        if state is not None and rows.restart[begin].any():
            keep = torch.from_numpy(~rows.restart[begin])[None, :, None].float()
            state = (state[0] * keep, state[1] * keep)
        raw, state = network(inputs[begin:end], state)
        pieces.append(raw)
    assert state is not None
    return torch.cat(pieces), state


class TwoStates:
    """The two staggered states of one network, stepped one row at a time."""

    def __init__(self, network: Network, restart_rows: int) -> None:
        self._network = network
        self._restart_rows = restart_rows
        self._older: State | None = None
        self._younger: State | None = None

    def warm(self, rows: Rows) -> None:
        """Bring both states to the end of some history."""
        if not len(rows.grid_row):
            return
        start = first_context_row(int(rows.grid_row[-1]), self._restart_rows)
        older = int(np.searchsorted(rows.grid_row, start))
        younger = int(np.searchsorted(rows.grid_row, start + self._restart_rows))
        with torch.inference_mode():
            _, self._older = advance(self._network, rows[older:], None)
            _, self._younger = advance(self._network, rows[younger:], None)

    @torch.inference_mode()
    def step(self, row: Rows) -> Float32[np.ndarray, "time asset horizon 3"]:
        """The raw outputs at the next row."""
        if int(row.grid_row[0]) % self._restart_rows == 0:
            self._older, self._younger = self._younger, None
        raw, self._older = advance(self._network, row, self._older)
        _, self._younger = advance(self._network, row, self._younger)
        return raw.numpy()
