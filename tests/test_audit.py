"""Every planted leak is caught by the check that should catch it, and nothing honest is accused."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshort.base.clock import HOUR
from longshort.base.errors import DataError
from longshort.base.stage import Arrays, Stage, differing
from longshort.data.simulator import simulate_market
from longshort.study.audit.proof import spread
from longshort.study.audit.reach import Stripes
from longshort.study.audit.record import Audit, Finding, Fit, Pipeline, Split
from longshort.study.audit.run import audit
from longshort.study.audit.timeline import ArrayTimeline, BarsTimeline, EventTimeline, Table

from .markets import punched
from .redteam import LEAKS, honest
from .redteam.harness import Leak, alarms, look, market, table_row

DOCUMENT = Path(__file__).parents[1] / "docs" / "audit.md"
every_leak = pytest.mark.parametrize("leak", LEAKS, ids=[leak.name for leak in LEAKS])
BARS = punched(simulate_market(coins=3, bars=2_000, seed=3).bars, np.random.default_rng(3), share=0.01)
LONG = 20_000


def staged(stage: Stage, history: Table) -> Pipeline:
    return Pipeline(history=history, timeline=ArrayTimeline(), stages=(stage,))


def long_market(gaps: tuple[int, ...] = ()) -> Table:
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, 0.01, LONG)))
    close[list(gaps)] = np.nan
    return Table(at=HOUR * np.arange(1, LONG + 1, dtype=np.int64), arrays={"close": close})


def bfilled(history: Table) -> Arrays:
    close = history["close"].copy()
    holes = np.flatnonzero(np.isnan(close[:-1]))
    close[holes] = close[holes + 1]
    return {"close": close}


def window_mean(history: Table) -> Arrays:
    mean = np.full(len(history), np.nan)
    if len(history) >= 24:
        mean[23:] = np.lib.stride_tricks.sliding_window_view(history["close"], 24).mean(axis=1)
    return {"mean": mean}


def seldom_late(history: Table) -> Arrays:
    """The close, but in one row of 509 that of 153 rows before: a context that few probes can see."""
    value, row = history["close"].copy(), history.at // HOUR
    late = np.flatnonzero((row % 509 == 0) & (np.arange(len(row)) >= 153))
    value[late] = history["close"][late - 153]
    return {"value": value}


def ticking() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read, so that no test depends on the machine."""
    ticks = count()
    return lambda: float(next(ticks))


@every_leak
def test_a_planted_leak_is_caught_by_its_check(leak: Leak) -> None:
    found = look(leak.leaky(0), thorough=leak.thorough)

    caught = [f for f in found.findings if f.check == leak.check and f.outcome == leak.outcome]
    assert caught, [f.detail for f in found.findings]
    assert found.exit_code == (2 if leak.outcome == "leak" else 0)


@every_leak
def test_its_honest_twin_is_not_accused(leak: Leak) -> None:
    found = look(leak.honest(0), thorough=leak.thorough)

    assert alarms(found) == (), [f.detail for f in found.findings]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_honest_twins_together_are_not_accused(seed: int) -> None:
    found = [look(pipeline, thorough=True, seconds=0.5, seed=seed) for pipeline in honest(seed)]

    assert [f.detail for a in found for f in a.findings if f.outcome in ("leak", "implausible")] == []


def test_the_table_in_the_documents_is_what_the_red_team_gives() -> None:
    written = [line for line in DOCUMENT.read_text().splitlines() if re.fullmatch(r"\|( [^|]+ \|){4}", line)]

    assert [table_row(leak) for leak in LEAKS] == [line for line in written if not line.startswith("| leak ")]


def test_the_example_in_the_documents_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)

    exec(compile(example[0], str(DOCUMENT), "exec"), {})  # noqa: S102 our own page

    assert len(example) == 1
    assert "smooth of " in capsys.readouterr().out


def test_a_leak_in_three_gaps_of_twenty_thousand_bars_is_found_in_seconds() -> None:
    gaps = (7_777, 12_345, 12_346)

    found = audit(staged(Stage(name="bfill", rows=bfilled), long_market(gaps)), seconds=2.0)

    assert {f.check: f.outcome for f in found.findings} == {"truncation": "leak", "poison": "leak"}
    assert all(f.row in gaps for f in found.findings)


def test_an_alarm_names_the_row_the_array_the_instant_and_the_size() -> None:
    history = long_market((7_777,))

    leak = audit(staged(Stage(name="bfill", rows=bfilled), history), seconds=2.0).findings[0]

    assert (leak.stage, leak.check, leak.row, leak.where) == ("bfill", "truncation", 7_777, "close")
    assert leak.at == int(history.at[7_777])
    assert "close of 1970-11-21 02:00Z (row 7,777) is" in leak.detail


def test_nearly_every_bar_of_a_stage_of_short_context_is_the_last_before_noise() -> None:
    stage = Stage(name="mean", rows=window_mean)

    found = audit(staged(stage, long_market()), seconds=1_500.0, clock=ticking())

    poisoned = next(f for f in found.findings if f.check == "poison")
    assert poisoned.outcome == "clean"
    assert poisoned.looked > 19_700
    assert re.match(
        r"noise in stripes after 19,[789]\d\d of 19,999 bars \(1 of 1 columns\); ", poisoned.detail
    )


@pytest.mark.parametrize("ahead", [1, 2, 5, 9, 40, 100])
def test_a_leak_at_three_rows_is_found_by_stripes_however_far_it_looks(ahead: int) -> None:
    def rows(history: Table) -> Arrays:
        value = history["close"].copy()
        late = np.flatnonzero(history.at % (6_000 * HOUR) == 0)
        value[late] = history["close"][np.minimum(late + ahead, len(history) - 1)]
        return {"value": value}

    found = audit(staged(Stage(name="seldom", rows=rows), long_market()), seconds=600.0, clock=ticking())

    assert found.findings[1].outcome == "leak"
    assert (found.findings[1].row or 0) % 6_000 == 5_999


def test_a_context_that_is_sometimes_long_raises_no_alarm() -> None:
    stage = Stage(name="seldom late", rows=seldom_late)

    found = audit(staged(stage, long_market()), seconds=600.0, clock=ticking())

    assert alarms(found) == ()


def test_a_stream_that_looks_at_more_bars_before_it_answers_is_caught() -> None:
    def late(pieces: Iterator[Table]) -> Iterator[Arrays]:
        kept = list(pieces)
        return ({"close": piece["close"]} for piece in kept)

    stage = Stage(name="late", rows=lambda h: {"close": h["close"]}, stream=late)

    found = audit(staged(stage, market(0)), seconds=5.0)

    assert found.findings[0].outcome == "leak"
    assert "was said after later bars were asked for" in found.findings[0].detail


def test_a_stream_that_says_something_else_is_caught_and_an_equal_one_is_counted() -> None:
    def stream(pieces: Iterator[Table]) -> Iterator[Arrays]:
        return ({"close": piece["close"]} for piece in pieces)

    honest = Stage(name="equal", rows=lambda h: {"close": h["close"]}, stream=stream)
    other = replace(honest, name="other", rows=lambda h: {"close": h["close"] * 2.0})

    equal, unequal = (audit(staged(stage, market(0)), seconds=5.0).findings[0] for stage in (honest, other))

    assert equal.outcome == "clean"
    assert "streamed 120 of 120 bars" in equal.detail
    assert unequal.outcome == "leak"
    assert "is not what the stream says of it" in unequal.detail


def test_a_stage_that_never_says_the_same_twice_is_a_warning_not_a_leak() -> None:
    rng = np.random.default_rng(0)
    stage = Stage(name="random", rows=lambda h: {"noise": rng.normal(size=len(h))})

    found = audit(staged(stage, market(0)), seconds=1.0)

    assert [(f.outcome, f.looked) for f in found.findings] == [("warning", 0)]
    assert "two runs on the same history differ" in found.findings[0].detail


def test_a_stage_that_fails_on_short_histories_is_reported_not_raised() -> None:
    def strict(history: Table) -> Arrays:
        if len(history) < 60:
            raise ValueError("60 rows are needed")
        return {"close": history["close"]}

    found = audit(staged(Stage(name="strict", rows=strict), market(0)), seconds=5.0)
    spared = audit(staged(Stage(name="strict", rows=strict, from_row=60), market(0)), seconds=5.0)

    assert found.findings[0].outcome == "warning"
    assert "59 could not be computed, first after" in found.findings[0].detail
    assert found.findings[0].detail.endswith("60 rows are needed")
    assert alarms(spared) == ()


def test_arrays_that_do_not_fit_the_clock_are_refused() -> None:
    stage = Stage(name="short", rows=lambda h: {"close": h["close"][1:]})

    found = audit(staged(stage, market(0)), seconds=1.0)

    assert "'close' has 119 rows and the clock 120" in found.findings[0].detail
    with pytest.raises(DataError, match="'close' has not one row per instant"):
        Table(at=np.arange(3), arrays={"close": np.zeros(2)})


def test_what_was_not_run_is_said() -> None:
    history = market(0, 240, gaps=0)
    slow = Fit(name="slow", test_from_at=int(history.at[200]), learn=lambda h: {"mean": np.zeros(1)})
    pipeline = Pipeline(history=history, timeline=ArrayTimeline(), fits=(slow, slow, slow))

    found = audit(pipeline, seconds=4.0, clock=ticking())

    assert [f.outcome for f in found.findings] == ["clean", "not run", "not run"]
    assert found.outcome == "clean"


def test_the_same_seed_gives_the_same_findings() -> None:
    first, second = (look(LEAKS[0].honest(0), seconds=20.0, seed=4) for _ in range(2))

    assert [replace(f, seconds=0.0) for f in first.findings] == [
        replace(f, seconds=0.0) for f in second.findings
    ]


def test_a_split_says_how_many_rows_and_bars_are_too_late() -> None:
    closed_at = HOUR * np.arange(100, dtype=np.int64)
    split = Split(
        name="fold 1", closed_at=closed_at, label_known_at=closed_at + 4 * HOUR, test_closed_at=100 * HOUR
    )
    pipeline = Pipeline(history=market(0), timeline=ArrayTimeline(), splits=(split,))

    found = audit(pipeline, seconds=1.0).findings[0]

    assert found.detail.startswith(
        "3 of 100 fitted rows have labels that are known after the first test close, by up to 3 bars"
    )
    assert (found.row, found.at, found.size) == (97, 97 * HOUR, 3.0)


def test_a_shuffled_split_is_called_so() -> None:
    closed_at = HOUR * np.array([1, 2, 300, 301])
    split = Split(
        name="folds", closed_at=closed_at, label_known_at=closed_at + HOUR, test_closed_at=100 * HOUR
    )
    pipeline = Pipeline(history=market(0), timeline=ArrayTimeline(), splits=(split,))

    found = audit(pipeline, seconds=1.0).findings[0]

    assert found.detail.startswith("2 of 4 fitted rows lie in or behind the test")
    assert found.at == 300 * HOUR


def test_profit_is_looked_at_after_every_row_once() -> None:
    leak = next(leak for leak in LEAKS if leak.name.startswith("same-bar"))

    found = look(leak.honest(0))

    assert "profit after 239 of 240 rows" in found.findings[1].detail


def test_the_worst_finding_counts_and_json_can_hold_it() -> None:
    clean = Finding(stage="a", check="split", outcome="clean", looked=1, detail="")
    leak = replace(clean, outcome="leak", at=0, size=float("nan"))

    both = Audit(findings=(clean, leak))

    assert (both.outcome, both.exit_code, both.alarms) == ("leak", 2, (leak,))
    assert Audit(findings=(clean,)).exit_code == 0
    assert (
        json.loads(json.dumps(both.to_json(), allow_nan=False))["findings"][1]["instant"]
        == "1970-01-01 00:00Z"
    )


def test_bits_are_compared_not_values() -> None:
    assert differing(np.array([0.0, 1.0, np.nan]), np.array([-0.0, 1.0, np.nan])).tolist() == [
        True,
        False,
        False,
    ]
    assert differing(np.array([1, 2]), np.array([1, 3])).tolist() == [False, True]
    assert differing(np.array([True]), np.array([False])).tolist() == [True]


@given(row=st.integers(0, 1_999), seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_poison_leaves_earlier_bars_and_changes_every_later_one(row: int, seed: int) -> None:
    at = int(BARS.closed_at[row])

    noise = BarsTimeline().poisoned(BARS, at, np.random.default_rng(seed))

    assert noise[: row + 1].digest() == BARS[: row + 1].digest()
    assert (differing(noise.close, BARS.close)[row + 1 :] | ~noise.present[row + 1 :]).all()
    assert (np.isfinite(noise.close) == noise.present).all()
    assert (noise.listed | ~noise.present).all()
    there = noise.present
    assert (noise.high[there] >= np.maximum(noise.open, noise.close)[there]).all()
    assert (noise.low[there] <= np.minimum(noise.open, noise.close)[there]).all()


@given(instant=st.integers(0, 120), seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_poisoned_records_are_as_many_and_come_later(instant: int, seed: int) -> None:
    events = Table(at=np.arange(0, 120, 3), arrays={"score": np.linspace(-1.0, 1.0, 40)})

    noise = EventTimeline().poisoned(events, instant, np.random.default_rng(seed))

    known = int((events.at <= instant).sum())
    assert noise.at[:known].tolist() == events.at[:known].tolist()
    assert (noise.at[known:] > instant).all()
    assert len(noise) == len(events)


def test_edges_lie_on_both_sides_of_every_hole() -> None:
    rows = set(BarsTimeline().edges(BARS).tolist())
    changes = np.flatnonzero((BARS.present[1:] != BARS.present[:-1]).any(axis=1))

    assert len(changes) > 20
    assert {*changes.tolist(), *(changes + 1).tolist()} <= rows


@given(context=st.integers(1, 60), noise=st.integers(2, 15), rows=st.integers(1, 400))
@settings(max_examples=50, deadline=None)
def test_stripes_make_every_bar_the_last_before_noise_and_keep_its_context(
    context: int, noise: int, rows: int
) -> None:
    stripes, last = Stripes(context=context, noise=noise), np.zeros(rows, dtype=bool)

    for shift in range(stripes.period):
        noisy, safe = stripes.rows(rows, shift)
        last[:-1] |= safe[:-1] & noisy[1:]
        assert not any(noisy[max(t - context + 1, 0) : t + 1].any() for t in np.flatnonzero(safe))

    assert last[:-1].all()


@given(st.integers(1, 300))
def test_an_evenly_spread_order_holds_every_number_once(number: int) -> None:
    assert sorted(spread(number).tolist()) == list(range(number))
