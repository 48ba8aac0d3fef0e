"""Nine coins, twelve opponents, five folds x five seeds: `docs/results.md`, from `longshort evaluate` and `backtest`.

    python benchmarks/results.py --data ../shared/data [--folder FOLDER] [--page docs/results.md] [--set KEY=VALUE]

All rows are development rows; the holdout stays sealed. With a folder, an interrupted run goes on where it was.
"""

import argparse
import datetime as dt
import json
import math
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import nine_coins

SEEDS = 5
OPPONENTS = ["ridge", "dlinear", "garch", "gjr-garch", "lightgbm", "prophet"]  # beside the forced ones
ALSO = "\n## Also measured\n"
QUESTIONS = ("density", "volatility", "direction", "profit")
WITHOUT_TABLES = ("seeds", "tries")  # told by their sentence alone


def main() -> None:
    options = parse()
    if options.folder is None:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), options)
    else:
        options.folder.mkdir(parents=True, exist_ok=True)
        write(options.folder, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ohlcv_1h and funding")
    parser.add_argument("--folder", type=Path, help="keep lake, fits and report here, and resume from them")
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    return parser.parse_args()


def write(folder: Path, options: argparse.Namespace) -> None:
    nine_coins.prepare(folder, options.data.absolute())
    chosen = [
        f"model.seeds={list(range(1, SEEDS + 1))}",
        f"validation.opponents={json.dumps(OPPONENTS)}",
        *options.overrides,
    ]
    arguments = ["evaluate", "nine", "--json", *[part for one in chosen for part in ("--set", one)]]
    said, took = nine_coins.timed(arguments, folder)
    page = folder / json.loads(said.splitlines()[-1])["report"]
    found = json.loads(page.with_name("report.json").read_text(encoding="utf-8"))
    traded, trading = nine_coins.timed(["backtest", *arguments[1:]], folder)
    account = json.loads(traded.splitlines()[-1]) | {"seconds": trading.seconds}
    options.page.write_text(
        "\n".join(lines(found, account, took)) + "\n" + kept(options.page), encoding="utf-8"
    )
    sys.stdout.write(f"{took.seconds:.0f} s, {took.bytes / 2**30:.2f} GiB; wrote {options.page}\n")


def kept(page: Path) -> str:
    """What the page tells of other commands' findings: it stays."""
    _, heading, rest = page.read_text(encoding="utf-8").partition(ALSO) if page.exists() else ("", "", "")
    return heading + rest


def lines(found: dict[str, Any], account: dict[str, Any], took: nine_coins.Took) -> Iterable[str]:
    """The page."""
    yield "# Results"
    yield ""
    yield (
        f"Written by `make results` on {day(found['created_at'])}, commit {commit()}, "
        f"Python {platform.python_version()}, {nine_coins.processors()} shared cores: {took.seconds:.0f} s from start "
        f"to end, {took.bytes / 2**30:.2f} GiB at most."
    )
    yield ""
    yield (
        f"{found['title']}: {', '.join(s.removesuffix('USDT') for s in found['symbols'])}; "
        f"{len(found['folds'])} folds x {len(found['seeds'])} seeds; {len(found['opponents'])} opponents. These are "
        "development rows: the recipe was chosen on them, so read the words as its best case. The holdout stays "
        "sealed; [benchmarks](benchmarks.md) has what its opening showed. Prophet "
        "speaks at every 24th bar, and is compared there. AutoARIMA, AutoETS and Theta are left out: they take longest "
        "and were far behind before (`--set 'validation.opponents=[\"all\"]'` asks them again)."
    )
    yield from verdicts(found)
    yield from opponents(found)
    yield from scores(found)
    yield from money(found, account)
    yield from evidence(found)


def verdicts(found: dict[str, Any]) -> Iterable[str]:
    yield "\n## Verdict\n"
    yield "| question | bars | word | p (Holm) | hardest opponent | skill | 95 % interval |"
    yield "|---|--:|---|--:|---|--:|---|"
    for v in sorted(found["verdicts"], key=lambda v: (QUESTIONS.index(v["question"]), v["horizon_bars"])):
        c = v["hardest"] or {}
        cells = f"{c['opponent']} ({c['metric']}) | {told(c)} | {between(c)}" if c else "| |"
        yield f"| {v['question']} | {v['horizon_bars']} | {v['word']} | {v['p_value']:.2g} | {cells} |"


def opponents(found: dict[str, Any]) -> Iterable[str]:
    yield f"\n## {found['model']} against each opponent\n"
    yield "Positive: the network is better; with the 95 % interval. A dash: the opponent does not answer."
    for metric, unit in (
        ("crps", "CRPS, %"),
        ("log_score", "log score, nats"),
        ("accuracy", "direction, points"),
    ):
        horizons = found["horizons"]
        yield f"\n| {unit} | " + " | ".join(f"{h} ahead" for h in horizons) + " |"
        yield "|---|" + "--:|" * len(horizons)
        for name in found["opponents"]:
            own = {
                c["horizon_bars"]: c
                for c in found["comparisons"]
                if (c["opponent"], c["metric"]) == (name, metric)
            }
            if own:
                cells = [
                    f"{told(own[h], unit=False)} ({between(own[h])})" if h in own else "-" for h in horizons
                ]
                yield f"| {name} | " + " | ".join(cells) + " |"


def scores(found: dict[str, Any]) -> Iterable[str]:
    yield "\n## Scores"
    for horizon in found["horizons"]:
        yield f"\n{horizon} {'bar' if horizon == 1 else 'bars'} ahead:\n"
        yield "| model | MAE, bp | RMSE, bp | MASE | CRPS, bp | log score | QLIKE | direction, % | 90 % covers, % |"
        yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
        for name, by_horizon in found["scores"].items():
            s = by_horizon[str(horizon)]
            covered = found["coverage"].get(name, {}).get(str(horizon), {}).get("0.9")
            cells = [
                number(s["mae"], 1e4, 2), number(s["rmse"], 1e4, 2), number(s["mase"], 1, 4), number(s["crps"], 1e4, 3),
                number(s["log_score"], -1, 4), number(s["qlike"], 1, 4), number(s["accuracy"], 100, 2),
                number(covered, 100, 1),
            ]  # fmt: skip
            yield f"| {name} | " + " | ".join(cells) + " |"


def money(found: dict[str, Any], account: dict[str, Any]) -> Iterable[str]:
    yield "\n## Money, after all costs\n"
    yield (
        f"Walk-forward on NautilusTrader in {account['seconds']:.0f} s, fits at hand: {account['trades']:,} trades "
        f"from {account['fills']:,} fills; engine and ledger differ by at most {account['largest_difference']:.8f} "
        f"{account['settle']} at any close. Sharpe ratios a year of daily net returns, with the 95 % interval."
    )
    yield "\n| account | net, % | Sharpe | 95 % interval | max drawdown, % | fills |"
    yield "|---|--:|--:|--:|--:|--:|"
    for one in standings(found["model"], account):
        yield standing(one)
    yield (
        f"\nBreak-even at {number(account['break_even_bps'], 1, 1)} bps a fill; "
        f"{number(account['charged_bps'], 1, 1)} were charged. The true Sharpe ratio is above 0 with probability "
        f"{number(account['probability_above_zero'], 100, 0)} %; above what the luckiest of {account['trials']:,} "
        "tries on record without skill would show (deflated) with "
        f"{number(account['probability_above_luck'], 100, 0)} %."
    )
    causes = ", ".join(f"{name} {value:+,.0f}" for name, value in account["causes"].items() if value)
    small = ", ".join(
        f"{number(a['share'], 100, 0)} % at {a['size']:,.0f}" for a in account["small_accounts"]
    )
    yield f"\nBy cause, in {account['settle']}: {causes}. Orders below the venue's minimum: {small}.\n"
    yield "| strategy | net, % | Sharpe | max drawdown, % | fills | turnover | fees, % | slippage, % | funding, % |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for p in found["profits"]:
        cells = [
            number(p["net_return"], 100, 2), number(p["sharpe"], 1, 2), number(p["max_drawdown"], 100, 2),
            f"{p['trades']:,}", number(p["turnover"], 1, 1), number(p["fees"], 100, 2), number(p["slippage"], 100, 2),
            number(p["funding"], 100, 2),
        ]  # fmt: skip
        yield f"| {p['name']} | " + " | ".join(cells) + " |"


def standings(model: str, account: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The account as taker and as maker, under other terms, and its rivals."""
    yield from (one | {"name": f"{model}, {one['name']}"} for one in account["executions"])
    yield from (one | {"name": f"{model}, {one['name']}"} for one in account["variations"])
    yield from account["rivals"]


def standing(one: dict[str, Any]) -> str:
    """A line of the table."""
    sharpe = one["sharpe"]
    span = f"{number(sharpe['low'], 1, 2)} to {number(sharpe['high'], 1, 2)}"
    cells = [
        number(one["net_return"], 100, 2), number(sharpe["sharpe"], 1, 2), span,
        number(one["max_drawdown"], 100, 2), f"{one['fills']:,}",
    ]  # fmt: skip
    return f"| {one['name']} | " + " | ".join(cells) + " |"


def evidence(found: dict[str, Any]) -> Iterable[str]:
    if found["flags"]:
        yield "\n## What a careful reader would ask about\n"
        for flag in found["flags"]:
            yield f"* **{flag['name']}** ({flag['severity']}): {flag['seen']} {flag['meaning']}"
    yield "\n## What the evidence says\n"
    for section in found["sections"]:
        title = section["title"] if section["title"].endswith("?") else f"{section['title']}."
        yield f"* **{title}** {section['missing'] or section['reading']}"


def told(c: dict[str, Any], *, unit: bool = True) -> str:
    digits = 4 if c["metric"] in ("log_score", "qlike") else 2
    return number(c["skill"], 1, digits, sign="+") + (f" {c['unit']}" if unit else "")


def between(c: dict[str, Any]) -> str:
    digits = 4 if c["metric"] in ("log_score", "qlike") else 2
    low, high = (number(end, 1, digits, sign="+") for end in c["ci95"])
    return f"{low} to {high}" if low != "-" else "-"


def number(value: float | None, times: float, digits: int, *, sign: str = "") -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value * times:{sign},.{digits}f}"


def day(instant: int) -> str:
    return dt.datetime.fromtimestamp(instant / 1e9, tz=dt.UTC).date().isoformat()


def commit() -> str:
    asked: Sequence[str] = ("git", "rev-parse", "--short", "HEAD")
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
