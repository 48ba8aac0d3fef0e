"""A search for settings sees nothing it may not see, forgets nothing, and does not praise itself."""

import json
import pickle
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longshort._commands.start import TEMPLATE
from longshort._commands.tries import trials_of
from longshort.base.clock import MINUTE, SystemClock
from longshort.base.errors import DataError, LongshortError, MissingExtra, StudyError
from longshort.base.jobs import Job, run_lanes
from longshort.base.settings import Study, to_toml
from longshort.data.bars import Bars
from longshort.study.market import first_test_row, load_bars
from longshort.study.run import tried_digest
from longshort.study.tuning import account as accounts
from longshort.study.tuning import ground as grounds
from longshort.study.tuning import objective
from longshort.study.tuning import search as searches
from longshort.study.tuning.account import account
from longshort.study.tuning.ground import Ground, dense_heads, open_ground, whole_heads
from longshort.study.tuning.objective import FoldScore, Unfit, fold_job
from longshort.study.tuning.search import Attempt, Plan, Search, best_of
from longshort.study.tuning.space import own_values, with_values
from longshort.study.tuning.tuned import commented
from longshort.web.tuning import render_tuning
from tests.conftest import Said
from tests.markets import poisoned

TINY: dict[str, dict[str, Any]] = {
    "data": {"source": "embedded", "embedded_coins": 2, "embedded_bars": 3_000},
    "target": {"horizons": [1]},
    "policy": {"horizon_bars": 1},
    "model": {"hidden": 4, "seeds": [1], "restart_rows": 64, "anchor": "har"},
    "training": {
        "steps": 10,
        "check_every": 5,
        "chunk_bars": 32,
        "burn_in_bars": 8,
        "batch_chunks": 4,
        "processes": 1,
    },
    "validation": {"first_train_share": 0.7},
    "tuning": {
        "folds": 2,
        "parameters": ["learning_rate", "hidden", "families"],
        "ranges": {"hidden": [4, 8], "families": ["price", "volume"]},
    },
}
ROWS, FOLDS = 400, 3
Judge = Callable[[Study, int], FoldScore | Unfit]


def tiny(**tuning: Any) -> Study:
    return Study.parse({**TINY, "tuning": {**TINY["tuning"], **tuning}})


def scored(gain: float, fold: int, number: int = 0) -> FoldScore:
    """A fold on which a trial gains so much, with noise that is the fold's and the trial's."""
    rival = np.random.default_rng(fold).normal(size=(ROWS, 1))
    rows = np.arange(fold * ROWS, (fold + 1) * ROWS, dtype=np.int64)
    noise = np.random.default_rng([fold, number]).normal(0.0, 0.05, size=(ROWS, 1))
    return FoldScore(metric="log score", grid_row=rows, loss=rival - gain - noise, rival=rival)


def by_learning_rate(study: Study, fold: int) -> FoldScore:
    """The best learning rate is 0.004; nothing else matters."""
    distance = float(np.log(study.training.learning_rate / 0.004))
    return scored(-0.1 * distance**2 - 0.05 * fold, fold, int(study.digest(), 16) % 1_000_003)


@pytest.fixture(scope="module")
def ground() -> Ground:
    return open_ground(tiny(folds=FOLDS, parameters=["learning_rate", "hidden", "dropout"], ranges={}))


@pytest.fixture
def judged_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Judge], list[str]]:
    """Let a formula judge instead of a fit, where only the search is looked at; what it judged is kept in a list."""

    def install(judge: Judge) -> list[str]:
        asked: list[str] = []

        def job(ground: Ground, study: Study, fold: int) -> Job:
            asked.append(f"{study.digest()} {fold}")
            return Job(key=asked[-1], function=judge, arguments=(study, fold))

        monkeypatch.setattr(searches, "fold_job", job)
        monkeypatch.setattr(accounts, "fold_job", job)
        return asked

    return install


def searched(ground: Ground, folder: Path, trials: int, **plan: Any) -> tuple[Attempt, ...]:
    with Search.opened(ground, folder / "tuning.sqlite") as search:
        search.run(Plan(trials=trials, **plan), SystemClock(), None)
        return search.attempts()


def test_the_first_trial_is_the_study_as_it_stands(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    judged_by(by_learning_rate)

    first, *_ = searched(ground, tmp_path, 3)

    assert first.values == own_values(ground.study, ground.space)
    assert with_values(ground.study, ground.space, first.values) == ground.study
    assert (first.number, first.state) == (0, "complete")


def test_a_search_finds_what_matters_and_where_it_is_best(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    judged_by(by_learning_rate)

    with Search.opened(ground, tmp_path / "tuning.sqlite") as search:
        search.run(Plan(trials=25), SystemClock(), None)
        found = account(search, None)

    assert found.study.training.learning_rate == pytest.approx(0.004, rel=0.35)
    assert max(found.importances, key=lambda name: found.importances[name]) == "learning_rate"
    assert any(one.state == "given up" and len(one.folds) < FOLDS for one in found.attempts)
    assert found.leads[0].test.mean > 0.03
    assert found.luck < 0.05


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    judged_by(by_learning_rate)
    whole = searched(ground, tmp_path / "whole", 12)

    def broken_off(attempt: Attempt, study: Study) -> None:
        raise KeyboardInterrupt

    searched(ground, tmp_path / "parts", 11)
    with (
        pytest.raises(KeyboardInterrupt),
        Search.opened(ground, tmp_path / "parts" / "tuning.sqlite", broken_off) as search,
    ):
        search.run(Plan(trials=12), SystemClock(), None)

    assert searched(ground, tmp_path / "parts", 12) == whole


def test_trials_that_are_kept_are_not_made_again(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    asked = judged_by(by_learning_rate)
    searched(ground, tmp_path, 6)
    before = len(asked)

    assert len(searched(ground, tmp_path, 6)) == 6
    assert len(asked) == before
    assert len(searched(ground, tmp_path, 8)) == 8
    assert before < len(asked) <= before + 2 * FOLDS


def in_turn(first: list[Job], follow: Callable[[int, Any], Job | None], *, cache: Path | None) -> None:
    """Lanes as several processes would run them: a later one may overtake the first; all in this process."""
    running = dict(enumerate(first))
    while running:
        lane = max(running)
        job = running.pop(lane)
        following = follow(lane, job.function(*job.arguments))
        running |= {lane: following} if following else {}


def test_several_trials_at_once_are_numbered_without_holes(
    ground: Ground,
    tmp_path: Path,
    judged_by: Callable[[Judge], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged_by(by_learning_rate)
    monkeypatch.setattr(searches, "run_lanes", in_turn)

    found = searched(ground, tmp_path, 6, processes=2)

    assert [one.number for one in found] == list(range(6))
    assert found[0].values == own_values(ground.study, ground.space)


def test_no_trial_begins_after_the_time_is_up(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    judged_by(by_learning_rate)

    assert len(searched(ground, tmp_path, 6, until=SystemClock().now() - MINUTE)) == 1


def test_a_trial_that_cannot_be_fitted_is_told_and_never_the_best(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    def judge(study: Study, fold: int) -> FoldScore | Unfit:
        is_own = study == ground.study
        return by_learning_rate(study, fold) if is_own else Unfit(reason="the loss is not finite.")

    judged_by(judge)
    found = searched(ground, tmp_path, 4)

    assert [one.state for one in found] == ["complete", "unfit", "unfit", "unfit"]
    assert found[2].reason == "the loss is not finite."
    assert best_of(found).number == 0


def test_a_study_that_cannot_be_fitted_itself_is_one_clear_sentence(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    judged_by(lambda study, fold: Unfit(reason="the loss is not finite."))

    with pytest.raises(
        StudyError, match=r"the study as it stands cannot be fitted .*: the loss is not finite\."
    ):
        searched(ground, tmp_path, 4)


def test_two_searches_at_one_place_are_refused(ground: Ground, tmp_path: Path) -> None:
    path = tmp_path / "tuning.sqlite"

    with Search.opened(ground, path), pytest.raises(DataError, match="another search is going on"):
        Search.opened(ground, path).__enter__()


def test_a_lead_that_is_luck_is_told_as_luck(
    ground: Ground, tmp_path: Path, judged_by: Callable[[Judge], list[str]]
) -> None:
    judged_by(lambda study, fold: scored(0.0, fold, int(study.digest(), 16) % 1_000_003))

    with Search.opened(ground, tmp_path / "tuning.sqlite") as search:
        search.run(Plan(trials=12), SystemClock(), None)
        found = account(search, None)
    page = render_tuning(found, 0, {})

    assert found.best.score > found.own.score
    assert found.luck > max(0.05, found.leads[0].test.p_value)
    assert "by no more than chance would give" in page
    assert f"p of &#39;none is better&#39; is {found.luck:.3f}" in page
    assert "The best of 12 trials looks better than it is" in page


def watched(monkeypatch: pytest.MonkeyPatch, change: Callable[[Bars], Bars]) -> Study:
    """The tiny study on a market that was changed; nothing of the one before is remembered."""
    study = tiny(ranges={"hidden": [4, 8], "families": ["price", "volume"]})
    bars = load_bars(study)
    monkeypatch.setattr(grounds, "load_bars", lambda study, report: change(bars))
    for kept in (grounds._opened, objective._market, objective._anchor):
        kept.cache_clear()
    return study


def test_nothing_after_the_first_test_close_moves_a_single_bit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = watched(monkeypatch, lambda bars: bars)
    first = first_test_row(study, load_bars(study))
    clean = open_ground(study)
    expected = searched(clean, tmp_path / "clean", 2)

    rng = np.random.default_rng(7)
    watched(monkeypatch, lambda bars: poisoned(bars, first, rng))
    noisy = open_ground(study)

    assert noisy.digest() == clean.digest()
    assert max(fold.test.stop for fold in noisy.folds) <= first
    assert searched(noisy, tmp_path / "noisy", 2) == expected


def test_the_last_bar_before_the_first_test_row_does_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    study = watched(monkeypatch, lambda bars: bars)
    first = first_test_row(study, load_bars(study))
    clean = open_ground(study)

    rng = np.random.default_rng(7)
    watched(monkeypatch, lambda bars: poisoned(bars, first - 1, rng))

    assert open_ground(study).digest() != clean.digest()


def test_the_sealed_holdout_is_not_part_of_the_ground() -> None:
    study = tiny()
    bars = load_bars(study)
    sealed_at = int(bars.closed_at[2_699])
    validation = study.validation.model_copy(
        update={"holdout_from": str(np.datetime64(sealed_at, "ns").astype("datetime64[s]")) + "Z"}
    )

    sealed = Ground.of(study.model_copy(update={"validation": validation}), bars)

    assert len(sealed.bars) == 1_890
    assert len(Ground.of(study, bars).bars) == 2_100


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "study.toml").write_text(to_toml(tiny()))
    return folder


def test_the_command_writes_a_study_a_page_and_the_ledger_and_goes_on_where_it_was(
    home: Path, inside: Callable[..., Said]
) -> None:
    said = inside("tune", "--trials", "2", "--json", cwd=home)
    told = json.loads(said.out)
    again = inside("tune", "--trials", "2", cwd=home)

    assert said.code == again.code == 0
    assert "2 trials: 2 inner folds x 1 seed, on 2 coins x 2,100 bars" in said.err
    assert "at most" in said.err
    assert "inner folds x" not in again.err
    assert "What was found" in again.out

    study, best = Study.load(home / "study.toml"), Study.load(home / told["study"])
    found = json.loads((home / told["page"]).with_name("tuning.json").read_text())
    judged = [one for one in found["trials"] if one["folds"]]
    space = open_ground(study).space
    assert best.digest() == with_values(study, space, told["values"]).digest()
    assert (home / "tuned.toml").read_text().startswith("# The best of 2 trials")

    log, stretch, _ = trials_of(open_ground(study).market(study))
    assert log.count(stretch) == len(judged) >= 1
    assert tried_digest(study) in {one.settings for one in log.tried(stretch)}

    page = (home / told["page"]).read_text()
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert page.count("<svg") > 6


def test_a_job_of_a_trial_survives_the_way_to_another_process(ground: Ground) -> None:
    job = fold_job(ground, ground.study, 1)

    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301 our own job
    assert job.key != fold_job(ground, ground.study, 0).key


def test_lanes_run_side_by_side_and_each_says_what_follows() -> None:
    heard: list[tuple[int, int]] = []

    def follow(lane: int, result: int) -> Job | None:
        heard.append((lane, result))
        following = Job(key=f"{lane}{result}", function=len, arguments=("x" * (result + 1),))
        return following if result < 3 else None

    run_lanes([Job(key=f"{lane}", function=len, arguments=("x",)) for lane in range(2)], follow)

    assert sorted(heard) == [(lane, result) for lane in range(2) for result in (1, 2, 3)]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"parameters": ["learning_rates"]}, "learning_rates.*no setting to search for. Did you mean learning_rate?"),
        ({"parameters": ["seeds"]}, "'seeds', which is no setting to search for"),
        ({"parameters": ["coin_width"], "ranges": {}}, "'coin_width', which has no usual range"),
        ({"ranges": {"hidden": [64, 16]}}, "tuning.ranges.hidden goes from 64 to 16. Write the lower end first."),
        ({"ranges": {"hidden": [2, 16]}}, "tuning.ranges.hidden holds 2: model.hidden: .* equal to 4"),
        ({"ranges": {"chunk_bars": [8, 64]}}, "tuning.ranges.chunk_bars holds 8"),
        ({"ranges": {"families": ["prize"]}}, "names 'prize', of which these bars have no record. There are: price"),
        ({"parameters": ["head"], "ranges": {"head": ["student-t"]}}, "there is nothing to search"),
    ],
)  # fmt: skip
def test_an_impossible_space_is_one_clear_sentence(changed: dict[str, Any], sentence: str) -> None:
    study = tiny(**changed)

    with pytest.raises(StudyError) as caught:
        open_ground(study)

    assert re.search(sentence, str(caught.value))


@pytest.mark.parametrize(
    ("section", "changed", "sentence"),
    [
        ("validation", {"scheme": "coins"}, "no first test row to stop before"),
        ("model", {"kind": "prophet"}, "'prophet', which has nothing to tune"),
        ("features", {"names": ["return_1"]}, "features.names says which features are read"),
        ("data", {"embedded_bars": 2_000}, "too few to tune on"),
    ],
)
def test_a_study_that_cannot_be_tuned_says_why(section: str, changed: dict[str, Any], sentence: str) -> None:
    study = Study.parse({**TINY, section: {**TINY.get(section, {}), **changed}})

    with pytest.raises(LongshortError, match=sentence):
        open_ground(study)


def test_without_optuna_the_extra_is_named(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(MissingExtra, match=r'pip install "longshort\[tune\]"'):
        searched(ground, tmp_path, 1)


def test_a_head_without_a_density_makes_crps_the_measure() -> None:
    assert "quantiles" not in dense_heads()
    assert {"student-t", "crps"} <= set(whole_heads()) <= set(dense_heads())
    heads = {"head": ["student-t", "quantiles"]}

    assert open_ground(tiny(parameters=["hidden"])).metric == "log score"
    assert open_ground(tiny(parameters=["hidden"], ranges=heads)).metric == "CRPS"


def test_switching_families_gives_the_study_that_names_them() -> None:
    study, space = tiny(), open_ground(tiny()).space
    own = own_values(study, space)

    without = with_values(study, space, own | {"family volume": False})

    assert with_values(study, space, own) == study
    assert without.features.families == ("price", "range", "market", "calendar")


def test_a_tuned_study_keeps_every_setting_and_says_what_it_was() -> None:
    before = tiny(ranges={"hidden": [4, 8], "head": ["student-t", "crps"]})
    features = before.features.model_copy(update={"scaling": {"return_1": "rolling"}})
    model = before.model.model_copy(update={"hidden": 7, "coin_width": 3})
    after = before.model_copy(update={"features": features, "model": model})

    text = commented(TEMPLATE.read_text(), after, before, "Found.\nSo it was.")

    assert Study.parse(tomllib.loads(text)) == after
    assert "hidden = 7  # tuned, was 4; units" in text
    assert "coin_width = 3  # tuned, was 0" in text
    assert text.startswith("# Found.\n# So it was.\n\n[data]\n")


def test_how_one_searches_is_no_part_of_what_a_study_is() -> None:
    assert tiny(folds=3).digest() == tiny().digest()
    assert replace(open_ground(tiny()), study=tiny(folds=3)).digest() != open_ground(tiny()).digest()
