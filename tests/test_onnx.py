"""Any ONNX model as a forecaster: what it answers becomes a law, and whatever does not fit is one sentence."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy import special

from longshort.base.errors import LongshortError, StudyError
from longshort.base.settings import Study
from longshort.features.panel import Panel
from longshort.models.forecaster import Past
from longshort.models.laws.quantiles import LEVELS, Quantiles
from longshort.models.onnx.forecaster import FittedGraph, GraphForecaster, graph_model, spread
from longshort.models.onnx.graph import described
from longshort.models.opponents.catalog import model_of
from longshort.study.market import Market, open_market
from longshort.study.walk import past_of

from .conftest import Said

FEATURES = ("return_1", "return_4h")
ROWS, HORIZONS = 6, (1, 4)
SAYS = """
features = ["return_1", "return_4h"]
look_back_rows = 6
horizons = [1, 4]
output = "student-t"
scaling = "study"
trained_until = "2000-01-01"
"""
QUANTILES = SAYS.replace('"student-t"', '"quantiles"\nlevels = [0.1, 0.5, 0.9]')
STUDY = """
[data]
source = "embedded"
embedded_coins = 2
embedded_bars = 2400
[features]
names = ["return_1", "return_4h", "return_1d"]
[target]
horizons = [1, 4]
[model]
kind = "onnx:model.onnx"
[training]
chunk_bars = 32
burn_in_bars = 8
steps = 10
processes = 1
[validation]
folds = 2
opponents = []
"""


def weights() -> np.ndarray:
    """What a linear graph adds up of a window (time, feature) for (horizon, output): the mean alone depends on it."""
    out = np.zeros((ROWS, len(FEATURES), len(HORIZONS), 3), dtype=np.float32)
    out[-1, 0, :, 0] = 1e-3, 2e-3
    out[0, 1, :, 0] = 5e-4
    return out


def a_graph(
    constant: Sequence[float] = (0.0, 0.01, 5.0),
    *,
    slope: np.ndarray | None = None,
    batch: int | str = "batch",
    takes: tuple[int | str, ...] = (ROWS, len(FEATURES)),
) -> bytes:
    """A graph of ONNX: constant plus slope times the window, for every horizon."""
    slope = weights() if slope is None else slope
    count = len(constant)
    tables = {
        "flat": np.array([-1 if batch == "batch" else batch, ROWS * len(FEATURES)]),
        "slope": slope[..., :count].reshape(ROWS * len(FEATURES), -1),
        "constant": np.tile(np.array(constant, dtype=np.float32), len(HORIZONS)),
        "shape": np.array([-1 if batch == "batch" else batch, len(HORIZONS), count]),
    }
    nodes = [
        helper.make_node("Reshape", ["window", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "slope"], ["product"]),
        helper.make_node("Add", ["product", "constant"], ["sum"]),
        helper.make_node("Reshape", ["sum", "shape"], ["answer"]),
    ]
    window = helper.make_tensor_value_info("window", TensorProto.FLOAT, [batch, *takes])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [batch, len(HORIZONS), count])
    named = [numpy_helper.from_array(table, name) for name, table in tables.items()]
    graph = helper.make_graph(nodes, "linear", [window], [answer], named)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "model.onnx").write_bytes(a_graph())
    (tmp_path / "model.toml").write_text(SAYS)
    return tmp_path


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("market")
    (folder / "study.toml").write_text(STUDY)
    return open_market(Study.load(folder, ["model.kind=lstm"]))


@pytest.fixture(scope="module")
def past(market: Market) -> Past:
    return past_of(market, market.folds()[0])


def fitted(home: Path, past: Past) -> FittedGraph:
    model = graph_model(Study.load(home))
    made = model.fit(past)
    assert isinstance(made, FittedGraph)
    return made


def a_hole(panel: Panel, row: int, coin: int) -> Panel:
    usable = panel.usable.copy()
    usable[row, coin] = False
    return type(panel)(**{n: getattr(panel, n) for n in panel.__dataclass_fields__} | {"usable": usable})


def test_the_law_is_what_the_graph_says_of_the_scaled_window(home: Path, market: Market, past: Past) -> None:
    model = fitted(home, past)
    law = model.predict(market.panel, range(1_000, 1_003)).law

    places = [market.panel.names.index(name) for name in FEATURES]
    learnt = past.panel.values[past.train.start : past.train.stop][:, :, places]
    learnt = learnt[past.panel.usable[past.train.start : past.train.stop]].astype(np.float64)
    scaled = (market.panel.values[:, :, places] - learnt.mean(axis=0)) / learnt.std(axis=0)
    window = np.clip(scaled[1_001 - ROWS + 1 : 1_002], -6.0, 6.0)
    mean = np.einsum("taf,tfh->ah", window, weights()[..., 0])
    np.testing.assert_allclose(law.loc[1], mean, rtol=1e-4)
    np.testing.assert_allclose(law.scale, 0.01, rtol=1e-6)
    np.testing.assert_allclose(law.df, 5.0, rtol=1e-6)


def test_a_graph_that_scales_its_inputs_itself_is_given_them_as_they_are(
    home: Path, market: Market, past: Past
) -> None:
    (home / "model.toml").write_text(
        SAYS.replace('"study"', '"none"').replace("2000-01-01", "2000-01-01T00:00Z")
    )
    law = fitted(home, past).predict(market.panel, range(1_000, 1_001)).law
    places = [market.panel.names.index(name) for name in FEATURES]
    window = market.panel.values[1_001 - ROWS : 1_001][:, :, places]
    np.testing.assert_allclose(law.loc[0], np.einsum("taf,tfh->ah", window, weights()[..., 0]), rtol=1e-4)


def test_volatility_units_are_turned_into_log_returns(home: Path, market: Market, past: Past) -> None:
    (home / "model.toml").write_text(SAYS + '\nunit = "volatility"\n')
    rows = range(1_000, 1_005)
    law = fitted(home, past).predict(market.panel, rows).law
    volatility = market.panel.volatility[rows.start : rows.stop]
    np.testing.assert_allclose(law.scale[:, :, 1], 0.01 * 2.0 * volatility, rtol=1e-6)


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("says", [SAYS, QUANTILES])
def test_a_stream_equals_a_batch_bit_for_bit(
    says: str, batch: int | str, home: Path, market: Market, past: Past
) -> None:
    (home / "model.toml").write_text(says)
    constant = (0.0, 0.01, 5.0) if says == SAYS else (-0.02, 0.0, 0.01)
    (home / "model.onnx").write_bytes(a_graph(constant, batch=batch))
    model = fitted(home, past)
    panel = a_hole(market.panel, 1_010, 0)
    whole = model.predict(panel, range(1_000, 1_030))
    alone = model.predict(panel, range(1_020, 1_021))
    stream = model.start(panel[:1_000])
    steps = [stream.step(panel[row : row + 1]) for row in range(1_000, 1_030)]
    joined = steps[0].join(*steps[1:])
    for level in (0.02, 0.3, 0.5, 0.97):
        np.testing.assert_array_equal(joined.law.quantile(level), whole.law.quantile(level))
    np.testing.assert_array_equal(alone.law.quantile(0.3), whole.law.quantile(0.3)[20:21])


def test_a_window_with_a_hole_has_no_forecast_and_the_first_rows_have_none(
    home: Path, market: Market, past: Past
) -> None:
    model = fitted(home, past)
    known = np.isfinite(model.predict(a_hole(market.panel, 1_010, 0), range(1_000, 1_030)).law.scale[:, :, 0])
    assert np.flatnonzero(~known[:, 0]).tolist() == list(range(10, 10 + ROWS))
    assert known[:, 1].all()
    early = model.predict(market.panel[900:], range(8))
    assert np.isfinite(early.law.scale[:, 0, 0]).tolist() == [False] * 5 + [True] * 3


def test_quantiles_become_a_law_that_passes_through_them(home: Path, market: Market, past: Past) -> None:
    (home / "model.toml").write_text(QUANTILES)
    (home / "model.onnx").write_bytes(a_graph((-0.02, 0.0, 0.01), slope=np.zeros_like(weights())))
    law = fitted(home, past).predict(market.panel, range(1_000, 1_001)).law
    assert isinstance(law, Quantiles)
    found = [float(law.quantile(level)[0, 0, 0]) for level in (0.1, 0.3, 0.5, 0.9)]
    np.testing.assert_allclose(found, [-0.02, -0.01, 0.0, 0.01], atol=1e-8)
    reach = special.stdtrit(4.0, 0.01) / special.stdtrit(4.0, 0.1)
    np.testing.assert_allclose(law.quantile(0.01)[0, 0, 0], -0.02 * reach, rtol=1e-5)


def test_quantiles_that_cross_are_sorted(home: Path, market: Market, past: Past) -> None:
    (home / "model.toml").write_text(QUANTILES)
    (home / "model.onnx").write_bytes(a_graph((0.01, 0.0, -0.02), slope=np.zeros_like(weights())))
    law = fitted(home, past).predict(market.panel, range(1_000, 1_001)).law
    np.testing.assert_allclose(law.quantile(0.1)[0, 0, 0], -0.02, atol=1e-8)


def test_every_one_of_our_levels_is_kept_as_it_is() -> None:
    np.testing.assert_allclose(spread(LEVELS), np.eye(len(LEVELS)), atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("look_back_rows = 6\n", "", "model.toml: it does not say look_back_rows"),
        ("look_back_rows", "lookback_rows", "unknown key lookback_rows. Did you mean look_back_rows|does not say"),
        ("look_back_rows = 6", "look_back_rows = 0", "look_back_rows: .*greater than or equal to 1"),
        ("look_back_rows = 6", "look_back_rows =", "not a TOML file"),
        ('"student-t"', '"gauss"', "output: .*'student-t' or 'quantiles'"),
        ('"student-t"', '"quantiles"', "levels must rise from below .5 to above .5"),
        ('"student-t"', '"quantiles"\nlevels = [0.1, 0.4]', "levels must rise from below .5 to above .5"),
        ('"student-t"', '"quantiles"\nlevels = [0.5, 0.1, 0.9]', "levels must rise"),
        ('"student-t"', '"student-t"\nlevels = [0.1, 0.9]', "levels belong to quantiles"),
        ('["return_1", "return_4h"]', '["return_1", "return_1"]', "names one of them twice"),
        ("[1, 4]", "[4, 4]", "horizons must be different numbers"),
        ("[1, 4]", "[1, 2]", "does not look 4 bars ahead, which target.horizons asks for. It looks 1, 2 ahead"),
        ('"2000-01-01"', '"soon"', "'soon' is not a date"),
        ('trained_until = "2000-01-01"', "", "it does not say trained_until"),
        ('"return_4h"]', '"return_5h"]', "reads the feature 'return_5h', which the study does not have"),
        ("look_back_rows = 6", "look_back_rows = 7", r"it takes \(any, 6, 2\), but .* \(2, 7, 2\)"),
        ("[1, 4]", "[1, 4, 8]", r"it answers \(2, 2, 3\), but .* = \(2, 3, 3\)"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_in_the_description_is_one_sentence(
    old: str, new: str, says: str, home: Path, past: Past
) -> None:
    (home / "model.toml").write_text(SAYS.replace(old, new))
    with pytest.raises(StudyError, match=says):
        fitted(home, past)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (b"nothing", "model.onnx: it cannot be read as a graph of ONNX"),
        (a_graph((0.0, -0.01, 5.0)), "numbers that are no distribution.*scale above 0"),
        (a_graph((0.0, 0.01, 2.0)), "numbers that are no distribution"),
        (a_graph((0.0, 0.01)), r"answers \(2, 2, 2\)"),
        (a_graph(batch=3), r"takes \(3, 6, 2\)"),
    ],
)
def test_a_graph_that_is_not_what_is_said_of_it_is_refused(
    graph: bytes, says: str, home: Path, past: Past
) -> None:
    (home / "model.onnx").write_bytes(graph)
    with pytest.raises(LongshortError, match=says):
        fitted(home, past)


def test_rows_that_the_graph_may_have_learnt_from_are_refused(home: Path, market: Market, past: Past) -> None:
    closed_at = np.datetime64(int(market.panel.closed_at[1_000]), "ns")
    (home / "model.toml").write_text(SAYS.replace("2000-01-01", f"{closed_at.astype('datetime64[m]')}Z"))
    model = fitted(home, past)
    model.predict(market.panel, range(1_000, 1_010))
    with pytest.raises(StudyError, match=r"trained until .* and cannot be judged on rows from"):
        model.predict(market.panel, range(999, 1_010))


def test_a_graph_takes_the_place_of_a_network(home: Path) -> None:
    model = model_of(Study.load(home))
    assert isinstance(model, GraphForecaster)
    assert model.name == "model.onnx"
    assert described(home / "model.toml").width == 3


@pytest.mark.parametrize("kind", ["onnx:model.pb", "onnx:"])
def test_a_kind_that_names_no_graph_is_refused(kind: str, home: Path) -> None:
    with pytest.raises(StudyError, match="names no graph"):
        graph_model(Study.load(home, [f"model.kind={kind}"]))


def test_a_graph_is_evaluated_and_forecasts_like_any_model(home: Path, inside: Callable[..., Said]) -> None:
    short = ("--set", "target.horizons=[1]", "--set", "policy.horizon_bars=1")
    judged = inside("evaluate", ".", "--json", *short, cwd=home)
    assert judged.code == 0, judged.err
    rows = json.loads(judged.out.splitlines()[-1])["rows"]
    assert {row["n_instants"] > 300 for row in rows if row["metric"] == "crps"} == {True}
    said = inside("forecast", ".", "--json", cwd=home)
    assert said.code == 0, said.err
    assert all(abs(row["volatility"] - 0.01 * np.sqrt(5 / 3)) < 1e-6 for row in json.loads(said.out))
    refused = inside("train", ".", cwd=home)
    assert refused.code == 1
    assert "nothing to train" in refused.err
    (home / "model.toml").write_text(SAYS.replace("2000", "2100"))
    late = inside("evaluate", ".", cwd=home)
    assert late.code == 1
    assert "trained until 2100-01-01" in late.err
