"""What an LSTM keeps and forgets: the gates, cells and hidden states behind each forecast, as the forecast had them.

Every block of rows is run from where the state that is read there began, so the memory shown is the one that spoke.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

from longshort.base.errors import NotComputable
from longshort.models.memory import Rows, context_start
from longshort.models.network import Network
from longshort.models.networks.backbone import Backbone, State
from longshort.models.networks.textbook import Memory, Trace, unrolled

Units = Float32[np.ndarray, "time asset unit"]
Call = tuple[Tensor, Memory | None, Tensor]  # what a layer read, its memory before, what it said
PARTS = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTrace:
    """One layer over some rows. `gap` is how far the recomputed hidden states are from the layer's own, at most."""

    input_gate: Units
    forget_gate: Units
    candidate: Units
    output_gate: Units
    cell: Units
    hidden: Units
    gap: float

    @property
    def half_life_bars(self) -> Float64[np.ndarray, " unit"]:
        """After how many bars half of what a unit holds is gone."""
        return half_life(self.forget_gate)


def half_life(forget_gate: Units) -> Float64[np.ndarray, " unit"]:
    """Bars until half of a unit's cell is forgotten: ln .5 over the mean logarithm of its forget gate.

    The mean is of the logarithm because gates multiply: a gate that is shut once forgets all. Nothing that is written
    meanwhile counts.

    >>> half_life(np.full((5, 1, 1), 0.5, dtype=np.float32))
    array([1.])
    """
    with np.errstate(divide="ignore"):
        kept = np.log(forget_gate.astype(np.float64)).mean(axis=(0, 1))
        return np.log(0.5) / np.minimum(kept, -0.0)


@torch.no_grad()
def traced(network: Network, rows: Rows, wanted: range, restart_rows: int) -> tuple[LayerTrace, ...]:
    """Every LSTM layer of a network over the wanted rows; earlier rows are context.

    Raise `NotComputable` where it has none.
    """
    network.eval()
    cells = _cells(network.backbone)
    calls: dict[nn.LSTM, list[Call]] = {cell: [] for cell in cells}
    found: dict[nn.LSTM, list[tuple[Trace, float]]] = {cell: [] for cell in cells}
    hooks = [cell.register_forward_hook(_listener(calls[cell])) for cell in cells]
    try:
        for begin, start, stop in _blocks(rows, wanted, restart_rows):
            _feed(network, rows[begin:stop])
            for cell in cells:
                found[cell].append(_written_out(cell, calls[cell], start - begin))
                calls[cell].clear()
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(_layer(found[cell]) for cell in cells)


def _cells(backbone: Backbone) -> list[nn.LSTM]:
    layers = [part for part in backbone.modules() if isinstance(part, nn.LSTM)]
    plain = [
        cell
        for cell in layers
        if cell.num_layers == 1 and not (cell.bidirectional or cell.proj_size or cell.batch_first)
    ]
    if not plain:
        raise NotComputable(
            "this kind of network has no LSTM layer whose gates could be shown; what it looks at is told all the same.",
            remedy='Gates are there with [model] kind = "lstm".',
        )
    return plain


def _listener(calls: list[Call]) -> Callable[[nn.Module, Any, Any], None]:
    def listen(_cell: nn.Module, given: Any, said: Any) -> None:
        calls.append((given[0], given[1] if len(given) > 1 else None, said[0]))

    return listen


def _blocks(rows: Rows, wanted: range, restart_rows: int) -> Iterator[tuple[int, int, int]]:
    """For each block of absolute rows: where the state that is read in it began, its first and last wanted row."""
    block = rows.grid_row[wanted.start : wanted.stop] // restart_rows
    edges = np.flatnonzero(np.diff(block)) + 1 + wanted.start
    for start, stop in pairwise([wanted.start, *edges.tolist(), wanted.stop]):
        yield context_start(rows.grid_row[: start + 1], restart_rows), start, stop


def _feed(network: Network, rows: Rows) -> None:
    """Run all coins from empty memories; a coin back from a long gap forgets."""
    again = np.flatnonzero(rows.restart.any(axis=1))
    inputs = torch.from_numpy(rows.inputs)
    coins = torch.arange(inputs.shape[1])
    state: State | None = None
    for begin, end in pairwise([0, *again[again > 0].tolist(), len(inputs)]):
        if state is not None:
            keep = torch.from_numpy(~rows.restart[begin])
            state = tuple(torch.where(keep.view(1, -1, *[1] * (part.ndim - 2)), part, 0.0) for part in state)
        _, state = network.backbone(network.embed(inputs[begin:end], coins), state)


def _written_out(cell: nn.LSTM, calls: list[Call], skip: int) -> tuple[Trace, float]:
    traces = [unrolled(cell, window, memory) for window, memory, _ in calls]
    whole = Trace(**{name: torch.cat([getattr(t, name) for t in traces])[skip:] for name in PARTS})
    said = torch.cat([said for _, _, said in calls])[skip:]
    return whole, float((whole.hidden - said).abs().max())


def _layer(pieces: list[tuple[Trace, float]]) -> LayerTrace:
    arrays = {name: torch.cat([getattr(trace, name) for trace, _ in pieces]).numpy() for name in PARTS}
    return LayerTrace(**arrays, gap=max(gap for _, gap in pieces))
