"""What a network must keep so that a forecast is a pure function of the past: tried on random rows.

It sees no later row and no other column, starts from zeros, goes on from its memory exactly as if it had seen all rows
at once, and says the same twice. Weights are disturbed first: a way to the future that starts at zero would not show.
"""

from pathlib import Path

import torch
from torch import Tensor

from longshort.base.errors import StudyError
from longshort.models.networks.backbone import Backbone, State

ROWS, COLUMNS, CUT = 10, 3, 4
DISTURBANCE = 0.05
TOLERANCE = 1e-4  # far above rounding, far below what a row that is read does


class _Broken(Exception):
    """What the network does."""


def hold_to_contract(network: Backbone, name: str, where: str | Path) -> None:
    """Raise `StudyError` where a network breaks the contract; its weights are disturbed."""
    try:
        _hold(network.eval())
    except _Broken as broken:
        raise StudyError(f"{name} {broken}.", where=where) from broken


def _hold(network: Backbone) -> None:
    _plain_numbers(network)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=draw), alpha=DISTURBANCE)
    rows = torch.randn(ROWS, COLUMNS, network.inputs, generator=draw)
    other = torch.randn(ROWS, COLUMNS, network.inputs, generator=draw)
    with torch.no_grad():
        hidden, state = network(rows)
        _shapes(network, hidden, state)
    _looks_back_only(network, rows)
    with torch.no_grad():
        _expect(_same(hidden, network(rows)[0]), "says something else when asked the same again")
        later = torch.cat([rows[:CUT], other[CUT:]])
        _expect(
            _same(hidden[:CUT], network(later)[0][:CUT]), "sees the future: later rows change earlier ones"
        )
        beside = torch.cat([rows[:, :1], other[:, 1:]], dim=1)
        _expect(_same(hidden[:, :1], network(beside)[0][:, :1]), "lets one coin of a batch read another")
        zeros = tuple(torch.zeros_like(part) for part in state)
        _expect(
            _same(hidden, network(rows, zeros)[0]), "does not take a state of zeros for having just started"
        )
        _expect(
            _same(hidden, _row_by_row(network, rows)),
            "says something else row by row than of all rows at once",
        )


def _plain_numbers(network: Backbone) -> None:
    """Weights are kept and hashed as float32."""
    for key, value in network.state_dict().items():
        fine = value.dtype == torch.float32
        _expect(fine, f"keeps {key.removeprefix('network.')} as {value.dtype}: only float32 can be saved")


def _looks_back_only(network: Backbone, rows: Tensor) -> None:
    """No gradient of a row's hidden states reaches a later row, or another column."""
    window = rows.clone().requires_grad_()
    hidden, _ = network(window)
    _expect(hidden.requires_grad, "cannot be trained: no gradient comes back from its hidden states")
    mixed = hidden[CUT, 0] @ torch.arange(
        1.0, hidden.shape[2] + 1.0
    )  # a plain sum of what is normalised is constant
    (read,) = torch.autograd.grad(mixed, window, materialize_grads=True)
    _expect(bool(read.any()), "does not read its rows")
    _expect(not read[CUT + 1 :].any(), "sees the future: a hidden state has a gradient in later rows")
    _expect(not read[:, 1:].any(), "lets one coin of a batch read another")


def _shapes(network: Backbone, hidden: Tensor, state: State) -> None:
    _expect(
        hidden.shape[2] == network.width,
        f"says that its hidden states have width {network.width}, but they have {hidden.shape[2]}",
    )
    _expect(bool(torch.isfinite(hidden).all()), "answers with numbers that are not finite")
    fits = all(part.ndim >= 2 and part.shape[1] == COLUMNS for part in state)
    _expect(fits, "keeps a state whose second axis is not the batch")
    again = network(torch.zeros(2, COLUMNS, network.inputs))[1]
    same = [part.shape for part in state] == [part.shape for part in again]
    _expect(same, "keeps a state whose size depends on how many rows it has seen")


def _row_by_row(network: Backbone, rows: Tensor) -> Tensor:
    said: list[Tensor] = []
    state: State | None = None
    for row in rows.split(1):
        hidden, state = network(row, state)
        said.append(hidden)
    return torch.cat(said)


def _same(one: Tensor, other: Tensor) -> bool:
    return bool(torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))


def _expect(kept: bool, broken: str) -> None:  # noqa: FBT001 a verdict, not a switch
    if not kept:
        raise _Broken(broken)
