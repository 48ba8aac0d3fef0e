"""What a rule or a sizer may know at one close: all coins, one row, and nothing that comes later."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from longshort.models.forecast import Law, Stance

PerCoin = Float64[np.ndarray, " asset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One close.

    `law` has one row; `horizon` is which of its horizons decides, `horizon_bars` how far that is. `mean` is
    the expected log return over it, `deviation` its standard deviation, `volatility` the same per year. `held` is the
    exposure last wished for. `funding` is what a long position is expected to pay over the horizon, as a fraction of
    its notional: 0 where the study does not count it, NaN where it is unknown. `correlation` is None where the study
    takes coins to move as one, NaN for a pair that is not known well enough. `stance` is what a position head states.

    A sizer also finds `side` (-1, 0 or 1: what would be held) and `cost` (what that still costs, as a fraction of
    notional) filled in; a rule finds zeros.
    """

    closed_at: int
    symbols: tuple[str, ...]
    law: Law
    horizon: int
    horizon_bars: int
    mean: PerCoin
    deviation: PerCoin
    volatility: PerCoin
    held: PerCoin
    funding: PerCoin
    side: PerCoin
    cost: PerCoin
    correlation: Float64[np.ndarray, "asset asset"] | None = None
    stance: Stance | None = None

    @property
    def known(self) -> Bool[np.ndarray, " asset"]:
        """Where there is a forecast."""
        return np.isfinite(self.mean) & np.isfinite(self.volatility) & (self.volatility > 0.0)

    def quantile(self, level: float) -> PerCoin:
        """The log return over the horizon that is not exceeded with probability `level`."""
        return self.law.quantile(level)[0, :, self.horizon]

    def cdf(self, log_return: PerCoin) -> PerCoin:
        """The probability of at most `log_return` over the horizon."""
        horizons = self.law.mean().shape[-1]
        value = np.repeat(log_return[None, :, None], horizons, axis=2)
        return self.law.cdf(value)[0, :, self.horizon]

    def paid(self, side: PerCoin) -> PerCoin:
        """The funding that positions on a side are expected to pay over the horizon; what they receive is not counted.

        A rate that pays today may turn; one that costs today is on record.
        """
        return np.maximum(side * self.funding, 0.0)

    def toward(self, side: PerCoin, cost: PerCoin) -> "View":
        """The same close, for a sizer."""
        return replace(self, side=side, cost=cost)


def law_over(law: Law, horizon: int) -> tuple[Law, int]:
    """The law of one horizon alone where its arrays can be cut, and the place of that horizon in it.

    A quantile may take microseconds per cell, and a sizer asks for many.
    """
    if not is_dataclass(law):
        return law, horizon
    parts: dict[str, Any] = {part.name: getattr(law, part.name) for part in fields(law)}
    if any(np.ndim(part) < 3 for part in parts.values()):
        return law, horizon
    cut: Any = replace(law, **{name: part[:, :, horizon : horizon + 1] for name, part in parts.items()})
    return cut, 0
