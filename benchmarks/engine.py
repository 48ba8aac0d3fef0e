"""What our backtest costs beside bare NautilusTrader that replays the same market and the same orders.

Both in one process, in turns: 10 coins x 50,000 simulated hourly bars by default, wishes written down beforehand
(no model). Bare Nautilus has its own fill and fee models, no funding, and the orders that our backtest sent, either at
a quote per open (the very prices that we trade at) or at the close of each bar. Run it as a script.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.model.currencies import Currency
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.objects import Money
from nautilus_trader.trading.strategy import Strategy

from longshort.base.instrument import Costs
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.policy import booking
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger
from longshort.trading.backtest import backtest
from longshort.trading.coins import Coin, coins_of
from longshort.trading.engine import CONFIG

BALANCE = 10_000_000.0


def wishes(bars: Bars, share: float) -> Exposure:
    rng = np.random.default_rng(0)
    target = np.where(rng.random(bars.close.shape) < share, rng.normal(0, 0.1, bars.close.shape), np.nan)
    return Exposure(closed_at=bars.closed_at, symbols=bars.symbols, target=target)


class Replay(Strategy):
    """Sends the orders of another backtest, by instrument and instant."""

    def __init__(
        self, coins: Sequence[Coin], orders: dict[Any, dict[int, float]], bar_types: Sequence[BarType]
    ) -> None:
        super().__init__()
        self._coins = {coin.perpetual.id: coin for coin in coins}
        self._orders, self._bar_types = orders, bar_types
        self.sent = 0

    def on_start(self) -> None:
        for bar_type in self._bar_types:
            self.subscribe_bars(bar_type)
        if not self._bar_types:
            for instrument_id in self._coins:
                self.subscribe_quote_ticks(instrument_id)

    def on_quote_tick(self, tick: Any) -> None:
        self._send(tick.instrument_id, tick.ts_event)

    def on_bar(self, bar: Any) -> None:
        self._send(bar.bar_type.instrument_id, bar.ts_event)

    def _send(self, instrument_id: Any, at: int) -> None:
        order = self._orders[instrument_id].get(at, 0.0)
        if order:
            side = OrderSide.BUY if order > 0 else OrderSide.SELL
            quantity = self._coins[instrument_id].quantity(order)
            self.submit_order(self.order_factory.market(instrument_id, side, quantity))
            self.sent += 1


def orders_of(
    ledger: Ledger, bars: Bars, coins: Sequence[Coin], *, closes: bool
) -> dict[Any, dict[int, float]]:
    """What was sent, in lots, by instrument and by the instant of its bar's open or of the close before it."""
    instant = "decided_at" if closes else "filled_at"
    return {
        coin.perpetual.id: {
            at * 1_000_000 + (not closes): round(quantity / float(bars.instruments[coin.asset].lot))
            for at, quantity in ledger.fills.filter(pl.col("symbol") == coin.symbol)
            .select(pl.col(instant).dt.timestamp("ms"), "quantity")
            .iter_rows()
        }
        for coin in coins
    }


def quotes(bars: Bars, coin: Coin) -> list[Any]:
    rows = np.flatnonzero(bars.present[:, coin.asset])[1:]
    opened_at = (bars.opened_at[rows] + 1).tolist()
    ticks = [booking.price_ticks(price, coin.terms) for price in bars.open[rows, coin.asset].tolist()]
    return [coin.quote(price, price, at) for price, at in zip(ticks, opened_at, strict=True)]


def candles(bars: Bars, coin: Coin, bar_type: BarType) -> list[Any]:
    rows = np.flatnonzero(bars.present[:, coin.asset])
    prices = [
        np.ascontiguousarray(getattr(bars, name)[rows, coin.asset])
        for name in ("open", "high", "low", "close")
    ]
    volume, closed_at = np.full(len(rows), 1e6), bars.closed_at[rows].astype(np.uint64)
    contract = coin.perpetual
    return Bar.from_raw_arrays_to_list(
        bar_type, contract.price_precision, contract.size_precision, *prices, volume, closed_at, closed_at
    )


def bare(bars: Bars, ledger: Ledger, *, closes: bool) -> int:
    coins = coins_of(bars.instruments)
    types = (
        [BarType.from_str(f"{coin.perpetual.id}-1-HOUR-LAST-EXTERNAL") for coin in coins] if closes else []
    )
    engine = BacktestEngine(CONFIG)
    settle: Currency = coins[0].perpetual.settlement_currency
    engine.add_venue(
        venue=coins[0].perpetual.id.venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(BALANCE, settle)],
        base_currency=settle,
        default_leverage=Decimal(1),
        bar_execution=closes,
    )
    for coin in coins:
        engine.add_instrument(coin.perpetual)
        data = candles(bars, coin, types[coin.asset]) if closes else quotes(bars, coin)
        engine.add_data(data, sort=coin is coins[-1])
    strategy = Replay(coins, orders_of(ledger, bars, coins, closes=closes), types)
    engine.add_strategy(strategy)
    engine.run()
    engine.dispose()
    return strategy.sent


def measure(name: str, run: Callable[[], Any]) -> tuple[float, Any]:
    wall_at, cpu_at = time.perf_counter(), time.process_time()
    found = run()
    wall, cpu = time.perf_counter() - wall_at, time.process_time() - cpu_at
    print(f"{name:<44} {wall:>7.1f} s {cpu:>7.1f} cpu-s", flush=True)
    return cpu, found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--coins", type=int, default=10)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--share", type=float, default=0.04, help="of closes with a wish")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    bars = simulate_market(given.coins, given.rows, seed=1).bars
    exposure = wishes(bars, given.share)
    backtest(bars[:50], Script(exposure), Costs(), BALANCE)  # compiled, or read from numba's cache
    ours, at_opens, at_closes = [], [], []
    for _ in range(given.rounds):
        cpu, ledger = measure("our backtest", lambda: backtest(bars, Script(exposure), Costs(), BALANCE))
        ours.append(cpu)
        cpu, sent = measure("bare, a quote per open", lambda of=ledger: bare(bars, of, closes=False))
        at_opens.append(cpu)
        at_closes.append(measure("bare, bars", lambda of=ledger: bare(bars, of, closes=True))[0])
        print(f"{bars.present.sum():,} bars, {ledger.trades:,} orders of ours, {sent:,} replayed at opens")
    ratios = [np.median(ours) / np.median(other) - 1.0 for other in (at_opens, at_closes)]
    print(f"overhead, in seconds of the processor: {ratios[0]:+.0%} over quotes, {ratios[1]:+.0%} over bars")


if __name__ == "__main__":
    main()
