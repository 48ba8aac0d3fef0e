"""One LSTM layer forward and backward through time on the CPU, compiled by numba; arrays in, arrays out.

A row of the `joint` array holds the hidden state before a bar, the bar's inputs and a one: its product with the
joint weights is the pre-activation of all gates, bias included, and the gradient of all weights is one product
too. Products and gates work on tiles of registers, written as vectors of LLVM's language, which the processor
runs at full width: numba alone would use half of it. Widths are rounded up to whole vectors, batches to whole
tiles; what was added is zero, and stays so.

All of it lives in one module, because numba's cache looks at the date of a function's own file only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from longshort.features.kernels import compiled

FEATURES = binding.get_host_cpu_features()
LANES = 16 if FEATURES.get("avx512f") else 8 if FEATURES.get("avx2") else 4
TILE_ROWS = 2 if LANES == 8 else 6  # accumulators: 4 vectors a row, of 16 registers with AVX2, else of 32
CHUNK_ROWS = 96  # rows of gate gradients that stay in the first cache while they are multiplied
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

    builder: ir.IRBuilder
    value: Any

    def __add__(self, other: "Lanes | float") -> "Lanes":
        return Lanes(self.builder, self.builder.fadd(self.value, self._of(other), flags=FAST))

    def __sub__(self, other: "Lanes | float") -> "Lanes":
        return Lanes(self.builder, self.builder.fsub(self.value, self._of(other), flags=FAST))

    def __mul__(self, other: "Lanes | float") -> "Lanes":
        return Lanes(self.builder, self.builder.fmul(self.value, self._of(other), flags=FAST))

    def __truediv__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.fdiv(self.value, other.value, flags=FAST))

    def constant(self, number: float) -> "Lanes":
        """The same number in every lane."""
        return Lanes(self.builder, ir.Constant(VECTOR, [number] * LANES))

    def limited(self, most: float) -> "Lanes":
        """Between minus and plus a limit; what is not a number stays so."""
        builder, value = self.builder, self.value
        for sign, worse in ((1.0, ">"), (-1.0, "<")):
            bound = self.constant(sign * most).value
            value = builder.select(builder.fcmp_ordered(worse, value, bound), bound, value)
        return Lanes(builder, value)

    def _of(self, other: "Lanes | float") -> Any:
        return other.value if isinstance(other, Lanes) else self.constant(other).value


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
    total = argument.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * argument + coefficient
    return total


class Memory:
    """An array as compiled code sees it: numbers and vectors at places counted in bytes from its start."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, value: Any) -> None:
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
        builder = self._builder
        offset = builder.mul(_word(lane), WORD(4))
        for index, stride in zip(place, self.strides, strict=False):
            offset = builder.add(offset, builder.mul(_word(index), stride))
        return builder.bitcast(builder.gep(self._start, [offset]), kind.as_pointer())


def _word(number: Any) -> Any:
    return WORD(number) if isinstance(number, int) else number


def _memories(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> list[Memory]:
    return [Memory(context, builder, k, v) for k, v in zip(signature.args, values, strict=True)]


def _product(
    builder: ir.IRBuilder, left: Memory, right: Memory, start: list[list[Lanes]]
) -> list[list[Lanes]]:
    """Rows of the left times columns of the right, added to the start: as many of each as the start has."""
    sums = [[cgutils.alloca_once_value(builder, one.value) for one in row] for row in start]
    with cgutils.for_range(builder, left.shape[1]) as loop:
        columns = [right.read(loop.index, lane=LANES * v) for v in range(len(start[0]))]
        for r, row in enumerate(sums):
            number = left.spread(r, loop.index)
            for place, column in zip(row, columns, strict=True):
                builder.store((number * column + Lanes(builder, builder.load(place))).value, place)
    return [[Lanes(builder, builder.load(place)) for place in row] for row in sums]


def adding_product(vectors: int) -> Callable[[Plane, Plane, Plane], None]:
    """Compiled `out += left @ right` for one tile: `TILE_ROWS` rows and so many vectors of columns."""

    @intrinsic
    def add_product(typing: Any, left: Any, right: Any, out: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            rows, columns, sums = _memories(context, builder, signature, values)
            start = [[sums.read(r, lane=LANES * v) for v in range(vectors)] for r in range(TILE_ROWS)]
            for r, row in enumerate(_product(builder, rows, columns, start)):
                for v, vector in enumerate(row):
                    sums.write(vector, r, lane=LANES * v)
            return context.get_dummy_value()

        return types.none(left, right, out), code

    return add_product


add_product_1, add_product_2, add_product_3, add_product_4 = (adding_product(n) for n in (1, 2, 3, 4))


@intrinsic
def cell_forward(
    typing: Any, joint: Any, weights: Any, before: Any, after: Any, gates: Any, hidden: Any
) -> Any:
    """One tile of the textbook's equations: `TILE_ROWS` rows and `LANES` units, from joint rows to hidden states."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        joint, weights, before, after, gates, hidden = _memories(context, builder, signature, values)
        zero = Lanes(builder, ir.Constant(VECTOR, [0.0] * LANES))
        for r, row in enumerate(_product(builder, joint, weights, [[zero] * 4] * TILE_ROWS)):
            enter, forget, new, leave = sigmoid(row[0]), sigmoid(row[1]), tanh(row[2]), sigmoid(row[3])
            cell = forget * before.read(r) + enter * new
            after.write(cell, r)
            hidden.write(leave * tanh(cell), r)
            for g, gate in enumerate((enter, forget, new, leave)):
                gates.write(gate, r, g)
        return context.get_dummy_value()

    return types.none(joint, weights, before, after, gates, hidden), code


@intrinsic
def cell_backward(typing: Any, gates: Any, before: Any, after: Any, hidden: Any, cell: Any, raw: Any) -> Any:
    """One row of their derivatives: `hidden` and `cell` hold gradients, `cell` is taken one bar back; `raw` is written."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        gates, before, after, hidden, cell, raw = _memories(context, builder, signature, values)
        with cgutils.for_range(builder, builder.udiv(before.shape[0], WORD(LANES))) as loop:
            unit = builder.mul(loop.index, WORD(LANES))
            enter, forget, new, leave = (gates.read(g, unit) for g in range(4))
            squashed, upon = tanh(after.read(unit)), hidden.read(unit)
            total = cell.read(unit) + upon * leave * _rest(squashed * squashed)
            raw.write(total * new * enter * _rest(enter), 0, unit)
            raw.write(total * before.read(unit) * forget * _rest(forget), 1, unit)
            raw.write(total * enter * _rest(new * new), 2, unit)
            raw.write(upon * squashed * leave * _rest(leave), 3, unit)
            cell.write(total * forget, unit)
        return context.get_dummy_value()

    return types.none(gates, before, after, hidden, cell, raw), code


def _rest(share: Lanes) -> Lanes:
    return share.constant(1.0) - share


@compiled
def add_product(left: Plane, right: Blocks, out: Plane) -> None:
    """`out += left @ right`, the right in blocks of columns of one to four vectors."""
    width = right.shape[2]
    for block in range(len(right)):
        to = out[:, block * width : (block + 1) * width]
        for row in range(0, len(left), TILE_ROWS):
            part, sums = left[row : row + TILE_ROWS], to[row : row + TILE_ROWS]
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
    """`out += left.T @ right`, in tiles that share their columns of the right."""
    width = 4 * LANES
    for column in range(0, right.shape[1], width):
        for row in range(0, len(out), TILE_ROWS):
            add_product_4(
                left[:, row : row + TILE_ROWS].T,
                right[:, column : column + width],
                out[row : row + TILE_ROWS, column : column + width],
            )


@compiled
def forward(window: Cube, weights: Blocks, joint: Cube, cell: Cube, gates: Gates) -> None:
    """Fill hidden states (the front of the next joint row), cells and gates; row 0 of the first two is the start."""
    units, batch, inputs = cell.shape[2], window.shape[1], window.shape[2]
    columns = units + inputs + 1
    for t in range(len(window)):
        for b in range(batch):
            for i in range(inputs):
                joint[t, b, units + i] = window[t, b, i]
            joint[t, b, units + inputs] = 1.0
        for unit in range(0, units, LANES):
            for row in range(0, joint.shape[1], TILE_ROWS):
                rows, lanes = slice(row, row + TILE_ROWS), slice(unit, unit + LANES)
                cell_forward(
                    joint[t, rows, :columns],
                    weights[unit // LANES],
                    cell[t, rows, lanes],
                    cell[t + 1, rows, lanes],
                    gates[t, rows, :, lanes],
                    joint[t + 1, rows, lanes],
                )


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
    raw = np.empty((steps * batch, 4 * units + LANES), np.float32)  # an odd number of cache lines apart
    flat = joint.reshape(-1, joint.shape[2])
    stop = bars
    while stop > 0:
        start = max(0, stop - steps)
        for t in range(stop - 1, start - 1, -1):
            hidden_now[: upon.shape[1], : upon.shape[2]] += upon[t]
            first = (t - start) * batch
            for row in range(batch):
                gradients = raw[first + row, : 4 * units].reshape(4, units)
                cell_backward(
                    gates[t, row], cell[t, row], cell[t + 1, row], hidden_now[row], cell_now[row], gradients
                )
            hidden_now[:] = 0.0
            add_product(raw[first : first + batch, : 4 * units], recurrent, hidden_now)
        rows = raw[: (stop - start) * batch, : 4 * units]
        add_transposed_product(flat[start * batch : stop * batch], rows, out[0])
        if len(inputs) > 0:
            add_product(rows, inputs, out[1].reshape(-1, out[1].shape[2])[start * batch : stop * batch])
        stop = start
