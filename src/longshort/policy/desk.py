"""A market laid out for booking: what each bar is to an account, in tables, and the account's own terms beside it."""

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.instrument import AccountTerms, Costs
from longshort.data.bars import Bars
from longshort.data.grid import MILLISECOND
from longshort.policy.contract import (
    CELL,
    HOLDING,
    INSIDE,
    PURSE,
    UNITS,
    WAITING,
    Desk,
    Table,
    account_of,
    contract_terms,
    fee_tiers,
    maintenance_tiers,
    rates,
)
from longshort.policy.exposure import Exposure

PerCoin = Float64[np.ndarray, "time asset"]
USUAL_ROWS = 24  # bars whose volatility and volume say what an order of some size does to the price
PARKINSON = 4.0 * np.log(2.0)  # the squared log range of a bar, in variances: Parkinson (1980)


def open_desk(
    bars: Bars,
    costs: Costs,
    account: AccountTerms,
    starting_balance: float,
    *,
    exposure: Exposure | None = None,
    lots: bool = True,
) -> Desk:
    """An account that has done nothing yet, before a market; without an exposure nothing is wished in the tables.

    Raises `StudyError` for a leverage above a venue's cap, `NotComputable` for what cannot be booked.
    """
    delay_rows = delay(bars, account.latency_ms)
    desk = Desk(
        terms=contract_terms(bars.instruments, whole=lots),
        tiers=maintenance_tiers(bars.instruments, account),
        fees=fee_tiers(bars.instruments, costs),
        held=np.zeros(len(bars.symbols), HOLDING),
        purse=np.zeros(1, PURSE),
        market=_market(bars, exposure),
        inside=_inside(bars, costs, exposure) if _moves_inside(costs, account, exposure) else _nothing(bars),
        rates=rates(costs),
        on_way=np.zeros((len(bars.symbols), delay_rows), WAITING),
        account=account_of(account, bars.interval, delay_rows),
    )
    desk.held["stop"] = desk.held["take"] = np.nan
    desk.purse["cash"] = np.round(starting_balance * UNITS) if lots else starting_balance * UNITS
    return desk


def delay(bars: Bars, latency_ms: int) -> int:
    """How many opens after the next one an order goes out that was decided at a close.

    Where the market closes between bars, a latency shorter than any pause costs none.
    """
    late = latency_ms * MILLISECOND
    pauses = bars.opened_at[1:] - bars.closed_at[:-1]
    return 0 if len(pauses) and late <= pauses.min() else -(-late // bars.interval.ns)


def settling(bars: Bars) -> Bool[np.ndarray, "time asset"]:
    """True where positions end at a close: at the first after a contract's expiry, and once it is known as delisted."""
    ends = np.zeros(bars.present.shape, dtype=np.bool_)
    ends[1:] = bars.listed[:-1] & ~bars.listed[1:]
    for asset, instrument in enumerate(bars.instruments):
        if instrument.expires_at is not None:
            row = int(np.searchsorted(bars.closed_at, instrument.expires_at))
            ends[row : row + 1, asset] = True
    return ends


def _moves_inside(costs: Costs, account: AccountTerms, exposure: Exposure | None) -> bool:
    exits = exposure is None or bool(np.isfinite(exposure.stop).any() or np.isfinite(exposure.take).any())
    return exits or account != AccountTerms() or costs.impact > 0.0


def _nothing(bars: Bars) -> Table:
    return np.zeros((0, len(bars.symbols)), INSIDE)


def _market(bars: Bars, exposure: Exposure | None) -> Table:
    from longshort.policy.booking.tables import Cells, lay_cells

    market, covered = np.empty(bars.close.shape, CELL), bars.funding_covered
    unset = np.broadcast_to(np.nan, bars.close.shape)
    cells = Cells(
        open=bars.open,
        close=bars.close,
        mark=bars.mark_close,
        funding_rate=bars.funding_rate,
        target=unset if exposure is None else exposure.target,
        present=bars.present,
        listed=bars.listed,
        funding_covered=covered if covered.all() else covered | bars.ended,
        settles=settling(bars),
    )
    lay_cells(Cells(*(np.ascontiguousarray(column) for column in cells)), market.view(np.recarray))
    return market


def _inside(bars: Bars, costs: Costs, exposure: Exposure | None) -> Table:
    from longshort.policy.booking.tables import Moves, lay_moves

    inside, unset = np.empty(bars.close.shape, INSIDE), np.broadcast_to(np.nan, bars.close.shape)
    moves = Moves(
        high=bars.high,
        low=bars.low,
        mark_high=bars.gauge("mark_high"),
        mark_low=bars.gauge("mark_low"),
        stop=unset if exposure is None else exposure.stop,
        take=unset if exposure is None else exposure.take,
        impact=impact(bars, costs.impact) if costs.impact > 0.0 else np.broadcast_to(0.0, unset.shape),
    )
    lay_moves(Moves(*(np.ascontiguousarray(column) for column in moves)), inside.view(np.recarray))
    return inside


def impact(bars: Bars, coefficient: float) -> PerCoin:
    """The slippage, as a fraction, of an order of one money unit after each close, by the square-root law.

    That of an order is it times the root of its notional: `coefficient * volatility * sqrt(order / bar)`, where the
    volatility and the notional of a bar are those of the last `USUAL_ROWS` bars. NaN where nothing was traded in them.
    """
    size = np.array([float(i.contract_size) for i in bars.instruments])
    inverse = np.array([i.inverse for i in bars.instruments])
    notional = np.where(inverse, bars.volume * size / bars.close, bars.volume * bars.close) * UNITS
    variance = np.log(bars.high / bars.low) ** 2 / PARKINSON
    usual_notional, usual_variance = _usual(notional), _usual(variance)
    known = (usual_notional > 0.0) & np.isfinite(usual_variance)
    ratio = np.divide(usual_variance, usual_notional, out=np.full_like(notional, np.nan), where=known)
    return coefficient * np.sqrt(ratio)


def _usual(values: PerCoin) -> PerCoin:
    """The mean of the last rows that are there."""
    padded = np.concatenate([np.full((USUAL_ROWS - 1, values.shape[1]), np.nan), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, USUAL_ROWS, axis=0)
    there = np.isfinite(windows).sum(axis=-1)
    total = np.nansum(windows, axis=-1)
    return np.divide(total, there, out=np.full_like(values, np.nan), where=there > 0)
