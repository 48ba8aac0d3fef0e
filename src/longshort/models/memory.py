"""Running a network over time so that a forecast never depends on where the run began.

A state starts anew at every absolute multiple of R grid rows and lives for 2R rows. Two are always alive; the older
one, with R to 2R rows behind it, is read. So batch equals stream, and both equal a run from any earlier start.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from longshort.models.network import Network
from longshort.models.networks.backbone import State

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


class TwoStates:
    """The two staggered states of one network, side by side: the older in the first columns, the younger after it.

    Both always run together, at one width, so that a row gives the same bits alone or among thousands. Without
    `exact` the last bit may differ, and members that must be fed row by row for it are read in larger pieces.
    """

    def __init__(self, network: Network, restart_rows: int, *, exact: bool = True) -> None:
        self._network = network.eval()
        self._restart_rows = restart_rows
        self._by_row = exact and not network.backbone.exact_pieces
        self._state: State | None = None

    @torch.inference_mode()
    def extend(self, rows: Rows) -> Float32[np.ndarray, "time asset horizon output"]:
        """The raw outputs of the rows that follow those seen so far."""
        assets = rows.inputs.shape[1]
        boundary = rows.grid_row % self._restart_rows == 0
        pieces: list[Tensor] = []
        for begin, end in pairwise(self._cuts(boundary | rows.restart.any(axis=1))):
            if self._state is not None and (boundary[begin] or rows.restart[begin].any()):
                self._state = self._renewed(self._state, rows.restart[begin], shift=bool(boundary[begin]))
            inputs = torch.from_numpy(rows.inputs[begin:end]).repeat(1, 2, 1)
            window = self._network.embed(inputs, torch.arange(assets).repeat(2))
            hidden, self._state = self._network.backbone(window, self._state)
            pieces.append(self._network.read(hidden[:, :assets], window[:, :assets]))
        if not pieces:
            return no_rows(self._network, assets)
        return torch.cat(pieces).numpy()

    def _cuts(self, changes: Bool[np.ndarray, " time"]) -> list[int]:
        """Where pieces begin that a network may read in one go, and the end."""
        if not len(changes):
            return [0]
        if self._by_row:
            return list(range(len(changes) + 1))
        return [0, *[int(t) for t in np.flatnonzero(changes) if t > 0], len(changes)]

    def _renewed(self, state: State, restart: Bool[np.ndarray, " asset"], *, shift: bool) -> State:
        """At a block's first row the younger state becomes the older; a coin back from a long gap forgets."""
        assets = len(restart)
        keep = torch.from_numpy(~np.concatenate([restart, restart]))
        parts = [
            torch.cat([part[:, assets:], torch.zeros_like(part[:, :assets])], dim=1) if shift else part
            for part in state
        ]
        return tuple(torch.where(keep.view(1, -1, *[1] * (part.ndim - 2)), part, 0.0) for part in parts)


def run(
    network: Network, rows: Rows, wanted: range, restart_rows: int, *, exact: bool = True
) -> Float32[np.ndarray, "wanted asset horizon output"]:
    """Raw outputs of the wanted rows; earlier rows are context. `exact` is that of `TwoStates`."""
    if not len(wanted):
        return no_rows(network, rows.inputs.shape[1])
    begin = context_start(rows.grid_row[: wanted.start + 1], restart_rows)
    states = TwoStates(network, restart_rows, exact=exact)
    return states.extend(rows[begin : wanted.stop])[wanted.start - begin :]


def no_rows(network: Network, assets: int) -> Float32[np.ndarray, "time asset horizon output"]:
    """The raw outputs of no rows at all."""
    config = network.config
    return np.zeros((0, assets, config.horizons, config.head.width), dtype=np.float32)


def context_start(grid_row: Int64[np.ndarray, " time"], restart_rows: int) -> int:
    """Where a run must begin for the states that are alive at the last of some rows to be complete."""
    return int(np.searchsorted(grid_row, first_context_row(int(grid_row[-1]), restart_rows)))
