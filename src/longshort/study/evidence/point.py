"""How far single numbers were off: MAE, RMSE, MASE, and the share of squared returns explained against zero."""

import numpy as np

from longshort.study.case import Case
from longshort.study.evidence.gains import bars_text, house_test, listed, number, p_cell, who
from longshort.study.metrics import mean_loss
from longshort.study.section import Cell, Column, Section, Table

KEY, TITLE = "point", "How far off were the single numbers?"
WARNING = (
    "R2 of price levels says nothing: yesterday's price alone reaches .99. It is told of returns here, against a "
    "forecast of no change; liquid markets allow 0 to 1 %."
)
COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="forecaster"),
    Column(
        name="MAE", kind="number", unit="bp", digits=1, meaning="mean absolute error of the expected return"
    ),
    Column(name="RMSE", kind="number", unit="bp", digits=1, meaning="root of the mean squared error"),
    Column(name="MASE", kind="number", digits=3, meaning="absolute error over that of no change in training"),
    Column(
        name="R2", kind="signed", unit="%", digits=3, meaning="squared returns explained, against no change"
    ),
    Column(name="±", kind="number", unit="%", digits=3, meaning="half of the 95 % interval of R2"),
    Column(name="p", kind="p", meaning="one-sided: R2 is not above zero"),
    Column(name="scored", kind="count", unit="cells"),
)


def section(case: Case) -> Section:
    """Errors of every forecaster's expected return, per horizon, on the rows at which it speaks."""
    names = who(case, "mse")
    if case.model not in names:
        return Section(key=KEY, title=TITLE, reading="", missing="The model states no expected return.")
    rows = [_row(case, name, k) for k in range(len(case.forecast.horizons)) for name in names]
    table = Table(
        name="errors",
        title="Errors of the expected return",
        columns=COLUMNS,
        rows=tuple(rows),
        note="A forecaster that speaks at fewer cells is not comparable in MAE and RMSE; R2 is, on its own rows.",
    )
    return Section(
        key=KEY, title=TITLE, reading=_reading(rows, case.model), tables=(table,), notes=(WARNING,)
    )


def _row(case: Case, name: str, k: int) -> tuple[Cell, ...]:
    losses, horizon = case.losses[name], case.forecast.horizons[k]
    squared, came = losses["mse"][..., k], case.truth.outcome[..., k]
    nothing = np.where(np.isnan(squared), np.nan, came**2)
    base, test = mean_loss(nothing), house_test(case, nothing - squared, horizon)
    percent = 100.0 / base if base > 0.0 else float("nan")
    return (
        horizon,
        name,
        1e4 * mean_loss(losses["mae"][..., k]),
        1e4 * float(np.sqrt(mean_loss(squared))),
        mean_loss(losses["mase"][..., k]),
        percent * test.mean,
        percent * test.half_width,
        p_cell(test),
        int(np.count_nonzero(~np.isnan(squared))),
    )


def _reading(rows: list[tuple[Cell, ...]], model: str) -> str:
    mine = [row for row in rows if row[1] == model]
    told = ", ".join(
        f"{number(row[5]):+.3f} ± {number(row[6]):.3f} % at {bars_text(number(row[0]))}" for row in mine
    )
    shown = [row for row in mine if isinstance(row[7], float) and row[7] < 0.05 and number(row[5]) > 0.0]
    verdict = {
        0: "at no horizon is its expected return better than expecting no change",
        len(mine): "its expected return is better than expecting no change at every horizon",
    }.get(len(shown), "its expected return is better than no change at " + _at(shown))
    return f"Of squared returns the model explains {told}: {verdict}, as far as these rows can show."


def _at(rows: list[tuple[Cell, ...]]) -> str:
    return listed([bars_text(number(row[0])) for row in rows])
