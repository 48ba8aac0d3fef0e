"""Intervals that stay true: worked by hand, held to the published bounds, and blind to what is not known yet."""

from functools import lru_cache
from math import ceil, exp, pi, tan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from longshort.base.errors import DataError
from longshort.models.calibration.adaptation import ACI, MOST, PID, Rule, reference_reach
from longshort.models.calibration.conformal import Band, Calibrator, Intervals, calibrate, scores
from longshort.models.calibration.coverage_monitor import Coverage, CoverageMonitor, Seen, Watch
from longshort.models.calibration.split_conformal import Static, split_quantile
from longshort.models.forecast import Forecast, StudentT
from longshort.study.case import Case
from longshort.study.evidence.coverage import section
from longshort.study.market import open_market
from longshort.study.metrics import coverage
from longshort.study.walk import Walk

from .judged import SMALL, case_of

RULES = {"static": Static(rows=40), "aci": ACI(step=0.02), "pid": PID()}
HORIZONS = (1, 4, 24)
every_rule = pytest.mark.parametrize("name", RULES)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def law_of(rows: int, coins: int, rng: np.random.Generator) -> StudentT:
    shape = (rows, coins, len(HORIZONS))
    return StudentT(
        loc=0.1 * rng.normal(size=shape), scale=np.exp(0.2 * rng.normal(size=shape)), df=np.full(shape, 5.0)
    )


def outcomes(rows: int, coins: int, rng: np.random.Generator) -> np.ndarray:
    came = 1.5 * rng.standard_t(4, size=(rows, coins, len(HORIZONS)))
    came[rng.random(came.shape) < 0.05] = np.nan
    return came


def unit_band(rows: int, coins: int = 1) -> Band:
    """Intervals from -1 to 1: a score is the size of the outcome."""
    one = np.ones((1, rows, coins, 1))
    return Band(levels=(0.9,), low=-one, middle=0.0 * one[0], high=one)


def said_of(rule: Rule, score: np.ndarray, horizon: int = 1) -> np.ndarray:
    band = unit_band(len(score), score.shape[1])
    return calibrate(rule, band, score[:, :, None], horizons=(horizon,)).multiple[0, :, 0]


def streamed(rule: Rule, law: StudentT, came: np.ndarray, *, rest_at: int = -1) -> Intervals:
    live = Calibrator(rule, HORIZONS, coins=came.shape[1], levels=(0.8, 0.9))
    parts = []
    for t in range(len(came)):
        if t == rest_at:
            saved = live.state()
            live = Calibrator(rule, HORIZONS, coins=came.shape[1], levels=(0.8, 0.9))
            live.restore(saved)
        known = [
            came[t - h, :, k] if t >= h else np.full(came.shape[1], np.nan) for k, h in enumerate(HORIZONS)
        ]
        live.update(np.stack(known, axis=1))
        parts.append(live.interval(law[t : t + 1]))
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("low", "high", "multiple", "at_clip")
    }
    return Intervals(**arrays)


def assert_same(one: Intervals, other: Intervals) -> None:
    for name in ("low", "high", "multiple", "at_clip"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@every_rule
def test_bar_by_bar_says_exactly_what_the_batch_says(name: str, rng: np.random.Generator) -> None:
    law, came = law_of(150, 3, rng), outcomes(150, 3, rng)

    whole = calibrate(RULES[name], Band.of(law, (0.8, 0.9)), came, horizons=HORIZONS)

    assert_same(streamed(RULES[name], law, came), whole)
    assert len(np.unique(whole.multiple)) > 2


@every_rule
@pytest.mark.parametrize("rest_at", [0, 20, 41, 100])
def test_a_saved_calibrator_goes_on_with_the_same_bits(
    name: str, rest_at: int, rng: np.random.Generator
) -> None:
    law, came = law_of(120, 2, rng), outcomes(120, 2, rng)

    assert_same(streamed(RULES[name], law, came, rest_at=rest_at), streamed(RULES[name], law, came))


@every_rule
@settings(max_examples=20, deadline=None)
@given(row=st.integers(0, 149), column=st.integers(0, 2), seed=st.integers(0, 1_000))
def test_an_outcome_matters_from_the_row_at_which_it_is_known(
    name: str, row: int, column: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    law, came = law_of(150, 2, rng), outcomes(150, 2, rng)
    other = came.copy()
    other[row, :, column] = np.where(np.abs(came[row, :, column]) > 2.0, 0.0, 50.0)

    one, two = (calibrate(RULES[name], Band.of(law), c, horizons=HORIZONS).multiple for c in (came, other))

    known_at = row + HORIZONS[column]
    np.testing.assert_array_equal(one[:, :known_at], two[:, :known_at])


@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_first_row_that_may_know_an_outcome_does(column: int, rng: np.random.Generator) -> None:
    law, came = law_of(150, 2, rng), outcomes(150, 2, rng)
    came[60, :, column] = 0.0
    other = came.copy()
    other[60, :, column] = 50.0

    one, two = (calibrate(PID(), Band.of(law), c, horizons=HORIZONS).multiple for c in (came, other))

    assert np.flatnonzero((one != two)[0, :, column])[0] == 60 + HORIZONS[column]


def test_a_score_is_the_distance_over_that_of_the_intervals_end() -> None:
    low, middle, high = np.array([-1.0]), np.array([1.0]), np.array([5.0])

    told = [
        scores(np.array([came]), low, middle, high).item() for came in (5.0, -1.0, 3.0, -5.0, 13.0, np.nan)
    ]

    assert told[:5] == [1.0, 1.0, 0.5, 3.0, 3.0]
    assert np.isnan(told[5])


def test_a_law_without_width_is_missed_by_whatever_is_not_its_point() -> None:
    point = np.array([1.0])

    assert scores(np.array([1.5]), point, point, point).item() == np.inf


def test_intervals_reach_a_multiple_as_far_on_each_side(rng: np.random.Generator) -> None:
    law = law_of(60, 2, rng)
    found = calibrate(PID(), Band.of(law), outcomes(60, 2, rng), horizons=HORIZONS)

    half = law.scale * stats.t.ppf(0.95, 5.0)

    np.testing.assert_allclose(found.high[0], law.loc + found.multiple[0][:, None] * half, rtol=1e-12)
    np.testing.assert_allclose(found.low[0], law.loc - found.multiple[0][:, None] * half, rtol=1e-12)


def test_a_split_quantile_is_the_score_of_its_rank() -> None:
    score = np.array([3.0, 1.0, np.nan, 9.0, 7.0, 5.0, 2.0, 8.0, 4.0, 6.0])  # nine of them: 1 to 9

    assert [split_quantile(score, level) for level in (0.5, 0.75, 0.9)] == [5.0, 8.0, 9.0]
    assert split_quantile(score, 0.91) == np.inf


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60, unique=True), st.floats(0.05, 0.95))
def test_a_split_quantile_covers_its_share_of_the_scores_and_one_more(
    found: list[float], level: float
) -> None:
    quantile = split_quantile(np.array(found), level)

    assert sum(score <= quantile for score in found) == min(ceil((len(found) + 1) * level - 1e-9), len(found))


def test_static_intervals_are_the_laws_own_until_enough_is_known_and_frozen_ever_after() -> None:
    score = np.concatenate([np.arange(1.0, 20.0), np.full(30, 1_000.0)])[:, None]

    said = said_of(Static(rows=19), score, horizon=2)

    assert (said[: 19 + 1] == 1.0).all()  # the score of row 18 is known at row 20
    assert (said[20:] == 18.0).all()


def test_too_few_scores_for_a_quantile_stand_at_the_clip_and_say_so() -> None:
    found = calibrate(Static(rows=5), unit_band(12), np.ones((12, 1, 1)), horizons=(1,))

    assert found.multiple[0, -1, 0] == MOST
    assert found.at_clip[0, :, 0].tolist() == [False] * 5 + [True] * 7


@pytest.mark.parametrize("level", [0.01, 0.3, 0.5, 0.9, 0.95, 0.9995])
def test_the_reference_is_a_t_law_with_four_degrees_of_freedom(level: float) -> None:
    np.testing.assert_allclose(reference_reach(level), stats.t.ppf(0.5 + 0.5 * level, 4), rtol=1e-10)


@pytest.mark.parametrize("horizon", [1, 3])
def test_aci_is_the_published_recursion(horizon: int, rng: np.random.Generator) -> None:
    score, step, alpha, level = np.abs(rng.standard_t(3, size=(300, 4))), 0.01, 0.1, 0.9
    expected = []
    for t in range(300):
        missed = [(score[t - horizon] > expected[t - horizon]).mean()] if t >= horizon else []
        level = level + sum(step * (m - alpha) for m in missed)
        expected.append(stats.t.ppf(0.5 + 0.5 * min(level, 0.9995), 4) / stats.t.ppf(0.95, 4))

    np.testing.assert_allclose(said_of(ACI(step=step), score, horizon), expected, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 3.0), min_size=5, max_size=400), st.sampled_from([0.002, 0.02, 0.2]))
def test_aci_keeps_its_published_bound_whatever_comes(found: list[float], step: float) -> None:
    score = np.array(found)[:, None]

    missed = (score[:, 0] > said_of(ACI(step=step), score)).mean()

    assert abs(missed - 0.1) <= (0.9 + step) / (step * len(score)) + 1e-12


def test_pid_is_its_recursion_written_out(rng: np.random.Generator) -> None:
    score, alpha, tracked, debt = np.abs(rng.standard_t(3, size=(300, 4))), 0.1, 0.0, 0.0
    said, own = [], []
    for t in range(300):
        debt += sum([(score[t - 1] > said[t - 1]).mean() - alpha] if t else [])
        tracked += sum([0.04 * ((score[t - 1] > own[t - 1]).mean() - alpha)] if t else [])
        own.append(exp(tracked))
        said.append(exp(tracked + 0.2 * tan(debt / 6.0)))

    np.testing.assert_allclose(said_of(PID(), score), said, rtol=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.06, 18.0), min_size=5, max_size=400), st.sampled_from([1, 4]))
def test_pid_keeps_its_bound_whatever_comes(found: list[float], horizon: int) -> None:
    score, rule = np.array(found)[:, None], PID()

    missed = score[:, 0] > said_of(rule, score, horizon)

    assert abs(missed.sum() - 0.1 * len(score)) <= (rule.reach * pi / 2.0 + 2.0) * horizon


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.14, 7.3), min_size=5, max_size=400), st.sampled_from([0.02, 0.2]))
def test_the_quantile_tracker_alone_keeps_its_published_bound(found: list[float], step: float) -> None:
    score = np.array(found)[:, None]

    missed = (score[:, 0] > said_of(PID(step=step, gain=0.0), score)).mean()

    assert abs(missed - 0.1) <= (2.0 + step) / (step * len(score)) + 1e-12  # |log score| <= 2


def test_longer_horizons_follow_the_shortest_once_it_has_clearly_moved() -> None:
    rows = 200
    one = np.ones((1, rows, 1, 2))
    came = np.stack([np.full((rows, 1), 3.0), np.full((rows, 1), np.nan)], axis=-1)

    multiple = calibrate(
        PID(), Band(levels=(0.9,), low=-one, middle=0 * one[0], high=one), came, horizons=(1, 24)
    ).multiple[0]

    assert multiple[6, 1] == 1.0  # .04 x .9 a row: five rows are noise
    assert multiple[-1, 1] > 2.0


def test_no_width_is_infinite_even_if_nothing_is_ever_covered() -> None:
    came = np.full((3_000, 2, 1), 1e9)
    found = [calibrate(rule, unit_band(3_000, 2), came, horizons=(1,)) for rule in (ACI(), PID())]

    assert max(f.multiple.max() for f in found) <= MOST
    assert all(f.at_clip[0, -1, 0] for f in found)


@every_rule
def test_rows_without_outcomes_teach_nothing(name: str) -> None:
    came = np.full((100, 2, 3), np.nan)
    law = law_of(100, 2, np.random.default_rng(1))

    assert (calibrate(RULES[name], Band.of(law), came, horizons=HORIZONS).multiple == 1.0).all()


def test_after_a_tripling_of_volatility_pid_covers_again_and_static_does_not(
    rng: np.random.Generator,
) -> None:
    score = np.abs(rng.normal(size=(4_000, 5))) / stats.norm.ppf(0.95)
    score[2_000:] *= 3.0

    after = {
        name: (score <= said_of(rule, score)[:, None])[2_000:2_500].mean() for name, rule in RULES.items()
    }

    assert after["static"] < 0.65
    assert 0.88 < after["pid"] < 0.91


def test_a_law_of_the_wrong_shape_is_refused(rng: np.random.Generator) -> None:
    live = Calibrator(PID(), HORIZONS, coins=2)

    with pytest.raises(DataError, match="takes one row of them at a time"):
        live.interval(law_of(2, 2, rng))


def test_a_state_of_other_settings_is_refused() -> None:
    saved = Calibrator(PID(), HORIZONS, coins=2).state()

    with pytest.raises(DataError, match="do not fit"):
        Calibrator(PID(), HORIZONS, coins=3).restore(saved)
    with pytest.raises(DataError, match="do not fit"):
        Calibrator(ACI(), HORIZONS, coins=2).restore(saved)


def watched(missed: np.ndarray, **settings: float) -> tuple[CoverageMonitor, list[Seen]]:
    """The monitor after all rows, and what it said after every 50th and at the end."""
    monitor, seen = CoverageMonitor(Watch(**settings)), []  # type: ignore[arg-type]
    for part in np.array_split(missed, range(50, len(missed), 50)):
        for row in part:
            monitor.update(1.0 - row)
        seen.append(monitor.seen())
    return monitor, seen


def clustered(rng: np.random.Generator, rows: int, share: float, horizon: int) -> np.ndarray:
    """Misses of five coins that have a common cause, and that overlap over a horizon."""
    shock = rng.normal(size=(rows + horizon - 1, 1)) * 0.7 + rng.normal(size=(rows + horizon - 1, 5)) * 0.71
    summed = np.cumsum(np.vstack([np.zeros((1, 5)), shock]), axis=0)
    size = np.abs(summed[horizon:] - summed[:-horizon]) / np.sqrt(horizon * (0.49 + 0.5041))
    return (size > stats.norm.ppf(1.0 - share / 2.0)).astype(float)


@pytest.mark.parametrize("horizon", [1, 4])
def test_alarms_are_rare_while_coverage_is_as_it_should_be(horizon: int) -> None:
    rngs = [np.random.default_rng(seed) for seed in range(8)]

    alarmed = [
        any(seen.word is not Coverage.AS_IT_SHOULD_BE for seen in watched(missed, horizon_bars=horizon)[1])
        for missed in (clustered(rng, 1_500, 0.1, horizon) for rng in rngs)
    ]

    assert sum(alarmed) <= 1


@pytest.mark.parametrize(
    ("horizon", "share", "side"), [(1, 0.3, "too narrow"), (4, 0.3, "too narrow"), (1, 0.01, "too wide")]
)
def test_broken_coverage_is_called_so_with_its_side(
    horizon: int, share: float, side: str, rng: np.random.Generator
) -> None:
    _, seen = watched(clustered(rng, 1_500, share, horizon), horizon_bars=horizon)

    assert seen[-1].word is Coverage.BROKEN
    assert side in seen[-1].reading


def test_a_monitor_comes_back_when_coverage_does(rng: np.random.Generator) -> None:
    missed = np.vstack([clustered(rng, 600, 0.4, 1), clustered(rng, 3_000, 0.1, 1)])

    _, seen = watched(missed)

    assert seen[11].word is Coverage.BROKEN
    assert seen[-1].word is Coverage.AS_IT_SHOULD_BE


def test_coins_that_miss_together_count_as_one(rng: np.random.Generator) -> None:
    one = (rng.random((400, 1)) < 0.2).astype(float)

    (_, alone), (_, many) = watched(one), watched(np.repeat(one, 9, axis=1))

    assert many[-1] == alone[-1]


def test_a_bet_is_worked_by_hand() -> None:
    _, seen = watched(np.ones((2, 3)), drifting_every_bars=100.0)

    wealth = np.mean([(1.0 + bet * (1.0 - 0.12) / 0.12) ** 2 for bet in (0.05, 0.1, 0.2, 0.4)])

    assert seen[-1].narrow == pytest.approx(wealth / 200.0)


def test_overlapping_outcomes_are_bet_on_in_blocks_that_share_nothing() -> None:
    zeros = np.zeros((8, 1))
    between = zeros.copy()
    between[4:7] = 1.0  # rows 4 to 6 overlap with the block of rows 0 to 3

    (one, _), (two, _) = watched(zeros, horizon_bars=4), watched(between, horizon_bars=4)

    np.testing.assert_array_equal(one.state()["wealth"], two.state()["wealth"])


def test_a_saved_monitor_goes_on_alike(rng: np.random.Generator) -> None:
    missed = clustered(rng, 300, 0.2, 4)
    first, _ = watched(missed[:101], horizon_bars=4)
    second = CoverageMonitor(Watch(horizon_bars=4))
    second.restore(first.state())
    for row in missed[101:]:
        second.update(1.0 - row)

    assert second.seen() == watched(missed, horizon_bars=4)[1][-1]


def test_nothing_known_is_said_to_be_nothing() -> None:
    _, seen = watched(np.full((3, 2), np.nan))

    assert (seen[-1].bars, seen[-1].reading) == (0, "No outcome is known yet.")


@lru_cache(maxsize=1)
def too_narrow() -> Case:
    """A forecaster whose intervals are a third too narrow."""
    market = open_market(SMALL)
    folds, rows = market.folds(), market.folds()[0].test.start
    panel = market.panel[rows : folds[-1].test.stop]
    scale = np.repeat(0.5 * panel.volatility[:, :, None], 2, axis=2) * np.sqrt([1.0, 4.0])
    law = StudentT(loc=np.zeros_like(scale), scale=scale, df=np.full_like(scale, 5.0))
    said = Forecast(
        model="narrow", closed_at=panel.closed_at, symbols=panel.symbols, horizons=(1, 4), law=law
    )
    return case_of(market, Walk(folds=folds, fitted=({}, {}), forecasts={"narrow": said}), "narrow")


def test_the_section_says_what_the_scores_say_and_what_adapting_gains() -> None:
    case = too_narrow()
    told = section(case)
    rows = {(row[0], row[1]): row for row in told.tables[0].rows}

    own = coverage(case.forecast, case.truth, (0.9,))

    assert rows[1, "as forecast"][2] == pytest.approx(own[1][0.9])
    assert rows[4, "as forecast"][2] == pytest.approx(own[4][0.9])
    assert own[1][0.9] < 0.8
    assert abs(float(rows[1, "conformal PID"][2] or 0.0) - 0.9) < 0.01
    assert float(rows[1, "conformal PID"][4] or 0.0) < -5.0  # Winkler, %
    assert f"1 bar ahead {own[1][0.9]:.1%}" in told.reading


def test_the_section_has_a_row_per_horizon_and_way_and_charts_that_can_be_drawn() -> None:
    told = section(too_narrow())

    assert [table.name for table in told.tables] == [
        "coverage", "coverage_by_quarter", "coverage_by_fifth", "coverage_by_level",
    ]  # fmt: skip
    assert {len(row) == len(table.columns) for table in told.tables for row in table.rows} == {True}
    assert [len(table.rows) for table in told.tables[:1]] == [8]
    assert {len(s.x) == len(s.y) for chart in told.charts for s in chart.series} == {True}
