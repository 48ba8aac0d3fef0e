"""longshort: LSTM forecasts of crypto futures, a verdict on what they are worth, and their execution.

The folders, in alphabetical order, are the way of a bar through the program, and a folder imports only those above it:

    base/      what all share: errors, settings, clock, calendar, instruments, journal, jobs
    data/      the market's past                        -> Bars
    features/  what was knowable, and what came next    -> Panel, Targets
    models/    a window becomes a belief                -> Forecast
    policy/    a belief becomes a wish                  -> Exposure, Ledger
    study/     is it true?                              -> Report, Verdict
    trading/   a wish becomes orders, on NautilusTrader
    web/       a window on the rest: pages and pictures

For notebooks:

>>> import longshort as ls
>>> study = ls.Study.parse({"data": {"source": "embedded", "embedded_coins": 2, "embedded_bars": 2_000}})
>>> bars = ls.load_bars(study)
>>> bars.symbols, len(bars)
(('SIM01USDT', 'SIM02USDT'), 2000)
>>> bars.to_polars().columns[:3]
['closed_at', 'symbol', 'open']

`train(study)` gives a `Bundle`, `forecast(study)` a `Forecast`, `evaluate(study)` a `Report`, `backtest(study)` a
`Ledger`, `divide(study)` a `Section` on other divisions of the past. Each has `to_polars()` where it is a table, and
shows itself in a notebook.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longshort._commands.divide import divide
    from longshort._commands.fit import forecast, train
    from longshort._commands.judge import evaluate
    from longshort._commands.trade import backtest
    from longshort.base.settings import Study
    from longshort.data.bars import Bars
    from longshort.data.simulator import simulate_market
    from longshort.models.bundle import Bundle
    from longshort.models.forecast import Forecast
    from longshort.policy.exposure import Exposure
    from longshort.policy.ledger import Ledger
    from longshort.study.market import load_bars
    from longshort.study.report import Report

__version__ = "0.1.0"

_HOMES = {
    "Bars": "data.bars",
    "Bundle": "models.bundle",
    "Exposure": "policy.exposure",
    "Forecast": "models.forecast",
    "Ledger": "policy.ledger",
    "Report": "study.report",
    "Study": "base.settings",
    "backtest": "_commands.trade",
    "divide": "_commands.divide",
    "evaluate": "_commands.judge",
    "forecast": "_commands.fit",
    "load_bars": "study.market",
    "simulate_market": "data.simulator",
    "train": "_commands.fit",
}

__all__ = [
    "Bars",
    "Bundle",
    "Exposure",
    "Forecast",
    "Ledger",
    "Report",
    "Study",
    "backtest",
    "divide",
    "evaluate",
    "forecast",
    "load_bars",
    "simulate_market",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'longshort' has no attribute {name!r}")
    return getattr(import_module(f"longshort.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
