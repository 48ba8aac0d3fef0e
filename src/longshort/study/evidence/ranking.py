"""Does it know which coin will do best: rank correlations across coins, per horizon and quarter."""

import numpy as np

from longshort.study.case import Case
from longshort.study.evidence.calendar import quarters
from longshort.study.evidence.gains import bars_text, house_test, interval_series, listed, who
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.statistics.ranking import LEAST_COINS, PerCoin, Ranking, rank_correlation, ranking

KEY, TITLE = "ranking", "Does it know which coin will do best?"
COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="forecaster"),
    Column(
        name="rank IC",
        kind="signed",
        digits=4,
        meaning="mean Spearman correlation of expected and actual returns",
    ),
    Column(name="±", kind="number", digits=4, meaning="half of the 95 % interval"),
    Column(name="t", kind="signed", digits=2, meaning="long-run, its bandwidth paid for"),
    Column(name="p", kind="p", meaning="one-sided: the mean is not above zero"),
    Column(name="ICIR", kind="signed", digits=3, meaning="mean over standard deviation, per instant"),
    Column(
        name="positive", kind="percent", digits=1, meaning="share of instants with a correlation above zero"
    ),
    Column(name="instants", kind="count"),
)


def section(case: Case) -> Section:
    """Rank correlations of every forecaster that ranks coins at all."""
    coins = len(case.forecast.symbols)
    if coins < LEAST_COINS:
        why = f"Ranking needs at least {LEAST_COINS} coins, and there are {coins}."
        return Section(key=KEY, title=TITLE, reading="", missing=why)
    found = {name: _correlations(case, name) for name in who(case, "mse")}
    told = {name: c for name, c in found.items() if any(np.isfinite(series).any() for series in c)}
    if case.model not in told:
        return Section(key=KEY, title=TITLE, reading="", missing="The model expects the same of every coin.")
    horizons = case.forecast.horizons
    results = {
        (h, name): ranking(series[k], case.panel.grid_row, horizon_bars=h)
        for k, h in enumerate(horizons)
        for name, series in told.items()
    }
    rows = tuple(_row(h, name, result) for (h, name), result in results.items())
    table = Table(
        name="rank_ic", title="Rank correlation of expected and actual returns", columns=COLUMNS, rows=rows
    )
    mine = {h: results[h, case.model] for h in horizons}
    charts = (_by_quarter(case, told[case.model]),)
    return Section(key=KEY, title=TITLE, reading=_reading(mine), tables=(table,), charts=charts)


def _correlations(case: Case, name: str) -> list[np.ndarray]:
    mean, came = case.walk.forecasts[name].law.mean(), case.truth.outcome
    return [rank_correlation(mean[..., k], came[..., k]) for k in range(came.shape[2])]


def _row(horizon: int, name: str, found: Ranking) -> tuple[Cell, ...]:
    p_value = None if found.reason else found.p_value
    return (
        horizon, name, found.mean, found.half_width, found.t, p_value, found.ratio, found.positive, found.n,
    )  # fmt: skip


def _by_quarter(case: Case, correlations: list[np.ndarray]) -> Chart:
    place, labels = quarters(case.panel.closed_at)
    lines: list[Series] = []
    for horizon, series in zip(case.forecast.horizons, correlations, strict=True):
        parts: list[PerCoin] = [np.where(place == q, series, np.nan)[:, None] for q in range(len(labels))]
        tests = [house_test(case, part, horizon) for part in parts]
        lines.append(interval_series(bars_text(horizon), tests))
    first = lines[0]
    above, told = sum(1 for y in first.y if y > 0.0), sum(1 for y in first.y if np.isfinite(y))
    reading = f"At {first.name} the correlation was above zero in {above} of {told} quarters."
    return Chart(
        name="rank_ic_by_quarter", title="Rank correlation by quarter", kind="intervals", x_label="quarter (UTC)",
        y_label="rank IC", series=tuple(lines), reading=reading, labels=labels, x_kind="label", reference=0.0,
    )  # fmt: skip


def _reading(mine: dict[int, Ranking]) -> str:
    told = ", ".join(f"{r.mean:+.3f} ± {r.half_width:.3f} at {bars_text(h)}" for h, r in mine.items())
    shown = [bars_text(h) for h, r in mine.items() if not r.reason and r.p_value < 0.05]
    verdict = (
        f"it ranks coins better than chance at {listed(shown)}"
        if shown
        else "nothing shows that it ranks coins better than chance"
    )
    return f"The model's expected returns and what came correlate across coins by {told}: {verdict}."
