"""A model is kept true: alarms that mean something, promotions that are earned, and nothing known too early."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from longshort.base.errors import MissingExtra, NotComputable
from longshort.base.journal import MemoryJournal
from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.models.forecaster import Forecaster
from longshort.models.lstm import LSTMForecaster
from longshort.models.opponents.naive import PreviousValue
from longshort.models.opponents.scale import HAR, ScaleModel, har
from longshort.study.drift.champion import Outcome, Trial, TrialRules
from longshort.study.drift.detectors import Closed, Coverage, Detector, Inputs, Residuals, Skill, alarms
from longshort.study.drift.events import Expired, Resumed, StoodDown, TrialBegan, TrialEnded
from longshort.study.drift.lineage import Lineage, Rules
from longshort.study.drift.loop import adapt
from longshort.study.drift.page import Page
from longshort.study.drift.shadow import fold_known
from longshort.study.drift.standdown import StandDown, StandDownRules, never_added
from longshort.study.market import Market
from tests.markets import poisoned

COINS, STREAMS, ROWS, SHIFT = 3, 3, 900, 600
NAMES = ("one", "two", "three", "four")
FIRST, LAST = 1_000, 1_500


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_121)


def closed_rows(
    rng: np.random.Generator, *, spread: float = 1.0, lean: float = 0.0, moved: float = 0.0, rows: int = ROWS
) -> Iterator[Closed]:
    """Rows of coins that move together, whose law changes at `SHIFT`; the inputs remember, the last of them moves."""
    level = np.zeros((COINS, len(NAMES)))
    for row in range(rows):
        later = row >= SHIFT
        shock = np.sqrt(0.7) * rng.standard_normal() + np.sqrt(0.3) * rng.standard_normal(COINS)
        level = 0.8 * level + 0.6 * rng.standard_normal(level.shape)
        inputs = level + np.array([0.0, 0.0, 0.0, moved if later else 0.0])
        score = shock * (spread if later else 1.0) + (lean if later else 0.0)
        gain = 0.02 - (0.15 if later and spread != 1.0 else 0.0) + 0.1 * rng.standard_normal()
        yield Closed(row=row, inputs=inputs, pit=special.ndtr(score), gain_nats=gain)


def detector(kind: str) -> Detector:
    made: dict[str, Detector] = {"inputs": Inputs(NAMES), "residuals": Residuals(), "coverage": Coverage()}
    return (made | {"skill": Skill()})[kind]


@pytest.mark.parametrize("kind", ["inputs", "residuals", "coverage", "skill"])
def test_detectors_are_silent_while_nothing_changes(rng: np.random.Generator, kind: str) -> None:
    found = [alarms(detector(kind), closed_rows(rng)) for _ in range(STREAMS)]

    assert sum(bool(heard) for heard in found) <= 1


@pytest.mark.parametrize(
    ("kind", "change", "within"),
    [
        ("inputs", {"moved": 2.0, "rows": 1_300}, 600),
        ("residuals", {"spread": 2.0}, 120),
        ("residuals", {"lean": 1.0}, 120),
        ("coverage", {"spread": 2.0}, 120),
        ("skill", {"spread": 2.0}, 160),
    ],
)
def test_detectors_hear_a_change_soon_and_date_it(
    rng: np.random.Generator, kind: str, change: dict[str, Any], within: int
) -> None:
    first = [alarms(detector(kind), closed_rows(rng, **change))[0] for _ in range(STREAMS)]

    assert all(SHIFT <= drift.row < SHIFT + within for drift in first)
    assert abs(np.median([drift.since for drift in first]) - SHIFT) <= 72
    assert {drift.kind for drift in first} == {kind}


def test_an_input_that_moves_is_named(rng: np.random.Generator) -> None:
    drift = alarms(detector("inputs"), closed_rows(rng, moved=2.0, rows=1_300))[0]

    assert drift.detail.startswith("four moved by +")


def test_without_river_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "river.drift", None)

    with pytest.raises(MissingExtra, match=r'river is not installed. .*pip install "longshort\[baselines\]"'):
        Residuals()


def test_a_page_test_rarely_calls_a_right_law_wrong(rng: np.random.Generator) -> None:
    waits = []
    for _ in range(100):
        page, row = Page(false_alarm_every=20.0), 0
        while not page.step(row, 0.5 * rng.standard_normal() - 0.125):  # log ratio of N(.5, 1) to N(0, 1)
            row += 1
        waits.append(row + 1)

    assert np.mean(waits) >= 20.0


def promoted(rng: np.random.Generator, rules: TrialRules, *, challengers: int, champion_right: bool) -> bool:
    """Whether any of some challengers, whose location is off by .3, displaces a champion that is right."""
    for number in range(1, challengers + 1):
        trial, outcome = Trial(rules, number), Outcome.RUNNING
        while outcome is Outcome.RUNNING:
            came = rng.standard_normal()
            ratio = 0.3 * came - 0.045  # log N(came; .3, 1) - log N(came; 0, 1)
            outcome = trial.step(ratio if champion_right else -ratio)
        if outcome is Outcome.PROMOTED:
            return True
    return False


def test_all_challengers_together_rarely_displace_a_right_champion(rng: np.random.Generator) -> None:
    rules = TrialRules(rows=240, least_rows=1, margin_nats=0.0, level=0.05)

    hits = sum(promoted(rng, rules, challengers=4, champion_right=True) for _ in range(100))

    assert hits <= 11  # 5 % of 100 is 5; 12 or more has a chance of less than 1 %


def test_a_better_challenger_is_promoted(rng: np.random.Generator) -> None:
    hits = sum(promoted(rng, TrialRules(), challengers=1, champion_right=False) for _ in range(20))

    assert hits >= 18


def test_a_challenger_that_is_better_by_less_than_the_margin_is_not_promoted() -> None:
    trial = Trial(TrialRules(rows=5_000, margin_nats=0.002), 1)

    outcomes = [trial.step(0.0019) for _ in range(5_000)]

    assert outcomes[-1] is Outcome.DISMISSED
    assert Outcome.PROMOTED not in outcomes


def test_broken_coverage_stops_new_exposure_until_it_holds_again() -> None:
    watch = StandDown(StandDownRules(resume_rows=50))
    inside, outside = np.full(COINS, 0.5), np.full(COINS, 0.999)

    broken = [watch.step(row, outside, 0.0) for row in range(30)]
    healed = [watch.step(row, inside, 0.0) for row in range(30, 100)]

    assert broken[0] == ""
    assert broken[-1] == "coverage"
    assert healed[0] == "coverage"
    assert healed[-1] == ""


def test_a_rival_that_forecasts_better_stops_new_exposure() -> None:
    watch = StandDown(StandDownRules())

    reasons = [watch.step(row, np.full(COINS, 0.5), -0.2) for row in range(60)]

    assert reasons.index("skill") == 49  # 50 x .2 nats exceed log(20,000) = 9.9


exposures = st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4).map(np.array)


@given(wished=exposures, held=exposures)
def test_standing_aside_never_adds_exposure(wished: np.ndarray, held: np.ndarray) -> None:
    allowed = never_added(wished, held)

    assert np.all(np.abs(allowed) <= np.abs(held))
    assert np.all(allowed * held >= 0.0)
    assert np.all(np.abs(allowed) <= np.abs(wished))


@given(
    first=st.integers(0, 500),
    length=st.integers(150, 2_000),
    horizon=st.integers(1, 24),
    share=st.floats(0.05, 0.4),
)
def test_every_label_that_is_learned_from_had_come(
    first: int, length: int, horizon: int, share: float
) -> None:
    known = first + length

    fold = fold_known(first, known, max_horizon_bars=horizon, validation_share=share)

    assert fold.train.start == first
    assert fold.validation.stop - 1 + horizon < known
    assert fold.train.stop - 1 + horizon < fold.validation.start


def market_of(bars: Bars, horizons: tuple[int, ...] = (1,)) -> Market:
    study = Study.parse(
        {
            "target": {"horizons": list(horizons)},
            "policy": {"horizon_bars": horizons[0]},
            "features": {"names": ["return_1"]},
        }
    )
    return Market.of(study, bars)


def eager(**others: object) -> Rules:
    """Rules under which much happens in few bars."""
    chosen: dict[str, object] = {
        "retrain_every_bars": 120,
        "window_bars": 280,
        "fresh_bars": 100,
        "trial": TrialRules(rows=60, least_rows=5, margin_nats=0.0, level=0.9),
        "stand_down": StandDownRules(false_alarm_every=30.0, resume_rows=20),
    }
    return Rules(**(chosen | others))  # pyright: ignore[reportArgumentType]


def lived(bars: Bars, rules: Rules, horizons: tuple[int, ...] = (1,)) -> Lineage:
    forecaster: Forecaster = ScaleModel(HAR, horizons, har)
    return adapt(market_of(bars, horizons), forecaster, rules, rows=range(FIRST, LAST))


@pytest.fixture(scope="module")
def bars() -> Bars:
    return simulate_market(2, LAST, seed=3).bars


@pytest.fixture(scope="module")
def usual(bars: Bars) -> Lineage:
    return lived(bars, eager())


@pytest.mark.parametrize("horizons", [(1,), (4, 12)])
def test_what_comes_later_changes_no_earlier_decision(bars: Bars, horizons: tuple[int, ...]) -> None:
    whole = lived(bars, eager(), horizons)
    cut = whole.models[-1].from_row  # right behind the last row that the newest model knew

    spoiled = lived(poisoned(bars, cut, np.random.default_rng(1)), eager(), horizons)

    until = int(bars.closed_at[cut - 1])
    np.testing.assert_array_equal(spoiled.champion[: cut - FIRST], whole.champion[: cut - FIRST])
    np.testing.assert_array_equal(spoiled.adding[: cut - FIRST], whole.adding[: cut - FIRST])
    assert [e for e in spoiled.events if e.closed_at <= until] == [
        e for e in whole.events if e.closed_at <= until
    ]
    made = [
        (a.fitted, b.fitted) for a, b in zip(spoiled.models, whole.models, strict=False) if b.from_row <= cut
    ]
    assert len(made) >= 2
    assert all(np.array_equal(a.beta, b.beta) for a, b in made)


def test_models_forecast_only_rows_after_what_they_knew(usual: Lineage) -> None:
    lineage = usual
    from_row = np.array([made.from_row for made in lineage.models])

    assert np.all(from_row[lineage.champion] <= np.arange(FIRST, LAST))
    assert all(made.fold.validation.stop < made.from_row for made in lineage.models)
    assert [made.parent for made in lineage.models[:2]] == [None, 0]


def test_the_forecast_of_a_lineage_is_that_of_whoever_was_in_charge(bars: Bars, usual: Lineage) -> None:
    market, lineage = market_of(bars), usual

    forecast = lineage.forecast(market)

    number = int(lineage.champion[-1])
    own = lineage.models[number].fitted.predict(market.panel, range(LAST - 1, LAST))
    np.testing.assert_array_equal(forecast.law.variance()[-1:], own.law.variance())
    assert lineage.promotions >= 1
    assert len(forecast) == LAST - FIRST


def test_a_model_that_is_too_old_is_not_used(bars: Bars) -> None:
    never = TrialRules(rows=200, least_rows=200, level=1e-9)
    rules = eager(retrain_every_bars=0, retrain_on=(), expiry_bars=100, trial=never)

    lineage = lived(bars, rules)

    aside = np.flatnonzero(~lineage.adding)
    expired = [event for event in lineage.events if isinstance(event, Expired)]
    assert expired[0].successor is None
    assert expired[0].closed_at == bars.closed_at[FIRST + 100]
    assert not lineage.adding[100:300].any()
    assert len(aside)


def test_an_heir_that_was_not_worse_takes_over_from_an_expired_model(bars: Bars) -> None:
    tolerant = TrialRules(rows=40, least_rows=5, margin_nats=5.0)
    rules = eager(retrain_every_bars=60, retrain_on=(), expiry_bars=150, trial=tolerant)

    lineage = lived(bars, rules)

    successors = [event.successor for event in lineage.events if isinstance(event, Expired)]
    assert successors
    assert None not in successors
    assert lineage.promotions == 0


def test_every_change_is_in_the_journal_as_it_happens(bars: Bars) -> None:
    journal = MemoryJournal()

    lineage = adapt(
        market_of(bars), ScaleModel(HAR, (1,), har), eager(), rows=range(FIRST, LAST), journal=journal
    )

    assert journal.events == list(lineage.events)
    assert {StoodDown, Resumed, TrialBegan, TrialEnded} <= {type(event) for event in lineage.events}


def test_a_forecaster_without_a_law_cannot_be_watched(bars: Bars) -> None:
    with pytest.raises(NotComputable, match="previous value states no distribution"):
        adapt(market_of(bars), PreviousValue((1,)), eager(), rows=range(FIRST, LAST))


def test_a_network_is_kept_true_like_any_forecaster() -> None:
    training = TrainingSettings(steps=10, check_every=5, chunk_bars=48, burn_in_bars=8, batch_chunks=4)
    network = LSTMForecaster(
        (1,), ModelSettings(hidden=4, seeds=(1,), restart_rows=32, anchor="har"), training
    )
    market = market_of(simulate_market(2, LAST, seed=3).bars)

    lineage = adapt(market, network, eager(retrain_every_bars=60), rows=range(FIRST, FIRST + 80))

    assert [made.reason for made in lineage.models][:2] == ["first", "schedule"]
    assert lineage.forecast(market).dense
