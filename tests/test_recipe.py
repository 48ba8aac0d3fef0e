"""What a network reads is chosen before the first test, marked where it is missing, and goes on live as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longshort._commands import fit
from longshort.base.errors import BundleError, DataError, StudyError
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.catalog import DEFAULT_FAMILIES
from longshort.features.panel import FeatureStream
from longshort.models.inputs import Scaler
from longshort.study.market import Market, first_test_row, open_market

BARS = simulate_market(coins=2, bars=2_000, seed=8).bars
OWN = """
import numpy as np
from longshort.features.own import feature


@feature(warmup_rows={rows})
def my_move(close):
    return np.log(close) - np.log(np.concatenate([np.full({rows} - 1, np.nan), close])[: len(close)])
"""


def study_in(folder: Path, **sections: dict[str, object]) -> Study:
    small = {
        "data": {"source": "embedded", "embedded_coins": 2, "embedded_bars": 2_000},
        "model": {"hidden": 4, "seeds": [1], "restart_rows": 64},
        "training": {"steps": 10, "chunk_bars": 48, "burn_in_bars": 8, "batch_chunks": 4, "processes": 1},
        "validation": {"folds": 1, "first_train_share": 0.8},
    }
    merged = {name: {**small.get(name, {}), **sections.get(name, {})} for name in {*small, *sections}}
    return Study.parse(merged, folder=folder)


def with_index(bars: Bars, from_row: int) -> Bars:
    index = np.where(np.arange(len(bars))[:, None] >= from_row, bars.close, np.nan)
    return replace(bars, gauges={"index_close": index})


def test_a_record_that_begins_after_the_first_test_does_not_change_what_is_read(tmp_path: Path) -> None:
    study = study_in(
        tmp_path, features={"families": ["price", "basis"]}, validation={"first_train_share": 0.4}
    )
    late, early = (with_index(BARS, row) for row in (first_test_row(study, BARS), 100))

    with pytest.raises(StudyError, match="'basis', of which these bars have no record"):
        Market.of(study, late)
    assert "basis_index" in Market.of(study, early).recipe.names


def test_news_that_a_study_asks_for_is_read_beside_the_default_families(tmp_path: Path) -> None:
    heard = replace(BARS, gauges={"mood": np.where(BARS.present, 0.2, np.nan)})
    families = {
        asked: {f.family for n, f in recipe.catalog.items() if n in recipe.names}
        for asked in ("", "vader")
        for recipe in [Market.of(study_in(tmp_path, features={"news": asked}), heard).recipe]
    }

    assert families[""] == set(DEFAULT_FAMILIES)
    assert families["vader"] == {*DEFAULT_FAMILIES, "sentiment"}


def test_a_study_may_choose_its_families(tmp_path: Path) -> None:
    market = Market.of(study_in(tmp_path, features={"families": ["price", "calendar"]}), BARS)

    assert {market.recipe.catalog[name].family for name in market.recipe.names} == {"price", "calendar"}


def test_a_family_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"families names 'prize'.*There are: price"):
        Market.of(study_in(tmp_path, features={"families": ["prize"]}), BARS)


def test_a_missing_optional_value_leaves_the_row_usable_and_is_marked(tmp_path: Path) -> None:
    holey = with_index(BARS, 0)
    holey.gauges["index_close"][1_000:1_100] = np.nan
    market = Market.of(study_in(tmp_path, features={"families": ["price", "basis"]}), holey)
    scaler = Scaler.fit(market.panel, range(900), market.recipe.names)

    inputs = scaler.inputs(market.panel)
    mark = len(scaler.names) + scaler.marks.index("basis")

    assert market.panel.usable[1_000:1_100].all()
    assert inputs[1_050, :, mark].tolist() == [1.0, 1.0]
    assert inputs[900, :, mark].tolist() == [0.0, 0.0]
    assert np.isfinite(inputs).all()
    assert inputs.shape[2] == scaler.width


def test_a_forecast_is_the_same_bits_however_much_of_the_past_is_at_hand(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    bundle = fit.train(study)
    market = open_market(study)
    short = study_in(tmp_path, data={"since": "2024-03-16"})
    row = len(market.bars) - 1

    whole = bundle.fitted.predict(market.panel, range(row, row + 1))
    from_memory, from_less = fit.forecast(study), fit.forecast(short)

    for law in (from_memory.law, from_less.law):
        np.testing.assert_array_equal(law.scale, whole.law.scale)
        np.testing.assert_array_equal(law.loc, whole.law.loc)
    assert len(open_market(short).bars) < len(market.bars)


def test_bars_that_begin_after_the_models_memory_are_refused(tmp_path: Path) -> None:
    fit.train(study_in(tmp_path))

    with pytest.raises(DataError, match=r"do not go on where the model's memory ends.*train again"):
        fit.forecast(study_in(tmp_path, data={"since": "2024-03-22"}))


def test_a_file_of_ones_own_that_changed_since_training_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN.format(rows=5))
    study = study_in(tmp_path, features={"own": ["mine.py"]})
    bundle = fit.train(study)
    assert "my_move" in bundle.names
    fit.forecast(study)

    (tmp_path / "mine.py").write_text(OWN.format(rows=6))

    with pytest.raises(BundleError, match="have changed since the model was trained"):
        fit.forecast(study)


def test_scaling_that_a_study_chooses_reaches_the_network(tmp_path: Path) -> None:
    study = study_in(tmp_path, features={"scaling": {"return_1": "rolling"}})
    market = Market.of(study, BARS)
    place = market.panel.names.index("return_1")

    scaler = Scaler.fit(market.panel, range(1_500), market.recipe.names)

    assert not market.panel.standardised[place]
    assert scaler.mean[scaler.names.index("return_1")] == 0.0
    plain = FeatureStream(BARS.symbols, ("return_1",)).extend(BARS).values[:, :, 0]
    assert not np.array_equal(market.panel.column("return_1"), plain, equal_nan=True)
