"""The probability of backtest overfitting: by hand, by brute force, on noise, on a strategy that is truly better."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longshort.base.errors import NotComputable
from longshort.study.statistics.overfit import blocks_for, halves, overfitting

MEANS_BY_BLOCK = [  # two tries, four blocks of two rows: mean plus and minus one in each block
    [3.0, 1.0],
    [3.0, 1.0],
    [0.0, 2.0],
    [0.0, 2.0],
]


def blocks_of_two(means: list[list[float]]) -> np.ndarray:
    return np.array([[mean + sign for mean in row] for row in means for sign in (-1.0, 1.0)])


def by_brute_force(returns: np.ndarray, blocks: int) -> tuple[float, float, float, float]:
    """The paper's recipe, one split after the other."""
    parts = np.array_split(np.arange(len(returns)), blocks)
    logits, inside, outside = [], [], []
    for chosen in combinations(range(blocks), blocks // 2):
        train = np.concatenate([parts[b] for b in chosen])
        test = np.setdiff1d(np.arange(len(returns)), train)
        there, here = (returns[rows].mean(0) / returns[rows].std(0, ddof=1) for rows in (train, test))
        pick = there.argmax()
        share = stats.rankdata(here)[pick] / (returns.shape[1] + 1)
        logits.append(np.log(share / (1 - share)))
        inside.append(there[pick])
        outside.append(here[pick])
    slope = stats.linregress(inside, outside).slope
    return np.mean(np.array(logits) <= 1e-12), np.mean(logits), slope, np.mean(np.array(outside) < 0)


def test_four_blocks_by_hand() -> None:
    """Both first blocks pick A, which is the worse on the last two; both last blocks pick B, likewise.

    In the four mixed splits A has means 3 and 0, B 1 and 2: B has the same mean (1.5) and the smaller spread, on
    either half. It is picked, and is the better one outside. So two of six picks are overfitted: 1/3.
    """
    found = overfitting(blocks_of_two(MEANS_BY_BLOCK), blocks=4)

    ln2 = np.log(2.0)
    np.testing.assert_allclose(sorted(found.logits), [-ln2, -ln2, ln2, ln2, ln2, ln2])
    assert found.probability == pytest.approx(1 / 3)
    assert found.loss_probability == 0.0
    spread = np.sqrt(1.25 * 4 / 3)
    np.testing.assert_allclose(sorted(found.inside)[:4], 1.5 / spread)


@pytest.mark.parametrize(("rows", "trials", "blocks"), [(96, 5, 8), (97, 6, 8), (61, 2, 4), (103, 9, 6)])
def test_it_agrees_with_the_recipe_split_by_split(
    rows: int, trials: int, blocks: int, rng: np.random.Generator
) -> None:
    returns = rng.standard_t(4, size=(rows, trials)) * rng.uniform(1e-4, 1e-1, trials) + 1e-3

    found = overfitting(returns, blocks=blocks)

    ours = (found.probability, found.logits.mean(), found.slope, found.loss_probability)
    np.testing.assert_allclose(ours, by_brute_force(returns, blocks), rtol=1e-8)


@pytest.mark.parametrize(("trials", "expected"), [(10, 0.5), (5, 0.6)])
def test_noise_gives_a_half_and_an_odd_number_of_tries_as_much_more_as_the_middle_is_likely(
    trials: int, expected: float, rng: np.random.Generator
) -> None:
    found = [overfitting(rng.normal(size=(200, trials)), blocks=8).probability for _ in range(200)]

    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 4 * error
    assert error < 0.02


def test_what_is_truly_better_stays_the_best(rng: np.random.Generator) -> None:
    returns = rng.normal(0.0, 0.01, size=(750, 20))
    returns[:, 7] += 0.003

    found = overfitting(returns)

    assert found.probability < 0.02
    assert found.loss_probability < 0.05
    assert (found.blocks, len(found.logits), found.trials) == (16, 12_870, 20)


def test_what_shines_by_an_outlier_is_overfitted() -> None:
    returns = np.random.default_rng(3).normal(0.0005, 0.01, size=(800, 4))
    returns[:, 3] -= 0.001
    returns[:40, 3] += 0.03

    assert overfitting(returns, blocks=8).probability > 0.4


def test_a_try_that_never_traded_has_no_skill_and_no_trouble(rng: np.random.Generator) -> None:
    returns = np.column_stack([np.zeros(200), rng.normal(-0.01, 0.01, size=(200, 3))])

    found = overfitting(returns)

    assert found.probability == 0.0
    np.testing.assert_array_equal(found.inside, 0.0)


def test_twins_share_their_rank(rng: np.random.Generator) -> None:
    one = rng.normal(size=200)

    assert set(overfitting(np.column_stack([one, one])).logits) == {0.0}


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-3, 1e3))
def test_neither_the_scale_nor_the_order_of_the_tries_matters(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.001, 0.01, size=(80, 6))

    found, other = overfitting(returns), overfitting(factor * returns[:, rng.permutation(6)])

    np.testing.assert_allclose(found.logits, other.logits, atol=1e-9)


@pytest.mark.parametrize(
    ("rows", "trials", "blocks"), [(30, 4, None), (200, 1, None), (200, 4, 5), (7, 4, 4)]
)
def test_too_little_to_tell_is_refused_in_one_sentence(rows: int, trials: int, blocks: int | None) -> None:
    with pytest.raises(NotComputable, match=rf"cannot be told from {trials} tries on {rows} rows"):
        overfitting(np.ones((rows, trials)), blocks=blocks)


def test_short_records_have_fewer_blocks_and_every_split_has_its_mirror() -> None:
    assert [blocks_for(rows) for rows in (47, 48, 100, 192, 5_000)] == [2, 4, 8, 16, 16]
    chosen = halves(6)
    np.testing.assert_array_equal(chosen, ~chosen[::-1])
    assert len(np.unique(chosen, axis=0)) == 20
