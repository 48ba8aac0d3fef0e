"""What a lake tells the books: how far the mark price went in each bar, and what margin and expiry need."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from longshort.base.clock import DAY, HOUR, MINUTE, Interval
from longshort.base.errors import StudyError
from longshort.base.instrument import AccountTerms, Costs, Instrument, MaintenanceTier
from longshort.base.settings import DataSettings
from longshort.connect.listing import Listing
from longshort.data.bars import Bars
from longshort.data.instruments import FILE, read_instruments, record_listed
from longshort.data.lake import INSTANT, Lake, Series
from longshort.data.market import load_bars
from longshort.policy.ledger import run_ledger

from .accounts import TIERS, market, wishes

NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00 UTC, in seconds
NAN = np.nan
TOLD = Instrument(
    symbol="BTCUSDT",
    venue="binanceusdm",
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick=Decimal("0.5"),
    lot=Decimal("0.001"),
)


def listing(**changes: object) -> Listing:
    told = {
        "unified": "BTC/USDT:USDT",
        "id": "BTCUSDT",
        "instrument": TOLD,
        "contract": "swap",
        "active": True,
        "listed_at": None,
        "expires_at": None,
        "seen_at": 19_000 * DAY,
        "max_leverage": 50.0,
        "tiers": TIERS,
    }
    return Listing(**{**told, **changes})


def prices(minutes: int, opens: list[float], lows: list[float] | None = None) -> pl.DataFrame:
    """Bars of so many minutes, each three above and (unless told) three below its open, closing where it opened."""
    stamps = pl.Series("opened_at", [NEW_YEAR + 60 * minutes * k for k in range(len(opens))])
    return pl.DataFrame(
        {
            "opened_at": pl.from_epoch(stamps, "s").dt.replace_time_zone("UTC").cast(INSTANT),
            "open": opens,
            "high": [p + 3.0 for p in opens],
            "low": [p - 3.0 for p in opens] if lows is None else lows,
            "close": opens,
        }
    )


def told(tmp_path: Path, minutes: int, mark: pl.DataFrame) -> Bars:
    """Four hours of BTC at 100, within a dollar, beside a record of its mark price."""
    lake = Lake(tmp_path)
    bars = prices(60, [100.0] * 4, [99.0] * 4).with_columns(high=pl.lit(101.0), volume=pl.lit(10.0))
    lake.write(Series.bars("binanceusdm", Interval(HOUR), "BTCUSDT"), bars)
    lake.write(Series("binanceusdm", f"mark-{Interval(minutes * MINUTE)}", "BTCUSDT"), mark)
    record_listed(tmp_path / "binanceusdm", [listing(contract="future")])  # no funding is missing
    settings = DataSettings(lake=str(tmp_path), interval="1h", accept_broken=("BTCUSDT",))
    return load_bars(settings, tmp_path)


def test_the_mark_price_of_a_bar_goes_as_far_as_its_own_row_says(tmp_path: Path) -> None:
    bars = told(tmp_path, 60, prices(60, [100.0, 90.0, 110.0, 100.0])[[0, 1, 3]])

    np.testing.assert_array_equal(bars.gauge("mark_high")[:, 0], [103.0, 93.0, NAN, 103.0])
    np.testing.assert_array_equal(bars.gauge("mark_low")[:, 0], [97.0, 87.0, NAN, 97.0])


def test_finer_mark_prices_count_for_a_bar_only_where_none_of_them_is_missing(tmp_path: Path) -> None:
    mark = prices(30, [100.0, 104.0, 96.0, 90.0, 95.0, 80.0, 100.0, 101.0])

    bars = told(tmp_path, 30, mark.filter(pl.int_range(pl.len()) != 5))

    np.testing.assert_array_equal(bars.gauge("mark_high")[:, 0], [107.0, 99.0, NAN, 104.0])
    np.testing.assert_array_equal(bars.gauge("mark_low")[:, 0], [97.0, 87.0, NAN, 97.0])


def test_a_mark_price_told_for_longer_than_a_bar_says_nothing_of_how_far_it_went(tmp_path: Path) -> None:
    bars = told(tmp_path, 120, prices(120, [100.0, 90.0]))

    assert np.isnan(bars.gauge("mark_high")).all()
    np.testing.assert_array_equal(bars.mark_close[:, 0], [NAN, 100.0, NAN, 90.0])


@pytest.mark.parametrize(("row", "liquidated"), [(0, False), (2, True)], ids=["before", "while it is held"])
def test_the_mark_price_of_the_lake_liquidates_where_the_last_price_does_not(
    tmp_path: Path, row: int, liquidated: bool
) -> None:
    lows = [99.0] * 4
    lows[row] = 80.0
    bars = told(tmp_path, 60, prices(60, [100.0] * 4, lows))

    ledger = run_ledger(
        bars,
        wishes(bars, np.array([[1.0], [NAN], [NAN], [NAN]])),
        Costs(slippage_bps=0.0),
        account=AccountTerms(margin="isolated", leverage=10.0),
    )

    assert ("liquidation" in ledger.fills["cause"].to_list()) is liquidated


def test_what_margin_and_expiry_need_is_read_back_as_the_venue_told_it(tmp_path: Path) -> None:
    dated = replace(TOLD, symbol="BTCUSDT-251226")
    told = [listing(), listing(instrument=dated, contract="future", expires_at=20_448 * DAY, tiers=())]

    record_listed(tmp_path / "binanceusdm", told)

    found = read_instruments(tmp_path / "binanceusdm")
    assert found["BTCUSDT"] == replace(TOLD, tiers=TIERS, max_leverage=50.0)
    assert found["BTCUSDT-251226"].expires_at == 20_448 * DAY
    assert found["BTCUSDT-251226"].tiers == ()


def test_a_tier_without_an_end_is_null_in_the_file(tmp_path: Path) -> None:
    record_listed(tmp_path / "binanceusdm", [listing()])

    text = (tmp_path / "binanceusdm" / FILE).read_text(encoding="utf-8")

    assert "Infinity" not in text
    assert [tier["to_notional"] for tier in json.loads(text)["BTCUSDT"]["tiers"]] == [
        40_000.0,
        400_000.0,
        None,
    ]


@pytest.mark.parametrize(("cap", "told"), [(50.0, 50), (None, 20)], ids=["a cap", "tiers alone"])
def test_a_leverage_above_what_was_read_back_is_refused(tmp_path: Path, cap: float | None, told: int) -> None:
    tier = MaintenanceTier(from_notional=0.0, to_notional=np.inf, maintenance_rate=0.01, max_leverage=20.0)
    record_listed(tmp_path / "binanceusdm", [listing(max_leverage=cap, tiers=(tier,))])
    coin = read_instruments(tmp_path / "binanceusdm")["BTCUSDT"]
    bars = market([coin], np.ones((1, 1)), np.ones((1, 1)))

    with pytest.raises(StudyError) as caught:
        run_ledger(
            bars,
            wishes(bars, np.full((1, 1), NAN)),
            Costs(),
            account=AccountTerms(margin="isolated", leverage=75.0),
        )

    assert str(caught.value) == (
        f"trading.leverage: A leverage of 75 is above the {told} that BTCUSDT has on binanceusdm. "
        f"Set it to {told} or less."
    )
