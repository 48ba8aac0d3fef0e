"""Coins that were never learnt from: train on ten of fifteen, judge on the other five, in three turns.

    python benchmarks/left_out.py --data ../shared/data --folder FOLDER [--seeds 5] [--folds 3,5] [--set KEY=VALUE ...]

Hourly bars from 2023 up to 2024-12-31. Everything is fitted on ten coins of a fold's past; every forecast is of a coin
that no fit has seen, on rows that come later. Market-wide features (what all coins did) are read from all fifteen, as
they would be live. GARCH and Prophet learn from the coin that they forecast, and are not in this table. Fits are kept
in the folder.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import nine_coins
import numpy as np
from family import TOUCHING

from longshort.base.jobs import Job, run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.models.anchor import fit_anchor
from longshort.models.forecast import Forecast
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.boosting import LightGBM
from longshort.models.opponents.scale import EWMA, HAR, ScaleModel, ewma, har
from longshort.models.training.fitting import Member
from longshort.study.evaluate import truth_over
from longshort.study.market import Market, code_digest, open_market
from longshort.study.metrics import mean_loss, per_instant, row_losses
from longshort.study.robustness import fit_split, past_of_split
from longshort.study.run import job_cache
from longshort.study.schemes import Split
from longshort.study.significance import skill_test

MORE = ("LTC", "ETC", "UNI", "AAVE", "ALGO", "SUI")
COINS = sorted((*nine_coins.COINS, *MORE))  # so that each group of every third has large and small ones
STUDY = 'data = { since = "2023-01-01", until = "2024-12-31T23:00Z" }\n'
TURNS = 3
Told = dict[str, Forecast]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ohlcv_1h")
    parser.add_argument("--folder", type=Path, required=True, help="keep lake and fits here")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", default="3,5", help="which of the five")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    options = parser.parse_args()
    market = opened(options)
    folds = [market.folds()[int(number) - 1] for number in options.folds.split(",")]
    groups = [tuple(range(turn, len(COINS), TURNS)) for turn in range(TURNS)]
    splits = [
        Split(
            part=str(group), learn=(range(f.train.start, f.validation.stop),), judge=(f.test,), without=group
        )
        for f in folds
        for group in groups
    ]
    said = list(spoken(market, splits))
    for line in lines(market, splits, said):
        sys.stdout.write(line + "\n")


def opened(options: argparse.Namespace) -> Market:
    """The market of the fifteen coins."""
    folder, there = options.folder.absolute(), options.data.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "lake").exists():
        files = [str(there / "ohlcv_1h" / f"binance_{coin}USDT_perp_1h.parquet") for coin in COINS]
        nine_coins.timed(["import", *files], folder)
    (folder / "study.toml").write_text(STUDY)
    seeds = f"model.seeds={list(range(1, options.seeds + 1))}"
    return open_market(Study.load(folder / "study.toml", [seeds, *options.overrides]))


def spoken(market: Market, splits: list[Split]) -> Iterator[Told]:
    """What the network and its rivals, fitted on ten coins, say of all."""
    study, horizons = market.study, market.study.target.horizons
    jobs = [
        Job(
            key=f"left-out-{code_digest()}-{study.digest()}-{split.judge}-{split.without}-{seed}",
            function=fit_split,
            arguments=(study, split, seed),
        )
        for split in splits
        for seed in study.model.seeds
    ]
    fitted = dict(run_jobs(jobs, cache=job_cache(study), processes=usable_processors()))
    for k, split in enumerate(splits):
        past = past_of_split(market, split)
        members: tuple[Member, ...] = tuple(
            fitted[k * len(study.model.seeds) + i] for i in range(len(study.model.seeds))
        )
        trees = LightGBM(horizons).fit(past)
        anchor = trees if study.model.anchor == "lightgbm" else fit_anchor(past, study.model)
        models = [
            FittedLSTM.of(past, study.model, members, anchor),
            ScaleModel(EWMA, horizons, ewma).fit(past),
            ScaleModel(HAR, horizons, har).fit(past),
            trees,
        ]
        yield {model.name: model.predict(market.panel, split.judge[0]) for model in models}


def lines(market: Market, splits: list[Split], said: list[Told]) -> Iterator[str]:
    """One row per opponent: the gain at each horizon, in CRPS and log score."""
    lost: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in said[0]}
    for split, told in zip(splits, said, strict=True):
        fold = next(fold for fold in market.folds() if fold.test == split.judge[0])
        left = np.isin(np.arange(len(market.bars.symbols)), split.without)[None, :, None]
        for name, forecast in told.items():
            losses = row_losses(forecast, truth_over(market, [fold]))
            lost[name].append({m: np.where(left, losses[m], np.nan) for m in ("crps", "log_score")})
    tests = list(dict.fromkeys(split.judge[0] for split in splits))
    grid_row = np.concatenate([market.bars.grid_row[test.start : test.stop] for test in tests])
    whole = {name: _joined(parts, [split.judge[0] for split in splits]) for name, parts in lost.items()}
    own, *rivals = whole
    yield f"{own}: {len(splits)} fits x {len(market.study.model.seeds)} seeds, {len(grid_row):,} instants; gain (t)\n"
    heads = [f"{h} h: CRPS, % | log score, nats" for h in market.targets.horizons]
    yield f"| against | {' | '.join(heads)} |"
    yield "|---|" + "--:|" * (2 * len(heads))
    for name in rivals:
        cells: list[str] = []
        for k, horizon in enumerate(market.targets.horizons):
            for metric, digits in (("crps", 3), ("log_score", 4)):
                theirs = whole[name][metric][:, :, k]
                test = skill_test(
                    per_instant(theirs - whole[own][metric][:, :, k]), grid_row, horizon_bars=horizon
                )
                scale = 100.0 / mean_loss(theirs) if metric == "crps" else 1.0
                cells.append(
                    f"{scale * test.mean:+.{digits}f} ({TOUCHING * test.mean / test.half_width:.1f})"
                )
        yield f"| {name} | {' | '.join(cells)} |"


def _joined(parts: list[dict[str, np.ndarray]], tests: list[range]) -> dict[str, np.ndarray]:
    """Each coin by the one fit that has not seen it; folds one after the other."""
    merged: dict[str, list[np.ndarray]] = {"crps": [], "log_score": []}
    for test in dict.fromkeys(tests):
        for metric, rows in merged.items():
            turns = [part[metric] for part, its in zip(parts, tests, strict=True) if its == test]
            known = np.isfinite(turns).any(axis=0)
            rows.append(np.where(known, np.nansum(turns, axis=0), np.nan))
    return {metric: np.concatenate(rows) for metric, rows in merged.items()}


if __name__ == "__main__":
    main()
