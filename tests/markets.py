"""Markets with something done to them, for tests."""

from dataclasses import replace

import numpy as np

from longshort.data.bars import Bars

PRICES = ("open", "high", "low", "close", "volume")


def punched(bars: Bars, rng: np.random.Generator, *, share: float) -> Bars:
    """A copy with a share of the bars absent."""
    present = bars.present & (rng.random(bars.present.shape) >= share)
    arrays = {name: np.where(present, getattr(bars, name), np.nan) for name in PRICES}
    return replace(bars, present=present, funding_covered=bars.funding_covered.copy(), **arrays)


def poisoned(bars: Bars, from_row: int, rng: np.random.Generator) -> Bars:
    """A copy whose bars from a row on are noise: prices, volumes, funding and presence."""
    shape = bars.close[from_row:].shape
    close = np.exp(rng.normal(3.0, 2.0, size=shape))
    noise = {
        "open": close * np.exp(rng.normal(0, 0.1, size=shape)),
        "close": close,
        "high": close * 2.0,
        "low": close / 2.0,
        "volume": np.exp(rng.normal(size=shape)),
        "funding_rate": rng.normal(0, 0.01, size=shape),
    }
    mixed = {name: np.concatenate([getattr(bars, name)[:from_row], values]) for name, values in noise.items()}
    present = np.concatenate([bars.present[:from_row], np.ones(shape, dtype=np.bool_)])
    return replace(bars, present=present, **mixed)
