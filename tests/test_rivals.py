"""Rivals without a forecast: what each is, and that none of them sees what comes."""

from dataclasses import replace

import numpy as np
import pytest

from longshort.base.clock import HOUR, Interval
from longshort.base.instrument import Costs
from longshort.base.settings import Study
from longshort.base.trading import PolicySettings
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.policy.rivals import MOMENTUM_ROWS, RIVALS, rival_exposure
from longshort.policy.steering import Rule
from longshort.study.market import Market
from longshort.study.money import rule_of

from .markets import poisoned, punched

ROWS = range(1_500, 2_500)
BARS = punched(simulate_market(coins=3, bars=2_500, seed=4).bars, np.random.default_rng(2), share=0.005)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.of(Study.parse({}), BARS)


def targets(name: str, market: Market, bars: Bars = BARS, rule: Rule | None = None) -> np.ndarray:
    return rival_exposure(name, bars, market.panel, ROWS, rule or rule_of(market)).target


def held_after(target: np.ndarray) -> np.ndarray:
    """The last wish that was expressed."""
    rows = np.maximum.accumulate(np.where(np.isfinite(target), np.arange(len(target))[:, None], 0), axis=0)
    return np.nan_to_num(np.take_along_axis(target, rows, axis=0))


def sizes(market: Market) -> np.ndarray:
    rule = rule_of(market)
    per_year = market.panel.volatility[ROWS.start : ROWS.stop] * np.sqrt(rule.bars_per_year)
    return np.minimum(rule.policy.volatility_target / 3 / per_year, rule.policy.max_exposure)


def test_there_are_four_and_the_old_names_are_among_them() -> None:
    assert list(RIVALS) == ["buy and hold", "volatility-targeted long", "momentum", "momentum sized once"]


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("row", [1_501, 1_900, 2_499])
def test_later_bars_do_not_change_earlier_wishes(name: str, row: int, market: Market) -> None:
    noise = Market.of(market.study, poisoned(BARS, row, np.random.default_rng(0)))

    mine, theirs = targets(name, market), targets(name, noise, noise.bars)

    np.testing.assert_array_equal(mine[: row - ROWS.start], theirs[: row - ROWS.start])


@pytest.mark.parametrize("name", sorted(set(RIVALS) - {"buy and hold"}))
def test_what_comes_does_change_what_is_wished_then(name: str, market: Market) -> None:
    noise = Market.of(market.study, poisoned(BARS, 1_900, np.random.default_rng(0)))

    mine, theirs = targets(name, market), targets(name, noise, noise.bars)

    assert not np.array_equal(mine[400:], theirs[400:], equal_nan=True)


def test_buy_and_hold_wishes_once(market: Market) -> None:
    wish = targets("buy and hold", market)

    np.testing.assert_array_equal(wish[0], np.nan_to_num(sizes(market)[0]))
    assert np.isnan(wish[1:]).all()


def test_volatility_targeted_long_stays_within_the_band_around_its_target(market: Market) -> None:
    wish, size, band = targets("volatility-targeted long", market), sizes(market), 0.3
    held, known = held_after(wish), np.isfinite(sizes(market))

    assert (np.abs(held - size)[known] <= band * size[known] + 1e-12).all()
    np.testing.assert_array_equal(wish[np.isfinite(wish)], size[np.isfinite(wish)])
    assert 10 < np.isfinite(wish).sum() < 300


def test_momentum_has_the_sign_of_four_weeks_and_the_size_of_the_volatility(market: Market) -> None:
    held, size = held_after(targets("momentum", market)), sizes(market)
    gain = (
        BARS.close[ROWS.start : ROWS.stop]
        - BARS.close[ROWS.start - MOMENTUM_ROWS : ROWS.stop - MOMENTUM_ROWS]
    )
    known = np.isfinite(gain) & np.isfinite(size)

    np.testing.assert_array_equal(np.sign(held[known]), np.sign(gain[known]))
    assert (np.abs(np.abs(held) - size)[known] <= 0.3 * size[known] + 1e-12).all()


def test_momentum_sized_once_turns_where_momentum_does_and_is_not_touched_in_between(market: Market) -> None:
    once, resized = targets("momentum sized once", market), targets("momentum", market)

    np.testing.assert_array_equal(np.sign(held_after(once)), np.sign(held_after(resized)))
    turns = np.diff(np.sign(held_after(resized)), axis=0, prepend=0.0) != 0.0
    np.testing.assert_array_equal(np.isfinite(once), turns)
    assert np.isfinite(resized).sum() > np.isfinite(once).sum()


def test_four_weeks_are_four_weeks_whatever_the_bars(market: Market) -> None:
    daily = Rule(policy=PolicySettings(), costs=Costs(), bars_per_year=365.25)
    bars = replace(BARS, interval=Interval(24 * HOUR))

    wish = targets("momentum", market, bars, daily)

    gain = BARS.close[ROWS.start] - BARS.close[ROWS.start - 28]
    np.testing.assert_array_equal(np.sign(wish[0]), np.sign(gain))


def test_a_coin_without_a_volatility_is_left_alone(market: Market) -> None:
    silent = market.panel.volatility.copy()
    silent[:, 1] = np.nan
    panel = replace(market.panel, volatility=silent)
    found = {name: rival_exposure(name, BARS, panel, ROWS, rule_of(market)).target for name in RIVALS}

    assert all(not np.nan_to_num(wish[:, 1]).any() for wish in found.values())
    assert all(np.nan_to_num(wish[:, 0]).any() for wish in found.values())


def test_a_price_that_has_not_moved_is_no_trend(market: Market) -> None:
    still = replace(BARS, close=np.full_like(BARS.close, 100.0))

    np.testing.assert_array_equal(np.nan_to_num(targets("momentum", market, still)), 0.0)
    np.testing.assert_array_equal(np.nan_to_num(targets("momentum sized once", market, still)), 0.0)
