"""One run of NautilusTrader's backtest engine, silent and always taken down again."""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, RiskEngineConfig
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.model.objects import Money

from longshort.base.journal import Journal
from longshort.data.bars import Bars
from longshort.policy.contract import BALANCE, ENTRY, FILL, Books, Rates
from longshort.policy.decider import Decider
from longshort.trading.strategy import CLOSES, PilotStrategy
from longshort.trading.venue import (
    CLOSED,
    MONEY_RAW,
    Coin,
    Funding,
    Slippage,
    TakerFees,
    closings,
    coins_of,
    opening_ticks,
)

AFTER_MATCHING = 100  # message priority: funding is settled before the strategy, at 0, sees the close
CONFIG = BacktestEngineConfig(
    trader_id=TraderId("LONGSHORT-001"),
    logging=LoggingConfig(bypass_logging=True),
    risk_engine=RiskEngineConfig(bypass=True),  # it would refuse the 101st order of one instant
    run_analysis=False,
)


def simulate(bars: Bars, pilot: Decider, rates: Rates, cash: float, journal: Journal) -> Books:
    """Run a pilot over a market with an account of some cash, in units of 1e-8."""
    shape = (len(bars), len(bars.symbols))
    books = Books(np.zeros(shape[0], BALANCE), np.zeros(shape, ENTRY), np.zeros(shape[0] * shape[1], FILL))
    coins = list(coins_of(bars))
    strategy = PilotStrategy(pilot, coins, books, journal)
    engine = BacktestEngine(CONFIG)
    try:
        _open_venue(engine, coins, rates, cash, Funding(coins, books))
        _add_data(engine, bars, coins)
        engine.add_strategy(strategy)
        engine.run()
    finally:
        engine.dispose()
    return books._replace(fills=books.fills[: strategy.fills])


def _open_venue(
    engine: BacktestEngine, coins: Sequence[Coin], rates: Rates, cash: float, funding: Funding
) -> None:
    settle = coins[0].perpetual.settlement_currency
    engine.add_venue(
        venue=coins[0].perpetual.id.venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money.from_raw(int(cash) * MONEY_RAW, settle)],
        base_currency=settle,
        default_leverage=Decimal(1),
        modules=[funding],
        fill_model=Slippage(coins, rates),
        fee_model=TakerFees(coins, rates),
        bar_execution=False,
    )
    for coin in coins:
        engine.add_instrument(coin.perpetual)
    engine.kernel.msgbus.subscribe(f"data.{CLOSED.topic}", funding.on_closed, priority=AFTER_MATCHING)


def _add_data(engine: BacktestEngine, bars: Bars, coins: Sequence[Coin]) -> None:
    for coin in coins:
        ticks = opening_ticks(bars, coin)
        if ticks:
            engine.add_data(ticks, sort=False)
    engine.add_data(closings(bars), client_id=CLOSES, sort=True)
