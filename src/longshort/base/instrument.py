"""What is traded, and what trading it costs."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

BPS = 1e-4  # one basis point, as a fraction
MarginMode = Literal["none", "isolated", "cross"]
Execution = Literal["taker", "maker", "maker, then taker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeTier:
    """Fees from a 30-day volume on (in the settlement currency), in basis points of notional."""

    maker_bps: float
    taker_bps: float
    from_volume: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceTier:
    """What a position of a size must keep as margin, and how far it may be levered; rates rise with the size.

    Notionals are in the settlement currency. The margin is `notional * maintenance_rate - maintenance_amount`,
    which joins the tiers without a step; without an end `to_notional` is infinite.
    """

    from_notional: float
    to_notional: float
    maintenance_rate: float
    maintenance_amount: float = 0.0
    max_leverage: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One contract of one venue, or one stock.

    `tick` is the smallest price step in quote units, `lot` the smallest quantity step in contracts,
    `contract_size` the base units (linear) or quote units (inverse) of one contract, `min_notional` in quote units.
    Without `has_funding` its funding is known to be zero, not missing: spot, stocks. `calendar` names the sessions in
    which it trades; empty is around the clock. `tiers` are empty and `max_leverage` is None where the venue has not
    told them; `expires_at` is None for what has no expiry.
    """

    symbol: str
    venue: str
    base: str
    quote: str
    settle: str
    tick: Decimal
    lot: Decimal
    min_notional: Decimal = Decimal(5)
    contract_size: Decimal = Decimal(1)
    inverse: bool = False
    has_funding: bool = True
    calendar: str = ""
    fees: tuple[FeeTier, ...] = (FeeTier(maker_bps=2.0, taker_bps=5.0),)
    tiers: tuple[MaintenanceTier, ...] = ()
    expires_at: int | None = None
    max_leverage: float | None = None


def lake_symbol(symbol: str) -> str:
    """A symbol as files are named: ccxt's without its signs, and with the settling coin where it is not the quote.

    No two contracts of a venue share a name: one that settles in another coin than it is quoted in says so.

    >>> lake_symbol("BTC/USDT:USDT"), lake_symbol("BTC/USD:BTC"), lake_symbol("BTC/USDT:USDT-251226")
    ('BTCUSDT', 'BTCUSD.BTC', 'BTCUSDT-251226')
    >>> lake_symbol("btcusdt"), lake_symbol("ETH-PERP")
    ('BTCUSDT', 'ETH-PERP')
    """
    pair, _, settling = symbol.strip().upper().partition(":")
    settle, dash, expiry = settling.partition("-")
    quote = pair.partition("/")[2]
    return pair.replace("/", "") + (f".{settle}" if settle not in ("", quote) else "") + dash + expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What trading costs, in basis points of notional per fill.

    `impact` adds slippage of `impact * bar volatility * sqrt(order notional / bar notional)`: the square-root law of
    market impact (Toth et al. 2011, arXiv:1105.1694), with a coefficient near 1. With `by_volume` the fees are the
    contract's own, by what the account traded in 30 days, and `taker_bps` and `maker_bps` do not count. Liquidation
    and settlement at expiry have fees of their own.
    """

    taker_bps: float = 5.0
    slippage_bps: float = 1.0
    maker_bps: float = 2.0
    impact: float = 0.0
    by_volume: bool = False
    liquidation_bps: float = 125.0
    settlement_bps: float = 5.0

    @property
    def fill(self) -> float:
        """The cost of one fill as a fraction of notional.

        >>> round(Costs(taker_bps=5.0, slippage_bps=1.0).fill, 6)
        0.0006
        """
        return (self.taker_bps + self.slippage_bps) * BPS

    @property
    def round_trip(self) -> float:
        """The cost of opening and closing, as a fraction of notional."""
        return 2 * self.fill


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """How an account stands behind its positions, and how its orders go out.

    Without margin nothing is refused and nothing liquidated. "isolated" backs each position with its own margin alone
    (its value at entry over `leverage`), "cross" all of them with the whole account. A maker rests at the close for one
    bar; "maker, then taker" sends what was not filled as a market order at the open after it. An order reaches the
    venue `latency_ms` after the close that decided it, so it goes out at the first open from then on.
    """

    margin: MarginMode = "none"
    leverage: float = 1.0
    execution: Execution = "taker"
    latency_ms: int = 0
