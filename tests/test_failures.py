"""Where it fails, told by sections: planted faults are found, and every section stands for any study."""

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.tsa.stattools import acf

from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import volatility_over
from longshort.study.case import Case
from longshort.study.evidence import direction, failures, point, ranking, risk, seeds, volatility
from longshort.study.evidence.calendar import hours, quarters, weekdays
from longshort.study.evidence.gains import apart, hardest
from longshort.study.evidence.residuals import autocorrelation, residual_memory
from longshort.study.evidence.splits import HINDSIGHT, parts, splits_of
from longshort.study.evidence.worst import percentile, worst_bars
from longshort.study.metrics import mean_loss
from longshort.study.section import Section, Table

from .judged import case_of, judged, with_forecasts

TOPICS = {
    "point": point,
    "direction": direction,
    "volatility": volatility,
    "ranking": ranking,
    "risk": risk,
    "failures": failures,
    "seeds": seeds,
}
every_topic = pytest.mark.parametrize("topic", TOPICS)


@pytest.fixture(scope="module")
def walked() -> Case:
    return judged()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def said(
    case: Case, name: str, *, loc: np.ndarray | float = 0.0, scale: np.ndarray | float = 1.0
) -> Forecast:
    """A forecast with the causal volatility as scale, times what is given."""
    unit = volatility_over(case.panel, case.forecast.horizons)
    law = StudentT(loc=loc * unit, scale=0.75 * unit * scale, df=np.full(unit.shape, 4.0))
    return replace(case.forecast, model=name, law=law)


def against(case: Case, mine: Forecast, theirs: Forecast) -> Case:
    return with_forecasts(case, {mine.model: mine, theirs.model: theirs}, mine.model)


def column(table: Table, name: str) -> list[object]:
    place = [c.name for c in table.columns].index(name)
    return [row[place] for row in table.rows]


def table_of(section: Section, name: str) -> Table:
    return next(table for table in section.tables if table.name == name)


@every_topic
def test_a_section_tells_what_was_found_in_tables_that_fit_their_columns(walked: Case, topic: str) -> None:
    section = TOPICS[topic].section(walked)

    assert (section.key, section.missing) == (topic, "")
    assert section.reading.endswith((".", ")"))
    assert "nan" not in section.reading
    assert section.tables
    assert all(len(row) == len(table.columns) for table in section.tables for row in table.rows)
    assert len({table.name for table in section.tables}) == len(section.tables)
    assert all(chart.reading and chart.series for chart in section.charts)


@every_topic
def test_a_section_stands_for_a_model_that_says_nothing(walked: Case, topic: str) -> None:
    nothing = np.full(walked.truth.outcome.shape, np.nan)
    silent = replace(walked.forecast, model="silent", law=StudentT(loc=nothing, scale=nothing, df=nothing))

    section = TOPICS[topic].section(with_forecasts(walked, {"silent": silent}, "silent"))

    assert section.missing.endswith(".")


@every_topic
def test_a_section_stands_for_one_coin_without_an_opponent(walked: Case, topic: str) -> None:
    only = said(walked, "only", loc=0.01)
    hidden = np.where(np.arange(4) == 0, 0.0, np.nan)[None, :, None]
    law = StudentT(
        loc=only.law.mean() + hidden,
        scale=np.sqrt(only.law.variance() / 2.0) + hidden,
        df=hidden + 4.0 * np.ones(only.law.mean().shape),
    )

    section = TOPICS[topic].section(with_forecasts(walked, {"only": replace(only, law=law)}, "only"))

    assert section.reading or section.missing


def test_an_hour_that_was_spoilt_is_named(walked: Case) -> None:
    at_five = hours(walked.panel.closed_at)[0] == 5
    mine = said(walked, "mine", scale=np.where(at_five, 2.0, 1.0)[:, None, None])
    case = against(walked, mine, said(walked, "theirs", scale=1.4))

    section = failures.section(case)

    assert "Measured against theirs." in section.reading
    assert "(least: 05:00 (" in section.reading
    by_hour = table_of(section, "by_hour")
    gains = dict(zip(column(by_hour, "where")[:24], column(by_hour, "CRPS gain")[:24], strict=True))
    assert min(gains, key=lambda hour: gains[hour]) == "05:00"


def test_a_coin_that_was_spoilt_is_lost_beyond_doubt(walked: Case) -> None:
    second = np.arange(4) == 1
    mine = said(walked, "mine", scale=np.where(second, 2.0, 1.0)[None, :, None])

    section = failures.section(against(walked, mine, said(walked, "theirs", scale=1.4)))

    assert f"loses beyond doubt in {walked.forecast.symbols[1]} (" in section.reading


def test_a_coin_that_was_forecast_better_is_named(walked: Case) -> None:
    first = np.arange(4) == 0
    theirs = said(walked, "theirs", scale=np.where(first, 3.0, 1.1)[None, :, None])

    section = failures.section(against(walked, said(walked, "mine"), theirs))

    chart = next(chart for chart in section.charts if chart.name == "by_coin")
    assert f"gains most in {walked.forecast.symbols[0]} (" in chart.reading
    assert "Groups differ most between " + walked.forecast.symbols[0] in section.reading
    assert "more than luck" in section.reading


def test_groups_of_each_split_hold_every_scored_row_once(walked: Case) -> None:
    case = against(walked, said(walked, "mine"), said(walked, "theirs", scale=1.1))
    splits = {split.key: split for split in splits_of(case)}

    assert list(splits) == [
        "by_volatility", "by_trend", "by_hour", "by_weekday", "by_coin", "by_liquidity", HINDSIGHT, "by_quarter",
    ]  # fmt: skip
    for key in ("by_hour", "by_coin", "by_quarter", HINDSIGHT):
        shares = [g.share for g in failures.gains_of(case, "theirs", splits[key]) if g.horizon == 4]
        assert sum(shares) == pytest.approx(1.0)


def test_parts_of_what_was_known_do_not_depend_on_what_came(walked: Case) -> None:
    case = against(walked, said(walked, "mine"), said(walked, "theirs", scale=1.1))
    other = replace(case, truth=replace(case.truth, outcome=case.truth.outcome[::-1]))

    changed = [
        a.key
        for a, b in zip(splits_of(case), splits_of(other), strict=True)
        if not all(np.array_equal(x, y) for x, y in zip(a.codes, b.codes, strict=True))
    ]

    assert changed == [HINDSIGHT]


def test_parts_are_of_equal_size_per_coin_or_all_together(rng: np.random.Generator) -> None:
    value = rng.normal(size=(1_000, 2)) * [1.0, 100.0]
    value[:50, 1] = np.nan

    own, pooled = parts(value, 5), parts(np.abs(value), 5, pooled=True)

    assert np.bincount(own[:, 0]).tolist() == [200] * 5
    assert (own[:50, 1] == -1).all()
    assert set(pooled[50:, 1].tolist()) > {4}
    assert (pooled[:, 0] <= 2).all()


def test_the_worst_bar_is_the_one_that_was_planted(walked: Case) -> None:
    scale = np.ones(walked.truth.outcome.shape)
    t, a = 200, 2
    scale[t, a, 0] = 0.02
    case = against(walked, said(walked, "mine", scale=scale), said(walked, "theirs"))

    table = worst_bars(case, "theirs")

    assert (column(table, "coin")[0], column(table, "close")[0]) == (
        walked.forecast.symbols[a],
        int(walked.panel.closed_at[t]),
    )
    assert len(table.rows) == 1
    assert column(table, "came")[0] == walked.truth.outcome[t, a, 0]


def test_of_overlapping_bad_rows_only_the_worst_is_shown(walked: Case) -> None:
    scale = np.ones(walked.truth.outcome.shape)
    scale[200:208, 1, 1] = 0.02
    case = against(walked, said(walked, "mine", scale=scale), said(walked, "theirs"))

    instants = column(worst_bars(case, "theirs"), "close")

    assert 2 <= len(instants) <= 3
    assert min(np.diff(sorted(instants))) >= 4 * 3_600 * 10**9


def test_autocorrelation_agrees_with_statsmodels(rng: np.random.Generator) -> None:
    value = np.convolve(rng.normal(size=503), [1.0, 0.7, 0.2, -0.3], "valid")

    found = autocorrelation(value[:, None], 20)

    np.testing.assert_allclose(found, acf(value, nlags=20, adjusted=False, fft=False)[1:], rtol=1e-10)


def test_errors_that_remember_are_seen_and_those_of_the_law_are_not(
    walked: Case, rng: np.random.Generator
) -> None:
    case = against(walked, said(walked, "mine"), said(walked, "theirs"))
    drawn = rng.standard_t(4.0, size=case.truth.outcome.shape)
    remembered = drawn + np.roll(drawn, 1, axis=0)
    outcomes = [
        np.where(np.isnan(case.truth.outcome), np.nan, z * case.forecast.law.scale)
        for z in (drawn, remembered)
    ]
    fair, bound = (replace(case, truth=replace(case.truth, outcome=outcome)) for outcome in outcomes)

    (fair_memory, _), (bound_memory, _) = residual_memory(fair), residual_memory(bound)

    assert np.mean(np.abs(fair_memory.scores) > fair_memory.band) < 0.1
    assert bound_memory.scores[0] > 0.4


def test_seeds_alone_are_told_beside_their_mean_and_never_ranked(walked: Case) -> None:
    section = seeds.section(walked)

    table = table_of(section, "seeds")
    names = column(table, "seed")[:5]
    gains = np.array(column(table, "CRPS gain")[:5], dtype=float)
    assert names == ["1", "2", "mean of seeds", "spread (std)", "all together"]
    assert gains[2] == pytest.approx(gains[:2].mean())
    assert gains[3] == pytest.approx(gains[:2].std(ddof=1))
    assert "best" not in section.reading


def test_all_seeds_together_are_the_model(walked: Case) -> None:
    alone, folds = seeds.seeds_alone(walked)

    rows = ~np.isnan(alone[-1].crps)
    assert folds == 2
    np.testing.assert_array_equal(alone[-1].crps[rows], walked.losses[walked.model]["crps"][rows])
    assert mean_loss(alone[0].crps[..., 0]) != mean_loss(alone[1].crps[..., 0])


def test_a_model_without_seeds_says_so(walked: Case) -> None:
    section = seeds.section(against(walked, said(walked, "mine"), said(walked, "theirs", scale=1.1)))

    assert [table.name for table in section.tables] == ["folds"]
    assert "no seeds to take apart" in section.reading


def test_the_hardest_opponent_speaks_at_most_rows(walked: Case) -> None:
    close, far = said(walked, "close", scale=1.2), said(walked, "far", scale=3.0)
    seldom = replace(said(walked, "seldom"), law=with_gaps(said(walked, "seldom").law, every=24))
    case = with_forecasts(
        walked, {"mine": said(walked, "mine"), "far": far, "seldom": seldom, "close": close}, "mine"
    )

    assert hardest(case) == "close"
    assert hardest(with_forecasts(walked, {"mine": said(walked, "mine")}, "mine")) is None


def with_gaps(law: StudentT, *, every: int) -> StudentT:
    spoken = (np.arange(len(law.loc)) % every == 0)[:, None, None]
    return StudentT(
        loc=np.where(spoken, law.loc, np.nan), scale=np.where(spoken, law.scale, np.nan), df=law.df
    )


@every_topic
def test_a_rival_that_speaks_once_a_day_is_no_obstacle(walked: Case, topic: str) -> None:
    seldom = replace(said(walked, "seldom"), law=with_gaps(said(walked, "seldom", loc=0.1).law, every=24))
    forecasts = {**walked.walk.forecasts, "seldom": seldom}

    section = TOPICS[topic].section(with_forecasts(walked, forecasts, walked.model))

    assert section.reading


def test_rows_apart_do_not_overlap(walked: Case) -> None:
    places = apart(walked, 4)

    assert np.all(np.diff(walked.panel.grid_row[places]) >= 4)
    assert np.all(walked.panel.grid_row[places] % 4 == 0)


def test_understated_tails_are_told(walked: Case) -> None:
    section = risk.section(against(walked, said(walked, "mine", scale=0.5), said(walked, "theirs")))

    assert "Risk is understated (Z2 below 0) in 8:" in section.reading


def test_realised_variance_is_the_sum_of_squares_and_unknown_across_holes() -> None:
    returns = np.array([[1.0], [2.0], [np.nan], [3.0], [1.0], [2.0]])

    found = volatility.realised_variance(returns, np.array([0, 1, 2, 3, 5, 6]), 2)

    np.testing.assert_array_equal(found.ravel(), [np.nan, np.nan, np.nan, np.nan, np.nan, np.nan])
    whole = volatility.realised_variance(np.nan_to_num(returns), np.array([0, 1, 2, 3, 5, 6]), 2)
    np.testing.assert_array_equal(whole.ravel(), [4.0, 9.0, np.nan, np.nan, np.nan, np.nan])


def test_times_are_told_in_utc() -> None:
    closed_at = np.array([0, 86_400 * 10**9 + 5 * 3_600 * 10**9], dtype=np.int64)

    assert [weekdays(closed_at)[1][d] for d in weekdays(closed_at)[0]] == ["Thu", "Fri"]
    assert hours(closed_at)[0].tolist() == [0, 5]
    assert quarters(closed_at)[1] == ("1970 Q1",)


def test_a_percentile_ranks_within_its_coin() -> None:
    assert percentile(np.array([[1.0, 9.0], [2.0, 8.0]])).tolist() == [[0.5, 1.0], [1.0, 0.5]]


def test_the_section_of_a_case_is_the_same_every_time(walked: Case) -> None:
    again = case_of(walked.market, walked.walk)

    assert risk.section(walked) == risk.section(again)
