"""What a person is told to do: the difference between what was last said and what the policy holds now."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.policy.exposure import Wishes
from longshort.policy.rules.view import PerCoin

Action = Literal["open", "turn", "add", "reduce", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A change of what to hold in one coin, as signed shares of the equity; `price` is the close it was decided at.

    `stop` and `take` are prices, NaN where the policy sets none. `confidence` is the forecast's probability of ending
    on the side that is held (of leaving, on the other), `expected` its mean log return over the horizon; both are NaN
    without a forecast.
    """

    symbol: str
    closed_at: int
    action: Action
    before: float
    target: float
    price: float
    stop: float
    take: float
    horizon_bars: int
    confidence: float
    expected: float

    @property
    def side(self) -> str:
        """What is held from now on."""
        return "flat" if self.target == 0.0 else "long" if self.target > 0.0 else "short"

    @property
    def name(self) -> str:
        """What tells this signal from all others."""
        return f"{self.symbol}-{self.closed_at // 1_000_000_000}"


def signals_of(
    said: PerCoin, held: PerCoin, wishes: Wishes, forecast: Forecast, row: Bars, horizon_bars: int
) -> list[Signal]:
    """One signal per coin whose holding differs from what was said last; a coin without a bar waits for its next."""
    k, last = forecast.at(horizon_bars), forecast[-1:]
    mean = last.law.mean()[0, :, k]
    p_up = 1.0 - last.law.cdf(np.zeros_like(last.law.mean()))[0, :, k]
    signals: list[Signal] = []
    for a in np.flatnonzero((held != said) & row.present[-1]).tolist():
        before, target, price = float(said[a]), float(held[a]), float(row.close[-1, a])
        sign = float(np.sign(target))
        toward = target or -before
        signals.append(
            Signal(
                symbol=row.symbols[a],
                closed_at=int(row.closed_at[-1]),
                action=action_of(before, target),
                before=before,
                target=target,
                price=price,
                stop=price * (1.0 - sign * float(wishes.stop[a])) if sign else float("nan"),
                take=price * (1.0 + sign * float(wishes.take[a])) if sign else float("nan"),
                horizon_bars=horizon_bars,
                confidence=float(p_up[a] if toward > 0.0 else 1.0 - p_up[a]),
                expected=float(mean[a]),
            )
        )
    return signals


def action_of(before: float, target: float) -> Action:
    """What a change of holding is called.

    >>> action_of(0.0, 0.1), action_of(0.1, -0.1), action_of(0.1, 0.2), action_of(-0.2, -0.1), action_of(0.1, 0.0)
    ('open', 'turn', 'add', 'reduce', 'close')
    """
    if target == 0.0:
        return "close"
    if before == 0.0:
        return "open"
    if before * target < 0.0:
        return "turn"
    return "add" if abs(target) > abs(before) else "reduce"
