"""How much to hold, when to enter and when to leave: against closed forms, oracles and hands."""

import doctest
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from longshort.base.errors import DataError, StudyError
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.journal import MemoryJournal
from longshort.base.settings import Study
from longshort.base.trading import PolicySettings
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.panel import FeatureStream
from longshort.models.forecast import Forecast, Stance, StudentT
from longshort.models.heads.position import Zones
from longshort.models.laws.mixture import NormalMixture
from longshort.models.lstm import LSTMForecaster
from longshort.models.opponents.catalog import model_name
from longshort.policy.exposure import Exposure, Wishes
from longshort.policy.ledger import run_ledger
from longshort.policy.rules.carry import Carry
from longshort.policy.rules.catalog import Rule, entry_side, within_limits
from longshort.policy.rules.comovement import Comovement
from longshort.policy.rules.exits import ExitReached
from longshort.policy.rules.own import rule_named, sizer_named
from longshort.policy.rules.proving import closes, faults_of_rule, faults_of_sizer, mirrored
from longshort.policy.rules.sizing import (
    LEVELS,
    RARE,
    WEIGHTS,
    book_volatility,
    cost_band,
    growth_optimal,
    shortfall,
)
from longshort.policy.rules.view import View, law_over
from longshort.policy.steering import Sight, Steering, exposures
from longshort.study.arming.gate import objections
from longshort.study.arming.papers import Paper, Papers
from longshort.study.market import Market
from longshort.study.money import earn, rule_of
from longshort.study.run import hashes_of, tried_digest
from longshort.study.walk import Walk, past_of

YEAR = 8_766.0
HALFLIFE = 12.0
BARS = simulate_market(coins=3, bars=2_000, seed=5).bars
PANEL = FeatureStream(BARS.symbols, ("return_1",)).extend(BARS)
SIGHT = Sight(BARS, PANEL)
VARIANTS = {
    "as ever": {},
    "kelly": {"sizer": "kelly"},
    "kelly together": {"sizer": "kelly", "correlation": True},
    "correlation": {"correlation": True},
    "shortfall": {"cvar_limit": 0.002},
    "probability": {"entry": "probability", "entry_probability": 0.52},
    "band by cost": {"band": "cost"},
    "funding": {"funding_aware": True},
    "tight book": {"max_exposure": 0.2, "max_gross_exposure": 0.25, "volatility_target": 3.0},
    "positions": {"rule": "position"},
    "positions together": {"rule": "position", "correlation": True},
    "all": {
        "sizer": "kelly", "correlation": True, "cvar_limit": 0.002, "entry": "probability",
        "entry_probability": 0.52, "band": "cost", "funding_aware": True,
    },
}  # fmt: skip
every_variant = pytest.mark.parametrize("name", VARIANTS)


def rule_with(**settings: object) -> Rule:
    policy = PolicySettings.model_validate(settings)
    return Rule(policy=policy, costs=Costs(), bars_per_year=YEAR, learns_positions=policy.rule == "position")


def view_with(rule: Rule, loc: list[float], scale: float = 0.01, df: float = 5.0) -> View:
    shape = (1, len(loc), 1)
    law = StudentT(loc=np.array(loc).reshape(shape), scale=np.full(shape, scale), df=np.full(shape, df))
    nothing = np.zeros(len(loc))
    deviation = np.sqrt(law.variance()[0, :, 0])
    return View(
        closed_at=0, symbols=("A", "B", "C", "D")[: len(loc)], law=law, horizon=0, horizon_bars=4,
        mean=law.mean()[0, :, 0], deviation=deviation, volatility=deviation * np.sqrt(YEAR / 4),
        held=nothing, funding=nothing, side=nothing, cost=nothing,
    )  # fmt: skip


def a_forecast(rows: range, *, seed: int = 1, drift: float = 0.004) -> Forecast:
    rng = np.random.default_rng(seed)
    shape = (len(rows), 3, 2)
    gone = rng.random((len(rows), 3, 1)) < 0.03
    slow = np.sin(np.arange(len(rows))[:, None, None] / 9.0 + np.arange(3)[:, None])
    loc = np.where(gone, np.nan, drift * slow * rng.uniform(0.3, 1.0, shape))
    law = StudentT(
        loc=loc,
        scale=np.where(gone, np.nan, 0.008 * np.exp(rng.normal(0, 0.2, shape))),
        df=np.full(shape, 5.0),
    )
    middle = np.where(gone[..., 0], np.nan, slow[..., 0])
    return Forecast(
        model="any",
        closed_at=BARS.closed_at[rows.start : rows.stop],
        symbols=BARS.symbols,
        horizons=(1, 4),
        law=law,
        stance=Stance(
            low=middle - 0.2, high=middle + 0.2, volatility=PANEL.volatility[rows.start : rows.stop]
        ),
    )


def held_after(target: np.ndarray) -> np.ndarray:
    held, rows = np.zeros(target.shape[1]), []
    for row in target:
        held = np.where(np.isnan(row), held, row)
        rows.append(held)
    return np.array(rows)


# ---------------------------------------------------------------- contracts


@every_variant
def test_every_rule_keeps_to_the_contract(name: str) -> None:
    rule = rule_with(**VARIANTS[name])

    assert faults_of_rule(rule_named(rule), rule) == []


@every_variant
def test_every_sizer_keeps_to_the_contract(name: str) -> None:
    rule = rule_with(**VARIANTS[name])

    assert faults_of_sizer(sizer_named(rule), rule) == []


@every_variant
@given(seed=st.integers(0, 10_000))
def test_no_close_adds_what_is_not_known_or_exceeds_a_cap(name: str, seed: int) -> None:
    rule = rule_with(**VARIANTS[name])
    decides = rule_named(rule)

    for view in closes(rule, seed=seed, count=4):
        target = within_limits(decides.wish(view), view, rule.policy)
        after = np.where(np.isnan(target), view.held, target)
        assert np.abs(after).sum() <= rule.policy.max_gross_exposure + 1e-9
        assert np.abs(after).max() <= rule.policy.max_exposure + 1e-9
        assert (np.abs(after) <= np.abs(view.held) + 1e-12)[~view.known].all()


def test_without_a_forecast_or_its_funding_a_position_may_shrink_or_end_and_never_grow() -> None:
    rule = rule_with(funding_aware=True)
    view = replace(
        view_with(rule, [np.nan, 0.01, np.nan, np.nan]),
        held=np.full(4, 0.1),
        funding=np.array([0.0, np.nan, 0.0, 0.0]),
    )

    found = within_limits(np.array([0.3, 0.3, -0.2, 0.05]), view, rule.policy)

    np.testing.assert_array_equal(found, [np.nan, np.nan, 0.0, 0.05])


@every_variant
@given(seed=st.integers(0, 10_000))
def test_a_mirrored_forecast_is_answered_with_the_other_side(name: str, seed: int) -> None:
    rule = rule_with(**VARIANTS[name])
    decides = rule_named(rule)

    for view in closes(rule, seed=seed, count=4):
        mine, theirs = decides.wish(view), decides.wish(mirrored(view))
        entered = np.isfinite(mine) & np.isfinite(theirs)
        assert (mine * theirs <= 0.0)[entered].all()


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - {"kelly", "kelly together", "shortfall", "all"}))
@given(seed=st.integers(0, 10_000))
def test_where_sizes_do_not_depend_on_the_side_the_mirror_image_is_exact(name: str, seed: int) -> None:
    rule = rule_with(**VARIANTS[name])
    decides = rule_named(rule)

    for view in closes(rule, seed=seed, count=4):
        np.testing.assert_allclose(decides.wish(mirrored(view)), -decides.wish(view), rtol=1e-9)


@pytest.mark.parametrize("name", [*VARIANTS, "exits"])
def test_batch_equals_a_stream_that_begins_anywhere(name: str) -> None:
    chosen = VARIANTS.get(name, {"stop_multiple": 1.0, "take_quantile": 0.1, "max_holding_bars": 9})
    rule = rule_with(correlation_halflife_bars=HALFLIFE, **chosen)
    forecast = a_forecast(range(300, 420))

    whole = exposures(forecast, Steering(rule, BARS.symbols), SIGHT)
    streamed = Steering(rule, BARS.symbols)
    streamed.warm(Sight(BARS[150:300], PANEL[150:300]))
    for t in range(120):
        streamed.see(Sight(BARS[300 + t : 301 + t], PANEL[300 + t : 301 + t]))
        wishes = streamed.step(forecast[t : t + 1])
        np.testing.assert_array_equal(wishes.target, whole.target[t])
        np.testing.assert_array_equal(wishes.stop, whole.stop[t])
        np.testing.assert_array_equal(wishes.take, whole.take[t])
    assert np.isfinite(whole.target).sum() > 5


@pytest.mark.parametrize("name", [*VARIANTS, "exits"])
def test_a_restart_from_its_state_goes_on_as_if_nothing_had_happened(name: str) -> None:
    chosen = VARIANTS.get(name, {"stop_multiple": 1.0, "take_quantile": 0.1, "max_holding_bars": 9})
    rule = rule_with(correlation_halflife_bars=HALFLIFE, **chosen)
    forecast, whole = a_forecast(range(300, 380)), Steering(rule, BARS.symbols)
    expected = exposures(forecast, whole, SIGHT)
    first = Steering(rule, BARS.symbols)
    exposures(forecast[:37], first, SIGHT)

    again = Steering(rule, BARS.symbols)
    again.restore(first.state())
    found = exposures(forecast[37:], again, SIGHT)

    np.testing.assert_array_equal(found.target, expected.target[37:])
    np.testing.assert_array_equal(found.stop, expected.stop[37:])


def test_a_policy_that_needs_bars_refuses_to_decide_without_them() -> None:
    steering = Steering(rule_with(correlation=True), BARS.symbols)

    with pytest.raises(DataError, match="has not seen the bar"):
        steering.step(a_forecast(range(300, 301)))


# ---------------------------------------------------------------- Kelly


def test_a_coin_that_pays_even_money_has_the_exposure_that_kelly_found() -> None:
    p = float(np.sum(WEIGHTS[len(WEIGHTS) // 3 :]))
    payoff = np.where(np.arange(len(WEIGHTS)) >= len(WEIGHTS) // 3, 1.0, -1.0)

    assert growth_optimal(payoff[None])[0] == pytest.approx(2.0 * p - 1.0, abs=1e-9)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("df", [3.0, 6.0, 60.0])
def test_kelly_is_what_scipy_finds_on_the_whole_distribution(df: float, side: float) -> None:
    rule = rule_with(sizer="kelly", kelly_fraction=1.0)
    loc, scale, cost = 0.0022 * side, 0.03 / np.sqrt(df / (df - 2.0)), 0.0012
    view = view_with(rule, [loc], scale, df).toward(np.array([side]), np.array([cost]))
    v, weight = np.polynomial.legendre.leggauss(600)
    v = 0.5 * (v + 1.0)
    levels = RARE + (1.0 - 2.0 * RARE) * v * v * (3.0 - 2.0 * v)
    payoff = side * np.expm1(loc + scale * special.stdtrit(df, levels)) - cost

    found = sizer_named(rule).size(view)[0]
    best = optimize.minimize_scalar(
        lambda f: -np.sum(weight * v * (1.0 - v) * np.log1p(f * payoff)), bounds=(0.0, 3.0), method="bounded",
        options={"xatol": 1e-8},
    ).x  # fmt: skip

    assert 0.3 < best < 2.5
    assert found == pytest.approx(best, rel=5e-3)


def test_kelly_sees_a_fat_tail_that_mean_and_variance_do_not() -> None:
    rule = rule_with(sizer="kelly", kelly_fraction=1.0)
    shape = (1, 1, 1, 2)
    crash = NormalMixture(
        loc=np.array([0.006, -0.15]).reshape(shape),
        scale=np.array([0.01, 0.03]).reshape(shape),
        weight=np.array([0.97, 0.03]).reshape(shape),
    )
    mean, deviation = crash.mean()[0, :, 0], np.sqrt(crash.variance()[0, :, 0])
    one, nothing = np.ones(1), np.zeros(1)
    skewed = replace(
        view_with(rule, [0.0]), law=crash, mean=mean, deviation=deviation, side=one, cost=nothing
    )
    plain = view_with(rule, [float(mean[0])], float(deviation[0]) / np.sqrt(60 / 58), 60.0).toward(
        one, nothing
    )

    assert sizer_named(rule).size(skewed)[0] < 0.9 * sizer_named(rule).size(plain)[0]


def test_kelly_holds_nothing_that_does_not_pay_for_its_costs() -> None:
    rule = rule_with(sizer="kelly")
    view = view_with(rule, [0.0009], 0.01).toward(np.ones(1), np.full(1, 0.0012))

    assert sizer_named(rule).size(view)[0] == 0.0


@given(a=st.floats(0.05, 1.0), b=st.floats(0.05, 1.0))
def test_a_smaller_fraction_of_kelly_is_a_smaller_position_in_proportion(a: float, b: float) -> None:
    sizes = [
        sizer_named(rule_with(sizer="kelly", kelly_fraction=share)).size(
            view_with(rule_with(), [0.004]).toward(np.ones(1), np.zeros(1))
        )[0]
        for share in (a, b)
    ]

    assert sizes[0] * b == pytest.approx(sizes[1] * a, rel=1e-12)


def test_coins_that_move_together_share_the_exposure_of_one() -> None:
    rule = rule_with(sizer="kelly", correlation=True)
    view = view_with(rule, [0.004, 0.004]).toward(np.ones(2), np.zeros(2))
    alone = sizer_named(rule_with(sizer="kelly")).size(
        view_with(rule, [0.004]).toward(np.ones(1), np.zeros(1))
    )[0]

    sizes = {
        rho: sizer_named(rule).size(replace(view, correlation=np.array([[1.0, rho], [rho, 1.0]])))
        for rho in (1.0, 0.5, 0.0)
    }

    np.testing.assert_allclose(sizes[1.0], alone / 2)
    np.testing.assert_allclose(sizes[0.5], alone / 1.5)
    np.testing.assert_allclose(sizes[0.0], alone)


# ---------------------------------------------------------------- expected shortfall


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("df", [4.0, 40.0])
def test_expected_shortfall_is_the_integral_over_the_tail(df: float, side: float) -> None:
    view = view_with(rule_with(), [0.001], 0.02, df).toward(np.array([side]), np.zeros(1))
    law = stats.t(df, 0.001, 0.02)
    worst = law.ppf if side > 0 else law.isf

    loss = integrate.quad(lambda u: -side * np.expm1(worst(u)), 1e-7, 0.05, limit=300)[0]
    expected = loss / 0.05

    assert shortfall(view, 0.05)[0] == pytest.approx(expected, rel=2e-3)


@given(
    loc=st.floats(-0.02, 0.02), scale=st.floats(0.002, 0.05), limit=st.floats(0.0005, 0.02), held=st.floats(-0.5, 0.5)
)  # fmt: skip
def test_no_position_risks_more_than_its_share_of_equity(
    loc: float, scale: float, limit: float, held: float
) -> None:
    rule = rule_with(cvar_limit=limit, volatility_target=5.0)
    view = replace(view_with(rule, [loc], scale), held=np.array([held]))

    target = within_limits(rule_named(rule).wish(view), view, rule.policy)
    after = np.where(np.isnan(target), view.held, target)

    risk = np.abs(after) * shortfall(view.toward(np.sign(after), view.cost), rule.policy.cvar_level)
    assert risk[0] <= limit * (1.0 + 1e-9)


# ---------------------------------------------------------------- several coins


def test_without_a_correlation_coins_share_the_volatility_target_as_if_they_moved_as_one() -> None:
    rule = rule_with(max_exposure=9.0)
    view = view_with(rule, [0.01, 0.01, -0.01], 0.01)

    wish = rule_named(rule).wish(view)

    np.testing.assert_allclose(wish * view.volatility, [0.2 / 3, 0.2 / 3, -0.2 / 3])


@given(seed=st.integers(0, 10_000), coins=st.integers(2, 4))
def test_the_forecast_volatility_of_the_whole_book_meets_the_target(seed: int, coins: int) -> None:
    rng = np.random.default_rng(seed)
    loading = rng.uniform(0.2, 0.8, coins)
    correlation = np.outer(loading, loading)
    np.fill_diagonal(correlation, 1.0)
    rule = rule_with(correlation=True, max_exposure=1e6, max_gross_exposure=1e6)
    view = replace(view_with(rule, list(rng.choice([-1.0, 1.0, 0.0], coins) * 0.02)), correlation=correlation)

    wish = np.nan_to_num(rule_named(rule).wish(view))

    risk = wish * view.volatility
    expected = 0.2 if np.any(view.mean) else 0.0
    assert np.sqrt(risk @ correlation @ risk) == pytest.approx(expected, rel=1e-9)


def test_a_hedge_that_looks_perfect_is_not_believed() -> None:
    rule = rule_with(correlation=True)
    view = replace(view_with(rule, [0.02, -0.02]), correlation=np.ones((2, 2)), side=np.array([1.0, -1.0]))

    assert book_volatility(np.array([0.2, -0.2]), view) == pytest.approx(0.04)


def test_a_pair_that_is_not_known_counts_to_the_worse() -> None:
    rule = rule_with(correlation=True)
    unknown = np.array([[1.0, np.nan], [np.nan, 1.0]])
    view = replace(view_with(rule, [0.02, -0.02]), correlation=unknown, side=np.array([1.0, -1.0]))

    assert book_volatility(np.array([0.2, -0.2]), view) == pytest.approx(0.4)


def test_a_book_with_a_coin_that_has_no_forecast_is_not_scaled_up() -> None:
    rule = rule_with(correlation=True)
    view = replace(view_with(rule, [0.02, np.nan]), correlation=np.eye(2), held=np.array([0.0, 0.1]))

    wish = rule_named(rule).wish(view)

    assert wish[0] * view.volatility[0] == pytest.approx(0.2 / 2)


def test_the_correlation_is_the_weighted_one_of_the_rows_since_its_block_began() -> None:
    rng = np.random.default_rng(0)
    scaled = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.6], [0.6, 1.0]], 150)
    moves = Comovement(2, HALFLIFE)
    for row, values in enumerate(scaled):
        moves.see(row, values)

    since = scaled[150 // 48 * 48 - 48 :]
    weight = 0.5 ** (np.arange(len(since))[::-1] / HALFLIFE)
    square = (since * weight[:, None]).T @ since
    expected = square[0, 1] / np.sqrt(square[0, 0] * square[1, 1])

    assert moves.correlation()[0, 1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("begin", [0, 5, 47, 100, 203])
def test_the_correlation_does_not_depend_on_where_it_began(begin: int) -> None:
    rng = np.random.default_rng(1)
    scaled = np.where(rng.random((400, 3)) < 0.05, np.nan, rng.normal(size=(400, 3)))
    early, late = Comovement(3, HALFLIFE), Comovement(3, HALFLIFE)

    for row in range(400):
        early.see(row, scaled[row])
        if row < begin:
            continue
        late.see(row, scaled[row])
        whole, part = early.correlation(), late.correlation()
        known = np.isfinite(part) | (row >= begin + early.context_rows)
        np.testing.assert_array_equal(whole[known], part[known])
    assert np.isfinite(late.correlation()).all()


# ---------------------------------------------------------------- entry, band, funding


def test_entry_by_probability_asks_how_often_a_move_pays() -> None:
    rule = rule_with(entry="probability", entry_probability=0.55)
    toll = 0.0012
    exact = toll + 0.01 * stats.t(5.0).ppf(0.55)

    side = entry_side(view_with(rule, [exact * 1.001, exact * 0.999, -exact * 1.001]), rule)

    assert side.tolist() == [1.0, 0.0, -1.0]


def test_a_band_is_eight_times_as_wide_in_cost_where_it_is_twice_as_wide() -> None:
    wish = np.array([0.3])

    assert cost_band(wish, 8e-4, 2.0)[0] == pytest.approx(2.0 * cost_band(wish, 1e-4, 2.0)[0])
    assert cost_band(wish, 6e-4, 2.0)[0] == pytest.approx((1.5 * 6e-4 / 2.0 * 0.09) ** (1 / 3))


def test_the_band_by_cost_is_left_at_its_nearest_edge() -> None:
    rule = rule_with(band="cost")
    view = view_with(rule, [0.02])
    wish = 0.2 / view.volatility[0]
    width = cost_band(np.array([wish]), 0.0006, 2.0)[0]

    found = [
        float(rule_named(rule).wish(replace(view, held=np.array([held])))[0])
        for held in (0.0, wish - 0.5 * width, wish + 2.0 * width)
    ]

    np.testing.assert_allclose(found, [wish - width, np.nan, wish + width])


def settled(bars: Bars, every: int, rate: float, *, holes: tuple[int, ...] = ()) -> Bars:
    rows = bars.grid_row
    rates = np.where((rows % every == 0)[:, None], rate, np.nan) * np.ones(3)
    covered = np.ones(rates.shape, dtype=np.bool_)
    covered[list(holes)] = False
    return replace(bars, funding_rate=np.where(covered, rates, np.nan), funding_covered=covered)


@pytest.mark.parametrize(("horizon", "times"), [(1, [0, 1, 0]), (8, [1, 1, 1]), (24, [3, 3, 3])])
def test_funding_is_expected_as_often_as_it_was_settled(horizon: int, times: list[int]) -> None:
    bars, carry = settled(BARS, 8, 0.0001), Carry(3)
    first = int(np.flatnonzero(bars.grid_row % 8 == 0)[0])
    seen: dict[int, float] = {}
    for t in range(first + 40):
        carry.see(bars[t : t + 1])
        seen[t] = float(carry.expected(horizon)[0])

    found = [seen[first + 32 + k] for k in (3, 7, 0)]

    np.testing.assert_allclose(found, 0.0001 * np.array(times, dtype=float), atol=1e-18)


def test_funding_is_unknown_after_a_hole_until_two_more_settlements_are_on_record() -> None:
    first = int(np.flatnonzero(BARS.grid_row % 8 == 0)[0])
    bars, carry = settled(BARS, 8, 0.0001, holes=(first + 20,)), Carry(3)
    known = []
    for t in range(first + 48):
        carry.see(bars[t : t + 1])
        known.append(bool(np.isfinite(carry.expected(4)[0])))

    assert known == [first + 8 <= t < first + 20 or t >= first + 32 for t in range(first + 48)]


def test_expected_funding_adds_to_what_an_entry_costs_and_only_where_it_is_paid() -> None:
    rule = rule_with(funding_aware=True)
    view = replace(view_with(rule, [0.0015, -0.0015, 0.0015]), funding=np.array([0.0005, 0.0005, np.nan]))

    assert entry_side(view, rule).tolist() == [0.0, -1.0, 0.0]


def test_a_hold_is_left_where_its_funding_exceeds_what_it_is_expected_to_gain() -> None:
    rule = rule_with(funding_aware=True)
    view = replace(
        view_with(rule, [0.0003] * 3),
        held=np.full(3, 0.05),
        funding=np.array([0.0002, 0.0004, np.nan]),
    )

    assert rule_named(rule).wish(view)[1] == 0.0
    assert np.isnan(rule_named(rule).wish(view)[[0, 2]]).all()


# ---------------------------------------------------------------- exits


def path(*prices: tuple[float, float, float, float]) -> Sight:
    """One coin's bars, as open, high, low and close."""
    rows = np.array(prices)
    grids = {name: rows[:, k : k + 1].copy() for k, name in enumerate(("open", "high", "low", "close"))}
    bars = replace(BARS[: len(rows)].coins([0]), **grids)
    return Sight(bars, FeatureStream(bars.symbols, ("return_1",)).extend(bars))


def steady(rows: int, mean: float, sight: Sight) -> Forecast:
    shape = (rows, 1, 1)
    law = StudentT(loc=np.full(shape, mean), scale=np.full(shape, 0.02 / np.sqrt(2)), df=np.full(shape, 4.0))
    return Forecast(
        model="any", closed_at=sight.bars.closed_at[:rows], symbols=sight.bars.symbols, horizons=(4,), law=law
    )


CALM = (100.0, 100.5, 99.5, 100.0)


def test_a_stop_that_is_reached_is_noticed_followed_by_a_wish_for_nothing_and_written_down() -> None:
    sight, journal = path(CALM, CALM, (100.0, 100.0, 97.0, 97.5), CALM, CALM), MemoryJournal()
    rule = rule_with(stop_multiple=1.0)

    wishes = exposures(steady(5, 0.01, sight), Steering(rule, sight.bars.symbols, journal), sight)

    assert wishes.target[0, 0] > 0.0
    assert wishes.target[2, 0] == 0.0
    assert wishes.target[3, 0] > 0.0
    np.testing.assert_allclose(wishes.stop[:2, 0], -np.expm1(-0.02))
    (event,) = journal.events
    assert isinstance(event, ExitReached)
    assert (event.which, event.closed_at) == ("stop", int(sight.bars.closed_at[2]))


def test_a_take_is_not_reached_by_a_touch() -> None:
    touched = 100.0 * (1.0 + 0.0001) * np.exp(0.02)
    sight = path(
        CALM, CALM, (100.0, np.floor(touched * 100) / 100 - 0.05, 99.0, 100.0), (100.0, 104.0, 99.9, 103.0)
    )
    rule, journal = rule_with(take_multiple=1.0), MemoryJournal()

    wishes = exposures(steady(4, 0.01, sight), Steering(rule, sight.bars.symbols, journal), sight)

    assert wishes.target[3, 0] == 0.0
    assert [getattr(event, "which", "") for event in journal.events] == ["take"]


def test_stop_and_take_lie_where_the_forecasts_quantiles_are() -> None:
    sight = path(CALM, CALM)
    rule = rule_with(stop_quantile=0.05, take_quantile=0.1)
    law = stats.t(4.0, -0.01, 0.02 / np.sqrt(2))

    wishes = exposures(steady(2, -0.01, sight), Steering(rule, sight.bars.symbols), sight)

    assert wishes.target[0, 0] < 0.0
    assert wishes.stop[0, 0] == pytest.approx(np.expm1(law.ppf(0.95)), rel=1e-6)
    assert wishes.take[0, 0] == pytest.approx(-np.expm1(law.ppf(0.1)), rel=1e-6)


def test_a_position_is_left_after_its_longest_holding_time_unless_it_is_entered_anew() -> None:
    sight = path(*[CALM] * 8)
    rule = rule_with(max_holding_bars=3)
    strong, weak = steady(8, 0.01, sight), steady(8, 0.0005, sight)
    fading = strong[:1].join(weak[1:])

    left = exposures(fading, Steering(rule, sight.bars.symbols), sight).target[:, 0]
    kept = exposures(strong, Steering(rule, sight.bars.symbols), sight).target[:, 0]

    assert np.flatnonzero(left == 0.0).tolist() == [3]
    assert np.flatnonzero(kept == 0.0).tolist() == []


def test_a_wish_without_a_next_bar_lapses_and_nothing_is_held() -> None:
    sight = path(*[CALM] * 4)
    present = sight.bars.present.copy()
    present[1] = False
    sight = Sight(replace(sight.bars, present=present), sight.panel)
    steering = Steering(rule_with(stop_multiple=1.0), sight.bars.symbols)
    forecast = steady(2, 0.01, sight)

    steering.warm(Sight(sight.bars[:0], sight.panel[:0]))
    for t in range(2):
        steering.see(Sight(sight.bars[t : t + 1], sight.panel[t : t + 1]))
        held = steering.held.copy()
        steering.step(forecast[t : t + 1])

    assert held.tolist() == [0.0]


# ---------------------------------------------------------------- positions


def test_a_position_head_is_followed_as_its_zones_say() -> None:
    forecast = a_forecast(range(300, 420))
    stance = forecast.stance
    assert stance is not None
    rule = rule_with(rule="position")
    full = np.minimum(0.2 / 3 / (stance.volatility * np.sqrt(YEAR)), 0.5)

    found = exposures(forecast, Steering(rule, BARS.symbols))

    np.testing.assert_array_equal(found.target, Zones(low=stance.low, high=stance.high).exposures(full))
    assert np.isfinite(found.target).sum() > 20


def test_the_rule_goes_by_the_head_unless_the_study_says_otherwise() -> None:
    states, forecasts = replace(rule_with(), learns_positions=True), rule_with()

    assert type(rule_named(states)).__name__ == "ByPosition"
    assert type(rule_named(forecasts)).__name__ == "ByForecast"
    with pytest.raises(StudyError, match="the head of the model states none"):
        rule_named(replace(forecasts, policy=PolicySettings(rule="position")))


# ---------------------------------------------------------------- the user's own


OWN = {
    "half": "class Mine:\n    def size(self, view):\n        return 0.5 * abs(view.side)\n",
    "short": "class Mine:\n    def size(self, view):\n        return view.side[:1]\n",
    "negative": "class Mine:\n    def size(self, view):\n        return -abs(view.side)\n",
    "raises": "class Mine:\n    def size(self, view):\n        return view.sides\n",
    "remembers": (
        "import numpy as np\nclass Mine:\n    n = 0\n    def size(self, view):\n"
        "        self.n += 1\n        return np.full(len(view.symbols), 0.01 * self.n)\n"
    ),
}


def own(folder: Path, code: str, **settings: object) -> Rule:
    (folder / "my.py").write_text(code)
    return replace(rule_with(**settings), folder=folder)


def test_an_edited_rule_or_sizer_leaves_evaluation_and_audit_behind(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text("class MyRule: ...")
    study = Study(folder=tmp_path).model_copy(update={"policy": PolicySettings(rule="file:my.py:MyRule")})
    before, asked = hashes_of(study, "bars"), tried_digest(study)
    paper = Paper(kind="evaluation", where="runs/evaluation", made_at=1, hashes=before, says="BEATS")

    (tmp_path / "my.py").write_text("class MyRule: ...  # two bars later")

    after = hashes_of(study, "bars")
    assert {name for name in before if before[name] != after[name]} == {"policy"}
    assert asked != tried_digest(study)  # another try on the same bars
    held = Papers(where="mine", needs_model=False, wanted=after, runs=(paper,))
    assert any("another version of the policy's code" in str(one) for one in objections(held, now=2))
    assert not any("policy" in str(one) for one in objections(replace(held, wanted=before), now=2))


def test_a_sizer_of_the_users_own_sizes_and_is_capped(tmp_path: Path) -> None:
    rule = own(tmp_path, OWN["half"], sizer="file:my.py:Mine", rule="forecast", max_exposure=0.4)
    view = view_with(rule, [0.02, -0.02, 0.0001])

    np.testing.assert_allclose(rule_named(rule).wish(view), [0.4, -0.4, np.nan])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("short", "float64 of shape"),
        ("negative", "size answers with -1"),
        ("raises", "AttributeError"),
        ("remembers", "it keeps something in mind"),
    ],
)
def test_a_sizer_that_breaks_the_contract_is_refused_in_one_sentence(
    tmp_path: Path, name: str, told: str
) -> None:
    rule = own(tmp_path, OWN[name], sizer="file:my.py:Mine", rule="forecast")

    with pytest.raises(StudyError, match=told) as caught:
        rule_named(rule)

    assert "my.py" in str(caught.value)


def test_a_rule_of_the_users_own_wishes_and_is_held_to_the_limits(tmp_path: Path) -> None:
    code = (
        "import numpy as np\nclass Mine:\n    def wish(self, view):\n        return 9 * np.sign(view.mean)\n"
    )
    rule = own(tmp_path, code, rule="file:my.py:Mine", max_exposure=0.3, max_gross_exposure=0.5)
    view = view_with(rule, [0.02, -0.02, np.nan])

    target = within_limits(rule_named(rule).wish(view), view, rule.policy)

    np.testing.assert_allclose(target, [0.25, -0.25, np.nan])


def test_a_rule_that_takes_the_same_side_whatever_is_forecast_is_refused(tmp_path: Path) -> None:
    code = "class Mine:\n    def wish(self, view):\n        return 0.0 * view.held + 0.1\n"
    rule = own(tmp_path, code, rule="file:my.py:Mine")

    with pytest.raises(StudyError, match="its mirror image with the same side"):
        rule_named(rule)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rule": "forecat"}, "policy.rule is 'forecat'"),
        ({"rule": "forecast", "sizer": "kely"}, "policy.sizer is 'kely'"),
        ({"rule": "file:my.py"}, "names no class"),
        ({"rule": "file:none.py:Mine"}, "no such file"),
        ({"rule": "entry:none"}, "no installed package offers 'none'"),
    ],
)
def test_a_rule_or_sizer_that_is_not_there_is_told(settings: dict[str, str], told: str) -> None:
    with pytest.raises(StudyError, match=told):
        rule_named(rule_with(**settings))


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"rule": "positon"}, "policy.rule is .positon."),
        ({"sizer": "kely"}, "policy.sizer is 'kely'"),
        ({"rule": "position"}, "a student-t head states none"),
    ],
)
def test_a_study_with_a_word_that_is_none_is_refused_before_anything_is_trained(
    policy: dict[str, str], told: str
) -> None:
    with pytest.raises(StudyError, match=told):
        Study.parse({"policy": policy})


def test_the_law_of_one_horizon_says_what_it_said_among_others() -> None:
    law = a_forecast(range(300, 301)).law
    cut, place = law_over(law, 1)

    assert place == 0
    np.testing.assert_array_equal(cut.quantile(0.1)[0, :, 0], law.quantile(0.1)[0, :, 1])
    assert len(LEVELS) == len(WEIGHTS)
    assert float(WEIGHTS.sum()) == pytest.approx(1.0)


# ---------------------------------------------------------------- together with the rest


def test_the_policy_notices_the_very_exits_that_the_ledger_books() -> None:
    journal, rule = MemoryJournal(), rule_with(stop_multiple=0.6, take_multiple=0.8, no_trade_band=9.0)
    forecast = a_forecast(range(200, 440), drift=0.006)
    bars = BARS[200:440]

    wishes = exposures(forecast, Steering(rule, BARS.symbols, journal), SIGHT)
    fills = run_ledger(bars, wishes, rule.costs).fills

    booked = fills.filter(pl.col("cause").is_in(["stop", "take"]))
    noticed = [event for event in journal.events if isinstance(event, ExitReached)]
    assert len(noticed) > 12
    assert sorted((e.symbol, e.which) for e in noticed) == sorted(booked.select("symbol", "cause").rows())
    assert {e.which for e in noticed} == {"stop", "take"}


@pytest.mark.parametrize(
    "terms",
    [
        AccountTerms(),
        AccountTerms(latency_ms=1_000),
        AccountTerms(execution="maker"),
        AccountTerms(execution="maker, then taker", latency_ms=1_000),
    ],
)
def test_an_account_whose_orders_fill_late_or_never_is_not_without_the_stop_it_was_given(
    terms: AccountTerms,
) -> None:
    rule = rule_with(stop_multiple=0.3, take_multiple=0.5)
    bars = BARS[200:440]
    wishes = exposures(a_forecast(range(200, 440), drift=0.006), Steering(rule, BARS.symbols), SIGHT)

    ledger = run_ledger(bars, wishes, rule.costs, account=terms)

    carried = (ledger.quantity[:-1] != 0.0) & (ledger.quantity[1:] != 0.0)
    assert carried.sum() > 20
    assert np.isfinite(wishes.stop[:-1][carried]).all()


def test_what_the_policy_holds_is_what_the_account_holds_unless_orders_fill_late() -> None:
    rule = rule_with(stop_multiple=0.3, take_multiple=0.5)
    steering, forecast = Steering(rule, BARS.symbols), a_forecast(range(200, 440), drift=0.006)
    steering.warm(Sight(BARS[:200], SIGHT.panel[:200]))
    believed, wishes = [], []
    for row in range(240):
        steering.see(Sight(BARS[200 + row : 201 + row], SIGHT.panel[200 + row : 201 + row]))
        believed.append(steering.held)
        wishes.append(steering.step(forecast[row : row + 1]))
    asked = Exposure(
        closed_at=forecast.closed_at,
        symbols=BARS.symbols,
        **{name: np.array([getattr(w, name) for w in wishes]) for name in Wishes._fields},
    )

    punctual = run_ledger(BARS[200:440], asked, rule.costs)
    late = run_ledger(BARS[200:440], asked, rule.costs, account=AccountTerms(latency_ms=1_000))

    np.testing.assert_array_equal(np.sign(punctual.quantity), np.sign(believed))
    assert (np.sign(late.quantity) != np.sign(believed)).mean() > 0.1


@pytest.fixture(scope="module")
def learnt() -> tuple[Market, Walk]:
    """A small study whose head states positions, fitted on one fold."""
    study = Study.parse(
        {
            "model": {"hidden": 4, "seeds": [1], "restart_rows": 32, "anchor": "har", "head": "position-utility"},
            "training": {"steps": 10, "check_every": 5, "chunk_bars": 64, "burn_in_bars": 16, "processes": 1},
            "target": {"horizons": [1]},
            "validation": {"folds": 1, "first_train_share": 0.7, "opponents": []},
            "policy": {"horizon_bars": 1, "correlation": True, "correlation_halflife_bars": 12},
        }
    )  # fmt: skip
    market = Market.of(study, BARS)
    folds = market.folds()
    fitted = LSTMForecaster(study.target.horizons, study.model, study.training).fit(past_of(market, folds[0]))
    forecast = fitted.predict(market.panel, folds[0].test)
    name = model_name(study)
    return market, Walk(folds=folds, fitted=({name: fitted},), forecasts={name: forecast})


def test_the_pilot_runs_a_position_head_as_the_batch_does(learnt: tuple[Market, Walk]) -> None:
    market, walked = learnt
    name = model_name(market.study)

    batch = earn(market, walked, name)
    pilot = walked.pilot(market, name, Steering(rule_of(market), BARS.symbols))

    assert batch.error is None
    for k in range(80):
        t = walked.tested.start + k
        wishes = pilot.on_close(BARS[t : t + 1])
        np.testing.assert_array_equal(wishes.target, batch.exposure.target[k])
    assert np.isfinite(batch.exposure.target).sum() > 3


def test_the_examples_of_the_page_for_traders_run() -> None:
    page = Path(__file__).parents[1] / "docs" / "policy.md"

    found = doctest.testfile(str(page), module_relative=False)

    assert found.failed == 0
    assert found.attempted > 10
