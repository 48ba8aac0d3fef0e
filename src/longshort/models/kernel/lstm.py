"""`torch.nn.LSTM` with one layer, trained by the fused kernel where it can be, by torch elsewhere.

Parameters, states and results are torch's, but for rounding: what is not training runs torch's own path, to the bit.
The kernel needs numba, single precision and a processor (no accelerator); the fallback needs torch only.
"""

import importlib.util
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
Window = Float[Tensor, "time batch feature"]
Hidden = Float[Tensor, "time batch hidden"]


class LSTM(nn.LSTM):
    """One layer, time first. `fused=False` never leaves torch.

    The kernel's results differ from torch's by rounding (some 1e-7), so weights trained with it differ too.
    """

    def __init__(self, inputs: int, hidden: int, *, fused: bool = True) -> None:
        super().__init__(inputs, hidden)
        self.fused = fused and importlib.util.find_spec("numba") is not None

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]: no packed sequences
        self,
        input: Window,  # noqa: A002
        hx: State | None = None,
    ) -> tuple[Hidden, State]:
        """Hidden states of all rows, and the state after the last; `hx` is (hidden, cell), each (1, batch, hidden)."""
        if not self.trains_fused(input):
            return super().forward(input, hx)
        zeros = input.new_zeros(1, input.shape[1], self.hidden_size)
        state = (zeros, zeros) if hx is None else hx
        self.check_forward_args(input, state, None)
        input_weight, weight, *biases = cast("list[Tensor]", self.all_weights[0])
        hidden, *last = cast(
            "tuple[Tensor, ...]", Fused.apply(input, *state, input_weight, weight, biases[0] + biases[1])
        )
        return hidden, (last[0], last[1])

    def trains_fused(self, window: Tensor) -> bool:
        """Whether this window will take the kernel."""
        return (
            self.fused
            and self.training
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and window.dim() == 3
            and window.numel() > 0
            and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in (window, *self.parameters()))
        )


class Fused(torch.autograd.Function):
    """The kernel as a function that torch can differentiate, once."""

    @staticmethod
    def forward(ctx: Any, window: Window, *rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states, last hidden state, last cell; `rest` is hidden, cell, and the three weights."""
        from longshort.models.kernel import fused

        hidden, cell, input_weight, weight, bias = rest
        bars, batch, inputs = window.shape
        units = weight.shape[1]
        rows, wide = _up(batch, fused.TILE_ROWS), _up(units, fused.LANES)
        columns = wide + inputs + 1
        joint_weight = window.new_zeros(4, wide, columns)  # (gate, unit, hidden | inputs | one)
        joint_weight[:, :units, :units] = weight.view(4, units, units)
        joint_weight[:, :units, wide:-1] = input_weight.view(4, units, inputs)
        joint_weight[:, :units, -1] = bias.view(4, units)
        lanes = joint_weight.view(4, wide // fused.LANES, fused.LANES, columns)
        blocks = lanes.permute(1, 3, 0, 2).contiguous().view(-1, columns, 4 * fused.LANES)
        joint = window.new_empty(bars + 1, rows, _odd(_up(columns, fused.TILE_ROWS), fused.LANES))
        cells = window.new_empty(bars + 1, rows, wide)
        gates = window.new_empty(bars, rows, 4, wide)
        joint[:, batch:] = 0.0
        for home, state in ((joint[0, :, :wide], hidden), (cells[0], cell)):
            home.zero_()
            home[:batch, :units] = state[0]
        after = window.new_empty(bars, batch, units)
        arrays = (window.contiguous(), blocks, joint, cells, gates, after)
        fused.forward(*(array.detach().numpy() for array in arrays))
        ctx.save_for_backward(joint, cells, gates, joint_weight)
        ctx.shape = (bars, batch, inputs, units)
        return (
            after,
            after[-1:].clone(),
            cells[None, -1, :batch, :units].clone(),
        )

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upon: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients of the same arguments."""
        from longshort.models.kernel import fused

        joint, cells, gates, joint_weight = ctx.saved_tensors
        bars, batch, inputs, units = ctx.shape
        rows, wide = cells.shape[1:]
        state = cells.new_zeros(2, rows, wide)
        state[0, :batch, :units] = upon[1][0]
        state[1, :batch, :units] = upon[2][0]
        flat = joint_weight.view(4 * wide, -1)
        needed = flat[:, wide:-1] if ctx.needs_input_grad[0] else flat[:, :0]
        input_blocks = _blocks(needed, fused.LANES)
        of_weights = cells.new_zeros(_up(flat.shape[1], fused.TILE_ROWS), _odd(4 * wide, fused.LANES))
        of_window = cells.new_zeros(bars, rows, input_blocks.shape[0] * input_blocks.shape[2])
        seen, out = (joint, cells, gates), (of_weights, of_window)
        fused.backward(
            tuple(part.numpy() for part in seen),
            upon[0].contiguous().numpy(),
            _blocks(flat[:, :wide], fused.LANES).numpy(),
            input_blocks.numpy(),
            (state[0].numpy(), state[1].numpy()),
            tuple(part.numpy() for part in out),
        )
        by_gate = of_weights[: flat.shape[1], : 4 * wide].view(-1, 4, wide)[:, :, :units].permute(1, 2, 0)
        return (
            of_window[:, :batch, :inputs] if ctx.needs_input_grad[0] else None,
            state[0, None, :batch, :units],
            state[1, None, :batch, :units],
            by_gate[:, :, wide:-1].reshape(4 * units, inputs),
            by_gate[:, :, :units].reshape(4 * units, units),
            by_gate[:, :, -1].reshape(4 * units),
        )


def _up(number: int, to: int) -> int:
    return -(-number // to) * to


def _odd(number: int, line: int) -> int:
    """Rounded up to an odd number of lines: a power of two would put all rows into the same few places of a cache."""
    return line * (_up(number, line) // line | 1)


def _blocks(matrix: Float[Tensor, "row column"], lanes: int) -> Float[Tensor, "block row lane"]:
    """Columns side by side in blocks of up to four vectors, as many as divide them; zeros fill the last vector."""
    vectors = _up(matrix.shape[1], lanes) // lanes
    width = lanes * next(n for n in (4, 3, 2, 1) if vectors % n == 0)
    full = nn.functional.pad(matrix, (0, vectors * lanes - matrix.shape[1]))
    return full.view(len(full), -1, width).transpose(0, 1).contiguous()
