"""One trade on one card: what is believed, what it costs, where it is left, and how much of it a stated risk allows.

A stop lies where the forecast has `STOP_LEVEL` of its outcomes beyond, unless one is asked for. Nothing here sends an
order, and nothing is hidden: a card that speaks against the trade is a card too.
"""

from dataclasses import dataclass, replace
from math import floor, log
from typing import Literal

import numpy as np

from longshort.base.instrument import Costs, Instrument
from longshort.models.forecast import Forecast, Law
from longshort.policy.advice.ticket import Ask, Ticket, refuse_leverage
from longshort.policy.advice.touch import touch_probability
from longshort.policy.booking import price_of, price_ticks, quantity_of
from longshort.policy.contract import UNITS

STOP_LEVEL = 0.05  # of the outcomes at the horizon lie beyond a stop that nobody asked for
LEAST_STOP = 0.5  # of the forecast volatility: a nearer stop is hit by noise

Side = Literal["long", "short"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A trade in figures; prices in quote units, money in the settlement currency, moves as fractions.

    `expected` is the forecast's mean move in the trade's favor, before costs. `loss` is what the stop costs in all.
    Without maintenance tiers on record (`has_tiers`) the liquidation is where the margin is used up: it comes earlier.
    None: there is none at any price.
    `refused` says why this is no trade to make at all; `warnings` what speaks against it.
    """

    symbol: str
    settle: str
    closed_at: int
    horizon_bars: int
    side: Side
    price: float
    p_up: float
    expected: float
    round_trip: float
    low: float
    high: float
    entry: float
    stop: float
    p_stop: float
    contracts: float
    notional: float
    margin: float
    leverage: float
    equity: float
    risk: float
    loss: float
    liquidation: float | None
    p_liquidation: float
    has_tiers: bool
    refused: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def net(self) -> float:
        """The expected move after the round trip."""
        return self.expected - self.round_trip

    @property
    def pays(self) -> bool:
        """True where the expected move pays for the round trip."""
        return self.net > 0.0

    @property
    def confidence(self) -> float:
        """The probability of ending on the trade's side of today's price."""
        return self.p_up if self.side == "long" else 1.0 - self.p_up


def card_of(
    forecast: Forecast, coin: int, instrument: Instrument, price: float, costs: Costs, ask: Ask
) -> Card | None:
    """The card of one coin at the last row of a forecast; None where there is no forecast or no price.

    Raise `StudyError` for a leverage that the venue does not give.
    """
    refuse_leverage(instrument, ask.leverage)
    belief = _Belief(forecast, coin, ask.horizon_bars)
    if not (belief.is_known and price > 0.0):
        return None
    sign = 1.0 if belief.mean >= 0.0 else -1.0
    trade = Ticket(instrument, price, sign, costs)
    away = ask.stop if ask.stop is not None else -sign * float(np.expm1(-sign * belief.adverse(sign)))
    stop_ticks = price_ticks(max(price * (1.0 - sign * away), float(instrument.tick)), trade.terms)
    lots, bound = trade.lots(stop_ticks, ask)
    sized = max(lots, 1.0)  # what cannot be bought is still shown, for one lot
    liquidation = trade.liquidation(sized, ask.leverage)
    stop, level = price_of(stop_ticks, trade.terms), price_of(liquidation, trade.terms)
    reached = 0.0 if liquidation in (0.0, np.inf) else belief.touched(level / price)
    card = Card(
        symbol=instrument.symbol,
        settle=instrument.settle,
        closed_at=int(forecast.closed_at[-1]),
        horizon_bars=ask.horizon_bars,
        side="long" if sign > 0.0 else "short",
        price=price,
        p_up=belief.p_up,
        expected=sign * float(np.expm1(belief.mean)),
        round_trip=costs.round_trip,
        low=price * float(np.exp(belief.low)),
        high=price * float(np.exp(belief.high)),
        entry=trade.entry,
        stop=stop,
        p_stop=belief.touched(stop / price),
        contracts=quantity_of(lots, trade.terms),
        notional=trade.notional_units(lots) / UNITS,
        margin=trade.notional_units(lots) / ask.leverage / UNITS,
        leverage=ask.leverage,
        equity=ask.equity,
        risk=ask.risk,
        loss=trade.loss_units(lots, stop_ticks) / UNITS if lots else 0.0,
        liquidation=level if np.isfinite(level) and level > 0.0 else None,
        p_liquidation=reached,
        has_tiers=trade.tiers is not None,
    )
    return _judged(card, trade, stop_ticks, sized, bound)


class _Belief:
    """What a forecast says of one coin at one horizon."""

    def __init__(self, forecast: Forecast, coin: int, horizon_bars: int) -> None:
        self._law: Law = forecast[-1:].law
        self._cell = (0, coin, forecast.at(horizon_bars))
        self._shape = self._law.mean().shape
        self.mean = float(self._law.mean()[self._cell])
        self.spread = float(np.sqrt(self._law.variance()[self._cell]))
        self.low, self.high = (
            float(self._law.quantile(q)[self._cell]) for q in (STOP_LEVEL, 1.0 - STOP_LEVEL)
        )
        self.p_up = 1.0 - float(self._law.cdf(np.zeros(self._shape))[self._cell])

    @property
    def is_known(self) -> bool:
        """True where there is a law with a spread."""
        figures = (self.mean, self.spread, self.low, self.high, self.p_up)
        return bool(np.isfinite(figures).all()) and self.spread > 0.0

    def adverse(self, sign: float) -> float:
        """How far, in logarithms, the price goes against a side in one of twenty outcomes."""
        return max(-self.low if sign > 0.0 else self.high, LEAST_STOP * self.spread)

    def touched(self, ratio: float) -> float:
        """The probability that the price reaches a multiple of today's within the horizon."""
        return float(touch_probability(self._law, np.full(self._shape, log(ratio)))[self._cell])


def _judged(card: Card, trade: Ticket, stop_ticks: float, lots: float, bound: str) -> Card:
    """The card with what speaks against it."""
    warnings: list[str] = []
    refused = ""
    if card.contracts == 0.0:
        refused = "so small a risk buys less than the smallest order"
    elif not trade.comes_first(stop_ticks, trade.liquidation(lots, card.leverage)):
        most = trade.most_leverage(lots, stop_ticks, card.leverage)
        refused = (
            f"it is liquidated before the stop: take at most {floor(10.0 * most) / 10.0:g}x, or a nearer stop"
        )
    if bound:
        warnings.append(f"{bound}: at risk are {card.loss / card.equity:.2%}, not {card.risk:.2%}")
    if not card.has_tiers:
        warnings.append(
            "no maintenance tiers on record: it is liquidated before the price shown, where all is lost"
        )
    if trade.instrument.max_leverage is None and not card.has_tiers:
        warnings.append("the venue's highest leverage is not on record")
    return replace(card, refused=refused, warnings=tuple(warnings))
