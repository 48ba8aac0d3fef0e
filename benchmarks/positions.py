"""Learning what to hold against forecasting and a hand-written policy: net Sharpe ratios after every cost.

    python benchmarks/positions.py [--edge 0.05] [--season 0.15] [--markets 1] [--seeds 2] [--bars 8000]
    python benchmarks/positions.py --data ../shared/data --folder FOLDER [--seeds 2]

The first judges on simulated markets whose means are planted: `season` by hour and weekday, `edge` in the reversal of
the last move. The second reads nine coins from 2023 up to 2024-12-31; nothing later is opened. Both learn on the first
60 % of the bars and pay 5 + 1 bps per fill and funding on the rest, through the same ledger.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nine_coins
import numpy as np

from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.models.anchor import fit_anchor
from longshort.models.forecaster import volatility_over
from longshort.models.heads.catalog import POSITIONS, head_named
from longshort.models.heads.position import UtilityHead
from longshort.models.lstm import FittedLSTM, as_rows
from longshort.models.memory import run
from longshort.models.training.fitting import fit_member
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import run_ledger
from longshort.policy.steering import Steering, exposures
from longshort.study.folds import Fold
from longshort.study.market import Market, load_bars
from longshort.study.money import daily_sharpe, rule_of
from longshort.study.walk import past_of

UNTIL = "2024-12-31T23:00Z"
HEAD = "student-t"
HORIZONS = dict.fromkeys((HEAD, *POSITIONS), (1, 4))  # the policy looks four ahead, as a first belief does


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What an account came to: net Sharpe ratio and return, costs as a share of the balance, turnover per bar."""

    market: str
    head: str
    sharpe: float
    net: float
    paid: float
    turnover: float
    seconds: float


def main() -> None:
    options = parse()
    told = sys.stdout.write
    told("| market | learnt by | net Sharpe | net return, % | costs, % | turnover per bar, % | s |\n")
    told("|---|---|---|---|---|---|---|\n")
    for name, study, bars in markets(options):
        for head, horizons in HORIZONS.items():
            began = time.perf_counter()
            row = earned(name, with_head(study, head, horizons, options), bars, began)
            told(
                f"| {row.market} | {row.head} | {row.sharpe:+.2f} | {100 * row.net:+.1f} | {100 * row.paid:.1f} |"
            )
            told(f" {100 * row.turnover:.2f} | {row.seconds:.0f} |\n")
            sys.stdout.flush()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--edge", type=float, default=0.05)
    parser.add_argument("--season", type=float, default=0.15)
    parser.add_argument("--markets", type=int, default=1)
    parser.add_argument("--coins", type=int, default=4)
    parser.add_argument("--bars", type=int, default=8_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--hidden", type=int, default=24)
    parser.add_argument("--data", type=Path, help="folder with ohlcv_1h and funding: nine coins instead")
    parser.add_argument("--folder", type=Path, help="keep the lake of the nine coins here")
    return parser.parse_args()


def markets(options: argparse.Namespace) -> Iterator[tuple[str, Study, object]]:
    """Names, studies and bars to judge on."""
    if options.data is not None:
        folder = options.folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        nine_coins.prepare(folder, options.data.absolute())
        study = Study.load(folder / "nine", [f'data.until="{UNTIL}"', 'validation.holdout_from=""'])
        yield "nine coins", study, load_bars(study)
        return
    for seed in range(1, options.markets + 1):
        drawn = simulate_market(
            options.coins, options.bars, edge=options.edge, season=options.season, seed=seed
        )
        yield f"simulated {seed}", Study.parse({"data": {"source": "embedded"}}), drawn.bars


def with_head(study: Study, head: str, horizons: tuple[int, ...], options: argparse.Namespace) -> Study:
    """The study with another head; all else is the same for all."""
    tables = study.model_dump(mode="json")
    tables["target"] = {"horizons": horizons}
    tables["policy"]["horizon_bars"] = horizons[-1]
    tables["model"] |= {"head": head, "hidden": options.hidden, "seeds": range(1, options.seeds + 1)}
    tables["model"] |= {"anchor": "har", "anchor_share": 0.5}
    tables["training"] |= {"steps": options.steps, "patience": 8}
    return Study.parse(tables | {"validation": {"folds": 1, "first_train_share": 0.6}}, folder=study.folder)


def earned(name: str, study: Study, bars: object, began: float) -> Row:
    """Fit one fold, and run the account of the rows after it."""
    market = Market.of(study, bars)
    fold = market.folds()[0]
    past = past_of(market, fold)
    members = tuple(fit_member(past, study.model, study.training, seed) for seed in study.model.seeds)
    fitted = FittedLSTM.of(past, study.model, members, fit_anchor(past, study.model))
    head = head_named(study.model.head)
    if isinstance(head, UtilityHead):
        wishes = held(market, fitted, fold, head)
    else:
        rule = rule_of(market)
        wishes = exposures(fitted.predict(market.panel, fold.test), Steering(rule, market.bars.symbols))
    ledger = run_ledger(market.bars[fold.test.start : fold.test.stop], wishes, study.costs.record)
    paid = ledger.totals.fees + ledger.totals.slippage + ledger.totals.funding
    return Row(
        market=name,
        head=study.model.head
        if study.model.head in POSITIONS
        else f"{study.model.head}, hand-written policy",
        sharpe=daily_sharpe(ledger),
        net=ledger.equity[-1] / ledger.starting_balance - 1.0,
        paid=paid / ledger.starting_balance,
        turnover=float(np.nanmean(ledger.turnover)),
        seconds=time.perf_counter() - began,
    )


def held(market: Market, fitted: FittedLSTM, fold: Fold, head: UtilityHead) -> Exposure:
    """Positions as exposures: a full one has the share of the volatility target that the policy gives a coin."""
    rows, policy = fold.test, market.study.policy
    inputs = as_rows(fitted.scaler, market.panel)
    raw = [run(network, inputs, rows, fitted.model.restart_rows) for network in fitted.networks()]
    part = market.panel[rows.start : rows.stop]
    yearly = volatility_over(part, (1,))[:, :, 0] * np.sqrt(market.bars.bars_per_year)
    full = np.minimum(policy.volatility_target / len(part.symbols) / yearly, policy.max_exposure)
    target = head.zones(np.stack(raw)).exposures(np.where(part.usable, full, np.nan))
    return Exposure(closed_at=part.closed_at, symbols=part.symbols, target=target)


if __name__ == "__main__":
    main()
