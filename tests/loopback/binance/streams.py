"""Binance's WebSocket: market streams by subscription, and the user stream of a listen key."""

import json

from tests.loopback.binance.catalog import Catalog, error
from tests.loopback.binance.feeds import Feed, Message, open_feed
from tests.loopback.trading.account import Account
from tests.loopback.trading.records import ZERO, Event, Fill, Order, Position
from tests.loopback.venue import MILLISECOND, Frame
from tests.loopback.wire import Record, Refused


class MarketSession:
    """Subscriptions of one connection."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._feeds: dict[str, Feed] = {}

    def receive(self, text: str) -> list[Frame]:
        wanted = json.loads(text)
        answer: Record = {"result": None, "id": wanted.get("id")}
        try:
            self._change(wanted["method"], wanted.get("params", []))
        except Refused as refused:
            answer = {"error": json.loads(refused.answer.body), "id": wanted.get("id")}
        return [json.dumps(answer)]

    def due(self) -> list[Frame]:
        return [json.dumps(message) for feed in self._feeds.values() for message in feed.due()]

    def _change(self, method: str, streams: list[str]) -> None:
        if method == "SUBSCRIBE":
            self._feeds |= {
                name: open_feed(self._catalog, name) for name in streams if name not in self._feeds
            }
        elif method == "UNSUBSCRIBE":
            self._feeds = {name: feed for name, feed in self._feeds.items() if name not in streams}
        else:
            raise error(2, f"Invalid request: unknown method {method}")


class UserSession:
    """What happens to an account from now on."""

    def __init__(self, catalog: Catalog, account: Account) -> None:
        self._catalog, self._account = catalog, account
        self._told = len(account.events)

    def receive(self, text: str) -> list[Frame]:
        return []

    def due(self) -> list[Frame]:
        self._account.settle()
        news = self._account.events[self._told :]
        self._told += len(news)
        return [json.dumps(message) for event in news for message in self._tell(event)]

    def _tell(self, event: Event) -> list[Message]:
        stamp: Message = {"E": event.at // MILLISECOND, "T": event.at // MILLISECOND}
        messages: list[Message] = []
        if event.position:
            reason = "FUNDING_FEE" if event.execution == "FUNDING_FEE" else "ORDER"
            changed = {"m": reason, "B": _balances(event), "P": [self._position(event.position)]}
            messages.append({"e": "ACCOUNT_UPDATE", "a": changed} | stamp)
        if event.order and event.order.wish.trigger is not None:
            messages.append({"e": "ALGO_UPDATE", "o": self._trigger(event.order)} | stamp)
        elif event.order:
            told = self._order(event.order, event.fill) | {"x": event.execution}
            messages.append({"e": "ORDER_TRADE_UPDATE", "o": told} | stamp)
        return messages

    def _position(self, position: Position) -> Message:
        gained = self._account.ledger.unrealized(position, position.updated_at)
        isolated = position.contract.name in self._account.ledger.isolated
        return {
            "s": self._catalog.symbol_of(position.contract),
            "pa": str(position.quantity),
            "ep": f"{position.entry:.8f}",
            "bep": f"{position.entry:.8f}",
            "cr": "0",
            "up": str(gained),
            "mt": "isolated" if isolated else "cross",
            "iw": "0",
            "ps": position.leg,
        }

    def _order(self, order: Order, fill: Fill | None) -> Message:
        wish = order.wish
        return {
            "s": self._catalog.symbol_of(wish.contract),
            "c": order.client_id,
            "S": wish.side,
            "o": wish.kind,
            "f": wish.patience,
            "q": str(order.quantity),
            "p": str(order.price or 0),
            "ap": f"{order.average:.8f}",
            "sp": "0",
            "X": order.status,
            "i": order.id,
            "l": str(fill.quantity if fill else 0),
            "z": str(order.filled),
            "L": str(fill.price if fill else 0),
            "N": wish.contract.settle,
            "n": str(fill.fee if fill else 0),
            "T": order.updated_at // MILLISECOND,
            "t": fill.id if fill else 0,
            "b": "0",
            "a": "0",
            "m": bool(fill and fill.maker),
            "R": wish.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": wish.kind,
            "ps": wish.leg,
            "cp": False,
            "rp": str(fill.profit if fill else ZERO),
            "pP": False,
            "si": 0,
            "ss": 0,
            "V": "NONE",
            "pm": "NONE",
            "gtd": 0,
        }

    def _trigger(self, order: Order) -> Message:
        wish = order.wish
        return {
            "caid": order.client_id,
            "aid": order.id,
            "at": "CONDITIONAL",
            "o": wish.kind,
            "s": self._catalog.symbol_of(wish.contract),
            "S": wish.side,
            "ps": wish.leg,
            "f": wish.patience,
            "q": str(order.quantity),
            "X": "TRIGGERED" if order.status == "FILLED" else order.status,
            "ai": str(order.triggered_id or ""),
            "tp": str(wish.trigger),
            "p": str(wish.price or 0),
            "wt": "CONTRACT_PRICE",
            "R": wish.reduce_only,
            "cp": False,
        }


def _balances(event: Event) -> list[Message]:
    return [
        {"a": coin, "wb": f"{held:.8f}", "cw": f"{held:.8f}", "bc": "0"}
        for coin, held in event.wallet.items()
    ]
