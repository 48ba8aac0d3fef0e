"""How histories are cut and turned into noise: bars, plain tables, and records that became known one by one.

Noise is deliberately wild (a price times e to a normal of mean 3 and deviation 2): what survives it read nothing there.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.clock import DAY, HOUR
from longshort.base.errors import DataError
from longshort.base.stage import Arrays, Instants, Rows
from longshort.data.bars import Bars, Gauge

Mask = Bool[np.ndarray, " time"]
Grid = Float64[np.ndarray, "time asset"]
PRESENT = 0.9  # share of noise that is there at all
SHIFT, SPREAD = 3.0, 2.0  # of the logarithm of what noise multiplies by
PERIODS = (HOUR, 4 * HOUR, DAY)  # whose ends are forced cuts near a hole


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Any table whose rows became known at increasing instants; every array has one row per instant."""

    at: Instants
    arrays: Arrays

    def __post_init__(self) -> None:
        wrong = [name for name, values in self.arrays.items() if len(values) != len(self.at)]
        if wrong or (np.diff(self.at) < 0).any():
            raise DataError(
                f"{wrong[0]!r} has not one row per instant." if wrong else "its instants are not in order.",
                where="table",
                remedy="Sort the rows by when they became known.",
            )

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


class BarsTimeline:
    """Bars: a row is known at its close, funding settled in it and gauges measured by then included."""

    def instants(self, history: Bars) -> Instants:
        """The closes."""
        return history.closed_at

    def between(self, history: Bars, start: int, stop: int) -> Bars:
        """The bars between two rows."""
        return history[start:stop]

    def until(self, history: Bars, instant: int) -> Bars:
        """The bars that had closed by an instant."""
        return history.until(instant)

    def poisoned(self, history: Bars, instant: int, rng: np.random.Generator) -> Bars:
        """Bars that closed after an instant become noise, and other coins are listed from then on."""
        later = history.closed_at > instant
        noise = self.altered(history, later, rng)
        stays = rng.random(len(history.symbols)) < 0.7
        listed = np.where(later[:, None], stays[None, :] | noise.present, history.listed)
        return replace(noise, listed=listed)

    def altered(self, history: Bars, rows: Mask, rng: np.random.Generator) -> Bars:
        """Other presence, prices, volumes, funding and gauges in the chosen rows; their funding is all on record."""
        shape, chosen = history.close.shape, rows[:, None]
        present = np.where(chosen, rng.random(shape) < PRESENT, history.present)
        prices = _other_prices(history, rng)
        kept = {
            name: np.where(chosen, np.where(present, noise, np.nan), getattr(history, name))
            for name, noise in prices.items()
        }
        gauges = {
            name: np.where(chosen, _other_gauge(name, grid, rng), grid)
            for name, grid in history.gauges.items()
        }
        settled = np.where(rng.random(shape) < 0.2, rng.normal(0.0, 0.01, shape), np.nan)
        return replace(
            history,
            present=present,
            listed=np.where(chosen, history.listed | present, history.listed),
            funding_rate=np.where(chosen, settled, history.funding_rate),
            funding_covered=chosen | history.funding_covered,
            gauges=gauges,
            **kept,
        )

    def edges(self, history: Bars) -> Rows:
        """Both sides of every change of presence, listing, funding record and gauges, and the period ends beside."""
        masks = [history.present, history.listed, history.funding_covered]
        masks += [np.isfinite(grid) for grid in history.gauges.values()]
        changed = np.zeros(max(len(history) - 1, 0), dtype=np.bool_)
        for mask in masks:
            changed |= (mask[1:] != mask[:-1]).any(axis=1)
        return _with_period_ends(changed, history.closed_at)


class ArrayTimeline:
    """Any table of numpy arrays whose rows became known at `at`: a row holds nothing that is known later."""

    def instants(self, history: Table) -> Instants:
        """When each row became known."""
        return history.at

    def between(self, history: Table, start: int, stop: int) -> Table:
        """The rows between two."""
        cut = {name: values[start:stop] for name, values in history.arrays.items()}
        return replace(history, at=history.at[start:stop], arrays=cut)

    def until(self, history: Table, instant: int) -> Table:
        """The rows that were known at an instant."""
        return self.between(history, 0, int(np.searchsorted(history.at, instant, side="right")))

    def poisoned(self, history: Table, instant: int, rng: np.random.Generator) -> Table:
        """Rows known after an instant become noise."""
        return self.altered(history, history.at > instant, rng)

    def altered(self, history: Table, rows: Mask, rng: np.random.Generator) -> Table:
        """The chosen rows become noise of the same types: numbers wild, flags flipped, everything else shuffled."""
        arrays = {name: _noisy(values, rows, rng) for name, values in history.arrays.items()}
        return replace(history, arrays=arrays)

    def edges(self, history: Table) -> Rows:
        """Both sides of every hole: a NaN that begins or ends, and a step between instants longer than usual."""
        step = np.diff(history.at)
        changed = step > 1.5 * np.median(step) if len(step) else np.zeros(0, dtype=np.bool_)
        for values in history.arrays.values():
            if values.dtype.kind == "f":
                hole = np.isnan(values.reshape(len(values), -1))
                changed = changed | (hole[1:] != hole[:-1]).any(axis=1)
        return _with_period_ends(changed, history.at)


class EventTimeline(ArrayTimeline):
    """Records that became known one by one (headlines, settlements, trades): several may at one instant.

    Noise comes at other instants too, so that nobody can count on how many records follow, or when.
    """

    def poisoned(self, history: Table, instant: int, rng: np.random.Generator) -> Table:
        """As many records after an instant, at other instants, with other contents."""
        later = history.at > instant
        noise = self.altered(history, later, rng)
        if not later.any():
            return noise
        last = max(int(history.at[-1]), instant + 2)
        drawn = rng.integers(instant + 1, last + 1, size=int(later.sum()))
        return replace(noise, at=np.concatenate([history.at[~later], np.sort(drawn)]))

    def edges(self, history: Table) -> Rows:
        """Records after which nothing comes for longer than usual, and the first ones behind that."""
        return super().edges(history) if len(history) < 3 else _longest_waits(history.at)


def _longest_waits(at: Instants) -> Rows:
    step = np.diff(at)
    rows = np.flatnonzero(step > np.quantile(step, 0.9))
    return np.unique(np.concatenate([rows, rows + 1]))


def _with_period_ends(changed: Bool[np.ndarray, " step"], at: Instants) -> Rows:
    """Rows on both sides of each change between a row and the next, and the next ends of the usual periods."""
    before = np.flatnonzero(changed)
    rows = [before, before + 1]
    for period in PERIODS:
        end = -(-at[before] // period) * period
        place = np.searchsorted(at, end)
        rows += [place, place - 1, place + 1]
    found = np.unique(np.concatenate(rows)).astype(np.int64)
    return found[(found >= 0) & (found < len(at))]


def _wild(shape: tuple[int, ...], rng: np.random.Generator) -> Float64[np.ndarray, "..."]:
    return np.exp(rng.normal(SHIFT, SPREAD, size=shape))


def _other_prices(bars: Bars, rng: np.random.Generator) -> dict[str, Grid]:
    """Prices that fit together: open and close between low and high."""
    shape = bars.close.shape
    close = np.where(np.isfinite(bars.close), bars.close, 100.0) * _wild(shape, rng)
    opened = close * np.exp(rng.normal(0.0, 0.1, shape))
    reach = np.exp(np.abs(rng.normal(0.0, 0.1, shape)))
    volume = np.where(np.isfinite(bars.volume), bars.volume, 1.0) * _wild(shape, rng)
    high, low = np.maximum(opened, close) * reach, np.minimum(opened, close) / reach
    return {"open": opened, "high": high, "low": low, "close": close, "volume": volume}


def _other_gauge(name: Gauge, grid: Grid, rng: np.random.Generator) -> Grid:
    if name == "news_count":
        noise = rng.poisson(3.0, grid.shape).astype(np.float64)
    elif name in ("news_score", "mood"):
        noise = rng.normal(0.0, 10.0, grid.shape)
    else:
        noise = np.where(np.isfinite(grid), np.abs(grid) + 1e-9, 1.0) * _wild(grid.shape, rng)
    return np.where(rng.random(grid.shape) < PRESENT, noise, np.nan)


def _noisy(values: np.ndarray, rows: Mask, rng: np.random.Generator) -> np.ndarray:
    noisy, chosen = values.copy(), np.flatnonzero(rows)
    kind, part = values.dtype.kind, values[chosen]
    if kind == "f":
        noise = np.where(np.isfinite(part), part, 1.0) * _wild(part.shape, rng)
        signed = np.nanmin(values, initial=0.0) < 0.0
        noise = noise * rng.choice([-1.0, 1.0], part.shape) if signed else noise
        noisy[chosen] = np.where(rng.random(part.shape) < PRESENT, noise, np.nan)
    elif kind == "b":
        noisy[chosen] = rng.random(part.shape) < 0.5
    elif kind in "iu" and len(chosen) == 1:
        noisy[chosen] = part + rng.integers(1, 100, part.shape).astype(values.dtype)
    else:
        noisy[chosen] = rng.permutation(part)
    return noisy
