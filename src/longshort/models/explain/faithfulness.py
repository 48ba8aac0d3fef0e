"""Whether an attribution tells the truth: inputs that it calls important are taken away, and the forecast must move.

A deletion curve against random orders; an attribution that is no better than chance is found out.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from longshort.models.explain.attribution import ANSWERS, Cells, answers

LOOKS = 8  # numbers of inputs taken away at which a deletion curve is measured
TOGETHER = 16  # deletions computed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """How far an answer moves as inputs are taken away in an order, against random orders.

    The curve is a share of how far it moves without any. `p_value` is that of a random order with as large an area.
    """

    taken: tuple[int, ...]
    curve: tuple[float, ...]
    random: Float64[np.ndarray, "draw look"]
    area: float
    random_area: float
    p_value: float


def faithfulness(
    cells: Cells, orders: Int64[np.ndarray, "answer input"], rng: np.random.Generator, draws: int = 99
) -> tuple[Faithfulness, ...]:
    """Take inputs away (0 at every lag), the most important first, and compare with random orders; per answer.

    An order must come from other cells than these, or it would be tested on what it was made from.
    """
    inputs = orders.shape[1]
    taken = np.unique(np.geomspace(1, inputs, min(LOOKS, inputs)).round().astype(np.int64))
    every = [*orders, *[rng.permutation(inputs) for _ in range(draws)]]
    masks = np.ones((len(every), len(taken), inputs), dtype=np.float32)
    for number, one in enumerate(every):
        for look, count in enumerate(taken.tolist()):
            masks[number, look, one[:count]] = 0.0
    moved = _moved(cells, masks.reshape(-1, inputs)).reshape(len(ANSWERS), len(every), len(taken))
    moved = moved / (moved[:, :1, -1:] + 1e-12)
    return tuple(
        _judged(taken, moved[answer, answer], moved[answer, len(orders) :]) for answer in range(len(ANSWERS))
    )


def _judged(
    taken: Int64[np.ndarray, " look"],
    curve: Float64[np.ndarray, " look"],
    random: Float64[np.ndarray, "draw look"],
) -> Faithfulness:
    areas = random.mean(axis=1)
    return Faithfulness(
        taken=tuple(taken.tolist()),
        curve=tuple(curve.tolist()),
        random=random,
        area=float(curve.mean()),
        random_area=float(areas.mean()),
        p_value=float((1 + (areas >= curve.mean()).sum()) / (1 + len(random))),
    )


def _moved(cells: Cells, masks: Float32[np.ndarray, "mask input"]) -> Float64[np.ndarray, "answer mask"]:
    """How far each answer moves, on average over cells, when only some inputs are left."""
    whole = answers(cells)
    found: list[Float64[np.ndarray, "answer mask"]] = []
    for begin in range(0, len(masks), TOGETHER):
        some = masks[begin : begin + TOGETHER]
        many = cells.repeated(len(some))
        left = torch.from_numpy(many.window * np.repeat(some, len(cells), axis=0))
        without = answers(many, left).reshape(len(ANSWERS), len(some), len(cells))
        found.append(np.abs(without - whole[:, None]).mean(axis=2))
    return np.concatenate(found, axis=1)
