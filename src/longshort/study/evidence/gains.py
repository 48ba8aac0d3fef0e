"""What several topics ask of a case: gains that are tested, rows that do not overlap, the opponent to measure by."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from longshort.study.case import Case
from longshort.study.metrics import mean_loss, per_instant
from longshort.study.section import Cell, Series
from longshort.study.significance import MeanTest, skill_test

PerCoin = Float64[np.ndarray, "time asset"]
Places = Int64[np.ndarray, " apart"]
MOSTLY = 0.5  # of the model's cells: who speaks at fewer is no one to measure every bar by


def house_test(case: Case, gain: PerCoin, horizon_bars: int) -> MeanTest:
    """The house test of a gain per row and coin."""
    return skill_test(per_instant(gain), case.panel.grid_row, horizon_bars=horizon_bars)


def p_cell(test: MeanTest) -> Cell:
    """The p-value of a test, nothing where there was none."""
    return None if test.reason else test.p_value


def who(case: Case, metric: str) -> list[str]:
    """The forecasters that have a loss of this name anywhere: the model first."""
    names = [case.model, *[name for name in case.walk.forecasts if name != case.model]]
    return [name for name in names if np.isfinite(case.losses[name][metric]).any()]


def hardest(case: Case) -> str | None:
    """The opponent with the lowest mean CRPS on the model's rows, all horizons together; None without any.

    One that speaks only now and then is left out.
    """
    mine = case.losses[case.model]["crps"]
    wanted = MOSTLY * np.count_nonzero(np.isfinite(mine))
    costs: dict[str, float] = {}
    for name in who(case, "crps"):
        theirs = case.losses[name]["crps"]
        both = np.isfinite(theirs) & np.isfinite(mine)
        if name != case.model and both.sum() >= wanted > 0:
            costs[name] = _relative(np.where(both, theirs, np.nan), np.where(both, mine, np.nan))
    return min(costs, key=lambda name: costs[name]) if costs else None


def apart(case: Case, horizon_bars: int) -> Places:
    """The tested rows whose outcomes do not overlap: those at multiples of the horizon on the grid."""
    return np.flatnonzero(case.panel.grid_row % horizon_bars == 0)


def bars_text(horizon_bars: float | int) -> str:
    """A horizon in words.

    >>> bars_text(1), bars_text(24)
    ('1 bar', '24 bars')
    """
    return "1 bar" if horizon_bars == 1 else f"{horizon_bars:.0f} bars"


def listed(parts: Sequence[str]) -> str:
    """Words in a row.

    >>> listed(["1 bar"]), listed(["a", "b", "c"])
    ('1 bar', 'a, b and c')
    """
    return " and ".join([*([", ".join(parts[:-1])] if parts[:-1] else []), *parts[-1:]])


def number(cell: Cell) -> float:
    """A cell as a number; NaN where it is none."""
    return float(cell) if isinstance(cell, int | float) else float("nan")


def interval_series(
    name: str, tests: Sequence[MeanTest], *, offset: float = 0.0, scale: float = 1.0
) -> Series:
    """One set of means over labels with their 95 % intervals; `offset` is added after `scale` is applied."""
    means = [offset + scale * test.mean for test in tests]
    widths = [scale * test.half_width for test in tests]
    return Series(
        name=name,
        x=tuple(float(place) for place in range(len(tests))),
        y=tuple(means),
        low=tuple(mean - width for mean, width in zip(means, widths, strict=True)),
        high=tuple(mean + width for mean, width in zip(means, widths, strict=True)),
    )


def _relative(theirs: np.ndarray, mine: np.ndarray) -> float:
    ratios = [mean_loss(theirs[..., k]) / mean_loss(mine[..., k]) for k in range(mine.shape[2])]
    return float(np.nanmean(ratios))
