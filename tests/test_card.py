"""The card of one trade: no more at risk than asked, liquidated beyond the stop or refused, chances as simulated."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longshort._commands.cards import card_lines, share
from longshort.base.errors import StudyError
from longshort.base.files import write_json, write_text
from longshort.base.instrument import Costs, Instrument, MaintenanceTier
from longshort.base.settings import Study, to_toml
from longshort.data.simulator import Simulation
from longshort.models.forecast import Forecast, StudentT
from longshort.policy.advice.card import Card, card_of
from longshort.policy.advice.ticket import Ask
from longshort.policy.advice.touch import touch_probability
from longshort.study.badge import NEVER, badge_of

from .conftest import Said

FEW = settings(max_examples=8)  # each asks for a probability of touching, a tenth of a second

TIERS = (
    MaintenanceTier(from_notional=0.0, to_notional=50_000.0, maintenance_rate=0.004, max_leverage=125.0),
    MaintenanceTier(
        from_notional=50_000.0,
        to_notional=1e6,
        maintenance_rate=0.01,
        maintenance_amount=300.0,
        max_leverage=50.0,
    ),
    MaintenanceTier(
        from_notional=1e6,
        to_notional=1e9,
        maintenance_rate=0.05,
        maintenance_amount=40_300.0,
        max_leverage=10.0,
    ),
)
BTC = Instrument(
    symbol="BTCUSDT",
    venue="binanceusdm",
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    tiers=TIERS,
    max_leverage=125.0,
)
INVERSE = replace(
    BTC,
    symbol="BTCUSD.BTC",
    quote="USD",
    settle="BTC",
    lot=Decimal(1),
    contract_size=Decimal(100),
    inverse=True,
    min_notional=Decimal(0),
    tiers=(MaintenanceTier(from_notional=0.0, to_notional=1e9, maintenance_rate=0.005, max_leverage=125.0),),
)
Belief = tuple[float, float, float]
COSTS = Costs(taker_bps=5.0, slippage_bps=1.0)
ASK = Ask(leverage=10.0, risk=0.01, equity=10_000.0, horizon_bars=4)


def believed(mean: float = 0.004, scale: float = 0.01, df: float = 5.0) -> Forecast:
    cell = np.ones((1, 1, 1))
    return Forecast(
        model="a law",
        closed_at=np.array([0], dtype=np.int64),
        symbols=("BTCUSDT",),
        horizons=(4,),
        law=StudentT(loc=mean * cell, scale=scale * cell, df=df * cell),
    )


def card(forecast: Forecast | None = None, instrument: Instrument = BTC, ask: Ask = ASK) -> Card:
    made = card_of(forecast or believed(), 0, instrument, 50_000.0, COSTS, ask)
    assert made is not None
    return made


asks = st.builds(
    Ask,
    leverage=st.floats(1.0, 10.0),
    risk=st.floats(0.0005, 0.2),
    equity=st.floats(500.0, 5e6),
    horizon_bars=st.just(4),
    stop=st.one_of(st.none(), st.floats(0.002, 0.3)),
)
beliefs = st.tuples(st.floats(-0.03, 0.03), st.floats(0.001, 0.05), st.floats(2.5, 60.0))


def test_a_card_worked_out_by_hand() -> None:
    made = card(ask=replace(ASK, stop=0.02))

    # Bought at 50,005.0 (a basis point of slippage), left at 48,995.1 (49,000.0 less one), 5 bps of fee on each:
    # 1,009.9 + 25.0025 + 24.49755 = 1,059.40005 per coin; 100 USDT buy 0.09439... coins of which 0.094 are lots.
    assert (made.side, made.entry, made.stop, made.contracts) == ("long", 50_005.0, 49_000.0, 0.094)
    assert made.loss == pytest.approx(0.094 * 1_059.40005, abs=1e-7)
    assert made.notional == pytest.approx(4_700.47)
    assert made.margin == pytest.approx(470.047)
    # (0.094 * 50,005 - 470.047) / (0.094 * (1 - 0.004)) = 45,185.24..., down to the tick
    assert made.liquidation == 45_185.2
    assert made.expected == pytest.approx(np.expm1(0.004))
    assert made.net == pytest.approx(np.expm1(0.004) - 0.0012)
    assert made.pays
    assert made.refused == ""


@FEW
@given(ask=asks, belief=beliefs, inverse=st.booleans())
def test_no_more_is_at_risk_than_was_asked_after_costs(ask: Ask, belief: Belief, inverse: bool) -> None:
    ask = replace(ask, equity=ask.equity / 50_000.0) if inverse else ask
    made = card(believed(*belief), INVERSE if inverse else BTC, ask)

    assert 0.0 <= made.loss <= ask.risk * ask.equity * (1.0 + 1e-12)
    assert made.margin <= ask.equity
    by_hand = made.contracts * abs(made.entry - made.stop) if not inverse else 0.0
    assert by_hand <= ask.risk * ask.equity


@FEW
@given(ask=asks, belief=beliefs)
def test_one_lot_more_would_risk_too_much_or_is_not_to_be_had(ask: Ask, belief: Belief) -> None:
    made = card(believed(*belief), ask=ask)
    assume(made.contracts > 0.0)
    bound = any("takes the whole equity" in w or "no larger position" in w for w in made.warnings)

    more = made.loss * (made.contracts + 0.0011) / made.contracts
    assert bound or more > ask.risk * ask.equity


@FEW
@given(ask=asks, belief=beliefs, leverage=st.floats(1.0, 50.0))
def test_the_liquidation_lies_beyond_the_stop_or_the_card_refuses(
    ask: Ask, belief: Belief, leverage: float
) -> None:
    made = card(believed(*belief), ask=replace(ask, leverage=leverage))

    sign = 1.0 if made.side == "long" else -1.0
    beyond = made.liquidation is None or sign * (made.stop - made.liquidation) > 0.0
    assert beyond or made.refused != ""


@FEW
@given(belief=beliefs, low=st.floats(1.0, 40.0), more=st.floats(0.0, 10.0))
def test_more_leverage_needs_less_margin_and_is_liquidated_sooner(
    belief: Belief, low: float, more: float
) -> None:
    ask = replace(ASK, risk=0.002)
    gentle, bold = (card(believed(*belief), ask=replace(ask, leverage=lev)) for lev in (low, low + more))
    assume(gentle.contracts == bold.contracts > 0.0)

    assert bold.margin <= gentle.margin
    assert bold.p_liquidation >= gentle.p_liquidation
    assert bold.p_stop == gentle.p_stop


def test_a_leverage_above_the_venue_s_is_refused_with_the_venue_s() -> None:
    with pytest.raises(
        StudyError, match=r"gives BTCUSDT at most 125x, asked were 126x.*--leverage 125 or less"
    ):
        card(ask=replace(ASK, leverage=126.0))


def test_a_card_that_would_be_liquidated_first_says_how_much_leverage_it_could_bear() -> None:
    refused = card(ask=replace(ASK, leverage=40.0, stop=0.03))

    assert "liquidated before the stop: take at most 29." in refused.refused
    assert card(ask=replace(ASK, leverage=29.0, stop=0.03)).refused == ""


def test_larger_positions_get_less_leverage() -> None:
    made = card(ask=replace(ASK, leverage=100.0, equity=1e6, stop=0.002))

    assert made.notional <= 50_000.0
    assert "the venue gives 100x to no larger position" in made.warnings[0]


def test_a_risk_that_buys_no_lot_is_no_trade() -> None:
    assert "less than the smallest order" in card(ask=replace(ASK, equity=20.0)).refused


def test_without_a_forecast_there_is_no_card() -> None:
    assert card_of(believed(mean=float("nan")), 0, BTC, 50_000.0, COSTS, ASK) is None


def test_without_tiers_it_says_that_the_liquidation_comes_earlier() -> None:
    made = card(instrument=replace(BTC, tiers=()))

    assert made.liquidation is not None
    assert made.liquidation < card().liquidation  # pyright: ignore[reportOperatorIssue]
    assert "no maintenance tiers" in made.warnings[0]


@pytest.mark.parametrize("level", [-0.05, -0.01, -0.001, 0.02])
def test_without_drift_the_chance_to_be_touched_is_twice_that_of_ending_beyond(level: float) -> None:
    law, barrier = believed(mean=0.0).law, np.full((1, 1, 1), level)

    touched = touch_probability(law, barrier).item()

    assert touched == pytest.approx(2.0 * law.cdf(-np.abs(barrier)).item(), rel=1e-3)


@pytest.mark.parametrize(
    ("df", "drift", "level"), [(4.0, 0.006, -0.015), (4.0, 0.006, 0.02), (200.0, -0.01, -0.02)]
)
def test_chances_to_be_touched_are_those_of_simulated_paths(
    df: float, drift: float, level: float, rng: np.random.Generator
) -> None:
    paths, steps = 8_000, 1_000
    deviation = np.sqrt(df * 0.01**2 / rng.chisquare(df, paths) / steps)
    nearer = 0.5826 * deviation  # Broadie, Glasserman and Kou (1997): a barrier that is watched at steps only
    place, hit = np.zeros(paths), np.zeros(paths, dtype=bool)
    for _ in range(steps):
        place += drift / steps + deviation * rng.standard_normal(paths)
        hit |= np.sign(level) * place >= abs(level) - nearer

    told = touch_probability(believed(drift, 0.01, df).law, np.full((1, 1, 1), level)).item()

    assert told == pytest.approx(hit.mean(), abs=4.0 * np.sqrt(told * (1.0 - told) / paths))


@FEW
@given(belief=beliefs, near=st.floats(0.0005, 0.1), more=st.floats(0.0, 0.1))
def test_what_is_further_is_touched_less(belief: Belief, near: float, more: float) -> None:
    first, second = (
        touch_probability(believed(*belief).law, np.full((1, 1, 1), -d)).item() for d in (near, near + more)
    )

    assert 0.0 <= second <= first + 1e-9 <= 1.0 + 1e-9


def judged(folder: Path, study: Study, words: dict[str, str]) -> None:
    run = folder / "runs" / "evaluate-aaaaaa-bbbbbb"
    write_json(run / "run.json", {"hashes": {"study": study.digest()}, "versions": {}})
    write_text(run / "study.toml", to_toml(study))
    verdicts = [
        {"question": q, "horizon_bars": 4, "word": word, "hardest": None} for q, word in words.items()
    ]
    report = {"verdicts": verdicts, "model": "LSTM", "scores": {}, "coverage": {}, "profits": []}
    write_json(run / "report.json", report)


def test_the_badge_is_the_word_on_profit_of_the_latest_evaluation(tmp_path: Path) -> None:
    study = Study.parse({}, folder=tmp_path)
    other = Study.parse({"costs": {"taker_bps": 1.0}}, folder=tmp_path)
    never = badge_of(study, 4)
    judged(tmp_path, study, {"profit": "NO EDGE", "density": "BEATS"})

    assert (never.word, never.judged_at) == (NEVER, None)
    assert (badge_of(study, 4).word, badge_of(study, 4).is_current) == ("NO EDGE", True)
    assert badge_of(study, 4).words["density"] == "BEATS"
    assert badge_of(study, 24).word == NEVER
    assert not badge_of(other, 4).is_current


@pytest.mark.parametrize(
    ("mean", "first"),
    [(0.0002, "DOES NOT PAY: +0.02% is expected, the round trip costs 0.12%."), (0.004, "PAYS ITS COSTS")],
)
def test_what_does_not_pay_says_so_first_and_no_line_is_wider_than_80(
    mean: float, first: str, tmp_path: Path, simulation: Simulation
) -> None:
    study = Study.parse({}, folder=tmp_path)
    judged(tmp_path, study, {"profit": "INCONCLUSIVE", "density": "BEATS", "direction": "NO EDGE"})
    made = card(believed(mean), replace(BTC, tiers=()), replace(ASK, leverage=9.0))

    lines = [line.plain for line in card_lines(made, badge_of(study, 4), simulation.bars)]

    assert lines[2].startswith(first)
    assert any(line.startswith(" INCONCLUSIVE  on profit, judged") for line in lines[3:5])
    assert max(len(line) for line in lines) <= 80


def test_shares_are_read_as_people_write_them() -> None:
    assert (share("1%", ""), share(" 0.5 % ", ""), share("0.02", "")) == (0.01, 0.005, 0.02)
    with pytest.raises(StudyError, match=r"'much' is no share. Write it like 1%"):
        share("much", "--risk")


def test_the_command_prints_cards_as_json(tmp_path: Path, inside: Callable[..., Said]) -> None:
    write_text(
        tmp_path / "study.toml",
        '[data]\nsource = "embedded"\nembedded_coins = 2\nembedded_bars = 2000\n[model]\nhidden = 4\nseeds = [1]\n'
        'anchor = "har"\n[training]\nsteps = 10\ncheck_every = 10\nbatch_chunks = 4\nprocesses = 1\n',
    )
    assert inside("train", ".", cwd=tmp_path).code == 0

    said = inside("forecast", ".", "--leverage", "5", "--risk", "0.5%", "--json", cwd=tmp_path)

    told = json.loads(said.out)
    assert told["verdict"]["word"] == NEVER
    assert [c["symbol"] for c in told["cards"]] == ["SIM01USDT", "SIM02USDT"]
    assert all(0.0 < c["loss"] <= 500.0 and 0.0 < c["p_stop"] < 0.5 for c in told["cards"])
