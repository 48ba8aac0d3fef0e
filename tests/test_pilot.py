"""Live decides what the backtest decided: the pilot fed bar by bar equals the batch path, across every fold."""

from dataclasses import replace

import numpy as np
import pytest

from longshort.base.errors import DataError
from longshort.base.instrument import Costs
from longshort.base.journal import MemoryJournal, StoodAside
from longshort.base.settings import Study
from longshort.base.stage import Stage, differing_rows
from longshort.base.trading import PolicySettings
from longshort.data.simulator import simulate_market
from longshort.models.forecast import Forecast, StudentT
from longshort.models.opponents.catalog import model_name
from longshort.policy.rivals import MOMENTUM_ROWS, RIVALS, rival_exposure
from longshort.policy.rules.catalog import by_forecast, within_limits
from longshort.policy.rules.view import View
from longshort.policy.steering import Rule, Steering, exposures
from longshort.study.audit.stages import stages_of
from longshort.study.evaluate import evaluate
from longshort.study.market import Market
from longshort.study.money import rule_of
from longshort.study.walk import Walk, walk

from .markets import poisoned, punched

STUDY = Study.parse(
    {
        "model": {"hidden": 8, "seeds": [1, 2], "restart_rows": 64},
        "training": {
            "steps": 20,
            "check_every": 10,
            "batch_chunks": 8,
            "chunk_bars": 96,
            "burn_in_bars": 24,
            "processes": 1,
        },
        "validation": {"folds": 2, "first_train_share": 0.7, "opponents": []},
        "policy": {"entry_cost_multiple": 0.02, "horizon_bars": 4},
    }
)
NAME = model_name(STUDY)
BARS = punched(
    simulate_market(coins=3, bars=3_000, seed=4, edge=0.2).bars, np.random.default_rng(2), share=0.005
)
RULE = Rule(policy=PolicySettings(), costs=Costs(taker_bps=5.0, slippage_bps=1.0), bars_per_year=8_766.0)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.of(STUDY, BARS)


@pytest.fixture(scope="module")
def walked(market: Market) -> Walk:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longshort.study.walk.open_market", lambda study: market)
        return walk(market, market.folds(), cache=None)


def batch_targets(market: Market, forecast: Forecast) -> np.ndarray:
    return exposures(forecast, Steering(rule_of(market), market.bars.symbols)).target


def test_the_pilot_decides_bar_by_bar_exactly_what_the_batch_decides(market: Market, walked: Walk) -> None:
    forecast = walked.forecasts[NAME]
    pilot = walked.pilot(market, NAME, Steering(rule_of(market), BARS.symbols))
    batch = batch_targets(market, forecast)

    for k, t in enumerate(range(walked.tested.start, walked.folds[1].test.start + 90)):  # a model takes over
        target = pilot.on_close(BARS[t : t + 1]).target
        np.testing.assert_array_equal(target, batch[k])
        np.testing.assert_array_equal(pilot.forecast.law.scale[0], forecast.law.scale[k])
        np.testing.assert_array_equal(pilot.forecast.law.loc[0], forecast.law.loc[k])
        np.testing.assert_array_equal(pilot.forecast.law.df[0], forecast.law.df[k])
    assert np.isfinite(batch).any(axis=1).sum() > 20


@pytest.mark.parametrize("late", [1, 63, 333, 448, 450, 451, 700])
def test_a_pilot_that_starts_late_has_the_same_forecasts(market: Market, walked: Walk, late: int) -> None:
    start = walked.tested.start + late
    pilot = walked.pilot(market, NAME, Steering(rule_of(market), BARS.symbols), from_row=start)

    for t in range(start, min(start + 40, walked.tested.stop)):
        pilot.on_close(BARS[t : t + 1])
        k = t - walked.tested.start
        np.testing.assert_array_equal(pilot.forecast.law.scale[0], walked.forecasts[NAME].law.scale[k])


@pytest.mark.parametrize("stage", ["features", "forecasts", "exposures", "rivals"])
@pytest.mark.parametrize("row", [2_105, 2_500, 2_999])
def test_no_stage_changes_what_it_said_when_the_future_is_cut_off_or_noise(
    market: Market, walked: Walk, stage: str, row: int
) -> None:
    audited = next(s for s in stages_of(market, walked, NAME) if s.name == stage)
    whole = audited.rows(BARS)

    cut = audited.rows(BARS[:row])
    noise = audited.rows(poisoned(BARS, row, np.random.default_rng(0)))

    assert differing_rows(whole, cut, row) == row
    assert differing_rows(whole, noise, row) == row


def test_a_stage_that_leaks_one_bar_is_found_at_the_very_bar() -> None:
    leaky = Stage(name="leaky", rows=lambda bars: {"next": np.append(bars.close[1:, 0], np.nan)})

    assert differing_rows(leaky.rows(BARS), leaky.rows(BARS[:500]), 500) == 499


def test_without_a_funding_record_profit_is_not_computed(walked: Walk) -> None:
    bare = replace(
        BARS,
        funding_covered=np.zeros_like(BARS.funding_covered),
        funding_rate=np.full_like(BARS.close, np.nan),
    )
    market = Market.of(STUDY, bare)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longshort.study.walk.open_market", lambda study: market)
        report = evaluate(market).report

    assert report.profits == report.curves == ()
    assert report.verdict("profit", 4).word == "NO EDGE"
    assert "Profit is not computed." in report.notes[0]
    assert "funding" in report.notes[0]


def test_a_decision_after_a_shift_of_one_bar_is_caught(market: Market, walked: Walk) -> None:
    forecast = walked.forecasts[NAME]
    early = replace(forecast, law=StudentT(**{n: np.roll(getattr(forecast.law, n), -1, axis=0) for n in LAW}))

    assert not np.array_equal(batch_targets(market, early), batch_targets(market, forecast), equal_nan=True)


LAW = ("loc", "scale", "df")


def test_the_development_report_does_not_change_when_the_sealed_rows_are_noise() -> None:
    sealed = STUDY.model_copy(
        update={"validation": STUDY.validation.model_copy(update={"holdout_from": "2024-04-10"})}
    )
    reports = []
    for bars in (BARS, poisoned(BARS, len(BARS.until(1_712_707_200_000_000_000)), np.random.default_rng(1))):
        market = Market.of(sealed, bars)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("longshort.study.walk.open_market", lambda study, market=market: market)
            reports.append(evaluate(market).report)

    assert repr(reports[0].comparisons) == repr(reports[1].comparisons)
    assert repr(reports[0].verdicts) == repr(reports[1].verdicts)
    assert repr(reports[0].profits) == repr(reports[1].profits)
    assert reports[0].folds[-1].test_until <= 1_712_707_200_000_000_000 < int(BARS.closed_at[-1])


def test_a_pilot_refuses_more_than_one_row(market: Market, walked: Walk) -> None:
    pilot = walked.pilot(market, NAME, Steering(rule_of(market), BARS.symbols))

    with pytest.raises(DataError, match="one row of bars at a time, was 2"):
        pilot.on_close(BARS[walked.tested.start : walked.tested.start + 2])


def test_a_coin_without_a_forecast_is_held_and_written_down_once() -> None:
    journal = MemoryJournal()
    steering = Steering(RULE, ("A", "B"), journal)
    steering.held = np.array([0.1, 0.0])
    nothing = a_forecast(np.array([np.nan, 0.0]))

    targets = [steering.step(nothing).target, steering.step(nothing).target]

    assert np.isnan(targets).all()
    assert steering.held.tolist() == [0.1, 0.0]
    assert [type(event) for event in journal.events] == [StoodAside]


def test_a_move_smaller_than_a_round_trip_is_not_entered() -> None:
    volatility = np.full(2, 0.5)

    below = decide(np.array([0.0011, -0.0011]), volatility, np.zeros(2), RULE)
    above = decide(np.array([0.0013, -0.0013]), volatility, np.zeros(2), RULE)

    assert np.isnan(below).all()
    np.testing.assert_allclose(above, [0.2, -0.2])


def test_a_position_is_left_when_the_forecast_turns_and_kept_while_it_does_not() -> None:
    held = np.array([0.2, 0.2, -0.2])

    targets = decide(np.array([-0.0001, 0.0001, 0.0001]), np.full(3, 0.5), held, replace_target(0.3))

    assert targets[0] == 0.0
    assert np.isnan(targets[1])
    assert targets[2] == 0.0


def test_no_coin_and_no_book_exceeds_its_cap() -> None:
    rule = replace(
        RULE, policy=PolicySettings(volatility_target=50.0, max_exposure=0.5, max_gross_exposure=1.2)
    )

    targets = decide(np.full(4, 0.01), np.full(4, 0.3), np.zeros(4), rule)

    np.testing.assert_allclose(targets, 0.3)


def test_a_forecast_that_fails_never_adds_exposure() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        held = rng.normal(0, 0.2, size=3)
        mean, volatility = rng.normal(0, 0.01, size=3), rng.uniform(0.1, 1, size=3)
        volatility[rng.integers(3)] = np.nan

        targets = decide(mean, volatility, held, RULE)

        failed = np.isnan(volatility)
        assert (np.abs(np.where(np.isnan(targets), held, targets))[failed] <= np.abs(held)[failed]).all()


@pytest.mark.parametrize("name", RIVALS)
def test_a_rivals_wishes_do_not_change_when_the_future_is_noise(market: Market, name: str) -> None:
    noise = Market.of(STUDY, poisoned(BARS, 2_500, np.random.default_rng(0)))

    mine = rival_exposure(name, BARS, market.panel, range(2_000, 3_000), rule_of(market))
    theirs = rival_exposure(name, noise.bars, noise.panel, range(2_000, 3_000), rule_of(market))

    np.testing.assert_array_equal(mine.target[:500], theirs.target[:500])


def test_momentum_is_long_after_four_weeks_of_gains(market: Market) -> None:
    rows = range(1_000, 1_001)
    wishes = rival_exposure("momentum", BARS, market.panel, rows, rule_of(market)).target[0]

    gains = BARS.close[1_000] - BARS.close[1_000 - MOMENTUM_ROWS]

    np.testing.assert_array_equal(np.sign(wishes[np.isfinite(gains)]), np.sign(gains[np.isfinite(gains)]))


def decide(mean: np.ndarray, volatility: np.ndarray, held: np.ndarray, rule: Rule) -> np.ndarray:
    """What the rule wishes after forecasts of some means and volatilities per year, within all limits."""
    nothing = np.zeros(len(mean))
    deviation = volatility * np.sqrt(rule.policy.horizon_bars / rule.bars_per_year)
    law = StudentT(
        loc=mean[None, :, None],
        scale=deviation[None, :, None] / np.sqrt(2),
        df=np.full((1, len(mean), 1), 4.0),
    )
    view = View(
        closed_at=0,
        symbols=("A", "B", "C", "D")[: len(mean)],
        law=law,
        horizon=0,
        horizon_bars=rule.policy.horizon_bars,
        mean=mean,
        deviation=deviation,
        volatility=volatility,
        held=held,
        funding=nothing,
        side=nothing,
        cost=nothing,
    )
    return within_limits(by_forecast(rule).wish(view), view, rule.policy)


def a_forecast(mean: np.ndarray) -> Forecast:
    shape = (1, len(mean), 1)
    law = StudentT(loc=mean.reshape(shape), scale=np.full(shape, 0.01), df=np.full(shape, 4.0))
    return Forecast(
        model="any", closed_at=np.array([0]), symbols=("A", "B")[: len(mean)], horizons=(4,), law=law
    )


def replace_target(volatility_target: float) -> Rule:
    return replace(RULE, policy=PolicySettings(volatility_target=volatility_target))
