"""The opponents on nine coins, real hourly bars: seconds per fold, and what each gains over HAR-t and EWMA-t.

    python benchmarks/opponents.py --data ../shared/data [--folder FOLDER] [--folds 1,5] [--only lightgbm,garch]

`FOLDER` is one that benchmarks/nine_coins.py has filled; without it the bars are imported into a folder of their own.
Only development rows are read: the bars after 2024-12-31 stay sealed.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import nine_coins
import numpy as np

from longshort.base.settings import Study
from longshort.models.forecast import Forecast
from longshort.models.forecaster import Forecaster
from longshort.models.opponents.catalog import find_opponents
from longshort.study.folds import Fold
from longshort.study.market import Market, open_market
from longshort.study.metrics import per_instant
from longshort.study.walk import past_of

FAST = ("ridge", "dlinear", "garch", "gjr-garch", "lightgbm")
RIVALS = ("HAR-t", "EWMA-t")


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as own:
        market = opened(options.folder or Path(own), options.data)
        folds = {int(number): market.folds()[int(number) - 1] for number in options.folds.split(",")}
        compare(market, folds, options.only.split(","))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ohlcv_1h and funding")
    parser.add_argument("--folder", type=Path, help="keep the lake here, and find it here again")
    parser.add_argument("--folds", default="1,2,3,4,5", help="which of the five")
    parser.add_argument("--only", default=",".join(FAST), help="opponents, as a study names them")
    return parser.parse_args()


def opened(folder: Path, data: Path) -> Market:
    """The market of the nine coins."""
    if not (folder / "lake").exists():
        kinds = (("ohlcv_1h", "perp_1h"), ("funding", "funding"))
        files = [
            str(data.absolute() / kind / f"binance_{coin}USDT_{end}.parquet")
            for kind, end in kinds
            for coin in nine_coins.COINS
        ]
        nine_coins.timed(["import", *files], folder)
    study = folder / "nine" / "study.toml"
    study.parent.mkdir(exist_ok=True)
    study.write_text(nine_coins.STUDY)
    return open_market(Study.load(study.parent))


def compare(market: Market, folds: Mapping[int, Fold], keys: Sequence[str]) -> None:
    horizons = market.study.target.horizons
    models = {o.name: o.make(horizons) for o in find_opponents(keys)}
    gains: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for number, fold in folds.items():
        losses = {name: fold_losses(market, fold, model, number) for name, model in models.items()}
        for name, own in losses.items():
            gains[name].append(np.stack([np.stack([losses[rival], own]) for rival in RIVALS]))
    heads = [f"{h} h, {rival}: CRPS | log score" for rival in RIVALS for h in horizons]
    sys.stdout.write("\n| opponent | " + " | ".join(heads) + " |\n|" + "---|" * (2 * len(heads) + 1) + "\n")
    for name, found in gains.items():
        losses = np.concatenate(found, axis=2)
        if np.isfinite(losses).any(axis=(0, 2, 3, 4))[1]:  # the others state no distribution
            sys.stdout.write(line(name, losses, len(horizons)))


def fold_losses(market: Market, fold: Fold, model: Forecaster, number: int) -> np.ndarray:
    """CRPS and negative log density, the mean over coins at each row of the test: (time, horizon, 2)."""
    began = time.perf_counter()
    fitted = model.fit(past_of(market, fold))
    trained = time.perf_counter()
    forecast = fitted.predict(market.panel, fold.test)
    took = time.perf_counter() - trained
    sys.stdout.write(f"fold {number}: {model.name}: fit {trained - began:.1f} s, forecast {took:.2f} s\n")
    sys.stdout.flush()
    return scores(forecast, outcome_of(market, fold))


def outcome_of(market: Market, fold: Fold) -> np.ndarray:
    """What came, where it had come before the sealed rows."""
    known = market.targets.known_by(market.development_rows)[fold.test.start : fold.test.stop]
    return np.where(known, market.targets.log_return[fold.test.start : fold.test.stop], np.nan)


def scores(forecast: Forecast, outcome: np.ndarray) -> np.ndarray:
    losses = (forecast.law.crps(outcome), -forecast.law.log_density(outcome))
    ahead = range(outcome.shape[2])
    return np.stack([[per_instant(loss[:, :, k]) for k in ahead] for loss in losses], axis=-1).transpose(
        1, 0, 2
    )


def line(name: str, losses: np.ndarray, horizons: int) -> str:
    """One row of the table from (rival, theirs and ours, time, horizon, loss)."""
    cells: list[str] = []
    for theirs, ours in np.nanmean(losses, axis=2):
        for k in range(horizons):
            cells += [f"{100 * (1 - ours[k, 0] / theirs[k, 0]):+.3f} %", f"{theirs[k, 1] - ours[k, 1]:+.4f}"]
    return f"| {name} | " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    main()
