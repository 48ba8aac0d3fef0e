"""Five years of one-minute bars through the archive: seconds and peak memory, beside plain polars on the same CSVs.

    python -m benchmarks.archive [--months 60]

The archive is generated and served over loopback by a process of its own. Each way runs in a process of its own
and writes one Parquet file per month.
"""

import argparse
import asyncio
import io
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.archive import checksum, kline_csv, zipped
from tests.loopback import loopback, random_walk

from longshort.base.clock import DAY, MINUTE, Interval, parse_instant
from longshort.base.window import Window
from longshort.connect.archive import Archive
from longshort.connect.archive_files import ArchiveSeries, month_file, months
from longshort.connect.exchange import Exchange
from longshort.data.fetch import fetch
from longshort.data.lake import Lake
from longshort.data.wish import Wish

SERIES = ArchiveSeries(market="um", symbol="BTCUSDT", kind="bars", interval=Interval.parse("1m"))
FIRST, LATER = parse_instant("2020-01-01"), parse_instant("2026-01-01")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--months", type=int, default=60)
    parser.add_argument("--way", choices=["fetch", "archive", "polars"], help=argparse.SUPPRESS)
    parser.add_argument("--place", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    spans = months(Window(FIRST, FIRST + options.months * 31 * DAY))[: options.months]
    if options.way:
        way = WAYS[options.way]
        with tempfile.TemporaryDirectory() as out:
            report(way, options.place, spans, Path(out))
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), spans)
        compare(Path(folder), options.months)


def generate(folder: Path, spans: list[Window]) -> None:
    """Bars with prices and volumes of as many digits as BTCUSDT has."""
    rng = np.random.default_rng(1)
    for month in spans:
        at = np.arange(month.from_at, month.to_at, MINUTE) // 1_000_000
        price = np.round(30_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, (len(at), 4)), axis=0)), 1)
        rows = pl.DataFrame([pl.Series("opened_at", at).cast(pl.Datetime("ms", "UTC"))]).with_columns(
            pl.Series("open", price[:, 0]), pl.Series("high", price.max(axis=1)),
            pl.Series("low", price.min(axis=1)), pl.Series("close", price[:, 3]),
            pl.Series("volume", np.round(rng.gamma(1, 50, len(at)), 3)),
        )  # fmt: skip
        file = month_file(SERIES, month)
        body = zipped(file.name, kline_csv(rows))
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        path.with_name(f"{path.name}.CHECKSUM").write_bytes(checksum(path.name, body))


def compare(folder: Path, count: int) -> None:
    zips = list(folder.rglob("*.zip"))
    print(f"{len(zips)} zips, {sum(path.stat().st_size for path in zips) / 1e6:.0f} MB")
    command = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--protocol",
        "HTTP/1.1",
    ]
    with subprocess.Popen(
        [*command, "--directory", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        said = server.stdout.readline() if server.stdout else ""
        port = said.split("port ")[1].split()[0]
        url = f"http://127.0.0.1:{port}"
        for way, place in (("fetch", url), ("archive", url), ("polars", str(folder))):
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.archive",
                    "--way",
                    way,
                    "--place",
                    place,
                    "--months",
                    str(count),
                ],
                check=True,
            )
        server.terminate()


def report(way: Callable[[str, list[Window], Path], int], place: str, spans: list[Window], out: Path) -> None:
    started_at = time.perf_counter()
    rows = way(place, spans, out)
    seconds = time.perf_counter() - started_at
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{way.__name__:<16} {rows:>9,} rows {seconds:>6.2f} s {rows / seconds:>11,.0f} rows/s "
        f"{used.ru_utime + used.ru_stime:>6.1f} cpu-s {used.ru_maxrss / 2**10:>6.0f} MiB at most"
    )


def into_the_lake(place: str, spans: list[Window], out: Path) -> int:
    """All that `longshort fetch` does: the contract from the venue, months staged one by one, folded into a series."""
    window = Window(spans[0].from_at, spans[-1].to_at)
    wish = Wish(
        venue="binanceusdm",
        symbols=("BTC/USDT:USDT",),
        interval=Interval(MINUTE),
        since_at=window.from_at,
        until_at=window.to_at,
        measures=("bars",),
        source="archive",
    )

    async def bring() -> int:
        async with Exchange(wish.venue) as exchange:
            (got,) = await fetch(wish, Lake(out), exchange, lambda *_: None, archive=Archive(place, ""))
        return got.rows

    with loopback(random_walk(bars=2, start_at=LATER)) as venue, pytest.MonkeyPatch.context() as patch:
        venue.redirect(patch)
        return asyncio.run(bring())


def through_archive(place: str, spans: list[Window], out: Path) -> int:
    """Download, hash, read, store."""

    async def store() -> int:
        rows = 0
        window = Window(spans[0].from_at, spans[-1].to_at)
        async with Archive(place, "") as archive, aclosing(archive.chunks(SERIES, window, LATER)) as chunks:
            async for chunk in chunks:
                assert not chunk.missing, chunk
                name = out / f"{chunk.window.from_at}.parquet"
                await asyncio.to_thread(chunk.rows.write_parquet, name, compression="zstd")
                rows += len(chunk.rows)
        return rows

    return asyncio.run(store())


def with_polars(place: str, spans: list[Window], out: Path) -> int:
    """The same files from disk, neither hashed nor checked, all columns as polars guesses them."""
    rows = 0
    for path in (Path(place) / month_file(SERIES, month).path for month in spans):
        with zipfile.ZipFile(path) as archive:
            table = pl.read_csv(io.BytesIO(archive.read(archive.namelist()[0])))
        table.write_parquet(out / f"{path.stem}.parquet", compression="zstd")
        rows += len(table)
    return rows


WAYS = {"fetch": into_the_lake, "archive": through_archive, "polars": with_polars}

if __name__ == "__main__":
    main()
