"""Is the forecast variance the variance that comes: Mincer-Zarnowitz per forecaster and horizon, and by tenth."""

import numpy as np
from jaxtyping import Float64

from longshort.study.case import Case
from longshort.study.evidence.gains import bars_text, listed, number, who
from longshort.study.metrics import mean_loss
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.significance import lags_for
from longshort.study.statistics.volatility import Fit, mincer_zarnowitz

PerCoin = Float64[np.ndarray, "time asset"]
KEY, TITLE = "volatility", "Does it know how far prices will move?"
PARTS = 10
COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="forecaster"),
    Column(name="QLIKE", kind="number", digits=4, meaning="mean loss, smaller is better"),
    Column(
        name="ratio", kind="number", digits=3, meaning="squared returns over forecast variance, on average"
    ),
    Column(
        name="slope", kind="number", digits=3, meaning="of squared returns on forecast variance: 1 if right"
    ),
    Column(name="± slope", kind="number", digits=3, meaning="half of the 95 % interval"),
    Column(name="intercept", kind="signed", unit="% of variance", digits=1, meaning="0 if right"),
    Column(name="p (0, 1)", kind="p", meaning="joint: intercept 0 and slope 1"),
    Column(
        name="weighted slope",
        kind="number",
        digits=3,
        meaning="the same with calm rows counting as much as wild",
    ),
    Column(name="p weighted", kind="p", meaning="joint test of the weighted regression"),
    Column(name="R2", kind="number", unit="%", digits=1, meaning="of squared returns"),
    Column(
        name="R2 realised", kind="number", unit="%", digits=1, meaning="of the sum of squared one-bar returns"
    ),
)


def section(case: Case) -> Section:
    """The regression for everyone who states a variance, and the model's calibration by tenth of its forecast."""
    names = who(case, "qlike")
    if case.model not in names:
        return Section(key=KEY, title=TITLE, reading="", missing="The model states no variance.")
    horizons = case.forecast.horizons
    realised = [realised_variance(case.panel.log_return, case.panel.grid_row, h) for h in horizons]
    variances = {name: case.walk.forecasts[name].law.variance() for name in names}
    rows = tuple(
        _row(case, name, k, variances[name][..., k], realised[k])
        for k in range(len(horizons))
        for name in names
    )
    table = Table(
        name="mincer_zarnowitz", title="Squared returns on forecast variance", columns=COLUMNS, rows=rows,
        note="A squared return is a very noisy sight of variance: even a perfect forecast explains little of it. A "
        "slope below 1 says that forecasts swing more than what comes.",
    )  # fmt: skip
    chart = _chart(case, variances[case.model])
    reading = _reading([row for row in rows if row[1] == case.model])
    return Section(key=KEY, title=TITLE, reading=reading, tables=(table,), charts=(chart,))


def realised_variance(log_return: PerCoin, grid_row: np.ndarray, horizon_bars: int) -> PerCoin:
    """The sum of the squared one-bar returns after each row; NaN where a bar of the horizon is not there.

    >>> realised_variance(np.array([[9.0], [1.0], [2.0], [3.0]]), np.arange(4), 2).ravel().tolist()
    [5.0, 13.0, nan, nan]
    """
    sums, last = np.full(log_return.shape, np.nan), len(log_return) - horizon_bars
    if last > 0:
        reached = np.cumsum(np.pad(np.nan_to_num(log_return**2), ((1, 0), (0, 0))), axis=0)
        absent = np.cumsum(np.pad(np.isnan(log_return), ((1, 0), (0, 0))), axis=0)
        unbroken = grid_row[horizon_bars:] - grid_row[:-horizon_bars] == horizon_bars
        there = unbroken[:, None] & (absent[horizon_bars + 1 :] == absent[1 : last + 1])
        sums[:last] = np.where(there, reached[horizon_bars + 1 :] - reached[1 : last + 1], np.nan)
    return sums


def _row(case: Case, name: str, k: int, variance: PerCoin, realised: PerCoin) -> tuple[Cell, ...]:
    horizon, grid_row = case.forecast.horizons[k], case.panel.grid_row
    squared = np.where(np.isnan(case.losses[name]["qlike"][..., k]), np.nan, case.truth.outcome[..., k] ** 2)
    lags = lags_for(int(grid_row[-1] - grid_row[0]) + 1, horizon)
    plain = mincer_zarnowitz(squared, variance, grid_row, lags=lags)
    weighted = mincer_zarnowitz(squared, variance, grid_row, lags=lags, weighted=True)
    finer = mincer_zarnowitz(np.where(np.isnan(squared), np.nan, realised), variance, grid_row, lags=lags)
    level = mean_loss(squared)
    return (
        horizon, name, mean_loss(case.losses[name]["qlike"][..., k]), mean_loss(squared / variance),
        plain.slope, 1.96 * plain.slope_error, 100.0 * plain.intercept / level if level > 0.0 else None,
        _p(plain), weighted.slope, _p(weighted), 100.0 * plain.r2, 100.0 * finer.r2,
    )  # fmt: skip


def _p(fit: Fit) -> Cell:
    return None if fit.reason else fit.p_value


def _chart(case: Case, variance: np.ndarray) -> Chart:
    stated = [
        _by_part(variance[..., k] / h, case.truth.outcome[..., k] ** 2 / h, h)
        for k, h in enumerate(case.forecast.horizons)
    ]
    ends = sorted(x for series in stated for x in series.x)
    ends = [ends[0], ends[-1]] if ends else [0.0, 1.0]
    worst = max(
        ((abs(y / x - 1.0), x, y, s.name) for s in stated for x, y in zip(s.x, s.y, strict=True)),
        default=None,
    )
    reading = (
        f"The forecast tenth that is furthest off: {worst[3]}, {worst[1]:.0f} bp stated and {worst[2]:.0f} bp came "
        f"({worst[2] / worst[1] - 1.0:+.0%})."
        if worst
        else "Too few rows to tell."
    )
    return Chart(
        name="variance_by_tenth", title="When it says so much volatility, how much comes?", kind="dots",
        x_label="forecast volatility, bp per root bar", y_label="volatility that came, bp per root bar",
        series=(Series(name="as stated", x=tuple(ends), y=tuple(ends)), *stated), reading=reading,
    )  # fmt: skip


def _by_part(variance: PerCoin, squared: PerCoin, horizon: int) -> Series:
    scored = np.isfinite(variance) & np.isfinite(squared)
    if np.count_nonzero(scored) < PARTS:
        return Series(name=bars_text(horizon), x=(), y=())
    stated, came = variance[scored], squared[scored]
    part = np.searchsorted(np.quantile(stated, np.arange(1, PARTS) / PARTS), stated)
    there = [part == p for p in range(PARTS) if np.any(part == p)]
    return Series(
        name=bars_text(horizon),
        x=tuple(1e4 * float(np.sqrt(stated[rows].mean())) for rows in there),
        y=tuple(1e4 * float(np.sqrt(came[rows].mean())) for rows in there),
    )


def _reading(mine: list[tuple[Cell, ...]]) -> str:
    told = [
        f"{number(r[3]):.2f} at {bars_text(number(r[0]))} (slope {number(r[4]):.2f} ± {number(r[5]):.2f})"
        for r in mine
    ]
    wrong = [bars_text(number(r[0])) for r in mine if isinstance(r[7], float) and r[7] < 0.05]
    verdict = (
        f"at {listed(wrong)} that is not what the right variance would give"
        if wrong
        else "nowhere is that at odds with the right variance"
    )
    return f"Squared returns came to this multiple of the forecast variance: {', '.join(told)}; {verdict}."
