"""The figures of an account: pure arithmetic on its equity, bar by bar; nothing is drawn, nothing is judged.

A figure that cannot be computed (fewer than two returns, no spread, an account that was wiped out) is NaN.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import SECOND
from longshort.base.errors import DataError
from longshort.data.bars import Bars
from longshort.policy.ledger import Ledger
from longshort.study.report import Curve
from longshort.study.section import Section

Series = Float64[np.ndarray, " time"]
Instants = Int64[np.ndarray, " time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an equity curve earned and risked; fractions, and ratios per year.

    `sharpe` and `sortino` have no risk-free rate and treat bars as independent; `in_drawdown` is the share
    of closes below an earlier peak.
    """

    net_return: float
    volatility: float
    sharpe: float
    sortino: float
    max_drawdown: float
    longest_drawdown: int
    in_drawdown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """One drawdown: its `depth` at the bottom, its `bars` below the peak, and when it was over, if it is."""

    peak_at: int
    bottom_at: int
    recovered_at: int | None
    depth: float
    bars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TearSheet:
    """One account on the bars that it was booked on, its rivals, and what it is made of (`sections`).

    Raises `DataError` where rows differ.
    """

    title: str
    created_at: int
    ledger: Ledger
    bars: Bars
    rivals: tuple[Curve, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    hashes: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        same = np.array_equal(self.ledger.closed_at, self.bars.closed_at)
        if not same or self.ledger.symbols != self.bars.symbols:
            raise DataError(
                "The ledger and the bars do not have the same coins and closes.",
                where=self.title,
                remedy="Pass the very bars that the account was booked on.",
            )

    @property
    def exposure(self) -> Float64[np.ndarray, "time asset"]:
        """Signed notional over equity, per close and coin; NaN where a held coin has no price."""
        held, inverse = self.ledger.quantity != 0.0, [i.inverse for i in self.bars.instruments]
        size = np.array([float(i.contract_size) for i in self.bars.instruments])
        worth = np.where(inverse, size / self.bars.close, size * self.bars.close)
        notional = np.where(held, self.ledger.quantity * worth, 0.0)
        alive = self.ledger.equity > 0.0
        return notional / np.where(alive, self.ledger.equity, np.nan)[:, None]


def figures(equity: Series, starting_balance: float, bars_per_year: float) -> Figures:
    """The key figures of an equity per close that begins at a balance.

    >>> found = figures(np.array([100.0, 110.0, 99.0, 108.9]), 100.0, 4.0)
    >>> round(found.net_return, 6), round(found.max_drawdown, 6), found.longest_drawdown
    (0.089, 0.1, 2)
    """
    returns = returns_of(equity)
    decline = drawdown(equity, starting_balance)
    spells = drawdown_spells(np.arange(len(equity)), equity, starting_balance)
    return Figures(
        net_return=float(equity[-1] / starting_balance - 1.0) if len(equity) else math.nan,
        volatility=_spread(returns) * math.sqrt(bars_per_year),
        sharpe=_ratio(returns, _spread(returns)) * math.sqrt(bars_per_year),
        sortino=_ratio(returns, _downside(returns)) * math.sqrt(bars_per_year),
        max_drawdown=float(decline.max()) if len(equity) else math.nan,
        longest_drawdown=max((spell.bars for spell in spells), default=0),
        in_drawdown=float((decline > 0.0).mean()) if len(equity) else math.nan,
    )


def returns_of(equity: Series) -> Float64[np.ndarray, " _"]:
    """The return from each close to the next; NaN from the first close at which nothing was left.

    >>> returns_of(np.array([100.0, 110.0, 0.0, 5.0])).tolist()
    [0.10000000000000009, -1.0, nan]
    """
    alive = np.cumprod(equity[:-1] > 0.0).astype(bool)
    return np.where(alive, equity[1:] / np.where(alive, equity[:-1], 1.0) - 1.0, np.nan)


def drawdown(equity: Series, starting_balance: float) -> Series:
    """How far each close stands below the highest before it, as a fraction of that; the start is a peak too.

    >>> drawdown(np.array([75.0, 120.0, 60.0]), 100.0).tolist()
    [0.25, 0.0, 0.5]
    """
    peak = np.maximum.accumulate(np.maximum(equity, starting_balance)) if len(equity) else equity
    return 1.0 - equity / peak


def drawdown_spells(closed_at: Instants, equity: Series, starting_balance: float) -> tuple[Spell, ...]:
    """Every stretch below an earlier peak, deepest first; one from the start has its peak at the first close.

    >>> spells = drawdown_spells(np.arange(4), np.array([2.0, 1.0, 1.5, 2.0]), 2.0)
    >>> [(s.peak_at, s.bottom_at, s.recovered_at, s.depth, s.bars) for s in spells]
    [(0, 1, 3, 0.5, 2)]
    """
    decline = drawdown(equity, starting_balance)
    edges = np.flatnonzero(np.diff(decline > 0.0, prepend=False, append=False)).reshape(-1, 2)
    spells = [
        Spell(
            peak_at=int(closed_at[max(first - 1, 0)]),
            bottom_at=int(closed_at[first + decline[first:stop].argmax()]),
            recovered_at=int(closed_at[stop]) if stop < len(equity) else None,
            depth=float(decline[first:stop].max()),
            bars=int(stop - first),
        )
        for first, stop in edges
    ]
    return tuple(sorted(spells, key=lambda spell: -spell.depth))


def monthly_returns(
    closed_at: Instants, equity: Series, starting_balance: float
) -> dict[tuple[int, int], float]:
    """The return of every UTC month in which a bar closed, by `(year, month)`.

    The bar that closes at midnight of the first belongs to the month before.

    >>> monthly_returns(np.array([0, 1]), np.array([110.0, 121.0]), 100.0)
    {(1969, 12): 0.10000000000000009, (1970, 1): 0.10000000000000009}
    """
    months = ((closed_at - 1) // SECOND).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    last = np.flatnonzero(np.diff(months, append=months[-1:] + 1))
    before = starting_balance
    found: dict[tuple[int, int], float] = {}
    for row in last:
        growth = float(equity[row]) / before if before > 0.0 else math.nan
        found[(1970 + int(months[row]) // 12, int(months[row]) % 12 + 1)] = growth - 1.0
        before = float(equity[row])
    return found


def won_share(ledger: Ledger) -> float:
    """The share of profits among the fills that realized anything, fees left out."""
    realized = ledger.fills["realized"].to_numpy()
    decided = realized[realized != 0.0]
    return float((decided > 0.0).mean()) if len(decided) else math.nan


def _spread(returns: Float64[np.ndarray, " _"]) -> float:
    return float(returns.std(ddof=1)) if len(returns) > 1 else math.nan


def _downside(returns: Series) -> float:
    return float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))) if len(returns) > 1 else math.nan


def _ratio(returns: Series, risk: float) -> float:
    return float(returns.mean()) / risk if risk > 0.0 else math.nan
