"""What `train`, `evaluate`, `forecast` and `backtest` print: aligned, with units, the answer first."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.text import Text

from longshort._commands.refine import Refinement
from longshort._commands.show import show_flags
from longshort._commands.terminal import say, say_table
from longshort.base.clock import format_instant
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.models.bundle import Bundle
from longshort.models.forecast import Forecast
from longshort.models.opponents.catalog import OPPONENTS, find_opponents
from longshort.study.evidence.learning import stopping_reasons
from longshort.study.report import Profit, Report, Word
from longshort.web.words import headline

STYLES = {Word.BEATS: "bold cyan", Word.NO_EDGE: "bold magenta", Word.INCONCLUSIVE: "yellow"}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def tell_bundle(bundle: Bundle, folder: Path) -> None:
    """How each seed went."""
    rows = [
        [
            str(member.seed),
            f"{member.curve.seconds:.1f}",
            str(member.curve.steps[-1]),
            *[str(step) for step in member.curve.best_step],
        ]
        for member in bundle.fitted.members
    ]
    best = [f">best step, {h} bars" for h in bundle.fitted.horizons]
    say_table("Trained", [">seed", ">seconds", ">steps", *best], rows)
    weights = ", ".join(
        f"{w:.2f} at {h}" for h, w in zip(bundle.fitted.horizons, bundle.fitted.mean_weights, strict=True)
    )
    say(
        f"Trained on what was known by {format_instant(bundle.trained_until)}; share of the mean believed: {weights}."
    )
    say(f"Stopped: {stopping_reasons(bundle.fitted.members)}.")
    say(f"Bundle: {folder}")


def tell_refinement(found: Refinement, folder: Path) -> None:
    """What each seed gained on the newest rows, and whether the bundle is another now."""
    horizons = found.bundle.fitted.horizons
    rows = [
        [str(one.member.seed), *[_gained(*told) for told in zip(one.gains, one.accepted, strict=True)]]
        for one in found.refined
    ]
    say_table("Refined", [">seed", *[f">gain, {h} bars" for h in horizons]], rows)
    judged, taught = found.rows.validation, len(found.rows.old)
    say(
        f"Judged on the {len(judged):,} newest bars, which were new to both; {taught:,} older ones were replayed."
    )
    say(f"Stopped: {stopping_reasons([one.member for one in found.refined])}.")
    if found.is_better:
        say(f"Taken where the gain is above its standard error; the parent's hash is {found.parent.content}.")
    else:
        say("No gain is above its standard error: the old weights stay, and so does the bundle.")
    say(f"Bundle: {folder}")


def tell_report(report: Report, folder: Path) -> None:
    """The verdict, then what it rests on."""
    say(headline(report), style="bold")
    show_flags(report.flags)
    rows = [
        [
            verdict.question,
            str(verdict.horizon_bars),
            Text(verdict.word.value, style=STYLES[verdict.word]),
            f"{verdict.p_value:.4f}",
            *_hardest(report, verdict.question, verdict.horizon_bars),
            f"{verdict.bars_to_decide:,}" if verdict.bars_to_decide else "",
        ]
        for verdict in report.verdicts
    ]
    columns = [
        "question",
        ">bars",
        "verdict",
        ">p (Holm)",
        "hardest opponent",
        ">skill",
        ">95 % interval",
        "unit",
    ]
    say_table(report.title, [*columns, ">bars to decide"], rows)
    _tell_scores(report)
    if report.profits:
        tell_profits(report.profits)
    for note in report.notes:
        say(note)
    trials = (
        f"{report.trials} settings tried on these bars so far" if report.trials else "not counted as a trial"
    )
    opened = f"; holdout opened {report.holdout_openings} times" if report.holdout_openings else ""
    say(f"{len(report.folds)} folds x {len(report.seeds)} seeds in {report.seconds:.0f} s; {trials}{opened}.")
    say(f"Report: {folder / 'report.html'}; `longshort report STUDY` prints the evidence topic by topic.")


def tell_profits(profits: Sequence[Profit]) -> None:
    """Money, in percent of the starting balance."""
    rows = [
        [
            p.name,
            f"{p.net_return:+.2%}",
            f"{p.sharpe:.2f}",
            f"{p.max_drawdown:.2%}",
            f"{p.trades:,}",
            f"{p.turnover:.1f}x",
            f"{p.fees:.2%}",
            f"{p.slippage:.2%}",
            f"{p.funding:+.2%}",
            f"{p.break_even_bps:.1f}" if np.isfinite(p.break_even_bps) else "",
        ]
        for p in profits
    ]
    columns = [
        ">net return",
        ">Sharpe",
        ">max drawdown",
        ">fills",
        ">turnover",
        ">fees",
        ">slippage",
        ">funding paid",
    ]
    say_table("Money, after all costs", ["strategy", *columns, ">break-even bps"], rows)


def tell_opponents(study: Study) -> None:
    """Every opponent by the key that a study writes."""
    chosen = {opponent.key for opponent in find_opponents(study.validation.opponents)}
    rows = [
        [
            opponent.key,
            opponent.name,
            "always" if opponent.forced else "yes" if opponent.key in chosen else "",
            opponent.origins,
            opponent.summary,
        ]
        for opponent in OPPONENTS
    ]
    say_table(
        "Whom a model has to beat", ["key", "in reports", "in this study", "speaks at", "what it is"], rows
    )
    say('A study names them in [validation] opponents, like ["gjr-garch", "lightgbm"], or "all".')


def tell_forecast(forecast: Forecast, bars: Bars, pictures: Sequence[Path]) -> None:
    """One line per coin and horizon: the distribution of the coming move."""
    rows: list[list[str]] = []
    moves = [forecast.law.quantile(level)[-1] for level in LEVELS]
    volatility = np.sqrt(forecast.law.variance()[-1])
    p_up = 1.0 - forecast.law.cdf(np.zeros_like(forecast.law.mean()))[-1]
    for a, symbol in enumerate(forecast.symbols):
        for k, horizon in enumerate(forecast.horizons):
            known = np.isfinite(p_up[a, k])
            cells = [
                f"{p_up[a, k]:.1%}",
                f"{volatility[a, k]:.2%}",
                *[f"{np.expm1(m[a, k]):+.2%}" for m in moves],
            ]
            price = f"{bars.close[-1, a]:,.6g}" if k == 0 else ""
            rows.append(
                [symbol if k == 0 else "", price, str(horizon), *(cells if known else ["?"] * len(cells))]
            )
    columns = [">close", ">bars ahead", ">P(up)", ">volatility", ">5 %", ">25 %", ">median", ">75 %", ">95 %"]
    say_table(
        f"Forecast at the close of {format_instant(int(forecast.closed_at[-1]))}", ["coin", *columns], rows
    )
    for picture in pictures:
        say(f"Picture: {picture}")


def forecast_rows(forecast: Forecast) -> list[dict[str, object]]:
    """What `forecast --json` prints: one object per coin and horizon, instants in ISO 8601."""
    frame = forecast[-1:].to_polars()
    return [row | {"closed_at": row["closed_at"].isoformat()} for row in frame.iter_rows(named=True)]


def _gained(gain: tuple[float, float], accepted: bool) -> str:  # noqa: FBT001 a cell of a table
    return f"{gain[0]:+.4f} ± {gain[1]:.4f}{'' if accepted else ', not taken'}"


def _hardest(report: Report, question: str, horizon_bars: int) -> list[str]:
    verdict = report.verdict(question, horizon_bars)
    if verdict is None or verdict.hardest is None:
        return ["", "", "", verdict.reason if verdict else ""]
    c = verdict.hardest
    return [f"{c.opponent} ({c.metric})", f"{c.skill:+.4f}", f"{c.ci95[0]:+.4f} to {c.ci95[1]:+.4f}", c.unit]


def _tell_scores(report: Report) -> None:
    columns = [
        ">MAE, bp",
        ">RMSE, bp",
        ">MASE",
        ">CRPS, bp",
        ">log score",
        ">QLIKE",
        ">direction",
        ">90 % covers",
    ]
    rows = [
        [
            str(horizon) if k == 0 else "",
            name,
            *_score_cells(report, name, horizon),
        ]
        for horizon in report.horizons
        for k, name in enumerate(report.scores)
    ]
    say_table("Scores on the same rows", [">bars", "model", *columns], rows)


def _score_cells(report: Report, name: str, horizon: int) -> list[str]:
    scores = report.scores[name][horizon]
    covered = report.coverage.get(name, {}).get(horizon, {}).get(0.9, float("nan"))
    cells = [
        (scores["mae"] * 1e4, ".2f"),
        (scores["rmse"] * 1e4, ".2f"),
        (scores["mase"], ".4f"),
        (scores["crps"] * 1e4, ".3f"),
        (-scores["log_score"], ".4f"),
        (scores["qlike"], ".4f"),
        (scores["accuracy"], ".2%"),
        (covered, ".1%"),
    ]
    return [format(value, how) if np.isfinite(value) else "" for value, how in cells]
