"""NautilusTrader's sandbox with our venue in it: its exchange is built anew, dressed as that of a backtest.

What a fill's message says twice is booked once.
"""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from asyncio import AbstractEventLoop
from decimal import Decimal
from typing import Any

from nautilus_trader.adapters.sandbox.execution import SandboxExecutionClient
from nautilus_trader.backtest.engine import SimulatedExchange
from nautilus_trader.backtest.execution_client import BacktestExecClient
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.live.data_client import LiveDataClient
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.live.factories import LiveDataClientFactory, LiveExecClientFactory
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import ClientId

from longshort.trading.books import VenueBooks
from longshort.trading.events import CLOCK
from longshort.trading.venue import dressed

SANDBOX = "SANDBOX"


class PaperVenue(SandboxExecutionClient):
    """A sandbox whose exchange fills, charges, funds and liquidates as the backtest's does.

    The exchange that the sandbox would build knows neither slippage nor funding, so its constructor is passed over.
    """

    def __init__(
        self, books: VenueBooks, clock: TestClock, loop: AbstractEventLoop, portfolio: Any, kernel: Any
    ) -> None:
        first = books.coins[0].perpetual
        settle = first.settlement_currency
        self.test_clock = clock
        LiveExecutionClient.__init__(
            self,
            loop=loop,
            client_id=ClientId(SANDBOX),
            venue=first.id.venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=settle,
            instrument_provider=InstrumentProvider(),
            **kernel,
        )
        self.exchange = SimulatedExchange(
            venue=first.id.venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            starting_balances=[books.coins[0].money(books.desk.purse["cash"][0])],
            base_currency=settle,
            default_leverage=Decimal(1),
            leverages={},
            portfolio=portfolio,
            msgbus=kernel["msgbus"],
            cache=kernel["cache"],
            clock=self.test_clock,
            use_message_queue=False,
            **dressed(books),
        )
        self._client = BacktestExecClient(
            exchange=self.exchange, msgbus=kernel["msgbus"], cache=kernel["cache"], clock=self.test_clock
        )
        self.exchange.register_client(self._client)
        self.exchange.initialize_account()

    def connect(self) -> None:
        """Take in the coins; opens and closes reach the venue by themselves."""
        for instrument in self.exchange.cache.instruments(venue=self.venue):
            self.exchange.add_instrument(instrument)
        self._client._set_connected(True)  # noqa: FBT003, SLF001 it has no other way
        self._set_connected(True)  # noqa: FBT003


class RowClient(LiveDataClient):
    """Where a node's opens and closes come from: it is told them, and asks nobody."""

    def __init__(self, loop: AbstractEventLoop, kernel: Any) -> None:
        super().__init__(loop=loop, client_id=CLOCK, venue=None, **kernel)

    def connect(self) -> None:
        """Nothing to connect to."""
        self._set_connected(True)  # noqa: FBT003

    def disconnect(self) -> None:
        """Nothing to part from."""
        self._set_connected(False)  # noqa: FBT003

    def subscribe(self, command: Any) -> None:
        """Whoever listens hears all."""


def venue_factory(books: VenueBooks, clock: TestClock) -> type[LiveExecClientFactory]:
    """What builds the venue of some books, which lives by a clock.

    Nautilus gives the portfolio to a factory of this very name alone.
    """

    class SandboxLiveExecClientFactory(LiveExecClientFactory):
        @staticmethod
        def create(  # pyright: ignore[reportIncompatibleMethodOverride]
            loop: AbstractEventLoop,
            portfolio: Any,
            **kernel: Any,
        ) -> PaperVenue:
            return PaperVenue(books, clock, loop, portfolio, _parts(kernel))

    return SandboxLiveExecClientFactory


class RowClientFactory(LiveDataClientFactory):
    """Builds the client that is told rows."""

    @staticmethod
    def create(loop: AbstractEventLoop, **kernel: Any) -> RowClient:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A client for a node."""
        return RowClient(loop, _parts(kernel))


def _parts(kernel: dict[str, Any]) -> dict[str, Any]:
    return {name: kernel[name] for name in ("msgbus", "cache", "clock")}
