"""Years of Binance's history from its public archive, month by month, each file checked against its hash.

A month comes as one zip; days that are missing from it, and months that have no zip, come as daily zips; what
the archive does not have is named, for the exchange itself to answer. Nothing is written here, and nothing is
filled in.
"""

import asyncio
import hashlib
import html
import re
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlencode

import polars as pl

from longshort.base.clock import DAY, MINUTE
from longshort.base.errors import DataError, MissingExtra, VenueError
from longshort.base.window import Window
from longshort.connect.archive_files import (
    MILLISECOND,
    ArchiveFile,
    ArchiveSeries,
    Market,
    day_files,
    holes,
    month_file,
    months,
    published_until,
)
from longshort.connect.archive_rows import read_archive_file
from longshort.connect.rows import INSTANT

if TYPE_CHECKING:
    import aiohttp

ARCHIVE = "https://data.binance.vision"
LISTING = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
FEW_DAYS, FINE = 7, 5 * MINUTE  # so few days of such fine bars are less to download than their month
MONTHS_AHEAD = 6  # in flight while the caller stores one: bounds memory
PASSING = (408, 425, 429)  # answers in 4xx that time may cure
HASH = re.compile(rb"\s*([0-9a-fA-F]{64})\s")
ZIP = re.compile(rb"PK")
INDEX = re.compile(rb"[^<]*(<\?xml[^>]*>\s*)?<ListBucketResult")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What the archive had of one calendar month: `missing` is to be asked from the exchange itself.

    `refused` has a sentence for each file that the archive offers and that cannot be used (a wrong hash, foreign
    rows); what such files would have held is in `missing` where no other file has it. Show them to the user.
    """

    window: Window
    rows: pl.DataFrame
    missing: tuple[Window, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many requests run at once, how long each may stand still, and the pauses before each repetition."""

    connections: int = 8
    stall_seconds: float = 30.0
    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)


class Archive:
    """The archive at `base`: an async context manager.

    `listing` is the address of the bucket's index, which tells what there is in one request per 500 files; where
    it is empty, absent files are found out one by one. It is known for the default `base` only.
    """

    def __init__(
        self, base: str = ARCHIVE, listing: str | None = None, *, patience: Patience | None = None
    ) -> None:
        self._base = base.rstrip("/")
        self._listing = (LISTING if self._base == ARCHIVE else "") if listing is None else listing
        self._patience = patience or Patience()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        try:
            import aiohttp
            import certifi
        except ImportError as error:
            raise MissingExtra("aiohttp", "exchange") from error
        trusted = ssl.create_default_context(cafile=certifi.where())
        connector = aiohttp.TCPConnector(limit=self._patience.connections, ssl=trusted)
        stall = self._patience.stall_seconds
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=stall, sock_read=stall)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def chunks(self, series: ArchiveSeries, window: Window, now: int) -> AsyncGenerator[Chunk, None]:
        """The window, one chunk per calendar month, in order and without a gap between chunks.

        Read it inside `contextlib.aclosing`, so that what is under way ends when the caller stops. Raise
        `VenueError` where the archive does not answer.
        """
        published = Window(window.from_at, min(window.to_at, published_until(series, now)))
        if published.from_at >= published.to_at:
            yield Chunk(window=window, rows=series.empty(), missing=(window,))
            return
        offered = await self._offered(series, published)
        parts = deque(
            Window(max(m.from_at, published.from_at), min(m.to_at, published.to_at))
            for m in months(published)
        )
        running: deque[asyncio.Task[Chunk]] = deque()
        try:
            while parts or running:
                while parts and len(running) < MONTHS_AHEAD:
                    part = _Part(series=series, window=parts.popleft(), offered=offered)
                    running.append(asyncio.create_task(self._month(part)))
                yield await running[0]
                running.popleft()
        finally:
            await _end(running)
        if published.to_at < window.to_at:
            rest = Window(published.to_at, window.to_at)
            yield Chunk(window=rest, rows=series.empty(), missing=(rest,))

    async def symbols(self, market: Market) -> tuple[str, ...]:
        """Every contract that ever had bars in the archive, delisted ones included; needs the listing."""
        if not self._listing:
            raise VenueError("no listing of its files is known.", where=self._base)
        folder = f"data/futures/{market}/monthly/klines/"
        return tuple(sorted({name.removeprefix(folder).rstrip("/") for name in await self._list(folder)}))

    async def _month(self, part: "_Part") -> Chunk:
        """The monthly file, then daily ones for what it lacks; for a few days, the other way round."""
        series, window = part.series, part.window
        found: list[_Outcome] = []
        rows = series.empty()
        for period in part.periods:
            if wanted := holes(rows, series, window):
                monthly = [month_file(series, window)]
                found += await self._files(
                    monthly if period == "monthly" else day_files(series, wanted), part
                )
                rows = _merged(found, part)
        return Chunk(
            window=window,
            rows=rows,
            missing=holes(rows, series, window),
            refused=tuple(str(outcome) for outcome in found if isinstance(outcome, DataError)),
        )

    async def _files(self, files: Iterable[ArchiveFile], part: "_Part") -> "list[_Outcome]":
        asked = [file for file in files if part.offered is None or file.path in part.offered]
        running = [asyncio.create_task(self._file(file)) for file in asked]
        try:
            return await asyncio.gather(*running)
        finally:
            await _end(running)

    async def _file(self, file: ArchiveFile) -> "_Outcome":
        """Asked for twice at most: it may be replaced between its hash and its body."""
        url = f"{self._base}/{file.path}"
        for _ in range(2):
            noted = await self._get(f"{url}.CHECKSUM", HASH)
            body = await self._get(url, ZIP) if noted else None
            if not noted or not body:
                return None
            try:
                rows = await asyncio.to_thread(_verified, body, noted, file)
            except DataError as error:
                return error
            if rows is not None:
                return rows
        return DataError(
            "the archive's file cannot be used: its hash differs from the recorded one, twice.",
            where=file.name,
        )

    async def _offered(self, series: ArchiveSeries, window: Window) -> frozenset[str] | None:
        """The files there are for a window; None where no listing tells, so that each must be asked for."""
        if not self._listing:
            return None
        monthly = [month_file(series, month) for month in months(window)]
        daily = day_files(series, (window,))
        wanted = [daily] if series.kind == "open-interest" else [monthly, daily]
        try:
            pages = [
                await self._list(
                    files[0].folder, after=files[0].path.removesuffix(".zip"), until=files[-1].path
                )
                for files in (wanted[:1] if series.kind == "funding" else wanted)
            ]
        except VenueError:
            return None
        return frozenset(name for page in pages for name in page)

    async def _list(self, folder: str, *, after: str = "", until: str = "") -> list[str]:
        """The folders and files directly in a folder of the bucket, page by page."""
        found: list[str] = []
        while True:
            query = urlencode({"delimiter": "/", "prefix": folder, "marker": after})
            page = await self._get(f"{self._listing}?{query}", INDEX)
            if page is None:
                raise VenueError("there is no listing.", where=self._listing)
            text = page.decode("utf-8", "replace")
            names = re.findall(r"<Key>([^<]+)</Key>|<CommonPrefixes>\s*<Prefix>([^<]+)</Prefix>", text)
            found += [html.unescape(key or prefix) for key, prefix in names]
            if "<IsTruncated>true" not in text or not names or (until and max(found) > until):
                return found
            after = max(found)

    async def _get(self, url: str, expected: re.Pattern[bytes]) -> bytes | None:
        """A body that looks as expected, or None where there is none; raise `VenueError` once patience ends."""
        import aiohttp

        fault = ""
        for pause in (0.0, *self._patience.pauses):
            await asyncio.sleep(pause)
            try:
                status, body = await self._once(url)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                fault = str(error) or type(error).__name__
                continue
            if status == 404:
                return None
            if status == 200 and expected.match(body):
                return body
            fault = f"it answered {status}" + (" with something else" if status == 200 else "")
            if 400 <= status < 500 and status not in PASSING:
                break
        raise VenueError(
            f"{url.rpartition('/')[2]} could not be read: {fault.rstrip('.')}.",
            where=url.removeprefix("https://").removeprefix("http://").partition("/")[0],
            remedy="Try again later: what is on disk stays, and only the rest is asked for.",
        )

    async def _once(self, url: str) -> tuple[int, bytes]:
        assert self._session, "an archive is an async context manager"
        async with self._session.get(url) as response:
            return response.status, await response.read()


_Outcome = pl.DataFrame | DataError | None  # rows, why they cannot be used, or no such file


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    series: ArchiveSeries
    window: Window
    offered: frozenset[str] | None

    @property
    def periods(self) -> tuple[Literal["monthly", "daily"], ...]:
        """Which files to ask for, in order."""
        match self.series.kind:
            case "funding":
                return ("monthly",)
            case "open-interest":
                return ("daily",)
            case _:
                few = self.window.to_at - self.window.from_at <= FEW_DAYS * DAY
                fine = self.series.interval is not None and self.series.interval.ns <= FINE
                return ("daily", "monthly") if few and fine else ("monthly", "daily")


def _merged(found: "list[_Outcome]", part: _Part) -> pl.DataFrame:
    """The rows of all files inside the window; what came first is kept."""
    instant = part.series.columns[0]
    opens, ends = (pl.lit(at // MILLISECOND).cast(INSTANT) for at in (part.window.from_at, part.window.to_at))
    frames = [rows for rows in found if isinstance(rows, pl.DataFrame)]
    rows = pl.concat([part.series.empty(), *frames]).filter(
        pl.col(instant).is_between(opens, ends, closed="left")
    )
    return rows if len(frames) == 1 else rows.unique(instant, keep="first", maintain_order=True).sort(instant)


def _verified(body: bytes, noted: bytes, file: ArchiveFile) -> pl.DataFrame | None:
    """The rows of a file with the hash that was noted; None for another."""
    same = hashlib.sha256(body).hexdigest().encode() == noted.split()[0].lower()
    return read_archive_file(body, file) if same else None


async def _end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
