"""The size of a trade: the largest that a stated risk, the margin and the venue allow, in whole lots.

The arithmetic is that of the account's books. The position stands alone with its own margin (isolated). A gap through
the stop loses more than the risk.
"""

from dataclasses import dataclass

import numpy as np

from longshort.base.errors import StudyError
from longshort.base.instrument import AccountTerms, Costs, Instrument
from longshort.policy.booking import (
    bankrupt_ticks,
    fee_units,
    fill_ticks,
    liquidation_ticks,
    notional_units,
    price_of,
    price_ticks,
    quantity_of,
    realized_units,
)
from longshort.policy.contract import UNITS, Table, Terms, contract_terms, maintenance_tiers, rates

MANY = 1e6  # lots at which rounding to money units does not tell any more
HALVINGS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of a card: leverage, the share of the equity at risk, and the stop's distance (None: chosen)."""

    leverage: float
    risk: float
    equity: float
    horizon_bars: int
    stop: float | None = None

    def __post_init__(self) -> None:
        for name, value, fine in (
            ("leverage", self.leverage, self.leverage >= 1.0),
            ("risk", self.risk, 0.0 < self.risk <= 1.0),
            ("equity", self.equity, self.equity > 0.0),
            ("stop", self.stop, self.stop is None or 0.0 < self.stop < 1.0),
        ):
            if not fine:
                raise StudyError(f"a {name} of {value:g} makes no sense.", where="trade", remedy=_SENSE[name])


_SENSE = {
    "leverage": "Write 1 or more, like --leverage 10.",
    "risk": "Write a share of the equity, like --risk 1%.",
    "equity": "Write what the account holds, like --equity 10000.",
    "stop": "Write a distance from the price, like --stop 2%.",
}


class Ticket:
    """One side of one contract at one price, in the arithmetic that the account is booked with."""

    def __init__(self, instrument: Instrument, price: float, sign: float, costs: Costs) -> None:
        isolated = AccountTerms(margin="isolated", leverage=1.0)
        self.instrument = instrument
        self.sign = sign
        self.terms: Terms = contract_terms([instrument])[0]
        self.tiers: Table | None = maintenance_tiers([instrument], isolated)[0] if instrument.tiers else None
        self.rates = rates(costs)
        close = price_ticks(price, self.terms)
        self.entry_ticks = fill_ticks(close, sign, self.rates.slippage, self.terms)
        self.entry = price_of(self.entry_ticks, self.terms)

    def loss_units(self, lots: float, stop_ticks: float) -> float:
        """What the stop loses, fees and slippage of both fills included."""
        left = fill_ticks(stop_ticks, -self.sign, self.rates.slippage, self.terms)
        gain = realized_units(self.sign * lots, self.entry, -self.sign * lots, left, self.terms)
        return self.fee_units(lots, self.entry_ticks) + self.fee_units(lots, left) - gain

    def fee_units(self, lots: float, ticks: float) -> float:
        """A taker's fee."""
        return fee_units(lots, ticks, self.rates.fee, self.terms)

    def notional_units(self, lots: float) -> float:
        """What is bought or sold, at the entry."""
        return abs(notional_units(lots, self.entry_ticks, self.terms))

    def lots(self, stop_ticks: float, ask: Ask) -> tuple[float, str]:
        """The largest size within risk, margin and the venue's tiers, and which of the last two bound it."""
        budget = ask.risk * ask.equity * UNITS
        within = np.floor(budget / self.loss_units(MANY, stop_ticks) * MANY)
        while within > 0.0 and self.loss_units(within, stop_ticks) > budget:
            within -= 1.0
        value, fee = self.notional_units(MANY) / MANY, self.fee_units(MANY, self.entry_ticks) / MANY
        bounds = {
            "": within,
            "the margin takes the whole equity": np.floor(ask.equity * UNITS / (value / ask.leverage + fee)),
            f"the venue gives {ask.leverage:g}x to no larger position": np.floor(
                self._most_units(ask.leverage) / value
            ),
        }
        bound = min(bounds, key=lambda name: bounds[name])
        size = max(float(bounds[bound]), 0.0)
        least = float(self.instrument.min_notional)
        return (0.0, "") if self._quote_worth(size) < least else (size, bound)

    def liquidation(self, lots: float, leverage: float) -> float:
        """The price at which the margin no longer holds the position, or, without tiers, is used up; in ticks."""
        held, margin = self.sign * lots, self.notional_units(lots) / leverage
        if self.tiers is None:
            return bankrupt_ticks(held, self.entry, margin, self.terms)
        return liquidation_ticks(held, self.entry, margin, self.terms, self.tiers)

    def most_leverage(self, lots: float, stop_ticks: float, leverage: float) -> float:
        """The largest leverage up to one at which the stop comes before the liquidation."""
        low, high = 1.0, leverage
        for _ in range(HALVINGS):
            half = 0.5 * (low + high)
            if self.comes_first(stop_ticks, self.liquidation(lots, half)):
                low = half
            else:
                high = half
        return low

    def comes_first(self, stop_ticks: float, liquidation: float) -> bool:
        """True where the price meets the stop before it meets the liquidation."""
        return self.sign * (stop_ticks - liquidation) > 0.0

    def _most_units(self, leverage: float) -> float:
        if self.tiers is None:
            return float("inf")
        allowed = self.tiers["to_units"][self.tiers["max_leverage"] >= leverage]
        return float(allowed.max()) if len(allowed) else 0.0

    def _quote_worth(self, lots: float) -> float:
        quantity = quantity_of(lots, self.terms) * self.terms.size
        return quantity if self.terms.inverse else quantity * self.entry


def refuse_leverage(instrument: Instrument, leverage: float) -> None:
    """Raise `StudyError` for a leverage above the venue's cap, where that is on record."""
    caps = [tier.max_leverage for tier in instrument.tiers]
    most = max(caps) if caps else instrument.max_leverage
    if most is not None and leverage > most:
        raise StudyError(
            f"{instrument.venue} gives {instrument.symbol} at most {most:g}x, asked were {leverage:g}x.",
            where="leverage",
            remedy=f"Write --leverage {most:g} or less.",
        )
