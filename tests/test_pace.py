"""Slow decisions on fine execution bars: ledger and engine agree, and where bars contradict each other it is told."""

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from longshort.base.clock import HOUR, MINUTE, Interval
from longshort.base.errors import DataError, StudyError
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.journal import MemoryJournal
from longshort.base.settings import DataSettings, Study
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.data.execution import laid_under, load_finer
from longshort.data.files.importer import ImportOptions, import_files
from longshort.data.lake import Lake
from longshort.data.market import load_bars
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.policy.limits.limited import Limited
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import LimitState
from longshort.policy.pace import Paced, at_pace
from longshort.study.account.broker import Broker, at_closes
from longshort.trading.backtest import backtest

from .accounts import FIRST_CLOSED_AT, coin, market, random_market, stormy_market, stormy_wishes, wishes

NAN = np.nan
CENT = 1e-8
RARE = settings(max_examples=6, phases=(Phase.explicit, Phase.reuse, Phase.generate), deadline=None)
GATED = LimitSettings(max_leverage=0.8, max_order_notional=3_000.0, max_daily_loss=0.01)


def in_minutes(bars: Bars) -> Bars:
    """The same bars, a minute each."""
    closed_at = FIRST_CLOSED_AT - HOUR + MINUTE * np.arange(1, len(bars) + 1, dtype=np.int64)
    return replace(bars, interval=Interval(MINUTE), closed_at=closed_at)


def aggregated(minutes: Bars, factor: int = 60) -> Bars:
    """Bars of so many minutes, made of them: what a venue calls its hourly candles."""
    shape = (len(minutes) // factor, factor, len(minutes.symbols))
    opens, closes = minutes.open.reshape(shape), minutes.close.reshape(shape)
    present = minutes.present.reshape(shape)
    first = np.argmax(present, axis=1)[:, None]
    last = factor - 1 - np.argmax(present[:, ::-1], axis=1)[:, None]
    settled = minutes.funding_rate.reshape(shape)
    known = ~np.isnan(settled)
    return replace(
        minutes,
        interval=Interval(factor * MINUTE),
        closed_at=minutes.closed_at[factor - 1 :: factor],
        open=np.take_along_axis(opens, first, axis=1)[:, 0],
        high=np.fmax.reduce(minutes.high.reshape(shape), axis=1),
        low=np.fmin.reduce(minutes.low.reshape(shape), axis=1),
        close=np.take_along_axis(closes, last, axis=1)[:, 0],
        volume=np.nansum(minutes.volume.reshape(shape), axis=1),
        present=present.any(axis=1),
        listed=minutes.listed.reshape(shape)[:, -1],
        funding_rate=np.where(known.any(axis=1), np.nansum(settled, axis=1), NAN),
        funding_covered=minutes.funding_covered.reshape(shape).all(axis=1),
        gauges={name: grid.reshape(shape)[:, -1] for name, grid in minutes.gauges.items()},
    )


def some_minutes(hours: int, seed: int, *, absent: float = 0.0) -> Bars:
    return in_minutes(random_market(60 * hours, 2, np.random.default_rng(seed), absent=absent))


def same(engine: Ledger, ledger: Ledger) -> None:
    np.testing.assert_array_equal(engine.quantity, ledger.quantity)
    for name in ("cash", "equity", "fees", "slippage", "funding", "liquidation"):
        np.testing.assert_allclose(getattr(engine, name), getattr(ledger, name), rtol=0, atol=CENT)
    assert engine.fills.select("quantity", "price", "cause").equals(
        ledger.fills.select("quantity", "price", "cause")
    )


def test_whole_minutes_aggregated_to_hours_come_back_as_they_were() -> None:
    minutes = some_minutes(30, seed=1)

    laid = laid_under(aggregated(minutes), minutes)

    assert laid.bars.digest() == replace(minutes, gauges={}).digest()
    assert (laid.stood_in, laid.disagreements, laid.notes) == ((0, 0), (), ())


@RARE
@given(
    seed=st.integers(0, 2**32),
    account=st.sampled_from(
        [
            AccountTerms(),
            AccountTerms(margin="isolated", leverage=10.0),
            AccountTerms(execution="maker, then taker"),
        ]
    ),
)
def test_engine_and_ledger_agree_on_minutes_under_hourly_wishes_with_exits(
    seed: int, account: AccountTerms
) -> None:
    minutes = in_minutes(stormy_market(60 * 12, 2, rng := np.random.default_rng(seed)))
    hours = aggregated(minutes)
    laid = laid_under(hours, minutes).bars
    exposure = stormy_wishes(hours, rng, scale=1.0)

    ledger = run_ledger(
        laid, at_pace(exposure, laid.closed_at), Costs(), starting_balance=20_000.0, account=account
    )
    driven = backtest(laid, Paced(Script(exposure), hours), Costs(), 20_000.0, account=account)

    same(driven, ledger)


def test_limits_in_the_way_are_journaled_and_the_ledger_books_what_they_let_through() -> None:
    minutes = some_minutes(60, seed=4)
    hours = aggregated(minutes)
    laid = laid_under(hours, minutes).bars
    target = np.random.default_rng(6).normal(0, 0.8, hours.close.shape).round(3)
    limited = Limited(
        Script(wishes(hours, target)),
        Limits(GATED, LimitState.fresh(hours.symbols)),
        journal := MemoryJournal(),
    )

    driven = backtest(laid, Paced(limited, hours), Costs(), 10_000.0)

    booked = run_ledger(laid, at_pace(limited.exposure, laid.closed_at), Costs(), starting_balance=10_000.0)
    same(driven, booked)
    assert {e.cause for e in journal.events if hasattr(e, "cause")} == {
        "order-notional", "leverage", "daily-loss"
    }  # fmt: skip
    assert np.array_equal(limited.exposure.closed_at, hours.closed_at)


def test_a_stop_between_decisions_fills_in_its_own_minute_by_hand() -> None:
    """Bought at 100 at 01:00, stopped at 95 in the minute that ends at 01:31, flat until the hour is over."""
    minutes = np.full((180, 1), 100.0)
    bars = in_minutes(market([coin(lot="1")], minutes, minutes.copy()))
    low = bars.low.copy()
    low[90] = 90.0
    bars = replace(bars, low=low)
    hours = aggregated(bars)
    stop = np.array([[0.05], [NAN], [NAN]])
    exposure = replace(wishes(hours, np.array([[1.0], [NAN], [NAN]])), stop=stop)

    ledger = run_ledger(
        bars, at_pace(exposure, bars.closed_at), Costs(slippage_bps=0.0), starting_balance=10_000.0
    )

    assert ledger.fills["cause"].to_list() == ["order", "stop"]
    assert ledger.fills["price"].to_list() == [100.0, 95.0]
    assert ledger.fills["filled_at"].dt.epoch("ns").to_list() == [
        int(bars.opened_at[60]), int(bars.closed_at[90])
    ]  # fmt: skip


def test_an_hour_without_minutes_stands_in_and_is_counted() -> None:
    minutes = some_minutes(4, seed=2)
    hours = aggregated(minutes)
    gone = minutes.present.copy()
    gone[120:180, 1] = False
    holed = {
        name: np.where(gone, getattr(minutes, name), NAN)
        for name in ("open", "high", "low", "close", "volume")
    }

    laid = laid_under(hours, replace(minutes, present=gone, **holed))

    assert laid.stood_in == (0, 1)
    assert laid.notes == ("DOGEUSDT: 1 decision bar had no 1m bars and stood in for them.",)
    assert laid.bars.present[120:180, 1].nonzero()[0].tolist() == [0, 59]
    assert laid.bars.high[120, 1] == hours.high[2, 1]
    assert laid.bars.low[120, 1] == hours.low[2, 1]
    assert laid.bars.close[179, 1] == hours.close[2, 1]
    np.testing.assert_array_equal(laid.bars.funding_rate, minutes.funding_rate)


def test_a_coin_without_any_minutes_is_booked_as_on_the_bars_that_decide() -> None:
    minutes = some_minutes(48, seed=3)
    hours = aggregated(minutes)
    target = np.random.default_rng(1).normal(0, 0.3, hours.close.shape).round(3)
    target[:, 0] = NAN
    exposure = wishes(hours, target)

    laid = laid_under(hours, minutes.coins([0])).bars
    fine = run_ledger(laid, at_pace(exposure, laid.closed_at), Costs(), starting_balance=10_000.0)

    slow = run_ledger(hours, exposure, Costs(), starting_balance=10_000.0)
    np.testing.assert_array_equal(at_closes(fine, hours.closed_at).equity, slow.equity)
    assert slow.trades > 30


def test_prices_that_hours_and_minutes_tell_differently_are_named() -> None:
    minutes = some_minutes(5, seed=5)
    hours = aggregated(minutes)
    high = hours.high.copy()
    high[3, 0] *= 1.02

    (found,) = laid_under(replace(hours, high=high), minutes).disagreements

    assert (found.symbol, found.price, found.bars, found.compared) == ("BTCUSDT", "high", 1, 5)
    assert found.worst == pytest.approx(0.02)
    assert found.worst_at == hours.closed_at[3]
    assert "the high of 1 decision bar of 5 differs from its finer bars, by 2.00% at most" in str(found)


def test_the_account_at_the_closes_of_decisions_keeps_every_sum() -> None:
    minutes = some_minutes(48, seed=6, absent=0.02)
    hours = aggregated(minutes)
    laid = laid_under(hours, minutes).bars
    exposure = wishes(hours, np.random.default_rng(2).normal(0, 0.3, hours.close.shape).round(3))
    fine = run_ledger(laid, at_pace(exposure, laid.closed_at), Costs(), starting_balance=10_000.0)

    slow = at_closes(fine, hours.closed_at)

    assert astuple(slow.totals) == pytest.approx(astuple(fine.totals))
    assert np.nansum(slow.turnover) == pytest.approx(np.nansum(fine.turnover), rel=0.05)
    assert slow.equity[-1] == fine.equity[-1]
    assert slow.fees.shape == hours.close.shape


def test_a_broker_whose_bars_decide_and_fill_alike_changes_nothing() -> None:
    hours = random_market(50, 2, rng := np.random.default_rng(1))
    broker = Broker(
        decision=hours, execution=hours, costs=Costs(), account=AccountTerms(), starting_balance=1e5
    )
    exposure = stormy_wishes(hours, rng, scale=0.5)

    assert broker.paced(exposure) is exposure
    assert broker.judged(ledger := broker.book(exposure)) is ledger


def test_twice_the_fees_never_double_a_rebate() -> None:
    bars = random_market(3, 1, np.random.default_rng(0))
    costs = Costs(taker_bps=5.0, maker_bps=-1.0, slippage_bps=1.0, impact=0.5)
    broker = Broker(decision=bars, execution=bars, costs=costs, account=AccountTerms(), starting_balance=1e5)

    fees, slippage = broker.dearer(fees=2.0), broker.dearer(slippage=3.0)

    assert (fees.costs.taker_bps, fees.costs.maker_bps, fees.costs.slippage_bps) == (10.0, -1.0, 1.0)
    assert fees.execution.instruments[0].fees[0].taker_bps == 10.0
    assert (slippage.costs.slippage_bps, slippage.costs.impact, slippage.costs.taker_bps) == (3.0, 1.5, 5.0)


def test_a_decision_between_two_execution_bars_is_refused() -> None:
    exposure = Exposure(closed_at=np.array([90]), symbols=("A",), target=np.zeros((1, 1)))

    with pytest.raises(DataError, match="between two execution bars"):
        at_pace(exposure, np.array([60, 120]))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("7m", "does not divide"), ("2h", "does not divide"), ("1m", "embedded market has 1h bars only")],
)
def test_an_execution_interval_that_cannot_be_is_refused(wanted: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        Study.parse({"data": {"source": "embedded"}, "trading": {"execution_interval": wanted}})


def test_a_lake_without_minutes_says_where_they_would_come_from(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    hours = random_market(3, 1, np.random.default_rng(0))

    with pytest.raises(DataError, match="no 1m bars of BTCUSDT in the lake"):
        load_finer(Study().data, tmp_path, Interval(MINUTE), hours)


@pytest.fixture(scope="module")
def real_hours(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bars]:
    """A month of real hours and minutes in one lake; the minutes of BTC end a day before the hours do."""
    folder = tmp_path_factory.mktemp("minutes")
    files = [
        real_data / place / f"binance_{symbol}_{kind}.parquet"
        for symbol in ("BTCUSDT", "ETHUSDT")
        for place, kind in (("ohlcv_1h", "perp_1h"), ("ohlcv_1m", "perp_1m_2025-05"), ("funding", "funding"))
    ]
    import_files(files, Lake(folder / "lake"), ImportOptions(venue="binanceusdm"))
    wanted = DataSettings(
        interval="1h", symbols=("BTCUSDT", "ETHUSDT"), since="2025-05-20", until="2025-06-04T15:00Z"
    )
    return folder, load_bars(wanted, folder)


def test_real_minutes_lie_under_real_hours_and_engine_and_ledger_agree_on_them(
    real_hours: tuple[Path, Bars], rng: np.random.Generator
) -> None:
    folder, hours = real_hours

    laid = load_finer(DataSettings(interval="1h"), folder, Interval(MINUTE), hours)

    assert laid.stood_in == (23, 0)  # the minutes end at 15:32 of the day before
    assert laid.disagreements == ()
    assert len(laid.bars) == 60 * len(hours)
    np.testing.assert_allclose(np.nansum(laid.bars.funding_rate), np.nansum(hours.funding_rate))
    days = laid.bars[: 60 * 48]
    target = rng.normal(0, 0.5, (48, 2)).round(3)
    exposure = replace(wishes(hours[:48], target), stop=np.full(target.shape, 0.003))
    ledger = run_ledger(days, at_pace(exposure, days.closed_at), Costs(), starting_balance=1e5)
    same(backtest(days, Paced(Script(exposure), hours[:48]), Costs(), 1e5), ledger)
    assert set(ledger.fills["cause"]) == {"order", "stop"}
    assert ledger.trades > 90
