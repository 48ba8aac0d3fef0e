"""Every law is a proper one: what it says of itself agrees with what integration says of it."""

from collections.abc import Callable

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from longshort.models.forecast import Law, StudentT
from longshort.models.laws import student
from longshort.models.laws.mixture import NormalMixture
from longshort.models.laws.quantiles import LEVELS, Quantiles
from longshort.models.laws.two_piece import TwoPieceT

SHAPE = (7, 3, 2)


def student_t(rng: np.random.Generator, shape: tuple[int, ...]) -> StudentT:
    return StudentT(
        loc=rng.normal(size=shape), scale=rng.uniform(0.2, 3, shape), df=rng.uniform(3, 20, shape)
    )


def two_piece(rng: np.random.Generator, shape: tuple[int, ...]) -> TwoPieceT:
    left, right = rng.uniform(0.2, 3, (2, *shape))
    return TwoPieceT(mode=rng.normal(size=shape), left=left, right=right, df=rng.uniform(3, 20, shape))


def mixture(rng: np.random.Generator, shape: tuple[int, ...]) -> NormalMixture:
    weight = rng.uniform(0.05, 1, (*shape, 3))
    return NormalMixture(
        weight=weight / weight.sum(axis=-1, keepdims=True),
        loc=rng.normal(size=(*shape, 3)),
        scale=rng.uniform(0.2, 3, (*shape, 3)),
    )


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Quantiles:
    steps = rng.uniform(0.05, 1.0, (*shape, len(LEVELS)))
    return Quantiles(value_at=np.cumsum(steps, axis=-1) - 5.0, df=rng.uniform(3, 20, shape))


LAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Law]] = {
    "Student-t": student_t,
    "two-piece t": two_piece,
    "normal mixture": mixture,
    "quantiles": drawn,
}
every_law = pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
with_density = pytest.mark.parametrize("make", [student_t, two_piece, mixture])
seeds = st.integers(0, 2**32 - 1)
ONE = (1, 1, 1)


# From 0 far out, closely where laws bend; and what each point weighs in an integral.
STEPS = np.linspace(0.0, 14.0, 20_001)
AWAY = np.sinh(STEPS)
WEIGHT = np.cosh(STEPS) * (STEPS[1] - STEPS[0]) * np.where(np.isin(STEPS, (0.0, 14.0)), 0.5, 1.0)


def alone(make: Callable[..., Law], seed: int) -> Law:
    """A law of one cell, once per point of the line."""
    law = make(np.random.default_rng(seed), ONE)
    return type(law)(**{name: np.repeat(getattr(law, name), len(AWAY), axis=0) for name in law.__slots__})


def rank(law: Law, line: np.ndarray) -> np.ndarray:
    return law.cdf(line.reshape(-1, 1, 1)).ravel()


@every_law
@given(seed=seeds)
def test_the_distribution_function_rises_from_nothing_to_one(make, seed: int) -> None:
    law = make(np.random.default_rng(seed), SHAPE)
    line = np.concatenate([-np.geomspace(1e6, 1e-3, 60), [0.0], np.geomspace(1e-3, 1e6, 60)])

    rank = np.stack([law.cdf(np.full(SHAPE, x)) for x in line])

    assert (np.diff(rank, axis=0) >= -1e-15).all()
    assert (rank[0] < 1e-9).all()
    assert (rank[-1] > 1 - 1e-9).all()


@every_law
@given(seed=seeds, level=st.floats(1e-4, 1 - 1e-4))
def test_the_quantile_inverts_the_distribution_function(make, seed: int, level: float) -> None:
    law = make(np.random.default_rng(seed), SHAPE)

    np.testing.assert_allclose(law.cdf(law.quantile(level)), level, rtol=1e-9, atol=1e-12)


@every_law
@given(seed=seeds, pair=st.tuples(st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 1 - 1e-6)))
def test_quantiles_never_cross(make, seed: int, pair: tuple[float, float]) -> None:
    law = make(np.random.default_rng(seed), SHAPE)
    low, high = sorted(pair)

    assert (law.quantile(low) <= law.quantile(high) + 1e-12).all()


@every_law
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("value", [-7.0, -0.3, 0.9, 8.0])
def test_the_crps_is_the_integral_that_defines_it(make, seed: int, value: float) -> None:
    law = alone(make, seed)

    below = WEIGHT @ rank(law, value - AWAY) ** 2
    above = WEIGHT @ (1.0 - rank(law, value + AWAY)) ** 2

    said = law.crps(np.full((len(AWAY), 1, 1), value))[0].item()
    assert said == pytest.approx(below + above, rel=1e-5)


@every_law
@pytest.mark.parametrize("seed", range(4))
def test_mean_and_variance_are_the_integrals_that_define_them(make, seed: int) -> None:
    law = alone(make, seed)
    mean = law.mean()[0].item()
    above, below = 1.0 - rank(law, mean + AWAY), rank(law, mean - AWAY)

    assert WEIGHT @ (above - below) == pytest.approx(0.0, abs=1e-5)
    assert 2.0 * WEIGHT @ (AWAY * (above + below)) == pytest.approx(law.variance()[0].item(), rel=1e-4)


@with_density
@pytest.mark.parametrize("seed", range(4))
def test_the_density_is_the_slope_of_the_distribution_function(make, seed: int) -> None:
    law = alone(make, seed)
    middle = law.quantile(0.5)[0].item()

    above, below = (np.exp(law.log_density((middle + way * AWAY).reshape(-1, 1, 1))) for way in (1.0, -1.0))

    near = AWAY < 1.5
    assert WEIGHT @ above.ravel() == pytest.approx(0.5, rel=1e-5)
    assert WEIGHT @ below.ravel() == pytest.approx(0.5, rel=1e-5)
    risen = rank(law, middle + AWAY)[near][-1] - 0.5
    assert integrate.trapezoid(above.ravel()[near], AWAY[near]) == pytest.approx(risen, rel=1e-5)


@every_law
def test_a_row_alone_says_the_same_bits_as_among_many(make, rng: np.random.Generator) -> None:
    law = make(rng, SHAPE)
    value = rng.normal(size=SHAPE)

    def said(part: Law, came: np.ndarray) -> list[np.ndarray]:
        levels = [part.quantile(level) for level in (0.01, 0.05, 0.33, 0.5, 0.95, 0.99)]
        return [
            part.mean(),
            part.variance(),
            part.cdf(came),
            part.log_density(came),
            part.crps(came),
            *levels,
        ]

    whole = said(law, value)
    for t in range(SHAPE[0]):
        for mine, theirs in zip(said(law[t : t + 1], value[t : t + 1]), whole, strict=True):
            np.testing.assert_array_equal(mine, theirs[t : t + 1])


@every_law
def test_what_was_cut_joins_again(make, rng: np.random.Generator) -> None:
    law = make(rng, SHAPE)

    joined = law[:2].join(law[2:3], law[3:])

    np.testing.assert_array_equal(joined.quantile(0.1), law.quantile(0.1))


@every_law
def test_what_is_unknown_stays_unknown(make, rng: np.random.Generator) -> None:
    law = make(rng, SHAPE)
    fields = {name: getattr(law, name).copy() for name in law.__slots__}
    for values in fields.values():
        values[0, 0] = np.nan
    unknown = type(law)(**fields)
    value = np.zeros(SHAPE)

    for said in (unknown.mean(), unknown.variance(), unknown.cdf(value), unknown.quantile(0.3),
                 unknown.quantile(0.01), unknown.crps(value)):  # fmt: skip
        assert np.isnan(said[0, 0]).all()
        assert np.isfinite(said[1:]).all()


@given(seed=seeds)
def test_a_two_piece_law_with_equal_sides_is_the_student_t(seed: int) -> None:
    t = student_t(np.random.default_rng(seed), SHAPE)
    both = TwoPieceT.around(t.loc, t.scale, t.scale, t.df)
    value = np.random.default_rng(seed + 1).normal(size=SHAPE)

    np.testing.assert_allclose(both.cdf(value), t.cdf(value), rtol=1e-12)
    np.testing.assert_allclose(both.quantile(0.2), t.quantile(0.2), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(both.log_density(value), t.log_density(value), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(both.crps(value), t.crps(value), rtol=1e-9)
    np.testing.assert_allclose(both.variance(), t.variance(), rtol=1e-12)


def test_the_wider_side_of_a_two_piece_law_holds_more(rng: np.random.Generator) -> None:
    law = TwoPieceT(mode=np.zeros(ONE), left=np.full(ONE, 1.0), right=np.full(ONE, 3.0), df=np.full(ONE, 5.0))

    assert law.cdf(np.zeros(ONE)).item() == pytest.approx(0.25)
    assert law.mean().item() > 0


def test_mixtures_score_as_scoringrules_does(rng: np.random.Generator) -> None:
    law = mixture(rng, SHAPE)
    value = rng.normal(size=SHAPE)

    theirs = scoringrules.crps_mixnorm(value, law.loc, law.scale, law.weight)

    np.testing.assert_allclose(law.crps(value), theirs, rtol=1e-9)


def test_a_mixture_of_far_apart_parts_inverts_even_in_the_gap_between_them() -> None:
    parts = np.array([-50.0, 50.0]), np.array([0.1, 0.1]), np.array([0.5, 0.5])
    loc, scale, weight = (part.reshape(1, 1, 1, 2) for part in parts)
    law = NormalMixture(weight=weight, loc=loc, scale=scale)

    assert law.quantile(0.25).item() == pytest.approx(-50.0)
    assert law.quantile(0.75).item() == pytest.approx(50.0)
    assert -50.0 < law.quantile(0.5).item() < 50.0


def test_quantiles_are_those_stated_and_their_tails_are_a_student_t() -> None:
    levels = np.asarray(LEVELS)
    value_at = special.stdtrit(5.0, levels).reshape(1, 1, 1, -1)
    law = Quantiles(value_at=value_at, df=np.full(ONE, 5.0))

    stated = [law.quantile(float(level)).item() for level in levels]

    np.testing.assert_allclose(stated, value_at.ravel(), atol=1e-12)
    assert law.quantile(0.001).item() == pytest.approx(stats.t(5).ppf(0.001))
    assert law.quantile(0.999).item() == pytest.approx(stats.t(5).ppf(0.999))
    assert law.crps(np.zeros(ONE)).item() == pytest.approx(scoringrules.crps_t(0.0, 5.0), rel=0.01)


def test_quantiles_state_no_density(rng: np.random.Generator) -> None:
    assert np.isnan(drawn(rng, SHAPE).log_density(np.zeros(SHAPE))).all()


@pytest.mark.parametrize("df", [3.0, 5.0, 30.0])
@pytest.mark.parametrize("z", [-6.0, -1.6, 0.0, 2.5])
def test_integrals_of_the_lower_tail_are_what_integration_says(df: float, z: float) -> None:
    below, t = z - AWAY, stats.t(df)
    cells = np.array([df]), np.array([z])

    assert student.density(*cells).item() == pytest.approx(t.pdf(z))
    assert student.tail_mean(*cells).item() == pytest.approx(WEIGHT @ (below * t.pdf(below)), rel=1e-5)
    assert student.tail_cdf(*cells).item() == pytest.approx(WEIGHT @ t.cdf(below), rel=1e-5)
    assert student.tail_squared_cdf(*cells).item() == pytest.approx(WEIGHT @ t.cdf(below) ** 2, rel=1e-5)
    square = WEIGHT @ (below**2 * t.pdf(below))
    assert student.tail_square(*cells).item() == pytest.approx(square, rel=3e-3)  # what lies beyond the line
