"""The most traded coins as of each date: from what was known then, with those that died later."""

import asyncio
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import DAY, Interval, parse_instant
from longshort.base.errors import StudyError, VenueError
from longshort.base.window import Window
from longshort.connect.archive import Archive, Patience
from longshort.connect.archive_files import ArchiveSeries, month_file, months
from longshort.data.universe import Universe, find_universe, is_candidate, rank_by_volume
from tests.archive import ArchiveServer, kline_csv, serve

FIRST = parse_instant("2024-01-01")
NOW = parse_instant("2024-06-15")


def daily(volume: np.ndarray | list[float], *, first_at: int = FIRST, price: float = 2.0) -> pl.DataFrame:
    at = first_at + DAY * np.arange(len(volume))
    opened_at = pl.Series("opened_at", at // 1_000_000).cast(pl.Datetime("ms", "UTC"))
    prices = (pl.lit(price).alias(name) for name in ("open", "high", "low", "close"))
    return pl.DataFrame([opened_at]).with_columns(*prices, pl.Series("volume", volume, dtype=pl.Float64))


def names(universe: Universe, at: str) -> list[str]:
    as_of = pl.col("as_of").dt.strftime("%Y-%m-%d") == at
    return universe.table.filter(as_of).sort("rank")["symbol"].to_list()


def test_coins_are_ranked_by_close_times_volume_of_the_thirty_days_before() -> None:
    coins = {
        "AUSDT": daily([1.0] * 60, price=3.0),
        "BUSDT": daily([1000.0] + [1.0] * 59, price=4.0),  # its great day is 31 days back on February 1st
        "CUSDT": daily(
            [1.0] * 30 + [1.0, 500.0] + [1.0] * 28, price=1.0
        ),  # its great day is February 1st itself
    }

    universe = rank_by_volume(coins, [parse_instant("2024-02-01"), parse_instant("2024-02-02")], 2)

    assert universe.table.rows() == [
        (pl.datetime(2024, 2, 1, time_zone="UTC").pipe(_python), 1, "BUSDT", 120.0),
        (pl.datetime(2024, 2, 1, time_zone="UTC").pipe(_python), 2, "AUSDT", 90.0),
        (pl.datetime(2024, 2, 2, time_zone="UTC").pipe(_python), 1, "CUSDT", 529.0),
        (pl.datetime(2024, 2, 2, time_zone="UTC").pipe(_python), 2, "BUSDT", 120.0),
    ]
    assert universe.unseen == ()
    assert universe.symbols == ("AUSDT", "BUSDT", "CUSDT")


def _python(expression: pl.Expr) -> object:
    return pl.select(expression).item()


def test_a_coin_that_died_is_in_before_and_out_after() -> None:
    flat = [9e9] * 40 + [0.0] * 20  # its last price stays listed with no volume
    gone = [8e9] * 40
    coins = {"FTTUSDT": daily(flat), "LUNAUSDT": daily(gone), "BTCUSDT": daily([1.0] * 60)}

    universe = rank_by_volume(coins, [FIRST + 40 * DAY, FIRST + 41 * DAY, FIRST + 50 * DAY], 3)

    assert names(universe, "2024-02-10") == ["FTTUSDT", "LUNAUSDT", "BTCUSDT"]
    assert names(universe, "2024-02-11") == ["BTCUSDT"]
    assert names(universe, "2024-02-20") == ["BTCUSDT"]
    assert universe.unseen == (
        "LUNAUSDT: 1 of its last days before 2024-02-11 00:00Z are not on record, "
        "the very last among them: it was left out.",
        "LUNAUSDT: 10 of its last days before 2024-02-20 00:00Z are not on record, "
        "the very last among them: it was left out.",
    )


def test_a_coin_listed_a_day_ago_counts_and_one_listed_today_does_not() -> None:
    coins = {"NEWUSDT": daily([5.0], first_at=FIRST + 39 * DAY), "BTCUSDT": daily([1.0] * 60)}

    universe = rank_by_volume(coins, [FIRST + 39 * DAY, FIRST + 40 * DAY], 1)

    assert names(universe, "2024-02-09") == ["BTCUSDT"]
    assert names(universe, "2024-02-10") == ["BTCUSDT"]
    assert rank_by_volume(coins, [FIRST + 40 * DAY], 2).table["symbol"].to_list() == ["BTCUSDT", "NEWUSDT"]


def test_a_hole_is_said() -> None:
    coins = {"BTCUSDT": daily([1.0] * 60).filter(pl.col("opened_at").dt.day() != 7)}

    assert rank_by_volume(coins, [FIRST + 30 * DAY], 1).unseen == (
        "BTCUSDT: 1 of its last days before 2024-01-31 00:00Z are not on record.",
    )


@pytest.mark.parametrize(
    "symbol",
    ["USDCUSDT", "BUSDUSDT", "BTCDOMUSDT", "DEFIUSDT", "ETHUSDT_240329", "BTCUSDC", "BTCUSD_PERP", "USDT"],
)
def test_stable_coins_indices_dated_and_other_quotes_are_no_candidates(symbol: str) -> None:
    assert not is_candidate(symbol)
    assert rank_by_volume({symbol: daily([1.0] * 60)}, [FIRST + 40 * DAY], 5).table.is_empty()


@given(
    volumes=st.lists(st.lists(st.floats(0, 1e9), min_size=50, max_size=50), min_size=1, max_size=5),
    other=st.floats(0, 1e12),
    day=st.integers(1, 49),
    size=st.integers(1, 4),
)
def test_nothing_after_a_date_changes_its_answer(
    volumes: list[list[float]], other: float, day: int, size: int
) -> None:
    known = {f"C{i}USDT": daily(volume) for i, volume in enumerate(volumes)}
    as_of = FIRST + day * DAY
    changed = {name: daily([*volumes[i][:day], *[other] * 50]) for i, name in enumerate(known)}
    cut = {name: rows.head(day) for name, rows in known.items()}

    answer = rank_by_volume(known, [as_of], size)

    assert _same(rank_by_volume(changed, [as_of], size), answer)
    assert _same(rank_by_volume(cut, [as_of], size), answer)
    assert _same(rank_by_volume(changed | {"NEWUSDT": daily([1e15], first_at=as_of)}, [as_of], size), answer)


def _same(one: Universe, other: Universe) -> bool:
    return one.table.equals(other.table) and one.unseen == other.unseen


def test_a_universe_of_nothing_is_refused() -> None:
    with pytest.raises(StudyError, match="a universe of 0 coins is empty"):
        rank_by_volume({}, [FIRST], 0)


def publish(archive: ArchiveServer, symbol: str, rows: pl.DataFrame) -> None:
    series = ArchiveSeries(market="um", symbol=symbol, kind="bars", interval=Interval(DAY))
    ends = FIRST + len(rows) * DAY
    for month in months(Window(FIRST, ends)):
        inside = (
            pl.col("opened_at")
            .dt.epoch("ms")
            .is_between(month.from_at // 10**6, month.to_at // 10**6, closed="left")
        )
        archive.publish(month_file(series, month), kline_csv(rows.filter(inside)))


def ask(archive: ArchiveServer, as_of: list[int], **options: object) -> Universe:
    async def find() -> Universe:
        patience = Patience(pauses=(0.01,), stall_seconds=1.0)
        async with Archive(archive.url, archive.listing, patience=patience) as source:
            return await find_universe(source, as_of, 2, now=NOW, **options)  # type: ignore[arg-type]

    return asyncio.run(find())


def test_the_archive_gives_the_same_universe_as_its_rows_delisted_coins_included() -> None:
    coins = {
        "BTCUSDT": daily([5.0] * 91), "ETHUSDT": daily([3.0] * 91), "FTTUSDT": daily([50.0] * 45),
        "USDCUSDT": daily([1e9] * 91), "ETHUSDT_240329": daily([1e9] * 91),
    }  # fmt: skip
    as_of = [parse_instant("2024-02-10"), parse_instant("2024-03-25")]
    with serve() as archive:
        for symbol, rows in coins.items():
            publish(archive, symbol, rows)

        universe = ask(archive, as_of)

    assert universe.table.equals(rank_by_volume(coins, as_of, 2).table)
    assert names(universe, "2024-02-10") == ["FTTUSDT", "BTCUSDT"]
    assert names(universe, "2024-03-25") == ["BTCUSDT", "ETHUSDT"]


def test_bars_on_record_are_not_downloaded_and_progress_is_told() -> None:
    heard: list[tuple[int, int]] = []
    with serve() as archive:
        publish(archive, "BTCUSDT", daily([5.0] * 91))
        publish(archive, "ETHUSDT", daily([3.0] * 91))

        universe = ask(
            archive,
            [parse_instant("2024-02-10")],
            known={"BTCUSDT": daily([1.0] * 91)},
            report=lambda done, total: heard.append((done, total)),
        )

        assert {name.partition("-")[0] for name in archive.asked_zips()} == {"ETHUSDT"}
    assert names(universe, "2024-02-10") == ["ETHUSDT", "BTCUSDT"]
    assert heard == [(0, 1), (1, 1)]


def test_bars_on_record_with_a_hole_are_downloaded() -> None:
    with serve() as archive:
        publish(archive, "BTCUSDT", daily([5.0] * 91))

        universe = ask(archive, [parse_instant("2024-02-10")], known={"BTCUSDT": daily([1.0] * 20)})

    assert universe.table["quote_volume"].to_list() == [300.0]


def test_a_date_that_the_archive_does_not_reach_is_refused() -> None:
    with (
        serve() as archive,
        pytest.raises(VenueError, match=r"daily bars end at 2024-06-14 00:00Z\. Ask as of that"),
    ):
        ask(archive, [NOW])


def test_real_coins_rank_as_everyone_remembers(real_data: Path) -> None:
    panel = pl.read_parquet(real_data / "ohlcv_1d" / "binance_usdt_perp_1d_panel.parquet")
    coins = {
        str(symbol): rows.rename({"ts": "opened_at"})
        for (symbol,), rows in panel.group_by("symbol", maintain_order=True)
    }

    universe = rank_by_volume(coins, [parse_instant("2021-06-01"), parse_instant("2025-01-01")], 5)

    assert names(universe, "2021-06-01")[:2] == ["BTCUSDT", "ETHUSDT"]
    assert names(universe, "2025-01-01")[:2] == ["BTCUSDT", "ETHUSDT"]
