"""Every registered feature keeps the contracts, and features made bad on purpose are each named for what they do."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from longshort.data.simulator import simulate_market
from longshort.features.catalog import FEATURES
from longshort.features.contract import problems
from longshort.features.history import Grid
from longshort.features.look import Feature, Look

from .markets import punched


def own(compute: object, warmup_rows: int = 2, **said: object) -> Feature:
    return Feature(compute=compute, family="own", warmup_rows=warmup_rows, **said)  # type: ignore[arg-type]


def shifted(look: Look) -> Grid:
    following = np.roll(look["log_return"], -1, axis=0)
    following[-1] = 0.0
    return following


def centred_mean(look: Look) -> Grid:
    padded = np.pad(look["log_return"], ((1, 1), (0, 0)), constant_values=np.nan)
    return np.nanmean(sliding_window_view(padded, 3, axis=0), axis=-1)


def full_sample_score(look: Look) -> Grid:
    returns = look["log_return"]
    return (returns - np.nanmean(returns, axis=0)) / np.nanstd(returns, axis=0)


def back_filled(look: Look) -> Grid:
    values = look["log_return"].copy()
    for t in range(len(values) - 2, -1, -1):
        values[t] = np.where(np.isnan(values[t]), values[t + 1], values[t])
    return values


def without_state(look: Look) -> Grid:
    before = np.vstack([np.full((1, look.bars.close.shape[1]), np.nan), look["log_close"]])[:-1]
    return look["log_close"] - before


def silenced_by_a_gap(look: Look) -> Grid:
    hole = look.history.last_known("hole", np.where(look.bars.present, np.nan, 1.0))
    return np.where(np.isnan(hole), look["log_return"], np.nan)


def since_the_beginning(look: Look) -> Grid:
    return look["log_return"] - look.history.expanding_mean("all", look["log_return"], 2)


def random_numbers(look: Look) -> Grid:
    return np.random.default_rng().normal(size=look.bars.close.shape)


def divided_by_nothing(look: Look) -> Grid:
    return 1.0 / np.round(look["log_return"], 3)


def in_32_bits(look: Look) -> Grid:
    return look["log_return"].astype(np.float32)  # type: ignore[return-value]


BAD = {
    "shifted": (own(shifted, 1), "causality", "reads later bars: its value at row"),
    "centred mean": (own(centred_mean, 1), "causality", "are cut off"),
    "full-sample score": (own(full_sample_score), "causality", "reads later bars"),
    "back-filled": (own(back_filled, 1), "causality", "from -0.00108227 to missing"),
    "without state": (own(without_state), "streaming", "gives another value bar by bar at row"),
    "silenced by a gap": (own(silenced_by_a_gap), "warm-up", "still missing at row"),
    "since the beginning": (own(since_the_beginning, 3), "context", "looks further back than it may"),
    "wrong warm-up": (replace(FEATURES["range_24"], warmup_rows=20), "warm-up", "at row 25 of complete bars"),
    "random": (own(random_numbers, 1), "repeatable", "is random"),
    "infinite": (own(divided_by_nothing), "values", "is infinite at row"),
    "32 bits": (own(in_32_bits), "values", "gives float32"),
    "price level": (own(lambda look: look["log_close"], 1), "units", "is not unitless"),
    "unknown column": (own(lambda look: look["clsoe"]), "values", "'clsoe', which nothing computes"),
}

REGISTRY = """
import json
from longshort.features.catalog import FEATURES
from longshort.features.contract import problems

print(json.dumps({name: [str(p) for p in problems(name, feature)] for name, feature in FEATURES.items()}))
"""


@pytest.fixture(scope="module")
def found_in_the_registry() -> dict[str, list[str]]:
    """Asked in a process of its own, where calls are not checked for their types: it is ten times as fast."""
    told = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", REGISTRY], capture_output=True, text=True, check=True, timeout=300
    )
    return json.loads(told.stdout)


@pytest.mark.parametrize("name", FEATURES)
def test_every_registered_feature_keeps_every_contract(
    found_in_the_registry: dict[str, list[str]], name: str
) -> None:
    assert found_in_the_registry[name] == []


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # means of nothing, in features that are bad on purpose
def test_a_bad_feature_is_named_for_what_it_does(name: str) -> None:
    feature, contract, words = BAD[name]

    found = problems("bad", feature)

    assert {problem.contract for problem in found} == {contract}
    assert words in str(found[0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_size_of_a_leak_and_its_row_are_told() -> None:
    (found,) = problems("bad", own(full_sample_score))

    assert found.row is not None
    assert found.size is not None
    assert str(found).startswith(f"bad reads later bars: its value at row {found.row} changes from ")


def test_a_leak_of_rare_bars_is_found_on_the_bars_that_have_them() -> None:
    market = simulate_market(2, 300, seed=2).bars
    bars = replace(market, volume=np.where(np.arange(300)[:, None] == 100, 0.0, market.volume))

    def peeks_where_nothing_traded(look: Look) -> Grid:
        return np.where(look.bars.volume == 0.0, shifted(look), look["log_return"])

    feature = own(peeks_where_nothing_traded)

    assert problems("rare", feature) == []
    assert [p.contract for p in problems("rare", feature, bars=bars)] == ["causality"]


def test_real_holes_are_no_problem_for_a_feature_of_ours() -> None:
    bars = punched(simulate_market(2, 300, seed=2).bars, np.random.default_rng(1), share=0.2)

    assert problems("range_24", FEATURES["range_24"], bars=bars) == []
