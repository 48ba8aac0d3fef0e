"""A pilot on NautilusTrader's event-driven engine, with the same record as the vectorised ledger.

The pilot sees one closed row at a time and cannot see more; its orders fill at the next open. Statistics are
ours: Nautilus's own count closed positions, not equity.
"""

from importlib.util import find_spec

from longshort.base.errors import MissingExtra
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.journal import Journal, MemoryJournal
from longshort.data.bars import Bars
from longshort.policy.decider import Decider
from longshort.policy.desk import open_desk
from longshort.policy.ledger import NO_MARGIN, Ledger, ledger_from


def backtest(
    bars: Bars,
    pilot: Decider,
    costs: Costs,
    starting_balance: float = 100_000.0,
    journal: Journal | None = None,
    account: AccountTerms = NO_MARGIN,
) -> Ledger:
    """Run a pilot over a market; every wish that lapses goes to the journal.

    Raises `MissingExtra` without NautilusTrader, and `NotComputable` where a position meets unknown funding.
    """
    if find_spec("nautilus_trader") is None:
        raise MissingExtra("nautilus_trader", "trade")
    from longshort.trading.engine import simulate

    desk = open_desk(bars, costs, account, starting_balance)
    books = simulate(bars, pilot, desk, journal or MemoryJournal())
    return ledger_from(books, bars, starting_balance)
