"""The program as a person or a script meets it: whole runs through the command line, and every way to be refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest

import longshort
from longshort._commands.tell import forecast_rows

from .conftest import Said

EMBEDDED = """\
source = "embedded"
embedded_coins = 2
embedded_bars = 3000
"""
TINY = f"""\
[data]
{EMBEDDED}
[model]
hidden = 8
seeds = [1]

[training]
steps = 20
check_every = 10
chunk_bars = 64
burn_in_bars = 16
batch_chunks = 8
processes = 1

[validation]
folds = 2
first_train_share = 0.8
opponents = []
"""
COINS = ("SIM01USDT", "SIM02USDT")
ROW_KEYS = {
    "question", "horizon_bars", "opponent", "metric", "skill", "unit",
    "ci95", "p_value", "n_instants", "n_coins", "verdict",
}  # fmt: skip
WORDS = {"BEATS", "NO EDGE", "INCONCLUSIVE"}
NOON = datetime(2024, 1, 1, tzinfo=UTC)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LONGSHORT_", "PYTHONWARNINGS"))}
    return subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "longshort", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def fine(*arguments: str, cwd: Path) -> str:
    done = run(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def last_json(said: str) -> Any:
    return json.loads(said.splitlines()[-1])


def write_study(folder: Path, extra: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(TINY + extra)
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small study, trained and evaluated through the command line."""
    home = tmp_path_factory.mktemp("home")
    write_study(home / "mine")
    fine("train", "mine", cwd=home)
    return home


@pytest.fixture(scope="session")
def evaluated(home: Path) -> Any:
    return last_json(fine("evaluate", "mine", "--json", cwd=home))


@pytest.fixture(scope="session")
def forecasts(home: Path) -> str:
    return fine("forecast", "mine", "--json", cwd=home)


def trained(folder: Path, *overrides: str) -> longshort.Forecast:
    study = longshort.Study.load(folder, overrides)
    longshort.train(study)
    return longshort.forecast(study)


class Page(HTMLParser):
    """What a page holds, and where it would reach out to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.reaches: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.reaches += [
            v for name, v in attrs if name in {"src", "href"} and v and not v.startswith(("#", "data:"))
        ]


def test_a_new_study_of_init_is_a_study_that_config_show_can_read(tmp_path: Path) -> None:
    fine("init", "mine", cwd=tmp_path)
    shown = fine("config", "show", "mine", "--set", "model.hidden=16", cwd=tmp_path)

    assert 'source = "embedded"' in shown
    assert "hidden = 16" in shown


def test_a_forecast_is_one_object_per_coin_and_horizon(forecasts: str) -> None:
    rows = last_json(forecasts)

    assert [(r["symbol"], r["horizon_bars"]) for r in rows] == [(c, h) for c in COINS for h in (1, 4, 24)]
    assert all(r["q0.05"] < r["q0.25"] < r["q0.50"] < r["q0.75"] < r["q0.95"] for r in rows)
    assert all(0.0 < r["p_up"] < 1.0 and r["volatility"] > 0.0 for r in rows)
    assert {r["closed_at"] for r in rows} == {"2024-05-05T00:00:00+00:00"}


def test_a_forecast_is_a_table_and_a_picture(home: Path, inside: Callable[..., Said]) -> None:
    said = inside("forecast", "mine", cwd=home).out

    pictures = [
        home / line.removeprefix("Picture: ") for line in said.splitlines() if line.startswith("Picture: ")
    ]
    page = Page(next(p for p in pictures if p.suffix == ".html").read_text())
    drawing = ET.parse(next(p for p in pictures if p.suffix == ".svg")).getroot()  # noqa: S314 our own
    assert all(coin in said for coin in COINS)
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(drawing.iter())) > 20
    assert page.tags.count("svg") >= len(COINS)
    assert page.reaches == []


def test_evaluate_ends_with_one_json_object_of_the_promised_shape(evaluated: Any) -> None:
    rows = evaluated["rows"]

    assert set(evaluated) == {"seconds", "folds", "seeds", "rows", "coverage_by_horizon", "report"}
    assert (evaluated["folds"], evaluated["seeds"]) == (2, 1)
    assert all(set(row) - {"reason"} == ROW_KEYS for row in rows)
    assert {row["verdict"] for row in rows} <= WORDS
    assert {(row["question"], row["horizon_bars"]) for row in rows} == {
        *((q, h) for q in ("density", "volatility", "direction") for h in (1, 4, 24)),
        ("profit", 4),
    }
    assert {row["opponent"] for row in rows if row["question"] == "density"} == {
        "expanding volatility", "EWMA-t", "HAR-t", "LightGBM",
    }  # fmt: skip
    assert set(evaluated["coverage_by_horizon"]) == {"1", "4", "24"}
    assert set(evaluated["coverage_by_horizon"]["1"]) == {"0.5", "0.8", "0.9", "0.95"}


def test_one_word_answers_one_question_at_one_horizon(evaluated: Any) -> None:
    words: dict[tuple[str, int], set[str]] = {}
    for row in evaluated["rows"]:
        words.setdefault((row["question"], row["horizon_bars"]), set()).add(row["verdict"])

    assert {len(found) for found in words.values()} == {1}


def test_the_report_is_one_page_that_asks_no_network_and_its_numbers_are_json_beside_it(
    home: Path, evaluated: Any
) -> None:
    report = home / evaluated["report"]
    page = Page(report.read_text())
    beside = json.loads((report.parent / "report.json").read_text())

    assert page.tags[0] == "html"
    assert set(page.reaches) == {"report.json", "summary.html"}
    assert (
        "script" not in page.tags
        or "src=" not in report.read_text().partition("<script")[2].partition(">")[0]
    )
    assert [c["skill"] for c in beside["comparisons"]] == [row["skill"] for row in evaluated["rows"]]


def test_a_run_folder_holds_what_was_asked_and_what_came_out(home: Path, evaluated: Any) -> None:
    folder = (home / evaluated["report"]).parent

    assert {
        "study.toml",
        "run.json",
        "report.json",
        "report.html",
        "forecast.parquet",
        "ledger-LSTM-LightGBM.parquet",
    } <= {path.name for path in folder.iterdir()}
    run_record = json.loads((folder / "run.json").read_text())
    assert set(run_record) == {"hashes", "versions", "seeds", "data"}
    assert run_record["data"] == {"calendar": "24/7", "origins": [], "cleaning": "keep", "changes": []}
    assert pl.read_parquet(folder / "forecast.parquet").height == 600 * len(COINS) * 3


def test_a_second_evaluation_reuses_every_fit_but_the_one_that_is_missing(
    home: Path, evaluated: Any, inside: Callable[..., Said]
) -> None:
    jobs = home / "mine" / "runs" / ".jobs"
    lost = min(jobs.glob("*.pickle"))
    lost.unlink()
    before = {path.name: path.stat().st_mtime_ns for path in jobs.iterdir()}

    again = last_json(inside("evaluate", "mine", "--json", cwd=home).out)

    after = {path.name: path.stat().st_mtime_ns for path in jobs.iterdir()}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {lost.name}
    assert again["rows"] == evaluated["rows"]


def test_the_backtest_agrees_with_the_ledger_and_writes_a_tear_sheet(home: Path, evaluated: Any) -> None:
    found = last_json(fine("backtest", "mine", "--json", cwd=home))

    ledger = pl.read_parquet((home / evaluated["report"]).with_name("ledger-LSTM-LightGBM.parquet"))
    assert found["equity"] == pytest.approx(ledger["equity"][-1], abs=1e-8)
    assert found["fills"] > 0
    assert Page((home / found["report"]).read_text()).reaches == []


def test_two_runs_are_identical_to_the_bit_and_another_seed_is_not(home: Path, forecasts: str) -> None:
    write_study(home / "same")

    fine("train", "same", cwd=home)
    same = fine("forecast", "same", "--json", cwd=home)

    assert same == forecasts
    assert last_json(forecasts) != forecast_rows(trained(write_study(home / "other"), "model.seeds=[2]"))


def test_real_bars_go_from_files_to_a_verdict(
    real_data: Path, tmp_path: Path, inside: Callable[..., Said]
) -> None:
    coins = ("BTCUSDT", "ETHUSDT")
    bars = [str(real_data / "ohlcv_1h" / f"binance_{coin}_perp_1h.parquet") for coin in coins]
    funding = [str(real_data / "funding" / f"binance_{coin}_funding.parquet") for coin in coins]

    fine("import", *bars, *funding, cwd=tmp_path)
    checked = json.loads(fine("check", "--json", cwd=tmp_path))
    on_the_lake = TINY.replace(EMBEDDED, 'since = "2024-06-01"\nuntil = "2024-10-01"\n')
    (write_study(tmp_path / "mine") / "study.toml").write_text(on_the_lake)
    found = last_json(inside("evaluate", "mine", "--json", cwd=tmp_path).out)

    assert {(c["kind"], c["symbol"]) for c in checked} == {
        (k, c) for k in ("bars-1h", "funding") for c in coins
    }
    assert {c["grade"] for c in checked} <= {"clean", "usable"}
    assert {row["verdict"] for row in found["rows"]} <= WORDS
    assert {row["n_coins"] for row in found["rows"]} == {2}
    assert [row for row in found["rows"] if row["question"] == "profit"]


# What is refused, and how.


def hourly(count: int = 48, **columns: list[Any]) -> pl.DataFrame:
    rows = {
        "ts": [NOON + timedelta(hours=k) for k in range(count)],
        "open": [100.0] * count,
        "high": [101.0] * count,
        "low": [99.0] * count,
        "close": [100.5] * count,
        "volume": [10.0] * count,
    }
    return pl.DataFrame(rows | columns)


def with_value(column: str, value: object) -> pl.DataFrame:
    values = hourly()[column].to_list()
    values[7] = value
    return hourly(**{column: values})


def two_intervals() -> pl.DataFrame:
    hours = [NOON + timedelta(hours=k) for k in range(24)]
    return hourly(ts=[*hours, *(hours[-1] + timedelta(hours=4 * k) for k in range(1, 25))])


BAD_BARS: dict[str, tuple[Callable[[], pl.DataFrame], str]] = {
    "a missing column": (lambda: hourly().drop("high"), "there is no high column"),
    "duplicate times": (lambda: with_value("ts", NOON + timedelta(hours=6)), "repeats the time"),
    "unsorted times": (lambda: hourly()[::-1], "earlier than the row before"),
    "high below low": (lambda: with_value("high", 98.0), "a high below its low"),
    "a negative price": (lambda: with_value("low", -1.0), "a low that is not positive"),
    "a price that is not a number": (lambda: with_value("close", float("nan")), "no close"),
    "two intervals": (two_intervals, "two intervals in one file"),
}


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(inside: Callable[..., Said], tmp_path: Path) -> Callable[..., str]:
    """Run a command that must fail with code 1, one sentence on stderr, and the folder as it was."""

    def attempt(*arguments: str, cwd: Path = tmp_path) -> str:
        before = everything(cwd)

        said = inside(*arguments, cwd=cwd)

        errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert said.code == 1
        assert said.out == ""
        assert errors == said.err.splitlines()[-1:]
        assert errors[0].endswith((".", "?"))
        assert everything(cwd) == before
        return errors[0]

    return attempt


@pytest.mark.parametrize("what", BAD_BARS)
def test_bad_bars_are_refused_in_one_sentence_and_no_lake_appears(
    what: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    make, reason = BAD_BARS[what]
    hourly().write_parquet(tmp_path / "ETHUSDT-1h.parquet")
    make().write_parquet(tmp_path / "BTCUSDT-1h.parquet")

    said = refused("import", "ETHUSDT-1h.parquet", "BTCUSDT-1h.parquet")

    assert reason in said
    assert "BTCUSDT-1h.parquet" in said
    assert not (tmp_path / "lake").exists()


def test_a_missing_file_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused("import", "BTCUSDT.parquet") == "error: BTCUSDT.parquet: no such file."
    assert not (tmp_path / "lake").exists()


def test_a_file_that_is_not_parquet_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT.parquet").write_text("ts,open\n")

    assert "BTCUSDT.parquet: not a Parquet file." in refused("import", "BTCUSDT.parquet")
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("command", ["train", "evaluate", "backtest"])
def test_too_few_bars_are_refused_before_anything_is_fitted(
    command: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    write_study(tmp_path / "mine")
    few = {
        "train": "data.until=2024-02-01",
        "evaluate": "validation.folds=60",
        "backtest": "validation.folds=60",
    }

    said = refused(command, "mine", "--set", few[command])

    assert "bars are too few for" in said
    assert "are needed" in said


def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    write_study(tmp_path / "mine", "\n[target]\nhorizon = [1, 4]\n")

    said = refused("evaluate", "mine")

    assert said == "error: mine/study.toml: unknown key target.horizon. Did you mean horizons?"


def test_an_unknown_coin_is_refused_with_the_nearest_known_one(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    write_study(tmp_path / "mine")

    said = refused("evaluate", "mine", "--set", 'data.symbols=["SIM1USDT"]')

    assert "SIM1USDT is not in the embedded market. Did you mean SIM01USDT?" in said


def test_a_bundle_of_other_features_is_refused(refused: Callable[..., str], home: Path) -> None:
    said = refused("forecast", "mine", "--set", 'features.names=["return_1", "range_24"]', cwd=home)

    assert said.startswith("error: the model was trained on other features than the study's")


def test_a_forecast_without_a_trained_model_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    write_study(tmp_path / "mine")

    assert "there is no trained model here" in refused("forecast", "mine")


def test_a_holdout_that_was_never_set_aside_cannot_be_opened(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    write_study(tmp_path / "mine")

    assert "no holdout to open" in refused("evaluate", "mine", "--holdout")


def test_a_wrong_option_is_a_usage_error_of_code_two(tmp_path: Path) -> None:
    done = run("evaluate", "mine", "--jsn", cwd=tmp_path)

    assert done.returncode == 2
    assert "--jsn" in done.stderr
