"""What a position settles is counted where positions are learnt, known no earlier than its label, and never guessed."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longshort.base.errors import DataError
from longshort.base.instrument import Costs
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.panel import FeatureStream
from longshort.features.targets import make_targets
from longshort.models.forecaster import Past
from longshort.models.heads.catalog import HEADS, POSITIONS
from longshort.models.inputs import Scaler
from longshort.models.network import Network, NetworkConfig
from longshort.models.training import fitting as training
from longshort.models.training import trainer
from longshort.models.training.chunks import Chunks, chunk_starts
from longshort.models.training.fitting import Member, fit_member
from longshort.models.training.trainer import Trainer
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import run_ledger
from longshort.study.audit import stages
from longshort.study.market import Market

FREE = Costs(taker_bps=0.0, slippage_bps=0.0)
BARS = simulate_market(coins=2, bars=900, seed=5).bars
NAMES = ("return_1", "range_6")
HOURS = tuple(f"hour_{hour:02d}" for hour in range(24))
TRAIN, VALIDATION = range(100, 700), range(702, 880)
HOLE = slice(300, 340)
CPU = torch.device("cpu")
TRAINING = TrainingSettings(steps=20, check_every=5, batch_chunks=4, chunk_bars=48, burn_in_bars=12)


def uncovered(bars: Bars, rows: slice) -> Bars:
    """The funding record has a hole."""
    covered = bars.funding_covered.copy()
    covered[rows] = False
    return replace(bars, funding_covered=covered)


def past_of(bars: Bars, *, funding: bool = True, names: tuple[str, ...] = NAMES) -> Past:
    panel = FeatureStream(bars.symbols, names).extend(bars)
    return Past.cut(panel, make_targets(bars, (1,), funding=funding), TRAIN, VALIDATION)


def chunks_of(past: Past, *, charged: bool) -> Chunks:
    return Chunks(past, Scaler.fit(past.panel, past.train, past.names), TRAINING, CPU, charged=charged)


def test_a_long_pays_what_settles_at_the_next_close_on_what_it_is_worth_then() -> None:
    bars = BARS[:10]
    rate = np.full((10, 2), np.nan)
    rate[[3, 7], 0] = 0.001, -0.002
    bars = replace(bars, funding_rate=rate)

    funding = make_targets(bars, (1, 4), funding=True).funding

    growth = bars.close[1:, 0] / bars.close[:-1, 0]
    by_hand = [0, 0, 0.001 * growth[2], 0, 0, 0, -0.002 * growth[6], 0, 0]
    np.testing.assert_allclose(funding[:9, 0], by_hand, rtol=1e-12)
    assert (funding[:9, 1] == 0.0).all()  # covered, and nothing settled: as of a contract without funding
    assert np.isnan(funding[9]).all()


@settings(max_examples=20)
@given(
    row=st.integers(0, 880),
    exposure=st.sampled_from([-1.7, -0.4, 0.3, 1.0]),
    rate=st.floats(-0.01, 0.01),
    premium=st.sampled_from([np.nan, -0.01, 0.02]),
)
def test_a_position_earns_over_one_bar_what_the_money_ledger_books(
    row: int, exposure: float, rate: float, premium: float
) -> None:
    bars = BARS[row : row + 2].coins([0])
    opened = np.concatenate([bars.close[:1], bars.close[:1]])
    bars = replace(bars, open=opened, funding_rate=np.array([[0.05], [rate]]))
    bars = replace(bars, gauges={"mark_close": bars.close * (1.0 + premium)})
    wish = Exposure(closed_at=bars.closed_at, symbols=bars.symbols, target=np.array([[exposure], [np.nan]]))
    targets = make_targets(bars, (1,), funding=True)

    equity = run_ledger(bars, wish, FREE, lots=False).equity

    earned = exposure * (np.expm1(targets.log_return[0, 0, 0]) - targets.funding[0, 0])
    assert equity[1] / equity[0] - 1.0 == pytest.approx(earned, abs=1e-12)


def test_funding_is_unknown_exactly_where_the_record_has_a_hole() -> None:
    funding = make_targets(uncovered(BARS, HOLE), (1,), funding=True).funding

    unknown = np.flatnonzero(np.isnan(funding[:-1, 0]))
    assert unknown.tolist() == list(range(299, 339))  # the row before each uncovered close


@settings(max_examples=20)
@given(rows=st.integers(2, 900))
def test_funding_is_known_no_earlier_than_its_label(rows: int) -> None:
    whole = make_targets(BARS, (1, 4), funding=True)

    live, cut = make_targets(BARS[:rows], (1, 4), funding=True), whole.as_of(rows)

    np.testing.assert_array_equal(cut.funding, live.funding)
    np.testing.assert_array_equal(cut.log_return, live.log_return)
    assert np.isnan(cut.funding[rows - 1]).all()
    assert np.isfinite(cut.funding[: rows - 1]).all()


def test_stretches_of_targets_bring_their_funding_along() -> None:
    whole = make_targets(BARS, (1,), funding=True)

    gathered = whole.gather([range(5, 9), range(300, 302)])

    rows = [5, 6, 7, 8, 300, 301]
    np.testing.assert_array_equal(gathered.funding, whole.funding[rows])
    np.testing.assert_array_equal(gathered.log_return, whole.log_return[rows])
    assert make_targets(BARS, (1,)).gather([range(3)]).funding is None


def test_only_heads_that_ask_for_funding_carry_it() -> None:
    past = past_of(uncovered(BARS, HOLE))

    charged, others = chunks_of(past, charged=True), chunks_of(past, charged=False)

    rows, told = range(299, 339), range(100, 700)
    assert others.came(told).funding is None
    assert len(charged._flat) == len(others._flat) + 1
    assert not charged.came(rows).scored.any()
    assert others.came(rows).scored.all()
    np.testing.assert_array_equal(
        charged.came(told).funding[..., 0].numpy(),
        np.nan_to_num(past.targets.funding[told.start : told.stop]).astype(np.float32),
    )


def test_a_batch_of_chunks_brings_the_funding_of_its_rows() -> None:
    past = past_of(BARS)
    chosen = chunk_starts(past, TRAINING, TRAIN, charged=True)[[5, 0, 77]]

    _, came, _ = chunks_of(past, charged=True).batch(chosen)

    rows = np.stack([past.targets.funding[row + 12 : row + 48, coin] for row, coin in chosen], axis=1)
    np.testing.assert_array_equal(came.funding[..., 0].numpy(), rows.astype(np.float32))


@pytest.mark.parametrize("key", POSITIONS)
def test_nothing_is_learnt_from_a_row_whose_funding_is_unknown(key: str) -> None:
    past = past_of(uncovered(BARS, HOLE))
    wild = past.targets.log_return.copy()
    wild[299:339] = 0.5

    fits = [
        fit_member(one, ModelSettings(hidden=4, head=key), TRAINING, 1)
        for one in (past, replace(past, targets=replace(past.targets, log_return=wild)))
    ]

    assert same(*fits)
    wild[100:299] = 0.5
    assert not same(
        fits[0], fit_member(past_with(past, wild), ModelSettings(hidden=4, head=key), TRAINING, 1)
    )


def past_with(past: Past, returns: np.ndarray) -> Past:
    return replace(past, targets=replace(past.targets, log_return=returns))


def same(mine: Member, theirs: Member) -> bool:
    return all(
        np.array_equal(a[name], b[name])
        for a, b in zip(mine.weights, theirs.weights, strict=True)
        for name in a
    )


def test_a_chunk_begins_nowhere_where_most_funding_is_unknown() -> None:
    past = past_of(uncovered(BARS, slice(300, 500)))

    first = chunk_starts(past, TRAINING, TRAIN, charged=True)[:, 0]

    assert not np.isin(np.arange(265, 485), first).any()
    assert np.isin([100, 250, 495, 652], first).all()
    assert len(chunk_starts(past, TRAINING, TRAIN)) > len(first)


@pytest.mark.parametrize(
    ("rows", "said"),
    [(slice(0, 701), "training bars and their funding"), (slice(702, 900), "no validation bar is on record")],
)
def test_a_position_is_not_learnt_without_a_record_of_funding(rows: slice, said: str) -> None:
    past = past_of(uncovered(BARS, rows))

    with pytest.raises(DataError, match=said):
        Trainer(past, ModelSettings(hidden=4, head="position-utility"), TRAINING, 1, TRAIN)


def test_targets_without_funding_are_refused_where_it_is_counted() -> None:
    past = past_of(BARS, funding=False)

    with pytest.raises(DataError, match="funding=True"):
        Trainer(past, ModelSettings(hidden=4, head="position-sharpe"), TRAINING, 1, TRAIN)


def test_a_fit_is_another_where_funding_is_another() -> None:
    past = past_of(BARS)
    other = replace(past, targets=replace(past.targets, funding=past.targets.funding + 0.001))

    model = ModelSettings(hidden=4, head="position-utility")

    assert not same(*(fit_member(one, model, TRAINING, 1) for one in (past, other)))


def test_a_study_makes_funding_for_the_heads_that_count_it() -> None:
    asking = {head: ModelSettings(head=head).learns_positions for head in HEADS}
    markets = {head: Market.of(study_of(head), BARS) for head in ("student-t", "position-sharpe")}

    assert asking == {head: head in POSITIONS for head in HEADS}
    assert markets["student-t"].targets.funding is None
    assert np.isfinite(markets["position-sharpe"].targets.funding[:-1]).all()


def test_the_audit_asks_when_funding_is_known() -> None:
    market = Market.of(study_of("position-utility"), BARS)

    rows, ahead = stages._targets(market, BARS[:500]), stages._ahead(market)

    assert ahead == {"1 ahead": 1, "4 ahead": 4, "funding ahead": 1}
    assert {name: int(np.flatnonzero(np.isfinite(part[:, 0])).max()) for name, part in rows.items()} == {
        "1 ahead": 498,
        "4 ahead": 495,
        "funding ahead": 498,
    }


def study_of(head: str) -> Study:
    tables = {"data": {"source": "embedded"}, "model": {"head": head}, "target": {"horizons": [1, 4]}}
    return Study.parse(tables)


def test_a_position_begins_at_what_a_belief_says_of_the_next_bars() -> None:
    panel = FeatureStream(BARS.symbols, NAMES).extend(BARS)
    bars = Past.cut(panel, make_targets(BARS, (1, 4), funding=True), TRAIN, VALIDATION)
    belief = ModelSettings(hidden=4, restart_rows=64)
    believed = fit_member(bars, belief, TRAINING, 1).weights[1]

    position = belief.model_copy(update={"head": "position-sharpe"})
    _, _, begin = training._begun(training.Task(past=bars, model=position, training=TRAINING, seed=1))
    states = {"student-t": trainer.tensors(believed), "position-sharpe": begin}
    window = torch.from_numpy(np.random.default_rng(1).standard_normal((20, 3, 4), dtype=np.float32))
    mean, wish = (said_by(belief.model_copy(update={"head": head}), states[head], window) for head in states)

    torch.testing.assert_close(wish[..., 0, 0], 5.0 * mean[..., 1, 0])
    assert wish[..., 0, 0].abs().max() > 0.0
    assert (wish[..., 0, 1] == 0.0).all()


def said_by(model: ModelSettings, state: dict[str, torch.Tensor], window: torch.Tensor) -> torch.Tensor:
    network = Network(NetworkConfig(inputs=4, horizons=2, coins=2, model=model)).eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        return network(window)[0]


def planted(rate: np.ndarray, noise: float) -> Bars:
    """Two coins whose closes are noise without a drift, and that settle at every close."""
    moves = noise * np.random.default_rng(1).standard_normal(BARS.close.shape)
    close = 100.0 * np.exp(np.cumsum(moves - moves.mean(axis=0), axis=0))
    opened = np.concatenate([close[:1], close[:-1]])
    return replace(
        BARS,
        open=opened,
        close=close,
        high=np.maximum(opened, close) * 1.0002,
        low=np.minimum(opened, close) * 0.9998,
        volume=np.full_like(close, 100.0),
        funding_rate=rate,
    )


def positions_of(past: Past, key: str, costs: Costs = Costs()) -> np.ndarray:  # noqa: B008 it is frozen
    """What is held over the validation rows by what was learnt in some steps, as a share of a full position."""
    model = ModelSettings(hidden=4, readout=0, coin_width=2, dropout=0.0, head=key)
    recipe = TrainingSettings(
        steps=40, batch_chunks=8, chunk_bars=96, burn_in_bars=8, learning_rate=0.03, costs=costs
    )
    learner = Trainer(past, model, recipe, 3, past.train)
    for number in range(1, recipe.steps + 1):
        learner.step(number)
    moves = learner.head.zones(learner._spoken()[None]).exposures(np.ones((len(VALIDATION), 2)))
    return pl.DataFrame(moves).fill_nan(None).fill_null(strategy="forward").fill_null(0.0).to_numpy()


@pytest.mark.parametrize("key", POSITIONS)
def test_where_funding_alone_pays_the_side_that_receives_it_is_learnt(key: str) -> None:
    rate = np.zeros(BARS.close.shape)
    rate[:, 0] = 4e-4
    longs_pay, shorts_pay = (past_of(planted(paid, noise=0.002), names=NAMES[:1]) for paid in (rate, -rate))
    unheard = replace(longs_pay.targets, funding=np.zeros_like(longs_pay.targets.funding))

    short, long = (positions_of(past, key)[24:, 0].mean() for past in (longs_pay, shorts_pay))
    without = positions_of(replace(longs_pay, targets=unheard), key)[24:, 0].mean()

    assert short < -0.25
    assert long > 0.25
    assert abs(without) < 0.5 * min(-short, long)


@pytest.mark.parametrize(
    ("rate", "costs", "turns"),
    [(5e-5, FREE, True), (5e-5, Costs(), False), (5e-4, Costs(), True)],
    ids=["free", "below costs", "above costs"],
)
def test_funding_that_turns_twice_a_day_is_followed_only_where_it_pays_the_turn(
    rate: float, costs: Costs, *, turns: bool
) -> None:
    morning = np.arange(len(BARS)) % 24 < 12
    paid = np.repeat(np.where(morning, rate, -rate)[:, None], 2, axis=1)
    past = past_of(planted(paid, noise=2.5e-4), names=(NAMES[0], *HOURS))

    held = positions_of(past, "position-utility", costs)

    swing = np.abs(np.diff(held, axis=0)).sum(axis=0).mean() * 24 / len(held)  # 4: from -1 to 1 and back
    assert bool(swing > 1.5) is turns
    assert bool(swing > 0.5) is turns
