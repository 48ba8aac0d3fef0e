"""The adding task of Hochreiter and Schmidhuber (1997) at a lag of 200: an LSTM remembers what a plain RNN does not.

    python benchmarks/memory.py [--picture docs/memory.svg] [--seeds 3]

Each row holds a number from 0 to 1 and a mark. Two of the first 20 rows are marked; 200 rows later the sum of their
numbers is asked for. Who remembers nothing says 1 and errs by 1/6 (mean square); below .01 the task counts as solved.
Both networks have 32 units, the same batches, steps, optimiser and clipping, and see the full lag from the first step.
Two things differ: the LSTM's forget gates begin open for 1 to 219 rows (chrono initialisation, Tallec and Ollivier
2018), which a plain RNN has no gate for; and the RNN may use the better of two learning rates. Some two minutes of one
processor.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from longshort.base.files import write_text
from longshort.models.kernel import LSTM
from longshort.study.section import Chart, Series
from longshort.web.explanation import standalone
from longshort.web.plots import plot

LAG, MARKED_WITHIN = 200, 20
ROWS = LAG + MARKED_WITHIN
UNITS, BATCH, UNSEEN = 32, 32, 512
STEPS, CHECK_EVERY = 800, 25
SOLVED, FORGETFUL = 0.01, 1.0 / 6.0
LEARNING_RATES = {"LSTM": (5e-3,), "plain RNN": (5e-3, 1e-3)}


@dataclass(frozen=True, slots=True)
class Learnt:
    """One network at one learning rate: its error on unseen sequences at every look, by seed."""

    name: str
    learning_rate: float
    errors: np.ndarray
    seconds: float

    @property
    def last(self) -> np.ndarray:
        """The error after the last step, by seed."""
        return self.errors[:, -1]

    def row(self) -> str:
        """A row of the table."""
        below = self.errors < SOLVED
        solved = [f"{(int(one.argmax()) + 1) * CHECK_EVERY}" if one.any() else "never" for one in below]
        last = ", ".join(f"{error:.4f}" for error in self.last)
        return (
            f"| {self.name} | {self.learning_rate:g} | {last} | {', '.join(solved)} | {self.seconds:.0f} |\n"
        )


class Adder(nn.Module):
    """A recurrent layer whose last hidden state answers."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(UNITS, 1)

    def forward(self, window: Tensor) -> Tensor:
        """One answer per sequence."""
        return self.head(self.layer(window)[0][-1]).squeeze(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--picture", type=Path, default=Path("docs/memory.svg"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(
        "| network | learning rate | error at the end, by seed | solved after steps | s per seed |\n"
        "|---|---|---|---|---|\n"
    )
    found: list[Learnt] = []
    for name, rates in LEARNING_RATES.items():
        tried = [learnt(name, rate, options.seeds) for rate in rates]
        found.append(min(tried, key=lambda one: float(np.median(one.last))))
    write_text(options.picture, drawing(found))


def learnt(name: str, learning_rate: float, seeds: int) -> Learnt:
    """Train one network from every seed, side by side, and say how it went."""
    began = time.process_time()
    numbers = range(1, seeds + 1)
    networks = [started(name, seed) for seed in numbers]
    batches = [np.random.default_rng(seed) for seed in numbers]
    unseen = together([np.random.default_rng(1_000 + seed) for seed in numbers], UNSEEN)
    optimisers = [torch.optim.Adam(one.parameters(), lr=learning_rate) for one in networks]
    errors: list[np.ndarray] = []
    for step in range(1, STEPS + 1):
        window, asked = together(batches, BATCH)
        loss = (answers(networks, window) - asked).square().mean(dim=1).sum()
        loss.backward()
        for network, optimiser in zip(networks, optimisers, strict=True):
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                errors.append((answers(networks, unseen[0]) - unseen[1]).square().mean(dim=1).numpy())
    found = Learnt(name, learning_rate, np.stack(errors, axis=1), (time.process_time() - began) / seeds)
    sys.stdout.write(found.row())
    sys.stdout.flush()
    return found


def answers(networks: list[Adder], window: Tensor) -> Tensor:
    """The answers of each network to its own sequences; plain RNNs take each row in one product, which is quicker."""
    if isinstance(networks[0].layer, nn.LSTM):
        return torch.stack([network(window[:, k]) for k, network in enumerate(networks)])
    layers = [network.layer.get_parameter for network in networks]
    inputs, weights = (torch.stack([of(f"weight_{part}_l0") for of in layers]) for part in ("ih", "hh"))
    biases = torch.stack([of("bias_ih_l0") + of("bias_hh_l0") for of in layers])
    driven = torch.einsum("tnbi,nhi->tnbh", window, inputs) + biases[:, None]
    hidden = torch.zeros_like(driven[0])
    for row in driven:
        hidden = torch.tanh(torch.baddbmm(row, hidden, weights.transpose(1, 2)))
    return torch.stack([network.head(hidden[k]).squeeze(-1) for k, network in enumerate(networks)])


def started(name: str, seed: int) -> Adder:
    """A network before training."""
    torch.manual_seed(seed)
    return Adder(lstm() if name == "LSTM" else nn.RNN(2, UNITS)).train()


def together(batches: list[np.random.Generator], count: int) -> tuple[Tensor, Tensor]:
    """Sequences of each seed's own, (time, seed, sequence, number and mark), and the sums asked for."""
    windows, asked = zip(*[sequences(count, rng) for rng in batches], strict=True)
    return torch.stack(windows, dim=1), torch.stack(asked)


def sequences(count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows of (number, mark), time first, and the sums of the two marked numbers."""
    numbers, marks = rng.random((ROWS, count)), np.zeros((ROWS, count))
    two = np.argsort(rng.random((MARKED_WITHIN, count)), axis=0)[:2]
    np.put_along_axis(marks, two, 1.0, axis=0)
    window = torch.from_numpy(np.stack([numbers, marks], axis=2).astype(np.float32))
    return window, torch.from_numpy((numbers * marks).sum(axis=0).astype(np.float32))


def lstm() -> LSTM:
    """An LSTM whose forget gates begin open for 1 to ROWS - 1 rows, and whose input gates begin as shut."""
    layer = LSTM(2, UNITS)
    with torch.no_grad():
        kept = torch.log(torch.empty(UNITS).uniform_(1.0, ROWS - 1.0))
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
        layer.bias_hh_l0[UNITS : 2 * UNITS] = kept
        layer.bias_hh_l0[:UNITS] = -kept
    return layer


def drawing(found: list[Learnt], width: int = 600) -> str:
    """Error against steps: the median of the seeds, and the range of all."""
    steps = tuple(float(step) for step in range(CHECK_EVERY, STEPS + 1, CHECK_EVERY))
    chart = Chart(
        name="memory",
        title=f"Adding two numbers seen {LAG} rows ago",
        kind="lines",
        x_label="training steps",
        y_label="mean square error, median and range of the seeds; dashes: no memory",
        series=tuple(
            Series(
                name=one.name,
                x=steps,
                y=tuple(np.median(one.errors, axis=0).tolist()),
                low=tuple(one.errors.min(axis=0).tolist()),
                high=tuple(one.errors.max(axis=0).tolist()),
            )
            for one in found
        ),
        reference=FORGETFUL,
        reading="",
    )
    return standalone(plot(chart, width), chart.title)


if __name__ == "__main__":
    main()
