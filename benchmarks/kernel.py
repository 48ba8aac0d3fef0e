"""One training step of an LSTM by the fused kernel and by torch, on one thread: `python benchmarks/kernel.py`.

A step is forward and backward, weights' gradients included, the window's not, of 48 chunks of 192 rows with 62
inputs. Kernel, torch, torch under bf16 autocast and the matrix product take turns; medians over rounds of processor
time (one thread: other work on the machine still fills its caches, but does not count), and of the rounds' ratios.
An error is the largest difference from a gradient in double precision over the largest gradient of the same
parameter, the worst of the parameters. GFLOP/s counts the multiplications and additions of the products. The matrix
product is torch's, 1024 x 1024. Compilation is timed apart, in new processes with an empty and with a filled cache.

The last table asks what training several seeds as one job could save: at best a seed then costs a fifth of one step
with five times the batch, which pays Python and torch once.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from longshort.models.kernel import LSTM

BARS, BATCH, INPUTS = 192, 48, 62
WIDTHS = (32, 64, 128, 256)
SEEDS = 5
SQUARE = 1024
FIRST_STEP = """
import time, torch
from longshort.models.kernel import LSTM, fused
torch.set_num_threads(1)
network, window = LSTM(62, 64), torch.zeros(192, 48, 62)
took = []
for _ in range(2):
    began = time.process_time()
    network(window)[0].sum().backward()
    took.append(time.process_time() - began)
print(took[0] - took[1])
"""
Act = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a width was measured to take, in seconds a step, and its gradients' errors."""

    hidden: int
    seconds: dict[str, list[float]]
    errors: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}; torch {torch.__version__}, numba's widest vectors: {lanes()} floats\n")
    fresh, cached = compile_seconds()
    print(f"compiling took {fresh:.1f} s, once; loading the compiled code {cached:.2f} s in each process\n")
    rows = [measure(hidden, options.rounds) for hidden in WIDTHS]
    print(
        "| hidden | torch, ms | kernel, ms | times faster | torch, GFLOP/s | kernel, GFLOP/s | share of product |",
        end="",
    )
    print(" error of torch | of kernel |\n|" + "---|" * 9)
    for row in rows:
        tell(row)
    precision(rows)
    one_job(options.rounds)


def measure(hidden: int, rounds: int) -> Row:
    """Take turns, at least .1 s each."""
    torch.manual_seed(hidden)
    window, upon = torch.randn(BARS, BATCH, INPUTS), torch.randn(BARS, BATCH, hidden)
    networks: dict[str, nn.LSTM] = {"torch": nn.LSTM(INPUTS, hidden), "kernel": LSTM(INPUTS, hidden)}
    networks["kernel"].load_state_dict(networks["torch"].state_dict())
    acts = {name: step(network, window, upon) for name, network in networks.items()}
    acts["bf16"] = step(networks["torch"], window, upon, autocast=True)
    acts |= {f"product {kind}": product(kind) for kind in (torch.float32, torch.bfloat16)}
    seconds = in_turns(acts, rounds)
    exact = gradients(nn.LSTM(INPUTS, hidden).double(), networks["torch"], window, upon)
    errors = {
        name: float(
            np.max(
                [
                    float((p.grad.double() - e).abs().max() / e.abs().max())
                    for p, e in zip(found(network, window, upon), exact, strict=True)
                    if p.grad is not None
                ]
            )
        )
        for name, network in networks.items()
    }
    return Row(hidden=hidden, seconds=seconds, errors=errors)


def step(network: nn.LSTM, window: Tensor, upon: Tensor, *, autocast: bool = False) -> Act:
    """A forward and a backward pass, on gradients that were dropped."""

    def act() -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out, _ = network(window)
        out.backward(upon.to(out.dtype))

    return act


def product(kind: torch.dtype) -> Act:
    """A large matrix product."""
    left = torch.randn(SQUARE, SQUARE).to(kind)
    out = torch.empty_like(left)
    return lambda: torch.mm(left, left, out=out)


def in_turns(acts: dict[str, Act], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, round by round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in acts}
    for number in range(rounds + 1):
        for name, act in acts.items():
            taken = once(act)
            if number:
                seconds[name].append(taken)
    return seconds


def once(act: Act, least: float = 0.1) -> float:
    began, times = time.process_time(), 0
    while time.process_time() - began < least:
        act()
        times += 1
    return (time.process_time() - began) / times


def found(network: nn.LSTM, window: Tensor, upon: Tensor) -> list[nn.Parameter]:
    step(network, window, upon)()
    return list(network.parameters())


def gradients(exact: nn.LSTM, network: nn.LSTM, window: Tensor, upon: Tensor) -> list[Tensor]:
    """Those of double precision."""
    exact.load_state_dict(network.state_dict())
    return [p.grad for p in found(exact, window.double(), upon.double()) if p.grad is not None]


def flops(hidden: int) -> int:
    """Of a step: inputs twice (forward, their weights), hidden states three times (also their own gradients)."""
    return 2 * BARS * BATCH * 4 * hidden * (2 * INPUTS + 3 * hidden)


def tell(row: Row) -> None:
    took = {name: statistics.median(seconds) for name, seconds in row.seconds.items()}
    rate = {name: flops(row.hidden) / took[name] / 1e9 for name in ("torch", "kernel")}
    squares = np.array(row.seconds[f"product {torch.float32}"]) / (2 * SQUARE**3)
    share = np.median(flops(row.hidden) * squares / row.seconds["kernel"])
    print(
        f"| {row.hidden} | {took['torch'] * 1e3:.1f} | {took['kernel'] * 1e3:.1f} "
        f"| {ratio(row, 'torch', 'kernel'):.2f} | {rate['torch']:.0f} | {rate['kernel']:.0f} | {share:.0%} "
        f"| {row.errors['torch']:.1e} | {row.errors['kernel']:.1e} |"
    )


def ratio(row: Row, above: str, below: str) -> float:
    return float(np.median(np.array(row.seconds[above]) / row.seconds[below]))


def precision(rows: list[Row]) -> None:
    """Single precision against bf16."""
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    rates = {
        name: 2 * SQUARE**3 / 1e9 / np.median([s for row in rows for s in row.seconds[f"product {kind}"]])
        for name, kind in kinds.items()
    }
    has = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags()]
    print(f"\nbf16 instructions: {', '.join(has) or 'none'}. ", end="")
    print("Matrix product: " + ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in rates.items()) + ".")
    faster = (f"{ratio(row, 'torch', 'bf16'):.2f} ({row.hidden})" for row in rows)
    print("torch under bf16 autocast, times as fast as torch: " + ", ".join(faster) + ".\n")


def one_job(rounds: int) -> None:
    """The most that one job of several seeds could save."""
    print(
        "| hidden | batch | one seed a step, ms | one of five in one job at best, ms | saved |\n|"
        + "---|" * 5
    )
    for hidden, batch in ((32, 9), (32, BATCH), (64, BATCH)):
        network = LSTM(INPUTS, hidden)
        acts = {
            str(seeds): step(
                network, torch.randn(BARS, seeds * batch, INPUTS), torch.randn(BARS, seeds * batch, hidden)
            )
            for seeds in (1, SEEDS)
        }
        took = in_turns(acts, rounds)
        alone, together = np.array(took["1"]), np.array(took[str(SEEDS)]) / SEEDS
        saved = 1 - np.median(together / alone)
        print(
            f"| {hidden} | {batch} | {np.median(alone) * 1e3:.1f} | {np.median(together) * 1e3:.1f} | {saved:.0%} |"
        )


def compile_seconds() -> tuple[float, float]:
    """What the first step takes longer than the second, without and with compiled code on disk."""
    with tempfile.TemporaryDirectory() as folder:
        place = os.environ | {"NUMBA_CACHE_DIR": folder, "OMP_NUM_THREADS": "1"}
        fresh, cached = (
            float(subprocess.check_output([sys.executable, "-c", FIRST_STEP], env=place, text=True))
            for _ in "ab"
        )
    return fresh, cached


def lanes() -> int:
    from longshort.models.kernel import fused

    return fused.LANES


def flags() -> str:
    told = Path("/proc/cpuinfo")
    return told.read_text(encoding="utf-8") if told.exists() else ""


def processor() -> str:
    names = [line.partition(":")[2].strip() for line in flags().splitlines() if line.startswith("model name")]
    return names[0] if names else "unknown processor"


if __name__ == "__main__":
    main()
