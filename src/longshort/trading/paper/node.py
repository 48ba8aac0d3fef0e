"""NautilusTrader's live node, in which everything that follows from an event has happened once the event was told.

A live node queues what its engines tell each other; then a replay could book in another order than the session did.
Here the engines call each other directly, as they do in a backtest.
"""

# pyright: reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

import asyncio
import signal
from contextlib import suppress
from functools import partial
from typing import Any

from nautilus_trader.common.component import TestClock
from nautilus_trader.config import (
    LiveDataClientConfig,
    LiveDataEngineConfig,
    LiveExecClientConfig,
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    TradingNodeConfig,
)
from nautilus_trader.core import Data
from nautilus_trader.data.engine import DataEngine
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import CustomData, DataType
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.risk.engine import RiskEngine

from longshort.trading.events import CLOCK
from longshort.trading.paper.growing import GrowingBooks
from longshort.trading.paper.sandbox import SANDBOX, RowClientFactory, venue_factory
from longshort.trading.strategy import PilotStrategy

CONFIG = TradingNodeConfig(
    trader_id=TraderId("LONGSHORT-001"),
    logging=LoggingConfig(log_level="OFF"),
    data_engine=LiveDataEngineConfig(),
    risk_engine=LiveRiskEngineConfig(bypass=True),  # ours stands before the orders
    exec_engine=LiveExecEngineConfig(reconciliation=False, inflight_check_interval_ms=0),
    data_clients={CLOCK.value: LiveDataClientConfig()},
    exec_clients={SANDBOX: LiveExecClientConfig()},
    timeout_post_stop=0.0,
)
STOPS_IN_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGABRT)


class PaperNode:
    """A running node around some books and a strategy; open it in a running loop, and close it."""

    def __init__(self, books: GrowingBooks, strategy: PilotStrategy) -> None:
        loop = asyncio.get_running_loop()
        before = [signal.getsignal(one) for one in SIGNALS]
        self._node = TradingNode(CONFIG, loop=loop)
        for one, handler in zip(
            SIGNALS, before, strict=True
        ):  # whose signals they are is not the node's to say
            loop.remove_signal_handler(one)
            signal.signal(one, handler)
        kernel = self._node.kernel
        for coin in books.coins:
            kernel.cache.add_instrument(coin.perpetual)
        self._node.add_data_client_factory(CLOCK.value, RowClientFactory)
        self._clock = TestClock()
        self._node.add_exec_client_factory(SANDBOX, venue_factory(books, self._clock))
        self._node.build()
        self._node.trader.add_strategy(strategy)
        self._bus = kernel.msgbus
        self._filled: set[tuple[str, str]] = set()
        self._twice = 0
        self._exchange: Any = books.exchange
        self._call_directly(kernel)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run until the strategy listens."""
        self._running = asyncio.ensure_future(self._node.run_async())
        while not self._node.trader.is_running:
            if self._running.done():
                self._running.result()
                raise RuntimeError("the node has not started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop; positions stay in the books as they are."""
        await self._node.stop_async()
        if self._running is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._running, STOPS_IN_S)
        kernel = self._node.kernel
        kernel.dispose()
        if kernel.executor is not None:
            kernel.executor.shutdown(wait=True, cancel_futures=True)

    def tell(self, kind: DataType, event: Data) -> None:
        """Let the venue, and then the strategy, learn of an event, and do all that follows from it."""
        self._clock.set_time(event.ts_event)
        self._bus.send(endpoint="DataEngine.process", msg=CustomData(kind, event))
        self._exchange.process(event.ts_event)

    @property
    def doubled(self) -> int:
        """How many fills were told more than once, and booked once."""
        return self._twice

    def _call_directly(self, kernel: Any) -> None:
        risk, data, execution = kernel.risk_engine, kernel.data_engine, kernel.exec_engine
        direct = {
            "DataEngine.execute": (data.execute, partial(DataEngine.execute, data)),
            "DataEngine.process": (data.process, partial(DataEngine.process, data)),
            "RiskEngine.execute": (risk.execute, partial(RiskEngine.execute, risk)),
            "ExecEngine.execute": (execution.execute, partial(ExecutionEngine.execute, execution)),
            "ExecEngine.process": (execution.process, partial(self._once, execution)),
        }
        for endpoint, (queued, at_once) in direct.items():
            self._bus.deregister(endpoint, queued)
            self._bus.register(endpoint, at_once)

    def _once(self, engine: Any, event: Any) -> None:
        """Nautilus books the position of a fill that it is told twice twice."""
        if isinstance(event, OrderFilled):
            fill = (event.instrument_id.value, event.trade_id.value)
            if fill in self._filled:
                self._twice += 1
                return
            self._filled.add(fill)
        ExecutionEngine.process(engine, event)
