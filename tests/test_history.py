"""Operators that look back: against plain numpy, from any cut, through a saved state, and functions in windows."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.errors import DataError, StudyError
from longshort.features.history import MIN_SHARE, Grid, History, across
from longshort.features.windowed import RESTART_ROWS, Windows

Operator = Callable[[History, Grid], Grid]
Oracle = Callable[[np.ndarray], float]

ROWS, COINS = 400, 3
LENGTHS = (1, 2, 7, 24, 90)

WINDOWS: Mapping[str, tuple[Callable[[int], Operator], Oracle]] = {
    "mean": (lambda rows: lambda history, x: history.mean("x", x, rows), np.mean),
    "total": (lambda rows: lambda history, x: history.total("x", x, rows), np.sum),
    "std": (lambda rows: lambda history, x: history.std("x", x, rows), np.std),
    "maximum": (lambda rows: lambda history, x: history.maximum("x", x, rows), np.max),
    "minimum": (lambda rows: lambda history, x: history.minimum("x", x, rows), np.min),
    "median": (lambda rows: lambda history, x: history.median_iqr("x", x, rows)[0], np.median),
    "iqr": (
        lambda rows: lambda history, x: history.median_iqr("x", x, rows)[1],
        lambda known: np.subtract(*np.quantile(known, [0.75, 0.25])),
    ),
}
ENDLESS: Mapping[str, Operator] = {
    "lag": lambda history, x: history.lag("x", x, 5),
    "ewma": lambda history, x: history.ewma("x", x, 8.0),
    "expanding": lambda history, x: history.expanding_mean("x", x, 10),
    "last": lambda history, x: history.last_known("x", x),
    "run": lambda history, x: history.missing_run("x", np.isfinite(x).astype(np.float64)),
}
OPERATORS = {**{name: of(24) for name, (of, _) in WINDOWS.items()}, **ENDLESS}
every_operator = pytest.mark.parametrize("name", OPERATORS)


def values_of(seed: int) -> Grid:
    """Numbers on a level far above their changes, equal ones among them, a tenth missing, one coin mostly."""
    rng = np.random.default_rng(seed)
    values = 1e6 + np.round(rng.normal(size=(ROWS, COINS)).cumsum(axis=0), 1)
    values[rng.random((ROWS, COINS)) < [0.1, 0.0, 0.5]] = np.nan
    return values


VALUES = values_of(0)


@pytest.mark.parametrize("rows", LENGTHS)
@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_says_what_numpy_says_of_its_rows_where_four_fifths_are_there(name: str, rows: int) -> None:
    operator, oracle = WINDOWS[name]
    expected = np.full(VALUES.shape, np.nan)
    for t, a in np.ndindex(ROWS - rows + 1, COINS):
        known = VALUES[t : t + rows, a][np.isfinite(VALUES[t : t + rows, a])]
        expected[t + rows - 1, a] = oracle(known) if len(known) >= MIN_SHARE * rows else np.nan

    np.testing.assert_allclose(operator(rows)(History(COINS), VALUES), expected, rtol=1e-12, atol=1e-9)


@every_operator
@given(cuts=st.lists(st.integers(1, ROWS - 1), max_size=8), ones=st.integers(0, 60))
def test_an_operator_gives_the_same_bits_from_any_cut(name: str, cuts: list[int], ones: int) -> None:
    edges = sorted({0, *cuts, *range(ROWS - ones, ROWS), ROWS})
    history = History(COINS, origin=11)

    pieces = [OPERATORS[name](history, VALUES[a:b]) for a, b in pairwise(edges)]

    whole = History(COINS, origin=11)
    np.testing.assert_array_equal(np.concatenate(pieces), OPERATORS[name](whole, VALUES))
    np.testing.assert_equal(history.state(), whole.state())


@every_operator
def test_a_restored_history_goes_on_with_the_same_bits(name: str) -> None:
    first, second = History(COINS), History(COINS)
    OPERATORS[name](first, VALUES[:333])
    second.restore(first.state())

    later = OPERATORS[name](first, VALUES[333:])

    np.testing.assert_array_equal(OPERATORS[name](second, VALUES[333:]), later)
    np.testing.assert_array_equal(later, OPERATORS[name](History(COINS), VALUES)[333:])


@every_operator
def test_a_saved_state_does_not_move_with_the_history_that_it_was_taken_from(name: str) -> None:
    history = History(COINS)
    OPERATORS[name](history, VALUES[:333])
    state = history.state()
    before = {key: part.copy() for key, part in state.items()}

    OPERATORS[name](history, VALUES[333:])

    assert all(np.array_equal(state[key], part, equal_nan=True) for key, part in before.items())


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_forgets_to_the_last_bit_what_has_left_it(name: str) -> None:
    wild = VALUES.copy()
    wild[:100] = 1e15
    operator = WINDOWS[name][0](24)

    late = operator(History(COINS, origin=100), VALUES[100:])

    np.testing.assert_array_equal(operator(History(COINS), wild)[124:], late[24:])


def test_a_history_of_other_coins_cannot_be_restored() -> None:
    with pytest.raises(DataError, match="a saved history of 3 coins cannot go on with 2"):
        History(2).restore(History(3).state())


def test_a_decaying_mean_leaves_out_what_is_missing_and_waits_for_half_of_its_weight() -> None:
    values = np.array([[1.0], [np.nan], [3.0], [5.0]])

    means = History(1).ewma("x", values, 2.0)[:, 0]

    weight = 0.5 ** (np.array([3.0, 1.0, 0.0]) / 2.0)
    assert np.isnan(means[:3]).all()
    np.testing.assert_allclose(means[3], (weight @ [1.0, 3.0, 5.0]) / weight.sum(), rtol=1e-14)


def test_looking_back_a_row_and_to_the_last_known_one() -> None:
    values = np.array([[1.0], [np.nan], [np.nan], [4.0]])
    history = History(1)

    assert history.lag("x", values, 2)[2:, 0].tolist()[0] == 1.0
    assert history.last_known("x", values)[:, 0].tolist() == [1.0, 1.0, 1.0, 4.0]
    assert history.missing_run("x", np.isfinite(values).astype(np.float64))[:, 0].tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(history.expanding_mean("x", values, 2)[3], 2.5)


def test_the_mean_over_coins_leaves_out_who_is_not_there() -> None:
    values = np.array([[1.0, 3.0], [np.nan, 5.0], [np.nan, np.nan]])

    assert across(values)[:2].tolist() == [[2.0, 2.0], [5.0, 5.0]]
    assert np.isnan(across(values)[2]).all()


LONG = 3 * RESTART_ROWS + 100
FIRST_ROW = 10 * RESTART_ROWS - 300
GRID_ROW = np.arange(FIRST_ROW, FIRST_ROW + LONG)
PRICES = np.random.default_rng(1).normal(size=(LONG, COINS)).cumsum(axis=0)
PRICES[np.random.default_rng(2).random((LONG, COINS)) < [0.0, 0.1, 0.9]] = np.nan
PRICES[:700, 2] = np.nan


def adds_up(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An indicator that never forgets: what it says shows where its window began."""
    price = columns["price"]
    return {"sum": np.cumsum(price), "seen": np.arange(1.0, len(price) + 1.0)}


def windowed(history: History, rows: slice, function: object = adds_up) -> dict[str, Grid]:
    present = np.isfinite(PRICES[rows])
    windows = Windows(history, GRID_ROW[rows], present, {"price": PRICES[rows]})
    return windows.evaluate("mine", function)  # type: ignore[arg-type]


def test_a_function_sees_the_bars_that_are_there_since_the_restart_before_the_last() -> None:
    found = windowed(History(COINS), slice(0, LONG))
    start = np.maximum((GRID_ROW // RESTART_ROWS - 1) * RESTART_ROWS - FIRST_ROW, 0)

    for t, a in [(0, 0), (299, 1), (300, 0), (811, 1), (812, 0), (812, 1), (LONG - 1, 0), (1_500, 1)]:
        known = PRICES[start[t] : t + 1, a][np.isfinite(PRICES[start[t] : t + 1, a])]
        expected = [len(known), known.sum()] if np.isfinite(PRICES[t, a]) else [np.nan, np.nan]
        np.testing.assert_allclose([found["seen"][t, a], found["sum"][t, a]], expected, rtol=1e-9)
    np.testing.assert_array_equal(np.isfinite(found["seen"]), np.isfinite(PRICES))
    assert found["seen"][:, 0].max() == 2 * RESTART_ROWS


@given(cuts=st.lists(st.integers(1, LONG - 1), max_size=8), ones=st.integers(0, 40))
def test_windows_give_the_same_bits_from_any_cut_and_through_a_saved_state(
    cuts: list[int], ones: int
) -> None:
    restart = 2 * RESTART_ROWS + 300  # a row at which windows begin anew
    edges = sorted({0, *cuts, *range(restart - ones, restart + ones), LONG})
    pieces, history = [], History(COINS)
    for a, b in pairwise(edges):
        pieces.append(windowed(history, slice(a, b)))
        state, history = history.state(), History(COINS)
        history.restore(state)

    at_once = History(COINS)
    whole = windowed(at_once, slice(0, LONG))

    np.testing.assert_equal(history.state(), at_once.state())
    np.testing.assert_array_equal(np.concatenate([p["sum"] for p in pieces]), whole["sum"])
    np.testing.assert_array_equal(np.concatenate([p["seen"] for p in pieces]), whole["seen"])


def test_windows_do_not_depend_on_bars_before_them() -> None:
    late = windowed(
        History(COINS), slice(300, LONG)
    )  # from a restart on: one block less than the whole knows

    np.testing.assert_array_equal(late["sum"][512:], windowed(History(COINS), slice(0, LONG))["sum"][812:])


def test_a_row_lacks_what_the_function_says_where_one_of_its_inputs_is_missing() -> None:
    present = np.ones((4, 1), dtype=bool)
    inputs = {"a": np.array([[1.0], [np.nan], [3.0], [4.0]]), "b": np.array([[1.0], [1.0], [1.0], [np.nan]])}

    windows = Windows(History(1), GRID_ROW[:4], present, inputs)
    found = windows.evaluate("count", lambda columns: {"n": np.arange(1.0, 1.0 + len(columns["a"]))})

    np.testing.assert_array_equal(found["n"][:, 0], [1.0, np.nan, 2.0, np.nan])


def test_what_a_function_was_never_asked_for_want_of_bars_is_missing() -> None:
    windows = Windows(History(1), GRID_ROW[:2], np.zeros((2, 1), dtype=bool), {"price": np.ones((2, 1))})

    assert np.isnan(windows.evaluate("mine", adds_up)["sum"]).all()


def raises(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    raise ValueError("no")


def writes(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    columns["price"] += 1.0
    return columns


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, "the function 'mine' failed: ValueError: no"),
        (writes, "the function 'mine' failed: ValueError: output array is read-only"),
        (lambda columns: {"short": columns["price"][1:]}, r"returned 'short' as float64 of shape \(\d+,\)"),
        (lambda columns: {"whole": np.arange(len(columns["price"]))}, "returned 'whole' as int64"),
        (
            lambda columns: {"wide": columns["price"][:, None]},
            r"returned 'wide' as float64 of shape \(\d+, 1\)",
        ),
        (lambda columns: {"one": 1.0}, "returned 'one' as float, not an array"),
        (lambda columns: columns["price"], "returned ndarray, not arrays by name"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused_by_name(function: object, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        windowed(History(COINS), slice(0, 50), function)


def test_a_column_that_a_function_does_not_return_is_named() -> None:
    with pytest.raises(StudyError, match="the function 'mine' returned no column 'smu'"):
        _ = windowed(History(COINS), slice(0, 50))["smu"]
