"""A refinement takes up a new law, keeps the old one in mind, and changes nothing where nothing is to be gained."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from longshort.base.errors import DataError
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.data.simulator import simulate_market
from longshort.features.panel import FeatureStream, Panel
from longshort.features.targets import Targets, make_targets
from longshort.models.forecaster import Past, volatility_over
from longshort.models.lstm import FittedLSTM
from longshort.models.opponents.scale import HAR, FittedScale, har
from longshort.models.training.fitting import Curve, Member, fit_member
from longshort.models.training.refine import Refined, new_rows, refine_member
from longshort.models.training.trainer import Origin, Trainer, tensors
from longshort.study.evidence import learning
from longshort.study.evidence.learning import stopping_reasons

from .conftest import Said
from .judged import judged

Inside = Callable[..., Said]

OLD, KNOWN, ALL = 900, 1_300, 1_600
HORIZONS = (1, 2)
NAMES = ("return_1", "momentum_6", "momentum_24")
MODEL = ModelSettings(hidden=4, dropout=0.0, restart_rows=32)
TRAINING = TrainingSettings(
    steps=60, check_every=10, batch_chunks=6, chunk_bars=32, burn_in_bars=8, learning_rate=0.02,
    refine_rate=0.02, refine_steps=60,
)  # fmt: skip
CURVE = Curve(steps=(1,), score=((0.0,),), best_step=(1,), seconds=0.0)
BARS = simulate_market(2, ALL, seed=9).bars
PLAIN = FeatureStream(BARS.symbols, NAMES).extend(BARS)
ANCHOR = FittedScale(HAR, HORIZONS, har, np.zeros((2, 1)), np.full(2, 5.0))  # refinement never asks it


@dataclass(frozen=True)
class World:
    """A market, and a network that learned its first rows."""

    panel: Panel
    targets: Targets
    fitted: FittedLSTM

    @property
    def before(self) -> Member:
        return self.fitted.members[0]

    def refined(self, **settings: float) -> Refined:
        training = TRAINING.model_copy(update=settings)
        rows = new_rows(OLD, KNOWN, max_horizon_bars=2, training=training)
        past = Past.cut(self.panel, self.targets, rows.learn, rows.validation, NAMES)
        return refine_member(past, rows, self.fitted, self.before, training)

    def score(self, member: Member, rows: range) -> float:
        """The mean log density of some rows, each horizon by its own weights."""
        past = Past.cut(self.panel, self.targets, range(60, 700), rows, NAMES)
        origin = Origin(weights=member.weights[0], scaler=self.fitted.scaler, replay=range(OLD))
        trainer = Trainer(past, MODEL, TRAINING, 1, past.train, origin)
        found: list[float] = []
        for k, weights in enumerate(member.weights):
            trainer.load(tensors(weights))
            found.append(float(trainer.validate()[k]))
        return float(np.mean(found))


@cache
def world(*, changes: bool) -> World:
    """Returns rise by .7 of their volatility in the old regime and fall in the new, which an input marks."""
    rng = np.random.default_rng(4)
    regime = np.where(changes & (np.arange(ALL) >= OLD), 1.0, -1.0)[:, None]
    values = PLAIN.values.copy()
    values[:, :, 1] = regime
    panel = replace(PLAIN, values=values)
    scaled = -0.7 * regime[:, :, None] + rng.standard_t(5, size=(ALL, 2, len(HORIZONS)))
    known = np.isfinite(make_targets(BARS, HORIZONS).log_return)
    returns = np.where(known, scaled * volatility_over(panel, HORIZONS), np.nan)
    targets = Targets(horizons=HORIZONS, log_return=returns)
    past = Past.cut(panel, targets, range(60, 700), range(702, OLD - 2), NAMES)
    members = (fit_member(past, MODEL, TRAINING, 1),)
    return World(panel, targets, FittedLSTM.of(past, MODEL, members, ANCHOR))


def test_new_rows_are_divided_so_that_no_label_is_seen_twice() -> None:
    rows = new_rows(OLD, KNOWN, max_horizon_bars=24, training=TRAINING)

    assert rows.old == range(OLD)
    assert rows.learn.start == OLD - TRAINING.burn_in_bars
    assert rows.learn.stop - 1 + 24 <= rows.validation.start
    assert rows.validation.stop - 1 + 24 <= KNOWN - 1


@pytest.mark.parametrize("known", [OLD - 10, OLD, OLD + 30])
def test_too_few_new_rows_are_refused_with_the_remedy(known: int) -> None:
    with pytest.raises(DataError, match=r"bars are new since the model was trained.*Fetch more bars"):
        new_rows(OLD, known, max_horizon_bars=2, training=TRAINING)


def test_refinement_takes_up_a_new_law_and_replay_keeps_the_old() -> None:
    changed = world(changes=True)
    later, earlier = range(KNOWN, ALL - 2), range(400, OLD - 2)

    replayed, forgetful = changed.refined(), changed.refined(replay_share=0.0)

    known, lost = changed.score(changed.before, earlier), changed.score(changed.before, later)
    assert replayed.accepted == (True, True)
    assert known - lost > 0.1
    assert changed.score(replayed.member, later) - lost > 0.8 * (known - lost)
    assert known - changed.score(replayed.member, earlier) < 0.02
    assert known - changed.score(forgetful.member, earlier) > 0.05


def test_refinement_on_an_unchanged_market_does_not_lose() -> None:
    same, later = world(changes=False), range(KNOWN, ALL - 2)

    after = same.refined()

    assert same.score(after.member, later) >= same.score(same.before, later) - 0.005


def test_a_horizon_that_gains_nothing_keeps_its_weights_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = world(changes=True)
    clear = iter([False, True])
    monkeypatch.setattr("longshort.models.training.refine._is_clear", lambda gain, error: next(clear))

    before, after = changed.before, changed.refined().member

    kept = zip(before.weights[0].values(), after.weights[0].values(), strict=True)
    taken = zip(before.weights[1].values(), after.weights[1].values(), strict=True)
    assert all(np.array_equal(a, b) for a, b in kept)
    assert not all(np.array_equal(a, b) for a, b in taken)
    assert after.curve.best_step[0] == before.curve.best_step[0]
    assert after.curve.best_step[1] > max(before.curve.best_step)


SHORT = (
    'data.embedded_coins=2', 'model.seeds=[1,2]', 'model.hidden=4', 'model.restart_rows=32',
    'training.steps=20', 'training.check_every=5', 'training.chunk_bars=64', 'training.burn_in_bars=16',
    'training.batch_chunks=4', 'training.refine_steps=10', 'training.processes=1', 'target.horizons=[1,4]',
)  # fmt: skip


def study(folder: Path, bars: int, *more: str) -> list[str]:
    settings = [f"data.embedded_bars={bars}", 'data.source="embedded"', *SHORT, *more]
    (folder / "study.toml").touch()
    return [str(folder), *[part for setting in settings for part in ("--set", setting)]]


def test_the_command_replaces_the_bundle_only_where_that_is_better(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, later = tmp_path / "bundle" / "bundle.json", study(tmp_path, 2_300)

    trained = inside("train", *study(tmp_path, 2_000), cwd=tmp_path)
    parent = bundle.read_text()
    monkeypatch.setattr("longshort.models.training.refine.LEAST_GAIN", 1e9)
    refused = inside("train", *later, "--refine", cwd=tmp_path)
    unchanged = bundle.read_text()
    monkeypatch.setattr("longshort.models.training.refine.LEAST_GAIN", -1e9)
    refined = inside("train", *later, "--refine", cwd=tmp_path)
    forecast = inside("forecast", *later, "--json", cwd=tmp_path)

    assert [said.err for said in (trained, refused, refined, forecast) if said.code] == []
    assert "Stopped: all steps done (seeds 1 and 2)." in trained.out
    assert "the old weights stay, and so does the bundle" in " ".join(refused.out.split())
    assert unchanged == parent
    before, after = json.loads(parent), json.loads(bundle.read_text())
    assert after["hashes"]["parent"] == before["weights"] != after["weights"]
    assert before["weights"] in refined.out
    assert (after["features"], after["mean_weights"]) == (before["features"], before["mean_weights"])
    assert after["trained_until"] > before["trained_until"]


def test_the_report_tells_each_fits_curve_its_best_moments_and_its_end() -> None:
    case = judged()

    section = learning.section(case)

    (table,) = section.tables
    members = [m for models in case.walk.fitted for m in models[case.model].members]
    assert len(table.rows) == len(members) * 2
    assert [row[3] for row in table.rows] == [step for m in members for step in m.curve.best_step]
    assert [chart.name for chart in section.charts] == ["learning_1", "learning_4"]
    moments, *lines = section.charts[0].series
    assert len(lines) == len(members)
    assert moments.x[::2] == tuple(
        float(m.curve.steps[int(np.argmax([s[0] for s in m.curve.score]))]) for m in members
    )
    assert "all steps done (4 of 4)" in section.reading


def test_reasons_are_told_with_the_seeds_that_had_them() -> None:
    none = np.zeros((0, 0, 1), dtype=np.float32)
    members = [
        Member(seed=seed, weights=(), curve=replace(CURVE, stopped=why), validation_mean=none)
        for seed, why in ((1, "all steps done"), (2, "no gain for 6 checks"), (3, "all steps done"))
    ]

    assert stopping_reasons(members) == "all steps done (seeds 1 and 3); no gain for 6 checks (seed 2)"
