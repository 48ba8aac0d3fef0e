"""Minutes under hours through the command line: where fills and exits happened, against a slow look at every minute."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from longshort.base.clock import MINUTE, Interval
from longshort.base.errors import DataError
from longshort.base.instrument import Costs
from longshort.base.settings import DataSettings
from longshort.data.bars import Bars
from longshort.data.execution import laid_under, load_finer
from longshort.data.files.importer import ImportOptions, import_files
from longshort.data.lake import Lake
from longshort.data.market import load_bars
from longshort.policy.ledger import run_ledger
from longshort.policy.pace import at_pace

from .accounts import wishes
from .test_cli import fine, last_json
from .test_pace import aggregated, some_minutes

NAN = np.nan
PRICES = ("open", "high", "low", "close")
SLIPPAGE = 1e-4
TICK_DIGITS = {"BTCUSDT": 1, "ETHUSDT": 2}
HOURS, SINCE_HOUR = 1_104, 984  # of simulated bars; the hour from which there are minutes
STUDY = """\
[data]
symbols = ["BTCUSDT", "ETHUSDT"]
interval = "1h"

[features]
names = ["return_1", "range_24"]

[target]
horizons = [1, 4]

[model]
hidden = 4
seeds = [1]
anchor = "har"
restart_rows = 32

[training]
steps = 10
check_every = 10
chunk_bars = 48
burn_in_bars = 12
batch_chunks = 4
processes = 1

[validation]
folds = 2
first_train_share = 0.88
opponents = []

[policy]
entry_cost_multiple = 0.02
stop_multiple = 0.3
take_multiple = 0.3
max_holding_bars = 24

[trading]
execution_interval = "1m"
"""
Minutes = dict[datetime, dict[str, Any]]


class Looked(NamedTuple):
    """One trade beside the minutes that it lasted, looked at one by one with nothing but their prices."""

    cause: str
    wrong: str
    gapped: bool

    @classmethod
    def at(cls, trade: dict[str, Any], minutes: Minutes) -> "Looked":
        side, cause, near = 1.0 if trade["side"] == "long" else -1.0, trade["cause"], trade["exit"] * 1e-5
        ended = trade["closed_at"] if cause == "order" else trade["closed_at"] - timedelta(minutes=1)
        opened, last = minutes[trade["opened_at"]]["open"], minutes[ended]
        before = trade["exit"] * (1.0 if cause == "take" else 1.0 + side * SLIPPAGE)
        bad, good = ("low", "high") if side > 0.0 else ("high", "low")
        inside = {
            "order": abs(before - last["open"]) < near,
            "stop": side * last[bad] <= side * before + near <= side * last["open"] + 2.0 * near,
            "take": side * last[good] > side * before,
        }
        toward = {"order": 0.0, "stop": -side, "take": side}[cause]
        lasted = [bar for at, bar in minutes.items() if trade["opened_at"] <= at < ended]
        furthest = good if cause == "take" else bad
        reached = [bar for bar in lasted if toward * bar[furthest] > toward * before + near]
        reasons = {
            "entered elsewhere": abs(trade["entry"] - opened * (1.0 + side * SLIPPAGE)) > near,
            "left elsewhere": not inside[cause],
            "could have left before": bool(reached),
        }
        wrong = [f"{reason}: {trade} {reached[:1]}" for reason, is_so in reasons.items() if is_so]
        return cls(cause, "; ".join(wrong), cause == "stop" and abs(before - last["open"]) < near)


def rows_of(minutes: pl.DataFrame) -> Minutes:
    return {row["ts"]: row for row in minutes.iter_rows(named=True)}


def read_books(path: Path) -> pl.DataFrame:
    instants = pl.selectors.ends_with("_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    return pl.read_csv(path).with_columns(instants)


def holed(minutes: Bars, gone: np.ndarray) -> Bars:
    lost = {n: np.where(gone, NAN, getattr(minutes, n)) for n in (*PRICES, "volume")}
    return replace(minutes, present=~gone, **lost)


def test_a_hole_holds_what_only_the_hour_knows_of_it_by_hand() -> None:
    minutes = some_minutes(3, seed=7).coins([0])
    high, gone = minutes.high.copy(), np.zeros(minutes.close.shape, dtype=bool)
    high[75] = 60_000.0
    gone[[60, 75, 76, 119]] = (
        True  # the first and the last of the second hour, and the one with its highest price
    )
    minutes = replace(minutes, high=high)
    hours = aggregated(minutes)

    found = laid_under(hours, holed(minutes, gone))

    assert found.holed == (1,)
    assert found.stood_in == (0,)
    assert found.bars.present[:, 0].nonzero()[0].tolist() == [k for k in range(180) if k not in (75, 76)]
    assert [getattr(found.bars, n)[60, 0] for n in PRICES] == [
        hours.open[1, 0], 60_000.0, hours.open[1, 0], hours.open[1, 0],
    ]  # fmt: skip
    assert [getattr(found.bars, n)[119, 0] for n in PRICES] == [hours.close[1, 0]] * 4
    assert found.bars.volume[[60, 119], 0].tolist() == [0.0, 0.0]
    assert found.notes == (
        "BTCUSDT: 1 decision bar lacked some 1m bars; opens, closes and ranges that these would have told are the "
        "decision bars' own.",
    )


@pytest.mark.parametrize("seed", range(4))
def test_whatever_minutes_are_missing_the_hours_range_open_and_close_are_reached(seed: int) -> None:
    minutes = some_minutes(40, seed=seed)
    hours = aggregated(minutes)
    gone = np.random.default_rng(seed).random(minutes.close.shape) < 0.3

    bars = laid_under(hours, holed(minutes, gone)).bars

    whole = {n: getattr(bars, n).reshape(40, 60, 2) for n in PRICES}
    np.testing.assert_array_equal(whole["open"][:, 0], hours.open)
    np.testing.assert_array_equal(whole["close"][:, -1], hours.close)
    np.testing.assert_array_equal(np.nanmax(whole["high"], axis=1), hours.high)
    np.testing.assert_array_equal(np.nanmin(whole["low"], axis=1), hours.low)
    assert (bars.low <= np.fmin(bars.open, bars.close))[bars.present].all()
    assert (bars.high >= np.fmax(bars.open, bars.close))[bars.present].all()


def test_minutes_without_a_trade_lose_no_wish_and_no_stop() -> None:
    minutes = some_minutes(60, seed=8)
    hours = aggregated(minutes)
    rng = np.random.default_rng(3)
    gone = rng.random(minutes.close.shape) < 0.4
    exposure = wishes(hours, rng.normal(0, 0.4, hours.close.shape).round(3))
    exposure = replace(exposure, stop=np.full(hours.close.shape, 0.01))
    laid = laid_under(hours, holed(minutes, gone)).bars

    fine = run_ledger(laid, at_pace(exposure, laid.closed_at), Costs(), starting_balance=10_000.0)

    slow = run_ledger(hours, exposure, Costs(), starting_balance=10_000.0)
    assert fine.lapsed.equals(slow.lapsed)
    assert fine.trades == slow.trades > 200
    counts = [one.fills["cause"].value_counts().sort("cause").rows() for one in (fine, slow)]
    assert counts[0] == counts[1]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files: hours of two coins, minutes of one of them from some hour on; between bars prices jump."""
    folder, rng = tmp_path_factory.mktemp("simulated"), np.random.default_rng(5)
    first, rows = datetime(2024, 1, 1, tzinfo=UTC), 60 * HOURS
    opened = pl.datetime_range(first, first + timedelta(minutes=rows - 1), "1m", time_unit="ms", eager=True)
    settled = pl.datetime_range(first, first + timedelta(minutes=rows), "8h", time_unit="ms", eager=True)
    funding = pl.DataFrame({"ts": settled}).with_columns(rate=pl.lit(1e-4))
    for symbol, price in (("BTCUSDT", 40_000.0), ("ETHUSDT", 2_500.0)):
        walk = price * np.exp(np.cumsum(rng.normal(0.0, 6e-4, 4 * rows))).reshape(rows, 4)
        prices = dict(zip(PRICES, (walk[:, 0], walk.max(axis=1), walk.min(axis=1), walk[:, 3]), strict=True))
        digits = TICK_DIGITS[symbol]
        minutes = pl.DataFrame({"ts": opened} | {n: np.round(p, digits) for n, p in prices.items()})
        minutes = minutes.with_columns(volume=pl.Series(rng.random(rows).round(3) + 1.0).round(3))
        told = [pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume")]
        minutes.group_by_dynamic("ts", every="1h").agg(told).write_parquet(
            folder / f"test_{symbol}_1h.parquet"
        )
        funding.write_parquet(folder / f"test_{symbol}_funding.parquet")
        minutes[60 * SINCE_HOUR :].write_parquet(folder / f"{symbol}.parquet")
    (folder / "BTCUSDT.parquet").rename(folder / "test_BTCUSDT_1m.parquet")
    import_files(sorted(folder.glob("test_*")), Lake(folder / "lake"), ImportOptions(venue="binanceusdm"))
    return folder


def test_minutes_of_another_time_are_refused_and_not_stood_in_for(simulated: Path) -> None:
    early = load_bars(DataSettings(until="2024-01-20"), simulated)

    with pytest.raises(DataError, match=r"1m bars in the lake are all of another time") as refused:
        load_finer(DataSettings(), simulated, Interval(MINUTE), early)

    assert "There are some from 2024-02-11 00:00Z to 2024-02-16 00:00Z" in str(refused.value)


def test_what_is_known_of_hours_and_of_minutes_comes_along(simulated: Path) -> None:
    hours = load_bars(DataSettings(since="2024-02-12"), simulated)

    bars = load_finer(DataSettings(), simulated, Interval(MINUTE), hours).bars

    assert [f"{o.symbol} {o.kind}" for o in bars.origins] == [
        "BTCUSDT bars-1h", "BTCUSDT funding", "ETHUSDT bars-1h", "ETHUSDT funding", "BTCUSDT bars-1m",
    ]  # fmt: skip


def test_a_backtest_on_simulated_minutes_fills_where_a_slow_look_at_each_of_them_says(
    simulated: Path, tmp_path: Path
) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    files = [str(file) for file in sorted(simulated.glob("test_*"))]

    fine("import", *files, "--venue", "binanceusdm", cwd=tmp_path)
    told = last_json(fine("backtest", ".", "--json", cwd=tmp_path))

    assert told["execution_interval"] == "1m"
    assert told["notes"][1:] == [
        "Decisions at the closes of 1h bars, fills and exits on 1m bars.",
        "BTCUSDT: 12 decision bars had no 1m bars and stood in for them.",
        "ETHUSDT: 132 decision bars had no 1m bars and stood in for them.",
    ]
    minutes = {"BTCUSDT": rows_of(pl.read_parquet(simulated / "test_BTCUSDT_1m.parquet"))}
    fills, trades = (read_books(tmp_path / told["files"][name]) for name in ("fills", "trades"))
    since = pl.col("opened_at") >= datetime(2024, 2, 11, tzinfo=UTC)
    looked = [
        Looked.at(trade, minutes[trade["symbol"]])
        for trade in trades.filter(since, symbol="BTCUSDT", fills=2).to_dicts()
    ]
    assert [one for one in looked if one.wrong] == []
    assert len(looked) > 30
    assert {one.cause for one in looked} >= {"stop", "take"}
    assert sum(one.gapped for one in looked) > 1
    assert set(fills.filter(cause="order")["filled_at"].dt.minute()) == {0}


def test_a_backtest_on_real_minutes_fills_where_a_slow_look_at_each_of_them_says(
    real_data: Path, tmp_path: Path
) -> None:
    dates = 'since = "2025-04-01"\nuntil = "2025-05-17"\n'
    (tmp_path / "study.toml").write_text(STUDY.replace("[data]\n", f"[data]\n{dates}"))
    files = [
        real_data / place / f"binance_{symbol}_{kind}.parquet"
        for symbol in ("BTCUSDT", "ETHUSDT")
        for place, kind in (("ohlcv_1h", "perp_1h"), ("ohlcv_1m", "perp_1m_2025-05"), ("funding", "funding"))
    ]

    fine("import", *map(str, files), "--venue", "binanceusdm", cwd=tmp_path)
    told = last_json(fine("backtest", ".", "--json", cwd=tmp_path))

    minutes = {
        symbol: rows_of(pl.read_parquet(file))
        for symbol, file in (("BTCUSDT", files[1]), ("ETHUSDT", files[4]))
    }
    trades = read_books(tmp_path / told["files"]["trades"])
    looked = [Looked.at(t, minutes[t["symbol"]]) for t in trades.filter(fills=2).to_dicts()]
    assert told["notes"][1:2] == ["Decisions at the closes of 1h bars, fills and exits on 1m bars."]
    assert [one for one in looked if one.wrong] == []
    assert len(looked) > 30
    assert {one.cause for one in looked} >= {"stop", "take"}
