"""Three accounts of the same trades: worked by hand, they must all come to the same cent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.instrument import Costs, Instrument
from longshort.data.bars import Bars
from longshort.policy.decider import Script
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.trading.backtest import backtest

from . import oracle
from .accounts import coin, market, random_market, random_wishes, real_market, wishes

NAN = float("nan")
COSTS = Costs(taker_bps=5.0, slippage_bps=10.0)
BALANCE = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One coin, row by row; per fill: row, quantity, price, fee, realized. Every number worked by hand."""

    opens: list[float]
    closes: list[float]
    targets: list[float]
    cash: list[float]
    equity: list[float]
    position: list[float]
    fills: list[tuple[int, float, float, float, float]]
    rates: list[float] | None = None
    listed: list[bool] | None = None
    lapsed: list[int] = field(default_factory=list)
    coin: Instrument = field(default_factory=coin)

    @property
    def bars(self) -> Bars:
        rate = np.full(len(self.opens), NAN) if self.rates is None else np.array(self.rates)
        listed = np.ones(len(self.opens), dtype=bool) if self.listed is None else np.array(self.listed)
        opens, closes = np.array(self.opens)[:, None], np.array(self.closes)[:, None]
        return market([self.coin], opens, closes, rate=rate[:, None], listed=listed[:, None])


# Entry in all of them: 0.5 x 10,000 / 100 = 50; fill 100 x 1.001 = 100.1; fee 50 x 100.1 x 0.0005 = 2.5025.
CASES = {
    "an entry": Case(
        opens=[99.0, 100.0, 102.0],
        closes=[100.0, 102.0, 101.0],
        targets=[0.5, NAN, NAN],
        cash=[10_000.0, 9_997.4975, 9_997.4975],
        equity=[10_000.0, 10_092.4975, 10_042.4975],
        position=[0.0, 50.0, 50.0],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0)],
    ),
    # 0.8 x 10,092.4975 / 102 = 79.16; 103 x 1.001 = 103.103; 29.1 x 103.1 = 3,000.21; entry 8,005.21 / 79.1
    "an addition": Case(
        opens=[99.0, 100.0, 103.0],
        closes=[100.0, 102.0, 104.0],
        targets=[0.5, 0.8, NAN],
        cash=[10_000.0, 9_997.4975, 9_995.997395],
        equity=[10_000.0, 10_092.4975, 10_217.187395],
        position=[0.0, 50.0, 79.1],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0), (2, 29.1, 103.1, 1.500105, 0.0)],
    ),
    # 0.25 x 10,092.4975 / 102 = 24.74; 101 x 0.999 = 100.899; 25.3 x (100.9 - 100.1) = 20.24
    "a partial close": Case(
        opens=[99.0, 100.0, 101.0],
        closes=[100.0, 102.0, 101.0],
        targets=[0.5, 0.25, NAN],
        cash=[10_000.0, 9_997.4975, 10_016.461115],
        equity=[10_000.0, 10_092.4975, 10_038.691115],
        position=[0.0, 50.0, 24.7],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0), (2, -25.3, 100.9, 1.276385, 20.24)],
    ),
    # -0.4 x 10,092.4975 / 102 = -39.58; 50 x (100.9 - 100.1) = 40; 89.5 x 100.9 x 0.0005 = 4.515275
    "a flip": Case(
        opens=[99.0, 100.0, 101.0, 98.0],
        closes=[100.0, 102.0, 99.0, 100.0],
        targets=[0.5, -0.4, NAN, NAN],
        cash=[10_000.0, 9_997.4975, 10_032.982225, 10_032.982225],
        equity=[10_000.0, 10_092.4975, 10_108.032225, 10_068.532225],
        position=[0.0, 50.0, -39.5, -39.5],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0), (2, -89.5, 100.9, 4.515275, 40.0)],
    ),
    # nothing is held at the first close; 50 x 102 x 0.0001 = 0.51 paid; 50 x 101 x 0.0002 = 1.01 received
    "funding of a long": Case(
        opens=[99.0, 100.0, 102.0],
        closes=[100.0, 102.0, 101.0],
        targets=[0.5, NAN, NAN],
        rates=[0.01, 0.0001, -0.0002],
        cash=[10_000.0, 9_996.9875, 9_997.9975],
        equity=[10_000.0, 10_091.9875, 10_042.9975],
        position=[0.0, 50.0, 50.0],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0)],
    ),
    # 100 x 0.999 = 99.9; 50 x 99.9 x 0.0005 = 2.4975; 50 x 102 x 0.0001 = 0.51 received, then 1.01 paid
    "funding of a short": Case(
        opens=[99.0, 100.0, 102.0],
        closes=[100.0, 102.0, 101.0],
        targets=[-0.5, NAN, NAN],
        rates=[NAN, 0.0001, -0.0002],
        cash=[10_000.0, 9_998.0125, 9_997.0025],
        equity=[10_000.0, 9_893.0125, 9_942.0025],
        position=[0.0, -50.0, -50.0],
        fills=[(1, -50.0, 99.9, 2.4975, 0.0)],
    ),
    # funding of 495 comes before sizing: 0.5 x 8,997.4975 / 90 = 49.98, too near to trade; else 52.7
    "funding before sizing": Case(
        opens=[99.0, 100.0, 90.0],
        closes=[100.0, 90.0, 90.0],
        targets=[0.5, 0.5, NAN],
        rates=[NAN, 0.11, NAN],
        cash=[10_000.0, 9_502.4975, 9_502.4975],
        equity=[10_000.0, 8_997.4975, 8_997.4975],
        position=[0.0, 50.0, 50.0],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0)],
        coin=coin(minimum="100"),
    ),
    # the first wish has no next bar and is not filled later; the second one fills at 100 x 1.001
    "an absent next bar": Case(
        opens=[99.0, NAN, 101.0, 100.0],
        closes=[100.0, NAN, 100.0, 102.0],
        targets=[0.5, NAN, 0.5, NAN],
        cash=[10_000.0, 10_000.0, 10_000.0, 9_997.4975],
        equity=[10_000.0, 10_000.0, 10_000.0, 10_092.4975],
        position=[0.0, 0.0, 0.0, 50.0],
        fills=[(3, 50.0, 100.1, 2.5025, 0.0)],
        lapsed=[0],
    ),
    # an absent bar is worth the last close, 102, and so is its funding; a wish without a close is not sized
    "an absent bar in hand": Case(
        opens=[99.0, 100.0, NAN, 101.0],
        closes=[100.0, 102.0, NAN, 101.0],
        targets=[0.5, NAN, 0.0, NAN],
        rates=[NAN, NAN, 0.0001, NAN],
        cash=[10_000.0, 9_997.4975, 9_996.9875, 9_996.9875],
        equity=[10_000.0, 10_092.4975, 10_091.9875, 10_041.9875],
        position=[0.0, 50.0, 50.0, 50.0],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0)],
        lapsed=[2],
    ),
    # a coin listed no more is settled at its last close, without a fee, and pays no funding: 50 x (102 - 100.1) = 95
    "a delisting": Case(
        opens=[99.0, 100.0, NAN, NAN],
        closes=[100.0, 102.0, NAN, NAN],
        targets=[0.5, NAN, NAN, NAN],
        rates=[NAN, NAN, 0.0001, NAN],
        listed=[True, True, False, False],
        cash=[10_000.0, 9_997.4975, 10_092.4975, 10_092.4975],
        equity=[10_000.0, 10_092.4975, 10_092.4975, 10_092.4975],
        position=[0.0, 50.0, 0.0, 0.0],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0), (2, -50.0, 102.0, 0.0, 95.0)],
    ),
    # 0.4998 x 9,992.4975 / 100 = 49.9: an order of 10 is below 20; a wish of zero closes whatever is left
    "no trade": Case(
        opens=[99.0, 100.0, 100.0, 100.0, 100.0],
        closes=[100.0, 100.0, 100.0, 100.0, 100.0],
        targets=[0.5, 0.4998, NAN, 0.0, NAN],
        cash=[10_000.0, 9_997.4975, 9_997.4975, 9_997.4975, 9_985.0],
        equity=[10_000.0, 9_992.4975, 9_992.4975, 9_992.4975, 9_985.0],
        position=[0.0, 50.0, 50.0, 50.0, 0.0],
        fills=[(1, 50.0, 100.1, 2.5025, 0.0), (4, -50.0, 99.9, 2.4975, -10.0)],
        coin=coin(minimum="20"),
    ),
    # 0.0012 x 10,000 / 110 = 0.109; 0.1 is worth 11 then and 10 later, below 10.5: it may only be closed
    "a small rest": Case(
        opens=[99.0, 110.0, 100.0, 100.0],
        closes=[110.0, 100.0, 100.0, 100.0],
        targets=[0.0012, NAN, 0.0, NAN],
        cash=[10_000.0, 9_999.994495, 9_999.994495, 9_998.969500],
        equity=[10_000.0, 9_998.984495, 9_998.984495, 9_998.969500],
        position=[0.0, 0.1, 0.1, 0.0],
        fills=[(1, 0.1, 110.1, 0.005505, 0.0), (3, -0.1, 99.9, 0.004995, -1.02)],
        coin=coin(minimum="10.5"),
    ),
    # 3 x 10,000 / 100 = 300; fee 15.015; 300 x (60 - 100.1) = -12,030; 60 x 0.999 = 59.94; fee 8.985
    "ruin": Case(
        opens=[99.0, 100.0, 60.0, 60.0],
        closes=[100.0, 60.0, 60.0, 60.0],
        targets=[3.0, 3.0, 3.0, 3.0],
        cash=[10_000.0, 9_984.985, -2_084.0, -2_084.0],
        equity=[10_000.0, -2_045.015, -2_084.0, -2_084.0],
        position=[0.0, 300.0, 0.0, 0.0],
        fills=[(1, 300.0, 100.1, 15.015, 0.0), (2, -300.0, 59.9, 8.985, -12_060.0)],
    ),
    # a contract of ten: 0.5 x 10,000 / 1,000 = 5; ticks of 0.25: 100.1 becomes 100; fee 5 x 10 x 100 x 0.0005
    "large contracts and coarse ticks": Case(
        opens=[99.0, 100.0, 102.0],
        closes=[100.0, 102.0, 101.0],
        targets=[0.5, NAN, NAN],
        cash=[10_000.0, 9_997.5, 9_997.5],
        equity=[10_000.0, 10_097.5, 10_047.5],
        position=[0.0, 5.0, 5.0],
        fills=[(1, 5.0, 100.0, 2.5, 0.0)],
        coin=coin(tick="0.25", lot="1", size="10"),
    ),
}


@dataclass(frozen=True)
class Told:
    """What any of the three accounts says."""

    cash: list[float]
    equity: list[float]
    position: list[float]
    fills: list[tuple[float, ...]]
    lapsed: list[int]


def by_oracle(bars: Bars, exposure: Exposure) -> Told:
    account, symbol = oracle.run(bars, exposure, COSTS, BALANCE), bars.symbols[0]
    names = ("row", "quantity", "price", "fee", "realized")
    return Told(
        *([float(row[name]) for row in account.rows] for name in ("cash", "equity", symbol)),
        [tuple(float(str(fill[name])) for name in names) for fill in account.fills],
        [row for row, _ in account.lapsed],
    )


def told(ledger: Ledger) -> Told:
    row = np.searchsorted(ledger.closed_at, _at(ledger.fills["decided_at"])) + 1
    lapsed = np.searchsorted(ledger.closed_at, _at(ledger.lapsed["decided_at"]))
    money = ledger.fills.select("quantity", "price", "fee", "realized").rows()
    return Told(
        ledger.cash.tolist(),
        ledger.equity.tolist(),
        ledger.quantity[:, 0].tolist(),
        [(int(r), *values) for r, values in zip(row, money, strict=True)],
        lapsed.tolist(),
    )


def _at(instants) -> np.ndarray:
    return instants.dt.timestamp("ms").to_numpy() * 1_000_000


def by_ledger(bars: Bars, exposure: Exposure) -> Told:
    return told(run_ledger(bars, exposure, COSTS, starting_balance=BALANCE))


def by_engine(bars: Bars, exposure: Exposure) -> Told:
    return told(backtest(bars, Script(exposure), COSTS, BALANCE))


@pytest.mark.parametrize("account", [by_oracle, by_ledger, by_engine])
@pytest.mark.parametrize("name", CASES)
def test_every_account_comes_to_the_numbers_worked_by_hand(
    name: str, account: Callable[[Bars, Exposure], Told]
) -> None:
    case = CASES[name]

    said = account(case.bars, wishes(case.bars, np.array(case.targets)[:, None]))

    assert said.cash == pytest.approx(case.cash, abs=1e-9)
    assert said.equity == pytest.approx(case.equity, abs=1e-9)
    assert said.position == pytest.approx(case.position, abs=1e-12)
    assert said.lapsed == case.lapsed
    assert len(said.fills) == len(case.fills)
    np.testing.assert_allclose(np.array(said.fills), np.array(case.fills), rtol=0, atol=1e-9)


def _agrees(bars: Bars, exposure: Exposure, costs: Costs, balance: float) -> tuple[Ledger, oracle.Account]:
    ledger = run_ledger(bars, exposure, costs, starting_balance=balance)
    account = oracle.run(bars, exposure, costs, balance)
    rows = {name: [float(row[name]) for row in account.rows] for name in account.rows[0]}

    cent = 1.1e-8 * (
        1 + len(account.fills)
    )  # an average entry in doubles may round one cent otherwise per fill
    np.testing.assert_allclose(ledger.cash, rows["cash"], rtol=0, atol=cent)
    np.testing.assert_allclose(ledger.equity, rows["equity"], rtol=0, atol=cent)
    np.testing.assert_allclose(ledger.funding.sum(axis=1), rows["funding"], rtol=0, atol=1e-9)
    for asset, symbol in enumerate(bars.symbols):
        np.testing.assert_array_equal(ledger.quantity[:, asset], rows[symbol])
    assert ledger.fills["symbol"].to_list() == [fill["symbol"] for fill in account.fills]
    for name, tolerance in (
        ("quantity", 0),
        ("price", 1e-9),
        ("fee", 1e-9),
        ("slippage", 1e-9),
        ("realized", 1.1e-8),
    ):
        theirs = [float(str(fill[name])) for fill in account.fills]
        np.testing.assert_allclose(ledger.fills[name].to_numpy(), theirs, rtol=0, atol=tolerance)
    return ledger, account


@given(
    seed=st.integers(0, 2**32),
    coins=st.integers(1, 4),
    taker_bps=st.sampled_from([0.0, 2.0, 5.0, 7.5]),
    slippage_bps=st.sampled_from([0.0, 1.0, 2.5, 50.0]),
    scale=st.sampled_from([0.05, 0.5, 2.0]),
)
def test_the_ledger_agrees_with_exact_decimals_on_random_wishes(
    seed: int, coins: int, taker_bps: float, slippage_bps: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    bars = random_market(120, coins, rng, absent=0.1)

    costs = Costs(taker_bps=taker_bps, slippage_bps=slippage_bps)
    _agrees(bars, random_wishes(bars, rng, share=0.5, scale=scale), costs, 100_000.0)


def test_the_ledger_agrees_with_exact_decimals_on_real_bars(
    real_data: Path, rng: np.random.Generator
) -> None:
    bars = real_market(real_data, ("BTCUSDT", "ETHUSDT", "DOGEUSDT"), 2_000)

    ledger, _ = _agrees(bars, random_wishes(bars, rng, share=0.3), Costs(), 1_000_000.0)

    assert ledger.trades > 1_500
