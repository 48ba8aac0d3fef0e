"""One LSTM layer forward and backward through time on the CPU, compiled by numba; arrays in, arrays out.

A row of the `joint` array holds the hidden state before a bar, the bar's inputs and a one: its product with the
joint weights is the pre-activation of all gates, bias included, and the gradient of all weights is one product
too. Products and gates work on tiles of registers, written as vectors of LLVM's language. Widths are rounded up
to whole vectors, batches to whole tiles; what was added stays zero. It is one module, because numba's cache looks
at the date of a function's own file only.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float32
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from longshort.features.kernels import compiled

FEATURES = binding.get_host_cpu_features()
LANES = 16 if FEATURES.get("avx512f") else 8 if FEATURES.get("avx2") else 4
TILE_ROWS = 2 if LANES == 8 else 6  # accumulators: 4 vectors a row, of 16 registers with AVX2, else of 32
CHUNK_ROWS = 192  # rows of gate gradients that are collected before they are multiplied
NEAR_ROWS = 64  # and so many of them at once
FLOAT, BYTE, WORD = ir.FloatType(), ir.IntType(8), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
FAST = ("contract", "nsz", "arcp")
TANH_LIMIT = 7.90531110763549805  # beyond it tanh is 1 in single precision
TANH_ODD = (  # rational tanh as in Eigen: within some 1e-7 of the true one
    *(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08),
    *(1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03),
)
TANH_EVEN = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)

Plane = Float32[np.ndarray, "row column"]
Cube = Float32[np.ndarray, "time row column"]
Gates = Float32[np.ndarray, "time row 4 hidden"]
Blocks = Float32[np.ndarray, "block column lane"]


@dataclass(frozen=True, slots=True)
class Lanes:
    """A vector of numbers in registers, with arithmetic."""

    builder: Any
    value: Any

    def __add__(self, other: "Lanes | float") -> "Lanes":
        return Lanes(self.builder, self.builder.fadd(self.value, self._of(other), flags=FAST))

    def __rsub__(self, other: float) -> "Lanes":
        return Lanes(self.builder, self.builder.fsub(self._of(other), self.value, flags=FAST))

    def __mul__(self, other: "Lanes | float") -> "Lanes":
        return Lanes(self.builder, self.builder.fmul(self.value, self._of(other), flags=FAST))

    def __truediv__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fdiv(self.value, other.value, flags=FAST))

    def limited(self, most: float) -> "Lanes":
        """Between minus and plus a limit; what is not a number stays so."""
        builder, value = self.builder, self.value
        for sign, worse in ((1.0, ">"), (-1.0, "<")):
            bound = self._of(sign * most)
            value = builder.select(builder.fcmp_ordered(worse, value, bound), bound, value)
        return Lanes(builder, value)

    def _of(self, other: "Lanes | float") -> Any:
        return other.value if isinstance(other, Lanes) else ir.Constant(VECTOR, [other] * LANES)


def tanh(raw: Lanes) -> Lanes:
    """The hyperbolic tangent."""
    limited = raw.limited(TANH_LIMIT)
    square = limited * limited
    return limited * polynomial(square, TANH_ODD) / polynomial(square, TANH_EVEN)


def sigmoid(raw: Lanes) -> Lanes:
    """The logistic function."""
    return tanh(raw * 0.5) * 0.5 + 0.5


def polynomial(argument: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    """Horner's rule, highest power first."""
    total = argument * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * argument + coefficient
    return total


class Memory:
    """An array as compiled code sees it: numbers and vectors at places counted in bytes from its start."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self._builder = builder
        self._start = builder.bitcast(array.data, BYTE.as_pointer())
        self.strides = cgutils.unpack_tuple(builder, array.strides)
        self.shape = cgutils.unpack_tuple(builder, array.shape)

    def read(self, *place: Any, lane: Any = 0) -> Lanes:
        """A vector at these indices, and so many lanes on."""
        return Lanes(self._builder, self._builder.load(self._pointer(VECTOR, place, lane), align=4))

    def spread(self, *place: Any) -> Lanes:
        """One number in all lanes."""
        number = self._builder.load(self._pointer(FLOAT, place, 0))
        none = ir.Constant(VECTOR, ir.Undefined)
        first = self._builder.insert_element(none, number, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return Lanes(self._builder, self._builder.shuffle_vector(first, none, zeros))

    def write(self, vector: Lanes, *place: Any, lane: Any = 0) -> None:
        """Store a vector at these indices."""
        self._builder.store(vector.value, self._pointer(VECTOR, place, lane), align=4)

    def _pointer(self, kind: Any, place: tuple[Any, ...], lane: Any) -> Any:
        builder, offset = self._builder, WORD(0)
        for index, stride in (*zip(place, self.strides, strict=False), (lane, WORD(4))):
            steps = WORD(index) if isinstance(index, int) else index
            offset = builder.add(offset, builder.mul(steps, stride))
        return builder.bitcast(builder.gep(self._start, [offset]), kind.as_pointer())


def tile(code: Callable[..., None]) -> Callable[..., None]:
    """What `code` writes with a builder and the memories of arrays, as a function that compiled code can call."""

    def typed(_: Any, *kinds: Any) -> Any:
        def write(context: Any, builder: Any, _: Any, values: Any) -> Any:
            code(builder, *(Memory(context, builder, k, v) for k, v in zip(kinds, values, strict=True)))
            return context.get_dummy_value()

        return types.none(*kinds), write

    vars(typed)["__signature__"] = inspect.signature(code)  # by which numba counts the arguments
    return cast("Callable[..., None]", intrinsic(typed))


def _product(builder: Any, left: Memory, right: Memory, vectors: int) -> list[list[Lanes]]:
    """`TILE_ROWS` rows of the left times so many vectors of columns of the right."""
    zero = ir.Constant(VECTOR, [0.0] * LANES)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(TILE_ROWS)]
    with cgutils.for_range(builder, left.shape[1]) as loop:
        columns = [right.read(loop.index, lane=LANES * v) for v in range(vectors)]
        for r, row in enumerate(sums):
            number = left.spread(r, loop.index)
            for place, column in zip(row, columns, strict=True):
                builder.store((number * column + Lanes(builder, builder.load(place))).value, place)
    return [[Lanes(builder, builder.load(place)) for place in row] for row in sums]


def adding_product(vectors: int) -> Callable[..., None]:
    """The tile `out += left @ right`: `TILE_ROWS` rows and so many vectors of columns."""

    @tile
    def add(builder: Any, left: Memory, right: Memory, out: Memory) -> None:
        for r, row in enumerate(_product(builder, left, right, vectors)):
            for v, vector in enumerate(row):
                out.write(out.read(r, lane=LANES * v) + vector, r, lane=LANES * v)

    return add


add_product_1, add_product_2, add_product_3, add_product_4 = (adding_product(n) for n in (1, 2, 3, 4))


@tile
def cell_forward(
    builder: Any, joint: Memory, weights: Memory, cells: Memory, gates: Memory, hidden: Memory
) -> None:
    """The equations of the cell, for `TILE_ROWS` rows and `LANES` units; of two cells the second is written."""
    for r, row in enumerate(_product(builder, joint, weights, 4)):
        enter, forget, new, leave = sigmoid(row[0]), sigmoid(row[1]), tanh(row[2]), sigmoid(row[3])
        cell = forget * cells.read(0, r) + enter * new
        cells.write(cell, 1, r)
        hidden.write(leave * tanh(cell), r)
        for g, gate in enumerate((enter, forget, new, leave)):
            gates.write(gate, r, g)


@tile
def cell_backward(
    builder: Any, gates: Memory, cells: Memory, hidden: Memory, cell: Memory, raw: Memory
) -> None:
    """Their derivatives for a bar, from gradients of `hidden` and `cell`; `cell` is taken a bar back."""
    rows, units = hidden.shape
    each_row = cgutils.for_range(builder, rows)
    each_unit = cgutils.for_range_slice(builder, WORD(0), units, WORD(LANES))
    with each_row as by_row, each_unit as (unit, _):
        at = by_row.index, unit
        enter, forget, new, leave = (gates.read(by_row.index, g, unit) for g in range(4))
        squashed, upon = tanh(cells.read(1, *at)), hidden.read(*at)
        total = cell.read(*at) + upon * leave * (1.0 - squashed * squashed)
        slopes = (
            total * new * enter * (1.0 - enter),
            total * cells.read(0, *at) * forget * (1.0 - forget),
            total * enter * (1.0 - new * new),
            upon * squashed * leave * (1.0 - leave),
        )
        for g, slope in enumerate(slopes):
            raw.write(slope, by_row.index, builder.add(unit, builder.mul(units, WORD(g))))
        cell.write(total * forget, *at)


@compiled
def add_product(left: Plane, right: Blocks, out: Plane) -> None:
    """`out += left @ right`, the right in blocks of columns of one to four vectors."""
    width = right.shape[2]
    for block in range(len(right)):
        for row in range(0, len(left), TILE_ROWS):
            part = left[row : row + TILE_ROWS]
            sums = out[row : row + TILE_ROWS, block * width : (block + 1) * width]
            if width == 4 * LANES:
                add_product_4(part, right[block], sums)
            elif width == 3 * LANES:
                add_product_3(part, right[block], sums)
            elif width == 2 * LANES:
                add_product_2(part, right[block], sums)
            else:
                add_product_1(part, right[block], sums)


@compiled
def add_transposed_product(left: Plane, right: Plane, out: Plane) -> None:
    """`out += left.T @ right`, few rows at a time, so that those of the right stay in the first cache."""
    for column in range(0, right.shape[1], 4 * LANES):
        for start in range(0, len(left), NEAR_ROWS):
            near = slice(start, start + NEAR_ROWS)
            for row in range(0, len(out), TILE_ROWS):
                add_product_4(
                    left[near, row : row + TILE_ROWS].T,
                    right[near, column : column + 4 * LANES],
                    out[row : row + TILE_ROWS, column : column + 4 * LANES],
                )


@compiled
def forward(window: Cube, weights: Blocks, joint: Cube, cell: Cube, gates: Gates, hidden: Cube) -> None:
    """Fill hidden states (also the front of the next joint row), cells and gates, from row 0 of joint and cell."""
    bars, batch, inputs = window.shape
    units, columns = cell.shape[2], cell.shape[2] + inputs + 1
    for t in range(bars):
        for b in range(batch):
            for i in range(inputs):
                joint[t, b, units + i] = window[t, b, i]
            joint[t, b, columns - 1] = 1.0
        for unit in range(0, units, LANES):
            lanes = slice(unit, unit + LANES)
            for row in range(0, joint.shape[1], TILE_ROWS):
                rows = slice(row, row + TILE_ROWS)
                cell_forward(
                    joint[t, rows, :columns],
                    weights[unit // LANES],
                    cell[t : t + 2, rows, lanes],
                    gates[t, rows, :, lanes],
                    joint[t + 1, rows, lanes],
                )
        for b in range(batch):
            for unit in range(hidden.shape[2]):
                hidden[t, b, unit] = joint[t + 1, b, unit]


@compiled
def backward(
    seen: tuple[Cube, Cube, Gates],
    upon: Cube,
    recurrent: Blocks,
    inputs: Blocks,
    state: tuple[Plane, Plane],
    out: tuple[Plane, Cube],
) -> None:
    """Gradients of the joint weights (transposed) and of the window's rows, added to `out`; the state's, in place.

    `seen` is what `forward` left: joint rows, cells, gates. `upon` has the gradient of each hidden state, `state`
    that of the last hidden state and cell. Without blocks of input weights the window's gradient is left out.
    """
    joint, cell, gates = seen
    hidden_now, cell_now = state
    bars, batch, units = gates.shape[0], gates.shape[1], cell.shape[2]
    steps = max(1, CHUNK_ROWS // batch)
    raw = np.empty((steps * batch, out[0].shape[1]), np.float32)[:, : 4 * units]
    flat = joint.reshape(-1, joint.shape[2])
    for stop in range(bars, 0, -steps):
        start = max(0, stop - steps)
        for t in range(stop - 1, start - 1, -1):
            for b in range(upon.shape[1]):
                for unit in range(upon.shape[2]):
                    hidden_now[b, unit] += upon[t, b, unit]
            now = raw[(t - start) * batch : (t - start + 1) * batch]
            cell_backward(gates[t], cell[t : t + 2], hidden_now, cell_now, now)
            hidden_now[:] = 0.0
            add_product(now, recurrent, hidden_now)
        rows = raw[: (stop - start) * batch]
        add_transposed_product(flat[start * batch : stop * batch], rows, out[0][:, : 4 * units])
        if len(inputs) > 0:
            add_product(rows, inputs, out[1].reshape(-1, out[1].shape[2])[start * batch : stop * batch])
