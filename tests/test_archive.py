"""Binance's archive: what it holds arrives whole and checked, and what it lacks is named."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.clock import DAY, HOUR, MINUTE, Interval, parse_instant
from longshort.base.errors import DataError, VenueError
from longshort.base.window import Window
from longshort.connect.archive import ARCHIVE, Archive, Chunk, Patience
from longshort.connect.archive_files import ArchiveFile, ArchiveSeries, day_files, holes, month_file, months
from longshort.connect.archive_rows import read_archive_file
from tests.archive import (
    ArchiveServer,
    Fault,
    checksum,
    funding_csv,
    kline_csv,
    metrics_csv,
    serve,
    zipped,
)

HOURLY = ArchiveSeries(market="um", symbol="BTCUSDT", kind="bars", interval=Interval.parse("1h"))
FINE = ArchiveSeries(market="um", symbol="BTCUSDT", kind="bars", interval=Interval.parse("5m"))
MARK = ArchiveSeries(market="um", symbol="BTCUSDT", kind="mark", interval=Interval.parse("1h"))
FUNDING = ArchiveSeries(market="um", symbol="BTCUSDT", kind="funding")
INTEREST = ArchiveSeries(market="um", symbol="BTCUSDT", kind="open-interest", interval=Interval.parse("1h"))
QUICK = Patience(stall_seconds=0.3, pauses=(0.01, 0.01, 0.01))
JANUARY, FEBRUARY = 1_704_067_200_000_000_000, 1_706_745_600_000_000_000  # 2024
LATER = parse_instant("2024-06-15")


def span(first: str, after: str) -> Window:
    return Window(parse_instant(first), parse_instant(after))


def frame(instant: str, at: np.ndarray, names: tuple[str, ...]) -> pl.DataFrame:
    """Values that tell which row they are of."""
    opened_at = pl.Series(instant, at // 1_000_000).cast(pl.Datetime("ms", "UTC"))
    return pl.DataFrame([opened_at]).with_columns(
        pl.Series(name, at / HOUR % 1_000 + place) for place, name in enumerate(names)
    )


def bars(window: Window, series: ArchiveSeries = HOURLY) -> pl.DataFrame:
    assert series.interval
    at = np.arange(window.from_at, window.to_at, series.interval.ns)
    return frame("opened_at", at, series.columns[1:])


def settlements(window: Window) -> pl.DataFrame:
    at = np.arange(window.from_at, window.to_at, 8 * HOUR) + 3_000_000
    return frame("settled_at", at, ("rate",))


def samples(window: Window) -> pl.DataFrame:
    return frame("sampled_at", np.arange(window.from_at, window.to_at, 5 * MINUTE), ("open_interest",))


def publish_months(archive: ArchiveServer, window: Window, series: ArchiveSeries = HOURLY) -> None:
    for month in months(window):
        archive.publish(month_file(series, month), kline_csv(bars(month, series)))


def publish_days(archive: ArchiveServer, window: Window, series: ArchiveSeries = HOURLY) -> None:
    for file in day_files(series, (window,)):
        archive.publish(file, kline_csv(bars(file.span, series)))


def without_days(window: Window, *days: str) -> pl.DataFrame:
    return bars(window).filter(~pl.col("opened_at").dt.strftime("%Y-%m-%d").is_in(days))


def read(
    archive: ArchiveServer,
    window: Window,
    series: ArchiveSeries = HOURLY,
    *,
    listed: bool = True,
    now: int = LATER,
) -> list[Chunk]:
    async def collect() -> list[Chunk]:
        listing = archive.listing if listed else ""
        async with (
            Archive(archive.url, listing, patience=QUICK) as source,
            aclosing(source.chunks(series, window, now)) as chunks,
        ):
            return [chunk async for chunk in chunks]

    return asyncio.run(collect())


def rows_of(chunks: list[Chunk]) -> pl.DataFrame:
    return pl.concat([chunk.rows for chunk in chunks])


def missing_of(chunks: list[Chunk]) -> list[Window]:
    return [window for chunk in chunks for window in chunk.missing]


@pytest.fixture
def archive() -> Iterator[ArchiveServer]:
    with serve() as archive:
        yield archive


def test_files_are_called_as_binance_calls_them() -> None:
    day = Window(JANUARY, JANUARY + DAY)
    coin = ArchiveSeries(market="cm", symbol="BTCUSD_PERP", kind="index", interval=Interval.parse("1m"))

    assert month_file(HOURLY, day).path == "data/futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip"
    assert (
        month_file(FUNDING, day).path
        == "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip"
    )
    assert [file.path for file in day_files(INTEREST, (Window(JANUARY + HOUR, JANUARY + 2 * HOUR),))] == [
        "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-01.zip"
    ]
    assert ArchiveFile(series=coin, span=day, monthly=False).path == (
        "data/futures/cm/daily/indexPriceKlines/BTCUSD/1m/BTCUSD-1m-2024-01-01.zip"
    )


@pytest.mark.parametrize("listed", [True, False], ids=["with a listing", "without one"])
def test_months_then_days_then_the_rest_for_the_exchange(archive: ArchiveServer, *, listed: bool) -> None:
    window = span("2024-01-20", "2024-04-03T05:00")
    publish_months(archive, span("2024-01-01", "2024-03-01"))
    publish_days(archive, span("2024-03-01", "2024-04-02"))

    chunks = read(archive, window, listed=listed, now=parse_instant("2024-04-03T05:30"))

    assert rows_of(chunks).equals(bars(span("2024-01-20", "2024-04-02")))
    assert missing_of(chunks) == [span("2024-04-02", "2024-04-03T05:00")]
    assert [chunk.window.from_at for chunk in chunks[1:]] == [chunk.window.to_at for chunk in chunks[:-1]]
    assert (chunks[0].window.from_at, chunks[-1].window.to_at) == (window.from_at, window.to_at)


def test_with_a_listing_no_absent_file_is_asked_for(archive: ArchiveServer) -> None:
    publish_months(archive, span("2024-03-01", "2024-04-01"))

    read(archive, span("2023-01-01", "2024-05-01"))

    assert archive.asked_zips() == ["BTCUSDT-1h-2024-03.zip"]


def test_a_listing_of_many_pages_is_read_to_its_end(archive: ArchiveServer) -> None:
    archive.page = 3
    publish_months(archive, span("2024-01-01", "2024-05-01"))

    assert read(archive, span("2024-01-01", "2024-05-01"))[-1].rows.equals(
        bars(span("2024-04-01", "2024-05-01"))
    )


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
def test_either_header_and_either_unit_give_the_same_rows(*, header: bool, unit: str) -> None:
    file = month_file(HOURLY, Window(JANUARY, FEBRUARY))
    body = zipped(file.name, kline_csv(bars(file.span), header=header, unit=unit))  # type: ignore[arg-type]

    assert read_archive_file(body, file).equals(bars(file.span))


def test_days_missing_from_a_month_come_from_their_daily_files(archive: ArchiveServer) -> None:
    month = span("2024-01-01", "2024-02-01")
    archive.publish(month_file(HOURLY, month), kline_csv(without_days(month, "2024-01-07", "2024-01-31")))
    publish_days(archive, month)

    chunks = read(archive, month)

    assert rows_of(chunks).equals(bars(month))
    assert missing_of(chunks) == []
    assert sorted(archive.asked_zips()[1:]) == ["BTCUSDT-1h-2024-01-07.zip", "BTCUSDT-1h-2024-01-31.zip"]


def test_what_no_file_has_is_named_to_the_bar(archive: ArchiveServer) -> None:
    month = span("2024-01-01", "2024-02-01")
    lost = pl.col("opened_at").dt.epoch("ms") == parse_instant("2024-01-20T10:00") // 1_000_000
    archive.publish(month_file(HOURLY, month), kline_csv(without_days(month, "2024-01-07").filter(~lost)))

    chunks = read(archive, month)

    assert missing_of(chunks) == [
        span("2024-01-07", "2024-01-08"),
        span("2024-01-20T10:00", "2024-01-20T11:00"),
    ]
    assert len(rows_of(chunks)) == 31 * 24 - 25


def test_a_month_without_a_file_comes_from_its_days(archive: ArchiveServer) -> None:
    publish_days(archive, span("2024-01-01", "2024-02-01"))

    chunks = read(archive, span("2024-01-01", "2024-02-01"), listed=False)

    assert rows_of(chunks).equals(bars(span("2024-01-01", "2024-02-01")))
    assert missing_of(chunks) == []


def test_a_few_days_of_fine_bars_do_not_cost_a_month(archive: ArchiveServer) -> None:
    window = span("2024-01-10", "2024-01-12T05:00")
    publish_months(archive, span("2024-01-01", "2024-02-01"), FINE)
    publish_days(archive, span("2024-01-10", "2024-01-12"), FINE)

    chunks = read(archive, window, FINE)

    assert rows_of(chunks).equals(bars(window, FINE))
    assert archive.asked_zips()[-1] == "BTCUSDT-5m-2024-01.zip"
    assert sorted(archive.asked_zips()[:-1]) == ["BTCUSDT-5m-2024-01-10.zip", "BTCUSDT-5m-2024-01-11.zip"]


@pytest.mark.parametrize("fault", ["500", "429", "html", "reset", "short", "stall", "swapped"])
@pytest.mark.parametrize("suffix", ["", ".CHECKSUM"], ids=["zip", "checksum"])
def test_a_passing_fault_costs_no_row(archive: ArchiveServer, fault: Fault, suffix: str) -> None:
    publish_months(archive, span("2024-01-01", "2024-02-01"))
    archive.faults[f"BTCUSDT-1h-2024-01.zip{suffix}"] = [fault]

    chunks = read(archive, span("2024-01-01", "2024-02-01"))

    assert rows_of(chunks).equals(bars(span("2024-01-01", "2024-02-01")))
    assert [chunk.refused for chunk in chunks] == [()]


@pytest.mark.parametrize("fault", ["500", "html", "reset", "short", "stall", "403"])
def test_a_lasting_fault_is_one_clear_sentence(archive: ArchiveServer, fault: Fault) -> None:
    publish_months(archive, span("2024-01-01", "2024-02-01"))
    archive.faults["BTCUSDT-1h-2024-01.zip"] = [fault] * 9

    with pytest.raises(
        VenueError, match=r"127\.0\.0\.1:\d+: BTCUSDT-1h-2024-01\.zip could not be read: .+\. Try"
    ):
        read(archive, span("2024-01-01", "2024-02-01"))


def test_an_archive_that_is_not_there_is_said_so() -> None:
    with pytest.raises(
        VenueError, match=r"127\.0\.0\.1:9: BTCUSDT-1h-2024-01\.zip\.CHECKSUM could not be read"
    ):
        read(ArchiveServer(url="http://127.0.0.1:9"), span("2024-01-01", "2024-02-01"), listed=False)


def test_a_file_with_a_wrong_hash_is_asked_for_twice_then_refused_by_name(archive: ArchiveServer) -> None:
    month = span("2024-01-01", "2024-02-01")
    publish_months(archive, month)
    archive.bodies["data/futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip.CHECKSUM"] = checksum(
        "x", b"y"
    )
    publish_days(archive, span("2024-01-01", "2024-01-31"))

    chunks = read(archive, month)

    assert archive.asked_zips().count("BTCUSDT-1h-2024-01.zip") == 2
    assert rows_of(chunks).equals(bars(span("2024-01-01", "2024-01-31")))
    assert missing_of(chunks) == [span("2024-01-31", "2024-02-01")]
    assert [chunk.refused for chunk in chunks] == [
        (
            "BTCUSDT-1h-2024-01.zip: the archive's file cannot be used: "
            "its hash differs from the recorded one, twice.",
        )
    ]


def test_a_file_whose_hash_is_absent_is_not_trusted(archive: ArchiveServer) -> None:
    publish_months(archive, span("2024-01-01", "2024-02-01"))
    del archive.bodies["data/futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip.CHECKSUM"]

    assert missing_of(read(archive, span("2024-01-01", "2024-02-01"))) == [span("2024-01-01", "2024-02-01")]


JANUARY_FILE = month_file(HOURLY, Window(JANUARY, FEBRUARY))
GOOD = kline_csv(bars(JANUARY_FILE.span))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (zipped("a.zip", GOOD)[:-300], "not a zip of one file"),
        (zipped("a.zip", GOOD).replace(b"PK\x05\x06", b"PK\x05\x07"), "not a zip of one file"),
        (zipped("a.zip", kline_csv(bars(Window(FEBRUARY, FEBRUARY + DAY)))), "not of its own period"),
        (zipped("a.zip", GOOD.replace(b"1704070800000", b"1704070800001")), "not on the grid of 1h"),
        (
            zipped("a.zip", GOOD.replace(b"open,high,low", b"open,top,low")),
            "its columns are open_time, open, top",
        ),
        (
            zipped("a.zip", GOOD[:-200] + b"\n1706742000000,1,2,x,4,5,6,7,8,9,10,11\n"),
            "not a table of numbers",
        ),
        (zipped("a.zip", GOOD[:-200] + b"\n1706742000000,1,2,,4,5,6,7,8,9,10,11\n"), "hold no number"),
        (zipped("a.zip", b"<html>Sorry</html>"), "its columns are <html>Sorry</html>"),
    ],
    ids=["cut", "no end", "period", "grid", "columns", "text", "blank", "html"],
)
def test_a_file_that_is_not_what_it_says_is_refused_by_name(body: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=rf"^BTCUSDT-1h-2024-01\.zip: .*{reason}"):
        read_archive_file(body, JANUARY_FILE)


def test_rows_out_of_order_and_twice_come_back_sorted_and_once() -> None:
    rows = bars(JANUARY_FILE.span)
    shuffled = pl.concat([rows[100:], rows[:110]])

    assert read_archive_file(zipped("a.zip", kline_csv(shuffled)), JANUARY_FILE).equals(rows)


def test_mark_prices_have_no_volume(archive: ArchiveServer) -> None:
    publish_months(archive, span("2024-01-01", "2024-02-01"), MARK)

    assert read(archive, span("2024-01-01", "2024-02-01"), MARK)[0].rows.equals(
        bars(Window(JANUARY, FEBRUARY), MARK)
    )


def test_funding_comes_by_month_and_the_running_month_is_left_to_the_exchange(archive: ArchiveServer) -> None:
    for month in months(span("2024-01-01", "2024-03-01")):
        archive.publish(month_file(FUNDING, month), funding_csv(settlements(month)))

    chunks = read(archive, span("2024-01-05", "2024-03-10"), FUNDING, now=parse_instant("2024-03-10"))

    assert rows_of(chunks).equals(settlements(span("2024-01-05", "2024-03-01")))
    assert missing_of(chunks) == [span("2024-03-01", "2024-03-10")]


def test_settlements_that_are_late_are_named(archive: ArchiveServer) -> None:
    month = span("2024-01-01", "2024-02-01")
    hours = (pl.col("settled_at").dt.epoch("ms") - JANUARY // 10**6) // 3_600_000
    kept = ~hours.is_in([0, 216, 224, 240, 31 * 24 - 8])
    archive.publish(month_file(FUNDING, month), funding_csv(settlements(month).filter(kept)))

    missing = missing_of(read(archive, month, FUNDING))

    assert [(hole.from_at - JANUARY) // HOUR for hole in missing] == [0, 208, 232, 31 * 24 - 16]
    assert [(hole.to_at - JANUARY) // HOUR for hole in missing] == [8, 232, 248, 31 * 24]


def publish_samples(archive: ArchiveServer, window: Window, *, early_minutes: int = 0) -> None:
    for file in day_files(INTEREST, (window,)):
        taken = samples(Window(file.span.from_at + 5 * MINUTE, file.span.to_at + 5 * MINUTE))
        archive.publish(file, metrics_csv(taken, early_minutes=early_minutes))


@pytest.mark.parametrize("early_minutes", [0, 5], ids=["stamped when taken", "stamped five minutes early"])
def test_open_interest_is_stamped_when_it_was_known(archive: ArchiveServer, early_minutes: int) -> None:
    window = span("2024-01-30", "2024-02-03")
    publish_samples(archive, window, early_minutes=early_minutes)

    chunks = read(archive, window, INTEREST)

    hourly = pl.col("sampled_at").dt.minute() == 0
    assert rows_of(chunks).equals(samples(window).filter(hourly))
    assert missing_of(chunks) == []


def test_blank_samples_are_missing_not_zero() -> None:
    (file,) = day_files(INTEREST, (Window(JANUARY + HOUR, JANUARY + 2 * HOUR),))
    taken = samples(Window(JANUARY + 5 * MINUTE, JANUARY + DAY + MINUTE))
    text = metrics_csv(taken).replace(b"2024-01-01 03:00:00,BTCUSDT,", b"2024-01-01 03:00:00,BTCUSDT,,")

    rows = read_archive_file(zipped(file.name, text), file)

    day = Window(JANUARY + HOUR, JANUARY + DAY)
    assert holes(rows.filter(pl.col("sampled_at").dt.day() == 1), INTEREST, day) == (
        Window(JANUARY + 3 * HOUR, JANUARY + 4 * HOUR),
    )


def test_what_the_archive_never_has_is_all_missing(archive: ArchiveServer) -> None:
    weekly = ArchiveSeries(market="um", symbol="BTCUSDT", kind="bars", interval=Interval.parse("1w"))

    assert missing_of(read(archive, span("2023-01-01", "2024-01-01"), weekly)) == [
        span("2023-01-01", "2024-01-01")
    ]
    assert archive.asked == []


def test_a_caller_that_stops_leaves_nothing_running_and_resumes_without_asking_again(
    archive: ArchiveServer,
) -> None:
    window = span("2023-01-01", "2024-01-01")
    publish_months(archive, window)

    async def first_two() -> tuple[list[Chunk], int]:
        async with Archive(archive.url, archive.listing, patience=QUICK) as source:
            kept: list[Chunk] = []
            async with aclosing(source.chunks(HOURLY, window, LATER)) as chunks:
                async for chunk in chunks:
                    kept.append(chunk)
                    if len(kept) == 2:
                        break
            return kept, len(asyncio.all_tasks())

    kept, running = asyncio.run(first_two())
    archive.asked.clear()
    rest = read(archive, Window(kept[-1].window.to_at, window.to_at))

    assert running == 1
    assert pl.concat([rows_of(kept), rows_of(rest)]).equals(bars(window))
    assert sorted(archive.asked_zips()) == [f"BTCUSDT-1h-2023-{month:02}.zip" for month in range(3, 13)]


def test_every_contract_that_ever_was_is_listed(archive: ArchiveServer) -> None:
    archive.page = 2
    for symbol in ("BTCUSDT", "FTTUSDT", "ETHUSDT_240329"):
        series = ArchiveSeries(market="um", symbol=symbol, kind="bars", interval=Interval.parse("1d"))
        publish_months(archive, span("2024-01-01", "2024-02-01"), series)

    async def list_symbols() -> tuple[str, ...]:
        async with Archive(archive.url, archive.listing, patience=QUICK) as source:
            return await source.symbols("um")

    assert asyncio.run(list_symbols()) == ("BTCUSDT", "ETHUSDT_240329", "FTTUSDT")


def test_a_listing_that_fails_costs_requests_but_no_rows(archive: ArchiveServer) -> None:
    publish_months(archive, span("2024-01-01", "2024-02-01"))
    archive.faults["bucket"] = ["html"] * 9

    chunks = read(archive, span("2024-01-01", "2024-02-01"))

    assert rows_of(chunks).equals(bars(span("2024-01-01", "2024-02-01")))


@given(absent=st.sets(st.integers(0, 47)), start=st.integers(0, 90), short=st.integers(0, 59))
def test_present_bars_and_holes_make_up_the_window(absent: set[int], start: int, short: int) -> None:
    window = Window(JANUARY + start * MINUTE, JANUARY + 48 * HOUR - short * MINUTE)
    keep = [hour for hour in range(48) if hour not in absent and hour * HOUR >= window.from_at - JANUARY]
    rows = bars(Window(JANUARY, JANUARY + 48 * HOUR))[keep]

    found = holes(rows, HOURLY, window)

    named = [
        hour for hole in found for hour in range(48) if hole.from_at <= JANUARY + hour * HOUR < hole.to_at
    ]
    assert sorted(named + keep) == [hour for hour in range(48) if hour * HOUR >= window.from_at - JANUARY]
    assert all(first.to_at < second.from_at for first, second in pairwise(found))
    assert all(window.from_at <= hole.from_at < hole.to_at <= window.to_at for hole in found)


def test_the_default_archive_knows_its_listing_and_another_does_not() -> None:
    async def list_symbols() -> None:
        async with Archive("http://127.0.0.1:9", patience=QUICK) as source:
            await source.symbols("um")

    assert ARCHIVE == "https://data.binance.vision"
    with pytest.raises(VenueError, match="no listing"):
        asyncio.run(list_symbols())


def test_real_minutes_come_back_as_they_were(archive: ArchiveServer, real_data: Path) -> None:
    minutely = ArchiveSeries(market="um", symbol="BTCUSDT", kind="bars", interval=Interval.parse("1m"))
    real = pl.read_parquet(real_data / "ohlcv_1m" / "binance_BTCUSDT_perp_1m_2025-05.parquet")
    real = real.rename({"ts": "opened_at"})
    window = span("2025-05-04T15:33", "2025-06-03T15:32")
    for month in months(window):
        inside = (
            pl.col("opened_at")
            .dt.epoch("ms")
            .is_between(month.from_at // 10**6, month.to_at // 10**6, closed="left")
        )
        archive.publish(month_file(minutely, month), kline_csv(real.filter(inside)))

    chunks = read(archive, window, minutely, now=parse_instant("2025-07-10"))

    assert rows_of(chunks).equals(real)
    assert missing_of(chunks) == []
