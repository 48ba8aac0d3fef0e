"""What training costs as bars, coins and seeds double, and the memory of a large fit: `python benchmarks/training.py`.

Panels are drawn at random in the shape and precision of real ones, for nothing here depends on what is learnt. Every
fit runs one seed after the other on one thread, in seconds of processor time, without the anchor: both descents of
STEPS steps with a validation every CHECK, as `longshort train` does it save for their number.

Memory is the peak of a process of its own that holds the panel and its targets, and fits one seed on all of it.

An anchor is fitted for all horizons in such a process, at a quarter, half and all of the bars, and then forecasts every
row. LightGBM grows ROUNDS trees of each kind at most, where a study may grow 300: trees follow each other in the same
memory. A spread and a mean that HAR cannot see are planted, for it to grow any.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.features.panel import LEVELS, Panel
from longshort.features.targets import Targets
from longshort.models.forecaster import Fitted, Past
from longshort.models.opponents import boosting
from longshort.models.opponents.boosting import LightGBM
from longshort.models.opponents.scale import HAR, HAR_COLUMNS, ScaleModel, har
from longshort.models.training.fitting import fit_member
from longshort.models.training.trainer import Trainer

HORIZONS = (1, 4, 24)
FEATURES = 40
BARS, COINS, SEEDS = 4_000, 4, 1
DOUBLINGS = 3
LARGE_BARS, LARGE_COINS = 50_000, 50
STEPS, CHECK = 10, 5
SHARES = (4, 2, 1)  # of the bars: one over these
ROUNDS = 10
HOUR = 3_600_000_000_000
MODEL = ModelSettings()
TRAINING = TrainingSettings(steps=STEPS, check_every=CHECK, patience=STEPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Processor time of the parts of a fit, and of all of it."""

    prepare: float
    step: float
    validate: float
    fit: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--doublings", type=int, default=DOUBLINGS)
    parser.add_argument("--only", choices=("speed", "memory", "anchors"), action="append")
    parser.add_argument("--one", nargs=2, metavar=("FIT", "BARS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        print(measured(FITS[options.one[0]], int(options.one[1])))
        return
    wanted = options.only or ("speed", "memory", "anchors")
    if "speed" in wanted:
        speed(options.rounds, options.doublings)
    if "memory" in wanted:
        memory([("network", LARGE_BARS)])
    if "anchors" in wanted:
        memory([(name, LARGE_BARS // share) for name in ("HAR", "LightGBM") for share in SHARES])


def speed(rounds: int, doublings: int) -> None:
    """A table with one row per size: medians, and their ratio to the row before, which has half the size."""
    timed(past_of(BARS, COINS), SEEDS)  # compiles
    print("| doubled | bars | coins | seeds | prepare, s | step, ms | validation, s | fit, s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, sizes in grid(doublings).items():
        before = float("nan")
        for bars, coins, seeds in sizes:
            past = past_of(bars, coins)
            found = median([timed(past, seeds) for _ in range(rounds)])
            parts = f"{found.prepare:.3f} | {1e3 * found.step:.0f} | {found.validate:.3f} | {found.fit:.2f}"
            ratio = "" if np.isnan(before) else f"{found.fit / before:.2f}"
            print(f"| {name} | {bars:,} | {coins} | {seeds} | {parts} | {ratio} |", flush=True)
            before = found.fit


def grid(doublings: int) -> dict[str, list[tuple[int, int, int]]]:
    """Sizes in bars, coins and seeds, one of them doubled again and again."""
    times = [2**k for k in range(doublings + 1)]
    return {
        "bars": [(BARS * k, COINS, SEEDS) for k in times],
        "coins": [(BARS, COINS * k, SEEDS) for k in times],
        "seeds": [(BARS, COINS, SEEDS * k) for k in times],
    }


def timed(past: Past, seeds: int) -> Seconds:
    """Time the parts of a fit alone, then whole fits of some seeds."""
    marks = [time.process_time()]

    def lap() -> float:
        marks.append(time.process_time())
        return marks[-1] - marks[-2]

    trainer = Trainer(past, MODEL, TRAINING, 0, past.train)
    prepare = lap()
    for number in range(STEPS):
        trainer.step(number + 1)
    step = lap() / STEPS
    trainer.validate()
    validate = lap()
    for seed in range(seeds):
        fit_member(past, MODEL, TRAINING, seed)
    return Seconds(prepare=prepare, step=step, validate=validate, fit=lap())


def median(found: list[Seconds]) -> Seconds:
    """Part by part."""

    def of(part: Callable[[Seconds], float]) -> float:
        return statistics.median(part(one) for one in found)

    return Seconds(
        prepare=of(lambda one: one.prepare),
        step=of(lambda one: one.step),
        validate=of(lambda one: one.validate),
        fit=of(lambda one: one.fit),
    )


def memory(sizes: list[tuple[str, int]]) -> None:
    """A table with one row per fit and size, each in a new process."""
    print(
        f"\n{LARGE_COINS} coins x {FEATURES} features, {len(HORIZONS)} horizons; MB and seconds of the processor:\n"
    )
    print("| fit | bars | imports | with panel and targets | fit | s | forecast of all rows | s |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, bars in sizes:
        command = [sys.executable, __file__, "--one", name, str(bars)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"| {name} | {bars:,} | {told} |", flush=True)


def measured(fit: Callable[[Past], Fitted | None], bars: int) -> str:
    """The peak after imports, panel, fit and forecast, each the most so far, and the seconds of the last two."""
    parts = [f"{peak():,.0f}"]
    past = past_of(bars, LARGE_COINS)
    parts.append(f"{peak():,.0f}")
    began = time.process_time()
    fitted = fit(past)
    parts.append(f"{peak():,.0f} | {time.process_time() - began:.1f}")
    began = time.process_time()
    if fitted is not None:
        fitted.predict(past.panel, range(len(past.panel)))
        parts.append(f"{peak():,.0f} | {time.process_time() - began:.1f}")
    else:
        parts.append(" | ")
    return " | ".join(parts)


def peak() -> float:
    """The most memory that this process ever held, in MB of 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def past_of(bars: int, coins: int) -> Past:
    """A random panel cut after its last fifth, the validation rows."""
    validation = range(bars * 4 // 5, bars - max(HORIZONS) - 1)
    return Past.cut(*random_market(bars, coins), range(validation.start - max(HORIZONS)), validation)


def random_market(bars: int, coins: int) -> tuple[Panel, Targets]:
    """A panel of random numbers without holes, and random targets; filled in place, so that no copy counts."""
    rng = np.random.default_rng(1)
    names = (*HAR_COLUMNS, *(f"other_{k}" for k in range(FEATURES - len(HAR_COLUMNS))))
    shape = (bars, coins)
    panel = Panel(
        closed_at=np.arange(1, bars + 1, dtype=np.int64) * HOUR,
        grid_row=np.arange(bars, dtype=np.int64),
        symbols=tuple(f"COIN{k}" for k in range(coins)),
        names=names,
        optional=("",) * FEATURES,
        standardised=(True,) * FEATURES,
        values=rng.standard_normal((*shape, FEATURES), dtype=np.float32),
        levels=np.full((*shape, len(LEVELS)), np.log(0.01), dtype=np.float32),
        log_close=np.zeros(shape),
        log_return=np.zeros(shape),
        volatility=np.full(shape, 0.01),
        missing_rows=np.zeros(shape),
        usable=np.ones(shape, dtype=bool),
        restart=np.zeros(shape, dtype=bool),
    )
    returns = rng.standard_normal((*shape, len(HORIZONS)))
    returns *= 0.01 * np.exp(0.3 * np.tanh(panel.values[:, :, -1:] * panel.values[:, :, -2:-1]))
    returns += 0.001 * np.sign(panel.values[:, :, -3:-2])
    return panel, Targets(horizons=HORIZONS, log_return=returns)


def fit_network(past: Past) -> None:
    fit_member(past, MODEL, TRAINING, 1)


def fit_har(past: Past) -> Fitted:
    return ScaleModel(HAR, HORIZONS, har).fit(past)


def fit_trees(past: Past) -> Fitted:
    boosting.MOST_ROUNDS = ROUNDS
    return LightGBM(HORIZONS).fit(past)


FITS: dict[str, Callable[[Past], Fitted | None]] = {
    "network": fit_network,
    "HAR": fit_har,
    "LightGBM": fit_trees,
}


if __name__ == "__main__":
    main()
