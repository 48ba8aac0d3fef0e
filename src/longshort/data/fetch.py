"""What a user wishes from a venue becomes rows of the lake: complete, once, and resumable after any interruption.

    wish -> listings -> windows that were never asked for -> archive, then the venue itself -> staging -> lake

A window counts as asked once the venue has answered for all of it; a row that is missing then is one that the
venue does not have, and is counted, never filled. Running the same wish again asks for nothing twice.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack, aclosing
from typing import Any

import polars as pl

from longshort.base.clock import DAY, MINUTE, Interval, format_instant
from longshort.base.errors import DataError, VenueError
from longshort.base.window import Window, join_windows, missing_windows
from longshort.connect.archive import Archive
from longshort.connect.archive_files import MARKETS, ArchiveSeries, Market
from longshort.connect.archived import archived_listing, is_archived
from longshort.connect.exchange import Exchange
from longshort.connect.listing import Listing, resolve, with_tiers
from longshort.connect.pages import first_listed, page, span
from longshort.data.instruments import infer_instrument, record_inferred, record_listed
from longshort.data.lake import Lake, Measure, Merge, Series
from longshort.data.staging import Staging, empty_rows
from longshort.data.wish import Fetched, Report, Target, Wish

PAGES_PER_STRETCH = 16  # what a crash can lose of one series
PUBLISHED_WITHIN = 10 * MINUTE  # what a venue has not told by then it does not have
AT_ONCE = 6  # stretches under way; the venue's pace is the exchange's business
ARCHIVE_FROM = 3 * DAY  # a shorter stretch is asked from the venue itself at once
FINEST_INTEREST = Interval(5 * MINUTE)  # no venue samples open interest more often


async def fetch(
    wish: Wish, lake: Lake, exchange: Exchange, report: Report, *, archive: Archive | None = None
) -> list[Fetched]:
    """Bring the lake up to the wish; raise `VenueError` or `DataError`, with everything kept that had come."""
    now = await exchange.server_now()
    _refuse_impossible(wish, exchange, now)
    listings = await exchange.listings()
    async with archive or Archive() as source:
        chosen = [await _contract(wish, listings, symbol, source, now) for symbol in wish.symbols]
        listed = [await _described(exchange, c) for c in chosen if not is_archived(c)]
        record_listed(lake.root / wish.venue, listed)
        fetcher = _Fetcher(wish, exchange, source, now)
        with ExitStack() as locks:
            targets = [
                fetcher.target(listing, measure, lake, report)
                for listing in chosen
                for measure in wish.measures
            ]
            for target in targets:
                locks.enter_context(lake.lock(target.series))
            try:
                await together([fetcher.bring(target) for target in targets])
            finally:
                merges = [target.staging.fold(replace=wish.replace) for target in targets]
    told = list(zip(targets, merges, strict=True))
    _infer_archived(wish, lake, told, now)
    return [target.fetched(merge) for target, merge in told]


async def together(tasks: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first that fails ends the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


class _Fetcher:
    """Brings series: years from the archive where there is one, the rest from the venue itself."""

    def __init__(self, wish: Wish, exchange: Exchange, archive: Archive, now: int) -> None:
        self._wish = wish
        self._exchange = exchange
        self._archive = archive
        self._now = now
        self._slots = asyncio.Semaphore(AT_ONCE)

    def target(self, listing: Listing, measure: Measure, lake: Lake, report: Report) -> Target:
        """One series of the wish; bars that have not closed are not wished for."""
        wish = self._wish
        interval = _interval(measure, wish.interval)
        series = Series.of(wish.venue, measure, interval, listing.instrument.symbol)
        step = interval.ns if interval else 1
        latest = self._now - (PUBLISHED_WITHIN if measure == "funding" else 0)
        until_at = min(wish.until_at or latest, latest) // step * step
        wanted = Window(-(-wish.since_at // step) * step, until_at)
        return Target(series, listing, interval, wanted, Staging(lake, series), report)

    async def bring(self, target: Target) -> None:
        """Ask for everything that was not asked for before; or, where that is the wish, for holes again."""
        if self._wish.holes:
            await self._ask(target, target.holes())
            return
        if self._wish.source != "rest":
            await self._take_archive(target)
        if is_archived(target.listing):
            target.keep(target.missing(), empty_rows(target.series))  # nobody else remembers it
        elif self._wish.source != "archive":
            await self._ask(target, await self._after_listing(target))

    async def _take_archive(self, target: Target) -> None:
        market = MARKETS.get(self._wish.venue)
        if market is None:
            return
        series = ArchiveSeries(
            market=market, symbol=target.listing.id, kind=target.series.measure, interval=target.interval
        )
        worth = [w for w in target.missing() if w.to_at - w.from_at > ARCHIVE_FROM and w.from_at < self._now]
        for window in worth if series.offered else ():
            async with aclosing(self._archive.chunks(series, window, self._now)) as chunks:
                async for chunk in chunks:
                    asked = missing_windows(chunk.window, chunk.missing)
                    target.keep(asked, chunk.rows)
                    target.advance(asked)
                    target.notes += chunk.refused

    async def _after_listing(self, target: Target) -> list[Window]:
        """What is missing from the day on that the venue has anything; that it has nothing before is an answer."""
        missing = target.missing()
        if not missing or missing[0].from_at > target.wanted.from_at:
            return missing
        kind = target.series.measure
        first_at = await first_listed(
            self._exchange, target.listing, kind, target.interval, missing[0].from_at
        )
        before = [Window(w.from_at, min(w.to_at, first_at)) for w in missing if w.from_at < first_at]
        venue = self._exchange.venue
        if before and (kind in venue.history or kind in venue.history_rows):
            begins = format_instant(min(first_at, target.wanted.to_at))
            target.notes.append(f"{venue.id} itself keeps {kind} from {begins} only")
        target.keep(before, empty_rows(target.series))
        target.advance(before)
        return target.missing()

    async def _ask(self, target: Target, windows: Sequence[Window]) -> None:
        longest = span(self._exchange, target.series.measure, target.interval)
        stretches = [s for w in _gather(windows, longest) for s in w.split(longest * PAGES_PER_STRETCH)]
        await together([self._stretch(target, stretch, longest) for stretch in stretches])

    async def _stretch(self, target: Target, stretch: Window, longest: int) -> None:
        """Page after page; those that came are kept also where a later one does not."""
        rows: list[pl.DataFrame] = []
        asked_to = stretch.from_at
        async with self._slots:
            try:
                for window in stretch.split(longest):
                    rows.append(
                        await page(
                            self._exchange, target.series.measure, target.listing, target.interval, window
                        )
                    )
                    asked_to = window.to_at
                    target.advance([window])
            finally:
                if rows:
                    got = pl.concat(rows)
                    asked = Window(stretch.from_at, self._believed(target, got, asked_to))
                    target.keep([asked], target.wished(got))

    def _believed(self, target: Target, rows: pl.DataFrame, asked_to: int) -> int:
        """Up to where an answer counts: a bar that closed minutes ago and is not there may come yet."""
        if target.interval is None or asked_to <= self._now - PUBLISHED_WITHIN:
            return asked_to
        step = target.interval.ns
        told_to = target.instants(rows)[-1] + step if len(rows) else 0
        return min(asked_to, max(told_to, (self._now - PUBLISHED_WITHIN) // step * step))


def _interval(measure: Measure, wished: Interval) -> Interval | None:
    match measure:
        case "funding":
            return None
        case "open-interest":
            return max(wished, FINEST_INTEREST, key=lambda interval: interval.ns)
        case _:
            return wished


def _refuse_impossible(wish: Wish, exchange: Exchange, now: int) -> None:
    if wish.since_at >= now:
        raise DataError(f"{format_instant(wish.since_at)} has not come yet.", where="--since")
    if wish.until_at is not None and wish.until_at <= wish.since_at:
        raise DataError("the end is not after the beginning.", where="--until")
    if wish.interval.ns > DAY:
        raise DataError(
            "bars longer than a day are not kept: weeks and months are on no common grid.",
            where="--interval",
            remedy="Fetch 1d bars.",
        )
    if wish.interval not in exchange.intervals():
        raise VenueError(
            f"has no bars of {wish.interval}.",
            where=wish.venue,
            remedy=f"It has {', '.join(map(str, exchange.intervals()))}.",
        )
    for measure in wish.measures:
        if not exchange.offers(measure) and not (measure == "open-interest" and wish.venue in MARKETS):
            raise VenueError(f"has no history of {measure}.", where=wish.venue)


def _gather(windows: Sequence[Window], longest: int) -> list[Window]:
    """Windows so near to each other that one page covers them become one."""
    gathered: list[Window] = []
    for window in join_windows(windows):
        if gathered and window.to_at - gathered[-1].from_at <= longest:
            gathered[-1] = Window(gathered[-1].from_at, window.to_at)
        else:
            gathered.append(window)
    return gathered


async def _described(exchange: Exchange, listing: Listing) -> Listing:
    """The listing with its maintenance tiers where the venue tells them; they are worth no failed download."""
    try:
        return await with_tiers(exchange, listing)
    except VenueError:
        return listing


def _infer_archived(wish: Wish, lake: Lake, told: Sequence[tuple[Target, Merge]], now: int) -> None:
    """Read ticks and lots of contracts that no list has any more off their bars."""
    found = {
        target.series.symbol: (
            infer_instrument(wish.venue, target.series.symbol, merge.rows),
            format_instant(now),
        )
        for target, merge in told
        if is_archived(target.listing) and target.series.measure == "bars" and len(merge.rows)
    }
    if found:
        record_inferred(lake.root / wish.venue, found)


async def _contract(
    wish: Wish, listings: Mapping[str, Listing], symbol: str, archive: Archive, now: int
) -> Listing:
    """The contract that the user means: one that the venue lists, or one that only its archive remembers."""
    try:
        return resolve(listings, symbol)
    except VenueError:
        market = MARKETS.get(wish.venue)
        known = () if market is None or wish.source == "rest" else await _archived(archive, market)
        if symbol.strip().upper() not in known:
            raise
        return archived_listing(wish.venue, symbol.strip().upper(), now)


async def _archived(archive: Archive, market: Market) -> tuple[str, ...]:
    try:
        return await archive.symbols(market)
    except VenueError:  # a mirror without an index
        return ()
