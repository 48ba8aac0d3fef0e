"""An account as tables for whoever keeps the books: ISO instants in UTC, and the currency in the name of each sum.

What is paid is positive. Fees, slippage and funding add up to the account's to the cent; slippage is in the prices.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from longshort.base.instrument import Instrument
from longshort.data.bars import Bars
from longshort.policy.ledger import Ledger
from longshort.study.account.trades import MONEY

ISO = "%Y-%m-%dT%H:%M:%SZ"
DIGITS = 8  # decimals of money: the precision of the account
PRICES = ("price", "entry", "exit")
PRICE_DIGITS = 10  # so that a price is written as its venue writes it: 94473.4, not 94473.40000000001


def trades_csv(trades: pl.DataFrame, bars: Bars) -> str:
    """One line per trade."""
    return _csv(trades, bars.instruments, MONEY)


def fills_csv(ledger: Ledger, bars: Bars) -> str:
    """One line per fill; `cash` is the account's right after it."""
    return _csv(ledger.fills, bars.instruments, ("notional", "fee", "slippage", "realized", "cash"))


def funding_csv(ledger: Ledger, bars: Bars) -> str:
    """One line per settlement that met a position, and what it paid; the price is the mark, else the last close."""
    row, asset = np.nonzero((ledger.quantity != 0.0) & ~np.isnan(bars.funding_rate) | (ledger.funding != 0.0))
    mark = np.where(np.isnan(bars.mark_close), bars.close, bars.mark_close)[row, asset]
    table = pl.DataFrame(
        {
            "settled_at": bars.closed_at[row],
            "symbol": pl.Series(bars.symbols, dtype=pl.String).gather(asset),
            "position": ledger.quantity[row, asset],
            "rate": bars.funding_rate[row, asset],
            "price": mark,
            "paid": ledger.funding[row, asset],
        }
    )
    instant = pl.from_epoch("settled_at", "ns").dt.cast_time_unit("ms").dt.replace_time_zone("UTC")
    return _csv(table.with_columns(instant), bars.instruments, ("paid",))


def _csv(table: pl.DataFrame, instruments: Sequence[Instrument], money: Sequence[str]) -> str:
    settle = instruments[0].settle  # one account has one settlement currency
    instants = [
        pl.col(n).dt.strftime(ISO) for n, kind in table.schema.items() if isinstance(kind, pl.Datetime)
    ]
    prices = [pl.col(name).round(PRICE_DIGITS) for name in PRICES if name in table.columns]
    told = table.with_columns(*instants, *(pl.col(name).round(DIGITS) for name in money), *prices)
    named = told.rename({name: f"{name}_{settle}" for name in money})
    return named.fill_nan(None).write_csv(float_scientific=False)
