"""The sections of a study that shape positions, their costs, the account, its limits, and who is told.

A field added here has a default that changes nothing: a study that does not name it trades as before.
"""

from pydantic import Field

from longshort.base.instrument import Costs
from longshort.base.learning import Section


class PolicySettings(Section):
    """How a forecast becomes a position. Exposures are fractions of equity, volatility is per year.

    `volatility_target` is that of the whole book if all coins moved as one; each coin gets an equal share of it.
    """

    horizon_bars: int = Field(default=4, ge=1)
    volatility_target: float = Field(default=0.20, gt=0.0)
    entry_cost_multiple: float = Field(default=1.0, ge=0.0)
    max_exposure: float = Field(default=0.5, gt=0.0)
    max_gross_exposure: float = Field(default=2.0, gt=0.0)
    no_trade_band: float = Field(default=0.3, ge=0.0)


class CostSettings(Section):
    """Basis points of notional per fill."""

    taker_bps: float = Field(default=5.0, ge=0.0)
    slippage_bps: float = Field(default=1.0, ge=0.0)

    @property
    def record(self) -> Costs:
        """The frozen record that policy, ledger and losses share."""
        return Costs(taker_bps=self.taker_bps, slippage_bps=self.slippage_bps)


class TradingSettings(Section):
    """The account, in settlement units, and the bars that orders are filled on (empty: those that decide)."""

    execution_interval: str = ""
    starting_balance: float = Field(default=100_000.0, gt=0.0)


class LimitSettings(Section):
    """What the account may not exceed; 0 sets no limit. Notionals are in settlement units, losses shares of equity."""

    max_order_notional: float = Field(default=0.0, ge=0.0)
    max_gross_notional: float = Field(default=0.0, ge=0.0)
    max_leverage: float = Field(default=0.0, ge=0.0)
    max_daily_loss: float = Field(default=0.0, ge=0.0, lt=1.0)
    max_drawdown: float = Field(default=0.0, ge=0.0, lt=1.0)


class NotifySettings(Section):
    """Who is told of trades and troubles: addresses of apprise, like `tgram://TOKEN/CHAT`; no part of a result."""

    urls: tuple[str, ...] = ()
