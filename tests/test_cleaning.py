"""Cleaning is explicit, recorded, and never uses what came later."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.settings import DataSettings
from longshort.data.bars import Bars
from longshort.data.certificate.cleaning import How, clean
from longshort.data.files.importer import ImportOptions, import_files
from longshort.data.lake import Lake
from longshort.data.market import load_bars
from longshort.data.simulator import Simulation
from tests.markets import poisoned, punched

PRICES = ("open", "high", "low", "close")
CONTEXT = 200  # bars before a row that may matter to it
every_way = pytest.mark.parametrize("how", ["keep", "mask", "winsorise"])
every_change = pytest.mark.parametrize("how", ["mask", "winsorise"])


@pytest.fixture(scope="module")
def market(simulation: Simulation) -> Bars:
    return simulation.bars[:700]


def multiplied(
    bars: Bars, rows: slice, factor: float, names: tuple[str, ...] = PRICES, coin: int = 0
) -> Bars:
    arrays = {name: getattr(bars, name).copy() for name in names}
    for values in arrays.values():
        values[rows, coin] *= factor
    return replace(bars, **arrays)


def silenced(bars: Bars, rows: slice, coin: int = 0) -> Bars:
    arrays = {name: getattr(bars, name).copy() for name in (*PRICES, "volume")}
    price = bars.close[max(rows.start - 1, 0), coin]
    for name, values in arrays.items():
        values[rows, coin] = 0.0 if name == "volume" else price
    return replace(bars, **arrays)


def spiked_close(bars: Bars, row: int, factor: float) -> Bars:
    spiked = multiplied(bars, slice(row, row + 1), factor, ("close",))
    return replace(
        spiked,
        high=np.fmax(spiked.high, spiked.close),
        low=np.fmin(spiked.low, spiked.close),
    )


def same(left: Bars, right: Bars) -> bool:
    names = [f.name for f in fields(left) if isinstance(getattr(left, f.name), np.ndarray)]
    return all(
        np.array_equal(getattr(left, n), getattr(right, n), equal_nan=getattr(left, n).dtype == float)
        for n in names
    )


@pytest.mark.parametrize("how", ["keep", "mask"])
def test_a_clean_market_stays_as_it_is_bit_for_bit(market: Bars, how: How) -> None:
    cleaned = clean(market, how)

    assert same(cleaned, market)
    assert cleaned.changes == ()


def test_keep_keeps_bars_that_look_wrong(market: Bars) -> None:
    odd = multiplied(market, slice(300, 301), 10.0)

    assert same(clean(odd, "keep"), odd)


@pytest.mark.parametrize("factor", [10.0, 0.1, 1.5, 1.1])
def test_a_bar_at_a_false_level_becomes_absent_and_the_next_stays(market: Bars, factor: float) -> None:
    cleaned = clean(multiplied(market, slice(300, 301), factor), "mask")

    assert np.argwhere(~cleaned.present).tolist() == [[300, 0]]
    assert np.isnan(cleaned.close[300, 0])
    assert np.isnan(cleaned.volume[300, 0])
    assert cleaned.listed.all()
    assert [str(c) for c in cleaned.changes] == ["SIM01USDT: 1 bar odd: absent (2024-01-13 13:00Z)"]


@pytest.mark.parametrize("factor", [1.4, 0.7])
def test_a_false_close_becomes_absent_by_what_was_known_at_that_close(market: Bars, factor: float) -> None:
    spiked = spiked_close(market, 300, factor)

    cleaned = clean(spiked, "mask")
    known = clean(spiked[:301], "mask")

    assert np.argwhere(~cleaned.present).tolist() == [[300, 0]]
    assert np.argwhere(~known.present).tolist() == [[300, 0]]


def test_a_crash_with_the_volume_of_one_is_kept(market: Bars) -> None:
    crash = spiked_close(market, 300, 0.7)
    crash = multiplied(crash, slice(301, None), 0.7)
    loud = multiplied(crash, slice(300, 301), 60.0, ("volume",))

    assert clean(loud, "mask").present.all()


def test_a_move_that_the_other_coins_share_is_kept(market: Bars) -> None:
    crash = market
    for coin in range(3):
        crash = multiplied(crash, slice(300, None), 0.5, coin=coin)

    assert clean(crash, "mask").present.all()
    winsorised = clean(crash, "winsorise")
    assert np.array_equal(winsorised.close[300], crash.close[300])


def test_a_new_level_costs_one_bar(market: Bars) -> None:
    cleaned = clean(multiplied(market, slice(300, None), 10.0), "mask")

    assert np.argwhere(~cleaned.present).tolist() == [[300, 0]]


def test_winsorising_moves_the_prices_of_the_bar_and_no_later_ones(market: Bars) -> None:
    odd = multiplied(market, slice(300, 301), 10.0)

    cleaned = clean(odd, "winsorise")

    limits = clean(market, "winsorise")
    assert 1.0 < cleaned.close[300, 0] / market.close[299, 0] < 1.3
    assert cleaned.low[300, 0] <= cleaned.close[300, 0] <= cleaned.high[300, 0]
    assert cleaned.present.all()
    assert np.argwhere(cleaned.close != limits.close).tolist() == [[300, 0]]
    assert {c.reason for c in cleaned.changes} == {"moved to the limit"}


@every_way
def test_before_its_first_trade_a_coin_is_not_listed(market: Bars, how: How) -> None:
    cleaned = clean(silenced(market, slice(0, 40)), how)

    assert not cleaned.present[:40, 0].any()
    assert not cleaned.listed[:40, 0].any()
    assert cleaned.listed[40:, 0].all()
    assert cleaned.present[:, 1:].all()
    assert cleaned.changes[0].reason == "before the first trade: absent"
    assert cleaned.changes[0].bars == 40


@every_way
def test_bars_without_a_trade_are_no_prices_from_the_fourth_on(market: Bars, how: How) -> None:
    cleaned = clean(silenced(market, slice(300, 320)), how)

    assert np.flatnonzero(~cleaned.present[:, 0]).tolist() == list(range(303, 320))
    assert cleaned.listed.all()
    assert cleaned.changes[0].reason == "without a trade: absent"


@every_way
def test_after_a_week_without_a_trade_a_coin_is_not_listed_until_it_trades(market: Bars, how: How) -> None:
    cleaned = clean(silenced(market, slice(300, 500)), how)

    assert np.flatnonzero(~cleaned.listed[:, 0]).tolist() == list(range(467, 500))
    assert cleaned.listed[:, 1:].all()


@every_way
def test_cleaning_twice_changes_nothing_more(market: Bars, how: How) -> None:
    dirty_bars = multiplied(silenced(silenced(market, slice(0, 9)), slice(300, 500)), slice(600, 601), 0.0)

    once = clean(dirty_bars, how)

    assert same(clean(once, "keep"), once)


def test_what_was_changed_stays_with_its_coin_and_is_in_no_hash(market: Bars) -> None:
    cleaned = clean(multiplied(market, slice(300, 301), 10.0), "mask")

    assert cleaned[10:20].changes == cleaned.coins([0, 2]).changes == cleaned.changes
    assert cleaned.coins([1]).changes == ()
    assert replace(cleaned, changes=()).digest() == cleaned.digest()


@every_change
def test_bars_that_no_market_can_print_become_absent(market: Bars, how: How) -> None:
    cleaned = clean(multiplied(market, slice(300, 301), 0.0), how)

    assert np.argwhere(~cleaned.present).tolist() == [[300, 0]]


@every_way
@given(cut=st.integers(1, 699), seed=st.integers(0, 2**32 - 1))
def test_the_future_never_changes_a_cleaned_row(market: Bars, how: How, cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = dirty(market, rng)

    whole = clean(bars, how)
    cut_off = clean(bars[:cut], how)
    noise = clean(poisoned(bars, cut, rng), how)

    assert same(whole[:cut], cut_off)
    assert same(noise[:cut], cut_off)


@every_way
@given(start=st.integers(1, 400), seed=st.integers(0, 2**32 - 1))
def test_a_chunk_with_its_context_is_cleaned_like_the_whole(
    market: Bars, how: How, start: int, seed: int
) -> None:
    bars = dirty(market, np.random.default_rng(seed))

    whole = clean(bars, how)
    chunk = clean(bars[start:], how)

    assert same(whole[start + CONTEXT :], chunk[CONTEXT:])


def dirty(bars: Bars, rng: np.random.Generator) -> Bars:
    """Holes, silence after the first bar, and false levels, closes and wicks here and there."""
    bars = silenced(bars, slice(150, 150 + int(rng.integers(1, 30))))
    for row in rng.integers(2, len(bars), size=12).tolist():
        bars = multiplied(
            bars, slice(row, row + 1), float(np.exp(rng.normal(0, 0.5))), coin=int(rng.integers(3))
        )
    bars = spiked_close(bars, int(rng.integers(2, len(bars))), float(np.exp(rng.normal(0, 0.5))))
    return punched(bars, rng, share=0.02)


@pytest.fixture(scope="module")
def real_bars(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bars:
    root = tmp_path_factory.mktemp("real") / "lake"
    files = [
        real_data / "raw" / "binance_FTTUSDT_perp_1h_delisted_raw.parquet",
        *(
            real_data / "ohlcv_1h" / f"binance_{coin}_perp_1h.parquet"
            for coin in ("LTCUSDT", "ETCUSDT", "UNIUSDT")
        ),
    ]
    import_files(files, Lake(root), ImportOptions(venue="binanceusdm"))
    return load_bars(DataSettings(lake=str(root)))


def test_the_true_crash_of_ftt_is_kept(real_bars: Bars) -> None:
    masked = clean(real_bars, "mask")

    ftt = real_bars.symbols.index("FTTUSDT")
    crash = (real_bars.closed_at >= np.datetime64("2022-11-06", "ns").astype(np.int64)) & real_bars.present[
        :, ftt
    ]
    assert crash.sum() > 190
    assert masked.present[crash, ftt].all()
    assert [str(c)[:58] for c in masked.changes] == [
        "FTTUSDT: 23,032 bars without a trade: absent (2022-11-14 09:00Z"[:58]
    ]


def test_winsorising_real_bars_touches_few_of_them(real_bars: Bars) -> None:
    cleaned = clean(real_bars, "winsorise")

    moved = sum(c.bars for c in cleaned.changes if c.reason == "moved to the limit")
    assert 0 < moved < 0.002 * real_bars.present.sum()
    assert (cleaned.high[cleaned.present] >= cleaned.close[cleaned.present]).all()
