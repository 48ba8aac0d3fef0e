"""Which units follow something a trader knows: volatility, the move of the last day, the hour.

With dozens of units some correlate with anything. So each correlation stands beside what the best of as many units
reaches by chance: targets rotated in time keep their own memory and lose the network's; for the hour, which a rotation
leaves as it is, each day's clock is turned by an amount of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import DAY, HOUR

ROTATIONS = 199
LEAST_SHIFT = 0.1  # of the rows: less would leave slow series nearly in place
LEVEL = 0.05  # over all targets together
HOUR_OF_DAY = "hour"

Cell = Float64[np.ndarray, "time asset unit"]
Known = Float64[np.ndarray, "time asset"]
PerUnit = Float64[np.ndarray, " unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """How closely each unit's cell follows each target, and what chance reaches at best.

    A correlation within coins for volatility and moves; for the hour the share of the variance that a daily cycle
    explains (R squared of sine and cosine).
    """

    found: dict[str, PerUnit]
    bound: dict[str, float]

    def best(self, unit: int) -> str:
        """The target beyond chance that explains most of a unit; empty where none is."""
        beyond = {
            name: _explained(name, float(values[unit]))
            for name, values in self.found.items()
            if abs(float(values[unit])) > self.bound[name]
        }
        return max(beyond, key=lambda name: beyond[name]) if beyond else ""


def track(
    cell: Cell,
    targets: Mapping[str, Known],
    closed_at: Int64[np.ndarray, " time"],
    rng: np.random.Generator,
    rotations: int = ROTATIONS,
) -> Tracking:
    """Hold the cells of units against what may be followed; bars of a day or more have no hour."""
    own = _standardised(cell)
    found: dict[str, PerUnit] = {}
    chance: dict[str, list[float]] = {}
    rows = len(cell)
    for name, target in targets.items():
        known = _standardised(target[:, :, None])[:, :, 0]
        found[name] = _correlation(own, known)
        shifts = rng.integers(int(LEAST_SHIFT * rows), rows - int(LEAST_SHIFT * rows), size=rotations)
        chance[name] = [_most(_correlation(own, np.roll(known, shift, axis=0))) for shift in shifts]
    if rows > 1 and int(np.min(np.diff(closed_at))) < DAY:
        hour = (closed_at % DAY) / HOUR
        day = closed_at // DAY - int(closed_at[0]) // DAY
        found[HOUR_OF_DAY] = _daily(own, hour)
        chance[HOUR_OF_DAY] = [
            _most(_daily(own, hour + rng.integers(24, size=int(day[-1]) + 1)[day])) for _ in range(rotations)
        ]
    level = 1.0 - LEVEL / len(found)
    return Tracking(
        found=found, bound={name: float(np.quantile(most, level)) for name, most in chance.items()}
    )


def _explained(name: str, value: float) -> float:
    return value if name == HOUR_OF_DAY else value * value


def _most(values: PerUnit) -> float:
    return float(np.abs(values).max())


def _standardised(values: Cell) -> Cell:
    """Each coin and unit with mean 0 and variance 1 over the rows known; 0 where unknown or constant."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=0) / count, 0.0)
    size = np.sqrt((centred**2).sum(axis=0) / count)
    return np.where(size > 1e-12, centred / np.where(size > 1e-12, size, 1.0), 0.0)


def _correlation(own: Cell, known: Known) -> PerUnit:
    """The correlation over all rows and coins, each coin taken about its own mean."""
    together = np.einsum("tau,ta->u", own, known)
    return together / (np.sqrt((own**2).sum(axis=(0, 1)) * (known**2).sum()) + 1e-12)


def _daily(own: Cell, hour: Float64[np.ndarray, " time"]) -> PerUnit:
    """The share of each unit's variance that one cycle a day explains."""
    angle = 2.0 * np.pi * hour / 24.0
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    basis = np.linalg.qr(waves - waves.mean(axis=0))[0]
    along = np.einsum("tau,tk->aku", own, basis)
    return (along**2).sum(axis=(0, 1)) / ((own**2).sum(axis=(0, 1)) + 1e-12)
