"""One run of NautilusTrader's backtest engine, silent and always taken down again."""

# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false
# NautilusTrader is compiled and has no stubs.

from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, RiskEngineConfig
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import TraderId

from longshort.base.journal import Journal
from longshort.data.bars import Bars
from longshort.policy.contract import Books, Desk
from longshort.policy.decider import Accountable, Decider
from longshort.trading.books import VenueBooks
from longshort.trading.coins import coins_of
from longshort.trading.events import CLOCK, events_of
from longshort.trading.strategy import PilotStrategy
from longshort.trading.venue import dressed

CONFIG = BacktestEngineConfig(
    trader_id=TraderId("LONGSHORT-001"),
    logging=LoggingConfig(bypass_logging=True),
    risk_engine=RiskEngineConfig(bypass=True),  # it would refuse the 101st order of one instant
    run_analysis=False,
)


def simulate(bars: Bars, pilot: Decider, desk: Desk, journal: Journal) -> Books:
    """Run a pilot over a market with an account that has done nothing yet."""
    books = VenueBooks(coins_of(bars.instruments), desk)
    if isinstance(pilot, Accountable):
        pilot.attach(bars.closed_at, desk, books.books)
    engine = BacktestEngine(CONFIG)
    try:
        _open_venue(engine, books)
        engine.add_data(events_of(bars), client_id=CLOCK, sort=True)
        engine.add_strategy(PilotStrategy(pilot, books, journal))
        engine.run()
    finally:
        engine.dispose()
    return books.record


def _open_venue(engine: BacktestEngine, books: VenueBooks) -> None:
    first = books.coins[0]
    engine.add_venue(
        venue=first.perpetual.id.venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[first.money(books.desk.purse["cash"][0])],
        base_currency=first.perpetual.settlement_currency,
        default_leverage=Decimal(1),
        **dressed(books),
    )
    for coin in books.coins:
        engine.add_instrument(coin.perpetual)
