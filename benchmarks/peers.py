"""This project, neuralforecast and Darts learn to forecast nine coins: seconds until each is good enough.

    python benchmarks/peers.py --data ../shared/data [--folder FOLDER] [--fold 3] [--rounds 5] [--threads 1]
        [--set training.batch_chunks=12 ...] [--found RATE,WINDOWS RATE,WINDOWS]

It runs in an environment that has all three, which is made of wheels without CUDA like this:

    python3.11 -m venv peers && peers/bin/pip install torch==2.13.0 && echo torch==2.13.0 > pinned
    peers/bin/pip install -c pinned neuralforecast==3.3.0 darts==0.48.1 pytorch-lightning .

**The same for all**: hourly bars of nine coins up to 2024-12-31, the training and validation rows of one development
fold, the default inputs as this project's network reads them (standardised, clipped, marked), the target (log return
of the next hour over the EWMA volatility), one LSTM layer of the default width with a linear head, a Student-t, AdamW
with this project's weight decay, gradient norm 1, fp32 and the number of threads. Who is scored are the validation
rows, by `StudentT.log_density` on the parameters that a network states. The clock runs while a network is trained: it
stands during preparation, start-up and validation, and everybody has had a short run first. It is read in processor
seconds, which other work on the machine does not stretch much, and by the wall.

**neuralforecast**: `LSTM`, direct, h = 1, `DistributionLoss("StudentT")`, inputs as historic exogenous variables,
windows of 64 hours, `scaler_type="identity"` since inputs and target are scaled already. `batch_size` is one coin at a
time, whose windows it can cut without a copy: with nine, a step copies every window of the training rows first and
takes many times as long. Direct, since `recurrent=True` gives the network no historic exogenous variables beyond the
window and makes it remember no more than the parameters of the forecast (`proj_size`).

**Darts**: `BlockRNNModel("LSTM")`, windows of 64 hours in, 1 out, inputs as past covariates. It has no Student-t; the
likelihood here is a subclass of its own, as its documentation shows, so that the law is no handicap. `RNNModel` takes
no past covariates.

Peers have the best of two learning rates x two batches of windows: the one whose best validation score is highest in a
run of its own; `--found` names settings that were chosen before. Then all run in turns, with a new seed in each round.
Peers stop when `--patience` checks have brought nothing, or after `--budget` processor seconds; this project runs with
its default settings (or `--set`) from the first step to the last. What counts is the time until the best score that
neuralforecast reaches in the same round, and the best scores. The last step to a best score is luck: the time to .002
nats short of it is told beside it.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import median

THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else "1"
os.environ |= {"OMP_NUM_THREADS": THREADS, "MKL_NUM_THREADS": THREADS}  # read when torch is imported

import nine_coins  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from contestants import DARTS, NEURAL, OWN, RUNNERS, Material, Race, Setting  # noqa: E402

from longshort.base.settings import Study  # noqa: E402
from longshort.models.forecaster import Past  # noqa: E402
from longshort.models.inputs import Scaler  # noqa: E402
from longshort.study.market import Market, load_bars  # noqa: E402

STUDY = """\
[data]
since = "2023-01-01"
until = "2024-12-31T23:00Z"

[target]
horizons = [1]

[policy]
horizon_bars = 1
"""
LEARNING_RATES = (1e-3, 3e-3)
WINDOWS_A_STEP = (128, 512)
SHORT = 0.002  # nats: the last step to a best score is luck, and takes long
HEADS = (
    "| | setting | best log score (range) | s to it | s to neuralforecast's best | by the wall | times sooner "
    f"| s to {SHORT} short of that | by the wall | times sooner |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
)


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as own:
        compete(gather(options.folder or Path(own), options), options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ohlcv_1h and funding")
    parser.add_argument("--folder", type=Path, help="keep the lake here, and find it here again")
    parser.add_argument("--fold", type=int, default=3, help="whose training and validation rows, 1 to 5")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60.0, help="processor seconds of a run")
    parser.add_argument("--patience", type=int, default=8, help="checks without a better score")
    parser.add_argument(
        "--found",
        nargs=2,
        type=setting_of,
        metavar="RATE,WINDOWS",
        help="settings of neuralforecast and Darts, not chosen again",
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--curves", type=Path, help="write every check of every run here, as JSON")
    return parser.parse_args()


def setting_of(text: str) -> Setting:
    rate, windows = text.split(",")
    return Setting(float(rate), int(windows))


def gather(folder: Path, options: argparse.Namespace) -> Material:
    """Import what is not there, and cut the rows of one fold."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "lake").exists():
        nine_coins.prepare(folder, options.data.absolute())
    (folder / "peers").mkdir(exist_ok=True)
    (folder / "peers" / "study.toml").write_text(STUDY)
    study = Study.load(folder / "peers", options.overrides)
    market = Market.of(study, load_bars(study))
    fold = market.folds()[options.fold - 1]
    past = Past.cut(market.panel, market.targets, fold.train, fold.validation, market.recipe.names)
    target = np.where(past.panel.usable, past.scaled_targets()[:, :, 0], np.nan)
    inputs = Scaler.fit(past.panel, past.train, past.names).inputs(past.panel)
    return Material(study=study, past=past, inputs=inputs, target=target)


def compete(material: Material, options: argparse.Namespace) -> None:
    """Warm up, choose the settings of the peers, race, tell."""
    for name, runner in RUNNERS.items():
        runner(material, Race(budget=1.0, patience=1), 0, Setting(1e-3, 128))
        say(f"warm: {name}")
    found = options.found or [choose(name, material, options) for name in (NEURAL, DARTS)]
    chosen: dict[str, Setting | None] = {OWN: None, NEURAL: found[0], DARTS: found[1]}
    rounds: list[dict[str, Race]] = []
    for seed in range(1, options.rounds + 1):
        rounds.append({name: run(name, material, options, seed, chosen[name]) for name in RUNNERS})
        if options.curves:
            options.curves.write_text(
                json.dumps([{n: asdict(r) for n, r in each.items()} for each in rounds])
            )
    report(material, chosen, rounds)


def choose(name: str, material: Material, options: argparse.Namespace) -> Setting:
    """The setting of a peer that reaches the best score."""
    grid = [Setting(*pair) for pair in product(LEARNING_RATES, WINDOWS_A_STEP)]
    tried = {setting: run(name, material, options, 0, setting).best for setting in grid}
    return max(grid, key=lambda setting: tried[setting])


def run(
    name: str, material: Material, options: argparse.Namespace, seed: int, setting: Setting | None
) -> Race:
    race = Race(budget=options.budget, patience=options.patience)
    RUNNERS[name](material, race, seed, setting)
    cpu, wall = race.reached(race.best)
    say(
        f"{name}, seed {seed}, {setting or 'default settings'}: best {race.best:+.4f} after {cpu:.2f} s of the "
        f"processor, {wall:.2f} by the wall; {race.steps} steps, {race.cpu:.0f} s"
    )
    return race


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(material: Material, chosen: dict[str, Setting | None], rounds: list[dict[str, Race]]) -> None:
    """Medians over the rounds; a factor is the median of the ratios of one round."""
    rows = len(material.learnt), len(material.past.validation), material.inputs.shape[2]
    say(
        f"\n{rows[0]:,} training and {rows[1]:,} validation rows x 9 coins, {rows[2]} inputs; nats, seconds\n"
    )
    training = material.study.training
    own = f"{training.learning_rate:g}, {training.batch_chunks} chunks of {training.chunk_bars}"
    for heads in HEADS:
        say(heads)
    for name, setting in chosen.items():
        scores = [each[name].best for each in rounds]
        said = f"{setting.learning_rate:g}, {setting.windows} windows" if setting else own
        cells = [name, said, f"{median(scores):+.4f} ({min(scores):+.4f} to {max(scores):+.4f})"]
        cells.append(seconds(each[name].reached(each[name].best)[0] for each in rounds))
        for short in (0.0, SHORT):
            took = [each[name].reached(each[NEURAL].best - short) for each in rounds]
            theirs = [each[NEURAL].reached(each[NEURAL].best - short) for each in rounds]
            cells += [seconds(cpu for cpu, _ in took), seconds(wall for _, wall in took)]
            cells.append(f"{median(t[0] / o[0] for t, o in zip(theirs, took, strict=True)):.1f}")
        say("| " + " | ".join(cells) + " |")


def seconds(values: Iterable[float]) -> str:
    middle = median(values)
    return f"{middle:.2f}" if np.isfinite(middle) else "not reached"


if __name__ == "__main__":
    main()
