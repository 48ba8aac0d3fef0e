"""What a session says of itself: its fills as events, and each decision with the account it was made on."""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from longshort.base.journal import Event, Filled, Liquidated
from longshort.policy import booking
from longshort.policy.contract import LIQUIDATION, RAW, UNITS
from longshort.policy.ledger import BY_ORDER
from longshort.policy.limits.intervals import told
from longshort.trading.coins import Coin
from longshort.trading.paper.growing import GrowingBooks
from longshort.trading.paper.guarded import Guarded

MARKET, LIMIT = "market", "limit"


def fill_events(books: GrowingBooks, since: int, closed_at: Sequence[int]) -> list[Event]:
    """The fills after so many: those of orders dated at the open, others at the close of their bar once it is known."""
    made, last = int(books.desk.purse["fills"][0]), len(closed_at) - 1
    fills = [books.books.fills[n] for n in range(since, made)]
    return [
        _fill_event(books, fill, closed_at[min(int(fill["row"]) - (fill["cause"] < BY_ORDER), last)])
        for fill in fills
    ]


def decision_line(mind: Guarded, books: GrowingBooks, at: int) -> dict[str, Any]:
    """A close: the account, what was wished, what the limits left of it, and the orders that follow."""
    balance, entries = books.books.balances[books.rows], books.books.entries[books.rows]
    state = mind.limits.state
    return {
        "kind": "decided",
        "closed_at": at,
        "circumstances": asdict(mind.circumstances),
        "equity": float(balance["equity"]) / UNITS,
        "cash": float(balance["cash"]) / UNITS,
        "funding": (float(entries["funding"].sum()) + books.charged_late) / UNITS,
        "insurance": float(entries["insurance"].sum()) / UNITS,
        "midnight_equity": state.midnight_equity,
        "positions": [_position(books, coin) for coin in books.coins],
        "wished": mind.wished._asdict(),
        "passed": mind.passed._asdict(),
        "orders": [_order(books, books.coins[asset], at) for asset in books.waiting],
        "limits": sorted(state.active),
        "intervals": told(mind.watch),
    }


def contracts(coin: Coin, lots: float) -> float:
    """Lots in contracts."""
    return lots * float(coin.terms.lot_step) / float(coin.terms.lot_parts)


def price(coin: Coin, ticks: float) -> float:
    """Ticks in quote units."""
    return ticks * float(coin.terms.raw_tick) / RAW


def _order(books: GrowingBooks, coin: Coin, at: int) -> dict[str, Any]:
    held = books.desk.held[coin.asset]
    limit = float(held["limit"])
    return {
        "decided_at": at,
        "symbol": coin.symbol,
        "side": "buy" if held["order"] > 0 else "sell",
        "quantity": contracts(coin, abs(float(held["order"]))),
        "type": LIMIT if limit > 0.0 else MARKET,
        "price": price(coin, limit) if limit > 0.0 else None,
    }


def _position(books: GrowingBooks, coin: Coin) -> dict[str, Any]:
    held, terms = books.desk.held[coin.asset], coin.terms
    lots, mark = float(held["lots"]), float(held["mark"])
    open_profit = booking.unrealized_units(lots, float(held["entry"]), mark, terms) if lots else 0.0
    return {
        "symbol": coin.symbol,
        "quantity": contracts(coin, lots),
        "entry": float(held["entry"]) if lots else None,
        "price": price(coin, mark),
        "notional": booking.notional_units(lots, mark, terms) / UNITS if lots else 0.0,
        "profit": open_profit / UNITS,
    }


def _fill_event(books: GrowingBooks, fill: Any, at: int) -> Event:
    coin = books.coins[int(fill["asset"])]
    lots, ticks = float(fill["order"]), float(fill["ticks"])
    about: dict[str, Any] = {
        "filled_at": at,
        "symbol": coin.symbol,
        "quantity": contracts(coin, lots),
        "price": price(coin, ticks),
    }
    realized, fee = float(fill["realized"]) / UNITS, float(fill["fee"]) / UNITS
    if fill["cause"] == LIQUIDATION:
        return Liquidated(**about, lost=fee - realized)
    notional = abs(booking.notional_units(lots, ticks, coin.terms)) / UNITS
    return Filled(**about, notional=notional, fee=fee, realized=realized)
