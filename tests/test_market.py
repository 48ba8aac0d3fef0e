import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longshort.base.calendar import find_calendar
from longshort.base.clock import DAY, HOUR, Interval, format_instant, parse_instant
from longshort.base.errors import DataError, NotComputable, StudyError
from longshort.base.instrument import Costs, FeeTier, Instrument
from longshort.base.settings import DataSettings
from longshort.connect.listing import Listing
from longshort.data.bars import Bars
from longshort.data.files.importer import ImportOptions, import_files
from longshort.data.grid import assemble
from longshort.data.instruments import (
    infer_instrument,
    read_instruments,
    record_inferred,
    record_listed,
    split_symbol,
)
from longshort.data.lake import INSTANT, Lake, Measure, Series
from longshort.data.market import NO_SETTLEMENTS, load_bars
from longshort.features.catalog import names_on_record
from longshort.policy.contract import contract_terms
from longshort.policy.decider import Script
from longshort.policy.ledger import run_ledger
from longshort.trading.backtest import backtest
from longshort.trading.events import Opened, events_of
from tests.accounts import wishes

HOURLY, DAILY = Interval(HOUR), Interval(DAY)
NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00 UTC, in seconds
JULY = [
    "2024-07-01",
    "2024-07-02",
    "2024-07-03",
    "2024-07-05",
    "2024-07-08",
]  # closed on the 4th and at the weekend


def instants(name: str, seconds: list[int]) -> pl.Series:
    return pl.from_epoch(pl.Series(name, seconds), "s").dt.replace_time_zone("UTC").cast(INSTANT)


def make_bars(seconds: list[int], *, volume: float = 10.0) -> pl.DataFrame:
    close = [100.0 + 0.25 * k for k in range(len(seconds))]
    return pl.DataFrame(
        {
            "opened_at": instants("opened_at", seconds),
            "open": close,
            "high": [c + 1.0 for c in close],
            "low": [c - 1.0 for c in close],
            "close": close,
            "volume": [volume] * len(seconds),
        }
    )


def hours(count: int, *, first: int = 0) -> list[int]:
    return [NEW_YEAR + 3600 * (first + k) for k in range(count)]


def days(texts: list[str]) -> list[int]:
    return [parse_instant(text) // 10**9 for text in texts]


def put(
    lake: Lake, measure: Measure, interval: Interval, rows: pl.DataFrame, symbol: str = "BTCUSDT"
) -> None:
    lake.write(Series.of("binanceusdm", measure, interval, symbol), rows)


def stocks(lake: Lake, **dates: list[str]) -> Lake:
    for symbol, texts in dates.items():
        rows = make_bars(days(texts))
        lake.write(Series.bars("us-stocks", DAILY, symbol), rows)
        record_inferred(
            lake.root / "us-stocks",
            {symbol: (infer_instrument("us-stocks", symbol, rows, calendar="XNYS"), "2024-07-08 00:00Z")},
        )
    return lake


def load(lake: Lake, **settings: object) -> Bars:
    return load_bars(DataSettings.model_validate({"lake": str(lake.root), **settings}))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


# Sessions.


def test_a_day_of_a_stock_is_usable_when_its_session_closed(lake: Lake) -> None:
    bars = load(stocks(lake, AAPL=JULY), interval="1d")

    assert [format_instant(int(c)) for c in bars.closed_at] == [
        "2024-07-01 20:00Z",
        "2024-07-02 20:00Z",
        "2024-07-03 17:00Z",
        "2024-07-05 20:00Z",
        "2024-07-08 20:00Z",
    ]
    assert bars.present.all()
    assert np.diff(bars.grid_row).tolist() == [1, 1, 1, 1]
    assert bars.bars_per_year == 252.0


def test_a_missing_session_is_a_gap_and_a_holiday_is_none(lake: Lake) -> None:
    holed = stocks(lake, AAPL=JULY, MSFT=[JULY[0], JULY[1], JULY[4]])

    bars = load(holed, interval="1d", accept_broken=["MSFT"])

    assert bars.present[:, 1].tolist() == [True, True, False, False, True]
    assert bars.listed[:, 1].all()
    assert np.isnan(bars.close[2:4, 1]).all()


def test_the_sessions_of_a_venue_are_on_record_and_the_study_may_name_them(lake: Lake) -> None:
    lake.write(Series.bars("mine", DAILY, "AAPL"), make_bars(days(JULY)))

    around_the_clock = load(lake, interval="1d", accept_broken=["AAPL"])
    named = load(lake, interval="1d", calendar="NYSE")

    assert (len(around_the_clock), around_the_clock.calendar.name) == (8, "24/7")
    assert (len(named), named.calendar.name) == (5, "XNYS")


def test_a_stock_has_no_funding_and_that_is_known(lake: Lake) -> None:
    bars = load(stocks(lake, AAPL=JULY), interval="1d")

    assert not bars.instruments[0].has_funding
    assert bars.funding_covered.all()
    assert np.isnan(bars.funding_rate).all()
    assert not [name for name in names_on_record(bars) if name.startswith("funding")]


def test_since_keeps_the_day_that_it_names(lake: Lake) -> None:
    bars = load(stocks(lake, AAPL=JULY), interval="1d", since="2024-07-02", until="2024-07-05T20:00Z")

    assert [format_instant(int(c))[:10] for c in bars.closed_at] == JULY[1:4]


@pytest.mark.parametrize("written", ["BRK-B", "BRK.B", "brk/b"])
def test_classes_of_shares_are_found_however_they_are_written(lake: Lake, written: str) -> None:
    assert load(stocks(lake, **{"BRK-B": JULY}), interval="1d", symbols=[written]).symbols == ("BRK-B",)


def test_hourly_bars_with_sessions_are_refused(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(5)))

    with pytest.raises(StudyError, match=r"only daily bars \(1d\) have the sessions of XNYS so far, was 1h"):
        load(lake, calendar="XNYS")


def test_a_bar_on_a_holiday_is_refused_by_symbol_and_date(lake: Lake) -> None:
    stocks(lake, AAPL=JULY)
    lake.write(Series.bars("us-stocks", DAILY, "AAPL"), make_bars(days(["2024-07-03", "2024-07-04"])))

    with pytest.raises(DataError, match="AAPL: graded broken: XNYS has no session on 2024-07-04"):
        load(lake, interval="1d")
    with pytest.raises(DataError, match="AAPL: XNYS has no session on 2024-07-04"):
        load(lake, interval="1d", accept_broken=["AAPL"])


def test_stocks_and_coins_of_one_venue_are_not_mixed_in_silence(lake: Lake) -> None:
    stocks(lake, AAPL=JULY)
    lake.write(Series.bars("us-stocks", DAILY, "BTCUSD"), make_bars(days(JULY)))
    coin = Instrument(
        symbol="BTCUSD",
        venue="us-stocks",
        base="BTC",
        quote="USD",
        settle="USD",
        tick=Decimal(1),
        lot=Decimal(1),
    )
    record_inferred(lake.root / "us-stocks", {"BTCUSD": (coin, "2024-07-08 00:00Z")})

    with pytest.raises(DataError, match="trade in different sessions: 24/7, XNYS"):
        load(lake, interval="1d", accept_broken=["BTCUSD"])


def test_the_embedded_market_has_no_sessions() -> None:
    with pytest.raises(DataError, match="the embedded market is always open"):
        load_bars(DataSettings(source="embedded", calendar="XNYS"))


def test_real_stocks_have_no_gap_but_before_they_were_listed(real_data: Path) -> None:
    panel = pl.read_parquet(real_data / "stocks" / "us_stocks_1d_panel.parquet").rename({"date": "opened_at"})
    symbols = ["AAPL", "COIN", "UBER"]
    rows = [
        panel.filter(pl.col("symbol") == s)
        .drop("symbol")
        .with_columns(pl.col("opened_at").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"))
        for s in symbols
    ]
    known = [infer_instrument("us-stocks", s, r, calendar="XNYS") for s, r in zip(symbols, rows, strict=True)]

    bars = assemble(DAILY, known, rows, [NO_SETTLEMENTS] * 3, calendar=find_calendar("XNYS"))

    assert (bars.present == bars.listed).all()
    assert bars.present[:, 0].all()
    assert len(bars) == 1_883
    assert {i.tick for i in bars.instruments} == {Decimal("0.0001")}


def test_a_wish_for_a_stock_fills_at_the_next_session_s_open_in_ledger_and_engine_alike(lake: Lake) -> None:
    bars = load(stocks(lake, AAPL=JULY), interval="1d")
    target = np.array([[0.5], [1.0], [0.0], [0.5], [np.nan]])  # the second is formed before an early close

    ledger = run_ledger(bars, wishes(bars, target), Costs())
    opened_at = [event.ts_event for event in events_of(bars) if isinstance(event.data, Opened)]

    assert ledger.fills["filled_at"].dt.strftime("%m-%d %H:%M").to_list() == [
        "07-02 13:30",
        "07-03 13:30",
        "07-05 13:30",
        "07-08 13:30",
    ]
    assert ledger.totals.funding == 0.0
    assert opened_at == [int(at) + 1 for at in bars.opened_at[1:]]
    assert all(at > close for at, close in zip(opened_at, bars.closed_at[:-1].tolist(), strict=True))


# Symbols as people write them.


@pytest.mark.parametrize("written", ["BTC/USDT:USDT", "btcusdt", "BTCUSDT"])
def test_a_symbol_may_be_written_as_ccxt_writes_it(lake: Lake, written: str) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(5)))
    put(lake, "bars", HOURLY, make_bars(hours(5)), "ETHUSDT")

    assert load(lake, symbols=[written]).symbols == ("BTCUSDT",)


def test_one_coin_in_two_spellings_is_named_twice(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(5)))

    with pytest.raises(DataError, match="a coin is named twice"):
        load(lake, symbols=["BTC/USDT:USDT", "BTCUSDT"])


# Gauges.


def test_what_else_was_measured_stands_at_the_close_at_which_it_was_known(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(6)))
    mark = make_bars(hours(6)).drop("volume").filter(pl.int_range(pl.len()) != 2)
    put(lake, "mark", HOURLY, mark)
    put(lake, "index", Interval(2 * HOUR), make_bars(hours(6)[::2]).drop("volume"))
    sampled = [NEW_YEAR + s for s in (3600, 3600 + 1800, 2 * 3600, 2 * 3600 + 6)]
    put(
        lake,
        "open-interest",
        Interval(HOUR // 2),
        pl.DataFrame({"sampled_at": instants("sampled_at", sampled), "open_interest": [1.0, 2.0, 3.0, 4.0]}),
    )

    bars = load(lake, accept_broken=["BTCUSDT"])

    np.testing.assert_array_equal(bars.mark_close[:, 0], [100.0, 100.25, np.nan, 100.75, 101.0, 101.25])
    np.testing.assert_array_equal(bars.index_close[:, 0], [np.nan, 100.0, np.nan, 100.25, np.nan, 100.5])
    np.testing.assert_array_equal(bars.open_interest[:, 0], [1.0, 3.0, 4.0, np.nan, np.nan, np.nan])


def test_a_market_without_gauges_has_none_and_its_digest_is_that_of_before(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(6)))
    bare = load(lake)
    put(lake, "mark", HOURLY, make_bars(hours(6)).drop("volume"))
    marked = load(lake)

    assert bare.gauges == {}
    assert np.isnan(bare.mark_close).all()
    assert bare.mark_close.shape == bare.close.shape
    assert replace(marked, gauges={}).digest() == bare.digest() != marked.digest()


def test_gauges_are_cut_with_the_bars(lake: Lake) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        put(lake, "bars", HOURLY, make_bars(hours(6)), symbol)
    put(lake, "mark", HOURLY, make_bars(hours(6)).drop("volume"), "ETHUSDT")

    bars = load(lake)

    np.testing.assert_array_equal(bars[2:4].mark_close, bars.mark_close[2:4])
    np.testing.assert_array_equal(bars.coins([1]).mark_close[:, 0], bars.close[:, 1])
    assert np.isnan(bars.mark_close[:, 0]).all()


@example(at=[0, 3600])
@given(
    at=st.lists(st.integers(0, 40 * 3600), min_size=1, max_size=40, unique=True).map(sorted),
)
def test_no_sample_is_seen_before_its_time_and_the_latest_of_a_bar_stands(at: list[int]) -> None:
    rows = make_bars(hours(24))
    samples = pl.DataFrame(
        {
            "sampled_at": instants("sampled_at", [NEW_YEAR + s for s in at]),
            "open_interest": [float(s) for s in at],
        }
    )

    bars = assemble(
        HOURLY,
        [infer_instrument("v", "BTCUSDT", rows)],
        [rows],
        [NO_SETTLEMENTS],
        gauges={"open_interest": [(HOURLY, samples)]},
    )

    expected = [max([s for s in at if 3600 * k < s <= 3600 * (k + 1)], default=np.nan) for k in range(24)]
    np.testing.assert_array_equal(bars.open_interest[:, 0], expected)


# Dead series.


def with_tail(bars: int, flat: int, *, trades: float = 0.0) -> pl.DataFrame:
    rows = make_bars(hours(bars + flat))
    is_tail = pl.int_range(pl.len()) >= bars
    last = rows[bars - 1, "close"]
    return rows.with_columns(
        *(
            pl.when(is_tail).then(last).otherwise(pl.col(c)).alias(c)
            for c in ("open", "high", "low", "close")
        ),
        volume=pl.when(is_tail).then(trades).otherwise(pl.col("volume")),
    )


@pytest.mark.parametrize(("flat", "trades", "listed"), [(167, 0.0, 217), (250, 0.0, 217), (250, 0.1, 300)])
def test_a_coin_is_listed_no_more_once_nobody_has_traded_it_for_a_week(
    lake: Lake, flat: int, trades: float, listed: int
) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(300)))
    put(lake, "bars", HOURLY, with_tail(50, flat, trades=trades), "FTTUSDT")

    bars = load(lake, accept_broken=["FTTUSDT"])

    assert np.flatnonzero(bars.listed[:, 1]).tolist() == list(range(listed))
    assert bars.present[:, 1].sum() == (
        50 + flat if trades else 53
    )  # silent from the fourth bar on: no price
    assert bars.listed[:, 0].all()


def test_what_was_changed_is_counted_in_the_rows_that_a_study_sees(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(300)))
    put(lake, "bars", HOURLY, with_tail(50, 250), "FTTUSDT")

    bars = load(lake, until="2024-01-03T08:00Z")

    assert [str(change) for change in bars.changes] == [
        "FTTUSDT: 3 bars without a trade: absent (2024-01-03 06:00Z, 2024-01-03 07:00Z, 2024-01-03 08:00Z)"
    ]
    assert [(o.symbol, o.kind, o.grade, o.rows) for o in bars.origins] == [
        ("BTCUSDT", "bars-1h", "clean", 300),
        ("FTTUSDT", "bars-1h", "usable", 300),
    ]
    assert bars.grade == "usable"
    assert replace(bars, origins=(), changes=()).digest() == bars.digest()


def test_a_broken_series_is_refused_and_told_of_where_it_is_accepted(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(300)))
    put(lake, "bars", HOURLY, make_bars([*hours(30), *hours(250, first=50)]), "ETHUSDT")

    with pytest.raises(
        DataError, match=r"bars-1h/ETHUSDT: graded broken: 20 of 300 .*accept_broken = \[\"ETHUSDT"
    ):
        load(lake)
    accepted = load(lake, accept_broken=["ETH/USDT:USDT"])

    assert [o.grade for o in accepted.origins] == ["clean", "broken"]
    assert accepted.origins[1].findings == ("20 of 300 bars missing in 1 gap, 20 at once at most",)
    assert load(lake, symbols=["BTCUSDT"]).grade == "clean"
    assert accepted.coins([0]).grade == "clean"


def test_a_lake_is_looked_over_once(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(300)))
    heard: list[tuple[str, int, int]] = []
    settings_ = DataSettings(lake=str(lake.root))

    for _ in range(2):
        load_bars(settings_, report=lambda what, done, of: heard.append((what, done, of)))

    assert heard == [("looking over", 1, 1)]


def test_a_coin_that_trades_again_is_listed_again(lake: Lake) -> None:
    put(lake, "bars", HOURLY, make_bars(hours(360)))
    put(lake, "bars", HOURLY, pl.concat([with_tail(50, 300), make_bars(hours(10, first=350))]), "FTTUSDT")

    bars = load(lake, accept_broken=["FTTUSDT"])

    assert np.flatnonzero(bars.listed[:, 1]).tolist() == [*range(217), *range(350, 360)]


def test_real_delisted_coins_end_a_week_after_their_last_trade(real_data: Path, lake: Lake) -> None:
    files = [
        real_data / "raw" / "binance_WAVESUSDT_perp_1h_delisted_raw.parquet",
        real_data / "ohlcv_1h" / "binance_LTCUSDT_perp_1h.parquet",
    ]
    import_files(files, lake, ImportOptions(venue="binanceusdm"))

    bars = load(lake)

    waves = bars.symbols.index("WAVESUSDT")
    last = int(np.flatnonzero(bars.traded[:, waves])[-1])
    assert format_instant(int(bars.opened_at[last])) == "2024-06-11 08:00Z"
    assert int(np.flatnonzero(bars.listed[:, waves])[-1]) == last + 167
    assert int(np.flatnonzero(bars.present[:, waves])[-1]) == last + 3
    assert bars.ended[last + 1 :, waves].all()
    assert not bars.ended[: last + 1, waves].any()


def died(lake: Lake, *, trades_again: bool) -> Bars:
    """A coin that nobody trades from its fiftieth hour on, with funding until then, beside one that lives."""
    every, until_then = ([NEW_YEAR + 8 * 3600 * k for k in range(1, count)] for count in (38, 7))
    tail = [make_bars(hours(1, first=299))] if trades_again else []
    put(lake, "bars", HOURLY, make_bars(hours(300)))
    put(lake, "bars", HOURLY, pl.concat([with_tail(50, 249), *tail]), "FTTUSDT")
    for symbol, settled in (("BTCUSDT", every), ("FTTUSDT", until_then)):
        rates = pl.DataFrame({"settled_at": instants("settled_at", settled), "rate": [1e-4] * len(settled)})
        lake.write(Series("binanceusdm", "funding", symbol), rates)
    return load(lake, accept_broken=["FTTUSDT"])


def test_a_position_in_a_coin_that_died_is_settled_and_pays_no_funding_after_that(lake: Lake) -> None:
    bars = died(lake, trades_again=False)
    target = np.full(bars.close.shape, np.nan)
    target[10] = 0.5

    ledger = run_ledger(bars, wishes(bars, target), Costs())
    engine = backtest(bars, Script(wishes(bars, target)), Costs())

    assert np.flatnonzero(ledger.funding[:, 1]).tolist() == [15, 23, 31, 39, 47]
    assert ledger.funding[287, 0] > 0.0
    assert ledger.quantity[46, 1] > 0.0 == ledger.quantity[-1, 1]
    np.testing.assert_array_equal(engine.cash, ledger.cash)


def test_a_hole_in_the_funding_of_a_coin_that_trades_again_is_no_death(lake: Lake) -> None:
    bars = died(lake, trades_again=True)
    target = np.full(bars.close.shape, np.nan)
    target[10] = 0.5

    with pytest.raises(NotComputable, match="FTTUSDT: Profit is not computed"):
        run_ledger(bars, wishes(bars, target), Costs())
    with pytest.raises(NotComputable, match="FTTUSDT: Profit is not computed"):
        backtest(bars, Script(wishes(bars, target)), Costs())


def lively(rng: np.random.Generator, count: int) -> pl.DataFrame:
    """Daily bars with holes, a placeholder, and pauses of which some last until everybody would give up."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, count)))
    volume = rng.uniform(1.0, 5.0, count)
    for start, length in [(0, rng.integers(0, 9)), *rng.integers((10, 1), (count, 50), size=(3, 2))]:
        close[start : start + length] = close[max(start - 1, 0)]
        volume[start : start + length] = 0.0
    opened = np.where(volume > 0.0, close * np.exp(rng.normal(0.0, 0.005, count)), close)
    at = [NEW_YEAR + 86_400 * k for k in range(count)]
    rows = pl.DataFrame(
        {
            "opened_at": instants("opened_at", at),
            "open": opened,
            "high": np.fmax(opened, close),
            "low": np.fmin(opened, close),
            "close": close,
            "volume": volume,
        }
    )
    absent = rng.random(count) < rng.choice([0.0, 0.05])
    absent[int(rng.integers(count)) :][: int(rng.integers(40))] = True
    absent[: int(rng.integers(20))] = True
    return rows.filter(~pl.Series(absent))


COUNT = 120
THREE = ("BTCUSDT", "ETHUSDT", "FTTUSDT")


@settings(max_examples=12)
@given(cut=st.integers(60, COUNT - 1), seed=st.integers(0, 2**32 - 1), how=st.sampled_from(["keep", "mask"]))
def test_what_a_study_sees_of_a_day_never_changes_when_later_days_arrive(
    tmp_path_factory: pytest.TempPathFactory, cut: int, seed: int, how: str
) -> None:
    rng = np.random.default_rng(seed)
    whole, cut_off = (Lake(tmp_path_factory.mktemp("causal") / name) for name in ("whole", "cut"))
    for symbol in THREE:
        rows = lively(rng, COUNT)
        put(whole, "bars", DAILY, rows, symbol)
        known = rows.filter(
            pl.col("opened_at") < pl.from_epoch(pl.lit(NEW_YEAR + 86_400 * cut)).cast(INSTANT)
        )
        put(cut_off, "bars", DAILY, known, symbol)

    later, then = (load(lake, interval="1d", accept_broken=THREE, cleaning=how) for lake in (whole, cut_off))

    first, last = np.searchsorted(later.closed_at, then.closed_at[[0, -1]])
    same = later.coins([later.symbols.index(symbol) for symbol in then.symbols])[first : last + 1]
    unseen = [symbol not in then.symbols for symbol in later.symbols]
    for name in ("closed_at", "open", "high", "low", "close", "volume", "present", "listed"):
        np.testing.assert_array_equal(getattr(same, name), getattr(then, name), err_msg=name)
    assert not later.present[:first].any()
    assert not later.present[: last + 1, unseen].any()


# Instruments and what venues told of them.


def listing(tick: str, seen_at: str, **changes: object) -> Listing:
    instrument = Instrument(
        symbol="BTCUSDT",
        venue="v",
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick=Decimal(tick),
        lot=Decimal("0.001"),
        fees=(FeeTier(maker_bps=1.0, taker_bps=4.5),),
    )
    told = {
        "unified": "BTC/USDT:USDT",
        "id": "BTCUSDT",
        "instrument": instrument,
        "contract": "swap",
        "active": True,
        "listed_at": parse_instant("2019-09-08"),
        "expires_at": None,
        "seen_at": parse_instant(seen_at),
    }
    return Listing(**{**told, **changes})  # type: ignore[arg-type]


def test_a_changed_tick_adds_to_what_a_venue_told(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    for tick, seen_at in [("0.01", "2024-01-01"), ("0.01", "2024-02-01"), ("0.1", "2024-03-01")]:
        record_listed(folder, [listing(tick, seen_at)])

    def tick_on(day: str) -> Decimal:
        return read_instruments(folder, as_of=parse_instant(day))["BTCUSDT"].tick

    entry = json.loads((folder / "instruments.json").read_text())["BTCUSDT"]
    assert [e["seen_at"] for e in (entry, *entry["earlier"])] == ["2024-03-01 00:00Z", "2024-01-01 00:00Z"]
    assert read_instruments(folder)["BTCUSDT"].tick == tick_on("2024-03-01") == Decimal("0.1")
    assert tick_on("2024-02-29") == Decimal("0.01")
    assert read_instruments(folder, as_of=parse_instant("2023-12-31")) == {}


def test_what_a_venue_told_is_kept_whole_and_in_order_of_seeing(tmp_path: Path) -> None:
    record_listed(tmp_path / "v", [listing("0.1", "2024-03-01", active=False)])
    record_listed(tmp_path / "v", [listing("0.1", "2024-01-01")])

    entry = json.loads((tmp_path / "v" / "instruments.json").read_text())["BTCUSDT"]
    assert (entry["active"], entry["earlier"][0]["active"]) == (False, True)
    assert entry["listed_at"] == "2019-09-08 00:00Z"
    assert (entry["contract"], entry["unified"], entry["source"]) == ("swap", "BTC/USDT:USDT", "venue")
    assert read_instruments(tmp_path / "v")["BTCUSDT"] == listing("0.1", "2024-03-01").instrument


def test_what_a_venue_tells_takes_the_place_of_what_was_inferred_and_not_the_reverse(tmp_path: Path) -> None:
    guess = replace(listing("0.5", "2024-01-01").instrument)
    record_inferred(tmp_path / "v", {"BTCUSDT": (guess, "2024-01-01 00:00Z")})
    record_listed(tmp_path / "v", [listing("0.1", "2024-03-01")])
    record_inferred(tmp_path / "v", {"BTCUSDT": (guess, "2024-04-01 00:00Z")})

    entry = json.loads((tmp_path / "v" / "instruments.json").read_text())["BTCUSDT"]
    assert (entry["tick"], "earlier" in entry) == ("0.1", False)


@pytest.mark.parametrize(("contract", "funded"), [("swap", True), ("future", False), ("spot", False)])
def test_only_perpetuals_have_funding(tmp_path: Path, contract: str, funded: bool) -> None:
    record_listed(tmp_path / "v", [listing("0.1", "2024-03-01", contract=contract)])

    assert read_instruments(tmp_path / "v")["BTCUSDT"].has_funding is funded


def test_an_entry_of_an_older_lake_is_still_read(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    record_listed(folder, [listing("0.1", "2024-03-01")])
    table = json.loads((folder / "instruments.json").read_text())
    for name in ("has_funding", "calendar", "fees"):
        del table["BTCUSDT"][name]
    (folder / "instruments.json").write_text(json.dumps(table))

    found = read_instruments(folder)["BTCUSDT"]

    assert (found.has_funding, found.calendar, found.fees) == (
        True,
        "",
        (FeeTier(maker_bps=2.0, taker_bps=5.0),),
    )


@pytest.mark.parametrize(
    ("venue", "symbol", "settle", "size", "inverse"),
    [
        ("bitmex", "XBTUSD", "XBT", 1, True),
        ("bitmex", "XBTUSDT", "USDT", 1, False),
        ("bitmex", "ETHUSD", "XBT", 1, False),
        ("binancecoinm", "BTCUSD", "BTC", 100, True),
        ("binancecoinm", "ETHUSD", "ETH", 10, True),
        ("bybit", "BTCUSD.BTC", "BTC", 1, True),
        ("bybit", "BTCUSDT", "USDT", 1, False),
        ("okx", "BTCUSD", "USD", 1, False),
    ],
)
def test_a_contract_s_settlement_is_read_off_its_venue_and_name(
    venue: str, symbol: str, settle: str, size: int, inverse: bool
) -> None:
    found = infer_instrument(venue, symbol, make_bars(hours(3)))

    assert (found.settle, found.contract_size, found.inverse) == (settle, size, inverse)


def test_the_money_of_a_quanto_contract_is_not_guessed() -> None:
    quanto = infer_instrument("bitmex", "ETHUSD", make_bars(hours(3)))
    in_other_dollars = replace(quanto, settle="USDC")

    with pytest.raises(
        NotComputable, match="ETHUSD is quoted in USD and settles in XBT, which is not modelled"
    ):
        contract_terms([quanto])
    assert len(contract_terms([in_other_dollars])) == 1


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("DOTUSD", ("DOT", "USD", "USD")),
        ("BTCTUSD", ("BTC", "TUSD", "TUSD")),
        ("OPUSDT", ("OP", "USDT", "USDT")),
        ("ETHBTC", ("ETH", "BTC", "BTC")),
        ("BTCUSD.BTC-251226", ("BTC", "USD", "BTC")),
        ("BTCUSDT-251226", ("BTC", "USDT", "USDT")),
        ("BTC-PERP", ("BTC", "USD", "USD")),
        ("USDT", ("USDT", "USD", "USD")),
    ],
)
def test_a_symbol_tells_its_currencies(symbol: str, parts: tuple[str, str, str]) -> None:
    assert split_symbol(symbol) == parts


@pytest.mark.parametrize(("price", "tick"), [(100.25, "0.01"), (100.123_456, "0.0001")])
def test_a_stock_trades_in_cents_unless_its_prices_were_adjusted(price: float, tick: str) -> None:
    rows = make_bars(days(JULY)).with_columns(open=pl.lit(price), close=pl.lit(price))

    found = infer_instrument("us-stocks", "AAPL", rows, calendar="XNYS")

    assert (found.tick, found.lot, found.settle) == (Decimal(tick), Decimal(1), "USD")
