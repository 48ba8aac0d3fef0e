"""The venue's books of one account: what booking says happened, checked off by what NautilusTrader says it booked.

Every fill is booked by the ledger's own functions first, on `desk` and `books`, and then made to happen in Nautilus,
whose report replaces the row: price, quantity, fee, position and cash, and for linear contracts the profit and the
average entry, are what Nautilus computed. Of an inverse contract it averages the entry prices arithmetically, which is
wrong by what is posted here as an adjustment; so is what an insurance fund covers, which it knows nothing of.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import AccountBalance, Money

from longshort.policy.booking.fills import decided_row
from longshort.policy.booking.history import book_order, book_state, book_wishes
from longshort.policy.contract import Books, Desk, Table
from longshort.policy.exposure import Wishes
from longshort.policy.ledger import blank_books
from longshort.trading.coins import MONEY_RAW, Coin, units


class Due(NamedTuple):
    """A fill that booking has made and Nautilus has yet to report; others paid `covered` of its loss."""

    row: Table  # one entry of `FILL`, in place
    coin: Coin
    covered: float


class Told(NamedTuple):
    """What Nautilus has reported of a fill so far: lots, fee and profit. A fill may be told in parts, at its price."""

    lots: float = 0.0
    fee: float = 0.0
    realized: float = 0.0


class VenueBooks:
    """One account's present state (`desk`) and history (`books`), as the ledger lays them out."""

    def __init__(self, coins: Sequence[Coin], desk: Desk) -> None:
        self.coins = coins
        self.desk = desk
        self.books = blank_books(desk, orders=desk.market.size)
        self.row = 0  # the bar under way
        self._orders, self._lots = desk.held["order"], desk.held["lots"]  # views
        self._at = {coin.perpetual.id: coin for coin in coins}
        self._due: deque[Due] = deque()
        self._told = Told()
        self._seen = 0
        self._insured: dict[tuple[int, int], float] = {}
        self._cash = float(desk.purse["cash"][0])
        self._exchange: Any = None

    def open_at(self, exchange: Any) -> None:
        """Keep the account of a simulated exchange from now on."""
        self._exchange = exchange

    def coin(self, instrument_id: InstrumentId) -> Coin:
        """The coin of an instrument."""
        return self._at[instrument_id]

    @property
    def waiting(self) -> list[int]:
        """The columns of the coins that have an order to send."""
        return self._orders.nonzero()[0].tolist()

    @property
    def holds(self) -> bool:
        """Whether any position is open."""
        return len(self._lots.nonzero()[0]) > 0

    def trade(self, coin: Coin, lots: float) -> Due | None:
        """Book a market order at the open of the bar under way; None where the venue refuses it."""
        held = self.desk.held
        held["order"][coin.asset], held["limit"][coin.asset] = lots, 0.0
        lapsed = book_order(self.row, coin.asset, self.desk, self.books)
        held["order"][coin.asset] = 0.0
        if lapsed:
            self.let_lapse(coin.asset, lapsed)
            return None
        return self.gather()[0]

    def let_lapse(self, asset: int, why: int) -> None:
        """Drop a coin's waiting order, wished at a close before the bar under way."""
        self.books.entries["lapsed"][decided_row(self.row, self.desk), asset] = why
        self.desk.held["order"][asset] = self.desk.held["limit"][asset] = 0.0

    def withdraw_quote(self, coin: Coin) -> None:
        """Leave nothing to trade with: Nautilus then rejects the order."""
        self._exchange.get_book(coin.perpetual.id).clear(0)

    def gather(self) -> list[Due]:
        """The fills that booking has made since the last call."""
        made = int(self.desk.purse["fills"][0])
        fresh = [self._due_for(self.books.fills[k : k + 1]) for k in range(self._seen, made)]
        self._due.extend(fresh)
        self._seen = made
        return fresh

    def next_fee(self) -> float:
        """The fee of the fill that Nautilus is about to make, all of it with its first part."""
        return 0.0 if self._told.lots else float(self._due[0].row["fee"][0])

    def on_fill(self, event: Any) -> None:
        """Check off the next fill that is due, once all of it is told: its row now says what Nautilus booked."""
        row, coin, covered = self._due[0]
        lots, fee, realized = self._told = self._with(event)
        if lots < abs(float(row["order"][0])):
            return
        self._due.popleft()
        self._told = Told()
        amiss = float(row["realized"][0]) - realized if coin.inverse else 0.0
        self.post(covered + amiss, event.ts_event)
        held, position = self.desk.held, self._exchange.cache.position(event.position_id)
        row["order"] = lots * (1.0 if event.order_side == OrderSide.BUY else -1.0)
        row["ticks"], row["fee"], row["realized"] = coin.ticks(event.last_px), fee, realized + amiss
        row["position"] = held["lots"][coin.asset] = coin.held(position)
        row["cash"] = self._cash
        if not coin.inverse:
            held["entry"][coin.asset] = position.avg_px_open
        self._agree()

    def _with(self, event: Any) -> Told:
        """What is told of the fill that is due, with one more part of it; the cash is Nautilus's."""
        told, fee, cash = self._told, units(event.commission), self._nautilus_cash()
        realized, self._cash = cash - self._cash + fee, cash
        return Told(
            told.lots + self._due[0].coin.lots(event.last_qty), told.fee + fee, told.realized + realized
        )

    def post(self, gain: float, at: int) -> None:
        """Put money into Nautilus's account, or take it out, through a fresh balance.

        Never through `exchange.adjust_account`: it changes the previous account state in place.
        """
        if not gain:
            return
        account, raw = self._exchange.get_account(), int(gain) * MONEY_RAW
        old = account.balance()
        new = AccountBalance(
            total=Money.from_raw(old.total.raw + raw, old.total.currency),
            locked=old.locked,
            free=Money.from_raw(old.free.raw + raw, old.total.currency),
        )
        self._exchange.exec_client.generate_account_state(
            balances=[new], margins=list(account.margins().values()), reported=True, ts_event=at
        )
        self._cash = self._nautilus_cash()
        self._agree()

    def write_down(self, row: int) -> float:
        """Write down the state at a close and return the equity."""
        return book_state(row, self.desk, self.books)

    def wish(self, row: int, wishes: Wishes, equity: float) -> None:
        """Turn the wishes of a close into orders that wait for the next open, and exits."""
        self.desk.market["target"][row] = wishes.target
        self.desk.inside["stop"][row], self.desk.inside["take"][row] = wishes.stop, wishes.take
        book_wishes(row, equity, self.desk, self.books)

    @property
    def record(self) -> Books:
        """The history, without the room left for fills that never came."""
        return self.books._replace(fills=self.books.fills[: self._seen].copy())

    def _due_for(self, row: Table) -> Due:
        at = int(row["row"][0]), int(row["asset"][0])
        insured = float(self.books.entries["insurance"][at])
        covered, self._insured[at] = insured - self._insured.get(at, 0.0), insured
        return Due(row, self.coins[at[1]], covered)

    def _agree(self) -> None:
        """Orders are sized from what Nautilus has, once it has reported all that was booked."""
        if not self._due:
            self.desk.purse["cash"] = self._cash

    def _nautilus_cash(self) -> float:
        return units(self._exchange.get_account().balance_total())
