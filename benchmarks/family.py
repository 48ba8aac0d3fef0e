"""Every member of the family on nine coins, real hourly bars: what it gains over HAR-t and LightGBM, and seconds.

    python benchmarks/family.py --data ../shared/data --folder FOLDER [--seeds 5] [--kinds lstm,gru] [--folds 1,5]
        [--set model.window=48 ...]

`FOLDER` may be one that benchmarks/nine_coins.py has filled. Only development rows are read: the bars after 2024-12-31
stay sealed. Members are averaged with HAR (a share of .3), not with LightGBM, in which they would look alike. Fits are
kept in the folder, so that an interrupted run goes on. A t of 1.96 is where the 95 % interval of the gain, the wider of
both tests, ends at zero; it tells of the test bars, not of the seeds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import opponents

from longshort.base.jobs import run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.models.forecast import Forecast
from longshort.models.lstm import FittedLSTM
from longshort.models.networks.catalog import KINDS
from longshort.models.opponents.scale import HAR
from longshort.study.evaluate import truth_over
from longshort.study.folds import Fold
from longshort.study.market import Market
from longshort.study.metrics import mean_loss, per_instant, row_losses
from longshort.study.run import job_cache
from longshort.study.significance import skill_test
from longshort.study.walk import member_job, opponent_job, past_of

LIGHTGBM = "LightGBM"
NEARLY_ALONE = ("model.anchor=har", "model.anchor_share=0.3")  # with LightGBM in it, members would look alike
RIVALS = (HAR, LIGHTGBM)
TOUCHING = 1.96  # the t-value at which the 95 % interval ends at zero, fixed-b critical values included
Losses = dict[str, np.ndarray]


def main() -> None:
    options = parse()
    market = opponents.opened(options.folder, options.data)
    chosen = [market.folds()[int(number) - 1] for number in options.folds.split(",")]
    theirs = {name: rival_losses(market, chosen, name) for name in RIVALS}
    told = sys.stdout.write
    told(f"{len(chosen)} folds x {options.seeds} seeds; gain (t)\n\n")
    heads = [
        f"{h} h, {rival}: CRPS, % | log score, nats" for rival in RIVALS for h in market.targets.horizons
    ]
    told(f"| member | s per fit | {' | '.join(heads)} |\n|{'---|' * (2 + 2 * len(heads))}\n")
    for kind in options.kinds.split(","):
        seeds = f"model.seeds={list(range(1, options.seeds + 1))}"
        own = [f"model.kind={kind}", seeds, *NEARLY_ALONE, *options.overrides]
        studied = Market.of(Study.load(options.folder / "nine", own), market.bars)
        losses, seconds = member_losses(studied, chosen)
        told(line(kind, seconds, [cells(studied, chosen, losses, t) for t in theirs.values()]))
        sys.stdout.flush()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ohlcv_1h and funding")
    parser.add_argument(
        "--folder", type=Path, required=True, help="keep lake and fits here, and resume from them"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kinds", default=",".join(kind.key for kind in KINDS))
    parser.add_argument("--folds", default="1,2,3,4,5", help="which of the five")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    return parser.parse_args()


def rival_losses(market: Market, folds: Sequence[Fold], name: str) -> Losses:
    """What a rival loses on the test rows, fold after fold."""
    jobs = [opponent_job(market, fold, name) for fold in folds]
    found = dict(run_jobs(jobs, cache=job_cache(market.study), processes=usable_processors()))
    return lost(market, folds, [found[k].forecast for k in range(len(folds))])


def member_losses(market: Market, folds: Sequence[Fold]) -> tuple[Losses, float]:
    """What an ensemble of seeds loses, with a little of HAR in its scale; and the mean seconds of a fit."""
    cache, seeds = job_cache(market.study), market.study.model.seeds
    jobs = [member_job(market, fold, seed, cache) for fold in folds for seed in seeds]
    members = dict(run_jobs(jobs, cache=cache, processes=usable_processors()))
    anchors = dict(run_jobs([opponent_job(market, fold, HAR) for fold in folds], cache=cache))
    said: list[Forecast] = []
    for k, fold in enumerate(folds):
        own = tuple(members[k * len(seeds) + i] for i in range(len(seeds)))
        fitted = FittedLSTM.of(past_of(market, fold), market.study.model, own, anchors[k].fitted)
        said.append(fitted.predict(market.panel, fold.test))
    return lost(market, folds, said), float(np.mean([member.curve.seconds for member in members.values()]))


def lost(market: Market, folds: Sequence[Fold], said: Sequence[Forecast]) -> Losses:
    """Losses per row, coin and horizon."""
    parts = [row_losses(law, truth_over(market, [fold])) for fold, law in zip(folds, said, strict=True)]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("crps", "log_score")}


def cells(market: Market, folds: Sequence[Fold], own: Losses, theirs: Losses) -> list[str]:
    """The gain over one rival at every horizon: of the CRPS in percent, of the log score in nats."""
    grid_row = np.concatenate([market.bars.grid_row[fold.test.start : fold.test.stop] for fold in folds])
    told: list[str] = []
    for k, horizon in enumerate(market.targets.horizons):
        for name in own:
            gain = theirs[name][:, :, k] - own[name][:, :, k]
            scale = 100.0 / mean_loss(theirs[name][:, :, k]) if name == "crps" else 1.0
            test = skill_test(per_instant(gain), grid_row, horizon_bars=horizon)
            told.append(
                f"{scale * test.mean:+.{2 if name == 'crps' else 4}f} ({TOUCHING * test.mean / test.half_width:.1f})"
            )
    return told


def line(kind: str, seconds: float, found: Sequence[Sequence[str]]) -> str:
    """One row of the table."""
    return f"| {kind} | {seconds:.0f} | {' | '.join(cell for own in found for cell in own)} |\n"


if __name__ == "__main__":
    main()
