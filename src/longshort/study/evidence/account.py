"""The figures of one booked account: what it earned and risked, and where its profit came from.

Ratios per year rest on the net returns of UTC days: bars of one day share its volatility and its funding, and a
Sharpe ratio of hourly bars times the root of their number treats them as independent. Drawdowns are those of
every bar.
"""

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from jaxtyping import Float64

from longshort.base.clock import DAY
from longshort.data.bars import Bars
from longshort.policy.ledger import Ledger
from longshort.study.account.tearsheet import drawdown_spells
from longshort.study.statistics.sharpe import (
    Interval,
    Track,
    bootstrap_interval,
    days_per_year,
    hac_interval,
    least_track_record,
)
from longshort.study.trials import daily

PerCoin = Float64[np.ndarray, " asset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What one account earned and risked; `hac`, `bootstrap`, ratios and turnover per year, fractions otherwise.

    `least_years` is the minimum track record for 95 % surety of a Sharpe ratio above 0, infinite where it is not.
    `drawdown_days` lasts the deepest drawdown, from its peak to its end or to the last close.
    """

    name: str
    track: Track
    net_return: float
    hac: Interval
    bootstrap: Interval
    least_years: float
    sortino: float
    calmar: float
    max_drawdown: float
    drawdown_days: float
    turnover: float
    gross_exposure: float
    in_market: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """Where a profit came from: shares of the net profit, NaN where there is none to share.

    `without_best_days` is the net return that is left without the five best days, of the starting balance.
    """

    net_return: float
    best_day: float
    best_five_days: float
    without_best_days: float
    best_coin: str
    best_coin_share: float


def earned(name: str, ledger: Ledger, bars: Bars) -> Earned:
    """The figures of one account on the bars that it was booked on."""
    days, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
    known = np.isfinite(returns)
    returns, per_year = returns[known], days_per_year(days[known])
    track, root = Track.of(returns), sqrt(per_year)
    growth, years = float(ledger.equity[-1] / ledger.starting_balance), len(bars) / bars.bars_per_year
    spells = drawdown_spells(ledger.closed_at, ledger.equity, ledger.starting_balance)
    deepest = spells[0] if spells else None
    last = int(ledger.closed_at[-1])
    a_year = max(growth, 0.0) ** (1.0 / years) - 1.0
    return Earned(
        name=name,
        track=track,
        net_return=growth - 1.0,
        hac=hac_interval(returns).scaled(root),
        bootstrap=bootstrap_interval(returns).scaled(root),
        least_years=least_track_record(track) / per_year,
        sortino=_sortino(returns) * root,
        calmar=a_year / deepest.depth if deepest else nan,
        max_drawdown=deepest.depth if deepest else 0.0,
        drawdown_days=float((deepest.recovered_at or last) - deepest.peak_at) / DAY if deepest else 0.0,
        turnover=float(np.nansum(ledger.turnover)) / years,
        gross_exposure=float(np.nanmean(gross_exposure(ledger, bars))),
        in_market=float((ledger.quantity != 0.0).any(axis=1).mean()),
    )


def gross_exposure(ledger: Ledger, bars: Bars) -> Float64[np.ndarray, " time"]:
    """The notional of all positions over equity at each close; NaN once nothing was left."""
    size = np.array([float(i.contract_size) for i in bars.instruments])
    notional = np.abs(ledger.quantity) * np.nan_to_num(last_closes(bars)) * size
    alive = ledger.equity > 0.0
    return notional.sum(axis=1) / np.where(alive, ledger.equity, np.nan)


def last_closes(bars: Bars) -> Float64[np.ndarray, "time asset"]:
    """Each coin's latest close; NaN before its first."""
    rows = np.where(bars.present, np.arange(len(bars))[:, None], -1)
    latest = np.maximum.accumulate(rows, axis=0)
    closes = np.take_along_axis(bars.close, np.maximum(latest, 0), axis=0)
    return np.where(latest >= 0, closes, np.nan)


def profit_by_coin(ledger: Ledger, bars: Bars) -> PerCoin:
    """What each coin earned after fees and funding, open positions at their last close; they add up to the account's.

    Slippage is in the prices of the fills.
    """
    size = np.array([float(i.contract_size) for i in bars.instruments])
    paid_in = np.zeros(len(bars.symbols))
    column = {symbol: a for a, symbol in enumerate(bars.symbols)}
    which = np.array([column[s] for s in ledger.fills["symbol"]], dtype=np.int64)
    np.add.at(paid_in, which, ledger.fills["quantity"].to_numpy() * ledger.fills["price"].to_numpy())
    worth = ledger.quantity[-1] * np.nan_to_num(last_closes(bars)[-1])
    return (worth - paid_in) * size - ledger.fees.sum(axis=0) - ledger.funding.sum(axis=0)


def concentration(ledger: Ledger, bars: Bars) -> Concentration:
    """How much of the net profit the best days and the best coin brought."""
    start = ledger.starting_balance
    returns = daily(ledger.closed_at, ledger.equity, start)[1]
    worth = np.cumprod(np.append(1.0, 1.0 + returns[np.isfinite(returns)]))
    gains = np.sort(np.diff(worth))[::-1]
    net, by_coin = float(ledger.equity[-1]) / start - 1.0, profit_by_coin(ledger, bars) / start
    best, five = float(gains[0]), float(np.maximum(gains[:5], 0.0).sum())
    share = 1.0 / net if net > 0.0 else nan
    return Concentration(
        net_return=net,
        best_day=best * share,
        best_five_days=five * share,
        without_best_days=net - five,
        best_coin=bars.symbols[int(by_coin.argmax())],
        best_coin_share=float(by_coin.max()) * share,
    )


def _sortino(returns: Float64[np.ndarray, " day"]) -> float:
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))) if len(returns) > 1 else 0.0
    return float(returns.mean()) / downside if downside > 0.0 else nan
