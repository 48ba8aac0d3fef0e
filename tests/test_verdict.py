"""Verdicts: three words that follow from the numbers alone, and never flatter."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests

from longshort.models.forecast import StudentT
from longshort.study.report import Comparison, Verdict, Word
from longshort.study.significance import skill_test
from longshort.study.verdict import METRICS, Margins, compare, compare_profit, judge, plain_words

MARGINS = Margins()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def compared(metric: str = "crps", **facts: object) -> Comparison:
    usual = Comparison(
        question=METRICS[metric].question,
        horizon_bars=1,
        opponent="har",
        metric=metric,
        skill=0.4,
        unit=METRICS[metric].unit,
        ci95=(0.1, 0.7),
        p_value=0.004,
        n_instants=10_000,
        n_coins=9,
    )
    return replace(usual, **facts)


def density(**facts: object) -> list[Comparison]:
    return [compared("crps", **facts), compared("log_score", **facts)]


def only(verdicts: tuple[Verdict, ...]) -> Verdict:
    (verdict,) = verdicts
    return verdict


def test_beating_every_opponent_in_every_metric_is_beats() -> None:
    verdict = only(judge([*density(opponent="har"), *density(opponent="ewma")], margins=MARGINS))

    assert (verdict.word, verdict.p_value, verdict.bars_to_decide) == (Word.BEATS, 0.004, None)


@pytest.mark.parametrize("metric", ["crps", "log_score"])
def test_one_opponent_unbeaten_in_one_metric_is_not_beats(metric: str) -> None:
    beaten = [*density(opponent="ewma"), *density(opponent="zero")]
    unbeaten = compared(metric, opponent="har", p_value=0.2, skill=0.3, ci95=(-0.1, 0.7))

    verdict = only(judge([*beaten, unbeaten], margins=MARGINS))

    assert (verdict.word, verdict.p_value, verdict.hardest) == (Word.INCONCLUSIVE, 0.2, unbeaten)


def test_a_metric_that_was_left_out_cannot_be_won() -> None:
    verdict = only(judge([compared("log_score")], margins=MARGINS))

    assert (verdict.word, verdict.p_value, verdict.reason) == (Word.INCONCLUSIVE, 1.0, "Not compared: crps.")


def test_an_upper_bound_below_the_smallest_useful_skill_is_no_edge() -> None:
    useless = compared("accuracy", skill=0.1, ci95=(-0.2, 0.4), p_value=0.25)
    better = compared("brier", skill=0.2, ci95=(-0.1, 0.5), p_value=0.1)

    verdict = only(judge([useless, better], margins=MARGINS))

    assert (verdict.word, verdict.hardest, verdict.bars_to_decide) == (Word.NO_EDGE, useless, None)


def test_no_edge_speaks_of_the_best_opponent_not_of_the_noisiest() -> None:
    best = density(opponent="har", skill=0.001, ci95=(-0.001, 0.003), p_value=0.2)
    noisy = density(opponent="naive", skill=0.1, ci95=(-0.5, 0.7), p_value=0.35)

    verdict = only(judge([*best, *noisy], margins=MARGINS))

    assert (verdict.word, verdict.hardest) == (Word.NO_EDGE, best[0])


def test_a_small_proven_skill_beats_and_says_that_it_is_small() -> None:
    verdict = only(judge(density(skill=0.001, ci95=(0.0005, 0.0015)), margins=MARGINS))

    assert verdict.word is Word.BEATS
    assert verdict.reason == "It is proven, but smaller than the smallest useful skill."


def test_asking_more_questions_makes_each_answer_harder() -> None:
    near = [compared("qlike", horizon_bars=h, p_value=p) for h, p in ((1, 0.02), (4, 0.03), (24, 0.2))]

    alone = judge(near[:1], margins=MARGINS)
    together = judge(near, margins=MARGINS)

    assert [v.word for v in alone] == [Word.BEATS]
    assert [v.word for v in together] == [Word.INCONCLUSIVE] * 3
    np.testing.assert_allclose([v.p_value for v in together], [0.06, 0.06, 0.2])


@pytest.mark.parametrize("pairs", [1, 2, 3, 9, 12])
def test_beats_is_holm_over_the_largest_p_of_each_pair(rng: np.random.Generator, pairs: int) -> None:
    p_values = rng.beta(0.2, 4.0, size=(pairs, 2))
    found = [
        compared("qlike", horizon_bars=h + 1, opponent=name, p_value=p_values[h, k])
        for h in range(pairs)
        for k, name in enumerate(("har", "ewma"))
    ]

    verdicts = judge(found, margins=MARGINS)

    beaten, corrected, *_ = multipletests(p_values.max(axis=1), alpha=0.05, method="holm")
    np.testing.assert_allclose([v.p_value for v in verdicts], corrected)
    assert [v.word is Word.BEATS for v in verdicts] == beaten.tolist()


def test_a_question_that_could_not_be_computed_is_answered_and_never_won() -> None:
    asked = [("density", 1), ("profit", 4)]

    density_verdict, profit_verdict = judge(density(), margins=MARGINS, asked=asked)

    assert (density_verdict.word, density_verdict.p_value) == (Word.BEATS, 0.008)
    assert (profit_verdict.word, profit_verdict.hardest, profit_verdict.p_value) == (Word.NO_EDGE, None, 1.0)
    assert profit_verdict.reason == "Nothing could be computed, so nothing speaks for an edge."


def test_a_test_without_a_result_is_inconclusive_with_its_reason() -> None:
    nothing = float("nan")
    undefined = compared(
        "qlike", p_value=1.0, skill=0.5, ci95=(nothing, nothing), reason="they differ at 9 instants"
    )

    verdict = only(judge([undefined, compared("qlike", opponent="ewma")], margins=MARGINS))

    assert (verdict.word, verdict.bars_to_decide) == (Word.INCONCLUSIVE, None)
    assert verdict.reason == "No test against har: they differ at 9 instants."


@pytest.mark.parametrize("nothing", [float("nan"), 1.0])
def test_nothing_scored_is_never_beats_nor_no_edge(nothing: float) -> None:
    empty = compared(
        "qlike", p_value=nothing, skill=float("nan"), ci95=(float("nan"),) * 2, reason="nothing is scored"
    )

    assert only(judge([empty], margins=MARGINS)).word is Word.INCONCLUSIVE
    assert only(judge([compared("qlike"), empty], margins=MARGINS)).word is Word.INCONCLUSIVE


def test_a_model_that_never_trades_has_no_edge_over_cash() -> None:
    rows = np.arange(2_000)
    cash = np.zeros(2_000)

    comparison = compare_profit(
        "cash", horizon_bars=4, model_return=cash, opponent_return=cash, grid_row=rows, n_coins=9
    )
    verdict = only(judge([comparison], margins=Margins(trades_per_bar=0.0)))

    assert (verdict.word, verdict.reason) == (Word.NO_EDGE, "No test against cash: the two never differ.")


def test_an_inconclusive_verdict_says_how_many_instants_would_decide() -> None:
    promising = compared("qlike", skill=0.02, ci95=(-0.008, 0.048), p_value=0.08)
    hopeless = compared("qlike", skill=-0.01, ci95=(-0.04, 0.02), p_value=0.74)

    assert only(judge([promising], margins=MARGINS)).bars_to_decide == 31_317
    assert only(judge([hopeless], margins=MARGINS)).bars_to_decide == 23_456


def test_more_questions_demand_more_instants_to_decide() -> None:
    unclear = compared("qlike", skill=0.019, ci95=(-0.008, 0.046), p_value=0.08)
    open_too = compared("qlike", horizon_bars=4, skill=0.019, ci95=(-0.02, 0.05), p_value=0.2)
    settled = compared("qlike", horizon_bars=4, p_value=1e-6)

    alone, beside_a_win, beside_a_question = (
        judge(found, margins=MARGINS)[0].bars_to_decide
        for found in ([unclear], [unclear, settled], [unclear, open_too])
    )

    assert (alone, beside_a_win, beside_a_question) == (31_317, 31_317, 39_757)


def test_the_margins_of_one_question_are_worth_the_same_misjudged_volatility() -> None:
    exact = stats.t(df=5.0)

    def law(scale: float, like: np.ndarray) -> StudentT:
        return StudentT(loc=np.zeros_like(like), scale=np.full_like(like, scale), df=np.full_like(like, 5.0))

    def expected(score: str, scale: float) -> float:
        def weighed(outcome: float) -> float:
            at = np.full((1, 1, 1), outcome)
            return getattr(law(scale, at), score)(at).item() * exact.pdf(outcome)

        return 2.0 * integrate.quad(weighed, 0.0, np.inf, limit=200)[0]

    crps_percent = 100.0 * (expected("crps", 1.1) / expected("crps", 1.0) - 1.0)
    nats = expected("log_density", 1.0) - expected("log_density", 1.1)
    qlike = np.log(1.1**2) + 1.0 / 1.1**2 - 1.0

    assert crps_percent == pytest.approx(0.2, rel=0.1)
    assert MARGINS.of("log_score") / MARGINS.of("crps") == pytest.approx(nats / crps_percent, rel=0.1)
    assert MARGINS.of("qlike") / MARGINS.of("crps") == pytest.approx(qlike / crps_percent, rel=0.1)


def test_the_brier_margin_is_worth_the_points_of_direction(rng: np.random.Generator) -> None:
    lean = rng.normal(scale=0.005 * np.sqrt(np.pi / 2.0), size=1_000_000)

    points = 100.0 * np.abs(lean).mean()
    brier_percent = 100.0 * (lean**2).mean() / 0.25

    assert points == pytest.approx(MARGINS.of("accuracy"), rel=0.01)
    assert brier_percent == pytest.approx(MARGINS.of("brier"), rel=0.01)


def test_a_margin_per_trade_becomes_one_per_bar() -> None:
    assert Margins(bps_per_trade=1.0, trades_per_bar=0.25).of("net_return") == 0.25


def test_skill_is_told_in_the_metric_s_own_unit(rng: np.random.Generator) -> None:
    rows = np.arange(3_000)
    opponent_loss = 2.0 + rng.normal(size=(3_000, 2))
    model_loss = opponent_loss - 0.1 + 0.1 * rng.normal(size=(3_000, 2))
    losses = {"model_loss": model_loss, "opponent_loss": opponent_loss, "grid_row": rows}

    nats = compare("log_score", "har", horizon_bars=1, **losses)
    percent = compare("crps", "har", horizon_bars=1, **losses)
    points = compare("accuracy", "majority", horizon_bars=1, **losses)

    gain = (opponent_loss - model_loss).mean()
    assert (nats.skill, nats.unit, nats.question) == (pytest.approx(gain), "nats", "density")
    assert percent.skill == pytest.approx(100.0 * gain / opponent_loss.mean())
    assert points.skill == pytest.approx(100.0 * gain)
    assert percent.ci95[0] < percent.skill < percent.ci95[1]
    assert percent.p_value == nats.p_value == points.p_value < 1e-6


def test_coins_are_averaged_before_anything_is_tested(rng: np.random.Generator) -> None:
    rows = np.arange(2_000)
    common = rng.normal(size=(2_000, 1)) + 0.03
    loss = {"opponent_loss": np.repeat(common, 9, axis=1), "model_loss": np.zeros((2_000, 9))}

    nine = compare("log_score", "har", horizon_bars=1, grid_row=rows, **loss)
    one = compare("log_score", "har", horizon_bars=1, grid_row=rows, **{k: v[:, :1] for k, v in loss.items()})

    assert nine.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert (nine.n_coins, one.n_coins) == (9, 1)


def test_only_rows_that_both_score_are_compared() -> None:
    rows = np.arange(400)
    model_loss = np.full((400, 3), 1.0) + np.sin(rows)[:, None]
    opponent_loss = np.full((400, 3), 5.0)
    model_loss[:100, 0] = np.nan
    model_loss[:, 2] = np.nan
    opponent_loss[:100] = 1e9
    opponent_loss[:100, 1] = np.nan

    comparison = compare(
        "crps", "har", horizon_bars=1, model_loss=model_loss, opponent_loss=opponent_loss, grid_row=rows
    )

    assert (comparison.n_instants, comparison.n_coins) == (300, 2)
    assert comparison.skill == pytest.approx(100.0 * (4.0 - np.sin(rows[100:]).mean()) / 5.0)


def test_profit_is_tested_bar_by_bar_whatever_the_horizon_of_the_policy(rng: np.random.Generator) -> None:
    rows = np.arange(4_000)
    model, opponent = 1e-4 * rng.normal(size=(2, 4_000)) + [[1e-5], [0.0]]

    comparison = compare_profit(
        "cash", horizon_bars=4, model_return=model, opponent_return=opponent, grid_row=rows, n_coins=9
    )

    overlapping = skill_test(model - opponent, rows, horizon_bars=4)
    assert comparison.p_value == skill_test(model - opponent, rows, horizon_bars=1).p_value
    assert comparison.p_value < overlapping.p_value
    assert comparison.skill == pytest.approx(1e4 * (model - opponent).mean())
    assert (comparison.horizon_bars, comparison.n_coins, comparison.unit) == (4, 9, "bp per bar")


def test_a_perfect_opponent_is_not_divided_by() -> None:
    comparison = compare(
        "crps",
        "oracle",
        horizon_bars=1,
        model_loss=np.ones((200, 1)),
        opponent_loss=np.zeros((200, 1)),
        grid_row=np.arange(200),
    )

    assert np.isnan(comparison.skill)
    assert comparison.p_value == 1.0


def test_plain_words_name_the_question_the_rivals_the_answer_and_what_would_decide() -> None:
    found = [*density(opponent="har"), *density(opponent="ewma")]
    unclear = compared("qlike", horizon_bars=4, skill=0.02, ci95=(-0.008, 0.048), p_value=0.08)

    won, open_question, missing = plain_words(
        judge([*found, unclear], margins=MARGINS, asked=[("density", 1), ("volatility", 4), ("profit", 1)]),
        [*found, unclear],
    )

    assert won == (
        "Does it know how likely each return is, 1 bar ahead? BEATS. "
        "Tested on 10,000 instants of 9 coins against har, ewma. "
        "Hardest to beat was har in crps: skill +0.4 % of CRPS (95 % interval +0.1 to +0.7). "
        "Without an edge, so strong a result has a chance of 1.2 %, all questions counted."
    )
    assert open_question.startswith("Does it know how far prices will move, 4 bars ahead? INCONCLUSIVE.")
    assert "would settle it" in open_question
    assert missing == (
        "Does trading on it earn more after costs, 1 bar ahead? NO EDGE. No test was made. "
        "Nothing could be computed, so nothing speaks for an edge."
    )
