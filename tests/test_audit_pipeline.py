"""The pipeline of a study: everything in it is what an evaluation runs, and what is planted in it is found."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from longshort.base.clock import HOUR, Interval
from longshort.base.instrument import AccountTerms
from longshort.base.settings import Study
from longshort.base.stage import Stage
from longshort.data.bars import Bars
from longshort.data.execution import laid_under
from longshort.data.simulator import simulate_market
from longshort.models.forecast import Forecast
from longshort.models.opponents.catalog import model_name
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger
from longshort.policy.steering import Sight, Steering, exposures
from longshort.study.account.broker import Broker
from longshort.study.audit import books, stages
from longshort.study.audit import pipeline as wiring
from longshort.study.audit.books import books_of
from longshort.study.audit.pipeline import audited_study, pipeline_of
from longshort.study.audit.record import Audit, Pipeline
from longshort.study.audit.run import audit
from longshort.study.folds import Fold
from longshort.study.market import Market
from longshort.study.money import earn
from longshort.study.walk import Walk, walk

from .accounts import TIERS
from .markets import punched

STUDY = Study.parse(
    {
        "features": {"names": ["return_1", "rsi_14", "range_24", "funding_last"]},
        "model": {"hidden": 4, "seeds": [1], "restart_rows": 32},
        "training": {
            "steps": 10, "check_every": 10, "batch_chunks": 4, "chunk_bars": 48, "burn_in_bars": 12, "processes": 1,
        },
        "target": {"horizons": [1, 4]},
        "validation": {"folds": 2, "first_train_share": 0.8, "holdout_from": "2024-03-20"},
        "policy": {"entry_cost_multiple": 0.02, "horizon_bars": 4},
    }
)  # fmt: skip
BARS = punched(
    simulate_market(coins=2, bars=2_000, seed=4, edge=0.2).bars, np.random.default_rng(2), share=0.005
)
NAME = model_name(STUDY)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.of(STUDY, BARS)


@pytest.fixture(scope="module")
def pipeline(market: Market) -> Iterator[Pipeline[Bars]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longshort.study.walk.open_market", lambda study: market)
        yield pipeline_of(market)


@pytest.fixture(scope="module")
def walked(market: Market) -> Iterator[Walk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longshort.study.walk.open_market", lambda study: market)
        yield walk(market, market.folds(), cache=None)


def stage(pipeline: Pipeline[Bars], name: str) -> Stage[Bars]:
    return next(s for s in pipeline.stages if s.name == name)


def audited(pipeline: Pipeline[Bars], **parts: object) -> Audit:
    bare = Pipeline(history=pipeline.history, timeline=pipeline.timeline)
    return audit(replace(bare, **parts), seconds=1.0)  # pyright: ignore[reportArgumentType]


def alarms(found: Audit) -> list[tuple[str, str]]:
    return [(f.stage, f.check) for f in found.alarms]


def test_every_part_of_a_study_is_handed_over(pipeline: Pipeline[Bars]) -> None:
    assert [s.name for s in pipeline.stages] == [
        "bars", "features", "targets", "chunks", "forecasts", "exposures", "rivals",
    ]  # fmt: skip
    assert [f.name for f in pipeline.fits] == ["fold 1"]
    assert [s.name for s in pipeline.splits] == ["fold 1", "fold 2"]
    assert [a.name for a in pipeline.accounts] == ["policy"]
    assert [t.name for t in pipeline.forecasts] == ["forecasts 1 ahead", "forecasts 4 ahead"]


def test_the_clean_pipeline_raises_no_alarm(pipeline: Pipeline[Bars]) -> None:
    found = audit(pipeline, seconds=8.0)

    assert found.exit_code == 0, found.alarms
    assert {f.check for f in found.findings} >= {
        "truncation",
        "poison",
        "fit isolation",
        "split",
        "execution",
    }
    assert not [f for f in found.findings if f.outcome == "warning" and f.check != "persistence"]


def test_no_sealed_bar_is_in_it(pipeline: Pipeline[Bars], market: Market) -> None:
    targets = stage(pipeline, "targets").rows(pipeline.history)

    assert len(pipeline.history) == market.development_rows < len(BARS)
    assert np.isnan(targets["4 ahead"][-4:]).all()


def test_its_forecasts_are_those_of_the_walk(pipeline: Pipeline[Bars], walked: Walk) -> None:
    found = stage(pipeline, "forecasts").rows(pipeline.history)

    np.testing.assert_array_equal(found["scale"][walked.tested.start :], walked.forecasts[NAME].law.scale)
    assert np.isnan(found["scale"][: walked.tested.start]).all()


@pytest.mark.parametrize("name", ["features", "forecasts", "exposures"])
def test_what_is_streamed_is_what_is_said_of_the_whole(pipeline: Pipeline[Bars], name: str) -> None:
    chosen, bars = stage(pipeline, name), pipeline.history
    first = chosen.borders[1] - 20 if chosen.borders else 1_000
    pieces = [bars[:first], *(bars[row : row + 1] for row in range(first, first + 40))]
    assert chosen.stream

    parts = list(chosen.stream(iter(pieces)))

    for key, whole in chosen.rows(bars).items():
        np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), whole[: first + 40])


def test_a_fit_of_the_same_bars_gives_the_walks_own_numbers(pipeline: Pipeline[Bars]) -> None:
    learn, bars = pipeline.fits[0].learn, pipeline.history

    kept, anew = learn(bars), learn(bars[: len(bars)])

    assert kept.keys() == anew.keys()
    assert {"features", "scaler mean", "mean weights", "anchor beta", "seed 1 stopped at"} <= kept.keys()
    assert all(np.array_equal(kept[name], anew[name]) for name in kept)


def test_a_fold_that_learns_from_its_test_is_caught(
    pipeline: Pipeline[Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = wiring.past_of
    monkeypatch.setattr(wiring, "past_of", lambda market, fold: honest(market, _later(fold)))

    found = audited(pipeline, fits=pipeline.fits)

    assert alarms(found) == [("fold 1", "fit isolation")]


def _later(fold: Fold) -> Fold:
    validation = range(fold.validation.start, fold.validation.stop + 8)
    return Fold(train=fold.train, validation=validation, test=fold.test)


def test_labels_that_end_in_the_test_are_caught(market: Market, pipeline: Pipeline[Bars]) -> None:
    fold = market.folds()[0]

    split = wiring._split(wiring.developed(market), _later(fold), 0)

    assert alarms(audited(pipeline, splits=(split,))) == [("fold 1", "split")]
    assert int(split.label_known_at.max()) == split.test_closed_at + 8 * HOUR


def test_a_fill_at_the_open_of_the_bar_that_decided_is_caught(pipeline: Pipeline[Bars]) -> None:
    account = pipeline.accounts[0]
    early = replace(account, known_at=account.known_at - HOUR)

    assert len(account.decided_at) > 20
    assert alarms(audited(pipeline, accounts=(early,))) == [("policy", "execution")]


def test_an_evaluation_that_drops_its_last_batch_is_caught(pipeline: Pipeline[Bars]) -> None:
    scoring = pipeline.scorings[0]
    whole = scoring.score(97)
    dropping = replace(scoring, sizes=(1, 7), score=lambda size: whole | {"rows": float(97 // size * size)})

    assert whole["rows"] == 97.0
    assert alarms(audited(pipeline, scorings=(dropping,))) == [("forecasts", "batch size")]


def test_without_funding_on_record_there_is_no_account(market: Market) -> None:
    names = ("return_1", "range_24")  # none that reads funding
    study = STUDY.model_copy(update={"features": STUDY.features.model_copy(update={"names": names})})
    bare = Market.of(
        study,
        replace(
            BARS,
            funding_covered=np.zeros_like(BARS.funding_covered),
            funding_rate=np.full_like(BARS.close, np.nan),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longshort.study.walk.open_market", lambda study: bare)
        assert pipeline_of(bare).accounts == ()


def test_nothing_is_learnt_from_shuffled_targets_and_what_is_judged_on_its_own_rows_is(
    market: Market,
) -> None:
    part, fold = wiring.developed(market), market.folds()[0]

    skill = wiring.shuffled_skill(part, fold, np.random.default_rng(1))

    assert skill.p_value > 1e-3
    assert np.isfinite(skill.gain).sum() > 100


def test_a_default_audit_looks_at_two_folds_and_one_seed_and_a_thorough_one_at_all() -> None:
    study = Study.parse({"validation": {"folds": 7}, "model": {"seeds": [3, 4]}})

    default = audited_study(study, thorough=False)

    assert (default.validation.folds, default.model.seeds) == (2, (3,))
    assert audited_study(study, thorough=True) == study


def test_the_noise_that_stages_share_is_noise_after_the_instant_and_nothing_before(
    pipeline: Pipeline[Bars],
) -> None:
    bars, rng = pipeline.history, np.random.default_rng(0)
    instant = int(bars.closed_at[1_000])

    noise, again = (pipeline.timeline.poisoned(bars, instant, rng) for _ in range(2))

    assert again is noise
    np.testing.assert_array_equal(noise.close[:1_001], bars.close[:1_001])
    assert (noise.close[1_001:] != bars.close[1_001:]).all()


def test_a_stage_of_a_users_that_sees_one_bar_ahead_is_caught(pipeline: Pipeline[Bars]) -> None:
    ahead = Stage(name="mine", rows=lambda bars: {"next": np.append(bars.close[1:, 0], np.nan)})

    assert alarms(audited(pipeline, stages=(ahead,))) == [("mine", "truncation"), ("mine", "poison")]


GUARDED = {"stop_multiple": 0.5, "take_multiple": 0.7, "max_holding_bars": 12}
ACCOUNT = AccountTerms(margin="isolated", leverage=3.0)


@pytest.fixture(scope="module")
def guarded(market: Market) -> Market:
    """The same market with a study that leaves positions inside bars, on margin."""
    changed = {
        "policy": STUDY.policy.model_copy(update=GUARDED),
        "trading": STUDY.trading.model_copy(update={"margin": "isolated", "leverage": 3.0}),
    }
    tiered = replace(BARS, instruments=tuple(replace(i, tiers=TIERS) for i in BARS.instruments))
    return wiring.developed(replace(market, bars=tiered, study=STUDY.model_copy(update=changed)))


@pytest.fixture(scope="module")
def bare(guarded: Market) -> Pipeline[Bars]:
    return Pipeline(history=guarded.bars, timeline=wiring.SharedNoise(guarded.bars))


def in_halves(bars: Bars) -> Bars:
    """Two bars for every one, by way of the middle between open and close."""
    middle, rows = (bars.open + bars.close) / 2.0, 2 * len(bars)
    parts = {
        "open": (bars.open, middle),
        "high": (bars.high, np.fmax(middle, bars.close)),
        "low": (np.fmin(middle, bars.open), bars.low),
        "close": (middle, bars.close),
        "volume": (bars.volume, bars.volume),
        "funding_rate": (np.full(middle.shape, np.nan), bars.funding_rate),
        "present": (bars.present,) * 2,
        "listed": (bars.listed,) * 2,
        "funding_covered": (bars.funding_covered,) * 2,
    }
    return replace(
        bars,
        interval=Interval(HOUR // 2),
        closed_at=np.stack([bars.closed_at - HOUR // 2, bars.closed_at], axis=1).ravel(),
        gauges={},
        **{name: np.stack(pair, axis=1).reshape(rows, -1) for name, pair in parts.items()},
    )


def on_halves(market: Market, rows: range) -> Broker:
    decision = market.bars[rows.start : rows.stop]
    return Broker(
        decision=decision,
        execution=laid_under(decision, in_halves(decision)).bars,
        costs=market.study.costs.record,
        account=market.study.trading.account,
        starting_balance=market.study.trading.starting_balance,
    )


def test_the_audited_account_is_that_of_the_backtest(guarded: Market, walked: Walk) -> None:
    found = books_of(guarded, walked)

    booked = found.booked(guarded.bars, found.exposure.target)

    assert found.broker.account == ACCOUNT
    assert {"stop", "take"} <= set(booked.fills["cause"])
    earned = earn(guarded, walked, NAME).ledgers[NAME]
    np.testing.assert_array_equal(booked.equity, earned.equity)
    profit = found.profit(guarded.bars, found.exposure.target)
    np.testing.assert_array_equal(profit[walked.tested.start : walked.tested.stop], earned.equity)


@pytest.mark.parametrize("place", ["hours", "halves"])
def test_exits_and_finer_bars_are_audited_and_raise_no_alarm(
    place: str, guarded: Market, walked: Walk, bare: Pipeline[Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers = {"halves": on_halves}
    monkeypatch.setattr(books, "broker_of", brokers.get(place, books.broker_of))

    (account,) = wiring._accounts(guarded, walked)

    found = audited(bare, accounts=(account,))
    assert alarms(found) == []
    assert [f.outcome for f in found.findings if f.check == "execution"] == ["clean", "clean"]


@pytest.mark.parametrize("place", ["hours", "halves"])
def test_an_exit_that_acts_a_bar_before_it_was_wished_is_caught(
    place: str, guarded: Market, walked: Walk, bare: Pipeline[Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, brokers = Broker.book, {"halves": on_halves}
    monkeypatch.setattr(books, "broker_of", brokers.get(place, books.broker_of))

    def early(broker: Broker, wishes: Exposure) -> Ledger:
        ahead = {
            n: np.concatenate([getattr(wishes, n)[1:], getattr(wishes, n)[-1:]]) for n in ("stop", "take")
        }
        return honest(broker, replace(wishes, **ahead))

    monkeypatch.setattr(Broker, "book", early)
    (account,) = wiring._accounts(guarded, walked)

    assert alarms(audited(bare, accounts=(account,))) == [("policy", "execution")]


def test_a_stop_that_knows_the_last_bar_is_caught_though_the_targets_are_honest(
    guarded: Market, walked: Walk, bare: Pipeline[Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    def knowing(forecast: Forecast, steering: Steering, sight: Sight) -> Exposure:
        wishes = exposures(forecast, steering, sight)
        return replace(wishes, stop=wishes.stop * float(sight.bars.close[-1, 0]))

    monkeypatch.setattr(stages, "exposures", knowing)
    (chosen,) = (s for s in stages.stages_of(guarded, walked) if s.name == "exposures")

    found = audited(bare, stages=(replace(chosen, stream=None),))

    assert alarms(found) == [("exposures", "truncation"), ("exposures", "poison")]
