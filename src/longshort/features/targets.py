"""What came next: log returns over each horizon, what holding cost, and when each became known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from longshort.data.bars import Bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """`log(close[t + h] / close[t])` per row, coin and horizon; NaN unless both bars are there.

    The target of row t is known only when row t + h has closed: training on rows whose targets reach past the first
    test close is training on the test. `funding`, for who asks for it, is what a long position worth 1 at the close of
    row t pays until the next close: 0 where nothing was settled, NaN where the record has a hole. It is known only
    when row t + 1 has closed.
    """

    horizons: tuple[int, ...]
    log_return: Float64[np.ndarray, "time asset horizon"]
    funding: Float64[np.ndarray, "time asset"] | None = None

    @property
    def known(self) -> Bool[np.ndarray, "time asset horizon"]:
        """Where both ends of the return are there."""
        return np.isfinite(self.log_return)

    def known_by(self, rows: int) -> Bool[np.ndarray, "time asset horizon"]:
        """Where the target was known when row `rows - 1` had closed: its last bar is among the first `rows`."""
        ends = np.arange(len(self.log_return))[:, None] + np.asarray(self.horizons)[None, :]
        return self.known & (ends < rows)[:, None, :]

    def as_of(self, rows: int) -> "Targets":
        """The targets of the first `rows`, of which nothing is known that was not when the last of them had closed."""
        returns, funding = self.log_return[:rows].copy(), None
        returns[~self.known_by(rows)[:rows]] = np.nan
        if self.funding is not None:
            funding = self.funding[:rows].copy()
            funding[rows - 1 :] = np.nan
        return Targets(horizons=self.horizons, log_return=returns, funding=funding)

    def gather(self, stretches: Sequence[range]) -> "Targets":
        """A copy of the targets of some stretches of rows, one after the other."""
        returns = np.concatenate([self.log_return[s.start : s.stop] for s in stretches])
        if self.funding is None:
            return Targets(horizons=self.horizons, log_return=returns)
        funding = np.concatenate([self.funding[s.start : s.stop] for s in stretches])
        return Targets(horizons=self.horizons, log_return=returns, funding=funding)


def make_targets(bars: Bars, horizons: tuple[int, ...], *, funding: bool = False) -> Targets:
    """Compute the targets of every row, with what a long position pays if asked; the last h rows have none.

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
    return Targets(horizons=horizons, log_return=returns, funding=paid_by_longs(bars) if funding else None)


def paid_by_longs(bars: Bars) -> Float64[np.ndarray, "time asset"]:
    """What a long position worth 1 at each close pays until the next one, as the money ledger books it.

    What settles at a row's own close was paid by those who held before it. The rate is one of the position's worth when
    it settles, at the mark price of the next close, or at that close where no mark is on record.

    >>> from longshort.data.simulator import simulate_market
    >>> bars = simulate_market(coins=1, bars=10, seed=1).bars
    >>> np.flatnonzero(np.isfinite(bars.funding_rate[:, 0])), np.flatnonzero(paid_by_longs(bars)[:, 0])
    (array([7]), array([6, 9]))
    """
    paid = np.full(bars.close.shape, np.nan)
    rate = np.where(np.isnan(bars.funding_rate), 0.0, bars.funding_rate)
    worth = np.where(np.isnan(bars.mark_close), bars.close, bars.mark_close)
    paid[:-1] = np.where(bars.funding_covered, rate, np.nan)[1:] * (worth[1:] / bars.close[:-1])
    return paid
