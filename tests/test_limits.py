"""What stands between wishes and orders holds, whatever is wished, and forgets nothing."""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from longshort.base.clock import DAY, HOUR, MINUTE
from longshort.base.errors import DataError, NotComputable, StudyError
from longshort.base.instrument import Costs
from longshort.base.journal import (
    GraceEnded,
    LimitCleared,
    LimitReached,
    MemoryJournal,
    OrderCut,
    Rearmed,
    StoodAside,
)
from longshort.base.settings import Study
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.models.calibration.coverage_monitor import Coverage
from longshort.policy import booking
from longshort.policy.contract import (
    BALANCE,
    ENTRY,
    FILL,
    HOLDING,
    PURSE,
    UNITS,
    Books,
    Desk,
    contract_terms,
    rates,
)
from longshort.policy.decider import Decider, Script
from longshort.policy.exposure import Wishes
from longshort.policy.ledger import run_ledger
from longshort.policy.limits.breaches import Health
from longshort.policy.limits.limited import Limited
from longshort.policy.limits.limiter import Gated, Limits
from longshort.policy.limits.responses import RESPONSES, Action, Cause
from longshort.policy.limits.state import AccountState, LimitState
from longshort.policy.limits.switch import KillSwitch
from longshort.trading import engine
from longshort.trading.backtest import backtest
from longshort.trading.books import VenueBooks
from longshort.trading.coins import Coin
from tests.accounts import coin, market, random_market, random_wishes, real_market, wishes

PAGE = (Path(__file__).parents[1] / "docs" / "risk.md").read_text(encoding="utf-8")
COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
NOON = 20_000 * DAY + 12 * HOUR
EVERY_LIMIT = LimitSettings(
    max_order_notional=900.0,
    max_gross_notional=2_000.0,
    max_leverage=1.5,
    max_daily_loss=0.05,
    max_drawdown=0.2,
    max_losses_in_row=3,
    max_stale_bars=2,
    max_price_gap=0.02,
    max_band_multiple=3.0,
    coverage_stop="broken",
    require_funding=True,
    max_orders_per_minute=2,
    max_orders_per_hour=5,
)


def account(signed: tuple[float, ...] = (0.0, 0.0, 0.0), **changed: object) -> AccountState:
    state = AccountState(closed_at=NOON, equity=1_000.0, held=np.array(signed), earned=np.zeros(3))
    return replace(state, **changed)


def health(**changed: object) -> Health:
    return replace(Health.good(3), **changed)


def limits(state: LimitState | None = None, **settings: object) -> Limits:
    return Limits(LimitSettings(**settings), state or LimitState.fresh(COINS))  # type: ignore[arg-type]


def gate(
    within: Limits, wished: tuple[float, ...], held: AccountState | None = None, how: Health | None = None
) -> Gated:
    return within.gate(held or account(), Wishes.of(np.array(wished)), how or health())


def targets(gated: Gated) -> list[float]:
    return gated.wishes.target.round(6).tolist()


def reached(gated: Gated) -> list[tuple[str, str]]:
    return [(e.cause, e.symbol) for e in gated.events if isinstance(e, LimitReached)]


# ---------------------------------------------------------------- the table


def test_every_cause_has_a_response_with_a_reason_and_an_end() -> None:
    assert set(RESPONSES) == set(Cause)
    assert all(response.why.endswith(".") and response.until for response in RESPONSES.values())


def test_the_page_for_traders_has_the_table_as_it_is_and_names_every_setting() -> None:
    rows = [f"| `{c}` | {r.words} | {r.until} | {r.why} |" for c, r in RESPONSES.items()]
    each = re.findall(
        r"^\| `([a-z-]+)` \| (?!.*(?:" + "|".join(a.value for a in Action) + r"))", PAGE, re.MULTILINE
    )

    assert re.findall(r"^\| `.*(?:cut to size|reduce only|hold|flatten).*$", PAGE, re.MULTILINE) == rows
    assert each == [str(cause) for cause in Cause]
    assert [name for name in LimitSettings.model_fields if f"`{name}`" not in PAGE] == []


def test_the_examples_of_the_page_print_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    printed = []

    for code, _ in examples:
        exec(compile(code, "docs/risk.md", "exec"), names)  # noqa: S102 our own page
        printed.append(capsys.readouterr().out)

    assert len(printed) == PAGE.count("```python")
    assert printed == [said for _, said in examples]


def test_neither_a_stale_feed_nor_missing_funding_leaves_at_market_at_once() -> None:
    waits = {cause for cause, response in RESPONSES.items() if response.then_flatten}
    at_once = {cause for cause, response in RESPONSES.items() if response.action is Action.FLATTEN}

    assert at_once == {Cause.DAILY_LOSS, Cause.DRAWDOWN, Cause.KILL_SWITCH}
    assert waits == {Cause.STALE_FEED, Cause.PRICE_GAP, Cause.MISSING_FUNDING, Cause.MODEL_EXPIRED}


def test_a_study_that_names_no_limit_has_its_wishes_passed_on_bit_for_bit() -> None:
    wished = Wishes(np.array([0.1 + 0.2, nan, -7.3]), np.array([0.02, nan, nan]), np.array([nan, 0.1, nan]))
    bad = Health(
        stale_bars=np.full(3, 99.0), price_gap=np.full(3, nan), funding_known=np.zeros(3, dtype=bool)
    )

    gated = Limits(Study().limits, LimitState.fresh(COINS)).gate(account((5.0, 5.0, 5.0)), wished, bad)

    assert [part.tobytes() for part in gated.wishes] == [part.tobytes() for part in wished]
    assert gated.events == ()
    assert gated.actions == (None, None, None)


# ---------------------------------------------------------------- sizes


def test_one_order_is_cut_and_the_rest_of_the_wish_follows_at_the_next_closes() -> None:
    within = limits(max_order_notional=300.0)

    first = gate(within, (0.7, nan, nan))
    second = gate(within, (nan, nan, nan), account((300.0, 0.0, 0.0)))
    third = gate(within, (nan, nan, nan), account((600.0, 0.0, 0.0)))
    after = gate(within, (nan, nan, nan), account((700.0, 0.0, 0.0)))

    assert [targets(g)[0] for g in (first, second, third)] == [0.3, 0.6, 0.7]
    assert np.isnan(after.wishes.target).all()
    assert first.events == (OrderCut(NOON, "BTCUSDT", "order-notional", 700.0, 300.0 * (1.0 - 1e-9)),)


def test_what_was_owed_is_forgotten_once_a_stop_has_closed_the_position() -> None:
    within = limits(max_order_notional=300.0)
    gate(within, (0.7, nan, nan))

    stopped = gate(within, (nan, nan, nan), account((0.0, 0.0, 0.0)))

    assert np.isnan(stopped.wishes.target).all()


def test_a_turn_beyond_one_order_closes_first_and_turns_at_the_next_close() -> None:
    within = limits(max_order_notional=300.0)

    first = gate(within, (-0.2, nan, nan), account((500.0, 0.0, 0.0)))
    second = gate(within, (nan, nan, nan), account((0.0, 0.0, 0.0)))

    assert (targets(first)[0], targets(second)[0]) == (0.0, -0.2)


def test_what_closes_is_never_too_large_an_order() -> None:
    gated = gate(limits(max_order_notional=300.0), (0.0, 0.1, nan), account((5_000.0, 900.0, 0.0)))

    assert targets(gated)[:2] == [0.0, 0.1]


def test_additions_share_the_room_under_the_gross_limit() -> None:
    gated = gate(limits(max_gross_notional=1_000.0), (0.9, -0.9, nan), account((0.0, -100.0, 200.0)))

    assert targets(gated)[:2] == [pytest.approx(0.9 * 700 / 1700), pytest.approx(-0.1 - 0.8 * 700 / 1700)]
    assert [(e.cause, e.symbol) for e in gated.events if isinstance(e, OrderCut)] == [
        ("gross-notional", "BTCUSDT"),
        ("gross-notional", "ETHUSDT"),
    ]


def test_an_addition_does_not_count_on_a_position_that_is_only_about_to_be_closed() -> None:
    gated = gate(limits(max_gross_notional=1_000.0), (0.0, 0.9, nan), account((900.0, 0.0, 0.0)))

    assert targets(gated)[:2] == [0.0, pytest.approx(0.1)]


def test_a_book_that_losses_have_levered_up_is_trimmed() -> None:
    gated = gate(limits(max_leverage=2.0), (nan, nan, 0.5), account((1_500.0, -1_500.0, 0.0)))

    assert targets(gated)[:2] == [1.0, -1.0]
    assert np.isnan(gated.wishes.target[2])


def test_an_account_without_equity_is_flat_under_a_limit_of_leverage() -> None:
    gated = gate(limits(max_leverage=2.0), (nan, 0.5, nan), account((500.0, 0.0, 0.0), equity=-1.0))

    assert targets(gated)[0] == 0.0
    assert abs(np.nan_to_num(gated.wishes.target)).sum() == 0.0


def test_orders_beyond_the_rate_are_left_out_but_what_closes_goes() -> None:
    within = limits(max_orders_per_hour=2)

    gated = gate(within, (0.3, 0.0, 0.2), account((0.0, 50.0, 0.0)))
    soon = gate(within, (nan, 0.0, 0.2), account((300.0, 40.0, 0.0), closed_at=NOON + 59 * MINUTE))
    later = gate(within, (nan, nan, 0.2), account((300.0, 0.0, 0.0), closed_at=NOON + 120 * MINUTE))

    assert (targets(gated)[:2], np.isnan(gated.wishes.target[2])) == ([0.3, 0.0], True)
    assert (targets(soon)[1], np.isnan(soon.wishes.target[2])) == (0.0, True)
    assert targets(later)[2] == 0.2


# ---------------------------------------------------------------- losses


def test_a_daily_loss_counts_from_midnight_utc_closes_everything_and_ends_with_the_day() -> None:
    within = limits(max_daily_loss=0.05)
    midnight = NOON + 12 * HOUR
    story = [
        (midnight - HOUR, 900.0),
        (midnight, 1_000.0),
        (midnight + HOUR, 951.0),
        (midnight + 2 * HOUR, 950.0),
        (midnight + 3 * HOUR, 990.0),
        (midnight + 24 * HOUR, 990.0),
    ]

    said = [
        gate(within, (0.3, nan, nan), account((200.0, 0.0, 0.0), closed_at=at, equity=e)) for at, e in story
    ]

    assert [targets(g)[0] for g in said] == [0.3, 0.3, 0.3, 0.0, 0.0, 0.3]
    assert reached(said[3]) == [("daily-loss", "")]
    assert said[5].events == (LimitCleared(midnight + 24 * HOUR, "", "daily-loss", midnight + 2 * HOUR),)


def test_a_loss_in_a_gap_over_midnight_counts_to_the_new_day() -> None:
    within = limits(max_daily_loss=0.05)
    gate(within, (nan, nan, nan), account(closed_at=NOON))

    gated = gate(within, (0.3, nan, nan), account(closed_at=NOON + 20 * HOUR, equity=900.0))

    assert reached(gated) == [("daily-loss", "")]


def test_a_restart_forgets_neither_todays_loss_nor_the_peak_nor_what_has_tripped(tmp_path: Path) -> None:
    settings = {"max_daily_loss": 0.05, "max_drawdown": 0.10}
    within = limits(**settings)
    for hour, equity in enumerate((1_000.0, 1_100.0, 1_060.0)):
        gate(within, (0.3, nan, nan), account(closed_at=NOON + hour * HOUR, equity=equity))
    within.state.save(tmp_path / "limits.json")

    again = limits(LimitState.load(tmp_path / "limits.json", COINS), **settings)
    fell = gate(again, (0.3, nan, nan), account(closed_at=NOON + 3 * HOUR, equity=980.0))

    assert reached(fell) == [("drawdown", "")]
    assert targets(fell)[0] == 0.0


def test_money_that_is_moved_by_hand_is_neither_a_loss_nor_a_gain() -> None:
    within = limits(max_daily_loss=0.05, max_drawdown=0.1)
    gate(within, (nan, nan, nan))

    moved = gate(within, (0.3, nan, nan), account(closed_at=NOON + HOUR, equity=500.0, deposited=-500.0))
    fell = gate(within, (0.3, nan, nan), account(closed_at=NOON + 2 * HOUR, equity=470.0))

    assert (reached(moved), reached(fell)) == ([], [("daily-loss", "")])


def test_a_drawdown_stays_until_a_person_re_arms_and_then_counts_from_there() -> None:
    within = limits(max_drawdown=0.1)
    steps = [
        (0, 1_000.0, -1),
        (1, 900.0, -1),
        (30, 990.0, -1),
        (31, 900.0, NOON + 30 * HOUR + 1),
        (32, 850.0, -1),
    ]

    said = [
        gate(
            within,
            (0.3, nan, nan),
            account(closed_at=NOON + hour * HOUR, equity=equity),
            health(rearmed_at=rearmed),
        )
        for hour, equity, rearmed in steps
    ]

    assert [targets(g)[0] for g in said] == [0.3, 0.0, 0.0, 0.3, 0.3]
    assert said[3].events[0] == Rearmed(NOON + 31 * HOUR, NOON + 30 * HOUR + 1, ("drawdown",))
    assert within.state.peak == 900.0


def test_three_losing_round_trips_in_a_row_pause_what_adds_and_a_gain_begins_anew() -> None:
    within = limits(max_losses_in_row=3, losses_pause_hours=2.0)
    story = [  # held, earned so far
        (0.0, 0.0),
        (100.0, -0.1),
        (0.0, -5.0),  # first loss
        (-100.0, -5.1),
        (0.0, 7.0),  # a gain
        (100.0, 6.9),
        (-100.0, 5.0),  # turned: a loss
        (0.0, 4.0),  # a loss
        (0.0, 3.0),  # opened and stopped inside one bar: the third
        (0.0, 3.0),
        (0.0, 3.0),
    ]

    said = [
        gate(
            within,
            (0.3, nan, nan),
            account((held, 0.0, 0.0), closed_at=NOON + i * HOUR, earned=np.array([earned, 0.0, 0.0])),
        )
        for i, (held, earned) in enumerate(story)
    ]

    assert [bool(np.isnan(g.wishes.target[0])) for g in said] == [False] * 8 + [True, True, False]
    assert reached(said[8]) == [("losses-in-row", "")]


# ---------------------------------------------------------------- doubts


def test_a_stale_coin_is_held_alone_and_closed_only_after_the_grace_period() -> None:
    within = limits(max_stale_bars=2, grace_minutes=120.0)
    late = [np.array([float(n), 0.0, 0.0]) for n in range(2, 7)]

    said = [
        gate(
            within,
            (-0.1, 0.2, nan),
            account((200.0, 0.0, 0.0), closed_at=NOON + i * HOUR),
            health(stale_bars=missing),
        )
        for i, missing in enumerate(late)
    ]

    unknown = pytest.approx(nan, nan_ok=True)
    assert [targets(g)[0] for g in said] == [-0.1, unknown, unknown, 0.0, 0.0]
    assert [targets(g)[1] for g in said] == [0.2] * 5
    assert reached(said[1]) == [("stale-feed", "BTCUSDT")]
    assert said[3].events == (GraceEnded(NOON + 3 * HOUR, "BTCUSDT", "stale-feed", NOON + HOUR),)
    assert (said[2].events, said[4].events) == ((), ())


def test_a_feed_that_comes_back_is_traded_again_and_its_grace_begins_anew() -> None:
    within = limits(max_stale_bars=2, grace_minutes=60.0)
    stale, fresh = health(stale_bars=np.array([3.0, 0.0, 0.0])), health()

    said = [
        gate(within, (0.1, nan, nan), account((200.0, 0.0, 0.0), closed_at=NOON + i * 45 * MINUTE), how)
        for i, how in enumerate((stale, fresh, stale, stale))
    ]

    assert [bool(np.isnan(g.wishes.target[0])) for g in said] == [True, False, True, True]
    assert said[1].events == (LimitCleared(NOON + 45 * MINUTE, "BTCUSDT", "stale-feed", NOON),)


def test_a_missing_funding_row_lets_a_position_shrink_and_nothing_else() -> None:
    within = limits(require_funding=True)
    how = health(funding_known=np.zeros(3, dtype=bool))

    gated = gate(within, (0.1, 0.4, -0.3), account((200.0, 200.0, 200.0)), how)

    assert (targets(gated)[0], np.isnan(gated.wishes.target[1]), targets(gated)[2]) == (0.1, True, 0.0)


def test_a_bad_print_of_a_held_coin_neither_closes_the_book_nor_moves_the_peak() -> None:
    within = limits(max_daily_loss=0.05, max_drawdown=0.1, max_price_gap=0.02)
    gate(within, (nan, nan, nan))
    odd = health(price_gap=np.array([-0.4, 0.0, 0.0]))

    fell = gate(
        within, (0.5, 0.5, 0.1), account((600.0, 0.0, 200.0), closed_at=NOON + HOUR, equity=500.0), odd
    )
    rose = gate(
        within, (0.5, 0.5, 0.1), account((600.0, 0.0, 200.0), closed_at=NOON + 2 * HOUR, equity=2e3), odd
    )

    assert reached(fell) == [("price-gap", "BTCUSDT"), ("not-computable", "")]
    assert np.isnan(fell.wishes.target[:2]).all()
    assert targets(fell)[2] == 0.1
    assert (within.state.peak, rose.actions[0]) == (1_000.0, Action.HOLD)


@pytest.mark.parametrize(
    ("settings", "how", "cause"),
    [
        ({"max_band_multiple": 3.0}, {"band_multiple": 3.1}, "outside-band"),
        ({"max_band_multiple": 3.0}, {"band_multiple": 0.3}, "outside-band"),
        ({"max_band_multiple": 3.0}, {"band_multiple": nan}, "not-computable"),
        ({"coverage_stop": "drifting"}, {"coverage": Coverage.DRIFTING}, "coverage"),
        ({"coverage_stop": "drifting"}, {"coverage": Coverage.BROKEN}, "coverage"),
        ({"coverage_stop": "broken"}, {"coverage": Coverage.BROKEN}, "coverage"),
        ({"coverage_stop": "broken"}, {"coverage": None}, "not-computable"),
        ({}, {"model_expires_at": NOON}, "model-expired"),
        ({}, {"doubt": "the clock is 9 s off"}, "not-computable"),
    ],
)
def test_a_doubt_about_the_model_lets_every_position_shrink_and_adds_nothing(
    settings: dict[str, object], how: dict[str, object], cause: str
) -> None:
    gated = gate(limits(**settings), (0.3, 0.1, nan), account((200.0, 200.0, 0.0)), health(**how))

    assert reached(gated) == [(cause, "")]
    assert (np.isnan(gated.wishes.target[0]), targets(gated)[1]) == (True, 0.1)


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"max_band_multiple": 3.0}, {"band_multiple": 2.9}),
        ({"coverage_stop": "broken"}, {"coverage": Coverage.DRIFTING}),
        ({}, {"model_expires_at": NOON + 1}),
        ({"max_stale_bars": 3}, {"stale_bars": np.full(3, 3.0)}),
        ({"max_price_gap": 0.02}, {"price_gap": np.full(3, -0.02)}),
    ],
)
def test_what_is_just_within_a_limit_passes(settings: dict[str, object], how: dict[str, object]) -> None:
    assert gate(limits(**settings), (0.3, 0.1, nan), how=health(**how)).events == ()


@pytest.mark.parametrize(
    "state",
    [{"equity": nan}, {"equity": inf}, {"held": np.array([nan, 200.0, 0.0])}],
    ids=["equity unknown", "equity infinite", "position unknown"],
)
def test_an_account_that_cannot_be_valued_adds_nothing_and_can_still_be_closed(
    state: dict[str, object],
) -> None:
    within = limits(max_daily_loss=0.05, max_gross_notional=1_000.0)

    gated = gate(within, (0.3, 0.0, 0.4), account(**({"held": np.array([200.0, 200.0, 0.0])} | state)))

    assert reached(gated) == [("not-computable", "")]
    assert np.isnan(gated.wishes.target[[0, 2]]).all()
    assert targets(gated)[1] == 0.0


def test_an_infinite_wish_is_none() -> None:
    gated = gate(limits(), (inf, -inf, nan))

    assert np.isnan(gated.wishes.target).all()
    assert [type(event) for event in gated.events] == [StoodAside, StoodAside]


def test_stops_and_takes_pass_every_action() -> None:
    wished = Wishes(np.full(3, 0.2), np.full(3, 0.02), np.full(3, 0.05))

    gated = limits(max_gross_notional=100.0).gate(account(), wished, health(killed="x"))

    assert (gated.wishes.stop.tolist(), gated.wishes.take.tolist()) == ([0.02] * 3, [0.05] * 3)


# ---------------------------------------------------------------- whatever is wished

numbers = st.floats(-3.0, 3.0).map(lambda x: round(x, 3))
wished_targets = arrays(np.float64, 3, elements=st.one_of(numbers, st.just(nan), st.just(0.0)))
notionals = arrays(np.float64, 3, elements=st.one_of(numbers.map(lambda x: 1_000 * x), st.just(0.0)))
caps = st.one_of(st.just(0.0), st.floats(1.0, 4_000.0))
size_limits = st.fixed_dictionaries(
    {
        "max_order_notional": caps,
        "max_gross_notional": caps,
        "max_leverage": st.one_of(st.just(0.0), st.floats(0.01, 4.0)),
        "max_orders_per_minute": st.integers(0, 3),
    }
)
healths = st.builds(
    health,
    stale_bars=arrays(np.float64, 3, elements=st.sampled_from([0.0, 1.0, 5.0, nan])),
    price_gap=arrays(np.float64, 3, elements=st.sampled_from([0.0, 0.01, -0.3, nan])),
    funding_known=arrays(np.bool_, 3),
    band_multiple=st.sampled_from([1.0, 5.0, nan]),
    coverage=st.sampled_from([None, *Coverage]),
    model_expires_at=st.sampled_from([None, NOON - HOUR, NOON + HOUR]),
    doubt=st.sampled_from(["", "odd"]),
    killed=st.sampled_from(["", "", "", "stop"]),
)


def ends(gated: Gated, held: np.ndarray, equity: float) -> np.ndarray:
    return np.where(np.isnan(gated.wishes.target), held, gated.wishes.target * equity)


@given(wished_targets, notionals, size_limits, st.floats(10.0, 5_000.0))
def test_no_order_passes_a_limit_of_size_whichever_of_them_are_filled(
    wished: np.ndarray, held: np.ndarray, settings: dict[str, float], equity: float
) -> None:
    within = limits(**settings)
    terms = contract_terms([coin("AAAUSDT", tick="0.1", lot="0.001")])[0]
    ticks = 1_234.0
    lots = np.trunc(held / (booking.notional_units(1.0, ticks, terms) / UNITS))
    per_lot = booking.notional_units(1.0, ticks, terms) / UNITS
    held = lots * per_lot

    gated = gate(within, tuple(wished), account(tuple(held), equity=equity))
    orders = [
        booking.order_lots(float(t), equity * UNITS, ticks, float(n), terms) if not np.isnan(t) else 0.0
        for t, n in zip(gated.wishes.target, lots, strict=True)
    ]
    after = lots + np.array(orders)

    most = min(settings["max_gross_notional"] or inf, (settings["max_leverage"] or inf) * equity)
    worst = np.maximum(np.abs(lots), np.abs(after)).sum() * per_lot
    adding = np.abs(after) > np.abs(lots)
    turning = after * lots < 0
    largest = np.abs(np.array(orders)[adding | turning] * per_lot).max(initial=0.0)
    assert np.abs(after).sum() * per_lot <= most + 3 * per_lot * 1e-9
    assert worst <= max(most, np.abs(held).sum() * (1 + 1e-12))
    assert largest <= (settings["max_order_notional"] or inf)
    assert int((adding | turning).sum()) <= (settings["max_orders_per_minute"] or 3)


@given(wished_targets, notionals, healths, st.sampled_from([nan, -5.0, 400.0, 1_000.0]))
def test_whatever_is_wrong_no_position_grows_or_turns_while_an_action_stands(
    wished: np.ndarray, held: np.ndarray, how: Health, equity: float
) -> None:
    gated = gate(
        Limits(EVERY_LIMIT, LimitState.fresh(COINS)), tuple(wished), account(tuple(held), equity=equity), how
    )

    after = ends(gated, held, equity)
    bound = np.array([action is not None for action in gated.actions])
    known = np.isfinite(after)  # zero times an unknown equity is not a number
    grows = (np.abs(after) > np.abs(held) * (1 + 1e-9)) | (after * held < 0.0)
    assert not (bound & known & grows).any()
    assert np.nan_to_num(gated.wishes.target[bound & ~known]).tolist() == [0.0] * int((bound & ~known).sum())


@given(wished_targets, notionals, healths)
def test_what_reduces_passes_unless_it_is_held(wished: np.ndarray, held: np.ndarray, how: Health) -> None:
    gated = gate(Limits(EVERY_LIMIT, LimitState.fresh(COINS)), tuple(wished), account(tuple(held)), how)

    ends_wished = np.where(np.isnan(wished), held, wished * 1_000.0)
    reduces = (np.abs(ends_wished) < np.abs(held)) & (ends_wished * held >= 0.0)
    free = np.array([action is not Action.HOLD for action in gated.actions])
    after = ends(gated, held, 1_000.0)
    assert (np.abs(after) <= np.abs(ends_wished) * (1 + 1e-9))[reduces & free].all()
    assert (after == held)[~free].all()


@given(wished_targets, notionals)
def test_a_pulled_switch_ends_flat_whatever_is_wished(wished: np.ndarray, held: np.ndarray) -> None:
    how = health(killed="enough", stale_bars=np.full(3, 9.0))

    gated = gate(Limits(EVERY_LIMIT, LimitState.fresh(COINS)), tuple(wished), account(tuple(held)), how)

    assert gated.wishes.target.tolist() == [0.0, 0.0, 0.0]


@given(wished_targets, notionals, size_limits, size_limits, st.sampled_from([600.0, 1_000.0]))
def test_a_tighter_limit_never_gives_more_exposure(
    wished: np.ndarray, held: np.ndarray, one: dict[str, float], other: dict[str, float], equity: float
) -> None:
    tight = {name: min(one[name] or inf, other[name] or inf) for name in one}
    loose = {name: max(one[name] or inf, other[name] or inf) for name in one}
    gross = [
        np.abs(
            ends(gate(limits(**_off(s)), tuple(wished), account(tuple(held), equity=equity)), held, equity)
        ).sum()
        for s in (tight, loose)
    ]

    assert gross[0] <= gross[1] * (1 + 1e-8) + 1e-9


@given(
    st.lists(
        st.tuples(wished_targets, notionals, healths, st.floats(500.0, 1_500.0)), min_size=2, max_size=8
    ),
    st.data(),
)
def test_a_record_that_was_saved_and_restored_gives_the_same_answers(
    story: list[tuple[np.ndarray, np.ndarray, Health, float]], data: st.DataObject
) -> None:
    through, stopped = (Limits(EVERY_LIMIT, LimitState.fresh(COINS)) for _ in range(2))
    cut = data.draw(st.integers(1, len(story) - 1))
    said: list[list[str]] = [[], []]

    for i, (wished, held, how, equity) in enumerate(story):
        at = account(tuple(held), closed_at=NOON + i * 5 * HOUR, equity=equity, earned=held / 7.0)
        restored = LimitState.read(json.loads(_written(stopped.state)))
        stopped = Limits(EVERY_LIMIT, restored) if i == cut else stopped
        for answers, within in zip(said, (through, stopped), strict=True):
            gated = within.gate(at, Wishes.of(wished), how)
            answers.append(f"{gated.wishes.target.tolist()} {gated.events} {gated.actions}")

    assert said[0] == said[1]


def _off(settings: dict[str, float]) -> dict[str, float]:
    return {name: 0 if value == inf else value for name, value in settings.items()}


def _written(state: LimitState) -> str:
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder) / "limits.json")
        return (Path(folder) / "limits.json").read_text()


# ---------------------------------------------------------------- the record on disk


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 0}', '{"format": 1, "symbols": []}'])
def test_a_record_that_is_damaged_is_an_error_and_never_a_fresh_start(text: str, tmp_path: Path) -> None:
    (tmp_path / "limits.json").write_text(text)

    with pytest.raises(DataError, match="today's loss and the peak are not known"):
        LimitState.load(tmp_path / "limits.json", COINS)
    with pytest.raises(DataError, match="cannot be read"):
        LimitState.load(tmp_path / "absent.json", COINS)


def test_a_record_of_other_coins_is_refused(tmp_path: Path) -> None:
    LimitState.fresh(COINS).save(tmp_path / "limits.json")

    with pytest.raises(DataError, match="remember BTCUSDT, ETHUSDT, SOLUSDT, the study has BTCUSDT"):
        LimitState.load(tmp_path / "limits.json", ("BTCUSDT",))


# ---------------------------------------------------------------- the switch


class Hands:
    """A clock that moves on by a second whenever it is read."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> int:
        self.at += 1_000_000_000
        return self.at


def test_a_switch_that_is_pulled_is_read_by_others_and_keeps_its_first_reason(tmp_path: Path) -> None:
    KillSwitch(tmp_path, Hands()).pull("prices look odd", by="command")
    KillSwitch(tmp_path, Hands()).pull("me too", by="SIGTERM")

    read = KillSwitch(tmp_path).read()

    assert read is not None
    assert (read.words, read.at) == ("prices look odd (command)", NOON + 1_000_000_000)


@pytest.mark.parametrize(
    ("text", "reason"), [("", "no reason was given"), ("go home\n", "go home"), ("{", "{")]
)
def test_any_file_of_that_name_stops_trading(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "KILL").write_text(text)

    read = KillSwitch(tmp_path).read()

    assert read is not None
    assert (read.reason, read.by) == (reason, "file")


def test_a_folder_a_dangling_link_and_a_missing_run_folder_stop_trading_too(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "KILL").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "KILL").symlink_to("nowhere")

    assert all(KillSwitch(tmp_path / name).read() for name in ("one", "two", "three"))


def test_a_switch_that_cannot_be_written_holds_in_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DataError("it cannot be written: no space left on device.")

    switch = KillSwitch(tmp_path)
    monkeypatch.setattr("longshort.policy.limits.switch.write_json", full)

    with pytest.raises(DataError, match="no space"):
        switch.pull("disk full")

    read = switch.read()
    assert read is not None
    assert read.reason == "disk full"


def test_only_a_person_who_re_arms_lets_trading_go_on(tmp_path: Path) -> None:
    hands, within = Hands(), limits()
    switch = KillSwitch(tmp_path, hands)
    told = []

    def close(hour: int) -> float:
        hands.at = NOON + hour * HOUR
        pulled = switch.read()
        how = health(killed=pulled.words if pulled else "", rearmed_at=switch.rearmed_at)
        gated = gate(within, (0.3, nan, nan), account(closed_at=NOON + hour * HOUR), how)
        told.extend(gated.events)
        return targets(gated)[0]

    before = close(0)
    switch.pull("enough")
    pulled = close(1)
    (tmp_path / "KILL").unlink()
    deleted = close(2)
    KillSwitch(tmp_path, hands).rearm(by="me")
    rearmed = close(3)
    switch.pull("again")
    again = close(4)

    assert [before, pulled, deleted, rearmed, again] == [0.3, 0.0, 0.0, 0.3, 0.0]
    assert [type(event).__name__ for event in told] == [
        "LimitReached",
        "Rearmed",
        "LimitCleared",
        "LimitReached",
    ]


# ---------------------------------------------------------------- in the backtest


class Loop:
    """The smallest account there is: orders of a close fill at the next open, funding is paid, equity is written."""

    def __init__(self, bars: Bars, costs: Costs, balance: float) -> None:
        self.bars, self.rates = bars, rates(costs)
        self.terms = contract_terms(bars.instruments)
        self.held = np.zeros(len(bars.symbols), HOLDING)
        self.purse = np.zeros(1, PURSE)
        self.purse["cash"] = balance * UNITS
        self.books = Books(
            np.zeros(len(bars), BALANCE),
            np.zeros(bars.close.shape, ENTRY),
            np.zeros(bars.close.size, FILL),
        )
        empty = Desk._make([None] * len(Desk._fields))
        self.desk = empty._replace(terms=self.terms, held=self.held, purse=self.purse)

    def run(self, pilot: Decider) -> np.ndarray:
        for row in range(len(self.bars)):
            for asset in np.flatnonzero(self.held["order"]):
                self._fill(row, int(asset))
            self._close(row)
            equity = self.books.balances["equity"][row]
            targets = pilot.on_close(self.bars[row : row + 1]).target
            for asset in np.flatnonzero(~np.isnan(targets) & self.bars.present[row]):
                held = self.held[asset]
                held["order"] = booking.order_lots(
                    float(targets[asset]), equity, held["mark"], held["lots"], self.terms[asset]
                )
        return self.books.balances["equity"] / UNITS

    def _fill(self, row: int, asset: int) -> None:
        held, terms, order = self.held[asset], self.terms[asset], float(self.held[asset]["order"])
        held["order"] = 0.0
        if not self.bars.present[row, asset]:
            return
        opened = booking.price_ticks(float(self.bars.open[row, asset]), terms)
        ticks = booking.fill_ticks(opened, order, self.rates.slippage, terms)
        fee = booking.fee_units(order, ticks, self.rates.fee, terms)
        realized = booking.realized_units(held["lots"], held["entry"], order, ticks, terms)
        held["entry"] = booking.entry_after(held["lots"], held["entry"], order, ticks, terms)
        held["lots"] += order
        self.purse["cash"] += realized - fee
        fill = self.books.fills[int(self.purse["fills"][0])]
        fill["row"], fill["asset"], fill["realized"], fill["fee"] = row, asset, realized, fee
        self.purse["fills"] += 1

    def _close(self, row: int) -> None:
        for asset in range(len(self.held)):
            held, terms = self.held[asset], self.terms[asset]
            if self.bars.present[row, asset]:
                held["mark"] = booking.price_ticks(float(self.bars.close[row, asset]), terms)
            rate = float(self.bars.funding_rate[row, asset])
            if held["lots"] and not np.isnan(rate):
                paid = booking.funding_units(held["lots"], held["mark"], rate, terms)
                self.books.entries["funding"][row, asset] = paid
                self.purse["cash"] -= paid
        gained = booking.unrealized_total(self.held.view(np.recarray), self.terms)
        self.books.balances["equity"][row] = self.purse["cash"][0] + gained


def run_limited(
    bars: Bars, settings: LimitSettings, seed: int
) -> tuple[Loop, Limited, np.ndarray, MemoryJournal]:
    journal = MemoryJournal()
    script = Script(random_wishes(bars, np.random.default_rng(seed), scale=0.8))
    limited = Limited(script, Limits(settings, LimitState.fresh(bars.symbols)), journal)
    loop = Loop(bars, Costs(), 10_000.0)
    limited.attach(bars.closed_at, loop.desk, loop.books)
    return loop, limited, loop.run(limited), journal


def test_the_ledger_books_the_recorded_wishes_to_the_very_equity_of_the_limited_loop(real_data: Path) -> None:
    bars = real_market(real_data, ("BTCUSDT", "ETHUSDT", "DOGEUSDT"), 400)
    settings = LimitSettings(
        max_order_notional=3_000.0,
        max_leverage=1.0,
        max_daily_loss=0.01,
        max_losses_in_row=4,
        max_orders_per_hour=2,
    )

    _, limited, equity, journal = run_limited(bars, settings, seed=5)
    ledger = run_ledger(bars, limited.exposure, Costs(), starting_balance=10_000.0)

    assert np.array_equal(ledger.equity, equity)
    assert {e.cause for e in journal.events if isinstance(e, LimitReached)} == {"daily-loss", "losses-in-row"}
    assert {e.cause for e in journal.events if isinstance(e, OrderCut)} == {
        "order-notional", "leverage", "order-rate"
    }  # fmt: skip


def test_nautilus_under_limits_and_the_ledger_on_what_they_let_through_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars = random_market(150, 2, np.random.default_rng(4))
    settings = LimitSettings(
        max_leverage=0.8, max_order_notional=3_000.0, max_daily_loss=0.01, max_losses_in_row=2
    )
    script = Script(random_wishes(bars, np.random.default_rng(6), scale=0.8))
    limited = Limited(script, Limits(settings, LimitState.fresh(bars.symbols)), journal := MemoryJournal())
    bound = engine.VenueBooks

    def attached(coins: Sequence[Coin], desk: Desk) -> VenueBooks:
        books = bound(coins, desk)
        limited.attach(bars.closed_at, desk, books.books)
        return books

    monkeypatch.setattr(engine, "VenueBooks", attached)
    driven = backtest(bars, limited, Costs(), starting_balance=10_000.0)
    booked = run_ledger(bars, limited.exposure, Costs(), starting_balance=10_000.0)

    assert np.array_equal(driven.equity, booked.equity)
    assert driven.trades == booked.trades > 20
    assert {e.cause for e in journal.events if isinstance(e, LimitReached)} == {"daily-loss", "losses-in-row"}


def test_in_a_loop_over_random_bars_no_close_decides_on_more_than_the_limits_allow() -> None:
    bars = random_market(300, 3, np.random.default_rng(3), absent=0.1)
    settings = LimitSettings(max_leverage=0.6, max_order_notional=2_000.0, max_daily_loss=0.03)

    loop, limited, equity, _ = run_limited(bars, settings, seed=7)

    target, lots = (
        limited.exposure.target,
        run_ledger(bars, limited.exposure, Costs(), starting_balance=1e4).quantity,
    )
    last = np.array([bars.close[: t + 1, a][bars.present[: t + 1, a]][-1] if bars.present[: t + 1, a].any() else 0.0
                     for t in range(300) for a in range(3)]).reshape(300, 3)  # fmt: skip
    held = np.abs(lots * last * loop.terms["size"]) / equity[:, None]
    after = np.where(np.isnan(target), held, np.abs(target))
    assert after.sum(axis=1).max() <= 0.6 * (1 + 1e-9)
    assert limited.limits.state.closed_at == bars.closed_at[-1]


def test_limits_without_an_account_say_what_is_missing() -> None:
    bars = market([coin()], np.full((2, 1), 100.0), np.full((2, 1), 100.0))
    limited = Limited(
        Script(wishes(bars, np.zeros((2, 1)))), Limits(LimitSettings(), LimitState.fresh(bars.symbols))
    )

    with pytest.raises(NotComputable, match="without an account"):
        limited.on_close(bars[:1])


def test_a_coin_that_falls_silent_in_the_backtest_is_stale_and_one_not_listed_yet_is_not() -> None:
    closes = np.array([[100.0, nan], [100.0, nan], [nan, nan], [nan, nan], [nan, 50.0]])
    listed = np.array([[True, False]] * 4 + [[True, True]])
    bars = market([coin("AAAUSDT"), coin("BBBUSDT")], closes.copy(), closes, listed=listed)
    journal = MemoryJournal()
    limited = Limited(
        Script(wishes(bars, np.zeros((5, 2)))),
        Limits(LimitSettings(max_stale_bars=1), LimitState.fresh(bars.symbols)),
        journal,
    )
    loop = Loop(bars, Costs(), 1_000.0)
    limited.attach(bars.closed_at, loop.desk, loop.books)

    loop.run(limited)

    assert [(e.closed_at, e.symbol, e.cause) for e in journal.events] == [
        (int(bars.closed_at[3]), "AAAUSDT", "stale-feed")
    ]


@pytest.mark.parametrize(
    "setting", [{"max_leverage": -1.0}, {"max_daily_loss": 1.0}, {"coverage_stop": "odd"}, {"max_losses": 3}]
)
def test_a_limit_that_makes_no_sense_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(StudyError):
        Study.parse({"limits": setting})
