"""What a forecast rests on: gradient x input and integrated gradients, per input and lag.

Asked of the ensemble as it forecasts: each cell keeps the memory that it had before the rows that are varied. The
reference is an input of 0, which is the training mean of what is standardised.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from longshort.base.errors import NotComputable
from longshort.models.forecast import StudentT
from longshort.models.heads.head import Head, Reading
from longshort.models.lstm import FittedLSTM
from longshort.models.memory import Rows, context_start
from longshort.models.network import Network
from longshort.models.networks.backbone import State

ANSWERS = ("mean", "width")  # of one horizon, in volatility units; the width as a logarithm
STEPS, MOST_STEPS = 16, 256  # on the straight way from the reference to the input
ENOUGH = 0.005  # of that way may stay unexplained
NUDGE = 0.02  # of a raw output, for the slope of what is read from it
TAIL = (
    0.16  # below and above the interval whose half is the width: one standard deviation, were the law normal
)

Answers = Float64[np.ndarray, "answer cell"]
Parts = Float64[np.ndarray, "answer lag cell input"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Forecasts to explain: the rows that may be varied, whose they are, and each member's memory before them."""

    window: Float32[np.ndarray, "lag cell input"]
    coins: Int64[np.ndarray, " cell"]
    networks: tuple[Network, ...]
    memories: tuple[State, ...]
    horizon: int

    @property
    def head(self) -> Head:
        """What the raw outputs mean."""
        return self.networks[0].config.head

    def __getitem__(self, chosen: slice) -> "Cells":
        """Some of the cells."""
        return replace(
            self,
            window=self.window[:, chosen],
            coins=self.coins[chosen],
            memories=tuple(tuple(part[:, chosen] for part in memory) for memory in self.memories),
        )

    def __len__(self) -> int:
        return len(self.coins)

    def repeated(self, times: int) -> "Cells":
        """The same cells over and over."""
        return replace(
            self,
            window=np.tile(self.window, (1, times, 1)),
            coins=np.tile(self.coins, times),
            memories=tuple(
                tuple(part.repeat(1, times, *[1] * (part.ndim - 2)) for part in memory)
                for memory in self.memories
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """How much each input at each lag adds to the answers of each cell, by both methods.

    `gap` is what integrated gradients leave unexplained, per answer: the mean absolute difference between their sum and
    the way from the reference's answer to the cell's, over the mean absolute way. `older` is how far the answers move
    when the memory before the rows is emptied, on the same scale.
    """

    integrated: Parts
    gradient_input: Parts
    gap: tuple[float, ...]
    older: tuple[float, ...]

    def by_input(self, answer: int, *, gradient: bool = False) -> Float64[np.ndarray, " input"]:
        """The share of each input: its net effect over lags, without its sign, averaged over cells."""
        parts = self.gradient_input if gradient else self.integrated
        return _shares(np.abs(parts[answer].sum(axis=0)).mean(axis=0))

    def by_lag(self, answer: int) -> Float64[np.ndarray, " lag"]:
        """The share of each lag, the oldest first."""
        return _shares(np.abs(self.integrated[answer]).mean(axis=1).sum(axis=1))

    def by_both(self, answer: int) -> Float64[np.ndarray, "lag input"]:
        """The mean absolute effect of each input at each lag, the oldest first."""
        return np.abs(self.integrated[answer]).mean(axis=1)


def cells_at(
    fitted: FittedLSTM, rows: Rows, places: Int64[np.ndarray, "cell 2"], lags: int, horizon: int
) -> Cells:
    """The cells at some (row, coin): nothing of a coin's context may restart, or its memory would not be the one read.

    `horizon` is a place in `fitted.horizons`.
    """
    order = np.argsort(places[:, 0], kind="stable")
    places = places[order]
    networks = _networks(fitted, horizon)
    windows: list[Float32[np.ndarray, "lag cell input"]] = []
    memories: list[list[State]] = [[] for _ in networks]
    for row in np.unique(places[:, 0]).tolist():
        coins = places[places[:, 0] == row, 1]
        begin = context_start(rows.grid_row[: row + 1], fitted.model.restart_rows)
        first = row + 1 - lags
        if first < begin:
            raise NotComputable(f"{row + 1 - begin} rows of context are fewer than {lags} lags.")
        windows.append(rows.inputs[first : row + 1, coins])
        for network, kept in zip(networks, memories, strict=True):
            kept.append(_memory(network, rows.inputs[begin:first, coins], coins))
    return Cells(
        window=np.concatenate(windows, axis=1),
        coins=places[:, 1],
        networks=networks,
        memories=tuple(
            tuple(torch.cat(parts, dim=1) for parts in zip(*kept, strict=True)) for kept in memories
        ),
        horizon=horizon,
    )


def unbroken(rows: Rows, usable: Bool[np.ndarray, "time asset"], row: int, restart_rows: int) -> list[int]:
    """The coins that can be explained at a row: usable there, and without a restart in their context."""
    begin = context_start(rows.grid_row[: row + 1], restart_rows)
    return np.flatnonzero(usable[row] & ~rows.restart[begin + 1 : row + 1].any(axis=0)).tolist()


def input_names(fitted: FittedLSTM) -> tuple[str, ...]:
    """The columns that a network reads, in their order."""
    scaler = fitted.scaler
    return (*scaler.names, *[f"{mark} missing" for mark in scaler.marks], "bar missing", "bars missing")


def answers(cells: Cells, window: Tensor | None = None, *, empty: bool = False) -> Answers:
    """Mean and log width of each cell, averaged over members; `empty`: as if nothing had come before the rows."""
    given = torch.from_numpy(cells.window) if window is None else window
    coins = torch.from_numpy(cells.coins)
    found: list[Answers] = []
    for network, memory in zip(cells.networks, cells.memories, strict=True):
        with torch.no_grad():
            raw, _ = network(given, None if empty else memory, coins)
        found.append(_read(cells.head, raw[-1, :, cells.horizon].numpy()))
    return np.mean(found, axis=0)


def attribute(cells: Cells, steps: int = STEPS, most: int = MOST_STEPS) -> Attribution:
    """Attribute the answers of cells to inputs and lags: Sundararajan et al. (2017), by the midpoint rule.

    Steps are doubled up to `most` until hardly anything is left unexplained: some networks bend sharply on the way.
    """
    whole = torch.from_numpy(cells.window)
    there, reference = answers(cells), answers(cells, torch.zeros_like(whole))
    size = np.abs(there - reference).mean(axis=1) + 1e-12
    while True:
        integrated = _integrated(cells, steps)
        unexplained = np.abs(integrated.sum(axis=(1, 3)) - (there - reference)).mean(axis=1) / size
        if unexplained.max() < ENOUGH or 2 * steps > most:
            break
        steps *= 2
    return Attribution(
        integrated=integrated,
        gradient_input=_gradients(cells, whole) * cells.window,
        gap=tuple(unexplained.tolist()),
        older=tuple((np.abs(there - answers(cells, empty=True)).mean(axis=1) / size).tolist()),
    )


def _integrated(cells: Cells, steps: int) -> Parts:
    whole = torch.from_numpy(cells.window)
    total = np.zeros((len(ANSWERS), *cells.window.shape))
    for k in range(steps):
        total += _gradients(cells, whole * ((k + 0.5) / steps)) / steps
    return total * cells.window


def _networks(fitted: FittedLSTM, horizon: int) -> tuple[Network, ...]:
    """The network of each member at one horizon."""
    keys = [(m.seed, step) for m in fitted.members for step in dict.fromkeys(m.curve.best_step)]
    home = dict(zip(keys, fitted.networks(), strict=True))
    return tuple(home[m.seed, m.curve.best_step[horizon]] for m in fitted.members)


@torch.no_grad()
def _memory(
    network: Network, before: Float32[np.ndarray, "time cell input"], coins: Int64[np.ndarray, " cell"]
) -> State:
    """The memory after the rows before; of no rows, an empty one."""
    rows = torch.from_numpy(np.ascontiguousarray(before))
    if len(rows):
        return network(rows, None, torch.from_numpy(coins))[1]
    _, state = network(torch.zeros(1, *rows.shape[1:]), None, torch.from_numpy(coins))
    return tuple(torch.zeros_like(part) for part in state)


def _gradients(cells: Cells, window: Tensor) -> Parts:
    """The slope of each answer in every input of its cell, averaged over members."""
    coins = torch.from_numpy(cells.coins)
    total = np.zeros((len(ANSWERS), *window.shape))
    for network, memory in zip(cells.networks, cells.memories, strict=True):
        given = window.detach().requires_grad_()
        raw = network(given, memory, coins)[0][-1, :, cells.horizon]
        for k, slope in enumerate(_slopes(cells.head, raw.detach().numpy())):
            (gradient,) = torch.autograd.grad(
                (raw * torch.from_numpy(slope)).sum(), given, retain_graph=k + 1 < len(ANSWERS)
            )
            total[k] += gradient.numpy() / len(cells.networks)
    return total


def _read(head: Head, raw: Float32[np.ndarray, "cell output"]) -> Answers:
    """Mean and log width of each cell, as the head states them, whatever its law."""
    members = raw[None, None, :, None]  # (member, time, asset, horizon, output)
    ones = np.ones((1, len(raw), 1))
    anchor = StudentT(loc=0.0 * ones, scale=ones, df=4.0 * ones)
    law = head.law(members, Reading(unit=ones, anchor=anchor, share=0.0, mean_weights=(1.0,), mean_share=0.0))
    width = 0.5 * (law.quantile(1.0 - TAIL) - law.quantile(TAIL))
    return np.stack([law.mean().reshape(-1), np.log(np.maximum(width, 1e-12)).reshape(-1)])


def _slopes(head: Head, raw: Float32[np.ndarray, "cell output"]) -> Float32[np.ndarray, "answer cell output"]:
    """How the answers change with each raw output: central differences, so that any head can be asked."""
    size = raw.shape[1]
    nudges = NUDGE * np.concatenate([np.eye(size), -np.eye(size)]).astype(np.float32)
    moved = (raw[None] + nudges[:, None]).reshape(-1, size)
    up, down = _read(head, moved).reshape(len(ANSWERS), 2, size, len(raw)).swapaxes(0, 1)
    return ((up - down) / (2.0 * NUDGE)).swapaxes(1, 2).astype(np.float32)


def _shares(sizes: Float64[np.ndarray, " part"]) -> Float64[np.ndarray, " part"]:
    return sizes / (sizes.sum() + 1e-300)
