"""A user's features come from a file of ten lines or a package, under the contracts of ours; mistakes are told."""

import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from longshort._commands.features import CLEAN, PROBLEMS, features
from longshort.base.errors import StudyError
from longshort.base.settings import Study
from longshort.data.simulator import simulate_market
from longshort.features.catalog import FEATURES
from longshort.features.contract import problems
from longshort.features.own import own_digest, own_features
from longshort.features.panel import FeatureStream

from .markets import punched

BARS = simulate_market(2, 1_200, seed=6).bars
HOLEY = punched(BARS, np.random.default_rng(2), share=0.05)

GOOD = '''
import numpy as np
from longshort.features.own import feature

@feature(warmup_rows=20)
def below_high(close, high):
    """Log distance of the close from the highest high of 20 bars."""
    top = np.lib.stride_tricks.sliding_window_view(high, 20).max(axis=1)
    return np.append(np.full(19, np.nan), np.log(close[19:] / top))

@feature(warmup_rows=3, scaling="rolling", summary="mean of three returns")
def drift(log_return):
    return np.append([np.nan, np.nan], (log_return[2:] + log_return[1:-1] + log_return[:-2]) / 3)
'''
TABLE = """
from longshort.features.catalog import Feature

FEATURES = {
    "range_change": Feature(
        compute=lambda look: look["log_range"] - look.lag("log_range", 1),
        family="own", inputs=("high", "low"), warmup_rows=2,
    ),
}
"""
LEAKY = """
import numpy as np
from longshort.features.own import feature

@feature(warmup_rows=1)
def tomorrow(close):
    return np.append(np.diff(np.log(close)), 0.0)
"""


def written(folder: Path, text: str, name: str = "my.py") -> Path:
    (folder / name).write_text(text)
    return folder


def marked(body: str, *, parameters: str = "close", warmup_rows: int = 1) -> str:
    head = "import numpy as np\nfrom longshort.features.own import feature\n\n"
    return f"{head}@feature(warmup_rows={warmup_rows})\ndef mine({parameters}):\n    {body}\n"


def streamed(folder: Path, bars: object = HOLEY) -> FeatureStream:
    own = own_features(["my.py"], folder)
    return FeatureStream(BARS.symbols, tuple(own), catalog={**FEATURES, **own})


def test_ten_lines_are_a_feature(tmp_path: Path) -> None:
    own = own_features(["my.py"], written(tmp_path, GOOD))

    assert list(own) == ["below_high", "drift"]
    assert own["below_high"].inputs == ("close", "high")
    assert own["below_high"].summary == "Log distance of the close from the highest high of 20 bars."
    assert [own[name].warmup_rows for name in own] == [20, 4]
    assert own["drift"].scaling == "rolling"
    assert {feature.family for feature in own.values()} == {"own"}


def test_a_feature_of_ones_own_keeps_the_contracts(tmp_path: Path) -> None:
    own = own_features(["my.py"], written(tmp_path, GOOD))

    assert [problem for name, feature in own.items() for problem in problems(name, feature)] == []


def test_a_bar_at_a_time_gives_the_bits_of_a_whole_history(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    whole = streamed(tmp_path).extend(HOLEY)
    stream = streamed(tmp_path)

    pieces = [stream.extend(HOLEY[:1_000]), *[stream.extend(HOLEY[t : t + 1]) for t in range(1_000, 1_012)]]

    np.testing.assert_array_equal(np.concatenate([p.values for p in pieces]), whole.values[:1_012])


def test_the_function_sees_one_coins_past_without_absent_bars(tmp_path: Path) -> None:
    written(tmp_path, marked("return np.append(np.nan, np.diff(np.log(close)))", warmup_rows=2))
    values = streamed(tmp_path).extend(HOLEY).values[:400, 1, 0]
    close = HOLEY.close[:400, 1]

    there = np.isfinite(close)

    np.testing.assert_allclose(values[there][1:], np.diff(np.log(close[there])), rtol=1e-5)
    assert np.isnan(values[~there]).all()


def test_the_feature_of_the_documentation_keeps_the_contracts(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "features.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    own = own_features(["my.py"], written(tmp_path, code))

    assert [problem for name, feature in own.items() for problem in problems(name, feature)] == []


def test_a_table_of_records_is_taken(tmp_path: Path) -> None:
    own = own_features(["my.py"], written(tmp_path, TABLE))

    assert problems("range_change", own["range_change"]) == []


def test_a_function_may_use_another_feature_of_ours(tmp_path: Path) -> None:
    written(tmp_path, marked("return range_1 ** 2", parameters="range_1"))
    panel = streamed(tmp_path).extend(BARS)
    ours = FeatureStream(BARS.symbols, ("range_1",)).extend(BARS).values

    np.testing.assert_allclose(panel.values[24:], ours[24:] ** 2, rtol=1e-5)


def test_a_package_offers_features_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("offered")
    exec(compile(GOOD, "offered.py", "exec"), module.__dict__)  # noqa: S102 our own text
    entry = EntryPoint(name="extra", value="json:loads", group="longshort.features")
    monkeypatch.setattr(EntryPoint, "load", lambda self: module)
    monkeypatch.setattr("longshort.features.own.entry_points", lambda group: [entry])

    assert list(own_features(["entry:extra"])) == ["below_high", "drift"]
    assert own_digest(["entry:extra"]) == own_digest(["entry:extra"])
    with pytest.raises(StudyError, match=r"no installed package offers .*'other'.*Offered are: extra"):
        own_features(["entry:other"])


WRONG = {
    "syntax": ("def mine(close:\n    return close\n", r"my\.py: line 1: '\(' was never closed"),
    "at import": ("import numpy\nnumpy.nothing\n", r"my\.py: line 2: AttributeError: .*nothing"),
    "nothing in it": ("x = 1\n", "it defines no features. Mark a function"),
    "no table": ("FEATURES = [1]\n", "FEATURES is no table"),
    "no record": ("FEATURES = {'a': 1}\n", r"FEATURES\['a'\] is no `Feature`"),
    "taken": (TABLE.replace("range_change", "return_1"), "the name 'return_1' is that of a built-in feature"),
    "column": (marked("return x", parameters="x"), "mine reads 'x', which is no column. Name its parameters"),
    "none": (marked("return 1", parameters=""), "mine reads nothing"),
    "warm-up": (marked("return close", warmup_rows=600), "mine states a warm-up of 600 rows.*512"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, mistake: str) -> None:
    text, words = WRONG[mistake]

    with pytest.raises(StudyError, match=words):
        own_features(["my.py"], written(tmp_path, text))


AT_WORK = {
    "length": (marked("return close[1:]"), r"mine answers with an array of shape \(511,\) to 512 rows"),
    "number": (marked("return 1.0"), r"mine answers with an array of shape \(\) to 512 rows"),
    "text": (marked("return close.astype(str)"), "mine answers with <U32 instead of numbers"),
    "exception": (marked("return close / undefined"), r"mine: line 6: NameError: name 'undefined'"),
}


@pytest.mark.parametrize("mistake", AT_WORK)
def test_a_function_that_fails_is_told_with_its_file_and_line(tmp_path: Path, mistake: str) -> None:
    text, words = AT_WORK[mistake]
    written(tmp_path, text)
    at = int(np.flatnonzero(BARS.grid_row % 512 == 0)[0])

    with pytest.raises(StudyError, match=words) as caught:
        streamed(tmp_path).extend(BARS[at : at + 512])

    assert "my.py" in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(StudyError, match=r"nowhere\.py: no such file"):
        own_features(["nowhere.py"])


def test_two_files_may_not_use_one_name(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, GOOD, "again.py")

    with pytest.raises(StudyError, match="'below_high' is that of a feature of another file"):
        own_features(["my.py", "again.py"], tmp_path)


def test_a_changed_file_is_read_again_and_has_another_digest(tmp_path: Path) -> None:
    before = own_digest(["my.py"], written(tmp_path, GOOD))
    own_features(["my.py"], tmp_path)

    after = own_digest(["my.py"], written(tmp_path, TABLE))

    assert before != after
    assert list(own_features(["my.py"], tmp_path)) == ["range_change"]


def test_the_command_lists_features_and_says_why_some_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = Study.parse(
        {
            "data": {"source": "embedded", "embedded_coins": 2, "embedded_bars": 2_000},
            "features": {"scaling": {"range_6": "rolling"}},
        }
    )

    assert features(study, check=None, as_json=True) == CLEAN
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}

    assert rows["return_1"]["left_out"] == ""
    assert rows["range_6"]["scaling"] == "rolling"
    assert rows["basis_spot"]["left_out"] == "no record of spot_close"
    assert rows["macd"]["left_out"] == "with its family"
    assert rows["log_volatility"]["left_out"] == "by name only"


def test_the_command_lists_a_studys_own_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = {
        "data": {"source": "embedded", "embedded_coins": 2, "embedded_bars": 2_000},
        "features": {"own": ["my.py"], "names": ["below_high", "return_1"]},
    }
    study = Study.parse(tables, folder=written(tmp_path, GOOD))

    features(study, check=None, as_json=True)
    rows = {row["name"]: row["left_out"] for row in json.loads(capsys.readouterr().out)}

    assert rows["below_high"] == rows["return_1"] == ""
    assert rows["drift"] == rows["range_6"] == "not among features.names"


def test_the_check_passes_a_clean_file_and_fails_a_leaky_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = written(tmp_path, GOOD, "clean.py") / "clean.py"
    leaky = written(tmp_path, LEAKY, "leaky.py") / "leaky.py"

    assert features(None, check=clean, as_json=False) == CLEAN
    assert "2 features keep every contract" in capsys.readouterr().out
    assert features(None, check=leaky, as_json=True) == PROBLEMS
    (found,) = json.loads(capsys.readouterr().out)["problems"]

    assert found["feature"] == "tomorrow"
    assert found["contract"] == "causality"
    assert "reads later bars" in found["text"]


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert features(None, check=None, as_json=False) == CLEAN

    told = capsys.readouterr().out
    assert "with its family" in told
    assert "by name only" in told
    assert f"of {len(FEATURES)} in the default set" in told
