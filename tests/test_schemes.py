from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skfolio.model_selection import CombinatorialPurgedCV

from longshort.base.errors import DataError
from longshort.base.settings import Study
from longshort.features.targets import make_targets
from longshort.models.inputs import Scaler
from longshort.models.opponents.scale import HAR, ScaleModel, har
from longshort.models.training.chunks import chunk_starts
from longshort.study.market import Market, open_market
from longshort.study.robustness import past_of_split, robustness, splits_of
from longshort.study.schemes import Split, combinatorial, equal_blocks, leave_out, monthly_regimes, paths

DAY = 86_400 * 10**9


def study_of(scheme: str, **validation: object) -> Study:
    return Study.parse(
        {
            "data": {"source": "embedded", "embedded_coins": 3, "embedded_bars": 6_500},
            "model": {"hidden": 8, "seeds": [1], "anchor": "har"},
            "training": {
                "steps": 10,
                "chunk_bars": 64,
                "burn_in_bars": 16,
                "batch_chunks": 8,
                "processes": 1,
            },
            "validation": {"folds": 2, "scheme": scheme, "groups": 4, **validation},
        }
    )


@pytest.fixture(scope="module")
def markets() -> dict[str, Market]:
    schemes = ("combinatorial", "coins", "periods", "regimes")
    return {scheme: open_market(study_of(scheme)) for scheme in schemes}


@pytest.mark.parametrize(("groups", "test_groups"), [(6, 2), (5, 3), (8, 4)])
def test_splits_are_those_of_skfolio(groups: int, test_groups: int) -> None:
    rows, purge, embargo = 240, 5, 7
    peer = CombinatorialPurgedCV(groups, test_groups, purged_size=purge, embargo_size=embargo)
    mine = combinatorial(rows, groups=groups, test_groups=test_groups, purge=purge, embargo=embargo)
    theirs = list(peer.split(np.zeros((rows, 1))))
    assert len(mine) == len(theirs) == comb(groups, test_groups)
    for split, (learn, judge) in zip(mine, theirs, strict=True):
        inner = [row for stretch in split.learn for row in stretch]
        assert inner == [row for row in learn.tolist() if row < rows - purge]
        assert [list(block) for block in split.judge] == [block.tolist() for block in judge]


@pytest.mark.parametrize(("groups", "test_groups"), [(6, 2), (5, 3), (4, 1)])
def test_every_path_judges_every_block_once_by_another_split(groups: int, test_groups: int) -> None:
    blocks = equal_blocks(100, groups)
    splits = combinatorial(100, groups=groups, test_groups=test_groups, purge=1, embargo=0)
    ways = paths(splits, blocks)
    assert len(ways) == comb(groups - 1, test_groups - 1)
    used = [(split, k) for way in ways for k, split in enumerate(way)]
    assert len(set(used)) == len(used) == comb(groups, test_groups) * test_groups
    assert all(blocks[k] in splits[split].judge for split, k in used)


@given(
    rows=st.integers(30, 400),
    groups=st.integers(2, 8),
    purge=st.integers(0, 30),
    embargo=st.integers(0, 30),
    data=st.data(),
)
def test_no_label_of_a_learnt_row_reaches_a_judged_one_and_no_look_back_does(
    rows, groups, purge, embargo, data
):
    chosen = data.draw(st.integers(1, groups - 1))
    for split in combinatorial(rows, groups=groups, test_groups=chosen, purge=purge, embargo=embargo):
        judged = np.zeros(rows, dtype=bool)
        for block in split.judge:
            judged[block.start : block.stop] = True
        for stretch in split.learn:
            assert not judged[max(0, stretch.start - purge - embargo) : stretch.stop + purge].any()
            assert stretch.stop + purge <= rows


def test_months_are_grouped_by_their_volatility() -> None:
    closed_at = np.arange(0, 365, dtype=np.int64) * DAY
    months = closed_at.astype("datetime64[ns]").astype("datetime64[M]").astype(int)
    found = monthly_regimes(closed_at, months.astype(float))
    assert list(found) == ["calm months", "normal months", "stormy months"]
    assert [sum(len(r) for r in part) for part in found.values()] == [120, 123, 122]
    with pytest.raises(DataError, match="too few"):
        monthly_regimes(closed_at[:100], np.ones(100))


def test_leaving_out_a_part_judges_it_alone() -> None:
    (split,) = leave_out({"middle": (range(10, 20),)}, 40, purge=2, embargo=3)
    assert split == Split(part="middle", learn=(range(8), range(25, 38)), judge=(range(10, 20),))


@pytest.mark.parametrize("scheme", ["combinatorial", "coins", "periods", "regimes"])
def test_a_fit_is_the_same_whatever_happened_on_the_judged_rows(markets, scheme) -> None:
    market = markets[scheme]
    split = splits_of(market)[1]
    other = _with_noise(market, split)
    for found, again in zip(_learnt(market, split), _learnt(other, split), strict=True):
        np.testing.assert_array_equal(found, again)


def test_a_fit_changes_with_the_rows_it_learns_from(markets) -> None:
    market = markets["periods"]
    split = splits_of(market)[1]
    other = _with_noise(market, replace(split, judge=split.learn[:1]))
    assert any(
        not np.array_equal(a, b) for a, b in zip(_learnt(market, split), _learnt(other, split), strict=True)
    )


def test_no_chunk_runs_over_a_seam(markets) -> None:
    market = markets["combinatorial"]
    split = next(s for s in splits_of(market) if len(s.learn) > 1)
    past = past_of_split(market, split)
    seam = len(split.learn[0])
    first = chunk_starts(past, market.study.training, range(past.train.start, past.validation.stop))[:, 0]
    length = market.study.training.chunk_bars
    assert not ((first < seam) & (first + length > seam)).any()
    assert (first < seam).any()
    assert (first >= seam).any()


def test_each_coin_left_out_is_judged_and_no_other(markets) -> None:
    market = markets["coins"]
    splits = splits_of(market)
    assert [split.without for split in splits] == [(0,), (0,), (1,), (1,), (2,), (2,)]
    past = past_of_split(market, splits[2])
    assert not past.panel.usable[:, 1].any()
    assert np.isnan(past.targets.log_return[:, 1]).all()
    assert past.panel.usable[:, 0].any()


def test_combinatorial_paths_are_compared_and_traded_whole(markets) -> None:
    section = robustness(markets["combinatorial"])
    (table,) = section.tables
    assert [row[:2] for row in table.rows[:3]] == [("path 1", 1), ("path 1", 4), ("path 1", 24)]
    assert {row[0] for row in table.rows} == {"path 1", "path 2", "path 3"}
    assert all(np.isfinite(row[2]) and np.isfinite(row[-1]) for row in table.rows)
    assert len(section.charts[0].series[0].y) == 3


def test_too_little_left_to_learn_from_is_refused() -> None:
    market = open_market(study_of("combinatorial", groups=10, test_groups=6))
    with pytest.raises(DataError, match="are left to learn from"):
        splits_of(market)


def test_all_groups_cannot_be_tested_at_once() -> None:
    market = open_market(study_of("combinatorial", groups=3, test_groups=3))
    with pytest.raises(DataError, match="none is left"):
        splits_of(market)


def _learnt(market: Market, split: Split) -> tuple[np.ndarray, ...]:
    past = past_of_split(market, split)
    scaler = Scaler.fit(past.panel, past.train, past.names)
    fitted = ScaleModel(HAR, (1, 4, 24), har).fit(past)
    usable = past.panel.usable[:, :, None]
    return scaler.mean, scaler.std, fitted.beta, fitted.df, np.where(usable, past.targets.log_return, 0.0)


def _with_noise(market: Market, split: Split) -> Market:
    """Other prices on the judged rows and coins; features of rows behind are allowed to differ where they look back."""
    rng = np.random.default_rng(3)
    close = market.bars.close.copy()
    coins = list(split.without) or list(range(close.shape[1]))
    values = market.panel.values.copy()
    for block in split.judge:
        rows = slice(block.start, block.stop)
        for coin in coins:
            close[rows, coin] *= np.exp(0.1 * rng.normal(size=len(block)))
            values[rows, coin] += rng.normal(size=values[rows, coin].shape).astype(np.float32)
    bars = replace(market.bars, close=close)
    return replace(
        market,
        bars=bars,
        panel=replace(market.panel, values=values),
        targets=make_targets(bars, market.targets.horizons),
    )
