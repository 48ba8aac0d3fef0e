"""The backtest on NautilusTrader: the ledger's account event by event, and a pilot that sees row by row."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from longshort._commands.trade import misheld
from longshort.base.errors import MissingExtra, NotComputable, StudyError
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.journal import MemoryJournal, StoodAside
from longshort.data.bars import Bars
from longshort.data.simulator import Simulation
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure, Wishes
from longshort.policy.ledger import Ledger, run_ledger
from longshort.trading import engine
from longshort.trading.backtest import backtest

from .accounts import coin, market, random_market, random_wishes, real_market, wishes
from .test_ledger import _rounding

NAN = np.nan
CENT = 1e-8


def _same(engine: Ledger, ledger: Ledger) -> None:
    np.testing.assert_array_equal(engine.quantity, ledger.quantity)
    for name in ("cash", "equity", "fees", "slippage", "funding"):
        np.testing.assert_allclose(getattr(engine, name), getattr(ledger, name), rtol=0, atol=CENT / 2)
    assert_frame_equal(engine.fills, ledger.fills, check_exact=False, rel_tol=0, abs_tol=CENT / 2)
    assert engine.fills.select("quantity", "price", "position").equals(
        ledger.fills.select("quantity", "price", "position")
    )
    assert engine.lapsed.equals(ledger.lapsed)


def _both(bars: Bars, exposure: Exposure, costs: Costs, balance: float = 100_000.0) -> Ledger:
    ledger = run_ledger(bars, exposure, costs, starting_balance=balance)
    _same(backtest(bars, Script(exposure), costs, balance), ledger)
    return ledger


@settings(max_examples=10, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # shrinking takes minutes
@given(
    seed=st.integers(0, 2**32),
    coins=st.integers(1, 4),
    taker_bps=st.sampled_from([0.0, 5.0, 7.5]),
    slippage_bps=st.sampled_from([0.0, 1.0, 50.0]),
    scale=st.sampled_from([0.05, 0.5, 3.0]),
)
def test_engine_and_ledger_book_the_same_events(
    seed: int, coins: int, taker_bps: float, slippage_bps: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    bars = random_market(80, coins, rng, absent=0.1)

    costs = Costs(taker_bps=taker_bps, slippage_bps=slippage_bps)
    _both(bars, random_wishes(bars, rng, share=0.5, scale=scale), costs)


def test_engine_and_ledger_agree_on_real_bars(real_data: Path, rng: np.random.Generator) -> None:
    bars = real_market(real_data, ("BTCUSDT", "ETHUSDT", "DOGEUSDT"), 2_000)

    ledger = _both(bars, random_wishes(bars, rng, share=0.2), Costs(), 1_000_000.0)

    assert ledger.trades > 1_000
    assert np.count_nonzero(ledger.funding) > 500


def test_engine_and_ledger_agree_on_the_embedded_market(simulation: Simulation) -> None:
    bars = simulation.bars[:600]
    rng = np.random.default_rng(3)

    assert _both(bars, random_wishes(bars, rng, share=0.1), Costs()).trades > 100


def test_the_engine_stays_within_rounding_of_fractional_lots(simulation: Simulation) -> None:
    bars = simulation.bars[:600]
    exposure = random_wishes(bars, np.random.default_rng(8), share=0.2, scale=0.3)

    rounded = backtest(bars, Script(exposure), Costs())
    fractional = run_ledger(bars, exposure, Costs(), lots=False)

    assert rounded.trades == fractional.trades
    assert np.abs(rounded.equity - fractional.equity).max() <= _rounding(bars, rounded)


def test_a_hundred_and_twenty_coins_trade_in_one_instant(rng: np.random.Generator) -> None:
    bars = random_market(4, 120, rng, absent=0.0)
    target = np.full(bars.close.shape, NAN)
    target[0], target[1] = 0.05, -0.05

    ledger = _both(bars, wishes(bars, target), Costs(), 10_000_000.0)

    assert ledger.trades == 240


def test_no_order_is_too_large_for_the_market() -> None:
    bars = market([coin(tick="0.00001", lot="1")], _column(0.1, 0.1, 0.1), _column(0.1, 0.1, 0.1))

    ledger = _both(bars, wishes(bars, _column(9.0, -9.0, NAN)), Costs(), 50_000_000.0)

    assert ledger.fills["notional"].to_list() == pytest.approx([4.5e8, 9e8], rel=0.05)
    assert ledger.quantity[1, 0] == 4_500_000_000


def test_profit_is_the_same_where_doubles_of_one_quantity_differ() -> None:
    """8,261.711 is two doubles inside Nautilus, and only the smaller one gives 824,020.65069994."""
    bars = market(
        [coin(tick="0.1", lot="0.001")],
        _column(50_000, 49_912.0, 49_924.0, 50_015.7),
        _column(50_000, 49_912.0, 49_924.0, 50_015.7),
    )
    target = np.array([5_535.1465 * 50_000, 8_261.7115 * 49_912.0, 0.0, NAN])[:, None] / 80_000_000

    ledger = _both(bars, wishes(bars, target), Costs(taker_bps=0.0, slippage_bps=0.0), 80_000_000.0)

    assert ledger.fills["quantity"].to_list() == [5_535.146, 2_726.565, -8_261.711]
    assert ledger.fills["realized"].to_list() == [0.0, 0.0, 824_020.65069994]


class _Listener:
    """Notes what it is shown, wishes what it is told to."""

    def __init__(self, wish: float) -> None:
        self.seen: list[Bars] = []
        self.wish = wish

    def on_close(self, bars: Bars) -> Wishes:
        self.seen.append(bars)
        return Wishes.of(np.full(len(bars.symbols), self.wish))


def test_the_pilot_is_shown_each_closed_row_once_and_in_order(rng: np.random.Generator) -> None:
    bars = random_market(30, 2, rng, absent=0.5)
    empty = np.array([7, 8, 29])
    for name in ("open", "high", "low", "close"):
        getattr(bars, name)[empty] = NAN
    bars.present[empty] = False
    listener = _Listener(NAN)

    backtest(bars, listener, Costs())

    assert [len(row) for row in listener.seen] == [1] * 30
    assert [int(row.closed_at[0]) for row in listener.seen] == bars.closed_at.tolist()
    np.testing.assert_array_equal(np.concatenate([row.close for row in listener.seen]), bars.close)


def test_a_decision_fills_at_the_next_open_and_not_at_the_close_it_saw() -> None:
    bars = market([coin()], _column(50, 200, 300), _column(100, 250, 350))

    ledger = backtest(bars, _Listener(0.5), Costs(taker_bps=0.0, slippage_bps=0.0), 10_000.0)

    assert ledger.fills["price"][0] == 200.0
    assert ledger.fills["quantity"][0] == 50.0


def test_lapsed_wishes_go_to_the_journal() -> None:
    bars = market([coin()], _column(99, NAN, 100, 100), _column(100, NAN, 100, 100))
    journal = MemoryJournal()

    backtest(bars, _Listener(0.5), Costs(), 10_000.0, journal)

    assert journal.events == [
        StoodAside(int(bars.closed_at[0]), "AAAUSDT", "no bar to fill in"),
        StoodAside(int(bars.closed_at[1]), "AAAUSDT", "no bar at this close"),
    ]


def test_positions_that_the_policy_took_for_held_and_left_alone_are_counted() -> None:
    bars = market([coin()], _column(99, 100, 100, 100), _column(100, 100, 100, 100))
    asked = wishes(bars, _column(0.5, NAN, NAN, NAN))
    alone = [np.array([belief]) for belief in (NAN, 0.5, 0.5, 0.5)]

    late = run_ledger(bars, asked, Costs(), account=AccountTerms(latency_ms=1))

    assert misheld(run_ledger(bars, asked, Costs()), alone) == ()
    assert misheld(late, alone) == (
        "At 1 of 4 closes the policy left a coin alone that it took to be held otherwise than it was: it takes orders "
        "to fill at the next open, and these filled later or not at all.",
    )


def test_unknown_funding_stops_the_backtest() -> None:
    covered = np.array([[True], [True], [False], [False]])
    bars = market([coin("BBBUSDT")], _column(99, 100, 101, 102), _column(100, 101, 102, 103), covered=covered)

    with pytest.raises(NotComputable, match=r"BBBUSDT: Profit is not computed.*2024-10-04 02:00Z"):
        backtest(bars, _Listener(0.5), Costs())


def test_an_infinite_wish_stops_the_backtest() -> None:
    bars = market([coin()], _column(99, 100), _column(100, 101))

    with pytest.raises(StudyError, match=r"AAAUSDT: The wish at the close of 2024-10-04 00:00Z is infinite"):
        backtest(bars, _Listener(-np.inf), Costs())


class _Broken:
    def on_close(self, bars: Bars) -> Wishes:
        raise ZeroDivisionError(f"the pilot fell over row {len(bars)}")


def test_the_engine_is_taken_down_when_the_pilot_falls_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_down = []

    class Watched(engine.BacktestEngine):
        def dispose(self) -> None:
            taken_down.append(self)
            super().dispose()

    monkeypatch.setattr(engine, "BacktestEngine", Watched)
    bars = market([coin()], _column(99, 100), _column(100, 101))

    with pytest.raises(ZeroDivisionError, match="the pilot fell over"):
        backtest(bars, _Broken(), Costs())

    assert len(taken_down) == 1


def test_a_market_in_which_nothing_ever_opens_again_is_no_problem() -> None:
    bars = market([coin()], _column(99), _column(100))

    ledger = backtest(bars, _Listener(0.5), Costs())

    assert ledger.equity.tolist() == [100_000.0]
    assert ledger.fills.is_empty()
    assert isinstance(ledger.to_polars(), pl.DataFrame)


def test_the_engine_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    bars = market([coin()], _column(99, 100), _column(100, 101))

    backtest(bars, _Listener(0.5), Costs())

    assert capfd.readouterr() == ("", "")


def test_without_nautilus_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nautilus_trader", None)
    bars = market([coin()], _column(99, 100), _column(100, 101))

    with pytest.raises(
        MissingExtra, match=r'nautilus_trader is not installed.*pip install "longshort\[trade\]"'
    ):
        backtest(bars, _Listener(0.5), Costs())


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def test_importing_the_backtest_loads_neither_nautilus_nor_numba() -> None:
    look = "import sys, longshort.trading.backtest; print(sorted({'nautilus_trader', 'numba'} & set(sys.modules)))"

    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)  # noqa: S603 our own words

    assert found.stdout == "[]\n"
