"""What came next: log returns over each horizon, and when each became known."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from longshort.data.bars import Bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """`log(close[t + h] / close[t])` per row, coin and horizon; NaN unless both bars are there.

    The target of row t is known only when row t + h has closed: training on rows whose targets reach past the first
    test close is training on the test.
    """

    horizons: tuple[int, ...]
    log_return: Float64[np.ndarray, "time asset horizon"]

    @property
    def known(self) -> Bool[np.ndarray, "time asset horizon"]:
        """Where both ends of the return are there."""
        return np.isfinite(self.log_return)

    def known_by(self, rows: int) -> Bool[np.ndarray, "time asset horizon"]:
        """Where the target was known when row `rows - 1` had closed: its last bar is among the first `rows`."""
        ends = np.arange(len(self.log_return))[:, None] + np.asarray(self.horizons)[None, :]
        return self.known & (ends < rows)[:, None, :]


def make_targets(bars: Bars, horizons: tuple[int, ...]) -> Targets:
    """Compute the targets of every row; the last h rows have none.

    >>> from longshort.data.simulator import simulate_market
    >>> targets = make_targets(simulate_market(coins=2, bars=2_000, seed=1).bars, (1, 4))
    >>> targets.known.sum(axis=0).tolist()
    [[1999, 1996], [1999, 1996]]
    """
    log_close = np.log(bars.close)
    returns = np.full((*log_close.shape, len(horizons)), np.nan)
    for k, horizon in enumerate(horizons):
        if horizon < len(log_close):
            returns[:-horizon, :, k] = log_close[horizon:] - log_close[:-horizon]
    return Targets(horizons=horizons, log_return=returns)
