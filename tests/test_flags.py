"""Red flags: raised on what a careful reader would ask about, silent on honest work; and who is beaten by whom."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.models.forecast import StudentT
from longshort.models.opponents.naive import PreviousValue
from longshort.models.opponents.scale import scale_models
from longshort.study.case import Case
from longshort.study.evaluate import case_of
from longshort.study.evidence.concentration import carried_by_days, carried_by_one, is_notable, profit_by_coin
from longshort.study.evidence.flags import (
    coverage_off,
    few_instants,
    flags,
    high_sharpe,
    hindsight,
    seeds_apart,
    tries,
)
from longshort.study.evidence.plausible import implausible, much_better, repeated
from longshort.study.evidence.rivals import duel, section, told_pairs
from longshort.study.evidence.together import fields_at
from longshort.study.market import Market
from longshort.study.report import Comparison, Verdict, Word
from longshort.study.verdict import compare
from longshort.study.walk import Walk, past_of

HAR, HORIZONS = "HAR-t", (1, 4)
USUAL = Comparison(
    question="density",
    horizon_bars=1,
    opponent="har",
    metric="crps",
    skill=0.4,
    unit="% of CRPS",
    ci95=(0.1, 0.7),
    p_value=0.001,
    n_instants=10_000,
    n_coins=9,
)
WON = Verdict(
    question="profit", horizon_bars=4, word=Word.BEATS, p_value=0.02, hardest=USUAL, bars_to_decide=None
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


@pytest.fixture(scope="module")
def case() -> Case:
    """A judged walk in which HAR stands for the model, and one opponent speaks once a day."""
    study = Study.parse(
        {"data": {"source": "embedded"}, "target": {"horizons": HORIZONS}, "validation": {"folds": 2}}
    )
    market = Market.of(study, simulate_market(2, 3_500, seed=4).bars)
    fitted = []
    for fold in market.folds():
        past = past_of(market, fold)
        fitted.append({m.name: m.fit(past) for m in (*scale_models(HORIZONS), PreviousValue(HORIZONS))})
    whole = {
        name: fitted[0][name].predict(market.panel, market.folds()[0].test).join(
            fitted[1][name].predict(market.panel, market.folds()[1].test)
        )
        for name in fitted[0]
    }  # fmt: skip
    law, daily = whole["EWMA-t"].law, np.arange(len(whole[HAR]))[:, None, None] % 24 == 0
    seldom = StudentT(loc=law.loc, scale=np.where(daily, law.scale, np.nan), df=law.df)
    whole["slow"] = replace(whole["EWMA-t"], model="slow", law=seldom)
    return case_of(market, Walk(folds=market.folds(), fitted=tuple(fitted), forecasts=whole), HAR)


def returns_of(rng: np.random.Generator, rows: int = 4_000, coins: int = 2) -> np.ndarray:
    return 0.01 * rng.standard_t(5, size=(rows, coins, 1))


AXES = (("BTC", "ETH"), (1,))


def test_an_honest_study_raises_no_flag_but_that_of_an_unproved_count(case: Case) -> None:
    names = {flag.name for flag in flags(case)}

    assert names <= {"few tries on record"}


def test_a_study_without_an_account_or_a_single_win_is_flagged_for_nothing(case: Case) -> None:
    money = replace(case.money, ledgers={})

    assert flags(replace(case, money=money, verdicts=())) == ()


def test_forecasts_that_know_the_future_are_called_so(rng: np.random.Generator) -> None:
    came = returns_of(rng)
    known = 0.5 * came + 0.01 * rng.normal(size=came.shape)

    (flag,) = implausible(known, came, np.arange(4_000), AXES)

    assert flag.severity == "serious"
    assert flag.seen.startswith("BTC, 1 bar ahead: rank correlation 0.")
    assert "longshort audit" in flag.meaning


@pytest.mark.parametrize("seed", range(10))
def test_forecasts_with_a_published_edge_are_plausible(seed: int) -> None:
    rng = np.random.default_rng(seed)
    came = returns_of(rng)
    mean = 0.06 * came + 0.01 * rng.normal(size=came.shape)

    assert implausible(0.05 * mean, came, np.arange(4_000), AXES) == []


def test_a_forecast_that_states_no_mean_is_not_judged_on_it(rng: np.random.Generator) -> None:
    came = returns_of(rng)

    assert implausible(np.zeros_like(came), came, np.arange(4_000), AXES) == []
    assert repeated(np.zeros_like(came), came, (1,)) == []


def test_a_skill_beyond_any_published_one_is_asked_about() -> None:
    far = replace(USUAL, skill=14.0, ci95=(12.0, 16.0))

    assert [flag.name for flag in much_better([far])] == ["far above every opponent"]
    assert much_better([far, USUAL]) == []
    assert much_better([replace(far, ci95=(-20.0, 48.0))]) == []


def test_a_forecast_that_repeats_the_last_return_is_told_from_one_that_uses_it(
    rng: np.random.Generator,
) -> None:
    came = returns_of(rng)
    before = np.concatenate([np.zeros((1, 2, 1)), came[:-1]])
    reversing = came - 0.2 * before

    (flag,) = repeated(before, came, (1,))

    assert "+1.00 with the return known 1 bar before" in flag.seen
    assert repeated(-0.2 * before, reversing, (1,)) == []
    assert repeated(0.1 * before + 0.01 * rng.normal(size=came.shape), came, (1,)) == []


def test_the_season_of_a_seasonal_naive_forecast_is_found(rng: np.random.Generator) -> None:
    came = returns_of(rng)
    six = np.concatenate([np.full((6, 2, 1), np.nan), came[:-6]])

    (flag,) = repeated(six, came, (1,))

    assert "the return known 6 bars before" in flag.seen


def test_intervals_far_off_are_told_with_their_side(rng: np.random.Generator) -> None:
    came = rng.normal(size=(3_000, 3, 2))
    right, narrow, wide = stats.norm.cdf(came), stats.norm.cdf(1.5 * came), stats.norm.cdf(came / 1.5)

    assert coverage_off(right, (1, 4)) == []
    assert [f.meaning.split(":")[0] for f in coverage_off(narrow, (1, 4))] == ["It is too narrow"] * 2
    assert {f.severity for f in coverage_off(narrow, (1, 4))} == {"serious"}
    assert [f.severity for f in coverage_off(wide, (1, 4))] == ["warning", "warning"]


def test_a_short_span_with_a_poor_coverage_by_luck_is_no_flag(rng: np.random.Generator) -> None:
    lasting = np.repeat(rng.normal(size=(6, 1, 1)), 50, axis=0)

    assert coverage_off(stats.norm.cdf(1.3 * lasting), (1,)) == []


def test_a_span_on_which_little_can_be_found_is_told(rng: np.random.Generator) -> None:
    came = rng.normal(size=(700, 2, 2))
    came[616:, :, 0] = np.nan

    (flag,) = few_instants(came, (1, 24), "coins")

    assert flag.seen == "616 instants are scored 1 bar ahead, over 2 coins."
    assert few_instants(came, (24, 1), "coins") == []


def test_617_bars_find_a_hit_rate_of_55_per_cent_with_80_per_cent_power() -> None:
    needed = stats.binom.ppf(0.95, 617, 0.5) + 1

    assert stats.binom.sf(needed - 1, 617, 0.55) == pytest.approx(0.80, abs=0.02)


def test_a_win_that_many_tries_would_explain_is_told_with_their_number() -> None:
    (first,) = tries([WON], 1)
    (many,) = tries([WON], 12)
    (very_many,) = tries([], 400)

    assert first.name == "few tries on record"
    assert "no more than 2 were tried" in first.meaning
    assert (many.name, "p is 0.24" in many.meaning) == ("won by trying", True)
    assert very_many.name == "very many tries"


@pytest.mark.parametrize("verdict", [replace(WON, p_value=1e-6), replace(WON, word=Word.INCONCLUSIVE)])
def test_a_sure_win_and_no_win_need_no_count(verdict: Verdict) -> None:
    assert tries([verdict], 1) == tries([verdict], 40) == []


def test_a_universe_of_survivors_is_told_and_one_with_its_dead_is_not() -> None:
    alive = np.ones((1_000, 9), dtype=bool)
    dead, late = alive.copy(), alive.copy()
    dead[700:, 3] = False
    late[:600, 8] = False

    (survivors,) = hindsight(alive, 400, 2.0, "coins")
    (newcomer,) = hindsight(late & dead, 400, 2.0, "coins")

    assert survivors.seen == "All 9 coins still trade at the end of 2.0 years."
    assert newcomer.seen == "1 of 9 coins were not yet listed when testing began."
    assert hindsight(dead, 400, 2.0, "coins") == []
    assert hindsight(alive[:, :3], 400, 2.0, "coins") == []
    assert hindsight(alive, 400, 0.5, "coins") == []


def test_a_sharpe_ratio_that_luck_explains_is_no_flag() -> None:
    assert [flag.name for flag in high_sharpe(4.0, 1.0)] == ["Sharpe ratio above 3"]
    assert high_sharpe(4.0, 0.2) == high_sharpe(2.9, 10.0) == high_sharpe(float("nan"), 1.0) == []


def test_seeds_that_differ_by_more_than_they_gain_are_told() -> None:
    gains = [replace(USUAL, metric="log_score", horizon_bars=h, skill=0.03) for h in (1, 4)]
    apart = np.array([[[2.0, 1.0], [2.0, 1.1]], [[2.0, 1.0], [2.0, 1.1]]])

    (flag,) = seeds_apart(apart, gains)

    assert "0.071 nats 4 bars ahead" in flag.seen
    assert seeds_apart(0.2 * apart, gains) == []
    assert seeds_apart(apart[:, :1], gains) == []
    assert seeds_apart(np.zeros((0, 0, 0)), gains) == []


def test_a_profit_of_one_lucky_day_is_told(rng: np.random.Generator) -> None:
    returns = 0.01 * rng.normal(size=300)
    returns += 1e-5 - returns.mean()
    returns[100] += 0.5

    (flag,) = carried_by_days(returns, np.repeat(returns, 24) / 24)

    assert is_notable(returns)
    assert flag.severity == "serious"


def test_a_steady_profit_and_none_are_not_told(rng: np.random.Generator) -> None:
    steady = 0.002 + 0.01 * rng.standard_t(4, size=300)

    assert is_notable(steady)
    assert carried_by_days(steady, steady) == []
    assert not is_notable(0.01 * rng.normal(size=300) - 0.001)
    assert not is_notable(steady[:40])


def test_tails_alone_hardly_ever_make_a_profit_suspect(rng: np.random.Generator) -> None:
    honest = [0.0006 + 0.01 * rng.standard_t(3, size=365) for _ in range(500)]

    told = sum(is_notable(r) and bool(carried_by_days(r, r)) for r in honest)

    assert told <= 10


def test_a_profit_of_one_coin_among_many_is_told() -> None:
    names = ("A", "B", "C", "D")

    (flag,) = carried_by_one(np.array([90.0, 5.0, -2.0, 7.0]), names)

    assert flag.seen == "A made 90% of the net profit of 4; 1 of them lost money."
    assert carried_by_one(np.array([40.0, 30.0, 10.0, 20.0]), names) == []
    assert carried_by_one(np.array([-9.0, 5.0, -2.0, 1.0]), names) == []
    assert carried_by_one(np.array([9.0, 1.0, 0.0]), names[:3]) == []


@pytest.mark.parametrize("name", [HAR, "buy and hold", "momentum"])
def test_the_profits_of_all_coins_add_up_to_what_the_equity_gained(case: Case, name: str) -> None:
    ledger, rows = case.money.ledgers[name], case.walk.tested

    profit = profit_by_coin(ledger, case.market.bars[rows.start : rows.stop])

    assert profit.shape == (2,)
    assert profit.sum() == pytest.approx(ledger.equity[-1] - ledger.starting_balance, abs=1e-4)


def test_the_section_has_a_line_per_opponent_and_horizon_with_the_verdicts_own_numbers(case: Case) -> None:
    found = section(case)
    pairs = next(table for table in found.tables if table.name == "opponents")
    known = {
        (c.horizon_bars, c.opponent): (c.skill, c.p_value) for c in case.comparisons if c.metric == "crps"
    }

    assert {
        (row[0], row[1]): (row[2], row[5]) for row in pairs.rows if not np.isnan(row[5])
    }.items() <= known.items()
    assert {row[:2] for row in pairs.rows} == known.keys() == {(h, n) for h in HORIZONS for n in
                                                               ("expanding volatility", "EWMA-t", "slow")}  # fmt: skip
    assert [table.name for table in found.tables] == ["opponents", "confidence-set", "superior"]
    assert all(len(row) == len(table.columns) for table in found.tables for row in table.rows)
    assert found.reading.startswith("HAR-t wins ")
    assert any("slow speak at few instants" in note for note in found.notes)
    assert any("Losses cluster" in note for note in found.notes)


def test_who_speaks_seldom_is_compared_with_all_on_common_rows_only(case: Case) -> None:
    everywhere, common = fields_at(case.losses, HAR, 1, 0)

    assert everywhere.names == (HAR, "expanding volatility", "EWMA-t")
    assert everywhere.crps.n > 20 * common.crps.n > 0
    assert set(common.names) == {*everywhere.names, "slow"}
    assert common.seldom == ("slow",)


def test_a_missing_library_leaves_the_pairs_and_says_what_is_missing(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)

    found = section(case)

    assert [table.name for table in found.tables] == ["opponents"]
    assert 'pip install "longshort[baselines]"' in found.notes[0]


def test_a_study_without_opponents_says_so(case: Case) -> None:
    assert section(replace(case, comparisons=())).missing


def test_words_name_who_is_beaten_who_is_not_and_who_is_better(rng: np.random.Generator) -> None:
    rows, noise = np.arange(3_000), rng.normal(size=(3_000, 2, 1))
    mine = np.abs(rng.normal(size=(3_000, 2, 1)))
    theirs = {
        "weak": mine + 0.5 + 0.1 * noise,
        "equal": mine + 0.1 * noise,
        "strong": mine - 0.05 + 0.1 * noise,
    }

    duels = [
        duel(mine, loss, compare("crps", name, horizon_bars=1, model_loss=mine[..., 0],
                                 opponent_loss=loss[..., 0], grid_row=rows), rows, 0)
        for name, loss in theirs.items()
    ]  # fmt: skip

    assert told_pairs("LSTM", duels) == (
        "LSTM wins 1 of 3 comparisons of CRPS at p < .05, all counted. Undecided: equal at 1 bar. "
        "It is worse than: strong at 1 bar."
    )
    assert told_pairs("LSTM", duels[:1]).startswith(
        "LSTM wins the one comparison of CRPS at p < .05; closest is weak"
    )
