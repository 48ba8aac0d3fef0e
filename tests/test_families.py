"""Every family of features against formulas written out again, TA-Lib, polars, scipy, or a hand."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from longshort.base.clock import DAY, HOUR, MINUTE, Interval
from longshort.data.bars import Bars, Gauge
from longshort.data.simulator import simulate_market
from longshort.features.catalog import FEATURES, names_on_record
from longshort.features.families.market import rank
from longshort.features.panel import FeatureStream

from .markets import PRICES, punched

ROW = 700  # where formulas are compared
FAMILIES = (
    "volatility",
    "indicators",
    "higher",
    "volume",
    "market",
    "funding",
    "basis",
    "open-interest",
    "noise",
)
MINE = tuple(name for name, feature in FEATURES.items() if feature.family in FAMILIES)
Series = np.ndarray


def gauged(bars: Bars) -> Bars:
    """With a mark, an index and a spot price, and open interest, on record."""
    rng = np.random.default_rng(8)
    prices: tuple[Gauge, ...] = ("mark_close", "index_close", "spot_close")
    gauges = {name: bars.close * np.exp(rng.normal(0.0, 1e-3, bars.close.shape)) for name in prices}
    interest = 1e6 * np.exp(rng.normal(0.0, 0.1, bars.close.shape))
    return replace(bars, gauges={**gauges, "open_interest": interest})


BARS = gauged(simulate_market(coins=3, bars=1_500, seed=11).bars)


def columns(bars: Bars, *names: str) -> dict[str, Series]:
    """Float32 as the panel has them, and the volatility that they are scaled by."""
    panel = FeatureStream(bars.symbols, names).extend(bars)
    return {"volatility": panel.volatility, **{name: panel.column(name) for name in names}}


ALL = columns(BARS, *MINE)
LOG: Mapping[str, Series] = {name: np.log(getattr(BARS, name)) for name in ("open", "high", "low", "close")}
RETURN = np.diff(LOG["close"], axis=0, prepend=np.nan)


def last(values: Series, rows: int) -> Series:
    """The window that ends at the row of comparison."""
    return values[ROW - rows + 1 : ROW + 1]


def agrees(name: str, expected: Series) -> None:
    np.testing.assert_allclose(ALL[name][ROW], expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("rows", [6, 24, 168])
def test_realised_volatilities_are_those_of_the_papers(rows: int) -> None:
    high, low, opened, close = (last(LOG[name], rows) for name in ("high", "low", "open", "close"))
    gap = last(LOG["open"] - np.roll(LOG["close"], 1, axis=0), rows)
    returns = last(RETURN, rows)
    k = 0.34 / (1.34 + (rows + 1) / (rows - 1))
    rogers_satchell = np.mean((high - close) * (high - opened) + (low - close) * (low - opened), axis=0)
    within = k * np.var(close - opened, axis=0, ddof=1) + (1 - k) * rogers_satchell
    klass = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * (close - opened) ** 2
    level = np.log(ALL["volatility"][ROW])

    agrees(f"realised_{rows}", 0.5 * np.log(np.mean(returns**2, axis=0)) - level)
    agrees(f"parkinson_{rows}", 0.5 * np.log(np.mean((high - low) ** 2, axis=0) / (4 * np.log(2))) - level)
    agrees(f"garman_klass_{rows}", 0.5 * np.log(np.mean(klass, axis=0)) - level)
    agrees(f"rogers_satchell_{rows}", 0.5 * np.log(rogers_satchell) - level)
    agrees(f"yang_zhang_{rows}", 0.5 * np.log(np.var(gap, axis=0, ddof=1) + within) - level)


def test_a_random_walk_seen_often_has_the_volatility_that_every_estimator_finds() -> None:
    rng = np.random.default_rng(4)
    inside = rng.normal(0.0, 0.01 / 20.0, (500, 400)).cumsum(axis=1)
    start = np.append(0.0, inside[:-1, -1].cumsum())[:, None]
    walk = np.concatenate([start, start + inside], axis=1)
    prices = {"open": walk[:, 0], "high": walk.max(axis=1), "low": walk.min(axis=1), "close": walk[:, -1]}
    bars = first_coin(BARS[:500], **{name: np.exp(values)[:, None] for name, values in prices.items()})

    found = columns(
        bars, *(f"{name}_168" for name in ("realised", "parkinson", "garman_klass", "rogers_satchell"))
    )

    level = np.log(found.pop("volatility")[-1, 0])
    assert [np.exp(float(values[-1, 0]) + level) for values in found.values()] == pytest.approx(
        [0.01] * 4, rel=0.1
    )


def test_shapes_of_returns_are_shares_of_their_variance() -> None:
    day, before, week = last(RETURN, 24), last(np.roll(RETURN, 1, axis=0), 24), last(RETURN, 168)
    both = np.sqrt(np.mean(day**2, axis=0) * np.mean(before**2, axis=0))
    up, down = np.sum(np.maximum(week, 0) ** 2, axis=0), np.sum(np.minimum(week, 0) ** 2, axis=0)

    agrees("jump_24", 1 - np.pi / 2 * np.mean(np.abs(day * before), axis=0) / both)
    agrees("autocorrelation_24", np.mean(day * before, axis=0) / both)
    agrees("asymmetry_168", (up - down) / (up + down))
    agrees("skew_168", np.mean(week**3, axis=0) / np.mean(week**2, axis=0) ** 1.5)
    agrees("volatility_of_range_24", np.std(last(np.log(LOG["high"] - LOG["low"]), 24), axis=0))


def oracle(name: str, coin: int) -> Series:
    """What TA-Lib says of all of one coin's log prices."""
    high, low, close = (np.ascontiguousarray(LOG[n][:, coin]) for n in ("high", "low", "close"))
    raw = [np.ascontiguousarray(getattr(BARS, n)[:, coin]) for n in ("high", "low", "close", "volume")]
    volatility = ALL["volatility"][:, coin]
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    stochastic = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)  # type: ignore[reportArgumentType]
    on_balance = talib.OBV(close, raw[3])
    answers = {
        "rsi_14": talib.RSI(close, 14) / 50 - 1,
        "macd": talib.MACD(close, 12, 26, 9)[2] / volatility,
        "band_20": (close - middle) / (upper - middle),
        "bandwidth_20": np.log((upper - lower) / 4 / volatility),
        "atr_14": np.log(talib.ATR(high, low, close, 14) / volatility),
        "adx_14": talib.ADX(high, low, close, 14) / 100,
        "directional_14": (talib.PLUS_DI(high, low, close, 14) - talib.MINUS_DI(high, low, close, 14)) / 100,
        "stochastic_k_14": stochastic[0] / 50 - 1,
        "stochastic_d_14": stochastic[1] / 50 - 1,
        "cci_20": talib.CCI(high, low, close, 20) / 100,
        "aroon_25": talib.AROONOSC(high, low, 25) / 100,
        "mfi_14": talib.MFI(raw[0], raw[1], raw[2], raw[3], 14) / 50 - 1,
        "obv_24": (on_balance - np.roll(on_balance, 24)) / talib.SUM(raw[3], 24),
        "from_mean_50": (close - talib.SMA(close, 50)) / volatility / np.sqrt(50),
        "from_mean_200": (close - talib.SMA(close, 200)) / volatility / np.sqrt(200),
    }
    return answers[name]


@pytest.mark.parametrize("name", [name for name in MINE if FEATURES[name].family == "indicators"])
def test_indicators_agree_with_ta_lib_once_their_beginnings_are_forgotten(name: str) -> None:
    for coin in range(3):
        np.testing.assert_allclose(ALL[name][450:, coin], oracle(name, coin)[450:], rtol=2e-6, atol=2e-6)


def test_volume_features_are_their_formulas() -> None:
    turnover, located = (
        BARS.volume * BARS.close,
        (2 * BARS.close - BARS.high - BARS.low) / (BARS.high - BARS.low),
    )
    typical = (BARS.high + BARS.low + BARS.close) / 3
    scaled = RETURN / ALL["volatility"]
    bought = turnover * (2 * stats.norm.cdf(scaled) - 1)
    log_turnover = np.log(turnover + 1)
    change = np.diff(log_turnover, axis=0, prepend=np.nan)
    average = np.sum(last(typical * BARS.volume, 24), axis=0) / np.sum(last(BARS.volume, 24), axis=0)
    week = last(log_turnover, 168)

    agrees("close_location_1", located[ROW])
    agrees(
        "accumulation_24", np.sum(last(located * turnover, 24), axis=0) / np.sum(last(turnover, 24), axis=0)
    )
    agrees("flow_6", np.sum(last(bought, 6), axis=0) / np.sum(last(turnover, 6), axis=0))
    agrees("illiquidity_24", amihud(24, turnover) - amihud(168, turnover))
    agrees(
        "from_average_price_24", (LOG["close"][ROW] - np.log(average)) / ALL["volatility"][ROW] / np.sqrt(24)
    )
    agrees("volume_score_168", (week[-1] - week.mean(axis=0)) / week.std(axis=0))
    agrees(
        "return_volume_168",
        np.array([np.corrcoef(last(scaled, 168)[:, a], last(change, 168)[:, a])[0, 1] for a in range(3)]),
    )


def amihud(rows: int, turnover: Series) -> Series:
    return np.log(np.mean(np.abs(last(RETURN, rows)), axis=0) / np.mean(last(turnover, rows), axis=0))


def test_beta_and_what_it_leaves_over_are_those_of_a_regression() -> None:
    week = last(RETURN, 168)
    market = week.mean(axis=1)
    slope = np.array([np.cov(week[:, a], market, ddof=0)[0, 1] / np.var(market) for a in range(3)])
    left = np.std(week - market[:, None] * slope, axis=0)

    agrees("beta_168", slope)
    agrees("correlation_168", np.array([np.corrcoef(week[:, a], market)[0, 1] for a in range(3)]))
    agrees("own_volatility_168", left / ALL["volatility"][ROW])


def test_the_market_is_the_mean_over_coins_and_its_spread_their_standard_deviation() -> None:
    scaled = RETURN / ALL["volatility"]

    agrees("market_return_24", np.full(3, last(scaled, 24).mean() * np.sqrt(24)))
    agrees("dispersion_1", np.full(3, scaled[ROW].std()))
    agrees("dispersion_24", np.full(3, last(scaled, 24).std(axis=1).mean()))
    agrees("breadth_1", np.full(3, np.sign(RETURN[ROW]).mean()))
    agrees("breadth_24", np.full(3, np.sign(last(RETURN, 24).mean(axis=0)).mean()))


@given(arrays(np.float64, (4, 6), elements=st.sampled_from([np.nan, -1.0, 0.0, 0.5, 2.0])))
def test_ranks_are_those_of_scipy_among_the_coins_that_are_there(values: Series) -> None:
    expected = stats.rankdata(values, axis=1, nan_policy="omit")
    others = np.isfinite(values).sum(axis=1, keepdims=True) - 1
    centered = np.where(others > 0, (expected - 1) / np.maximum(others, 1) - 0.5, expected - 1)

    np.testing.assert_allclose(rank(values), np.where(np.isfinite(values), centered, np.nan), atol=1e-12)


def test_a_coin_that_is_alone_is_its_own_market_and_keeps_its_rows() -> None:
    alone = simulate_market(coins=1, bars=1_000, seed=3).bars
    names = names_on_record(alone)
    panel = FeatureStream(alone.symbols, names).extend(alone)
    found = columns(alone, "own_volatility_168")

    assert panel.usable[720:].all()
    assert set(panel.column("rank_return_1")[25:].ravel().tolist()) == {0.0}
    assert set(panel.column("dispersion_1")[25:].ravel().tolist()) == {0.0}
    assert set(found["own_volatility_168"][168:].ravel().tolist()) == {0.0}
    np.testing.assert_allclose(panel.column("beta_168")[168:], 1.0, atol=1e-6)
    np.testing.assert_allclose(panel.column("correlation_168")[168:], 1.0, atol=1e-6)


def test_a_coin_without_a_bar_has_no_rank_and_no_say() -> None:
    gone = punched(BARS, np.random.default_rng(0), share=0.0)
    for name in PRICES:
        getattr(gone, name)[600:800, 2] = np.nan
    gone.present[600:800, 2] = False
    found = columns(gone, "rank_return_1", "breadth_1", "dispersion_1", "beta_168")
    scaled = RETURN / ALL["volatility"]

    assert np.isnan(found["rank_return_1"][ROW, 2])
    assert set(found["rank_return_1"][ROW, :2].tolist()) == {-0.5, 0.5}
    assert found["breadth_1"][ROW].tolist() == pytest.approx([np.sign(RETURN[ROW, :2]).mean()] * 3)
    np.testing.assert_allclose(found["dispersion_1"][ROW, 0], scaled[ROW, :2].std(), rtol=1e-5)
    assert np.flatnonzero(np.isfinite(found["beta_168"][600:, 2]))[[32, 33]].tolist() == [32, 335]


NEUTRAL = (
    *(f"{name}_{rows}" for name in ("realised", "parkinson", "yang_zhang") for rows in (6, 24, 168)),
    *("jump_24", "asymmetry_24", "autocorrelation_168", "skew_168", "volatility_of_range_24"),
    *(name for name in MINE if FEATURES[name].family in ("indicators", "noise")),
    *("return_1d", "position_1d", "from_high_1d", "from_close_4h"),
    *("volume_change", "volume_score_168", "close_location_1", "accumulation_24", "flow_24"),
    *("from_average_price_24", "return_volume_168", "beta_168", "correlation_168", "own_volatility_168"),
)


def standing_still(from_row: int) -> Bars:
    """The first coin's price stops, and nobody trades it any more."""
    bars = punched(BARS, np.random.default_rng(0), share=0.0)
    for name in ("open", "high", "low", "close"):
        getattr(bars, name)[from_row:, 0] = bars.close[from_row, 0]
    bars.volume[from_row:, 0] = 0.0
    return bars


def test_a_coin_that_never_moved_has_neutral_values_and_no_holes() -> None:
    found = columns(standing_still(0), *MINE)

    assert [name for name in MINE if not np.isfinite(found[name][200:, 0]).all()] == []
    assert [name for name in NEUTRAL if np.abs(found[name][200:, 0]).max() > 1e-6] == []


def test_a_coin_that_stops_moving_becomes_neutral_and_has_no_holes() -> None:
    found = columns(standing_still(500), *MINE)

    assert [name for name in MINE if not np.isfinite(found[name][500:, 0]).all()] == []
    assert [name for name in NEUTRAL if np.abs(found[name][-1, 0]) > 1e-4] == []


def first_coin(bars: Bars, **prices: Series) -> Bars:
    """A market of one coin, with other prices where given."""
    arrays = ("present", "listed", "funding_rate", "funding_covered", *PRICES)
    alone = {name: getattr(bars, name)[:, :1] for name in arrays}
    return replace(bars, instruments=bars.instruments[:1], gauges={}, **(alone | prices))


def closing(closes: list[float], *, interval: int = HOUR, first_closed_at: int | None = None) -> Bars:
    """One coin whose bars open at the close before them, without shadows; the first closes at 01:00 or as told."""
    close = np.array(closes)[:, None]
    opened = np.concatenate([close[:1], close[:-1]])
    bars = first_coin(simulate_market(coins=1, bars=len(closes), seed=1).bars)
    start = int(bars.closed_at[0]) if first_closed_at is None else first_closed_at
    return replace(
        bars,
        interval=Interval(interval),
        closed_at=start + interval * np.arange(len(closes), dtype=np.int64),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
    )


def test_a_bar_of_four_hours_is_worked_out_by_hand() -> None:
    log_close = [0.0] * 24 + [0.04, -0.02, 0.02, 0.01, 0.05, 0.06, 0.07]  # 01:00 to 04:00, then on to 07:00
    found = columns(
        closing(np.exp(log_close).tolist()), "return_4h", "range_4h", "position_4h", "from_close_4h"
    )
    unit = 2.0 * found["volatility"][:, 0]  # the root of four bars
    rows = {"03:00": 26, "04:00": 27, "05:00": 28, "07:00": 30}

    assert found["return_4h"][rows["03:00"], 0] == 0.0
    assert found["position_4h"][rows["03:00"], 0] == 0.0
    at = [rows["04:00"], rows["05:00"], rows["07:00"]]
    np.testing.assert_allclose(found["return_4h"][at, 0] * unit[at], 0.01, rtol=1e-5)
    np.testing.assert_allclose(found["position_4h"][at, 0], (2 * 0.01 - 0.04 + 0.02) / 0.06, atol=1e-6)
    np.testing.assert_allclose(np.exp(found["range_4h"][at, 0]) * unit[at], 0.06 / 1.6651092, rtol=1e-5)
    np.testing.assert_allclose(found["from_close_4h"][at, 0] * unit[at], [0.0, 0.04, 0.06], atol=1e-6)


@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
@pytest.mark.parametrize(("unit", "ns"), [("4h", 4 * HOUR), ("1d", DAY)])
def test_higher_bars_are_those_that_polars_makes_and_had_closed(minutes: int, unit: str, ns: int) -> None:
    rows = 3 * DAY // (minutes * MINUTE) + 77
    walk = np.random.default_rng(minutes).normal(0.0, 1e-3, rows).cumsum()
    bars = closing(
        np.exp(walk).tolist(), interval=minutes * MINUTE, first_closed_at=DAY + 7 * minutes * MINUTE
    )
    found = columns(bars, f"position_{unit}", f"from_close_{unit}")
    frame = pl.DataFrame({"at": bars.closed_at, **{n: np.log(getattr(bars, n)[:, 0]) for n in PRICES[:4]}})
    made = (
        frame.group_by((-(-pl.col("at") // ns) * ns).alias("ends_at"), maintain_order=True)
        .agg(pl.col("high").max(), pl.col("low").min(), pl.col("close").last(), pl.len().alias("rows"))
        .filter(pl.col("rows") * minutes * MINUTE == ns)
    )
    joined = frame.select("at", now="close").join_asof(made, left_on="at", right_on="ends_at")
    top, bottom, close, now = (joined[name].to_numpy() for name in ("high", "low", "close", "now"))
    scale = found["volatility"][:, 0] * np.sqrt(ns / (minutes * MINUTE))

    assert made.height > 1
    np.testing.assert_allclose(
        found[f"position_{unit}"][:, 0], (2 * close - top - bottom) / (top - bottom), atol=1e-5
    )
    np.testing.assert_allclose(found[f"from_close_{unit}"][:, 0], (now - close) / scale, rtol=1e-4, atol=1e-5)


def test_a_day_with_too_few_bars_says_nothing_until_the_next_has_closed() -> None:
    holes = punched(BARS, np.random.default_rng(0), share=0.0)
    for name in PRICES:
        getattr(holes, name)[240:245, 0] = np.nan  # five of 24
        getattr(holes, name)[288:292, 0] = np.nan  # four of 24
    holes.present[240:245, 0] = holes.present[288:292, 0] = False

    stands = np.isfinite(columns(holes, "position_1d")["position_1d"][:, 0])

    assert np.flatnonzero(~stands[24:]).tolist() == [*range(263 - 24, 287 - 24)]


@pytest.mark.parametrize("interval", [4 * HOUR, 7 * MINUTE, DAY])
def test_bars_that_do_not_make_four_hours_say_nothing_about_them(interval: int) -> None:
    bars = replace(
        BARS, interval=Interval(interval), closed_at=interval * np.arange(1, 1_501, dtype=np.int64)
    )

    assert not np.isfinite(columns(bars, "range_4h", "return_4h")["range_4h"]).any()


def settled(every: dict[int, float], *, covered_from: int = 0, hole: slice = slice(0)) -> Bars:
    """Sixty bars of one coin with these rates settled at rows."""
    bars = closing(np.exp(np.random.default_rng(0).normal(0.0, 0.01, 60)).tolist())
    rate, covered = np.full((60, 1), np.nan), np.ones((60, 1), dtype=bool)
    rate[list(every), 0] = list(every.values())
    covered[:covered_from] = covered[hole] = False
    return replace(bars, funding_rate=rate, funding_covered=covered)


def test_the_time_to_the_next_settlement_is_learnt_from_the_last_two() -> None:
    bars = settled({7: 1e-4, 15: 1e-4, 23: 2e-4, 27: 3e-4, 31: 3e-4})
    elapsed = columns(bars, "funding_elapsed")["funding_elapsed"][:, 0]

    assert np.isnan(elapsed[:15]).all()
    assert elapsed[15:23].tolist() == [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]
    assert elapsed[23:27].tolist() == [0.0, 0.125, 0.25, 0.375]
    assert elapsed[27:34].tolist() == [0.0, 0.25, 0.5, 0.75, 0.0, 0.25, 0.5]
    assert elapsed[40] == 1.0


def test_a_hole_in_the_record_teaches_no_cadence_and_hides_the_clock() -> None:
    bars = settled({7: 1e-4, 15: 1e-4, 39: 1e-4, 47: 1e-4}, hole=slice(16, 39))
    elapsed = columns(bars, "funding_elapsed")["funding_elapsed"][:, 0]

    assert np.isnan(elapsed[16:39]).all()
    assert elapsed[39:41].tolist() == [0.0, 0.125]


def test_funding_features_are_worked_out_by_hand() -> None:
    found = columns(
        settled({7: 1e-4, 15: 4e-4, 23: 2e-4, 31: 3e-4}), "funding_change", "funding_paid_24", "funding_last"
    )
    change, paid, rate = (found[n][:, 0] * found["volatility"][:, 0] for n in list(found)[1:])

    np.testing.assert_allclose(rate[[30, 31, 38]], [2e-4, 3e-4, 3e-4], rtol=1e-5)
    np.testing.assert_allclose(change[[30, 31, 38]], [-2e-4, 1e-4, 1e-4], rtol=1e-5)
    np.testing.assert_allclose(paid[[30, 31, 38, 39]], [7e-4, 9e-4, 9e-4, 5e-4], rtol=1e-5)


def test_the_next_payment_is_the_mean_premium_since_the_last_one() -> None:
    bars = settled({7: 1e-4, 31: 2e-4})
    premium = np.random.default_rng(1).normal(0.0, 1e-3, (60, 1))
    premium[35] = np.nan
    marked = replace(bars, gauges={"mark_close": np.exp(premium), "index_close": np.ones((60, 1))})

    found = columns(marked, "next_payment", "premium")
    payment = found["next_payment"][:, 0] * found["volatility"][:, 0]

    assert np.isnan(found["premium"][35, 0])
    np.testing.assert_allclose(payment[30], premium[7:31].mean(), rtol=1e-4)
    np.testing.assert_allclose(payment[31], premium[31, 0], rtol=1e-4)
    np.testing.assert_allclose(payment[40], np.nanmean(premium[31:41]), rtol=1e-4)


def test_basis_and_open_interest_are_their_formulas() -> None:
    basis = LOG["close"] - np.log(BARS.gauge("spot_close"))
    interest = BARS.gauge("open_interest")

    agrees("basis_spot", basis[ROW] / ALL["volatility"][ROW])
    agrees("basis_spot_change", (basis[ROW] - basis[ROW - 1]) / ALL["volatility"][ROW])
    agrees("basis_spot_24", (basis[ROW] - last(basis, 24).mean(axis=0)) / ALL["volatility"][ROW])
    agrees("open_interest_24", np.log(interest[ROW] / interest[ROW - 24]))
    agrees("turnover_24", np.log(last(BARS.volume, 24).mean(axis=0) / interest[ROW] + 1e-6))


@given(cuts=st.lists(st.integers(1, 1_499), max_size=4))
def test_what_reads_gauges_streams_in_the_same_bits(cuts: list[int]) -> None:
    names = [name for name in MINE if set(FEATURES[name].needs) - {"4h", "1d"}]
    stream = FeatureStream(BARS.symbols, tuple(names))
    pieces = [stream.extend(BARS[a:b]) for a, b in pairwise(sorted({0, *cuts, 1_499, 1_500}))]

    joined = np.concatenate([piece.values for piece in pieces])

    np.testing.assert_array_equal(joined, np.stack([ALL[name] for name in names], axis=2))


def test_gauges_that_are_not_on_record_leave_their_features_missing_and_the_rows_usable() -> None:
    bare = replace(BARS, gauges={})
    names = ("return_1", "basis_spot", "open_interest_1", "next_payment")
    panel = FeatureStream(bare.symbols, names).extend(bare)

    assert not np.isfinite(panel.values[:, :, 1:]).any()
    assert panel.usable[25:].all()
    assert not {"basis_spot", "open_interest_1", "next_payment"} & set(names_on_record(bare))


def test_the_default_set_has_at_least_sixty_columns() -> None:
    assert len(names_on_record(replace(BARS, gauges={}))) >= 60
