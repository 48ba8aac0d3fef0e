"""The names for notebooks, used as a notebook would use them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import longshort as ls

TABLES = {
    "data": {"source": "embedded", "embedded_coins": 2, "embedded_bars": 2_200},
    "model": {"hidden": 8, "seeds": [1]},
    "training": {"steps": 20, "batch_chunks": 8, "chunk_bars": 96, "burn_in_bars": 24, "processes": 1},
    "validation": {"folds": 2, "first_train_share": 0.8, "opponents": []},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ls.Study:
    return ls.Study.parse(TABLES, folder=tmp_path_factory.mktemp("study"))


def test_train_forecast_evaluate_and_backtest_give_records_that_show_themselves(study: ls.Study) -> None:
    bundle = ls.train(study)
    forecast = ls.forecast(study)
    report = ls.evaluate(study)
    ledger = ls.backtest(study)

    for record in (ls.load_bars(study), bundle, forecast, report, ledger):
        assert record._repr_html_().startswith("<table>")
    assert forecast.to_polars().shape == (2 * 3, 11)
    assert set(report.to_polars()["verdict"].unique()) <= {"BEATS", "NO EDGE", "INCONCLUSIVE"}
    assert ledger.to_polars()["equity"].is_finite().all()
    assert len(ledger.to_polars()) == report.folds[-1].test_until // 3_600_000_000_000 - (
        report.folds[0].test_from // 3_600_000_000_000 - 1
    )


def test_the_forecast_of_a_loaded_bundle_is_that_of_the_study(study: ls.Study) -> None:
    ls.train(study)
    bundle = ls.Bundle.load(Path(study.folder) / "bundle")

    assert bundle.trained_until <= int(ls.load_bars(study).closed_at[-1])
    np.testing.assert_array_equal(ls.forecast(study).law.scale, ls.forecast(study).law.scale)


def test_bars_of_a_notebook_are_a_plain_table(study: ls.Study) -> None:
    frame = ls.load_bars(study).to_polars()

    assert frame.schema["closed_at"] == pl.Datetime("ms", "UTC")
    assert frame["symbol"].unique().sort().to_list() == ["SIM01USDT", "SIM02USDT"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = ls.tarin
