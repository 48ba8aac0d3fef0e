"""A fit can be paused, fails in words, says why it stopped, and trains where it was told to."""

import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from longshort.base.errors import DataError, StudyError
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.data.simulator import simulate_market
from longshort.features.panel import FeatureStream
from longshort.features.targets import Targets, make_targets
from longshort.models import inputs
from longshort.models.forecaster import Past
from longshort.models.inputs import Scaler
from longshort.models.training import device
from longshort.models.training.checkpoint import Checkpoint
from longshort.models.training.chunks import Chunks, chunk_starts
from longshort.models.training.fitting import ALL_DONE, Diverged, Member, fit_member
from longshort.models.training.trainer import Trainer

from .markets import punched

BARS = punched(simulate_market(coins=2, bars=900, seed=5).bars, np.random.default_rng(1), share=0.01)
NAMES = ("return_1", "range_6", "realised_24")
PANEL = FeatureStream(BARS.symbols, NAMES).extend(BARS)
PAST = Past.cut(PANEL, make_targets(BARS, (1, 4)), range(100, 700), range(704, 880))
MODEL = ModelSettings(hidden=4, restart_rows=64)
TRAINING = TrainingSettings(
    steps=24, check_every=3, patience=4, batch_chunks=3, chunk_bars=48, burn_in_bars=12, checkpoint_every=1
)
CPU = torch.device("cpu")


class Interrupted(Exception):
    """The process was killed."""


@dataclass
class Killed:
    """Ends a fit at the n-th word of its progress."""

    after: int
    heard: int = 0

    def __call__(self, done: int, of: int) -> None:
        self.heard += 1
        if self.heard == self.after:
            raise Interrupted


def assert_same(mine: Member, theirs: Member) -> None:
    assert mine.curve.best_step == theirs.curve.best_step
    assert mine.curve.score == theirs.curve.score
    assert mine.curve.loss == theirs.curve.loss
    assert mine.curve.stopped == theirs.curve.stopped
    np.testing.assert_array_equal(mine.validation_mean, theirs.validation_mean)
    for a, b in zip(mine.weights, theirs.weights, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture(scope="module")
def whole() -> Member:
    return fit_member(PAST, MODEL, TRAINING, 3)


def test_a_batch_of_chunks_holds_the_rows_that_it_names() -> None:
    chunks = Chunks(PAST, Scaler.fit(PANEL, PAST.train, NAMES), TRAINING, CPU)
    chosen = chunk_starts(PAST, TRAINING, PAST.train)[[5, 0, 77]]

    window, came, coins = chunks.batch(chosen)

    expected = np.stack([chunks.rows.inputs[row : row + 48, coin] for row, coin in chosen], axis=1)
    targets = np.stack([PAST.scaled_targets()[row + 12 : row + 48, coin] for row, coin in chosen], axis=1)
    np.testing.assert_array_equal(window.numpy(), expected)
    np.testing.assert_array_equal(coins.numpy(), chosen[:, 1])
    scored = came.scored.numpy()
    np.testing.assert_array_equal(came.target.numpy()[scored], targets[scored].astype(np.float32))
    assert scored.mean() > 0.9


def test_the_inputs_of_a_fit_are_held_once() -> None:
    chunks = Chunks(PAST, Scaler.fit(PANEL, PAST.train, NAMES), TRAINING, CPU)

    assert np.shares_memory(chunks.rows.inputs, chunks._flat[0].numpy())


def test_preparing_a_fit_takes_little_memory_beside_what_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "BLOCK_CELLS", 512)
    panel = PANEL.join(*[PANEL] * 19)
    returns = np.concatenate([make_targets(BARS, (1,)).log_return] * 20)
    past = Past.cut(panel, Targets(horizons=(1,), log_return=returns), range(15_000), range(15_004, 17_990))
    tracemalloc.start()

    chunks = Chunks(past, Scaler.fit(past.panel, past.train, NAMES), TRAINING, CPU)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 2.0 * chunks.rows.inputs.nbytes


def test_a_scaler_does_not_depend_on_where_blocks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Scaler.fit(PANEL, PAST.train, NAMES)
    seen = whole.inputs(PANEL)
    rows = PANEL.values[PAST.train.start : PAST.train.stop][PANEL.usable[PAST.train.start : PAST.train.stop]]
    rows = rows.astype(np.float64)
    monkeypatch.setattr(inputs, "BLOCK_CELLS", 14)

    piecewise = Scaler.fit(PANEL, PAST.train, NAMES)

    np.testing.assert_array_equal(whole.mean, rows.mean(axis=0))
    np.testing.assert_array_equal(piecewise.mean, whole.mean)
    np.testing.assert_array_equal(piecewise.std, whole.std)
    np.testing.assert_array_equal(whole.inputs(PANEL), seen)


def test_a_descent_that_begins_again_is_a_new_one() -> None:
    learn = range(100, 860)
    used = Trainer(PAST, MODEL, TRAINING, 3, PAST.train)
    used.step(1)
    used.restart(learn)
    losses = [used.step(number) for number in (1, 2, 3)]

    new = Trainer(PAST, MODEL, TRAINING, 3, learn)

    assert [new.step(number) for number in (1, 2, 3)] == losses
    assert all(torch.equal(part, used.weights()[name]) for name, part in new.weights().items())


@pytest.mark.parametrize("after", [1, 3, 9])
def test_a_fit_that_was_killed_goes_on_to_the_same_bits(whole: Member, tmp_path: Path, after: int) -> None:
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Interrupted):
        fit_member(PAST, MODEL, TRAINING, 3, Killed(after), path)

    resumed = fit_member(PAST, MODEL, TRAINING, 3, checkpoint=path)

    assert_same(resumed, whole)
    assert not path.exists()


def test_a_resumed_fit_repeats_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, stepped = tmp_path / "fit.checkpoint", list[int]()
    with pytest.raises(Interrupted):
        fit_member(PAST, MODEL, TRAINING, 3, Killed(4), path)
    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, number: (stepped.append(number), step(self, number))[1])

    fit_member(PAST, MODEL, TRAINING, 3, checkpoint=path)

    assert stepped[0] == 10


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Interrupted):
        fit_member(PAST, MODEL, TRAINING, 3, Killed(3), path)

    with pytest.raises(DataError, match=r"fit\.checkpoint: it is a checkpoint of another fit\. Remove it"):
        fit_member(PAST, MODEL, TRAINING, 4, checkpoint=path)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    path.write_bytes(b"not a checkpoint")

    with pytest.raises(DataError, match="the checkpoint cannot be read"):
        fit_member(PAST, MODEL, TRAINING, 3, checkpoint=path)


def test_a_fit_that_diverges_names_its_step_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fit.checkpoint"
    step = Trainer.step

    def poisoned(self: Trainer, number: int) -> float:
        for part in self.network.parameters():
            part.data.mul_(float("nan") if number == 8 else 1.0)
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", poisoned)
    sometimes = TRAINING.model_copy(update={"checkpoint_every": 5})
    says = r"the loss of seed 3 is not finite at step 8\. The last good state, of step 6, is kept in .*checkpoint"

    with pytest.raises(Diverged, match=says):
        fit_member(PAST, MODEL, sometimes, 3, checkpoint=path)

    kept = torch.load(path, weights_only=True)
    assert kept["number"] == 6
    assert all(torch.isfinite(part).all() for part in kept["trainer"]["network"].values())


def test_a_step_whose_gradient_is_not_finite_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(PAST, MODEL, TRAINING, 3, PAST.train)
    before = trainer.weights()
    trainer.network.head.weight.register_hook(lambda gradient: gradient * float("inf"))

    loss = trainer.step(5)

    assert np.isnan(loss)
    assert all(torch.equal(before[name], part) for name, part in trainer.weights().items())


def test_a_validation_score_that_is_not_finite_is_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "validate", lambda self: np.full(2, np.nan, dtype=np.float32))

    with pytest.raises(
        Diverged, match=r"the validation score of seed 3 is not finite at step 3\. None was good"
    ):
        fit_member(PAST, MODEL, TRAINING, 3)


def test_a_curve_says_that_all_steps_were_done_and_how_training_went() -> None:
    curve = fit_member(PAST, MODEL, TRAINING.model_copy(update={"steps": 10}), 3).curve

    assert curve.stopped == ALL_DONE
    assert curve.steps == (3, 6, 9, 10)
    assert len(curve.loss) == 4
    assert np.isfinite(curve.loss).all()


def test_a_curve_says_that_no_horizon_gained_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([[1.0, 1.0], [2.0, 0.0], [1.5, 0.5], [1.9, 0.9], [1.0, 0.0], [1.0, 0.0]])
    monkeypatch.setattr(Trainer, "validate", lambda self: np.array(next(scores), dtype=np.float32))

    curve = fit_member(PAST, MODEL, TRAINING.model_copy(update={"patience": 2}), 3).curve

    assert curve.best_step == (6, 3)
    assert curve.steps == (3, 6, 9, 12)
    assert curve.stopped == "no gain for 2 checks"


def test_the_processor_is_taken_where_there_is_no_accelerator(whole: Member) -> None:
    automatic = fit_member(PAST, MODEL, TRAINING.model_copy(update={"device": "auto"}), 3)

    assert_same(automatic, whole)


def test_an_accelerator_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(
        StudyError, match=r'training\.device is "cuda", but torch finds no such .* Write "cpu"'
    ):
        fit_member(PAST, MODEL, TRAINING.model_copy(update={"device": "cuda"}), 3)


def test_bf16_is_refused_where_the_processor_can_only_imitate_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})

    with pytest.raises(StudyError, match=r'"bf16", which this processor can only imitate.* Write "fp32"'):
        fit_member(PAST, MODEL, TRAINING.model_copy(update={"precision": "bf16"}), 3)


def test_bf16_learns_nearly_the_same_and_leaves_weights_in_single_precision(
    whole: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "computes_bf16", lambda device: True)

    rough = fit_member(PAST, MODEL, TRAINING.model_copy(update={"precision": "bf16"}), 3)

    assert rough.curve.loss != whole.curve.loss
    np.testing.assert_allclose(rough.curve.loss[0], whole.curve.loss[0], rtol=0.02)
    assert {part.dtype for weights in rough.weights for part in weights.values()} == {np.dtype(np.float32)}


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    nowhere = Checkpoint(None, "")
    nowhere.hold({"number": 1})

    nowhere.save()

    assert nowhere.read() is None
