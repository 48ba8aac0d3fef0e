"""Every head inherits these contracts by being in the catalog; likelihoods and positions have oracles of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from longshort.base.errors import StudyError
from longshort.base.instrument import Costs
from longshort.base.learning import ModelSettings
from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.features.catalog import names_on_record
from longshort.features.panel import FeatureStream
from longshort.features.targets import make_targets
from longshort.models.forecast import Law, StudentT
from longshort.models.forecaster import Past
from longshort.models.heads import crps, mixture, position, quantiles, skewed_t, student_t
from longshort.models.heads.catalog import HEADS, POSITIONS, head_named
from longshort.models.heads.head import Came, Reading
from longshort.models.laws import mixture as laws
from longshort.models.laws.student import mean_distance
from longshort.models.training.trainer import Trainer
from longshort.study.folds import Fold
from longshort.study.market import Market
from longshort.study.walk import member_job

TIMES, ASSETS, HORIZONS = 6, 3, 2
CELLS = (TIMES, ASSETS, HORIZONS)
WEIGHTS = (0.8, 0.6)
COSTS = Costs(taker_bps=5.0, slippage_bps=1.0)
every_head = pytest.mark.parametrize("key", HEADS)
BELIEFS = [key for key in HEADS if key not in POSITIONS]
seeds = st.integers(0, 2**32 - 1)


def came_of(target: np.ndarray, unit: float = 0.01) -> Came:
    return scored_everywhere(torch.tensor(target, dtype=torch.float32), unit)


def scored_everywhere(target: torch.Tensor, unit: float) -> Came:
    return Came(
        target=target,
        scored=torch.ones_like(target, dtype=torch.bool),
        unit=torch.full_like(target, unit),
        funding=0.2 * unit * torch.sin(torch.arange(target[..., :1].numel())).reshape(target[..., :1].shape),
    )


def raw_of(key: str, rng: np.random.Generator, members: int = 2, size: float = 2.0) -> np.ndarray:
    return (size * rng.normal(size=(members, *CELLS, head_named(key).width))).astype(np.float32)


def reading_of(rng: np.random.Generator, share: float = 0.5, mean_share: float = 0.0) -> Reading:
    unit = rng.uniform(0.002, 0.02, (TIMES, ASSETS, 1)) * np.array([1.0, 2.0])
    anchor = StudentT(
        loc=0.1 * unit * rng.normal(size=CELLS),
        scale=unit * rng.uniform(0.5, 0.9, CELLS),
        df=rng.uniform(3, 8, CELLS),
    )
    return Reading(unit=unit, anchor=anchor, share=share, mean_share=mean_share, mean_weights=WEIGHTS)


def cut(reading: Reading, rows: slice) -> Reading:
    return Reading(
        unit=reading.unit[rows],
        anchor=reading.anchor[rows],
        share=reading.share,
        mean_share=reading.mean_share,
        mean_weights=reading.mean_weights,
    )


def said(law: Law, value: np.ndarray) -> list[np.ndarray]:
    levels = [law.quantile(level) for level in (0.01, 0.05, 0.4, 0.5, 0.95, 0.99)]
    return [law.mean(), law.variance(), law.cdf(value), law.log_density(value), law.crps(value), *levels]


@every_head
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0])
def test_the_loss_is_finite_and_has_a_finite_gradient_however_wild_the_network(
    key: str, size: float, rng
) -> None:
    head = head_named(key, COSTS)
    raw = torch.tensor(
        size * rng.choice([-1.0, 1.0], (*CELLS, head.width)), dtype=torch.float32, requires_grad=True
    )
    came = came_of(np.resize([0.0, -1.0, 1.0, 40.0, -40.0], CELLS))

    cells = head.loss(raw, came)
    cells.sum().backward()

    assert cells.shape == CELLS
    assert torch.isfinite(cells).all()
    assert torch.isfinite(raw.grad).all()


@every_head
def test_the_gradient_is_the_slope_of_the_loss(key: str, rng) -> None:
    head = head_named(key, COSTS)
    raw = torch.tensor(rng.normal(size=(3, 1, HORIZONS, head.width)), requires_grad=True)
    target = torch.tensor(rng.normal(size=(3, 1, HORIZONS)))
    came = scored_everywhere(target, 0.01)

    assert torch.autograd.gradcheck(lambda given: head.loss(given, came), raw, atol=1e-6)


@every_head
def test_a_small_network_memorises_one_batch(key: str) -> None:
    torch.manual_seed(3)
    head, came = head_named(key, COSTS), came_of(torch.randn(6, 4, HORIZONS).numpy())
    network = nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, HORIZONS * head.width))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    window, losses = torch.randn(6, 4, 8), []

    for _ in range(120):
        raw = network(window).unflatten(-1, (HORIZONS, head.width))
        losses.append(head.loss(raw, came).mean())
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()

    assert losses[-1].item() < losses[0].item() - 0.15


@pytest.mark.parametrize("key", [key for key in BELIEFS if key != "volatility"])
def test_what_is_memorised_is_what_came(key: str) -> None:
    head, came = head_named(key), came_of(np.linspace(-1.5, 1.5, 36).reshape(CELLS))
    raw = torch.zeros((*CELLS, head.width), requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=0.05)

    for _ in range(60):
        optimiser.zero_grad()
        head.loss(raw, came).sum().backward()
        optimiser.step()

    learnt = head.mean(raw.detach().numpy()[None])[0, ..., 0]
    assert (np.sign(learnt) == np.sign(came.target[..., 0].numpy())).mean() > 0.9


@every_head
@settings(max_examples=6)
@given(seed=seeds, size=st.sampled_from([0.0, 1.0, 4.0]), share=st.sampled_from([0.0, 0.5, 1.0]))
def test_every_law_is_a_proper_one_whose_quantiles_never_cross(
    key: str, seed: int, size: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    law = head_named(key).law(raw_of(key, rng, size=size), reading_of(rng, share))
    levels = (0.001, 0.02, 0.05, 0.051, 0.3, 0.5, 0.77, 0.95, 0.98, 0.999)

    values = np.stack([law.quantile(level) for level in levels])
    rank = np.stack([law.cdf(value) for value in values])

    assert (np.diff(values, axis=0) > 0.0).all()
    np.testing.assert_allclose(
        rank, np.broadcast_to(np.reshape(levels, (-1, 1, 1, 1)), rank.shape), rtol=1e-6
    )
    assert (law.variance() > 0.0).all()
    assert (law.crps(values[4]) > 0.0).all()


@every_head
def test_a_row_alone_says_the_same_bits_as_among_many(key: str, rng) -> None:
    raw, reading, value = raw_of(key, rng), reading_of(rng, mean_share=0.3), 0.01 * rng.normal(size=CELLS)
    whole = said(head_named(key).law(raw, reading), value)

    for t in range(TIMES):
        rows = slice(t, t + 1)
        alone = said(head_named(key).law(raw[:, rows], cut(reading, rows)), value[rows])
        for mine, theirs in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(mine, theirs[rows])


@every_head
def test_where_no_unit_is_known_there_is_no_law(key: str, rng) -> None:
    reading = reading_of(rng)
    for part in (reading.unit, reading.anchor.loc, reading.anchor.scale):
        part[2, 1] = np.nan

    law = head_named(key).law(raw_of(key, rng), reading)

    value = np.zeros(CELLS)
    for part in (law.mean(), law.variance(), law.quantile(0.3), law.cdf(value), law.crps(value)):
        assert np.isnan(part[2, 1]).all()
        assert np.isfinite(np.delete(part.reshape(-1, HORIZONS), 2 * ASSETS + 1, axis=0)).all()


@every_head
def test_members_that_agree_say_what_one_says(key: str, rng) -> None:
    raw, reading = raw_of(key, rng, members=1), reading_of(rng)

    one = head_named(key).law(raw, reading)
    three = head_named(key).law(np.repeat(raw, 3, axis=0), reading)

    np.testing.assert_allclose(three.quantile(0.2), one.quantile(0.2), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("key", BELIEFS)
def test_a_law_has_the_mean_that_is_believed_of_the_network(key: str, rng) -> None:
    raw, reading = raw_of(key, rng, members=1, size=0.5), reading_of(rng, share=0.0)
    head = head_named(key)

    believed = head.mean(raw).astype(np.float64).mean(axis=0) * np.array(WEIGHTS) * reading.unit

    distance = np.abs(head.law(raw, reading).mean() - believed) / reading.unit
    allowed = {"quantiles": 0.3, "direction": 0.15}.get(
        key, 1e-5
    )  # what tails add; another scale than nominal
    assert distance.max() < allowed


@pytest.mark.parametrize("key", ["student-t", "crps", "skewed-t", "volatility", "quantiles"])
def test_an_anchor_that_has_the_whole_share_gives_the_scale(key: str, rng) -> None:
    reading = reading_of(rng, share=1.0)

    law = head_named(key).law(raw_of(key, rng), reading)

    spread = law.quantile(0.75) - law.quantile(0.25)
    anchored = reading.anchor.quantile(0.75) - reading.anchor.quantile(0.25)
    np.testing.assert_allclose(spread, anchored, rtol=0.02)  # an unskewed law of another df comes near


def test_an_anchor_that_has_the_whole_share_gives_a_mixture_its_mean_distance(rng) -> None:
    reading = reading_of(rng, share=1.0)

    law = head_named("mixture").law(raw_of("mixture", rng), reading)

    apart = laws.in_order(law.weight * laws.distance(law.loc - law.mean()[..., None], law.scale))
    np.testing.assert_allclose(apart, reading.anchor.scale * mean_distance(reading.anchor.df))


@every_head
def test_an_anchor_that_has_the_whole_mean_gives_the_mean(key: str, rng) -> None:
    reading = reading_of(rng, mean_share=1.0)

    law = head_named(key).law(raw_of(key, rng, size=0.0), reading)

    np.testing.assert_allclose(law.mean(), reading.anchor.loc, atol=1e-12)


@every_head
def test_no_rows_give_a_law_of_no_rows(key: str, rng) -> None:
    law = head_named(key).law(raw_of(key, rng)[:, :0], cut(reading_of(rng), slice(0, 0)))

    assert law.mean().shape == law.quantile(0.1).shape == (0, ASSETS, HORIZONS)


def test_an_unknown_head_names_the_nearest_there_is() -> None:
    with pytest.raises(StudyError, match="mixture"):
        head_named("mixtur")


def test_the_likelihood_of_the_mixture_is_torchs_own(rng) -> None:
    raw = torch.tensor(rng.normal(size=(*CELLS, 9)))
    target = torch.tensor(rng.normal(size=CELLS))
    log_share, loc, log_scale = mixture.parameters(raw)
    oracle = MixtureSameFamily(Categorical(logits=log_share), Normal(loc, log_scale.exp()))
    came = Came(target=target, scored=torch.ones(CELLS, dtype=torch.bool), unit=torch.ones_like(target))

    loss = head_named("mixture").loss(raw, came)

    torch.testing.assert_close(loss, -oracle.log_prob(target))


@pytest.mark.parametrize("key", ["student-t", "skewed-t", "mixture"])
def test_the_loss_is_minus_the_log_density_of_the_law(key: str, rng) -> None:
    raw, target = raw_of(key, rng, members=1), rng.normal(size=CELLS)
    one = np.ones(CELLS)
    anchor = StudentT(loc=0.0 * one, scale=one, df=4.0 * one)
    reading = Reading(unit=one, anchor=anchor, share=0.0, mean_share=0.0, mean_weights=(1.0, 1.0))
    head = head_named(key)

    loss = head.loss(torch.tensor(raw[0]), came_of(target)).numpy()

    np.testing.assert_allclose(loss, -head.law(raw, reading).log_density(target), rtol=1e-4, atol=1e-5)


def test_a_skewed_t_without_skew_is_the_student_t(rng) -> None:
    raw = torch.tensor(rng.normal(size=(*CELLS, 4)))
    raw[..., 3] = 0.0
    target = torch.tensor(rng.normal(size=CELLS))

    skewed = skewed_t.negative_log_density(raw, target)

    torch.testing.assert_close(skewed, student_t.negative_log_density(raw[..., :3], target))


@pytest.mark.parametrize("raw_df", [-3.0, -1.0, 0.0, 1.0, 3.0])
def test_the_crps_that_is_learnt_is_that_of_the_law(raw_df: float, rng) -> None:
    target = torch.cat([torch.linspace(-60, 60, 41), torch.linspace(-2, 2, 40)]).double()
    raw = torch.tensor([0.3, -0.4, raw_df]).double().expand(81, 3)
    loc, log_scale, df = (part.numpy().reshape(-1, 1, 1) for part in student_t.parameters(raw))

    oracle = StudentT(loc=loc, scale=np.exp(log_scale), df=df).crps(target.numpy().reshape(-1, 1, 1))

    np.testing.assert_allclose(crps.crps(raw, target).numpy(), oracle.ravel(), rtol=2e-5)


def test_the_distribution_function_in_torch_is_scipys() -> None:
    z = torch.linspace(-9.0, 9.0, 61).double()

    for df in (2.15, 4.0, 12.0, 40.0):
        found = crps.centred_cdf(torch.full_like(z, df), z)
        np.testing.assert_allclose(found.numpy(), stats.t(df).cdf(z.numpy()) - 0.5, atol=1e-6)


def test_before_anything_is_learnt_quantiles_are_those_of_a_student_t() -> None:
    started = quantiles.quantiles(torch.zeros(1, 19).double())

    oracle = 0.75 * stats.t(4.0).ppf(np.arange(1, 20) / 20)
    np.testing.assert_allclose(started.numpy()[0], oracle, rtol=1e-3, atol=1e-12)


def test_a_direction_is_the_probability_of_a_rise_that_its_law_states(rng) -> None:
    raw, reading = np.full((1, *CELLS, 1), 0.4, dtype=np.float32), reading_of(rng)
    believing = Reading(
        unit=reading.unit, anchor=reading.anchor, share=0.5, mean_share=0.0, mean_weights=(1.0, 0.0)
    )

    p_up = 1.0 - head_named("direction").law(raw, believing).cdf(np.zeros(CELLS))

    np.testing.assert_allclose(p_up[..., 0], 1.0 / (1.0 + np.exp(-0.4)), rtol=1e-6)
    np.testing.assert_allclose(p_up[..., 1], 0.5)


def test_a_volatility_is_the_variance_that_its_law_states(rng) -> None:
    raw, reading = raw_of("volatility", rng, members=1), reading_of(rng, share=0.0)

    variance = head_named("volatility").law(raw, reading).variance()

    np.testing.assert_allclose(variance, np.exp(raw[0, ..., 0]) * reading.unit**2, rtol=1e-6)


LEDGER_RETURNS = np.array([0.010, -0.020, 0.005, 0.015])
LEDGER_UNITS = np.array([0.010, 0.012, 0.008, 0.010])
LEDGER_WISHES = np.array([0.5, -0.3, -0.3, 0.8])
LEDGER_REACH = np.array([0.1, 0.06, 0.08, 0.3])


def ledger_of(funding: np.ndarray | None = None) -> tuple[torch.Tensor, Came]:
    """Four bars of one coin, at one horizon; nothing is settled unless told."""
    second = np.log(np.expm1(LEDGER_REACH * np.log(2.0) / 0.2))
    raw = torch.tensor(np.stack([np.arctanh(LEDGER_WISHES), second], axis=-1)).reshape(4, 1, 1, 2)
    target = torch.tensor(LEDGER_RETURNS / LEDGER_UNITS).reshape(4, 1, 1)
    unit = torch.tensor(LEDGER_UNITS).reshape(4, 1, 1)
    paid = torch.tensor(np.zeros(4) if funding is None else funding).reshape(4, 1, 1)
    return raw, Came(target=target, scored=torch.ones(4, 1, 1, dtype=torch.bool), unit=unit, funding=paid)


# zone over unit     exposure   exposure (exp(return) - 1)   moved   paid = 0.0006 moved   net
#  40.0 to  60.0       50.0        0.502508354                 0         0                 0.502508354
# -30.0 to -20.0      -20.0        0.396026534                70         0.042             0.354026534
# -47.5 to -27.5      -27.5       -0.137843865                 7.5       0.0045           -0.142343865
#  50.0 to 110.0       50.0        0.755653231                77.5       0.0465            0.709153231
LEDGER_NET = np.array([0.502508354, 0.354026534, -0.142343865, 0.709153231])


def test_the_utility_of_positions_is_that_of_a_ledger_worked_by_hand() -> None:
    loss = head_named("position-utility", COSTS).loss(*ledger_of())

    by_hand = [-0.490290, -0.347904, 0.143367, -0.685137]  # minus ten times log(1 + net / 10)
    np.testing.assert_allclose(loss.ravel().numpy(), -10.0 * np.log1p(LEDGER_NET / 10.0), atol=1e-6)
    np.testing.assert_allclose(loss.ravel().numpy(), by_hand, atol=1e-6)


# exposure   paid by a long   net before       net
#  50.0        .0010           0.502508354      0.452508354
# -20.0        .0              0.354026534      0.354026534
# -27.5       -.0020          -0.142343865     -0.197343865    a short pays a negative rate
#  50.0        .0005           0.709153231      0.684153231
LEDGER_FUNDING = np.array([0.0010, 0.0, -0.0020, 0.0005])
LEDGER_FUNDED = np.array([0.452508354, 0.354026534, -0.197343865, 0.684153231])


@pytest.mark.parametrize(
    ("key", "worked"),
    [
        ("position-utility", -10.0 * np.log1p(LEDGER_FUNDED / 10.0)),
        ("position-sharpe", -LEDGER_FUNDED / np.sqrt(LEDGER_FUNDED.var() + 1e-6)),
    ],
)
def test_funding_is_paid_by_longs_as_in_a_ledger_worked_by_hand(key: str, worked: np.ndarray) -> None:
    loss = head_named(key, COSTS).loss(*ledger_of(LEDGER_FUNDING))

    np.testing.assert_allclose(loss.ravel().numpy(), worked, atol=3e-6)


def test_the_mean_loss_of_positions_is_minus_the_sharpe_ratio_of_a_ledger_worked_by_hand() -> None:
    loss = head_named("position-sharpe", COSTS).loss(*ledger_of())

    assert loss.mean().item() == pytest.approx(-0.355836064 / 0.3140606, abs=1e-5)


@pytest.mark.parametrize("key", POSITIONS)
def test_only_the_first_horizon_of_a_position_is_learnt(key: str, rng) -> None:
    raw = torch.tensor(rng.normal(size=(*CELLS, 2)), requires_grad=True)
    target = torch.tensor(rng.normal(size=CELLS))
    came = scored_everywhere(target, 0.01)

    head_named(key, COSTS).loss(raw, came).sum().backward()

    assert (raw.grad[:, :, 1:] == 0).all()
    assert (raw.grad[:, :, 0] != 0).any()


def test_nothing_is_traded_where_there_is_no_bar() -> None:
    raw, came = ledger_of()
    scored = torch.tensor([True, False, True, True]).reshape(4, 1, 1)

    held, before = position.exposures(raw, came.unit[..., 0], scored[..., 0])

    np.testing.assert_allclose(held.ravel().numpy(), [50.0, 50.0, -27.5, 50.0])
    np.testing.assert_allclose(before.ravel().numpy(), [50.0, 50.0, 50.0, -27.5])


def test_zones_are_followed_as_they_were_learnt() -> None:
    raw, came = ledger_of()
    raw = raw.float()

    learnt, _ = position.exposures(raw, came.unit[..., 0].float(), came.scored[..., 0])
    zones = head_named("position-utility", COSTS).zones(raw.numpy()[None])
    followed = zones.exposures(1.0 / LEDGER_UNITS.reshape(4, 1))

    np.testing.assert_allclose(followed[1:], learnt[1:].numpy(), rtol=1e-6)
    assert followed[0].item() == pytest.approx(40.0)  # from flat to the near end


def test_dear_trading_widens_the_zone() -> None:
    raw, came = ledger_of()
    raw.requires_grad_()

    dear, cheap = (
        torch.autograd.grad(head_named("position-utility", Costs(taker_bps=bps)).loss(raw, came).sum(), raw)[
            0
        ]
        for bps in (300.0, -1.0)
    )

    assert dear[:, 0, 0, 1].sum().item() < -1e-3  # a descent makes it wider
    assert cheap[1, 0, 0, 1].item() > 0  # and narrower where trading is free: the fall was worth more


@pytest.mark.parametrize("key", POSITIONS)
def test_a_law_leans_with_the_position_over_every_horizon(key: str, rng) -> None:
    raw, reading = raw_of(key, rng), reading_of(rng)
    head = head_named(key)

    mean, zones = head.law(raw, reading).mean(), head.zones(raw)
    wish = 0.5 * (zones.low + zones.high)

    assert (np.abs(wish) <= 1.0).all()
    np.testing.assert_allclose(mean[..., 0], 0.1 * 0.8 * wish * reading.unit[..., 0])
    np.testing.assert_allclose(mean[..., 1], mean[..., 0])


def small_study(**sections: dict[str, object]) -> Study:
    training = {"steps": 10, "check_every": 10, "batch_chunks": 2, "chunk_bars": 64, "burn_in_bars": 16}
    tables = {
        "data": {"source": "embedded", "embedded_bars": 2_000, "embedded_coins": 2},
        "model": {"hidden": 4, "seeds": [1], "head": "position-utility"},
        "target": {"horizons": [1, 4]},
    }
    tables["training"] = training | sections.pop("training", {})
    return Study.parse({**tables, **sections})


def past_of_noise() -> Past:
    bars = simulate_market(2, 1_200, seed=3).bars
    panel = FeatureStream(bars.symbols, names_on_record(bars)).extend(bars)
    return Past.cut(panel, make_targets(bars, (1, 4), funding=True), range(760, 1_000), range(1_004, 1_100))


def test_a_trainer_counts_the_costs_of_the_study() -> None:
    study = small_study(costs={"taker_bps": 70.0, "slippage_bps": 10.0})
    past = past_of_noise()

    trainer = Trainer(past, study.model, study.training, 1, past.train)

    assert trainer.head.costs == Costs(taker_bps=70.0, slippage_bps=10.0)


def test_a_horizon_without_weight_teaches_nothing() -> None:
    study = small_study(training={"horizon_weights": [1.0, 0.0]}, model={"hidden": 4, "dropout": 0.0})
    past = past_of_noise()
    trainer = Trainer(
        past, study.model, study.training.model_copy(update={"weight_decay": 0.0}), 1, past.train
    )
    before = trainer.weights()["head.weight"].clone()

    trainer.step(1)

    moved = (trainer.weights()["head.weight"] != before).any(dim=1).reshape(2, 3)
    assert moved.tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_weights_of_horizons_must_fit_them(weights: list[float]) -> None:
    with pytest.raises(StudyError, match="horizon_weights must be 2 numbers"):
        small_study(training={"horizon_weights": weights})


def test_positions_are_learnt_for_one_bar_only() -> None:
    with pytest.raises(StudyError, match=r"the first horizon is 4.*Begin target\.horizons with 1"):
        small_study(target={"horizons": [4, 24]})


def test_fits_of_positions_are_kept_apart_by_their_costs() -> None:
    cheap, dear = (small_study(costs={"taker_bps": bps}) for bps in (0.0, 9.0))
    market = Market.of(cheap, simulate_market(2, 2_000, seed=3).bars)
    fold = Fold(train=range(760, 1_000), validation=range(1_004, 1_100), test=range(1_104, 1_200))

    keys = [member_job(replace(market, study=study), fold, 1).key for study in (cheap, dear)]
    plain = [study.model_copy(update={"model": ModelSettings()}) for study in (cheap, dear)]
    other = [member_job(replace(market, study=study), fold, 1).key for study in plain]

    assert keys[0] != keys[1]
    assert other[0] == other[1]
