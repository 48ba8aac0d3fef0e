"""The sections of a study that shape positions, their costs, the account, its limits, and who is told.

A field added here has a default that changes nothing: a study that does not name it trades as before.
"""

from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator

from longshort.base.instrument import AccountTerms, Costs, Execution, MarginMode
from longshort.base.learning import Section

TIME_OF_DAY = r"^(([01]\d|2[0-3]):[0-5]\d)?$"


class PolicySettings(Section):
    """How a forecast becomes a position. Exposures are fractions of equity, volatility is per year.

    `volatility_target` is that of the whole book if all coins moved as one; each coin gets an equal share of it. With
    `correlation` it is that of the whole book as the coins move together. `rule` "auto" is "position" for a model whose
    head states positions, "forecast" for all others. Multiples are of the forecast volatility over the horizon; an exit
    that is 0 is none.
    """

    rule: str = "auto"
    horizon_bars: int = Field(default=4, ge=1)
    sizer: str = "volatility"
    volatility_target: float = Field(default=0.20, gt=0.0)
    kelly_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    cvar_limit: float = Field(default=0.0, ge=0.0)
    cvar_level: float = Field(default=0.05, gt=0.0, lt=0.5)
    correlation: bool = False
    correlation_halflife_bars: float = Field(default=240.0, gt=1.0)
    entry: Literal["mean", "probability"] = "mean"
    entry_cost_multiple: float = Field(default=1.0, ge=0.0)
    entry_probability: float = Field(default=0.55, gt=0.0, lt=1.0)
    funding_aware: bool = False
    max_exposure: float = Field(default=0.5, gt=0.0)
    max_gross_exposure: float = Field(default=2.0, gt=0.0)
    band: Literal["share", "cost"] = "share"
    no_trade_band: float = Field(default=0.3, ge=0.0)
    stop_multiple: float = Field(default=0.0, ge=0.0)
    take_multiple: float = Field(default=0.0, ge=0.0)
    stop_quantile: float = Field(default=0.0, ge=0.0, lt=0.5)
    take_quantile: float = Field(default=0.0, ge=0.0, lt=0.5)
    max_holding_bars: int = Field(default=0, ge=0)


class CostSettings(Section):
    """Basis points of notional per fill; a negative maker fee is a rebate. See `Costs` for the law of impact."""

    taker_bps: float = Field(default=5.0, ge=0.0)
    slippage_bps: float = Field(default=1.0, ge=0.0)
    maker_bps: float = 2.0
    impact: float = Field(default=0.0, ge=0.0)
    by_volume: bool = False
    liquidation_bps: float = Field(default=125.0, ge=0.0)
    settlement_bps: float = Field(default=5.0, ge=0.0)

    @property
    def record(self) -> Costs:
        """The frozen record that policy, ledger and losses share."""
        return Costs(**self.model_dump())


class TradingSettings(Section):
    """The account, in settlement units, and the bars that orders are filled on (empty: those that decide).

    See `AccountTerms` for `margin`, `leverage` and `execution`; a leverage above a venue's cap is refused. A model
    expires `expires_after_bars` after the last bar that it learnt from; 0: at the age up to which its evaluation saw it
    gain.
    """

    execution_interval: str = ""
    starting_balance: float = Field(default=100_000.0, gt=0.0)
    margin: MarginMode = "none"
    leverage: float = Field(default=1.0, ge=1.0)
    execution: Execution = "taker"
    latency_ms: int = Field(default=0, ge=0, le=3_600_000)
    expires_after_bars: int = Field(default=0, ge=0)

    @property
    def account(self) -> AccountTerms:
        """The frozen record that ledger and engine share."""
        return AccountTerms(
            margin=self.margin,
            leverage=self.leverage,
            execution=self.execution,
            latency_ms=self.latency_ms,
        )


class LimitSettings(Section):
    """What the account may not exceed; 0 sets no limit. Notionals are in settlement units, losses shares of equity.

    What follows from each limit stands in `policy/limits/responses.py`; `docs/risk.md` explains them.
    """

    max_order_notional: float = Field(default=0.0, ge=0.0)
    max_gross_notional: float = Field(default=0.0, ge=0.0)
    max_leverage: float = Field(default=0.0, ge=0.0)
    max_daily_loss: float = Field(default=0.0, ge=0.0, lt=1.0)
    max_drawdown: float = Field(default=0.0, ge=0.0, lt=1.0)
    max_losses_in_row: int = Field(default=0, ge=0)
    losses_pause_hours: float = Field(default=24.0, gt=0.0)
    max_stale_bars: int = Field(default=0, ge=0)
    max_price_gap: float = Field(default=0.0, ge=0.0, lt=1.0)
    max_band_multiple: float = Field(default=0.0, ge=0.0)
    coverage_stop: Literal["", "drifting", "broken"] = ""
    require_funding: bool = False
    max_orders_per_minute: int = Field(default=0, ge=0)
    max_orders_per_hour: int = Field(default=0, ge=0)
    grace_minutes: float = Field(default=240.0, ge=0.0)


class NotifySettings(Section):
    """Who is told of trades and troubles: addresses of apprise, like `tgram://TOKEN/CHAT`; no part of a result.

    Addresses hold tokens, so they show in no message, dump or `repr`. Times are `HH:MM` in `zone`; from `quiet_from` to
    `quiet_until` what is less than `quiet_below` waits.
    """

    urls: tuple[SecretStr, ...] = ()
    zone: str = "UTC"
    quiet_from: str = Field(default="", pattern=TIME_OF_DAY)
    quiet_until: str = Field(default="", pattern=TIME_OF_DAY, validate_default=True)
    quiet_below: Literal["warning", "alarm"] = "alarm"
    summary_at: str = Field(default="", pattern=TIME_OF_DAY)

    @field_validator("urls", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        """One address for a list of one, and nothing else: what is refused would be quoted in the error."""
        if isinstance(value, str):
            return (value,) if value else ()
        if isinstance(value, list | tuple):
            return tuple(one if isinstance(one, str | SecretStr) else None for one in value)
        return None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("not a time zone: write one like Europe/Berlin, or UTC") from error
        return value

    @field_validator("quiet_until")
    @classmethod
    def _both_ends(cls, value: str, info: Any) -> str:
        if bool(value) != bool(info.data.get("quiet_from", value)):
            raise ValueError("quiet_from and quiet_until belong together")
        return value
