"""What the model's errors still remember: the autocorrelation of its normal scores and of their squares."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import special

from longshort.study.case import Case
from longshort.study.evidence.gains import apart, bars_text
from longshort.study.section import Cell, Chart, Column, Series, Table
from longshort.study.significance import TWO_SIDED_95

PerCoin = Float64[np.ndarray, "time asset"]
Lagged = Float64[np.ndarray, " lag"]
LAGS = 48
FARTHEST = 8.0  # standard deviations: a rank of exactly 0 or 1 is no infinity
LEAST_PER_LAG = 4

COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="lag", kind="count", unit="horizons"),
    Column(name="scores", kind="signed", digits=4, meaning="autocorrelation of the normal scores"),
    Column(name="squares", kind="signed", digits=4, meaning="autocorrelation of their squares"),
    Column(
        name="band",
        kind="number",
        digits=4,
        meaning="95 % of autocorrelations lie within, if there is no memory",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Autocorrelations at lags 1, 2, ... horizons, and the band in which 95 % lie where there is none."""

    horizon: int
    scores: Lagged
    squares: Lagged
    band: float


def residual_memory(case: Case) -> tuple[Memory, ...]:
    """The memory of the model's errors per horizon, on rows whose outcomes do not overlap."""
    rank = case.forecast.law.cdf(case.truth.outcome)
    with np.errstate(divide="ignore"):
        scores = np.clip(special.ndtri(rank), -FARTHEST, FARTHEST)
    found: list[Memory] = []
    for k, horizon in enumerate(case.forecast.horizons):
        places = apart(case, horizon)
        if len(places) > LEAST_PER_LAG:
            row = case.panel.grid_row[places] // horizon
            on_grid = np.full((int(row[-1] - row[0]) + 1, scores.shape[1]), np.nan)
            on_grid[row - row[0]] = scores[places, :, k]
            lags = min(LAGS, len(on_grid) // LEAST_PER_LAG)
            found.append(_memory(horizon, on_grid, lags))
    return tuple(found)


def autocorrelation(value: PerCoin, lags: int) -> Lagged:
    """The autocorrelation at lags 1 to `lags`, averaged over coins; unknown rows keep their place.

    >>> autocorrelation(np.array([[1.0], [-1.0], [1.0], [-1.0]]), 2).tolist()
    [-0.75, 0.5]
    """
    known = np.isfinite(value)
    counts = np.maximum(known.sum(axis=0), 1)
    centered = np.where(known, value - np.where(known, value, 0.0).sum(axis=0) / counts, 0.0)
    energy = (centered * centered).sum(axis=0)
    told = energy > 0.0
    if not told.any():
        return np.full(lags, np.nan)
    products = [(centered[k:] * centered[:-k]).sum(axis=0)[told] / energy[told] for k in range(1, lags + 1)]
    return np.array([float(part.mean()) for part in products])


def memory_table(memory: tuple[Memory, ...]) -> Table:
    """One row per horizon and lag."""
    rows: list[tuple[Cell, ...]] = [
        (m.horizon, lag + 1, float(m.scores[lag]), float(m.squares[lag]), m.band)
        for m in memory
        for lag in range(len(m.scores))
    ]
    return Table(
        name="residual_memory", title="What its errors remember", columns=COLUMNS, rows=tuple(rows),
        note="Normal scores of the ranks of what came in the forecast law, on non-overlapping rows, averaged over "
        "coins. The band counts all coins as one, which is careful.",
    )  # fmt: skip


def memory_chart(memory: tuple[Memory, ...]) -> Chart:
    """The shortest horizon's autocorrelations; the others are in the table."""
    first = memory[0]
    lags = tuple(float(lag + 1) for lag in range(len(first.scores)))
    return Chart(
        name="residual_memory", title=f"What its errors remember, {bars_text(first.horizon)} ahead", kind="lines",
        x_label="lag, horizons", y_label="autocorrelation", reference=0.0, band=(-first.band, first.band),
        series=(
            Series(name="scores", x=lags, y=tuple(first.scores.tolist())),
            Series(name="squares", x=lags, y=tuple(first.squares.tolist())),
        ),
        reading=memory_reading(memory[:1]).strip(),
    )  # fmt: skip


def memory_reading(memory: tuple[Memory, ...]) -> str:
    """Per horizon, how many lags lie outside the band, and the strongest."""
    told = [
        f" At {bars_text(m.horizon)} {_outside(m.scores, m.band)} of {len(m.scores)} autocorrelations of its errors "
        f"and {_outside(m.squares, m.band)} of their squares lie outside the 95 % band (strongest: {_strongest(m)})."
        for m in memory
    ]
    return "".join(told)


def _memory(horizon: int, scores: PerCoin, lags: int) -> Memory:
    known = max(int(np.isfinite(scores).any(axis=1).sum()), 1)
    return Memory(
        horizon=horizon,
        scores=autocorrelation(scores, lags),
        squares=autocorrelation(scores**2, lags),
        band=TWO_SIDED_95 / float(np.sqrt(known)),
    )


def _outside(values: Lagged, band: float) -> int:
    return int(np.count_nonzero(np.abs(values) > band))


def _strongest(memory: Memory) -> str:
    both = [("errors", memory.scores), ("squares", memory.squares)]
    name, values = max(both, key=lambda part: float(np.nanmax(np.abs(part[1]))))
    lag = int(np.nanargmax(np.abs(values)))
    return f"{values[lag]:+.3f} of {name} at lag {lag + 1}"
