"""Which families of features carry the forecast? Each is left out in turn, on nine coins and real hourly bars.

    python benchmarks/ablation.py --data ../shared/data --folder FOLDER [--seeds 1] [--only NAME ...]

Development bars only, up to 2024-12-31; nothing is chosen on what comes after. Fits are kept in the folder, so that
an interrupted run goes on. Losses are those of the network with its HAR anchor, as `longshort evaluate` uses it. The
intervals tell of the test bars, not of the seeds: the line that changes nothing but those says how much they weigh.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longshort.base.jobs import run_jobs, usable_processors
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.scale import HAR
from longshort.study.evaluate import truth_over
from longshort.study.folds import Fold
from longshort.study.market import Market, load_bars
from longshort.study.metrics import row_losses
from longshort.study.run import job_cache
from longshort.study.verdict import Comparison, compare
from longshort.study.walk import member_job, opponent_job, past_of

COINS = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "TRX")
SPOT = ("BTC", "ETH", "SOL", "XRP")
STUDY = """\
[data]
venue = "binanceusdm"
spot_venue = "binance"
since = "2023-01-01"
until = "2024-12-31T23:00Z"

[features]
news = "vader"
"""
METRICS = ("crps", "log_score", "brier")
ALL = "all families"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A set of features under a name, and how much is added to every seed."""

    name: str
    features: tuple[str, ...]
    other_seed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with ohlcv_1h, funding, open_interest ..."
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="keep lake and fits here, and resume from them"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="leave out these families only")
    parser.add_argument(
        "--sets", nargs="*", default=[], help="instead, read nothing but families like price,range"
    )
    options = parser.parse_args()
    study = prepare(options.data.absolute(), options.folder.absolute(), options.seeds)
    bars = load_bars(study)
    told = sys.stdout.write
    told(
        "| without | columns | bars ahead | CRPS, % | 95 % | log score, nats | 95 % | Brier, % | 95 % | s |\n"
    )
    told("|---|---|---|---|---|---|---|---|---|---|\n")
    whole: dict[str, np.ndarray] = {}
    for variant in variants(study, bars, options):
        began = time.perf_counter()
        market, losses = losses_of(study, bars, variant)
        if variant.name == ALL:
            whole = losses
            continue
        for line in lines(market, variant, losses, whole, time.perf_counter() - began):
            told(line)
        sys.stdout.flush()


def prepare(data: Path, folder: Path, seeds: int) -> Study:
    """The lake and the study, as a person would make them."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "lake").is_dir():
        bars = [data / "ohlcv_1h" / f"binance_{coin}USDT_perp_1h.parquet" for coin in COINS]
        funding = [data / "funding" / f"binance_{coin}USDT_funding.parquet" for coin in COINS]
        spot = [data / "ohlcv_1h_spot" / f"binance_{coin}USDT_spot_1h.parquet" for coin in SPOT]
        interest = [data / "open_interest" / f"bybit_{coin}USDT_oi_1h.parquet" for coin in COINS]
        longshort(folder, "import", *bars, *funding)
        longshort(folder, "import", *spot)
        longshort(folder, "import", *interest, "--venue", "binanceusdm")
        longshort(
            folder,
            "news",
            "import",
            data / "sentiment" / "fear_greed_index_daily.parquet",
            "--source",
            "fear-greed",
        )
    (folder / "ablation").mkdir(exist_ok=True)
    (folder / "ablation" / "study.toml").write_text(STUDY)
    return Study.load(folder / "ablation", [f"model.seeds={list(range(1, seeds + 1))}"])


def longshort(folder: Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "longshort", *map(str, arguments)]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def variants(study: Study, bars: Bars, options: argparse.Namespace) -> list[Variant]:
    """Everything on record for any coin, then everything without one family after the other, or nothing but some."""
    recipe = Market.of(study, bars).recipe
    spot = [n for n, f in recipe.catalog.items() if f.default and "spot_close" in f.needs]
    every = (*recipe.names, *[name for name in spot if name not in recipe.names])
    family = {name: recipe.catalog[name].family for name in every}
    found = [Variant(name=ALL, features=every)]
    if options.sets:
        return found + [
            Variant(
                name=f"all but {text}",
                features=tuple(n for n in every if {n, family[n]} & {*text.split(",")}),
            )
            for text in options.sets
        ]
    found.append(Variant(name="nothing, but other seeds", features=every, other_seed=100))
    without = options.only or dict.fromkeys(family.values())
    return found + [Variant(name=w, features=tuple(n for n in every if family[n] != w)) for w in without]


def losses_of(study: Study, bars: Bars, variant: Variant) -> tuple[Market, dict[str, np.ndarray]]:
    """Fit every fold and seed on a set of features, and score the test rows of all folds."""
    chosen = study.features.model_copy(update={"names": variant.features})
    seeds = tuple(seed + variant.other_seed for seed in study.model.seeds)
    model = study.model.model_copy(update={"seeds": seeds})
    market = Market.of(study.model_copy(update={"features": chosen, "model": model}), bars)
    forecast = walked(market, market.folds())
    return market, row_losses(forecast, truth_over(market, market.folds()))


def walked(market: Market, folds: tuple[Fold, ...]) -> Forecast:
    """The network's forecasts of every test row; the simpler models are not fitted."""
    seeds = market.study.model.seeds
    jobs = [member_job(market, fold, seed) for fold in folds for seed in seeds]
    jobs += [opponent_job(market, fold, HAR) for fold in folds]
    results = dict(run_jobs(jobs, cache=job_cache(market.study), processes=usable_processors()))
    parts: list[Forecast] = []
    for k, fold in enumerate(folds):
        members = tuple(results[k * len(seeds) + i] for i in range(len(seeds)))
        anchor = results[len(folds) * len(seeds) + k]
        fitted = FittedLSTM.of(past_of(market, fold), market.study.model, members, anchor.fitted)
        parts.append(fitted.predict(market.panel, fold.test))
    return parts[0].join(*parts[1:])


def lines(
    market: Market,
    variant: Variant,
    losses: Mapping[str, np.ndarray],
    whole: Mapping[str, np.ndarray],
    seconds: float,
) -> list[str]:
    """How much the whole set gains on the one that lacks a family; positive: the family helps."""
    folds = market.folds()
    grid_row = market.bars.grid_row[folds[0].test.start : folds[-1].test.stop]
    told: list[str] = []
    for k, horizon in enumerate(market.targets.horizons):
        found = [
            compare(
                metric,
                variant.name,
                horizon_bars=horizon,
                model_loss=whole[metric][:, :, k],
                opponent_loss=losses[metric][:, :, k],
                grid_row=grid_row,
            )
            for metric in METRICS
        ]
        cells = " | ".join(cell(comparison) for comparison in found)
        told.append(f"| {variant.name} | {len(variant.features)} | {horizon} | {cells} | {seconds:.0f} |\n")
    return told


def cell(found: Comparison) -> str:
    low, high = found.ci95
    mark = "**" if low > 0 or high < 0 else ""
    return f"{mark}{found.skill:+.4f}{mark} | {low:+.4f} to {high:+.4f}"


if __name__ == "__main__":
    main()
