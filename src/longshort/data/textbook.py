"""Markets of which a textbook knows everything: GARCH with Student-t shocks, and nothing else to find.

For proofs: who is judged on them can be compared with the model that they were drawn from.
"""

from dataclasses import replace

import numpy as np

from longshort.base.clock import HOUR
from longshort.data.bars import Bars, Grid
from longshort.data.simulator import FIRST_CLOSED_AT, Simulation, TrueLaw, bars_of

STD = 0.006  # of a bar
NEWS, MEMORY, DF = 0.06, 0.88, 5.0
GJR_ASYMMETRY = 0.06  # a fall weighs twice as much as a rise
PRICES = ("open", "high", "low", "close", "volume")


def simulate_garch(coins: int, bars: int, *, asymmetry: float = 0.0, seed: int = 1) -> Simulation:
    """Independent coins without drift: `variance = constant + (news + asymmetry if it fell) r^2 + memory variance`.

    Bollerslev (1987); with `asymmetry` that of Glosten, Jagannathan and Runkle (1993). Shocks are symmetric, so that
    nothing predicts direction. Longer simulations of one seed do not extend shorter ones.

    >>> bool(simulate_garch(2, 48, seed=7).truth.mean.any())
    False
    """
    rng = np.random.default_rng((seed, coins, bars))
    wildness = np.sqrt((DF - 2.0) / rng.chisquare(DF, (bars, coins)))
    shock = rng.standard_normal((bars, coins)) * wildness
    constant = STD**2 * (1.0 - NEWS - 0.5 * asymmetry - MEMORY)
    variance = np.full((bars + 1, coins), STD**2)
    moved = np.empty((bars, coins))
    for t in range(bars):
        moved[t] = np.sqrt(variance[t]) * shock[t]
        news = NEWS + asymmetry * (moved[t] < 0.0)
        variance[t + 1] = constant + news * moved[t] ** 2 + MEMORY * variance[t]
    closed_at = FIRST_CLOSED_AT + HOUR * np.arange(bars, dtype=np.int64)
    truth = TrueLaw(
        mean=np.zeros((bars, coins)),
        scale=np.sqrt(variance[1:] * (DF - 2.0) / DF),
        df=DF,
        jump_probability=0.0,
        jump_multiple=1.0,
    )
    inside: Grid = np.sqrt(variance[:-1]) * wildness
    return Simulation(bars=bars_of(closed_at, moved, inside, seed), truth=truth)


def punched(bars: Bars, share: float, seed: int) -> Bars:
    """The same bars, of which a share is absent, drawn at random; an absent bar has no prices.

    >>> round(1.0 - float(punched(simulate_garch(2, 1_000).bars, 0.2, 1).present.mean()), 1)
    0.2
    """
    rng = np.random.default_rng((seed, round(1e6 * share)))
    present = bars.present & (rng.random(bars.present.shape) >= share)
    arrays = {name: np.where(present, getattr(bars, name), np.nan) for name in PRICES}
    return replace(bars, present=present, funding_covered=bars.funding_covered.copy(), **arrays)
