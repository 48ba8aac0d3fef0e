"""Markets made for trying features on: with every record there is, with holes, with another future, in other units."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from longshort.data.bars import Bars, Gauge
from longshort.data.simulator import simulate_market
from longshort.features.history import Grid
from longshort.features.windowed import RESTART_ROWS

DENSE = 160  # rows that are streamed one by one
CUTS = 12  # lengths at which a history is cut off, and from which on it is replaced by noise
GAP = 5  # rows without a bar
UNITS = (1_024.0, 1 / 64, 8.0)  # powers of two: another unit, without another rounding
PRICES = ("open", "high", "low", "close")
QUOTED: tuple[Gauge, ...] = ("mark_close", "index_close", "spot_close")
PRICED: tuple[Gauge, ...] = (*QUOTED, "mark_high", "mark_low")


@lru_cache(maxsize=2)
def markets(rows: int) -> tuple[Bars, Bars]:
    """The embedded market with every record, complete; and the same with gaps of bars and records."""
    bars = simulate_market(coins=len(UNITS), bars=rows, seed=5).bars
    rng = np.random.default_rng(5)
    shape = bars.close.shape
    near: dict[Gauge, Grid] = {name: bars.close * np.exp(rng.normal(0.0, 5e-4, shape)) for name in QUOTED}
    near["mark_high"] = np.maximum(bars.high, near["mark_close"])
    near["mark_low"] = np.minimum(bars.low, near["mark_close"])
    count = rng.poisson(2.0, shape).astype(np.float64)
    score = rng.uniform(-1.0, 1.0, shape) * count
    complete = replace(
        bars,
        gauges={
            **near,
            "open_interest": 1e6 / bars.close * np.exp(rng.normal(0.0, 0.01, shape).cumsum(axis=0)),
            "news_count": count,
            "news_score": score,
            "news_square": np.abs(score),
            "mood": rng.uniform(-1.0, 1.0, shape),
        },
    )
    return complete, _punched(complete, rng)


def _punched(bars: Bars, rng: np.random.Generator) -> Bars:
    """Single bars, short runs and records missing in the first part; a coin listed late; then all complete."""
    dense = dense_from(bars)
    rows = np.arange(len(bars))[:, None]
    gone = (rng.random(bars.close.shape) < 0.03) & (rows < dense + DENSE)
    gone[:40, 1] = True
    gone[dense + 20 : dense + 20 + GAP, 0] = True
    gone[dense + DENSE - 30 : dense + DENSE - 29] = True
    unheard = (rng.random(bars.close.shape) < 0.03) & (rows < dense + DENSE)
    grids = {name: np.where(gone, np.nan, getattr(bars, name)) for name in (*PRICES, "volume")}
    covered = bars.funding_covered & ~unheard
    return replace(
        bars,
        present=bars.present & ~gone,
        funding_covered=covered,
        funding_rate=np.where(covered, bars.funding_rate, np.nan),
        gauges={name: np.where(unheard | gone, np.nan, grid) for name, grid in bars.gauges.items()},
        **grids,
    )


def noise_from(bars: Bars, row: int, rng: np.random.Generator) -> Bars:
    """The same past; from a row on other prices, volumes, records and presence."""
    shape = bars.close[row:].shape
    close = np.exp(rng.normal(3.0, 2.0, shape))
    there = rng.random(shape) < 0.9
    later = {"open": close * 1.1, "high": close * 2.0, "low": close / 2.0, "close": close, "volume": close**2}
    arrays = {
        name: _spliced(getattr(bars, name), np.where(there, grid, np.nan), row)
        for name, grid in later.items()
    }
    return replace(
        bars,
        present=np.concatenate([bars.present[:row], there]),
        funding_covered=np.concatenate([bars.funding_covered[:row], rng.random(shape) < 0.9]),
        funding_rate=_spliced(bars.funding_rate, rng.normal(0.0, 0.01, shape), row),
        gauges={
            name: _spliced(grid, np.exp(rng.normal(0.0, 3.0, shape)), row)
            for name, grid in bars.gauges.items()
        },
        **arrays,
    )


def in_other_units(bars: Bars) -> Bars:
    """Each coin's prices in a unit of its own, its amounts in the inverse one."""
    unit = np.array(UNITS)
    power = {**dict.fromkeys(PRICED, 1.0), "open_interest": -1.0}
    return replace(
        bars,
        volume=bars.volume / unit,
        gauges={name: grid * unit ** power.get(name, 0.0) for name, grid in bars.gauges.items()},
        **{name: getattr(bars, name) * unit for name in PRICES},
    )


def dense_from(bars: Bars) -> int:
    """Some rows before windows last restart with as many rows to come."""
    restarts = np.flatnonzero(bars.grid_row[: max(1, len(bars) - DENSE)] % RESTART_ROWS == 0)
    return max(1, int(restarts[-1]) - DENSE // 2) if len(restarts) else max(1, len(bars) - DENSE)


def recorded(bars: Bars) -> Grid:
    """One where the bar and every record of it is there."""
    known = [np.isfinite(grid) for grid in bars.gauges.values()]
    return np.logical_and.reduce([bars.present, bars.funding_covered, *known]).astype(np.float64)


def cuts(bars: Bars) -> list[int]:
    """Lengths at which to cut: beside gaps, where windows restart, at midnight, and anywhere."""
    present = bars.present.all(axis=1)
    edges = np.flatnonzero(np.diff(present.astype(np.int8))) + 1
    restarts = np.flatnonzero(bars.grid_row % RESTART_ROWS == 0)
    places = [*edges[-4:], *restarts, *(restarts + 1), *np.linspace(2, len(bars) - 1, CUTS).astype(int)]
    return sorted({int(place) for place in places if 0 < place < len(bars)})


def _spliced(past: Grid, later: np.ndarray, row: int) -> Grid:
    return np.concatenate([past[:row], later])
